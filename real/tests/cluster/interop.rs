//! Beside Patroni 4.1.5 from PyPI, unmodified: its command line on a cluster of Tanist's, and ours on a
//! cluster of its own.

use crate::ordeal::{Load, Loss, Ordeal};
use crate::support::{healthy_cluster, tanistctl};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use tanist::testbed::cluster::{Cluster, Plan};
use tanist::testbed::patroni;
use tanist::testbed::template::{Make, Pace};

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

/// One node at a time is swapped in a live cluster, and what Tanist lacks is asked for meanwhile: who has it leads.
#[test]
fn a_mode_that_tanist_lacks_is_handed_to_the_member_that_runs_patroni() {
    let plan = Plan {
        by_patroni: Some((vec!["c"], patroni::program().unwrap())),
        ..Plan::three(Path::new(env!("CARGO_BIN_EXE_tanist")), Pace::Floor)
    };
    let cluster = Cluster::start(&plan).unwrap();
    let healthy = cluster.wait_healthy(Duration::from_secs(60)).unwrap();
    if healthy.leader == "c" {
        let answer = cluster.switchover("c", Some("a")).unwrap();
        assert_eq!(answer.code, 200, "{answer:?}");
    }
    let mut ordeal = Ordeal::on(cluster, Load::Kind);
    assert_ne!(ordeal.old.name(), "c");
    ordeal.strike();
    let asked = json!({"synchronous_mode": true});
    let patched = ordeal.cluster.patch_config(&asked).unwrap();
    assert_eq!(patched.code, 200, "{patched:?}");
    assert_eq!(ordeal.wait_new_leader(Duration::from_secs(60)).name(), "c");
    let told = ordeal.old.get("/trace?n=200").unwrap().body;
    assert!(told.contains("synchronous_mode"), "{told}");
    let ended = ordeal.end(Loss::None);
    assert_eq!((ended.leader.as_str(), ended.promotions), ("c", 1));
}

#[test]
fn tanistctl_lists_a_cluster_that_patroni_runs_as_patronictl_does() {
    let plan = Plan {
        make: Make::Patroni,
        ..Plan::three(&patroni::program().unwrap(), Pace::Floor)
    };
    let cluster = Cluster::start(&plan).unwrap();
    let config = cluster.members()[0].config();
    let arguments = ["list", "-f", "json"];
    let ours = tanistctl(config, &arguments);
    assert!(ours.status.success(), "{ours:?}");
    let theirs = patronictl(config, &arguments);
    assert!(theirs.status.success(), "{theirs:?}");
    let (ours, theirs) = (steady(&ours.stdout), steady(&theirs.stdout));
    assert_eq!(ours.as_array().map(Vec::len), Some(3), "{ours}");
    assert_eq!(ours, theirs);
}

/// Without what moves between two looks: positions and lags.
fn steady(listed: &[u8]) -> serde_json::Value {
    let mut rows: serde_json::Value = serde_json::from_slice(listed).unwrap();
    for row in rows.as_array_mut().unwrap() {
        let row = row.as_object_mut().unwrap();
        row.retain(|column, _| !column.contains("LSN") && !column.contains("Lag"));
    }
    rows
}
