//! The fake store: one linearizable order of writes behind several servers, with leases, watches and all
//! the unkindness of a real one. Time and chance are handed in; it sends nothing by itself.
//! Knows nothing of PostgreSQL or of what the keys mean.
//!
//! What it has: revisions and create/modify versions; transactions with four kinds of comparison; leases
//! timed by the store leader's clock, removed late by up to half a second, prolonged in full by an election;
//! servers that are down, frozen or cut off (stale cached reads, stalled watches, writes that may still be
//! committed later); a deposed leader that goes on acknowledging keep-alives; the old-leader-revokes bug;
//! quorum loss; denial of writes; wipe, roll-back, compaction, foreign edits of keys.

pub mod keys;
pub mod leases;
pub mod servers;
pub mod watch;

use crate::act::Switch;
use crate::moment::Moment;
use crate::streams::Stream;
use keys::{Applied, Keys};
use leases::Leases;
use servers::{Server, ServerState};
use std::collections::BTreeMap;
use tanist_core::dcs::{Consistency, KeyValue, LeaseId, Revision};
use tanist_core::primitive::{Primitive, PrimitiveOutcome, PrimitiveReply};
use tanist_core::time::Span;
use watch::ChangeLog;

/// How long a member takes to give up on a store that has no quorum (measured on etcd 3.4: 7.0 s).
pub const NO_QUORUM_ANSWER: Span = Span::secs(7);
/// etcd's default election timeout; also added to each lease when a new leader takes over.
pub const ELECTION_TIMEOUT: Span = Span::secs(1);
/// A deposed leader notices after about this long; until then it acknowledges keep-alives.
pub const DEPOSED_ACKS_FOR: Span = Span::secs(1);
/// etcd looks for expired leases twice a second.
pub const EXPIRY_SCAN: Span = Span::millis(500);

/// What a server does with a call that reached it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answers, after this much work.
    Answer {
        after: Span,
        outcome: PrimitiveOutcome,
    },
    /// The connection is refused: nothing listens.
    Refused,
    /// Taken, and never answered.
    Silence,
}

/// Changes that one step of the store made: a single revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub revision: Revision,
    pub keys: BTreeMap<String, Option<KeyValue>>,
}

/// A copy of everything, for `RollBack`.
#[derive(Clone, Debug)]
struct Saved {
    keys: Keys,
    leases: Leases,
}

#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) keys: Keys,
    pub(crate) leases: Leases,
    pub(crate) servers: Vec<Server>,
    /// `None`: an election is due.
    pub(crate) leader: Option<u8>,
    /// Who led before, and until when it still believes so.
    deposed: Option<(u8, Moment)>,
    elections: u64,
    pub(crate) log: ChangeLog,
    /// Proposed to a leader without quorum: may be committed when it regains one.
    limbo: Vec<Primitive>,
    saved: Option<Saved>,
    quorum_lost: bool,
    pub(crate) slow: Span,
    deny: Option<String>,
    pub(crate) old_leader_revokes: Switch,
}

impl Store {
    pub fn new(servers: u8) -> Store {
        let servers = servers.max(1);
        Store {
            keys: Keys::default(),
            leases: Leases::default(),
            servers: (0..servers).map(|_| Server::default()).collect(),
            leader: Some(0),
            deposed: None,
            elections: 0,
            log: ChangeLog::default(),
            limbo: Vec::new(),
            saved: None,
            quorum_lost: false,
            slow: Span::ZERO,
            deny: None,
            old_leader_revokes: Switch::Off,
        }
    }

    pub fn revision(&self) -> Revision {
        self.keys.revision
    }
    pub fn get(&self, key: &str) -> Option<&KeyValue> {
        self.keys.get(key)
    }
    pub fn keys(&self) -> &BTreeMap<String, KeyValue> {
        self.keys.all()
    }
    pub fn elections(&self) -> u64 {
        self.elections
    }
    pub fn lease_ttl(&self, lease: LeaseId) -> Option<Span> {
        self.leases.ttl(lease)
    }

    /// A call has reached `server`. `change` receives what it changed, if anything.
    pub fn call(
        &mut self,
        now: Moment,
        server: u8,
        call: &Primitive,
        chance: &mut Stream,
        change: &mut Option<Change>,
    ) -> Verdict {
        let work = self.slow + chance.span(Span::micros(300), Span::micros(1_500));
        let Some(asked) = self.servers.get(usize::from(server)) else {
            return Verdict::Refused;
        };
        match asked.state {
            ServerState::Down => return Verdict::Refused,
            ServerState::Frozen => return Verdict::Silence,
            ServerState::Up => {}
        }
        if let Primitive::ReadAll {
            consistency: Consistency::Cached,
        } = call
        {
            let snapshot = match &asked.held {
                Some(held) => held.snapshot(),
                None => self.keys.snapshot(),
            };
            return answer(work, PrimitiveReply::All(snapshot));
        }
        if let Some(outcome) = self.deposed_ack(now, server, call) {
            return Verdict::Answer {
                after: work,
                outcome,
            };
        }
        if asked.held.is_some() || !self.has_quorum() || self.leader.is_none() {
            self.keep_in_limbo(server, call, chance);
            let why = "etcdserver: request timed out".to_string();
            let after = NO_QUORUM_ANSWER + work;
            return Verdict::Answer {
                after,
                outcome: PrimitiveOutcome::Unknown(why),
            };
        }
        Verdict::Answer {
            after: work,
            outcome: self.execute(now, call, change),
        }
    }

    /// A leader that lost its followers acknowledges keep-alives for about an election timeout (seen on
    /// etcd 3.4.23). Harmless for the time, since the next leader starts every lease anew in full.
    fn deposed_ack(&self, now: Moment, server: u8, call: &Primitive) -> Option<PrimitiveOutcome> {
        let (old, until) = self.deposed?;
        let Primitive::KeepAlive { lease } = call else {
            return None;
        };
        if old != server || now >= until {
            return None;
        }
        let ttl = Some(self.leases.ttl(*lease)?);
        Some(PrimitiveOutcome::Ok(PrimitiveReply::KeptAlive { ttl }))
    }

    /// A leader that was cut off may have the write in its log: it is committed if that leader comes back
    /// as leader before another one overwrites the log.
    fn keep_in_limbo(&mut self, server: u8, call: &Primitive, chance: &mut Stream) {
        let is_write = matches!(call, Primitive::Transaction(_));
        if is_write && self.leader == Some(server) && self.limbo.len() < 8 && chance.chance(500) {
            self.limbo.push(call.clone());
        }
    }

    /// Executes `call` as the store's quorum does, and logs what changed.
    fn execute(
        &mut self,
        now: Moment,
        call: &Primitive,
        change: &mut Option<Change>,
    ) -> PrimitiveOutcome {
        match call {
            Primitive::Grant { ttl } => {
                if let Some(why) = &self.deny {
                    return PrimitiveOutcome::Denied(why.clone());
                }
                let (lease, ttl) = self.leases.grant(now, *ttl);
                PrimitiveOutcome::Ok(PrimitiveReply::Granted { lease, ttl })
            }
            Primitive::KeepAlive { lease } => {
                let ttl = self.leases.keep_alive(now, *lease);
                PrimitiveOutcome::Ok(PrimitiveReply::KeptAlive { ttl })
            }
            Primitive::ReadAll { .. } => {
                PrimitiveOutcome::Ok(PrimitiveReply::All(self.keys.snapshot()))
            }
            Primitive::Transaction(transaction) => {
                let leases = &self.leases;
                let denied = self.deny.as_deref();
                match self
                    .keys
                    .transact(transaction, |lease| leases.exists(lease), denied)
                {
                    Applied::LeaseNotFound => PrimitiveOutcome::LeaseNotFound,
                    Applied::Denied(why) => PrimitiveOutcome::Denied(why),
                    Applied::Verdict { reply, changed } => {
                        if let Some(made) = changed {
                            self.log.push(&made);
                            *change = Some(made);
                        }
                        PrimitiveOutcome::Ok(reply)
                    }
                }
            }
        }
    }

    /// Removes `lease` if its time is over, with all its keys, in one revision. `None` when it is not, or
    /// when nobody leads who could do it. Says also when to look again.
    pub fn expire(&mut self, now: Moment, lease: LeaseId) -> (Option<Change>, Option<Moment>) {
        let Some(expires_at) = self.leases.expires_at(lease) else {
            return (None, None);
        };
        if expires_at > now {
            return (None, Some(expires_at));
        }
        if self.leader.is_none() || !self.has_quorum() {
            return (None, Some(now + EXPIRY_SCAN));
        }
        (Some(self.revoke(lease)), None)
    }

    fn revoke(&mut self, lease: LeaseId) -> Change {
        self.leases.remove(lease);
        let change = self.keys.delete_bound_to(lease);
        self.log.push(&change);
        change
    }

    pub fn deny_writes(&mut self, why: Option<&str>) {
        self.deny = why.map(str::to_string);
    }
    pub fn save(&mut self) {
        self.saved = Some(Saved {
            keys: self.keys.clone(),
            leases: self.leases.clone(),
        });
    }
    /// Back to the saved state: revisions go backwards. Every lease in it starts anew, as after a restart.
    pub fn roll_back(&mut self, now: Moment) -> bool {
        let Some(saved) = self.saved.clone() else {
            return false;
        };
        self.keys = saved.keys;
        self.leases = saved.leases.numbering_after(&self.leases);
        self.leases.prolong_all(now, ELECTION_TIMEOUT);
        self.log = ChangeLog::default();
        self.forget_isolated();
        true
    }
    pub fn wipe(&mut self) {
        self.keys = Keys::default();
        self.leases = Leases::default().numbering_after(&self.leases);
        self.log = ChangeLog::default();
        self.forget_isolated();
    }
    /// An operator writes or deletes a key past everybody.
    pub fn edit(&mut self, key: &str, value: Option<&str>) -> Option<Change> {
        let change = self.keys.edit(key, value)?;
        self.log.push(&change);
        Some(change)
    }
}

fn answer(after: Span, reply: PrimitiveReply) -> Verdict {
    Verdict::Answer {
        after,
        outcome: PrimitiveOutcome::Ok(reply),
    }
}

#[cfg(test)]
mod tests;
