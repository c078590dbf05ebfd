//! S16: no data directory is discarded while its member owns the leader key, and none that is whole is
//! discarded unless another whole copy of the same cluster exists. Rests on A5 and A6.

use super::Invariant;
use super::assumptions::Assumption;
use crate::wire::Seat;
use crate::world::World;

impl World {
    pub(crate) fn check_discard(&mut self, seat: Seat) {
        let now = self.now();
        let sound = [
            Assumption::DurableDisks,
            Assumption::FaultCount,
            Assumption::Store,
        ];
        // What a Patroni spoils by following a timeline of its own number, it shows to nobody.
        let leader = self.leader_seat().filter(|leader| self.is_patroni(*leader));
        let spoilt = leader.is_some_and(|leader| self.pgs[leader.index()].dir.corrupted_by_patroni);
        if spoilt || self.is_patroni(seat) || !self.oracle.assumptions.hold(&sound) {
            return self.oracle.set_aside(Invariant::LastCopyKept);
        }
        let verdict = self.may_discard(seat);
        self.oracle.judge(Invariant::LastCopyKept, now, verdict);
    }

    fn may_discard(&self, seat: Seat) -> Result<(), String> {
        let mine = &self.pgs[seat.index()].dir;
        // A founding that failed before the system identifier was written leaves nothing that anybody joined.
        if !mine.is_whole() || self.oracle.evidence.founded_as.is_none() {
            return Ok(());
        }
        if self.leader_seat() == Some(seat) {
            return Err(format!(
                "{} owns the leader key and discards its data",
                self.name(seat)
            ));
        }
        let system = self.wal.system(mine.wal.branch);
        // Another system's: made by a founder that stood still while another member founded the cluster.
        if self.oracle.evidence.founded_as.as_ref() != Some(&system.0) {
            return Ok(());
        }
        let another = self.pgs.iter().enumerate().any(|(at, pg)| {
            at != seat.index()
                && pg.dir.is_good_copy()
                && self.wal.system(pg.dir.wal.branch) == system
        });
        match another {
            true => Ok(()),
            false => Err(format!(
                "{} discards the last copy of the cluster",
                self.name(seat)
            )),
        }
    }
}
