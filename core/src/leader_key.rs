//! The leader key and the write authority that rests on it: one value that fencer, watchdog, REST and
//! promote read, and nothing else. Holds the arithmetic of the deadline; issues no request.
//!
//! `until = s + ttl x (1 - rho) - stop - g`, where `s` is the send time of the last *confirmed* renewal of
//! the session. Acquiring a key renews nothing.

use crate::dcs::Session;
use crate::name::{OpId, Term};
use crate::settings::Safety;
use crate::time::{Mono, Span};
use serde::{Deserialize, Serialize};

/// Until when this member may let its PostgreSQL accept writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authority {
    None,
    Lease {
        until: Mono,
        term: Term,
    },
    /// Maintenance mode: PostgreSQL is the operator's, nothing is fenced.
    Paused,
}

impl Authority {
    /// May PostgreSQL accept writes at `now`?
    pub fn stands(self, now: Mono) -> bool {
        match self {
            Authority::None => false,
            Authority::Lease { until, .. } => now < until,
            Authority::Paused => true,
        }
    }

    pub fn until(self) -> Option<Mono> {
        match self {
            Authority::Lease { until, .. } => Some(until),
            Authority::None | Authority::Paused => None,
        }
    }
}

/// What is known of this member's hold on the leader key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    NotHeld,
    /// Asked for; no verdict yet.
    Acquiring {
        op: OpId,
    },
    /// An acquisition ended without a verdict: the key may be mine. Neither promoted on nor told to others.
    InDoubt,
    Held {
        term: Term,
    },
    /// Held until `since`, when it was seen to be gone: one guarded attempt to take it again is under way.
    Gone {
        term: Term,
        since: Mono,
    },
    /// Given up on purpose; never acted on again, whatever the outcome.
    Releasing {
        op: OpId,
        term: Term,
    },
}

impl Key {
    pub fn term(self) -> Option<Term> {
        match self {
            Key::Held { term } => Some(term),
            Key::NotHeld
            | Key::Acquiring { .. }
            | Key::InDoubt
            | Key::Gone { .. }
            | Key::Releasing { .. } => None,
        }
    }
}

/// The end of the authority that `session` gives, with the ttl that was configured as an upper bound.
pub fn authority_until(session: Session, configured_ttl: Span, safety: &Safety) -> Mono {
    let ttl = session
        .ttl
        .min(configured_ttl)
        .shortened_by_ppm(safety.clock_drift_ppm);
    session.renewed_at
        + ttl
            .saturating_sub(safety.stop_budget)
            .saturating_sub(safety.store_margin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcs::LeaseId;

    fn session(ttl: u64) -> Session {
        Session {
            lease: LeaseId(1),
            ttl: Span::secs(ttl),
            renewed_at: Mono(1_000_000),
        }
    }

    #[test]
    fn the_deadline_counts_from_the_send_time_less_drift_stop_and_margin() {
        let until = authority_until(session(30), Span::secs(30), &Safety::default());
        assert_eq!(until, Mono(1_000_000) + Span::millis(29_850 - 2_000 - 500));
    }

    #[test]
    fn a_granted_ttl_longer_than_asked_gives_no_more_time() {
        let safety = Safety::default();
        let asked = Span::secs(20);
        assert_eq!(
            authority_until(session(60), asked, &safety),
            authority_until(session(20), asked, &safety)
        );
    }

    #[test]
    fn authority_ends_at_its_deadline_not_after_it() {
        let lease = Authority::Lease {
            until: Mono(10),
            term: Term(1),
        };
        assert!(lease.stands(Mono(9)));
        assert!(!lease.stands(Mono(10)));
    }
}
