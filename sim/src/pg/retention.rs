//! Which WAL a server still has: what a checkpoint or restartpoint removes, what keeps it, and which slots are lost over it.
//! Knows nothing of who will ask for it.
//!
//! As PostgreSQL does it (`KeepLogSeg`, `RemoveOldXlogFiles`, `InvalidateObsoleteReplicationSlots`): segments older than
//! the one in which recovery would begin are removed by their numbers, whatever timeline they are of. Slots keep theirs, up
//! to `max_slot_wal_keep_size`: one that would hold back more is invalidated, and whoever streams through it is cut off.
//! `wal_keep_size` keeps as much in any case, and a primary what its archiver has not taken; a standby does not wait for
//! an archiver. A standby that asks for what was removed is refused, and asks again for ever.

use crate::due::PgDue;
use crate::marks::Mark;
use crate::pg::archive::SEGMENT;
use crate::pg::instance::{DataDir, Phase};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::lsn::Lsn;
use tanist_core::time::Span;

/// What the settings keep, in segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    wal: u64,
    slots: Option<u64>,
}

fn segment_of(at: Lsn) -> u64 {
    at.0 / SEGMENT
}

pub fn begin_of_segment(at: Lsn) -> Lsn {
    Lsn(segment_of(at) * SEGMENT)
}

/// The oldest segment to be kept by a server that writes or receives in the one of `end`, recovers from the one of
/// `begins`, and whose slots retain from `slots`.
fn oldest_kept(begins: Lsn, end: Lsn, slots: Option<Lsn>, kept: Kept) -> u64 {
    let present = segment_of(end);
    let mut oldest = present;
    if let Some(from) = slots.filter(|from| *from < end) {
        oldest = segment_of(from);
        if let Some(most) = kept.slots {
            oldest = oldest.max(present.saturating_sub(most));
        }
    }
    if present - oldest < kept.wal {
        oldest = present.saturating_sub(kept.wal).max(1);
    }
    oldest.min(segment_of(begins))
}

impl World {
    /// `seat` has not that WAL any more.
    pub(crate) fn has_removed(&self, seat: Seat, from: Lsn) -> bool {
        from < self.pgs[seat.index()].dir.oldest
    }

    /// A checkpoint or restartpoint is in the control file: what it makes superfluous goes.
    pub(crate) fn remove_wal(&mut self, seat: Seat) {
        let kept = Kept {
            wal: self.shape.wal_keep / SEGMENT,
            slots: self.shape.slot_keep.map(|bytes| bytes / SEGMENT),
        };
        let mut oldest = oldest_of(&self.pgs[seat.index()].dir, kept);
        if self.invalidate_slots(seat, Lsn(oldest * SEGMENT)) {
            // Now they retain nothing.
            oldest = oldest_of(&self.pgs[seat.index()].dir, kept);
        }
        let dir = &mut self.pgs[seat.index()].dir;
        let archiver = match dir.standby_signal {
            true => None,
            false => dir.segments.needed_from(),
        };
        let oldest = Lsn(oldest * SEGMENT).min(archiver.map_or(Lsn(u64::MAX), begin_of_segment));
        if oldest <= dir.oldest {
            return;
        }
        dir.oldest = oldest;
        if dir.standby_signal {
            dir.segments.removed_before(oldest);
        }
        self.mark(Mark::WalRemoved);
        self.cut_off_who_was_sent_less(seat, oldest);
    }

    /// Did one have to go that retained what is older?
    fn invalidate_slots(&mut self, seat: Seat, oldest: Lsn) -> bool {
        let slots = self.pgs[seat.index()].dir.slots.iter_mut();
        let obsolete = slots.filter(|(_, slot)| slot.from.is_some_and(|from| from < oldest));
        let lost: Vec<String> = obsolete
            .map(|(name, slot)| {
                slot.invalidate();
                name.clone()
            })
            .collect();
        for standby in self.standbys_of(seat) {
            let receiver = self.pgs[standby.index()].receiver().cloned();
            let through_it = |slot: &String| lost.contains(slot);
            if let Some(receiver) = receiver.filter(|r| r.slot.as_ref().is_some_and(through_it)) {
                self.cut_off(standby, receiver.id);
            }
        }
        if !lost.is_empty() {
            self.mark(Mark::SlotLost);
        }
        !lost.is_empty()
    }

    /// Without a slot a connected standby retains nothing either.
    fn cut_off_who_was_sent_less(&mut self, seat: Seat, oldest: Lsn) {
        for standby in self.standbys_of(seat) {
            let receiver = self.pgs[standby.index()].receiver().cloned();
            if let Some(receiver) = receiver.filter(|r| r.sent < oldest) {
                self.cut_off(standby, receiver.id);
            }
        }
    }

    /// The WAL sender ends; the other end hears of it where the link is open.
    fn cut_off(&mut self, standby: Seat, id: u64) {
        let stalled = self.pgs[standby.index()]
            .receiver()
            .is_some_and(|r| r.stalled.is_some());
        if !stalled {
            self.pg_due(standby, Span::millis(1), PgDue::Disconnected { id });
        }
    }

    /// `checkpoint_timeout`: a checkpoint, or on a standby that lets sessions in a restartpoint. Nothing happens where
    /// nothing was written since the last one.
    pub(crate) fn timed_checkpoint(&mut self, seat: Seat) {
        let pg = &self.pgs[seat.index()];
        let Some(server) = pg.server.as_ref() else {
            return;
        };
        let last = self.wal.last_checkpoint_end(server.inserted);
        let due = match server.phase {
            Phase::Primary => server.stopping.is_none() && last != Some(server.inserted.lsn),
            Phase::Recovery { consistent } => server.stopping.is_none() && consistent,
            Phase::Starting | Phase::Promoting => false,
        };
        if due {
            self.checkpointed(seat);
        }
        self.pg_due(seat, self.shape.checkpoints_every, PgDue::TimedCheckpoint);
    }
}

fn oldest_of(dir: &DataDir, kept: Kept) -> u64 {
    let slots = dir.slots.values().filter_map(|slot| slot.from).min();
    oldest_kept(dir.control.checkpoint, dir.wal.lsn, slots, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In segments: where recovery begins, where WAL ends, from where slots retain, `wal_keep_size`, the slots' limit.
    fn check(
        (begins, end, slots): (u64, u64, Option<u64>),
        (wal, limit): (u64, Option<u64>),
        oldest: u64,
    ) {
        let at = |segment: u64| Lsn(segment * SEGMENT + 7);
        let kept = Kept { wal, slots: limit };
        let found = oldest_kept(at(begins), at(end), slots.map(at), kept);
        assert_eq!(found, oldest, "{begins} {end} {slots:?} {kept:?}");
    }

    #[test]
    fn what_is_kept_is_the_most_that_anything_asks_for() {
        check((90, 100, None), (0, None), 90);
        check((90, 100, None), (20, None), 80);
        check((90, 100, Some(50)), (20, None), 50);
        check((90, 100, Some(95)), (0, None), 90);
    }

    #[test]
    fn a_slot_keeps_no_more_than_its_limit_and_no_less_than_wal_keep_size() {
        check((90, 100, Some(50)), (0, Some(30)), 70);
        check((90, 100, Some(50)), (40, Some(30)), 60);
        check((60, 100, Some(50)), (0, Some(30)), 60);
    }
}
