//! L09: a standby that streams from the primary that serves is left alone, whatever becomes of the store: its agent does
//! not stop it unless somebody asked for it. A standby that is restarted for nothing serves no reads meanwhile, and all
//! of them connecting anew at once is a load of its own on the primary.

use super::Invariant;
use crate::pg::instance::Storage;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::postgres::Operation;
use tanist_core::time::Span;

/// What an operator asked for excuses what follows from it for this long.
const EXCUSED_FOR: Span = Span::secs(600);

impl World {
    /// `seat`'s agent begins this.
    pub(crate) fn check_streams_on(&mut self, seat: Seat, operation: &Operation) {
        let now = self.now();
        let Operation::Stop { .. } = operation else {
            return self.oracle.fine(Invariant::StreamsOn);
        };
        let asked = self.requests.asked_down.get(&seat);
        let asked = asked.is_some_and(|at| now.since(*at) < EXCUSED_FOR);
        let agent = self.hosts[seat.index()].agent.as_ref();
        let agent = agent.and_then(|a| a.agent.tanist());
        let ends = agent.is_none_or(|agent| agent.is_ending());
        if asked || self.is_paused() || ends {
            return self.oracle.set_aside(Invariant::StreamsOn);
        }
        let verdict = match self.well_fed_by(seat) {
            None => Ok(()),
            Some(primary) => Err(format!(
                "{} is stopped while it streams from {}, which leads and serves",
                self.name(seat),
                self.name(primary)
            )),
        };
        self.oracle.judge(Invariant::StreamsOn, now, verdict);
    }

    /// The primary from which this standby streams what is right for it, and replays it.
    fn well_fed_by(&self, seat: Seat) -> Option<Seat> {
        let standby = &self.pgs[seat.index()];
        let receiver = standby.receiver().filter(|r| r.stalled.is_none())?;
        let primary = &self.pgs[receiver.from.index()];
        let serves = primary.accepts_writes() && self.leader_seat() == Some(receiver.from);
        let right = self.wal.is_prefix(standby.dir.wal, primary.dir.wal);
        // On storage that stalls it replays nothing, and an agent that has just started cannot tell what it is.
        let reads = standby.storage != Storage::Stalls;
        let replays = reads && standby.server.as_ref().is_some_and(|s| !s.falls_short);
        (serves && right && replays).then_some(receiver.from)
    }
}
