//! What is really so in the world, for claims, invariants and reports. No agent ever sees this.

use crate::event::Role;
use crate::moment::Moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;
use tanist_core::name::MemberName;
use tanist_core::postgres::DbState;
use tanist_core::timeline::TimelineId;

/// The whole world at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    pub at: Moment,
    /// Value of the leader key in the store, when it is a member's name.
    pub leader_key: Option<MemberName>,
    pub members: BTreeMap<MemberName, MemberTruth>,
    pub commits: Commits,
    pub paused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberTruth {
    pub role: Role,
    /// At least one backend could report a commit to a client.
    pub can_write: bool,
    /// Would a client that reaches this host be let in and, once the standbys have it that it waits for, be told its
    /// commit?
    pub accepts_writes: bool,
    /// Flushed here, and not confirmed by the standbys of `synchronous_standby_names`.
    pub waiting_commits: usize,
    pub timeline: TimelineId,
    /// End of what is flushed here.
    pub flushed: Lsn,
    /// Standby: end of what is replayed.
    pub replayed: Lsn,
    pub streams_from: Option<MemberName>,
    pub control: Option<DbState>,
    pub agent: Process,
    pub fencer: Process,
    /// Its REST says yes to the primary check.
    pub says_primary: bool,
    /// Verb of the operation in its exclusive lane.
    pub operation: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Process {
    Gone,
    Frozen,
    Running,
}

/// The application's books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commits {
    /// Written into some WAL.
    pub written: u64,
    /// Acknowledged to a client.
    pub acked: u64,
    /// Acknowledged, and not in the WAL of the member that was promoted last.
    pub lost: u64,
}
