//! When a standby is started along one timeline only (`recovery_target_timeline` is a number), and what becomes of it then.
//!
//! PostgreSQL starts a standby on the newest timeline that is known in its directory or archived, and none whose last
//! checkpoint is not on that one (`InitWalRecovery`). An archive may have a timeline that the cluster knows nothing of: a
//! server was promoted by hand, or the store was rolled back to before a failover. Then no member could be started any
//! more, were it a fresh copy, until a person takes the history file away. Where starts fail, the leader's timeline, or
//! without a leader that of the control file, is tried in turns with the newest: what fails for another reason fails in both
//! ways.
//!
//! Along one timeline a server follows no leader to a newer one, and shows none of the WAL that it may have of one. So it is
//! left running only under a leader on that very timeline, or where it is the newest on which directory and cluster can go
//! on.

use crate::agent::Agent;
use crate::cluster::LeaderKey;
use crate::decision::{Decision, StopReason};
use crate::postgres::{StartAs, Upstream};
use crate::shortfall::STANDBY_STOP;
use crate::timeline::TimelineId;

/// What is over by itself mostly is after so many failures on the newest timeline.
const STARTS_ON_THE_NEWEST: u32 = 2;

impl Agent {
    /// For a leader with which it was compared.
    pub fn role_following(&self, leader: &LeaderKey, upstream: Upstream) -> StartAs {
        let theirs = self.valid_check(leader).map(|checked| checked.timeline);
        let one = theirs.filter(|_| self.is_turn_of_one_timeline());
        as_standby(one, Some(upstream))
    }

    /// For nobody: nobody leads, or it is to be promoted.
    pub fn role_alone(&self) -> StartAs {
        let mine = self.newest_to_go_on();
        as_standby(mine.filter(|_| self.is_turn_of_one_timeline()), None)
    }

    /// To be stopped cleanly once it is consistent. What its archive has stands in the way of that from the first start on.
    pub fn role_before_clean_stop(&self) -> StartAs {
        let mine = self.local.control().map(|control| control.timeline);
        as_standby(mine.filter(|_| self.lane.failed("start") % 2 == 1), None)
    }

    fn is_turn_of_one_timeline(&self) -> bool {
        let failed = self.lane.failed("start");
        failed >= STARTS_ON_THE_NEWEST && failed.is_multiple_of(2)
    }

    /// The timeline of its control file, if the cluster's record of promotions ends with that one or before, it has replayed
    /// none of a newer one, and the newest that its directory knows has left it before its checkpoint: it will never be there.
    fn newest_to_go_on(&self) -> Option<TimelineId> {
        let (control, observed) = (self.local.control()?, self.local.observed.as_ref()?);
        let cluster = self.store.cluster.as_ref();
        let recorded = cluster
            .and_then(|cluster| cluster.history.as_ref())
            .map(|history| history.timeline());
        let mine = control.timeline;
        // As PostgreSQL compares them: the checkpoint by its start, the recovery point by the byte before it.
        let comes = |fork| control.checkpoint < fork && control.min_recovery_end <= fork;
        let newest = &observed.history;
        let leads_on = newest.timeline > mine && newest.end_of(mine).is_some_and(comes);
        let stays = mine >= control.min_recovery_timeline && Some(mine) >= recorded;
        (stays && !leads_on).then_some(mine)
    }

    /// Started in order to be stopped cleanly, nothing else becomes of it, whoever leads.
    pub fn decide_one_timeline(&self) -> Option<Decision> {
        let status = self.local.answered()?;
        let timeline = status.one_timeline?;
        let alone = status.in_recovery && status.upstream.is_none();
        let stays = !alone || self.paused() || self.newest_to_go_on() == Some(timeline);
        (!stays).then_some(Decision::Stop {
            why: StopReason::OneTimeline { timeline },
            plan: STANDBY_STOP,
            checkpoint_first: false,
        })
    }

    /// It streams along its timeline as long as its leader is on that one.
    pub fn decide_newer_timeline(&self, leader: &LeaderKey) -> Option<Decision> {
        let status = self.local.answered()?;
        let timeline = status.one_timeline?;
        let left = self.valid_check(leader)?.timeline > timeline;
        let stands = status.in_recovery && left && !self.paused();
        stands.then(|| Decision::Stop {
            why: StopReason::NewerTimeline {
                timeline,
                leader: leader.owner.clone(),
            },
            plan: STANDBY_STOP,
            checkpoint_first: false,
        })
    }
}

fn as_standby(one: Option<TimelineId>, upstream: Option<Upstream>) -> StartAs {
    match one {
        Some(timeline) => StartAs::OneTimeline { timeline, upstream },
        None => StartAs::Standby { upstream },
    }
}
