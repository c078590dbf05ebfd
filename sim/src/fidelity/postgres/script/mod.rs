//! What real PostgreSQL and the fake one are asked, in chapters that each begin with three empty directories.
//! Knows nothing of the answers.

mod deaths;
mod retention;
mod rewinds;
mod settings;
mod slots;
mod stops;
mod timelines;
mod waits;

use super::step::Server::{A, B};
use super::step::Step::On;
use super::step::{Deed, Lane, Over, Role, Server, Side, Start, Step, Until};
use tanist_core::time::Span;

type Chapter = Vec<(&'static str, Step)>;

/// What most servers are started with.
const CONNECTIONS: u32 = 40;

pub fn script() -> Chapter {
    let chapters = [
        stops::stops(),
        stops::smart_stops(),
        deaths::deaths(),
        timelines::promotion(),
        timelines::divergence(),
        rewinds::refused_rewinds(),
        slots::slots(),
        settings::settings(),
        retention::lost_slots(),
        retention::rewinds_without_wal(),
        retention::sources_without_wal(),
        waits::waits(),
    ];
    chapters.concat()
}

/// `a` as a primary with its session.
fn primary() -> Chapter {
    vec![
        ("three empty directories", Step::Anew),
        ("initdb leaves a clean directory", operate(A, Lane::Initdb)),
        ("which starts as a primary", start(A, Role::Primary)),
        ("and gets its roles", operate(A, Lane::PostBootstrap)),
        ("its session commits", commit(A)),
    ]
}

/// A standby of `a`, streaming through its slot.
fn standby(who: Server) -> Chapter {
    vec![
        ("a slot for the standby", attend(A, Side::CreateSlot(who))),
        ("a base backup", operate(who, Lane::Clone { of: A })),
        ("starts as a standby", start(who, Role::Standby { of: A })),
        ("and streams", wait(who, Until::Streams)),
    ]
}

fn pair() -> Chapter {
    [primary(), standby(B)].concat()
}

fn operate(who: Server, lane: Lane) -> Step {
    On(who, Deed::Operate(lane))
}

fn attend(who: Server, side: Side) -> Step {
    On(who, Deed::Attend(side))
}

fn start(who: Server, role: Role) -> Step {
    let max_connections = CONNECTIONS;
    operate(
        who,
        Lane::Start(Start {
            role,
            max_connections,
        }),
    )
}

fn promote(who: Server, timeline: u32) -> Step {
    let within = Span::secs(30);
    operate(who, Lane::Promote { timeline, within })
}

fn commit(who: Server) -> Step {
    On(who, Deed::Commit(Over::Open))
}

fn mark(who: Server, name: &str) -> Step {
    On(who, Deed::Mark(name.to_string()))
}

fn wait(who: Server, until: Until) -> Step {
    On(who, Deed::Await(until))
}
