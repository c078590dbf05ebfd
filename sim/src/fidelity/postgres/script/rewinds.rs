//! What a rewind and a base backup refuse.

use super::{Chapter, attend, operate, pair, start, wait};
use crate::fidelity::postgres::step::Server::{A, B, C};
use crate::fidelity::postgres::step::Step::On;
use crate::fidelity::postgres::step::{Deed, Lane, Role, Side, Step, Until};
use tanist_core::postgres::StopMode;
use tanist_core::time::Span;

pub(super) fn refused_rewinds() -> Chapter {
    let rewind = |who, from| operate(who, Lane::Rewind { from });
    let more = vec![
        ("caught up", wait(B, Until::CaughtUp(A))),
        ("a running target", rewind(B, A)),
        ("ends", operate(B, Lane::Stop(StopMode::Fast))),
        ("the same timeline: nothing was rewound", rewind(B, A)),
        ("starts", start(B, Role::Standby { of: A })),
        ("streams", wait(B, Until::Streams)),
        ("another cluster", operate(C, Lane::Initdb)),
        ("starts", start(C, Role::Primary)),
        ("ends", operate(C, Lane::Stop(StopMode::Fast))),
        ("another system", rewind(C, A)),
        ("a slot for it", attend(A, Side::CreateSlot(C))),
        (
            "a standby of a stranger comes up",
            start(C, Role::Standby { of: A }),
        ),
        ("a while", Step::Wait(Span::secs(2))),
        ("and is not fed", On(C, Deed::LookClosely)),
        ("ends", operate(C, Lane::Stop(StopMode::Fast))),
        ("a source in recovery", rewind(C, B)),
        (
            "a copy into what is there",
            operate(C, Lane::Clone { of: A }),
        ),
        ("aside", operate(C, Lane::Discard)),
        ("the source ends", operate(A, Lane::Stop(StopMode::Fast))),
        ("a source that is away", rewind(A, C)),
        ("a copy of it", operate(C, Lane::Clone { of: A })),
    ];
    [pair(), more].concat()
}
