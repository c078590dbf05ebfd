//! Every verb of `tanistctl`, as an administrator types it, on a cluster that takes writes.

use crate::ordeal::{Load, Loss, Ordeal};
use crate::support::{healthy_cluster, tanistctl};
use serde_json::Value;
use std::time::Duration;
use tanist::testbed::member::Member;
use tanist::testbed::sql::SUPERUSER_PASSWORD;
use tanist::testbed::template::SCOPE;

/// What the command prints when it ends well.
fn done(member: &Member, arguments: &[&str]) -> String {
    let output = tanistctl(member.config(), arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn whole(ordeal: &Ordeal) -> String {
    let healthy = ordeal.cluster.wait_healthy(Duration::from_secs(60));
    healthy.unwrap_or_else(|why| panic!("{why:?}")).leader
}

fn paused(member: &Member) -> bool {
    let told = member.get("/patroni").unwrap().json().unwrap();
    told["pause"] == Value::Bool(true)
}

#[test]
fn what_tanistctl_shows_is_the_cluster() {
    let cluster = healthy_cluster();
    let leader = cluster.leader().unwrap();
    let listed = done(leader, &["list", "-f", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let leads = rows.iter().find(|row| row["Role"] == "Leader").unwrap();
    assert_eq!((rows.len(), &leads["Member"]), (3, &leader.name().into()));
    assert!(done(leader, &["show-config"]).contains("maximum_lag_on_failover: 1048576"));
    let told = done(leader, &["trace", leader.name()]);
    assert!(
        told.contains("now: no action. I am the leader with the lock"),
        "{told}"
    );
    assert!(
        told.contains("trying to acquire") || told.contains("initialize"),
        "{told}"
    );
    let versions = done(leader, &["version", SCOPE]);
    for member in cluster.members() {
        assert!(
            versions.contains(&format!("{}: ", member.name())),
            "{versions}"
        );
    }
    let refused = tanistctl(leader.config(), &["trace", "nobody"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

#[test]
fn switchover_and_back_by_failover() {
    let mut ordeal = Ordeal::on(healthy_cluster(), Load::Kind);
    ordeal.strike();
    let old = ordeal.old.clone();
    let heir = ordeal.cluster.standbys_of(old.name())[0].name().to_string();
    let wrong = ["switchover", "--leader", &heir, "--force"];
    let refused = tanistctl(old.config(), &wrong);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = done(&old, &["switchover", "--candidate", &heir, "--force"]);
    assert!(
        told.contains(&format!("Successfully switched over to \"{heir}\"")),
        "{told}"
    );
    assert_eq!(whole(&ordeal), heir);
    let told = done(&old, &["failover", "--candidate", old.name(), "--force"]);
    let back = format!("Successfully failed over to \"{}\"", old.name());
    assert!(told.contains(&back), "{told}");
    assert_eq!(ordeal.end(Loss::None).promotions, 2);
}

#[test]
fn pause_restart_reinit_and_resume() {
    let mut ordeal = Ordeal::on(healthy_cluster(), Load::Kind);
    ordeal.strike();
    let old = ordeal.old.clone();
    let told = done(&old, &["pause", "--wait"]);
    assert!(told.contains("cluster management is paused"), "{told}");
    assert!(ordeal.cluster.members().iter().all(paused));
    let told = done(&old, &["resume", "--wait"]);
    assert!(told.contains("cluster management is resumed"), "{told}");
    assert!(!ordeal.cluster.members().iter().any(paused));

    let standby = ordeal.cluster.standbys_of(old.name())[0].clone();
    let name = standby.name().to_string();
    for (arguments, success) in [
        (
            ["restart", SCOPE, &name, "--force"].to_vec(),
            format!("Success: restart on member {name}"),
        ),
        (
            ["reinit", SCOPE, &name, "--force", "--wait"].to_vec(),
            format!("Reinitialize is completed on: {name}"),
        ),
    ] {
        let before = standby.postmaster();
        let told = done(&old, &arguments);
        assert!(told.contains(&success), "{told}");
        assert_eq!(whole(&ordeal), old.name());
        assert_ne!(standby.postmaster(), before, "{arguments:?}");
    }
    assert_eq!(ordeal.end(Loss::None).promotions, 0);
}

#[test]
fn an_incident_is_collected_from_every_member_and_holds_no_password() {
    let cluster = healthy_cluster();
    let leader = cluster.leader().unwrap();
    let out = cluster.folder().path().join("incident");
    let collect = ["incident", "collect", "--minutes", "5", "--out"];
    let arguments = [&collect[..], &[out.to_str().unwrap()]].concat();
    let told = done(leader, &arguments);
    for member in cluster.members() {
        let name = member.name();
        assert!(told.contains(&format!("{name}: {{\"bytes\"")), "{told}");
        let text = std::fs::read_to_string(out.join(format!("{name}.jsonl"))).unwrap();
        let replayed = tanist_core::replay::replay(&text).unwrap();
        assert!(replayed.handles > 10, "{name}: {replayed:?}");
        assert!(!text.contains(SUPERUSER_PASSWORD), "{name}");
    }
    let about = std::fs::read_to_string(out.join("incident.json")).unwrap();
    let about: Value = serde_json::from_str(&about).unwrap();
    assert_eq!(about["cluster"], SCOPE);
    let again = tanistctl(leader.config(), &arguments);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
}
