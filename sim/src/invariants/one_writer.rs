//! S01: at any instant at most one member has a backend that could report a commit (W).
//!
//! Why W and not "is primary": a backend goes on committing for seconds after its postmaster was killed,
//! and a stopping server still reports commits. Two members with W are two histories, one of which will
//! be thrown away with commits that clients hold as done.
//!
//! Rests on A1 to A4. A member on which nobody could end PostgreSQL in time (host suspended; agent and
//! fencer both gone or frozen) is excused until they have had their stop budget. A Patroni that writes without the leader
//! key is left out until its watchdog, if it has opened one, must have reset the host (`patroni_alone.rs`).

use super::Invariant;
use super::assumptions::Assumption;
use crate::marks::Mark;
use crate::wire::Seat;
use crate::world::World;

impl World {
    pub(crate) fn check_one_writer(&mut self) {
        let now = self.now();
        if self.writers().nth(1).is_none() {
            return self.oracle.fine(Invariant::OneWriter);
        }
        let mut writers: Vec<Seat> = self.writers().collect();
        let all = writers.len();
        writers.retain(|seat| !self.may_write_on(*seat));
        if writers.len() < all {
            self.mark(Mark::PatroniWrotePastItsLock);
            self.oracle.set_aside(Invariant::OneWriter);
        }
        if writers.len() < 2 {
            return self.oracle.fine(Invariant::OneWriter);
        }
        let sound = [Assumption::Clocks, Assumption::Store, Assumption::FreeRun];
        let assumptions = &self.oracle.assumptions;
        let excused = writers
            .iter()
            .any(|seat| !assumptions.stop_bound_holds(*seat, now));
        if excused || !assumptions.hold(&sound) {
            return self.oracle.set_aside(Invariant::OneWriter);
        }
        let names: Vec<String> = writers.iter().map(|seat| self.name(*seat).0).collect();
        let story = format!("{} can all report commits", names.join(" and "));
        self.oracle.judge(Invariant::OneWriter, now, Err(story));
    }

    /// Members with W. A host that is suspended or dark reports nothing.
    pub(crate) fn writers(&self) -> impl Iterator<Item = Seat> {
        let seats = (0..self.pgs.len() as u8).map(Seat);
        seats.filter(|seat| self.is_writer(*seat))
    }

    pub(crate) fn is_writer(&self, seat: Seat) -> bool {
        self.powered(seat) && self.pgs[seat.index()].can_write()
    }
}
