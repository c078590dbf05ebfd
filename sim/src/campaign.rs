//! Many runs of drawn plans, side by side: what was found, which marks were met, how often each
//! invariant was evaluated. One thread a run, each run alone with its plan. Prints nothing.

use crate::attempt::{Runner, signature};
use crate::event::Counted;
use crate::marks::{Expected, Mark};
use crate::plan::Plan;
use crate::scenario::run::Outcome;
use crate::swarm;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tanist_core::time::Span;

/// Which plans to run.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub first_seed: u64,
    pub runs: u64,
    pub chaos: Span,
    pub jobs: usize,
    /// Only every `shards`th run, beginning with the `shard`th.
    pub shard: u64,
    pub shards: u64,
    /// Different promises broken after which the campaign ends.
    pub finds_max: usize,
    /// No run begins after this.
    pub until: Option<Instant>,
}

/// The run of the lowest seed that broke a promise.
#[derive(Clone, Debug)]
pub struct Find {
    pub seed: u64,
    pub plan: Plan,
    pub outcome: Outcome,
    /// Runs that broke the same promise.
    pub runs: u64,
    /// The seeds of some of them.
    pub seeds: BTreeSet<u64>,
}

/// Seeds kept of each find.
const SEEDS_KEPT: usize = 12;

/// A campaign so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub runs: u64,
    pub simulated: Span,
    pub finds: BTreeMap<String, Find>,
    /// Runs that met the mark, and the first seed that did.
    pub marks: BTreeMap<Mark, (u64, u64)>,
    pub evaluations: BTreeMap<&'static str, Counted>,
}

/// A campaign of fewer runs cannot be expected to have met every mark.
const RUNS_TO_MEET_EVERY_MARK: u64 = 1_000;

impl Tally {
    fn add(&mut self, seed: u64, plan: Plan, outcome: Outcome) {
        self.runs += 1;
        self.simulated = self.simulated + Span(outcome.ended.0);
        for mark in outcome.marks.hits().keys() {
            let (runs, first) = self.marks.entry(*mark).or_insert((0, seed));
            *runs += 1;
            *first = seed.min(*first);
        }
        for (name, counted) in &outcome.evaluations {
            let sum = self.evaluations.entry(name).or_insert(Counted {
                evaluations: 0,
                suspended: 0,
                suspended_for: Span::ZERO,
            });
            sum.evaluations += counted.evaluations;
            sum.suspended += counted.suspended;
            sum.suspended_for = sum.suspended_for + counted.suspended_for;
        }
        let Some(promise) = signature(&outcome.verdict) else {
            return;
        };
        // Whichever thread comes first, the lowest seed stands for all.
        let known = self.finds.remove(&promise);
        let (runs, mut seeds) = known
            .as_ref()
            .map_or((0, BTreeSet::new()), |find| (find.runs, find.seeds.clone()));
        seeds.insert(seed);
        while seeds.len() > SEEDS_KEPT {
            seeds.pop_last();
        }
        let this = Find {
            seed,
            plan,
            outcome,
            runs: 0,
            seeds: BTreeSet::new(),
        };
        let first = known.filter(|find| find.seed < seed).unwrap_or(this);
        let find = Find {
            runs: runs + 1,
            seeds,
            ..first
        };
        self.finds.insert(promise, find);
    }

    /// Invariants that no run ever looked at: they have proved nothing.
    pub fn never_evaluated(&self) -> Vec<&'static str> {
        let idle = self
            .evaluations
            .iter()
            .filter(|(_, counted)| counted.evaluations == 0);
        idle.map(|(name, _)| *name).collect()
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

/// Runs the campaign. `news` hears of the tally after every run, and of the find if it is a new one.
pub fn campaign(order: Order, run: &Runner, news: &(dyn Fn(&Tally, Option<&str>) + Sync)) -> Tally {
    let next = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..order.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let number = nth * order.shards.max(1) + order.shard;
                    let late = order.until.is_some_and(|until| Instant::now() >= until);
                    if number >= order.runs || late || enough.load(Ordering::Relaxed) {
                        return;
                    }
                    let seed = order.first_seed.wrapping_add(number);
                    let plan = swarm::plan(seed, order.chaos);
                    let outcome = run(&plan);
                    let promise = signature(&outcome.verdict);
                    let mut tally = tally
                        .lock()
                        .unwrap_or_else(|poisoned| poisoned.into_inner());
                    let known = promise
                        .as_ref()
                        .is_some_and(|p| tally.finds.contains_key(p));
                    tally.add(seed, plan, outcome);
                    news(&tally, promise.as_deref().filter(|_| !known));
                    if tally.finds.len() >= order.finds_max {
                        enough.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    tally
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Broken;
    use crate::moment::Moment;
    use crate::scenario::run::Verdict;

    fn order(runs: u64) -> Order {
        Order {
            first_seed: 100,
            runs,
            chaos: Span::secs(1),
            jobs: 2,
            shard: 0,
            shards: 1,
            finds_max: 10,
            until: None,
        }
    }

    /// A toy world in which every seventh seed breaks a promise.
    fn toy(plan: &Plan) -> Outcome {
        let mut outcome = Outcome {
            verdict: Verdict::Held,
            ended: Moment::secs(60),
            events: Vec::new(),
            marks: Default::default(),
            evaluations: Default::default(),
            claims_kept: 0,
            unseed: Default::default(),
        };
        let counted = Counted {
            evaluations: 3,
            suspended: 0,
            suspended_for: Span::ZERO,
        };
        outcome.evaluations.insert("S01", counted);
        if plan.seed.is_multiple_of(7) {
            outcome.verdict = Verdict::Broken(Broken {
                invariant: "S01".into(),
                at: Moment::secs(5),
                story: "two writers".into(),
            });
        }
        outcome
    }

    #[test]
    fn every_run_is_counted_and_one_promise_is_one_find() {
        let tally = campaign(order(21), &toy, &|_, _| {});
        assert_eq!(tally.runs, 21);
        assert_eq!(tally.simulated, Span::secs(21 * 60));
        assert_eq!(tally.evaluations["S01"].evaluations, 63);
        assert_eq!(tally.finds.len(), 1);
        assert_eq!(tally.finds["S01"].runs, 3);
    }

    #[test]
    fn shards_share_the_runs_without_doing_one_twice() {
        let share = |shard| {
            let order = Order {
                shard,
                shards: 3,
                ..order(20)
            };
            campaign(order, &toy, &|_, _| {}).runs
        };
        assert_eq!((share(0), share(1), share(2)), (7, 7, 6));
    }

    #[test]
    fn an_invariant_that_nobody_looked_at_is_a_shortcoming() {
        let mut tally = campaign(order(2), &toy, &|_, _| {});
        assert_eq!(tally.shortcomings(), Vec::<String>::new());
        tally
            .evaluations
            .values_mut()
            .for_each(|counted| counted.evaluations = 0);
        assert_eq!(tally.shortcomings(), ["S01 was never evaluated"]);
    }

    #[test]
    fn marks_are_demanded_of_long_campaigns_only() {
        let mut tally = campaign(order(2), &toy, &|_, _| {});
        tally.runs = RUNS_TO_MEET_EVERY_MARK;
        let told = tally.shortcomings();
        let expected = Mark::ALL
            .iter()
            .filter(|m| m.expected() == Expected::Often)
            .count();
        assert_eq!(told.len(), expected, "{told:?}");
    }
}
