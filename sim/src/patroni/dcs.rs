//! The store as Patroni uses etcd v3 (1.5, 1.8): one lease under the member key and the leader key, kept alive by the
//! leader in each loop; the leader key is written only to take it, compared by name only; every other write that fails is
//! simply not done. Knows nothing of what PostgreSQL is.

use super::asks::{Asks, Halt, Run};
use super::body::{member_key, same};
use super::keys::Seen;
use super::{lead, watchdog};
use std::sync::Arc;
use tanist_core::dcs::{LeaseId, Revision};
use tanist_core::name::MemberName;
use tanist_core::postgres::Observation;
use tanist_core::primitive::{
    Compare, Primitive, PrimitiveOutcome, PrimitiveReply, StoreOp, Transaction,
};
use tanist_core::time::{Mono, Span};

/// What became of the leader key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Mine,
    /// Somebody else's, by the store's verdict.
    Lost,
}

/// Reads the cluster from the watch's cache, and takes over what it says (T1, T2).
pub fn read_cluster(a: &mut Asks) -> Run<Arc<Seen>> {
    let retry = a.recall().tunes.retry_timeout;
    if !a.view(retry)? {
        return Err(Halt::StoreAway);
    }
    let kept = a.recall();
    let Some(view) = &kept.view else {
        return Err(Halt::StoreAway);
    };
    let seen = a.read(view);
    let now = a.now().wall;
    a.keep(|k| {
        k.store_seen = Some(now);
        if !seen.is_led_by(&k.me.name) {
            k.leads_until = None;
        }
        if !seen.is_unlocked() || k.old_members.is_empty() {
            k.old_members = Arc::clone(&seen.members);
        }
        if let Some(config) = &seen.config
            && *config != *k.config
        {
            k.config = Arc::new(config.clone());
            k.tunes = super::tunes::Tunes::read(config);
        }
    });
    Ok(seen)
}

/// All calls of one logical operation share a deadline.
fn deadline(a: &mut Asks) -> Mono {
    let retry = a.recall().tunes.retry_timeout;
    a.now().mono + retry
}

/// Grants a lease, or keeps the present one alive.
fn keep_lease(a: &mut Asks, until: Mono) -> Run<Option<LeaseId>> {
    let kept = a.recall();
    let ttl = kept.tunes.ttl;
    if let Some(lease) = kept.lease.filter(|_| kept.lease_ttl == ttl) {
        match a.call(Primitive::KeepAlive { lease }, until)? {
            PrimitiveOutcome::Ok(PrimitiveReply::KeptAlive { ttl: Some(_) }) => {
                let now = a.now().wall;
                a.keep(|k| k.lease_kept_at = Some(now));
                return Ok(Some(lease));
            }
            PrimitiveOutcome::Ok(_) | PrimitiveOutcome::LeaseNotFound => {
                a.keep(|k| k.lease = None);
            }
            PrimitiveOutcome::Denied(_) => return Ok(None),
            PrimitiveOutcome::NotSent(_) | PrimitiveOutcome::Unknown(_) => {
                return Err(Halt::StoreAway);
            }
        }
    }
    match a.call(Primitive::Grant { ttl }, until)? {
        PrimitiveOutcome::Ok(PrimitiveReply::Granted { lease, .. }) => {
            let now = a.now().wall;
            a.keep(|k| {
                k.lease = Some(lease);
                k.lease_ttl = ttl;
                k.lease_kept_at = Some(now);
            });
            Ok(Some(lease))
        }
        PrimitiveOutcome::Ok(_) | PrimitiveOutcome::LeaseNotFound | PrimitiveOutcome::Denied(_) => {
            Ok(None)
        }
        PrimitiveOutcome::NotSent(_) | PrimitiveOutcome::Unknown(_) => Err(Halt::StoreAway),
    }
}

fn put(key: &str, value: &str, lease: LeaseId) -> StoreOp {
    StoreOp::Put {
        key: key.into(),
        value: value.into(),
        lease,
    }
}

fn absent(key: &str) -> Compare {
    Compare::Created {
        key: key.into(),
        is: Revision(0),
    }
}

/// One transaction that either does all or nothing. `None`: the lease that it names is gone.
fn transact(
    a: &mut Asks,
    compare: Vec<Compare>,
    success: Vec<StoreOp>,
    until: Mono,
) -> Run<Option<bool>> {
    let transaction = Transaction {
        compare,
        success,
        failure: Vec::new(),
    };
    match a.call(Primitive::Transaction(transaction), until)? {
        PrimitiveOutcome::Ok(PrimitiveReply::Transaction { succeeded, .. }) => Ok(Some(succeeded)),
        PrimitiveOutcome::LeaseNotFound => Ok(None),
        PrimitiveOutcome::Ok(_) | PrimitiveOutcome::Denied(_) => Ok(Some(false)),
        PrimitiveOutcome::NotSent(_) | PrimitiveOutcome::Unknown(_) => Err(Halt::StoreAway),
    }
}

fn counts_as_leader(a: &mut Asks) {
    // From the answer, not from when the request was sent: up to a request longer than it may.
    let now = a.now().wall;
    a.keep(|k| k.leads_until = Some(now.plus(k.tunes.ttl)));
}

/// Takes the leader key if nobody has it. After a lost answer its own key stands in the way: reported as lost, and found
/// to be its own by the next loop.
pub fn acquire(a: &mut Asks) -> Run<bool> {
    let until = deadline(a);
    for _attempt in 0..2 {
        let Some(lease) = keep_lease(a, until)? else {
            return Ok(false);
        };
        let name = a.recall().me.name.0.clone();
        let take = put("leader", &name, lease);
        match transact(a, vec![absent("leader")], vec![take], until)? {
            Some(true) => {
                counts_as_leader(a);
                return Ok(true);
            }
            Some(false) => return Ok(false),
            None => a.keep(|k| k.lease = None),
        }
    }
    Ok(false)
}

/// Keeps the leader key: the lease is the lock. Where the key is bound to another lease it is written anew, if it is still
/// this name's, or nobody's.
fn renew(a: &mut Asks, seen: &Seen) -> Run<Held> {
    let until = deadline(a);
    let Some(lease) = keep_lease(a, until)? else {
        return Ok(Held::Lost);
    };
    if seen.leader_lease != lease {
        let name = a.recall().me.name.0.clone();
        let mine = Compare::Value {
            key: "leader".into(),
            is: name.clone(),
        };
        let take = || vec![put("leader", &name, lease)];
        let mut held = transact(a, vec![mine], take(), until)? == Some(true);
        if !held {
            held = transact(a, vec![absent("leader")], take(), until)? == Some(true);
        }
        if !held {
            return Ok(Held::Lost);
        }
    }
    counts_as_leader(a);
    Ok(Held::Mine)
}

/// And the watchdog, once it is confirmed (2.24).
pub fn refresh(a: &mut Asks, seen: &Seen) -> Run<Held> {
    let held = renew(a, seen)?;
    if held == Held::Mine {
        watchdog::keep_alive(a)?;
    }
    Ok(held)
}

/// The same, and between the two what a leader tells with it.
pub fn refresh_and_tell(a: &mut Asks, seen: &Seen, here: &Observation) -> Run<Held> {
    let held = renew(a, seen)?;
    if held == Held::Lost {
        return Ok(held);
    }
    if let Some(status) = lead::status(a, seen, here)
        && seen.status.as_ref() != Some(&status)
    {
        write(a, "status", &status)?;
    }
    watchdog::keep_alive(a)?;
    Ok(held)
}

/// Unconditional, and if it fails it is not done.
pub fn write(a: &mut Asks, key: &str, value: &str) -> Run<bool> {
    write_if(a, key, value, Vec::new())
}

pub fn create(a: &mut Asks, key: &str, value: &str) -> Run<bool> {
    write_if(a, key, value, vec![absent(key)])
}

pub fn write_at(a: &mut Asks, key: &str, value: &str, version: Revision) -> Run<bool> {
    let is = version;
    let key_now = key.to_string();
    write_if(a, key, value, vec![Compare::Modified { key: key_now, is }])
}

fn write_if(a: &mut Asks, key: &str, value: &str, compare: Vec<Compare>) -> Run<bool> {
    let until = deadline(a);
    match transact(a, compare, vec![put(key, value, LeaseId::NONE)], until) {
        Err(Halt::Waits) => Err(Halt::Waits),
        Err(Halt::StoreAway) => Ok(false),
        Ok(done) => Ok(done == Some(true)),
    }
}

pub fn delete(a: &mut Asks, key: &str) -> Run<()> {
    let until = deadline(a);
    let delete = StoreOp::Delete { key: key.into() };
    match transact(a, Vec::new(), vec![delete], until) {
        Err(Halt::Waits) => Err(Halt::Waits),
        Err(Halt::StoreAway) | Ok(_) => Ok(()),
    }
}

/// After it has founded the cluster: unconditional.
pub fn take_leader(a: &mut Asks) -> Run<bool> {
    let until = deadline(a);
    let Some(lease) = keep_lease(a, until)? else {
        return Ok(false);
    };
    let name = a.recall().me.name.0.clone();
    let taken = transact(a, Vec::new(), vec![put("leader", &name, lease)], until)?;
    if taken == Some(true) {
        counts_as_leader(a);
    }
    Ok(taken == Some(true))
}

/// Gives the key away: first where its WAL ends, for who will compare with it.
pub fn release(a: &mut Asks, optime: Option<u64>) -> Run<()> {
    a.keep(|k| k.leads_until = None);
    if let Some(optime) = optime {
        let status = serde_json::json!({ "optime": optime }).to_string();
        write(a, "status", &status)?;
    }
    let until = deadline(a);
    let name = a.recall().me.name.0.clone();
    let mine = Compare::Value {
        key: "leader".into(),
        is: name,
    };
    let delete = StoreOp::Delete {
        key: "leader".into(),
    };
    match transact(a, vec![mine], vec![delete], until) {
        Err(Halt::Waits) => Err(Halt::Waits),
        Err(Halt::StoreAway) | Ok(_) => Ok(()),
    }
}

/// Its member key: skipped while value and lease are the same (1.5); otherwise written, bound to the lease.
pub fn touch(a: &mut Asks, here: &Observation) -> Run<()> {
    match touched(a, here) {
        Err(Halt::Waits) => Err(Halt::Waits),
        Err(Halt::StoreAway) | Ok(()) => Ok(()),
    }
}

fn touched(a: &mut Asks, here: &Observation) -> Run<()> {
    let until = deadline(a);
    let kept = a.recall();
    let due = kept.lease_kept_at.is_none_or(|at| {
        let rest = kept.tunes.loop_wait.saturating_sub(Span::millis(500));
        at.plus(rest) <= a.now().wall
    });
    let fits = kept.lease_ttl == kept.tunes.ttl;
    let lease = match kept.lease.filter(|_| !due && fits) {
        Some(lease) => Some(lease),
        None => keep_lease(a, until)?,
    };
    let Some(lease) = lease else {
        return Ok(());
    };
    let kept = a.recall();
    let text = member_key(&kept, here);
    let key = path_of(&kept.me.name);
    let written = kept.view.as_ref().and_then(|view| view.keys.get(&key));
    if written.is_some_and(|kv| kv.lease == lease && same(&kv.value, &text)) {
        return Ok(());
    }
    if transact(a, Vec::new(), vec![put(&key, &text, lease)], until)?.is_none() {
        a.keep(|k| k.lease = None);
    }
    Ok(())
}

fn path_of(name: &MemberName) -> String {
    format!("members/{name}")
}
