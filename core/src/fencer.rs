//! What the agent and its fencer say to each other. The fencer is a process of its own that ends
//! PostgreSQL at the deadline when the agent does not, whatever the agent is doing.
//! Knows nothing of sockets or signals.

use crate::dcs::LeaseId;
use crate::name::{OpId, Term};
use crate::time::Mono;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FencerRequest {
    /// From now on no process of the instance may live past `until` (the host's BOOTTIME clock).
    Arm {
        term: Term,
        lease: LeaseId,
        until: Mono,
    },
    /// Move the deadline. Refused for another term, and never moves it back.
    Extend { term: Term, until: Mono },
    /// Drop the deadline.
    Disarm { term: Term, why: DisarmReason },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisarmReason {
    /// Stands only if the fencer, too, sees no process of the instance or one that is in recovery.
    NoBackendCanWrite,
    Pause,
}

/// The deadline a fencer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Armed {
    pub term: Term,
    pub lease: LeaseId,
    pub until: Mono,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FencerInput {
    /// A fencer is there (again) and holds this.
    Ready {
        armed: Option<Armed>,
    },
    Acknowledged {
        op: OpId,
    },
    Refused {
        op: OpId,
        why: String,
    },
    /// It died or does not answer; the shell is replacing it.
    Lost {
        why: String,
    },
    /// It ended PostgreSQL: the deadline passed without an extension.
    Fired {
        at: Mono,
        term: Term,
    },
}
