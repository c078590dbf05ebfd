//! What a run's cluster looks like before anything happens to it: members, store, timings, clients.
//! Knows nothing of faults; those are `act.rs`.

use serde::{Deserialize, Serialize};
use tanist_core::config::Config;
use tanist_core::name::MemberName;
use tanist_core::settings::FencerMode;
use tanist_core::time::Span;

/// The cluster as data. Everything else about a run follows from this, the seed and the acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterShape {
    pub members: Vec<MemberShape>,
    /// Servers of the store; a majority of them must agree on every write.
    pub store_servers: u8,
    pub ttl: Span,
    pub loop_wait: Span,
    pub retry_timeout: Span,
    pub maximum_lag_on_failover: u64,
    pub commit_mode: CommitMode,
    pub failsafe: bool,
    pub rewind: RewindPolicy,
    /// Seconds a crashed primary may take to come back in place; zero hands over at once.
    pub primary_start_timeout: Span,
    /// How the fencer is used on every host.
    pub fencer: FencerMode,
    /// How a watchdog device is used on every host that has one, by agents that use one.
    pub watchdog: WatchdogMode,
    /// How much sooner than the lease the device's time is over; `None`: half the ttl.
    pub safety_margin: Option<Span>,
    /// From an immediate stop until no backend is left, on a healthy host.
    pub stop_budget: Span,
    /// What the agents believe about how far clock rates may differ, in millionths.
    pub clock_drift_ppm: u32,
    /// Every primary hands its WAL to one archive, and every standby may fetch from it.
    pub archive: bool,
    /// WAL that every server keeps on its disk beyond what it needs (`wal_keep_size`), in bytes.
    pub wal_keep: u64,
    /// How far a slot may hold WAL back (`max_slot_wal_keep_size`), in bytes; `None`: without a limit.
    pub slot_keep: Option<u64>,
    /// Time between checkpoints that nobody asks for (`checkpoint_timeout`). Zero: there are none.
    pub checkpoints_every: Span,
    pub clients: ClientShape,
}

/// Whose agent a member is run by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Runs {
    #[default]
    Tanist,
    Patroni,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberShape {
    pub name: MemberName,
    pub runs: Runs,
    /// The name in its configuration, where that is another member's by mistake.
    pub goes_by: Option<MemberName>,
    pub nofailover: bool,
    pub failover_priority: Option<i64>,
    /// Starts its agent at the run's start, or only when an act does.
    pub start: StartWhen,
    /// May found the cluster (its file has a `bootstrap` section).
    pub founds: bool,
    /// A supervisor starts the agent again this long after it died; `None`: nobody does.
    pub supervisor: Option<Span>,
    /// Its host has a watchdog device, whose timeouts are whole multiples of this.
    pub watchdog: Option<Span>,
}

/// `watchdog.mode` of a Patroni.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchdogMode {
    Off,
    /// Used where it can be.
    Automatic,
    /// Nobody leads without one.
    Required,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartWhen {
    AtOnce,
    WhenAsked,
}

/// When a commit is acknowledged to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommitMode {
    /// Flushed on the primary.
    Async,
    /// `synchronous_mode: on`.
    Synchronous,
    /// `synchronous_mode_strict: on`.
    Strict,
    /// `synchronous_mode: quorum`.
    Quorum,
}

/// How a member that cannot follow may be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewindPolicy {
    pub use_pg_rewind: bool,
    /// The clusters were made with `wal_log_hints` (or checksums), without which `pg_rewind` refuses.
    pub wal_log_hints: bool,
    pub remove_data_directory_on_rewind_failure: bool,
    pub remove_data_directory_on_diverged_timelines: bool,
}

/// The application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientShape {
    /// Time between two commits of the clients that ask REST who is primary. Zero: no such clients.
    pub roaming_every: Span,
    /// The same of each client that is pinned to one member, whoever leads. Zero: none.
    pub stubborn_every: Span,
    /// A session on every primary that commits in a loop on the server, without client round trips.
    /// Zero: none.
    pub server_loop_every: Span,
}

impl ClusterShape {
    /// A cluster of these members with Patroni's default timings and modest load.
    pub fn of(names: &[&str]) -> ClusterShape {
        ClusterShape {
            members: names.iter().map(|name| MemberShape::named(name)).collect(),
            store_servers: 3,
            ttl: Span::secs(30),
            loop_wait: Span::secs(10),
            retry_timeout: Span::secs(10),
            maximum_lag_on_failover: 1_048_576,
            commit_mode: CommitMode::Async,
            failsafe: false,
            rewind: RewindPolicy {
                use_pg_rewind: true,
                wal_log_hints: true,
                remove_data_directory_on_rewind_failure: false,
                remove_data_directory_on_diverged_timelines: false,
            },
            primary_start_timeout: Span::secs(300),
            fencer: FencerMode::Required,
            watchdog: WatchdogMode::Automatic,
            safety_margin: Some(Span::secs(5)),
            stop_budget: Span::secs(2),
            clock_drift_ppm: 5_000,
            archive: false,
            wal_keep: 128 << 20,
            slot_keep: None,
            checkpoints_every: Span::ZERO,
            clients: ClientShape {
                roaming_every: Span::secs(1),
                stubborn_every: Span::secs(2),
                server_loop_every: Span::ZERO,
            },
        }
    }
}

impl ClusterShape {
    /// Timings and policies as a dynamic configuration has them.
    pub fn configure(&mut self, config: &Config) {
        self.ttl = config.timing.ttl;
        self.loop_wait = config.timing.loop_wait;
        self.retry_timeout = config.timing.retry_timeout;
        self.maximum_lag_on_failover = config.maximum_lag_on_failover;
        self.primary_start_timeout = config.primary_start_timeout;
        let rewind = &mut self.rewind;
        rewind.use_pg_rewind = config.use_pg_rewind;
        rewind.remove_data_directory_on_rewind_failure = config.remove_on_rewind_failure;
        rewind.remove_data_directory_on_diverged_timelines = config.remove_on_diverged_timelines;
    }
}

impl MemberShape {
    pub fn named(name: &str) -> MemberShape {
        MemberShape {
            name: MemberName::from(name),
            runs: Runs::Tanist,
            goes_by: None,
            nofailover: false,
            failover_priority: None,
            start: StartWhen::AtOnce,
            founds: true,
            supervisor: Some(Span::secs(2)),
            watchdog: None,
        }
    }
}
