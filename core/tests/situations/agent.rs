//! What an input makes of what is known: looks, ends of operations, and what is remembered of all that.

use super::situation::*;
use super::sql::status;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tanist_core::agent::{Agent, Output};
use tanist_core::dcs::*;
use tanist_core::effect::EffectBody;
use tanist_core::input::Input;
use tanist_core::lane::InLane;
use tanist_core::leader_key::Key;
use tanist_core::name::{OpId, RequestId};
use tanist_core::note::Note;
use tanist_core::operator::{OperatorInput, OperatorRequest};
use tanist_core::postgres::*;
use tanist_core::rejoin::Rewound;
use tanist_core::time::{Now, Span};

fn follower(observation: Observation) -> Situation {
    Situation::new().led_by("b").in_session().runs(observation)
}

fn told(agent: &mut Agent, now: Now, input: Input) -> Output {
    out(|out| agent.handle(now, input, out))
}

fn field(agent: &Agent, pointer: &str) -> Value {
    json(agent).pointer(pointer).unwrap().clone()
}

// ---- what is remembered ----

#[test]
fn the_last_two_hundred_notes_are_remembered_and_no_more() {
    let mut agent = follower(standby(status(true))).agent();
    for n in 0..300 {
        let why = format!("stream {n} ended");
        let input = Input::Dcs(DcsInput::WatchLost { why });
        told(&mut agent, now(), input);
    }
    let recent = field(&agent, "/recent");
    let recent = recent.as_array().unwrap();
    assert_eq!(recent.len(), 200);
    assert!(
        recent[199].to_string().contains("stream 299"),
        "{}",
        recent[199]
    );
}

#[test]
fn an_agent_knows_whether_it_has_seen_its_cluster_and_whether_it_ends() {
    let mut agent = Situation::new().store(&[]).in_session().agent();
    assert!(!agent.has_seen_cluster() && !agent.is_ending());
    let kv = KeyValue {
        value: SYSTEM.into(),
        created: Revision(12),
        modified: Revision(12),
        lease: LeaseId::NONE,
    };
    let changed = |value| DcsInput::Changed {
        revision: Revision(12),
        changes: BTreeMap::from([("initialize".to_string(), value)]),
    };
    told(&mut agent, now(), Input::Dcs(changed(Some(kv))));
    assert!(agent.has_seen_cluster());
    let gone = DcsInput::Changed {
        revision: Revision(13),
        changes: BTreeMap::from([("initialize".to_string(), None)]),
    };
    told(&mut agent, now(), Input::Dcs(gone));
    assert!(agent.has_seen_cluster(), "it stays seen");
    told(&mut agent, now(), Input::Stopping);
    assert!(agent.is_ending());
}

#[test]
fn a_verdict_that_nobody_waits_for_is_told_of_as_late() {
    let late = |known: bool| {
        let mut here = follower(standby(status(true)));
        if known {
            here = here.has("publishing/writes", json!({"config": 90}));
        }
        let input = DcsInput::Completed {
            op: OpId(90),
            sent_at: mono(SECOND),
            maybe_since: None,
            outcome: DcsOutcome::SessionGone,
        };
        let out = told(&mut here.agent(), now(), Input::Dcs(input));
        out.notes.contains(&Note::Late { op: OpId(90) })
    };
    assert!(late(false));
    assert!(!late(true));
}

// ---- looks ----

fn seen(op: Option<u64>, observation: Observation) -> Input {
    Input::Postgres(PgInput::Observed {
        op: op.map(OpId),
        observation,
    })
}

#[test]
fn a_look_counts_that_was_asked_for_or_that_came_with_an_operation() {
    let observed = |op| {
        let mut agent = follower(standby(status(true)))
            .has("local/probe", OpId(90))
            .has("local/probe_begun", mono(SECOND))
            .has("sides", json!({"probe": 90}))
            .agent();
        told(&mut agent, now(), seen(op, stopped(DbState::ShutDown)));
        let down = field(&agent, "/local/observed/processes/postmaster").is_null();
        (
            down,
            field(&agent, "/local/looked_at") == json(mono(SECOND)),
        )
    };
    assert_eq!(observed(Some(90)), (true, true));
    assert_eq!(observed(None), (true, false), "with an operation");
    assert_eq!(observed(Some(91)), (false, false), "asked for long ago");
}

#[test]
fn a_look_that_was_begun_before_an_operation_ended_tells_nothing() {
    let after = |ended: bool| {
        let mut agent = follower(standby(status(true)))
            .has("local/probe", OpId(80))
            .has("local/probe_begun", mono(SECOND - 1))
            .has("local/looked_at", mono(SECOND - 9))
            .has("local/probe_due", mono(SECOND + 5))
            .has("sides", json!({"probe": 80}))
            .has("lane/current", in_lane(Operation::CrashRecovery))
            .agent();
        if ended {
            told(&mut agent, now(), seen(None, standby(status(true))));
            ends(&mut agent, Ended::Done);
        }
        let old = stopped(DbState::ShutDown);
        let out = told(&mut agent, now(), seen(Some(80), old));
        let looks_again = out.effects.iter().any(|effect| {
            matches!(&effect.body, EffectBody::Side { task, .. } if *task == SideTask::Probe)
        });
        let down = field(&agent, "/local/observed/processes/postmaster").is_null();
        (down, looks_again, field(&agent, "/local/looked_at"))
    };
    let begun = |second: u64| json(mono(second));
    assert_eq!(after(false), (true, false, begun(SECOND - 1)));
    assert_eq!(after(true), (false, true, begun(SECOND - 9)), "and anew");
}

#[test]
fn a_first_look_that_saw_nothing_leaves_room_for_the_next_only_if_it_was_the_one_asked_for() {
    let blind = || {
        let mut nothing = server(DbState::InProduction, Sql::Silent("no answer".into()));
        nothing.data_dir = DataDir::Unreadable("slow".into());
        nothing
    };
    let free = |op| {
        let mut agent = Situation::new()
            .store(&[])
            .in_session()
            .has("local/probe", OpId(90))
            .has("sides", json!({"probe": 90}))
            .agent();
        told(&mut agent, now(), seen(op, blind()));
        field(&agent, "/local/probe") != json(OpId(90))
    };
    assert!(free(Some(90)));
    assert!(!free(Some(91)));
}

// ---- ends of operations ----

fn in_lane(operation: Operation) -> InLane {
    under_way(OpId(90), operation)
}

fn ends(agent: &mut Agent, ended: Ended) -> Output {
    let op = OpId(90);
    told(
        agent,
        now(),
        Input::Postgres(PgInput::Finished { op, ended }),
    )
}

#[test]
fn the_phase_of_an_operation_is_its_own() {
    let phase = |op| {
        let clone = Operation::Initdb;
        let mut agent = follower(down(DataDir::Empty))
            .has("lane/current", in_lane(clone))
            .agent();
        let phase = "copying".to_string();
        let progress = PgInput::Progress {
            op: OpId(op),
            phase,
        };
        told(&mut agent, now(), Input::Postgres(progress));
        field(&agent, "/lane/current/phase")
    };
    assert_eq!(phase(90), json!("copying"));
    assert_eq!(phase(91), Value::Null);
}

#[test]
fn how_an_operation_ended_is_told_in_words() {
    let how = |ended| {
        let stop = Operation::CrashRecovery;
        let mut agent = follower(stopped(DbState::ShutDown))
            .has("lane/current", in_lane(stop))
            .agent();
        let out = ends(&mut agent, ended);
        out.notes.iter().find_map(|note| match note {
            Note::OperationEnded { how, .. } => Some(how.clone()),
            _other => None,
        })
    };
    assert_eq!(how(Ended::Done).as_deref(), Some("done"));
    assert_eq!(how(Ended::Cancelled).as_deref(), Some("cancelled"));
    let failed = Ended::Failed("no space left".into());
    assert_eq!(how(failed).as_deref(), Some("failed: no space left"));
}

fn follows(member: &str) -> StartAs {
    StartAs::Standby {
        upstream: Some(Upstream {
            member: member.into(),
            address: Address {
                host: "127.0.0.2".into(),
                port: 5432,
            },
            slot: None,
        }),
    }
}

#[test]
fn a_rewound_server_that_its_leader_could_not_bring_up_is_one_in_vain() {
    let after = |leader: Option<&str>, role, server, rewound| {
        let start = Operation::Start {
            role,
            parameters: BTreeMap::new(),
            timeout: Span::secs(60),
        };
        let mut here = Situation::new().store(&[("initialize", SYSTEM)]);
        if let Some(leader) = leader {
            here = here.led_by(leader);
        }
        let mut agent = here
            .in_session()
            .runs(server)
            .has("rejoin/rewound", rewound)
            .has("lane/current", in_lane(start))
            .agent();
        ends(&mut agent, Ended::Failed("it had its time".into()));
        field(&agent, "/rejoin/rewound") == json(Rewound::InVain)
    };
    let recovering = || Observation {
        standby_signal: true,
        ..server(DbState::InArchiveRecovery, Sql::Starting)
    };
    let not_yet = Rewound::NotYetUp;
    assert!(after(Some("b"), follows("b"), recovering(), not_yet));
    assert!(
        !after(Some("b"), follows("c"), recovering(), not_yet),
        "of another"
    );
    let alone = StartAs::Standby { upstream: None };
    assert!(!after(None, alone, recovering(), not_yet), "nobody fed it");
    let down = stopped(DbState::ShutDownInRecovery);
    assert!(
        !after(Some("b"), follows("b"), down, not_yet),
        "it did not wait"
    );
    assert!(!after(
        Some("b"),
        follows("b"),
        recovering(),
        Rewound::Settled
    ));
}

#[test]
fn a_copy_that_was_cancelled_is_no_copy() {
    let source = match follows("b") {
        StartAs::Standby { upstream } => upstream.unwrap(),
        _other => unreachable!(),
    };
    let after = |ended| {
        let rewind = Operation::Rewind {
            source: source.clone(),
        };
        let mut agent = follower(stopped(DbState::ShutDownInRecovery))
            .has("lane/current", in_lane(rewind))
            .agent();
        ends(&mut agent, ended);
        field(&agent, "/rejoin/rewound")
    };
    assert_eq!(after(Ended::Done), json(Rewound::NotYetUp));
    assert_eq!(after(Ended::Cancelled), json(Rewound::Settled));
}

#[test]
fn what_was_discarded_is_not_reinitialised_again() {
    let discard = Operation::DiscardData {
        why: DiscardReason::ReinitRequested,
    };
    let mut agent = follower(down(DataDir::Empty))
        .has("rejoin/reinit", true)
        .has("lane/current", in_lane(discard))
        .agent();
    ends(&mut agent, Ended::Done);
    assert_eq!(field(&agent, "/rejoin/reinit"), json!(false));
}

// ---- doubt ----

#[test]
fn a_doubt_is_resolved_by_a_reading_that_was_asked_for_since_it_arose() {
    let resolved = |confirmed: u64, reading: Option<OpId>, key| {
        let mut agent = Situation::new()
            .led_by("a")
            .in_session()
            .has("tenure/key", key)
            .has("tenure/doubt_since", mono(SECOND))
            .has("store/confirmed", mono(confirmed))
            .has("store/read_op", reading)
            .runs(standby(status(true)))
            .agent();
        told(&mut agent, now(), Input::Wakeup);
        let key: Key = serde_json::from_value(field(&agent, "/tenure/key")).unwrap();
        key
    };
    let held = Key::Held { term: TERM };
    assert_eq!(resolved(SECOND, None, Key::InDoubt), held);
    assert_eq!(resolved(SECOND + 1, None, Key::InDoubt), held);
    assert_eq!(resolved(SECOND - 1, None, Key::InDoubt), Key::InDoubt);
    let asked = Some(OpId(80));
    assert_eq!(resolved(SECOND, asked, Key::InDoubt), Key::InDoubt);
    assert_eq!(resolved(SECOND, None, Key::NotHeld), Key::NotHeld);
}

// ---- a crash ----

#[test]
fn a_leader_whose_server_is_down_unasked_has_crashed() {
    let crashed = |situation: Situation| {
        let mut agent = situation.agent();
        told(&mut agent, now(), Input::Wakeup);
        !field(&agent, "/crashed_at").is_null()
    };
    let leads = |observation| Situation::new().leads().runs(observation);
    let failed =
        json!({"start": {"count": 1, "last": "no", "retry_at": mono(SECOND), "term": TERM}});
    let crashed_server = || stopped(DbState::InProduction);
    let in_order = || stopped(DbState::ShutDown);
    assert!(crashed(leads(crashed_server())));
    assert!(!crashed(leads(in_order())));
    assert!(crashed(leads(in_order()).has("lane/failures", &failed)));
    assert!(!crashed(
        leads(primary(status(false))).has("crashed_at", mono(90))
    ));
    assert!(!crashed(
        follower(crashed_server()).has("crashed_at", mono(90))
    ));
    let restart = json!({"r": {"kind": {"Restart": {"stopped": true}}, "what": "restart", "phase": "stopping",
        "since": mono(90), "until": mono(200), "write": null, "written": 0, "answer": null}});
    let restarts = || leads(crashed_server()).has("requests/open", &restart);
    assert!(!crashed(restarts()), "asked for");
    assert!(crashed(restarts().has("lane/failures", &failed)));
}

// ---- requests ----

fn request(kind: Value, answered: bool, since: u64) -> Value {
    let answer = answered.then(|| json!({"Done": "restarted successfully"}));
    json!({"kind": kind, "what": "restart", "phase": "ended", "since": mono(since), "until": mono(200),
           "write": null, "written": 0, "answer": answer})
}

#[test]
fn the_oldest_of_the_answered_requests_is_forgotten_for_a_new_one() {
    let open = |answered: bool, count: u64| {
        let all: BTreeMap<String, Value> = (0..count)
            .map(|n| (format!("r{n:03}"), request(json!("Answered"), answered, n)))
            .collect();
        let mut agent = follower(standby(status(true)))
            .has("requests/open", all)
            .agent();
        let input = OperatorInput {
            id: RequestId("new".into()),
            request: OperatorRequest::CancelSwitchover,
        };
        told(&mut agent, now(), Input::Operator(input));
        field(&agent, "/requests/open").as_object().unwrap().clone()
    };
    let kept = 50;
    let full = open(true, kept);
    assert_eq!(full.len(), kept as usize);
    assert!(!full.contains_key("r000") && full.contains_key("r001"));
    let room = open(true, kept - 1);
    assert_eq!(room.len(), kept as usize);
    assert!(room.contains_key("r000"));
    // What nobody has answered is not forgotten.
    assert_eq!(open(false, kept).len(), kept as usize + 1);
}
