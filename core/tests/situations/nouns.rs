//! The nouns that decisions rest on: what a look, a key, a parameter says.

use super::situation::*;
use super::sql::status;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tanist_core::agent::Agent;
use tanist_core::cluster::{Cluster, Initialize};
use tanist_core::config::Config;
use tanist_core::dcs::{KeyValue, LeaseId, Revision, Snapshot};
use tanist_core::decision::*;
use tanist_core::effect::EffectBody;
use tanist_core::input::Input;
use tanist_core::lane::{InLane, Lane};
use tanist_core::local::Local;
use tanist_core::lsn::Lsn;
use tanist_core::name::OpId;
use tanist_core::note::Note;
use tanist_core::params;
use tanist_core::postgres::*;
use tanist_core::settings::LocalPostgres;
use tanist_core::tenure::SessionCall;
use tanist_core::time::Span;
use tanist_core::timeline::{TimelineHistory, TimelineId};

fn looked(observation: Observation) -> Local {
    let mut local = Local::new(mono(SECOND));
    local.observe(mono(SECOND), observation);
    local
}

// ---- a look ----

#[test]
fn a_server_that_does_not_tell_cannot_write_only_on_a_standbys_directory() {
    let may_write = |signal, state| {
        let observation = Observation {
            standby_signal: signal,
            ..server(state, Sql::Silent("no answer".into()))
        };
        looked(observation).may_write()
    };
    assert!(!may_write(true, DbState::InArchiveRecovery));
    assert!(may_write(true, DbState::InProduction));
    assert!(may_write(false, DbState::InArchiveRecovery));
    assert!(may_write(false, DbState::InProduction));
}

/// A standby of which the control file demands this, and which was started with that.
fn limited(in_recovery: bool, paused: bool, has: u64) -> Observation {
    let mut here = status(in_recovery);
    here.replay_paused = paused;
    here.limits = BTreeMap::from([("max_connections".into(), has)]);
    let mut observation = standby(here);
    if let DataDir::Present(control) = &mut observation.data_dir {
        control.standby_minimums = BTreeMap::from([("max_connections".into(), 200)]);
    }
    observation
}

#[test]
fn a_standby_falls_short_where_its_replay_stands_for_a_setting_that_is_too_small() {
    let short = |in_recovery, paused, has| looked(limited(in_recovery, paused, has)).shortfall();
    let shortfall = short(true, true, 199).unwrap();
    assert_eq!((shortfall.has, shortfall.needs), (199, 200));
    assert_eq!(short(true, true, 200), None);
    assert_eq!(short(true, false, 199), None, "it replays");
    assert_eq!(short(false, true, 199), None, "it is no standby");
}

#[test]
fn a_standby_that_falls_short_is_stopped_where_it_will_be_started_again() {
    let stops = |situation: Situation| matches!(situation.decides(), Decision::Stop { .. });
    let short = || limited(true, true, 100);
    let leader = |state: &str| {
        json!({"conn_url": "postgres://127.0.0.2:5432/postgres", "state": state, "role": "primary"})
            .to_string()
    };
    let under = |leader_state: &str| {
        let here = Situation::new()
            .led_by("b")
            .store(&[("members/b", &leader(leader_state))]);
        here.in_session().runs(short())
    };
    assert!(stops(under("running")));
    assert!(!stops(under("starting")), "its leader is not ready");
    assert!(!stops(under("running").has("store/config/paused", true)));
    let own_key = Situation::new().led_by("a").in_session().runs(short());
    assert!(stops(own_key), "nobody else leads");
    let cluster = |agent: &Agent| -> Cluster {
        serde_json::from_value(json(agent)["store"]["cluster"].clone()).unwrap()
    };
    let paused = under("running").has("store/config/paused", true).agent();
    assert_eq!(paused.decide_shortfall(&cluster(&paused)), None);
    let unready = under("starting").agent();
    assert_eq!(unready.decide_shortfall(&cluster(&unready)), None);
}

#[test]
fn the_end_of_a_copy_that_was_never_started_is_what_its_source_recovers_to() {
    let end = |signal, state, min_recovery| {
        let mut control = control(state);
        control.min_recovery_end = Lsn(min_recovery);
        let observation = Observation {
            standby_signal: signal,
            ..down(DataDir::Present(control))
        };
        looked(observation).wal_end()
    };
    let checkpoint = Lsn(50_331_001);
    let further = 60_000_000;
    assert_eq!(
        end(true, DbState::InProduction, further),
        Some(Lsn(further))
    );
    assert_eq!(end(false, DbState::InProduction, further), None);
    assert_eq!(end(true, DbState::ShutDown, further), Some(checkpoint));
    assert_eq!(end(false, DbState::ShutDown, further), Some(checkpoint));
    assert_eq!(
        end(false, DbState::ShutDownInRecovery, further),
        Some(Lsn(further))
    );
}

#[test]
fn the_branch_of_a_standby_is_what_it_receives_and_its_end_is_on_that() {
    let mut here = status(true);
    here.received_timeline = TimelineId(2);
    let mut observation = standby(here);
    observation.history = TimelineHistory::parse(TimelineId(2), "1\t0/2FFF000\tr").unwrap();
    let local = looked(observation.clone());
    assert_eq!(local.branch().map(|b| b.timeline), Some(TimelineId(2)));
    let end = local.end_on_branch().unwrap();
    assert_eq!((end.timeline, end.begin), (TimelineId(2), Lsn(0x2FF_F000)));
    assert_eq!(end.lsn, Lsn(50_331_784));
    let mut unknown = observation;
    unknown.data_dir = DataDir::Empty;
    unknown.sql = Sql::NotRunning;
    assert_eq!(looked(unknown).end_on_branch(), None);
}

#[test]
fn none_is_left_when_neither_postmaster_nor_backend_is() {
    let left = |postmaster, backends| {
        !Processes {
            postmaster,
            backends,
        }
        .none_left()
    };
    assert!(!left(None, 0));
    assert!(left(Some(7), 0) && left(None, 1) && left(Some(7), 1));
}

// ---- keys ----

fn initialize(text: &str) -> Initialize {
    let kv = KeyValue {
        value: text.into(),
        created: Revision(1),
        modified: Revision(1),
        lease: LeaseId::NONE,
    };
    let keys = BTreeMap::from([("initialize".to_string(), kv)]);
    let revision = Revision(1);
    Cluster::read(&Snapshot { revision, keys }).initialize
}

#[test]
fn a_system_identifier_is_a_number_of_ten_digits_or_more() {
    let done = |text: &str| matches!(initialize(text), Initialize::Done(_));
    assert!(done("1234567890") && done(" 7711078574722072691\n"));
    assert!(!done("123456789"), "too short");
    assert!(!done("123456789x") && !done("abcdefghijk"));
    assert!(matches!(initialize(" "), Initialize::InProgress { .. }));
}

#[test]
fn what_cannot_be_read_is_shown_in_sixty_characters() {
    let long = "x".repeat(80);
    let agent = Situation::new().store(&[("initialize", &long)]).agent();
    let unreadable = json(&agent)["store"]["cluster"]["unreadable"].clone();
    assert_eq!(unreadable, json!({"initialize": "x".repeat(60)}));
}

// ---- parameters ----

#[test]
fn a_cluster_cannot_turn_off_what_its_standbys_need() {
    let desired = |name: &str, value: &str| {
        let stored = json!({"postgresql": {"parameters": {name: value}}});
        let stored: Map<String, Value> = stored.as_object().unwrap().clone();
        let config = Config::read(&stored, false);
        params::desired(&config, &LocalPostgres::default(), None)[name].clone()
    };
    assert_eq!(desired("hot_standby", "off"), "on");
    assert_eq!(
        desired("wal_level", "minimal"),
        desired("wal_level", "none")
    );
    assert_eq!(desired("wal_level", "logical"), "logical");
    assert_eq!(desired("work_mem", "8MB"), "8MB");
}

// ---- the last gate before a promotion ----

#[test]
fn a_promotion_is_carried_out_only_while_lease_and_authority_stand() {
    let promotes = |situation: Situation, millis: u64| {
        let mut agent = situation.runs(standby(status(true))).agent();
        let promote = Decision::Promote { term: TERM };
        let out = out(|out| agent.carry_out(now_and(millis), &promote, out));
        let operation = |body: &EffectBody| matches!(body, EffectBody::Operation { .. });
        let begun = out.effects.iter().any(|effect| operation(&effect.body));
        let broken = |note: &Note| matches!(note, Note::AssertionFailed { .. });
        let failed = out.notes.iter().any(broken);
        assert_eq!(failed, agent.is_ending(), "leadership ends in order");
        assert_ne!(failed, begun);
        begun
    };
    let leads = || Situation::new().leads();
    assert!(promotes(leads(), 27_349));
    assert!(!promotes(leads(), 27_350));
    assert!(!promotes(leads(), 27_351));
    // In pause nothing is fenced, and the lease has to stand all the same.
    let paused = || leads().has("store/config/paused", true);
    assert!(promotes(paused(), 27_349));
    assert!(!promotes(paused(), 27_350));
    let unproven = leads().has("tenure/proven", false);
    assert!(!promotes(unproven, 0));
    let without = leads().has("tenure/key", "NotHeld");
    assert!(!promotes(without, 0));
}

// ---- when to wake ----

#[test]
fn an_agent_with_nothing_else_to_wait_for_wakes_with_its_loop() {
    let mut agent = Situation::new()
        .led_by("b")
        .in_session()
        .runs(standby(status(true)))
        .has("tenure/call", (OpId(4), SessionCall::Keep))
        .has("local/probe", OpId(5))
        .has("sides", json!({"probe": 5}))
        .has("store/watching", true)
        .has("publishing/writes", json!({"members/a": 6}))
        .has("publishing/member_due", mono(SECOND + 60))
        .has(
            "publishing/retry_at",
            json!({"members/a": mono(SECOND + 60)}),
        )
        .has("started/mono", mono(SECOND - 50))
        .has("fencing/started", mono(SECOND - 50))
        .agent();
    let _ = out(|out| agent.handle(now(), Input::Wakeup, out));
    let (at, why) = agent.next_wakeup().unwrap();
    assert_eq!(at, mono(SECOND + 10), "{why:?}");
}

// ---- the lane ----

#[test]
fn forgotten_failures_are_no_pause_any_more() {
    let mut lane = Lane::default();
    for n in 0..2 {
        lane.current = Some(InLane {
            term: None,
            ..under_way(OpId(n), Operation::CrashRecovery)
        });
        let failed = Ended::Failed("no".into());
        assert!(lane.end(OpId(n + 9), mono(SECOND), &failed).is_none());
        assert!(lane.end(OpId(n), mono(SECOND), &failed).is_some());
    }
    assert_eq!(lane.failed("crash recovery"), 2);
    let pausing = |lane: &Lane, second| lane.pausing("crash recovery", mono(second)).is_some();
    assert!(pausing(&lane, SECOND + 1) && !pausing(&lane, SECOND + 2));
    lane.forget_failures();
    assert!(!pausing(&lane, SECOND + 1));
    assert_eq!(lane.failed("crash recovery"), 0);
}

// ---- the fencer ----

#[test]
fn the_fencer_is_armed_for_what_is_about_to_write() {
    let arms = |operation: Option<Operation>| {
        let lane = operation.map(|operation| under_way(OpId(5), operation));
        let mut agent = Situation::new()
            .leads()
            .runs(standby(status(true)))
            .has("settings/safety/fencer", "Auto")
            .has("fencing/ready", true)
            .has("fencing/ever_ready", true)
            .has("lane/current", lane)
            .agent();
        let out = out(|out| agent.fencer_duties(now(), out));
        out.effects
            .iter()
            .any(|effect| matches!(effect.body, EffectBody::Fencer(_)))
    };
    let start = |role| Operation::Start {
        role,
        parameters: BTreeMap::new(),
        timeout: Span::secs(60),
    };
    let mark = PromotionMark {
        timeline: TimelineId(2),
        term: TERM,
    };
    let timeout = Span::secs(60);
    assert!(!arms(None));
    assert!(arms(Some(Operation::Promote { mark, timeout })));
    assert!(arms(Some(start(StartAs::Primary))));
    assert!(!arms(Some(start(StartAs::Standby { upstream: None }))));
    assert!(!arms(Some(Operation::CrashRecovery)));
}
