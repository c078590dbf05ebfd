//! The words in which operators' requests are told and answered: Patroni's where it has them.

use crate::cluster::{Cluster, LeaderKey};
use crate::name::MemberName;
use crate::operator::{Answer, OperatorRequest};
use crate::requests::Kind;
use serde::{Deserialize, Serialize};

/// Which of the two verbs a hand-over was asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    Switchover,
    Failover,
}

impl Asked {
    pub fn word(self) -> &'static str {
        match self {
            Asked::Switchover => "switchover",
            Asked::Failover => "failover",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Asked::Switchover => "Switchover",
            Asked::Failover => "Failover",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Asked::Switchover => "switched",
            Asked::Failover => "failed",
        }
    }

    fn done_title(self) -> &'static str {
        match self {
            Asked::Switchover => "Switched",
            Asked::Failover => "Failed",
        }
    }
}

/// How a hand-over has ended, as the store shows it. `None`: it has not.
pub fn outcome_of_handover(
    cluster: &Cluster,
    asked: Asked,
    from: &MemberName,
    candidate: Option<&MemberName>,
) -> Option<Answer> {
    let moved = |key: &&LeaderKey| key.owner != *from;
    if let Some(new) = cluster.leader.as_ref().filter(moved) {
        let leads = cluster
            .members
            .get(&new.owner)
            .is_some_and(|m| m.is_primary() && m.is_running());
        return leads.then(|| {
            Answer::Done(match candidate {
                Some(wanted) if *wanted != new.owner => {
                    let done = asked.done_title();
                    format!("{done} over to \"{}\" instead of \"{wanted}\"", new.owner)
                }
                Some(_) | None => {
                    format!("Successfully {} over to \"{}\"", asked.done(), new.owner)
                }
            })
        });
    }
    // The leader is the old one and nothing is asked for any more: it was given up.
    let given_up = cluster.failover.is_none() && cluster.leader.is_some();
    given_up.then(|| Answer::Failed(format!("{} failed", asked.title())))
}

/// For a request that nothing has ended in time.
pub fn late_text(kind: &Kind) -> String {
    match kind {
        Kind::Handover { asked, .. } => return format!("{} status unknown", asked.title()),
        Kind::Restart { .. } => "postgres is still starting",
        Kind::CancelSwitchover | Kind::WriteConfig { .. } | Kind::Answered => {
            "no verdict from the DCS"
        }
    }
    .into()
}

pub fn describe(request: &OperatorRequest) -> String {
    match request {
        OperatorRequest::Switchover {
            leader,
            candidate: Some(c),
            ..
        } => format!("switchover from {leader} to {c}"),
        OperatorRequest::Switchover {
            leader,
            candidate: None,
            ..
        } => format!("switchover from {leader}"),
        OperatorRequest::Failover { candidate } => format!("failover to {candidate}"),
        OperatorRequest::CancelSwitchover => "cancel the scheduled switchover".into(),
        OperatorRequest::Restart => "restart".into(),
        OperatorRequest::Reinitialize { .. } => "reinitialize".into(),
        OperatorRequest::PatchConfig { .. } | OperatorRequest::PutConfig { .. } => {
            "change the configuration".into()
        }
    }
}

pub fn told(answer: &Answer) -> String {
    match answer {
        Answer::Done(text)
        | Answer::Accepted(text)
        | Answer::Failed(text)
        | Answer::StillRunning(text) => text.clone(),
        Answer::Refused { why, .. } => format!("refused: {why}"),
    }
}
