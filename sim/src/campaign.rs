//! Many runs of drawn plans, side by side: one thread a run, each run alone with its plan. What they come to is a
//! [`Tally`]. Prints nothing.

use crate::attempt::{Runner, signature};
use crate::plan::Plan;
use crate::tally::Tally;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Which plans to run.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    pub first_seed: u64,
    pub runs: u64,
    /// Draws the plan of a seed.
    pub draw: &'a (dyn Fn(u64) -> Plan + Sync),
    pub jobs: usize,
    /// Only every `shards`th run, beginning with the `shard`th.
    pub shard: u64,
    pub shards: u64,
    /// Different promises broken after which the campaign ends.
    pub finds_max: usize,
    /// No run begins after this.
    pub until: Option<Instant>,
}

/// Runs the campaign. `news` hears of the tally after every run, and of the find if it is a new one.
pub fn campaign(
    order: Order<'_>,
    run: &Runner,
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
                    let late = order.until.is_some_and(|until| Instant::now() >= until);
                    if number >= order.runs || late || enough.load(Ordering::Relaxed) {
                        return;
                    }
                    let seed = order.first_seed.wrapping_add(number);
                    let plan = (order.draw)(seed);
                    let outcome = run(&plan);
                    let promise = signature(&outcome.verdict);
                    let mut tally = tally
                        .lock()
                        .unwrap_or_else(|poisoned| poisoned.into_inner());
                    let known = promise
                        .as_ref()
                        .is_some_and(|p| tally.finds.contains_key(p));
                    tally.add(seed, &outcome);
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
    use crate::event::{Broken, Counted};
    use crate::moment::Moment;
    use crate::scenario::run::{Outcome, Verdict};
    use crate::swarm;
    use tanist_core::time::Span;

    fn order(runs: u64) -> Order<'static> {
        Order {
            first_seed: 100,
            runs,
            draw: &|seed| swarm::plan(seed, Span::secs(1)),
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
            effort: Default::default(),
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
}
