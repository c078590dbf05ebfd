//! Starting a server: recovery to the consistency point, as a primary or as a standby.
//! Knows nothing of who asked for it.

use crate::act::Trouble;
use crate::due::{PgDue, Ticket};
use crate::marks::Mark;
use crate::pg::instance::{Backends, Layout, Phase, Postmaster, Server, Storage};
use crate::pg::limits::Limits;
use crate::pg::synchronous::Setting;
use crate::pg::wal::Checkpoint;
use crate::wire::Seat;
use crate::world::World;
use std::collections::BTreeMap;
use tanist_core::postgres::{DbState, Ended, StartAs};
use tanist_core::time::Span;

/// Sessions that the application's pool opens on every server that lets it in.
const POOLED_SESSIONS: u32 = 3;

impl World {
    /// Writes the configuration and forks a postmaster. An error: none was started.
    pub(crate) fn start_server(
        &mut self,
        seat: Seat,
        role: &StartAs,
        parameters: &BTreeMap<String, String>,
        starting_for: Option<Ticket>,
    ) -> Result<(), String> {
        let pg = &mut self.pgs[seat.index()];
        if pg.server.is_some() {
            return Err("pre-existing shared memory block is still in use".to_string());
        }
        if pg.dir.layout == Layout::Empty {
            return Err("the data directory is empty".to_string());
        }
        if pg.storage == Storage::Full {
            return Err("could not write lock file: No space left on device".to_string());
        }
        if !self.is_patroni(seat) {
            self.oracle
                .starts(seat, self.pgs[seat.index()].dir.layout, self.agenda.now());
        }
        self.configure(seat, role, parameters);
        self.fork_postmaster(seat, starting_for);
        Ok(())
    }

    pub(crate) fn configure(
        &mut self,
        seat: Seat,
        role: &StartAs,
        parameters: &BTreeMap<String, String>,
    ) {
        // Patroni leaves the notes of Tanist's adapter as they are.
        let notes = !self.is_patroni(seat);
        let pg = &mut self.pgs[seat.index()];
        match role {
            StartAs::Standby { upstream: Some(_) }
            | StartAs::OneTimeline {
                upstream: Some(_), ..
            } => {
                if notes {
                    pg.forget_leading();
                }
                pg.dir.segments.follow();
            }
            StartAs::Standby { upstream: None } | StartAs::OneTimeline { upstream: None, .. } => {
                pg.led_last |= notes && !pg.dir.standby_signal;
            }
            StartAs::Primary => {}
        }
        let dir = &mut pg.dir;
        dir.parameters = parameters.clone();
        dir.one_timeline = match role {
            StartAs::OneTimeline { timeline, .. } => Some(*timeline),
            StartAs::Primary | StartAs::Standby { .. } => None,
        };
        match role {
            StartAs::Primary => {
                dir.standby_signal = false;
                dir.upstream = None;
            }
            StartAs::Standby { upstream } | StartAs::OneTimeline { upstream, .. } => {
                dir.standby_signal = true;
                dir.upstream = upstream.clone();
            }
        }
    }

    fn fork_postmaster(&mut self, seat: Seat, starting_for: Option<Ticket>) {
        let started_at = self.hosts[seat.index()].clock.now(self.now()).wall;
        let usual = self.chance.pg.span(Span::millis(100), Span::millis(1_500));
        let pid = 1_000 + self.chance.pg.below(30_000) as u32;
        let is_lost = !self.finds_its_line(seat);
        if is_lost {
            self.mark(Mark::NotOnTheNewest);
        }
        let pg = &mut self.pgs[seat.index()];
        let takes = pg.meets(|trouble| match trouble {
            Trouble::StartTakes(span) => Some(span),
            _ => None,
        });
        let hangs = pg.meets(|trouble| (trouble == Trouble::StartHangs).then_some(()));
        let fails = pg.meets(|trouble| (trouble == Trouble::StartFails).then_some(()));
        if let Some(label) = pg.dir.label.take_if(|_| !is_lost) {
            pg.dir.control.checkpoint = label.begins;
            pg.dir.control.timeline = label.timeline;
        }
        pg.dir.read_slots();
        let limits = Limits::of(&pg.dir.parameters);
        let too_little = pg.dir.standby_signal && !limits.cover(pg.dir.control.limits);
        let synchronous = Setting::of(&pg.dir);
        let refuses = too_little || is_lost || synchronous.is_err();
        let fails = fails.or(refuses.then_some(()));
        pg.run += 1;
        pg.dir.control.state = match (pg.dir.standby_signal, pg.dir.control.state) {
            // The line is looked for before the control file is written (`InitWalRecovery`).
            (true, as_it_was) if is_lost => as_it_was,
            (true, _) => DbState::InArchiveRecovery,
            (false, DbState::ShutDown) => DbState::StartingUp,
            (false, _) => DbState::InCrashRecovery,
        };
        pg.server = Some(Server {
            pid,
            postmaster: Postmaster::Running,
            phase: Phase::Starting,
            backends: Backends::default(),
            stopping: None,
            inserted: pg.dir.wal,
            replayed: pg.dir.wal.lsn,
            replay_paused: false,
            crowded: false,
            limits,
            falls_short: false,
            by_hand: false,
            receiver: None,
            ghosts: BTreeMap::new(),
            flush_due: false,
            waiting: Vec::new(),
            synchronous: synchronous.unwrap_or_default(),
            unconfirmed: Vec::new(),
            loop_every: Span::ZERO,
            started_at,
            starting_for,
        });
        let every = self.shape.checkpoints_every;
        if every > Span::ZERO {
            self.pg_due(seat, every, PgDue::TimedCheckpoint);
        }
        match (hangs, fails) {
            (Some(()), _) => {}
            (None, Some(())) => self.pg_due(seat, usual, PgDue::StartFails),
            (None, None) => self.pg_due(seat, takes.unwrap_or(usual), PgDue::Recovered),
        }
    }

    /// The local WAL has been replayed to its end.
    pub(crate) fn recovered(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let standby = pg.dir.standby_signal;
        let Some(server) = pg.server.as_mut() else {
            return;
        };
        let starting = server.phase == Phase::Starting && server.stopping.is_none();
        if !starting || server.postmaster != Postmaster::Running {
            return;
        }
        let from = self.pgs[seat.index()].dir.control.checkpoint;
        if !self.replays_local(seat, from) {
            return self.start_fails(seat);
        }
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if standby {
            server.phase = Phase::Recovery { consistent: false };
            self.check_consistency(seat);
            self.pg_due(seat, Span::millis(20), PgDue::Connect);
        } else {
            self.open_as_primary(seat);
        }
    }

    /// The end of crash recovery: the server writes again, on the timeline on which its WAL ended.
    fn open_as_primary(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let timeline = self.wal.timeline(pg.dir.wal.branch);
        let Some(server) = pg.server.as_mut() else {
            return;
        };
        server.phase = Phase::Primary;
        server.backends.sessions = POOLED_SESSIONS;
        self.requests.touched.remove(&seat);
        let start = pg.dir.wal;
        let at = self.wal.checkpoint(start);
        server.inserted = at;
        pg.dir.wal = at;
        pg.dir.control.state = DbState::InProduction;
        pg.dir.control.min_recovery = None;
        pg.dir.control.consistent_at = None;
        let begins = start.lsn;
        pg.dir.keep_checkpoint(Checkpoint { begins, timeline });
        pg.settle();
        self.report_limits(seat);
        self.opens_segments(seat, start.lsn);
        self.remove_wal(seat);
        let op = server_waits_for(self.pgs[seat.index()].server.as_mut());
        self.finish_op(seat, op, Ended::Done);
        self.begin_server_loop_if_shaped(seat);
        self.send_wal(seat);
    }

    /// A standby lets sessions in once everything up to the consistency point has been replayed.
    pub(crate) fn check_consistency(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let reached = match pg.dir.control.consistent_at {
            Some(at) => self.wal.is_prefix(at, pg.dir.wal),
            None => true,
        };
        if let Some(at) = pg.dir.control.consistent_at
            && !reached
            && !self.wal.is_prefix(pg.dir.wal, at)
        {
            // "unexpected timeline ID in checkpoint record, before reaching minimum recovery point": a panic.
            return self.all_processes_gone(seat);
        }
        let Some(server) = pg.server.as_mut() else {
            return;
        };
        if !reached || server.phase != (Phase::Recovery { consistent: false }) {
            return;
        }
        // From the checkpoint, or from the end of the base backup, it never goes back.
        let begun = self.wal.cut_at(pg.dir.wal, pg.dir.control.checkpoint);
        let reached = pg.dir.control.consistent_at.take().unwrap_or(begun);
        let known = pg.dir.control.min_recovery;
        if known.is_none_or(|known| known.lsn < reached.lsn) {
            pg.dir.control.min_recovery = Some(reached);
        }
        server.phase = Phase::Recovery { consistent: true };
        server.backends.sessions = POOLED_SESSIONS;
        let op = server_waits_for(pg.server.as_mut());
        self.finish_op(seat, op, Ended::Done);
    }

    /// A start that hung goes on. Nobody kills one that takes long, neither `pg_ctl` nor an agent: recovery may
    /// rightly take hours, and would have to begin anew.
    pub(crate) fn unhang_start(&mut self, seat: Seat) {
        let starts = |s: &Server| s.phase == Phase::Starting;
        if self.pgs[seat.index()].server.as_ref().is_some_and(starts) {
            self.pg_due(seat, Span::secs(1), PgDue::Recovered);
        }
    }

    pub(crate) fn start_fails(&mut self, seat: Seat) {
        self.all_processes_gone(seat);
    }
}

/// Takes the `Start` that waits for the server, since it ends now.
fn server_waits_for(server: Option<&mut Server>) -> Option<Ticket> {
    server?.starting_for.take()
}
