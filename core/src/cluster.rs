//! One reading of the cluster's keys, interpreted. Knows nothing of how it was read or how old it is.

use crate::dcs::{KeyValue, LeaseId, Revision, Snapshot};
use crate::keys::{self, FailoverKey, HistoryKey, Status, SyncKey};
use crate::member::MemberData;
use crate::name::{MemberName, Term};
use crate::postgres::SystemId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The leader key: who holds it, bound to which session, since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderKey {
    pub owner: MemberName,
    pub lease: LeaseId,
    pub term: Term,
    pub modified: Revision,
}

/// The `initialize` key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Initialize {
    Absent,
    /// Somebody is founding the cluster; a Tanist binds the key to its session until it has.
    InProgress {
        version: Revision,
        lease: LeaseId,
    },
    /// The cluster exists and has this system identifier.
    Done(SystemId),
    /// Neither empty nor a system identifier.
    Unreadable(Revision),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub revision: Revision,
    pub initialize: Initialize,
    pub leader: Option<LeaderKey>,
    /// `None`: absent or unreadable, so the last known one stays in force.
    pub config: Option<Map<String, Value>>,
    pub config_version: Revision,
    pub status: Option<Status>,
    pub members: BTreeMap<MemberName, MemberData>,
    pub failover: Option<FailoverKey>,
    pub failover_version: Revision,
    pub sync: SyncKey,
    pub sync_version: Revision,
    /// `None`: absent or unreadable.
    pub history: Option<HistoryKey>,
    pub history_text: Option<String>,
    /// Keys whose value makes no sense, by key.
    pub unreadable: BTreeMap<String, String>,
}

impl Cluster {
    pub fn read(snapshot: &Snapshot) -> Cluster {
        Cluster::interpret(Reader {
            snapshot,
            known: None,
            unreadable: BTreeMap::new(),
        })
    }

    /// The same reading after only the keys of `changed` have changed: members are not read anew for nothing.
    pub fn updated(&self, snapshot: &Snapshot, changed: &BTreeSet<String>) -> Cluster {
        Cluster::interpret(Reader {
            snapshot,
            known: Some((self, changed)),
            unreadable: BTreeMap::new(),
        })
    }

    fn interpret(mut reader: Reader<'_>) -> Cluster {
        let snapshot = reader.snapshot;
        let version = |key: &str| snapshot.keys.get(key).map_or(Revision(0), |kv| kv.modified);
        Cluster {
            revision: snapshot.revision,
            initialize: reader.initialize(),
            leader: reader.leader(),
            config: reader.config(),
            config_version: version(keys::CONFIG),
            status: reader.status(),
            members: reader.members(),
            failover: reader.failover(),
            failover_version: version(keys::FAILOVER),
            sync: reader.sync(),
            sync_version: version(keys::SYNC),
            history: reader.parsed(keys::HISTORY, HistoryKey::parse),
            history_text: snapshot.keys.get(keys::HISTORY).map(|kv| kv.value.clone()),
            unreadable: reader.unreadable,
        }
    }

    pub fn is_unlocked(&self) -> bool {
        self.leader.is_none()
    }

    /// The leader's own member key, when both are there.
    pub fn leader_member(&self) -> Option<(&MemberName, &MemberData)> {
        self.members.get_key_value(&self.leader.as_ref()?.owner)
    }

    /// Members other than `me`.
    pub fn others(&self, me: &MemberName) -> impl Iterator<Item = (&MemberName, &MemberData)> {
        let me = me.clone();
        self.members.iter().filter(move |(name, _)| **name != me)
    }
}

struct Reader<'a> {
    snapshot: &'a Snapshot,
    /// An earlier reading, and which keys have changed since.
    known: Option<(&'a Cluster, &'a BTreeSet<String>)>,
    unreadable: BTreeMap<String, String>,
}

impl Reader<'_> {
    fn get(&self, key: &str) -> Option<&KeyValue> {
        self.snapshot.keys.get(key)
    }

    fn parsed<T>(&mut self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let kv = self.snapshot.keys.get(key)?;
        let parsed = parse(&kv.value);
        if parsed.is_none() {
            self.unreadable
                .insert(key.to_string(), shortened(&kv.value));
        }
        parsed
    }

    fn initialize(&mut self) -> Initialize {
        let Some(kv) = self.get(keys::INITIALIZE) else {
            return Initialize::Absent;
        };
        let (text, version, lease) = (kv.value.trim().to_string(), kv.modified, kv.lease);
        if text.is_empty() {
            return Initialize::InProgress { version, lease };
        }
        // Ten digits and more: the least a system identifier made by initdb since 2001 can have.
        if text.len() >= 10 && text.bytes().all(|b| b.is_ascii_digit()) {
            return Initialize::Done(SystemId(text));
        }
        self.unreadable
            .insert(keys::INITIALIZE.into(), shortened(&text));
        Initialize::Unreadable(version)
    }

    fn leader(&mut self) -> Option<LeaderKey> {
        // An empty value still is somebody's key: nobody may race past it.
        let kv = self.get(keys::LEADER)?;
        let (owner, lease, term) = (
            MemberName::from(kv.value.as_str()),
            kv.lease,
            Term(kv.created.0),
        );
        let modified = kv.modified;
        if owner.as_str().is_empty() {
            self.unreadable.insert(keys::LEADER.into(), String::new());
        }
        Some(LeaderKey {
            owner,
            lease,
            term,
            modified,
        })
    }

    fn config(&mut self) -> Option<Map<String, Value>> {
        self.parsed(keys::CONFIG, |text| match serde_json::from_str(text) {
            Ok(Value::Object(m)) => Some(m),
            Ok(_) | Err(_) => None,
        })
    }

    fn status(&mut self) -> Option<Status> {
        if self.get(keys::STATUS).is_some() {
            return self.parsed(keys::STATUS, Status::parse);
        }
        self.parsed(keys::OPTIME_LEADER, Status::parse)
    }

    fn failover(&mut self) -> Option<FailoverKey> {
        let kv = self.get(keys::FAILOVER)?;
        let parsed = FailoverKey::parse(&kv.value);
        let cleared = matches!(kv.value.trim(), "" | "{}" | "null");
        let value = shortened(&kv.value);
        if parsed.is_none() && !cleared {
            self.unreadable.insert(keys::FAILOVER.into(), value);
        }
        parsed
    }

    fn sync(&mut self) -> SyncKey {
        self.parsed(keys::SYNC, SyncKey::parse).unwrap_or_default()
    }

    fn as_known(&self, key: &str, name: &MemberName) -> Option<MemberData> {
        let (known, changed) = self.known?;
        let readable = !known.unreadable.contains_key(key);
        let data = known
            .members
            .get(name)
            .filter(|_| readable && !changed.contains(key));
        data.cloned()
    }

    fn members(&mut self) -> BTreeMap<MemberName, MemberData> {
        let mut members = BTreeMap::new();
        for (key, kv) in &self.snapshot.keys {
            let Some(name) = key.strip_prefix(keys::MEMBERS) else {
                continue;
            };
            if name.is_empty() || name.contains('/') {
                continue;
            }
            let name = MemberName::from(name);
            let data = match self.as_known(key, &name) {
                Some(data) => data,
                None => MemberData::parse(&kv.value).unwrap_or_else(|| {
                    self.unreadable.insert(key.clone(), shortened(&kv.value));
                    MemberData::default()
                }),
            };
            members.insert(name, data);
        }
        members
    }
}

fn shortened(value: &str) -> String {
    value.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(pairs: &[(&str, &str)]) -> Snapshot {
        let kv = |value: &str, at: i64| KeyValue {
            value: value.into(),
            created: Revision(at),
            modified: Revision(at),
            lease: LeaseId(7),
        };
        let keys = pairs
            .iter()
            .enumerate()
            .map(|(i, (k, v))| (k.to_string(), kv(v, i as i64 + 1)))
            .collect();
        Snapshot {
            revision: Revision(99),
            keys,
        }
    }

    #[test]
    fn garbage_in_every_key_is_named_and_nothing_panics() {
        let every = [
            "config",
            "status",
            "failover",
            "sync",
            "history",
            "initialize",
            "members/a",
        ];
        let pairs: Vec<_> = every.iter().map(|k| (*k, "\u{fffd}{[")).collect();
        let cluster = Cluster::read(&snapshot(&pairs));
        assert_eq!(cluster.unreadable.len(), every.len());
        assert_eq!(cluster.config, None);
        assert!(matches!(cluster.initialize, Initialize::Unreadable(_)));
    }

    #[test]
    fn an_empty_leader_value_still_locks_the_cluster() {
        let cluster = Cluster::read(&snapshot(&[("leader", "")]));
        assert!(!cluster.is_unlocked());
    }

    #[test]
    fn an_empty_initialize_key_means_that_somebody_bootstraps() {
        assert!(matches!(
            Cluster::read(&snapshot(&[("initialize", "")])).initialize,
            Initialize::InProgress { .. }
        ));
        let done = Cluster::read(&snapshot(&[("initialize", "7711078574722072691")])).initialize;
        assert_eq!(
            done,
            Initialize::Done(SystemId("7711078574722072691".into()))
        );
    }

    #[test]
    fn deeper_keys_are_no_members() {
        assert!(
            Cluster::read(&snapshot(&[("members/a/b", "{}"), ("members/", "{}")]))
                .members
                .is_empty()
        );
    }
}
