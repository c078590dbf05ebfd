//! The checkers can fail: each of these deliberate bugs makes its own invariant fire within a few drawn runs, in which
//! the true core keeps every promise. All of the bugs, with more runs and their stories, are `tanist-sim canaries`.

use tanist_core::time::Span;
use tanist_sim::attempt::{honestly, sabotaged};
use tanist_sim::canaries::sing;
use tanist_sim::sabotage::Canary;
use tanist_sim::swarm;

const RUNS: u64 = 12;
/// A seed from which none of them needs many: a lost race, or a key that is taken by a blind put, does harm in few runs.
const FIRST: u64 = 300;

fn is_caught(name: &str) {
    let canary = Canary::named(name).expect("the bug has this name");
    let plan_of = |seed| swarm::plan(seed, Span::secs(300));
    let with_bug = |plan: &_| sabotaged(plan, canary);
    let sung = sing(canary, FIRST..FIRST + RUNS, &plan_of, &with_bug, &honestly);
    let (by, others) = (canary.caught_by(), &sung.others);
    assert!(sung.honest_finds.is_empty(), "{:x?}", sung.honest_finds);
    assert!(sung.runs.is_some(), "{name}: not {by}, but {others:?}");
}

#[test]
fn a_standby_that_promotes_without_the_key_is_caught() {
    is_caught("promote-without-key");
}

#[test]
fn a_lost_race_that_is_taken_for_won_is_caught() {
    is_caught("conflict-is-success");
}

#[test]
fn a_second_founding_of_the_cluster_is_caught() {
    is_caught("initialize-anew");
}

#[test]
fn two_operations_at_once_are_caught() {
    is_caught("operation-twice");
}

#[test]
fn a_member_that_always_says_primary_is_caught() {
    is_caught("always-says-primary");
}

#[test]
fn a_leader_key_taken_by_a_blind_put_is_caught() {
    is_caught("blind-acquire");
}

#[test]
fn a_lease_believed_twice_as_long_is_caught() {
    is_caught("doubled-ttl");
}

#[test]
fn a_stop_that_is_never_sent_is_caught() {
    is_caught("stop-never-sent");
}

#[test]
fn data_discarded_where_a_start_was_asked_for_is_caught() {
    is_caught("discard-before-start");
}

#[test]
fn renewals_that_only_the_agent_imagines_are_caught() {
    is_caught("renewals-imagined");
}

#[test]
fn answers_that_never_reach_the_operator_are_caught() {
    is_caught("replies-dropped");
}

#[test]
fn a_fencer_that_is_never_told_of_renewals_is_caught() {
    is_caught("never-extend");
}
