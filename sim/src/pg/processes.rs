//! The processes of an instance: what signals do to them, and what becomes of backends whose postmaster died.
//! Knows nothing of why a signal is sent.

use crate::due::{Due, PgDue};
use crate::event::HowEnded;
use crate::marks::Mark;
use crate::pg::instance::{Phase, Postmaster, Stopping};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::input::Input;
use tanist_core::postgres::{DbState, PgInput};
use tanist_core::time::Span;

/// After this long a postmaster that was told to stop at once kills what is left (SIGKILL_CHILDREN_AFTER_SECS).
const POSTMASTER_KILLS_AFTER: Span = Span::secs(5);

impl World {
    pub(crate) fn pg_due(&mut self, seat: Seat, after: Span, due: PgDue) {
        let at = self.now() + after;
        let run = self.pgs[seat.index()].run;
        self.agenda.enter(at, Due::Pg { seat, run, due });
    }

    /// SIGKILL of the postmaster alone. Its helpers leave at once; sessions notice when they next wait for
    /// their client; a procedure that commits in a loop notices nothing for many seconds.
    pub(crate) fn kill_postmaster(&mut self, seat: Seat) {
        let quickly = self.chance.pg.span(Span::millis(1), Span::millis(50));
        let slowly = self.chance.pg.span(Span::secs(5), Span::secs(40));
        let busy = self.chance.pg.below(3) as u32;
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if server.postmaster == Postmaster::Dead {
            return;
        }
        server.postmaster = Postmaster::Dead;
        server.receiver = None;
        server.end_waits_of_orphans();
        let pid = server.pid;
        if server.phase != Phase::Primary || server.stopping == Some(Stopping::Immediate) {
            self.killed(seat);
        } else {
            // Sessions in the middle of a statement finish it before they look.
            let promoted = busy.min(server.backends.sessions);
            server.backends.sessions = promoted;
            self.pg_due(seat, quickly, PgDue::SessionsNotice);
            self.pg_due(seat, slowly, PgDue::LoopsNotice);
            self.end_if_none_left(seat);
        }
        self.drop_standbys_of(seat);
        self.tell(seat, Input::Postgres(PgInput::PostmasterExited { pid }));
    }

    pub(crate) fn sessions_notice(&mut self, seat: Seat) {
        if let Some(server) = self.pgs[seat.index()].server.as_mut() {
            server.backends.sessions = 0;
        }
        if self.pgs[seat.index()].can_write() {
            self.mark(Mark::BackendOutlivedPostmaster);
        }
        self.end_if_none_left(seat);
    }

    pub(crate) fn loops_notice(&mut self, seat: Seat) {
        if let Some(server) = self.pgs[seat.index()].server.as_mut() {
            server.backends.loops = 0;
        }
        self.end_if_none_left(seat);
    }

    pub(crate) fn end_if_none_left(&mut self, seat: Seat) {
        let left = self.pgs[seat.index()].server.as_ref();
        if left.is_some_and(|s| s.postmaster == Postmaster::Dead && s.backends.all() == 0) {
            self.all_processes_gone(seat);
        }
    }

    /// SIGQUIT to every process: no checkpoint. What is stuck in IO stays; a frozen postmaster waits on.
    pub(crate) fn quit_all(&mut self, seat: Seat) {
        let takes = self.chance.pg.span(Span::millis(1), Span::millis(40));
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if server.stopping == Some(Stopping::Immediate) {
            return;
        }
        server.stopping = Some(Stopping::Immediate);
        server.receiver = None;
        self.pg_due(seat, takes, PgDue::QuitDone);
        self.drop_standbys_of(seat);
    }

    pub(crate) fn quit_done(&mut self, seat: Seat) {
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        server.end_backends();
        if server.backends.frozen == 0 && server.postmaster != Postmaster::Frozen {
            self.all_processes_gone(seat);
        } else if server.postmaster == Postmaster::Running {
            self.pg_due(seat, POSTMASTER_KILLS_AFTER, PgDue::Killed);
        }
    }

    /// SIGKILL of every process of the instance; takes effect a moment later.
    pub(crate) fn kill_all(&mut self, seat: Seat) {
        if self.pgs[seat.index()].server.is_some() {
            let takes = self.chance.pg.span(Span::micros(100), Span::millis(5));
            self.pg_due(seat, takes, PgDue::Killed);
        }
    }

    /// No process of the instance is left. What was inserted and not flushed was in shared memory only.
    pub(crate) fn all_processes_gone(&mut self, seat: Seat) {
        let Some(server) = self.pgs[seat.index()].server.take() else {
            return;
        };
        self.pgs[seat.index()].run += 1;
        self.drop_standbys_of(seat);
        if server.postmaster != Postmaster::Dead {
            let exited = PgInput::PostmasterExited { pid: server.pid };
            self.tell(seat, Input::Postgres(exited));
        }
        self.server_ended(seat, server.starting_for);
    }

    /// A backend crashed: the postmaster ends all sessions and recovers in place.
    pub(crate) fn crash_backend(&mut self, seat: Seat) {
        let takes = self.chance.pg.span(Span::millis(100), Span::secs(2));
        let flushed = self.pgs[seat.index()].dir.wal;
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if server.postmaster != Postmaster::Running || server.phase != Phase::Primary {
            return;
        }
        if server.backends.frozen > 0 || server.stopping.is_some() {
            return;
        }
        server.end_backends();
        server.crowded = false;
        server.waiting.clear();
        server.phase = Phase::Starting;
        server.inserted = flushed;
        self.pgs[seat.index()].dir.control.state = DbState::InCrashRecovery;
        self.pgs[seat.index()].dir.read_slots();
        self.drop_standbys_of(seat);
        self.pg_due(seat, takes, PgDue::CrashRestart);
    }

    /// Power is gone: every process, and whatever a lying disk had not written.
    pub(crate) fn power_lost(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let stream = pg.receiver().cloned();
        pg.server = None;
        pg.held = false;
        pg.run += 1;
        pg.dir.wal = pg.dir.durable;
        pg.dir.control.checkpoint = pg.dir.control.checkpoint.min(pg.dir.wal.lsn);
        let known = pg.dir.control.min_recovery;
        pg.dir.control.min_recovery = known.map(|at| self.wal.cut_at(pg.dir.wal, at.lsn));
        self.leave_ghosts(seat, stream);
        self.agent_ended(seat, HowEnded::HostDown);
    }

    pub(crate) fn freeze_backend(&mut self, seat: Seat) {
        if let Some(server) = self.pgs[seat.index()].server.as_mut()
            && server.backends.sessions > 0
        {
            server.backends.sessions -= 1;
            server.backends.frozen += 1;
        }
    }

    pub(crate) fn thaw_backends(&mut self, seat: Seat) {
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        let thawed = std::mem::take(&mut server.backends.frozen);
        if thawed == 0 {
            return;
        }
        match (server.postmaster, server.stopping) {
            (Postmaster::Dead, _) | (_, Some(Stopping::Immediate)) => {
                if server.postmaster == Postmaster::Dead || server.backends.all() == 0 {
                    self.end_thawed(seat);
                }
            }
            (_, Some(Stopping::EndingSessions)) => {
                self.pg_due(seat, Span::millis(5), PgDue::SessionsEnded);
            }
            (_, Some(_)) | (_, None) => server.backends.sessions += thawed,
        }
    }

    /// A thawed backend finishes its commit, reports it, and only then sees that it must end.
    fn end_thawed(&mut self, seat: Seat) {
        self.commit_by_straggler(seat);
        let left = self.pgs[seat.index()].server.as_ref();
        if left.is_some_and(|s| s.backends.all() == 0 && s.postmaster != Postmaster::Frozen) {
            self.all_processes_gone(seat);
        }
    }

    pub(crate) fn freeze_postmaster(&mut self, seat: Seat) {
        if let Some(server) = self.pgs[seat.index()].server.as_mut()
            && server.postmaster == Postmaster::Running
        {
            server.postmaster = Postmaster::Frozen;
        }
    }

    pub(crate) fn thaw_postmaster(&mut self, seat: Seat) {
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if server.postmaster != Postmaster::Frozen {
            return;
        }
        server.postmaster = Postmaster::Running;
        let stopping = server.stopping;
        self.end_silent_looks(seat);
        match stopping {
            Some(Stopping::Immediate) => self.pg_due(seat, Span::millis(5), PgDue::QuitDone),
            Some(Stopping::EndingSessions) => {
                self.pg_due(seat, Span::millis(5), PgDue::SessionsEnded);
            }
            Some(
                Stopping::WaitingForSessions
                | Stopping::Checkpoint
                | Stopping::WaitingForStandbys
                | Stopping::WaitingForArchiver
                | Stopping::Hanging,
            )
            | None => {}
        }
    }
}
