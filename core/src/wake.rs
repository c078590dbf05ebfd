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

impl Agent {
    pub(crate) fn next_wake(&self, now: Now) -> Option<(Mono, WakeReason)> {
        if self.exited {
            return None;
        }
        let mut wakes: Vec<(Mono, WakeReason)> =
            vec![(now.mono + self.tick(), WakeReason::LoopTick)];
        let mut add = |at: Option<Mono>, why| wakes.extend(at.map(|at| (at, why)));
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
        wakes.extend(
            self.election_wakes()
                .into_iter()
                .map(|at| (at, WakeReason::Election)),
        );
        wakes.extend(
            self.handover_wakes()
                .into_iter()
                .map(|at| (at, WakeReason::Handover)),
        );
        wakes.extend(
            self.rejoin_wakes()
                .into_iter()
                .map(|at| (at, WakeReason::Rejoin)),
        );
        wakes.extend(self.lane.retries().map(|at| (at, WakeReason::Retry)));
        wakes.extend(self.side_rest.values().map(|at| (*at, WakeReason::Retry)));
        wakes.extend(
            self.publishing
                .next_due(now.mono)
                .map(|at| (at, WakeReason::Publish)),
        );
        wakes.extend(self.requests.wakes().map(|at| (at, WakeReason::Request)));
        // What lies in the past has been acted on in this very call.
        wakes.into_iter().filter(|(at, _)| *at > now.mono).min()
    }

    fn tick(&self) -> Span {
        self.store.config.timing.loop_wait
    }
}
