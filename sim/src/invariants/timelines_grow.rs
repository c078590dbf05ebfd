//! S12: a new timeline is greater than every timeline recorded in the store's history, and the recorded one
//! never goes back. A second timeline under an old number would overwrite the history of the first in every
//! archive. Rests on A3 and A4.

use super::Invariant;
use super::assumptions::Assumption;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::keys::HistoryKey;
use tanist_core::timeline::TimelineId;

impl World {
    pub(crate) fn check_timelines_grow(&mut self, seat: Seat, new: TimelineId) {
        let now = self.now();
        let sound = [Assumption::Store, Assumption::FreeRun];
        if self.is_patroni(seat) || !self.oracle.assumptions.hold(&sound) {
            return self.oracle.set_aside(Invariant::TimelinesGrow);
        }
        let history = self
            .store
            .get("history")
            .and_then(|kv| HistoryKey::parse(&kv.value));
        // Each line names a timeline that has ended: its child is at least one greater.
        let recorded = history.and_then(|h| h.rows.iter().map(|row| row.timeline).max());
        let verdict = match recorded {
            Some(ended) if new <= ended => Err(format!(
                "{} opened timeline {new} though {ended} had ended before",
                self.name(seat)
            )),
            Some(_) | None => Ok(()),
        };
        self.oracle.judge(Invariant::TimelinesGrow, now, verdict);
    }
}
