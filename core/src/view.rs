//! What an agent shows of itself: plain data for REST, the command line, invariants and reports.
//! Nothing here is decided; `health.rs` turns it into verdicts.

use crate::cluster::Cluster;
use crate::config::Config;
use crate::leader_key::Authority;
use crate::name::{MemberName, RequestId};
use crate::operator::Answer;
use crate::postgres::Observation;
use crate::time::{Mono, Now};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// Patroni's role words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    Primary,
    Replica,
    /// A former primary that has not come back as a standby yet.
    Demoted,
    /// The promotion has been started and is not yet seen to be complete.
    Promoted,
    Uninitialized,
}

/// Patroni's state words (section 1.4 of the wire inventory).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    InitializingNewCluster,
    InitdbFailed,
    CreatingReplica,
    Running,
    Starting,
    StartFailed,
    Restarting,
    Stopping,
    Stopped,
    StopFailed,
    Crashed,
}

impl Role {
    pub fn word(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
            Role::Demoted => "demoted",
            Role::Promoted => "promoted",
            Role::Uninitialized => "uninitialized",
        }
    }
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::InitializingNewCluster => "initializing new cluster",
            State::InitdbFailed => "initdb failed",
            State::CreatingReplica => "creating replica",
            State::Running => "running",
            State::Starting => "starting",
            State::StartFailed => "start failed",
            State::Restarting => "restarting",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
            State::StopFailed => "stop failed",
            State::Crashed => "crashed",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Something told, with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub now: Now,
    pub text: String,
}

/// The operation that holds the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub verb: String,
    pub since: Mono,
    pub phase: Option<String>,
}

/// How an operator's request stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestView {
    pub what: String,
    pub phase: String,
    pub since: Mono,
    pub answer: Option<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    pub scope: String,
    pub name: MemberName,
    pub api_url: String,
    pub conn_url: String,
    pub tags: Map<String, Value>,
    pub role: Role,
    pub state: State,
    pub authority: Authority,
    /// This member holds the leader key as far as it knows (authority tells until when that may be acted on).
    pub holds_key: bool,
    /// Its WAL is not the cluster's: it lets others lead, however far it goes.
    pub stands_back: bool,
    pub paused: bool,
    pub config: Config,
    pub observed: Option<Observation>,
    pub observed_at: Option<Mono>,
    pub cluster: Option<Cluster>,
    /// When the store last answered in a way that proves it is there.
    pub store_seen: Option<Now>,
    pub operation: Option<Running>,
    /// The present decision with its reason, and the latest before it.
    pub decision: String,
    pub recent: VecDeque<Told>,
    pub requests: BTreeMap<RequestId, RequestView>,
    /// When the agent last went through its whole decision.
    pub decided_at: Mono,
}
