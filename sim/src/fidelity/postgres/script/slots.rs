//! From where slots retain WAL: used, unused, moved, after a stop, after a crash, on a standby, after a promotion.

use super::{Chapter, attend, commit, mark, operate, pair, promote, start, wait};
use crate::fidelity::postgres::step::Server::{A, B, C};
use crate::fidelity::postgres::step::Step::On;
use crate::fidelity::postgres::step::{Deed, Lane, Role, Side, Until};
use tanist_core::postgres::StopMode;

pub(super) fn slots() -> Chapter {
    let more = vec![
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("a slot for nobody yet", attend(A, Side::CreateSlot(C))),
        ("marked", mark(A, "slot")),
        ("much is written", On(A, Deed::Fill)),
        ("marked", mark(A, "written")),
        ("a checkpoint", attend(A, Side::Checkpoint)),
        (
            "the standby's slot moves",
            wait(A, Until::SlotPast(B, "written".into())),
        ),
        ("the other retains", On(A, Deed::LookClosely)),
        ("the standby ends", operate(B, Lane::Stop(StopMode::Fast))),
        ("much is written", On(A, Deed::Fill)),
        ("marked", mark(A, "without the standby")),
        ("its slot retains", On(A, Deed::LookClosely)),
        ("restarted", operate(A, Lane::Stop(StopMode::Fast))),
        ("restarted", start(A, Role::Primary)),
        ("slots outlive it", On(A, Deed::LookClosely)),
        ("crashed", operate(A, Lane::Stop(StopMode::Immediate))),
        ("recovered", start(A, Role::Primary)),
        ("slots outlive that", On(A, Deed::LookClosely)),
        ("the standby is back", start(B, Role::Standby { of: A })),
        (
            "its slot moves",
            wait(A, Until::SlotPast(B, "without the standby".into())),
        ),
        ("a slot in use is not dropped", attend(A, Side::DropSlot(B))),
        (
            "one that nobody uses moves as it is told",
            attend(A, Side::AdvanceSlot(C, "written".into())),
        ),
        ("never back", attend(A, Side::AdvanceSlot(C, "slot".into()))),
        ("what both retain", On(A, Deed::LookClosely)),
        ("a commit", commit(A)),
        ("marked", mark(A, "now")),
        (
            "as far as the primary has written",
            attend(A, Side::AdvanceSlot(C, "now".into())),
        ),
        ("caught up", wait(A, Until::SlotPast(B, "now".into()))),
        ("what both retain", On(A, Deed::LookClosely)),
        ("crashed", operate(A, Lane::Stop(StopMode::Immediate))),
        ("recovered", start(A, Role::Primary)),
        (
            "a slot that nobody uses goes back to the last checkpoint's",
            wait(A, Until::SlotPast(B, "now".into())),
        ),
        ("what both retain", On(A, Deed::LookClosely)),
        ("is dropped", attend(A, Side::DropSlot(C))),
        ("once more is as well", attend(A, Side::DropSlot(C))),
        (
            "a standby's own slot retains from its last restartpoint",
            attend(B, Side::CreateSlot(C)),
        ),
        ("what it retains", On(B, Deed::LookClosely)),
        ("a restartpoint", attend(B, Side::Checkpoint)),
        ("moves no slot", On(B, Deed::LookClosely)),
        (
            "a slot that is made now begins there",
            attend(B, Side::CreateSlot(A)),
        ),
        ("what they retain", On(B, Deed::LookClosely)),
        ("much is written", On(A, Deed::Fill)),
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("promoted", promote(B, 2)),
        ("slots go along", On(B, Deed::LookClosely)),
        ("a base backup", operate(C, Lane::Clone { of: B })),
        ("begins with a checkpoint there", On(B, Deed::Look)),
        ("starts", start(C, Role::Alone)),
        ("has no slots", On(C, Deed::LookClosely)),
    ];
    [pair(), more].concat()
}
