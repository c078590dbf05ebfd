//! Two members that promote from one position have equal histories. Does the adapter tell their WAL apart on real
//! servers, and take what was streamed for what it is?

use super::promote;
use super::support::{Member, in_room, stop};
use tanist_core::lsn::Lsn;
use tanist_core::postgres::{Ended, SideTask, StopMode, UpstreamFacts, WalEnd};
use tanist_core::timeline::TimelineId;

/// What `asker`, whose WAL ends at `mine`, hears of `upstream`.
async fn ask(asker: &mut Member, upstream: &Member, mine: Option<WalEnd>) -> UpstreamFacts {
    let upstream = upstream.as_upstream();
    match asker.side(SideTask::AskUpstream { upstream, mine }).await {
        Ended::Upstream(facts) => facts,
        other => panic!("no facts: {other:?}"),
    }
}

async fn end(member: &mut Member) -> WalEnd {
    let status = member.status().await;
    let history = member.seen.as_ref().map(|seen| &seen.history);
    let fork = history.and_then(|history| history.forks.last());
    WalEnd {
        timeline: status.timeline,
        begin: fork.map_or(Lsn::INVALID, |fork| fork.end),
        lsn: status.written.max(status.received),
    }
}

#[test]
fn wal_of_two_promotions_from_one_position_is_told_apart() {
    in_room(
        "foreign_wal::wal_of_two_promotions_from_one_position_is_told_apart",
        |room| async move {
            let mut a = room.primary("a").await;
            let mut b = room.standby("b", &mut a).await;
            let mut c = room.standby("c", &mut a).await;
            a.sql("CREATE TABLE t AS SELECT 1 AS n").await;
            a.done(stop(StopMode::Fast, 10, 20)).await;
            b.done(promote(2)).await;
            c.done(promote(2)).await;
            let mut d = room.standby("d", &mut b).await;
            b.sql("CREATE TABLE of_b AS SELECT 2 AS n").await;
            let written = b.status().await.written;
            d.until("it has b's WAL", |s| s.received >= written).await;

            // Equal by everything that PostgreSQL compares.
            let of_d = end(&mut d).await;
            assert_eq!(of_d.timeline, TimelineId(2));
            assert!(of_d.begin.is_valid() && of_d.begin < of_d.lsn, "{of_d:?}");
            let from_b = ask(&mut d, &b, Some(of_d)).await;
            let from_c = ask(&mut d, &c, Some(of_d)).await;
            let forks = |facts: &UpstreamFacts| facts.history.forks.clone();
            assert_eq!(forks(&from_b), forks(&from_c));

            assert_eq!(
                from_b.same_wal,
                Some(true),
                "what it streamed from b is b's"
            );
            assert_eq!(
                from_c.same_wal,
                Some(false),
                "c has not written that far, or something else"
            );
            // The same when c has written further than d has: the backup of d had switched segments.
            for n in 0..6 {
                c.sql(&format!("CREATE TABLE of_c_{n} AS SELECT 3 AS n"))
                    .await;
                c.sql("SELECT pg_switch_wal()").await;
            }
            assert!(c.status().await.written > of_d.lsn, "{of_d:?}");
            assert_eq!(ask(&mut d, &c, Some(of_d)).await.same_wal, Some(false));
            // Up to the fork all of them have the same: a member that stopped there may follow either.
            let fork = WalEnd {
                timeline: TimelineId(1),
                begin: Lsn::INVALID,
                lsn: from_b.history.forks[0].end,
            };
            assert_eq!(ask(&mut a, &b, Some(fork)).await.same_wal, Some(true));
            assert_eq!(ask(&mut a, &c, Some(fork)).await.same_wal, Some(true));
            assert_eq!(ask(&mut a, &c, None).await.same_wal, None);
        },
    );
}
