//! Why a member does not take the leader key, in words. Knows nothing of how a race is judged.

use crate::lsn::Lsn;
use crate::name::MemberName;
use crate::timeline::TimelineId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a member did not take the leader key in this round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ElectionLoss {
    NoFailoverTag,
    NotRunning,
    Ahead {
        member: MemberName,
        theirs: Lsn,
        mine: Lsn,
    },
    NewerTimeline {
        member: MemberName,
        theirs: TimelineId,
    },
    Priority {
        member: MemberName,
        theirs: i64,
        mine: i64,
    },
    StillPrimary {
        member: MemberName,
    },
    StillStreaming {
        from: MemberName,
    },
    Lag {
        bytes: u64,
        allowed: u64,
    },
    BehindClusterTimeline {
        mine: Option<TimelineId>,
        cluster: TimelineId,
    },
    PastFork {
        timeline: TimelineId,
        fork: Lsn,
        mine: Lsn,
    },
    /// My WAL leaves a timeline where the cluster's does not.
    OtherFork {
        timeline: TimelineId,
        mine: Lsn,
        cluster: Lsn,
    },
    /// I opened a timeline of this number, and the cluster's is the one that `opener` opened.
    NumberOfAnother {
        timeline: TimelineId,
        opener: MemberName,
    },
    CandidateNamed {
        candidate: MemberName,
    },
    SwitchoverFromMe,
    Conflict,
    ReplayPaused,
    SystemIdUnknown,
}

impl ElectionLoss {
    /// It lacks WAL, or has some that the cluster has not: waiting does not help.
    pub fn is_of_my_wal(&self) -> bool {
        match self {
            ElectionLoss::Ahead { .. }
            | ElectionLoss::NewerTimeline { .. }
            | ElectionLoss::Lag { .. }
            | ElectionLoss::BehindClusterTimeline { .. }
            | ElectionLoss::PastFork { .. }
            | ElectionLoss::OtherFork { .. }
            | ElectionLoss::NumberOfAnother { .. } => true,
            ElectionLoss::NoFailoverTag
            | ElectionLoss::NotRunning
            | ElectionLoss::Priority { .. }
            | ElectionLoss::StillPrimary { .. }
            | ElectionLoss::StillStreaming { .. }
            | ElectionLoss::CandidateNamed { .. }
            | ElectionLoss::SwitchoverFromMe
            | ElectionLoss::Conflict
            | ElectionLoss::ReplayPaused
            | ElectionLoss::SystemIdUnknown => false,
        }
    }

    /// Of a timeline that the cluster has left behind, by its own history: what it has counts for nobody.
    pub fn is_of_another_branch(&self) -> bool {
        matches!(
            self,
            ElectionLoss::BehindClusterTimeline { .. }
                | ElectionLoss::PastFork { .. }
                | ElectionLoss::OtherFork { .. }
                | ElectionLoss::NumberOfAnother { .. }
        )
    }
}

impl fmt::Display for ElectionLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElectionLoss::NoFailoverTag => f.write_str("I am not allowed to promote (nofailover)"),
            ElectionLoss::NotRunning => f.write_str("my PostgreSQL is not running"),
            ElectionLoss::Ahead {
                member,
                theirs,
                mine,
            } => write!(f, "{member} is ahead ({theirs}, mine {mine})"),
            ElectionLoss::NewerTimeline { member, theirs } => {
                write!(f, "{member} is on the newer timeline {theirs}")
            }
            ElectionLoss::Priority {
                member,
                theirs,
                mine,
            } => {
                write!(
                    f,
                    "{member} has the same position and a higher failover_priority ({theirs}, mine {mine})"
                )
            }
            ElectionLoss::StillPrimary { member } => write!(f, "{member} is still a primary"),
            ElectionLoss::StillStreaming { from } => {
                write!(f, "{from} still streams to me and its key was not released")
            }
            ElectionLoss::Lag { bytes, allowed } => {
                write!(
                    f,
                    "{bytes} bytes behind the last known leader position, maximum_lag_on_failover is {allowed}"
                )
            }
            ElectionLoss::BehindClusterTimeline {
                mine: Some(mine),
                cluster,
            } => {
                write!(
                    f,
                    "my timeline {mine} is behind the cluster's {cluster} (check_timeline)"
                )
            }
            ElectionLoss::BehindClusterTimeline {
                mine: None,
                cluster,
            } => {
                write!(
                    f,
                    "my timeline is unknown, the cluster's is {cluster} (check_timeline)"
                )
            }
            ElectionLoss::PastFork {
                timeline,
                fork,
                mine,
            } => {
                write!(
                    f,
                    "my WAL ({mine}) goes past {fork}, where timeline {timeline} ended: I am diverged"
                )
            }
            ElectionLoss::OtherFork {
                timeline,
                mine,
                cluster,
            } => {
                write!(
                    f,
                    "my WAL leaves timeline {timeline} at {mine}, the cluster's at {cluster}: I am diverged"
                )
            }
            ElectionLoss::NumberOfAnother { timeline, opener } => {
                write!(
                    f,
                    "my timeline {timeline} is not the cluster's, which {opener} opened: I am diverged"
                )
            }
            ElectionLoss::CandidateNamed { candidate } => {
                write!(f, "{candidate} was named as the candidate")
            }
            ElectionLoss::SwitchoverFromMe => {
                f.write_str("a switchover away from me was requested")
            }
            ElectionLoss::Conflict => f.write_str("another member was faster"),
            ElectionLoss::ReplayPaused => f.write_str("replay is paused"),
            ElectionLoss::SystemIdUnknown => f.write_str("my system identifier is unknown"),
        }
    }
}
