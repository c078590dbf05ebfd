//! Fakes that are wrong on purpose: kinder than PostgreSQL, each in one way. The transcript must find out every one.
//! Each changes what is in the fake around a step; what follows from that is the fake's own.

use super::step::{Deed, Lane, Role, Side};
use crate::pg::instance::Retained;
use crate::pg::limits::Limits;
use crate::pg::synchronous::Setting;
use crate::pg::wal::CHECKPOINT_BYTES;
use crate::shape::ClusterShape;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::lsn::Lsn;
use tanist_core::postgres::{DbState, StopMode};
use tanist_core::timeline::TimelineId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    SmartStopEndsSessions,
    /// Standbys lack the shutdown checkpoint.
    FastStopForgetsStandbys,
    ImmediateStopIsClean,
    CrashLosesCommits,
    BackendsDieWithPostmaster,
    PromoteKeepsTimeline,
    /// The control file learns of a promotion at once.
    PromoteEndsInCheckpoint,
    RewindTakesUnclean,
    SlotRetainsNothing,
    SlotOfAbsentStandbyMoves,
    SmallStandbyStarts,
    /// One that stands still for its settings is promoted.
    SmallStandbyIsPromoted,
    /// A crashed standby's control file says how far it had replayed.
    CrashedStandbyKnowsItsEnd,
    CrashKeepsSlots,
    /// A reload with a slot that is not there streams all the same.
    MissingSlotIsMade,
    /// Checkpoints remove nothing.
    WalIsKeptForEver,
    /// A slot that held back too much is as good as before.
    LostSlotRetains,
    /// A rewind leaves a directory with all the WAL that it will need.
    RewindBringsAllWal,
    /// A commit is told as soon as it is flushed here.
    NobodyWaits,
    /// A wait that a stop ends is told as one that was cancelled.
    StopTellsWhoWaits,
    CancelledWaitIsNotTold,
}

impl Wrong {
    pub(super) fn before(self, world: &mut World, seat: Seat, deed: &Deed) {
        let dir = &mut world.pgs[seat.index()].dir;
        match (self, deed) {
            (Wrong::FastStopForgetsStandbys, Deed::Operate(Lane::Stop(StopMode::Fast))) => {
                world.drop_standbys_of(seat);
            }
            (Wrong::ImmediateStopIsClean, Deed::Operate(Lane::Stop(StopMode::Immediate)))
            | (Wrong::RewindTakesUnclean, Deed::Operate(Lane::Rewind { .. })) => {
                dir.control.state = DbState::ShutDown;
            }
            (Wrong::CrashLosesCommits, Deed::Operate(Lane::Stop(StopMode::Immediate))) => {
                let end = Lsn(dir.control.checkpoint.0 + CHECKPOINT_BYTES);
                dir.wal = world.wal.cut_at(dir.wal, end);
            }
            (Wrong::BackendsDieWithPostmaster, Deed::KillPostmaster) => {
                if let Some(server) = world.pgs[seat.index()].server.as_mut() {
                    server.backends = Default::default();
                }
            }
            (Wrong::PromoteKeepsTimeline, Deed::Operate(Lane::Promote { timeline, .. })) => {
                dir.newest_known.timeline = TimelineId(timeline.saturating_sub(2));
            }
            (Wrong::SmallStandbyStarts, Deed::Operate(Lane::Start(start)))
                if start.role != Role::Primary =>
            {
                let has = Limits::with_connections(start.max_connections);
                if !has.cover(dir.control.limits) {
                    dir.control.limits = has;
                    // Nor does it replay what it demands.
                    dir.control.checkpoint = dir.wal.lsn;
                }
            }
            (Wrong::SmallStandbyIsPromoted, Deed::Operate(Lane::Promote { .. })) => {
                let end = dir.wal.lsn;
                if let Some(server) = world.pgs[seat.index()].server.as_mut() {
                    server.falls_short = false;
                    server.replayed = end;
                }
            }
            (Wrong::CrashedStandbyKnowsItsEnd, Deed::Operate(Lane::Stop(StopMode::Immediate)))
                if dir.standby_signal =>
            {
                dir.control.min_recovery = Some(dir.wal);
            }
            (Wrong::CrashKeepsSlots, Deed::Operate(Lane::Stop(StopMode::Immediate))) => {
                dir.slots
                    .values_mut()
                    .for_each(|slot| slot.saved = slot.from);
            }
            (Wrong::StopTellsWhoWaits, Deed::Operate(Lane::Stop(_))) => world.cancel_waits(seat),
            (Wrong::CancelledWaitIsNotTold, Deed::CancelWait) => {
                if let Some(server) = world.pgs[seat.index()].server.as_mut() {
                    server.unconfirmed.clear();
                }
            }
            (Wrong::MissingSlotIsMade, Deed::Attend(Side::Follow(of))) => {
                let name = world.name(seat).to_string();
                let theirs = &mut world.pgs[of.index()].dir;
                let made = Retained::new(theirs.wal.lsn);
                theirs.slots.entry(name).or_insert(made);
            }
            _as_it_is => {}
        }
    }

    pub(super) fn after(self, world: &mut World, seat: Seat, deed: &Deed) {
        let dir = &mut world.pgs[seat.index()].dir;
        match (self, deed) {
            (Wrong::SmartStopEndsSessions, Deed::AskToStop) => world.stop_fast(seat),
            (Wrong::PromoteEndsInCheckpoint, Deed::Operate(Lane::Promote { .. })) => {
                world.checkpointed(seat);
            }
            (Wrong::SlotRetainsNothing, Deed::Attend(Side::CreateSlot(_))) => {
                dir.slots.values_mut().for_each(|slot| slot.from = None);
            }
            (Wrong::WalIsKeptForEver, Deed::LimitSlots(_)) => {
                world.shape.wal_keep = ClusterShape::of(&[]).wal_keep;
            }
            (Wrong::NobodyWaits, Deed::Attend(Side::WaitFor(_))) => {
                if let Some(server) = world.pgs[seat.index()].server.as_mut() {
                    server.synchronous = Setting::default();
                }
            }
            (Wrong::LostSlotRetains, Deed::LimitSlots(_)) => world.shape.slot_keep = None,
            (Wrong::RewindBringsAllWal, Deed::Operate(Lane::Rewind { .. })) => {
                dir.control.consistent_at = None;
            }
            (Wrong::SlotOfAbsentStandbyMoves, Deed::Fill) => {
                let written = dir.wal.lsn;
                let moved = Retained::new(written);
                dir.slots.values_mut().for_each(|slot| *slot = moved);
            }
            _as_it_is => {}
        }
    }
}
