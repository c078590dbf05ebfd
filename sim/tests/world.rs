//! A cluster of real agents in the simulated world: does it come up, move, and come back?

use tanist_sim::event::{Event, What};
use tanist_sim::moment::Moment;
use tanist_sim::shape::ClusterShape;
use tanist_sim::world::World;

fn tell(world: &World) -> String {
    let line = |event: &Event| match &event.what {
        What::Note { member, note } => Some(format!("{} {member}: {note}", event.at)),
        other => Some(format!("{} {other:?}", event.at)),
    };
    world
        .events()
        .iter()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

fn cluster(seed: u64) -> World {
    World::new(ClusterShape::of(&["a", "b", "c"]), seed)
}

/// Runs to `until` and fails with the whole story if a promise broke.
fn run(world: &mut World, until: Moment) {
    world.run_until(until);
    if let Some(broken) = world.broken() {
        panic!("{broken:?}\n{}", tell(world));
    }
}

#[test]
fn three_empty_hosts_become_a_leader_and_two_streaming_standbys() {
    let mut world = cluster(1);
    run(&mut world, Moment::secs(180));
    world.check_recovered();
    assert!(
        world.broken().is_none(),
        "{:?}\n{}",
        world.broken(),
        tell(&world)
    );
    assert!(world.truth().commits.acked > 50, "{:?}", world.truth());
}
