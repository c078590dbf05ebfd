//! What people ask for, through REST, the command line, or keys in the store; and how each request ends.
//! Knows nothing of HTTP: REST and CLI render these answers, Patroni's texts included.

use crate::name::{MemberName, RequestId};
use crate::time::Wall;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorRequest {
    /// Planned: the leader hands over in order.
    Switchover {
        leader: MemberName,
        candidate: Option<MemberName>,
        at: Option<Wall>,
    },
    /// Unplanned: make `candidate` the leader, with or without a present one.
    Failover {
        candidate: MemberName,
    },
    CancelSwitchover,
    Restart,
    /// Throw this member's data away and clone it anew.
    Reinitialize {
        force: bool,
    },
    /// Change the dynamic configuration: `null` deletes. Pause and resume are patches of `pause`.
    /// `patch` is JSON text.
    PatchConfig {
        patch: String,
    },
    /// Replace the dynamic configuration.
    PutConfig {
        config: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorInput {
    pub id: RequestId,
    pub request: OperatorRequest,
}

/// How a request stands. Every request ends in exactly one `Reply`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Done, in the words that patronictl shows.
    Done(String),
    /// Taken over; it will happen by itself (scheduled switchover, reinit).
    Accepted(String),
    /// Not done: which gate refused, with the value that it saw.
    Refused { code: Refusal, why: String },
    /// Begun and given up.
    Failed(String),
    /// The time to wait for it is over; it may still happen.
    StillRunning(String),
}

/// The class of a refusal; REST maps it to Patroni's status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The request itself is wrong (400).
    BadRequest,
    /// Nothing there to act on (404).
    NotFound,
    /// Somebody else changed it meanwhile (409).
    Conflict,
    /// The cluster is not in the state it needs (412).
    PreconditionFailed,
    /// The time given cannot be used (422).
    Unprocessable,
    /// Not now, or the store did not take it (503).
    Unavailable,
}
