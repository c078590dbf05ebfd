//! Who shall lead after a hand-over: of those who answered and may, the one who is furthest; and everybody is told.
//! Chooses only: `handover.rs` stops, confirms and releases.

use crate::agent::{Agent, Output};
use crate::dcs::Precondition;
use crate::election::Ballot;
use crate::handover::{CHOOSE_BUDGET, Cause, Phase};
use crate::keys::{self, FailoverKey};
use crate::lsn::Lsn;
use crate::name::MemberName;
use crate::peer::PeerAnswer;
use crate::time::Now;

impl Agent {
    /// Chooses once everybody has answered, or the one who was named has.
    pub fn pick(
        &mut self,
        now: Now,
        cause: Cause,
        named: Option<&MemberName>,
        ballot: &Ballot,
        out: &mut Output,
    ) {
        let waited = now.mono.since(ballot.asked_at);
        let complete = ballot
            .asked
            .values()
            .all(|m| ballot.answers.contains_key(m))
            || waited >= CHOOSE_BUDGET;
        let named_answered = named.is_some_and(|n| ballot.answers.contains_key(n));
        if !complete && !named_answered {
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
            Err(why) => self.give_up_handover(now, &why, out),
        }
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
    ) -> Result<MemberName, String> {
        let allowed = self.store.config.maximum_lag_on_failover;
        let mine = self.local.last_position;
        let timeline = self.local.last_timeline;
        let mut best: Option<(Lsn, i64, &MemberName)> = None;
        let mut refusals = Vec::new();
        for (member, answer) in &ballot.answers {
            if named.is_some_and(|n| n != member) || !self.can_lead(cause, member) {
                continue;
            }
            let PeerAnswer::Status(status) = answer else {
                refusals.push(format!("{member} does not answer"));
                continue;
            };
            let lag = mine.bytes_ahead_of(status.position);
            if !self.is_fit(Some(answer)) {
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
            format!("no good candidates have been found: {why}")
        })
    }
}
