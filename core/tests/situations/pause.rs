//! Maintenance mode: what is touched, and what is not.

use super::situation::*;
use super::sql::status;
use serde_json::{Value, json};
use tanist_core::decision::*;
use tanist_core::leader_key::Key;
use tanist_core::name::OpId;
use tanist_core::postgres::*;
use tanist_core::tenure::SessionCall;

fn paused(situation: Situation) -> Situation {
    situation.has("store/config/paused", true)
}

fn leads(observation: Observation) -> Situation {
    paused(Situation::new().leads().runs(observation))
}

#[test]
fn a_paused_leader_without_a_primary_gives_the_key_up_when_nothing_is_being_asked() {
    let waits = Decision::Wait(Waiting::Paused);
    let release = |why| Decision::Release { why };
    let call = (OpId(4), SessionCall::Renew { status: None });
    let down = || leads(stopped(DbState::ShutDown));
    let without = release(ReleaseReason::PausedWithoutPostgres);
    assert_eq!(down().decides(), without);
    assert_eq!(down().has("tenure/call", &call).decides(), waits);
    let standby = || leads(super::situation::standby(status(true)));
    assert_eq!(standby().decides(), release(ReleaseReason::PausedStandby));
    assert_eq!(standby().has("tenure/call", &call).decides(), waits);
    assert_eq!(leads(primary(status(false))).decides(), waits);
}

#[test]
fn a_paused_standby_that_was_named_keeps_the_key_that_it_took() {
    let named = |request: &str| {
        let situation = Situation::new().leads().store(&[("failover", request)]);
        let agent = paused(situation.runs(standby(status(true)))).agent();
        let cluster = serde_json::from_value(json(&agent)["store"]["cluster"].clone()).unwrap();
        agent.decide_paused(now(), &cluster)
    };
    let waits = Decision::Wait(Waiting::Paused);
    assert_eq!(named(r#"{"member":"a"}"#), waits);
    assert_ne!(named(r#"{"member":"b"}"#), waits);
}

/// A primary that runs in pause beside a free key.
fn runs_free(store: &[(&str, &str)], observation: Observation) -> Situation {
    paused(Situation::new().store(store).in_session().runs(observation))
}

#[test]
fn a_paused_primary_takes_the_free_key_of_its_own_cluster() {
    let mine = [("initialize", SYSTEM)];
    let why = AcquireReason::RunningPrimary;
    let acquire = Decision::Acquire { why };
    let waits = Decision::Wait(Waiting::Paused);
    let here = |store: &[(&str, &str)]| runs_free(store, primary(status(false)));
    let call = (OpId(4), SessionCall::Keep);
    let mut silent = primary(status(false));
    silent.sql = Sql::Silent("no answer".into());
    // Known as a primary from an earlier answer of the same postmaster.
    let silent = here(&mine).runs(silent);
    let soon = now_and(1).mono;
    let cases = [
        ("its own", here(&mine), &acquire),
        ("one that the store has forgotten", here(&[]), &acquire),
        (
            "another's",
            here(&[("initialize", "7000000000000000000")]),
            &waits,
        ),
        ("one being founded", here(&[("initialize", "")]), &waits),
        (
            "one that cannot be read",
            here(&[("initialize", "what?")]),
            &waits,
        ),
        (
            "somebody leads",
            here(&mine).key("leader", "b", THEIRS),
            &waits,
        ),
        (
            "a mode is missing",
            here(&mine).has("store/config/missing_modes", ["Failsafe"]),
            &waits,
        ),
        (
            "the store is being asked",
            here(&mine).has("tenure/call", call),
            &waits,
        ),
        (
            "it rests",
            here(&mine).has("tenure/ask_key_at", soon),
            &waits,
        ),
        ("it does not answer", silent, &waits),
    ];
    for (what, situation, expected) in cases {
        assert_eq!(&situation.decides(), expected, "{what}");
    }
}

#[test]
fn a_command_acts_in_pause_until_what_it_asked_for_is_there() {
    let commanded = |situation: Situation| paused(situation).agent().is_commanded_in_pause();
    let follower = || {
        Situation::new()
            .led_by("b")
            .in_session()
            .runs(standby(status(true)))
    };
    let by_command = |situation: Situation| situation.has("rejoin/by_command", true);
    assert!(!commanded(follower()));
    assert!(commanded(by_command(follower())));
    let leaderless = || {
        Situation::new()
            .store(&[("initialize", SYSTEM)])
            .in_session()
    };
    let reinit = |situation: Situation| by_command(situation).has("rejoin/reinit", true);
    assert!(commanded(reinit(follower())));
    assert!(!commanded(reinit(leaderless())), "it waits for a leader");
    assert!(commanded(by_command(leaderless())), "a restart does not");
    let handing_over = Situation::new().leads().runs(primary(status(false)));
    assert!(commanded(handing_over.has("handover", handover())));
    let wanted = json!({"r": {"kind": {"Restart": {"stopped": false}}, "what": "restart", "phase": "begun",
        "since": mono(90), "until": mono(200), "write": null, "written": 0, "answer": null}});
    assert!(commanded(follower().has("requests/open", wanted)));
    let named = || leaderless().runs(standby(status(true)));
    assert!(!commanded(named()));
    assert!(commanded(
        named().store(&[("failover", r#"{"member":"a"}"#)])
    ));
}

#[test]
fn a_command_is_done_when_the_member_leads_or_follows_and_nothing_was_begun() {
    let left = |situation: Situation| {
        let mut agent = situation.has("rejoin/by_command", true).agent();
        agent.note_command_done();
        json(&agent)["rejoin"]["by_command"] == Value::Bool(true)
    };
    let leader = || Situation::new().leads().runs(primary(status(false)));
    let follower = || {
        let follows = Decision::Follow { leader: "b".into() };
        let here = Situation::new().led_by("b").in_session();
        here.runs(standby(status(true))).has("decision", follows)
    };
    assert!(!left(leader()));
    assert!(!left(follower()));
    let standby_with_key = Situation::new().leads().runs(standby(status(true)));
    assert!(left(standby_with_key), "not promoted yet");
    let without_key = leader().has("tenure/key", Key::NotHeld);
    assert!(left(without_key));
    for begun in [
        follower().has("rejoin/reinit", true),
        leader().has("handover", handover()),
    ] {
        assert!(left(begun));
    }
}

fn handover() -> Value {
    json!({"cause": "Request", "candidate": null, "since": mono(SECOND),
           "phase": {"Choosing": {"ballot": null}}, "was_forced": false})
}
