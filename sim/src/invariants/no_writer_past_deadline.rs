//! S03: no member has W past the end of its authority plus its stop budget.
//!
//! The deadline is reckoned here anew from the last confirmed renewal, not read from the agent: send time,
//! plus granted ttl x (1 - drift), less the store's margin. From then on the lease may be gone, and another may be
//! promoted in the same instant.
//!
//! Rests on A1, A2, A4. Before the cluster's first leader key there is nobody to hand over to.

use super::Invariant;
use super::assumptions::Assumption;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::time::{Mono, Span};

/// The store's margin `g` that agents reckon with.
const STORE_MARGIN: Span = Span::millis(500);

impl World {
    /// An exchange of `seat` has ended: its session may have been renewed.
    pub(crate) fn note_session(&mut self, seat: Seat) {
        let drift = self.shape.clock_drift_ppm;
        let session = self.hosts[seat.index()]
            .agent
            .as_ref()
            .and_then(|a| a.session.session);
        // A session taken over from an earlier life counts from nothing until the store has confirmed it;
        // until then the earlier life's deadline stands.
        let confirmed = session.filter(|session| session.renewed_at > Mono(0));
        if let Some(session) = confirmed {
            let lasts = session
                .ttl
                .shortened_by_ppm(drift)
                .saturating_sub(STORE_MARGIN);
            self.oracle
                .evidence
                .deadlines
                .insert(seat, session.renewed_at + lasts);
        }
    }

    pub(crate) fn check_no_writer_past_deadline(&mut self) {
        let now = self.now();
        for seat in (0..self.pgs.len() as u8).map(Seat) {
            if !self.is_writer(seat) {
                continue;
            }
            if self.is_patroni(seat) {
                // What an agent of Tanist had before holds until it leads by a lease of its own.
                if self.patroni_says_primary(seat) {
                    self.oracle.evidence.deadlines.remove(&seat);
                    self.oracle.evidence.led_as_patroni.insert(seat);
                }
                self.oracle.set_aside(Invariant::NoWriterPastDeadline);
                continue;
            }
            let assumptions = &self.oracle.assumptions;
            let sound = assumptions.hold(&[Assumption::Clocks, Assumption::FreeRun]);
            let led = self.oracle.evidence.ever_led.is_some();
            if !sound || !assumptions.stop_bound_holds(seat, now) || !led {
                self.oracle.set_aside(Invariant::NoWriterPastDeadline);
                continue;
            }
            let clock = self.host_now(seat).mono;
            let deadline = self.oracle.evidence.deadlines.get(&seat);
            // A Patroni that was killed leaves a primary behind: its lease is nobody's here.
            if deadline.is_none() && self.oracle.evidence.led_as_patroni.contains(&seat) {
                self.oracle.set_aside(Invariant::NoWriterPastDeadline);
                continue;
            }
            let verdict = match deadline {
                Some(deadline) if clock <= *deadline => Ok(()),
                Some(deadline) => {
                    let late = clock.since(*deadline);
                    Err(format!(
                        "{} can report commits {late} past its deadline",
                        self.name(seat)
                    ))
                }
                None => Err(format!(
                    "{} can report commits and never had a lease",
                    self.name(seat)
                )),
            };
            self.oracle
                .judge(Invariant::NoWriterPastDeadline, now, verdict);
        }
    }

    /// Keeps account of who could end PostgreSQL on which host (A2).
    pub(crate) fn note_stop_bound(&mut self) {
        let now = self.now();
        let grace = self.shape.stop_budget + Span::secs(2);
        for at in 0..self.hosts.len() as u8 {
            let seat = Seat(at);
            let host = &self.hosts[seat.index()];
            let able = host.agent_runs() || host.fencer_runs() || self.is_watched(seat);
            let idle = self.pgs[seat.index()].server.is_none();
            if able || idle {
                self.oracle.assumptions.somebody_can_stop(seat, now + grace);
            } else {
                self.oracle.assumptions.nobody_can_stop(seat);
            }
        }
    }
}
