//! L08: a primary that lets no client in while its leader key is renewed is not left like that. The postmaster alone makes
//! a session's process: when it hangs, sessions that are open go on, an agent that keeps one of them sees nothing amiss,
//! and nobody connects any more. The time is that of the policy, `primary_start_timeout`, and at least three loops.
//! Rests on A1, and on an agent that lives.

use super::Invariant;
use super::assumptions::Assumption;
use crate::moment::Moment;
use crate::pg::instance::{Phase, Server};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::time::Span;

/// Until the look that is one too many has had its time, and the server is down: two looks, and a stop.
const SEEN_AND_ENDED: Span = Span::secs(15);

/// A leader that lets nobody in, under one agent's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    seat: Seat,
    run: u32,
    life: u32,
    since: Moment,
    /// The longest that the policy allowed meanwhile.
    allowed: Span,
}

impl World {
    pub(crate) fn check_lets_clients_in(&mut self) {
        let closed = self.closed_leader();
        let known = self.oracle.evidence.closed;
        let goes_on = |(now, was): &(Closed, Closed)| {
            (now.seat, now.run, now.life) == (was.seat, was.run, was.life)
        };
        let both = closed.zip(known).filter(goes_on);
        let closed = match both {
            None => closed,
            Some((now, was)) => Some(Closed {
                since: was.since,
                allowed: was.allowed.max(now.allowed),
                ..now
            }),
        };
        self.oracle.evidence.closed = closed;
        let Some(closed) = closed else {
            return self.oracle.fine(Invariant::LetsClientsIn);
        };
        if !self.oracle.assumptions.hold(&[Assumption::Clocks]) {
            return self.oracle.set_aside(Invariant::LetsClientsIn);
        }
        let now = self.now();
        let verdict = match now.since(closed.since) <= closed.allowed {
            true => Ok(()),
            false => Err(format!(
                "{} holds the leader key and has let nobody in for {}",
                self.name(closed.seat),
                now.since(closed.since)
            )),
        };
        self.oracle.judge(Invariant::LetsClientsIn, now, verdict);
    }

    /// The leader whose postmaster or storage hangs, while its agent could do something about it.
    fn closed_leader(&self) -> Option<Closed> {
        let hangs = |seat: &Seat| {
            let server = self.pgs[seat.index()].server.as_ref();
            let serves = |s: &Server| s.phase == Phase::Primary && s.stopping.is_none();
            server.is_some_and(serves) && self.is_silent(*seat)
        };
        let mut seats = (0..self.pgs.len() as u8).map(Seat);
        if !seats.any(|seat| hangs(&seat)) || self.is_paused() {
            return None;
        }
        // A Patroni asks over a session that stands.
        let ours = |seat: &Seat| !self.is_patroni(*seat);
        let seat = self.leader_seat().filter(ours).filter(hangs)?;
        let host = &self.hosts[seat.index()];
        let agent = host.agent.as_ref().filter(|_| host.agent_runs())?;
        let config = self.config_in_force();
        let loops = config.timing.loop_wait.times(3);
        let looks = config.timing.loop_wait.times(2);
        Some(Closed {
            seat,
            run: self.pgs[seat.index()].run,
            life: agent.life,
            since: self.now(),
            allowed: config.primary_start_timeout.max(loops) + looks + SEEN_AND_ENDED,
        })
    }
}
