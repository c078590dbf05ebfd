//! Stops: fast, immediate and smart, with a session open; of a primary and of a standby.

use super::{Chapter, commit, mark, operate, pair, start, wait};
use crate::fidelity::postgres::step::Server::{A, B};
use crate::fidelity::postgres::step::Step::On;
use crate::fidelity::postgres::step::{Deed, Lane, Over, Role, Step, Until};
use tanist_core::postgres::StopMode;
use tanist_core::time::Span;

pub(super) fn stops() -> Chapter {
    let more = vec![
        ("more is committed", commit(A)),
        ("marked", mark(A, "before")),
        ("it is replayed there", wait(B, Until::CaughtUp(A))),
        (
            "and its slot moves",
            wait(A, Until::SlotPast(B, "before".into())),
        ),
        ("what the primary says of both", On(A, Deed::LookClosely)),
        ("what the standby says", On(B, Deed::LookClosely)),
        ("and shows", On(B, Deed::Rows)),
        ("one more that is not waited for", commit(A)),
        (
            "a fast stop with a session open ends it and leaves a clean directory",
            operate(A, Lane::Stop(StopMode::Fast)),
        ),
        (
            "the standby has the shutdown checkpoint",
            wait(B, Until::HasCheckpointOf(A)),
        ),
        ("the session is gone", commit(A)),
        ("nor is there a new one", On(A, Deed::Commit(Over::New))),
        (
            "a server that is down is stopped",
            operate(A, Lane::Stop(StopMode::Fast)),
        ),
        ("it starts again", start(A, Role::Primary)),
        ("with everything", On(A, Deed::Rows)),
        (
            "on which the standby streams again",
            wait(B, Until::Streams),
        ),
        ("a commit before a crash", commit(A)),
        (
            "an immediate stop writes no checkpoint",
            operate(A, Lane::Stop(StopMode::Immediate)),
        ),
        ("crash recovery by a start", start(A, Role::Primary)),
        ("loses no acknowledged commit", On(A, Deed::Rows)),
        ("the standby is back", wait(B, Until::Streams)),
        (
            "its slot moves",
            wait(A, Until::SlotPast(B, "before".into())),
        ),
        ("and stays on its timeline", On(A, Deed::LookClosely)),
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("marked", mark(A, "after the crash")),
        (
            "a standby's fast stop",
            operate(B, Lane::Stop(StopMode::Fast)),
        ),
        ("a standby starts again", start(B, Role::Standby { of: A })),
        ("and streams", wait(B, Until::Streams)),
        ("news", commit(A)),
        ("marked", mark(A, "replayed, no restartpoint")),
        ("caught up", wait(B, Until::CaughtUp(A))),
        (
            "a standby's immediate stop: the control file knows less than was replayed",
            operate(B, Lane::Stop(StopMode::Immediate)),
        ),
        (
            "a standby starts after a crash",
            start(B, Role::Standby { of: A }),
        ),
        ("and has caught up", wait(B, Until::CaughtUp(A))),
        ("with everything", On(B, Deed::Rows)),
        ("the primary ends", operate(A, Lane::Stop(StopMode::Fast))),
        ("and comes up read-only", start(A, Role::Alone)),
        ("where nothing is committed", commit(A)),
        ("but read", On(A, Deed::Rows)),
        (
            "it ends as a standby does",
            operate(A, Lane::Stop(StopMode::Fast)),
        ),
        (
            "and leads again, on the same timeline",
            start(A, Role::Primary),
        ),
        ("its session commits", commit(A)),
        ("the standby is back", wait(B, Until::CaughtUp(A))),
        (
            "its slot moves",
            wait(A, Until::SlotPast(B, "replayed, no restartpoint".into())),
        ),
        ("what it says", On(A, Deed::LookClosely)),
    ];
    [pair(), more].concat()
}

pub(super) fn smart_stops() -> Chapter {
    let more = vec![
        (
            "a smart stop lets the session go on",
            On(A, Deed::AskToStop),
        ),
        ("which commits", commit(A)),
        ("lets no new one in", On(A, Deed::Commit(Over::New))),
        ("what a look shows", On(A, Deed::Look)),
        ("a moment later", Step::Wait(Span::secs(1))),
        ("it still commits", commit(A)),
        ("a moment later", Step::Wait(Span::secs(1))),
        ("the standby is still fed", On(B, Deed::Rows)),
        ("the last session closes", On(A, Deed::CloseSession)),
        ("it ends", wait(A, Until::Gone)),
        ("cleanly", On(A, Deed::Look)),
        (
            "the standby has the shutdown checkpoint",
            wait(B, Until::HasCheckpointOf(A)),
        ),
        ("again", start(A, Role::Primary)),
        ("a smart stop", On(A, Deed::AskToStop)),
        ("becomes a fast one", operate(A, Lane::Stop(StopMode::Fast))),
        ("again", start(A, Role::Primary)),
        ("a smart stop", On(A, Deed::AskToStop)),
        (
            "becomes an immediate one",
            operate(A, Lane::Stop(StopMode::Immediate)),
        ),
        ("a standby's smart stop", On(B, Deed::AskToStop)),
        ("what a look shows", On(B, Deed::Look)),
        ("its session closes", On(B, Deed::CloseSession)),
        ("it ends", wait(B, Until::Gone)),
        ("cleanly", On(B, Deed::Look)),
    ];
    [pair(), more].concat()
}
