//! When a standby is started along one timeline only (`recovery_target_timeline` is a number), and what becomes of it then.
//!
//! PostgreSQL starts a standby on the newest timeline that is known in its directory or archived, and none whose last
//! checkpoint is not on that one (`InitWalRecovery`); nor does it stream there from a leader on an older one. An archive may
//! have a timeline that the cluster knows nothing of: a server was promoted by hand, or the store was rolled back to before
//! a failover. Then no member could be started any more, were it a fresh copy, until a person takes the history file away.
//! A start that fails for it leaves the history that it has read in the directory: from then on it is known.
//!
//! Along one timeline a server follows no leader to another one, and shows none of the WAL that it may have of a newer one. So
//! it is left running only under a leader on that very timeline, or where it is the newest on which the cluster can go on.

use crate::agent::Agent;
use crate::cluster::LeaderKey;
use crate::decision::{Decision, StopReason};
use crate::postgres::{StartAs, Upstream};
use crate::rejoin::STANDBY_STOP;
use crate::timeline::{TimelineHistory, TimelineId};

impl Agent {
    /// For a leader with which it was compared: along that one's timeline where a newer one is known here, or one on which
    /// this server is not. Where nobody has its history but the leader, starts along it fail, too: every third goes along
    /// its own timeline, until the leader has sent it.
    pub fn role_following(&self, leader: &LeaderKey, upstream: Upstream) -> StartAs {
        let newest = self.local.observed.as_ref().map(|o| o.history.timeline);
        let theirs = self.valid_check(leader).map(|checked| checked.timeline);
        let own = self.astray_from();
        let one = match own {
            Some(own) if self.lane.failed("start") % 3 == 2 => Some(own),
            own => theirs.filter(|theirs| own.is_some() || newest > Some(*theirs)),
        };
        as_standby(one, Some(upstream))
    }

    /// For nobody: nobody leads, or it is to be promoted.
    pub fn role_alone(&self) -> StartAs {
        let stays = |timeline: &TimelineId| self.is_the_newest_to_go_on(*timeline);
        as_standby(self.astray_from().filter(stays), None)
    }

    /// To be stopped cleanly once it is consistent, wherever that is.
    pub fn role_before_clean_stop(&self) -> StartAs {
        as_standby(self.astray_from(), None)
    }

    /// The timeline up to which its control file demands recovery, where the newest that is known here has left it before:
    /// PostgreSQL starts it on that one only.
    fn astray_from(&self) -> Option<TimelineId> {
        let (control, observed) = (self.local.control()?, self.local.observed.as_ref()?);
        let mine = control.timeline.max(control.min_recovery_timeline);
        let astray = observed.history.timeline > mine && !self.leads_on(&observed.history, mine);
        astray.then_some(mine)
    }

    /// `timeline` is followed by `line` at a place to which its recovery has not come. PostgreSQL compares the checkpoint by
    /// its start, the minimum recovery point by the byte before it. A history that cannot be read may lead anywhere.
    fn leads_on(&self, line: &TimelineHistory, timeline: TimelineId) -> bool {
        let Some(control) = self.local.control() else {
            return true;
        };
        let comes = |fork| control.checkpoint < fork && control.min_recovery_end <= fork;
        line.timeline > timeline
            && (line.forks.is_empty() || line.end_of(timeline).is_some_and(comes))
    }

    /// None of the lines that are known here leads on from it, and the cluster's record of promotions has no newer one.
    fn is_the_newest_to_go_on(&self, timeline: TimelineId) -> bool {
        let Some(observed) = self.local.observed.as_ref() else {
            return false;
        };
        let cluster = self.store.cluster.as_ref();
        let recorded = cluster
            .and_then(|cluster| cluster.history.as_ref())
            .map(|history| history.timeline());
        let mut lines = observed.lines();
        Some(timeline) >= recorded && !lines.any(|line| self.leads_on(line, timeline))
    }

    /// It follows nobody, and would have to go on along a newer timeline: it was started in order to be stopped cleanly, or
    /// the cluster has opened one since.
    pub fn decide_one_timeline(&self) -> Option<Decision> {
        let status = self.local.answered()?;
        let timeline = status.one_timeline?;
        let alone = status.in_recovery && status.upstream.is_none();
        let stays = !alone || self.paused() || self.is_the_newest_to_go_on(timeline);
        (!stays).then_some(Decision::Stop {
            why: StopReason::OneTimeline { timeline },
            plan: STANDBY_STOP,
            checkpoint_first: false,
        })
    }

    /// It streams along its timeline as long as its leader is on that one, and is told by it of another.
    pub fn decide_other_timeline(&self, leader: &LeaderKey) -> Option<Decision> {
        let status = self.local.answered()?;
        let timeline = status.one_timeline?;
        let theirs = self.valid_check(leader)?.timeline;
        let mut lines = self.local.observed.as_ref()?.lines();
        let known = theirs == TimelineId(1) || lines.any(|line| line.contains(theirs));
        let left = theirs != timeline && known;
        let stands = status.in_recovery && left && !self.paused();
        stands.then(|| Decision::Stop {
            why: StopReason::OtherTimeline {
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
