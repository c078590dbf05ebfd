//! How a member comes to stream from the leader, and when it is left as it is.

use super::situation::*;
use super::sql::status;
use serde_json::json;
use tanist_core::agent::Agent;
use tanist_core::decision::*;
use tanist_core::divergence::Checked;
use tanist_core::lsn::Lsn;
use tanist_core::name::MemberName;
use tanist_core::postgres::*;
use tanist_core::rejoin::{Rewound, is_rewindable};
use tanist_core::time::{Mono, Span};
use tanist_core::timeline::{Divergence, TimelineHistory, TimelineId};

/// The leader `b`, in its own words: on timeline 1.
pub fn leader_key() -> String {
    json!({
        "conn_url": "postgres://127.0.0.2:5432/postgres", "api_url": "http://127.0.0.2:8008/patroni",
        "state": "running", "role": "primary", "version": "4.1.5", "timeline": 1
    })
    .to_string()
}

pub fn leader_address() -> Address {
    Address {
        host: "127.0.0.2".into(),
        port: 5432,
    }
}

pub fn upstream() -> Upstream {
    Upstream {
        member: "b".into(),
        address: leader_address(),
        slot: Some("a".into()),
    }
}

pub fn checked(divergence: Divergence) -> Checked {
    Checked {
        leader: "b".into(),
        term: TERM,
        timeline: TimelineId(1),
        copy: None,
        mine: Some(TimelineId(1)),
        divergence,
    }
}

pub fn facts() -> UpstreamFacts {
    UpstreamFacts {
        member: "b".into(),
        system_id: SystemId(SYSTEM.into()),
        in_recovery: false,
        history: TimelineHistory::bare(TimelineId(1)),
        written: Lsn(60_000_000),
        control_timeline: TimelineId(1),
        same_wal: None,
    }
}

/// Under the leader `b`, freshly looked at.
pub fn under_b(observation: Observation) -> Situation {
    Situation::new()
        .led_by("b")
        .store(&[("members/b", &leader_key())])
        .in_session()
        .has("tenure/may_adopt", json!(null))
        .has("local/looked_at", mono(SECOND))
        .has("store/leader_since", mono(SECOND))
        .runs(observation)
}

pub fn following(divergence: Divergence, observation: Observation) -> Situation {
    under_b(observation).has("rejoin/checked", checked(divergence))
}

/// A standby that is set to follow the leader, and streams or not.
fn set_to_follow(streaming: bool) -> SqlStatus {
    SqlStatus {
        upstream: Some(leader_address()),
        upstream_slot: Some("a".into()),
        streaming,
        ..status(true)
    }
}

fn waits(decision: &Decision) -> &Waiting {
    match decision {
        Decision::Wait(waiting) => waiting,
        other => panic!("it does not wait: {other}"),
    }
}

pub const FORKED: Divergence = Divergence::Forked {
    from: TimelineId(1),
    at: Lsn(50_000_000),
};

#[test]
fn a_standby_is_set_to_its_leader_and_its_slot_and_no_sooner_again() {
    let runs = |status| following(Divergence::None, standby(status));
    let leader = MemberName::from("b");
    let follow = Decision::Follow {
        leader: leader.clone(),
    };
    let upstream = upstream();
    let reconfigure = Decision::Reconfigure { upstream };
    assert_eq!(runs(set_to_follow(true)).decides(), follow);
    let elsewhere = || {
        let address = Address {
            port: 5433,
            ..leader_address()
        };
        let mut status = set_to_follow(true);
        status.upstream = Some(address);
        runs(status)
    };
    assert_eq!(elsewhere().decides(), reconfigure);
    let mut slotless = set_to_follow(true);
    slotless.upstream_slot = None;
    assert_eq!(runs(slotless.clone()).decides(), reconfigure);
    let without_slots = runs(slotless).has("store/config/use_slots", false);
    assert_eq!(without_slots.decides(), follow);
    let catches_up = Decision::Wait(Waiting::CatchingUp { leader });
    let rests = |millis| elsewhere().has("side_rest", json!({"reconfigure": now_and(millis).mono}));
    assert_eq!(rests(1).decides(), catches_up);
    assert_eq!(rests(0).decides(), reconfigure);
    let under_way = elsewhere().has("sides", json!({"reconfigure": 4}));
    assert_eq!(under_way.decides(), catches_up);
}

#[test]
fn a_standby_that_does_not_stream_asks_the_leader_anew_every_ten_seconds() {
    let asks = |age_millis: u64| {
        let at = Mono(mono(SECOND).0 - age_millis * 1_000);
        let here = following(Divergence::None, standby(set_to_follow(false)));
        here.has("rejoin/facts", (at, facts())).decides()
    };
    let leader = MemberName::from("b");
    assert_eq!(asks(9_999), Decision::Wait(Waiting::CatchingUp { leader }));
    let upstream = upstream();
    assert_eq!(asks(10_000), Decision::AskUpstream { upstream });
}

#[test]
fn a_server_that_starts_for_another_is_stopped_when_it_was_rewound_or_had_the_time_of_a_start() {
    let starts = |aimed: &str, rewound, seconds: u64, server| {
        following(Divergence::None, server)
            .has("copies/aimed", aimed)
            .has("rejoin/rewound", rewound)
            .has("local/starting_since", mono(SECOND - seconds))
            .decides()
    };
    let recovering = || Observation {
        standby_signal: true,
        ..server(DbState::InArchiveRecovery, Sql::Starting)
    };
    let in_vain = |decision: Decision| {
        let leader = "b".into();
        matches!(decision, Decision::Stop { why, .. } if why == StopReason::StartsInVain { leader })
    };
    assert!(!in_vain(starts("c", Rewound::Settled, 99, recovering())));
    assert!(in_vain(starts("c", Rewound::NotYetUp, 0, recovering())));
    assert!(in_vain(starts("c", Rewound::InVain, 0, recovering())));
    assert!(!in_vain(starts("b", Rewound::NotYetUp, 0, recovering())));
    // Whose data directory is no standby's may write by now.
    let primary = || server(DbState::InProduction, Sql::Starting);
    assert!(!in_vain(starts("c", Rewound::NotYetUp, 0, primary())));
}

#[test]
fn a_server_that_a_rewind_left_in_vain_is_stopped_for_a_new_copy_where_policy_allows_that() {
    let stops = |rewound, remove: bool| {
        let observation = Observation {
            standby_signal: true,
            ..server(DbState::InArchiveRecovery, Sql::Starting)
        };
        let decision = following(Divergence::None, observation)
            .has("copies/aimed", "b")
            .has("rejoin/rewound", rewound)
            .has("store/config/remove_on_rewind_failure", remove)
            .decides();
        matches!(decision, Decision::Stop { .. })
    };
    assert!(stops(Rewound::InVain, true));
    assert!(!stops(Rewound::InVain, false));
    assert!(!stops(Rewound::NotYetUp, true));
    assert!(!stops(Rewound::Settled, true));
}

#[test]
fn a_server_that_starts_for_another_has_five_minutes() {
    let long = |millis: u64| {
        let observation = Observation {
            standby_signal: true,
            ..server(DbState::InArchiveRecovery, Sql::Starting)
        };
        let agent: Agent = following(Divergence::None, observation)
            .has("copies/aimed", "c")
            .has("local/starting_since", mono(SECOND))
            .agent();
        matches!(agent.decide(now_and(millis)), Decision::Stop { .. })
    };
    let whole = 300_000;
    assert!(!long(whole - 1));
    assert!(long(whole));
}

#[test]
fn what_a_rewind_left_in_vain_makes_room_where_policy_allows_that() {
    let decides = |rewound, remove: bool| {
        following(Divergence::None, stopped(DbState::ShutDownInRecovery))
            .has("rejoin/rewound", rewound)
            .has("store/config/remove_on_rewind_failure", remove)
            .decides()
    };
    let why = DiscardReason::RewindFailed;
    assert_eq!(decides(Rewound::InVain, true), Decision::Discard { why });
    for (rewound, remove) in [
        (Rewound::InVain, false),
        (Rewound::NotYetUp, true),
        (Rewound::Settled, true),
    ] {
        let decision = decides(rewound, remove);
        assert!(matches!(decision, Decision::Start { .. }), "{decision}");
    }
}

// ---- repair ----

/// The leader is on timeline 2, which began before this member's end.
pub fn diverged(observation: Observation) -> Situation {
    let checked = Checked {
        timeline: TimelineId(2),
        ..checked(FORKED)
    };
    under_b(observation)
        .has("rejoin/checked", checked)
        .has("store/config/use_pg_rewind", true)
}

#[test]
fn a_diverged_server_is_stopped_for_a_rewind_only_if_one_can_work() {
    let can = |hints, checksums| {
        is_rewindable(&ControlData {
            wal_log_hints: hints,
            data_checksums: checksums,
            ..control(DbState::ShutDown)
        })
    };
    assert!(can(true, false) && can(false, true) && !can(false, false));
    let running = || standby(status(true));
    let leader = || MemberName::from("b");
    let decision = diverged(running()).decides();
    let Decision::Stop { why, .. } = decision else {
        panic!("{decision}");
    };
    assert_eq!(why, StopReason::Rewind { leader: leader() });
    let off = diverged(running()).has("store/config/use_pg_rewind", false);
    assert!(matches!(waits(&off.decides()), Waiting::Diverged { .. }));
    // The member's own word goes before the cluster's.
    let own = diverged(running()).has("settings/postgresql/use_pg_rewind", false);
    assert!(matches!(waits(&own.decides()), Waiting::Diverged { .. }));
    let mut bare = running();
    if let DataDir::Present(control) = &mut bare.data_dir {
        (control.wal_log_hints, control.data_checksums) = (false, false);
    }
    let bare = diverged(bare).decides();
    assert!(matches!(waits(&bare), Waiting::Diverged { .. }), "{bare}");
}

#[test]
fn a_rewind_rests_on_a_word_of_the_leader_that_is_younger_than_ten_seconds() {
    let rewinds = |age_millis: u64, of: &str| {
        let mut facts = facts();
        facts.member = of.into();
        facts.history = super::divergence::second("0/2FAF080");
        facts.control_timeline = TimelineId(2);
        let at = Mono(mono(SECOND).0 - age_millis * 1_000);
        let down = diverged(stopped(DbState::ShutDownInRecovery));
        down.has("rejoin/facts", (at, facts)).decides()
    };
    assert!(matches!(rewinds(9_999, "b"), Decision::Rewind { .. }));
    assert!(matches!(rewinds(10_000, "b"), Decision::AskUpstream { .. }));
    assert!(matches!(rewinds(0, "c"), Decision::AskUpstream { .. }));
}

#[test]
fn a_rewind_that_did_not_end_is_begun_again_only_where_rewinds_are_allowed() {
    let again = |allowed: bool| {
        let half = down(DataDir::HalfRewound(control(DbState::InProduction)));
        under_b(half)
            .has("store/config/use_pg_rewind", allowed)
            .has("rejoin/facts", (mono(SECOND), facts()))
            .decides()
    };
    assert!(matches!(again(true), Decision::Rewind { .. }));
    assert!(matches!(waits(&again(false)), Waiting::Diverged { .. }));
}

#[test]
fn who_belongs_to_another_cluster_ends_whatever_is_in_its_directory() {
    let ends = |data: DataDir, initialize: &str| {
        let here = under_b(down(data)).store(&[("initialize", initialize)]);
        matches!(here.decides(), Decision::Exit { code: 1, .. })
    };
    let present = || DataDir::Present(control(DbState::ShutDown));
    let half = || DataDir::HalfRewound(control(DbState::ShutDown));
    let other = "7000000000000000000";
    assert!(ends(present(), other) && ends(half(), other));
    assert!(!ends(present(), SYSTEM) && !ends(half(), SYSTEM));
    assert!(!ends(present(), "what?"));
}

#[test]
fn a_standby_that_is_down_starts_alone_when_the_leader_was_not_ready_for_a_whole_ttl() {
    let unready = |millis: u64, state| {
        let since = Mono(mono(SECOND).0 - millis * 1_000);
        let starting = leader_key().replace("running", "starting");
        under_b(stopped(state))
            .store(&[("members/b", &starting)])
            .has("store/leader_since", since)
            .decides()
    };
    let standby = DbState::ShutDownInRecovery;
    let alone = Decision::Start {
        role: StartAs::Standby { upstream: None },
        why: StartReason::LeaderNotReady { leader: "b".into() },
    };
    assert_eq!(unready(30_000, standby), alone);
    assert!(matches!(unready(29_999, standby), Decision::Wait(_)));
    let primary = unready(30_000, DbState::ShutDown);
    assert!(matches!(primary, Decision::Wait(_)), "{primary}");
}

#[test]
fn a_stop_that_somebody_else_began_hangs_after_ten_seconds() {
    let hangs = |millis: u64| {
        let since = Mono(mono(SECOND).0 - millis * 1_000);
        let observation = Observation {
            standby_signal: true,
            ..server(DbState::InArchiveRecovery, Sql::ShuttingDown)
        };
        let agent = under_b(observation)
            .has("local/shutting_down_since", since)
            .agent();
        let wakes: Vec<Mono> = agent.rejoin_wakes().collect();
        assert!(wakes.contains(&(since + Span::secs(10))), "{wakes:?}");
        agent.decide(now())
    };
    let waits = Decision::Wait(Waiting::PostgresShuttingDown);
    assert_eq!(hangs(9_999), waits);
    let over = hangs(10_000);
    assert!(matches!(over, Decision::Stop { .. }), "{over}");
}

#[test]
fn where_its_wal_ends_is_asked_of_a_new_look_once_and_of_a_mute_server_never_again() {
    let asks = |sql: Sql, looked_millis_ago: u64| {
        let looked = Mono(mono(SECOND).0 - looked_millis_ago * 1_000);
        let observation = Observation {
            sql,
            ..standby(status(true))
        };
        let here = under_b(standby(status(true))).runs(observation);
        here.has("local/looked_at", looked)
            .has("store/leader_since", mono(SECOND - 20))
            .decides()
    };
    let answers = || Sql::Answered(status(true));
    let refuses = || Sql::Refused("sorry, too many clients already".into());
    let fresh = Decision::Wait(Waiting::FreshLook);
    assert!(matches!(asks(answers(), 0), Decision::AskUpstream { .. }));
    assert!(matches!(
        asks(answers(), 9_999),
        Decision::AskUpstream { .. }
    ));
    assert_eq!(asks(answers(), 10_000), fresh);
    let why = "sorry, too many clients already".to_string();
    assert_eq!(
        asks(refuses(), 9_999),
        Decision::Wait(Waiting::PostgresRefuses { why })
    );
    assert_eq!(asks(refuses(), 10_000), fresh);
    let silent = asks(Sql::Silent("timeout".into()), 0);
    assert!(
        matches!(waits(&silent), Waiting::PostgresSilent { .. }),
        "{silent}"
    );
    // What is to be thrown away need not be known.
    let observation = Observation {
        sql: refuses(),
        ..standby(status(true))
    };
    let reinit = under_b(standby(status(true)))
        .runs(observation)
        .has("rejoin/reinit", true);
    assert!(matches!(reinit.decides(), Decision::AskUpstream { .. }));
}
