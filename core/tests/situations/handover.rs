//! Handing over on purpose: when it begins, when it is given up, whom it chooses.

use super::situation::*;
use super::sql::status;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tanist_core::agent::{Agent, Output};
use tanist_core::candidate::{ShownEnd, shown_end};
use tanist_core::decision::{Decision, Waiting};
use tanist_core::election::Ballot;
use tanist_core::election_loss::ElectionLoss;
use tanist_core::handover::{Cause, Handover, Phase};
use tanist_core::lsn::Lsn;
use tanist_core::name::{MemberName, OpId};
use tanist_core::note::Note;
use tanist_core::peer::{PeerAnswer, PeerStatus};
use tanist_core::postgres::{ConnectedStandby, DbState, Slot, SqlStatus};
use tanist_core::store::Vacancy;
use tanist_core::time::Span;
use tanist_core::timeline::TimelineId;

fn leader() -> Situation {
    Situation::new().leads().runs(primary(status(false)))
}

fn begun(agent: &Agent) -> bool {
    !json(agent)["handover"].is_null()
}

fn phase(agent: &Agent) -> Option<Phase> {
    let handover = json(agent)["handover"].clone();
    serde_json::from_value::<Option<Handover>>(handover)
        .unwrap()
        .map(|h| h.phase)
}

fn duties(situation: Situation) -> (Agent, Output) {
    let mut agent = situation.agent();
    let out = out(|out| agent.handover_duties(now(), out));
    (agent, out)
}

/// A hand-over to `b` on a request, in this phase.
fn in_phase(phase: Phase) -> Handover {
    Handover {
        cause: Cause::Request,
        candidate: None,
        since: mono(SECOND),
        phase,
        was_forced: false,
    }
}

const REQUEST: (&str, &str) = ("failover", r#"{"leader":"a","member":"b"}"#);

#[test]
fn a_request_begins_a_hand_over_unless_one_was_given_up_a_moment_ago() {
    let begins = |not_before| {
        let asked = leader().store(&[REQUEST]);
        begun(&duties(asked.has("handover_not_before", not_before)).0)
    };
    assert!(begins(mono(SECOND)));
    assert!(!begins(now_and(1).mono));
    let others = leader().store(&[("failover", r#"{"leader":"c","member":"b"}"#)]);
    assert!(!begun(&duties(others).0), "prepared by another leader");
    let to_me = leader().store(&[("failover", r#"{"member":"a"}"#)]);
    assert!(!begun(&duties(to_me).0), "it leads already");
}

#[test]
fn for_a_mode_that_it_lacks_it_hands_over_to_a_running_patroni_only() {
    let patroni = |tags: Value, state: &str| {
        json!({"conn_url": "postgres://127.0.0.1:5432/postgres", "api_url": "http://127.0.0.1:8009/patroni",
               "state": state, "role": "replica", "version": "4.1.5", "tags": tags})
        .to_string()
    };
    let begins = |other: &str, not_before| {
        let lacking = leader()
            .store(&[("members/b", other)])
            .has("store/config/missing_modes", ["Synchronous"])
            .has("handover_not_before", not_before);
        begun(&duties(lacking).0)
    };
    let due = mono(SECOND);
    assert!(begins(&patroni(json!({}), "running"), due));
    assert!(!begins(&patroni(json!({}), "running"), now_and(1).mono));
    assert!(!begins(
        &patroni(json!({"nofailover": true}), "running"),
        due
    ));
    assert!(!begins(&patroni(json!({}), "stopped"), due));
    assert!(!begins(&member(8009), due), "a Tanist lacks it, too");
    let none_lacks = leader().store(&[("members/b", &patroni(json!({}), "running"))]);
    assert!(!begun(&duties(none_lacks).0));
    let paused = leader()
        .store(&[("members/b", &patroni(json!({}), "running"))])
        .has("store/config/missing_modes", ["Synchronous"])
        .has("store/config/paused", true);
    assert!(!begun(&duties(paused).0));
}

/// A standby that cannot take the key which it was to be handed.
fn cannot_take(loss: ElectionLoss, vacant_millis: u64) -> Situation {
    let since = tanist_core::time::Mono(mono(SECOND).0 - vacant_millis * 1_000);
    Situation::new()
        .store(&[("failover", r#"{"leader":"b","member":"a"}"#)])
        .in_session()
        .runs(standby(status(true)))
        .has("store/vacant", (since, Vacancy::Released))
        .has("decision", Decision::Wait(Waiting::Election(loss)))
}

#[test]
fn who_cannot_take_what_it_was_handed_takes_the_request_back_after_its_precedence() {
    let lag = || ElectionLoss::Lag {
        bytes: 5,
        allowed: 0,
    };
    let drops = |situation| {
        let (_, out) = duties(situation);
        out.notes
            .iter()
            .any(|note| matches!(note, Note::FailoverKeyDropped { .. }))
    };
    assert!(drops(cannot_take(lag(), 12_001)));
    assert!(!drops(cannot_take(lag(), 12_000)));
    assert!(!drops(cannot_take(ElectionLoss::Conflict, 12_001)));
    let paused = cannot_take(lag(), 12_001).has("store/config/paused", true);
    assert!(!drops(paused));
    let writing = cannot_take(lag(), 12_001).has("publishing/writes", json!({"failover": 3}));
    assert!(!drops(writing), "a write of the key is under way");
    let later = json!({"leader": "b", "member": "a", "scheduled_at": "2033-11-14T22:15:00+00:00"});
    let later = cannot_take(lag(), 12_001).store(&[("failover", &later.to_string())]);
    assert!(!drops(later), "not due yet");
    let mine = cannot_take(lag(), 12_001).store(&[("failover", r#"{"leader":"a","member":"a"}"#)]);
    assert!(!drops(mine), "prepared by this member itself");
    let named_alone = cannot_take(lag(), 12_001).store(&[("failover", r#"{"member":"a"}"#)]);
    assert!(!drops(named_alone), "an operator forces it");
    let others =
        cannot_take(lag(), 12_001).store(&[("failover", r#"{"leader":"b","member":"c"}"#)]);
    assert!(!drops(others), "to another");
    let anybody = cannot_take(lag(), 12_001).store(&[("failover", r#"{"leader":"b"}"#)]);
    assert!(drops(anybody), "to anybody");
}

// ---- the steps ----

fn confirming(millis_ago: u64) -> Phase {
    Phase::Confirming {
        candidate: "b".into(),
        checkpoint: Lsn(50_331_000),
        since: tanist_core::time::Mono(mono(SECOND).0 - millis_ago * 1_000),
        asked: None,
        again_at: mono(SECOND),
        confirmed: false,
    }
}

fn advanced(situation: Situation) -> Option<Phase> {
    let mut agent = situation.agent();
    let _ = out(|out| agent.advance_handover(now(), out));
    phase(&agent)
}

#[test]
fn a_candidate_has_three_seconds_to_show_the_checkpoint_and_never_longer_than_the_authority() {
    let down = || Situation::new().leads().runs(stopped(DbState::ShutDown));
    let after = |millis, renewed| {
        let waits = down().has("handover", in_phase(confirming(millis)));
        advanced(waits.has("tenure/session", session(renewed)))
    };
    let resumes = |phase| matches!(phase, Some(Phase::Resuming { .. }));
    assert!(!resumes(after(2_999, SECOND)));
    assert!(resumes(after(3_000, SECOND)));
    assert!(resumes(after(0, SECOND - 28)), "its authority is over");
}

#[test]
fn the_next_question_to_a_candidate_waits_for_its_pause() {
    let asks = |again_millis: u64, millis: u64| {
        let mut phase = confirming(0);
        if let Phase::Confirming { again_at, .. } = &mut phase {
            *again_at = now_and(again_millis).mono;
        }
        let known = Situation::new()
            .leads()
            .store(&[("members/b", &member(8009))])
            .runs(stopped(DbState::ShutDown));
        let mut agent = known.has("handover", in_phase(phase)).agent();
        let out = out(|out| agent.confirm_candidate(now_and(millis), &"b".into(), out));
        out.effects.len()
    };
    assert_eq!(asks(10, 9), 0);
    assert_eq!(asks(10, 10), 1);
    assert_eq!(asks(10, 11), 1);
}

#[test]
fn an_answer_counts_only_for_the_question_that_it_is_the_answer_to() {
    let answered = |phase, op| {
        let mut agent = leader().has("handover", in_phase(phase)).agent();
        agent.handover_answered(now(), OpId(op), &"b".into(), &PeerAnswer::TimedOut)
    };
    let ballot = Ballot {
        asked: BTreeMap::from([(OpId(4), MemberName::from("b"))]),
        ..Ballot::default()
    };
    let choosing = || Phase::Choosing {
        ballot: Some(ballot.clone()),
    };
    assert!(answered(choosing(), 4));
    assert!(!answered(choosing(), 5));
    let confirming = || {
        let mut phase = confirming(0);
        if let Phase::Confirming { asked, .. } = &mut phase {
            *asked = Some(OpId(4));
        }
        phase
    };
    assert!(answered(confirming(), 4));
    assert!(!answered(confirming(), 5));
}

#[test]
fn nothing_of_a_hand_over_stops_a_server_that_is_no_primary() {
    let decides = |phase, server| {
        let here = Situation::new().leads().runs(server);
        let agent = here.has("handover", in_phase(phase)).agent();
        agent.decide_handover(now())
    };
    let choosing = || Phase::Choosing { ballot: None };
    let chooses = Some(Decision::ChooseCandidate);
    assert_eq!(decides(choosing(), primary(status(false))), chooses);
    assert_eq!(decides(choosing(), stopped(DbState::ShutDown)), None);
    let candidate = MemberName::from("b");
    let stopping = || Phase::Stopping {
        candidate: candidate.clone(),
    };
    assert!(decides(stopping(), primary(status(false))).is_some());
    assert_eq!(decides(stopping(), stopped(DbState::ShutDown)), None);
}

// ---- the choice ----

fn streaming(name: &str, state: &str) -> ConnectedStandby {
    ConnectedStandby {
        application_name: name.into(),
        user: "replicator".into(),
        client_address: "127.0.0.1".into(),
        state: state.into(),
        sync_state: "async".into(),
        sync_priority: 0,
        flushed: Lsn(0),
    }
}

fn feeding(standbys: &[(&str, &str)], slots: &[(&str, bool, bool)]) -> SqlStatus {
    let mut here = status(false);
    here.standbys = standbys.iter().map(|(n, s)| streaming(n, s)).collect();
    for (name, physical, active) in slots {
        let slot = Slot {
            physical: *physical,
            active: *active,
            restart_lsn: None,
            lost: false,
        };
        here.slots.insert((*name).into(), slot);
    }
    here
}

#[test]
fn a_member_streams_by_its_name_or_by_its_slot() {
    let streams = |status: SqlStatus| {
        let agent = Situation::new().leads().runs(primary(status)).agent();
        agent.streams_from_me(&"b".into())
    };
    assert!(streams(feeding(&[("b", "streaming")], &[])));
    assert!(streams(feeding(&[("b", "catchup")], &[])));
    assert!(streams(feeding(&[], &[("b", true, true)])));
    assert!(!streams(feeding(&[("b", "backup")], &[])));
    assert!(!streams(feeding(&[("c", "streaming")], &[])));
    assert!(!streams(feeding(&[], &[("b", true, false)])));
    assert!(!streams(feeding(&[], &[("b", false, true)])));
    let in_recovery = SqlStatus {
        in_recovery: true,
        ..feeding(&[("b", "streaming")], &[])
    };
    assert!(!streams(in_recovery));
}

fn fit(position: u64, priority: i64) -> PeerStatus {
    PeerStatus {
        failover_priority: priority,
        streaming: true,
        sees_leader: true,
        ..follower(position)
    }
}

const HERE: u64 = 50_331_784;

/// Whom it chooses of these, all of whom stream, or why nobody.
fn chooses(
    cause: Cause,
    patroni: &[&str],
    answers: &[(&str, PeerStatus)],
) -> Result<String, String> {
    let ballot = Ballot {
        asked_at: mono(SECOND - 1),
        mine: Lsn(HERE),
        asked: BTreeMap::new(),
        answers: answers
            .iter()
            .map(|(name, s)| ((*name).into(), PeerAnswer::Status(s.clone())))
            .collect(),
    };
    let standbys: Vec<(&str, &str)> = answers.iter().map(|(n, _)| (*n, "streaming")).collect();
    let handover = Handover {
        cause,
        ..in_phase(Phase::Choosing {
            ballot: Some(ballot),
        })
    };
    let mut here = Situation::new().leads();
    for (name, _) in answers {
        let data = match patroni.contains(name) {
            true => r#"{"state":"running","role":"replica","version":"4.1.5"}"#.to_string(),
            false => member(8009),
        };
        here = here.store(&[(&format!("members/{name}"), &data)]);
    }
    let mut agent = here
        .runs(primary(feeding(&standbys, &[])))
        .has("handover", handover)
        .has("local/looked_at", mono(SECOND))
        .agent();
    let out = out(|out| agent.advance_handover(now(), out));
    match phase(&agent) {
        Some(Phase::Stopping { candidate }) => Ok(candidate.0),
        _given_up => Err(format!("{:?}", out.notes)),
    }
}

#[test]
fn the_furthest_is_chosen_then_by_priority_then_by_name() {
    let chosen = |answers: &[(&str, PeerStatus)]| chooses(Cause::Request, &[], answers);
    let (b, c) = ("b", "c");
    let further = chosen(&[(b, fit(HERE - 9, 1)), (c, fit(HERE, 1))]);
    assert_eq!(further.as_deref(), Ok(c));
    let first = chosen(&[(b, fit(HERE, 1)), (c, fit(HERE - 9, 9))]);
    assert_eq!(first.as_deref(), Ok(b));
    let priority = chosen(&[(b, fit(HERE, 1)), (c, fit(HERE, 2))]);
    assert_eq!(priority.as_deref(), Ok(c));
    let name = chosen(&[(b, fit(HERE, 1)), (c, fit(HERE, 1))]);
    assert_eq!(name.as_deref(), Ok(b));
    let allowed = 1_048_576;
    assert_eq!(chosen(&[(b, fit(HERE - allowed, 1))]).as_deref(), Ok(b));
    assert!(chosen(&[(b, fit(HERE - allowed - 1, 1))]).is_err());
}

#[test]
fn where_a_mode_is_missing_only_a_patroni_can_be_chosen() {
    let mode = serde_json::from_value(json!("Synchronous")).unwrap();
    let cause = Cause::ModeMissing(mode);
    let answers = [("b", fit(HERE, 9)), ("c", fit(HERE - 9, 1))];
    assert_eq!(chooses(cause, &["c"], &answers).as_deref(), Ok("c"));
    assert!(chooses(cause, &[], &answers).is_err());
    assert_eq!(
        chooses(Cause::Request, &["c"], &answers).as_deref(),
        Ok("b")
    );
}

#[test]
fn who_is_fed_by_another_patroni_from_one_to_the_next_is_fed_with_my_wal() {
    let fed = |b: Value, standbys: &[(&str, &str)]| {
        let agent = Situation::new()
            .leads()
            .store(&[("members/b", &b.to_string()), ("members/c", "{}")])
            .runs(primary(feeding(standbys, &[])))
            .agent();
        agent.is_fed(&"b".into())
    };
    let from_c = json!({"tags": {"replicatefrom": "c"}});
    assert!(fed(from_c.clone(), &[("c", "streaming")]));
    assert!(!fed(from_c, &[]));
    assert!(!fed(json!({}), &[("c", "streaming")]));
    let tanist = json!({"tags": {"replicatefrom": "c"}, "tanist": "0.1.0"});
    assert!(
        !fed(tanist, &[("c", "streaming")]),
        "a Tanist does not act on it"
    );
}

// ---- after it ----

#[test]
fn the_old_leader_leaves_the_key_to_the_others_for_five_seconds() {
    let abstains = |millis: u64, last: &str| {
        let released = tanist_core::time::Mono(mono(SECOND).0 - millis * 1_000);
        let former = json!({"owner": last, "lease": 7, "term": 3, "modified": 3});
        let here = Situation::new()
            .store(&[
                ("initialize", SYSTEM),
                ("failover", r#"{"leader":"a","member":"b"}"#),
            ])
            .in_session()
            .runs(standby(status(true)))
            .has("tenure/released_at", released)
            .has("store/last_leader", former);
        here.decides()
    };
    let candidate = Some(MemberName::from("b"));
    let waits = Decision::Wait(Waiting::HandoverTo { candidate });
    assert_eq!(abstains(4_999, "a"), waits);
    assert_ne!(abstains(5_000, "a"), waits);
    assert_ne!(abstains(4_999, "b"), waits, "another has led since");
    assert_eq!(Span::secs(5), tanist_core::handover::ABSTAIN);
}

#[test]
fn the_candidate_is_asked_when_the_server_is_down_and_its_stop_has_ended() {
    let phase_of = |server, busy: bool| {
        let stopping = Phase::Stopping {
            candidate: "b".into(),
        };
        let here = Situation::new().leads().runs(server);
        let stop = json!({"op": 5, "operation": {"Stop": {"plan": {"first": "Fast", "immediate_after": 0,
            "kill_after": 0}, "checkpoint_first": true}}, "term": TERM, "since": 1, "phase": null, "cancelled": false});
        let lane = if busy { stop } else { Value::Null };
        let here = here
            .has("handover", in_phase(stopping))
            .has("lane/current", lane);
        matches!(advanced(here), Some(Phase::Confirming { .. }))
    };
    let down = || stopped(DbState::ShutDown);
    assert!(phase_of(down(), false));
    assert!(!phase_of(down(), true));
    assert!(!phase_of(primary(status(false)), false));
}

#[test]
fn who_is_fed_by_another_must_stream_to_be_chosen() {
    let chosen = |streaming: bool| {
        let data = json!({"state": "running", "role": "replica", "tags": {"replicatefrom": "c"}});
        let mut answer = fit(HERE, 1);
        answer.streaming = streaming;
        let ballot = Ballot {
            asked_at: mono(SECOND - 1),
            mine: Lsn(HERE),
            asked: BTreeMap::new(),
            answers: BTreeMap::from([("b".into(), PeerAnswer::Status(answer))]),
        };
        let choosing = Phase::Choosing {
            ballot: Some(ballot),
        };
        let here = Situation::new()
            .leads()
            .store(&[("members/b", &data.to_string()), ("members/c", "{}")])
            .runs(primary(feeding(&[("c", "streaming")], &[])))
            .has("handover", in_phase(choosing))
            .has("local/looked_at", mono(SECOND));
        matches!(advanced(here), Some(Phase::Stopping { .. }))
    };
    assert!(chosen(true));
    assert!(!chosen(false));
}

#[test]
fn a_shutdown_record_takes_no_more_than_two_hundred_bytes() {
    let shown = |bytes: u64| {
        let status = fit(1_000 + bytes, 1);
        shown_end(&status, Lsn(1_000), Some(TimelineId(1)))
    };
    assert_eq!(shown(0), ShownEnd::Lacking);
    assert_eq!(shown(1), ShownEnd::Whole);
    assert_eq!(shown(200), ShownEnd::Whole);
    assert_eq!(shown(201), ShownEnd::Foreign);
}
