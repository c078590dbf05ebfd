//! What the core says to the store and hears from it: one vocabulary for etcd, Consul, ZooKeeper and the rest.
//! Knows nothing of endpoints, retries or wire formats.
//!
//! Every completion carries the instant at which the request that produced it was *sent*, since a lease
//! counts from there, and one of the outcome classes below. `Unknown` (sent, no verdict) is an outcome of
//! its own: the write may have been applied, or may be applied later.

use crate::name::{MemberName, OpId, Term};
use crate::time::{Mono, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The store's counter of writes. A key's version is the revision of its last write; 0 means absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision(pub i64);

/// A lease or session of the store. 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseId(pub i64);

impl LeaseId {
    pub const NONE: LeaseId = LeaseId(0);
}

/// One key below the cluster's base path, as the store holds it.
/// The value is text; bytes that are not UTF-8 arrive as U+FFFD and are then an unreadable value, never a panic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    pub value: String,
    pub created: Revision,
    pub modified: Revision,
    pub lease: LeaseId,
}

/// All keys of the cluster at one revision, by their path below the base (`leader`, `members/a`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub revision: Revision,
    pub keys: BTreeMap<String, KeyValue>,
}

impl Snapshot {
    /// The keys that are new, other or gone since `before`.
    pub fn differs_in<'a>(&'a self, before: &'a Snapshot) -> impl Iterator<Item = &'a String> {
        let as_before = |key: &String, kv: &KeyValue| before.keys.get(key) == Some(kv);
        let keys = self.keys.iter();
        let changed = keys.filter(move |(key, kv)| !as_before(key, kv));
        let gone = before.keys.keys();
        let gone = gone.filter(|key| !self.keys.contains_key(*key));
        changed.map(|(key, _)| key).chain(gone)
    }
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consistency {
    /// Through the store's quorum: nothing newer was committed before the request was sent.
    Linearizable,
    /// Whatever the asked member holds: may be old.
    Cached,
}

/// What must hold for a write to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precondition {
    None,
    Absent,
    /// The key's last write is this revision.
    Version(Revision),
}

impl Precondition {
    /// Nobody has changed the key since it was seen at `version`; 0 means that it was not there.
    pub fn unchanged_since(version: Revision) -> Precondition {
        if version.0 == 0 {
            Precondition::Absent
        } else {
            Precondition::Version(version)
        }
    }
}

/// What the leader key's acquisition also depends on: the versions of the keys that the decision was
/// made from (0 = the key was absent). The key itself must be absent in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    pub sync: Revision,
    pub failover: Revision,
    /// Each promotion changes it: who decided before one does not know of what was written since.
    pub history: Revision,
    /// A founder's claim, the key `initialize`: gone or replaced, it would take the key of somebody else's cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Revision>,
}

/// Requests to the store. Each is tried until it has a verdict or `until` is reached, never longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DcsRequest {
    /// Read all keys.
    Snapshot { consistency: Consistency },
    /// Make sure a session with this ttl exists (grant, or keep alive the one we have): `Session`.
    KeepSession { ttl: Span },
    /// Take over the session of an earlier life of this process, if it is still alive: `Session`.
    ResumeSession { lease: LeaseId, ttl: Span },
    /// Keep the session alive, then prove by one transaction that the leader key is mine and bound to
    /// my session; write `status` in the same transaction when given: `Renewed`.
    Renew {
        owner: MemberName,
        ttl: Span,
        status: Option<String>,
    },
    /// Create the leader key, bound to my session, only if it is absent and `guard` holds: `Acquired`.
    /// Acquiring renews nothing: the lease counts from the session's last confirmed renewal.
    Acquire {
        owner: MemberName,
        ttl: Span,
        guard: Guard,
    },
    /// Write `status` when given, then delete the leader key if it is still mine since `term`: `Released`.
    /// One that is applied late must not take away a key that I have acquired anew since.
    Release {
        owner: MemberName,
        term: Term,
        status: Option<String>,
    },
    /// Write one key: `Written`. `with_session` binds it to my session.
    Put {
        key: String,
        value: String,
        precondition: Precondition,
        with_session: bool,
    },
    /// Delete one key: `Written`.
    Delete {
        key: String,
        precondition: Precondition,
    },
}

/// The store's verdict in our favour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DcsReply {
    Snapshot(Snapshot),
    Session(Session),
    /// The session was renewed; what the leader key was at that instant.
    Renewed {
        session: Session,
        owner: KeyOwner,
        revision: Revision,
    },
    /// The key is mine since `term`.
    Acquired {
        session: Session,
        term: Term,
        revision: Revision,
    },
    Released {
        revision: Revision,
    },
    Written {
        revision: Revision,
    },
}

/// A live session of mine, as the store granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub lease: LeaseId,
    /// Granted, which may differ from what was asked.
    pub ttl: Span,
    /// When the last *confirmed* grant or keep-alive was sent, whoever sent it.
    pub renewed_at: Mono,
}

/// What a look at the leader key showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOwner {
    /// My name, bound to my session.
    Mine {
        term: Term,
    },
    /// My name, but bound to a session that is not mine: an earlier life of mine, or a namesake.
    MyNameOtherSession {
        lease: LeaseId,
    },
    Other {
        name: MemberName,
    },
    Absent,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DcsOutcome {
    Ok(DcsReply),
    /// A precondition was false; not applied. For `Acquire` with what stands in the way.
    Conflict {
        owner: KeyOwner,
    },
    /// My session does not exist (any more); not applied.
    SessionGone,
    /// Credentials, permission or quota; not applied, and repeating it will not help.
    Denied(String),
    /// No endpoint took the request; not applied.
    NotSent(String),
    /// Sent, no verdict: it may have been applied or may still be.
    Unknown(String),
}

/// What comes from the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DcsInput {
    /// A request has ended. `sent_at`: just before the first byte of the attempt that produced the
    /// outcome; `maybe_since`: the same of the earliest attempt of this request that had no verdict.
    Completed {
        op: OpId,
        sent_at: Mono,
        maybe_since: Option<Mono>,
        outcome: DcsOutcome,
    },
    /// The watch began anew from a whole (cached) reading.
    Listed { snapshot: Snapshot },
    /// The watch saw keys change. `None`: deleted.
    Changed {
        revision: Revision,
        changes: BTreeMap<String, Option<KeyValue>>,
    },
    /// The watch is broken; what is known ages until `Listed`.
    WatchLost { why: String },
}
