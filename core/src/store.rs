//! What this agent knows of the cluster's keys, and how fresh that is.
//! Never goes back: an older reading is ignored unless the store's quorum itself says that it is the newest.

use crate::cluster::{Cluster, LeaderKey};
use crate::config::Config;
use crate::dcs::{DcsInput, KeyValue, LeaseId, Revision, Snapshot};
use crate::keys;
use crate::name::{MemberName, OpId};
use crate::note::Note;
use crate::time::{Mono, Now};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why the leader key is absent, as far as the keys tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vacancy {
    /// Never seen otherwise, or the lease ran out (the owner's member key went with it).
    Expired,
    /// Given up by its owner: the final position was written with or just before the deletion.
    Released,
    /// Deleted while its owner's session lives on.
    Deleted,
}

/// The revision that a verdict named, and when it was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub revision: Revision,
    pub at: Mono,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    snapshot: Snapshot,
    #[serde(with = "shared")]
    pub cluster: Option<Arc<Cluster>>,
    /// The last good configuration; stays in force when the key vanishes or is garbled.
    pub config: Config,
    /// The store's last verdict or message.
    pub seen: Option<Now>,
    /// Send time of the newest reading through the quorum.
    pub confirmed: Option<Mono>,
    /// When the present reading was folded in: a quorum reading sent after it is at least as new.
    changed_at: Mono,
    /// A later verdict had a lower revision than this reading: the store went back (wiped, restored), and the reading is
    /// of the one before. Until the quorum was read again it proves nothing.
    pub outdated: bool,
    /// The watch started anew from a reading older than the known one, and when. What it tells from then on continues
    /// that one: a member of the store that lags, or another store. Which it is, only the quorum can tell.
    older: Option<(Mono, Snapshot)>,
    pub read_op: Option<OpId>,
    pub watching: bool,
    /// Since when no leader key is seen, and why.
    pub vacant: Option<(Mono, Vacancy)>,
    pub last_leader: Option<LeaderKey>,
    /// Since when `last_leader` is known to lead.
    pub leader_since: Mono,
    told: BTreeMap<String, String>,
    told_complaints: Vec<String>,
}

impl Store {
    /// The watch started anew from a cached reading.
    pub fn listed(&mut self, now: Now, snapshot: Snapshot, fast: bool, notes: &mut Vec<Note>) {
        self.watching = true;
        if snapshot.revision < self.snapshot.revision {
            self.confirmed = None;
            self.older = Some((now.mono, snapshot));
            return;
        }
        self.older = None;
        self.seen = Some(now);
        self.replace(now, snapshot, fast, notes);
    }

    pub fn watch_lost(&mut self) {
        self.watching = false;
        self.older = None;
    }

    /// A reading through the quorum: the newest there is, even if its revision is lower (wiped or restored store).
    pub fn read(
        &mut self,
        now: Now,
        sent_at: Mono,
        snapshot: Snapshot,
        fast: bool,
        notes: &mut Vec<Note>,
    ) {
        self.seen = Some(now);
        let snapshot = match self.older.take() {
            // Whose reading it is that the watch goes on from, this one cannot tell: it was asked for before.
            Some((since, older)) if sent_at <= since => {
                self.older = Some((since, older));
                snapshot
            }
            // Overtaken on its way by what the watch told since.
            Some((_, older)) if older.revision > snapshot.revision => {
                return self.settle(now, sent_at, older, fast, notes);
            }
            Some(_) => return self.settle(now, sent_at, snapshot, fast, notes),
            None => snapshot,
        };
        // Sent before the watch told of something newer: merely late. Sent after it and yet older: the store
        // itself went back (wiped, restored), and that is the truth now.
        if snapshot.revision < self.snapshot.revision && sent_at <= self.changed_at {
            // Overtaken on its way by a change that the watch told since: what is known holds all that the quorum
            // had when it was asked, and more.
            if sent_at < self.changed_at {
                self.confirm(sent_at);
            }
            return;
        }
        self.settle(now, sent_at, snapshot, fast, notes);
    }

    /// This is what the store holds, by the word of its quorum.
    fn settle(
        &mut self,
        now: Now,
        sent_at: Mono,
        snapshot: Snapshot,
        fast: bool,
        notes: &mut Vec<Note>,
    ) {
        self.confirm(sent_at);
        self.outdated = false;
        self.replace(now, snapshot, fast, notes);
    }

    /// A verdict on a request that was sent at `sent_at`.
    pub fn answered(&mut self, sent_at: Mono, revision: Revision) {
        if sent_at > self.changed_at && revision < self.snapshot.revision {
            self.outdated = true;
            self.confirmed = None;
        }
    }

    fn confirm(&mut self, sent_at: Mono) {
        if self.older.is_none() && self.confirmed.is_none_or(|at| at < sent_at) {
            self.confirmed = Some(sent_at);
        }
    }

    pub fn changed(
        &mut self,
        now: Now,
        revision: Revision,
        changes: BTreeMap<String, Option<KeyValue>>,
        fast: bool,
        notes: &mut Vec<Note>,
    ) {
        self.seen = Some(now);
        if let Some((_, older)) = &mut self.older {
            apply(older, revision, changes);
            return;
        }
        if revision <= self.snapshot.revision {
            return;
        }
        let before = self.snapshot.revision;
        let changed: Vec<String> = changes.keys().cloned().collect();
        apply(&mut self.snapshot, revision, changes);
        let Some(mut cluster) = self.cluster.take() else {
            let cluster = Cluster::read(&self.snapshot);
            return self.learn(now, before, None, cluster.into(), fast, notes);
        };
        let leader = cluster.leader.clone();
        Arc::make_mut(&mut cluster).update(&self.snapshot, changed.iter());
        self.learn(now, before, leader, cluster, fast, notes);
    }

    /// This snapshot instead of the one before.
    fn replace(&mut self, now: Now, snapshot: Snapshot, fast: bool, notes: &mut Vec<Note>) {
        let before = std::mem::replace(&mut self.snapshot, snapshot);
        let Some(mut cluster) = self.cluster.take() else {
            let cluster = Cluster::read(&self.snapshot);
            return self.learn(now, before.revision, None, cluster.into(), fast, notes);
        };
        let leader = cluster.leader.clone();
        // Of most keys it says what the former said.
        let changed = self.snapshot.differs_in(&before);
        Arc::make_mut(&mut cluster).update(&self.snapshot, changed);
        self.learn(now, before.revision, leader, cluster, fast, notes);
    }

    /// What the snapshot says, now that it is another one: `before` and `leader` are what the former said.
    fn learn(
        &mut self,
        now: Now,
        before: Revision,
        leader: Option<LeaderKey>,
        cluster: Arc<Cluster>,
        fast: bool,
        notes: &mut Vec<Note>,
    ) {
        self.follow_leader(now, before, leader, &cluster, notes);
        self.tell_unreadable(&cluster, notes);
        // With fast timing asked for, what is in force also depends on who the members are.
        let news = |stored: &Map<String, Value>| fast || self.config.stored != *stored;
        if let Some(stored) = cluster.config.as_ref().filter(|stored| news(stored)) {
            self.config = Config::read(stored, fast && all_tanist(&cluster));
            if self.config.complaints != self.told_complaints {
                self.told_complaints = self.config.complaints.clone();
                notes.extend(
                    self.told_complaints
                        .iter()
                        .map(|c| Note::ConfigComplaint { what: c.clone() }),
                );
            }
        }
        self.changed_at = now.mono;
        self.cluster = Some(cluster);
    }

    fn follow_leader(
        &mut self,
        now: Now,
        before: Revision,
        leader: Option<LeaderKey>,
        cluster: &Cluster,
        notes: &mut Vec<Note>,
    ) {
        if owner(&leader) != owner(&cluster.leader) {
            notes.push(Note::LeaderChanged {
                from: owner(&leader).cloned(),
                to: owner(&cluster.leader).cloned(),
            });
        }
        match &cluster.leader {
            Some(leader) => {
                self.vacant = None;
                let known = self.last_leader.as_ref();
                if known.is_none_or(|k| (&k.owner, k.term) != (&leader.owner, leader.term)) {
                    self.leader_since = now.mono;
                }
                if known != Some(leader) {
                    self.last_leader = Some(leader.clone());
                }
            }
            None if self.vacant.is_none() => {
                let why = leader.map_or(Vacancy::Expired, |gone| self.why_vacant(&gone, before));
                self.vacant = Some((now.mono, why));
            }
            None => {}
        }
    }

    /// A release writes the final position in the same step (Tanist) or just before (Patroni, whose member
    /// key then says that it is stopping); an expiry takes the owner's member key along.
    fn why_vacant(&self, gone: &LeaderKey, before: Revision) -> Vacancy {
        let keys = &self.snapshot.keys;
        let status = keys.get(keys::STATUS).map(|kv| kv.modified);
        let member = keys.get(&keys::member_key(&gone.owner));
        let Some(member) = member.filter(|m| gone.lease == LeaseId::NONE || m.lease == gone.lease)
        else {
            return Vacancy::Expired;
        };
        let with_final_position = status.is_some_and(|at| at > before);
        let stopping = ["\"stopping\"", "\"stopped\"", "\"demoted\""]
            .iter()
            .any(|word| member.value.contains(word));
        if with_final_position || stopping {
            Vacancy::Released
        } else {
            Vacancy::Deleted
        }
    }

    fn tell_unreadable(&mut self, cluster: &Cluster, notes: &mut Vec<Note>) {
        for (key, value) in &cluster.unreadable {
            if self.told.get(key) != Some(value) {
                notes.push(Note::Unreadable {
                    key: key.clone(),
                    value: value.clone(),
                });
            }
        }
        self.told = cluster.unreadable.clone();
    }

    pub fn revision(&self) -> Revision {
        self.snapshot.revision
    }

    /// Does the present view show what this verdict was of, or what came after it? Revisions alone do not tell: a store
    /// that was wiped or restored counts anew, and the quorum's word that was asked for later is the later one.
    pub fn shows(&self, heard: Heard) -> bool {
        let asked_later = self.confirmed.is_some_and(|sent_at| sent_at > heard.at);
        self.revision() >= heard.revision || asked_later
    }

    pub fn value(&self, key: &str) -> Option<&KeyValue> {
        self.snapshot.keys.get(key)
    }

    pub fn leader(&self) -> Option<&LeaderKey> {
        self.cluster.as_ref()?.leader.as_ref()
    }

    pub fn led_by(&self, name: &MemberName) -> bool {
        self.leader().is_some_and(|key| key.owner == *name)
    }
}

fn owner(key: &Option<LeaderKey>) -> Option<&MemberName> {
    key.as_ref().map(|key| &key.owner)
}

fn apply(snapshot: &mut Snapshot, revision: Revision, changes: BTreeMap<String, Option<KeyValue>>) {
    if revision <= snapshot.revision {
        return;
    }
    snapshot.revision = revision;
    for (key, change) in changes {
        match change {
            Some(kv) => snapshot.keys.insert(key, kv),
            None => snapshot.keys.remove(&key),
        };
    }
}

/// Fast timing is unsafe for a Patroni peer, whose own clocks and retries assume its floors.
fn all_tanist(cluster: &Cluster) -> bool {
    cluster.members.values().all(|m| m.is_tanist())
}

/// A reading is replaced as a whole, never changed: who needs it for longer shares it.
mod shared {
    use super::{Arc, Cluster};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(
        value: &Option<Arc<Cluster>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_deref().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Arc<Cluster>>, D::Error> {
        let value: Option<Cluster> = Option::deserialize(from)?;
        Ok(value.map(Arc::new))
    }
}

/// Does this input change what is known of the keys, rather than end a request?
pub fn is_watch(input: &DcsInput) -> bool {
    match input {
        DcsInput::Listed { .. } | DcsInput::Changed { .. } | DcsInput::WatchLost { .. } => true,
        DcsInput::Completed { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Span, Wall};

    fn at(seconds: u64) -> Now {
        Now {
            mono: Mono(0) + Span::secs(seconds),
            wall: Wall(0),
        }
    }

    fn revision(number: i64) -> Snapshot {
        Snapshot {
            revision: Revision(number),
            ..Snapshot::default()
        }
    }

    /// Seen: after two wipes of the store within a moment the leader asked for its key some hundred times a second,
    /// since its view was of the store in between.
    #[test]
    fn a_later_verdict_of_a_lower_revision_outdates_the_view_until_the_quorum_was_read() {
        let mut store = Store::default();
        let mut notes = Vec::new();
        store.read(at(1), at(0).mono, revision(6), false, &mut notes);
        store.answered(at(1).mono, Revision(3));
        assert!(
            !store.outdated,
            "sent before the view's last change, it may merely be late"
        );
        store.answered(at(2).mono, Revision(6));
        assert!(!store.outdated && store.confirmed.is_some());
        store.answered(at(2).mono, Revision(3));
        assert!(
            store.outdated && store.confirmed.is_none(),
            "the quorum has to be asked"
        );
        store.read(at(3), at(2).mono, revision(4), false, &mut notes);
        assert!(!store.outdated && store.revision() == Revision(4));
    }

    /// Seen: after three wipes within a minute two members took themselves for the leader and wrote over each other's
    /// history a thousand times a second, since the one had laid the new store's changes over the old one's keys.
    #[test]
    fn what_a_watch_tells_after_an_older_reading_is_not_laid_over_the_newer_one() {
        let mut store = Store::default();
        let mut notes = Vec::new();
        let value = KeyValue {
            value: String::new(),
            created: Revision(1),
            modified: Revision(1),
            lease: LeaseId::NONE,
        };
        let change = |key: &str| BTreeMap::from([(key.to_string(), Some(value.clone()))]);
        let keys = |store: &Store| store.snapshot.keys.keys().cloned().collect::<Vec<_>>();
        store.read(at(1), at(0).mono, revision(6), false, &mut notes);
        store.changed(at(1), Revision(7), change("old"), false, &mut notes);
        store.listed(at(2), revision(3), false, &mut notes);
        store.changed(at(3), Revision(8), change("new"), false, &mut notes);
        assert_eq!(keys(&store), ["old"], "until the quorum has spoken");
        // Overtaken on its way by the watch, which tells of the same store.
        store.read(at(4), at(3).mono, revision(5), false, &mut notes);
        assert_eq!(
            (keys(&store), store.revision()),
            (vec!["new".to_string()], Revision(8))
        );
        store.changed(at(5), Revision(9), change("next"), false, &mut notes);
        assert_eq!(keys(&store), ["new", "next"]);
    }
}
