//! A standby with smaller settings than its primary.

use super::{CONNECTIONS, Chapter, commit, mark, operate, pair, promote, wait};
use crate::fidelity::postgres::step::Server::{A, B};
use crate::fidelity::postgres::step::Step::On;
use crate::fidelity::postgres::step::{Deed, Lane, Role, Start, Step, Until};
use tanist_core::postgres::StopMode;
use tanist_core::time::Span;

pub(super) fn settings() -> Chapter {
    let with = |who, role, max_connections| {
        operate(
            who,
            Lane::Start(Start {
                role,
                max_connections,
            }),
        )
    };
    let more = vec![
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("marked", mark(A, "before")),
        ("the primary ends", operate(A, Lane::Stop(StopMode::Fast))),
        ("and has more", with(A, Role::Primary, 80)),
        ("a commit", commit(A)),
        (
            "a standby with less stands still",
            wait(B, Until::ReplayPaused),
        ),
        ("what it says", On(B, Deed::LookClosely)),
        ("a promotion ends it", promote(B, 2)),
        (
            "nor does it start with less",
            with(B, Role::Standby { of: A }, CONNECTIONS),
        ),
        ("with as much", with(B, Role::Standby { of: A }, 80)),
        ("it follows", wait(B, Until::CaughtUp(A))),
        ("the primary ends", operate(A, Lane::Stop(StopMode::Fast))),
        ("and has still more", with(A, Role::Primary, 90)),
        ("the standby stands still", wait(B, Until::ReplayPaused)),
        ("replay resumed", On(B, Deed::ResumeReplay)),
        ("it ends", wait(B, Until::Gone)),
        ("as what", On(B, Deed::Look)),
        ("with as much", with(B, Role::Standby { of: A }, 90)),
        ("it follows", wait(B, Until::CaughtUp(A))),
        ("with everything", On(B, Deed::Rows)),
        ("replay paused by hand", On(B, Deed::PauseReplay)),
        ("a commit", commit(A)),
        ("a moment", Step::Wait(Span::secs(1))),
        ("is received and not shown", On(B, Deed::Rows)),
        ("resumed", On(B, Deed::ResumeReplay)),
        ("shown", wait(B, Until::CaughtUp(A))),
        ("the primary ends", operate(A, Lane::Stop(StopMode::Fast))),
        ("and has less", with(A, Role::Primary, CONNECTIONS)),
        ("a commit", commit(A)),
        ("the standby follows", wait(B, Until::CaughtUp(A))),
        ("what it demands now", On(B, Deed::LookClosely)),
        ("ends", operate(B, Lane::Stop(StopMode::Fast))),
        (
            "less will do again",
            with(B, Role::Standby { of: A }, CONNECTIONS),
        ),
        ("it follows", wait(B, Until::CaughtUp(A))),
    ];
    [pair(), more].concat()
}
