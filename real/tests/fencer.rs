//! Does the fencer keep its promise with real processes? After the deadline no process of the instance
//! is left, whatever state the instance, the agent or the fencer's predecessor was in.

#[path = "support/instance.rs"]
mod instance;

use instance::{Fencer, OnQuit, Room, Wire, fencer_program, signal, soon};
use rustix::process::Signal;
use std::time::Duration;
use tanist::clock;
use tanist::fencer::process_table::{Kind, ProcessId, identify, is_alive};
use tanist::fencer::protocol::{
    Answer, Command, Event, ExitHow, Firing, FiringReason, Role, SpawnPostmaster,
};
use tanist::fencer::start::EXIT_LOCKED;
use tanist_core::fencer::DisarmReason;
use tanist_core::name::Term;
use tanist_core::time::{Mono, Span};

/// SIGKILL after 300 ms, and room for a loaded machine.
const STOP: Span = Span::millis(1_500);

fn spawn(room: &Room, wire: &mut Wire, on_quit: OnQuit) -> ProcessId {
    let answer = wire.ask(Command::Spawn(SpawnPostmaster {
        argv: room.argv(on_quit),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        log_path: room.log_path().display().to_string(),
    }));
    let Answer::Spawned(id) = answer else {
        panic!("{answer:?}");
    };
    assert!(room.eventually(|| wire.processes() >= 5), "the tree grows");
    id
}

fn is_refused(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused { .. })
}

/// Waits for the firing, and checks that nothing is left and that it was in time.
fn fired(room: &Room, wire: &mut Wire) -> Firing {
    loop {
        match wire.event() {
            Some(Event::Fired(firing)) => {
                assert_eq!(room.left(), 0, "nothing is left when it says so");
                assert!(firing.took <= STOP, "took {}", firing.took);
                return firing;
            }
            Some(Event::PostmasterExited(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn at_the_deadline_an_obedient_instance_ends_by_the_immediate_stop() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    let postmaster = spawn(&room, &mut wire, OnQuit::Ends);
    let until = soon(200);
    assert_eq!(wire.arm(1, until), Answer::Done);
    let firing = fired(&room, &mut wire);
    assert_eq!(firing.term, Some(Term(1)));
    assert_eq!(firing.why, FiringReason::DeadlinePassed { until });
    assert!(firing.at >= until && firing.at.since(until) < Span::millis(200));
    assert!(!is_alive(postmaster));
    assert_eq!(wire.look().armed, None, "the deadline is used up");
}

#[test]
fn at_the_deadline_an_instance_that_ignores_the_immediate_stop_is_killed() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    spawn(&room, &mut wire, OnQuit::Ignores);
    wire.arm(1, soon(100));
    let firing = fired(&room, &mut wire);
    assert!(firing.killed >= 4, "{firing:?}");
    assert!(firing.took >= Span::millis(300), "{firing:?}");
}
