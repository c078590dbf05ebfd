//! What happened in a run, as typed events with their true time: the raw material of every report.
//! Knows nothing of how it is shown.

use crate::act::Act;
use crate::moment::Moment;
use serde::{Deserialize, Serialize};
use tanist_core::lsn::Lsn;
use tanist_core::name::MemberName;
use tanist_core::note::Note;
use tanist_core::operator::Answer;
use tanist_core::time::Span;
use tanist_core::timeline::TimelineId;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub at: Moment,
    pub what: What,
}

/// One visible change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// An act was applied, to these members (empty: it names none).
    Acted {
        act: Act,
        on: Vec<MemberName>,
    },
    AgentStarted {
        member: MemberName,
        incarnation: u64,
    },
    AgentEnded {
        member: MemberName,
        how: HowEnded,
    },
    FencerStarted {
        member: MemberName,
    },
    FencerDied {
        member: MemberName,
    },
    FencerFired {
        member: MemberName,
    },
    /// Nobody kept the watchdog alive: it resets the host.
    WatchdogFired {
        member: MemberName,
    },
    /// The member's PostgreSQL changed: role, timeline, or whether it can report a commit.
    Postgres {
        member: MemberName,
        role: Role,
        timeline: TimelineId,
        can_write: bool,
    },
    /// An operation of the exclusive lane began or ended (`outcome`).
    Operation {
        member: MemberName,
        verb: String,
        outcome: Option<String>,
    },
    /// The leader key changed in the store.
    LeaderKey {
        owner: Option<MemberName>,
    },
    /// A key other than the leader key changed in the store.
    Key {
        key: String,
        value: Option<String>,
    },
    /// A standby began or ceased to stream.
    Streaming {
        member: MemberName,
        from: Option<MemberName>,
    },
    Promoted {
        member: MemberName,
        timeline: TimelineId,
        at: Lsn,
    },
    /// A commit was acknowledged to a client.
    Acked {
        commit: u64,
        member: MemberName,
        timeline: TimelineId,
    },
    /// Commits that a client holds as acknowledged are not in the new leader's WAL.
    Lost {
        commits: u64,
        leader: MemberName,
    },
    /// The agent said something.
    Note {
        member: MemberName,
        note: Note,
    },
    /// An operator's request ended.
    Answered {
        member: MemberName,
        answer: Answer,
    },
    Mark(String),
    Broken {
        invariant: String,
        story: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HowEnded {
    Killed,
    Exited(u8),
    HostDown,
}

/// What a member's PostgreSQL is, as it truly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Nothing runs, and the host is down.
    HostDown,
    /// No process of the instance is left.
    Stopped,
    /// Starting, not yet accepting connections.
    Starting,
    Standby,
    /// A standby on its way to primary.
    Promoting,
    Primary,
    /// A stop has begun and processes are left.
    Stopping,
    /// The postmaster is gone, backends are left.
    Orphaned,
}

/// The first broken promise of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The invariant's id and name, such as `S01 one writer`.
    pub invariant: String,
    pub at: Moment,
    /// What was true that must not be, in a sentence.
    pub story: String,
}

/// How often an invariant was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub evaluations: u64,
    /// Evaluations set aside because an assumption did not hold.
    pub suspended: u64,
    pub suspended_for: Span,
}

impl Counted {
    pub const NOTHING: Counted = Counted {
        evaluations: 0,
        suspended: 0,
        suspended_for: Span::ZERO,
    };

    pub fn and(self, other: Counted) -> Counted {
        Counted {
            evaluations: self.evaluations + other.evaluations,
            suspended: self.suspended + other.suspended,
            suspended_for: self.suspended_for + other.suspended_for,
        }
    }
}
