//! What load balancers are told, as tables: a member in one situation, a path, the code and the reason.

#[path = "support/sql.rs"]
mod sql;

use serde_json::{Map, json};
use sql::status as sql;
use std::collections::{BTreeMap, VecDeque};
use tanist_core::cluster::Cluster;
use tanist_core::config::Config;
use tanist_core::dcs::{KeyValue, LeaseId, Revision, Snapshot};
use tanist_core::health::{SyncStanding, health, sync_standing};
use tanist_core::health_check::{Asked, Check};
use tanist_core::leader_key::Authority;
use tanist_core::lsn::Lsn;
use tanist_core::name::{MemberName, Term};
use tanist_core::peer::PeerAnswer;
use tanist_core::postgres::*;
use tanist_core::status_json::{StatusBody, TraceBody, history};
use tanist_core::time::{Mono, Now, Span, Wall};
use tanist_core::timeline::{TimelineHistory, TimelineId};
use tanist_core::view::{Role, Running, State, Told, View};

const NOW: Now = Now {
    mono: Mono(100_000_000),
    wall: Wall(1_795_375_529_662_657),
};

fn cluster(pairs: &[(&str, &str)]) -> Cluster {
    let kv = |value: &str| KeyValue {
        value: value.into(),
        created: Revision(1),
        modified: Revision(1),
        lease: LeaseId(7),
    };
    Cluster::read(&Snapshot {
        revision: Revision(9),
        keys: pairs.iter().map(|(k, v)| (k.to_string(), kv(v))).collect(),
    })
}

fn view(status: SqlStatus) -> View {
    let control = ControlData {
        system_id: SystemId("7711078574722072691".into()),
        state: DbState::InProduction,
        checkpoint: Lsn(1),
        timeline: TimelineId(1),
        min_recovery_end: Lsn(0),
        min_recovery_timeline: TimelineId(0),
        wal_log_hints: false,
        data_checksums: true,
        standby_minimums: BTreeMap::new(),
    };
    let observation = Observation {
        data_dir: DataDir::Present(control),
        processes: Processes {
            postmaster: Some(77),
            backends: 5,
        },
        sql: Sql::Answered(status),
        history: TimelineHistory::bare(TimelineId(1)),
        other_lines: Vec::new(),
        promoted: Vec::new(),
        standby_signal: false,
        roles_owed: false,
        led_last: false,
        copy: None,
    };
    View {
        scope: "demo".into(),
        name: "n1".into(),
        api_url: "http://127.0.0.1:8008/patroni".into(),
        conn_url: "postgres://127.0.0.1:5432/postgres".into(),
        tags: Map::new(),
        role: Role::Replica,
        state: State::Running,
        authority: Authority::None,
        holds_key: false,
        stands_back: false,
        paused: false,
        config: Config::default(),
        observed: Some(observation),
        observed_at: Some(NOW.mono),
        cluster: Some(cluster(&[("status", r#"{"optime":50331784}"#)])),
        store_seen: Some(NOW),
        operation: None,
        decision: "leads".into(),
        recent: VecDeque::new(),
        requests: BTreeMap::new(),
        decided_at: NOW.mono,
    }
}

fn primary() -> View {
    View {
        role: Role::Primary,
        authority: Authority::Lease {
            until: NOW.mono + Span::secs(5),
            term: Term(3),
        },
        holds_key: true,
        cluster: Some(cluster(&[
            ("leader", "n1"),
            ("status", r#"{"optime":50331784}"#),
        ])),
        ..view(sql(false))
    }
}

fn replica() -> View {
    view(sql(true))
}

fn changed(mut view: View, change: impl FnOnce(&mut View)) -> View {
    change(&mut view);
    view
}

fn observed(view: &mut View) -> &mut Observation {
    view.observed.as_mut().expect("every view here has one")
}

fn status(view: &mut View) -> &mut SqlStatus {
    match &mut observed(view).sql {
        Sql::Answered(status) => status,
        other => panic!("{other:?}"),
    }
}

fn ask(view: &View, target: &str) -> (u16, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let answer = health(view, NOW, Check::read(path, query, Asked::Get));
    (answer.code, answer.reason.to_string())
}

#[track_caller]
fn check(view: &View, expected: &[(&str, u16)]) {
    for (target, code) in expected {
        let (got, reason) = ask(view, target);
        assert_eq!(got, *code, "{target}: {reason}");
    }
}

#[test]
fn a_primary_and_a_replica_answer_as_patronis_do() {
    let primary_codes = [
        ("/", 200),
        ("/primary", 200),
        ("/master", 200),
        ("/read-write", 200),
        ("/leader", 200),
        ("/standby-leader", 503),
        ("/replica", 503),
        ("/read-only", 200),
        ("/health", 200),
        ("/sync", 503),
        ("/async", 503),
        ("/quorum", 503),
        ("/read-only-sync", 200),
        ("/read-only-quorum", 200),
        ("/liveness", 200),
        ("/readiness", 200),
        ("/nonsense", 503),
    ];
    check(&primary(), &primary_codes);
    let replica_codes = [
        ("/", 503),
        ("/primary", 503),
        ("/leader", 503),
        ("/standby-leader", 503),
        ("/replica", 200),
        ("/read-only", 200),
        ("/health", 200),
        ("/sync", 503),
        ("/async", 200),
        ("/quorum", 503),
        ("/read-only-sync", 503),
        ("/liveness", 200),
        ("/readiness", 200),
    ];
    check(&replica(), &replica_codes);
}

#[test]
fn primary_takes_standing_authority_a_live_postmaster_out_of_recovery_and_no_stop() {
    let stop = Running {
        verb: "stop".into(),
        since: NOW.mono,
        phase: None,
    };
    let cases: Vec<(&str, View)> = vec![
        (
            "no write authority at this moment",
            changed(primary(), |v| {
                v.authority = Authority::Lease {
                    until: NOW.mono,
                    term: Term(3),
                }
            }),
        ),
        (
            "no write authority at this moment",
            changed(primary(), |v| v.authority = Authority::None),
        ),
        (
            "no postmaster",
            changed(primary(), |v| observed(v).processes.postmaster = None),
        ),
        (
            "PostgreSQL is in recovery",
            changed(primary(), |v| status(v).in_recovery = true),
        ),
        (
            "PostgreSQL does not tell its role",
            changed(primary(), |v| {
                observed(v).sql = Sql::Silent("timeout".into())
            }),
        ),
        (
            "PostgreSQL has not been looked at yet",
            changed(primary(), |v| v.observed = None),
        ),
        (
            "PostgreSQL is being stopped",
            changed(primary(), |v| v.state = State::Stopping),
        ),
        (
            "PostgreSQL is being stopped",
            changed(primary(), |v| v.operation = Some(stop)),
        ),
        (
            "this is a standby cluster",
            changed(primary(), |v| {
                let stored = json!({"standby_cluster": {"host": "far"}});
                v.config = Config::read(stored.as_object().unwrap(), false);
            }),
        ),
    ];
    for (reason, view) in cases {
        assert_eq!(ask(&view, "/primary"), (503, reason.to_string()));
    }
}

#[test]
fn in_maintenance_mode_only_the_holder_of_the_key_is_called_primary() {
    let paused = |holds_key| {
        changed(primary(), |v| {
            v.paused = true;
            v.authority = Authority::Paused;
            v.holds_key = holds_key;
        })
    };
    check(&paused(true), &[("/primary", 200), ("/leader", 200)]);
    check(&paused(false), &[("/primary", 503), ("/leader", 503)]);
    let blind = changed(paused(false), |v| v.cluster = None);
    check(&blind, &[("/primary", 200)]);
}

#[test]
fn a_replica_is_left_out_by_lag_tag_state_and_replication_state() {
    let behind = changed(replica(), |v| status(v).replayed = Lsn(50_331_784 - 2048));
    check(
        &behind,
        &[
            ("/replica", 200),
            ("/replica?lag=2048", 200),
            ("/replica?lag=2047", 503),
            ("/replica?lag=1kB", 503),
            ("/replica?lag=1MB", 200),
            ("/replica?lag=garbage", 200),
            ("/async?lag=1kB", 503),
            ("/read-only?lag=1kB", 503),
            ("/readiness?lag=1kB", 503),
            ("/readiness?lag=1kB&mode=write", 200),
            ("/replica?replication_state=streaming", 200),
            ("/replica?replication_state=in+archive+recovery", 503),
        ],
    );
    let tagged = changed(replica(), |v| {
        v.tags = json!({"zone": "a", "big": true, "n": 5})
            .as_object()
            .unwrap()
            .clone();
    });
    check(
        &tagged,
        &[
            ("/replica?tag_zone=a", 200),
            ("/replica?tag_zone=b", 503),
            ("/replica?tag_zone=a&tag_other=1", 503),
            ("/replica?tag_big=true&tag_n=5", 200),
            ("/health?tag_zone=b", 503),
        ],
    );
    // Leader checks do not look at tags.
    check(&primary(), &[("/primary?tag_zone=b", 200)]);
    let shy = changed(replica(), |v| {
        v.tags = json!({"noloadbalance": true}).as_object().unwrap().clone();
    });
    check(
        &shy,
        &[("/replica", 503), ("/read-only", 503), ("/health", 200)],
    );
    let starting = changed(replica(), |v| v.state = State::Starting);
    check(
        &starting,
        &[("/replica", 503), ("/health", 503), ("/readiness", 503)],
    );
    let silent = changed(replica(), |v| observed(v).sql = Sql::Silent("hung".into()));
    check(&silent, &[("/replica", 503), ("/health", 503)]);
    let archive = changed(replica(), |v| status(v).streaming = false);
    check(&archive, &[("/replica", 200), ("/readiness", 503)]);
}

#[test]
fn a_replica_is_ready_up_to_its_limit_and_before_the_store_was_seen_only_by_what_it_received() {
    let behind = |received: u64| changed(replica(), |v| status(v).received = Lsn(received));
    let lag = [("/readiness?lag=2048&mode=write", 200)];
    let at_limit = changed(replica(), |v| {
        status(v).received = Lsn(50_331_784 - 2048);
        status(v).replayed = Lsn(50_331_784 - 2048);
    });
    check(&at_limit, &lag);
    let unseen = |received| {
        let mut view = behind(received);
        view.cluster = None;
        view
    };
    check(&unseen(50_331_784), &[("/readiness", 200)]);
    check(&unseen(0), &[("/readiness", 503)]);
    check(&behind(0), &[("/readiness", 200)]);
}

#[test]
fn only_a_standby_that_the_sync_key_names_counts_as_synchronous() {
    let named = r#"{"leader":"n2","sync_standby":"n1"}"#;
    let others = r#"{"leader":"n2","sync_standby":"n3"}"#;
    let standing = |view: View, sync: &str| {
        let config = ("config", r#"{"synchronous_mode":true}"#);
        let view = changed(view, |v| {
            v.cluster = Some(cluster(&[config, ("sync", sync)]));
        });
        sync_standing(&view)
    };
    let synchronous = Some(SyncStanding::Synchronous);
    let asynchronous = Some(SyncStanding::Asynchronous);
    assert_eq!(standing(replica(), named), synchronous);
    assert_eq!(standing(replica(), others), asynchronous);
    assert_eq!(standing(primary(), named), asynchronous);
}

#[test]
fn sync_checks_follow_the_sync_key_and_need_a_reading_of_the_store() {
    let keys = |mode: &str| {
        cluster(&[
            ("config", mode),
            (
                "sync",
                r#"{"leader":"n2","quorum":0,"sync_standby":"N1,n3"}"#,
            ),
        ])
    };
    let sync = changed(replica(), |v| {
        v.cluster = Some(keys(r#"{"synchronous_mode":true}"#));
    });
    check(
        &sync,
        &[
            ("/sync", 200),
            ("/async", 503),
            ("/quorum", 503),
            ("/read-only-sync", 200),
        ],
    );
    let quorum = changed(replica(), |v| {
        v.cluster = Some(keys(r#"{"synchronous_mode":"quorum"}"#));
    });
    check(
        &quorum,
        &[
            ("/quorum", 200),
            ("/sync", 503),
            ("/async", 503),
            ("/read-only-quorum", 200),
        ],
    );
    let blind = changed(sync, |v| v.cluster = None);
    check(
        &blind,
        &[("/sync", 503), ("/async", 503), ("/read-only-sync", 503)],
    );
}

#[test]
fn a_late_loop_fails_liveness_after_ttl_on_a_primary_and_two_ttl_elsewhere() {
    let late = |view: View, seconds: u64| {
        changed(view, |v| {
            v.decided_at = NOW.mono.saturating_sub(Span::secs(seconds))
        })
    };
    check(&late(primary(), 29), &[("/liveness", 200)]);
    check(&late(primary(), 30), &[("/liveness", 503)]);
    check(&late(replica(), 59), &[("/liveness", 200)]);
    check(&late(replica(), 60), &[("/liveness", 503)]);
    let paused = changed(late(replica(), 99), |v| v.paused = true);
    check(&paused, &[("/liveness", 200)]);
}

#[test]
fn a_primarys_status_has_patronis_fields_in_patronis_order() {
    let mut view = primary();
    view.tags = json!({"clonefrom": true}).as_object().unwrap().clone();
    view.operation = Some(Running {
        verb: "promote".into(),
        since: NOW.mono.saturating_sub(Span::millis(1500)),
        phase: Some("leaving recovery".into()),
    });
    status(&mut view).standbys = vec![ConnectedStandby {
        application_name: "n2".into(),
        user: "replicator".into(),
        client_address: "127.0.0.1".into(),
        state: "streaming".into(),
        sync_state: "async".into(),
        sync_priority: 0,
        flushed: Lsn(1),
    }];
    insta::assert_snapshot!(pretty(&view));
}

#[test]
fn a_replicas_status_tells_both_positions() {
    let mut view = replica();
    view.paused = true;
    status(&mut view).pending_restart = true;
    status(&mut view).replayed_at = Some(NOW.wall);
    insta::assert_snapshot!(pretty(&view));
}

fn pretty(view: &View) -> String {
    let body = serde_json::to_string_pretty(&StatusBody::of(view, NOW)).expect("plain data");
    body.replace(env!("CARGO_PKG_VERSION"), "[version]")
}

fn read_back(view: &View) -> PeerAnswer {
    let body = serde_json::to_vec(&StatusBody::of(view, NOW)).expect("plain data");
    tanist_core::peer_json::read(&body)
}

#[test]
fn a_peer_reads_of_a_member_what_the_member_meant() {
    let PeerAnswer::Status(of_primary) = read_back(&primary()) else {
        panic!("unreadable");
    };
    assert!(!of_primary.in_recovery);
    assert_eq!(of_primary.position, Lsn::INVALID);
    assert!(of_primary.sees_leader);
    let tagged = changed(replica(), |v| {
        v.tags = json!({"nofailover": true}).as_object().unwrap().clone();
    });
    let PeerAnswer::Status(of_replica) = read_back(&tagged) else {
        panic!("unreadable");
    };
    assert!(of_replica.in_recovery && of_replica.streaming && of_replica.nofailover);
    assert_eq!(of_replica.position, Lsn(50_331_784));
    assert_eq!(of_replica.timeline, Some(TimelineId(1)));
    assert!(!of_replica.sees_leader);
}

/// A Patroni lets whoever is ahead have the key, on whichever timeline.
#[test]
fn who_diverged_tells_the_others_not_to_wait_for_it() {
    let diverged = changed(replica(), |v| {
        v.tags = json!({"nofailover": false}).as_object().unwrap().clone();
        v.stands_back = true;
    });
    let shown = serde_json::to_value(StatusBody::of(&diverged, NOW)).unwrap();
    assert_eq!(shown["tags"], json!({"nofailover": true}));
    match read_back(&diverged) {
        PeerAnswer::Status(status) => assert!(status.nofailover),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_without_a_position_is_garbled_not_behind() {
    let silent = changed(replica(), |v| observed(v).sql = Sql::Silent("hung".into()));
    let shown = StatusBody::of(&silent, NOW);
    assert_eq!((shown.state.as_str(), shown.xlog), ("unknown", None));
    assert!(matches!(read_back(&silent), PeerAnswer::Garbled(_)));
    for body in [
        "",
        "[]",
        "{",
        "null",
        r#"{"xlog":5}"#,
        r#"{"xlog":{"location":"x"}}"#,
        "\u{0}",
    ] {
        let read = tanist_core::peer_json::read(body.as_bytes());
        assert!(matches!(read, PeerAnswer::Garbled(_)), "{body}");
    }
}

#[test]
fn a_recorded_patroni_body_is_read() {
    let body = r#"{"state": "running", "postmaster_start_time": "2026-11-22 19:24:59.662657+00:00", "role": "replica", "server_version": 150014, "xlog": {"received_location": 50639880, "replayed_location": 50639632, "replayed_timestamp": null, "paused": false}, "timeline": 2, "replication_state": "streaming", "cluster_unlocked": true, "dcs_last_seen": 1795375529, "tags": {"failover_priority": 5}, "database_system_identifier": "7711078574722072691", "patroni": {"version": "4.1.5", "scope": "demo", "name": "n2"}, "watchdog_failed": true}"#;
    let PeerAnswer::Status(peer) = tanist_core::peer_json::read(body.as_bytes()) else {
        panic!("unreadable");
    };
    assert_eq!(peer.position, Lsn(50_639_880));
    assert_eq!(peer.failover_priority, 5);
    assert!(peer.watchdog_failed && !peer.sees_leader && peer.in_recovery);
}

#[test]
fn history_is_what_the_key_says_and_an_empty_list_otherwise() {
    let text =
        r#"[[1,50639880,"no recovery target specified","2026-11-22T19:25:29.662657+00:00","n2"]]"#;
    let known = changed(replica(), |v| {
        v.cluster = Some(cluster(&[("history", text)]))
    });
    assert_eq!(history(&known), text);
    assert_eq!(history(&replica()), "[]");
    assert_eq!(history(&changed(replica(), |v| v.cluster = None)), "[]");
}

#[test]
fn a_trace_is_cut_to_its_latest_lines() {
    let told = |n: u64| Told {
        now: Now {
            mono: Mono(n * 1_000_000),
            wall: Wall(0),
        },
        text: format!("decision {n}"),
    };
    let view = changed(replica(), |v| v.recent = (0..9).map(told).collect());
    let body = TraceBody::of(&view, NOW, 2);
    let texts: Vec<_> = body.recent.iter().map(|l| l.text.as_str()).collect();
    assert_eq!(texts, ["decision 7", "decision 8"]);
    assert_eq!(body.recent[0].ms_ago, 93_000);
    assert_eq!(body.member, MemberName::from("n1"));
}
