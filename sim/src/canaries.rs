//! Can the checkers fail? Each deliberate bug must make its invariant fire within a number of drawn runs, in which the
//! true core keeps every promise, or make a story fail that the true core tells as it should. Knows nothing of what the
//! bugs are.

use crate::attempt::{Runner, signature};
use crate::plan::Plan;
use crate::sabotage::Canary;
use crate::scenario::run::Outcome;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What became of one canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sung {
    pub canary: Canary,
    /// Runs until the invariant that must catch it fired. `None`: it did not.
    pub runs: Option<u64>,
    /// The seed of that run.
    pub seed: u64,
    /// Acts of that run's plan, and how many are left when it is made small. `None`: nobody tried.
    pub acts: Option<(usize, usize)>,
    /// Whatever else fired on the way, and how often.
    pub others: BTreeMap<String, u64>,
    /// Seeds on which the true core broke a promise, too: they prove nothing.
    pub honest_finds: Vec<u64>,
    /// The scenarios that name the bug, and whether they fail in its world.
    pub stories: Vec<(String, bool)>,
}

impl Sung {
    /// Something noticed it, and nothing that claims to did not.
    pub fn is_caught(&self) -> bool {
        let told = self.stories.iter().all(|(_, fails)| *fails);
        let noticed = self.runs.is_some() || !self.stories.is_empty();
        noticed && told && self.honest_finds.is_empty()
    }
}

/// Is what fired the invariant with this id?
fn fired(outcome: &Outcome, id: &str) -> bool {
    signature(&outcome.verdict).is_some_and(|found| found.split(' ').next() == Some(id))
}

/// Runs the plans of `seeds` with the bug until its invariant fires, and without it.
pub fn sing(
    canary: Canary,
    seeds: impl Iterator<Item = u64>,
    plan_of: &dyn Fn(u64) -> Plan,
    with_bug: &dyn Fn(&Plan) -> Outcome,
    honestly: &Runner,
) -> Sung {
    let mut sung = Sung {
        canary,
        runs: None,
        seed: 0,
        acts: None,
        others: BTreeMap::new(),
        honest_finds: Vec::new(),
        stories: Vec::new(),
    };
    for (nth, seed) in seeds.enumerate() {
        let plan = plan_of(seed);
        if !honestly(&plan).verdict.held() {
            sung.honest_finds.push(seed);
            continue;
        }
        let outcome = with_bug(&plan);
        if fired(&outcome, canary.caught_by()) {
            sung.runs = Some(nth as u64 + 1);
            sung.seed = seed;
            break;
        }
        if let Some(other) = signature(&outcome.verdict) {
            *sung.others.entry(other).or_default() += 1;
        }
    }
    sung
}

/// How much of the drawn plans is left when they are made small, in percent: the middle one. `None`: none was.
pub fn median_left(all: &[Sung]) -> Option<usize> {
    let shrunk = all.iter().filter_map(|sung| sung.acts);
    let mut left: Vec<usize> = shrunk
        .filter(|(acts, _)| *acts > 0)
        .map(|(acts, left)| 100 * left / acts)
        .collect();
    left.sort_unstable();
    left.get(left.len() / 2).copied()
}

/// The page that is kept.
pub fn page(all: &[Sung], command: &str) -> String {
    let mut page = String::from("# Canaries\n\n");
    let _ = writeln!(
        page,
        "Each line is a deliberate bug at the boundary of a member, the invariant that it is meant for, how many drawn\n\
         runs that took, and the stories that fail on it. The true core holds on the same seeds and in the same stories.\n\
         Bugs inside the core are in `sim/tests/mutants.txt`. Written by `{command}`.\n"
    );
    page.push_str(
        "| canary | meant for | runs needed | seed | acts, and when shrunk | fired before | stories that fail on it |\n",
    );
    page.push_str("|---|---|---:|---|---:|---|---|\n");
    for sung in all {
        let runs = match sung.runs {
            Some(runs) => runs.to_string(),
            None => "-".into(),
        };
        let others: Vec<String> = sung.others.keys().map(|other| cut(other)).collect();
        let failing = sung.stories.iter().filter(|(_, fails)| *fails);
        let told: Vec<&str> = failing.map(|(name, _)| name.as_str()).collect();
        let _ = writeln!(
            page,
            "| {} | {} | {runs} | {:x} | {} | {} | {} |",
            sung.canary.name(),
            sung.canary.caught_by(),
            sung.seed,
            sung.acts
                .map_or_else(String::new, |(acts, left)| format!("{acts}, {left}")),
            others.join(", "),
            told.join(", ")
        );
    }
    if let Some(left) = median_left(all) {
        let _ = writeln!(
            page,
            "\nThe median find has {left} % of its acts left when it is shrunk."
        );
    }
    page
}

/// The name of what fired, without the story behind it.
fn cut(promise: &str) -> String {
    promise.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Broken;
    use crate::moment::Moment;
    use crate::scenario::run::Verdict;
    use crate::swarm;
    use tanist_core::time::Span;

    fn ended(invariant: Option<&str>) -> Outcome {
        let broken = |invariant: &str| Broken {
            invariant: invariant.into(),
            at: Moment::START,
            story: "it was so".into(),
        };
        Outcome {
            verdict: invariant.map_or(Verdict::Held, |name| Verdict::Broken(broken(name))),
            ended: Moment::START,
            events: Vec::new(),
            marks: Default::default(),
            evaluations: Default::default(),
            claims_kept: 0,
            unseed: Default::default(),
            effort: Default::default(),
        }
    }

    fn plan_of(seed: u64) -> Plan {
        swarm::plan(seed, Span::secs(1))
    }

    #[test]
    fn a_bug_counts_as_caught_only_by_its_own_invariant() {
        let canary = Canary::BlindAcquire;
        let name = format!("{} whatever-its-name", canary.caught_by());
        let with_bug = |plan: &Plan| match plan.seed {
            1 => ended(None),
            2 => ended(Some("S99 another")),
            _later => ended(Some(&name)),
        };
        let sung = sing(canary, 1..=9, &plan_of, &with_bug, &|_| ended(None));
        assert_eq!((sung.runs, sung.seed), (Some(3), 3));
        assert_eq!(sung.others["S99 another"], 1);
        assert!(sung.is_caught());
    }

    #[test]
    fn seeds_on_which_the_true_core_fails_prove_nothing() {
        let canary = Canary::BlindAcquire;
        let name = format!("{} name", canary.caught_by());
        let sung = sing(canary, 1..=9, &plan_of, &|_| ended(Some(&name)), &|_| {
            ended(Some("S01 one"))
        });
        assert_eq!(sung.runs, None);
        assert!(!sung.is_caught());
    }
}
