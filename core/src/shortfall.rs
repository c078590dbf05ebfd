//! What becomes of a standby whose replay stands still, since its primary was given more of a setting: it is started anew,
//! and gets what its control file demands. Till then it shows old data, and cannot be promoted.

use crate::agent::Agent;
use crate::cluster::Cluster;
use crate::decision::{Decision, StopReason};
use crate::rejoin::STANDBY_STOP;

impl Agent {
    /// Stopped only where it will be started again: never in pause, and not while its leader is not ready to be followed.
    pub fn decide_shortfall(&self, cluster: &Cluster) -> Option<Decision> {
        let short = self.local.shortfall()?;
        let leader = cluster.leader.as_ref();
        let other = leader.filter(|leader| leader.owner != self.settings.name);
        let ready = other.is_none_or(|leader| self.upstream_of(cluster, leader).is_ok());
        if self.paused() || !ready {
            return None;
        }
        Some(Decision::Stop {
            why: StopReason::FallsShort {
                setting: short.setting,
                has: short.has,
                needs: short.needs,
            },
            plan: STANDBY_STOP,
            checkpoint_first: false,
        })
    }
}
