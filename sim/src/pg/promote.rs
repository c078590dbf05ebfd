//! Promotion: a standby becomes the primary of a new timeline, or fails on the way.
//! Knows nothing of the leader key.

use crate::act::Trouble;
use crate::due::PgDue;
use crate::event::What;
use crate::marks::Mark;
use crate::pg::instance::{Phase, Postmaster};
use crate::pg::wal::{CHECKPOINT_BYTES, Checkpoint};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::postgres::{DbState, Ended};
use tanist_core::time::Span;

impl World {
    /// The promote signal, given by an agent or past it. An error: the server took no notice.
    pub(crate) fn promote(&mut self, seat: Seat, by_hand: bool) -> Result<(), String> {
        let usual = self.chance.pg.span(Span::millis(30), Span::millis(400));
        let pg = &mut self.pgs[seat.index()];
        if pg
            .meets(|trouble| (trouble == Trouble::PromoteFails).then_some(()))
            .is_some()
        {
            self.mark(Mark::PromoteFailed);
            return Err("could not create promote signal file".to_string());
        }
        let takes = pg.meets(|trouble| match trouble {
            Trouble::PromoteTakes(span) => Some(span),
            _ => None,
        });
        let Some(server) = pg.server.as_mut() else {
            return Err("server is not running".to_string());
        };
        match server.phase {
            Phase::Recovery { .. } => {}
            Phase::Promoting => return Ok(()),
            Phase::Starting | Phase::Primary => return Err("server is not in standby mode".into()),
        }
        if server.postmaster != Postmaster::Running || server.stopping.is_some() {
            return Err("server does not react".to_string());
        }
        let falls_short = server.falls_short;
        if !self.replays_to_the_end(seat) {
            // One that stood still for its settings is let go on by the promotion, and fails (`SetPromoteIsTriggered`
            // ends the pause). One that comes upon them only now says that promotion is not possible, and waits.
            if falls_short {
                self.all_processes_gone(seat);
            }
            return Ok(());
        }
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return Ok(());
        };
        server.phase = Phase::Promoting;
        server.by_hand = by_hand;
        // The WAL receiver ends first; what it had received is replayed to the end.
        server.receiver = None;
        self.pg_due(seat, takes.unwrap_or(usual), PgDue::Promoted);
        Ok(())
    }

    /// The server leaves recovery: newest timeline that it knows of + 1, forked where its WAL ends.
    pub(crate) fn promoted(&mut self, seat: Seat) {
        let checkpoint_usual = self.chance.pg.span(Span::millis(100), Span::secs(3));
        let signal_gone = self.chance.pg.chance(500);
        let pg = &mut self.pgs[seat.index()];
        if pg
            .server
            .as_ref()
            .is_some_and(|s| s.postmaster == Postmaster::Frozen)
        {
            return self.pg_due(seat, Span::millis(100), PgDue::Promoted);
        }
        let promoting = |s: &&mut crate::pg::instance::Server| {
            s.phase == Phase::Promoting && s.postmaster == Postmaster::Running
        };
        let Some(server) = pg.server.as_mut().filter(promoting) else {
            return;
        };
        if server.stopping.is_some() {
            return;
        }
        let by_hand = server.by_hand;
        let timeline = self.next_timeline(seat);
        let pg = &self.pgs[seat.index()];
        let fork = self.wal.promote(pg.dir.wal, timeline);
        self.note_opener(seat, fork.branch);
        if by_hand || self.is_past_its_lock(seat) {
            self.oracle.evidence.opened_astray.push(fork.branch);
        }
        let pg = &mut self.pgs[seat.index()];
        // The history file is durable before anything is written on the new timeline.
        pg.dir.learn(self.wal.history(fork.branch));
        let dies = pg
            .meets(|t| (t == Trouble::PromoteDiesHalfWay).then_some(()))
            .is_some();
        if dies {
            if signal_gone {
                let pg = &mut self.pgs[seat.index()];
                pg.dir.wal = self.wal.append(fork, CHECKPOINT_BYTES, None);
                pg.dir.standby_signal = false;
                // With the record that ends recovery the control file says how far it must get.
                pg.dir.control.min_recovery = Some(pg.dir.wal);
                pg.dir.control.consistent_at = Some(pg.dir.wal);
                pg.settle();
            }
            self.mark(Mark::PromoteFailed);
            self.all_processes_gone(seat);
            return;
        }
        self.open_new_timeline(seat, fork);
        let pg = &mut self.pgs[seat.index()];
        let checkpoint = pg.meets(|trouble| match trouble {
            Trouble::CheckpointTakes(span) => Some(span),
            _ => None,
        });
        self.pg_due(
            seat,
            checkpoint.unwrap_or(checkpoint_usual),
            PgDue::Checkpointed,
        );
        let member = self.name(seat);
        self.tell_story(What::Promoted {
            member,
            timeline,
            at: fork.lsn,
        });
        self.note_two_forks(seat);
        self.note_standby_ahead(seat);
        self.check_timelines_grow(seat, timeline);
        self.check_switchover(seat);
        self.count_lost(seat);
        self.finish_promote(seat, Ended::Done);
        self.begin_server_loop_if_shaped(seat);
        self.drop_standbys_of(seat);
    }

    fn open_new_timeline(&mut self, seat: Seat, fork: crate::pg::wal::Position) {
        let pg = &mut self.pgs[seat.index()];
        let Some(server) = pg.server.as_mut() else {
            return;
        };
        let end = self.wal.append(fork, CHECKPOINT_BYTES, None);
        server.phase = Phase::Primary;
        server.inserted = end;
        server.replayed = end.lsn;
        pg.dir.wal = end;
        pg.dir.standby_signal = false;
        pg.dir.control.state = DbState::InProduction;
        pg.dir.control.min_recovery = Some(end);
        pg.dir.control.consistent_at = None;
        pg.settle();
        self.report_limits(seat);
        self.opens_segments(seat, fork.lsn);
    }

    fn note_two_forks(&mut self, seat: Seat) {
        let mine = self.pgs[seat.index()].dir.wal;
        let number = self.wal.timeline(mine.branch);
        let twin = self.pgs.iter().enumerate().any(|(at, other)| {
            let theirs = other.dir.wal;
            at != seat.index()
                && other.dir.is_whole()
                && self.wal.timeline(theirs.branch) == number
                && !self.wal.is_prefix(theirs, mine)
        });
        if twin {
            self.mark(Mark::TwoForksOneNumber);
        }
    }

    /// A standby has received more than the new primary had.
    fn note_standby_ahead(&mut self, seat: Seat) {
        let mine = self.pgs[seat.index()].dir.wal;
        let ahead = self.pgs.iter().enumerate().any(|(at, other)| {
            at != seat.index() && other.in_recovery() && !self.wal.is_prefix(other.dir.wal, mine)
        });
        if ahead {
            self.mark(Mark::StandbyAhead);
        }
    }

    /// A checkpoint: the control file learns the timeline and the position.
    pub(crate) fn checkpointed(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let Some(server) = pg
            .server
            .as_mut()
            .filter(|s| s.postmaster != Postmaster::Dead)
        else {
            return;
        };
        match server.phase {
            Phase::Primary => {
                let start = server.inserted;
                let at = self.wal.checkpoint(start);
                server.inserted = at;
                pg.dir.wal = at;
                pg.dir.control.min_recovery = None;
                pg.dir.keep_checkpoint(Checkpoint {
                    begins: start.lsn,
                    timeline: self.wal.timeline(at.branch),
                });
                pg.settle();
                self.finish_segments(seat);
                self.remove_wal(seat);
                self.send_wal(seat);
            }
            Phase::Recovery { .. } => self.restartpoint(seat),
            Phase::Starting | Phase::Promoting => {}
        }
    }

    /// The newest checkpoint that was replayed becomes the one to recover from, if there is one that is newer.
    pub(crate) fn restartpoint(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let Some(server) = pg.server.as_ref() else {
            return;
        };
        let replayed = self.wal.cut_at(pg.dir.wal, server.replayed);
        // It never goes back: a rewound directory may have to replay more than it has.
        let known = pg.dir.control.min_recovery;
        if known.is_none_or(|known| known.lsn <= replayed.lsn) {
            pg.dir.control.min_recovery = Some(replayed);
        }
        let newest = self.wal.last_checkpoint(replayed);
        if let Some(checkpoint) = newest.filter(|c| c.begins > pg.dir.control.checkpoint) {
            pg.dir.keep_checkpoint(checkpoint);
            self.remove_wal(seat);
        }
    }
}
