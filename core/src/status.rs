//! The agent's view of itself for people and load balancers: Patroni's words for role and state.

use crate::agent::Agent;
use crate::config::Timing;
use crate::decision::{Decision, Waiting};
use crate::handover::Phase;
use crate::local::Server;
use crate::postgres::{DataDir, Operation, StartAs};
use crate::view::{Role, Running, State, View};

impl Agent {
    /// The timings in force.
    pub fn timing(&self) -> Timing {
        self.store.config.timing
    }

    pub fn view(&self) -> View {
        View {
            scope: self.settings.scope.clone(),
            name: self.settings.name.clone(),
            api_url: self.settings.api_url.clone(),
            conn_url: self.settings.conn_url.clone(),
            tags: self.settings.tags.clone(),
            role: self.role_word(),
            state: self.state_word(),
            authority: self.authority(),
            holds_key: self.holds_key(),
            stands_back: self.stands_back(),
            paused: self.paused(),
            config: self.store.config.clone(),
            observed: self.local.observed.clone(),
            observed_at: self.local.observed_at,
            cluster: self.store.cluster.as_deref().cloned(),
            store_seen: self.store.seen,
            operation: self.lane.current.as_ref().map(|l| Running {
                verb: l.operation.verb().into(),
                since: l.since,
                phase: l.phase.clone(),
            }),
            decision: self.decision.to_string(),
            recent: self.recent.clone(),
            requests: self.requests.views(),
            decided_at: self.decided_at,
        }
    }

    fn stands_back(&self) -> bool {
        matches!(&self.decision, Decision::Wait(Waiting::Election(loss)) if loss.is_of_another_branch())
    }

    pub fn role_word(&self) -> Role {
        match self.local.data_dir() {
            None | Some(DataDir::Empty | DataDir::HalfCloned) => return Role::Uninitialized,
            Some(
                DataDir::Unreadable(_)
                | DataDir::NotACluster(_)
                | DataDir::HalfRewound(_)
                | DataDir::Present(_),
            ) => {}
        }
        if self.founding.is_some() && !self.holds_key() {
            return Role::Uninitialized;
        }
        if let Some(Operation::Promote { .. }) = self.lane.current.as_ref().map(|l| &l.operation) {
            return Role::Promoted;
        }
        let closing = matches!(
            self.lane.current.as_ref().map(|l| &l.operation),
            Some(Operation::Stop { .. })
        );
        match self.local.server() {
            Server::Primary if closing && !self.paused() => Role::Demoted,
            Server::Primary => Role::Primary,
            Server::Standby => Role::Replica,
            Server::Down
            | Server::Starting
            | Server::ShuttingDown
            | Server::Silent
            | Server::Leftovers { .. } => {
                let was_primary = self.local.control().is_some_and(|c| c.state.was_primary());
                let signal = self
                    .local
                    .observed
                    .as_ref()
                    .is_some_and(|o| o.standby_signal);
                match (was_primary && !signal, self.holds_key()) {
                    (true, true) => Role::Primary,
                    (true, false) => Role::Demoted,
                    (false, _) => Role::Replica,
                }
            }
        }
    }

    pub fn state_word(&self) -> State {
        if let Some(in_lane) = &self.lane.current {
            match &in_lane.operation {
                Operation::Initdb => return State::InitializingNewCluster,
                Operation::Clone { .. } => return State::CreatingReplica,
                Operation::Stop { .. } => return State::Stopping,
                Operation::Start {
                    role: StartAs::Primary | StartAs::Standby { .. } | StartAs::OneTimeline { .. },
                    ..
                } => return State::Starting,
                Operation::PostBootstrap
                | Operation::Promote { .. }
                | Operation::CrashRecovery
                | Operation::Rewind { .. }
                | Operation::DiscardData { .. } => {}
            }
        }
        let unfinished = self.owes_roles() && self.holds_key();
        if unfinished || self.founding.as_ref().is_some_and(|f| !f.roles_done) {
            return State::InitializingNewCluster;
        }
        let start_failed = self.lane.failed("start") > 0;
        let confirming = matches!(
            self.handover.as_ref().map(|h| &h.phase),
            Some(Phase::Confirming { .. })
        );
        match self.local.server() {
            Server::Primary | Server::Standby => State::Running,
            Server::Starting | Server::Silent => State::Starting,
            Server::ShuttingDown => State::Stopping,
            Server::Leftovers { .. } => State::Crashed,
            Server::Down if confirming => State::Stopped,
            Server::Down if start_failed => State::StartFailed,
            Server::Down if self.crashed_at.is_some() && !self.is_cleanly_down() => State::Crashed,
            Server::Down => State::Stopped,
        }
    }
}
