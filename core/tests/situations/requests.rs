//! Requests of operators: the gates, the schedule, and when they are answered.

use super::situation::*;
use super::sql::status;
use super::support::at;
use serde_json::{Value, json};
use tanist_core::agent::Output;
use tanist_core::effect::EffectBody;
use tanist_core::input::Input;
use tanist_core::keys::FailoverKey;
use tanist_core::lane::InLane;
use tanist_core::name::{MemberName, OpId, RequestId};
use tanist_core::note::Note;
use tanist_core::operator::{Answer, OperatorInput, OperatorRequest};
use tanist_core::postgres::*;

fn leader() -> Situation {
    Situation::new().leads().runs(primary(status(false)))
}

fn answer_of(out: &Output) -> Option<Answer> {
    out.effects.iter().find_map(|effect| match &effect.body {
        EffectBody::Reply { answer, .. } => Some(answer.clone()),
        _other => None,
    })
}

fn asked(situation: Situation, request: OperatorRequest) -> Output {
    let mut agent = situation.agent();
    let id = RequestId("r".into());
    let input = Input::Operator(OperatorInput { id, request });
    out(|out| agent.handle(now(), input, out))
}

fn refusal(out: &Output) -> Option<String> {
    match answer_of(out) {
        Some(Answer::Refused { why, .. }) => Some(why),
        _other => None,
    }
}

fn switchover(leader: &str, candidate: Option<&str>) -> OperatorRequest {
    OperatorRequest::Switchover {
        leader: leader.into(),
        candidate: candidate.map(MemberName::from),
        at: None,
    }
}

#[test]
fn a_switchover_names_the_present_leader_and_somebody_to_hand_over_to() {
    let refused = |situation: Situation, leader, candidate| {
        refusal(&asked(situation, switchover(leader, candidate)))
    };
    let known = || {
        let barred = member(8010).replace(r#""tanist""#, r#""tags":{"nofailover":true},"tanist""#);
        leader().store(&[
            ("members/a", "{}"),
            ("members/b", &member(8009)),
            ("members/c", &barred),
        ])
    };
    let says = |text: &str| Some(text.to_string());
    assert_eq!(refused(known(), "a", None), None);
    assert_eq!(refused(known(), "a", Some("b")), None);
    assert_eq!(
        refused(known(), "b", None),
        says("leader name does not match")
    );
    let none = says("switchover is not possible: cluster does not have members except leader");
    let alone = leader().store(&[("members/a", "{}")]);
    assert_eq!(refused(alone, "a", None), none);
    assert_eq!(
        refused(known(), "a", Some("d")),
        says("candidate does not exists")
    );
    let barred = says("c is tagged nofailover: no good candidates have been found");
    assert_eq!(refused(known(), "a", Some("c")), barred);
}

#[test]
fn a_mode_that_nobody_here_has_is_not_written_into_the_configuration() {
    let refused = |other: &str, known: &[&str]| {
        let here = leader()
            .store(&[
                ("config", "{}"),
                ("members/a", &member(8008)),
                ("members/b", other),
            ])
            .has("store/config/missing_modes", known);
        let patch = r#"{"synchronous_mode": true}"#.to_string();
        refusal(&asked(here, OperatorRequest::PatchConfig { patch })).is_some()
    };
    assert!(refused(&member(8009), &[]));
    assert!(!refused("{}", &[]), "a Patroni could lead with it");
    assert!(
        !refused(&member(8009), &["Synchronous"]),
        "it is on already"
    );
}

// ---- the schedule ----

fn scheduled(at: &str) -> FailoverKey {
    FailoverKey {
        leader: Some("a".into()),
        scheduled_at: Some(at.into()),
        ..FailoverKey::default()
    }
}

#[test]
fn a_scheduled_request_is_due_for_a_loop_and_a_half() {
    // The hundredth second is 2023-11-14T22:15:00Z.
    let due = |when: &str, paused: bool| {
        let mut agent = leader().has("store/config/paused", paused).agent();
        let mut out = Output::default();
        let due = agent.schedule_is_due(now(), &scheduled(when), &mut out);
        let dropped = |note: &Note| matches!(note, Note::FailoverKeyDropped { .. });
        (due, out.notes.iter().any(dropped))
    };
    assert_eq!(due("2023-11-14T22:15:00+00:00", false), (true, false));
    assert_eq!(due("2023-11-14T22:15:01+00:00", false), (false, false));
    assert_eq!(due("2023-11-14T22:14:45+00:00", false), (true, false));
    let over = due("2023-11-14T22:14:44.999+00:00", false);
    assert!(!over.0, "fifteen seconds and more");
    assert_eq!(due("2023-11-14T22:15:00+00:00", true), (false, false));
    assert!(!due("whenever", false).0);
}

// ---- answers ----

fn open(kind: &Value, until: u64) -> Value {
    json!({"r": {"kind": kind, "what": "restart", "phase": "begun", "since": mono(90), "until": mono(until),
                 "write": null, "written": 0, "answer": null}})
}

#[test]
fn a_restart_is_done_when_the_server_answers_and_nothing_is_under_way() {
    let stopped_for_it = json!({"Restart": {"stopped": true}});
    let answered = |situation: Situation| {
        let mut agent = situation
            .has("requests/open", open(&stopped_for_it, 200))
            .agent();
        answer_of(&out(|out| agent.request_duties(now(), out)))
    };
    let done = Answer::Done("restarted successfully".into());
    assert_eq!(answered(leader()), Some(done.clone()));
    let follower = Situation::new().led_by("b").runs(standby(status(true)));
    assert_eq!(answered(follower), Some(done));
    let starting = InLane {
        term: None,
        ..under_way(OpId(5), Operation::CrashRecovery)
    };
    assert_eq!(answered(leader().has("lane/current", starting)), None);
    let silent = server(DbState::InProduction, Sql::Silent("no answer".into()));
    assert_eq!(answered(leader().runs(silent)), None);
    let down = Situation::new().leads().runs(stopped(DbState::ShutDown));
    assert_eq!(answered(down), None);
}

#[test]
fn a_request_whose_time_is_over_is_answered_as_still_running() {
    let answered = |second| {
        let kind = json!({"Restart": {"stopped": false}});
        let mut agent = leader().has("requests/open", open(&kind, 150)).agent();
        let mut out = Output::default();
        agent.request_duties(at(second), &mut out);
        matches!(answer_of(&out), Some(Answer::StillRunning(_)))
    };
    assert!(!answered(149));
    assert!(answered(150));
    assert!(answered(151));
}

#[test]
fn the_outcome_of_a_handover_is_read_from_a_view_that_shows_its_request() {
    let kind = json!({"Handover": {"asked": "Switchover", "from": "a", "candidate": "b", "scheduled": false}});
    let answered = |written: i64, write: Option<OpId>| {
        let mut request = open(&kind, 200);
        request["r"]["written"] = json!(written);
        request["r"]["write"] = json!(write);
        let leads = r#"{"state":"running","role":"primary"}"#;
        let here = Situation::new().led_by("b").store(&[("members/b", leads)]);
        let here = here.runs(standby(status(true)));
        let mut agent = here.has("requests/open", request).agent();
        answer_of(&out(|out| agent.request_duties(now(), out))).is_some()
    };
    assert!(answered(9, None));
    assert!(answered(8, None));
    assert!(!answered(10, None), "the view is older");
    assert!(!answered(9, Some(OpId(5))), "its write is under way");
}

#[test]
fn what_is_open_is_shown_with_its_answer() {
    let kind = json!({"Restart": {"stopped": true}});
    let requests: tanist_core::requests::Requests =
        serde_json::from_value(json!({ "open": open(&kind, 200) })).unwrap();
    assert_eq!(requests.views().len(), 1);
    assert!(requests.restart_under_way() && !requests.restart_wanted());
    let mut answered = open(&kind, 200);
    answered["r"]["answer"] = json!({"Done": "restarted successfully"});
    let requests: tanist_core::requests::Requests =
        serde_json::from_value(json!({ "open": answered })).unwrap();
    assert!(!requests.restart_under_way());
    let wanted = json!({"Restart": {"stopped": false}});
    let requests: tanist_core::requests::Requests =
        serde_json::from_value(json!({ "open": open(&wanted, 200) })).unwrap();
    assert!(!requests.restart_under_way() && requests.restart_wanted());
}
