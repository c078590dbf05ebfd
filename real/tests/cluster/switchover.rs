//! Planned switchovers under load: nothing is lost, nobody waits for a backend that does not answer, and
//! no load balancer is sent to a primary that has closed.

use crate::ordeal::{Load, Loss, Ordeal};
use crate::support::{healthy_cluster, promise};
use std::time::{Duration, Instant};
use tanist::testbed::Stamp;
use tanist::testbed::checker;
use tanist::testbed::clients::{Attempt, Clients, Verdict};

#[test]
fn twenty_switchovers_in_a_row_lose_no_acknowledged_row() {
    let cluster = healthy_cluster();
    let clients = Clients::start(&cluster).unwrap();
    clients.wait_written(50, Duration::from_secs(60)).unwrap();
    for round in 0..20 {
        let healthy = cluster.wait_healthy(Duration::from_secs(60)).unwrap();
        let began = Instant::now();
        let answer = cluster.switchover(&healthy.leader, None).unwrap();
        assert_eq!(answer.code, 200, "round {round}: {answer:?}");
        clients.wait_written(20, Duration::from_secs(30)).unwrap();
        println!(
            "{round}: from {} in {:?}: {}",
            healthy.leader,
            began.elapsed(),
            answer.body
        );
    }
    let healthy = cluster.wait_healthy(Duration::from_secs(60)).unwrap();
    let journal = clients.finish();
    let rows = checker::rows(&journal.acknowledged, &cluster.rows_held().unwrap());
    let overlaps = checker::overlaps(&journal.commits);
    let kept = rows.lost.is_empty() && rows.duplicated.is_empty() && overlaps.is_empty();
    promise(kept, || {
        format!("lost, twice or beside each other: {rows:?} {overlaps:?}")
    });
    assert_eq!(healthy.timeline, 21);
}

/// A stopped backend cannot end by itself; whoever waits for it waits for ever.
#[test]
fn switchover_with_a_backend_that_does_not_answer_ends_in_seconds() {
    let mut ordeal = Ordeal::on(healthy_cluster(), Load::Unkind);
    ordeal.strike();
    let began = Instant::now();
    let answer = ordeal.cluster.switchover(ordeal.old.name(), None).unwrap();
    assert_eq!(answer.code, 200, "{answer:?}");
    let took = began.elapsed();
    println!("answered after {took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    let ended = ordeal.end(Loss::None);
    assert_eq!(ended.promotions, 1);
    assert!(ended.outage < Duration::from_secs(4), "{:?}", ended.outage);
}

#[test]
fn from_the_moment_writes_close_the_old_primary_says_that_it_is_none() {
    let mut ordeal = Ordeal::on(healthy_cluster(), Load::Unkind);
    let members = ordeal.cluster.members().to_vec();
    ordeal.clients.watch_claims(&members);
    std::thread::sleep(Duration::from_secs(1));
    ordeal.strike();
    let answer = ordeal.cluster.switchover(ordeal.old.name(), None).unwrap();
    assert_eq!(answer.code, 200, "{answer:?}");
    let old = ordeal.old.name().to_string();
    let ended = ordeal.end(Loss::None);
    let journal = &ended.journal;
    let last_write = sent_at(&journal.writes, &old, Verdict::Accepted)
        .pop()
        .unwrap();
    let refused = sent_at(&journal.writes, &old, Verdict::Refused);
    let closed = refused.into_iter().find(|sent| *sent > last_write).unwrap();
    let claims = sent_at(&journal.claims, &old, Verdict::Accepted);
    assert!(!claims.is_empty());
    let late: Vec<_> = claims.iter().filter(|sent| **sent > closed).collect();
    assert!(
        late.is_empty(),
        "{} claims after writes had closed",
        late.len()
    );
}

fn sent_at(attempts: &[Attempt], node: &str, verdict: Verdict) -> Vec<Stamp> {
    let matching = attempts
        .iter()
        .filter(|a| a.node == node && a.verdict == verdict);
    matching.map(|a| a.sent).collect()
}
