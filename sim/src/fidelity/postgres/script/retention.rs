//! WAL that is removed: which slots are lost over it, what a standby is told that wants it, and what a rewind needs of it.

use super::{Chapter, attend, commit, mark, operate, pair, promote, start, wait};
use crate::fidelity::postgres::step::Server::{A, B, C};
use crate::fidelity::postgres::step::Step::On;
use crate::fidelity::postgres::step::{Deed, Lane, Role, Server, Side, Step, Until};
use tanist_core::postgres::StopMode;
use tanist_core::time::Span;

/// More than `wal_keep_size` keeps.
const MUCH: u32 = 12;

fn much_is_written(on: Server) -> Chapter {
    vec![
        ("much is written", On(on, Deed::Segments(MUCH))),
        ("a checkpoint", attend(on, Side::Checkpoint)),
    ]
}

pub(super) fn lost_slots() -> Chapter {
    let retained = vec![
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("a slot for nobody yet", attend(A, Side::CreateSlot(C))),
        ("marked", mark(A, "slot")),
    ];
    let limited = vec![
        ("marked", mark(A, "written")),
        (
            "the standby has it",
            wait(A, Until::SlotPast(B, "written".into())),
        ),
        ("without a limit a slot retains", On(A, Deed::LookClosely)),
        ("the standby ends", operate(B, Lane::Stop(StopMode::Fast))),
        ("slots may hold back little", On(A, Deed::LimitSlots(2))),
    ];
    let lost = vec![
        (
            "slots that held back more are lost",
            On(A, Deed::LookClosely),
        ),
        (
            "a lost slot does not move",
            attend(A, Side::AdvanceSlot(C, "written".into())),
        ),
        ("a commit", commit(A)),
        ("its standby comes up", start(B, Role::Standby { of: A })),
        ("a while", Step::Wait(Span::secs(3))),
        ("and is not given what was removed", On(B, Deed::Rows)),
        ("it serves what it has", On(B, Deed::Look)),
        ("ends", operate(B, Lane::Stop(StopMode::Fast))),
        ("crashed", operate(A, Lane::Stop(StopMode::Immediate))),
        ("recovered", start(A, Role::Primary)),
        ("lost slots stay lost", On(A, Deed::LookClosely)),
        ("is dropped", attend(A, Side::DropSlot(B))),
        ("and made anew", attend(A, Side::CreateSlot(B))),
        (
            "it retains from the last checkpoint",
            On(A, Deed::LookClosely),
        ),
        ("that helps nobody", start(B, Role::Standby { of: A })),
        ("a while", Step::Wait(Span::secs(3))),
        ("who wants what was before", On(B, Deed::Rows)),
        ("ends", operate(B, Lane::Stop(StopMode::Fast))),
        ("aside", operate(B, Lane::Discard)),
        ("a base backup", operate(B, Lane::Clone { of: A })),
        ("starts", start(B, Role::Standby { of: A })),
        ("streams", wait(B, Until::Streams)),
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("has all", On(B, Deed::Rows)),
    ];
    [
        pair(),
        retained,
        much_is_written(A),
        limited,
        much_is_written(A),
        lost,
    ]
    .concat()
}

/// `b` is promoted beside `a`, which goes on.
fn fork() -> Chapter {
    let more = vec![
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("promoted", promote(B, 2)),
        ("a checkpoint there", attend(B, Side::Checkpoint)),
        ("nobody retains for it", attend(A, Side::DropSlot(B))),
        ("the other goes on", commit(A)),
    ];
    [pair(), more].concat()
}

pub(super) fn rewinds_without_wal() -> Chapter {
    let limited = vec![("slots may hold back little", On(A, Deed::LimitSlots(2)))];
    let more = vec![
        ("ends", operate(A, Lane::Stop(StopMode::Fast))),
        (
            "a target that lacks WAL back to the fork is not rewound",
            operate(A, Lane::Rewind { from: B }),
        ),
        ("nor written to", start(A, Role::Primary)),
        ("it has its commits", On(A, Deed::Rows)),
    ];
    [fork(), limited, much_is_written(A), more].concat()
}

pub(super) fn sources_without_wal() -> Chapter {
    let limited = vec![("slots may hold back little", On(B, Deed::LimitSlots(2)))];
    let more = vec![
        ("ends", operate(A, Lane::Stop(StopMode::Fast))),
        (
            "a source without WAL from the fork on rewinds all the same",
            operate(A, Lane::Rewind { from: B }),
        ),
        ("a slot for it", attend(B, Side::CreateSlot(A))),
        (
            "and the target never begins to recover",
            start(A, Role::Standby { of: B }),
        ),
        ("ends", operate(A, Lane::Stop(StopMode::Immediate))),
    ];
    [fork(), limited, much_is_written(B), more].concat()
}
