//! S02: a promotion begins only on a member whose leader key the store confirmed, bound to this very
//! process's session, with its authority still ahead.
//!
//! Judged against the store's own state at the instant of the effect: the name alone proves nothing, since
//! an earlier life or a namesake may have written it. Rests on A3 and A4.

use super::Invariant;
use super::assumptions::Assumption;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::name::Term;

impl World {
    pub(crate) fn check_promote_needs_key(&mut self, seat: Seat, term: Option<Term>) {
        let now = self.now();
        let sound = [Assumption::Clocks, Assumption::Store, Assumption::FreeRun];
        if !self.oracle.assumptions.hold(&sound) {
            return self.oracle.set_aside(Invariant::PromoteNeedsKey);
        }
        let verdict = self.may_promote(seat, term);
        self.oracle.judge(Invariant::PromoteNeedsKey, now, verdict);
    }

    fn may_promote(&self, seat: Seat, term: Option<Term>) -> Result<(), String> {
        let name = self.name(seat);
        let Some(key) = self.store.get("leader") else {
            return Err(format!("{name} promotes without a leader key in the store"));
        };
        if key.value != self.goes_by(seat).0 {
            return Err(format!(
                "{name} promotes while the leader key is {}'s",
                key.value
            ));
        }
        if !self.hosts[seat.index()].holds_lease(key.lease) {
            return Err(format!("{name} promotes on a key bound to another session"));
        }
        if term != Some(Term(key.created.0)) {
            return Err(format!("{name} promotes for another tenure than the key's"));
        }
        let deadline = self.oracle.evidence.deadlines.get(&seat);
        if deadline.is_none_or(|deadline| *deadline <= self.host_now(seat).mono) {
            return Err(format!("{name} promotes past its deadline"));
        }
        Ok(())
    }
}
