//! Recordings of a simulated cluster, merged without any look at the truth, tell the story that was true: who held the
//! leader key in which order, and when.

use std::path::Path;
use tanist_core::agent::{Agent, Output};
use tanist_core::name::MemberName;
use tanist_core::record::{Header, Recording};
use tanist_sim::attempt::{honestly, sabotaged, signature};
use tanist_sim::event::{Event, What};
use tanist_sim::incident::recording;
use tanist_sim::incident::retold::{claiming, retell, usual_claim};
use tanist_sim::incident::story::merge;
use tanist_sim::library;
use tanist_sim::moment::Moment;
use tanist_sim::plan::Plan;
use tanist_sim::sabotage::Canary;
use tanist_sim::scenario::parse::parse;
use tanist_sim::scenario::print::print;
use tanist_sim::scenario::run::{left_behind_in, left_behind_with_traces};
use tanist_sim::shrink::{acts_left, shrink};
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

fn owners_in_order(events: &[Event]) -> Vec<String> {
    let held = owners(events).into_iter().filter_map(|(_, owner)| owner);
    held.map(|owner| owner.to_string()).collect()
}

fn retold(world: &World) -> Plan {
    let recordings = recordings(world);
    retell(&recordings, &merge(&recordings))
}

#[test]
fn an_incident_retold_from_its_recordings_goes_as_it_went() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut otherwise = Vec::new();
    for name in [
        "failover/agent_gone_for_good",
        "fencing/no_connection_left_for_the_agent",
        "failover/primary_host_dies",
        "failover/promote_fails_next_tries",
        "failover/start_timeout_zero_hands_over_at_once",
        "fencing/frozen_agent_is_fenced",
        "dcs/full_outage_and_return",
        "network/primary_cut_from_dcs",
        "network/primary_refused_by_dcs",
        "pause/promoted_by_hand",
        "switchover/planned_loses_nothing",
        "switchover/there_and_back_at_once",
    ] {
        let plan = library::load(&root.join(name).with_extension("scn")).unwrap();
        let world = left_behind_with_traces(&plan);
        let retold = retold(&world);
        let text = print(&retold);
        assert_eq!(parse(&text).map_err(|c| c.to_string()), Ok(retold.clone()));
        let again = owners_in_order(&honestly(&retold).events);
        let truth = owners_in_order(world.events());
        if again != truth {
            otherwise.push(format!("{name}: {again:?}, was {truth:?}\n{text}"));
        }
    }
    // A run that may fail inside says nothing by itself.
    otherwise.iter().for_each(|told| eprintln!("{told}"));
    assert!(otherwise.is_empty());
}

/// The scenario that comes of it is small, fails where the bug is, and holds where it is not.
#[test]
fn a_bug_in_the_field_becomes_a_small_scenario_that_fails_before_its_mending_and_holds_after() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let plan = library::load(&root.join("pause/nothing_happens_while_paused.scn")).unwrap();
    let with_bug = |plan: &Plan| sabotaged(plan, Canary::StopsWhilePaused);
    let bugged = Some(Canary::StopsWhilePaused);
    let mut world = World::with_canary(plan.cluster.clone(), plan.seed, bugged);
    world.keep_traces();
    let world = left_behind_in(world, &plan);
    let recordings = recordings(&world);
    let merged = merge(&recordings);
    let wanted = usual_claim(&merged);
    let told = claiming(&retell(&recordings, &merged), wanted.as_slice());
    eprintln!("{}", print(&told));
    let promise = signature(&with_bug(&told).verdict).expect("it fails with the bug");
    let small = shrink(&told, &promise, &with_bug, 200).expect("it fails again");
    assert!(acts_left(&small.plan) <= acts_left(&told));
    assert!(!with_bug(&small.plan).verdict.held());
    assert!(
        honestly(&small.plan).verdict.held(),
        "{}",
        print(&small.plan)
    );
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
