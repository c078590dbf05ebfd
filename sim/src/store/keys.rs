//! The keys of the store, their versions, and the transactions that change them in one step.
//! Knows nothing of servers, time or leases beyond their numbers.

use super::Change;
use std::collections::BTreeMap;
use tanist_core::dcs::{KeyValue, LeaseId, Revision, Snapshot};
use tanist_core::primitive::{Compare, PrimitiveReply, StoreOp, Transaction};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub revision: Revision,
    keys: BTreeMap<String, KeyValue>,
}

impl Default for Keys {
    /// etcd's first revision is 1.
    fn default() -> Keys {
        Keys {
            revision: Revision(1),
            keys: BTreeMap::new(),
        }
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    Verdict {
        reply: PrimitiveReply,
        changed: Option<Change>,
    },
    LeaseNotFound,
    Denied(String),
}

impl Keys {
    pub fn get(&self, key: &str) -> Option<&KeyValue> {
        self.keys.get(key)
    }
    pub fn all(&self) -> &BTreeMap<String, KeyValue> {
        &self.keys
    }
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            revision: self.revision,
            keys: self.keys.clone(),
        }
    }

    pub fn transact(
        &mut self,
        transaction: &Transaction,
        lease_exists: impl Fn(LeaseId) -> bool,
        denied: Option<&str>,
    ) -> Applied {
        let succeeded = transaction
            .compare
            .iter()
            .all(|compare| self.holds(compare));
        let ops = if succeeded {
            &transaction.success
        } else {
            &transaction.failure
        };
        let writes = ops.iter().any(|op| !matches!(op, StoreOp::Get { .. }));
        if let (true, Some(why)) = (writes, denied) {
            return Applied::Denied(why.to_string());
        }
        let names_dead_lease = |op: &StoreOp| match op {
            StoreOp::Put { lease, .. } => *lease != LeaseId::NONE && !lease_exists(*lease),
            StoreOp::Delete { .. } | StoreOp::Get { .. } => false,
        };
        if ops.iter().any(names_dead_lease) {
            return Applied::LeaseNotFound;
        }
        let next = Revision(self.revision.0 + 1);
        let mut change = Change {
            revision: next,
            keys: BTreeMap::new(),
        };
        let mut got = BTreeMap::new();
        for op in ops {
            self.run(op, next, &mut change, &mut got);
        }
        let changed = (!change.keys.is_empty()).then_some(change);
        if changed.is_some() {
            self.revision = next;
        }
        let revision = self.revision;
        let reply = PrimitiveReply::Transaction {
            succeeded,
            revision,
            got,
        };
        Applied::Verdict { reply, changed }
    }

    /// An absent key compares as revision 0, lease 0; comparing its value is always false.
    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::Created { key, is } => {
                self.get(key).map_or(Revision(0), |kv| kv.created) == *is
            }
            Compare::Modified { key, is } => {
                self.get(key).map_or(Revision(0), |kv| kv.modified) == *is
            }
            Compare::Value { key, is } => self.get(key).is_some_and(|kv| kv.value == *is),
            Compare::Lease { key, is } => self.get(key).map_or(LeaseId::NONE, |kv| kv.lease) == *is,
        }
    }

    fn run(
        &mut self,
        op: &StoreOp,
        revision: Revision,
        change: &mut Change,
        got: &mut BTreeMap<String, Option<KeyValue>>,
    ) {
        match op {
            StoreOp::Put { key, value, lease } => {
                let written = self.put(key, value, *lease, revision);
                change.keys.insert(key.clone(), Some(written));
            }
            StoreOp::Delete { key } => {
                if self.keys.remove(key).is_some() {
                    change.keys.insert(key.clone(), None);
                }
            }
            StoreOp::Get { key } => {
                got.insert(key.clone(), self.get(key).cloned());
            }
        }
    }

    fn put(&mut self, key: &str, value: &str, lease: LeaseId, revision: Revision) -> KeyValue {
        let created = self.get(key).map_or(revision, |kv| kv.created);
        let written = KeyValue {
            value: value.to_string(),
            created,
            modified: revision,
            lease,
        };
        self.keys.insert(key.to_string(), written.clone());
        written
    }

    /// Deletes every key bound to `lease` in one revision, as a revocation does.
    pub fn delete_bound_to(&mut self, lease: LeaseId) -> Change {
        let bound: Vec<String> = (self.keys.iter())
            .filter(|(_, kv)| kv.lease == lease)
            .map(|(key, _)| key.clone())
            .collect();
        let revision = Revision(self.revision.0 + i64::from(!bound.is_empty()));
        self.revision = revision;
        for key in &bound {
            self.keys.remove(key);
        }
        Change {
            revision,
            keys: bound.into_iter().map(|key| (key, None)).collect(),
        }
    }

    /// Writes or deletes one key without any comparison. `None`: there was nothing to delete.
    pub fn edit(&mut self, key: &str, value: Option<&str>) -> Option<Change> {
        let revision = Revision(self.revision.0 + 1);
        let now = match value {
            Some(value) => Some(self.put(key, value, LeaseId::NONE, revision)),
            None => {
                self.keys.remove(key)?;
                None
            }
        };
        self.revision = revision;
        Some(Change {
            revision,
            keys: BTreeMap::from([(key.to_string(), now)]),
        })
    }
}
