//! Maintenance mode: PostgreSQL is the operator's. Observe, keep the leader key of a running primary alive,
//! touch nothing unless a command asked for this member.

use crate::agent::Agent;
use crate::cluster::{Cluster, Initialize};
use crate::decision::{AcquireReason, Decision, ReleaseReason, Waiting};
use crate::local::Server;
use crate::postgres::Sql;
use crate::time::Now;

impl Agent {
    pub fn paused(&self) -> bool {
        self.store.config.paused
    }

    /// A command for this very member acts even in pause, until what it asked for is there: a server that a restart,
    /// a reinit or a switchover took down is not left down.
    pub fn is_commanded_in_pause(&self) -> bool {
        // A reinit waits for a leader, and touches nothing until there is one.
        let leaderless = self.store.leader().is_none();
        let waits = self.rejoin.reinit && leaderless;
        let under_way = self.rejoin.by_command && !waits;
        under_way
            || self.handover.is_some()
            || self.requests.restart_wanted()
            || self.is_named_in_pause()
    }

    /// The request of an operator makes this standby the leader; in pause nothing else does.
    pub fn is_named_in_pause(&self) -> bool {
        let Some(cluster) = &self.store.cluster else {
            return false;
        };
        let free = self.holds_key() || cluster.is_unlocked();
        free && self.local.server() == Server::Standby && self.promotion_commanded(cluster)
    }

    /// Back under a leader, or a leader itself: from here on maintenance mode holds again.
    pub fn note_command_done(&mut self) {
        let begun = self.rejoin.reinit || self.requests.restart_wanted() || self.handover.is_some();
        let leads = self.holds_key() && self.local.server() == Server::Primary;
        let follows = matches!(self.decision, Decision::Follow { .. });
        if !begun && (leads || follows) {
            self.rejoin.by_command = false;
        }
    }

    pub fn decide_paused(&self, now: Now, cluster: &Cluster) -> Decision {
        let server = self.local.server();
        if self.holds_key() {
            return match server {
                Server::Primary => Decision::Wait(Waiting::Paused),
                Server::Down if self.tenure.call.is_none() => Decision::Release {
                    why: ReleaseReason::PausedWithoutPostgres,
                },
                Server::Standby
                    if self.tenure.call.is_none() && !self.promotion_commanded(cluster) =>
                {
                    Decision::Release {
                        why: ReleaseReason::PausedStandby,
                    }
                }
                Server::Down
                | Server::Standby
                | Server::Leftovers { .. }
                | Server::Starting
                | Server::ShuttingDown
                | Server::Silent => Decision::Wait(Waiting::Paused),
            };
        }
        match server {
            Server::Down => Decision::Wait(Waiting::PausedWithoutPostgres),
            // A running primary takes the free key, so that clients and peers can see who leads.
            Server::Primary
                if cluster.is_unlocked()
                    && self.store.config.missing_modes.is_empty()
                    && self.is_of_this_cluster(cluster)
                    && self.tenure.call.is_none()
                    && now.mono >= self.tenure.ask_key_at =>
            {
                Decision::Acquire {
                    why: AcquireReason::RunningPrimary,
                }
            }
            Server::Primary
            | Server::Standby
            | Server::Leftovers { .. }
            | Server::Starting
            | Server::ShuttingDown
            | Server::Silent => Decision::Wait(Waiting::Paused),
        }
    }

    fn promotion_commanded(&self, cluster: &Cluster) -> bool {
        cluster
            .failover
            .as_ref()
            .is_some_and(|f| f.member.as_ref() == Some(&self.settings.name))
    }

    fn is_of_this_cluster(&self, cluster: &Cluster) -> bool {
        let answered = self
            .local
            .observed
            .as_ref()
            .is_some_and(|o| matches!(o.sql, Sql::Answered(_)));
        let same = match &cluster.initialize {
            Initialize::Done(id) => self.local.system_id() == Some(id),
            Initialize::Absent => true,
            Initialize::InProgress { .. } | Initialize::Unreadable(_) => false,
        };
        answered && same
    }
}
