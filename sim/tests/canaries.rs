//! The checkers can fail: each of these deliberate bugs breaks a promise in a story that the true core keeps.
//! All of the bugs, on drawn runs, are `tanist-sim canaries`.

use std::path::Path;
use tanist_sim::attempt::{honestly, sabotaged};
use tanist_sim::library;
use tanist_sim::sabotage::Canary;

/// Three members, of which two race: every step from founding to streaming is in it.
const STORY: &str = "bootstrap/two_members_race_for_initialize.scn";

fn is_caught(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scenarios")
        .join(STORY);
    let plan = library::load(&file).expect("the story can be read");
    let canary = Canary::named(name).expect("the bug has this name");
    let honest = honestly(&plan).verdict;
    assert!(honest.held(), "the true core: {}", honest.sentence());
    let verdict = sabotaged(&plan, canary).verdict;
    assert!(!verdict.held(), "nobody noticed {name}");
}

#[test]
fn a_standby_that_promotes_without_the_key_is_caught() {
    is_caught("promote-without-key");
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
fn data_discarded_before_a_start_is_caught() {
    is_caught("discard-before-start");
}

#[test]
fn renewals_that_only_the_agent_imagines_are_caught() {
    is_caught("renewals-imagined");
}
