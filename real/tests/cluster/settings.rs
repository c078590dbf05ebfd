//! Settings that a standby must match, changed while the cluster takes writes.

use crate::ordeal::{Load, Loss, Ordeal};
use crate::support::{healthy_cluster, tanistctl};
use serde_json::json;
use std::time::Duration;
use tanist::testbed::member::Member;
use tanist::testbed::template::SCOPE;
use tanist::testbed::wait_for;

const SOON: Duration = Duration::from_secs(60);

fn configure(ordeal: &Ordeal, max_connections: u32) {
    let patch = json!({"postgresql": {"parameters": {"max_connections": max_connections}}});
    let answer = ordeal.cluster.patch_config(&patch).unwrap();
    assert_eq!(answer.code, 200, "{}", answer.body);
}

fn restart(member: &Member) {
    let output = tanistctl(
        member.config(),
        &["restart", SCOPE, member.name(), "--force"],
    );
    assert!(output.status.success(), "{output:?}");
}

fn wait_has(member: &Member, max_connections: &str) {
    wait_for("the server has as many connections", SOON, || {
        let has = member.value("SHOW max_connections")?;
        let replays =
            member.value("SELECT NOT pg_is_in_recovery() OR NOT pg_is_wal_replay_paused()")?;
        match has == max_connections && replays == "t" {
            true => Ok(()),
            false => Err(format!("{} has {has}, replays: {replays}", member.name())),
        }
    })
    .unwrap();
}

/// Only then does its control file ask for less.
fn wait_replayed(standby: &Member, upto: &str) {
    wait_for("the standby has replayed it", SOON, || {
        let query = format!("SELECT pg_last_wal_replay_lsn() >= '{upto}'");
        match standby.value(&query)?.as_str() {
            "t" => Ok(()),
            other => Err(format!("{} has replayed {upto}: {other}", standby.name())),
        }
    })
    .unwrap();
}

/// PostgreSQL 14 and newer pause replay on a standby that has less; it would be no candidate for ever.
#[test]
fn a_standby_gets_what_its_primary_was_given() {
    let mut ordeal = Ordeal::on(healthy_cluster(), Load::Kind);
    ordeal.strike();
    let primary = ordeal.old.clone();
    configure(&ordeal, 300);
    restart(&primary);
    for member in ordeal.cluster.members() {
        wait_has(member, "300");
    }
    for standby in ordeal.cluster.standbys_of(primary.name()) {
        let log = std::fs::read_to_string(standby.log()).unwrap();
        let reason = "replay stands still with max_connections = 200, the primary has 300";
        assert!(
            log.contains(reason),
            "{} does not tell: {reason}",
            standby.name()
        );
    }
    // Lowered, a standby that is restarted first keeps what its control file demands.
    configure(&ordeal, 90);
    let standby = ordeal.cluster.standbys_of(primary.name())[0].clone();
    restart(&standby);
    wait_has(&standby, "300");
    restart(&primary);
    wait_has(&primary, "90");
    wait_replayed(
        &standby,
        &primary.value("SELECT pg_current_wal_lsn()").unwrap(),
    );
    restart(&standby);
    wait_has(&standby, "90");
    ordeal.cluster.wait_healthy(SOON).unwrap();
    assert_eq!(ordeal.end(Loss::None).promotions, 0);
}
