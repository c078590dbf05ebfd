//! Promotion, and what becomes of those that are on another timeline then.

use super::{Chapter, attend, commit, mark, operate, pair, promote, standby, start, wait};
use crate::fidelity::postgres::step::Server::{A, B, C};
use crate::fidelity::postgres::step::Step::On;
use crate::fidelity::postgres::step::{Deed, Lane, Role, Side, Step, Until};
use tanist_core::postgres::StopMode;
use tanist_core::time::Span;

pub(super) fn promotion() -> Chapter {
    let more = vec![
        ("much is written", On(A, Deed::Fill)),
        ("a commit", commit(A)),
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("caught up", wait(C, Until::CaughtUp(A))),
        ("marked", mark(A, "before")),
        ("a primary is not promoted", promote(A, 2)),
        ("the primary ends", operate(A, Lane::Stop(StopMode::Fast))),
        ("has its checkpoint", wait(B, Until::HasCheckpointOf(A))),
        ("has its checkpoint", wait(C, Until::HasCheckpointOf(A))),
        ("what a standby without a primary is", On(B, Deed::Look)),
        (
            "promotion: a new timeline, a control file that lags",
            promote(B, 2),
        ),
        ("what others are told", attend(A, Side::Ask(B))),
        (
            "nobody is rewound to it yet",
            operate(A, Lane::Rewind { from: B }),
        ),
        ("the session that was open commits", commit(B)),
        ("a checkpoint", attend(B, Side::Checkpoint)),
        ("shows the timeline", On(B, Deed::Look)),
        ("what others are told", attend(A, Side::Ask(B))),
        ("marked", mark(B, "on timeline 2")),
        ("the other is pointed there", attend(C, Side::Follow(B))),
        ("a while", Step::Wait(Span::secs(2))),
        ("and not fed without its slot", On(C, Deed::LookClosely)),
        ("a slot for it", attend(B, Side::CreateSlot(C))),
        ("it streams", wait(C, Until::Streams)),
        ("it has caught up", wait(C, Until::CaughtUp(B))),
        ("on the new timeline", wait(C, Until::OnTimeline(2))),
        ("what it says", On(C, Deed::LookClosely)),
        ("with everything", On(C, Deed::Rows)),
        ("a slot for the old primary", attend(B, Side::CreateSlot(A))),
        (
            "which was shut down before the fork",
            start(A, Role::Standby { of: B }),
        ),
        ("and follows as it is", wait(A, Until::CaughtUp(B))),
        ("what it says", On(A, Deed::LookClosely)),
        ("with everything", On(A, Deed::Rows)),
        ("it ends", operate(A, Lane::Stop(StopMode::Fast))),
        (
            "a crash soon after",
            operate(B, Lane::Stop(StopMode::Immediate)),
        ),
        ("goes on on timeline 2", start(B, Role::Primary)),
        ("with everything", On(B, Deed::Rows)),
    ];
    [pair(), standby(C), more].concat()
}

pub(super) fn divergence() -> Chapter {
    let more = vec![
        ("much is written", On(A, Deed::Fill)),
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("marked", mark(B, "fork")),
        ("a second primary", promote(B, 2)),
        (
            "crashes: its control file is on the old timeline, and knows of the new",
            operate(B, Lane::Stop(StopMode::Immediate)),
        ),
        ("it goes on where it was", start(B, Role::Primary)),
        ("and has what the other lacks", commit(B)),
        ("and the other", commit(A)),
        ("a checkpoint", attend(B, Side::Checkpoint)),
        ("a slot for it", attend(B, Side::CreateSlot(A))),
        (
            "the old primary has a tail and crashes",
            operate(A, Lane::Stop(StopMode::Immediate)),
        ),
        ("unclean: no rewind", operate(A, Lane::Rewind { from: B })),
        ("recovered", operate(A, Lane::CrashRecovery)),
        ("started as it is", start(A, Role::Standby { of: B })),
        ("with its tail", On(A, Deed::Rows)),
        ("a while", Step::Wait(Span::secs(2))),
        ("it is not fed", On(A, Deed::LookClosely)),
        ("ends", operate(A, Lane::Stop(StopMode::Fast))),
        ("rewound", operate(A, Lane::Rewind { from: B })),
        ("starts", start(A, Role::Standby { of: B })),
        ("streams", wait(A, Until::Streams)),
        ("caught up", wait(A, Until::CaughtUp(B))),
        ("its tail is gone", On(A, Deed::Rows)),
        ("what it says", On(A, Deed::LookClosely)),
        ("a clone of the standby", operate(C, Lane::Clone { of: A })),
        ("a slot", attend(A, Side::CreateSlot(C))),
        ("starts behind it", start(C, Role::Standby { of: A })),
        ("streams", wait(C, Until::Streams)),
        ("a commit on top", commit(B)),
        ("comes down", wait(C, Until::CaughtUp(B))),
        ("with everything", On(C, Deed::Rows)),
        ("the primary is killed", On(B, Deed::KillPostmaster)),
        ("what is left of it", operate(B, Lane::Stop(StopMode::Fast))),
        ("a third timeline", promote(A, 3)),
        ("the cascade follows", wait(C, Until::OnTimeline(3))),
        ("a commit", commit(A)),
        ("a checkpoint", attend(A, Side::Checkpoint)),
        ("its slot moves", wait(A, Until::SlotPast(C, "fork".into()))),
        ("both forks are known", On(A, Deed::LookClosely)),
        ("to others", attend(B, Side::Ask(A))),
    ];
    [pair(), more].concat()
}
