//! Beside Patroni 4.1.5 from PyPI, unmodified: its command line on a cluster of Tanist's.

use crate::ordeal::{Load, Loss, Ordeal};
use crate::support::healthy_cluster;
use std::path::Path;
use std::process::{Command, Output};
use tanist::testbed::patroni;

fn patronictl(config: &Path, arguments: &[&str]) -> Output {
    Command::new(patroni::patronictl().unwrap())
        .arg("-c")
        .arg(config)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn patronictl_lists_the_cluster_and_switches_it_over() {
    let mut ordeal = Ordeal::on(healthy_cluster(), Load::Kind);
    let config = ordeal.old.config().to_path_buf();
    let listed = patronictl(&config, &["list", "-f", "json"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success(), "{listed:?}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let role = |row: &serde_json::Value| row["Role"].as_str().unwrap_or_default().to_string();
    let mut roles: Vec<_> = rows.iter().map(role).collect();
    roles.sort();
    assert_eq!(roles, ["Leader", "Replica", "Replica"], "{text}");
    assert!(rows.iter().all(|row| row["TL"] == 1), "{text}");

    ordeal.strike();
    let old = ordeal.old.name().to_string();
    let candidate = ordeal.cluster.standbys_of(&old)[0].name().to_string();
    let switched = patronictl(
        &config,
        &[
            "switchover",
            "--leader",
            &old,
            "--candidate",
            &candidate,
            "--force",
            "testbed",
        ],
    );
    let told = format!("{switched:?}");
    assert!(switched.status.success(), "{told}");
    assert!(told.contains("Successfully switched over"), "{told}");
    let ended = ordeal.end(Loss::None);
    assert_eq!((ended.leader, ended.promotions), (candidate, 1));
}
