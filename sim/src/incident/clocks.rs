//! How the members' monotonic clocks stand to each other. Who wrote a revision wrote it after it was sent; who heard of
//! it heard after it was written. Each revision that two members met bounds how far their clocks are apart, from one
//! side or from both; where no revision says anything, the wall clocks are taken at their word.

use super::recording::{Met, Recording};
use std::collections::BTreeMap;
use tanist_core::dcs::Revision;
use tanist_core::time::Mono;

/// One clock: a member's, between two boots of its host.
pub type Clock = (usize, u32);

/// How far each clock is behind the common one, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clocks {
    behind: BTreeMap<Clock, i128>,
    /// Clocks that no revision ties to the others.
    pub guessed: Vec<Clock>,
}

impl Clocks {
    /// The instant on the common clock.
    pub fn common(&self, clock: Clock, at: Mono) -> i128 {
        i128::from(at.0) + self.behind.get(&clock).copied().unwrap_or_default()
    }

    pub fn of(recordings: &[Recording]) -> Clocks {
        let mut met: BTreeMap<Clock, Vec<Met>> = BTreeMap::new();
        let mut walls: BTreeMap<Clock, i128> = BTreeMap::new();
        for (at, recording) in recordings.iter().enumerate() {
            for (boot, start) in &recording.starts {
                let wall = i128::from(start.wall.0) - i128::from(start.mono.0);
                walls.entry((at, *boot)).or_insert(wall);
            }
            for one in recording.met() {
                met.entry((at, one.boot)).or_default().push(one);
            }
        }
        let mut clocks = Clocks {
            behind: BTreeMap::new(),
            guessed: Vec::new(),
        };
        // The clock that met most is the common one; the others are tied to it one after the other, by way of any that is.
        let Some((first, _)) = met.iter().max_by_key(|(_, met)| met.len()) else {
            clocks.behind = walls;
            return clocks;
        };
        clocks.behind.insert(*first, 0);
        while let Some((clock, behind)) = clocks.next(&met) {
            clocks.behind.insert(clock, behind);
        }
        let base = walls.get(first).copied().unwrap_or_default();
        for (clock, wall) in walls {
            if let std::collections::btree_map::Entry::Vacant(free) = clocks.behind.entry(clock) {
                free.insert(wall - base);
                clocks.guessed.push(clock);
            }
        }
        clocks
    }

    /// A clock that is not tied yet, tied to one that is.
    fn next(&self, met: &BTreeMap<Clock, Vec<Met>>) -> Option<(Clock, i128)> {
        for (clock, mine) in met
            .iter()
            .filter(|(clock, _)| !self.behind.contains_key(clock))
        {
            for (other, behind) in &self.behind {
                if let Some(apart) = met.get(other).and_then(|theirs| apart(mine, theirs)) {
                    return Some((*clock, apart + behind));
                }
            }
        }
        None
    }
}

/// Each revision once: when it was first heard of, and when it was sent, if it was the member's own. Its own watch may
/// have been faster than the answer to its write.
fn index(met: &[Met]) -> BTreeMap<Revision, Met> {
    let mut all: BTreeMap<Revision, Met> = BTreeMap::new();
    for one in met {
        let known = all.entry(one.revision).or_insert(*one);
        known.sent_at = known.sent_at.or(one.sent_at);
        known.heard_at = known.heard_at.min(one.heard_at);
    }
    all
}

/// What has to be added to the instants of `mine` to get those of `theirs`; `None`: nothing ties them.
fn apart(mine: &[Met], theirs: &[Met]) -> Option<i128> {
    let mut least: Option<i128> = None;
    let mut most: Option<i128> = None;
    let theirs = index(theirs);
    for (revision, my) in index(mine) {
        let Some(their) = theirs.get(&revision) else {
            continue;
        };
        let us = |at: Mono| i128::from(at.0);
        // I wrote it after I sent it, and they heard of it after that.
        if let Some(sent) = my.sent_at {
            let bound = us(their.heard_at) - us(sent);
            most = Some(most.map_or(bound, |known| known.min(bound)));
        }
        if let Some(sent) = their.sent_at {
            let bound = us(sent) - us(my.heard_at);
            least = Some(least.map_or(bound, |known| known.max(bound)));
        }
    }
    match (least, most) {
        (Some(least), Some(most)) => Some((least + most) / 2),
        (bound, None) | (None, bound) => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(revision: i64, sent: u64, heard: u64) -> Met {
        Met {
            revision: Revision(revision),
            boot: 0,
            sent_at: Some(Mono(sent)),
            heard_at: Mono(heard),
        }
    }

    fn heard(revision: i64, at: u64) -> Met {
        Met {
            sent_at: None,
            ..wrote(revision, 0, at)
        }
    }

    #[test]
    fn revisions_that_both_met_tell_how_far_two_clocks_are_apart() {
        // Theirs is 1000 ahead; a message takes 2 to 4.
        let mine = [wrote(5, 100, 104), heard(6, 203)];
        let theirs = [heard(5, 1_103), wrote(6, 1_200, 1_204)];
        assert_eq!(apart(&mine, &theirs), Some((997 + 1_003) / 2));
        assert_eq!(apart(&theirs, &mine), Some(-1_000));
    }

    #[test]
    fn one_side_alone_is_a_bound_and_nothing_in_common_is_nothing() {
        assert_eq!(
            apart(&[wrote(5, 100, 104)], &[heard(5, 1_103)]),
            Some(1_003)
        );
        assert_eq!(apart(&[wrote(5, 100, 104)], &[heard(7, 1_103)]), None);
        assert_eq!(apart(&[heard(5, 1)], &[heard(5, 2)]), None);
    }
}
