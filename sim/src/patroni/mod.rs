//! A member that is run by Patroni: what a Tanist member meets of it in the store, on REST and in PostgreSQL, while a
//! live cluster is swapped one node at a time. Written from the inventory of Patroni's behaviour (its sections are named
//! in each file); none of Patroni's code is in it. Knows nothing of the world: it is told things, and wishes for things.
//!
//! How it is written: a loop of Patroni's blocks on each request, so its order *is* its behaviour. Each script here (the
//! loop, the one task beside it, a request) is straight-line code that asks through [`asks::Asks`]. It is run from its
//! beginning after each answer; what was answered before is answered the same again, what was changed is not changed
//! again. So a script is as blocking as Patroni is, and the peer is still a state machine without IO.
//!
//! What it has: etcd v3's lease under both keys, the race, promotion and the keys of a leader, demotion, switchover and
//! failover, pause, slots of members, rewind, clone, bootstrap, crash recovery, REST, the watchdog device where its host
//! has one (`watchdog.rs`). What it has not: synchronous modes, failsafe, standby clusters, tags but `nofailover` and
//! `failover_priority`, scheduled restarts, a watchdog that cannot be stopped or set. It has no fencer, counts its lease
//! from the answer, on the wall clock, and compares the owner's name only: that is how Patroni is, and what the judges set
//! aside for it is said in `invariants/patroni_alone.rs`.

pub mod asks;
mod body;
mod cycle;
mod dcs;
mod demote;
mod follow;
mod found;
mod keys;
mod lead;
mod people;
mod race;
mod recover;
pub mod retries;
mod slots;
mod strand;
mod tasks;
mod tunes;
pub mod watchdog;

pub use body::{read as read_status, status as body_of};
pub use strand::{Patroni, Told, Wish};

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tanist_core::dcs::{LeaseId, Snapshot};
use tanist_core::name::MemberName;
use tanist_core::postgres::{Observation, SqlStatus};
use tanist_core::time::{Span, Wall};
use tanist_core::timeline::TimelineId;
use tunes::Tunes;

/// As the member key and REST say it: peers choose a protocol by it (1.9).
pub const VERSION: &str = "4.1.4";

/// What its configuration file says.
#[derive(Clone, Debug)]
pub struct Me {
    pub scope: String,
    pub name: MemberName,
    pub api_url: String,
    pub conn_url: String,
    pub tags: Map<String, Value>,
    /// `bootstrap.dcs`: it may found the cluster.
    pub bootstrap: Option<Map<String, Value>>,
    pub watchdog: watchdog::Settings,
}

/// Its role, in its own words (1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Uninitialized,
    Replica,
    Primary,
    Demoted,
    Promoted,
}

impl Role {
    pub fn word(self) -> &'static str {
        match self {
            Role::Uninitialized => "uninitialized",
            Role::Replica => "replica",
            Role::Primary => "primary",
            Role::Demoted => "demoted",
            Role::Promoted => "promoted",
        }
    }
}

/// States of the rewind machine (2.20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewind {
    Initial,
    Check,
    Need,
    NotNeeded,
    Done,
    Failed,
}

/// The one action beside the loop (2.28).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    Bootstrap,
    Clone,
    StartPrimary,
    /// Start read-only; with the leader as its upstream, if there is one.
    StartStandby,
    /// The same two seconds later, after a demotion.
    FollowAgain,
    CrashRecovery,
    Rewind,
    Promote,
    Graceful,
    Checkpoint,
    Restart,
    Reinitialize,
}

/// Everything that it remembers from one loop to the next.
#[derive(Clone, Debug)]
pub struct Kept {
    pub me: Arc<Me>,
    pub tunes: Tunes,
    /// The dynamic configuration as last read: `patroni.dynamic.json`.
    pub config: Arc<Map<String, Value>>,
    /// What the watch has shown: its cache of the store. `None`: it must be listed anew.
    pub view: Option<Arc<Snapshot>>,
    /// When the store was last read in a loop.
    pub store_seen: Option<Wall>,
    pub lease: Option<LeaseId>,
    pub lease_ttl: Span,
    pub lease_kept_at: Option<Wall>,
    /// It counts itself the leader until then, by its wall clock (1.8).
    pub leads_until: Option<Wall>,
    /// The members of the last cluster that had a leader.
    pub old_members: Arc<BTreeMap<MemberName, Value>>,
    pub role: Role,
    pub rewind: Rewind,
    pub task: Option<Task>,
    /// A start or a rewind has just ended.
    pub recovering: bool,
    /// Single-user recovery was tried in this incident.
    pub recovered: bool,
    /// It has been in the cluster in this life: callbacks have fired.
    pub joined: bool,
    pub starting_since: Option<Wall>,
    pub seen_here: Option<Arc<Observation>>,
    /// What its standing session told last.
    pub session: Option<(u32, SqlStatus)>,
    pub position_at_stop: Option<u64>,
    /// When a slot's member was last there, while this leads.
    pub slot_seen: BTreeMap<String, Wall>,
    pub checkpointed: Option<TimelineId>,
    pub device: watchdog::Device,
}

impl Kept {
    pub fn new(me: Me) -> Kept {
        Kept {
            me: Arc::new(me),
            tunes: Tunes::default(),
            config: Arc::default(),
            view: None,
            store_seen: None,
            lease: None,
            lease_ttl: Span::ZERO,
            lease_kept_at: None,
            leads_until: None,
            old_members: Arc::default(),
            role: Role::Uninitialized,
            rewind: Rewind::Initial,
            task: None,
            recovering: false,
            recovered: false,
            joined: false,
            starting_since: None,
            seen_here: None,
            session: None,
            position_at_stop: None,
            slot_seen: BTreeMap::new(),
            checkpointed: None,
            device: watchdog::Device::Closed,
        }
    }

    pub fn is_leader(&self, now: Wall) -> bool {
        self.leads_until.is_some_and(|until| now < until)
    }
}
