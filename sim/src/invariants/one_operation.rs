//! S23: at most one operation holds a member's data directory, and one that needs the leader key carries the
//! tenure for which it was begun. A rewind beside a start, or a promotion of a tenure that has ended, is how
//! directories and histories are torn.

use super::Invariant;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::name::Term;
use tanist_core::postgres::Operation;

impl World {
    pub(crate) fn check_one_operation(
        &mut self,
        seat: Seat,
        operation: &Operation,
        term: Option<Term>,
    ) {
        let now = self.now();
        let name = self.name(seat);
        let held = self.hosts[seat.index()]
            .agent
            .as_ref()
            .and_then(|agent| agent.lane.as_ref());
        let verdict = match (held, operation, term) {
            (Some(lane), _, _) => {
                let (new, old) = (operation.verb(), lane.operation.verb());
                Err(format!(
                    "{name} begins a {new} while its {old} is under way"
                ))
            }
            (None, Operation::Promote { .. }, None) => {
                Err(format!("{name} promotes without a tenure"))
            }
            (None, _, _) => Ok(()),
        };
        self.oracle.judge(Invariant::OneOperation, now, verdict);
    }

    /// An agent begins an operation: everything that is judged at that instant.
    pub(crate) fn watch_operation(
        &mut self,
        seat: Seat,
        operation: &Operation,
        term: Option<Term>,
    ) {
        if self.is_patroni(seat) {
            return;
        }
        self.check_one_operation(seat, operation, term);
        self.check_pause(seat, operation);
        self.check_streams_on(seat, operation);
        self.check_revisions_grow(seat);
        if let Operation::Promote { .. } = operation {
            self.check_promote_needs_key(seat, term);
            self.check_nofailover(seat);
            self.check_async_loss(seat);
        }
    }
}
