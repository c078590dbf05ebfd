//! Which transaction proves each request, and what its answer says about the leader key.
//! Knows nothing of time, retries or sessions' lives.

use crate::dcs::{Guard, KeyOwner, KeyValue, LeaseId, Precondition, Revision};
use crate::keys::{FAILOVER, HISTORY, INITIALIZE, LEADER, STATUS, SYNC};
use crate::name::{MemberName, Term};
use crate::primitive::{Compare, StoreOp, Transaction};

/// What a look at the leader key shows to `me`, whose lease is `lease`.
pub fn owner_of(leader: Option<&KeyValue>, me: &MemberName, lease: LeaseId) -> KeyOwner {
    match leader {
        None => KeyOwner::Absent,
        Some(key) if key.value != me.0 => KeyOwner::Other {
            name: MemberName(key.value.clone()),
        },
        Some(key) if key.lease == lease && lease != LeaseId::NONE => KeyOwner::Mine {
            term: Term(key.created.0),
        },
        Some(key) => KeyOwner::MyNameOtherSession { lease: key.lease },
    }
}

/// Create the leader key if it is absent and what the decision was made from has not changed.
/// Its failure branch reads what stands in the way, in the same step of the store: after an attempt
/// without a verdict this very transaction, sent again, is the linearizable owner check.
pub(super) fn acquire(me: &MemberName, lease: LeaseId, guard: Guard) -> Transaction {
    let mut compare = vec![
        created(LEADER, Revision(0)),
        modified(SYNC, guard.sync),
        modified(FAILOVER, guard.failover),
        modified(HISTORY, guard.history),
    ];
    compare.extend(guard.claim.map(|claim| modified(INITIALIZE, claim)));
    let mut failure = vec![get(LEADER), get(SYNC), get(FAILOVER), get(HISTORY)];
    failure.extend(guard.claim.map(|_| get(INITIALIZE)));
    Transaction {
        compare,
        success: vec![put(LEADER, &me.0, lease)],
        failure,
    }
}

/// Prove that the leader key is mine and bound to my lease: a keep-alive alone proves nothing, since
/// the key may have been deleted, and old etcd acknowledges keep-alives of revoked leases.
pub(super) fn renew(me: &MemberName, lease: LeaseId, status: Option<&str>) -> Transaction {
    Transaction {
        compare: mine(me, lease),
        success: with_status(status, get(LEADER)),
        failure: vec![get(LEADER)],
    }
}

/// Bind the leader key from my former lease to my present one. The key's creation, and with it the
/// term, stays.
pub(super) fn rebind(
    me: &MemberName,
    from: LeaseId,
    to: LeaseId,
    status: Option<&str>,
) -> Transaction {
    let mut success = vec![put(LEADER, &me.0, to)];
    success.extend(with_status(status, get(LEADER)));
    Transaction {
        compare: mine(me, from),
        success,
        failure: vec![get(LEADER)],
    }
}

/// The status is written in the same step as the delete, and first: Patroni's candidates wake on the
/// delete and must find the shutdown position there.
pub(super) fn release(
    me: &MemberName,
    lease: LeaseId,
    term: Term,
    status: Option<&str>,
) -> Transaction {
    let mut compare = mine(me, lease);
    compare.push(created(LEADER, Revision(term.0)));
    Transaction {
        compare,
        success: with_status(
            status,
            StoreOp::Delete {
                key: LEADER.to_string(),
            },
        ),
        failure: vec![get(LEADER)],
    }
}

pub(super) fn write(
    key: &str,
    value: &str,
    lease: LeaseId,
    precondition: Precondition,
) -> Transaction {
    Transaction {
        compare: required(key, precondition),
        success: vec![put(key, value, lease)],
        failure: vec![get(key)],
    }
}

pub(super) fn delete(key: &str, precondition: Precondition) -> Transaction {
    Transaction {
        compare: required(key, precondition),
        success: vec![StoreOp::Delete {
            key: key.to_string(),
        }],
        failure: vec![get(key)],
    }
}

fn required(key: &str, precondition: Precondition) -> Vec<Compare> {
    match precondition {
        Precondition::None => vec![],
        Precondition::Absent => vec![created(key, Revision(0))],
        Precondition::Version(version) => vec![modified(key, version)],
    }
}

fn mine(me: &MemberName, lease: LeaseId) -> Vec<Compare> {
    vec![
        Compare::Value {
            key: LEADER.to_string(),
            is: me.0.clone(),
        },
        Compare::Lease {
            key: LEADER.to_string(),
            is: lease,
        },
    ]
}

fn with_status(status: Option<&str>, then: StoreOp) -> Vec<StoreOp> {
    let mut ops: Vec<StoreOp> = status
        .map(|status| put(STATUS, status, LeaseId::NONE))
        .into_iter()
        .collect();
    ops.push(then);
    ops
}

fn created(key: &str, is: Revision) -> Compare {
    Compare::Created {
        key: key.to_string(),
        is,
    }
}

fn modified(key: &str, is: Revision) -> Compare {
    Compare::Modified {
        key: key.to_string(),
        is,
    }
}

fn put(key: &str, value: &str, lease: LeaseId) -> StoreOp {
    StoreOp::Put {
        key: key.to_string(),
        value: value.to_string(),
        lease,
    }
}

fn get(key: &str) -> StoreOp {
    StoreOp::Get {
        key: key.to_string(),
    }
}
