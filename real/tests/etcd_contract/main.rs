//! Does a real etcd, reached by our adapter, behave as the core's vocabulary says? Leases, ownership,
//! lost answers, watches, dead and frozen members, passwords, certificates.
//! Knows nothing of PostgreSQL or of decisions.

mod fidelity;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;
use support::etcd::{Certificates, Etcd, Folder, find_etcd};
use support::proxy::{Cut, Proxy};
use tanist::clock;
use tanist::dcs::{Endpoint, EtcdSettings, Store, StoreError};
use tanist::secret::Secret;
use tanist_core::dcs::{
    Consistency, DcsInput, DcsOutcome, DcsReply, DcsRequest, Guard, KeyOwner, Precondition,
    Revision, Session, Snapshot,
};
use tanist_core::input::Input;
use tanist_core::name::{MemberName, OpId, Term};
use tanist_core::time::{Mono, Span};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const TTL: Span = Span::secs(10);
const BUDGET: Span = Span::secs(5);

/// One process of a cluster, as the store sees it.
struct Process {
    name: MemberName,
    store: Store,
    inputs: UnboundedSender<Input>,
    heard: UnboundedReceiver<Input>,
    ops: u64,
}

struct Done {
    outcome: DcsOutcome,
    sent_at: Mono,
    maybe_since: Option<Mono>,
    took: Span,
}

fn settings(urls: &[String]) -> EtcdSettings {
    EtcdSettings {
        endpoints: urls.iter().filter_map(|url| Endpoint::parse(url)).collect(),
        ..EtcdSettings::default()
    }
}

impl Process {
    fn new(name: &str, urls: &[String]) -> Process {
        Process::with(name, settings(urls))
    }

    fn with(name: &str, settings: EtcdSettings) -> Process {
        let (inputs, heard) = unbounded_channel();
        Process {
            name: MemberName::from(name),
            store: Store::open(settings, "service", "contract").expect("usable settings"),
            inputs,
            heard,
            ops: 0,
        }
    }

    /// Sends a request and waits for its end; fails when it ends later than its budget.
    async fn ask_for(&mut self, request: DcsRequest, budget: Span) -> Done {
        self.ops += 1;
        let began = clock::mono();
        let until = began + budget;
        self.store
            .start(OpId(self.ops), request.clone(), until, self.inputs.clone());
        loop {
            match self.heard.recv().await.expect("the channel is open") {
                Input::Dcs(DcsInput::Completed {
                    op,
                    sent_at,
                    maybe_since,
                    outcome,
                }) if op == OpId(self.ops) => {
                    let took = clock::mono() - began;
                    let late = Span::millis(500);
                    assert!(took < budget + late, "{request:?} took {took} of {budget}");
                    assert!(sent_at >= began, "sent before it was asked for");
                    return Done {
                        outcome,
                        sent_at,
                        maybe_since,
                        took,
                    };
                }
                _ => continue,
            }
        }
    }

    async fn ask(&mut self, request: DcsRequest) -> DcsOutcome {
        self.ask_for(request, BUDGET).await.outcome
    }

    fn acquire(&self, ttl: Span) -> DcsRequest {
        DcsRequest::Acquire {
            owner: self.name.clone(),
            ttl,
            guard: Guard::default(),
        }
    }

    fn renew(&self, ttl: Span, status: Option<&str>) -> DcsRequest {
        DcsRequest::Renew {
            owner: self.name.clone(),
            ttl,
            status: status.map(str::to_string),
        }
    }

    fn release(&self, term: Term, status: Option<&str>) -> DcsRequest {
        DcsRequest::Release {
            owner: self.name.clone(),
            term,
            status: status.map(str::to_string),
        }
    }

    async fn must_acquire(&mut self, ttl: Span) -> (Session, Term) {
        match self.ask(self.acquire(ttl)).await {
            DcsOutcome::Ok(DcsReply::Acquired { session, term, .. }) => (session, term),
            other => panic!("{} did not acquire: {other:?}", self.name),
        }
    }

    async fn snapshot(&mut self) -> Snapshot {
        let read = self.store.read_all(Consistency::Linearizable, BUDGET);
        read.await.expect("a reading")
    }

    /// The next input of the watch that `pick` accepts.
    async fn watched<T>(&mut self, what: &str, mut pick: impl FnMut(&DcsInput) -> Option<T>) -> T {
        let until = clock::mono() + Span::secs(15);
        loop {
            match clock::before(until, self.heard.recv()).await {
                Some(Some(Input::Dcs(input))) => {
                    if let Some(found) = pick(&input) {
                        return found;
                    }
                }
                Some(Some(_)) => continue,
                Some(None) | None => panic!("the watch never told: {what}"),
            }
        }
    }

    async fn watched_change(&mut self, key: &str) -> Option<String> {
        self.watched(key, |input| match input {
            DcsInput::Changed { changes, .. } => changes
                .get(key)
                .map(|now| now.as_ref().map(|kv| kv.value.clone())),
            _ => None,
        })
        .await
    }
}

fn put(key: &str, value: &str, precondition: Precondition, with_session: bool) -> DcsRequest {
    DcsRequest::Put {
        key: key.to_string(),
        value: value.to_string(),
        precondition,
        with_session,
    }
}

fn written(outcome: DcsOutcome) -> Revision {
    match outcome {
        DcsOutcome::Ok(DcsReply::Written { revision }) => revision,
        other => panic!("not written: {other:?}"),
    }
}

fn renewed(outcome: DcsOutcome) -> (Session, KeyOwner) {
    match outcome {
        DcsOutcome::Ok(DcsReply::Renewed { session, owner, .. }) => (session, owner),
        other => panic!("not renewed: {other:?}"),
    }
}

#[tokio::test]
async fn of_twenty_racing_sessions_exactly_one_acquires_the_leader_key() {
    let etcd = Etcd::start(1);
    let races = (0..20).map(|i| {
        let mut process = Process::new(&format!("n{i}"), &etcd.urls());
        tokio::spawn(async move {
            let request = process.acquire(TTL);
            (process.name.clone(), process.ask(request).await)
        })
    });
    let mut winners = Vec::new();
    let mut seen_owners = Vec::new();
    for race in races.collect::<Vec<_>>() {
        let (name, outcome) = race.await.expect("no panic");
        match outcome {
            DcsOutcome::Ok(DcsReply::Acquired { .. }) => winners.push(name),
            DcsOutcome::Conflict {
                owner: KeyOwner::Other { name },
            } => seen_owners.push(name),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(seen_owners, vec![winners[0].clone(); 19]);
}

#[tokio::test]
async fn a_key_whose_lease_is_not_renewed_expires_after_its_ttl_and_not_before() {
    let etcd = Etcd::start(1);
    let mut a = Process::new("a", &etcd.urls());
    let mut b = Process::new("b", &etcd.urls());
    let (session, _) = a.must_acquire(Span::secs(2)).await;
    assert_eq!(session.ttl, Span::secs(2));
    let mut absent_at = None;
    while absent_at.is_none() {
        let asked_at = clock::mono();
        if !b.snapshot().await.keys.contains_key("leader") {
            absent_at = Some(clock::mono());
        }
        assert!(
            asked_at - session.renewed_at < Span::secs(5),
            "the key never expired"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lived = absent_at.expect("absent") - session.renewed_at;
    assert!(lived >= Span::secs(2), "the key lived {lived} of 2 s");
    let outcome = a.ask(a.renew(Span::secs(2), None)).await;
    assert_eq!(outcome, DcsOutcome::SessionGone);
    let (new, _) = a.must_acquire(Span::secs(2)).await;
    assert_ne!(new.lease, session.lease);
}

#[tokio::test]
async fn renewing_keeps_the_key_as_it_was_created_and_writes_the_status() {
    let etcd = Etcd::start(1);
    let mut a = Process::new("a", &etcd.urls());
    let (session, term) = a.must_acquire(Span::secs(2)).await;
    let created = a.snapshot().await.keys["leader"].clone();
    let mut renewed_at = session.renewed_at;
    for beat in 0..8 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let status = format!("{{\"optime\":{beat}}}");
        let before = clock::mono();
        let (now, owner) = renewed(a.ask(a.renew(Span::secs(2), Some(&status))).await);
        assert_eq!(owner, KeyOwner::Mine { term });
        assert!(now.renewed_at >= before && now.renewed_at > renewed_at);
        renewed_at = now.renewed_at;
        let keys = a.snapshot().await.keys;
        assert_eq!(keys["leader"], created);
        assert_eq!(keys["status"].value, status);
    }
}

#[tokio::test]
async fn a_lost_answer_to_an_acquire_ends_as_what_the_store_holds() {
    for cut in [Cut::BeforeSend, Cut::AfterSend, Cut::AfterApply] {
        // Each cut has a store of its own: on a busy host the request that was cut after it was sent can
        // arrive later than the release below, and would then stand in the next one's way.
        let etcd = Etcd::start(1);
        let proxy = Proxy::to(etcd.port(0));
        let mut a = Process::new("a", &[proxy.url()]);
        let mut b = Process::new("b", &etcd.urls());
        proxy.cut(cut, "/kv/txn", 1);
        let done = a.ask_for(a.acquire(TTL), BUDGET).await;
        assert_eq!(proxy.cuts_left(), 0, "{cut:?} did not happen");
        let DcsOutcome::Ok(DcsReply::Acquired { session, term, .. }) = done.outcome else {
            panic!("{cut:?}: {:?}", done.outcome);
        };
        let key = b.snapshot().await.keys["leader"].clone();
        assert_eq!(
            (key.value.as_str(), key.lease),
            ("a", session.lease),
            "{cut:?}"
        );
        assert_eq!(Term(key.created.0), term, "{cut:?}");
        assert!(
            done.maybe_since.is_some_and(|since| since <= done.sent_at),
            "{cut:?}"
        );
        let released = a.ask(a.release(term, None)).await;
        assert!(
            matches!(released, DcsOutcome::Ok(DcsReply::Released { .. })),
            "{released:?}"
        );
    }
}

#[tokio::test]
async fn an_acquire_whose_every_answer_is_lost_is_unknown() {
    let etcd = Etcd::start(1);
    let proxy = Proxy::to(etcd.port(0));
    let mut a = Process::new("a", &[proxy.url()]);
    let mut b = Process::new("b", &etcd.urls());
    proxy.cut(Cut::AfterApply, "/kv/txn", u32::MAX);
    let done = a.ask_for(a.acquire(TTL), Span::secs(1)).await;
    assert!(
        matches!(done.outcome, DcsOutcome::Unknown(_)),
        "{:?}",
        done.outcome
    );
    assert!(done.maybe_since.is_some());
    assert_eq!(b.snapshot().await.keys["leader"].value, "a");
}

#[tokio::test]
async fn a_lost_answer_to_a_conditional_put_or_delete_is_found_out() {
    let etcd = Etcd::start(1);
    for cut in [Cut::BeforeSend, Cut::AfterSend, Cut::AfterApply] {
        let proxy = Proxy::to(etcd.port(0));
        let mut a = Process::new("a", &[proxy.url()]);
        let first = written(a.ask(put("sync", "{}", Precondition::Absent, false)).await);
        proxy.cut(cut, "/kv/txn", 1);
        let version = Precondition::Version(first);
        let second = written(
            a.ask(put("sync", "{\"leader\":\"a\"}", version, false))
                .await,
        );
        assert_eq!(a.snapshot().await.keys["sync"].modified, second, "{cut:?}");
        proxy.cut(cut, "/kv/txn", 1);
        let delete = DcsRequest::Delete {
            key: "sync".to_string(),
            precondition: Precondition::Version(second),
        };
        written(a.ask(delete).await);
        assert_eq!(proxy.cuts_left(), 0);
        assert!(!a.snapshot().await.keys.contains_key("sync"), "{cut:?}");
    }
}

#[tokio::test]
async fn nobody_claims_an_initialize_key_that_may_be_somebody_elses() {
    let etcd = Etcd::start(1);
    let proxy = Proxy::to(etcd.port(0));
    let mut a = Process::new("a", &[proxy.url()]);
    proxy.cut(Cut::AfterApply, "/kv/txn", 1);
    let outcome = a
        .ask(put("initialize", "", Precondition::Absent, false))
        .await;
    assert!(matches!(outcome, DcsOutcome::Unknown(_)), "{outcome:?}");
    assert_eq!(a.snapshot().await.keys["initialize"].value, "");
}

#[tokio::test]
async fn a_revoked_lease_is_told_and_a_new_session_carries_on() {
    let etcd = Etcd::start(1);
    let mut a = Process::new("a", &etcd.urls());
    let (session, _) = a.must_acquire(TTL).await;
    let member = put("members/a", "{}", Precondition::None, true);
    written(a.ask(member.clone()).await);
    assert_eq!(a.snapshot().await.keys["members/a"].lease, session.lease);
    let body = format!("{{\"ID\":\"{}\"}}", session.lease.0);
    etcd.post(0, "/v3/lease/revoke", &body);
    assert!(a.snapshot().await.keys.is_empty());
    // A put names the lease, and learns from the refusal.
    written(a.ask(member).await);
    let rebound = a.snapshot().await.keys["members/a"].lease;
    assert_ne!(rebound, session.lease);
    // A renewal finds the session alive and the key gone.
    let (now, owner) = renewed(a.ask(a.renew(TTL, None)).await);
    assert_eq!((now.lease, owner), (rebound, KeyOwner::Absent));
    etcd.post(
        0,
        "/v3/lease/revoke",
        &format!("{{\"ID\":\"{}\"}}", rebound.0),
    );
    assert_eq!(a.ask(a.renew(TTL, None)).await, DcsOutcome::SessionGone);
    let kept = a.ask(DcsRequest::KeepSession { ttl: TTL }).await;
    let DcsOutcome::Ok(DcsReply::Session(third)) = kept else {
        panic!("{kept:?}");
    };
    assert_ne!(third.lease, rebound);
}

#[tokio::test]
async fn a_new_ttl_moves_the_leader_key_to_a_new_lease_and_keeps_its_term() {
    let etcd = Etcd::start(1);
    let mut a = Process::new("a", &etcd.urls());
    let (session, term) = a.must_acquire(TTL).await;
    let (now, owner) = renewed(a.ask(a.renew(Span::secs(20), Some("{\"optime\":1}"))).await);
    assert_eq!((now.ttl, owner), (Span::secs(20), KeyOwner::Mine { term }));
    assert_ne!(now.lease, session.lease);
    let keys = a.snapshot().await.keys;
    assert_eq!(keys["leader"].lease, now.lease);
    assert_eq!(keys["status"].value, "{\"optime\":1}");
    etcd.post(
        0,
        "/v3/lease/revoke",
        &format!("{{\"ID\":\"{}\"}}", session.lease.0),
    );
    let (_, owner) = renewed(a.ask(a.renew(Span::secs(20), None)).await);
    assert_eq!(owner, KeyOwner::Mine { term });
}

#[tokio::test]
async fn writes_on_old_versions_conflict_and_guards_are_compared() {
    let etcd = Etcd::start(1);
    let mut a = Process::new("a", &etcd.urls());
    let mut b = Process::new("b", &etcd.urls());
    let first = written(a.ask(put("sync", "1", Precondition::Absent, false)).await);
    let second = written(
        b.ask(put("sync", "2", Precondition::Version(first), false))
            .await,
    );
    for precondition in [Precondition::Version(first), Precondition::Absent] {
        let outcome = a.ask(put("sync", "3", precondition, false)).await;
        assert!(
            matches!(outcome, DcsOutcome::Conflict { .. }),
            "{outcome:?}"
        );
    }
    // Decided on the old sync key: refused though the leader key is absent.
    let acquire = |sync| DcsRequest::Acquire {
        owner: MemberName::from("a"),
        ttl: TTL,
        guard: Guard {
            sync,
            ..Guard::default()
        },
    };
    assert_eq!(
        a.ask(acquire(first)).await,
        DcsOutcome::Conflict {
            owner: KeyOwner::Absent
        }
    );
    let outcome = a.ask(acquire(second)).await;
    assert!(
        matches!(outcome, DcsOutcome::Ok(DcsReply::Acquired { .. })),
        "{outcome:?}"
    );
    // Another process renews and releases nothing that is not its own.
    written(
        b.ask(put("members/b", "{}", Precondition::None, false))
            .await,
    );
    b.ask(DcsRequest::KeepSession { ttl: TTL }).await;
    let (_, owner) = renewed(b.ask(b.renew(TTL, None)).await);
    assert_eq!(owner, KeyOwner::Other { name: "a".into() });
    let held = Term(b.snapshot().await.keys["leader"].created.0);
    let outcome = b.ask(b.release(held, Some("{\"optime\":9}"))).await;
    assert_eq!(
        outcome,
        DcsOutcome::Conflict {
            owner: KeyOwner::Other { name: "a".into() }
        }
    );
    assert!(!a.snapshot().await.keys.contains_key("status"));
}

#[tokio::test]
async fn a_release_shows_the_status_before_the_key_is_gone() {
    let etcd = Etcd::start(1);
    let mut a = Process::new("a", &etcd.urls());
    let mut b = Process::new("b", &etcd.urls());
    let (_, term) = a.must_acquire(TTL).await;
    let watch = b.store.watch(b.inputs.clone());
    b.watched("the list", |i| {
        matches!(i, DcsInput::Listed { .. }).then_some(())
    })
    .await;
    // One that belongs to an earlier tenure, arriving late, takes nothing away.
    let late = a.ask(a.release(Term(term.0 - 1), None)).await;
    let owner = KeyOwner::Mine { term };
    assert_eq!(late, DcsOutcome::Conflict { owner });
    let outcome = a.ask(a.release(term, Some("{\"optime\":77}"))).await;
    assert!(
        matches!(outcome, DcsOutcome::Ok(DcsReply::Released { .. })),
        "{outcome:?}"
    );
    // One revision, one input: nobody can see the key gone and the status old.
    let (leader, status) = b
        .watched("the release", |input| match input {
            DcsInput::Changed { changes, .. } => Some((
                changes.get("leader").cloned(),
                changes.get("status").cloned(),
            )),
            _ => None,
        })
        .await;
    assert_eq!(leader, Some(None));
    assert_eq!(status.flatten().expect("status").value, "{\"optime\":77}");
    watch.abort();
}

#[tokio::test]
async fn a_watch_tells_of_puts_deletes_and_expiry() {
    let etcd = Etcd::start(1);
    let mut a = Process::new("a", &etcd.urls());
    let mut b = Process::new("b", &etcd.urls());
    written(a.ask(put("config", "{}", Precondition::None, false)).await);
    let watch = b.store.watch(b.inputs.clone());
    let listed = b
        .watched("the list", |input| match input {
            DcsInput::Listed { snapshot } => Some(snapshot.clone()),
            _ => None,
        })
        .await;
    assert_eq!(listed.keys["config"].value, "{}");
    written(a.ask(put("failover", "", Precondition::None, false)).await);
    assert_eq!(b.watched_change("failover").await.as_deref(), Some(""));
    let delete = DcsRequest::Delete {
        key: "failover".to_string(),
        precondition: Precondition::None,
    };
    written(a.ask(delete).await);
    assert_eq!(b.watched_change("failover").await, None);
    a.must_acquire(Span::secs(2)).await;
    assert_eq!(b.watched_change("leader").await.as_deref(), Some("a"));
    assert_eq!(b.watched_change("leader").await, None);
    watch.abort();
}

#[tokio::test]
async fn a_watch_whose_revision_was_compacted_lists_anew() {
    let mut etcd = Etcd::start(1);
    let mut a = Process::new("a", &etcd.urls());
    let mut b = Process::new("b", &etcd.urls());
    let watch = b.store.watch(b.inputs.clone());
    b.watched("the list", |i| {
        matches!(i, DcsInput::Listed { .. }).then_some(())
    })
    .await;
    etcd.kill(0);
    let why = b.watched("the loss", |input| match input {
        DcsInput::WatchLost { why } => Some(why.clone()),
        _ => None,
    });
    assert!(!why.await.is_empty());
    etcd.restart(0);
    for value in ["1", "2", "3"] {
        written(
            a.ask(put("history", value, Precondition::None, false))
                .await,
        );
    }
    let revision = a.snapshot().await.revision;
    etcd.post(
        0,
        "/v3/kv/compaction",
        &format!("{{\"revision\":\"{}\"}}", revision.0),
    );
    // In a list or as a change: the watch may have begun anew before or after either write.
    for value in ["3", "4"] {
        if value == "4" {
            written(a.ask(put("history", "4", Precondition::None, false)).await);
        }
        b.watched(value, |input| {
            let told = match input {
                DcsInput::Listed { snapshot } => snapshot.keys.get("history"),
                DcsInput::Changed { changes, .. } => {
                    changes.get("history").and_then(Option::as_ref)
                }
                DcsInput::Completed { .. } | DcsInput::WatchLost { .. } => None,
            };
            told.filter(|kv| kv.value == value).map(|_| ())
        })
        .await;
    }
    watch.abort();
}

#[tokio::test]
async fn with_one_of_three_members_dead_requests_and_the_watch_go_to_the_others() {
    let mut etcd = Etcd::start(3);
    let mut a = Process::new("a", &etcd.urls());
    let mut b = Process::new("b", &etcd.urls());
    let (_, term) = a.must_acquire(TTL).await;
    let watch = b.store.watch(b.inputs.clone());
    b.watched("the list", |i| {
        matches!(i, DcsInput::Listed { .. }).then_some(())
    })
    .await;
    etcd.kill(0);
    let (_, owner) = renewed(a.ask(a.renew(TTL, None)).await);
    assert_eq!(owner, KeyOwner::Mine { term });
    b.watched("the second list", |i| {
        matches!(i, DcsInput::Listed { .. }).then_some(())
    })
    .await;
    written(
        a.ask(put("failover", "{}", Precondition::None, false))
            .await,
    );
    assert_eq!(b.watched_change("failover").await.as_deref(), Some("{}"));
    watch.abort();
}

#[tokio::test]
async fn members_that_etcd_names_are_asked_when_the_configured_one_is_dead() {
    let mut etcd = Etcd::start(3);
    let mut a = Process::new("a", &etcd.urls()[..1]);
    let watch = a.store.watch(a.inputs.clone());
    a.watched("the list", |i| {
        matches!(i, DcsInput::Listed { .. }).then_some(())
    })
    .await;
    // The members are asked for with the watch's first look at the quorum.
    tokio::time::sleep(Duration::from_secs(4)).await;
    etcd.kill(0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    a.must_acquire(TTL).await;
    watch.abort();
}

#[tokio::test]
async fn a_frozen_store_gives_unknown_within_the_budget_and_nothing_moves() {
    let etcd = Etcd::start(1);
    let mut a = Process::new("a", &etcd.urls());
    let (session, term) = a.must_acquire(TTL).await;
    etcd.freeze(0);
    for budget in [Span::millis(500), Span::secs(3)] {
        let done = a.ask_for(a.renew(TTL, None), budget).await;
        assert!(
            matches!(done.outcome, DcsOutcome::Unknown(_)),
            "{:?}",
            done.outcome
        );
        assert!(
            done.took + Span::secs(1) >= budget,
            "gave up after {}",
            done.took
        );
    }
    let done = a
        .ask_for(
            put("sync", "{}", Precondition::Absent, false),
            Span::secs(1),
        )
        .await;
    assert!(
        matches!(done.outcome, DcsOutcome::Unknown(_)),
        "{:?}",
        done.outcome
    );
    etcd.thaw(0);
    let before = clock::mono();
    let (now, owner) = renewed(a.ask(a.renew(TTL, None)).await);
    assert_eq!((now.lease, owner), (session.lease, KeyOwner::Mine { term }));
    assert!(now.renewed_at >= before);
}

#[tokio::test]
async fn a_watch_at_a_frozen_member_is_given_up_and_taken_up_at_another() {
    let etcd = Etcd::start(3);
    let mut a = Process::new("a", &etcd.urls()[1..]);
    let mut b = Process::new("b", &etcd.urls());
    let watch = b.store.watch(b.inputs.clone());
    b.watched("the list", |i| {
        matches!(i, DcsInput::Listed { .. }).then_some(())
    })
    .await;
    etcd.freeze(0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    written(
        a.ask(put(
            "failover",
            "{\"leader\":\"a\"}",
            Precondition::None,
            false,
        ))
        .await,
    );
    b.watched("the change, in a list or by itself", |input| match input {
        DcsInput::Listed { snapshot } => snapshot.keys.get("failover").map(|_| ()),
        DcsInput::Changed { changes, .. } => changes.get("failover").map(|_| ()),
        _ => None,
    })
    .await;
    etcd.thaw(0);
    watch.abort();
}

#[tokio::test]
async fn an_absent_store_is_not_sent_within_the_budget() {
    let mut etcd = Etcd::start(1);
    let mut a = Process::new("a", &etcd.urls());
    a.must_acquire(TTL).await;
    etcd.kill(0);
    // A request written before the end of a kept connection was noticed is rightly in doubt.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let done = a.ask_for(a.renew(TTL, None), Span::secs(1)).await;
    assert!(
        matches!(done.outcome, DcsOutcome::NotSent(_)),
        "{:?}",
        done.outcome
    );
    assert_eq!(done.maybe_since, None);
}

fn switch_authentication_on(etcd: &Etcd) {
    for (path, body) in [
        ("/v3/auth/user/add", r#"{"name":"root","password":"r"}"#),
        (
            "/v3/auth/user/add",
            r#"{"name":"tanist","password":"s3cret"}"#,
        ),
        ("/v3/auth/role/add", r#"{"name":"root"}"#),
        ("/v3/auth/role/add", r#"{"name":"cluster"}"#),
        // `/service/` to `/service0`, read and write.
        (
            "/v3/auth/role/grant",
            r#"{"name":"cluster","perm":{"permType":"READWRITE","key":"L3NlcnZpY2Uv","range_end":"L3NlcnZpY2Uw"}}"#,
        ),
        ("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#),
        (
            "/v3/auth/user/grant",
            r#"{"user":"tanist","role":"cluster"}"#,
        ),
        ("/v3/auth/enable", "{}"),
    ] {
        let answer = etcd.post(0, path, body);
        assert!(answer.contains(" 200 "), "{path}: {answer}");
    }
}

fn with_password(etcd: &Etcd, password: &str) -> EtcdSettings {
    EtcdSettings {
        user: Some(("tanist".to_string(), Secret::from(password))),
        ..settings(&etcd.urls())
    }
}

#[tokio::test]
async fn a_password_opens_the_store_and_a_wrong_one_is_denied_without_showing_it() {
    let mut etcd = Etcd::start(1);
    // Configured for a password while etcd wants none yet: that works.
    let mut early = Process::with("early", with_password(&etcd, "s3cret"));
    let (_, term) = early.must_acquire(TTL).await;
    early.ask(early.release(term, None)).await;
    switch_authentication_on(&etcd);

    let mut wrong = Process::with("wrong", with_password(&etcd, "canary-91"));
    let outcome = wrong.ask(wrong.acquire(TTL)).await;
    let DcsOutcome::Denied(why) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(!why.contains("canary"), "{why}");
    let mut nobody = Process::new("nobody", &etcd.urls());
    let outcome = nobody.ask(put("sync", "", Precondition::None, false)).await;
    assert!(matches!(outcome, DcsOutcome::Denied(_)), "{outcome:?}");

    let mut right = Process::with("right", with_password(&etcd, "s3cret"));
    right.must_acquire(TTL).await;
    // A restarted etcd has forgotten its tokens: the agent logs in again by itself.
    etcd.kill(0);
    etcd.restart(0);
    let (_, owner) = renewed(right.ask(right.renew(TTL, None)).await);
    assert!(matches!(owner, KeyOwner::Mine { .. }), "{owner:?}");
    let outcome = early.ask(early.acquire(TTL)).await;
    assert!(
        matches!(outcome, DcsOutcome::Conflict { .. }),
        "{outcome:?}"
    );
}

fn openssl(folder: &Folder, line: &str) {
    let made = std::process::Command::new("openssl")
        .args(line.split(' '))
        .current_dir(folder.path())
        .output()
        .expect("openssl was not found; install it (Debian: apt-get install openssl)");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

fn certificates(folder: &Folder) -> Certificates {
    std::fs::write(
        folder.path().join("ext"),
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n",
    )
    .expect("an extension file");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2"),
    );
    openssl(
        folder,
        &format!("req {key} -keyout node.key -out node.csr -subj /CN=node"),
    );
    openssl(
        folder,
        "x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out node.pem",
    );
    let at = |name: &str| folder.path().join(name);
    Certificates {
        cacert: at("ca.pem"),
        cert: at("node.pem"),
        key: at("node.key"),
    }
}

#[tokio::test]
async fn https_works_with_a_client_certificate_and_is_refused_without() {
    let folder = Folder::new("certificates");
    let files = certificates(&folder);
    let etcd = Etcd::start_tls(files.clone());
    let trusting = EtcdSettings {
        cacert: Some(files.cacert.clone()),
        ..settings(&etcd.urls())
    };
    let mut known = Process::with(
        "known",
        EtcdSettings {
            identity: Some((files.cert.clone(), files.key.clone())),
            ..trusting.clone()
        },
    );
    known.must_acquire(TTL).await;
    let mut unknown = Process::with("unknown", trusting.clone());
    let done = unknown.ask_for(unknown.acquire(TTL), Span::secs(1)).await;
    assert!(
        matches!(done.outcome, DcsOutcome::NotSent(_)),
        "{:?}",
        done.outcome
    );
    let broken = EtcdSettings {
        cacert: Some(folder.path().join("absent.pem")),
        ..trusting
    };
    let refused = Store::open(broken, "service", "contract").err();
    let text = refused.expect("no such file").to_string();
    assert!(
        text.contains("etcd3.cacert") && text.contains("absent.pem"),
        "{text}"
    );
}

#[tokio::test]
async fn a_person_at_the_command_line_reads_and_changes_keys() {
    let etcd = Etcd::start(1);
    let a = Process::new("a", &etcd.urls());
    let first = a
        .store
        .put("config", "{}", Precondition::Absent, BUDGET)
        .await;
    let first = first.expect("written");
    let again = a
        .store
        .put("config", "{}", Precondition::Absent, BUDGET)
        .await;
    assert_eq!(again, Err(StoreError::Conflict));
    let read = a
        .store
        .read_all(Consistency::Cached, BUDGET)
        .await
        .expect("read");
    assert_eq!(read.keys["config"].modified, first);
    let version = Precondition::Version(first);
    a.store
        .delete("config", version, BUDGET)
        .await
        .expect("deleted");
}

#[test]
fn a_missing_etcd_is_named_with_its_remedy() {
    let text = find_etcd(None, "/nowhere:/neither").expect_err("no etcd there");
    assert!(
        text.contains("etcd was not found") && text.contains("etcd-server"),
        "{text}"
    );
    assert!(find_etcd(Some("/nowhere/etcd"), "").is_err());
}
