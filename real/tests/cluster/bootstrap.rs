//! From empty directories to a cluster that replicates.

use crate::support::{healthy_cluster, plan};
use std::process::Command;
use std::time::{Duration, Instant};
use tanist::testbed::account::Account;
use tanist::testbed::cluster::Cluster;
use tanist::testbed::folder::Folder;

#[test]
fn three_empty_directories_become_a_leader_and_two_streaming_standbys_within_ten_seconds() {
    let folder = Folder::temporary("tanist-testbed", Account::ordinary().unwrap()).unwrap();
    let cluster = Cluster::prepare(&plan(), folder).unwrap();
    let began = Instant::now();
    for member in cluster.members() {
        member.start().unwrap();
    }
    let healthy = cluster.wait_healthy(Duration::from_secs(60)).unwrap();
    let took = began.elapsed();
    eprintln!(
        "{} leads on timeline {} after {took:?}",
        healthy.leader, healthy.timeline
    );
    assert_eq!(healthy.timeline, 1);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// Versions that can take a live lease away are told of: before 3.4.31, and 3.5 before 3.5.13.
#[test]
fn an_etcd_that_can_revoke_a_live_lease_is_warned_of() {
    let asked = Command::new("etcd").arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&asked.stdout).into_owned();
    let cluster = healthy_cluster();
    let log = std::fs::read_to_string(cluster.members()[0].log()).unwrap();
    let warned = log.contains("this etcd version can revoke a live lease");
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with("3."));
    let parts = number.unwrap().split('.').map(|part| part.parse().unwrap());
    let parts: Vec<u32> = parts.collect();
    let revokes = parts < vec![3, 4, 31] || (parts >= vec![3, 5, 0] && parts < vec![3, 5, 13]);
    assert_eq!(warned, revokes, "{version}{log}");
}

#[test]
fn every_agent_has_a_fencer_and_a_postmaster_of_its_own() {
    let cluster = healthy_cluster();
    for member in cluster.members() {
        assert!(member.fencer().is_some(), "{}", member.name());
        assert!(member.postmaster().is_some(), "{}", member.name());
    }
}
