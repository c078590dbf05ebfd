//! One call to the store as Patroni's client makes it: tried on one server after another until its time is over (1.5).
//! Knows nothing of what the call is for, and of no lost answer: what is tried again is tried as if it were new.

use tanist_core::exchange::Step;
use tanist_core::primitive::{Primitive, PrimitiveOutcome};
use tanist_core::time::{Mono, Span};

const FIRST_DELAY: Span = Span::millis(100);
const LONGEST_DELAY: Span = Span::secs(1);
const SHORTEST_TRY: Span = Span::secs(1);

#[derive(Clone, Debug)]
pub struct Retries {
    call: Primitive,
    until: Mono,
    a_try: Span,
    delay: Span,
    last: Option<PrimitiveOutcome>,
}

/// What comes next: another step, or the verdict.
pub enum Next {
    Step(Step),
    Verdict(PrimitiveOutcome),
}

impl Retries {
    /// The time is shared by the servers, and with fewer than three by several tries each.
    pub fn new(call: Primitive, now: Mono, until: Mono, servers: u8) -> Retries {
        let tries: u64 = match servers {
            0 | 1 => 3,
            2 => 4,
            more => more.into(),
        };
        Retries {
            call,
            until,
            a_try: until.since(now).divided_by(tries).max(SHORTEST_TRY),
            delay: FIRST_DELAY,
            last: None,
        }
    }

    pub fn send(&self, now: Mono) -> Step {
        Step::Send {
            call: self.call.clone(),
            until: Ord::min(now + self.a_try, self.until),
        }
    }

    pub fn answered(&mut self, now: Mono, outcome: PrimitiveOutcome) -> Next {
        let again = matches!(
            outcome,
            PrimitiveOutcome::NotSent(_) | PrimitiveOutcome::Unknown(_)
        );
        let at = now + self.delay;
        if !again || at >= self.until {
            return Next::Verdict(outcome);
        }
        self.delay = self.delay.times(2).min(LONGEST_DELAY);
        self.last = Some(outcome);
        Next::Step(Step::Wait { until: at })
    }
}
