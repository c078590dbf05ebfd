//! Who shall lead after a hand-over: of those who answered, may, and are fed with the leader's own WAL, the one who is
//! furthest; and everybody is told. What proves that it has all of that WAL stands here, too.
//! Chooses only: `handover.rs` stops, confirms and releases.

use crate::agent::{Agent, Output};
use crate::dcs::Precondition;
use crate::election::Ballot;
use crate::handover::{CHOOSE_BUDGET, Cause, Phase};
use crate::keys::{self, FailoverKey};
use crate::lsn::Lsn;
use crate::name::MemberName;
use crate::peer::{PeerAnswer, PeerStatus};
use crate::time::Now;
use crate::timeline::TimelineId;

/// A shutdown checkpoint is the last record of a server that was stopped in order, and takes no more than this:
/// header and `CheckPoint` (PostgreSQL `catalog/pg_control.h`, below 130 bytes in 12 to 18), and a page header
/// where it crosses one (at most 40).
const SHUTDOWN_RECORD_MAX: u64 = 200;

/// What the position of a standby says about the shutdown checkpoint of the server it should have followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownEnd {
    /// It has everything: the walreceiver reports whole writes of the sender's records up to the shutdown, so past
    /// the start of the record means that it has the record.
    Whole,
    /// It lacks the record, or is on another timeline by now.
    Lacking,
    /// It has WAL past the last record: another server wrote that.
    Foreign,
}

/// `checkpoint`: where the record begins; `timeline`: the stopped server's.
pub fn shown_end(status: &PeerStatus, checkpoint: Lsn, timeline: Option<TimelineId>) -> ShownEnd {
    let same = status.timeline.is_none_or(|t| Some(t) == timeline);
    if !same || status.position <= checkpoint {
        ShownEnd::Lacking
    } else if status.position.bytes_ahead_of(checkpoint) > SHUTDOWN_RECORD_MAX {
        ShownEnd::Foreign
    } else {
        ShownEnd::Whole
    }
}

/// Why there is nobody to hand over to.
struct NoCandidate {
    why: String,
    /// Somebody could lead, did it stream.
    unfed: bool,
}

impl Agent {
    /// Chooses once everybody has answered, or the one who was named has, and the standbys here were looked at.
    /// A member that only lacks its stream is waited for: after a change of leader it may need a moment.
    pub fn pick(
        &mut self,
        now: Now,
        cause: Cause,
        named: Option<&MemberName>,
        ballot: &Ballot,
        out: &mut Output,
    ) {
        let over = now.mono.since(ballot.asked_at) >= CHOOSE_BUDGET;
        let mut asked = ballot.asked.values();
        let answered = asked.all(|m| ballot.answers.contains_key(m))
            || named.is_some_and(|n| ballot.answers.contains_key(n));
        let looked = self.local.looked_at.is_some_and(|at| at >= ballot.asked_at);
        if !over && (!answered || !looked) {
            return;
        }
        match self.best_of(cause, named, ballot) {
            Ok(candidate) => {
                if named.is_none() {
                    self.publish_choice(now, candidate.clone(), out);
                }
                if let Some(handover) = &mut self.handover {
                    handover.phase = Phase::Stopping { candidate };
                }
            }
            Err(NoCandidate { unfed: true, .. }) if !over => {}
            Err(NoCandidate { why, .. }) => self.give_up_handover(now, &why, out),
        }
    }

    /// Is it fed with my WAL: by me, or by members of Patroni from one to the next (`replicatefrom`, which Tanist's do
    /// not act upon)? A position alone says nothing of whose WAL it is, and who is not fed will not get the shutdown
    /// checkpoint either.
    pub fn is_fed(&self, member: &MemberName) -> bool {
        let Some(cluster) = &self.store.cluster else {
            return false;
        };
        let mut source = member.clone();
        for _ in 0..cluster.members.len() {
            if self.streams_from_me(&source) {
                return true;
            }
            let data = cluster.members.get(&source).filter(|m| !m.is_tanist());
            match data.and_then(|m| m.read_tags().replicatefrom) {
                Some(next) => source = next,
                None => return false,
            }
        }
        false
    }

    fn receives_mine(&self, member: &MemberName, status: &PeerStatus) -> bool {
        self.streams_from_me(member) || (status.streaming && self.is_fed(member))
    }

    /// Tells everybody whom I chose, so that nobody races against it and it need ask nobody. Goes out beside the
    /// stop; should it fail, the members race as they would have.
    fn publish_choice(&mut self, now: Now, candidate: MemberName, out: &mut Output) {
        let Some(cluster) = &self.store.cluster else {
            return;
        };
        let version = cluster.failover_version;
        let precondition = Precondition::unchanged_since(version);
        let key = FailoverKey {
            leader: Some(self.settings.name.clone()),
            member: Some(candidate),
            ..FailoverKey::default()
        };
        self.write(now, keys::FAILOVER, key.to_text(), precondition, out);
    }

    /// Can this member lead the cluster that the hand-over is about?
    fn can_lead(&self, cause: Cause, member: &MemberName) -> bool {
        match cause {
            Cause::Request => true,
            Cause::ModeMissing(_) => {
                let data = self
                    .store
                    .cluster
                    .as_ref()
                    .and_then(|c| c.members.get(member));
                data.is_some_and(|m| !m.is_tanist())
            }
        }
    }

    /// The fittest member that answered: furthest, then by priority, then by name.
    fn best_of(
        &self,
        cause: Cause,
        named: Option<&MemberName>,
        ballot: &Ballot,
    ) -> Result<MemberName, NoCandidate> {
        let allowed = self.store.config.maximum_lag_on_failover;
        // The answers tell of then; looks at myself since have moved on with what clients write.
        let mine = ballot.mine;
        let timeline = self.local.last_timeline;
        let mut best: Option<(Lsn, i64, &MemberName)> = None;
        let mut refusals = Vec::new();
        let mut unfed = false;
        for (member, answer) in &ballot.answers {
            if named.is_some_and(|n| n != member) || !self.can_lead(cause, member) {
                continue;
            }
            let PeerAnswer::Status(status) = answer else {
                refusals.push(format!("{member} does not answer"));
                continue;
            };
            let lag = mine.bytes_ahead_of(status.position);
            if status.replay_paused {
                refusals.push(format!("{member} has its WAL replay paused"));
            } else if !self.is_fit(Some(answer)) {
                refusals.push(format!(
                    "{member} is not allowed to promote or not running (state {})",
                    status.state
                ));
            } else if let Some(theirs) = status.timeline.filter(|t| Some(*t) != timeline) {
                // Its positions are those of another history, and compare with mine in no way.
                refusals.push(format!("{member} is on timeline {theirs}"));
            } else if lag > allowed {
                refusals.push(format!(
                    "{member} lags {lag} bytes, maximum_lag_on_failover is {allowed}"
                ));
            } else if !self.receives_mine(member, status) {
                unfed = true;
                refusals.push(format!("{member} does not stream from the leader"));
            } else if best.is_none_or(|(lsn, priority, _)| {
                (status.position, status.failover_priority) > (lsn, priority)
            }) {
                best = Some((status.position, status.failover_priority, member));
            }
        }
        let silent = ballot
            .asked
            .values()
            .filter(|m| !ballot.answers.contains_key(*m));
        refusals.extend(
            silent
                .filter(|m| named.is_none_or(|n| n == *m))
                .map(|m| format!("{m} is silent")),
        );
        best.map(|(_, _, member)| member.clone()).ok_or_else(|| {
            let why = if refusals.is_empty() {
                "there is no other member".into()
            } else {
                refusals.join("; ")
            };
            let why = format!("no good candidates have been found: {why}");
            NoCandidate { why, unfed }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standby_at(position: u64, timeline: Option<u32>) -> PeerStatus {
        PeerStatus {
            state: "running".into(),
            role: "replica".into(),
            in_recovery: true,
            timeline: timeline.map(TimelineId),
            position: Lsn(position),
            nofailover: false,
            failover_priority: 1,
            watchdog_failed: false,
            streaming: false,
            replay_paused: false,
            sees_leader: true,
        }
    }

    #[test]
    fn a_position_past_the_last_record_is_no_proof_of_having_it() {
        let checkpoint = Lsn(0x300_0028);
        let shown = |position, timeline| {
            shown_end(
                &standby_at(position, timeline),
                checkpoint,
                Some(TimelineId(2)),
            )
        };
        assert_eq!(shown(0x300_0028, Some(2)), ShownEnd::Lacking);
        assert_eq!(shown(0x300_00a0, Some(2)), ShownEnd::Whole);
        assert_eq!(shown(0x300_00a0, None), ShownEnd::Whole);
        assert_eq!(shown(0x300_00a0, Some(1)), ShownEnd::Lacking);
        assert_eq!(shown(0x300_0400, Some(2)), ShownEnd::Foreign);
    }
}
