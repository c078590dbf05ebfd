//! Everything that can be done to a world: faults, repairs and deeds of operators, as plain data.
//! Knows nothing of when or why; `plan.rs` holds acts with their times and triggers.

use crate::pg::archive::Archiving;
use crate::shape::{ClientShape, Runs};
use crate::watchdog::Works;
use serde::{Deserialize, Serialize};
use std::fmt;
use tanist_core::name::MemberName;
use tanist_core::time::Span;

/// One deed. Applying it to something that is not there (killing a dead agent) changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    Agent {
        who: Who,
        act: AgentAct,
    },
    Fencer {
        who: Who,
        act: FencerAct,
    },
    Postgres {
        who: Who,
        act: PostgresAct,
    },
    Host {
        who: Who,
        act: HostAct,
    },
    /// The next such operation on this member meets this trouble.
    Trouble {
        who: Who,
        trouble: Trouble,
    },
    Wire {
        link: Link,
        act: WireAct,
    },
    /// Every link becomes as good as at the start.
    HealWire,
    Store(StoreAct),
    Operator(OperatorAct),
    Clients(ClientAct),
    /// Everything that can be undone is: links, store, hosts, clocks, frozen and dead processes, disks,
    /// troubles not yet met. Data that is gone stays gone.
    HealAll,
}

/// Whom an act is about. Resolved when the act is applied; matching nobody is no error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    Member(MemberName),
    /// The owner of the leader key in the store; without one, whoever can write.
    Leader,
    /// A member that runs as a standby, drawn.
    Standby,
    /// Any member, drawn.
    Any,
    /// Every running standby.
    Standbys,
    /// Every member.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentAct {
    Start,
    /// SIGKILL; the supervisor, if any, starts it again.
    Kill,
    /// SIGTERM: it ends in order; the supervisor leaves it down.
    Stop,
    /// SIGSTOP to the agent alone.
    Freeze,
    Thaw,
    FreezeFor(Span),
    /// The adapter drops the watch; the agent hears that it is lost.
    LoseWatch,
    /// The store forgets the watch without a word: no more events, no error.
    SilenceWatch,
    /// It is ended in order, and this one's agent is started in its place.
    Become(Runs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FencerAct {
    Kill,
    Freeze,
    Thaw,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PostgresAct {
    /// SIGKILL of the postmaster alone: its backends go on.
    KillPostmaster,
    /// SIGSTOP: no new session, no reaction to signals but SIGKILL; sessions go on.
    FreezePostmaster,
    ThawPostmaster,
    /// One client backend stuck in IO: it survives an immediate stop, and can commit once thawed.
    FreezeBackend,
    ThawBackends,
    /// One backend crashes: the postmaster ends all sessions and recovers by itself.
    CrashBackend,
    /// SIGKILL of every process of the instance.
    KillAll,
    /// By hand, past the agent.
    PromoteByHand,
    StopByHand,
    StartByHand,
    Checkpoint,
    /// A session begins a procedure that commits in a loop on the server, at this pace.
    BeginServerLoop {
        every: Span,
    },
    /// One transaction that writes this much WAL, which no client counts: a load, an index.
    Write {
        bytes: u64,
    },
    PauseReplay,
    ResumeReplay,
    /// No session is let in any more, those kept for superusers are taken, too; the present ones go on.
    ExhaustConnections,
    FreeConnections,
    /// `pg_cancel_backend()` of every backend whose commit waits for a standby.
    CancelWaits,
    /// `ALTER SYSTEM SET synchronous_standby_names` and a reload, which no configuration of the cluster undoes.
    AlterSystem {
        synchronous_standby_names: String,
    },
    /// What becomes of its archive command from now on.
    Archiving(Archiving),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostAct {
    /// Power loss: every process gone, everything not flushed lost.
    Crash,
    Boot,
    /// Every process stops; the clock of deadlines goes on.
    Suspend,
    Resume,
    SuspendFor(Span),
    /// Rate of this host's clocks against true time, in millionths.
    ClockRate {
        ppm: i32,
    },
    /// The wall clock jumps; the monotonic one does not.
    StepWall {
        by: Shift,
    },
    FillDisk,
    /// No call that touches the disk returns any more.
    StallDisk,
    /// Undoes both.
    FreeDisk,
    /// Flushes are acknowledged but not done (breaks assumption A5).
    LieAboutFlush,
    /// The data directory is gone.
    LoseData,
    /// What becomes of its watchdog device from now on.
    Watchdog(Works),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shift {
    Forward(Span),
    Back(Span),
}

/// Trouble waiting for the next operation of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// The promote command ends with an error; the server stays a standby.
    PromoteFails,
    /// The new timeline's history is written, then the server dies.
    PromoteDiesHalfWay,
    PromoteTakes(Span),
    RewindFails,
    /// It dies half-way, leaving a directory that must never be started.
    RewindDiesHalfWay,
    StartFails,
    StartHangs,
    StartTakes(Span),
    /// A fast stop never ends by itself.
    StopHangs,
    StopTakes(Span),
    CloneCut,
    CloneTakes(Span),
    InitdbFails,
    /// The checkpoint after the next promotion takes this long, so that control data lag.
    CheckpointTakes(Span),
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Member(Who),
    /// All servers of the store.
    Store,
    StoreServer(u8),
    Clients,
}

/// What flows between two members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lane {
    /// Replication, base backups, SQL.
    Data,
    /// REST.
    Api,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub from: End,
    pub to: End,
    pub way: Way,
    /// Only one lane between members; `None`: all. Ignored where the link has one lane only.
    pub lane: Option<Lane>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    Both,
    /// Only what `from` sends; the answers of `to` still come through.
    OneWay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireAct {
    /// Packets vanish: connects and requests hang.
    Cut,
    /// Connections are refused and reset at once.
    Refuse,
    Heal,
    /// Each message takes this much longer, and up to `jitter` more: messages overtake each other.
    Delay {
        by: Span,
        jitter: Span,
    },
    /// This many of a thousand messages vanish.
    Lose {
        per_mille: u32,
    },
    /// This many of a thousand requests arrive late by up to this long, after their sender gave up.
    Straggle {
        per_mille: u32,
        upto: Span,
    },
}

/// What happens to the store itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreAct {
    /// Every server down: connections are refused.
    StopAll,
    /// Every server frozen: connections are taken, nothing answers.
    HangAll,
    StartAll,
    StopServer(u8),
    HangServer(u8),
    StartServer(u8),
    /// This server is cut off from the others: it serves cached reads from what it has.
    IsolateServer(u8),
    RejoinServer(u8),
    /// A new leader of the store: every lease starts anew with its full ttl.
    Elect,
    /// A majority is lost, reads from caches go on.
    LoseQuorum,
    RegainQuorum,
    /// Everything takes this much longer, whether applied or not.
    Slow(Span),
    /// Writes are denied (permission, quota).
    DenyWrites,
    AllowWrites,
    /// All keys and leases are gone.
    Wipe,
    TakeSnapshot,
    /// Back to the snapshot taken last; revisions go back too.
    RollBack,
    DeleteKey(String),
    PutKey {
        key: String,
        value: String,
    },
    /// Drop every watch; the next list tells what was missed.
    Compact,
    /// Rate of the clock that times leases, against true time, in millionths.
    ClockRate {
        ppm: i32,
    },
    /// The known bug of etcd before 3.4.31 and 3.5.13: a store leader that was frozen revokes leases on thawing that
    /// were renewed meanwhile (breaks assumption A3).
    OldLeaderRevokes(Switch),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Switch {
    On,
    Off,
}

/// What people do through REST or the command line. `ask` is the member whose REST takes the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorAct {
    Switchover {
        ask: Who,
        /// `None`: whoever leads now.
        leader: Option<Who>,
        candidate: Option<Who>,
        after: Option<Span>,
    },
    Failover {
        ask: Who,
        candidate: Who,
    },
    CancelSwitchover {
        ask: Who,
    },
    Restart {
        who: Who,
    },
    Reinitialize {
        who: Who,
        force: bool,
    },
    Pause,
    Resume,
    /// A patch of the dynamic configuration, as JSON text.
    PatchConfig {
        patch: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientAct {
    On,
    Off,
    /// From now on at this pace.
    Pace(ClientShape),
}

impl From<&str> for Who {
    fn from(name: &str) -> Who {
        Who::Member(MemberName::from(name))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Member(name) => write!(f, "{name}"),
            Who::Leader => f.write_str("leader"),
            Who::Standby => f.write_str("standby"),
            Who::Any => f.write_str("any"),
            Who::Standbys => f.write_str("standbys"),
            Who::All => f.write_str("all"),
        }
    }
}

impl Act {
    /// Does an operator act here against what the agents decide by themselves (assumption A4, free run)?
    pub fn ends_free_run(&self) -> bool {
        match self {
            Act::Operator(OperatorAct::Failover { .. } | OperatorAct::Pause) => true,
            Act::Postgres { act, .. } => matches!(
                act,
                PostgresAct::PromoteByHand | PostgresAct::StartByHand | PostgresAct::StopByHand
            ),
            Act::Store(
                StoreAct::DeleteKey(_)
                | StoreAct::PutKey { .. }
                | StoreAct::Wipe
                | StoreAct::RollBack,
            ) => true,
            Act::Store(_)
            | Act::Operator(_)
            | Act::Agent { .. }
            | Act::Fencer { .. }
            | Act::Host { .. }
            | Act::Trouble { .. }
            | Act::Wire { .. }
            | Act::HealWire
            | Act::Clients(_)
            | Act::HealAll => false,
        }
    }
}
