//! S12, as it is written down: once all is well the cluster's record of promotions is the line of its leader, fork by fork,
//! and names who opened each timeline. Members go by it: who is behind it does not lead, and two timelines of one number
//! are told apart by their openers. Rests on A3, A4. A Patroni that leads writes it by its own rules.

use super::Invariant;
use super::assumptions::Assumption;
use crate::pg::instance::DataDir;
use crate::pg::wal::BranchId;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::keys::HistoryKey;

impl World {
    pub(crate) fn note_opener(&mut self, seat: Seat, branch: BranchId) {
        self.oracle.evidence.openers.insert(branch, seat);
    }

    pub(crate) fn check_record(&mut self) {
        let (now, verdict) = (self.now(), self.record());
        self.oracle.judge(Invariant::TimelinesGrow, now, verdict);
    }

    pub(crate) fn record(&self) -> Result<(), String> {
        let sound = [Assumption::Store, Assumption::FreeRun];
        let leader = self.leader_seat().filter(|seat| !self.is_patroni(*seat));
        match leader {
            Some(leader) if self.oracle.assumptions.hold(&sound) && !self.is_misnamed() => {
                self.record_of(leader)
            }
            _ => Ok(()),
        }
    }

    /// Its WAL leaves a timeline where the record has it otherwise.
    pub(crate) fn leaves_the_record(&self, dir: &DataDir) -> bool {
        let stored = self.store.get("history").map(|kv| kv.value.as_str());
        let line = self.wal.history(dir.wal.branch);
        let rows = stored.and_then(HistoryKey::parse).map(|record| record.rows);
        rows.into_iter().flatten().any(|row| {
            let left = line.end_of(row.timeline);
            left.is_some_and(|at| at != row.end)
        })
    }

    fn record_of(&self, leader: Seat) -> Result<(), String> {
        let branch = self.pgs[leader.index()].dir.wal.branch;
        let line = self.wal.history(branch);
        let stored = self.store.get("history").map(|kv| kv.value.as_str());
        let record = stored.and_then(HistoryKey::parse);
        let Some(record) = record.filter(|r| !r.rows.is_empty()) else {
            return match line.forks.is_empty() {
                true => Ok(()),
                false => Err("the record of promotions is gone".to_string()),
            };
        };
        // The oldest rows are left out where there are too many.
        let forks = line.forks.iter().rev();
        let rows = record.rows.iter().rev();
        for (row, fork) in rows.clone().zip(forks) {
            if (row.timeline, row.end) != (fork.parent, fork.end) {
                let told = format!("timeline {} ended at {}", row.timeline, row.end);
                return Err(format!(
                    "the record has it that {told}, where the leader has it for {} at {}",
                    fork.parent, fork.end
                ));
            }
        }
        let opener = self.oracle.evidence.openers.get(&branch);
        let opener = opener.map(|seat| self.name(*seat));
        let named = rows.clone().next().and_then(|row| row.new_leader.clone());
        match record.rows.len() > line.forks.len() {
            true => Err("the record has more promotions than the leader's line".to_string()),
            false if named.is_some() && opener.is_some() && named != opener => Err(format!(
                "the record has it that {named:?} opened the leader's timeline, which {opener:?} did"
            )),
            false => Ok(()),
        }
    }
}
