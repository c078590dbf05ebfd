//! When the agent wants to be woken, and why. The loop's own tick is only the safety net.

use crate::agent::Agent;
use crate::time::{Mono, Now, Span};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WakeReason {
    FirstLook,
    /// An orderly stop must begin, or the authority is over.
    Authority,
    Fencer,
    SessionDue,
    ProbeDue,
    Election,
    Handover,
    Rejoin,
    Retry,
    Publish,
    Request,
    Schedule,
    LoopTick,
}

/// The first of several wakes, and its reason.
struct Soonest {
    after: Mono,
    found: Option<(Mono, WakeReason)>,
}

impl Soonest {
    fn after(now: Mono) -> Soonest {
        Soonest {
            after: now,
            found: None,
        }
    }

    fn add(&mut self, wakes: impl IntoIterator<Item = Mono>, why: WakeReason) {
        for at in wakes {
            let wake = (at, why);
            // What lies in the past has been acted on in this very call.
            if at > self.after && self.found.is_none_or(|found| wake < found) {
                self.found = Some(wake);
            }
        }
    }
}

impl Agent {
    pub(crate) fn next_wake(&self, now: Now) -> Option<(Mono, WakeReason)> {
        if self.exited {
            return None;
        }
        let mut soonest = Soonest::after(now.mono);
        let mut add = |at: Option<Mono>, why| soonest.add(at, why);
        add(Some(now.mono + self.tick()), WakeReason::LoopTick);
        add(self.orderly_stop_at(), WakeReason::Authority);
        add(self.authority().until(), WakeReason::Authority);
        add(self.adopts_until(), WakeReason::Authority);
        add(self.fencer_deadline(), WakeReason::Fencer);
        add(self.fencer_retry(), WakeReason::Fencer);
        add(self.reading_due(), WakeReason::Retry);
        if self.tenure.call.is_none() {
            add(Some(self.tenure.due), WakeReason::SessionDue);
        }
        if self.local.probe.is_none() {
            add(Some(self.local.probe_due), WakeReason::ProbeDue);
        }
        add(
            self.crashed_at
                .map(|at| at + self.store.config.primary_start_timeout),
            WakeReason::Retry,
        );
        add(Some(self.claim.not_before), WakeReason::Retry);
        add(Some(self.read_not_before), WakeReason::Retry);
        add(Some(self.tenure.ask_key_at), WakeReason::Retry);
        add(
            self.tenure
                .released_at
                .map(|at| at + crate::handover::ABSTAIN),
            WakeReason::Handover,
        );
        add(Some(self.handover_not_before), WakeReason::Handover);
        add(self.schedule_wake(now), WakeReason::Schedule);
        add(Some(self.proves_until()), WakeReason::Authority);
        add(self.forgotten_wake(), WakeReason::Election);
        soonest.add(self.election_wakes(), WakeReason::Election);
        soonest.add(self.handover_wakes(), WakeReason::Handover);
        soonest.add(self.rejoin_wakes(), WakeReason::Rejoin);
        soonest.add(self.lane.retries(), WakeReason::Retry);
        soonest.add(self.side_rest.values().copied(), WakeReason::Retry);
        soonest.add(self.publishing.next_due(now.mono), WakeReason::Publish);
        soonest.add(self.requests.wakes(), WakeReason::Request);
        soonest.found
    }

    fn tick(&self) -> Span {
        self.store.config.timing.loop_wait
    }
}
