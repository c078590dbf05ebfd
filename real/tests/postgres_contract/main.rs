//! Does the adapter do on a real PostgreSQL what the core was promised? Every test has servers of its own
//! and runs them as an ordinary user.

#[path = "../support/postgres.rs"]
mod support;

mod copies;
mod fidelity;
mod foreign_wal;
mod one_timeline;

use rustix::process::Signal;
use std::time::{Duration, Instant};
use support::{Member, in_room, stop};
use tanist::postgres::process;
use tanist_core::lsn::Lsn;
use tanist_core::name::Term;
use tanist_core::postgres::{
    DataDir, DbState, DiscardReason, Ended, Operation, PgInput, PromotionMark, SideTask, Sql,
    StartAs, StopMode, Upstream,
};
use tanist_core::time::Span;
use tanist_core::timeline::TimelineId;

fn promotion(timeline: u32) -> PromotionMark {
    PromotionMark {
        timeline: TimelineId(timeline),
        term: Term(7),
    }
}

fn promote(timeline: u32) -> Operation {
    Operation::Promote {
        mark: promotion(timeline),
        timeout: Span::secs(60),
    }
}

fn following(member: &Member) -> StartAs {
    StartAs::Standby {
        upstream: Some(member.as_upstream()),
    }
}

/// A backend that commits without end, and does not notice when its client or its postmaster goes.
async fn commit_for_ever(member: &Member) -> tokio_postgres::Client {
    member
        .sql("CREATE TABLE IF NOT EXISTS ticks (n bigint)")
        .await;
    member.sql("CREATE OR REPLACE PROCEDURE tick() LANGUAGE plpgsql AS $$ BEGIN LOOP INSERT INTO ticks VALUES (1); COMMIT; END LOOP; END $$").await;
    let client = member.client().await;
    let call = client.batch_execute("CALL tick()");
    assert!(
        tokio::time::timeout(Duration::from_millis(300), call)
            .await
            .is_err()
    );
    client
}

#[test]
fn a_new_cluster_is_created_started_and_given_its_roles() {
    in_room(
        "a_new_cluster_is_created_started_and_given_its_roles",
        |room| async move {
            let mut a = room.member("a");
            let before = a.probe().await;
            assert_eq!(
                (before.data_dir, before.sql),
                (DataDir::Empty, Sql::NotRunning)
            );
            a.done(Operation::Initdb).await;
            let made = a.probe().await;
            let control = made.data_dir.control().unwrap().clone();
            assert_eq!(
                (control.state, control.timeline, control.data_checksums),
                (DbState::ShutDown, TimelineId(1), true)
            );
            assert!(made.processes.none_left() && made.roles_owed);
            a.done(a.start_as(StartAs::Primary)).await;
            let Some(Sql::Answered(seen)) = a.seen.as_ref().map(|o| &o.sql) else {
                panic!(
                    "the look after the start shows a server that answers: {:?}",
                    a.seen
                );
            };
            assert!(!seen.in_recovery && seen.written.is_valid());
            assert_eq!(
                (seen.timeline, seen.server_version / 10_000),
                (TimelineId(1), 15)
            );
            a.done(Operation::PostBootstrap).await;
            a.done(Operation::PostBootstrap).await;
            assert!(!a.probe().await.roles_owed);
            let client = a.client().await;
            let roles = client.query_one("SELECT count(*) FROM pg_roles WHERE rolname IN ('replicator', 'rewinder') AND NOT rolsuper", &[]);
            assert_eq!(roles.await.unwrap().get::<_, i64>(0), 2);
            let log = std::fs::read_to_string(&a.settings.log_file).unwrap();
            assert!(
                !log.contains(support::CANARY),
                "a password in the server's log"
            );
            let why = a.refused(Operation::Initdb).await;
            assert!(why.contains("runs in the data directory"), "{why}");
        },
    );
}

#[test]
fn a_clone_streams_from_its_source_through_its_slot() {
    in_room(
        "a_clone_streams_from_its_source_through_its_slot",
        |room| async move {
            let mut a = room.primary("a").await;
            let mut b = room.standby("b-1", &mut a).await;
            a.sql("CREATE TABLE t AS SELECT 1 AS n").await;
            let written = a.status().await.written;
            let status = b.until("it has replayed", |s| s.replayed >= written).await;
            assert!(status.in_recovery && status.streaming);
            assert_eq!(
                (status.timeline, status.received_timeline),
                (TimelineId(1), TimelineId(1))
            );
            assert_eq!(status.upstream, Some(a.settings.connect_address.clone()));
            assert_eq!(status.upstream_slot.as_deref(), Some("b_1"));
            assert!(b.probe().await.standby_signal);
            let primary = a.status().await;
            assert!(primary.slots["b_1"].active && primary.slots["b_1"].physical);
            let connected: Vec<&str> = primary
                .standbys
                .iter()
                .map(|s| s.application_name.as_str())
                .collect();
            assert_eq!(connected, ["b-1"]);
            assert_eq!(primary.standbys[0].state, "streaming");
        },
    );
}

#[test]
fn a_promotion_is_marked_before_it_happens_and_ends_out_of_recovery() {
    in_room(
        "a_promotion_is_marked_before_it_happens_and_ends_out_of_recovery",
        |room| async move {
            let mut a = room.primary("a").await;
            let mut b = room.standby("b", &mut a).await;
            let why = a.refused(promote(2)).await;
            assert!(why.contains("not in recovery"), "{why}");
            assert_eq!(a.probe().await.promoted, vec![]);
            b.done(promote(2)).await;
            let seen = b.seen.clone().unwrap();
            assert_eq!(seen.promoted, vec![promotion(2)]);
            let Sql::Answered(status) = seen.sql else {
                panic!("{:?}", seen.sql)
            };
            assert!(!status.in_recovery);
            assert_eq!(status.timeline, TimelineId(2));
            assert_eq!(seen.history.timeline, TimelineId(2));
            assert_eq!(seen.history.forks.len(), 1);
            assert!(!seen.standby_signal);
            // What others learn of it, from its own mouth.
            let ask = SideTask::AskUpstream {
                upstream: b.as_upstream(),
                mine: None,
            };
            let Ended::Upstream(before) = a.side(ask.clone()).await else {
                panic!("no facts")
            };
            assert!(!before.in_recovery);
            assert_eq!(
                (before.history.timeline, before.history.forks.len()),
                (TimelineId(2), 1)
            );
            b.side_done(SideTask::Checkpoint).await;
            let Ended::Upstream(after) = a.side(ask).await else {
                panic!("no facts")
            };
            assert_eq!(after.control_timeline, TimelineId(2));
            assert_eq!(
                Some(after.system_id),
                a.probe()
                    .await
                    .data_dir
                    .control()
                    .map(|c| c.system_id.clone())
            );
        },
    );
}

#[test]
fn a_promotion_cancelled_before_its_signal_leaves_no_mark() {
    in_room(
        "a_promotion_cancelled_before_its_signal_leaves_no_mark",
        |room| async move {
            let mut a = room.primary("a").await;
            let mut b = room.standby("b", &mut a).await;
            let postmaster = b.instance().scan().unwrap().postmaster.unwrap();
            process::signal(postmaster, Signal::STOP).unwrap();
            let op = b.begin(promote(2));
            tokio::time::sleep(Duration::from_millis(200)).await;
            b.adapter.cancel(op);
            assert_eq!(b.end_of(op).await, Ended::Cancelled);
            assert!(
                matches!(b.seen.as_ref().unwrap().sql, Sql::Silent(_)),
                "{:?}",
                b.seen
            );
            process::signal(postmaster, Signal::CONT).unwrap();
            let after = b.probe().await;
            assert_eq!(after.promoted, vec![]);
            assert!(b.status().await.in_recovery);
        },
    );
}

#[test]
fn a_fast_stop_ends_cleanly_with_nobody_left_and_tells_the_exit() {
    in_room(
        "a_fast_stop_ends_cleanly_with_nobody_left_and_tells_the_exit",
        |room| async move {
            let mut a = room.primary("a").await;
            // With a log collector, which ends by itself after its postmaster, last lines written.
            a.done(stop(StopMode::Fast, 20_000, 30_000)).await;
            let mut parameters = a.parameters();
            parameters.insert("logging_collector".into(), "on".into());
            parameters.insert("log_filename".into(), "all.log".into());
            a.done(Operation::Start {
                role: StartAs::Primary,
                parameters,
                timeout: Span::secs(60),
            })
            .await;
            a.exited.clear();
            let pid = a.probe().await.processes.postmaster.unwrap();
            let _client = commit_for_ever(&a).await;
            let fast = Operation::Stop {
                plan: tanist_core::postgres::StopPlan {
                    first: StopMode::Fast,
                    immediate_after: Span::secs(30),
                    kill_after: Span::secs(40),
                },
                checkpoint_first: true,
            };
            a.done(fast).await;
            let seen = a.seen.clone().unwrap();
            assert!(seen.processes.none_left() && a.instance().scan().unwrap().none_left());
            assert_eq!(seen.data_dir.control().unwrap().state, DbState::ShutDown);
            if a.exited.is_empty() {
                let PgInput::PostmasterExited { pid } = a.next_input().await else {
                    panic!("expected the exit")
                };
                a.exited.push(pid);
            }
            assert_eq!(a.exited, [pid]);
            let log = std::fs::read_to_string(a.settings.data_dir.join("log/all.log")).unwrap();
            assert!(log.contains("database system is shut down"), "{log}");
            // One that is down already is stopped.
            a.done(stop(StopMode::Fast, 1_000, 2_000)).await;
        },
    );
}

#[test]
fn backends_that_outlive_a_killed_postmaster_are_ended_at_once() {
    in_room(
        "backends_that_outlive_a_killed_postmaster_are_ended_at_once",
        |room| async move {
            let mut a = room.primary("a").await;
            let _committing = commit_for_ever(&a).await;
            let frozen = a.client().await;
            let frozen_pid: i32 = frozen
                .query_one("SELECT pg_backend_pid()", &[])
                .await
                .unwrap()
                .get(0);
            let frozen_pid = process::find(u32::try_from(frozen_pid).unwrap()).unwrap();
            process::signal(frozen_pid, Signal::STOP).unwrap();
            let postmaster = a
                .probe()
                .await
                .processes
                .postmaster
                .and_then(process::find)
                .unwrap();
            process::signal(postmaster, Signal::KILL).unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let left = a.probe().await;
            assert_eq!(left.processes.postmaster, None);
            assert!(
                left.processes.backends >= 2,
                "the premise of this test: {left:?}"
            );
            assert_eq!(left.sql, Sql::NotRunning);
            let why = a.refused(a.start_as(StartAs::Primary)).await;
            assert!(why.contains("outlived"), "{why}");
            let begun = Instant::now();
            a.done(stop(StopMode::Fast, 20_000, 30_000)).await;
            assert!(
                begun.elapsed() < Duration::from_secs(2),
                "{:?}",
                begun.elapsed()
            );
            assert!(a.instance().scan().unwrap().none_left());
            assert!(process::find(frozen_pid.pid).is_none());
            a.done(a.start_as(StartAs::Primary)).await;
        },
    );
}

#[test]
fn a_frozen_postmaster_and_a_frozen_backend_are_killed_when_the_plan_says() {
    in_room(
        "a_frozen_postmaster_and_a_frozen_backend_are_killed_when_the_plan_says",
        |room| async move {
            let mut a = room.primary("a").await;
            let _committing = commit_for_ever(&a).await;
            let found = a.instance().scan().unwrap();
            process::signal(found.postmaster.unwrap(), Signal::STOP).unwrap();
            process::signal(found.backends[0], Signal::STOP).unwrap();
            let silent = a.probe_within(Span::millis(800)).await;
            assert!(
                matches!(silent.sql, Sql::Silent(_)),
                "the role is unknown, not standby: {:?}",
                silent.sql
            );
            let begun = Instant::now();
            a.done(stop(StopMode::Fast, 300, 600)).await;
            let took = begun.elapsed();
            assert!(
                took >= Duration::from_millis(600) && took < Duration::from_secs(6),
                "{took:?}"
            );
            assert!(a.instance().scan().unwrap().none_left());
            assert!(
                !a.seen
                    .clone()
                    .unwrap()
                    .data_dir
                    .control()
                    .unwrap()
                    .state
                    .is_clean()
            );
        },
    );
}

#[test]
fn a_diverged_former_primary_recovers_rewinds_and_follows() {
    in_room(
        "a_diverged_former_primary_recovers_rewinds_and_follows",
        |room| async move {
            let mut a = room.primary("a").await;
            a.sql("CREATE TABLE t (n int)").await;
            let mut b = room.standby("b", &mut a).await;
            b.done(promote(2)).await;
            // Each goes on alone: a's tail is lost by the rewind.
            a.sql("INSERT INTO t SELECT generate_series(1, 1000)").await;
            b.sql("INSERT INTO t VALUES (-1)").await;
            let postmaster = a.instance().scan().unwrap().postmaster.unwrap();
            process::signal(postmaster, Signal::KILL).unwrap();
            a.done(stop(StopMode::Immediate, 500, 1_000)).await;
            assert_eq!(
                a.seen.clone().unwrap().data_dir.control().unwrap().state,
                DbState::InProduction
            );
            let rewind = Operation::Rewind {
                source: b.as_upstream(),
            };
            let why = a.refused(rewind.clone()).await;
            assert!(why.contains("shut down cleanly"), "{why}");
            assert!(
                matches!(a.seen.clone().unwrap().data_dir, DataDir::Present(_)),
                "nothing was written yet"
            );
            a.done(Operation::CrashRecovery).await;
            assert_eq!(
                a.seen.clone().unwrap().data_dir.control().unwrap().state,
                DbState::ShutDown
            );
            b.side_done(SideTask::Checkpoint).await;
            a.done(rewind).await;
            assert!(matches!(
                a.seen.clone().unwrap().data_dir,
                DataDir::Present(_)
            ));
            a.done(a.start_as(following(&b))).await;
            let status = a
                .until("it streams on timeline 2", |s| {
                    s.streaming && s.timeline == TimelineId(2)
                })
                .await;
            assert!(status.in_recovery);
            let written = b.status().await.written;
            a.until("it has replayed", |s| s.replayed >= written).await;
            let rows = a
                .client()
                .await
                .query_one("SELECT min(n), count(*) FROM t", &[])
                .await
                .unwrap();
            assert_eq!((rows.get::<_, i32>(0), rows.get::<_, i64>(1)), (-1, 1));
        },
    );
}

#[test]
fn a_half_rewound_directory_is_never_started() {
    in_room(
        "a_half_rewound_directory_is_never_started",
        |room| async move {
            let mut a = room.primary("a").await;
            a.done(stop(StopMode::Fast, 20_000, 30_000)).await;
            // A source that is away: nothing was written, so nothing is marked.
            let nobody = Upstream {
                address: tanist_core::postgres::Address {
                    host: "127.0.0.1".into(),
                    port: 1,
                },
                ..a.as_upstream()
            };
            a.refused(Operation::Rewind {
                source: nobody.clone(),
            })
            .await;
            assert!(matches!(
                a.seen.clone().unwrap().data_dir,
                DataDir::Present(_)
            ));
            std::fs::create_dir_all(&a.settings.state_dir).unwrap();
            std::fs::write(a.settings.state_dir.join("rewind-unfinished"), "from b\n").unwrap();
            assert!(
                matches!(a.probe().await.data_dir, DataDir::HalfRewound(c) if c.state == DbState::ShutDown)
            );
            for refused in [
                a.start_as(StartAs::Primary),
                a.start_as(following(&a)),
                Operation::CrashRecovery,
                Operation::Rewind { source: nobody },
            ] {
                let why = a.refused(refused).await;
                assert!(
                    why.contains("rewind of this data directory did not finish"),
                    "{why}"
                );
            }
            assert!(a.instance().scan().unwrap().none_left());
            a.done(Operation::DiscardData {
                why: DiscardReason::RewindFailed,
            })
            .await;
            assert_eq!(a.seen.clone().unwrap().data_dir, DataDir::Empty);
            let aside = |dir: &std::path::Path| {
                let names = std::fs::read_dir(dir)
                    .unwrap()
                    .flatten()
                    .map(|e| e.file_name().into_string().unwrap());
                names
                    .filter(|n| n.starts_with("a.aside."))
                    .collect::<Vec<_>>()
            };
            let first = aside(&room.dir);
            assert_eq!(first.len(), 1);
            // The next one that is put aside takes its place.
            a.done(Operation::Initdb).await;
            a.done(Operation::DiscardData {
                why: DiscardReason::ReinitRequested,
            })
            .await;
            let second = aside(&room.dir);
            assert_eq!(second.len(), 1);
            assert_ne!(first, second);
            // A clone that was cut short is no copy of anything: the whole one stays.
            std::fs::write(a.settings.data_dir.join("half"), "of a clone").unwrap();
            std::fs::write(a.settings.state_dir.join("clone-unfinished"), "from b\n").unwrap();
            a.done(Operation::DiscardData {
                why: DiscardReason::ReinitRequested,
            })
            .await;
            assert_eq!(aside(&room.dir), second);
            assert_eq!(a.seen.clone().unwrap().data_dir, DataDir::Empty);
        },
    );
}

#[test]
fn a_clone_that_is_cut_or_cancelled_is_never_taken_for_data() {
    in_room(
        "a_clone_that_is_cut_or_cancelled_is_never_taken_for_data",
        |room| async move {
            let mut a = room.primary("a").await;
            a.sql("CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 50000)")
                .await;
            let mut b = room.member("b");
            b.settings.basebackup_options.push("--max-rate=1M".into());
            let mut b = Member::new(b.settings);
            let clone = Operation::Clone {
                source: a.as_upstream(),
            };
            let op = b.begin(clone.clone());
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            assert_eq!(b.probe().await.data_dir, DataDir::HalfCloned);
            let second = b.begin(Operation::CrashRecovery);
            b.adapter.cancel(op);
            let Ended::Failed(why) = b.end_of(second).await else {
                panic!("the lane is taken")
            };
            assert!(why.contains("clone"), "{why}");
            assert_eq!(b.end_of(op).await, Ended::Cancelled);
            assert_eq!(b.seen.clone().unwrap().data_dir, DataDir::Empty);
            // Agent killed in the middle: mark and pieces are left.
            std::fs::write(b.settings.state_dir.join("clone-unfinished"), "of a\n").unwrap();
            std::fs::write(b.settings.data_dir.join("PG_VERSION"), "15\n").unwrap();
            assert_eq!(b.probe().await.data_dir, DataDir::HalfCloned);
            let why = b.refused(b.start_as(StartAs::Primary)).await;
            assert!(
                why.contains("clone into this data directory did not finish"),
                "{why}"
            );
            b.done(Operation::DiscardData {
                why: DiscardReason::CloneUnfinished,
            })
            .await;
            assert_eq!(b.seen.clone().unwrap().data_dir, DataDir::Empty);
            let why = a.refused(clone).await;
            assert!(why.contains("runs in the data directory"), "{why}");
        },
    );
}

#[test]
fn a_start_that_fails_says_in_the_servers_words_why() {
    in_room(
        "a_start_that_fails_says_in_the_servers_words_why",
        |room| async move {
            let mut a = room.primary("a").await;
            let why = a.refused(a.start_as(StartAs::Primary)).await;
            assert!(why.contains("runs in the data directory"), "{why}");
            a.done(stop(StopMode::Fast, 20_000, 30_000)).await;
            let mut parameters = a.parameters();
            parameters.insert("work_mem".into(), "a lot".into());
            let why = a
                .refused(Operation::Start {
                    role: StartAs::Primary,
                    parameters,
                    timeout: Span::secs(20),
                })
                .await;
            assert!(why.contains("work_mem"), "{why}");
            // A stale pid file that names a living stranger does not keep it down.
            let stranger = std::process::id();
            let text = format!("{stranger}\n{}\n0\n", a.settings.data_dir.display());
            std::fs::write(a.settings.data_dir.join("postmaster.pid"), text).unwrap();
            a.done(a.start_as(StartAs::Primary)).await;
        },
    );
}

#[test]
fn slots_are_created_advanced_and_dropped_and_repeating_it_is_harmless() {
    in_room(
        "slots_are_created_advanced_and_dropped_and_repeating_it_is_harmless",
        |room| async move {
            let mut a = room.primary("a").await;
            let name = || "c".to_string();
            for _ in 0..2 {
                a.side_done(SideTask::CreateSlot { name: name() }).await;
            }
            let before = a.status().await.slots["c"].restart_lsn.unwrap();
            a.sql("CREATE TABLE t AS SELECT generate_series(1, 10000)")
                .await;
            let written = a.status().await.written;
            a.side_done(SideTask::AdvanceSlot {
                name: name(),
                to: Lsn(before.0 + 1024),
            })
            .await;
            a.side_done(SideTask::AdvanceSlot {
                name: name(),
                to: before,
            })
            .await;
            assert!(a.status().await.slots["c"].restart_lsn.unwrap() > before);
            a.side_done(SideTask::AdvanceSlot {
                name: name(),
                to: Lsn(u64::MAX),
            })
            .await;
            assert!(a.status().await.slots["c"].restart_lsn.unwrap() >= written);
            let drop = |if_lost| SideTask::DropSlot {
                name: name(),
                if_lost,
            };
            a.side_done(drop(true)).await;
            assert_eq!(a.status().await.slots.len(), 1, "it holds WAL");
            for _ in 0..2 {
                a.side_done(drop(false)).await;
            }
            assert!(a.status().await.slots.is_empty());
        },
    );
}

#[test]
fn a_reload_applies_what_it_can_and_tells_what_waits_for_a_restart() {
    in_room(
        "a_reload_applies_what_it_can_and_tells_what_waits_for_a_restart",
        |room| async move {
            let mut a = room.primary("a").await;
            let mut b = room.standby("b", &mut a).await;
            let mut parameters = a.parameters();
            parameters.insert("application.note".into(), "it's a \\ 'test'".into());
            parameters.insert("synchronous_standby_names".into(), "\"b\"".into());
            a.side_done(SideTask::Reconfigure {
                role: StartAs::Primary,
                parameters: parameters.clone(),
            })
            .await;
            let status = a
                .until("it has reloaded", |s| {
                    s.synchronous_standby_names == "\"b\""
                })
                .await;
            assert!(!status.pending_restart);
            let row = a
                .client()
                .await
                .query_one("SELECT current_setting('application.note')", &[])
                .await
                .unwrap();
            assert_eq!(row.get::<_, String>(0), "it's a \\ 'test'");
            parameters.insert("shared_buffers".into(), "64MB".into());
            a.side_done(SideTask::Reconfigure {
                role: StartAs::Primary,
                parameters,
            })
            .await;
            a.until("a restart is pending", |s| s.pending_restart).await;
            // A standby is pointed elsewhere without a restart, and stays a standby.
            let role = StartAs::Standby { upstream: None };
            b.side_done(SideTask::Reconfigure {
                role,
                parameters: b.parameters(),
            })
            .await;
            b.until("it follows nobody", |s| {
                s.upstream.is_none() && !s.streaming
            })
            .await;
            assert!(b.probe().await.standby_signal);
        },
    );
}

#[test]
fn an_agent_that_comes_back_finds_the_running_server_and_its_exit() {
    in_room(
        "an_agent_that_comes_back_finds_the_running_server_and_its_exit",
        |room| async move {
            let a = room.primary("a").await;
            let settings = a.settings.clone();
            drop(a);
            let mut again = Member::new(settings);
            let pid = again.probe().await.processes.postmaster.unwrap();
            assert!(!again.status().await.in_recovery);
            process::signal(process::find(pid).unwrap(), Signal::INT).unwrap();
            while again.exited.is_empty() {
                if let PgInput::PostmasterExited { pid } = again.next_input().await {
                    again.exited.push(pid);
                }
            }
            assert_eq!(again.exited, [pid]);
        },
    );
}

#[test]
fn waiting_segments_are_archived_before_a_crash_recovery() {
    in_room(
        "waiting_segments_are_archived_before_a_crash_recovery",
        |room| async move {
            let mut a = room.primary("a").await;
            a.done(stop(StopMode::Fast, 20_000, 30_000)).await;
            let archive = room.dir.join("archive");
            std::fs::create_dir(&archive).unwrap();
            let mut parameters = a.parameters();
            parameters.insert("archive_mode".into(), "on".into());
            parameters.insert("archive_command".into(), "false".into());
            let start = |parameters| Operation::Start {
                role: StartAs::Primary,
                parameters,
                timeout: Span::secs(60),
            };
            a.done(start(parameters.clone())).await;
            a.sql("CREATE TABLE t (n int); SELECT pg_switch_wal()")
                .await;
            // The archive is back, but only the file says so: the server dies before it tries again.
            let command = format!("test ! -f '{0}/%f' && cp %p '{0}/%f'", archive.display());
            parameters.insert("archive_command".into(), command);
            let postmaster = a.instance().scan().unwrap().postmaster.unwrap();
            process::signal(postmaster, Signal::KILL).unwrap();
            a.done(stop(StopMode::Immediate, 500, 1_000)).await;
            let conf = a.settings.data_dir.join("postgresql.conf");
            let text = std::fs::read_to_string(&conf).unwrap();
            let text = text.replace(
                "archive_command = 'false'",
                &format!(
                    "archive_command = '{}'",
                    parameters["archive_command"].replace('\'', "''")
                ),
            );
            std::fs::write(&conf, text).unwrap();
            a.done(Operation::CrashRecovery).await;
            let archived: Vec<String> = std::fs::read_dir(&archive)
                .unwrap()
                .flatten()
                .map(|e| e.file_name().into_string().unwrap())
                .collect();
            assert_eq!(archived, ["000000010000000000000001"], "{:?}", a.phases);
            a.done(start(parameters)).await;
        },
    );
}
