//! Stopping a server: a fast stop step by step, and how a stop becomes harder.
//! Knows nothing of why it stops. A stop ends only when no process is left.

use crate::act::Trouble;
use crate::due::{AgentDue, Due, Harder, PgDue};
use crate::marks::Mark;
use crate::pg::instance::{Phase, Postmaster, Server, Stopping};
use crate::pg::wal::Checkpoint;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::name::OpId;
use tanist_core::postgres::{DbState, StopMode, StopPlan};
use tanist_core::time::Span;

/// What an immediate stop leaves is killed after this long.
const HARDER_AFTER: Span = Span::millis(300);

impl World {
    /// Begins the `Stop` of an agent, with the times at which it becomes harder.
    pub(crate) fn begin_stop(&mut self, seat: Seat, op: OpId, plan: StopPlan) {
        if self.pgs[seat.index()].server.is_none() {
            self.agent_due(seat, Span::millis(1), AgentDue::GiveUp { op });
            return;
        }
        match plan.first {
            StopMode::Fast => {
                self.stop_fast(seat);
                let to = Harder::Immediate;
                self.agent_due(seat, plan.immediate_after, AgentDue::Escalate { op, to });
            }
            StopMode::Immediate => self.quit_all(seat),
        }
        let to = Harder::Kill;
        self.agent_due(seat, plan.kill_after, AgentDue::Escalate { op, to });
    }

    /// A cancelled stop is not given up: it becomes an immediate one.
    pub(crate) fn stop_at_once(&mut self, seat: Seat, op: OpId) {
        self.quit_all(seat);
        let to = Harder::Kill;
        self.agent_due(seat, HARDER_AFTER, AgentDue::Escalate { op, to });
    }

    pub(crate) fn escalate(&mut self, seat: Seat, op: OpId, to: Harder) {
        let lane = self.hosts[seat.index()]
            .agent
            .as_ref()
            .and_then(|agent| agent.lane.as_ref());
        if lane.is_none_or(|lane| lane.op != op) {
            return;
        }
        self.mark(Mark::StopEscalated);
        match to {
            Harder::Immediate => self.quit_all(seat),
            Harder::Kill => self.kill_all(seat),
        }
    }

    /// SIGTERM to the postmaster, which no agent sends: no new sessions, and it ends as a fast stop does once the last
    /// one has closed. Standbys are fed for as long. A postmaster that still recovers has no sessions to wait for.
    pub(crate) fn stop_smart(&mut self, seat: Seat) {
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if server.stopping.is_some() || server.postmaster == Postmaster::Dead {
            return;
        }
        if server.phase == Phase::Starting {
            return self.stop_fast(seat);
        }
        server.stopping = Some(Stopping::WaitingForSessions);
        self.end_if_no_session_is_left(seat);
    }

    /// The application closes its sessions, but for those whose commit waits.
    pub(crate) fn close_sessions(&mut self, seat: Seat) {
        if let Some(server) = self.pgs[seat.index()].server.as_mut() {
            server.backends.sessions = 0;
        }
        self.end_if_no_session_is_left(seat);
    }

    pub(crate) fn end_if_no_session_is_left(&mut self, seat: Seat) {
        let waits = |server: &&mut Server| server.stopping == Some(Stopping::WaitingForSessions);
        let none_left = |s: &&mut Server| s.backends.all() == 0 && s.unconfirmed.is_empty();
        let server = self.pgs[seat.index()].server.as_mut().filter(waits);
        if let Some(server) = server.filter(none_left) {
            server.receiver = None;
            server.stopping = Some(Stopping::EndingSessions);
            self.pg_due(seat, Span::millis(5), PgDue::SessionsEnded);
        }
    }

    /// SIGINT to the postmaster: no new sessions, the present ones end, then a shutdown checkpoint.
    pub(crate) fn stop_fast(&mut self, seat: Seat) {
        let takes = self.chance.pg.span(Span::millis(2), Span::millis(60));
        let pg = &mut self.pgs[seat.index()];
        let Some(server) = pg.server.as_ref() else {
            return;
        };
        let smart = server.stopping == Some(Stopping::WaitingForSessions);
        let stops = server.stopping.is_some() && !smart;
        if stops || server.postmaster == Postmaster::Dead {
            return;
        }
        let hangs = pg
            .meets(|trouble| (trouble == Trouble::StopHangs).then_some(()))
            .is_some();
        let Some(server) = pg.server.as_mut() else {
            return;
        };
        server.receiver = None;
        if server.phase == Phase::Starting {
            // A postmaster in recovery without sessions goes at once, unclean.
            server.stopping = Some(Stopping::Immediate);
            self.pg_due(seat, takes, PgDue::QuitDone);
        } else if hangs {
            server.stopping = Some(Stopping::Hanging);
        } else {
            server.stopping = Some(Stopping::EndingSessions);
            self.pg_due(seat, takes, PgDue::SessionsEnded);
        }
    }

    pub(crate) fn sessions_ended(&mut self, seat: Seat) {
        let usual = self.chance.pg.span(Span::millis(10), Span::millis(400));
        let pg = &mut self.pgs[seat.index()];
        let takes = pg.meets(|trouble| match trouble {
            Trouble::StopTakes(span) => Some(span),
            _ => None,
        });
        let Some(server) = pg.server.as_mut() else {
            return;
        };
        if server.stopping != Some(Stopping::EndingSessions)
            || server.postmaster != Postmaster::Running
        {
            return;
        }
        server.end_backends();
        if server.backends.frozen > 0 {
            // A fast stop waits for a backend that is stuck, however long.
            return;
        }
        server.stopping = Some(Stopping::Checkpoint);
        self.pg_due(seat, takes.unwrap_or(usual), PgDue::ShutdownCheckpoint);
    }

    /// The shutdown checkpoint is written: the last record of a primary. Standbys must have it before
    /// the postmaster ends, which is what makes a planned switchover lose nothing.
    pub(crate) fn shutdown_checkpoint(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let Some(server) = pg.server.as_mut() else {
            return;
        };
        if server.stopping != Some(Stopping::Checkpoint) {
            return;
        }
        server.stopping = Some(Stopping::WaitingForStandbys);
        if server.phase == Phase::Primary {
            let start = server.inserted;
            let at = self.wal.checkpoint(start);
            server.inserted = at;
            pg.dir.wal = at;
            pg.dir.control.min_recovery = None;
            pg.dir.keep_checkpoint(Checkpoint {
                begins: start.lsn,
                timeline: self.wal.timeline(at.branch),
            });
            pg.dir.control.state = DbState::ShutDown;
            self.finish_last_segment(seat);
            self.remove_wal(seat);
        } else {
            pg.dir.control.state = DbState::ShutDownInRecovery;
            self.restartpoint(seat);
        }
        self.pgs[seat.index()].settle();
        self.send_wal(seat);
        self.end_when_standbys_have_it(seat);
    }

    pub(crate) fn end_when_standbys_have_it(&mut self, seat: Seat) {
        let now = self.now();
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if server.stopping != Some(Stopping::WaitingForStandbys) {
            return;
        }
        server.ghosts.retain(|_, ghost| ghost.until > now);
        let ghost = server.ghosts.values().map(|ghost| ghost.until).min();
        let end = server.inserted.lsn;
        if let Some(until) = ghost {
            self.pg_due(seat, until.since(now), PgDue::GhostsGone);
            return;
        }
        let behind = self.standbys_of(seat).into_iter().any(|standby| {
            self.pgs[standby.index()]
                .receiver()
                .is_some_and(|r| r.confirmed < end)
        });
        if !behind {
            self.end_when_archived(seat);
        }
    }

    pub(crate) fn agent_due(&mut self, seat: Seat, after: Span, due: AgentDue) {
        let at = self.now() + after;
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        let life = agent.life;
        self.agenda.enter(at, Due::Agent { seat, life, due });
    }
}
