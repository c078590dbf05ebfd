//! Values in the store that make no sense: nothing panics, no data is deleted, and the reason is told.

use crate::ordeal::{Load, Loss, Ordeal};
use crate::support::{healthy_cluster, promise};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;
use tanist::testbed::member::Member;

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

/// The key of a mode that this build does not have.
const NOT_READ: &str = "failsafe";

/// For each of the other keys at least one of these is nothing that it may say.
const VALUES: [&[u8]; 5] = [b"", b"{", b"null", b"[1,", b"\xff\xfe\x00 not text"];

#[test]
fn senseless_values_in_any_key_are_survived() {
    let mut ordeal = Ordeal::on(healthy_cluster(), Load::Kind);
    let agents: Vec<_> = ordeal.cluster.members().iter().map(|m| m.agent()).collect();
    let directories = data_directories(&ordeal);
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
        let reason = format!("DCS key {key} cannot be read (");
        let mut members = ordeal.cluster.members().iter();
        assert!(
            *key == NOT_READ || members.any(|m| tells(m, &reason)),
            "nobody tells: {reason}\n{}",
            ordeal.cluster.story()
        );
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
    let kept = data_directories(&ordeal) == directories;
    promise(kept, || "data was made anew".into());
    ordeal.end(Loss::WithinBound);
}

/// Each member's data directory as the file system knows it: one that was cloned or founded anew is another.
fn data_directories(ordeal: &Ordeal) -> Vec<u64> {
    let members = ordeal.cluster.members().iter();
    members
        .map(|m| std::fs::metadata(m.data_dir()).unwrap().ino())
        .collect()
}

/// In the log and in the view alike.
fn tells(member: &Member, reason: &str) -> bool {
    let log = std::fs::read_to_string(member.log()).unwrap_or_default();
    let view = member.get("/trace?n=200").map(|answer| answer.body);
    log.contains(reason) && view.is_ok_and(|told| told.contains(reason))
}
