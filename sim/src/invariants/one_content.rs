//! S13: among the members that serve (write, or stream as standbys) there is one WAL content for each
//! timeline and position. Two forks with one number that both serve can never be told apart by number, and
//! each follows or is followed as if it were the other. Rests on A3, A4, A5.

use super::Invariant;
use super::assumptions::Assumption;
use crate::pg::instance::Postmaster;
use crate::pg::wal::Position;
use crate::wire::Seat;
use crate::world::World;

impl World {
    pub(crate) fn check_one_content(&mut self) {
        let now = self.now();
        let sound = [
            Assumption::Store,
            Assumption::FreeRun,
            Assumption::DurableDisks,
        ];
        if !self.oracle.assumptions.hold(&sound) {
            return self.oracle.set_aside(Invariant::OneContent);
        }
        if self.serves_one_branch() {
            return self.oracle.fine(Invariant::OneContent);
        }
        for a in 0..self.pgs.len() as u8 {
            for b in a + 1..self.pgs.len() as u8 {
                let (a, b) = (Seat(a), Seat(b));
                if let Some(story) = self.clash(a, b) {
                    return self.oracle.judge(Invariant::OneContent, now, Err(story));
                }
            }
        }
        self.oracle.fine(Invariant::OneContent);
    }

    /// Whoever serves is on the same branch, as nearly always: then no two can clash, and no pair need be looked at.
    fn serves_one_branch(&self) -> bool {
        let seats = (0..self.pgs.len() as u8).map(Seat);
        let mut branches = seats.filter_map(|seat| Some(self.served(seat)?.branch));
        let first = branches.next();
        branches.all(|branch| Some(branch) == first)
    }

    fn clash(&self, a: Seat, b: Seat) -> Option<String> {
        let (mine, theirs) = (self.served(a)?, self.served(b)?);
        let number = self.wal.timeline(mine.branch);
        let excused = |seat| {
            !self.oracle.assumptions.stop_bound_holds(seat, self.now())
                || self.may_be_mistaken(seat)
        };
        if mine.branch == theirs.branch || number != self.wal.timeline(theirs.branch) {
            return None;
        }
        if excused(a) || excused(b) {
            return None;
        }
        let end = Ord::min(mine.lsn, theirs.lsn);
        let hash = |at| self.wal.hash_at(self.wal.cut_at(at, end));
        (hash(mine) != hash(theirs)).then(|| {
            let (a, b) = (self.name(a), self.name(b));
            format!("{a} and {b} serve timeline {number} with different WAL before {end}")
        })
    }

    /// The WAL that this member serves from, if it serves.
    fn served(&self, seat: Seat) -> Option<Position> {
        let pg = &self.pgs[seat.index()];
        // A connection whose other end died is none, whether or not its receiver has noticed.
        let streams = pg.receiver().is_some_and(|r| {
            let upstream = &self.pgs[r.from.index()];
            upstream.run == r.upstream_run && upstream.server.is_some()
        });
        // A standby whose postmaster stands still lets nobody in, neither a client nor its agent, which so cannot know that it
        // went on to a timeline that nobody else heard of. What it serves once the postmaster runs again is judged.
        let frozen = pg
            .server
            .as_ref()
            .is_some_and(|server| server.postmaster == Postmaster::Frozen);
        let serves = pg.can_write() || (streams && !frozen);
        (serves && self.powered(seat)).then_some(pg.dir.wal)
    }
}
