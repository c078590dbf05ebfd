//! What many runs came to: the promises that broke, the marks that were met, how often each invariant was looked at.
//! Plain data, kept as a file so that the shares of one campaign can be joined. Knows nothing of threads or commands.

use crate::attempt::signature;
use crate::event::Counted;
use crate::marks::{Expected, Mark};
use crate::scenario::run::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tanist_core::time::Span;

/// A promise that runs broke; the one of the lowest seed stands for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Find {
    pub seed: u64,
    /// The verdict of that run.
    pub sentence: String,
    /// Runs that broke the same promise.
    pub runs: u64,
    /// The seeds of some of them.
    pub seeds: BTreeSet<u64>,
}

/// Seeds kept of each find.
const SEEDS_KEPT: usize = 12;

/// A campaign so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub runs: u64,
    pub simulated: Span,
    /// By the promise that broke.
    pub finds: BTreeMap<String, Find>,
    /// Runs that met the mark, and the first seed that did.
    pub marks: BTreeMap<Mark, (u64, u64)>,
    /// By the invariant's id and name.
    pub evaluations: BTreeMap<String, Counted>,
}

/// A campaign of fewer runs cannot be expected to have met every mark.
pub const RUNS_TO_MEET_EVERY_MARK: u64 = 1_000;

impl Tally {
    /// Counts one more run.
    pub fn add(&mut self, seed: u64, outcome: &Outcome) {
        let mut one = Tally {
            runs: 1,
            simulated: Span(outcome.ended.0),
            ..Tally::default()
        };
        let met = outcome.marks.hits().keys();
        one.marks = met.map(|mark| (*mark, (1, seed))).collect();
        let counted = outcome.evaluations.iter();
        one.evaluations = counted.map(|(name, n)| (name.to_string(), *n)).collect();
        if let Some(promise) = signature(&outcome.verdict) {
            let find = Find {
                seed,
                sentence: outcome.verdict.sentence(),
                runs: 1,
                seeds: BTreeSet::from([seed]),
            };
            one.finds.insert(promise, find);
        }
        self.join(one);
    }

    /// Adds what other runs came to. In whichever order shares are joined, the sum is the same.
    pub fn join(&mut self, other: Tally) {
        self.runs += other.runs;
        self.simulated = self.simulated + other.simulated;
        for (mark, (runs, first)) in other.marks {
            let sum = self.marks.entry(mark).or_insert((0, first));
            *sum = (sum.0 + runs, sum.1.min(first));
        }
        for (name, counted) in other.evaluations {
            let sum = self.evaluations.entry(name).or_insert(Counted::NOTHING);
            *sum = sum.and(counted);
        }
        for (promise, find) in other.finds {
            let sum = match self.finds.remove(&promise) {
                None => find,
                Some(known) => known.and(find),
            };
            self.finds.insert(promise, sum);
        }
    }

    /// Invariants that no run ever looked at: they have proved nothing.
    pub fn never_evaluated(&self) -> Vec<&str> {
        let idle = self
            .evaluations
            .iter()
            .filter(|(_, counted)| counted.evaluations == 0);
        idle.map(|(name, _)| name.as_str()).collect()
    }

    pub fn never_met(&self, expected: Expected) -> Vec<Mark> {
        let all = Mark::ALL.iter().copied();
        all.filter(|mark| mark.expected() == expected && !self.marks.contains_key(mark))
            .collect()
    }

    /// What a campaign must be told to have failed on, beside its finds.
    pub fn shortcomings(&self) -> Vec<String> {
        let idle = self.never_evaluated();
        let mut told: Vec<String> = idle
            .iter()
            .map(|name| format!("{name} was never evaluated"))
            .collect();
        if self.evaluations.is_empty() {
            told.push("no invariant was evaluated at all".into());
        }
        if self.runs >= RUNS_TO_MEET_EVERY_MARK {
            let unmet = self.never_met(Expected::Often);
            told.extend(
                unmet
                    .iter()
                    .map(|mark| format!("the mark {} was never met", mark.name())),
            );
        }
        told
    }
}

impl Find {
    /// Whichever came first, the lowest seed stands for both.
    fn and(self, other: Find) -> Find {
        let runs = self.runs + other.runs;
        let mut seeds = self.seeds.clone();
        seeds.extend(&other.seeds);
        while seeds.len() > SEEDS_KEPT {
            seeds.pop_last();
        }
        let first = if other.seed < self.seed { other } else { self };
        Find {
            runs,
            seeds,
            ..first
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(seed: u64) -> Tally {
        let find = Find {
            seed,
            sentence: format!("seen with {seed}"),
            runs: 1,
            seeds: BTreeSet::from([seed]),
        };
        Tally {
            runs: 1,
            simulated: Span::secs(60),
            finds: BTreeMap::from([("S01".to_string(), find)]),
            marks: BTreeMap::from([(Mark::LeaderChanged, (1, seed))]),
            evaluations: BTreeMap::from([("S01".to_string(), Counted::NOTHING)]),
        }
    }

    #[test]
    fn shares_joined_in_any_order_are_the_same_sum() {
        let join = |seeds: &mut dyn Iterator<Item = u64>| {
            let mut sum = Tally::default();
            seeds.for_each(|seed| sum.join(tally(seed)));
            sum
        };
        let sum = join(&mut (1..=20));
        assert_eq!(sum, join(&mut (1..=20).rev()));
        assert_eq!(sum.finds["S01"].seed, 1);
        assert_eq!(sum.finds["S01"].runs, 20);
        assert_eq!(sum.finds["S01"].seeds.len(), SEEDS_KEPT);
        assert_eq!(sum.marks[&Mark::LeaderChanged], (20, 1));
    }

    #[test]
    fn a_tally_reads_back_from_its_file() {
        let text = serde_json::to_string(&tally(7)).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), tally(7));
    }

    #[test]
    fn an_invariant_that_nobody_looked_at_is_a_shortcoming() {
        let mut sum = tally(1);
        assert_eq!(sum.shortcomings(), ["S01 was never evaluated"]);
        for counted in sum.evaluations.values_mut() {
            counted.evaluations = 1;
        }
        assert_eq!(sum.shortcomings(), Vec::<String>::new());
    }

    #[test]
    fn marks_are_demanded_of_long_campaigns_only() {
        let mut sum = Tally {
            runs: RUNS_TO_MEET_EVERY_MARK,
            ..Tally::default()
        };
        sum.evaluations.insert(
            "S01".into(),
            Counted {
                evaluations: 1,
                ..Counted::NOTHING
            },
        );
        let often = |m: &&Mark| m.expected() == Expected::Often;
        let expected = Mark::ALL.iter().filter(often).count();
        assert_eq!(sum.shortcomings().len(), expected);
        sum.runs -= 1;
        assert_eq!(sum.shortcomings(), Vec::<String>::new());
    }
}
