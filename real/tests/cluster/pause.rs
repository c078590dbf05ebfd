//! Maintenance mode, and what an operator may ask for in it.

use crate::ordeal::{Load, Loss, Ordeal, authority_max};
use crate::support::healthy_cluster;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tanist::testbed::cluster::Cluster;
use tanist::testbed::{http, wait_for};

const ANSWER_LIMIT: Duration = Duration::from_secs(60);

fn paused_ordeal() -> Ordeal {
    let ordeal = Ordeal::on(healthy_cluster(), Load::Kind);
    let paused = ordeal
        .cluster
        .patch_config(&json!({"pause": true}))
        .unwrap();
    assert_eq!(paused.code, 200, "{paused:?}");
    wait_for("every member is paused", Duration::from_secs(20), || {
        all_paused(&ordeal.cluster)
    })
    .unwrap();
    ordeal
}

fn all_paused(cluster: &Cluster) -> Result<(), String> {
    for member in cluster.members() {
        let told = member.get("/patroni")?.json()?;
        if told["pause"] != Value::Bool(true) {
            return Err(format!("{} is not: {told}", member.name()));
        }
    }
    Ok(())
}

fn resume(ordeal: &Ordeal) {
    let resumed = wait_for("resume is taken", Duration::from_secs(20), || {
        let answer = ordeal.cluster.patch_config(&json!({"pause": null}))?;
        (answer.code == 200)
            .then_some(())
            .ok_or_else(|| format!("{answer:?}"))
    });
    resumed.unwrap();
}

fn post(at: SocketAddr, path: &str, body: &Value) -> http::Answer {
    http::send(at, "POST", path, body, ANSWER_LIMIT).unwrap()
}

/// Nobody is there to renew, and nobody to fence: pause means that PostgreSQL is left alone.
#[test]
fn in_pause_nothing_is_killed() {
    let mut ordeal = Ordeal::begin();
    let paused = ordeal
        .cluster
        .patch_config(&json!({"pause": true}))
        .unwrap();
    assert_eq!(paused.code, 200, "{paused:?}");
    std::thread::sleep(Duration::from_secs(3));
    ordeal.strike();
    let postmaster = ordeal.old.postmaster();
    ordeal.cluster.etcd.kill().unwrap();
    ordeal
        .old
        .signal_agent(rustix::process::Signal::KILL)
        .unwrap();
    std::thread::sleep(3 * authority_max());
    assert_eq!(ordeal.old.postmaster(), postmaster);
    ordeal
        .clients
        .wait_written(20, Duration::from_secs(5))
        .unwrap();
    ordeal.cluster.etcd.resume().unwrap();
    ordeal.old.start().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(ordeal.old.postmaster(), postmaster);
    resume(&ordeal);
    ordeal.end(Loss::None);
}

#[test]
fn in_pause_a_restart_of_the_leader_comes_back_as_the_leader() {
    let mut ordeal = paused_ordeal();
    ordeal.strike();
    let before = ordeal.old.postmaster();
    let answer = post(ordeal.old.rest(), "/restart", &json!({}));
    assert_eq!(answer.code, 200, "{answer:?}");
    ordeal
        .clients
        .wait_written(20, Duration::from_secs(20))
        .unwrap();
    assert_ne!(ordeal.old.postmaster(), before);
    resume(&ordeal);
    let old = ordeal.old.name().to_string();
    let ended = ordeal.end(Loss::None);
    assert_eq!((ended.leader, ended.promotions), (old, 0));
}

#[test]
fn in_pause_a_switchover_to_a_named_member_is_carried_out() {
    let mut ordeal = paused_ordeal();
    ordeal.strike();
    let old = ordeal.old.name().to_string();
    let heir = ordeal.cluster.standbys_of(&old)[0].name().to_string();
    let answer = ordeal.cluster.switchover(&old, Some(&heir)).unwrap();
    assert_eq!(answer.code, 200, "{answer:?}");
    wait_for("the old leader follows", Duration::from_secs(30), || {
        let told = ordeal.old.get("/patroni")?.json()?;
        (told["replication_state"] == "streaming")
            .then_some(())
            .ok_or_else(|| told.to_string())
    })
    .unwrap();
    resume(&ordeal);
    let ended = ordeal.end(Loss::None);
    assert_eq!((ended.leader, ended.promotions), (heir, 1));
}

#[test]
fn in_pause_a_reinit_ends_in_a_standby() {
    let mut ordeal = paused_ordeal();
    ordeal.strike();
    let standby = ordeal.cluster.standbys_of(ordeal.old.name())[0].clone();
    let before = standby.postmaster();
    let answer = post(standby.rest(), "/reinitialize", &json!({}));
    assert_eq!(answer.code, 200, "{answer:?}");
    wait_for(
        "it streams as a new process",
        Duration::from_secs(60),
        || {
            let told = standby.get("/patroni")?.json()?;
            let new = standby.postmaster().is_some_and(|now| Some(now) != before);
            (new && told["replication_state"] == "streaming")
                .then_some(())
                .ok_or_else(|| told.to_string())
        },
    )
    .unwrap();
    resume(&ordeal);
    assert_eq!(ordeal.end(Loss::None).promotions, 0);
}
