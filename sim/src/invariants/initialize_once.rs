//! S17: the `initialize` key is written once in a cluster's life, and nobody with another system identifier
//! takes the leader key. A second initdb under the same scope would make every other member throw away its
//! data for an empty cluster. Rests on A3 (wiping the store makes a new life) and A4.

use super::Invariant;
use super::assumptions::Assumption;
use crate::marks::Mark;
use crate::store::Change;
use crate::world::World;

impl World {
    pub(crate) fn check_initialize(&mut self, change: &Change) {
        let now = self.now();
        let Some(value) = change.keys.get("initialize") else {
            return;
        };
        if !self.oracle.assumptions.hold(&[Assumption::Store]) {
            return self.oracle.set_aside(Invariant::InitializeOnce);
        }
        let value = value
            .as_ref()
            .map(|kv| kv.value.clone())
            .unwrap_or_default();
        let verdict = match &self.oracle.evidence.founded_as {
            Some(founded) if *founded != value => Err(format!(
                "the cluster {founded} was founded anew as {value:?}"
            )),
            Some(_) | None => Ok(()),
        };
        if !value.is_empty() && self.oracle.evidence.founded_as.is_none() {
            self.oracle.evidence.founded_as = Some(value);
            self.mark(Mark::ClusterFounded);
        }
        self.oracle.judge(Invariant::InitializeOnce, now, verdict);
    }

    pub(crate) fn check_owner_system(&mut self) {
        let now = self.now();
        let (Some(seat), Some(founded)) =
            (self.leader_seat(), self.oracle.evidence.founded_as.clone())
        else {
            return;
        };
        let dir = &self.pgs[seat.index()].dir;
        if !dir.is_whole() || !self.oracle.assumptions.hold(&[Assumption::Store]) {
            return self.oracle.set_aside(Invariant::InitializeOnce);
        }
        let own = self.wal.system(dir.wal.branch).0.clone();
        let verdict = match own == founded {
            true => Ok(()),
            false => Err(format!(
                "{} of system {own} leads {founded}",
                self.name(seat)
            )),
        };
        self.oracle.judge(Invariant::InitializeOnce, now, verdict);
    }
}
