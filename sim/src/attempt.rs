//! One run that cannot take the campaign down with it: an assertion that fails inside becomes a find
//! like any other. Knows nothing of why the run was tried.

use crate::event::Broken;
use crate::moment::Moment;
use crate::plan::Plan;
use crate::sabotage::Canary;
use crate::scenario::run::{Ending, Outcome, Verdict, run_in};
use crate::world::World;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// Runs a plan in the world that is meant: the true one, or one with a deliberate bug.
pub type Runner = dyn Fn(&Plan) -> Outcome + Sync;

/// A run in the true world, with all that a report can tell, each agent replayed from its inputs.
pub fn honestly(plan: &Plan) -> Outcome {
    attempt(plan, Ending::Full, |plan| {
        let mut world = World::new(plan.cluster.clone(), plan.seed);
        world.tell_commits();
        world.keep_traces();
        world
    })
}

/// A run as one of many: every so often with everything and to the very end, otherwise as fast as it goes
/// and no further than until all is well.
pub fn as_one_of_many(plan: &Plan) -> Outcome {
    if plan.seed.is_multiple_of(REPLAYED_EVERY) {
        return honestly(plan);
    }
    attempt(plan, Ending::WhenWell, |plan| {
        World::new(plan.cluster.clone(), plan.seed)
    })
}

/// A run with a deliberate bug in it.
pub fn sabotaged(plan: &Plan, canary: Canary) -> Outcome {
    attempt(plan, Ending::Full, |plan| {
        World::with_canary(plan.cluster.clone(), plan.seed, Some(canary))
    })
}

/// Of so many runs of a campaign one replays its agents.
const REPLAYED_EVERY: u64 = 64;

thread_local! {
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

static QUIET: Once = Once::new();

/// What a failed assertion is filed under.
const ASSERTION: &str = "assertion";

/// A run in the world that `make` makes.
pub fn attempt(plan: &Plan, ending: Ending, make: impl FnOnce(&Plan) -> World) -> Outcome {
    QUIET.call_once(|| {
        std::panic::set_hook(Box::new(|panic| SAID.set(panic.to_string())));
    });
    let tried = catch_unwind(AssertUnwindSafe(|| run_in(make(plan), plan, ending)));
    tried.unwrap_or_else(|_| Outcome {
        verdict: Verdict::Broken(Broken {
            invariant: ASSERTION.into(),
            at: Moment::START + plan.end,
            story: SAID.take().replace('\n', " "),
        }),
        ended: Moment::START + plan.end,
        events: Vec::new(),
        marks: Default::default(),
        evaluations: Default::default(),
        claims_kept: 0,
        unseed: Default::default(),
        effort: Default::default(),
    })
}

/// What two finds must share to be the same find: the invariant, or the claim.
pub fn signature(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Held => None,
        // An assertion is told apart by the place where it failed, which stands before its text.
        Verdict::Broken(broken) if broken.invariant == ASSERTION => {
            let place = broken.story.split(": ").next().unwrap_or_default();
            Some(format!("{ASSERTION} {place}"))
        }
        Verdict::Broken(broken) => Some(broken.invariant.clone()),
        Verdict::Refuted(claims) => claims.first().map(|claim| claim.story.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm;
    use tanist_core::time::Span;

    #[test]
    fn an_assertion_that_fails_inside_a_run_is_a_find_with_its_words() {
        let plan = swarm::plan(1, Span::secs(1));
        let outcome = attempt(&plan, Ending::Full, |_: &Plan| {
            panic!("the key had two owners")
        });
        assert!(!outcome.verdict.held());
        assert!(
            outcome
                .verdict
                .sentence()
                .contains("the key had two owners")
        );
        assert!(signature(&outcome.verdict).is_some_and(|s| s.contains("attempt.rs")));
    }
}
