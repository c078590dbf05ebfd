//! All WAL of the whole world, as records on a tree of branches: who holds what, what is a prefix of what.
//! Knows nothing of servers; a server's WAL is a position in this tree.
//!
//! A branch is one uninterrupted line of writing. Its timeline number is only a label: two promotions that
//! never heard of each other make two branches with one number, and so does a server that is started as a
//! primary from a copy, or that crashed and writes again from an earlier position.

use crate::pg::limits::{Change, Limits};
use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;
use tanist_core::postgres::SystemId;
use tanist_core::timeline::{Fork, TimelineHistory, TimelineId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BranchId(pub u32);

/// An end of WAL: everything on the way from the root to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub branch: BranchId,
    pub lsn: Lsn,
}

/// Number of a commit of the application, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitId(pub u64);

#[derive(Clone, Debug)]
struct Branch {
    /// Index into `systems`: which initdb it all began with.
    system: u32,
    parent: Option<Position>,
    /// Its history file: forks by promotion only.
    history: TimelineHistory,
    /// First position and end of what was inserted, by whichever server writes here.
    start: Lsn,
    end: Lsn,
    /// Ends of records and the hash of everything up to there.
    records: Vec<(Lsn, u64)>,
}

#[derive(Clone, Debug, Default)]
pub struct Wal {
    systems: Vec<SystemId>,
    branches: Vec<Branch>,
    /// Where each commit ends.
    commits: BTreeMap<CommitId, Position>,
    /// Records of changed settings, in the order of their writing.
    limits: Vec<Change>,
    /// Checkpoint records, in the order of their writing: the begin of each, and its end.
    checkpoints: Vec<(Lsn, Position)>,
}

/// What the control file keeps of a checkpoint: where its record begins, and on which timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub begins: Lsn,
    pub timeline: TimelineId,
}

/// Length of a checkpoint record. The control file names the record's *start*; WAL ends after it.
pub const CHECKPOINT_BYTES: u64 = 120;

/// Where initdb leaves the insert position.
const AFTER_INITDB: Lsn = Lsn(0x0150_0000);

impl Wal {
    /// A new cluster: a root of its own.
    pub fn initdb(&mut self, system: SystemId) -> Position {
        let hash = mix(0, AFTER_INITDB.0 ^ self.systems.len() as u64);
        self.systems.push(system);
        let end = self.add(Branch {
            system: self.systems.len() as u32 - 1,
            parent: None,
            history: TimelineHistory::bare(TimelineId(1)),
            start: AFTER_INITDB,
            end: AFTER_INITDB,
            records: vec![(AFTER_INITDB, hash)],
        });
        let begins = Lsn(end.lsn.0 - CHECKPOINT_BYTES);
        self.checkpoints.push((begins, end));
        end
    }

    fn add(&mut self, branch: Branch) -> Position {
        let lsn = branch.start;
        self.branches.push(branch);
        Position {
            branch: BranchId(self.branches.len() as u32 - 1),
            lsn,
        }
    }

    fn branch(&self, id: BranchId) -> &Branch {
        &self.branches[id.0 as usize]
    }

    /// Writes one record after `at` and returns its end. If others' records are there already, the writer
    /// has left their line: a new branch begins under the same timeline number.
    pub fn append(&mut self, at: Position, bytes: u64, commit: Option<CommitId>) -> Position {
        let at = if self.branch(at.branch).end == at.lsn {
            at
        } else {
            self.split(at)
        };
        let salt = commit.map_or(u64::from(at.branch.0) << 32, |id| id.0);
        let branch = &mut self.branches[at.branch.0 as usize];
        let end = Lsn(at.lsn.0 + bytes.max(1));
        let before = branch.records.last().map_or(0, |(_, hash)| *hash);
        branch.records.push((end, mix(before, salt ^ end.0)));
        branch.end = end;
        let written = Position {
            branch: at.branch,
            lsn: end,
        };
        if let Some(id) = commit {
            self.commits.insert(id, written);
        }
        written
    }

    /// Writes a checkpoint record after `at` and returns its end.
    pub fn checkpoint(&mut self, at: Position) -> Position {
        let end = self.append(at, CHECKPOINT_BYTES, None);
        self.checkpoints.push((at.lsn, end));
        end
    }

    /// The newest checkpoint whose record is wholly within the WAL that ends at `upto`.
    pub fn last_checkpoint(&self, upto: Position) -> Option<Checkpoint> {
        let within = |(_, end): &&(Lsn, Position)| self.is_prefix(*end, upto);
        let (begins, end) = *self.checkpoints.iter().rev().find(within)?;
        let timeline = self.timeline(end.branch);
        Some(Checkpoint { begins, timeline })
    }

    /// Where that one's record ends.
    pub fn last_checkpoint_end(&self, upto: Position) -> Option<Lsn> {
        let within = |(_, end): &&(Lsn, Position)| self.is_prefix(*end, upto);
        let last = self.checkpoints.iter().rev().find(within);
        last.map(|(_, end)| end.lsn)
    }

    /// The same timeline number goes on from `at` with other content.
    fn split(&mut self, at: Position) -> Position {
        let hash = self.hash_at(at);
        let from = self.branch(at.branch);
        let (system, history) = (from.system, from.history.clone());
        let records = vec![(at.lsn, hash)];
        self.add(Branch {
            system,
            parent: Some(at),
            history,
            start: at.lsn,
            end: at.lsn,
            records,
        })
    }

    /// A promotion: timeline `timeline` begins at `at`.
    pub fn promote(&mut self, at: Position, timeline: TimelineId) -> Position {
        let hash = self.hash_at(at);
        let from = self.branch(at.branch);
        let mut history = from.history.clone();
        let parent = history.timeline;
        history.forks.push(Fork {
            parent,
            end: at.lsn,
            reason: "no recovery target specified".to_string(),
        });
        history.timeline = timeline;
        let system = from.system;
        let records = vec![(at.lsn, hash)];
        self.add(Branch {
            system,
            parent: Some(at),
            history,
            start: at.lsn,
            end: at.lsn,
            records,
        })
    }

    /// A record of changed settings, from `begins` to `end`.
    pub fn note_limits(&mut self, begins: Lsn, end: Position, limits: Limits) {
        self.limits.push(Change {
            begins,
            end,
            limits,
        });
    }

    /// Those that end behind `from`, in the WAL that ends at `upto`.
    pub fn limits_between(&self, from: Lsn, upto: Position) -> Vec<Change> {
        let news = self.limits.iter().filter(|change| change.end.lsn > from);
        let of_this = news.filter(|change| self.is_prefix(change.end, upto));
        of_this.copied().collect()
    }

    /// Where the branch begins, on the branch itself.
    pub fn start_of(&self, branch: BranchId) -> Position {
        let lsn = self.branch(branch).start;
        Position { branch, lsn }
    }

    pub fn timeline(&self, branch: BranchId) -> TimelineId {
        self.branch(branch).history.timeline
    }
    pub fn history(&self, branch: BranchId) -> &TimelineHistory {
        &self.branch(branch).history
    }
    pub fn system(&self, branch: BranchId) -> &SystemId {
        &self.systems[self.branch(branch).system as usize]
    }

    /// Hash of all content up to `at`: equal for two servers only if their WAL up to there is the same.
    pub fn hash_at(&self, at: Position) -> u64 {
        let branch = self.branch(at.branch);
        if at.lsn < branch.start
            && let Some(parent) = branch.parent
        {
            let lsn = at.lsn.min(parent.lsn);
            return self.hash_at(Position {
                branch: parent.branch,
                lsn,
            });
        }
        let upto = branch.records.partition_point(|(end, _)| *end <= at.lsn);
        upto.checked_sub(1).map_or(0, |last| branch.records[last].1)
    }

    /// Is everything up to `a` also in the WAL that ends at `b`?
    pub fn is_prefix(&self, a: Position, b: Position) -> bool {
        let a = self.written_at(a);
        let mut b = b;
        loop {
            if a.branch == b.branch {
                return a.lsn <= b.lsn;
            }
            let branch = self.branch(b.branch);
            match branch.parent {
                Some(parent) => {
                    b = Position {
                        branch: parent.branch,
                        lsn: parent.lsn.min(b.lsn),
                    }
                }
                None => return false,
            }
        }
    }

    /// Where nothing follows yet of what a crash made another branch of, there is but the branch that it came from.
    fn written_at(&self, end: Position) -> Position {
        let mut at = end;
        while let Some(parent) = self.branch(at.branch).parent
            && at.lsn <= parent.lsn
            && self.timeline(parent.branch) == self.timeline(at.branch)
        {
            at.branch = parent.branch;
        }
        at
    }

    /// The last position that both share. `None`: they come from different clusters.
    pub fn common(&self, a: Position, b: Position) -> Option<Position> {
        let mut at = a;
        loop {
            let mut other = b;
            loop {
                if other.branch == at.branch {
                    let lsn = at.lsn.min(other.lsn);
                    return Some(Position {
                        branch: at.branch,
                        lsn,
                    });
                }
                match self.branch(other.branch).parent {
                    Some(p) => {
                        other = Position {
                            branch: p.branch,
                            lsn: p.lsn.min(other.lsn),
                        }
                    }
                    None => break,
                }
            }
            let parent = self.branch(at.branch).parent?;
            at = Position {
                branch: parent.branch,
                lsn: parent.lsn.min(at.lsn),
            };
        }
    }

    /// The part of the WAL that ends at `end` up to `lsn`.
    pub fn cut_at(&self, end: Position, lsn: Lsn) -> Position {
        let mut at = Position {
            branch: end.branch,
            lsn: end.lsn.min(lsn),
        };
        while at.lsn < self.branch(at.branch).start {
            match self.branch(at.branch).parent {
                Some(parent) => at.branch = parent.branch,
                None => break,
            }
        }
        at
    }

    pub fn has_commit(&self, id: CommitId, end: Position) -> bool {
        self.commits
            .get(&id)
            .is_some_and(|at| self.is_prefix(*at, end))
    }
    pub fn commits_written(&self) -> u64 {
        self.commits.len() as u64
    }
    pub fn branches(&self) -> u32 {
        self.branches.len() as u32
    }
}

fn mix(a: u64, b: u64) -> u64 {
    let x = (a ^ b.rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> (Wal, Position) {
        let mut wal = Wal::default();
        let root = wal.initdb(SystemId("1".into()));
        (wal, root)
    }

    #[test]
    fn a_standby_that_stopped_early_is_a_prefix_and_lacks_the_later_commit() {
        let (mut wal, root) = cluster();
        let early = wal.append(root, 100, Some(CommitId(1)));
        let late = wal.append(early, 100, Some(CommitId(2)));
        assert!(wal.is_prefix(early, late) && !wal.is_prefix(late, early));
        assert!(wal.has_commit(CommitId(1), early) && !wal.has_commit(CommitId(2), early));
    }

    #[test]
    fn a_promotion_forks_and_the_old_tail_is_on_another_branch() {
        let (mut wal, root) = cluster();
        let forked_at = wal.append(root, 100, Some(CommitId(1)));
        let tail = wal.append(forked_at, 100, Some(CommitId(2)));
        let new = wal.promote(forked_at, TimelineId(2));
        let new = wal.append(new, 100, Some(CommitId(3)));
        assert!(!wal.is_prefix(tail, new));
        assert_eq!(wal.common(tail, new), Some(forked_at));
        assert_eq!(
            wal.history(new.branch).end_of(TimelineId(1)),
            Some(forked_at.lsn)
        );
        assert!(wal.has_commit(CommitId(1), new) && !wal.has_commit(CommitId(2), new));
        assert_ne!(wal.hash_at(tail), wal.hash_at(new));
    }

    #[test]
    fn two_promotions_from_one_place_share_a_number_and_nothing_else() {
        let (mut wal, root) = cluster();
        let one = wal.promote(root, TimelineId(2));
        let one = wal.append(one, 50, None);
        let two = wal.promote(root, TimelineId(2));
        let two = wal.append(two, 50, None);
        assert_eq!(wal.timeline(one.branch), wal.timeline(two.branch));
        assert_eq!(one.lsn, two.lsn);
        assert_ne!(wal.hash_at(one), wal.hash_at(two));
        assert_eq!(wal.common(one, two), Some(root));
    }

    #[test]
    fn a_copy_started_as_primary_splits_its_timeline_without_a_new_number() {
        let (mut wal, root) = cluster();
        let original = wal.append(root, 100, Some(CommitId(1)));
        let copy = wal.append(root, 100, Some(CommitId(2)));
        assert_eq!(wal.timeline(copy.branch), TimelineId(1));
        assert!(!wal.is_prefix(copy, original) && !wal.is_prefix(original, copy));
        assert!(wal.is_prefix(wal.cut_at(copy, root.lsn), original));
        assert_ne!(wal.hash_at(copy), wal.hash_at(original));
    }

    #[test]
    fn content_up_to_a_common_position_hashes_alike_on_every_branch() {
        let (mut wal, root) = cluster();
        let at = wal.append(root, 100, None);
        let new = wal.promote(at, TimelineId(2));
        let new = wal.append(new, 10, None);
        assert_eq!(wal.hash_at(wal.cut_at(new, at.lsn)), wal.hash_at(at));
    }

    #[test]
    fn different_clusters_share_nothing() {
        let (mut wal, one) = cluster();
        let other = wal.initdb(SystemId("2".into()));
        assert_eq!(wal.common(one, other), None);
        assert_ne!(wal.hash_at(one), wal.hash_at(other));
    }
}
