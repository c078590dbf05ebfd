//! `tanist-sim swarm`: a campaign of drawn plans. Tells its pace, each new find with its story, the
//! command that replays it and the smallest plan that still shows it; ends with a summary.

use super::{Ended, cannot};
use crate::attempt::{as_one_of_many, honestly};
use crate::campaign::{Find, Order, Tally, campaign};
use crate::library;
use crate::marks::Expected;
use crate::report::{coverage, swimlane, timeline};
use crate::scenario::lex;
use crate::scenario::print::print;
use crate::shrink::{acts_left, shrink};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tanist_core::time::Span;

#[derive(Clone, Debug, clap::Args)]
pub struct Swarm {
    /// How many plans to draw and run (100, or as many as fit into the box)
    #[arg(long)]
    pub runs: Option<u64>,
    /// Begin no run after this time on the clock of the wall
    #[arg(long = "box", value_name = "TIME", value_parser = span)]
    pub time_box: Option<Span>,
    /// Length of each run's chaos phase
    #[arg(long = "for", value_name = "TIME", default_value = "3m", value_parser = span)]
    pub chaos: Span,
    /// Seed of the first run; the others follow it
    #[arg(long, value_name = "HEX", default_value = "1", value_parser = hex)]
    pub seed_from: u64,
    /// Runs side by side
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
    /// Only this share of the runs, such as 1/4
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = shard)]
    pub shard: (u64, u64),
    /// End after so many different finds
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub finds: usize,
    /// Runs to spend on making each find smaller
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub shrink_runs: usize,
    /// Where the smallest plan of each find is written
    #[arg(long, value_name = "FOLDER", default_value = "finds")]
    pub out: PathBuf,
    /// Write marks and evaluations to this page
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

pub fn span(text: &str) -> Result<Span, String> {
    lex::span(text).ok_or_else(|| format!("{text:?} is no time such as 10m or 90s"))
}

pub fn hex(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| format!("{text:?} is no hexadecimal number"))
}

fn shard(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("{text:?} is no share such as 1/4");
    let (part, of) = text.split_once('/').ok_or_else(wrong)?;
    let (part, of): (u64, u64) = (
        part.parse().map_err(|_| wrong())?,
        of.parse().map_err(|_| wrong())?,
    );
    if part == 0 || part > of {
        return Err(wrong());
    }
    Ok((part - 1, of))
}

/// Between two lines of progress.
const NEWS_EVERY: Duration = Duration::from_secs(5);

pub fn command(args: &Swarm) -> Ended {
    let began = Instant::now();
    let unboxed = args.time_box.map_or(100, |_| u64::MAX);
    let order = Order {
        first_seed: args.seed_from,
        runs: args.runs.unwrap_or(unboxed),
        chaos: args.chaos,
        jobs: args.jobs,
        shard: args.shard.0,
        shards: args.shard.1,
        finds_max: args.finds,
        until: args
            .time_box
            .map(|long| began + Duration::from_micros(long.as_micros())),
    };
    let told = Mutex::new(began);
    let tally = campaign(order, &as_one_of_many, &|tally, promise| {
        if let Some(promise) = promise {
            println!("FOUND {promise} (seed {:x})", tally.finds[promise].seed);
        }
        let mut told = told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if told.elapsed() >= NEWS_EVERY {
            *told = Instant::now();
            println!("{}", pace(tally, began.elapsed()));
        }
    });
    for (promise, find) in &tally.finds {
        if let Err(e) = tell(args, promise, find) {
            return cannot(e);
        }
    }
    summary(args, &tally, began.elapsed())
}

fn pace(tally: &Tally, elapsed: Duration) -> String {
    let ms = elapsed.as_millis().max(1);
    let per_second = u128::from(tally.simulated.as_millis()) / ms;
    format!(
        "{} runs in {} s, {} simulated hours, {per_second} simulated seconds a second, {} finds",
        tally.runs,
        elapsed.as_secs(),
        tally.simulated.as_secs() / 3_600,
        tally.finds.len()
    )
}

/// Tells one find: what broke, the story before it, how to see it again, the smallest plan.
fn tell(args: &Swarm, promise: &str, find: &Find) -> Result<(), library::Unreadable> {
    let seeds: Vec<String> = find.seeds.iter().map(|seed| format!("{seed:x}")).collect();
    println!("\n{promise}, in {} runs: {}", find.runs, seeds.join(" "));
    println!("{}", find.outcome.verdict.sentence());
    println!("{}", timeline::excerpt(&find.plan, &find.outcome, 25));
    let again = lex::show_span(args.chaos);
    println!(
        "again:  tanist-sim swarm --runs 1 --seed-from {:x} --for {again}",
        find.seed
    );
    if args.shrink_runs == 0 {
        return Ok(());
    }
    let Some(small) = shrink(&find.plan, promise, &honestly, args.shrink_runs) else {
        println!("it did not break a second time: the run is not deterministic");
        return Ok(());
    };
    let mut plan = small.plan;
    plan.question = format!("Is this promise kept: {promise}?");
    plan.notes = vec![format!(
        "shrunk from seed {:x} in {} runs",
        find.seed, small.runs
    )];
    let path = args.out.join(format!("{:x}.scn", find.seed));
    library::store(&path, &print(&plan))?;
    library::store(
        &path.with_extension("html"),
        &swimlane::page(&plan, &small.outcome),
    )?;
    println!(
        "small:  tanist-sim run --tell {}  ({} acts of {}, {} runs to shrink)",
        path.display(),
        acts_left(&plan),
        acts_left(&find.plan),
        small.runs
    );
    println!(
        "{}\n{}",
        print(&plan),
        timeline::excerpt(&plan, &small.outcome, 40)
    );
    Ok(())
}

fn summary(args: &Swarm, tally: &Tally, elapsed: Duration) -> Ended {
    println!("\n{}", pace(tally, elapsed));
    if let Some(path) = &args.report {
        let command = format!(
            "tanist-sim swarm --runs {} --for {} --seed-from {:x}",
            tally.runs,
            lex::show_span(args.chaos),
            args.seed_from
        );
        if let Err(e) = library::store(path, &coverage::page(tally, &command)) {
            return cannot(e);
        }
    }
    for (expected, word) in [(Expected::Often, "expected"), (Expected::Rare, "rare")] {
        let unmet: Vec<&str> = tally
            .never_met(expected)
            .iter()
            .map(|mark| mark.name())
            .collect();
        if !unmet.is_empty() {
            println!("marks never met ({word}): {}", unmet.join(", "));
        }
    }
    let shortcomings = tally.shortcomings();
    for shortcoming in &shortcomings {
        println!("FAILED {shortcoming}");
    }
    for (promise, find) in &tally.finds {
        println!(
            "FAILED {promise} (seed {:x}, {} runs)",
            find.seed, find.runs
        );
    }
    let runs = tally.runs;
    let seeds = format!("{runs} runs from seed {:x} on", args.seed_from);
    if tally.finds.is_empty() && shortcomings.is_empty() {
        println!("passed: {seeds}, no find");
        Ended::Passed
    } else {
        println!("failed: {seeds}, {} finds", tally.finds.len());
        Ended::Found
    }
}
