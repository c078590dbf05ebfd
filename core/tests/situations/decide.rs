//! The one decision tree: safety, the lane, the agent's end, a leader whose server is down, the way to a race.

use super::situation::*;
use super::sql::status;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tanist_core::agent::Boot;
use tanist_core::decision::*;
use tanist_core::election::Ballot;
use tanist_core::election_loss::ElectionLoss;
use tanist_core::fencer::Armed;
use tanist_core::lane::{Failures, InLane};
use tanist_core::leader_key::Key;
use tanist_core::name::{MemberName, OpId, Term};
use tanist_core::postgres::*;
use tanist_core::rejoin::Rewound;
use tanist_core::tenure::SessionCall;
use tanist_core::time::{Mono, Span};
use tanist_core::timeline::{TimelineHistory, TimelineId};

fn stops(decision: &Decision) -> &StopReason {
    match decision {
        Decision::Stop { why, .. } => why,
        other => panic!("it stops nothing: {other}"),
    }
}

fn cancels(decision: &Decision) -> &CancelReason {
    match decision {
        Decision::Cancel { why } => why,
        other => panic!("it cancels nothing: {other}"),
    }
}

fn is_in_the_lane(decision: &Decision) -> bool {
    matches!(decision, Decision::Wait(Waiting::Operation { .. }))
}

/// An operation under way, begun in this tenure.
fn busy(operation: Operation) -> InLane {
    InLane {
        op: OpId(5),
        operation,
        term: Some(TERM),
        since: mono(SECOND),
        phase: None,
        cancelled: false,
    }
}

fn promoting() -> Operation {
    Operation::Promote {
        mark: PromotionMark {
            timeline: TimelineId(2),
            term: TERM,
        },
        timeout: Span::secs(60),
    }
}

fn upstream(member: &str) -> Upstream {
    Upstream {
        member: MemberName::from(member),
        address: Address {
            host: "127.0.0.1".into(),
            port: 5432,
        },
        slot: None,
    }
}

fn starting(role: StartAs) -> Operation {
    Operation::Start {
        role,
        parameters: BTreeMap::new(),
        timeout: Span::secs(60),
    }
}

fn following(member: &str) -> StartAs {
    StartAs::Standby {
        upstream: Some(upstream(member)),
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

fn running_leader() -> Situation {
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

// ---- the lane ----

#[test]
fn what_is_in_the_lane_is_left_alone_but_for_what_can_never_come_about() {
    let mut falls_short = status(true);
    falls_short.replay_paused = true;
    falls_short.limits = BTreeMap::from([("max_connections".into(), 100)]);
    let mut server = standby(falls_short);
    if let DataDir::Present(control) = &mut server.data_dir {
        control.standby_minimums = BTreeMap::from([("max_connections".into(), 200)]);
    }
    let promotes = |server| {
        let leads = Situation::new().leads().runs(server);
        leads.has("lane/current", busy(promoting())).decides()
    };
    assert_eq!(cancels(&promotes(server)), &CancelReason::FallsShort);
    assert!(is_in_the_lane(&promotes(standby(status(true)))));
}

#[test]
fn a_promotion_ends_with_its_tenure() {
    let lost = Situation::new()
        .led_by("b")
        .in_session()
        .runs(standby(status(true)))
        .has("lane/current", busy(promoting()));
    assert_eq!(
        cancels(&lost.decides()),
        &CancelReason::TermEnded { term: TERM }
    );
}

#[test]
fn an_agent_that_ends_waits_for_a_rewind_and_for_nothing_else_that_copies_or_starts() {
    let ends = |operation, server| {
        let here = Situation::new().led_by("b").in_session().runs(server);
        here.has("stopping", true)
            .has("lane/current", busy(operation))
            .decides()
    };
    let down = || stopped(DbState::ShutDown);
    let source = upstream("b");
    let clone = ends(
        Operation::Clone {
            source: source.clone(),
        },
        super::situation::down(DataDir::Empty),
    );
    assert_eq!(cancels(&clone), &CancelReason::Stopping);
    let rewind = Operation::Rewind { source };
    assert!(is_in_the_lane(&ends(rewind, down())));
    let start = ends(starting(following("b")), down());
    assert_eq!(cancels(&start), &CancelReason::Stopping);
}

#[test]
fn a_copy_from_who_does_not_lead_any_more_is_broken_off_but_for_a_rewind() {
    let led = |leader: &str, operation| {
        let here = Situation::new().led_by(leader).in_session();
        here.runs(stopped(DbState::ShutDown))
            .has("lane/current", busy(operation))
            .decides()
    };
    let source = || upstream("b");
    let clone = || Operation::Clone { source: source() };
    assert_eq!(cancels(&led("c", clone())), &CancelReason::LeaderChanged);
    assert!(is_in_the_lane(&led("b", clone())));
    let rewind = Operation::Rewind { source: source() };
    assert!(is_in_the_lane(&led("c", rewind)));
}

#[test]
fn a_rewound_server_that_starts_for_another_than_the_ready_leader_is_started_anew() {
    let comes_up = |leader: &str, rewound, aimed: &str| {
        let leader_member = member_key_of_leader();
        let here = Situation::new()
            .led_by(leader)
            .store(&[("members/b", &leader_member), ("members/c", &leader_member)])
            .in_session();
        here.runs(server(DbState::InArchiveRecovery, Sql::Starting))
            .has("rejoin/rewound", rewound)
            .has("lane/current", busy(starting(following(aimed))))
            .decides()
    };
    let changed = comes_up("c", Rewound::NotYetUp, "b");
    assert_eq!(cancels(&changed), &CancelReason::LeaderChanged);
    assert!(is_in_the_lane(&comes_up("c", Rewound::NotYetUp, "c")));
    assert!(is_in_the_lane(&comes_up("c", Rewound::Settled, "b")));
    let in_vain = comes_up("c", Rewound::InVain, "b");
    assert_eq!(cancels(&in_vain), &CancelReason::LeaderChanged);
}

fn member_key_of_leader() -> String {
    json!({
        "conn_url": "postgres://127.0.0.1:5432/postgres",
        "api_url": "http://127.0.0.1:8009/patroni",
        "state": "running", "role": "primary", "version": "4.1.5", "timeline": 1,
        "xlog_location": 50_331_784u64
    })
    .to_string()
}

#[test]
fn a_reinit_breaks_off_a_start_only_where_there_is_somebody_to_clone_from() {
    let comes_up = |leader: &str| {
        let here = Situation::new().led_by(leader).in_session();
        here.runs(server(DbState::InArchiveRecovery, Sql::Starting))
            .has("rejoin/reinit", true)
            .has(
                "lane/current",
                busy(starting(StartAs::Standby { upstream: None })),
            )
            .decides()
    };
    assert_eq!(cancels(&comes_up("b")), &CancelReason::ReinitForced);
    assert!(is_in_the_lane(&comes_up("a")));
}

#[test]
fn a_stop_in_order_becomes_immediate_when_the_authority_is_over() {
    let stops_with = |first, renewed| {
        let plan = StopPlan {
            first,
            immediate_after: Span::secs(10),
            kill_after: Span::secs(11),
        };
        let stop = Operation::Stop {
            plan,
            checkpoint_first: false,
        };
        running_leader()
            .has("tenure/session", session(renewed))
            .has("lane/current", busy(stop))
            .decides()
    };
    let over = stops_with(StopMode::Fast, SECOND - 28);
    assert_eq!(cancels(&over), &CancelReason::AuthorityOver);
    assert!(is_in_the_lane(&stops_with(StopMode::Fast, SECOND)));
    assert!(is_in_the_lane(&stops_with(
        StopMode::Immediate,
        SECOND - 28
    )));
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
    let fencer = Armed {
        term: TERM,
        lease: MINE,
        until: mono(SECOND),
    };
    let boot = Boot {
        fencer: Some(fencer),
        ..Boot::default()
    };
    let found = Situation::new().boot(boot).runs(primary(status(false)));
    assert_eq!(stops(&found.decides()), &StopReason::StoreNeverSeen);
}
