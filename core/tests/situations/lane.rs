//! What is under way on the data directory: left alone, or broken off.

use super::decide::running_leader;
use super::situation::*;
use super::sql::status;
use serde_json::json;
use std::collections::BTreeMap;
use tanist_core::decision::*;
use tanist_core::name::{MemberName, OpId};
use tanist_core::postgres::*;
use tanist_core::rejoin::Rewound;
use tanist_core::time::Span;
use tanist_core::timeline::TimelineId;

fn cancels(decision: &Decision) -> &CancelReason {
    match decision {
        Decision::Cancel { why } => why,
        other => panic!("it cancels nothing: {other}"),
    }
}

fn is_in_the_lane(decision: &Decision) -> bool {
    matches!(decision, Decision::Wait(Waiting::Operation { .. }))
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
        leads
            .has("lane/current", under_way(OpId(5), promoting()))
            .decides()
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
        .has("lane/current", under_way(OpId(5), promoting()));
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
            .has("lane/current", under_way(OpId(5), operation))
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
            .has("lane/current", under_way(OpId(5), operation))
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
            .has(
                "lane/current",
                under_way(OpId(5), starting(following(aimed))),
            )
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
                under_way(OpId(5), starting(StartAs::Standby { upstream: None })),
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
            .has("lane/current", under_way(OpId(5), stop))
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
