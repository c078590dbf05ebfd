//! The production driver on madsim's tasks, among the simulator's fakes. Built by `make madsim` only.
#![cfg(madsim)]

use tanist_core::time::Span;
use tanist_madsim::play::{Outcome, play, run, until_well};
use tanist_madsim::stage::{Judges, Theatre};
use tanist_madsim::wrong::{Driver, Flaw};
use tanist_sim::act::{Act, AgentAct, Who};
use tanist_sim::event::Role;
use tanist_sim::moment::Moment;
use tanist_sim::shape::ClusterShape;
use tanist_sim::streams::Stream;
use tanist_sim::swarm;
use tanist_sim::truth::Truth;

/// How long faults are drawn for in a run.
const CHAOS: Span = Span::secs(120);

/// The cluster has formed by then.
const FORMED: Moment = Moment::secs(60);

fn seeds(otherwise: u64) -> std::ops::RangeInclusive<u64> {
    let asked = std::env::var("TANIST_MADSIM_SEEDS").ok();
    1..=asked.map_or(otherwise, |n| {
        n.parse().expect("TANIST_MADSIM_SEEDS is a number")
    })
}

fn three() -> ClusterShape {
    ClusterShape::of(&["a", "b", "c"])
}

/// Runs `script` on three production drivers once for each seed; every promise holds each time.
fn holds<S>(count: u64, script: S)
where
    S: AsyncFn(&Theatre, &mut Stream) + Clone + Send + 'static,
{
    for seed in seeds(count) {
        let script = script.clone();
        let outcome = run(
            three(),
            seed,
            Driver::Production,
            Judges::All,
            async move |theatre: &Theatre| {
                script(theatre, &mut Stream::named(seed, "story")).await;
            },
        );
        assert_eq!(outcome.broken, None, "seed {seed}");
        assert!(
            outcome.handles > 0 && outcome.evaluations > 0,
            "seed {seed}: {outcome:?}"
        );
    }
}

fn leader(truth: &Truth) -> String {
    let leader = truth
        .leader_key
        .clone()
        .expect("somebody owns the leader key");
    assert!(
        truth.members[&leader].accepts_writes,
        "{leader} accepts no writes"
    );
    leader.0
}

fn all_well(truth: &Truth) {
    let leader = leader(truth);
    for (name, member) in &truth.members {
        match name.0 == leader {
            true => assert_eq!(member.role, Role::Primary),
            false => assert_eq!(
                member.streams_from.as_ref().map(|n| &n.0),
                Some(&leader),
                "{name}"
            ),
        }
    }
}

fn to_the_leader(act: AgentAct) -> Act {
    Act::Agent {
        who: Who::Leader,
        act,
    }
}

#[test]
fn three_drivers_found_a_cluster_elect_one_leader_and_stream_from_it() {
    holds(30, async |theatre, _| {
        theatre.advance(FORMED).await;
        all_well(&theatre.truth());
    });
}

#[test]
fn an_agent_that_is_killed_and_back_within_its_lease_leads_on_without_an_outage() {
    holds(30, async |theatre, draw| {
        theatre.advance(FORMED).await;
        let before = theatre.truth();
        let at = FORMED + draw.span(Span::ZERO, Span::secs(10));
        theatre.advance(at).await;
        theatre.apply(&to_the_leader(AgentAct::Kill));
        for second in 1..=60 {
            theatre.advance(at + Span::secs(second)).await;
            assert_eq!(
                leader(&theatre.truth()),
                leader(&before),
                "{second} s later"
            );
        }
        all_well(&theatre.truth());
    });
}

#[test]
fn a_leader_frozen_beyond_its_lease_is_replaced_and_never_writes_beside_its_successor() {
    holds(30, async |theatre, draw| {
        let at = FORMED + draw.span(Span::ZERO, Span::secs(10));
        theatre.advance(at).await;
        let old = leader(&theatre.truth());
        let frozen = draw.span(Span::secs(45), Span::secs(90));
        theatre.apply(&to_the_leader(AgentAct::FreezeFor(frozen)));
        theatre.advance(at + Span::secs(44)).await;
        assert_ne!(leader(&theatre.truth()), old);
        theatre.apply(&Act::HealAll);
        until_well(theatre, at + Span::secs(600)).await;
        all_well(&theatre.truth());
    });
}

#[test]
fn a_leader_frozen_for_less_than_its_authority_lasts_leads_on() {
    holds(30, async |theatre, draw| {
        let at = FORMED + draw.span(Span::ZERO, Span::secs(10));
        theatre.advance(at).await;
        let old = leader(&theatre.truth());
        theatre.apply(&to_the_leader(AgentAct::FreezeFor(
            draw.span(Span::millis(1), Span::secs(5)),
        )));
        theatre.advance(at + Span::secs(60)).await;
        assert_eq!(leader(&theatre.truth()), old);
        all_well(&theatre.truth());
    });
}

#[test]
fn drawn_faults_break_no_promise_of_the_cluster_nor_of_the_driver_and_every_life_replays() {
    let (mut lives, mut members) = (0, 0);
    for seed in seeds(100) {
        let plan = swarm::plan(seed, CHAOS);
        let outcome = play(&plan, Driver::Production, Judges::All);
        assert_eq!(outcome.broken, None, "seed {seed}: {:?}", plan.notes);
        lives += outcome.lives;
        members += plan.cluster.members.len() as u64;
    }
    assert!(
        lives > members,
        "no agent was ever killed and started again"
    );
}

fn played(seed: u64, driver: Driver, judges: Judges) -> Outcome {
    play(&swarm::plan(seed, CHAOS), driver, judges)
}

#[test]
fn two_runs_of_one_seed_are_the_same_and_two_seeds_are_not() {
    let hash = |seed| played(seed, Driver::Production, Judges::All).hash;
    let first: Vec<u64> = (1..=10).map(hash).collect();
    let second: Vec<u64> = (1..=10).map(hash).collect();
    assert_eq!(first, second);
    let mut distinct = first.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), first.len());
}

/// The first of some seeds that convicts `flaw`, and of what.
fn convicted(flaw: Flaw, judges: Judges) -> Option<String> {
    (1..=20).find_map(|seed| played(seed, Driver::Wrong(flaw), judges).broken)
}

#[test]
fn a_driver_that_is_wrong_in_one_way_is_convicted_of_that() {
    for (flaw, of) in [
        (Flaw::EffectsBeforeTheirLine, "was begun and is on no line"),
        (Flaw::EffectsBeforeTheirView, "before its view was shown"),
        (Flaw::EffectsInAnotherOrder, "was begun before #"),
        (Flaw::DeadlinesDropped, "slept through the deadline"),
        (Flaw::InputsTwice, "had come"),
        (Flaw::InputsLostAtAnAwait, "had come"),
        (Flaw::ClockReadBeforeTheWait, "when it was"),
    ] {
        let why = convicted(flaw, Judges::All);
        assert!(
            why.as_ref().is_some_and(|why| why.contains(of)),
            "{flaw:?} was to be convicted of `{of}`, and was of {why:?}"
        );
    }
}

#[test]
fn the_loop_of_the_wrong_drivers_passes_without_a_flaw() {
    assert_eq!(convicted(Flaw::None, Judges::All), None);
}

/// A cluster left alone, long enough for nothing to be excused by its beginning.
fn left_alone(driver: Driver) -> Option<String> {
    let script = async |theatre: &Theatre| theatre.advance(Moment::secs(900)).await;
    run(three(), 1, driver, Judges::World, script).broken
}

#[test]
fn the_world_alone_convicts_a_driver_that_drops_its_deadlines() {
    let why = left_alone(Driver::Wrong(Flaw::DeadlinesDropped));
    assert!(
        why.as_ref()
            .is_some_and(|why| why.contains("L03") || why.contains("L01")),
        "{why:?}"
    );
    assert_eq!(left_alone(Driver::Production), None);
}
