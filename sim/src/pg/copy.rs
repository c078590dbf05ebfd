//! Commands that make or remake a data directory: initdb, base backup, rewind, single-user recovery,
//! moving it aside. Each takes time and can end half-way. Knows nothing of why they are run.

use crate::act::Trouble;
use crate::due::{CommandStep, Due, Ticket};
use crate::invariants::rewind_preconditions::Source;
use crate::marks::Mark;
use crate::pg::archive::Segments;
use crate::pg::connections::TOO_MANY;
use crate::pg::instance::{Control, DataDir, Layout, Phase, Storage};
use crate::pg::retention::begin_of_segment;
use crate::pg::streaming::data_hop;
use crate::pg::wal::{CHECKPOINT_BYTES, Checkpoint, Position};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::lsn::Lsn;
use tanist_core::postgres::{DbState, Ended, Operation, SystemId, Upstream};
use tanist_core::time::Span;
use tanist_core::timeline::TimelineId;

impl World {
    /// Begins a command of the exclusive lane that runs in a process of its own.
    pub(crate) fn begin_command(&mut self, seat: Seat, ticket: Ticket, operation: &Operation) {
        let between = |low, high| (Span::millis(low), Span::millis(high));
        let ((low, high), step) = match operation {
            Operation::Initdb => (between(500, 3_000), CommandStep::InitdbDone),
            Operation::Clone { .. } => (between(2_000, 20_000), CommandStep::CloneDone),
            Operation::Rewind { .. } => (between(1_000, 10_000), CommandStep::RewindDone),
            Operation::CrashRecovery => (between(500, 3_000), CommandStep::RecoveryDone),
            Operation::PostBootstrap
            | Operation::DiscardData { .. }
            | Operation::Start { .. }
            | Operation::Stop { .. }
            | Operation::Promote { .. } => (between(10, 300), CommandStep::Done),
        };
        let usual = self.chance.pg.span(low, high);
        let clone_takes = match operation {
            Operation::Clone { .. } => self.pgs[seat.index()].meets(|trouble| match trouble {
                Trouble::CloneTakes(span) => Some(span),
                _ => None,
            }),
            _ => None,
        };
        match operation {
            Operation::Clone { .. } => {
                self.pgs[seat.index()].dir.layout = Layout::HalfCloned;
                self.begin_copy(seat);
            }
            Operation::Initdb => self.begin_copy(seat),
            // Nothing is written before a dry run has met every refusal.
            Operation::Rewind { .. }
            | Operation::CrashRecovery
            | Operation::PostBootstrap
            | Operation::DiscardData { .. }
            | Operation::Start { .. }
            | Operation::Stop { .. }
            | Operation::Promote { .. } => {}
        }
        // The adapter hands over what waits for the archive before anything replaces it.
        let archiving = match operation {
            Operation::Rewind { .. } | Operation::CrashRecovery => self.archive_waiting(seat),
            _ => Span::ZERO,
        };
        let at = self.now() + clone_takes.unwrap_or(usual) + archiving;
        self.agenda.enter(at, Due::Command { seat, ticket, step });
    }

    /// From here on the directory's WAL need not go on from what it was.
    pub(crate) fn begin_copy(&mut self, seat: Seat) {
        if self.is_patroni(seat) {
            return;
        }
        self.copies_begun += 1;
        self.pgs[seat.index()].copy = Some(self.copies_begun);
    }

    pub(crate) fn initdb_done(&mut self, seat: Seat) -> Ended {
        let number = 7_000_000_000_000_000_000 + self.chance.pg.below(1_000_000_000_000);
        let pg = &mut self.pgs[seat.index()];
        if pg
            .meets(|t| (t == Trouble::InitdbFails).then_some(()))
            .is_some()
        {
            return Ended::Failed("initdb: could not create directory".to_string());
        }
        if pg.storage == Storage::Full {
            return Ended::Failed("initdb: No space left on device".to_string());
        }
        if pg.dir.layout != Layout::Empty || pg.server.is_some() {
            return Ended::Failed("initdb: directory exists but is not empty".to_string());
        }
        let at = self.wal.initdb(SystemId(number.to_string()));
        let mut dir = DataDir::empty();
        dir.layout = Layout::Cluster;
        dir.roles_owed = true;
        (dir.wal, dir.durable) = (at, at);
        self.forget_leading(seat);
        dir.control.checkpoint = Lsn(at.lsn.0 - CHECKPOINT_BYTES);
        dir.oldest = begin_of_segment(dir.control.checkpoint);
        self.pgs[seat.index()].dir = dir;
        Ended::Done
    }

    /// The source's server, if it can be reached and can serve copies.
    fn reachable_source(&self, seat: Seat, source: &Upstream) -> Result<Seat, String> {
        let from = self
            .seat_of_host(&source.address.host)
            .filter(|from| *from != seat);
        let from =
            from.ok_or_else(|| format!("could not translate host {}", source.address.host))?;
        if !self.powered(from) || !self.wire.connects(data_hop(seat, from)) {
            return Err(format!("connection to server at {from:?} timed out"));
        }
        let server = self.pgs[from.index()].server.as_ref();
        match server.filter(|s| s.sends() && s.stopping.is_none()) {
            Some(_) => Ok(from),
            None => Err(format!("connection to server at {from:?} was refused")),
        }
    }

    /// A source that was restarted while it was copied from has broken the one connection.
    fn still_connected(&self, seat: Seat, from: Seat) -> bool {
        let agent = self.hosts[seat.index()].agent.as_ref();
        let began_with = agent.and_then(|a| a.lane.as_ref()?.source_run);
        began_with.is_none_or(|run| run == self.pgs[from.index()].run)
    }

    /// `pg_backup_stop` refuses where a backup began in recovery and ends out of it; the adapter begins no rewind there.
    fn began_on_a_standby(&self, seat: Seat) -> bool {
        let agent = self.hosts[seat.index()].agent.as_ref();
        let lane = agent.and_then(|a| a.lane.as_ref());
        lane.is_some_and(|lane| lane.source_recovering)
    }

    /// The last bytes of a base backup, with the WAL up to its end. Whatever went wrong in the meantime
    /// leaves a directory that must never be started.
    pub(crate) fn clone_done(&mut self, seat: Seat, source: &Upstream) -> Ended {
        let cut = self.pgs[seat.index()].meets(|t| (t == Trouble::CloneCut).then_some(()));
        if cut.is_some() || self.pgs[seat.index()].storage == Storage::Full {
            return Ended::Failed("pg_basebackup: could not receive data".to_string());
        }
        let from = match self.reachable_source(seat, source) {
            Ok(from) => from,
            Err(why) => return Ended::Failed(format!("pg_basebackup: {why}")),
        };
        if !self.still_connected(seat, from) {
            return Ended::Failed("pg_basebackup: could not receive data".to_string());
        }
        if self.began_on_a_standby(seat) && self.is_primary(from) {
            let why = "pg_basebackup: the standby was promoted during online backup";
            return Ended::Failed(why.to_string());
        }
        if self.pgs[from.index()].dir.roles_owed {
            return Ended::Failed("pg_basebackup: role \"replicator\" does not exist".to_string());
        }
        // A base backup begins with a checkpoint, on a standby with a restartpoint: the control files name the timeline.
        self.checkpointed(from);
        let theirs = &self.pgs[from.index()].dir;
        let mut dir = DataDir::empty();
        dir.layout = Layout::Cluster;
        dir.wal = theirs.wal;
        dir.durable = theirs.wal;
        // What was written since the backup began comes along.
        dir.oldest = begin_of_segment(theirs.control.checkpoint);
        dir.newest_known = self.wal.history(theirs.wal.branch).clone();
        dir.other_lines.clear();
        dir.altered = theirs.altered.clone();
        dir.corrupt = theirs.corrupt;
        dir.corrupted_by_patroni = theirs.corrupted_by_patroni;
        // The adapter leaves the signal, since the copied control file is the primary's own.
        dir.standby_signal = true;
        dir.control = Control {
            state: theirs.control.state,
            checkpoint: theirs.control.checkpoint,
            timeline: theirs.control.timeline,
            min_recovery: theirs.control.min_recovery,
            consistent_at: Some(theirs.wal),
            limits: theirs.control.limits,
        };
        self.pgs[seat.index()].dir = dir;
        self.forget_leading(seat);
        self.mark(Mark::StandbyCloned);
        Ended::Done
    }

    /// `pg_rewind`: compares the two control files' timelines, and does nothing when they are equal;
    /// otherwise takes the target back to the last common point and copies the rest from the source.
    pub(crate) fn rewind_done(&mut self, seat: Seat, source: &Upstream) -> Ended {
        let refuse = |why: &str| Ended::Failed(format!("pg_rewind: {why}"));
        let pg = &mut self.pgs[seat.index()];
        if pg
            .meets(|t| (t == Trouble::RewindFails).then_some(()))
            .is_some()
        {
            return refuse("could not fetch remote file");
        }
        let dies = pg
            .meets(|t| (t == Trouble::RewindDiesHalfWay).then_some(()))
            .is_some();
        if pg.server.is_some() {
            return refuse("a postmaster runs in the data directory");
        }
        if !pg.dir.control.state.is_clean() {
            return refuse("target server must be shut down cleanly");
        }
        if !self.shape.rewind.wal_log_hints {
            return refuse("target server needs to use either data checksums or wal_log_hints");
        }
        let from = match self.reachable_source(seat, source) {
            Ok(from) => from,
            Err(why) => return refuse(&why),
        };
        if !self.still_connected(seat, from) {
            self.abandon_rewind(seat);
            return refuse("could not fetch remote file: server closed the connection");
        }
        if self.is_crowded(from) {
            return refuse(TOO_MANY);
        }
        if self.began_on_a_standby(seat) || !self.is_primary(from) {
            // The adapter asks once more before the tool writes anything.
            return refuse("the source is in recovery");
        }
        let (mine, theirs) = (
            self.pgs[seat.index()].dir.clone(),
            self.pgs[from.index()].dir.clone(),
        );
        let Some(common) = self.wal.common(mine.reaches(), theirs.wal) else {
            return refuse("source and target clusters are from different systems");
        };
        let shown = self
            .timeline_shown_at_the_begin(seat)
            .unwrap_or(theirs.control.timeline);
        let source = match shown == self.wal.timeline(theirs.wal.branch) {
            true => Source::Ready,
            false => Source::ControlFileLags,
        };
        if !self.is_patroni(seat) {
            self.oracle.rewinds(seat, source, self.agenda.now());
        }
        if source == Source::ControlFileLags {
            return refuse("the source has no checkpoint on its timeline yet");
        }
        let differs = mine.control.timeline != shown;
        if differs && let Err(why) = self.reads_back_to_common(seat, common) {
            return refuse(&why);
        }
        // "no rewind required": the tool goes by the numbers of timelines alone. The adapter takes that for no success.
        if !differs && !self.is_patroni(seat) {
            return refuse("no rewind required: nothing was rewound");
        }
        self.begin_copy(seat);
        if !differs {
            self.forget_leading(seat);
            self.pgs[seat.index()].dir.standby_signal = true;
            return Ended::Done;
        }
        if dies {
            self.mark(Mark::RewindBroken);
            self.pgs[seat.index()].dir.layout = Layout::HalfRewound;
            return refuse("could not write to target file: No space left on device");
        }
        self.rewound(seat, common, &theirs);
        if self.taken_for_common(&mine, &theirs) > common.lsn {
            let by_patroni = self.is_patroni(seat);
            let dir = &mut self.pgs[seat.index()].dir;
            dir.corrupt = true;
            dir.corrupted_by_patroni |= by_patroni;
        }
        Ended::Done
    }

    /// Where `pg_rewind` takes the two to part: it compares the numbers and the starts of their timelines, never what is
    /// under them, and leaves alone what changed before.
    pub(crate) fn taken_for_common(&self, mine: &DataDir, theirs: &DataDir) -> Lsn {
        const OPEN: Lsn = Lsn(u64::MAX);
        // Up to the timeline of the control file: what a promotion that died half-way wrote after it is not seen.
        let spans = |dir: &DataDir| {
            let (history, newest) = (self.wal.history(dir.wal.branch), dir.control.timeline);
            let older = history.forks.iter().filter(|f| f.parent < newest);
            let ends = older.map(|f| (f.parent, f.end));
            ends.chain([(newest, OPEN)]).collect::<Vec<_>>()
        };
        let written = mine.reaches().lsn;
        let (mine, theirs) = (spans(mine), spans(theirs));
        let mut common = Lsn::INVALID;
        for ((number, end), (other, other_end)) in mine.into_iter().zip(theirs) {
            if number != other {
                break;
            }
            common = end.min(other_end).min(written);
            if end != other_end {
                break;
            }
        }
        common
    }

    /// A source in recovery makes a rewind that copies too little.
    fn is_primary(&self, from: Seat) -> bool {
        let server = self.pgs[from.index()].server.as_ref();
        server.is_some_and(|s| s.phase == Phase::Primary)
    }

    /// The source's control file is read before anything else, and not again.
    fn timeline_shown_at_the_begin(&self, seat: Seat) -> Option<TimelineId> {
        let agent = self.hosts[seat.index()].agent.as_ref();
        agent.and_then(|a| a.lane.as_ref()?.source_timeline)
    }

    fn rewound(&mut self, seat: Seat, common: Position, theirs: &DataDir) {
        self.mark(Mark::RewindDone);
        self.check_unarchived(seat);
        self.forget_leading(seat);
        let label = self.wal.last_checkpoint(common);
        let wal = self.wal_of_rewound(seat, common, theirs);
        let dir = &mut self.pgs[seat.index()].dir;
        // Files and WAL are the source's now; it is consistent at the source's present end, of which it lacks the last.
        dir.wal = wal;
        dir.durable = wal;
        let begins = label.map_or(theirs.oldest, |label| begin_of_segment(label.begins));
        dir.oldest = begins.min(theirs.oldest);
        dir.newest_known = theirs.newest_known.clone();
        dir.other_lines = theirs.other_lines.clone();
        dir.altered = theirs.altered.clone();
        dir.corrupt = theirs.corrupt;
        dir.corrupted_by_patroni = theirs.corrupted_by_patroni;
        dir.slots.clear();
        dir.segments = Segments::default();
        dir.standby_signal = true;
        // So is the control file; a label says from where to recover.
        dir.label = label;
        dir.control = Control {
            state: DbState::InArchiveRecovery,
            checkpoint: theirs.control.checkpoint,
            timeline: theirs.control.timeline,
            min_recovery: Some(theirs.wal),
            consistent_at: Some(theirs.wal),
            limits: theirs.control.limits,
        };
    }

    /// The target's own WAL is read from its end back to the last checkpoint that both share, and what its archive has of
    /// it is fetched (`--restore-target-wal`). A dry run meets this before anything is written.
    fn reads_back_to_common(&mut self, seat: Seat, common: Position) -> Result<(), String> {
        let Some(checkpoint) = self.wal.last_checkpoint(common) else {
            return Err("could not find common ancestor of the timelines".to_string());
        };
        let lacks = self.has_removed(seat, checkpoint.begins);
        if lacks && !self.archive_has_older(seat, checkpoint.begins) {
            self.mark(Mark::RewindLacksWal);
            return Err(format!(
                "could not find previous WAL record at {}: requested WAL segment has already been removed",
                self.pgs[seat.index()].dir.oldest
            ));
        }
        let dir = &self.pgs[seat.index()].dir;
        let (written, demanded) = (dir.wal, dir.reaches());
        if demanded != written && !self.archive_has(seat, written.lsn, demanded) {
            // Rewound before, and never given the rest: it reads to the minimum recovery point.
            self.mark(Mark::RewindLacksWal);
            return Err(format!("could not read WAL record at {}", written.lsn));
        }
        Ok(())
    }

    /// The WAL that the target can replay: its own, which the tool spares from the last common checkpoint to the fork (since
    /// 14.11 and 15.6), and from there on the source's as it was when it was copied; the source goes on writing meanwhile.
    /// What the source had removed after the fork is missing.
    fn wal_of_rewound(&self, seat: Seat, common: Position, theirs: &DataDir) -> Position {
        if common.lsn < theirs.oldest {
            return common;
        }
        let agent = self.hosts[seat.index()].agent.as_ref();
        let at_begin = agent.and_then(|a| a.lane.as_ref()?.source_wal);
        let of_use = at_begin.filter(|end| {
            let on_the_way = self.wal.is_prefix(common, *end);
            on_the_way && self.wal.is_prefix(*end, theirs.wal)
        });
        of_use.unwrap_or(theirs.wal)
    }

    /// Single-user mode: replays what is there and shuts down cleanly.
    pub(crate) fn recovery_done(&mut self, seat: Seat) -> Ended {
        let pg = &mut self.pgs[seat.index()];
        if pg.server.is_some() {
            return Ended::Failed("lock file \"postmaster.pid\" already exists".to_string());
        }
        if pg.dir.layout != Layout::Cluster || pg.storage == Storage::Full {
            return Ended::Failed("single-user recovery failed".to_string());
        }
        let start = pg.dir.wal;
        let at = self.wal.checkpoint(start);
        pg.dir.wal = at;
        pg.dir.label = None;
        pg.dir.standby_signal = false;
        pg.dir.control.state = DbState::ShutDown;
        pg.dir.control.min_recovery = None;
        pg.dir.control.consistent_at = None;
        pg.dir.read_slots();
        pg.dir.keep_checkpoint(Checkpoint {
            begins: start.lsn,
            timeline: self.wal.timeline(at.branch),
        });
        pg.dir.segments.finish(at);
        pg.settle();
        self.remove_wal(seat);
        Ended::Done
    }

    pub(crate) fn discard_data(&mut self, seat: Seat) -> Ended {
        if self.pgs[seat.index()].server.is_some() {
            return Ended::Failed("the server is running".to_string());
        }
        self.check_discard(seat);
        let pg = &mut self.pgs[seat.index()];
        let old = std::mem::replace(&mut pg.dir, DataDir::empty());
        if old.is_whole() {
            pg.aside = Some(old);
        }
        self.forget_leading(seat);
        Ended::Done
    }

    /// Patroni leaves the notes that Tanist's adapter keeps beside the data directory as they are.
    fn forget_leading(&mut self, seat: Seat) {
        if !self.is_patroni(seat) {
            self.pgs[seat.index()].forget_leading();
        }
    }
}
