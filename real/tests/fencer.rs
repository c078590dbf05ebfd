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

#[test]
fn at_the_deadline_a_stopped_instance_is_killed_without_being_continued() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    spawn(&room, &mut wire, OnQuit::Ends);
    let Answer::Processes(all) = wire.ask(Command::Processes) else {
        panic!("no list");
    };
    for process in all {
        signal(process.id, Signal::STOP);
    }
    wire.arm(1, soon(100));
    assert!(fired(&room, &mut wire).killed >= 4);
}

#[test]
fn backends_that_outlive_their_postmaster_are_ended_too() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    let postmaster = spawn(&room, &mut wire, OnQuit::Ignores);
    signal(postmaster, Signal::KILL);
    let Some(Event::PostmasterExited(exit)) = wire.event() else {
        panic!("its end is told");
    };
    assert_eq!(
        (exit.postmaster, exit.how),
        (postmaster, ExitHow::Signal(9))
    );
    assert!(wire.processes() >= 3, "its backends live on");
    let again = SpawnPostmaster {
        argv: room.argv(OnQuit::Ends),
        ..SpawnPostmaster::default()
    };
    assert!(
        is_refused(&wire.ask(Command::Spawn(again))),
        "and nobody starts beside them"
    );
    wire.arm(1, soon(100));
    assert!(fired(&room, &mut wire).killed >= 3);
    assert_eq!(wire.processes(), 0, "the helper of a backend is gone, too");
}

#[test]
fn a_postmaster_started_by_hand_is_adopted_told_and_ended() {
    let room = Room::new();
    let mut by_hand = room.postmaster_by_hand(OnQuit::Ignores);
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    let id = identify(by_hand.id()).unwrap();
    assert_eq!(wire.ask(Command::Adopt(id)), Answer::Done);
    assert_eq!(wire.look().postmaster, Some(id));
    wire.arm(1, soon(100));
    assert!(fired(&room, &mut wire).killed >= 4);
    by_hand.wait().unwrap();
    let exit = wire.look().last_exit.unwrap();
    assert_eq!((exit.postmaster, exit.how), (id, ExitHow::NotKnown));
}

#[test]
fn an_instance_that_nobody_ever_named_is_ended_all_the_same() {
    let room = Room::new();
    let mut by_hand = room.postmaster_by_hand(OnQuit::Ignores);
    let _fencer = Fencer::start(&room);
    // Its backends are now orphans of somebody else: only the data directory tells whose they are.
    by_hand.kill().unwrap();
    by_hand.wait().unwrap();
    let mut wire = Wire::agent(&room);
    wire.arm(1, soon(100));
    assert!(fired(&room, &mut wire).killed >= 2);
}

#[test]
fn what_is_no_postmaster_of_this_instance_is_neither_adopted_nor_ended() {
    let room = Room::new();
    let mut by_hand = room.postmaster_by_hand(OnQuit::Ends);
    let other = Room::new();
    let mut stranger = other.postmaster_by_hand(OnQuit::Ends);
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    let of_others = identify(stranger.id()).unwrap();
    let id = identify(by_hand.id()).unwrap();
    let recycled = ProcessId {
        start_time: id.start_time - 1,
        ..id
    };
    assert!(is_refused(&wire.ask(Command::Adopt(of_others))));
    assert!(is_refused(&wire.ask(Command::Adopt(recycled))));
    wire.arm(1, soon(50));
    fired(&room, &mut wire);
    by_hand.wait().unwrap();
    assert!(is_alive(of_others), "an unrelated instance lives on");
    assert!(other.left() >= 4);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn an_agent_that_is_frozen_or_gone_changes_nothing() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    spawn(&room, &mut wire, OnQuit::Ends);
    let until = soon(300);
    wire.arm(1, until);
    // From here on it reads and says nothing, as a frozen agent does; an observer sees what happens.
    let mut observer = Wire::connect(&room.state_dir(), Role::Observer);
    assert!(room.eventually(|| room.left() == 0));
    assert!(clock::mono() >= until, "not before the deadline");
    assert!(room.eventually(|| !observer.look().firing));
    drop(wire);
    let mut restarted = Wire::agent(&room);
    let told = restarted.look().last_firing.unwrap();
    assert_eq!(told.term, Some(Term(1)));
}

#[test]
fn a_firing_that_no_agent_saw_is_told_to_the_next_and_written_down() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    spawn(&room, &mut wire, OnQuit::Ends);
    wire.arm(9, soon(100));
    drop(wire);
    assert!(room.eventually(|| room.left() == 0));
    let record = room.state_dir().join("last-firing.json");
    assert!(room.eventually(|| record.exists()));
    let written: Firing = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    assert_eq!(fired(&room, &mut Wire::agent(&room)), written);
}

#[test]
fn the_deadline_moves_with_extensions_and_never_backwards() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    spawn(&room, &mut wire, OnQuit::Ends);
    wire.arm(5, soon(400));
    let until = soon(900);
    assert_eq!(wire.extend(5, until), Answer::Done);
    assert_eq!(wire.extend(5, soon(10)), Answer::Done);
    assert_eq!(wire.look().armed.unwrap().until, until);
    assert!(is_refused(&wire.extend(4, soon(60_000))), "another tenure");
    assert!(is_refused(&wire.extend(6, soon(60_000))), "another tenure");
    assert!(is_refused(&wire.arm(4, soon(60_000))), "an older tenure");
    assert!(fired(&room, &mut wire).at >= until);
}

#[test]
fn a_restarted_agent_finds_deadline_and_postmaster_as_they_were() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    let postmaster = spawn(&room, &mut wire, OnQuit::Ends);
    let until = soon(600);
    wire.arm(3, until);
    drop(wire);
    let mut restarted = Wire::agent(&room);
    let armed = restarted.status.armed.unwrap();
    assert_eq!((armed.term, armed.until), (Term(3), until));
    assert_eq!(restarted.status.postmaster, Some(postmaster));
    assert_eq!(restarted.extend(3, soon(60_000)), Answer::Done);
    std::thread::sleep(Duration::from_millis(700));
    assert!(is_alive(postmaster), "no outage");
}

#[test]
fn the_newest_agent_wins_and_an_observer_commands_nothing() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut older = Wire::agent(&room);
    let mut observer = Wire::connect(&room.state_dir(), Role::Observer);
    let mut newer = Wire::agent(&room);
    assert_eq!(older.event(), Some(Event::Displaced));
    assert_eq!(older.event(), None, "its connection is closed");
    assert!(is_refused(&observer.arm(1, soon(60_000))));
    assert_eq!(newer.arm(1, soon(60_000)), Answer::Done);
    assert_eq!(observer.look().armed.unwrap().term, Term(1));
    newer.disarm(1, DisarmReason::NoBackendCanWrite);
}

#[test]
fn disarming_without_proof_is_refused_and_pause_needs_none() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    let postmaster = spawn(&room, &mut wire, OnQuit::Ignores);
    wire.arm(1, soon(60_000));
    let proof = DisarmReason::NoBackendCanWrite;
    assert!(is_refused(&wire.disarm(1, proof)));
    signal(postmaster, Signal::KILL);
    assert!(room.eventually(|| !is_alive(postmaster)));
    assert!(is_refused(&wire.disarm(1, proof)), "backends are left");
    assert_eq!(wire.disarm(1, DisarmReason::Pause), Answer::Done);
    let paused = wire.look();
    assert_eq!((paused.armed, paused.paused), (None, Some(Term(1))));

    wire.arm(2, soon(60_000));
    let Answer::Processes(left) = wire.ask(Command::Processes) else {
        panic!("no list");
    };
    for process in left.iter().filter(|p| p.kind == Kind::Server) {
        signal(process.id, Signal::KILL);
    }
    assert!(room.eventually(|| room.left() == 0));
    assert_eq!(
        wire.disarm(2, proof),
        Answer::Done,
        "a helper cannot commit"
    );
}

#[test]
fn asked_to_fence_it_answers_when_nothing_is_left() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    spawn(&room, &mut wire, OnQuit::Ignores);
    wire.arm(1, soon(60_000));
    let reason = "another owner holds the leader key".to_string();
    assert_eq!(wire.ask(Command::Fence { reason }), Answer::Done);
    assert_eq!((room.left(), wire.processes()), (0, 0));
    assert_eq!(wire.look().armed, None);
}

#[test]
fn while_postgresql_is_being_ended_nothing_starts_and_nothing_is_extended() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    spawn(&room, &mut wire, OnQuit::Ignores);
    wire.arm(1, soon(0));
    assert!(is_refused(&wire.extend(1, soon(60_000))), "it is too late");
    assert!(is_refused(&wire.arm(2, soon(60_000))), "it is too late");
    fired(&room, &mut wire);
}

#[test]
fn a_second_fencer_refuses_and_the_first_one_goes_on() {
    let room = Room::new();
    let fencer = Fencer::start(&room);
    let second = fencer_program(&room).status().unwrap();
    assert_eq!(second.code(), Some(EXIT_LOCKED));
    assert_eq!(Wire::agent(&room).status.fencer, fencer.id());
}

#[test]
fn a_request_to_end_is_ignored_while_armed_and_obeyed_after() {
    let room = Room::new();
    let mut fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    let postmaster = spawn(&room, &mut wire, OnQuit::Ends);
    wire.arm(1, soon(60_000));
    for ignored in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        signal(fencer.id(), ignored);
    }
    std::thread::sleep(Duration::from_millis(100));
    assert!(wire.look().armed.is_some());
    wire.disarm(1, DisarmReason::Pause);
    signal(fencer.id(), Signal::TERM);
    assert!(room.eventually(|| fencer.child.try_wait().unwrap().is_some()));
    assert!(is_alive(postmaster), "PostgreSQL goes on without it");
}

#[test]
fn a_fencer_that_nobody_needs_ends_and_one_that_is_armed_stays() {
    let room = Room::new();
    let begin = || {
        let mut program = fencer_program(&room);
        Fencer {
            child: program.args(["--linger-ms", "100"]).spawn().unwrap(),
        }
    };
    let mut unneeded = begin();
    assert!(room.eventually(|| unneeded.child.try_wait().unwrap().is_some()));
    drop(unneeded);

    let mut armed = begin();
    let socket = room.state_dir().join("fencer.sock");
    assert!(room.eventually(|| std::os::unix::net::UnixStream::connect(&socket).is_ok()));
    Wire::agent(&room).arm(1, soon(1_200));
    std::thread::sleep(Duration::from_millis(900));
    assert!(armed.child.try_wait().unwrap().is_none());
    assert!(
        room.eventually(|| armed.child.try_wait().unwrap().is_some()),
        "its deadline passed, nothing was left, nobody called"
    );
}

#[test]
fn the_start_measures_what_ending_processes_takes() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let status = Wire::agent(&room).status;
    assert!(status.self_test.kill > Span::ZERO && status.self_test.scan > Span::ZERO);
    assert!(
        status.stop_measured > Span::millis(300),
        "kill_after and more"
    );
    assert!(status.stop_measured < STOP, "{status:?}");
}

#[test]
fn a_postmaster_that_cannot_run_is_told_by_its_exit_and_the_log_says_why() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    wire.ask(Command::Spawn(SpawnPostmaster {
        argv: vec!["/no/such/postgres".into()],
        env: Vec::new(),
        log_path: room.log_path().display().to_string(),
    }));
    let exit = wire.look_for_exit();
    assert_eq!(exit.how, ExitHow::Code(127));
    let log = std::fs::read_to_string(room.log_path()).unwrap();
    assert!(log.contains("/no/such/postgres"), "{log}");
}

#[test]
fn the_environment_of_the_postmaster_is_exactly_what_was_given() {
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let mut wire = Wire::agent(&room);
    wire.ask(Command::Spawn(SpawnPostmaster {
        argv: vec!["/usr/bin/env".into()],
        env: vec![("LANG".into(), "C".into())],
        log_path: room.log_path().display().to_string(),
    }));
    assert_eq!(wire.look_for_exit().how, ExitHow::Code(0));
    assert_eq!(
        std::fs::read_to_string(room.log_path()).unwrap(),
        "LANG=C\n"
    );
}

#[test]
fn an_odd_line_costs_the_caller_its_connection_and_the_fencer_nothing() {
    use std::io::{Read, Write};
    let room = Room::new();
    let _fencer = Fencer::start(&room);
    let socket = room.state_dir().join("fencer.sock");
    let mut odd = std::os::unix::net::UnixStream::connect(socket).unwrap();
    odd.write_all(b"{\"id\": 1, \"command\": \"Explode\"}\n")
        .unwrap();
    assert_eq!(odd.read_to_end(&mut Vec::new()).unwrap(), 0);
    let mut wire = Wire::agent(&room);
    assert_eq!(wire.ask(Command::Ping), Answer::Done);
    let Answer::Diagnostics(lines) = wire.ask(Command::Diagnostics) else {
        panic!("no account");
    };
    assert!(
        lines.iter().any(|l| l.contains("not understood")),
        "{lines:?}"
    );
    assert_eq!(wire.look().armed.map(|a| a.until), None::<Mono>);
}
