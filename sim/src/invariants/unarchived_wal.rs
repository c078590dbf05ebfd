//! S16, of WAL: a rewind overwrites no segment that its archive would have taken. Nobody else may have it any more: others
//! received it, and have recycled it since.

use super::Invariant;
use crate::wire::Seat;
use crate::world::World;

impl World {
    /// A rewind replaces `seat`'s WAL: what waited for an archive that took it is there by now.
    pub(crate) fn check_unarchived(&mut self, seat: Seat) {
        if self.is_patroni(seat) {
            return self.oracle.set_aside(Invariant::LastCopyKept);
        }
        let now = self.now();
        let lane = self.hosts[seat.index()].agent.as_ref();
        let took = lane.and_then(|agent| agent.lane.as_ref());
        let took = took.is_some_and(|lane| lane.archive_takes);
        let verdict = match self.archivable(seat).filter(|_| took) {
            None => Ok(()),
            Some(segment) => Err(format!(
                "{} loses WAL from {} to {} that no archive has",
                self.name(seat),
                segment.from,
                segment.upto.lsn
            )),
        };
        self.oracle.judge(Invariant::LastCopyKept, now, verdict);
    }
}
