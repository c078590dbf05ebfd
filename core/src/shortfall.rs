//! What becomes of a standby that cannot go on as it was started. Its replay stands still, since its primary was given more
//! of a setting: it is started anew, and gets what its control file demands. Or it runs along its own timeline only: it is
//! stopped, which is what it was started for. Till then it shows old data, and cannot be promoted.

use crate::agent::Agent;
use crate::cluster::Cluster;
use crate::decision::{Decision, StopReason};
use crate::postgres::{StopMode, StopPlan};
use crate::time::Span;

/// A standby has nothing to write down: what it has not ended by then, it loses nothing by.
const STOP: StopPlan = StopPlan {
    first: StopMode::Fast,
    immediate_after: Span::secs(10),
    kill_after: Span::secs(20),
};

impl Agent {
    /// Nothing else becomes of it, whoever leads.
    pub fn decide_own_timeline(&self) -> Option<Decision> {
        let status = self.local.answered().filter(|s| s.own_timeline)?;
        (status.in_recovery && !self.paused()).then_some(Decision::Stop {
            why: StopReason::OwnTimeline,
            plan: STOP,
            checkpoint_first: false,
        })
    }

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
            plan: STOP,
            checkpoint_first: false,
        })
    }
}
