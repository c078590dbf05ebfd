//! Which call comes next, in the name of which session, and how long may it take?
//! Knows nothing of answers.

use super::verdict::Before;
use super::{Exchange, SHORTEST_TRY, SessionState, Stage, Step, transaction};
use crate::dcs::{DcsOutcome, DcsRequest, LeaseId};
use crate::primitive::{Primitive, Transaction};
use crate::time::{Mono, Span};

impl Exchange {
    pub(super) fn send(&mut self, now: Mono, session: &SessionState) -> Step {
        if now + SHORTEST_TRY > self.until {
            return self.give_up();
        }
        if let Some(outcome) = self.choose_session(session) {
            return self.done(outcome);
        }
        let call = match self.stage {
            Stage::Grant => Primitive::Grant {
                ttl: self.ttl(session),
            },
            Stage::KeepAlive => Primitive::KeepAlive {
                lease: self.lease(),
            },
            Stage::Read(consistency) => Primitive::ReadAll { consistency },
            Stage::Transact => Primitive::Transaction(self.transaction(self.lease())),
            Stage::TransactFor(former) => Primitive::Transaction(self.transaction(former)),
        };
        Step::Send {
            call,
            until: self.until.min(now + self.try_budget()),
        }
    }

    /// A third of the budget, so that a silent endpoint leaves time for two others; not below one
    /// second where the budget has it.
    fn try_budget(&self) -> Span {
        let third = self.budget.divided_by(3);
        third.max(self.budget.divided_by(2).min(Span::secs(1)))
    }

    /// Other exchanges may have renewed or replaced the session while this one waited. Their session is
    /// used, unless an attempt in the name of the former one is in doubt.
    fn choose_session(&mut self, session: &SessionState) -> Option<DcsOutcome> {
        if self.before() == Before::InDoubt && self.using.is_some() {
            return None;
        }
        self.using = session.session;
        let needs_one = match &self.request {
            DcsRequest::Acquire { .. } | DcsRequest::KeepSession { .. } => true,
            DcsRequest::Renew { .. } => return self.session_of_renewal(),
            DcsRequest::Put { with_session, .. } => *with_session,
            // Resumed or not at all: a new session would not be the old one.
            DcsRequest::ResumeSession { .. } => return self.session_of_renewal(),
            DcsRequest::Snapshot { .. }
            | DcsRequest::Release { .. }
            | DcsRequest::Delete { .. } => false,
        };
        if needs_one && self.using.is_none() {
            self.stage = Stage::Grant;
        }
        None
    }

    /// A renewal never makes a session where there is none: the key went with the old one, and whether
    /// to take it again is not decided here.
    fn session_of_renewal(&self) -> Option<DcsOutcome> {
        match self.using {
            Some(_) => None,
            None => Some(DcsOutcome::SessionGone),
        }
    }

    pub(super) fn lease(&self) -> LeaseId {
        self.using.map_or(LeaseId::NONE, |session| session.lease)
    }

    pub(super) fn ttl(&self, session: &SessionState) -> Span {
        match &self.request {
            DcsRequest::KeepSession { ttl }
            | DcsRequest::ResumeSession { ttl, .. }
            | DcsRequest::Renew { ttl, .. }
            | DcsRequest::Acquire { ttl, .. } => *ttl,
            DcsRequest::Snapshot { .. }
            | DcsRequest::Release { .. }
            | DcsRequest::Put { .. }
            | DcsRequest::Delete { .. } => session.asked,
        }
    }

    fn transaction(&self, lease: LeaseId) -> Transaction {
        match &self.request {
            DcsRequest::Acquire { owner, guard, .. } => transaction::acquire(owner, lease, *guard),
            DcsRequest::Renew { owner, status, .. } => match self.stage {
                Stage::TransactFor(former) => {
                    transaction::rebind(owner, former, self.lease(), status.as_deref())
                }
                Stage::Grant | Stage::KeepAlive | Stage::Read(_) | Stage::Transact => {
                    transaction::renew(owner, lease, status.as_deref())
                }
            },
            DcsRequest::Release {
                owner,
                term,
                status,
            } => transaction::release(owner, lease, *term, status.as_deref()),
            DcsRequest::Put {
                key,
                value,
                precondition,
                ..
            } => transaction::write(key, value, self.bound_to(), *precondition),
            DcsRequest::Delete { key, precondition } => transaction::delete(key, *precondition),
            DcsRequest::Snapshot { .. }
            | DcsRequest::KeepSession { .. }
            | DcsRequest::ResumeSession { .. } => Transaction::default(),
        }
    }

    /// The lease that a put binds its key to.
    pub(super) fn bound_to(&self) -> LeaseId {
        match &self.request {
            DcsRequest::Put { with_session, .. } if *with_session => self.lease(),
            DcsRequest::Put { .. }
            | DcsRequest::Snapshot { .. }
            | DcsRequest::KeepSession { .. }
            | DcsRequest::ResumeSession { .. }
            | DcsRequest::Renew { .. }
            | DcsRequest::Acquire { .. }
            | DcsRequest::Release { .. }
            | DcsRequest::Delete { .. } => LeaseId::NONE,
        }
    }
}
