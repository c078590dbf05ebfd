//! Timelines: their numbers, the history of forks, and where two histories part.
//! Knows nothing of files or connections; a history file's text comes in, a verdict goes out.
//!
//! Why this is subtle: a member can be diverged on the *same* timeline number (two promotions that
//! never heard of each other), so equality of numbers proves nothing; fork points do.

use crate::lsn::Lsn;
use serde::{Deserialize, Serialize};
use std::fmt;

/// PostgreSQL's timeline id: 1 after initdb, raised by every promotion.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct TimelineId(pub u32);

impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One line of a history file: `parent` ended at `end`, where its child began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    pub parent: TimelineId,
    pub end: Lsn,
    pub reason: String,
}

/// A timeline with all its ancestors, oldest first, as `pg_wal/XXXXXXXX.history` lists them.
/// Timeline 1 has no file and no forks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineHistory {
    pub timeline: TimelineId,
    pub forks: Vec<Fork>,
}

/// A history file that cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadHistory {
    pub line: usize,
    pub what: String,
}

impl fmt::Display for BadHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timeline history, line {}: {}", self.line, self.what)
    }
}

impl TimelineHistory {
    /// The history of timeline 1, or of a timeline whose file is not known.
    pub fn bare(timeline: TimelineId) -> TimelineHistory {
        TimelineHistory {
            timeline,
            forks: Vec::new(),
        }
    }

    /// Reads the text of a history file (PostgreSQL's `readTimeLineHistory`: blank lines and `#` comments are skipped,
    /// each other line is `parentTLI <TAB> switchpoint <TAB> reason`, numbers increasing).
    pub fn parse(timeline: TimelineId, text: &str) -> Result<TimelineHistory, BadHistory> {
        let mut forks: Vec<Fork> = Vec::new();
        for (at, raw) in text.lines().enumerate() {
            let line = raw.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |what: &str| BadHistory {
                line: at + 1,
                what: what.to_string(),
            };
            let mut fields = line.splitn(3, char::is_whitespace);
            let parent = fields.next().unwrap_or_default();
            let parent = TimelineId(
                parent
                    .parse()
                    .map_err(|_| bad("expected a numeric timeline id"))?,
            );
            let end = fields
                .next()
                .ok_or_else(|| bad("expected a switch point"))?;
            let end: Lsn = end
                .trim()
                .parse()
                .map_err(|_| bad("expected a switch point such as 0/3000148"))?;
            if forks.last().is_some_and(|last| last.parent >= parent) {
                return Err(bad("timeline ids must be in increasing order"));
            }
            if parent >= timeline {
                return Err(bad("a parent timeline must be older than its child"));
            }
            forks.push(Fork {
                parent,
                end,
                reason: fields.next().unwrap_or_default().trim().to_string(),
            });
        }
        Ok(TimelineHistory { timeline, forks })
    }

    /// Where `timeline` ended in this history: a finite position for an ancestor, `None` for the
    /// newest timeline (it has not ended) and for one that is not part of this history.
    pub fn end_of(&self, timeline: TimelineId) -> Option<Lsn> {
        self.forks
            .iter()
            .find(|f| f.parent == timeline)
            .map(|f| f.end)
    }

    /// Is `timeline` this history's own or one of its ancestors?
    pub fn contains(&self, timeline: TimelineId) -> bool {
        self.timeline == timeline || self.end_of(timeline).is_some()
    }

    /// This history as it was when `timeline`, its own or an ancestor, was the newest.
    pub fn up_to(&self, timeline: TimelineId) -> TimelineHistory {
        let older = self.forks.iter().filter(|f| f.parent < timeline);
        TimelineHistory {
            timeline,
            forks: older.cloned().collect(),
        }
    }

    /// Is there WAL of `timeline` on this branch? A promotion that died before it wrote any has left its number there, and
    /// nothing under it.
    pub fn holds_wal_of(&self, timeline: TimelineId) -> bool {
        match self.end_of(timeline) {
            Some(end) => self.start_of(timeline) < end,
            None => self.timeline == timeline,
        }
    }

    /// Where `timeline`, this history's own or an ancestor, began: zero for the first.
    pub fn start_of(&self, timeline: TimelineId) -> Lsn {
        let mut newest_first = self.forks.iter().rev();
        let parent = newest_first.find(|f| f.parent < timeline);
        parent.map_or(Lsn::INVALID, |f| f.end)
    }

    /// Where WAL that ends at `(timeline, lsn)` with history `self` leaves `other`'s branch.
    pub fn divergence_from(&self, last: Lsn, other: &TimelineHistory) -> Divergence {
        // Walk both lists of forks together: the first difference is where the branches part.
        let pairs = self.forks.iter().zip(&other.forks);
        let same = pairs.take_while(|(a, b)| (a.parent, a.end) == (b.parent, b.end));
        let same = same.count();
        // Where the last common timeline ended, on both branches.
        let parted = |number: TimelineId| {
            let last = same.checked_sub(1).map(|at| &self.forks[at]);
            Divergence::Forked {
                from: last.map_or(number, |fork| fork.parent),
                at: last.map_or(Lsn::INVALID, |fork| fork.end),
            }
        };
        match (self.forks.get(same), other.forks.get(same)) {
            (Some(mine), Some(theirs)) if mine.parent == theirs.parent => Divergence::Forked {
                from: mine.parent,
                at: mine.end.min(theirs.end),
            },
            (Some(mine), Some(theirs)) => parted(mine.parent.min(theirs.parent)),
            // We carry a fork that the other never took: we left its branch there.
            (Some(mine), None) if mine.parent == other.timeline => Divergence::Ahead {
                of: other.timeline,
                at: mine.end,
            },
            (Some(mine), None) => parted(mine.parent),
            (None, Some(theirs)) if theirs.parent != self.timeline => parted(self.timeline),
            (None, Some(theirs)) if last > theirs.end => Divergence::Forked {
                from: theirs.parent,
                at: theirs.end,
            },
            (None, None) if self.timeline != other.timeline => {
                parted(self.timeline.min(other.timeline))
            }
            (None, Some(_) | None) => Divergence::None,
        }
    }
}

/// How one member's WAL relates to another's branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Divergence {
    /// A prefix of the other's branch: it can simply follow.
    None,
    /// It holds WAL past the point `at` (on timeline `from`) where the other's branch went another way.
    /// `at` is zero when no common point could be named.
    Forked { from: TimelineId, at: Lsn },
    /// It is on a newer timeline that grew out of the other's current one: the other is behind it.
    Ahead { of: TimelineId, at: Lsn },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_a_dead_promotion_left_behind_has_no_wal() {
        let passed = TimelineHistory::parse(TimelineId(3), "1\t0/100\n2\t0/100\n").unwrap();
        let used = TimelineHistory::parse(TimelineId(3), "1\t0/100\n2\t0/180\n").unwrap();
        let skipped = TimelineHistory::parse(TimelineId(3), "1\t0/100\n").unwrap();
        let holds = |history: &TimelineHistory| {
            [1, 2, 3, 4].map(|number| history.holds_wal_of(TimelineId(number)))
        };
        assert_eq!(holds(&passed), [true, false, true, false]);
        assert_eq!(holds(&used), [true, true, true, false]);
        assert_eq!(holds(&skipped), [true, false, true, false]);
    }

    fn history(timeline: u32, forks: &[(u32, u64)]) -> TimelineHistory {
        let forks = forks.iter().map(|&(p, e)| Fork {
            parent: TimelineId(p),
            end: Lsn(e),
            reason: String::new(),
        });
        TimelineHistory {
            timeline: TimelineId(timeline),
            forks: forks.collect(),
        }
    }

    #[test]
    fn a_history_file_reads_as_postgresql_reads_it() {
        let text =
            "1\t0/30001F8\tno recovery target specified\n\n2\t0/5000000\tbefore 2000-01-01\n";
        let parsed = TimelineHistory::parse(TimelineId(3), text).unwrap();
        assert_eq!(parsed.end_of(TimelineId(1)), Some(Lsn(0x30001F8)));
        assert_eq!(parsed.forks[1].reason, "before 2000-01-01");
        assert!(
            parsed.contains(TimelineId(3))
                && parsed.contains(TimelineId(2))
                && !parsed.contains(TimelineId(4))
        );
    }

    #[test]
    fn a_torn_or_foreign_history_file_is_refused_with_its_line() {
        for (text, line) in [
            ("x", 1),
            ("1", 1),
            ("2 0/1\n1 0/2", 2),
            ("1 zzz", 1),
            ("3 0/1", 1),
        ] {
            assert_eq!(
                TimelineHistory::parse(TimelineId(3), text)
                    .unwrap_err()
                    .line,
                line,
                "{text}"
            );
        }
    }

    #[test]
    fn a_prefix_follows_and_a_tail_past_the_fork_does_not() {
        let leader = history(2, &[(1, 100)]);
        let old = history(1, &[]);
        assert_eq!(old.divergence_from(Lsn(100), &leader), Divergence::None);
        assert_eq!(
            old.divergence_from(Lsn(101), &leader),
            Divergence::Forked {
                from: TimelineId(1),
                at: Lsn(100)
            }
        );
    }

    #[test]
    fn equal_timeline_numbers_with_different_fork_points_are_diverged() {
        let mine = history(2, &[(1, 90)]);
        let leader = history(2, &[(1, 100)]);
        assert_eq!(
            mine.divergence_from(Lsn(95), &leader),
            Divergence::Forked {
                from: TimelineId(1),
                at: Lsn(90)
            }
        );
    }

    #[test]
    fn a_skipped_timeline_missing_from_the_leaders_history_is_diverged() {
        // 1. b promoted to 2, archived nothing else, died. 2. a skipped to 3. 3. b returns on 2.
        let b = history(2, &[(1, 100)]);
        let a = history(3, &[(1, 100)]);
        let parted = Divergence::Forked {
            from: TimelineId(1),
            at: Lsn(100),
        };
        assert_eq!(b.divergence_from(Lsn(120), &a), parted);
        let a = history(4, &[(1, 100), (3, 200)]);
        assert_eq!(b.divergence_from(Lsn(120), &a), parted);
        assert_eq!(a.divergence_from(Lsn(220), &b), parted);
    }

    #[test]
    fn a_member_on_a_newer_branch_is_ahead_not_equal() {
        let newer = history(2, &[(1, 100)]);
        let older = history(1, &[]);
        assert_eq!(
            newer.divergence_from(Lsn(120), &older),
            Divergence::Ahead {
                of: TimelineId(1),
                at: Lsn(100)
            }
        );
    }
}
