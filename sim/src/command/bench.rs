//! `tanist-sim bench`: how fast the simulator is on one core: simulated time, steps and decisions a second, calm and
//! under the whole swarm, by the number of members. Every invariant is on, as always. Writes a page for people.

use super::{Ended, cannot};
use crate::attempt::as_one_of_many;
use crate::library;
use crate::moment::Moment;
use crate::scenario::run::Effort;
use crate::shape::{ClusterShape, MemberShape};
use crate::swarm;
use crate::world::World;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tanist_core::time::Span;

#[derive(Clone, Debug, clap::Args)]
pub struct Bench {
    /// How long to measure each row
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = super::swarm::span)]
    pub each: Span,
    /// Write the page here; it is printed anyway
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
}

const NAMES: [&str; 15] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o",
];
const SIZES: [usize; 4] = [3, 5, 9, 15];
const DAY: Span = Span::secs(86_400);
/// Chaos of this length, between a minute to form and a heal.
const CHAOS: Span = Span::secs(600);

/// What was done in some time on the clock of the wall.
struct Measured {
    what: String,
    runs: u64,
    simulated: Span,
    effort: Effort,
    took: Duration,
}

pub fn command(args: &Bench) -> Ended {
    let each = Duration::from_micros(args.each.as_micros());
    let mut rows = vec![start_of_a_run(each), calm_day()];
    for size in SIZES {
        rows.push(calm(size, each));
    }
    rows.push(chaos(None, each));
    for size in SIZES {
        rows.push(chaos(Some(size), each));
    }
    let page = page(&rows);
    print!("{page}");
    match &args.page {
        None => Ended::Passed,
        Some(path) => library::store(path, &page).map_or_else(cannot, |()| Ended::Passed),
    }
}

fn cluster(size: usize) -> ClusterShape {
    ClusterShape::of(&NAMES[..size])
}

fn start_of_a_run(each: Duration) -> Measured {
    let began = Instant::now();
    let mut runs = 0;
    while began.elapsed() < each {
        let world = World::new(cluster(3), runs);
        runs += u64::from(world.next_at().is_some());
    }
    Measured {
        what: "start of a run, 3 members".into(),
        runs,
        simulated: Span::ZERO,
        effort: Effort::default(),
        took: began.elapsed(),
    }
}

fn calm_day() -> Measured {
    let began = Instant::now();
    let mut world = World::new(cluster(3), 1);
    world.run_until(Moment::START + DAY);
    measured("a calm day, 3 members".into(), &world, began)
}

fn calm(size: usize, each: Duration) -> Measured {
    let began = Instant::now();
    let mut world = World::new(cluster(size), 1);
    while began.elapsed() < each {
        world.run_until(world.now() + Span::secs(60));
    }
    measured(format!("calm, {size} members"), &world, began)
}

fn measured(what: String, world: &World, began: Instant) -> Measured {
    if let Some(broken) = world.broken() {
        println!(
            "BROKEN while measuring {what}: {} {}",
            broken.invariant, broken.story
        );
    }
    let (steps, handled) = world.effort();
    Measured {
        what,
        runs: 1,
        simulated: world.now().since(Moment::START),
        effort: Effort { steps, handled },
        took: began.elapsed(),
    }
}

/// Whole runs of the swarm: forming, ten minutes of chaos, heal, until all is well. `size`: clusters of so many members
/// instead of those that were drawn.
fn chaos(size: Option<usize>, each: Duration) -> Measured {
    let began = Instant::now();
    let mut sum = Measured {
        what: match size {
            None => "10 minutes of chaos and heal, drawn clusters".into(),
            Some(size) => format!("10 minutes of chaos and heal, {size} members"),
        },
        runs: 0,
        simulated: Span::ZERO,
        effort: Effort::default(),
        took: Duration::ZERO,
    };
    while began.elapsed() < each {
        sum.runs += 1;
        let mut plan = swarm::plan(sum.runs, CHAOS);
        if let Some(size) = size {
            let named = |at: usize| {
                let drawn = plan.cluster.members.get(at).cloned();
                drawn.unwrap_or_else(|| MemberShape::named(NAMES[at]))
            };
            plan.cluster.members = (0..size.max(plan.cluster.members.len()))
                .map(named)
                .collect();
        }
        let outcome = as_one_of_many(&plan);
        if !outcome.verdict.held() {
            println!("seed {:x}: {}", plan.seed, outcome.verdict.sentence());
        }
        sum.simulated = sum.simulated + outcome.ended.since(Moment::START);
        sum.effort.steps += outcome.effort.steps;
        sum.effort.handled += outcome.effort.handled;
    }
    sum.took = began.elapsed();
    sum
}

fn page(rows: &[Measured]) -> String {
    let mut page = String::from("# Speed of the simulator\n\n");
    let _ = writeln!(
        page,
        "One core, every invariant on. Written by `make bench-sim`. {}\n",
        machine()
    );
    page.push_str("| what | runs | wall ms a run | simulated s a second | steps a second | inputs decided a second |\n");
    page.push_str("|---|---:|---:|---:|---:|---:|\n");
    for row in rows {
        let us = row.took.as_micros().max(1);
        let per_second = |n: u64| u128::from(n) * 1_000_000 / us;
        let us_a_run = us / u128::from(row.runs.max(1));
        let _ = writeln!(
            page,
            "| {} | {} | {}.{:03} | {} | {} | {} |",
            row.what,
            row.runs,
            us_a_run / 1_000,
            us_a_run % 1_000,
            u128::from(row.simulated.as_micros()) / us,
            per_second(row.effort.steps),
            per_second(row.effort.handled)
        );
    }
    page
}

fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores ({model}), of which one was used.")
}
