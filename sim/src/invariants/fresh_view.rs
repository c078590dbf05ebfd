//! L04: once the store is back, every agent acts on a fresh view of it, without being started anew. One that went on with
//! what it knew before would wait for keys that are gone, or send its PostgreSQL after a primary that leads no more.
//! Rests on A3.

use super::Invariant;
use super::assumptions::Assumption;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::dcs::Revision;
use tanist_core::time::Span;

/// Beside loops and retries: an election of the store, and the way of the answers.
const STORE_IS_BACK: Span = Span::secs(15);

impl World {
    /// How long after `HealAll` an agent may act on what it knew before.
    pub fn view_bound(&self) -> Span {
        self.shape.loop_wait.times(2) + self.shape.retry_timeout + STORE_IS_BACK
    }

    /// Whatever was written up to now has to be known by everybody in time.
    pub(crate) fn note_healed(&mut self) {
        self.oracle.evidence.healed_at = self.store.revision();
    }

    pub(crate) fn check_fresh_views(&mut self) {
        let now = self.now();
        if !self.oracle.assumptions.hold(&[Assumption::Store]) {
            return self.oracle.set_aside(Invariant::FreshView);
        }
        let healed_at = self.oracle.evidence.healed_at;
        for at in 0..self.hosts.len() as u8 {
            let seat = Seat(at);
            let host = &self.hosts[seat.index()];
            let Some(agent) = host.agent.as_ref().filter(|_| host.agent_runs()) else {
                continue;
            };
            if now.since(agent.born) <= self.view_bound() {
                continue;
            }
            let Some(tanist) = agent.agent.tanist() else {
                continue;
            };
            let seen = tanist.decides_from().unwrap_or(Revision(0));
            let verdict = match seen >= healed_at {
                true => Ok(()),
                false => Err(format!(
                    "{} acts on revision {}, and the store was healed at {}",
                    self.name(seat),
                    seen.0,
                    healed_at.0
                )),
            };
            self.oracle.judge(Invariant::FreshView, now, verdict);
        }
    }
}
