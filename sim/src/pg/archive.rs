//! The archive of the cluster: what each server has still to hand to it, what it holds, and what a standby takes from it.
//! Knows nothing of who leads.
//!
//! As PostgreSQL does it (`pgarch.c`, `xlogarchive.c`): a primary's finished segments wait for `archive_command`, oldest
//! first; a fast stop finishes the last segment and ends when the archiver has tried, with its control file long clean. A
//! standby hands over nothing (`archive_mode = on`). Files are named by timeline and position, never by content, and the
//! one that came first stays. A standby asks the archive before it streams, and takes from it what was written on its
//! timeline even past the place where a newer timeline left it. A promotion counts from the newest history file there.

use crate::due::PgDue;
use crate::marks::Mark;
use crate::pg::instance::{Instance, Phase, Postmaster, Stopping};
use crate::pg::wal::{Position, Wal};
use crate::wire::Seat;
use crate::world::World;
use serde::{Deserialize, Serialize};
use tanist_core::lsn::Lsn;
use tanist_core::time::Span;
use tanist_core::timeline::{TimelineHistory, TimelineId};

/// Small enough that a run fills some: PostgreSQL's have 16 MiB.
pub const SEGMENT: u64 = 2_048;
/// At a stop the archiver tries three times, with a second in between (`NUM_ARCHIVE_RETRIES`).
const GIVES_UP_AFTER: Span = Span::secs(2);
/// Tanist's adapter waits so long for one segment (`pg_ctl_timeout`), and no longer for the others.
const COMMAND_GIVEN_UP_AFTER: Span = Span::secs(60);

/// What becomes of a member's `archive_command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Archiving {
    Works,
    /// It ends with an error each time.
    Fails,
    /// It does not end.
    Hangs,
}

/// Finished segments of one branch, in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub from: Lsn,
    pub upto: Position,
}

/// What a data directory knows of its own segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    /// Finished here as a primary, and not archived yet.
    pub waiting: Vec<Stretch>,
    /// Where the first segment begins that is not finished. `None`: it was no primary since it last followed.
    open_from: Option<Lsn>,
}

/// What everybody can fetch.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    held: Vec<Stretch>,
    histories: Vec<TimelineHistory>,
}

impl Segments {
    /// The server writes from here on, on a timeline that goes on or is new.
    fn open(&mut self, at: Lsn) {
        self.open_from.get_or_insert(at);
    }

    /// Everything up to `end` is finished.
    pub fn finish(&mut self, end: Position) {
        if let Some(from) = self.open_from.filter(|from| *from < end.lsn) {
            self.waiting.push(Stretch { from, upto: end });
            self.open_from = Some(end.lsn);
        }
    }

    /// From where on a primary must keep its segments: the archiver comes to them yet.
    pub fn needed_from(&self) -> Option<Lsn> {
        let waiting = self.waiting.first().map(|segment| segment.from);
        waiting.or(self.open_from)
    }

    /// A standby hands over nothing, and removes what still waited from when it was a primary.
    pub fn removed_before(&mut self, oldest: Lsn) {
        self.waiting.retain(|segment| segment.upto.lsn > oldest);
        for segment in &mut self.waiting {
            segment.from = segment.from.max(oldest);
        }
    }

    /// It follows somebody: what it had not finished comes from there.
    pub fn follow(&mut self) {
        self.open_from = None;
    }
}

impl Archive {
    fn has_no_file_of(&self, wal: &Wal, segment: &Stretch) -> bool {
        let number = wal.timeline(segment.upto.branch);
        !self.held.iter().any(|held| {
            wal.timeline(held.upto.branch) == number
                && held.from < segment.upto.lsn
                && segment.from < held.upto.lsn
        })
    }

    /// `false`: a file of one of the names is there.
    fn take(&mut self, wal: &Wal, segment: Stretch) -> bool {
        if !self.has_no_file_of(wal, &segment) {
            return false;
        }
        match self.held.last_mut() {
            Some(last)
                if last.upto.lsn == segment.from && last.upto.branch == segment.upto.branch =>
            {
                last.upto = segment.upto;
            }
            Some(_) | None => self.held.push(segment),
        }
        true
    }

    fn learn(&mut self, history: &TimelineHistory) {
        let known = |h: &TimelineHistory| h.timeline == history.timeline;
        if history.timeline > TimelineId(1) && !self.histories.iter().any(known) {
            self.histories.push(history.clone());
        }
    }

    /// The newest history file, found by counting upwards from `number`, as PostgreSQL does.
    fn newest_from(&self, number: TimelineId) -> Option<&TimelineHistory> {
        let mut newest = None;
        let mut next = TimelineId(number.0 + 1);
        while let Some(found) = self.histories.iter().find(|h| h.timeline == next) {
            newest = Some(found);
            next = TimelineId(next.0 + 1);
        }
        newest
    }

    /// Every segment from the one with `from` on of the WAL that ends at `end`.
    fn holds(&self, wal: &Wal, from: Lsn, end: Position) -> bool {
        let mut reached = from;
        while reached < end.lsn {
            let here = wal.cut_at(end, reached);
            let has = |held: &&Stretch| {
                held.from <= reached && held.upto.lsn > reached && wal.is_prefix(here, held.upto)
            };
            let Some(held) = self.held.iter().find(has) else {
                return false;
            };
            // Past the place where it leaves this line it is of no use.
            let shared = wal.common(held.upto, end).map_or(reached, |at| at.lsn);
            if shared <= reached {
                return false;
            }
            reached = shared;
        }
        true
    }

    /// The longest piece on the way from `end`, on a timeline that `line` names.
    fn beyond(&self, wal: &Wal, end: Position, line: &TimelineHistory) -> Option<Position> {
        let leads_on = |held: &&Stretch| {
            let number = wal.timeline(held.upto.branch);
            let named = number == line.timeline || line.contains(number);
            named && held.from <= end.lsn && held.upto.lsn > end.lsn
        };
        let pieces = self.held.iter().filter(leads_on);
        let pieces = pieces.map(|held| {
            // Past its fork an older timeline is not read.
            let fork = line.end_of(wal.timeline(held.upto.branch));
            wal.cut_at(held.upto, fork.unwrap_or(held.upto.lsn))
        });
        pieces
            .filter(|piece| piece.lsn > end.lsn && wal.is_prefix(end, *piece))
            .max_by_key(|piece| wal.timeline(piece.branch))
    }
}

/// The timeline that a position is on, by a history (`tliOfPointInHistory`).
fn number_at(line: &TimelineHistory, at: Lsn) -> TimelineId {
    let ended_later = line.forks.iter().find(|fork| at < fork.end);
    ended_later.map_or(line.timeline, |fork| fork.parent)
}

impl World {
    /// The archive of the cluster that `seat`'s data belongs to; `None`: none is configured.
    fn archive_of(&self, seat: Seat) -> Option<&Archive> {
        let system = self.wal.system(self.pgs[seat.index()].dir.wal.branch);
        self.shape.archive.then(|| self.archives.get(system))?
    }

    /// A server begins to write as a primary, at the end of recovery.
    pub(crate) fn opens_segments(&mut self, seat: Seat, at: Lsn) {
        if self.shape.archive {
            self.pgs[seat.index()].dir.segments.open(at);
            self.archive(seat);
        }
    }

    /// More is on the disk of a primary: whole segments are finished.
    pub(crate) fn finish_segments(&mut self, seat: Seat) {
        if !self.shape.archive {
            return;
        }
        let dir = &mut self.pgs[seat.index()].dir;
        let whole = Lsn(dir.wal.lsn.0 / SEGMENT * SEGMENT);
        dir.segments.finish(self.wal.cut_at(dir.wal, whole));
        self.archive(seat);
    }

    /// A fast stop finishes the last segment, whole or not.
    pub(crate) fn finish_last_segment(&mut self, seat: Seat) {
        if self.shape.archive {
            let dir = &mut self.pgs[seat.index()].dir;
            dir.segments.finish(dir.wal);
            self.archive(seat);
        }
    }

    /// The archiver of a primary hands over what waits.
    fn archive(&mut self, seat: Seat) {
        let pg = &self.pgs[seat.index()];
        let runs = pg.server.as_ref().is_some_and(|s| {
            s.phase == Phase::Primary
                && s.postmaster != Postmaster::Dead
                && s.stopping != Some(Stopping::Immediate)
        });
        if runs && pg.archiving == Archiving::Works {
            self.hand_over_segments(seat);
        }
    }

    fn hand_over_segments(&mut self, seat: Seat) {
        let dir = &mut self.pgs[seat.index()].dir;
        let system = self.wal.system(dir.wal.branch).clone();
        let archive = self.archives.entry(system).or_default();
        archive.learn(self.wal.history(dir.wal.branch));
        let waiting = std::mem::take(&mut dir.segments.waiting);
        let refused = waiting
            .iter()
            .position(|segment| !archive.take(&self.wal, *segment));
        // The archiver does not go past a segment that it cannot hand over.
        dir.segments.waiting = waiting[refused.unwrap_or(waiting.len())..].to_vec();
    }

    /// The adapter goes past a segment that is refused.
    fn hand_over_what_is_taken(&mut self, seat: Seat) {
        let dir = &mut self.pgs[seat.index()].dir;
        let system = self.wal.system(dir.wal.branch).clone();
        let archive = self.archives.entry(system).or_default();
        dir.segments
            .waiting
            .retain(|segment| !archive.take(&self.wal, *segment));
    }

    /// Tanist's adapter, before a directory's WAL is replaced: every segment is tried, and how long that takes.
    pub(crate) fn archive_waiting(&mut self, seat: Seat) -> Span {
        let pg = &self.pgs[seat.index()];
        match pg.archiving {
            _ if pg.dir.segments.waiting.is_empty() => Span::ZERO,
            Archiving::Works => {
                self.hand_over_what_is_taken(seat);
                Span::ZERO
            }
            Archiving::Fails => Span::ZERO,
            Archiving::Hangs => COMMAND_GIVEN_UP_AFTER,
        }
    }

    pub(crate) fn set_archiving(&mut self, seat: Seat, archiving: Archiving) {
        self.pgs[seat.index()].archiving = archiving;
        self.archive(seat);
        let server = self.pgs[seat.index()].server.as_ref();
        if server.is_some_and(|s| s.stopping == Some(Stopping::WaitingForArchiver)) {
            self.end_when_archived(seat);
        }
    }

    /// What a stop waits for last, with all standbys served.
    pub(crate) fn end_when_archived(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let Some(server) = pg.server.as_mut() else {
            return;
        };
        // What is left while the command works is refused: its name is taken.
        if pg.dir.segments.waiting.is_empty() || server.phase != Phase::Primary {
            return self.all_processes_gone(seat);
        }
        server.stopping = Some(Stopping::WaitingForArchiver);
        let gives_up = pg.archiving != Archiving::Hangs;
        self.mark(Mark::StopWaitsForArchiver);
        if gives_up {
            self.pg_due(seat, GIVES_UP_AFTER, PgDue::ArchiverGaveUp);
        }
    }

    pub(crate) fn archiver_gave_up(&mut self, seat: Seat) {
        let waits = |pg: &Instance| {
            pg.archiving != Archiving::Hangs
                && pg
                    .server
                    .as_ref()
                    .is_some_and(|s| s.stopping == Some(Stopping::WaitingForArchiver))
        };
        if waits(&self.pgs[seat.index()]) {
            self.all_processes_gone(seat);
        }
    }

    /// The newest timeline known here or there, where `seat`'s last checkpoint or its minimum recovery point is not on it:
    /// no standby starts then (`InitWalRecovery`).
    pub(crate) fn foreign_line(&self, seat: Seat) -> Option<&TimelineHistory> {
        let newest = self.newest_line(seat)?;
        (!self.recovers_along(seat, newest)).then_some(newest)
    }

    fn recovers_along(&self, seat: Seat, line: &TimelineHistory) -> bool {
        let dir = &self.pgs[seat.index()].dir;
        let from = dir.recovers_from();
        let begins_there = number_at(line, from.begins) == from.timeline;
        let gets_there = dir.control.min_recovery.is_none_or(|upto| {
            let last = Lsn(upto.lsn.0.saturating_sub(1));
            let on = self.wal.cut_at(upto, last).branch;
            number_at(line, last) == self.wal.timeline(on)
        });
        begins_there && gets_there
    }

    /// The history of a number that is asked for: the archive's, or what is known here (`readTimeLineHistory`).
    fn line_of(&self, seat: Seat, number: TimelineId) -> Option<TimelineHistory> {
        let dir = &self.pgs[seat.index()].dir;
        let mut known = std::iter::once(&dir.newest_known).chain(dir.other_lines.values());
        let mut archived = self.archive_of(seat).into_iter().flat_map(|a| &a.histories);
        let here = || known.find(|h| h.contains(number)).map(|h| h.up_to(number));
        let first = || (number == TimelineId(1)).then(|| TimelineHistory::bare(number));
        let there = archived.find(|h| h.timeline == number).cloned();
        there.or_else(here).or_else(first)
    }

    /// What `seat` has written last is not on the newest timeline known here or there.
    pub(crate) fn writes_beside_the_archive(&self, seat: Seat) -> bool {
        let end = self.pgs[seat.index()].dir.wal;
        let last = Lsn(end.lsn.0.saturating_sub(1));
        let newest = self.newest_line(seat);
        newest.is_some_and(|line| number_at(line, last) != self.wal.timeline(end.branch))
    }

    /// Numbers are counted over what is here and what is there; of a number that both have, it is read from there.
    fn newest_line(&self, seat: Seat) -> Option<&TimelineHistory> {
        let dir = &self.pgs[seat.index()].dir;
        let from = dir.recovers_from().timeline;
        let known = dir.newest_known.timeline;
        let archive = self.archive_of(seat);
        let beyond = archive.and_then(|a| a.newest_from(known.max(from)));
        let same = || {
            let mut there = archive.iter().flat_map(|a| &a.histories);
            let archived = there.find(|h| h.timeline == known);
            (known > from).then(|| archived.unwrap_or(&dir.newest_known))
        };
        beyond.or_else(same)
    }

    /// It could be started along this timeline only.
    pub(crate) fn starts_along(&self, seat: Seat, number: TimelineId) -> bool {
        let line = self.line_of(seat, number);
        line.is_some_and(|line| self.recovers_along(seat, &line))
    }

    /// Along the timeline of its control file, or that of its minimum recovery point.
    pub(crate) fn is_on_its_own_line(&self, seat: Seat) -> bool {
        let control = &self.pgs[seat.index()].dir.control;
        let upto = control
            .min_recovery
            .map(|upto| self.wal.timeline(upto.branch));
        self.starts_along(seat, control.timeline.max(upto.unwrap_or(control.timeline)))
    }

    /// A standby that starts looks for the newest timeline there, and ends if its own checkpoint is not on that.
    pub(crate) fn finds_its_line(&mut self, seat: Seat) -> bool {
        let dir = &self.pgs[seat.index()].dir;
        if !dir.standby_signal {
            return true;
        }
        if let Some(number) = dir.one_timeline {
            return self.starts_along(seat, number);
        }
        let is_foreign = self.foreign_line(seat).is_some();
        // What is read from the archive is kept (`readTimeLineHistory`).
        if let Some(newest) = self.newest_line(seat).cloned() {
            self.pgs[seat.index()].dir.learn(&newest);
        }
        !is_foreign
    }

    /// A standby that does not stream takes what the archive has.
    pub(crate) fn restore(&mut self, seat: Seat) {
        let dir = &self.pgs[seat.index()].dir;
        let (wal, one) = (dir.wal, dir.one_timeline);
        if one.is_none() {
            self.look_for_a_newer_timeline(seat);
        }
        let line = match one {
            Some(number) => self.line_of(seat, number),
            None => Some(self.line_it_follows(seat).clone()),
        };
        let archive = self.archive_of(seat).zip(line);
        let Some(end) = archive.and_then(|(a, line)| a.beyond(&self.wal, wal, &line)) else {
            return;
        };
        let pg = &mut self.pgs[seat.index()];
        pg.dir.wal = end;
        pg.settle();
        self.mark(Mark::RestoredFromArchive);
        self.replay(seat);
        self.check_consistency(seat);
        self.send_wal(seat);
    }

    /// `rescanLatestTimeLine`: what is read from the archive is kept, whether or not it is followed.
    fn look_for_a_newer_timeline(&mut self, seat: Seat) {
        let known = self.pgs[seat.index()].dir.newest_known.timeline;
        let newest = self.archive_of(seat).and_then(|a| a.newest_from(known));
        if let Some(newest) = newest.cloned() {
            self.pgs[seat.index()].dir.learn(&newest);
        }
    }

    /// The newest timeline that is known here, but for one that left this one before what was replayed.
    fn line_it_follows(&self, seat: Seat) -> &TimelineHistory {
        let pg = &self.pgs[seat.index()];
        let replayed = pg.server.as_ref().map_or(pg.dir.wal.lsn, |s| s.replayed);
        let newest = &pg.dir.newest_known;
        let on = self.wal.timeline(pg.dir.wal.branch);
        let leads_on = newest.end_of(on).is_some_and(|end| replayed <= end);
        if newest.timeline == on || leads_on {
            return newest;
        }
        self.wal.history(pg.dir.wal.branch)
    }

    /// What `seat` has removed of its own WAL from `from` on.
    pub(crate) fn archive_has_older(&self, seat: Seat, from: Lsn) -> bool {
        let dir = &self.pgs[seat.index()].dir;
        self.archive_has(seat, from, self.wal.cut_at(dir.wal, dir.oldest))
    }

    pub(crate) fn archive_has(&self, seat: Seat, from: Lsn, upto: Position) -> bool {
        let archive = self.archive_of(seat);
        archive.is_some_and(|archive| archive.holds(&self.wal, from, upto))
    }

    /// How far it leads a standby that asks it for one segment after the other.
    pub(crate) fn archive_leads_to(&self, seat: Seat) -> Lsn {
        let dir = &self.pgs[seat.index()].dir;
        let mut end = dir.wal;
        let line = self.newest_line(seat).unwrap_or(&dir.newest_known);
        while let Some(next) = self
            .archive_of(seat)
            .and_then(|archive| archive.beyond(&self.wal, end, line))
        {
            end = next;
        }
        end.lsn
    }

    /// The number of the next timeline: past everything known here or archived.
    pub(crate) fn next_timeline(&self, seat: Seat) -> TimelineId {
        let known = self.pgs[seat.index()].dir.newest_known.timeline;
        let archived = self.archive_of(seat).and_then(|a| a.newest_from(known));
        TimelineId(archived.map_or(known, |h| h.timeline).0 + 1)
    }

    /// A segment that waits here and that the archive would take now.
    pub(crate) fn archivable(&self, seat: Seat) -> Option<Stretch> {
        let pg = &self.pgs[seat.index()];
        let mut waiting = pg.dir.segments.waiting.iter();
        let works = pg.archiving == Archiving::Works;
        let is_free = |segment: &&Stretch| {
            let archive = self.archive_of(seat);
            archive.is_none_or(|archive| archive.has_no_file_of(&self.wal, segment))
        };
        waiting.find(is_free).filter(|_| works).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_core::postgres::SystemId;

    fn written() -> (Wal, Position, Position) {
        let mut wal = Wal::default();
        let root = wal.initdb(SystemId("1".into()));
        let end = wal.append(root, 5_000, None);
        (wal, root, end)
    }

    #[test]
    fn a_file_that_is_there_stays_and_the_second_of_its_name_is_refused() {
        let (mut wal, root, end) = written();
        let twin = wal.append(root, 5_000, None);
        let mut archive = Archive::default();
        let segment = |upto| Stretch {
            from: root.lsn,
            upto,
        };
        assert!(archive.take(&wal, segment(end)));
        assert!(!archive.take(&wal, segment(twin)));
        assert_eq!(archive.held, [segment(end)]);
    }

    #[test]
    fn past_its_fork_an_older_timeline_is_read_only_by_whom_the_fork_is_unknown_to() {
        let (mut wal, root, end) = written();
        let fork = wal.cut_at(end, Lsn(root.lsn.0 + 100));
        let new = wal.promote(fork, TimelineId(2));
        let new = wal.append(new, 10, None);
        let mut archive = Archive::default();
        assert!(archive.take(
            &wal,
            Stretch {
                from: root.lsn,
                upto: end
            }
        ));
        let unaware = TimelineHistory::bare(TimelineId(1));
        assert_eq!(archive.beyond(&wal, root, &unaware), Some(end));
        let aware = wal.history(new.branch);
        assert_eq!(archive.beyond(&wal, root, aware), Some(fork));
        assert_eq!(archive.beyond(&wal, fork, aware), None);
    }

    #[test]
    fn the_newest_timeline_is_found_by_counting() {
        let (mut wal, _, end) = written();
        let mut archive = Archive::default();
        let second = wal.promote(end, TimelineId(2));
        archive.learn(wal.history(second.branch));
        let fourth = wal.promote(second, TimelineId(4));
        archive.learn(wal.history(fourth.branch));
        let newest = archive.newest_from(TimelineId(1));
        assert_eq!(newest.map(|h| h.timeline), Some(TimelineId(2)));
        let beyond_the_gap = archive.newest_from(TimelineId(3));
        assert_eq!(beyond_the_gap.map(|h| h.timeline), Some(TimelineId(4)));
    }
}
