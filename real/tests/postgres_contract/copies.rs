//! A slot is what keeps a standby from being fed, unasked, from data that it was never compared with. Does it go with the
//! data it was made for on a real server, and is there no way around it?

use super::support::{in_room, stop};
use super::{following, promote};
use std::time::Duration;
use tanist_core::postgres::{DiscardReason, Operation, SideTask, StartAs, StopMode};

/// A standby of `b`'s timeline 2 whose agent is not asked any more, and `b` cloned anew from `a`'s timeline 2.
#[test]
fn a_standby_is_not_fed_by_itself_from_another_copy() {
    in_room(
        "copies::a_standby_is_not_fed_by_itself_from_another_copy",
        |room| async move {
            let mut a = room.primary("a").await;
            let mut b = room.standby("b", &mut a).await;
            a.sql("CREATE TABLE t AS SELECT 1 AS n").await;
            let first = b.probe().await.copy.expect("a clone is a copy with a name");
            a.done(stop(StopMode::Fast, 10, 20)).await;
            b.done(promote(2)).await;
            let mut c = room.standby("c", &mut b).await;
            b.sql("CREATE TABLE of_b AS SELECT 2 AS n").await;
            let written = b.status().await.written;
            c.until("it has b's WAL", |s| s.received >= written).await;

            b.done(stop(StopMode::Immediate, 10, 20)).await;
            a.done(a.start_as(StartAs::Standby { upstream: None }))
                .await;
            a.done(promote(2)).await;
            a.sql("CREATE TABLE of_a AS SELECT generate_series(1, 100000) AS n")
                .await;
            b.done(Operation::DiscardData {
                why: DiscardReason::DivergedTimelines,
            })
            .await;
            b.done(Operation::Clone {
                source: a.as_upstream(),
            })
            .await;
            b.done(b.start_as(following(&a))).await;
            b.until("it streams", |s| s.streaming).await;
            assert_ne!(b.probe().await.copy, Some(first));
            assert!(
                b.status().await.slots.is_empty(),
                "a base backup has no slots"
            );

            // It tries every wal_retrieve_retry_interval, and is refused.
            tokio::time::sleep(Duration::from_secs(6)).await;
            let status = c.status().await;
            assert!(!status.streaming, "c is fed from another copy: {status:?}");
            assert!(status.received <= written, "{status:?}");

            // Nothing but the slot was in the way.
            let name = c.settings.name.slot_name();
            b.side_done(SideTask::CreateSlot { name }).await;
            c.until("it is fed with WAL that is not its own", |s| s.streaming)
                .await;
        },
    );
}

#[test]
fn a_rewind_begins_another_copy_and_takes_the_slots_along() {
    in_room(
        "copies::a_rewind_begins_another_copy_and_takes_the_slots_along",
        |room| async move {
            let mut a = room.primary("a").await;
            let founded = a
                .probe()
                .await
                .copy
                .expect("an initdb is a copy with a name");
            let mut b = room.standby("b", &mut a).await;
            a.sql("CREATE TABLE t (n int)").await;
            b.done(promote(2)).await;
            b.side_done(SideTask::Checkpoint).await;
            a.sql("INSERT INTO t SELECT generate_series(1, 1000)").await;
            let restarted = [
                stop(StopMode::Fast, 10_000, 20_000),
                a.start_as(StartAs::Primary),
            ];
            for operation in restarted {
                a.done(operation).await;
            }
            let seen = a.probe().await;
            assert_eq!(
                seen.copy,
                Some(founded.clone()),
                "a restart goes on with it"
            );
            assert!(a.status().await.slots.contains_key("b"));
            a.done(stop(StopMode::Fast, 10_000, 20_000)).await;
            a.done(Operation::Rewind {
                source: b.as_upstream(),
            })
            .await;
            assert_ne!(a.probe().await.copy, Some(founded));
            a.done(a.start_as(following(&b))).await;
            let status = a.until("it streams", |s| s.streaming).await;
            assert!(status.slots.is_empty(), "{:?}", status.slots);
        },
    );
}

/// What brings a cluster back whose store was emptied: the one that led last, even where it was demoted before.
#[test]
fn who_led_last_is_known_until_it_follows_somebody() {
    in_room(
        "copies::who_led_last_is_known_until_it_follows_somebody",
        |room| async move {
            let mut a = room.primary("a").await;
            let mut b = room.standby("b", &mut a).await;
            assert!(
                !a.probe().await.led_last,
                "as a primary its directory says so"
            );
            a.done(stop(StopMode::Fast, 10_000, 20_000)).await;
            for _ in 0..2 {
                a.done(a.start_as(StartAs::Standby { upstream: None }))
                    .await;
                assert!(a.probe().await.led_last);
                a.done(stop(StopMode::Fast, 10_000, 20_000)).await;
                assert!(a.probe().await.led_last);
            }
            // A standby that follows nobody for a while led nothing.
            b.done(stop(StopMode::Fast, 10_000, 20_000)).await;
            b.done(b.start_as(StartAs::Standby { upstream: None }))
                .await;
            assert!(!b.probe().await.led_last);
            b.done(promote(2)).await;
            a.done(a.start_as(StartAs::Standby {
                upstream: Some(b.as_upstream()),
            }))
            .await;
            assert!(!a.probe().await.led_last);
        },
    );
}
