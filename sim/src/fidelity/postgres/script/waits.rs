//! Commits that wait for a standby: what ends a wait, who is told, and what is there then.

use super::{Chapter, attend, commit, operate, pair, start, wait};
use crate::fidelity::postgres::step::Server::{A, B};
use crate::fidelity::postgres::step::Step::On;
use crate::fidelity::postgres::step::{Deed, Lane, Role, Side, Step, Until};
use tanist_core::postgres::StopMode;
use tanist_core::time::Span;

pub(super) fn waits() -> Chapter {
    [pair(), told(), untold(), counted(), smart_stop()].concat()
}

fn names(text: &str) -> Chapter {
    vec![
        (
            "a reload says whom commits wait for",
            attend(A, Side::WaitFor(text.to_string())),
        ),
        ("a moment later", Step::Wait(Span::secs(1))),
    ]
}

fn begun() -> Chapter {
    vec![
        ("a commit is begun", On(A, Deed::BeginCommit)),
        ("it waits for its standby", On(A, Deed::BegunCommit)),
    ]
}

fn told() -> Chapter {
    let cancelled = vec![
        ("nor does anybody see it", On(A, Deed::Rows)),
        ("a user cancels it", On(A, Deed::CancelWait)),
        ("cancelled, it is acknowledged", On(A, Deed::BegunCommit)),
        ("and seen", On(A, Deed::Rows)),
    ];
    let let_go = vec![
        ("let go, it is acknowledged", On(A, Deed::BegunCommit)),
        ("and seen", On(A, Deed::Rows)),
        ("and nobody waits any more", commit(A)),
    ];
    let confirmed = vec![
        ("the standby is back", start(B, Role::Standby { of: A })),
        ("it streams", wait(B, Until::Streams)),
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("confirmed, it is acknowledged", On(A, Deed::BegunCommit)),
    ];
    let with_its_standby = vec![
        ("with the standby there, it is acknowledged", commit(A)),
        ("the standby goes", operate(B, Lane::Stop(StopMode::Fast))),
    ];
    [
        names("b"),
        with_its_standby,
        begun(),
        cancelled,
        begun(),
        names(""),
        let_go,
        names("b"),
        begun(),
        confirmed,
    ]
    .concat()
}

fn untold() -> Chapter {
    let away = vec![("the standby goes", operate(B, Lane::Stop(StopMode::Fast)))];
    let ended = |how| {
        let after = vec![
            ("a stop ends it", operate(A, Lane::Stop(how))),
            ("ended, it is not acknowledged", On(A, Deed::BegunCommit)),
            ("a start", start(A, Role::Primary)),
            ("and it is there", On(A, Deed::Rows)),
        ];
        [begun(), after].concat()
    };
    let orphaned = vec![
        ("the postmaster is killed", On(A, Deed::KillPostmaster)),
        ("two seconds later", Step::Wait(Span::secs(2))),
        ("nobody is left", On(A, Deed::Look)),
        ("orphaned, it is not acknowledged", On(A, Deed::BegunCommit)),
        ("a start", start(A, Role::Primary)),
        ("and it is there", On(A, Deed::Rows)),
    ];
    [
        away,
        ended(StopMode::Fast),
        ended(StopMode::Immediate),
        begun(),
        orphaned,
    ]
    .concat()
}

fn counted() -> Chapter {
    let back = vec![
        ("the standby is back", start(B, Role::Standby { of: A })),
        ("it streams", wait(B, Until::Streams)),
        ("it is waited for", commit(A)),
    ];
    let too_few = vec![("a user cancels it", On(A, Deed::CancelWait))];
    let one_is_enough = vec![("one of several is enough", commit(A))];
    let unreadable = vec![("what is not understood changes nothing", commit(A))];
    [
        back,
        names("2 (b, c)"),
        begun(),
        too_few,
        names("ANY 1 (c, \"B\")"),
        one_is_enough,
        names("ANY 0 (c)"),
        unreadable,
        names("c"),
    ]
    .concat()
}

fn smart_stop() -> Chapter {
    let stopped = vec![
        ("a smart stop", On(A, Deed::AskToStop)),
        ("the session closes", On(A, Deed::CloseSession)),
        ("a moment later", Step::Wait(Span::secs(1))),
        ("it still waits", On(A, Deed::BegunCommit)),
        ("a user cancels it", On(A, Deed::CancelWait)),
        ("cancelled, it is acknowledged", On(A, Deed::BegunCommit)),
        ("which was the last session", wait(A, Until::Gone)),
        ("a start", start(A, Role::Primary)),
        ("and it is there", On(A, Deed::Rows)),
    ];
    [begun(), stopped].concat()
}
