//! An archive has a timeline that its cluster knows nothing of. Does PostgreSQL start no standby on the newest one then, does
//! it along that of its leader, and what becomes of that server?

use super::support::{Member, Room, in_room, stop};
use super::{following, promote};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tanist_core::postgres::{DiscardReason, Operation, SideTask, StartAs, StopMode};
use tanist_core::time::Span;
use tanist_core::timeline::TimelineId;

/// A member whose segments go into `archive` while it is a primary, and which takes from there as a standby.
fn archiving(room: &Room, name: &str, archive: &Path) -> Member {
    let mut settings = room.member(name).settings;
    let fetch = format!("cp '{}/%f' '%p'", archive.display());
    let told = settings
        .recovery_conf
        .insert("restore_command".into(), fetch);
    assert!(told.is_none());
    Member::new(settings)
}

fn start(member: &Member, role: StartAs, archive: &Path) -> Operation {
    let mut parameters = member.parameters();
    let store = format!("test ! -f '{0}/%f' && cp '%p' '{0}/%f'", archive.display());
    parameters.insert("archive_mode".into(), "on".into());
    parameters.insert("archive_command".into(), store);
    Operation::Start {
        role,
        parameters,
        timeout: Span::secs(60),
    }
}

async fn appears(file: PathBuf) {
    for _ in 0..300 {
        if file.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} was never archived", file.display());
}

/// `b` was promoted by hand, which `archive` knows, and `a` went on on the first timeline: its checkpoint is past the fork.
async fn promoted_by_hand(room: &Room, archive: &Path) -> (Member, Member) {
    let mut a = archiving(room, "a", archive);
    a.done(Operation::Initdb).await;
    a.done(start(&a, StartAs::Primary, archive)).await;
    a.done(Operation::PostBootstrap).await;
    let mut b = archiving(room, "b", archive);
    b.done(Operation::Clone {
        source: a.as_upstream(),
    })
    .await;
    b.done(start(&b, following(&a), archive)).await;
    b.until("it streams", |s| s.streaming).await;
    b.done(promote(2)).await;
    appears(archive.join("00000002.history")).await;
    a.sql("CREATE TABLE of_a AS SELECT generate_series(1, 1000) AS n")
        .await;
    a.side_done(SideTask::Checkpoint).await;
    (a, b)
}

#[test]
fn an_archived_timeline_that_the_cluster_does_not_know_leaves_that_of_the_leader() {
    in_room(
        "one_timeline::an_archived_timeline_that_the_cluster_does_not_know_leaves_that_of_the_leader",
        |room| async move {
            let archive = room.dir.join("archive");
            std::fs::create_dir(&archive).unwrap();
            let (mut a, mut b) = promoted_by_hand(&room, &archive).await;
            b.done(stop(StopMode::Fast, 10_000, 20_000)).await;
            b.done(Operation::DiscardData {
                why: DiscardReason::DivergedTimelines,
            })
            .await;
            b.done(Operation::Clone {
                source: a.as_upstream(),
            })
            .await;
            let why = b.refused(start(&b, following(&a), &archive)).await;
            assert!(why.contains("requested timeline 2"), "{why}");
            // What it has read of the archive it keeps.
            let seen = b.probe().await;
            let fork = seen.history.end_of(TimelineId(1));
            let checkpoint = seen.data_dir.control().map(|c| c.checkpoint);
            assert_eq!(seen.history.timeline, TimelineId(2));
            assert!(checkpoint >= fork, "{checkpoint:?} {fork:?}");
            let first = |upstream| StartAs::OneTimeline {
                timeline: TimelineId(1),
                upstream,
            };
            b.done(start(&b, first(Some(a.as_upstream())), &archive))
                .await;
            let status = b.until("it streams", |s| s.streaming).await;
            assert!(status.one_timeline == Some(TimelineId(1)) && status.upstream.is_some());

            // The same for the primary once it was demoted.
            a.done(stop(StopMode::Fast, 10_000, 20_000)).await;
            let alone = || StartAs::Standby { upstream: None };
            let why = a.refused(start(&a, alone(), &archive)).await;
            assert!(why.contains("requested timeline 2"), "{why}");
            a.done(start(&a, first(None), &archive)).await;
            assert!(a.status().await.one_timeline.is_some());
            a.done(promote(3)).await;
            let led = a.status().await;
            assert!(!led.in_recovery && led.timeline == TimelineId(3));

            // Who runs along one timeline does not follow there, and does when it is started anew.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let status = b.status().await;
            assert_eq!(status.timeline, TimelineId(1), "{status:?}");
            b.done(stop(StopMode::Fast, 10_000, 20_000)).await;
            b.done(start(&b, following(&a), &archive)).await;
            let status = b
                .until("it follows", |s| s.received_timeline == TimelineId(3))
                .await;
            assert!(
                status.streaming && status.one_timeline.is_none(),
                "{status:?}"
            );
        },
    );
}
