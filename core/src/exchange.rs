//! How does one request to the store become calls, and their outcomes one outcome, without ever taking
//! "no verdict" for "no"? Used by the real adapter and by the simulator's store alike; sends nothing,
//! reads no clock, knows no endpoint.
//!
//! What it promises, whatever the answers:
//! - it ends by `until`: no step reaches further;
//! - `Acquired` only on a verdict that the key is mine and bound to my lease;
//! - `Conflict` never while an attempt without a verdict may own the key;
//! - `renewed_at` is the send time of a confirmed grant or keep-alive; acquiring renews nothing.
//!
//! An acquire whose session could not be made sure ends as `NotSent`, even when the grant had no
//! verdict: the leader key was never asked for. A conflict of a put or delete names no owner.
//! `Conflict { owner: Mine }` of an acquire: an earlier request of mine was applied late, on a guard that
//! no longer holds.
//!
//! `asking` chooses the next call, `transaction` writes it, `verdict` reads its answer, `session` keeps
//! what the store confirmed.

mod asking;
mod session;
mod transaction;
mod verdict;

pub use session::SessionState;
pub use transaction::owner_of;

use crate::dcs::{Consistency, DcsOutcome, DcsReply, DcsRequest, LeaseId, Session};
use crate::primitive::{Primitive, PrimitiveOutcome, PrimitiveReply};
use crate::time::{Mono, Span};
use serde::{Deserialize, Serialize};
use verdict::{Answer, Before, Verdict, Wanted};

const FIRST_DELAY: Span = Span::millis(100);
const LONGEST_DELAY: Span = Span::secs(1);
/// A try shorter than this is not worth sending.
const SHORTEST_TRY: Span = Span::millis(10);
/// A new session is worth its two calls when this much of the budget is left (or half of a smaller one).
const REGRANT_BUDGET: Span = Span::secs(1);

/// What the one who drives an exchange has to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Send `call`, once, and report by `until` what became of it: `Unknown` when nothing came back.
    Send { call: Primitive, until: Mono },
    /// Call `resumed` at `until`.
    Wait { until: Mono },
    /// `sent_at`: of the attempt that produced the outcome. `maybe_since`: of the earliest attempt to
    /// write that had no verdict.
    Done {
        outcome: DcsOutcome,
        sent_at: Mono,
        maybe_since: Option<Mono>,
    },
}

/// The call that is under way or comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    Grant,
    KeepAlive,
    Read(Consistency),
    /// The request's own transaction, in the name of my session.
    Transact,
    /// The same in the name of my former lease, to which the leader key is still bound.
    TransactFor(LeaseId),
}

/// Whether the session may be granted anew once more for this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Regrant {
    Allowed,
    Spent,
}

/// The failures of the calls so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Trouble {
    None,
    /// Every call so far was refused or never left.
    NeverLeft(String),
    /// Some call left and had no verdict.
    Unheard(String),
}

/// One request on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    request: DcsRequest,
    until: Mono,
    /// From the start until `until`.
    budget: Span,
    stage: Stage,
    /// The session in whose name the request is made. Kept while an attempt in its name is in doubt.
    using: Option<Session>,
    delay: Span,
    regrant: Regrant,
    trouble: Trouble,
    sent_at: Mono,
    maybe_since: Option<Mono>,
}

impl Exchange {
    pub fn new(request: DcsRequest, until: Mono) -> Exchange {
        Exchange {
            request,
            until,
            budget: Span::ZERO,
            stage: Stage::Transact,
            using: None,
            delay: FIRST_DELAY,
            regrant: Regrant::Allowed,
            trouble: Trouble::None,
            sent_at: Mono::default(),
            maybe_since: None,
        }
    }

    pub fn start(&mut self, now: Mono, session: &mut SessionState) -> Step {
        self.budget = self.until.since(now);
        self.sent_at = now;
        let present = session.session;
        self.stage = match &self.request {
            DcsRequest::Snapshot { consistency } => Stage::Read(*consistency),
            DcsRequest::KeepSession { ttl } | DcsRequest::Acquire { ttl, .. } => session
                .usable(*ttl)
                .map_or(Stage::Grant, |_| Stage::KeepAlive),
            DcsRequest::ResumeSession { lease, ttl } => {
                session.adopt(*lease, *ttl);
                Stage::KeepAlive
            }
            DcsRequest::Renew { ttl, .. } => match present {
                None => return self.done(DcsOutcome::SessionGone),
                Some(_) if session.asked != *ttl => Stage::Grant,
                Some(_) => Stage::KeepAlive,
            },
            DcsRequest::Release { .. } => match (present, session.retired) {
                (Some(_), _) => Stage::Transact,
                (None, Some(former)) => Stage::TransactFor(former),
                (None, None) => return self.done(DcsOutcome::SessionGone),
            },
            DcsRequest::Put { with_session, .. } if *with_session && present.is_none() => {
                return self.done(DcsOutcome::SessionGone);
            }
            DcsRequest::Put { .. } | DcsRequest::Delete { .. } => Stage::Transact,
        };
        self.send(now, session)
    }

    /// The wait that `Step::Wait` asked for is over.
    pub fn resumed(&mut self, now: Mono, session: &mut SessionState) -> Step {
        self.send(now, session)
    }

    /// The call that `Step::Send` asked for has an outcome. `sent_at`: just before its first byte.
    pub fn answered(
        &mut self,
        now: Mono,
        sent_at: Mono,
        outcome: PrimitiveOutcome,
        session: &mut SessionState,
    ) -> Step {
        self.sent_at = sent_at;
        match outcome {
            PrimitiveOutcome::Ok(reply) => self.heard(now, reply, session),
            PrimitiveOutcome::LeaseNotFound => self.lease_not_found(now, session),
            PrimitiveOutcome::Denied(why) => self.denied(now, why, session),
            PrimitiveOutcome::NotSent(why) => {
                if !matches!(self.trouble, Trouble::Unheard(_)) {
                    self.trouble = Trouble::NeverLeft(why);
                }
                self.retry(now)
            }
            PrimitiveOutcome::Unknown(why) => self.unheard(now, why),
        }
    }

    fn unheard(&mut self, now: Mono, why: String) -> Step {
        self.trouble = Trouble::Unheard(why);
        if matches!(self.stage, Stage::Transact | Stage::TransactFor(_)) {
            self.maybe_since.get_or_insert(self.sent_at);
        }
        self.retry(now)
    }

    fn before(&self) -> Before {
        match self.maybe_since {
            Some(_) => Before::InDoubt,
            None => Before::NothingSent,
        }
    }

    fn heard(&mut self, now: Mono, reply: PrimitiveReply, session: &mut SessionState) -> Step {
        match (self.stage, reply) {
            (Stage::Grant, PrimitiveReply::Granted { lease, ttl }) => {
                let asked = self.ttl(session);
                let granted = session.granted(asked, lease, ttl, self.sent_at);
                self.session_sure(now, granted, session)
            }
            (Stage::KeepAlive, PrimitiveReply::KeptAlive { ttl: Some(ttl) }) => {
                if let Some(used) = self.using {
                    session.kept_alive(used, ttl, self.sent_at);
                }
                // Another exchange may have replaced the session, or found it gone, in the meantime.
                match session.session {
                    Some(present) => self.session_sure(now, present, session),
                    None => self.session_gone(now, session),
                }
            }
            (Stage::KeepAlive, PrimitiveReply::KeptAlive { ttl: None }) => {
                session.gone(self.lease());
                self.session_gone(now, session)
            }
            (Stage::Read(_), PrimitiveReply::All(snapshot)) => {
                self.done(DcsOutcome::Ok(DcsReply::Snapshot(snapshot)))
            }
            (
                Stage::Transact | Stage::TransactFor(_),
                PrimitiveReply::Transaction {
                    succeeded,
                    revision,
                    got,
                },
            ) => {
                let answer = Answer {
                    succeeded,
                    revision,
                    got: &got,
                };
                let verdict = self.verdict(answer, session);
                self.follow(now, verdict, session)
            }
            (
                Stage::Grant
                | Stage::KeepAlive
                | Stage::Read(_)
                | Stage::Transact
                | Stage::TransactFor(_),
                PrimitiveReply::Granted { .. }
                | PrimitiveReply::KeptAlive { .. }
                | PrimitiveReply::All(_)
                | PrimitiveReply::Transaction { .. },
            ) => self.unheard(now, "the store answered another question".to_string()),
        }
    }

    /// The session is confirmed; on to what it was needed for.
    fn session_sure(&mut self, now: Mono, sure: Session, session: &SessionState) -> Step {
        self.using = Some(sure);
        match self.request {
            DcsRequest::KeepSession { .. } | DcsRequest::ResumeSession { .. } => {
                self.done(DcsOutcome::Ok(DcsReply::Session(sure)))
            }
            DcsRequest::Snapshot { .. }
            | DcsRequest::Renew { .. }
            | DcsRequest::Acquire { .. }
            | DcsRequest::Release { .. }
            | DcsRequest::Put { .. }
            | DcsRequest::Delete { .. } => {
                self.stage = Stage::Transact;
                self.send(now, session)
            }
        }
    }

    fn verdict(&self, answer: Answer<'_>, session: &SessionState) -> Verdict {
        let before = self.before();
        match (&self.request, self.using) {
            (DcsRequest::Acquire { owner, guard, .. }, Some(using)) => {
                Verdict::Done(verdict::acquire(answer, owner, using, *guard, before))
            }
            (DcsRequest::Renew { owner, .. }, Some(using)) => {
                verdict::renew(answer, owner, using, session.retired)
            }
            (DcsRequest::Release { owner, .. }, _) => {
                verdict::release(answer, owner, self.lease(), session.retired, before)
            }
            (
                DcsRequest::Put {
                    key,
                    value,
                    precondition,
                    ..
                },
                _,
            ) => {
                let wanted = Wanted {
                    key,
                    value,
                    lease: self.bound_to(),
                    precondition: *precondition,
                };
                Verdict::Done(verdict::put(answer, &wanted, before))
            }
            (DcsRequest::Delete { key, .. }, _) => {
                Verdict::Done(verdict::delete(answer, key, before))
            }
            (DcsRequest::Acquire { .. } | DcsRequest::Renew { .. }, None)
            | (
                DcsRequest::Snapshot { .. }
                | DcsRequest::KeepSession { .. }
                | DcsRequest::ResumeSession { .. },
                _,
            ) => Verdict::Done(DcsOutcome::SessionGone),
        }
    }

    fn follow(&mut self, now: Mono, verdict: Verdict, session: &SessionState) -> Step {
        match verdict {
            Verdict::Done(outcome) => self.done(outcome),
            // Asked in the name of the former lease already, and refused: look again.
            Verdict::MyFormerLease(former) if self.stage == Stage::TransactFor(former) => {
                self.stage = Stage::Transact;
                self.retry(now)
            }
            Verdict::MyFormerLease(former) => {
                self.stage = Stage::TransactFor(former);
                self.send(now, session)
            }
        }
    }

    /// A put named my lease, and the store does not know it: what was bound to it is gone, and an
    /// attempt in its name that is still under way cannot be applied any more.
    fn lease_not_found(&mut self, now: Mono, session: &mut SessionState) -> Step {
        session.gone(self.lease());
        self.maybe_since = None;
        self.session_gone(now, session)
    }

    fn session_gone(&mut self, now: Mono, session: &SessionState) -> Step {
        self.using = None;
        let regrant = match &self.request {
            DcsRequest::KeepSession { .. } | DcsRequest::Acquire { .. } => self.regrant,
            DcsRequest::Put { with_session, .. } if *with_session => self.regrant,
            DcsRequest::Put { .. }
            | DcsRequest::ResumeSession { .. }
            | DcsRequest::Snapshot { .. }
            | DcsRequest::Renew { .. }
            | DcsRequest::Release { .. }
            | DcsRequest::Delete { .. } => Regrant::Spent,
        };
        let needed = REGRANT_BUDGET.min(self.budget.divided_by(2));
        match regrant {
            Regrant::Allowed if self.until.since(now) >= needed => {
                self.regrant = Regrant::Spent;
                self.stage = Stage::Grant;
                self.send(now, session)
            }
            Regrant::Allowed | Regrant::Spent => self.done(DcsOutcome::SessionGone),
        }
    }

    fn denied(&mut self, now: Mono, why: String, session: &SessionState) -> Step {
        // A store that is out of space refuses new leases and goes on keeping the old ones alive: a
        // leader whose ttl was changed meanwhile must not fall for that.
        if self.stage == Stage::Grant
            && matches!(self.request, DcsRequest::Renew { .. })
            && session.session.is_some()
        {
            self.stage = Stage::KeepAlive;
            return self.send(now, session);
        }
        match self.before() {
            Before::InDoubt if verdict::leaves_a_mark(&self.request) => self.done(
                DcsOutcome::Unknown(format!("{why}; an earlier attempt had no verdict")),
            ),
            Before::InDoubt | Before::NothingSent => self.done(DcsOutcome::Denied(why)),
        }
    }

    fn retry(&mut self, now: Mono) -> Step {
        let at = now + self.delay;
        if at + SHORTEST_TRY > self.until {
            return self.give_up();
        }
        self.delay = self.delay.times(2).min(LONGEST_DELAY);
        Step::Wait { until: at }
    }

    /// The budget is spent without a verdict.
    fn give_up(&self) -> Step {
        let why = match &self.trouble {
            Trouble::None => "no time was left".to_string(),
            Trouble::NeverLeft(why) | Trouble::Unheard(why) => why.clone(),
        };
        let outcome = match (self.before(), &self.trouble) {
            (Before::InDoubt, _) => DcsOutcome::Unknown(why),
            (Before::NothingSent, Trouble::Unheard(_))
                if !verdict::leaves_a_mark(&self.request) =>
            {
                DcsOutcome::Unknown(why)
            }
            (Before::NothingSent, _) => DcsOutcome::NotSent(why),
        };
        self.done(outcome)
    }

    fn done(&self, outcome: DcsOutcome) -> Step {
        Step::Done {
            outcome,
            sent_at: self.sent_at,
            maybe_since: self.maybe_since,
        }
    }
}
