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

fn role(situation: Situation) -> StartAs {
    match situation.decides() {
        Decision::Start { role, .. } => role,
        other => panic!("{other}"),
    }
}

/// A timeline that left its parent, and that one the first, at these positions.
fn line(timeline: u32, forks: &[(u32, u64)]) -> TimelineHistory {
    let fork = |(parent, end): &(u32, u64)| Fork {
        parent: TimelineId(*parent),
        end: Lsn(*end),
        reason: String::new(),
    };
    TimelineHistory {
        timeline: TimelineId(timeline),
        forks: forks.iter().map(fork).collect(),
    }
}

/// What its directory knows, how far its recovery has come, and the timelines that the cluster has opened.
struct Known {
    newest: TimelineHistory,
    others: Vec<TimelineHistory>,
    recorded: u32,
    min_recovery: (u32, u64),
}

/// Its control file is on the first timeline, its checkpoint begins at 50 331 000.
fn first() -> Known {
    Known {
        newest: TimelineHistory::bare(TimelineId(1)),
        others: Vec::new(),
        recorded: 1,
        min_recovery: (1, 50_331_500),
    }
}

/// A second timeline that has left the first where its recovery has been already.
fn astray() -> Known {
    Known {
        newest: line(2, &[(1, 50_331_499)]),
        ..first()
    }
}

/// Where it is known to have to go on along another timeline than the first, or may have to.
fn goes_on() -> [(&'static str, Known); 4] {
    [
        (
            "the cluster has opened one",
            Known {
                recorded: 2,
                ..astray()
            },
        ),
        (
            "one that is not the newest leads on",
            Known {
                newest: line(3, &[(1, 50_331_000)]),
                others: vec![line(2, &[(1, 50_331_500)])],
                ..first()
            },
        ),
        (
            "the newest cannot be read",
            Known {
                newest: line(2, &[]),
                ..first()
            },
        ),
        (
            "the newest leads on",
            Known {
                newest: line(2, &[(1, 50_331_500)]),
                ..first()
            },
        ),
    ]
}

/// Nobody leads.
fn knowing(of: &Known, observation: Observation) -> Situation {
    let recorded: Vec<Value> = (1..of.recorded)
        .map(|t| json!([t, 100, "no reason"]))
        .collect();
    let recorded = json!(recorded).to_string();
    Situation::new()
        .store(&[("initialize", SYSTEM), ("history", &recorded)])
        .in_session()
        .has("tenure/may_adopt", json!(null))
        .runs(known(of, observation))
}

fn known(of: &Known, observation: Observation) -> Observation {
    let mut control = observation.data_dir.control().unwrap().clone();
    control.min_recovery_timeline = TimelineId(of.min_recovery.0);
    control.min_recovery_end = Lsn(of.min_recovery.1);
    Observation {
        history: of.newest.clone(),
        other_lines: of.others.clone(),
        data_dir: DataDir::Present(control),
        ..observation
    }
}

#[test]
fn it_follows_along_the_timeline_of_its_leader_where_it_knows_a_newer_one() {
    let follows = |of: &Known, theirs: u32, failed: u32| {
        let here = known(of, stopped(DbState::ShutDownInRecovery));
        let theirs = Checked {
            timeline: TimelineId(theirs),
            ..checked(Divergence::None)
        };
        let failures = json!({"start": {"count": failed, "last": "no", "retry_at": mono(SECOND), "term": null}});
        let here = following(Divergence::None, here).has("rejoin/checked", json!(theirs));
        role(here.has("lane/failures", failures))
    };
    let upstream = || Some(upstream());
    let leads_on = Known {
        newest: line(2, &[(1, 50_331_500)]),
        ..first()
    };
    assert_eq!(follows(&first(), 1, 0), newest(upstream()));
    assert_eq!(follows(&first(), 1, 2), newest(upstream()));
    assert_eq!(
        follows(&leads_on, 1, 0),
        along(1, upstream()),
        "the leader's"
    );
    assert_eq!(follows(&leads_on, 2, 0), newest(upstream()));
    assert_eq!(follows(&leads_on, 3, 0), newest(upstream()));
    assert_eq!(follows(&astray(), 3, 0), along(3, upstream()), "not on it");
    let turns: Vec<StartAs> = (0..6).map(|failed| follows(&astray(), 3, failed)).collect();
    let (theirs, own) = (|| along(3, upstream()), || along(1, upstream()));
    let in_turns = [theirs(), theirs(), own(), theirs(), theirs(), own()];
    assert_eq!(turns, in_turns, "its history may be the leader's alone");
}

#[test]
fn for_nobody_it_is_started_along_its_own_where_it_goes_on_along_no_other() {
    let alone = |of: &Known| role(knowing(of, stopped(DbState::ShutDownInRecovery)));
    assert_eq!(alone(&first()), newest(None));
    assert_eq!(alone(&astray()), along(1, None));
    let at_checkpoint = Known {
        newest: line(2, &[(1, 50_331_000)]),
        min_recovery: (1, 0),
        ..first()
    };
    assert_eq!(alone(&at_checkpoint), along(1, None));
    for (what, of) in goes_on() {
        assert_eq!(alone(&of), newest(None), "{what}");
    }
}

#[test]
fn its_own_is_the_one_up_to_which_its_control_file_demands_recovery() {
    let of = Known {
        newest: line(3, &[(1, 50_331_100), (2, 50_331_499)]),
        min_recovery: (2, 50_331_500),
        recorded: 2,
        ..first()
    };
    let alone = role(knowing(&of, stopped(DbState::ShutDownInRecovery)));
    assert_eq!(alone, along(2, None));
}

#[test]
fn before_a_clean_stop_it_is_started_where_it_can_be() {
    let before_stop = |of: &Known| {
        let crashed = Observation {
            standby_signal: true,
            ..stopped(DbState::InArchiveRecovery)
        };
        role(diverged(known(of, crashed)))
    };
    assert_eq!(before_stop(&first()), newest(None));
    assert_eq!(before_stop(&astray()), along(1, None));
}

#[test]
fn it_is_stopped_whoever_leads_where_it_goes_on_along_another() {
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
    for (what, of) in goes_on() {
        assert!(stops(&of, &|_| (), false), "{what}");
        assert!(!stops(&of, &|_| (), true), "{what}, in pause");
        assert!(!stops(&of, &|s| s.one_timeline = None, false), "{what}");
        assert!(!stops(&of, &|s| s.in_recovery = false, false), "{what}");
        let follows = |s: &mut SqlStatus| s.upstream = Some(leader_address());
        assert!(!stops(&of, &follows, false), "{what}, but it follows");
    }
    assert!(!stops(&astray(), &|_| (), false), "it is the newest");
}

#[test]
fn it_is_started_anew_for_a_leader_on_another_timeline() {
    let stops = |one: Option<u32>, known: u32, paused: bool| {
        let mut here = status(true);
        here.one_timeline = one.map(TimelineId);
        here.upstream = Some(leader_address());
        let theirs = Checked {
            timeline: TimelineId(2),
            ..checked(Divergence::None)
        };
        let here = Observation {
            history: line(known, &[(1, 50_331_000)]),
            ..standby(here)
        };
        let here = following(Divergence::None, here).has("rejoin/checked", json!(theirs));
        let agent = here.has("store/config/paused", paused).agent();
        let cluster: Cluster =
            serde_json::from_value(json(&agent)["store"]["cluster"].clone()).unwrap();
        agent
            .decide_other_timeline(cluster.leader.as_ref().unwrap())
            .map(|stop| stop.to_string())
    };
    let told = "stopping PostgreSQL: it runs along timeline 1 only, and b is on another one";
    assert_eq!(stops(Some(1), 2, false).as_deref(), Some(told));
    assert!(stops(Some(3), 2, false).is_some());
    assert_eq!(stops(Some(1), 3, false), None, "not told of it yet");
    assert_eq!(stops(Some(2), 2, false), None, "the same one");
    assert_eq!(stops(None, 2, false), None, "it follows by itself");
    assert_eq!(stops(Some(1), 2, true), None, "nothing is stopped in pause");
}
