//! What the agent tells: a closed enum, one variant a kind of event, rendered here and nowhere else.

use crate::config::MissingMode;
use crate::decision::Decision;
use crate::name::{MemberName, OpId, RequestId, Term};
use crate::time::Span;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// A new decision, with its reason.
    Decided(Decision),
    LeaderChanged {
        from: Option<MemberName>,
        to: Option<MemberName>,
    },
    KeyAcquired {
        term: Term,
    },
    KeyRenewalFailed {
        why: String,
        authority_left: Span,
    },
    KeyReleased,
    OperationStarted {
        op: OpId,
        verb: String,
    },
    OperationEnded {
        op: OpId,
        verb: String,
        how: String,
    },
    /// A value in the store that makes no sense; the last good one stays in force.
    Unreadable {
        key: String,
        value: String,
    },
    ConfigComplaint {
        what: String,
    },
    /// An answer to something that is not waited for any more.
    Late {
        op: OpId,
    },
    StoreFailed {
        what: String,
        why: String,
    },
    /// It had not begun when this member became the leader.
    ReinitGivenUp,
    WatchLost {
        why: String,
    },
    /// Another agent goes by this member's name: it has written the member key.
    Namesake {
        api_url: String,
    },
    FencerReady,
    FencerLost {
        why: String,
    },
    FencerRefused {
        why: String,
    },
    /// The fencer ended PostgreSQL since the deadline was not moved.
    FencerFired {
        term: Term,
    },
    SideTaskFailed {
        what: String,
        why: String,
    },
    RequestTaken {
        request: RequestId,
        what: String,
    },
    RequestEnded {
        request: RequestId,
        how: String,
    },
    /// A request in the failover key was dropped.
    FailoverKeyDropped {
        why: String,
    },
    /// No member that has the mode which this build lacks could take over.
    ModeHandoverGivenUp {
        mode: MissingMode,
        why: String,
    },
    PauseChanged {
        paused: bool,
    },
    /// A rule of this agent's own was broken: leadership ends in order.
    AssertionFailed {
        what: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = || MemberName::from("nobody");
        match self {
            Note::Decided(decision) => write!(f, "{decision}"),
            Note::LeaderChanged { from, to } => write!(
                f,
                "leader changed from {} to {}",
                from.clone().unwrap_or_else(none),
                to.clone().unwrap_or_else(none)
            ),
            Note::KeyAcquired { term } => write!(f, "acquired the leader key (revision {term})"),
            Note::KeyRenewalFailed {
                why,
                authority_left,
            } => {
                write!(
                    f,
                    "leader key not renewed: {why}; write authority lasts {authority_left} more"
                )
            }
            Note::KeyReleased => f.write_str("released the leader key"),
            Note::OperationStarted { op, verb } => write!(f, "{verb} started ({op})"),
            Note::OperationEnded { op, verb, how } => write!(f, "{verb} ended ({op}): {how}"),
            Note::Unreadable { key, value } => {
                write!(
                    f,
                    "DCS key {key} cannot be read ({value:?}); the last good value stays in force"
                )
            }
            Note::ConfigComplaint { what } => write!(f, "configuration: {what}"),
            Note::Late { op } => write!(f, "late answer to {op} ignored"),
            Note::StoreFailed { what, why } => write!(f, "{what} failed: {why}"),
            Note::Namesake { api_url } => write!(
                f,
                "another agent goes by my name and answers at {api_url}: end it, or give it a name of its own"
            ),
            Note::ReinitGivenUp => {
                f.write_str("the reinit that was asked for is off: I hold the leader key now")
            }
            Note::WatchLost { why } => write!(f, "watch of the DCS lost: {why}"),
            Note::FencerReady => f.write_str("fencer is ready"),
            Note::FencerLost { why } => write!(f, "fencer lost: {why}"),
            Note::FencerRefused { why } => write!(f, "fencer refused: {why}"),
            Note::FencerFired { term } => {
                write!(
                    f,
                    "the fencer ended PostgreSQL: the write authority of term {term} was over"
                )
            }
            Note::SideTaskFailed { what, why } => write!(f, "{what} failed: {why}"),
            Note::RequestTaken { request, what } => write!(f, "request {request}: {what}"),
            Note::RequestEnded { request, how } => write!(f, "request {request} ended: {how}"),
            Note::FailoverKeyDropped { why } => write!(f, "failover request dropped: {why}"),
            Note::ModeHandoverGivenUp { mode, why } => write!(
                f,
                "leading on without {mode}, which the configuration asks for and this build does not have: {why}"
            ),
            Note::PauseChanged { paused: true } => {
                f.write_str("paused: PostgreSQL is left to the operator")
            }
            Note::PauseChanged { paused: false } => f.write_str("resumed"),
            Note::AssertionFailed { what } => {
                write!(f, "assertion failed: {what}; ending leadership in order")
            }
        }
    }
}
