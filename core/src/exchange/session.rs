//! Which lease is this process's, and when was it last *confirmed*? One value a process, shared by all
//! of its exchanges. Knows nothing of keys.
//!
//! Only a verdict of the store moves `renewed_at`, and only to the instant at which that request was
//! sent: the store's timer may have started as early as that.

use crate::dcs::{LeaseId, Session};
use crate::time::{Mono, Span};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    pub session: Option<Session>,
    /// The ttl that was last asked for. The store may grant another; a change of this asks for a new lease.
    pub asked: Span,
    /// The lease before the present one. The leader key may still be bound to it, and is then mine to
    /// bind anew: a new ttl means a new lease, and the old one just runs out.
    pub retired: Option<LeaseId>,
}

impl SessionState {
    /// The session to use for `ttl`, unless a new one must be granted.
    pub fn usable(&self, ttl: Span) -> Option<Session> {
        self.session.filter(|_| self.asked == ttl)
    }

    /// An earlier life of this process held this lease. Not confirmed until a keep-alive is: until then
    /// its last renewal counts as infinitely long ago.
    pub(super) fn adopt(&mut self, lease: LeaseId, ttl: Span) {
        if self.session.is_none() {
            self.session = Some(Session {
                lease,
                ttl,
                renewed_at: Mono(0),
            });
            self.asked = ttl;
        }
    }

    /// The store granted a lease. When another exchange was granted one for the same ttl in the
    /// meantime, that one stays (the leader key may be bound to it) and ours just runs out.
    pub(super) fn granted(
        &mut self,
        asked: Span,
        lease: LeaseId,
        ttl: Span,
        sent_at: Mono,
    ) -> Session {
        if let Some(present) = self.usable(asked) {
            return present;
        }
        if let Some(old) = self.session {
            self.retired = Some(old.lease);
        }
        let session = Session {
            lease,
            ttl,
            renewed_at: sent_at,
        };
        self.session = Some(session);
        self.asked = asked;
        session
    }

    /// The store kept a lease alive. Confirmations may arrive out of order, so the latest sent one
    /// counts; one for a lease that is no longer the session's counts for nothing.
    pub(super) fn kept_alive(&mut self, used: Session, ttl: Span, sent_at: Mono) {
        if let Some(present) = self.session.as_mut().filter(|s| s.lease == used.lease) {
            present.ttl = ttl;
            present.renewed_at = present.renewed_at.max(sent_at);
        }
    }

    /// The store does not know this lease (any more).
    pub(super) fn gone(&mut self, lease: LeaseId) {
        if self.session.is_some_and(|s| s.lease == lease) {
            self.session = None;
            self.retired = Some(lease);
        }
    }
}
