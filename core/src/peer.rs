//! What members ask each other directly, without the store: who is ahead, who is still a primary.
//! Knows nothing of HTTP. A silent peer is a value of its own, never an absent one.

use crate::lsn::Lsn;
use crate::name::{MemberName, OpId};
use crate::timeline::TimelineId;
use serde::{Deserialize, Serialize};

/// Asks a member for its status (`GET /patroni` at its api_url).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRequest {
    pub member: MemberName,
    pub api_url: String,
}

/// What a member said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    pub state: String,
    pub role: String,
    pub in_recovery: bool,
    pub timeline: Option<TimelineId>,
    /// Standby: the further of received and replayed. Primary: zero.
    pub position: Lsn,
    pub nofailover: bool,
    pub failover_priority: i64,
    pub watchdog_failed: bool,
    /// Streams from an upstream right now (`replication_state`).
    pub streaming: bool,
    /// Its WAL replay is paused, by somebody or for want of a setting: it takes no leader key (`xlog.paused`).
    #[serde(default)]
    pub replay_paused: bool,
    /// The member saw a live leader key when it last read the store.
    pub sees_leader: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerAnswer {
    Status(PeerStatus),
    /// Its port refuses connections: no agent listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// An answer that makes no sense.
    Garbled(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInput {
    pub op: OpId,
    pub member: MemberName,
    pub answer: PeerAnswer,
}
