//! What a server answers, in words that chance leaves alone: a position is the mark that it lies behind, a copy or a
//! system is the how-many-eth that was seen, a refusal is a class and not a text.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tanist_core::postgres::{DbState, Ended, Observation};

/// What either side saw, before it is put into these words.
#[derive(Clone, Debug)]
pub enum Seen {
    Nothing,
    Ended(Ended, Observation),
    Attended(Ended),
    Observed(Observation),
    Commit(Commit),
    /// `None`: no session was had.
    Rows(Option<Vec<u32>>),
    CameAbout(bool),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Ended { how: How, left: Look },
    Attended(How),
    Facts(Facts),
    Looked(Look),
    LookedClosely(Look, Option<Told>),
    Commit(Commit),
    Rows(Option<Vec<u32>>),
    CameAbout(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Commit {
    Acknowledged,
    Not,
    /// There is no answer yet.
    Waits,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    Done,
    Refused(Refusal),
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// A postmaster runs in the directory.
    Running,
    /// Backends without a postmaster do.
    Outlived,
    NotEmpty,
    /// The directory was not shut down cleanly.
    Unclean,
    OtherSystem,
    SourceAway,
    SourceInRecovery,
    /// It was promoted and has no checkpoint on its new timeline.
    SourceWithoutCheckpoint,
    OneTimeline,
    NotInRecovery,
    NotInTime,
    /// The server ended over it.
    ServerEnded,
    NotAccepting,
    SlotInUse,
    /// WAL that it needs is not there any more.
    WalRemoved,
    /// None of these; never in a transcript.
    Other(String),
}

/// Words of the adapter, of PostgreSQL or of the fake, and what they mean. The first that is found counts.
const WORDS: [(&str, Refusal); 29] = [
    ("not ready in time", Refusal::NotInTime),
    ("connections in time", Refusal::NotInTime),
    ("outlived their postmaster", Refusal::Outlived),
    ("runs in the data directory", Refusal::Running),
    ("pre-existing shared memory block", Refusal::Outlived),
    ("is not empty", Refusal::NotEmpty),
    ("must be shut down cleanly", Refusal::Unclean),
    ("from different systems", Refusal::OtherSystem),
    ("the source is in recovery", Refusal::SourceInRecovery),
    (
        "has no checkpoint on its timeline",
        Refusal::SourceWithoutCheckpoint,
    ),
    ("no rewind required", Refusal::OneTimeline),
    ("not in recovery", Refusal::NotInRecovery),
    ("not in standby mode", Refusal::NotInRecovery),
    ("not left recovery in time", Refusal::NotInTime),
    ("still in recovery", Refusal::NotInTime),
    ("insufficient parameter settings", Refusal::ServerEnded),
    ("startup process", Refusal::ServerEnded),
    ("the server ended", Refusal::ServerEnded),
    ("the postmaster ended", Refusal::ServerEnded),
    ("could not find previous WAL record", Refusal::WalRemoved),
    ("could not read WAL record", Refusal::WalRemoved),
    ("is active for PID", Refusal::SlotInUse),
    ("slot is active", Refusal::SlotInUse),
    ("connection refused", Refusal::SourceAway),
    ("Connection refused", Refusal::SourceAway),
    ("was refused", Refusal::SourceAway),
    ("could not connect", Refusal::SourceAway),
    ("does not accept connections", Refusal::NotAccepting),
    ("the database system is", Refusal::NotAccepting),
];

impl How {
    pub fn of(ended: &Ended) -> How {
        match ended {
            Ended::Done | Ended::Upstream(_) => How::Done,
            Ended::Cancelled => How::Cancelled,
            Ended::Failed(why) => {
                let known = WORDS.iter().find(|(words, _)| why.contains(words));
                let other = || Refusal::Other(why.clone());
                How::Refused(known.map_or_else(other, |(_, refusal)| refusal.clone()))
            }
        }
    }
}

/// The mark that a position lies at or behind: the last of those that are not greater. `start`: before all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(pub String);

/// What does not depend on the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    pub dir: Dir,
    pub control: Option<Control>,
    pub standby_signal: bool,
    pub roles_owed: bool,
    pub led_last: bool,
    /// Timelines to which it noted that it promotes itself.
    pub promoted: Vec<u32>,
    /// Which copy of the data.
    pub copy: Option<usize>,
    /// Not of a running standby, unless it is looked at closely: it learns of forks as it goes on.
    pub history: Option<Vec<Fork>>,
    pub postmaster: bool,
    pub backends: bool,
    pub sql: Sql,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dir {
    Empty,
    Odd,
    HalfCloned,
    HalfRewound,
    Whole,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    pub system: usize,
    pub state: DbState,
    pub timeline: u32,
    pub checkpoint: Place,
    /// Only of a server that is down: it moves as a standby goes on.
    pub min_recovery: Option<(Place, u32)>,
    pub max_connections: u64,
}

impl Control {
    /// Without what a checkpoint that nobody ordered changes when it comes: the one that follows a promotion.
    pub fn without_its_checkpoint(self) -> Control {
        Control {
            timeline: 0,
            checkpoint: Place("at some time".into()),
            ..self
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    pub timeline: u32,
    pub ends: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sql {
    NotRunning,
    Starting,
    ShuttingDown,
    Silent,
    Primary,
    Standby,
}

/// What a session told at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub timeline: u32,
    /// Of a primary.
    pub written: Option<Place>,
    /// Of a standby: the greater of what it received and what it replayed. What it received goes back to the begin of
    /// the segment where it asks for another timeline, and is nothing at all where it has asked nobody.
    pub held: Option<Place>,
    pub replayed: Option<Place>,
    pub replay_paused: bool,
    pub streaming: bool,
    pub upstream: Option<String>,
    pub upstream_slot: Option<String>,
    pub slots: BTreeMap<String, Slot>,
    pub standbys: Vec<String>,
    pub max_connections: u64,
    pub pending_restart: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    pub active: bool,
    pub lost: bool,
    /// From where it retains WAL.
    pub from: Option<Place>,
}

/// What another member's server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub system: usize,
    pub in_recovery: bool,
    pub control_timeline: u32,
    pub timeline: u32,
    pub history: Vec<Fork>,
    pub written: Place,
}
