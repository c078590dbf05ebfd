//! S27: a planned switchover whose leader stopped cleanly loses no commit, asynchronous mode included: the key
//! is freed only when the chosen member holds the shutdown checkpoint, which is the last record of the old
//! leader's WAL. An agent that is asked to end hands over to nobody in particular. Rests on A3, A4, A5. Promised for as long
//! as who lacks the end leaves the race to those who have it: later it may be that none of them comes back. That nobody
//! throws it away is promised for ever.

use super::Invariant;
use super::assumptions::Assumption;
use crate::marks::Mark;
use crate::moment::Moment;
use crate::pg::wal::Position;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::iso::parse_iso;
use tanist_core::keys::FailoverKey;
use tanist_core::postgres::DbState;
use tanist_core::time::Span;

/// A leader gave its key away after a clean stop.
#[derive(Clone, Debug)]
pub struct HandedOver {
    pub by: Seat,
    pub end: Position,
    /// When the key was last free: the candidate may have taken it and lost it again.
    pub free_since: Moment,
    /// Who had the end then.
    pub held_by: Vec<Seat>,
}

/// 12 s by the clock of whoever waits, which may be a little fast.
const PRECEDENCE: Span = Span::millis(11_900);

impl World {
    /// The leader key changed from `before` to `after`: was it given away on request?
    pub(crate) fn note_release(
        &mut self,
        by: Option<Seat>,
        before: Option<&str>,
        after: Option<&str>,
    ) {
        let now = self.now();
        let late = match (&mut self.oracle.evidence.handed_over, after) {
            (Some(handed), None) => {
                handed.free_since = now;
                false
            }
            (Some(handed), Some(_)) => {
                let late = now.since(handed.free_since) >= PRECEDENCE;
                let handed = handed.clone();
                late && handed
                    .held_by
                    .iter()
                    .all(|seat| self.holds(*seat, handed.end))
            }
            (None, _) => false,
        };
        if late {
            self.oracle.evidence.handed_over = None;
            return self.oracle.set_aside(Invariant::SwitchoverLosesNothing);
        }
        let Some(by) = by.filter(|_| after.is_none()) else {
            return;
        };
        if before != Some(self.name(by).as_str()) {
            return;
        }
        let pg = &self.pgs[by.index()];
        let agent = self.hosts[by.index()].agent.as_ref();
        let ends = agent.is_some_and(|a| a.agent.tanist().is_some_and(|t| t.is_ending()));
        let planned = self.switchover_is_due(by) && !ends;
        let clean = pg.server.is_none() && pg.dir.control.state == DbState::ShutDown;
        let end = pg.dir.wal;
        self.oracle.evidence.handed_over = (planned && clean).then_some(HandedOver {
            by,
            end,
            free_since: now,
            held_by: self.who_holds(end),
        });
        if planned && clean {
            self.mark(Mark::OrderlyHandOver);
        }
    }

    fn who_holds(&self, end: Position) -> Vec<Seat> {
        let everybody = (0..self.pgs.len() as u8).map(Seat);
        everybody.filter(|seat| self.holds(*seat, end)).collect()
    }

    fn holds(&self, seat: Seat, end: Position) -> bool {
        let dir = &self.pgs[seat.index()].dir;
        dir.is_whole() && self.wal.is_prefix(end, dir.wal)
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
        let chosen = |holder: &Seat| *holder != handed.by && *holder != seat;
        // The giver saw to it that somebody has the end, and a Patroni was faster.
        let overtaken = self.is_patroni(seat) && handed.held_by.iter().any(chosen);
        let by_patroni = self.is_patroni(handed.by) || overtaken;
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
