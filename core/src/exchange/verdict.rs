//! What does a transaction's answer mean for the request, given that an earlier attempt of the same
//! request may have been applied unheard? Knows nothing of time and sends nothing.
//!
//! The trap this file exists for:
//! 1. The first attempt is applied, its answer is lost.
//! 2. The second attempt finds the precondition false, because of the first.
//! 3. Reported as a conflict, the winner would believe that it lost.

use super::transaction::owner_of;
use crate::dcs::{
    DcsOutcome, DcsReply, DcsRequest, Guard, KeyOwner, KeyValue, LeaseId, Precondition, Revision,
    Session,
};
use crate::keys::{FAILOVER, HISTORY, INITIALIZE, LEADER, SYNC};
use crate::name::{MemberName, Term};
use std::collections::BTreeMap;

/// Whether an earlier attempt of this request may have been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    NothingSent,
    InDoubt,
}

/// An executed transaction.
#[derive(Clone, Copy)]
pub(super) struct Answer<'a> {
    pub succeeded: bool,
    pub revision: Revision,
    pub got: &'a BTreeMap<String, Option<KeyValue>>,
}

impl Answer<'_> {
    fn key(&self, key: &str) -> Option<&KeyValue> {
        self.got.get(key).and_then(Option::as_ref)
    }

    fn version(&self, key: &str) -> Revision {
        self.key(key).map(|kv| kv.modified).unwrap_or_default()
    }
}

pub(super) enum Verdict {
    Done(DcsOutcome),
    /// The leader key is bound to my former lease: ask again in its name.
    MyFormerLease(LeaseId),
}

pub(super) fn acquire(
    answer: Answer<'_>,
    me: &MemberName,
    session: Session,
    guard: Guard,
    before: Before,
) -> DcsOutcome {
    let acquired = |term| {
        DcsOutcome::Ok(DcsReply::Acquired {
            session,
            term,
            revision: answer.revision,
        })
    };
    if answer.succeeded {
        return acquired(Term(answer.revision.0));
    }
    let owner = owner_of(answer.key(LEADER), me, session.lease);
    match (owner, before) {
        // The unheard attempt was the winner, and the guard held when it won.
        (KeyOwner::Mine { term }, Before::InDoubt) => acquired(term),
        // A former request of mine was applied late. Its guard is not known to be this one's, so it
        // counts only if this one's holds now.
        (KeyOwner::Mine { term }, Before::NothingSent) if guard_of(answer, guard) == guard => {
            acquired(term)
        }
        (KeyOwner::Absent, Before::InDoubt) if may_yet_hold(guard, answer) => DcsOutcome::Unknown(
            "the leader key is absent, and an earlier attempt to create it may still arrive"
                .to_string(),
        ),
        (owner, Before::NothingSent | Before::InDoubt) => DcsOutcome::Conflict { owner },
    }
}

/// The versions now of what `asked` names.
fn guard_of(answer: Answer<'_>, asked: Guard) -> Guard {
    Guard {
        sync: answer.version(SYNC),
        failover: answer.version(FAILOVER),
        history: answer.version(HISTORY),
        claim: asked.claim.map(|_| answer.version(INITIALIZE)),
    }
}

/// Whether `guard` can be true at some later time. Versions never come back, so an attempt that is
/// still under way is dead once a version it names has been left behind; absence can come back.
fn may_yet_hold(guard: Guard, answer: Answer<'_>) -> bool {
    let left_behind =
        |wanted: Revision, present: Revision| wanted != Revision(0) && wanted != present;
    let now = guard_of(answer, guard);
    let claim = guard.claim.zip(now.claim);
    !left_behind(guard.sync, now.sync)
        && !left_behind(guard.failover, now.failover)
        && !left_behind(guard.history, now.history)
        && !claim.is_some_and(|(wanted, present)| left_behind(wanted, present))
}

pub(super) fn renew(
    answer: Answer<'_>,
    me: &MemberName,
    session: Session,
    retired: Option<LeaseId>,
) -> Verdict {
    match owner_of(answer.key(LEADER), me, session.lease) {
        KeyOwner::MyNameOtherSession { lease } if Some(lease) == retired => {
            Verdict::MyFormerLease(lease)
        }
        owner => Verdict::Done(DcsOutcome::Ok(DcsReply::Renewed {
            session,
            owner,
            revision: answer.revision,
        })),
    }
}

pub(super) fn release(
    answer: Answer<'_>,
    me: &MemberName,
    lease: LeaseId,
    retired: Option<LeaseId>,
    before: Before,
) -> Verdict {
    let released = DcsOutcome::Ok(DcsReply::Released {
        revision: answer.revision,
    });
    if answer.succeeded {
        return Verdict::Done(released);
    }
    match (owner_of(answer.key(LEADER), me, lease), before) {
        (KeyOwner::MyNameOtherSession { lease: other }, _)
            if Some(other) == retired && other != lease =>
        {
            Verdict::MyFormerLease(other)
        }
        // Mine no longer: by the unheard attempt or in another way, the key is released.
        (KeyOwner::Absent | KeyOwner::Other { .. }, Before::InDoubt) => Verdict::Done(released),
        (owner, Before::NothingSent | Before::InDoubt) => {
            Verdict::Done(DcsOutcome::Conflict { owner })
        }
    }
}

/// What a put wanted to leave behind.
pub(super) struct Wanted<'a> {
    pub key: &'a str,
    pub value: &'a str,
    pub lease: LeaseId,
    pub precondition: Precondition,
}

pub(super) fn put(answer: Answer<'_>, wanted: &Wanted<'_>, before: Before) -> DcsOutcome {
    let written = |revision| DcsOutcome::Ok(DcsReply::Written { revision });
    if answer.succeeded {
        return written(answer.revision);
    }
    let found = answer.key(wanted.key).filter(|found| {
        found.value == wanted.value
            && found.lease == wanted.lease
            && found.modified > version_before(wanted.precondition)
    });
    match (found, before) {
        // The initialize key names nobody: equal bytes may be another founder's.
        (Some(_), Before::InDoubt) if wanted.key == INITIALIZE => DcsOutcome::Unknown(
            "the initialize key exists, and it cannot be told whose it is".to_string(),
        ),
        // Another writer of the same bytes is as good as we are.
        (Some(found), Before::InDoubt) => written(found.modified),
        (Some(_), Before::NothingSent) | (None, Before::NothingSent | Before::InDoubt) => {
            refused_write()
        }
    }
}

pub(super) fn delete(answer: Answer<'_>, key: &str, before: Before) -> DcsOutcome {
    if answer.succeeded || (before == Before::InDoubt && answer.key(key).is_none()) {
        return DcsOutcome::Ok(DcsReply::Written {
            revision: answer.revision,
        });
    }
    refused_write()
}

/// A put or delete does not look at the leader key; its conflict has no owner to name.
fn refused_write() -> DcsOutcome {
    DcsOutcome::Conflict {
        owner: KeyOwner::Absent,
    }
}

fn version_before(precondition: Precondition) -> Revision {
    match precondition {
        Precondition::None | Precondition::Absent => Revision(0),
        Precondition::Version(version) => version,
    }
}

/// Whether an attempt of this request, applied unheard, leaves something that a later verdict of
/// "refused" would deny.
pub(super) fn leaves_a_mark(request: &DcsRequest) -> bool {
    match request {
        DcsRequest::Acquire { .. }
        | DcsRequest::Release { .. }
        | DcsRequest::Put { .. }
        | DcsRequest::Delete { .. } => true,
        DcsRequest::Snapshot { .. }
        | DcsRequest::KeepSession { .. }
        | DcsRequest::ResumeSession { .. }
        | DcsRequest::Renew { .. } => false,
    }
}
