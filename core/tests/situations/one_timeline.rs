//! When a standby is started along one timeline only, and whether it is left there.

use super::rejoin::{checked, diverged, following, leader_address, upstream};
use super::situation::*;
use super::sql::status;
use serde_json::{Value, json};
use tanist_core::cluster::Cluster;
use tanist_core::decision::*;
use tanist_core::divergence::Checked;
use tanist_core::lsn::Lsn;
use tanist_core::postgres::*;
use tanist_core::timeline::{Divergence, Fork, TimelineHistory, TimelineId};

fn newest(upstream: Option<Upstream>) -> StartAs {
    StartAs::Standby { upstream }
}

fn along(timeline: u32, upstream: Option<Upstream>) -> StartAs {
    let timeline = TimelineId(timeline);
    StartAs::OneTimeline { timeline, upstream }
}

/// How it is started after so many starts in vain.
fn role(situation: Situation, failed: u32) -> StartAs {
    let failures =
        json!({"start": {"count": failed, "last": "no", "retry_at": mono(SECOND), "term": null}});
    match situation.has("lane/failures", failures).decides() {
        Decision::Start { role, .. } => role,
        other => panic!("{other}"),
    }
}

/// The leader's timeline, as the check has found it.
fn led_on(timeline: u32) -> Value {
    json!(Checked {
        timeline: TimelineId(timeline),
        ..checked(Divergence::None)
    })
}

#[test]
fn a_start_that_fails_again_and_again_is_tried_along_the_timeline_of_the_leader() {
    let follows = |failed, theirs| {
        let here = following(Divergence::None, stopped(DbState::ShutDownInRecovery));
        role(here.has("rejoin/checked", led_on(theirs)), failed)
    };
    let (newest, own) = (|| newest(Some(upstream())), |t| along(t, Some(upstream())));
    let turns: Vec<StartAs> = (0..5).map(|failed| follows(failed, 1)).collect();
    assert_eq!(turns, [newest(), newest(), own(1), newest(), own(1)]);
    assert_eq!(follows(2, 2), own(2), "the leader's");
}

/// Its directory knows a timeline 2 that left its own at `fork`, it has come to `min_recovery`, on which timeline and
/// where, and the cluster has opened timelines up to `recorded`.
struct Known {
    fork: Option<u64>,
    recorded: u32,
    min_recovery: (u32, u64),
}

/// Its checkpoint begins at 50 331 000.
const FIRST: Known = Known {
    fork: None,
    recorded: 1,
    min_recovery: (1, 50_331_500),
};

/// Nobody leads, and its control file is on the first timeline.
fn knowing(of: &Known, observation: Observation) -> Situation {
    let recorded: Vec<Value> = (1..of.recorded)
        .map(|t| json!([t, 100, "no reason"]))
        .collect();
    let history = of.fork.map(|end| TimelineHistory {
        timeline: TimelineId(2),
        forks: vec![Fork {
            parent: TimelineId(1),
            end: Lsn(end),
            reason: String::new(),
        }],
    });
    let data_dir = observation.data_dir.control().cloned().map(|mut control| {
        control.min_recovery_timeline = TimelineId(of.min_recovery.0);
        control.min_recovery_end = Lsn(of.min_recovery.1);
        DataDir::Present(control)
    });
    let recorded = json!(recorded).to_string();
    Situation::new()
        .store(&[("initialize", SYSTEM), ("history", &recorded)])
        .in_session()
        .has("tenure/may_adopt", json!(null))
        .runs(Observation {
            history: history.unwrap_or(TimelineHistory::bare(TimelineId(1))),
            data_dir: data_dir.unwrap(),
            ..observation
        })
}

/// It may have to go on along a newer one.
fn newer_ones() -> [(&'static str, Known); 3] {
    [
        (
            "its directory knows one",
            Known {
                fork: Some(50_331_500),
                ..FIRST
            },
        ),
        (
            "the cluster has one",
            Known {
                recorded: 2,
                ..FIRST
            },
        ),
        (
            "it has been on one",
            Known {
                min_recovery: (2, 50_331_500),
                ..FIRST
            },
        ),
    ]
}

/// It cannot be on the one that it knows of.
fn foreign_ones() -> [(&'static str, Known); 2] {
    [
        (
            "its recovery point is past the fork",
            Known {
                fork: Some(50_331_499),
                ..FIRST
            },
        ),
        (
            "its checkpoint is",
            Known {
                fork: Some(50_331_000),
                min_recovery: (1, 0),
                ..FIRST
            },
        ),
    ]
}

#[test]
fn for_nobody_it_is_tried_where_no_newer_timeline_is_known() {
    let alone =
        |failed, of: &Known| role(knowing(of, stopped(DbState::ShutDownInRecovery)), failed);
    let turns: Vec<StartAs> = (0..5).map(|failed| alone(failed, &FIRST)).collect();
    let (newest, own) = (|| newest(None), || along(1, None));
    assert_eq!(turns, [newest(), newest(), own(), newest(), own()]);
    for (what, of) in newer_ones() {
        assert_eq!(alone(2, &of), newest(), "{what}");
    }
    for (what, of) in foreign_ones() {
        assert_eq!(alone(2, &of), own(), "{what}");
    }
}

#[test]
fn starts_that_end_in_a_clean_stop_go_by_turns_from_the_first_on() {
    let before_stop = |failed| {
        let crashed = Observation {
            standby_signal: true,
            ..stopped(DbState::InArchiveRecovery)
        };
        role(diverged(crashed), failed)
    };
    let turns: Vec<StartAs> = (0..4).map(before_stop).collect();
    assert_eq!(
        turns,
        [newest(None), along(1, None), newest(None), along(1, None)]
    );
}

#[test]
fn it_is_stopped_whoever_leads_where_a_newer_timeline_is_known() {
    let stops = |of: &Known, change: &dyn Fn(&mut SqlStatus), paused: bool| {
        let mut here = status(true);
        here.one_timeline = Some(TimelineId(1));
        change(&mut here);
        knowing(of, standby(here))
            .has("store/config/paused", paused)
            .agent()
            .decide_one_timeline()
            .is_some()
    };
    for (what, of) in newer_ones() {
        assert!(stops(&of, &|_| (), false), "{what}");
        assert!(!stops(&of, &|_| (), true), "{what}, in pause");
        assert!(!stops(&of, &|s| s.one_timeline = None, false), "{what}");
        assert!(!stops(&of, &|s| s.in_recovery = false, false), "{what}");
        let follows = |s: &mut SqlStatus| s.upstream = Some(leader_address());
        assert!(!stops(&of, &follows, false), "{what}, but it follows");
    }
    for (what, of) in foreign_ones() {
        assert!(!stops(&of, &|_| (), false), "{what}");
    }
    assert!(!stops(&FIRST, &|_| (), false), "it is the newest");
}

#[test]
fn it_is_started_anew_for_a_leader_on_a_newer_timeline() {
    let stops = |one: Option<u32>, paused: bool| {
        let mut here = status(true);
        here.one_timeline = one.map(TimelineId);
        here.upstream = Some(leader_address());
        let here = following(Divergence::None, standby(here)).has("rejoin/checked", led_on(2));
        let agent = here.has("store/config/paused", paused).agent();
        let cluster: Cluster =
            serde_json::from_value(json(&agent)["store"]["cluster"].clone()).unwrap();
        agent
            .decide_newer_timeline(cluster.leader.as_ref().unwrap())
            .map(|stop| stop.to_string())
    };
    let told = "stopping PostgreSQL: it runs along timeline 1 only, and b is on a newer one";
    assert_eq!(stops(Some(1), false).as_deref(), Some(told));
    assert_eq!(stops(Some(2), false), None, "the same one");
    assert_eq!(stops(None, false), None, "it follows by itself");
    assert_eq!(stops(Some(1), true), None, "nothing is stopped in pause");
}
