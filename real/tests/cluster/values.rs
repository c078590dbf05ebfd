//! Values in the store that make no sense: nothing panics, no data is deleted, and the reason is told.

use crate::ordeal::{Load, Loss, Ordeal};
use crate::support::healthy_cluster;
use std::time::Duration;

const KEYS: [&str; 9] = [
    "leader",
    "config",
    "initialize",
    "history",
    "status",
    "failover",
    "sync",
    "failsafe",
    "members/a",
];

const VALUES: [&[u8]; 5] = [b"", b"{", b"null", b"[1,", b"\xff\xfe\x00 not text"];

#[test]
fn senseless_values_in_any_key_are_survived() {
    let mut ordeal = Ordeal::on(healthy_cluster(), Load::Kind);
    let agents: Vec<_> = ordeal.cluster.members().iter().map(|m| m.agent()).collect();
    let systems: Vec<_> = ordeal
        .cluster
        .members()
        .iter()
        .map(|m| m.value(SYSTEM).unwrap())
        .collect();
    ordeal.strike();
    let saved: Vec<_> = KEYS
        .iter()
        .map(|key| ordeal.cluster.etcd.get(&ordeal.cluster.key(key)).unwrap())
        .collect();
    for (key, before) in KEYS.iter().zip(saved) {
        let path = ordeal.cluster.key(key);
        for value in VALUES {
            ordeal.cluster.etcd.put(&path, value).unwrap();
            std::thread::sleep(Duration::from_millis(700));
        }
        // What only people write stays as people mend it.
        match (*key, before) {
            ("config" | "initialize", Some(value)) => {
                ordeal.cluster.etcd.put(&path, value.as_bytes()).unwrap();
            }
            // A leader key without a lease never runs out, and whoever it may name, nobody else may delete it.
            ("sync" | "failsafe" | "failover" | "leader", _) => {
                ordeal.cluster.etcd.delete(&path).unwrap();
            }
            (_, _) => {}
        }
        ordeal
            .clients
            .wait_written(10, Duration::from_secs(60))
            .unwrap();
    }
    ordeal
        .cluster
        .wait_healthy(Duration::from_secs(60))
        .unwrap();
    let after: Vec<_> = ordeal.cluster.members().iter().map(|m| m.agent()).collect();
    assert_eq!(after, agents, "an agent has ended");
    let same: Vec<_> = ordeal
        .cluster
        .members()
        .iter()
        .map(|m| m.value(SYSTEM).unwrap())
        .collect();
    assert_eq!(same, systems, "data was made anew");
    ordeal.end(Loss::WithinBound);
}

const SYSTEM: &str = "SELECT system_identifier FROM pg_control_system()";
