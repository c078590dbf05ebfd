//! Keeps the fencer's deadline equal to the write authority: armed before the first write, moved with each
//! renewal, dropped only when nothing can write.

use crate::agent::{Agent, Output};
use crate::decision::{Decision, Waiting};
use crate::effect::EffectBody;
use crate::fencer::{Armed, DisarmReason, FencerInput, FencerRequest};
use crate::leader_key::Authority;
use crate::local::Server;
use crate::name::OpId;
use crate::note::Note;
use crate::postgres::{Operation, StartAs};
use crate::settings::FencerMode;
use crate::time::{Mono, Now, Span};
use serde::{Deserialize, Serialize};

/// How long PostgreSQL may go on without a fencer that died, and how long the first start may take.
pub const REPLACEMENT_BUDGET: Span = Span::secs(1);
const FIRST_START: Span = Span::secs(3);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fencing {
    /// What the fencer last confirmed. `None` inside: disarmed.
    pub armed: Option<Armed>,
    pub ready: bool,
    pub ever_ready: bool,
    pub lost_since: Option<Mono>,
    started: Mono,
    asked: Option<(OpId, FencerRequest)>,
    /// After a refusal, the next request waits for this.
    retry_at: Option<Mono>,
}

impl Fencing {
    pub fn new(now: Now, armed: Option<Armed>) -> Fencing {
        Fencing {
            armed,
            ready: armed.is_some(),
            ever_ready: armed.is_some(),
            lost_since: None,
            started: now.mono,
            asked: None,
            retry_at: None,
        }
    }

    /// The latest deadline that the fencer holds, or will once it has obeyed.
    pub fn holds_until(&self) -> Option<Mono> {
        let asked = match self.asked {
            Some((_, FencerRequest::Arm { until, .. } | FencerRequest::Extend { until, .. })) => {
                Some(until)
            }
            Some((_, FencerRequest::Disarm { .. })) | None => None,
        };
        self.armed.map(|armed| armed.until).max(asked)
    }
}

impl Agent {
    /// Is the fencer in the state that a writing PostgreSQL needs?
    pub fn fencer_covers(&self, now: Now) -> bool {
        let Some(term) = self.term() else {
            return false;
        };
        // Maintenance mode: nothing is fenced, and what runs now runs by an operator's command.
        if self.authority() == Authority::Paused {
            return true;
        }
        let armed = self.fencing.ready
            && self
                .fencing
                .armed
                .is_some_and(|a| a.term == term && a.until > now.mono);
        match self.settings.safety.fencer {
            FencerMode::Off => true,
            FencerMode::Required => armed,
            FencerMode::Auto => armed || self.goes_without_fencer(now),
        }
    }

    /// `auto`: a fencer that never came up is done without, and the view says so.
    fn goes_without_fencer(&self, now: Now) -> bool {
        !self.fencing.ever_ready && now.mono.since(self.fencing.started) >= FIRST_START
    }

    /// The fencer is gone for longer than a replacement may take.
    pub fn fencer_overdue(&self, now: Now) -> bool {
        if self.paused() {
            return false;
        }
        match self.settings.safety.fencer {
            FencerMode::Off => false,
            FencerMode::Auto | FencerMode::Required => self
                .fencing
                .lost_since
                .is_some_and(|since| now.mono.since(since) >= REPLACEMENT_BUDGET),
        }
    }

    pub fn fencer_deadline(&self) -> Option<Mono> {
        let first = (!self.fencing.ever_ready).then(|| self.fencing.started + FIRST_START);
        self.fencing
            .lost_since
            .map(|since| since + REPLACEMENT_BUDGET)
            .or(first)
    }

    pub fn fencer_retry(&self) -> Option<Mono> {
        self.fencing.retry_at
    }

    pub fn fencer_duties(&mut self, now: Now, out: &mut Output) {
        let resting = self.fencing.retry_at.is_some_and(|at| now.mono < at);
        if resting
            || !self.fencing.ready
            || self.fencing.asked.is_some()
            || self.settings.safety.fencer == FencerMode::Off
        {
            return;
        }
        let wanted = match (self.authority(), self.fencing.armed) {
            (Authority::Paused, Some(armed)) => Some(FencerRequest::Disarm {
                term: armed.term,
                why: DisarmReason::Pause,
            }),
            // A deadline in the past would be met at once: nothing is armed on an authority that is over.
            (Authority::Lease { until, term }, armed) if until > now.mono => {
                self.arm_or_extend(until, term, armed)
            }
            (Authority::None | Authority::Lease { .. }, Some(armed))
                if self.local.server() == Server::Down && self.lane.is_free() =>
            {
                Some(FencerRequest::Disarm {
                    term: armed.term,
                    why: DisarmReason::NoBackendCanWrite,
                })
            }
            (Authority::None | Authority::Paused | Authority::Lease { .. }, _) => None,
        };
        if let Some(request) = wanted {
            let op = self.emit(EffectBody::Fencer(request), out);
            self.fencing.asked = Some((op, request));
        }
    }

    fn arm_or_extend(
        &self,
        until: Mono,
        term: crate::name::Term,
        armed: Option<Armed>,
    ) -> Option<FencerRequest> {
        let lease = self.tenure.session?.lease;
        match armed {
            Some(armed) if armed.term == term => {
                (until > armed.until).then_some(FencerRequest::Extend { term, until })
            }
            // Only what writes, or is about to, is held to a deadline: a standby that waits is not.
            Some(_) | None if self.about_to_write() => {
                Some(FencerRequest::Arm { term, lease, until })
            }
            Some(_) | None => None,
        }
    }

    fn about_to_write(&self) -> bool {
        let waits = matches!(self.decision, Decision::Wait(Waiting::FencerNotReady));
        let operation = self.lane.current.as_ref().map(|l| &l.operation);
        let opening = match operation {
            Some(Operation::Promote { .. }) => true,
            Some(Operation::Start { role, .. }) => *role == StartAs::Primary,
            _ => false,
        };
        waits || opening || self.local.may_write()
    }

    /// Does the fencer hold a deadline that no authority moves any more? A server started now, standby or
    /// not, would be ended by it.
    pub fn fencer_would_end_it(&self, now: Now) -> bool {
        self.fencing.armed.is_some() && !self.authority().stands(now.mono)
    }

    pub fn fencer_said(&mut self, now: Now, input: FencerInput, out: &mut Output) {
        match input {
            FencerInput::Ready { armed } => {
                self.fencing.ready = true;
                self.fencing.ever_ready = true;
                self.fencing.armed = armed;
                self.fencing.asked = None;
                // Found without the deadline that the present authority needs: still lost until armed again.
                if self.authority().until().is_none() || armed.is_some() {
                    self.fencing.lost_since = None;
                }
                out.notes.push(Note::FencerReady);
            }
            FencerInput::Acknowledged { op } => self.fencer_obeyed(op, out),
            FencerInput::Refused { op, why } => {
                let Some((_, request)) = self.fencing.asked.take_if(|(asked, _)| *asked == op)
                else {
                    return out.notes.push(Note::Late { op });
                };
                // What it was to prolong it does not hold: it is armed anew.
                if matches!(request, FencerRequest::Extend { .. }) {
                    self.fencing.armed = None;
                }
                self.fencing.retry_at = Some(now.mono + Span::millis(500));
                out.notes.push(Note::FencerRefused { why });
            }
            FencerInput::Lost { why } => {
                self.fencing.ready = false;
                self.fencing.asked = None;
                self.fencing.armed = None;
                self.fencing.lost_since = self.fencing.lost_since.or(Some(now.mono));
                out.notes.push(Note::FencerLost { why });
            }
            FencerInput::Fired { term, .. } => {
                self.fencing.armed = None;
                out.notes.push(Note::FencerFired { term });
                self.local.probe_due = now.mono;
            }
        }
    }

    fn fencer_obeyed(&mut self, op: OpId, out: &mut Output) {
        let Some((_, request)) = self.fencing.asked.take_if(|(asked, _)| *asked == op) else {
            out.notes.push(Note::Late { op });
            return;
        };
        self.fencing.lost_since = None;
        self.fencing.armed = match request {
            FencerRequest::Arm { term, lease, until } => Some(Armed { term, lease, until }),
            FencerRequest::Extend { term, until } => self.fencing.armed.map(|armed| Armed {
                term,
                lease: armed.lease,
                until: until.max(armed.until),
            }),
            FencerRequest::Disarm { .. } => None,
        };
    }
}
