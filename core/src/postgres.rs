//! What the core sees of its own PostgreSQL and asks of it.
//! Knows nothing of processes, files or SQL: adapters and fakes speak this vocabulary.

use crate::lsn::Lsn;
use crate::name::{MemberName, OpId, Term};
use crate::time::{Span, Wall};
use crate::timeline::{TimelineHistory, TimelineId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `system_identifier` of the control file, as decimal text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SystemId(pub String);

/// `DBState` of the control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DbState {
    StartingUp,
    ShutDown,
    ShutDownInRecovery,
    ShuttingDown,
    InCrashRecovery,
    InArchiveRecovery,
    InProduction,
}

impl DbState {
    /// Nothing was lost at its last stop, so `pg_rewind` accepts the directory.
    pub fn is_clean(self) -> bool {
        matches!(self, DbState::ShutDown | DbState::ShutDownInRecovery)
    }
    /// It last ran as a primary.
    pub fn was_primary(self) -> bool {
        match self {
            DbState::ShutDown
            | DbState::ShuttingDown
            | DbState::InCrashRecovery
            | DbState::InProduction => true,
            DbState::StartingUp | DbState::ShutDownInRecovery | DbState::InArchiveRecovery => false,
        }
    }
}

/// What `pg_controldata` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlData {
    pub system_id: SystemId,
    pub state: DbState,
    /// Latest checkpoint: its location, and the timeline it is on.
    pub checkpoint: Lsn,
    pub timeline: TimelineId,
    /// Minimum recovery ending location: zero unless it ran as a standby.
    pub min_recovery_end: Lsn,
    pub min_recovery_timeline: TimelineId,
    /// `pg_rewind` needs one of the two.
    pub wal_log_hints: bool,
    pub data_checksums: bool,
    /// Settings that a standby must not have lower than its primary had (`max_connections`, ...).
    pub standby_minimums: BTreeMap<String, u64>,
}

/// The data directory, as found on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataDir {
    /// It does not exist, or it holds nothing.
    Empty,
    /// It cannot be read at all: permission, missing mount, IO error.
    Unreadable(String),
    /// It holds something, but no readable control file.
    NotACluster(String),
    /// A base backup into it did not finish; never to be started.
    HalfCloned,
    /// A rewind of it did not finish; never to be started.
    HalfRewound(ControlData),
    Present(ControlData),
}

impl DataDir {
    pub fn control(&self) -> Option<&ControlData> {
        match self {
            DataDir::Present(c) | DataDir::HalfRewound(c) => Some(c),
            DataDir::Empty
            | DataDir::Unreadable(_)
            | DataDir::NotACluster(_)
            | DataDir::HalfCloned => None,
        }
    }
}

/// The processes of the instance that run. Down means both: no postmaster and no backend.
///
/// A process that was killed in the middle of a call that does not return (a disk that stalls) is not counted: it never
/// runs a line of its own again. As long as it is there the data directory is its, and shown as unreadable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processes {
    pub postmaster: Option<u32>,
    /// Processes of the instance other than its postmaster. They can outlive it and go on committing.
    pub backends: u32,
}

impl Processes {
    pub fn none_left(self) -> bool {
        self.postmaster.is_none() && self.backends == 0
    }
}

/// What a fresh session told, or why none was had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sql {
    /// No postmaster to ask.
    NotRunning,
    /// It answers that it is starting up, or is not yet consistent.
    Starting,
    /// It answers that it is shutting down.
    ShuttingDown,
    /// No answer in time. The role is then *unknown*, not "standby".
    Silent(String),
    /// A session was refused for another reason (too many of them, a password), or nothing listens where this member asks.
    /// The role is unknown; clients may be let in all the same.
    Refused(String),
    Answered(SqlStatus),
}

impl Sql {
    /// What the session told, if one was had.
    pub fn answered(&self) -> Option<&SqlStatus> {
        match self {
            Sql::Answered(status) => Some(status),
            Sql::NotRunning
            | Sql::Starting
            | Sql::ShuttingDown
            | Sql::Silent(_)
            | Sql::Refused(_) => None,
        }
    }
}

/// What a session told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlStatus {
    pub in_recovery: bool,
    pub server_version: u32,
    pub started_at: Wall,
    /// Primary: its own. Standby: of the last replayed record (control data when not known).
    pub timeline: TimelineId,
    /// Primary: end of flushed WAL.
    pub written: Lsn,
    /// Standby: received and flushed; replayed.
    pub received: Lsn,
    pub received_timeline: TimelineId,
    pub replayed: Lsn,
    pub replay_paused: bool,
    /// Wall time of the last replayed commit.
    pub replayed_at: Option<Wall>,
    /// A WAL receiver is streaming.
    pub streaming: bool,
    /// `primary_conninfo` in effect, as the address it names: `None` when empty.
    pub upstream: Option<Address>,
    pub upstream_slot: Option<String>,
    pub slots: BTreeMap<String, Slot>,
    /// Standbys connected to this server, by `application_name`.
    pub standbys: Vec<ConnectedStandby>,
    /// The settings that a standby must match, as this server was started with them.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    /// It was started along this timeline only (`recovery_target_timeline` is its number).
    #[serde(default)]
    pub one_timeline: Option<TimelineId>,
    pub pending_restart: bool,
    /// `synchronous_standby_names` in effect.
    pub synchronous_standby_names: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    pub physical: bool,
    pub active: bool,
    /// `None`: the slot reserves no WAL.
    pub restart_lsn: Option<Lsn>,
    pub lost: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectedStandby {
    pub application_name: String,
    pub user: String,
    pub client_address: String,
    pub state: String,
    pub sync_state: String,
    pub sync_priority: u32,
    pub flushed: Lsn,
}

impl ConnectedStandby {
    /// It is sent WAL, now or as it catches up; the connection that takes the files of a base backup is not.
    pub fn receives(&self) -> bool {
        matches!(self.state.as_str(), "streaming" | "catchup")
    }
}

/// One look at everything local.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub data_dir: DataDir,
    pub processes: Processes,
    pub sql: Sql,
    /// History of the newest timeline that the directory knows. Of a file that cannot be read the number alone.
    pub history: TimelineHistory,
    /// Histories that it knows besides, of timelines that the newest did not grow out of.
    #[serde(default)]
    pub other_lines: Vec<TimelineHistory>,
    /// The durable notes of this member's own promotions since it last followed somebody, oldest first, kept beside
    /// (never in) the data directory. A second attempt does not undo what the first has opened.
    pub promoted: Vec<PromotionMark>,
    /// `standby.signal` or `recovery.signal` is there: it would start in recovery.
    pub standby_signal: bool,
    /// initdb was done here, and the roles of the new cluster were not made since. Noted beside the data directory, too.
    #[serde(default)]
    pub roles_owed: bool,
    /// The directory was a primary's and has followed nobody since, though it may have been started read-only.
    #[serde(default)]
    pub led_last: bool,
    /// Which copy of the cluster's data this is; `None` for one that Tanist has neither made nor rewound.
    #[serde(default)]
    pub copy: Option<CopyId>,
}

impl Observation {
    /// Every line of timelines that the directory knows, that of the newest first.
    pub fn lines(&self) -> impl Iterator<Item = &TimelineHistory> {
        std::iter::once(&self.history).chain(&self.other_lines)
    }
}

/// Names one copy of the cluster's data for as long as its WAL only goes on from what it was: an initdb, a base backup
/// and a rewind begin another. Never given twice; noted beside (never in) the data directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CopyId(pub String);

/// "This member promoted itself to `timeline` in `term`": written before the promote is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionMark {
    pub timeline: TimelineId,
    pub term: Term,
}

/// Where a standby gets its WAL from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    pub member: MemberName,
    pub address: Address,
    /// Slot to use there.
    pub slot: Option<String>,
}

/// How a started server shall come up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartAs {
    /// Without `standby.signal`: it opens for writes as soon as it is consistent.
    Primary,
    /// In recovery; `None`: read-only, following nobody.
    Standby { upstream: Option<Upstream> },
    /// In recovery along `timeline`, whatever newer ones are known here or archived (`recovery_target_timeline` is its
    /// number). `None`: following nobody.
    OneTimeline {
        timeline: TimelineId,
        upstream: Option<Upstream>,
    },
}

/// How hard a stop is, and when it becomes harder. Times count from the stop's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPlan {
    pub first: StopMode,
    /// Then an immediate stop.
    pub immediate_after: Span,
    /// Then SIGKILL of the postmaster and of every backend, until none is left.
    pub kill_after: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopMode {
    /// SIGINT: sessions are ended, a shutdown checkpoint is written, standbys receive it.
    Fast,
    /// SIGQUIT: no checkpoint, crash recovery at the next start.
    Immediate,
}

/// What may hold the exclusive lane of the data directory: one at a time, each begun for a term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Create a new cluster in the empty data directory (initdb), not started.
    Initdb,
    /// Create the roles of a new cluster in the running primary.
    PostBootstrap,
    /// Copy a base backup of `source` into the empty data directory, not started, with `standby.signal`: its
    /// control file is its source's and may say "in production", yet it never was a primary.
    Clone { source: Upstream },
    /// Write the configuration and start. Ends when it accepts connections, or has failed.
    Start {
        role: StartAs,
        parameters: BTreeMap<String, String>,
        timeout: Span,
    },
    /// Stop. Ends only when neither postmaster nor any backend is left that runs.
    Stop {
        plan: StopPlan,
        checkpoint_first: bool,
    },
    /// Write the promotion mark, promote, and wait until the server has left recovery.
    Promote { mark: PromotionMark, timeout: Span },
    /// Recover an unclean former primary in single-user mode, so that it ends as cleanly shut down.
    CrashRecovery,
    /// Run `pg_rewind` against `source`. A durable mark is set before and removed after; it ends with `standby.signal`.
    Rewind { source: Upstream },
    /// Move the data directory aside (it is kept until the next one is known to be good), or remove what a failed clone left.
    DiscardData { why: DiscardReason },
}

/// Why a data directory may be discarded; each names the policy that allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiscardReason {
    /// An operator asked for `reinit` of this member.
    ReinitRequested,
    /// A clone did not finish: what is there was never a member's data.
    CloneUnfinished,
    /// This member's own bootstrap failed before the cluster existed.
    BootstrapFailed,
    /// `remove_data_directory_on_rewind_failure`.
    RewindFailed,
    /// `remove_data_directory_on_diverged_timelines`.
    DivergedTimelines,
}

impl Operation {
    /// The word for it in notes, traces and error texts.
    pub fn verb(&self) -> &'static str {
        match self {
            Operation::Initdb => "initdb",
            Operation::PostBootstrap => "post-bootstrap",
            Operation::Clone { .. } => "clone",
            Operation::Start { .. } => "start",
            Operation::Stop { .. } => "stop",
            Operation::Promote { .. } => "promote",
            Operation::CrashRecovery => "crash recovery",
            Operation::Rewind { .. } => "rewind",
            Operation::DiscardData { .. } => "discard data",
        }
    }
}

/// Work beside the lane: bounded, keyed by noun, at most one of each in flight, none of it dangerous.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SideTask {
    /// Look at everything local over a fresh session: answered with `Observed`.
    Probe,
    /// CHECKPOINT.
    Checkpoint,
    /// Rewrite the configuration and reload: upstream of a standby, parameters.
    Reconfigure {
        role: StartAs,
        parameters: BTreeMap<String, String>,
    },
    CreateSlot {
        name: String,
    },
    DropSlot {
        name: String,
        /// Only if it holds no WAL: its member may have come back to it since the last look.
        #[serde(default)]
        if_lost: bool,
    },
    /// Move a physical slot forward, never beyond what this member has replayed.
    AdvanceSlot {
        name: String,
        to: Lsn,
    },
    /// Ask another member's PostgreSQL who it is, where it forked, and whether the WAL before `mine` is its own, too.
    AskUpstream {
        upstream: Upstream,
        mine: Option<WalEnd>,
    },
}

/// How the nouns of slot tasks begin.
pub const SLOT_NOUN: &str = "slot ";

impl SideTask {
    /// The key under which at most one may be in flight.
    pub fn noun(&self) -> String {
        match self {
            SideTask::Probe => "probe".into(),
            SideTask::Checkpoint => "checkpoint".into(),
            SideTask::Reconfigure { .. } => "reconfigure".into(),
            SideTask::CreateSlot { name }
            | SideTask::DropSlot { name, .. }
            | SideTask::AdvanceSlot { name, .. } => {
                format!("{SLOT_NOUN}{name}")
            }
            SideTask::AskUpstream { .. } => "upstream".into(),
        }
    }
}

/// A position on a timeline: where this member's WAL ends as far as it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalEnd {
    pub timeline: TimelineId,
    /// Where the timeline began: what a standby was fed last may be another server's already, and its begin is not.
    pub begin: Lsn,
    pub lsn: Lsn,
}

/// What another member's PostgreSQL said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamFacts {
    pub member: MemberName,
    pub system_id: SystemId,
    pub in_recovery: bool,
    pub history: TimelineHistory,
    pub written: Lsn,
    /// Timeline in its control file: lags the real one until a checkpoint has been made after promote.
    pub control_timeline: TimelineId,
    /// Are the bytes of WAL before the position that was asked about the same here and there? Not, if it lies beyond what
    /// the other has flushed on that very timeline. `None`: one has not got the bytes (any more), or may not read them.
    pub same_wal: Option<bool>,
}

/// How an operation or side task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    Done,
    /// Answer of `AskUpstream`.
    Upstream(UpstreamFacts),
    Failed(String),
    /// Cancelled before it took effect.
    Cancelled,
}

/// What comes from the local PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PgInput {
    /// Answer to `Probe`, and pushed by itself after an operation ended. `asked_at` is when the look began.
    Observed {
        op: Option<OpId>,
        observation: Observation,
    },
    /// A wake-up, never proof that nothing can commit: the postmaster is gone, backends may not be.
    PostmasterExited {
        pid: u32,
    },
    /// An operation entered a phase worth telling (`wal copied 40 %`, `waiting for consistency`).
    Progress {
        op: OpId,
        phase: String,
    },
    Finished {
        op: OpId,
        ended: Ended,
    },
}
