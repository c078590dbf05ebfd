//! What each store numbers its own way, in a transcript's words: leases by the order in which they were granted,
//! revisions counted from the first one. Texts of errors are nobody's promise and are left out.

use std::collections::BTreeMap;
use tanist_core::dcs::{KeyValue, LeaseId, Revision, Snapshot};
use tanist_core::primitive::{
    Compare, Primitive, PrimitiveOutcome, PrimitiveReply, StoreOp, Transaction,
};

/// The names of one playing.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// By number, from 1.
    leases: Vec<LeaseId>,
    /// The store's revision before the first step.
    base: Revision,
}

impl Names {
    pub fn from(base: Revision) -> Names {
        Names {
            leases: Vec::new(),
            base,
        }
    }

    /// A call of the script as this store has to be asked.
    pub fn call(&self, call: &Primitive) -> Primitive {
        match call {
            Primitive::KeepAlive { lease } => Primitive::KeepAlive {
                lease: self.lease(*lease),
            },
            Primitive::Transaction(transaction) => Primitive::Transaction(Transaction {
                compare: transaction
                    .compare
                    .iter()
                    .map(|c| self.compare(c))
                    .collect(),
                success: transaction.success.iter().map(|op| self.op(op)).collect(),
                failure: transaction.failure.iter().map(|op| self.op(op)).collect(),
            }),
            Primitive::Grant { .. } | Primitive::ReadAll { .. } => call.clone(),
        }
    }

    fn lease(&self, number: LeaseId) -> LeaseId {
        let at = usize::try_from(number.0 - 1).ok();
        // One that was never granted stays a number that nobody has.
        at.and_then(|at| self.leases.get(at).copied())
            .unwrap_or(number)
    }

    fn revision(&self, counted: Revision) -> Revision {
        match counted.0 {
            0 => counted,
            n => Revision(self.base.0 + n),
        }
    }

    fn compare(&self, compare: &Compare) -> Compare {
        match compare.clone() {
            Compare::Created { key, is } => Compare::Created {
                key,
                is: self.revision(is),
            },
            Compare::Modified { key, is } => Compare::Modified {
                key,
                is: self.revision(is),
            },
            Compare::Lease { key, is } => Compare::Lease {
                key,
                is: self.lease(is),
            },
            value => value,
        }
    }

    fn op(&self, op: &StoreOp) -> StoreOp {
        match op.clone() {
            StoreOp::Put { key, value, lease } => StoreOp::Put {
                key,
                value,
                lease: self.lease(lease),
            },
            other => other,
        }
    }

    /// What this store answered, in the transcript's words. A lease that it granted gets the next number.
    pub fn outcome(&mut self, outcome: PrimitiveOutcome) -> PrimitiveOutcome {
        let unsaid = String::new;
        match outcome {
            PrimitiveOutcome::Ok(reply) => PrimitiveOutcome::Ok(self.reply(reply)),
            PrimitiveOutcome::LeaseNotFound => PrimitiveOutcome::LeaseNotFound,
            PrimitiveOutcome::Denied(_) => PrimitiveOutcome::Denied(unsaid()),
            PrimitiveOutcome::NotSent(_) => PrimitiveOutcome::NotSent(unsaid()),
            PrimitiveOutcome::Unknown(_) => PrimitiveOutcome::Unknown(unsaid()),
        }
    }

    fn reply(&mut self, reply: PrimitiveReply) -> PrimitiveReply {
        match reply {
            PrimitiveReply::Granted { lease, ttl } => {
                self.leases.push(lease);
                PrimitiveReply::Granted {
                    lease: LeaseId(self.leases.len() as i64),
                    ttl,
                }
            }
            PrimitiveReply::All(snapshot) => PrimitiveReply::All(Snapshot {
                revision: self.counted(snapshot.revision),
                keys: self.values(snapshot.keys),
            }),
            PrimitiveReply::Transaction {
                succeeded,
                revision,
                got,
            } => PrimitiveReply::Transaction {
                succeeded,
                revision: self.counted(revision),
                got: got
                    .into_iter()
                    .map(|(key, kv)| (key, kv.map(|kv| self.value(kv))))
                    .collect(),
            },
            PrimitiveReply::KeptAlive { ttl } => PrimitiveReply::KeptAlive { ttl },
        }
    }

    fn counted(&self, revision: Revision) -> Revision {
        Revision(revision.0 - self.base.0)
    }

    fn values(&self, keys: BTreeMap<String, KeyValue>) -> BTreeMap<String, KeyValue> {
        keys.into_iter()
            .map(|(key, kv)| (key, self.value(kv)))
            .collect()
    }

    fn value(&self, kv: KeyValue) -> KeyValue {
        let number = self.leases.iter().position(|lease| *lease == kv.lease);
        KeyValue {
            created: self.counted(kv.created),
            modified: self.counted(kv.modified),
            lease: number.map_or(LeaseId::NONE, |at| LeaseId(at as i64 + 1)),
            ..kv
        }
    }
}
