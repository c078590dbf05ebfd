//! What the fake store promises, call by call.

use super::*;
use crate::store::servers::ServerChanged;
use tanist_core::dcs::LeaseId;
use tanist_core::primitive::{Compare, StoreOp, Transaction};

struct Bench {
    store: Store,
    chance: Stream,
    now: Moment,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            store: Store::new(3),
            chance: Stream::named(1, "dcs"),
            now: Moment::secs(10),
        }
    }
    fn ask(&mut self, server: u8, call: Primitive) -> Verdict {
        self.store
            .call(self.now, server, &call, &mut self.chance, &mut None)
    }
    fn done(&mut self, call: Primitive) -> PrimitiveReply {
        match self.ask(1, call) {
            Verdict::Answer {
                outcome: PrimitiveOutcome::Ok(reply),
                ..
            } => reply,
            other => panic!("no verdict in favour: {other:?}"),
        }
    }
    fn grant(&mut self, ttl: Span) -> LeaseId {
        match self.done(Primitive::Grant { ttl }) {
            PrimitiveReply::Granted { lease, .. } => lease,
            other => panic!("not granted: {other:?}"),
        }
    }
    fn acquire(&mut self, owner: &str, lease: LeaseId) -> Verdict {
        self.ask(0, acquire(owner, lease))
    }
    fn expires(&mut self, at: Moment, lease: LeaseId) -> bool {
        self.store.expire(at, lease).0.is_some()
    }
}

fn acquire(owner: &str, lease: LeaseId) -> Primitive {
    let key = "leader".to_string();
    Primitive::Transaction(Transaction {
        compare: vec![Compare::Created {
            key: key.clone(),
            is: Revision(0),
        }],
        success: vec![StoreOp::Put {
            key: key.clone(),
            value: owner.to_string(),
            lease,
        }],
        failure: vec![StoreOp::Get { key }],
    })
}

fn succeeded(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::Answer {
            outcome: PrimitiveOutcome::Ok(PrimitiveReply::Transaction { succeeded, .. }),
            ..
        } => Some(*succeeded),
        _ => None,
    }
}

#[test]
fn only_the_first_of_two_creators_gets_the_key_and_the_other_sees_whose_it_is() {
    let mut bench = Bench::new();
    let (a, b) = (bench.grant(Span::secs(30)), bench.grant(Span::secs(30)));
    assert_eq!(succeeded(&bench.acquire("a", a)), Some(true));
    let second = bench.acquire("b", b);
    assert_eq!(succeeded(&second), Some(false));
    let Verdict::Answer {
        outcome: PrimitiveOutcome::Ok(PrimitiveReply::Transaction { got, .. }),
        ..
    } = second
    else {
        panic!("no verdict");
    };
    assert_eq!(got["leader"].as_ref().unwrap().value, "a");
}

#[test]
fn an_absent_key_equals_revision_zero_and_lease_zero_but_no_value() {
    let mut bench = Bench::new();
    for (compare, holds) in [
        (
            Compare::Created {
                key: "x".into(),
                is: Revision(0),
            },
            true,
        ),
        (
            Compare::Modified {
                key: "x".into(),
                is: Revision(0),
            },
            true,
        ),
        (
            Compare::Lease {
                key: "x".into(),
                is: LeaseId::NONE,
            },
            true,
        ),
        (
            Compare::Value {
                key: "x".into(),
                is: String::new(),
            },
            false,
        ),
    ] {
        let call = Transaction {
            compare: vec![compare.clone()],
            ..Transaction::default()
        };
        let verdict = bench.ask(0, Primitive::Transaction(call));
        assert_eq!(succeeded(&verdict), Some(holds), "{compare:?}");
    }
}

#[test]
fn a_read_or_a_failed_transaction_makes_no_revision() {
    let mut bench = Bench::new();
    let lease = bench.grant(Span::secs(30));
    bench.acquire("a", lease);
    let before = bench.store.revision();
    bench.acquire("b", lease);
    bench.done(Primitive::ReadAll {
        consistency: Consistency::Linearizable,
    });
    assert_eq!(bench.store.revision(), before);
}

#[test]
fn a_put_in_the_name_of_a_dead_lease_is_not_applied() {
    let mut bench = Bench::new();
    let verdict = bench.acquire("a", LeaseId(99));
    assert!(matches!(
        verdict,
        Verdict::Answer {
            outcome: PrimitiveOutcome::LeaseNotFound,
            ..
        }
    ));
    assert!(bench.store.get("leader").is_none());
}

#[test]
fn a_lease_lives_its_ttl_from_its_last_keep_alive_and_takes_its_keys_with_it() {
    let mut bench = Bench::new();
    let lease = bench.grant(Span::secs(30));
    bench.acquire("a", lease);
    bench.now = Moment::secs(20);
    bench.done(Primitive::KeepAlive { lease });
    assert!(!bench.expires(Moment::secs(49), lease));
    assert!(bench.expires(Moment::secs(50), lease));
    assert!(bench.store.get("leader").is_none());
    let gone = bench.done(Primitive::KeepAlive { lease });
    assert_eq!(gone, PrimitiveReply::KeptAlive { ttl: None });
}

#[test]
fn an_election_prolongs_every_lease_in_full() {
    let mut bench = Bench::new();
    let lease = bench.grant(Span::secs(30));
    let at = Moment::secs(35);
    assert_eq!(bench.store.step_down(at), ServerChanged::LeaderLost);
    assert!(
        !bench.expires(Moment::secs(41), lease),
        "nobody leads who could revoke"
    );
    assert!(bench.store.elect(Moment::secs(37), &mut bench.chance));
    assert!(!bench.expires(Moment::secs(67), lease));
    assert!(bench.expires(Moment::secs(68), lease));
}

#[test]
fn a_fast_store_clock_ends_a_lease_early_by_its_share() {
    let mut bench = Bench::new();
    bench.store.leases.set_clock_rate(10_000);
    let lease = bench.grant(Span::secs(30));
    assert!(bench.expires(Moment::millis(39_700), lease));
}

#[test]
fn a_server_cut_off_serves_old_reads_and_has_no_verdict_on_writes() {
    let mut bench = Bench::new();
    let lease = bench.grant(Span::secs(30));
    bench.store.isolate(bench.now, 2);
    bench.acquire("a", lease);
    let cached = bench.ask(
        2,
        Primitive::ReadAll {
            consistency: Consistency::Cached,
        },
    );
    let Verdict::Answer {
        outcome: PrimitiveOutcome::Ok(PrimitiveReply::All(old)),
        ..
    } = cached
    else {
        panic!("no cached read: {cached:?}");
    };
    assert!(!old.keys.contains_key("leader"));
    let write = bench.ask(2, acquire("b", lease));
    assert!(matches!(
        write,
        Verdict::Answer {
            outcome: PrimitiveOutcome::Unknown(_),
            ..
        }
    ));
}

#[test]
fn a_deposed_leader_acknowledges_keep_alives_for_a_second_and_moves_nothing() {
    let mut bench = Bench::new();
    let lease = bench.grant(Span::secs(30));
    bench.now = Moment::secs(20);
    bench.store.isolate(bench.now, 0);
    let ack = bench.ask(0, Primitive::KeepAlive { lease });
    assert!(matches!(
        ack,
        Verdict::Answer {
            outcome: PrimitiveOutcome::Ok(_),
            ..
        }
    ));
    assert_eq!(bench.store.leases.expires_at(lease), Some(Moment::secs(40)));
    bench.now = Moment::secs(22);
    let late = bench.ask(0, Primitive::KeepAlive { lease });
    assert!(matches!(
        late,
        Verdict::Answer {
            outcome: PrimitiveOutcome::Unknown(_),
            ..
        }
    ));
}

#[test]
fn a_thawed_old_leader_revokes_a_renewed_lease_only_with_the_bug_switched_on() {
    for (bug, revoked) in [(Switch::Off, false), (Switch::On, true)] {
        let mut bench = Bench::new();
        bench.store.old_leader_revokes = bug;
        let lease = bench.grant(Span::secs(6));
        bench.store.set_server(bench.now, 0, ServerState::Frozen);
        bench.store.elect(Moment::secs(12), &mut bench.chance);
        bench.now = Moment::secs(18);
        bench.done(Primitive::KeepAlive { lease });
        bench.store.set_server(Moment::secs(19), 0, ServerState::Up);
        let changes = bench.store.thawed(Moment::secs(19), 0);
        assert_eq!(!changes.is_empty(), revoked, "{bug:?}");
    }
}

#[test]
fn a_write_that_timed_out_without_quorum_may_be_committed_when_it_is_back() {
    let committed = (0..20).any(|seed| {
        let mut bench = Bench::new();
        bench.chance = Stream::named(seed, "dcs");
        let lease = bench.grant(Span::secs(30));
        bench.store.lose_quorum();
        bench.acquire("a", lease);
        assert!(bench.store.get("leader").is_none());
        bench.store.regain_quorum(Moment::secs(15));
        bench.store.get("leader").is_some()
    });
    assert!(committed);
}

#[test]
fn a_roll_back_takes_revisions_backwards() {
    let mut bench = Bench::new();
    bench.store.save();
    let saved = bench.store.revision();
    bench.store.edit("config", Some("{}"));
    assert!(bench.store.revision() > saved);
    assert!(bench.store.roll_back(bench.now));
    assert_eq!(bench.store.revision(), saved);
    assert!(bench.store.get("config").is_none());
}

#[test]
fn a_watch_from_before_a_compaction_must_list_anew() {
    let mut bench = Bench::new();
    bench.store.edit("config", Some("1"));
    let seen = Revision(1);
    assert!(matches!(bench.store.log.since(seen), watch::Since::Changes(c) if c.len() == 1));
    bench.store.log.compact();
    assert_eq!(bench.store.log.since(seen), watch::Since::Compacted);
}
