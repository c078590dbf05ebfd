//! S27: a planned switchover whose leader stopped cleanly loses no commit, asynchronous mode included: the key
//! is freed only when the chosen member holds the shutdown checkpoint, which is the last record of the old
//! leader's WAL. Rests on A3, A4, A5.

use super::Invariant;
use super::assumptions::Assumption;
use crate::marks::Mark;
use crate::pg::wal::Position;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::postgres::DbState;

/// A leader gave its key away after a clean stop.
#[derive(Clone, Copy, Debug)]
pub struct HandedOver {
    pub by: Seat,
    pub end: Position,
}

impl World {
    /// The leader key changed from `before` to `after`: was it given away on request?
    pub(crate) fn note_release(
        &mut self,
        by: Option<Seat>,
        before: Option<&str>,
        after: Option<&str>,
    ) {
        let Some(by) = by.filter(|_| after.is_none()) else {
            return;
        };
        if before != Some(self.name(by).as_str()) {
            return;
        }
        let pg = &self.pgs[by.index()];
        let planned = self
            .store
            .get("failover")
            .is_some_and(|kv| kv.value.contains("leader"));
        let clean = pg.server.is_none() && pg.dir.control.state == DbState::ShutDown;
        let end = pg.dir.wal;
        self.oracle.evidence.handed_over = (planned && clean).then_some(HandedOver { by, end });
        if planned && clean {
            self.mark(Mark::OrderlyHandOver);
        }
    }

    /// `seat` has been promoted.
    pub(crate) fn check_switchover(&mut self, seat: Seat) {
        let now = self.now();
        let Some(handed) = self.oracle.evidence.handed_over.take() else {
            return;
        };
        let sound = [
            Assumption::Store,
            Assumption::FreeRun,
            Assumption::DurableDisks,
        ];
        if !self.oracle.assumptions.hold(&sound) || handed.by == seat {
            return self.oracle.set_aside(Invariant::SwitchoverLosesNothing);
        }
        let end = self.pgs[seat.index()].dir.wal;
        let verdict = match self.wal.is_prefix(handed.end, end) {
            true => Ok(()),
            false => Err(format!(
                "{} handed over at {} and {} lacks its end",
                self.name(handed.by),
                handed.end.lsn,
                self.name(seat)
            )),
        };
        self.oracle
            .judge(Invariant::SwitchoverLosesNothing, now, verdict);
    }
}
