//! A store that knows no cluster beside a data directory that a primary left behind: etcd was replaced or wiped while
//! every agent was down. The last primary takes the key, starts and writes the cluster's keys again, also when it was
//! demoted before: what it has is noted as long as it has followed nobody since (`Observation::led_last`).
//! Nothing here touches data, and any other standby never does this: its primary may be alive elsewhere.

use crate::agent::Agent;
use crate::cluster::{Cluster, Initialize};
use crate::decision::{AcquireReason, Decision, Waiting};
use crate::election::Ballot;
use crate::election_loss::ElectionLoss;
use crate::member::Tags;
use crate::peer::PeerAnswer;
use crate::postgres::ControlData;
use crate::time::{Mono, Now, Span};

/// Members that start together are given this long to say that they have more.
const OTHERS_FIRST: Span = Span::secs(2);

impl Agent {
    /// `None`: this is not how PostgreSQL comes up, or comes to lead.
    pub fn decide_forgotten(
        &self,
        now: Now,
        cluster: &Cluster,
        control: &ControlData,
    ) -> Option<Decision> {
        let observed = self.local.observed.as_ref()?;
        let was_primary = control.state.was_primary() && !observed.standby_signal;
        let led_last = was_primary || observed.led_last;
        let barred = Tags::read(&self.settings.tags).nofailover || self.paused();
        let forgotten = matches!(cluster.initialize, Initialize::Absent) && !self.seen_initialized;
        if !led_last || !forgotten || barred {
            return None;
        }
        if let Some(mode) = self.store.config.missing_modes.first() {
            return Some(Decision::Wait(Waiting::ModeMissing { mode: *mode }));
        }
        if self.tenure.call.is_some() || now.mono.since(self.started.mono) < OTHERS_FIRST {
            return Some(Decision::Wait(Waiting::ElectionPending));
        }
        let vacant_since = self.store.vacant.map(|(since, _)| since);
        if self.store.confirmed < vacant_since || self.store.confirmed.is_none() {
            return Some(Decision::ReadBeforeRace);
        }
        if now.mono < self.election.not_before {
            let loss = self.election.last_loss.clone();
            return Some(lose(loss.unwrap_or(ElectionLoss::Conflict)));
        }
        if !self.election.has_current_ballot(now.mono, vacant_since) {
            return Some(Decision::Ballot);
        }
        let looked_at = self.local.looked_at;
        if !self.election.is_complete(now.mono, None, looked_at) {
            return Some(Decision::Wait(Waiting::ElectionPending));
        }
        Some(
            match nobody_has_more(self.election.ballot.as_ref()?, control) {
                Ok(()) => Decision::Acquire {
                    why: AcquireReason::FormerPrimary,
                },
                Err(loss) => lose(loss),
            },
        )
    }
}

impl Agent {
    /// When members that start together have had their time.
    pub fn forgotten_wake(&self) -> Option<Mono> {
        let cluster = self.store.cluster.as_ref()?;
        let forgotten = matches!(cluster.initialize, Initialize::Absent) && !self.seen_initialized;
        forgotten.then(|| self.started.mono + OTHERS_FIRST)
    }
}

fn lose(loss: ElectionLoss) -> Decision {
    Decision::Wait(Waiting::Election(loss))
}

/// A standby holds nothing of its timeline that its primary has not written; somebody on a newer one, or who runs as a
/// primary, knows of a promotion that this member does not.
fn nobody_has_more(ballot: &Ballot, control: &ControlData) -> Result<(), ElectionLoss> {
    for (member, answer) in &ballot.answers {
        let PeerAnswer::Status(status) = answer else {
            continue;
        };
        let member = member.clone();
        if !status.in_recovery && status.state == "running" {
            return Err(ElectionLoss::StillPrimary { member });
        }
        if let Some(theirs) = status.timeline.filter(|t| *t > control.timeline) {
            return Err(ElectionLoss::NewerTimeline { member, theirs });
        }
    }
    Ok(())
}
