//! What is asked of the store, of real etcd as of the fake: each kind of call with each kind of outcome that a decision
//! may rest on. Leases and revisions are named as [`names`](super::names) does.

use super::names::Names;
use super::transcript;
use crate::moment::Moment;
use crate::store::servers::ServerState;
use crate::store::{Store, Verdict};
use crate::streams::Stream;
use serde::{Deserialize, Serialize};
use tanist_core::dcs::{Consistency, LeaseId, Revision};
use tanist_core::primitive::{Compare, Primitive, PrimitiveOutcome, StoreOp, Transaction};
use tanist_core::time::Span;

/// Servers of the store; the first is the one that is asked.
pub const SERVERS: u8 = 3;

/// One thing that is done to a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Ask(Primitive),
    /// The processes of the other servers stand still: no quorum.
    FreezeOthers,
    ThawOthers,
    /// The process that is asked is gone, then there again.
    Stop,
    Start,
    Wait(Span),
}

/// How long a call may take before it counts as without a verdict.
pub const BUDGET: Span = Span::secs(9);

const TTL: Span = Span::secs(5);

/// A step with the answer of a store.
pub type Line = transcript::Line<Step, PrimitiveOutcome>;

pub fn script() -> Vec<(&'static str, Step)> {
    let mut steps = leases_and_keys();
    steps.extend(comparisons());
    steps.extend(expiry());
    steps.extend(trouble());
    steps
}

fn leases_and_keys() -> Vec<(&'static str, Step)> {
    vec![
        ("an empty store", read(Consistency::Linearizable)),
        (
            "a lease is granted with the ttl that was asked for",
            Step::Ask(Primitive::Grant { ttl: TTL }),
        ),
        (
            "and another",
            Step::Ask(Primitive::Grant {
                ttl: Span::secs(60),
            }),
        ),
        ("a key is created if it is absent", create("leader", "a", 1)),
        (
            "who comes second is told whose it is",
            create("leader", "b", 2),
        ),
        (
            "a failed transaction makes no revision",
            read(Consistency::Linearizable),
        ),
        ("a live lease is kept alive", keep_alive(1)),
        ("one that never was is not, without an error", keep_alive(9)),
        (
            "a put with a lease that never was is refused",
            put("members/x", "{}", 9),
        ),
        ("nothing of it was applied", read(Consistency::Linearizable)),
        ("a put without a lease", put("config", "{}", 0)),
        (
            "the same value again is a revision of its own",
            put("config", "{}", 0),
        ),
        ("the empty value is a value", put("initialize", "", 0)),
        (
            "two puts in one transaction are one revision",
            transaction(
                vec![],
                vec![op_put("status", "1", 0), op_put("members/a", "{}", 1)],
                vec![],
            ),
        ),
        (
            "a deletion",
            transaction(vec![], vec![op_delete("initialize")], vec![]),
        ),
        (
            "deleting what is not there makes no revision",
            transaction(vec![], vec![op_delete("initialize")], vec![]),
        ),
        (
            "what a cache knows after all is settled",
            read(Consistency::Cached),
        ),
    ]
}

fn comparisons() -> Vec<(&'static str, Step)> {
    let get = || {
        vec![StoreOp::Get {
            key: "leader".into(),
        }]
    };
    let ask = |compare| transaction(vec![compare], get(), get());
    let key = || "leader".to_string();
    vec![
        (
            "bound to this lease",
            ask(Compare::Lease {
                key: key(),
                is: LeaseId(1),
            }),
        ),
        (
            "not bound to that one",
            ask(Compare::Lease {
                key: key(),
                is: LeaseId(2),
            }),
        ),
        (
            "this value",
            ask(Compare::Value {
                key: key(),
                is: "a".into(),
            }),
        ),
        (
            "not that value",
            ask(Compare::Value {
                key: key(),
                is: "b".into(),
            }),
        ),
        (
            "created then",
            ask(Compare::Created {
                key: key(),
                is: Revision(1),
            }),
        ),
        (
            "not created then",
            ask(Compare::Created {
                key: key(),
                is: Revision(2),
            }),
        ),
        (
            "modified then",
            ask(Compare::Modified {
                key: key(),
                is: Revision(1),
            }),
        ),
        (
            "not modified then",
            ask(Compare::Modified {
                key: key(),
                is: Revision(2),
            }),
        ),
        (
            "an absent key was created at zero",
            ask(Compare::Created {
                key: "none".into(),
                is: Revision(0),
            }),
        ),
        (
            "an absent key is bound to no lease",
            ask(Compare::Lease {
                key: "none".into(),
                is: LeaseId::NONE,
            }),
        ),
        (
            "an absent key has no value, not even the empty one",
            ask(Compare::Value {
                key: "none".into(),
                is: String::new(),
            }),
        ),
        (
            "all comparisons must hold",
            transaction(
                vec![
                    Compare::Value {
                        key: key(),
                        is: "a".into(),
                    },
                    Compare::Lease {
                        key: key(),
                        is: LeaseId(2),
                    },
                ],
                get(),
                get(),
            ),
        ),
    ]
}

fn expiry() -> Vec<(&'static str, Step)> {
    vec![
        (
            "a key goes over to another lease",
            put("members/a", "{}", 2),
        ),
        (
            "the first lease is left alone for its ttl and more",
            Step::Wait(Span::secs(8)),
        ),
        (
            "its keys are gone in one revision, those that went over are not",
            read(Consistency::Linearizable),
        ),
        ("a lease that ran out is not kept alive", keep_alive(1)),
        ("nor does it take a key", put("leader", "a", 1)),
        ("the key is free", create("leader", "b", 2)),
    ]
}

fn trouble() -> Vec<(&'static str, Step)> {
    vec![
        ("the quorum is lost", Step::FreezeOthers),
        ("a write has no verdict", put("config", "{\"ttl\":20}", 0)),
        (
            "nor has a reading through the quorum",
            read(Consistency::Linearizable),
        ),
        ("the quorum is back", Step::ThawOthers),
        ("after the election", Step::Wait(Span::secs(5))),
        ("the server that was asked is gone", Step::Stop),
        (
            "and its connections are known to be closed",
            Step::Wait(Span::secs(1)),
        ),
        ("nothing was sent", read(Consistency::Cached)),
        ("it is back", Step::Start),
        ("a lease outlives it", keep_alive(2)),
    ]
}

fn read(consistency: Consistency) -> Step {
    Step::Ask(Primitive::ReadAll { consistency })
}

fn keep_alive(lease: i64) -> Step {
    Step::Ask(Primitive::KeepAlive {
        lease: LeaseId(lease),
    })
}

fn transaction(compare: Vec<Compare>, success: Vec<StoreOp>, failure: Vec<StoreOp>) -> Step {
    Step::Ask(Primitive::Transaction(Transaction {
        compare,
        success,
        failure,
    }))
}

fn op_put(key: &str, value: &str, lease: i64) -> StoreOp {
    StoreOp::Put {
        key: key.into(),
        value: value.into(),
        lease: LeaseId(lease),
    }
}

fn op_delete(key: &str) -> StoreOp {
    StoreOp::Delete { key: key.into() }
}

fn put(key: &str, value: &str, lease: i64) -> Step {
    transaction(vec![], vec![op_put(key, value, lease)], vec![])
}

fn create(key: &str, value: &str, lease: i64) -> Step {
    let absent = Compare::Created {
        key: key.into(),
        is: Revision(0),
    };
    let got = StoreOp::Get { key: key.into() };
    transaction(vec![absent], vec![op_put(key, value, lease)], vec![got])
}

/// Plays the steps on the fake store. `bend` may change what it answers: a fake that is wrong on purpose.
pub fn play_on_fake(
    steps: &[(String, Step)],
    bend: &dyn Fn(&Primitive, PrimitiveOutcome) -> PrimitiveOutcome,
) -> Vec<Line> {
    let mut store = Store::new(SERVERS);
    let mut chance = Stream::named(1, "fidelity");
    let mut now = Moment::secs(10);
    let mut names = Names::from(store.revision());
    let mut played = Vec::new();
    for (about, step) in steps {
        let seen = match step {
            Step::Ask(call) => {
                let call = names.call(call);
                let (took, outcome) = asked(&mut store, now, &call, &mut chance);
                now = now + took;
                Some(names.outcome(bend(&call, outcome)))
            }
            Step::Wait(long) => {
                now = now + *long;
                None
            }
            Step::FreezeOthers | Step::ThawOthers | Step::Stop | Step::Start => {
                change_servers(&mut store, now, step);
                None
            }
        };
        settle(&mut store, now, &mut chance);
        played.push(Line {
            about: about.clone(),
            step: step.clone(),
            seen,
        });
    }
    played
}

fn asked(
    store: &mut Store,
    now: Moment,
    call: &Primitive,
    chance: &mut Stream,
) -> (Span, PrimitiveOutcome) {
    match store.call(now, 0, call, chance, &mut None) {
        Verdict::Answer { after, outcome } => (after, outcome),
        Verdict::Refused => (Span::ZERO, PrimitiveOutcome::NotSent(String::new())),
        Verdict::Silence => (BUDGET, PrimitiveOutcome::Unknown(String::new())),
    }
}

fn change_servers(store: &mut Store, now: Moment, step: &Step) {
    let (servers, state) = match step {
        Step::FreezeOthers => (1..SERVERS, ServerState::Frozen),
        Step::ThawOthers => (1..SERVERS, ServerState::Up),
        Step::Stop => (0..1, ServerState::Down),
        _start => (0..1, ServerState::Up),
    };
    for server in servers {
        store.set_server(now, server, state);
    }
}

/// What the world would do by itself in the meantime: an election, and the leases that have run out.
fn settle(store: &mut Store, now: Moment, chance: &mut Stream) {
    if store.leader.is_none() && store.has_quorum() {
        store.elect(now, chance);
    }
    for lease in store.leases.ids() {
        store.expire(now, lease);
    }
}
