//! Judges what the clients saw: did two nodes ever commit at the same time, and which acknowledged rows
//! are gone. Knows nothing of connections or processes.

use super::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A commit that a client saw confirmed. It happened somewhere between `sent` and `acked`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub node: String,
    pub timeline: u32,
    pub sent: Stamp,
    pub acked: Stamp,
}

/// A commit that began on a node after another node had already confirmed one on a newer timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    pub old: Commit,
    pub new: Commit,
    /// From the first commit of the new to the last of the old.
    pub lasted: Duration,
}

/// All pairs of nodes that committed beside each other, worst commit of each.
///
/// A commit's instant is known only as an interval, so what is reported is certain: the old node's
/// request was sent after the new node's answer had come. Timelines tell which is the newer; two nodes
/// with the *same* timeline number overlap if each began a commit after the other had confirmed one.
pub fn overlaps(commits: &[Commit]) -> Vec<Overlap> {
    let mut tenures: BTreeMap<(u32, &str), Tenure<'_>> = BTreeMap::new();
    for commit in commits {
        tenures
            .entry((commit.timeline, &commit.node))
            .and_modify(|tenure| tenure.take(commit))
            .or_insert(Tenure {
                first_acked: commit,
                last_sent: commit,
            });
    }
    let tenures: Vec<_> = tenures.into_iter().collect();
    let mut found = Vec::new();
    for (i, ((old_timeline, old_node), old)) in tenures.iter().enumerate() {
        for ((timeline, node), new) in &tenures[i + 1..] {
            let forward = old.last_sent.sent > new.first_acked.acked;
            let backward = new.last_sent.sent > old.first_acked.acked;
            let beside = old_node != node && forward && (timeline > old_timeline || backward);
            if beside {
                found.push(Overlap {
                    old: old.last_sent.clone(),
                    new: new.first_acked.clone(),
                    lasted: old.last_sent.sent.since(new.first_acked.acked),
                });
            }
        }
    }
    found
}

struct Tenure<'a> {
    first_acked: &'a Commit,
    last_sent: &'a Commit,
}

impl<'a> Tenure<'a> {
    fn take(&mut self, commit: &'a Commit) {
        if commit.acked < self.first_acked.acked {
            self.first_acked = commit;
        }
        if commit.sent > self.last_sent.sent {
            self.last_sent = commit;
        }
    }
}

/// A row that the writer was told is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub id: u64,
    pub node: String,
    pub timeline: u32,
    /// WAL position at the insert.
    pub lsn: u64,
    pub acked: Stamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Acknowledged, and not in the table.
    pub lost: Vec<Acknowledged>,
    /// More than once in the table.
    pub duplicated: Vec<u64>,
    /// In the table though the writer never learned so.
    pub unacknowledged: usize,
}

/// Compares what the writer was told with what the last primary holds.
pub fn rows(acknowledged: &[Acknowledged], held: &[u64]) -> Rows {
    let mut seen = BTreeSet::new();
    let duplicated = held
        .iter()
        .copied()
        .filter(|id| !seen.insert(*id))
        .collect();
    let told: BTreeSet<u64> = acknowledged.iter().map(|row| row.id).collect();
    Rows {
        lost: acknowledged
            .iter()
            .filter(|row| !seen.contains(&row.id))
            .cloned()
            .collect(),
        duplicated,
        unacknowledged: seen.difference(&told).count(),
    }
}

/// The documented bound of an asynchronous cluster: a failover may lose what was written after the
/// position last published, less `maximum_lag_on_failover`; nothing before that.
pub fn beyond_bound(
    lost: &[Acknowledged],
    published: u64,
    lag_bytes_max: u64,
) -> Vec<&Acknowledged> {
    let kept = published.saturating_sub(lag_bytes_max);
    lost.iter().filter(|row| row.lsn < kept).collect()
}

/// The longest pause between two acknowledged rows that ended after `from`.
pub fn outage(acknowledged: &[Acknowledged], from: Stamp) -> Duration {
    let pairs = acknowledged.windows(2).filter(|pair| pair[1].acked > from);
    pairs
        .map(|pair| pair[1].acked.since(pair[0].acked))
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(node: &str, timeline: u32, sent: i64, acked: i64) -> Commit {
        Commit {
            node: node.into(),
            timeline,
            sent: Stamp(sent),
            acked: Stamp(acked),
        }
    }

    #[test]
    fn two_nodes_overlap_only_if_the_old_began_after_the_new_confirmed() {
        let cases = [
            (
                "one after the other",
                vec![commit("a", 1, 0, 1), commit("b", 2, 2, 3)],
                0,
            ),
            (
                "and back",
                vec![
                    commit("a", 1, 0, 1),
                    commit("b", 2, 2, 3),
                    commit("a", 3, 4, 5),
                ],
                0,
            ),
            (
                "in doubt",
                vec![commit("a", 1, 1, 9), commit("b", 2, 2, 3)],
                0,
            ),
            (
                "beside",
                vec![
                    commit("a", 1, 0, 1),
                    commit("b", 2, 2, 3),
                    commit("a", 1, 4, 5),
                ],
                1,
            ),
            (
                "same node goes on",
                vec![commit("a", 2, 2, 3), commit("a", 1, 4, 5)],
                0,
            ),
            (
                "same number, one after the other",
                vec![commit("a", 2, 0, 1), commit("b", 2, 2, 3)],
                0,
            ),
            (
                "same number, beside",
                vec![
                    commit("a", 2, 0, 1),
                    commit("b", 2, 2, 3),
                    commit("a", 2, 4, 5),
                ],
                1,
            ),
        ];
        for (name, commits, found) in cases {
            assert_eq!(overlaps(&commits).len(), found, "{name}");
        }
    }

    #[test]
    fn an_overlap_lasts_from_the_first_of_the_new_to_the_last_of_the_old() {
        let commits = [
            commit("a", 1, 0, 1),
            commit("b", 2, 2, 3),
            commit("a", 1, 1_003, 1_004),
        ];
        assert_eq!(overlaps(&commits)[0].lasted, Duration::from_millis(1));
    }

    fn row(id: u64, lsn: u64, acked: i64) -> Acknowledged {
        Acknowledged {
            id,
            node: "a".into(),
            timeline: 1,
            lsn,
            acked: Stamp(acked),
        }
    }

    #[test]
    fn rows_are_lost_when_they_were_acknowledged_and_are_not_there() {
        let told = [row(1, 100, 1), row(2, 200, 2), row(3, 300, 3)];
        let found = rows(&told, &[1, 3, 3, 4]);
        assert_eq!(found.lost, [row(2, 200, 2)]);
        assert_eq!(found.duplicated, [3]);
        assert_eq!(found.unacknowledged, 1);
        assert_eq!(beyond_bound(&found.lost, 250, 50).len(), 0);
        assert_eq!(beyond_bound(&found.lost, 251, 50), [&row(2, 200, 2)]);
    }

    #[test]
    fn the_outage_is_the_longest_pause_that_ends_after_the_fault() {
        let told = [
            row(1, 1, 0),
            row(2, 2, 900),
            row(3, 3, 1_000),
            row(4, 4, 1_500),
        ];
        assert_eq!(outage(&told, Stamp(950)), Duration::from_micros(500));
    }
}
