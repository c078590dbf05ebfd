//! Commits: inserted, flushed, acknowledged. Where a backend reports success, and to whom.
//! Knows nothing of who sent the statement beyond whether anybody waits for the answer.

use crate::due::PgDue;
use crate::marks::Mark;
use crate::pg::instance::{Committer, Phase, Postmaster, Storage, Waiting};
use crate::wire::{Hop, Node, Seat, Traffic};
use crate::world::World;
use tanist_core::time::Span;

impl World {
    /// A client's commit reaches the server. Nothing happens where no backend takes it.
    pub(crate) fn commit(&mut self, seat: Seat, from: Committer) {
        if self.pgs[seat.index()].storage == Storage::Full {
            // PANIC: could not write to file: the server goes down and cannot come up again.
            self.kill_all(seat);
            return;
        }
        let powered = self.powered(seat);
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if server.phase != Phase::Primary || !server.takes_commit(from) || !powered {
            return;
        }
        self.insert_commit(seat, from);
    }

    fn insert_commit(&mut self, seat: Seat, from: Committer) {
        let bytes = 120 + self.chance.app.below(200);
        let commit = self.app.next_commit();
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        server.inserted = self.wal.append(server.inserted, bytes, Some(commit));
        let ends = server.inserted.lsn;
        server.waiting.push(Waiting { commit, from, ends });
        if server.postmaster == Postmaster::Dead {
            self.mark(Mark::CommittedWithoutPostmaster);
        }
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if !server.flush_due {
            server.flush_due = true;
            let takes = self.chance.pg.span(Span::micros(200), Span::millis(3));
            self.pg_due(seat, takes, PgDue::Flush);
        }
    }

    /// Everything inserted so far is on disk: those who wait for nothing else hear so.
    pub(crate) fn flushed(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let Some(server) = pg.server.as_mut() else {
            return;
        };
        server.flush_due = false;
        pg.dir.wal = server.inserted;
        let waiting = std::mem::take(&mut server.waiting);
        pg.settle();
        self.await_standbys(seat, waiting);
        self.finish_segments(seat);
        self.send_wal(seat);
    }

    /// Their commits are done.
    pub(crate) fn tell_clients(&mut self, seat: Seat, done: Vec<Waiting>) {
        let timeline = self.wal.timeline(self.pgs[seat.index()].dir.wal.branch);
        let hop = Hop {
            from: Node::Member(seat),
            to: Node::Clients,
            traffic: Traffic::Client,
        };
        let heard = self.wire.is_open(hop);
        for Waiting { commit, from, .. } in done {
            let told = match from {
                Committer::Roaming | Committer::Pinned => heard,
                Committer::ServerLoop => false,
            };
            if told {
                self.acked(commit, seat, timeline);
            }
        }
    }

    /// A transaction that writes much, and that nobody waits for.
    pub(crate) fn write_much(&mut self, seat: Seat, bytes: u64) {
        let pg = &self.pgs[seat.index()];
        let takes = pg.storage == Storage::Answers && self.powered(seat);
        let server = self.pgs[seat.index()].server.as_mut();
        let Some(server) = server.filter(|s| takes && s.phase == Phase::Primary && s.accepts())
        else {
            return;
        };
        server.inserted = self.wal.append(server.inserted, bytes, None);
        self.flushed(seat);
    }

    /// A backend that was stuck finishes its commit before it sees that it must end.
    pub(crate) fn commit_by_straggler(&mut self, seat: Seat) {
        let primary = |s: &crate::pg::instance::Server| s.phase == Phase::Primary;
        if self.pgs[seat.index()].server.as_ref().is_some_and(primary) {
            self.insert_commit(seat, Committer::Pinned);
            self.flushed(seat);
        }
    }

    pub(crate) fn begin_server_loop(&mut self, seat: Seat, every: Span) {
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if server.phase == Phase::Primary && server.accepts() && every > Span::ZERO {
            server.backends.loops += 1;
            server.loop_every = every;
            self.pg_due(seat, every, PgDue::LoopCommit);
        }
    }

    pub(crate) fn begin_server_loop_if_shaped(&mut self, seat: Seat) {
        let every = self.shape.clients.server_loop_every;
        if every > Span::ZERO {
            self.begin_server_loop(seat, every);
        }
    }

    pub(crate) fn loop_commit(&mut self, seat: Seat) {
        self.commit(seat, Committer::ServerLoop);
        let Some(server) = self.pgs[seat.index()].server.as_ref() else {
            return;
        };
        if server.backends.loops > 0 {
            self.pg_due(seat, server.loop_every, PgDue::LoopCommit);
        }
    }
}
