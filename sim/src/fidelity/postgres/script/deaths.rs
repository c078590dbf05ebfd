//! Processes that are killed or frozen, with busy backends and without.

use super::{Chapter, commit, operate, pair, start, wait};
use crate::fidelity::postgres::step::Server::{A, B};
use crate::fidelity::postgres::step::Step::On;
use crate::fidelity::postgres::step::{Deed, Lane, Over, Role, Step, Until};
use tanist_core::postgres::StopMode;
use tanist_core::time::Span;

pub(super) fn deaths() -> Chapter {
    let more = vec![
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("a procedure commits in a loop", On(A, Deed::BeginLoop)),
        ("its postmaster is killed", On(A, Deed::KillPostmaster)),
        ("a second later", Step::Wait(Span::secs(1))),
        ("backends are left, no server answers", On(A, Deed::Look)),
        ("the idle session has noticed", commit(A)),
        ("no server is started beside them", start(A, Role::Primary)),
        ("a stop ends them", operate(A, Lane::Stop(StopMode::Fast))),
        ("a start recovers", start(A, Role::Primary)),
        ("with every acknowledged commit", On(A, Deed::Rows)),
        (
            "and those that the loop made without a postmaster",
            On(A, Deed::LoopWentOn),
        ),
        ("the standby follows", wait(B, Until::CaughtUp(A))),
        (
            "a standby's postmaster is killed",
            On(B, Deed::KillPostmaster),
        ),
        ("two seconds later", Step::Wait(Span::secs(2))),
        ("nobody is left", On(B, Deed::Look)),
        ("it starts again", start(B, Role::Standby { of: A })),
        ("and streams", wait(B, Until::Streams)),
        (
            "a primary without busy backends",
            On(A, Deed::KillPostmaster),
        ),
        ("two seconds later", Step::Wait(Span::secs(2))),
        ("nobody is left", On(A, Deed::Look)),
        (
            "recovery in single-user mode",
            operate(A, Lane::CrashRecovery),
        ),
        ("and a start", start(A, Role::Primary)),
        ("with everything", On(A, Deed::Rows)),
        ("a backend is killed", On(A, Deed::KillBackend)),
        ("the server recovers in place", wait(A, Until::Answers)),
        ("what it is then", On(A, Deed::Look)),
        ("with everything", On(A, Deed::Rows)),
        ("the postmaster is frozen", On(A, Deed::FreezePostmaster)),
        ("the session commits", commit(A)),
        ("no new one is had", On(A, Deed::Commit(Over::New))),
        ("a look has no answer", On(A, Deed::Look)),
        ("thawed", On(A, Deed::ThawPostmaster)),
        ("it answers", wait(A, Until::Answers)),
        ("with everything", On(A, Deed::Rows)),
        ("frozen again", On(A, Deed::FreezePostmaster)),
        (
            "an immediate stop ends in a kill",
            operate(A, Lane::Stop(StopMode::Immediate)),
        ),
    ];
    [pair(), more].concat()
}
