//! The checkers can fail: a few of the deliberate bugs are caught within a handful of drawn runs, on seeds
//! on which the true core holds. All of them, with more runs, are `tanist-sim canaries`.

use tanist_core::time::Span;
use tanist_sim::attempt::{as_one_of_many, sabotaged};
use tanist_sim::canaries::sing;
use tanist_sim::sabotage::Canary;
use tanist_sim::swarm;

fn is_caught(canary: Canary, runs: u64) {
    let plan_of = |seed| swarm::plan(seed, Span::secs(240));
    let with_bug = |plan: &_| sabotaged(plan, canary);
    let sung = sing(canary, 1..=runs, &plan_of, &with_bug, &as_one_of_many);
    assert!(sung.is_caught(), "{sung:?}");
}

#[test]
fn a_standby_that_promotes_without_the_key_is_caught() {
    is_caught(Canary::PromoteWithoutKey, 12);
}

#[test]
fn a_second_founding_of_the_cluster_is_caught() {
    is_caught(Canary::InitializeAnew, 12);
}

#[test]
fn two_operations_at_once_are_caught() {
    is_caught(Canary::OperationTwice, 12);
}

#[test]
fn a_member_that_always_says_primary_is_caught() {
    is_caught(Canary::AlwaysSaysPrimary, 12);
}
