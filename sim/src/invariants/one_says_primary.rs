//! S21: at any instant at most one member answers yes to the primary check. Load balancers believe that
//! answer: with two of them, writes go to both. Rests on A1, A3, A4.

use super::Invariant;
use super::assumptions::Assumption;
use crate::pg::instance::Phase;
use crate::wire::Seat;
use crate::world::World;

impl World {
    pub(crate) fn check_one_says_primary(&mut self) {
        let now = self.now();
        let servers = self.pgs.iter().filter_map(|pg| pg.server.as_ref());
        let mut primaries = servers.filter(|server| server.phase == Phase::Primary);
        if primaries.nth(1).is_none() && !self.sabotage.is_on() {
            return self.oracle.fine(Invariant::OneSaysPrimary);
        }
        let sound = [Assumption::Clocks, Assumption::Store, Assumption::FreeRun];
        if !self.oracle.assumptions.hold(&sound) {
            return self.oracle.set_aside(Invariant::OneSaysPrimary);
        }
        let all = (0..self.pgs.len() as u8).map(Seat);
        let yes: Vec<String> = all
            .filter(|seat| self.says_primary(*seat) && !self.may_write_on(*seat))
            .map(|seat| self.name(seat).0)
            .collect();
        let verdict = match yes.len() {
            0 | 1 => Ok(()),
            _ => Err(format!(
                "{} all say that they are the primary",
                yes.join(" and ")
            )),
        };
        self.oracle.judge(Invariant::OneSaysPrimary, now, verdict);
    }

    /// What the member's REST answers to the primary check at this instant.
    pub(crate) fn says_primary(&self, seat: Seat) -> bool {
        if self.is_patroni(seat) {
            return self.patroni_says_primary(seat);
        }
        let host = &self.hosts[seat.index()];
        let Some(agent) = host.agent.as_ref().filter(|_| host.agent_runs()) else {
            return false;
        };
        if self.sabotage.says_primary(seat) {
            return true;
        }
        if !self.pgs[seat.index()].accepts_writes() {
            return false;
        }
        let now = self.host_now(seat);
        let tanist = agent.agent.tanist();
        tanist.is_some_and(|agent| agent.authority().stands(now.mono))
    }
}
