//! The settings that a standby must match: what a primary writes of them into its WAL, and what becomes of a standby that
//! has less. Knows nothing of who configures them.
//!
//! As PostgreSQL does it (`XLOG_PARAMETER_CHANGE`, `RecoveryRequiresIntParameter`): the end of recovery writes a record
//! where the server's settings differ from those of its control file; replay takes them into the control file and, where
//! the standby has less, stands still before that record (up to version 13 the server ends). Promoted then, or resumed, it
//! ends; what is started with less than its control file demands, ends at once.

use crate::pg::wal::Position;
use crate::wire::Seat;
use crate::world::World;
use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;

/// In the order of `Limits`.
const NAMES: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];
/// Length of the record.
const RECORD_BYTES: u64 = 56;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits([u64; 5]);

/// PostgreSQL's own, with which initdb leaves a cluster.
impl Default for Limits {
    fn default() -> Limits {
        Limits([100, 8, 10, 0, 64])
    }
}

impl Limits {
    pub fn of(parameters: &BTreeMap<String, String>) -> Limits {
        let mut limits = Limits::default();
        for (limit, name) in limits.0.iter_mut().zip(NAMES) {
            let set = parameters.get(name).and_then(|value| value.parse().ok());
            *limit = set.unwrap_or(*limit);
        }
        limits
    }

    pub fn with_connections(max_connections: u32) -> Limits {
        let mut limits = Limits::default();
        limits.0[0] = max_connections.into();
        limits
    }

    pub fn connections(self) -> u64 {
        self.0[0]
    }

    pub fn named(self) -> BTreeMap<String, u64> {
        let names = NAMES.iter().map(|name| name.to_string());
        names.zip(self.0).collect()
    }

    pub fn cover(self, demanded: Limits) -> bool {
        self.0
            .iter()
            .zip(demanded.0)
            .all(|(has, needs)| *has >= needs)
    }
}

impl World {
    /// At the end of recovery: what the server has now is in its control file, and in its WAL where that is new.
    pub(crate) fn report_limits(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let Some(limits) = pg.server.as_ref().map(|s| s.limits) else {
            return;
        };
        if pg.dir.control.limits == limits {
            return;
        }
        pg.dir.control.limits = limits;
        let before = pg.dir.wal;
        let end = self.wal.append(before, RECORD_BYTES, None);
        self.wal.note_limits(before.lsn, end, limits);
        pg.dir.wal = end;
        if let Some(server) = pg.server.as_mut() {
            server.inserted = end;
            server.replayed = end.lsn;
        }
        pg.settle();
    }

    /// A standby replays what it has received, as far as it can.
    pub(crate) fn replay(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let Some(server) = pg.server.as_mut().filter(|s| !s.replay_paused) else {
            return;
        };
        server.inserted = pg.dir.wal;
        for change in self.wal.limits_between(server.replayed, pg.dir.wal) {
            pg.dir.control.limits = change.limits;
            if !server.limits.cover(change.limits) {
                server.falls_short = true;
                server.replay_paused = true;
                server.replayed = change.begins;
                return;
            }
        }
        server.replayed = pg.dir.wal.lsn;
    }

    /// Up to the end of the local WAL, before anybody is let in. `false`: the server ended over it.
    pub(crate) fn replays_local(&mut self, seat: Seat, from: Lsn) -> bool {
        let pg = &mut self.pgs[seat.index()];
        let Some(server) = pg.server.as_mut() else {
            return false;
        };
        for change in self.wal.limits_between(from, pg.dir.wal) {
            pg.dir.control.limits = change.limits;
            if pg.dir.standby_signal && !server.limits.cover(change.limits) {
                return false;
            }
        }
        server.replayed = pg.dir.wal.lsn;
        true
    }

    /// A server that is promoted replays to the end of what it has, whether or not somebody had paused that. `false`: its
    /// settings forbid it.
    pub(crate) fn replays_to_the_end(&mut self, seat: Seat) -> bool {
        let server = |world: &mut World| {
            world.pgs[seat.index()]
                .server
                .as_mut()
                .map(|s| s.falls_short)
        };
        if server(self) == Some(false)
            && let Some(server) = self.pgs[seat.index()].server.as_mut()
        {
            server.replay_paused = false;
        }
        self.replay(seat);
        server(self) == Some(false)
    }

    /// `pg_wal_replay_resume()`, or its pause.
    pub(crate) fn pause_replay(&mut self, seat: Seat, paused: bool) {
        let pg = &mut self.pgs[seat.index()];
        let Some(server) = pg.server.as_mut().filter(|s| s.in_recovery()) else {
            return;
        };
        if server.falls_short && !paused {
            return self.all_processes_gone(seat);
        }
        server.replay_paused = paused;
        self.replay(seat);
        self.tell_what_is_replayed(seat);
    }
}

/// A record of changed settings.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub begins: Lsn,
    pub end: Position,
    pub limits: Limits,
}
