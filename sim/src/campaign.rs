//! Many runs of drawn plans, side by side: what was found, which marks were met, how often each
//! invariant was evaluated. One thread a run, each run alone with its plan. Prints nothing.

use crate::attempt::{Maker, attempt, signature};
use crate::event::Counted;
use crate::marks::{Expected, Mark};
use crate::plan::Plan;
use crate::scenario::run::Outcome;
use crate::swarm;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
}

/// The first run that broke a promise.
#[derive(Clone, Debug)]
pub struct Find {
    pub seed: u64,
    pub plan: Plan,
    pub outcome: Outcome,
    /// Runs that broke the same promise.
    pub runs: u64,
}

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
        let find = self.finds.entry(promise).or_insert(Find {
            seed,
            plan,
            outcome,
            runs: 0,
        });
        find.runs += 1;
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
pub fn campaign(
    order: Order,
    maker: &Maker,
    news: &(dyn Fn(&Tally, Option<&str>) + Sync),
) -> Tally {
    let next = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..order.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let number = nth * order.shards.max(1) + order.shard;
                    if number >= order.runs || enough.load(Ordering::Relaxed) {
                        return;
                    }
                    let seed = order.first_seed.wrapping_add(number);
                    let plan = swarm::plan(seed, order.chaos);
                    let outcome = attempt(&plan, maker);
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
