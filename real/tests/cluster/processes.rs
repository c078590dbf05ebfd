//! A process of the primary dies or freezes: agent, fencer, postmaster, one by one and together.

use crate::ordeal::{Loss, Ordeal, assert_instance_ends, authority_max};
use rustix::process::Signal;
use std::time::Duration;
use tanist::testbed::clients::crowd::Crowd;
use tanist::testbed::cluster::lose;
use tanist::testbed::wait_for;

/// No pause longer than this is an outage: a busy machine has such.
const HICCUP: Duration = Duration::from_millis(1_500);

#[test]
fn killed_postmaster_leaves_no_backend_committing_and_writes_come_back() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    ordeal.old.signal_postmaster(Signal::KILL).unwrap();
    ordeal.end(Loss::WithinBound);
}

/// Its agent gets no session either. Who is in goes on, so nothing is ended for it.
#[test]
fn primary_without_a_connection_left_goes_on_leading() {
    let mut ordeal = Ordeal::begin();
    let patch = serde_json::json!({"primary_start_timeout": 2});
    assert_eq!(ordeal.cluster.patch_config(&patch).unwrap().code, 200);
    let old = ordeal.old.clone();
    ordeal.strike();
    let crowd = Crowd::fill(old.postgres()).unwrap();
    let postmaster = old.postmaster().unwrap();
    // Three loops, and twice as long again.
    std::thread::sleep(3 * authority_max());
    assert_eq!(old.postmaster().unwrap(), postmaster);
    assert_eq!(ordeal.cluster.leader().unwrap().name(), old.name());
    drop(crowd);
    let ended = ordeal.end(Loss::None);
    assert_eq!((ended.leader.as_str(), ended.promotions), (old.name(), 0));
}

#[test]
fn killed_agent_that_is_restarted_within_the_lease_causes_no_outage() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    ordeal.old.signal_agent(Signal::KILL).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    ordeal.old.start().unwrap();
    std::thread::sleep(2 * authority_max());
    let old = ordeal.old.clone();
    let ended = ordeal.end(Loss::None);
    assert_eq!((ended.leader.as_str(), ended.promotions), (old.name(), 0));
    assert!(ended.outage < HICCUP, "{:?}", ended.outage);
}

#[test]
fn killed_agent_that_stays_away_is_fenced_before_another_takes_over() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    ordeal.old.signal_agent(Signal::KILL).unwrap();
    assert_instance_ends(&ordeal.old, authority_max());
    ordeal.wait_new_leader(4 * authority_max());
    ordeal.old.start().unwrap();
    assert_eq!(ordeal.end(Loss::WithinBound).promotions, 1);
}

#[test]
fn killed_agent_and_postmaster_leave_nothing_that_commits() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    let postmaster = ordeal.old.postmaster().unwrap();
    ordeal.old.signal_agent(Signal::KILL).unwrap();
    tanist::testbed::process::signal(postmaster, Signal::KILL);
    assert_instance_ends(&ordeal.old, authority_max());
    ordeal.wait_new_leader(4 * authority_max());
    ordeal.old.start().unwrap();
    assert_eq!(ordeal.end(Loss::WithinBound).promotions, 1);
}

/// Nobody is left to end the backends, so sessions that never look at their postmaster go on: the bound
/// that the documentation states for this loss. Backends that do look end by themselves.
#[test]
fn killed_agent_fencer_and_postmaster_are_survived_and_the_old_primary_rejoins() {
    let mut ordeal = Ordeal::on(crate::support::healthy_cluster(), crate::ordeal::Load::Kind);
    ordeal.strike();
    lose(&ordeal.old).unwrap();
    ordeal.wait_new_leader(4 * authority_max());
    ordeal.old.start().unwrap();
    assert_eq!(ordeal.end(Loss::WithinBound).promotions, 1);
}

/// The same under a supervisor and with sessions that never look: the bound is the agent's restart.
#[test]
fn killed_agent_fencer_and_postmaster_leave_nothing_that_commits_once_the_agent_is_back() {
    let mut ordeal = Ordeal::begin();
    ordeal.cluster.supervise();
    ordeal.strike();
    lose(&ordeal.old).unwrap();
    ordeal.end(Loss::WithinBound);
}

#[test]
fn killed_fencer_is_replaced_or_writes_stop() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    let before = ordeal.old.fencer().unwrap();
    ordeal.old.signal_fencer(Signal::KILL).unwrap();
    let again = wait_for("another fencer", Duration::from_secs(10), || {
        match ordeal.old.fencer() {
            Some(pid) if pid != before => Ok(pid),
            _ => Err("none".into()),
        }
    });
    again.unwrap();
    ordeal.end(Loss::WithinBound);
}

#[test]
fn frozen_agent_is_fenced_and_does_not_write_when_it_wakes() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    ordeal.old.signal_agent(Signal::STOP).unwrap();
    assert_instance_ends(&ordeal.old, authority_max());
    ordeal.wait_new_leader(4 * authority_max());
    std::thread::sleep(Duration::from_secs(2));
    ordeal.old.signal_agent(Signal::CONT).unwrap();
    assert_eq!(ordeal.end(Loss::WithinBound).promotions, 1);
}

#[test]
fn frozen_fencer_is_replaced_or_writes_stop() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    let fencer = ordeal.old.fencer().unwrap();
    ordeal.old.signal_fencer(Signal::STOP).unwrap();
    std::thread::sleep(2 * authority_max());
    tanist::testbed::process::signal(fencer, Signal::CONT);
    ordeal.end(Loss::WithinBound);
}

#[test]
fn frozen_postmaster_never_leaves_two_primaries() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    let postmaster = ordeal.old.postmaster().unwrap();
    ordeal.old.signal_postmaster(Signal::STOP).unwrap();
    std::thread::sleep(2 * authority_max());
    tanist::testbed::process::signal(postmaster, Signal::CONT);
    ordeal.end(Loss::WithinBound);
}

#[test]
fn terminated_agent_hands_over_without_losing_a_row() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    ordeal.old.signal_agent(Signal::TERM).unwrap();
    ordeal.old.agent_ends(Duration::from_secs(30)).unwrap();
    ordeal.wait_new_leader(2 * authority_max());
    ordeal.old.start().unwrap();
    assert_eq!(ordeal.end(Loss::None).promotions, 1);
}

#[test]
fn agent_that_its_supervisor_restarts_rejoins() {
    let mut ordeal = Ordeal::begin();
    ordeal.cluster.supervise();
    ordeal.strike();
    ordeal.old.signal_agent(Signal::TERM).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    ordeal.end(Loss::None);
}
