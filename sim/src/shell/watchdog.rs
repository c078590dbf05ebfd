//! The watchdog device of a host in the world: calls reach it at once, its time comes by the host's own clock, and then
//! the host is reset. Knows nothing of who asks it.

use crate::due::HostDue;
use crate::event::What;
use crate::marks::Mark;
use crate::watchdog::{Call, Refused};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::time::Span;

/// From the reset until the host is up again.
const BOOT_TAKES: (Span, Span) = (Span::secs(10), Span::secs(40));

impl World {
    pub(crate) fn ask_watchdog(&mut self, seat: Seat, call: Call) -> Result<Span, Refused> {
        let now = self.host_now(seat).mono;
        let device = self.hosts[seat.index()].watchdog.as_mut();
        let verdict = device.ok_or(Refused::Missing)?.asked(call, now);
        self.schedule_reset(seat);
        verdict
    }

    /// The agent's process is gone, and what it had open is closed for it.
    pub(crate) fn drop_watchdog(&mut self, seat: Seat) {
        let now = self.host_now(seat).mono;
        if let Some(device) = self.hosts[seat.index()].watchdog.as_mut() {
            device.dropped(now);
            self.schedule_reset(seat);
        }
    }

    pub(crate) fn suspend_watchdog(&mut self, seat: Seat) {
        let now = self.host_now(seat).mono;
        if let Some(device) = self.hosts[seat.index()].watchdog.as_mut() {
            device.suspended(now);
        }
    }

    pub(crate) fn resume_watchdog(&mut self, seat: Seat) {
        let now = self.host_now(seat).mono;
        if let Some(device) = self.hosts[seat.index()].watchdog.as_mut() {
            device.resumed(now);
            self.schedule_reset(seat);
        }
    }

    fn schedule_reset(&mut self, seat: Seat) {
        let now = self.now();
        let host = &mut self.hosts[seat.index()];
        let Some(at) = host.watchdog.as_ref().and_then(|device| device.resets_at()) else {
            return;
        };
        if host.watchdog_looked_at.is_some_and(|looked| looked <= at) {
            return;
        }
        host.watchdog_looked_at = Some(at);
        let after = host.clock.when(at).since(now);
        self.host_due(seat, after, HostDue::Watchdog);
    }

    /// Its time may be over; it may have been kept alive or stopped since.
    pub(crate) fn watchdog_comes_due(&mut self, seat: Seat) {
        let now = self.host_now(seat).mono;
        let host = &mut self.hosts[seat.index()];
        host.watchdog_looked_at = None;
        match host.watchdog.as_ref().and_then(|device| device.resets_at()) {
            Some(at) if at <= now => self.reset_host(seat),
            Some(_) => self.schedule_reset(seat),
            None => {}
        }
    }

    /// Everything on the host dies at once, and what its disk had not written is lost, as when the power goes. It boots by
    /// itself.
    fn reset_host(&mut self, seat: Seat) {
        let member = self.name(seat);
        self.tell_story(What::WatchdogFired { member });
        self.mark(Mark::WatchdogFired);
        self.crash_host(seat);
        let (least, most) = BOOT_TAKES;
        let after = self.chance.host.span(least, most);
        self.hosts[seat.index()].boots_at = Some(self.now() + after);
        self.host_due(seat, after, HostDue::Boot);
    }

    /// Unless somebody booted it meanwhile, or has taken its power away.
    pub(crate) fn boots_by_itself(&mut self, seat: Seat) {
        if self.hosts[seat.index()].boots_at == Some(self.now()) {
            self.boot_host(seat);
        }
    }
}
