//! What can be done to three servers named a, b and c, on real ones as on fakes.
//! Knows nothing of how either does it.

use serde::{Deserialize, Serialize};
use tanist_core::postgres::StopMode;
use tanist_core::time::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    A,
    B,
    C,
}

impl Server {
    pub const ALL: [Server; 3] = [Server::A, Server::B, Server::C];

    pub fn name(self) -> &'static str {
        match self {
            Server::A => "a",
            Server::B => "b",
            Server::C => "c",
        }
    }

    pub fn index(self) -> usize {
        self as usize
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Three empty data directories, and nothing known of what was before.
    Anew,
    Wait(Span),
    On(Server, Deed),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// Ends with a look at what it left.
    Operate(Lane),
    Attend(Side),

    Look,
    /// And at what only the right moment shows: streams, slots, positions.
    LookClosely,
    /// Names the end of what is written (of a standby: replayed) for comparisons later on.
    Mark(String),
    /// The commits, by their numbers, that a new session finds.
    Rows,
    /// Waits until it is so. Answers whether it came about.
    Await(Until),

    /// Of the application. Commits are numbered.
    Commit(Over),
    /// Over a session of its own, and nobody stays for the answer.
    BeginCommit,
    /// What became of the one that was begun last, half a second later.
    BegunCommit,
    /// SIGINT to its backend, as `pg_cancel_backend()` sends it.
    CancelWait,
    /// A few thousand rows in one commit that nobody counts.
    Fill,
    /// So many segments of WAL are finished.
    Segments(u32),
    /// `max_slot_wal_keep_size`, in segments, by a reload.
    LimitSlots(u32),
    CloseSession,
    /// A session calls a procedure that commits in a loop on the server.
    BeginLoop,
    /// Did the loop commit more than half a second after its postmaster was killed?
    LoopWentOn,

    /// Past the adapter: SIGTERM to the postmaster, as a supervisor or `pg_ctl stop -m smart` sends it. A smart stop.
    AskToStop,
    KillPostmaster,
    FreezePostmaster,
    ThawPostmaster,
    /// SIGKILL of the session's backend.
    KillBackend,
    PauseReplay,
    ResumeReplay,
}

impl Deed {
    /// It is done, and what came of it is seen by what follows.
    pub fn is_silent(&self) -> bool {
        match self {
            Deed::BeginCommit
            | Deed::CancelWait
            | Deed::Fill
            | Deed::Segments(_)
            | Deed::LimitSlots(_)
            | Deed::CloseSession
            | Deed::BeginLoop
            | Deed::AskToStop
            | Deed::KillPostmaster
            | Deed::FreezePostmaster
            | Deed::ThawPostmaster
            | Deed::KillBackend
            | Deed::PauseReplay
            | Deed::ResumeReplay => true,
            Deed::Operate(_)
            | Deed::Attend(_)
            | Deed::Look
            | Deed::LookClosely
            | Deed::Mark(_)
            | Deed::Rows
            | Deed::Await(_)
            | Deed::Commit(_)
            | Deed::BegunCommit
            | Deed::LoopWentOn => false,
        }
    }
}

/// The operations of the adapter's exclusive lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    Initdb,
    /// The roles of a new cluster; the application then makes its tables.
    PostBootstrap,
    Clone {
        of: Server,
    },
    /// One that ends well is followed by the application's session, which stays open.
    Start(Start),
    Stop(StopMode),
    Promote {
        timeline: u32,
        within: Span,
    },
    CrashRecovery,
    Rewind {
        from: Server,
    },
    Discard,
}

/// Its side tasks. A slot is named after the member that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    Checkpoint,
    CreateSlot(Server),
    DropSlot(Server),
    AdvanceSlot(Server, String),
    /// A reload that points a standby elsewhere.
    Follow(Server),
    /// A reload of a primary with these `synchronous_standby_names`.
    WaitFor(String),
    Ask(Server),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub role: Role,
    pub max_connections: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    Primary,
    /// In recovery, following nobody.
    Alone,
    Standby {
        of: Server,
    },
}

/// Which session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Over {
    /// The one that was opened after the start.
    Open,
    New,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// It lets a session in. The application then opens another, if it lost its own.
    Answers,
    /// No process is left.
    Gone,
    Streams,
    /// It has replayed all that this primary has written.
    CaughtUp(Server),
    /// It has received the last checkpoint of this one's control file.
    HasCheckpointOf(Server),
    OnTimeline(u32),
    ReplayPaused,
    /// The slot for this member has moved past the mark.
    SlotPast(Server, String),
}
