//! S11: in asynchronous mode the chosen member's WAL ends no further behind the position that the last leader
//! published than `maximum_lag_on_failover`. What is lost beyond that was written after the last publication.
//! Rests on A4, and on the store's keys (A3).

use super::Invariant;
use super::assumptions::Assumption;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::keys::Status;
use tanist_core::lsn::Lsn;

impl World {
    pub(crate) fn check_async_loss(&mut self, seat: Seat) {
        let now = self.now();
        // A leader whose disk forgot what it had confirmed may come back with less than it has published.
        let sound = [
            Assumption::FreeRun,
            Assumption::Store,
            Assumption::DurableDisks,
        ];
        // An order to promote that finds no server opens no timeline: what it was given for may be gone since.
        let reaches = self.pgs[seat.index()].server.is_some();
        if !reaches || !self.oracle.assumptions.hold(&sound) {
            return self.oracle.set_aside(Invariant::AsyncLossBounded);
        }
        let Some(published) = self.published_position() else {
            return self.oracle.set_aside(Invariant::AsyncLossBounded);
        };
        let mine = self.pgs[seat.index()].dir.wal.lsn;
        let behind = published.bytes_ahead_of(mine);
        let verdict = match behind <= self.lag_allowed() {
            true => Ok(()),
            false => Err(format!(
                "{} promotes at {mine}, {behind} bytes behind the published {published}",
                self.name(seat)
            )),
        };
        self.oracle.judge(Invariant::AsyncLossBounded, now, verdict);
    }

    /// What the last leader said of where its WAL ends.
    pub(crate) fn published_position(&self) -> Option<Lsn> {
        let status = self.store.get("status");
        let status = status.and_then(|kv| Status::parse(&kv.value));
        status.map(|status| Lsn(status.optime))
    }
}
