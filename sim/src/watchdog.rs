//! A host's watchdog device as Linux shows it: who opens it has to keep it alive, or the host is reset.
//! Knows nothing of who opens it or why, nor of what a reset does.
//!
//! It is `softdog` behind the kernel's watchdog core (Documentation/watchdog/watchdog-api.rst,
//! drivers/watchdog/watchdog_dev.c and softdog.c):
//!
//! - Opening it starts it, or leaves it as it is where it runs already: that is no keepalive (`watchdog_start`). One process
//!   has it open at a time (EBUSY).
//! - WDIOC_SETTIMEOUT takes whole seconds and answers what the device took: one that counts in larger steps rounds up.
//!   The timeout stays until the next boot, whoever has the device open.
//! - Closing it stops it only after the magic `V`. A process that dies closes without, upon which the core keeps it alive
//!   once more (`watchdog_release`): the whole timeout begins anew with the death.
//! - While the host is suspended it stands still, and then goes on with what was left. `softdog` counts CLOCK_MONOTONIC,
//!   which leaves a suspension out; QEMU's i6300esb counts QEMU_CLOCK_VIRTUAL, which stops with a paused guest (hardware
//!   such as iTCO_wdt is stopped by its driver or the firmware, and begins anew). So it is no help against a host that
//!   slept past its lease and wakes.
//! - `nowayout`, by which it could never be stopped, is not switched on.

use serde::{Deserialize, Serialize};
use tanist_core::time::{Mono, Span};

/// `softdog`'s timeout before anybody sets another (`soft_margin`).
const TIMEOUT_AT_BOOT: Span = Span::secs(60);
/// What `softdog` takes at most.
const TIMEOUT_MAX: Span = Span::secs(65_535);

/// What a process can ask of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Open,
    SetTimeout(Span),
    KeepAlive,
    /// `V`, then close.
    MagicClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// ENOENT: the host has none.
    Missing,
    /// EBUSY: it is open already.
    InUse,
    /// EBADF.
    NotOpen,
    /// EINVAL: no timeout of its own is as long, or as short.
    OutOfRange,
    /// Its driver does not answer as it should.
    Broken,
}

/// Whether it does what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Works {
    Well,
    /// It is opened no more and takes no other timeout. What runs goes on, can be kept alive, and stopped.
    Refuses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Closed,
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Stopped,
    /// The host is reset then, by its own clock.
    Until(Mono),
    /// The host is suspended; so much is left.
    Halted(Span),
}

pub struct Watchdog {
    /// Its timeouts are whole multiples of this.
    step: Span,
    timeout: Span,
    file: File,
    count: Count,
    pub works: Works,
}

impl Watchdog {
    pub fn new(step: Span) -> Watchdog {
        assert!(step > Span::ZERO, "a device counts in steps of some length");
        Watchdog {
            step,
            timeout: TIMEOUT_AT_BOOT,
            file: File::Closed,
            count: Count::Stopped,
            works: Works::Well,
        }
    }

    /// Does what a process asks. `Ok`: its timeout from now on.
    pub fn asked(&mut self, call: Call, now: Mono) -> Result<Span, Refused> {
        match (call, self.file) {
            (Call::Open, File::Open) => return Err(Refused::InUse),
            (Call::Open | Call::SetTimeout(_), _) if self.works == Works::Refuses => {
                return Err(Refused::Broken);
            }
            (Call::SetTimeout(_) | Call::KeepAlive | Call::MagicClose, File::Closed) => {
                return Err(Refused::NotOpen);
            }
            (Call::Open, File::Closed) => {
                self.file = File::Open;
                if self.count != Count::Stopped {
                    return Ok(self.timeout);
                }
            }
            (Call::SetTimeout(wanted), File::Open) => self.timeout = self.nearest(wanted)?,
            (Call::KeepAlive, File::Open) => {}
            (Call::MagicClose, File::Open) => {
                self.file = File::Closed;
                self.count = Count::Stopped;
                return Ok(self.timeout);
            }
        }
        self.count = Count::Until(now + self.timeout);
        Ok(self.timeout)
    }

    /// The shortest timeout of its own that is not shorter.
    fn nearest(&self, wanted: Span) -> Result<Span, Refused> {
        let steps = wanted.as_micros().div_ceil(self.step.as_micros());
        let taken = self.step.times(steps);
        match taken > Span::ZERO && taken <= TIMEOUT_MAX {
            true => Ok(taken),
            false => Err(Refused::OutOfRange),
        }
    }

    /// The process that had it open, if any did, is gone without the magic close.
    pub fn dropped(&mut self, now: Mono) {
        if self.file == File::Open {
            self.file = File::Closed;
            self.count = Count::Until(now + self.timeout);
        }
    }

    pub fn suspended(&mut self, now: Mono) {
        if let Count::Until(at) = self.count {
            self.count = Count::Halted(at.since(now));
        }
    }

    pub fn resumed(&mut self, now: Mono) {
        if let Count::Halted(left) = self.count {
            self.count = Count::Until(now + left);
        }
    }

    /// After a loss of power or a reset it is as it was at boot.
    pub fn lost_power(&mut self) {
        self.timeout = TIMEOUT_AT_BOOT;
        self.file = File::Closed;
        self.count = Count::Stopped;
    }

    /// When it resets the host, if nobody keeps it alive. `None`: not by itself.
    pub fn resets_at(&self) -> Option<Mono> {
        match self.count {
            Count::Until(at) => Some(at),
            Count::Stopped | Count::Halted(_) => None,
        }
    }

    /// Its time is over, and the host should be gone.
    pub fn is_overdue(&self, now: Mono) -> bool {
        self.resets_at().is_some_and(|at| at < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Mono {
        Mono(0) + Span::secs(secs)
    }

    /// Opened at 100 s with a timeout of 25 s.
    fn armed() -> Watchdog {
        let mut device = Watchdog::new(Span::secs(1));
        assert_eq!(device.asked(Call::Open, at(100)), Ok(TIMEOUT_AT_BOOT));
        let set = Call::SetTimeout(Span::secs(25));
        assert_eq!(device.asked(set, at(100)), Ok(Span::secs(25)));
        device
    }

    #[test]
    fn each_keepalive_grants_the_whole_timeout_and_the_magic_close_ends_it() {
        let mut device = armed();
        assert_eq!(device.resets_at(), Some(at(125)));
        device.asked(Call::KeepAlive, at(110)).unwrap();
        assert_eq!(device.resets_at(), Some(at(135)));
        assert!(!device.is_overdue(at(135)) && device.is_overdue(at(136)));
        device.asked(Call::MagicClose, at(120)).unwrap();
        assert_eq!(device.resets_at(), None);
        let late = device.asked(Call::KeepAlive, at(121));
        assert_eq!(late, Err(Refused::NotOpen));
    }

    #[test]
    fn who_dies_without_the_magic_close_leaves_it_running_for_a_whole_timeout_whoever_opens_it() {
        let mut device = armed();
        device.dropped(at(120));
        assert_eq!(device.resets_at(), Some(at(145)));
        device.dropped(at(130));
        assert_eq!(device.resets_at(), Some(at(145)));
        assert_eq!(device.asked(Call::Open, at(140)), Ok(Span::secs(25)));
        assert_eq!(device.resets_at(), Some(at(145)));
        device.asked(Call::KeepAlive, at(141)).unwrap();
        assert_eq!(device.resets_at(), Some(at(166)));
    }

    #[test]
    fn one_process_has_it_open_at_a_time() {
        let mut device = armed();
        assert_eq!(device.asked(Call::Open, at(101)), Err(Refused::InUse));
        assert_eq!(device.resets_at(), Some(at(125)));
    }

    #[test]
    fn a_device_of_long_steps_rounds_up_and_says_so() {
        for (step, wanted, taken) in [
            (1, 25, Ok(25)),
            (20, 25, Ok(40)),
            (20, 40, Ok(40)),
            (1, 0, Err(Refused::OutOfRange)),
            (1, 70_000, Err(Refused::OutOfRange)),
        ] {
            let mut device = Watchdog::new(Span::secs(step));
            device.asked(Call::Open, at(0)).unwrap();
            let answer = device.asked(Call::SetTimeout(Span::secs(wanted)), at(0));
            assert_eq!(
                answer,
                taken.map(Span::secs),
                "{wanted} s in steps of {step} s"
            );
        }
    }

    #[test]
    fn one_that_refuses_is_opened_no_more_and_goes_on_where_it_runs() {
        let mut device = armed();
        device.works = Works::Refuses;
        let set = device.asked(Call::SetTimeout(Span::secs(15)), at(105));
        assert_eq!(set, Err(Refused::Broken));
        assert_eq!(device.asked(Call::KeepAlive, at(110)), Ok(Span::secs(25)));
        device.asked(Call::MagicClose, at(111)).unwrap();
        assert_eq!(device.asked(Call::Open, at(112)), Err(Refused::Broken));
        assert_eq!(device.resets_at(), None);
    }

    #[test]
    fn it_stands_still_while_the_host_is_suspended() {
        let mut device = armed();
        device.suspended(at(105));
        assert_eq!(device.resets_at(), None);
        assert!(!device.is_overdue(at(1_000)));
        device.resumed(at(1_000));
        assert_eq!(device.resets_at(), Some(at(1_020)));
    }

    #[test]
    fn after_a_boot_it_is_as_new() {
        let mut device = armed();
        device.lost_power();
        device.dropped(at(110));
        assert_eq!(device.resets_at(), None);
        assert_eq!(device.asked(Call::Open, at(200)), Ok(TIMEOUT_AT_BOOT));
    }
}
