//! S10: a member tagged `nofailover`, or with a failover priority of zero or less, is never promoted
//! automatically. Rests on A4: an operator may force it. A member that leads already, or founds the cluster,
//! was not chosen.

use super::Invariant;
use super::assumptions::Assumption;
use crate::wire::Seat;
use crate::world::World;

impl World {
    pub(crate) fn check_nofailover(&mut self, seat: Seat) {
        let now = self.now();
        if !self.oracle.assumptions.hold(&[Assumption::FreeRun]) {
            return self.oracle.set_aside(Invariant::NofailoverNeverChosen);
        }
        let member = &self.shape.members[seat.index()];
        let barred = member.nofailover || member.failover_priority.is_some_and(|p| p <= 0);
        let verdict = match barred {
            true => Err(format!("{} must never be chosen and promotes", member.name)),
            false => Ok(()),
        };
        self.oracle
            .judge(Invariant::NofailoverNeverChosen, now, verdict);
    }
}
