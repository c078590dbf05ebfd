//! One reading of the cluster's keys, interpreted. Knows nothing of how it was read or how old it is.

use crate::dcs::{KeyValue, LeaseId, Revision, Snapshot};
use crate::keys::{self, FailoverKey, HistoryKey, Status, SyncKey};
use crate::member::MemberData;
use crate::name::{MemberName, Term};
use crate::postgres::SystemId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

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
        let mut cluster = Cluster {
            revision: snapshot.revision,
            initialize: Initialize::Absent,
            leader: None,
            config: None,
            config_version: Revision(0),
            status: None,
            members: BTreeMap::new(),
            failover: None,
            failover_version: Revision(0),
            sync: SyncKey::default(),
            sync_version: Revision(0),
            history: None,
            history_text: None,
            unreadable: BTreeMap::new(),
        };
        for key in snapshot.keys.keys() {
            cluster.read_key(key, snapshot);
        }
        cluster
    }

    /// Makes this the reading of `snapshot`, in which only the keys of `changed` are other than before: the rest is not
    /// read anew for nothing.
    pub fn update<'a>(&mut self, snapshot: &Snapshot, changed: impl Iterator<Item = &'a String>) {
        self.revision = snapshot.revision;
        for key in changed {
            self.read_key(key, snapshot);
        }
    }

    /// Reads one key: new, changed or gone.
    fn read_key(&mut self, key: &str, snapshot: &Snapshot) {
        self.unreadable.remove(key);
        let kv = snapshot.keys.get(key);
        let version = kv.map_or(Revision(0), |kv| kv.modified);
        match key {
            keys::INITIALIZE => self.initialize = self.read_initialize(kv),
            keys::LEADER => self.leader = self.read_leader(kv),
            keys::CONFIG => {
                self.config = self.parsed(key, kv, object);
                self.config_version = version;
            }
            keys::STATUS | keys::OPTIME_LEADER => self.read_status(snapshot),
            keys::FAILOVER => {
                self.failover = self.read_failover(kv);
                self.failover_version = version;
            }
            keys::SYNC => {
                self.sync = self.parsed(key, kv, SyncKey::parse).unwrap_or_default();
                self.sync_version = version;
            }
            keys::HISTORY => {
                self.history = self.parsed(key, kv, HistoryKey::parse);
                self.history_text = kv.map(|kv| kv.value.clone());
            }
            other => self.read_member(other, kv),
        }
    }

    fn parsed<T>(
        &mut self,
        key: &str,
        kv: Option<&KeyValue>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let kv = kv?;
        let parsed = parse(&kv.value);
        if parsed.is_none() {
            self.note_unreadable(key, &kv.value);
        }
        parsed
    }

    fn note_unreadable(&mut self, key: &str, value: &str) {
        self.unreadable.insert(key.to_string(), shortened(value));
    }

    fn read_initialize(&mut self, kv: Option<&KeyValue>) -> Initialize {
        let Some(kv) = kv else {
            return Initialize::Absent;
        };
        let (text, version, lease) = (kv.value.trim(), kv.modified, kv.lease);
        if text.is_empty() {
            return Initialize::InProgress { version, lease };
        }
        // Ten digits and more: the least a system identifier made by initdb since 2001 can have.
        if text.len() >= 10 && text.bytes().all(|b| b.is_ascii_digit()) {
            return Initialize::Done(SystemId(text.to_string()));
        }
        self.note_unreadable(keys::INITIALIZE, text);
        Initialize::Unreadable(version)
    }

    fn read_leader(&mut self, kv: Option<&KeyValue>) -> Option<LeaderKey> {
        // An empty value still is somebody's key: nobody may race past it.
        let kv = kv?;
        if kv.value.is_empty() {
            self.note_unreadable(keys::LEADER, "");
        }
        Some(LeaderKey {
            owner: MemberName::from(kv.value.as_str()),
            lease: kv.lease,
            term: Term(kv.created.0),
            modified: kv.modified,
        })
    }

    fn read_status(&mut self, snapshot: &Snapshot) {
        let key = match snapshot.keys.contains_key(keys::STATUS) {
            true => keys::STATUS,
            false => keys::OPTIME_LEADER,
        };
        for either in [keys::STATUS, keys::OPTIME_LEADER] {
            self.unreadable.remove(either);
        }
        self.status = self.parsed(key, snapshot.keys.get(key), Status::parse);
    }

    fn read_failover(&mut self, kv: Option<&KeyValue>) -> Option<FailoverKey> {
        let kv = kv?;
        let parsed = FailoverKey::parse(&kv.value);
        let cleared = matches!(kv.value.trim(), "" | "{}" | "null");
        if parsed.is_none() && !cleared {
            self.note_unreadable(keys::FAILOVER, &kv.value);
        }
        parsed
    }

    fn read_member(&mut self, key: &str, kv: Option<&KeyValue>) {
        let name = key.strip_prefix(keys::MEMBERS);
        let Some(name) = name.filter(|name| !name.is_empty() && !name.contains('/')) else {
            return;
        };
        let name = MemberName::from(name);
        let Some(kv) = kv else {
            self.members.remove(&name);
            return;
        };
        let data = self.parsed(key, Some(kv), MemberData::parse);
        self.members.insert(name, data.unwrap_or_default());
    }

    pub fn is_unlocked(&self) -> bool {
        self.leader.is_none()
    }

    /// The leader's own member key, when both are there.
    pub fn leader_member(&self) -> Option<(&MemberName, &MemberData)> {
        self.members.get_key_value(&self.leader.as_ref()?.owner)
    }

    /// Members other than `me`.
    pub fn others<'a>(
        &'a self,
        me: &MemberName,
    ) -> impl Iterator<Item = (&'a MemberName, &'a MemberData)> {
        self.members.iter().filter(move |(name, _)| *name != me)
    }
}

fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Some(map),
        Ok(_) | Err(_) => None,
    }
}

fn shortened(value: &str) -> String {
    value.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::{collection, option, sample::select};

    fn key_value(value: &str, at: i64) -> KeyValue {
        KeyValue {
            value: value.into(),
            created: Revision(at),
            modified: Revision(at),
            lease: LeaseId(7),
        }
    }

    fn snapshot(pairs: &[(&str, &str)]) -> Snapshot {
        let keys = pairs
            .iter()
            .enumerate()
            .map(|(i, (k, v))| (k.to_string(), key_value(v, i as i64 + 1)))
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

    proptest! {
        #[test]
        fn a_reading_kept_up_to_date_is_the_same_as_one_read_anew(
            edits in collection::vec((select(KEYS), option::of(select(VALUES))), 1..60)
        ) {
            let mut snapshot = Snapshot::default();
            let mut kept = Cluster::read(&snapshot);
            for (n, (key, value)) in edits.into_iter().enumerate() {
                let at = Revision(n as i64 + 1);
                snapshot.revision = at;
                match value {
                    None => snapshot.keys.remove(key),
                    Some(value) => snapshot.keys.insert(key.to_string(), key_value(value, at.0)),
                };
                kept.update(&snapshot, [key.to_string()].iter());
                prop_assert_eq!(&kept, &Cluster::read(&snapshot), "after {:?} of {}", value, key);
            }
        }

        #[test]
        fn a_reading_taken_over_to_another_snapshot_is_the_same_as_one_read_anew(
            before in collection::btree_map(select(KEYS), (select(VALUES), 1..9i64), 0..9),
            after in collection::btree_map(select(KEYS), (select(VALUES), 1..9i64), 0..9),
        ) {
            let [before, after] = [before, after].map(|keys| Snapshot {
                revision: Revision(9),
                keys: keys.into_iter().map(|(key, (value, at))| (key.to_string(), key_value(value, at))).collect(),
            });
            let mut kept = Cluster::read(&before);
            kept.update(&after, after.differs_in(&before));
            prop_assert_eq!(&kept, &Cluster::read(&after));
        }
    }

    const KEYS: &[&str] = &[
        "initialize",
        "leader",
        "config",
        "status",
        "optime/leader",
        "failover",
        "sync",
        "history",
        "members/a",
        "members/b",
        "members/",
        "members/a/b",
        "other",
    ];
    const VALUES: &[&str] = &[
        "",
        "{}",
        "null",
        "{[",
        "a",
        "7711078574722072691",
        "12345",
        "{\"ttl\": 20}",
        "{\"member\": \"b\"}",
        "{\"optime\": 5}",
        "[[1, 2, \"x\"]]",
        "{\"state\": \"running\"}",
    ];

    #[test]
    fn deeper_keys_are_no_members() {
        assert!(
            Cluster::read(&snapshot(&[("members/a/b", "{}"), ("members/", "{}")]))
                .members
                .is_empty()
        );
    }
}
