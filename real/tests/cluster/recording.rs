//! What the agents of this very run decided, decided again in a fresh process, by each build there is.

use crate::ordeal::{Load, Loss, Ordeal};
use crate::support::healthy_cluster;
use std::path::PathBuf;
use std::time::Duration;
use tanist::testbed::{cluster, flight, http, wait_for};
use tanist_sim::event::What;
use tanist_sim::incident::recording::Recording;
use tanist_sim::incident::retold::{claiming, retell, usual_claim};
use tanist_sim::incident::story::merge;
use tanist_sim::scenario::parse::parse;
use tanist_sim::scenario::print::print;
use tanist_sim::scenario::run::{Verdict, run};

/// The binary under test, and the one of the other profile that `TANIST_OTHER_BUILD` names.
fn builds() -> [PathBuf; 2] {
    let other = std::env::var_os("TANIST_OTHER_BUILD").filter(|path| !path.is_empty());
    let other =
        other.expect("TANIST_OTHER_BUILD names a build of another profile: run `make cluster`");
    [PathBuf::from(env!("CARGO_BIN_EXE_tanist")), other.into()]
}

#[test]
fn recordings_of_a_failover_replay_bit_for_bit_in_every_build() {
    let mut ordeal = Ordeal::on(healthy_cluster(), Load::Kind);
    ordeal.strike();
    ordeal
        .old
        .signal_postmaster(rustix::process::Signal::KILL)
        .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let answer = ordeal.cluster.switchover(ordeal.old.name(), None);
    println!("{answer:?}");
    ordeal
        .clients
        .wait_written(20, Duration::from_secs(60))
        .unwrap();
    for build in builds() {
        for member in ordeal.cluster.members() {
            let inputs = flight::replay(&build, member).unwrap();
            println!("{}: {inputs} inputs of {}", build.display(), member.name());
            assert!(inputs > 20, "{inputs} inputs of {}", member.name());
        }
    }
    ordeal.end(Loss::WithinBound);
}

/// The recordings of a real failover, retold as a scenario: in the simulator the key goes the same way.
#[test]
fn real_failover_becomes_a_scenario_that_goes_the_same_way() {
    let cluster = healthy_cluster();
    let old = cluster.leader().unwrap().clone();
    cluster::lose(&old).unwrap();
    wait_for("another leads", Duration::from_secs(60), || {
        let leader = cluster.leader()?;
        let other = leader.name() != old.name();
        other.then_some(()).ok_or("the old one".to_string())
    })
    .unwrap();
    old.start().unwrap();
    cluster.wait_healthy(Duration::from_secs(90)).unwrap();
    let recordings: Vec<Recording> = cluster
        .members()
        .iter()
        .filter_map(|member| {
            let texts = flight::segments(member)
                .into_iter()
                .map(std::fs::read_to_string);
            Recording::read(&texts.collect::<Result<String, _>>().unwrap())
        })
        .collect();
    let merged = merge(&recordings);
    let wanted = usual_claim(&merged).expect("the first leader lost its key");
    let plan = claiming(&retell(&recordings, &merged), &[wanted]);
    let text = print(&plan);
    println!("{text}");
    assert_eq!(parse(&text).map_err(|c| c.to_string()), Ok(plan.clone()));
    let told = run(&plan);
    assert!(
        matches!(told.verdict, Verdict::Refuted(_)),
        "{}",
        told.verdict.sentence()
    );
    let owners = told.events.iter().filter_map(|event| match &event.what {
        What::LeaderKey { owner } => owner.clone(),
        _other => None,
    });
    let owners: Vec<String> = owners.map(|name| name.to_string()).collect();
    // Which of two equals is faster is chance.
    assert!(
        owners.len() == 2 && owners[0] == old.name() && owners[1] != owners[0],
        "{owners:?}"
    );
}

#[test]
fn changed_byte_of_a_recording_is_named_by_its_line() {
    let cluster = healthy_cluster();
    let member = &cluster.members()[0];
    let segment = flight::segments(member).remove(0);
    let text = std::fs::read_to_string(segment).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.truncate(10);
    lines[6] = lines[6].replacen("\"n\":", "\"n\":1", 1);
    let changed = cluster
        .folder()
        .write("changed.jsonl", &(lines.join("\n") + "\n"))
        .unwrap();
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_tanist"))
        .arg("--replay")
        .arg(changed)
        .output()
        .unwrap();
    assert!(!told.status.success());
    let why = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(why.contains("line 7"), "{why}");
}

/// What is planted in commands and in fields that this build does not know is in force, is shown to who asks for the
/// configuration, and is in no recording.
#[test]
fn planted_secret_is_in_force_and_in_no_recording() {
    const PLANTED: &str = "canary-60c4";
    let ordeal = Ordeal::on(healthy_cluster(), Load::Kind);
    let command = format!("true {PLANTED} %p");
    let patch = serde_json::json!({
        "postgresql": {"parameters": {"archive_command": command}},
        "not_known_here": {"token": PLANTED},
    });
    let answer = ordeal.cluster.patch_config(&patch).unwrap();
    assert_eq!(answer.code, 200, "{answer:?}");
    assert!(answer.body.contains(PLANTED), "{answer:?}");
    let standby = ordeal.cluster.standbys_of(ordeal.old.name())[0];
    let restarted = http::send(
        standby.rest(),
        "POST",
        "/restart",
        &serde_json::json!({}),
        Duration::from_secs(60),
    );
    assert_eq!(restarted.unwrap().code, 200);
    let file = std::fs::read_to_string(standby.data_dir().join("postgresql.conf")).unwrap();
    assert!(file.contains(&command), "{file}");
    for member in ordeal.cluster.members() {
        wait_for("it shows the change", Duration::from_secs(10), || {
            let shown = member.get("/config")?;
            (shown.body.contains(PLANTED))
                .then_some(())
                .ok_or(shown.body)
        })
        .unwrap();
    }
    let members = ordeal.cluster.members().to_vec();
    let mut ordeal = ordeal;
    ordeal.strike();
    let answer = ordeal.cluster.switchover(ordeal.old.name(), None).unwrap();
    assert_eq!(answer.code, 200, "{answer:?}");
    for member in &members {
        let segments = flight::segments(member);
        assert!(!segments.is_empty());
        for segment in segments {
            let text = std::fs::read_to_string(&segment).unwrap();
            assert!(!text.contains(PLANTED), "{}", segment.display());
        }
        flight::replay(&builds()[0], member).unwrap();
    }
    ordeal.end(Loss::None);
}
