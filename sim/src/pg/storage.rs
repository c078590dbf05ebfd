//! Storage that does not answer: whatever touches it waits in the kernel, for as long as it takes.
//! Knows nothing of full disks, nor of what a disk that lies has lost.
//!
//! A process in such a call cannot be killed: SIGKILL waits with it. From then on it never runs a line of its own again,
//! so it can report no commit; but it holds the directory, and what it had begun to write may yet be written.
//! Processes that wait for nothing on disk go on: agent, fencer, whatever a signal reaches.

use crate::due::{Due, PgDue};
use crate::marks::Mark;
use crate::pg::instance::Storage;
use crate::wire::Seat;
use crate::world::World;

impl World {
    pub(crate) fn stall_storage(&mut self, seat: Seat) {
        self.pgs[seat.index()].storage = Storage::Stalls;
    }

    /// There is space, and every call returns. What was killed meanwhile is gone the moment its call does.
    pub(crate) fn free_storage(&mut self, seat: Seat) {
        let now = self.now();
        let pg = &mut self.pgs[seat.index()];
        pg.storage = Storage::Answers;
        pg.held = false;
        for due in std::mem::take(&mut pg.stalled) {
            self.agenda.enter(now, due);
        }
        self.end_silent_looks(seat);
    }

    /// Is this a call that does not return just now?
    pub(crate) fn waits_for_storage(&self, due: &Due) -> Option<Seat> {
        let touches = match due {
            Due::Pg { seat, due, .. } => waits_for_disk(due).then_some(*seat),
            Due::Command { seat, .. } => Some(*seat),
            Due::Agent { .. } | Due::Fencer { .. } | Due::Host { .. } => None,
            Due::Store(_) | Due::App(_) | Due::Ask(_) | Due::JudgeRecovery => None,
        };
        touches.filter(|seat| self.pgs[seat.index()].storage == Storage::Stalls)
    }

    /// SIGKILL has been sent to every process of the instance.
    pub(crate) fn killed(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        pg.held |= pg.storage == Storage::Stalls && pg.server.is_some();
        if pg.held {
            self.mark(Mark::KilledInDiskWait);
        }
        self.all_processes_gone(seat);
    }
}

fn waits_for_disk(due: &PgDue) -> bool {
    match due {
        PgDue::Recovered
        | PgDue::StartFails
        | PgDue::SessionsEnded
        | PgDue::ShutdownCheckpoint
        | PgDue::QuitDone
        | PgDue::SessionsNotice
        | PgDue::LoopsNotice
        | PgDue::CrashRestart
        | PgDue::Promoted
        | PgDue::Checkpointed
        | PgDue::TimedCheckpoint
        | PgDue::Flush
        | PgDue::LoopCommit
        | PgDue::Connect
        | PgDue::WalArrives { .. } => true,
        PgDue::Killed
        | PgDue::GhostsGone
        | PgDue::ReplyArrives { .. }
        | PgDue::StallCheck { .. }
        | PgDue::Disconnected { .. }
        | PgDue::ArchiverGaveUp => false,
    }
}
