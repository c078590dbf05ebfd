//! The one decision tree: safety, the agent's end, a leader whose server is down, the way to a race.

use super::situation::*;
use super::sql::status;
use serde_json::{Value, json};
use tanist_core::agent::Boot;
use tanist_core::decision::*;
use tanist_core::election::Ballot;
use tanist_core::election_loss::ElectionLoss;
use tanist_core::fencer::Armed;
use tanist_core::lane::Failures;
use tanist_core::leader_key::Key;
use tanist_core::name::{MemberName, OpId, Term};
use tanist_core::postgres::*;
use tanist_core::tenure::SessionCall;
use tanist_core::time::{Mono, Span};
use tanist_core::timeline::{TimelineHistory, TimelineId};

fn stops(decision: &Decision) -> &StopReason {
    match decision {
        Decision::Stop { why, .. } => why,
        other => panic!("it stops nothing: {other}"),
    }
}

fn failed(verb: &str, retry_at: Mono, term: Term) -> Value {
    let failures = Failures {
        count: 1,
        last: "it said no".into(),
        retry_at,
        term: Some(term),
    };
    json!({ verb: failures })
}

pub fn running_leader() -> Situation {
    Situation::new().leads().runs(primary(status(false)))
}

// ---- safety ----

#[test]
fn a_leader_whose_fencer_is_lost_for_a_second_stops_at_once() {
    let lost = running_leader()
        .has("settings/safety/fencer", "Auto")
        .has("fencing/ever_ready", true)
        .has("fencing/lost_since", mono(SECOND - 1));
    assert_eq!(stops(&lost.decides()), &StopReason::FencerLost);
    assert_eq!(running_leader().decides(), Decision::Lead);
}

#[test]
fn an_orderly_stop_begins_while_there_is_time_for_it_and_ends_with_the_authority() {
    // Thirty seconds give 27.35, and the last two of them are for the stop.
    let renewed = |second| running_leader().has("tenure/session", session(second));
    assert_eq!(renewed(75).decides(), Decision::Lead);
    let Decision::Stop { why, plan, .. } = renewed(74).decides() else {
        panic!("it has to stop");
    };
    let unrenewed = Span::secs(26);
    assert_eq!(why, StopReason::AuthorityEnds { unrenewed });
    assert_eq!(plan.first, StopMode::Fast);
    let left = Span::millis(1_350);
    assert_eq!(plan.immediate_after, left);
    assert_eq!(plan.kill_after, left + Span::millis(300));
}

#[test]
fn a_primary_without_authority_runs_on_only_while_it_may_have_some_that_is_not_proved_yet() {
    let held = || {
        Situation::new()
            .led_by("a")
            .in_session()
            .has("tenure/key", Key::Held { term: TERM })
            .runs(primary(status(false)))
    };
    // The fencer of the life before holds a deadline of its own: its authority stands, and nothing is stopped.
    let young = Decision::Wait(Waiting::ResumingSession);
    assert_eq!(
        held().decides(),
        young,
        "unproven, in its first two seconds"
    );
    let proven = held()
        .has("tenure/proven", true)
        .has("tenure/session", session(SECOND - 60));
    let unrenewed = Span::secs(60);
    assert_eq!(
        stops(&proven.decides()),
        &StopReason::AuthorityOver { unrenewed },
        "what was proved and is over"
    );
    let grown = held().agent().decide(now_and(1_000));
    assert_eq!(
        stops(&grown),
        &StopReason::AuthorityOver {
            unrenewed: Span::secs(1)
        },
        "unproven for two seconds"
    );
}

#[test]
fn a_primary_found_running_beside_a_free_key_stands_for_election_and_ends_where_another_goes_first()
{
    let found = || {
        Situation::new()
            .store(&[("initialize", SYSTEM)])
            .in_session()
            .has("tenure/resumption", "Over")
            .runs(primary(status(false)))
            .has("store/confirmed", mono(SECOND + 1))
    };
    assert_eq!(found().decides(), Decision::Ballot);
    let paused = json(ElectionLoss::Conflict);
    let waits = found()
        .has("election/not_before", mono(SECOND + 5))
        .has("election/last_loss", paused);
    let lost = Decision::Wait(Waiting::Election(ElectionLoss::Conflict));
    assert_eq!(waits.decides(), lost, "no ballot of its own says so");
    let ballot = Ballot {
        asked_at: mono(SECOND),
        ..Ballot::default()
    };
    let barred = found()
        .has("election/barred_until", mono(SECOND + 5))
        .has("election/ballot", ballot);
    assert_eq!(stops(&barred.decides()), &StopReason::NeverHadKey);
}

// ---- the agent's end ----

#[test]
fn an_agent_ends_when_its_server_is_down_and_its_key_given_up() {
    let ends = |key, call: Option<SessionCall>| {
        Situation::new()
            .leads()
            .has("tenure/key", key)
            .has("tenure/call", call.map(|call| (OpId(4), call)))
            .has("stopping", true)
            .runs(stopped(DbState::ShutDown))
            .decides()
    };
    let release = Decision::Release {
        why: ReleaseReason::Shutdown,
    };
    let waits = Decision::Wait(Waiting::KeyRequested);
    let exit = Decision::Exit {
        code: 0,
        why: ExitReason::Stopped,
    };
    let held = Key::Held { term: TERM };
    let gone = Key::Gone {
        term: TERM,
        since: mono(SECOND),
    };
    let releasing = Key::Releasing {
        op: OpId(4),
        term: TERM,
    };
    let renew = || Some(SessionCall::Renew { status: None });
    for (what, key, call, expected) in [
        ("held", held, None, &release),
        ("held, being renewed", held, renew(), &waits),
        ("gone, being asked for", gone, renew(), &waits),
        ("gone", gone, None, &exit),
        (
            "being released",
            releasing,
            Some(SessionCall::Release),
            &waits,
        ),
        ("released without a verdict", releasing, None, &exit),
        ("never held", Key::NotHeld, None, &exit),
        ("in doubt", Key::InDoubt, None, &exit),
    ] {
        assert_eq!(&ends(key, call), expected, "{what}");
    }
}

// ---- a leader whose server is down, or not a primary ----

#[test]
fn nobody_is_promoted_with_less_than_two_seconds_of_the_lease_left() {
    let promotes = |millis| {
        let leads = Situation::new().leads().runs(standby(status(true)));
        leads.agent().decide(now_and(millis))
    };
    // Thirty seconds give 27.35.
    assert_eq!(promotes(25_350), Decision::Promote { term: TERM });
    let late = Decision::Wait(Waiting::PromoteOutOfTime);
    assert_eq!(promotes(25_351), late);
    assert_eq!(promotes(27_351), late);
}

#[test]
fn a_crashed_primary_gives_the_key_away_after_its_start_budget_if_somebody_may_take_it() {
    let down = |store: &[(&str, &str)], start_failed_in| {
        let mut situation = Situation::new()
            .leads()
            .store(store)
            .runs(stopped(DbState::InProduction))
            .has("crashed_at", mono(SECOND))
            .has("store/config/primary_start_timeout", Span::ZERO);
        if let Some(term) = start_failed_in {
            situation = situation.has("lane/failures", failed("start", mono(SECOND), term));
        }
        situation
    };
    let standby = member(8009);
    let known = [("members/b", standby.as_str())];
    let release = Decision::Release {
        why: ReleaseReason::CannotStart { after: Span::ZERO },
    };
    let start = Decision::Start {
        role: StartAs::Primary,
        why: StartReason::CrashedPrimary,
    };
    assert_eq!(down(&known, None).decides(), release);
    assert_eq!(down(&[], None).decides(), start, "nobody is there");
    // The store has forgotten the cluster: who took the key as its last primary is the only one who may.
    let forgotten = |start_failed_in| {
        let situation = down(&known, start_failed_in);
        situation.without("initialize")
    };
    assert_eq!(forgotten(None).decides(), start);
    assert_eq!(
        forgotten(Some(Term(2))).decides(),
        start,
        "in another tenure"
    );
    assert_eq!(forgotten(Some(TERM)).decides(), release, "in this one");
}

#[test]
fn a_leader_whose_promotion_failed_gives_the_key_away_in_that_tenure_only() {
    let failed_in = |term, state| {
        let retry_at = mono(SECOND);
        let here = Situation::new().leads().runs(stopped(state));
        here.has("lane/failures", failed("promote", retry_at, term))
            .decides()
    };
    let why = "it said no".to_string();
    let release = Decision::Release {
        why: ReleaseReason::CannotPromote { why },
    };
    let down = DbState::ShutDownInRecovery;
    assert_eq!(failed_in(TERM, down), release);
    let start = StartAs::Standby { upstream: None };
    let again = Decision::Start {
        role: start,
        why: StartReason::BeforePromote,
    };
    assert_eq!(failed_in(Term(2), down), again);
}

// ---- the way to a race ----

#[test]
fn in_pause_only_who_was_named_races() {
    let free = || {
        Situation::new()
            .store(&[("initialize", SYSTEM)])
            .in_session()
            .has("store/config/paused", true)
            .runs(standby(status(true)))
    };
    assert_eq!(free().decides(), Decision::Wait(Waiting::Paused));
    let named = free().store(&[("failover", r#"{"member":"a"}"#)]);
    assert_eq!(named.decides(), Decision::Ballot);
    let commanded = free().has("rejoin/by_command", true);
    assert_eq!(commanded.decides(), Decision::Wait(Waiting::Paused));
}

/// On timeline 2, which this member opened, and which the cluster's history says that `c` opened.
fn on_anothers_number(server: Observation) -> Situation {
    let history = json!([[
        1,
        50_331_000u64,
        "no recovery target specified",
        "2026-11-01T00:00:00+00:00",
        "c"
    ]]);
    let mut server = server;
    server.promoted = vec![PromotionMark {
        timeline: TimelineId(2),
        term: TERM,
    }];
    let fork = "1\t0/2FFF000\tno recovery target specified";
    server.history = TimelineHistory::parse(TimelineId(2), fork).unwrap();
    if let DataDir::Present(control) = &mut server.data_dir {
        control.timeline = TimelineId(2);
    }
    if let Sql::Answered(status) = &mut server.sql {
        status.timeline = TimelineId(2);
        status.received_timeline = TimelineId(2);
    }
    Situation::new()
        .store(&[("initialize", SYSTEM), ("history", &history.to_string())])
        .in_session()
        .runs(server)
}

#[test]
fn whose_timeline_is_the_clusters_by_its_number_alone_neither_runs_nor_races_unless_forced_to() {
    let opener = MemberName::from("c");
    let running = || on_anothers_number(standby(status(true)));
    let leader = opener.clone();
    assert_eq!(
        stops(&running().decides()),
        &StopReason::Diverged { leader }
    );
    let down = || on_anothers_number(stopped(DbState::ShutDown));
    let timeline = TimelineId(2);
    let loss = ElectionLoss::NumberOfAnother { timeline, opener };
    assert_eq!(down().decides(), Decision::Wait(Waiting::Election(loss)));
    // An operator who forces a failover to it knows; a switchover, or one to another, is no such order.
    let asked = |request: &str| running().store(&[("failover", request)]).decides();
    assert!(!matches!(asked(r#"{"member":"a"}"#), Decision::Stop { .. }));
    for request in [r#"{"leader":"b","member":"a"}"#, r#"{"member":"b"}"#] {
        let decision = asked(request);
        assert!(
            matches!(stops(&decision), StopReason::Diverged { .. }),
            "{request}: {decision}"
        );
    }
}

#[test]
fn a_fencer_of_the_life_before_covers_nobody_past_its_deadline() {
    let found = |until| {
        let fencer = Armed {
            term: TERM,
            lease: MINE,
            until,
        };
        let boot = Boot {
            fencer: Some(fencer),
            ..Boot::default()
        };
        let found = Situation::new().boot(boot).runs(primary(status(false)));
        found.decides()
    };
    let over = found(mono(SECOND));
    assert_eq!(stops(&over), &StopReason::StoreNeverSeen);
    let ahead = found(mono(SECOND + 5));
    assert_eq!(ahead, Decision::Wait(Waiting::StoreNeverSeen));
}
