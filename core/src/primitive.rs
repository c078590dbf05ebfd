//! The few calls that a lease store with transactions offers (etcd v3's, by shape), as plain data.
//! The exchange (`exchange.rs`) turns one `DcsRequest` into a sequence of these; a real adapter sends
//! them, a fake store executes them. Knows nothing of wire formats.

use crate::dcs::{Consistency, KeyValue, LeaseId, Revision, Snapshot};
use crate::time::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One call to the store. Keys are paths below the cluster's base path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Primitive {
    Grant {
        ttl: Span,
    },
    KeepAlive {
        lease: LeaseId,
    },
    /// Every key below the base path.
    ReadAll {
        consistency: Consistency,
    },
    Transaction(Transaction),
}

/// All comparisons are made, then one of the two lists is executed, in one step of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pub compare: Vec<Compare>,
    pub success: Vec<StoreOp>,
    pub failure: Vec<StoreOp>,
}

/// An absent key compares as revision 0, lease 0; comparing its value is always false.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    Created { key: String, is: Revision },
    Modified { key: String, is: Revision },
    Value { key: String, is: String },
    Lease { key: String, is: LeaseId },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreOp {
    /// `lease` zero: bound to none.
    Put {
        key: String,
        value: String,
        lease: LeaseId,
    },
    Delete {
        key: String,
    },
    Get {
        key: String,
    },
}

/// The store's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrimitiveReply {
    Granted {
        lease: LeaseId,
        ttl: Span,
    },
    /// `None`: the lease does not exist (etcd answers success without a TTL).
    KeptAlive {
        ttl: Option<Span>,
    },
    All(Snapshot),
    /// `got`: the answers of the `Get`s of the executed list, by key; `None` is absent.
    Transaction {
        succeeded: bool,
        revision: Revision,
        got: BTreeMap<String, Option<KeyValue>>,
    },
}

/// What became of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrimitiveOutcome {
    Ok(PrimitiveReply),
    /// A put named a lease that does not exist: not applied.
    LeaseNotFound,
    /// Not applied, and repeating will not help.
    Denied(String),
    /// The call never left: not applied.
    NotSent(String),
    /// It left, and no verdict came: applied, not applied, or applied later.
    Unknown(String),
}
