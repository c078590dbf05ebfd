//! S27: a planned switchover whose leader stopped cleanly loses no commit, asynchronous mode included: the key
//! is freed only when the chosen member holds the shutdown checkpoint, which is the last record of the old
//! leader's WAL. An agent that is asked to end hands over to nobody in particular. Rests on A3, A4, A5.

use super::Invariant;
use super::assumptions::Assumption;
use crate::host::Wanted;
use crate::marks::Mark;
use crate::pg::wal::Position;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::iso::parse_iso;
use tanist_core::keys::FailoverKey;
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
        let planned = self.switchover_is_due(by) && self.hosts[by.index()].wanted == Wanted::Up;
        let clean = pg.server.is_none() && pg.dir.control.state == DbState::ShutDown;
        let end = pg.dir.wal;
        self.oracle.evidence.handed_over = (planned && clean).then_some(HandedOver { by, end });
        if planned && clean {
            self.mark(Mark::OrderlyHandOver);
        }
    }

    /// Is a switchover asked for, for now? One for later says nothing of a release before its time.
    fn switchover_is_due(&self, seat: Seat) -> bool {
        let request = self.store.get("failover");
        let Some(request) = request.and_then(|kv| FailoverKey::parse(&kv.value)) else {
            return false;
        };
        let now = self.host_now(seat).wall;
        let due = |at: &str| parse_iso(at).is_some_and(|at| at <= now);
        // One that another leader was asked for is history.
        let mine = request
            .leader
            .is_some_and(|leader| leader == self.name(seat));
        mine && request.scheduled_at.as_deref().is_none_or(due)
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
        let by_patroni = self.is_patroni(handed.by);
        if by_patroni || !self.oracle.assumptions.hold(&sound) || handed.by == seat {
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
