//! Recordings of a simulated cluster, merged without any look at the truth, tell the story that was true: who held the
//! leader key in which order, and when.

use std::path::Path;
use tanist_core::agent::{Agent, Output};
use tanist_core::name::MemberName;
use tanist_core::record::{Header, Recording};
use tanist_sim::event::{Event, What};
use tanist_sim::incident::recording;
use tanist_sim::incident::story::merge;
use tanist_sim::library;
use tanist_sim::moment::Moment;
use tanist_sim::scenario::run::left_behind_with_traces;
use tanist_sim::world::{LifeTrace, World};

/// What the member's flight recorder would have written.
fn recorded(lives: &[&LifeTrace]) -> String {
    let mut text = String::new();
    for life in lives {
        let header = Header::new(
            "",
            life.settings.clone(),
            life.boot.clone(),
            life.seed,
            life.born,
        );
        let (mut recording, begin) = Recording::begin(header, 64);
        text += &begin;
        let mut agent = Agent::new(
            life.settings.clone(),
            life.boot.clone(),
            life.seed,
            life.born,
        );
        for (now, input, output) in &life.lines {
            agent.handle(*now, input.clone(), &mut Output::default());
            text += &recording.handle(*now, input, output, &agent);
        }
    }
    text
}

fn recordings(world: &World) -> Vec<recording::Recording> {
    let mut all = Vec::new();
    for seat in 0..world.shape().members.len() as u8 {
        let lives = world.traces().iter().filter(|life| life.seat.0 == seat);
        let text = recorded(&lives.collect::<Vec<_>>());
        all.extend(recording::Recording::read(&text));
    }
    all
}

fn owners(events: &[Event]) -> Vec<(Moment, Option<MemberName>)> {
    let owner = |event: &Event| match &event.what {
        What::LeaderKey { owner } => Some((event.at, owner.clone())),
        _other => None,
    };
    events.iter().filter_map(owner).collect()
}

#[test]
fn merged_recordings_tell_who_held_the_key_in_which_order_and_when() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    for name in [
        "switchover/there_and_back_at_once",
        "failover/primary_host_dies",
    ] {
        let plan = library::load(&root.join(name).with_extension("scn")).unwrap();
        let world = left_behind_with_traces(&plan);
        let merged = merge(&recordings(&world));
        assert_eq!(merged.remarks, Vec::<String>::new(), "{name}");
        let (true_keys, told) = (owners(world.events()), owners(&merged.events));
        let names = |keys: &[(Moment, Option<MemberName>)]| -> Vec<String> {
            let held = keys.iter().filter_map(|(_, owner)| owner.as_ref());
            held.map(ToString::to_string).collect()
        };
        assert_eq!(names(&told), names(&true_keys), "{name}");
        // From the first owner of the key to the last, on the hosts' different clocks.
        let span = |keys: &[(Moment, Option<MemberName>)]| {
            let owned: Vec<Moment> = keys
                .iter()
                .filter(|(_, owner)| owner.is_some())
                .map(|(at, _)| *at)
                .collect();
            let (first, last) = (owned.first().unwrap(), owned.last().unwrap());
            last.since(*first).as_millis()
        };
        let apart = span(&told).abs_diff(span(&true_keys));
        assert!(apart < 200, "{name}: {apart} ms apart");
    }
}

#[test]
fn a_damaged_recording_is_read_as_far_as_it_goes_and_says_so() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let plan = library::load(&root.join("failover/primary_host_dies.scn")).unwrap();
    let world = left_behind_with_traces(&plan);
    let lives: Vec<&LifeTrace> = world.traces().iter().filter(|l| l.seat.0 == 1).collect();
    let text = recorded(&lives).replacen("\"handle\"", "\"hxndle\"", 2);
    let read = recording::Recording::read(&text).expect("its header is whole");
    assert_eq!(read.damaged, 2);
    assert!(recording::Recording::read("no recording\n").is_none());
    let merged = merge(&[read]);
    assert!(
        merged.remarks[0].contains("2 lines of b cannot be read"),
        "{:?}",
        merged.remarks
    );
}
