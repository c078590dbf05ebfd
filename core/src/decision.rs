//! Every verdict the agent can reach, each with its reason: the closed list that log, API, command line and
//! trace show in the same words. Knows nothing of how a verdict is reached or carried out.

use crate::config::MissingMode;
use crate::election_loss::ElectionLoss;
use crate::lsn::Lsn;
use crate::name::{MemberName, Term};
use crate::postgres::{DiscardReason, StartAs, StopPlan, Upstream};
use crate::time::Span;
use crate::timeline::{Divergence, TimelineId};
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Nothing to do now, for this reason.
    Wait(Waiting),
    /// The member holds the leader key and its PostgreSQL is the primary.
    Lead,
    /// The member streams from its upstream.
    Follow {
        leader: MemberName,
    },
    Stop {
        why: StopReason,
        plan: StopPlan,
        checkpoint_first: bool,
    },
    Cancel {
        why: CancelReason,
    },
    Initdb,
    PostBootstrap,
    Clone {
        source: Upstream,
    },
    Start {
        role: StartAs,
        why: StartReason,
    },
    Promote {
        term: Term,
    },
    CrashRecovery,
    Rewind {
        source: Upstream,
        divergence: Divergence,
    },
    Discard {
        why: DiscardReason,
    },
    /// Learn from the leader's PostgreSQL where its timeline forked.
    AskUpstream {
        upstream: Upstream,
    },
    Reconfigure {
        upstream: Upstream,
    },
    /// Read the store through its quorum before racing.
    ReadBeforeRace,
    /// Ask the other members who is ahead.
    Ballot,
    Acquire {
        why: AcquireReason,
    },
    Release {
        why: ReleaseReason,
    },
    /// Claim the founding of the cluster.
    ClaimInitialize,
    /// Give up the founding of the cluster.
    AbandonInitialize,
    /// Ask the members who may take over (before a planned switchover).
    ChooseCandidate,
    /// Ask the chosen candidate whether it holds the shutdown checkpoint.
    ConfirmCandidate {
        candidate: MemberName,
        checkpoint: Lsn,
    },
    Exit {
        code: u8,
        why: ExitReason,
    },
}

/// Why nothing is to be done now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    FirstLook,
    /// What is known of my own WAL may be older than this leader.
    FreshLook,
    StoreNeverSeen,
    StoreSilent {
        since: Span,
    },
    Operation {
        verb: String,
    },
    Paused,
    PausedWithoutPostgres,
    DataUnreadable {
        what: String,
    },
    LeaderNotReady {
        leader: MemberName,
        why: String,
    },
    SomebodyBootstraps,
    NobodyBootstraps,
    KeyInDoubt,
    KeyRequested,
    Election(ElectionLoss),
    ElectionPending,
    PostgresStarting {
        since: Span,
    },
    PostgresSilent {
        why: String,
    },
    /// It answers, and lets this agent not in.
    PostgresRefuses {
        why: String,
    },
    PostgresShuttingDown,
    RetryLater {
        what: String,
        after: String,
    },
    Diverged {
        leader: MemberName,
        remedy: String,
    },
    CheckpointOnLeader {
        leader: MemberName,
    },
    FencerNotReady,
    /// The fencer still holds the deadline of an authority that is over.
    FencerHoldsDeadline,
    PromoteOutOfTime,
    /// My promotion died half-way: for a while the others have the race to themselves.
    OthersAfterFailedPromotion,
    HandoverTo {
        candidate: Option<MemberName>,
    },
    ResumingSession,
    ModeMissing {
        mode: MissingMode,
    },
    CatchingUp {
        leader: MemberName,
    },
    NameTaken,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// Somebody else owns the leader key.
    KeyLostTo {
        owner: MemberName,
    },
    /// The key vanished and could not be taken again.
    KeyGone,
    NeverHadKey,
    AuthorityEnds {
        unrenewed: Span,
    },
    AuthorityOver {
        unrenewed: Span,
    },
    StoreNeverSeen,
    Switchover {
        candidate: Option<MemberName>,
    },
    Shutdown,
    LeftoverBackends {
        count: u32,
    },
    Restart,
    /// It runs along one timeline only, follows nobody, and has to go on along a newer one.
    OneTimeline {
        timeline: TimelineId,
    },
    /// It runs along one timeline only, and would not follow its leader to another one.
    OtherTimeline {
        timeline: TimelineId,
        leader: MemberName,
    },
    /// Replay stands still since the primary was given more of a setting than this standby was started with.
    FallsShort {
        setting: String,
        has: u64,
        needs: u64,
    },
    Reinit,
    Rewind {
        leader: MemberName,
    },
    /// Nothing but a person can bring it together with the leader.
    Diverged {
        leader: MemberName,
    },
    /// It has been starting for another upstream, or lacks the WAL to begin with.
    StartsInVain {
        leader: MemberName,
    },
    FencerLost,
    BootstrapFailed,
    PromotionFailed {
        why: String,
    },
    ModeMissing {
        mode: MissingMode,
    },
    StartTimeout {
        after: Span,
    },
    /// It runs and lets nobody in.
    LetsNobodyIn {
        after: Span,
    },
    /// Somebody else began to stop it, an earlier life of the agent perhaps, and it does not end.
    ShutdownHangs {
        after: Span,
    },
    DataDirectoryGone,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelReason {
    TermEnded {
        term: Term,
    },
    Stopping,
    LeaderChanged,
    StartTimeout,
    ReinitForced,
    /// Replay stands still with less of a setting than the primary had: the promotion can never come about.
    FallsShort,
    /// A stop in order is under way and the authority to write is over: it becomes immediate.
    AuthorityOver,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartReason {
    /// The primary crashed within its start budget.
    CrashedPrimary,
    NewCluster,
    /// The hand-over was given up; the leader key is still held.
    HandoverAbandoned,
    RestartRequested,
    /// It stopped cleanly and the key is still held.
    KeyStillHeld,
    Following {
        leader: MemberName,
    },
    /// Nobody leads; read-only until somebody does.
    NobodyLeads,
    /// Somebody leads and has not been ready to be followed for long; read-only.
    LeaderNotReady {
        leader: MemberName,
    },
    /// The key is held, the directory is a standby's: promotion follows.
    BeforePromote,
    /// A diverged standby that crashed: it must have been stopped cleanly before it can be rewound.
    CleanStopFirst,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AcquireReason {
    Bootstrap,
    /// A running primary found the cluster without a leader key (first start, or after pause).
    RunningPrimary,
    /// The store knows no cluster, and the server that is down here was a primary.
    FormerPrimary,
    Healthiest {
        position: Lsn,
        answered: u32,
        silent: u32,
    },
    Named,
    /// The key vanished under a primary with authority.
    KeyGone,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseReason {
    Switchover {
        candidate: MemberName,
        checkpoint: Lsn,
    },
    Shutdown,
    DataDirectoryGone,
    /// It cannot be read, be started, or is still held by processes that were killed and cannot end.
    DataUnusable {
        what: String,
    },
    CannotStart {
        after: Span,
    },
    CannotPromote {
        why: String,
    },
    BootstrapFailed,
    PausedWithoutPostgres,
    PausedStandby,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitReason {
    Stopped,
    StoppedPaused,
    SystemIdMismatch { mine: String, cluster: String },
    StandbyCannotFound,
    AssertionFailed { what: String },
}

impl Decision {
    /// Is this another decision, rather than the same one with newer numbers in its reason?
    pub fn kind_differs(&self, other: &Decision) -> bool {
        match (self, other) {
            (Decision::Wait(a), Decision::Wait(b)) => match (a, b) {
                (Waiting::Election(a), Waiting::Election(b)) => {
                    std::mem::discriminant(a) != std::mem::discriminant(b)
                }
                (a, b) => std::mem::discriminant(a) != std::mem::discriminant(b),
            },
            (a, b) => {
                std::mem::discriminant(a) != std::mem::discriminant(b) || (a != b && !a.is_calm())
            }
        }
    }

    fn is_calm(&self) -> bool {
        matches!(self, Decision::Lead | Decision::Wait(_))
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Wait(w) => write!(f, "{w}"),
            Decision::Lead => f.write_str("no action. I am the leader with the lock"),
            Decision::Follow { leader } => write!(
                f,
                "no action. I am a secondary, and following a leader ({leader})"
            ),
            Decision::Stop { why, .. } => write!(f, "stopping PostgreSQL: {why}"),
            Decision::Cancel { why } => write!(f, "cancelling the running operation: {why}"),
            Decision::Initdb => f.write_str("bootstrapping a new cluster with initdb"),
            Decision::PostBootstrap => f.write_str("creating the roles of the new cluster"),
            Decision::Clone { source } => write!(f, "cloning from {}", source.member),
            Decision::Start {
                role: StartAs::Primary,
                why,
            } => write!(f, "starting as primary: {why}"),
            Decision::Start {
                role: StartAs::Standby { .. },
                why,
            } => write!(f, "starting as standby: {why}"),
            Decision::Start {
                role: StartAs::OneTimeline { timeline, .. },
                why,
            } => write!(
                f,
                "starting as standby along timeline {timeline} only: {why}"
            ),
            Decision::Promote { term } => write!(
                f,
                "promoting: leader key held since revision {term}, write authority armed"
            ),
            Decision::CrashRecovery => {
                f.write_str("recovering in single-user mode, since it was not stopped cleanly")
            }
            Decision::Rewind { source, divergence } => {
                write!(f, "rewinding from {}: {}", source.member, Fork(*divergence))
            }
            Decision::Discard { why } => {
                write!(f, "discarding the data directory: {}", Discarding(*why))
            }
            Decision::AskUpstream { upstream } => {
                write!(f, "asking {} where its timeline forked", upstream.member)
            }
            Decision::Reconfigure { upstream } => {
                write!(f, "following {} from now on", upstream.member)
            }
            Decision::ReadBeforeRace => {
                f.write_str("leader key is absent: reading the store through its quorum")
            }
            Decision::Ballot => {
                f.write_str("leader key is absent: asking the other members who is ahead")
            }
            Decision::Acquire { why } => write!(f, "trying to acquire the leader key: {why}"),
            Decision::Release { why } => write!(f, "releasing the leader key: {why}"),
            Decision::ClaimInitialize => {
                f.write_str("no cluster yet: racing for the initialize key")
            }
            Decision::AbandonInitialize => {
                f.write_str("bootstrap failed: removing the initialize key")
            }
            Decision::ChooseCandidate => {
                f.write_str("switchover requested: asking the members who can take over")
            }
            Decision::ConfirmCandidate {
                candidate,
                checkpoint,
            } => {
                write!(
                    f,
                    "waiting until {candidate} holds the shutdown checkpoint at {checkpoint}"
                )
            }
            Decision::Exit { why, .. } => write!(f, "exiting: {why}"),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting::FirstLook => f.write_str("looking at the local PostgreSQL"),
            Waiting::FreshLook => f.write_str("looking where my own WAL ends now"),
            Waiting::StoreNeverSeen => f.write_str("waiting for the DCS"),
            Waiting::StoreSilent { since } => {
                write!(f, "DCS is not accessible (last answer {since} ago)")
            }
            Waiting::Operation { verb } => write!(f, "{verb} in progress"),
            Waiting::Paused => f.write_str("PAUSE: no action"),
            Waiting::PausedWithoutPostgres => f.write_str("PAUSE: postgres is not running"),
            Waiting::DataUnreadable { what } => {
                write!(f, "data directory is not accessible: {what}")
            }
            Waiting::LeaderNotReady { leader, why } => {
                write!(f, "waiting for the leader {leader}: {why}")
            }
            Waiting::SomebodyBootstraps => {
                f.write_str("waiting for another member to bootstrap the cluster")
            }
            Waiting::NobodyBootstraps => f.write_str("waiting for leader to bootstrap"),
            Waiting::KeyInDoubt => {
                f.write_str("leader key in doubt: its write had no verdict, asking the store")
            }
            Waiting::KeyRequested => f.write_str("waiting for the DCS's verdict on the leader key"),
            Waiting::Election(loss) => write!(f, "not taking the leader key: {loss}"),
            Waiting::ElectionPending => f.write_str("waiting for the other members' answers"),
            Waiting::PostgresStarting { since } => {
                write!(f, "PostgreSQL is starting (for {since})")
            }
            Waiting::PostgresRefuses { why } => write!(
                f,
                "PostgreSQL refuses a session ({why}); its last known role stands"
            ),
            Waiting::PostgresSilent { why } => write!(
                f,
                "PostgreSQL does not answer ({why}); its last known role stands"
            ),
            Waiting::PostgresShuttingDown => f.write_str("PostgreSQL is shutting down"),
            Waiting::RetryLater { what, after } => {
                write!(f, "{what} failed ({after}); trying again later")
            }
            Waiting::Diverged { leader, remedy } => write!(f, "diverged from {leader}: {remedy}"),
            Waiting::CheckpointOnLeader { leader } => write!(
                f,
                "waiting for {leader} to write a checkpoint on its timeline before pg_rewind"
            ),
            Waiting::FencerNotReady => {
                f.write_str("waiting until the fencer is armed: nothing may write before")
            }
            Waiting::FencerHoldsDeadline => {
                f.write_str("waiting until the fencer has let go of its deadline")
            }
            Waiting::PromoteOutOfTime => {
                f.write_str("not promoting: too little of the lease is left, renewing first")
            }
            Waiting::OthersAfterFailedPromotion => f.write_str(
                "staying down: my promotion died half-way, and others go first for a while",
            ),
            Waiting::HandoverTo { candidate: Some(c) } => {
                write!(f, "handed over: waiting for {c} to take the leader key")
            }
            Waiting::HandoverTo { candidate: None } => {
                f.write_str("handed over: waiting for a new leader")
            }
            Waiting::ResumingSession => f.write_str("resuming the session of my previous life"),
            Waiting::ModeMissing { mode } => write!(
                f,
                "not racing: the configuration asks for {mode}, which this build does not have: remove it, or let a member lead that has it"
            ),
            Waiting::CatchingUp { leader } => write!(f, "running, not yet streaming from {leader}"),
            Waiting::NameTaken => f.write_str("not acting: another live member uses this name"),
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::KeyLostTo { owner } => write!(f, "the leader key belongs to {owner}"),
            StopReason::KeyGone => {
                f.write_str("the leader key is gone and could not be taken again")
            }
            StopReason::NeverHadKey => f.write_str("running as a primary without the leader key"),
            StopReason::AuthorityEnds { unrenewed } => {
                write!(
                    f,
                    "leader key not renewed for {unrenewed}, stopping in order before the lease can expire"
                )
            }
            StopReason::AuthorityOver { unrenewed } => write!(
                f,
                "leader key not renewed for {unrenewed}, write authority is over"
            ),
            StopReason::StoreNeverSeen => {
                f.write_str("running as a primary and the DCS has not answered since my start")
            }
            StopReason::Switchover { candidate: Some(c) } => write!(f, "switchover to {c}"),
            StopReason::Switchover { candidate: None } => f.write_str("switchover"),
            StopReason::Shutdown => f.write_str("the agent was asked to end"),
            StopReason::LeftoverBackends { count } => {
                write!(
                    f,
                    "{count} processes outlived their postmaster and could go on committing"
                )
            }
            StopReason::Restart => f.write_str("restart requested"),
            StopReason::OneTimeline { timeline } => write!(
                f,
                "it runs along timeline {timeline} only, and does not go on there"
            ),
            StopReason::OtherTimeline { timeline, leader } => write!(
                f,
                "it runs along timeline {timeline} only, and {leader} is on another one"
            ),
            StopReason::FallsShort {
                setting,
                has,
                needs,
            } => write!(
                f,
                "replay stands still with {setting} = {has}, the primary has {needs}: restarting with as much"
            ),
            StopReason::Reinit => f.write_str("reinit requested"),
            StopReason::Rewind { leader } => write!(f, "diverged from {leader}, must be rewound"),
            StopReason::Diverged { leader } => write!(
                f,
                "diverged from {leader} on a timeline of the same number: run tanistctl reinit"
            ),
            StopReason::StartsInVain { leader } => write!(
                f,
                "it waits for WAL that does not come, to be started for {leader}"
            ),
            StopReason::FencerLost => {
                f.write_str("the fencer is gone and could not be armed again in time")
            }
            StopReason::ShutdownHangs { after } => {
                write!(f, "it has been shutting down for {after} and does not end")
            }
            StopReason::BootstrapFailed => f.write_str("bootstrap failed"),
            StopReason::PromotionFailed { why } => write!(f, "promotion failed: {why}"),
            StopReason::ModeMissing { mode } => {
                write!(
                    f,
                    "the configuration asks for {mode}, which this build does not have: handing over"
                )
            }
            StopReason::StartTimeout { after } => write!(f, "not up after {after}, handing over"),
            StopReason::LetsNobodyIn { after } => {
                write!(
                    f,
                    "it has let nobody in for {after}: ending it as a crashed primary"
                )
            }
            StopReason::DataDirectoryGone => {
                f.write_str("the data directory is gone under the running server")
            }
        }
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CancelReason::TermEnded { term } => write!(
                f,
                "the tenure of the leader key it was begun for ({term}) has ended"
            ),
            CancelReason::Stopping => f.write_str("the agent was asked to end"),
            CancelReason::LeaderChanged => f.write_str("the leader has changed"),
            CancelReason::StartTimeout => f.write_str("the start budget is spent"),
            CancelReason::FallsShort => {
                f.write_str("replay stands still with less of a setting than the primary had")
            }
            CancelReason::ReinitForced => f.write_str("a forced reinit was requested"),
            CancelReason::AuthorityOver => {
                f.write_str("the write authority is over: the stop becomes immediate")
            }
        }
    }
}

impl fmt::Display for StartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartReason::CrashedPrimary => f.write_str("it crashed and the leader key is held"),
            StartReason::NewCluster => f.write_str("new cluster"),
            StartReason::HandoverAbandoned => {
                f.write_str("the switchover was given up, the leader key is held")
            }
            StartReason::RestartRequested => f.write_str("restart requested"),
            StartReason::KeyStillHeld => f.write_str("the leader key is still held"),
            StartReason::Following { leader } => write!(f, "following {leader}"),
            StartReason::NobodyLeads => f.write_str("nobody leads, read-only"),
            StartReason::LeaderNotReady { leader } => {
                write!(f, "the leader {leader} is not ready, read-only until it is")
            }
            StartReason::BeforePromote => f.write_str("the leader key is held, promotion follows"),
            StartReason::CleanStopFirst => {
                f.write_str("it crashed, and only what was stopped cleanly can be rewound")
            }
        }
    }
}

impl fmt::Display for AcquireReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcquireReason::Bootstrap => f.write_str("founding the cluster"),
            AcquireReason::RunningPrimary => f.write_str("I run as a primary and nobody leads"),
            AcquireReason::FormerPrimary => {
                f.write_str("the store knows no cluster, and this was its primary")
            }
            AcquireReason::Healthiest {
                position,
                answered,
                silent,
            } => write!(
                f,
                "nobody is ahead of {position} ({answered} members answered, {silent} silent)"
            ),
            AcquireReason::Named => f.write_str("I am the named candidate"),
            AcquireReason::KeyGone => f.write_str("it vanished while I held it"),
        }
    }
}

impl fmt::Display for ReleaseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReleaseReason::Switchover {
                candidate,
                checkpoint,
            } => {
                write!(
                    f,
                    "{candidate} holds the shutdown checkpoint at {checkpoint}"
                )
            }
            ReleaseReason::Shutdown => f.write_str("PostgreSQL is down and the agent ends"),
            ReleaseReason::DataDirectoryGone => f.write_str("the data directory is gone"),
            ReleaseReason::DataUnusable { what } => {
                write!(f, "the data directory cannot be used: {what}")
            }
            ReleaseReason::CannotStart { after } => write!(
                f,
                "PostgreSQL did not come up within {after} and another member can take over"
            ),
            ReleaseReason::CannotPromote { why } => write!(f, "promotion failed: {why}"),
            ReleaseReason::BootstrapFailed => f.write_str("bootstrap failed"),
            ReleaseReason::PausedWithoutPostgres => f.write_str("PAUSE: PostgreSQL is not running"),
            ReleaseReason::PausedStandby => f.write_str("PAUSE: PostgreSQL is not a primary"),
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Stopped => f.write_str("stopped as asked"),
            ExitReason::StoppedPaused => f.write_str("stopped as asked; the cluster is paused, PostgreSQL is left as it is"),
            ExitReason::SystemIdMismatch { mine, cluster } => write!(
                f,
                "my data directory belongs to another cluster (system identifier {mine}, this cluster has {cluster}); \
                 nothing was changed: move it away or correct scope and namespace"
            ),
            ExitReason::StandbyCannotFound => {
                f.write_str("this PostgreSQL is a standby and there is no cluster yet: start Tanist on its primary first")
            }
            ExitReason::AssertionFailed { what } => write!(f, "an assertion of mine failed ({what}); leadership was ended in order"),
        }
    }
}

/// A divergence in words.
pub struct Fork(pub Divergence);

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Divergence::None => f.write_str("not diverged"),
            Divergence::Forked { from, at } if at.is_valid() => {
                write!(f, "my WAL leaves the leader's at {at} on timeline {from}")
            }
            Divergence::Forked { from, .. } => {
                write!(f, "my WAL and the leader's part on timeline {from}")
            }
            Divergence::Ahead { of, at } => {
                write!(f, "I am on a newer timeline that left {of} at {at}")
            }
        }
    }
}

/// Why data is discarded, in words.
pub struct Discarding(pub DiscardReason);

impl fmt::Display for Discarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            DiscardReason::ReinitRequested => "reinit requested",
            DiscardReason::CloneUnfinished => "an unfinished clone",
            DiscardReason::BootstrapFailed => "bootstrap failed",
            DiscardReason::RewindFailed => {
                "pg_rewind failed (remove_data_directory_on_rewind_failure)"
            }
            DiscardReason::DivergedTimelines => {
                "diverged and not rewindable (remove_data_directory_on_diverged_timelines)"
            }
        })
    }
}
