//! What L02 does not demand: that a standby streams whose next WAL nobody has any more. PostgreSQL asks for it for ever,
//! and only a person can give the member what it lacks (`reinit`). It must run for that, and serve what it has.

use crate::wire::Seat;
use crate::world::World;

impl World {
    /// `seat` goes on from a place that `leader` has removed, and no archive leads it there.
    pub(crate) fn is_starved(&self, seat: Seat, leader: Seat) -> bool {
        let pg = &self.pgs[seat.index()];
        let recovers = pg.server.as_ref().is_some_and(|s| s.in_recovery());
        recovers
            && self.has_removed(leader, pg.dir.wal.lsn)
            && self.has_removed(leader, self.archive_leads_to(seat))
    }
}
