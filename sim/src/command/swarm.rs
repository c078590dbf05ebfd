//! `tanist-sim swarm`: a campaign of drawn plans. Tells its pace, each new find with its story, the
//! command that replays it and the smallest plan that still shows it; ends with a summary.

use super::campaign::{Pages, end};
use super::{Ended, cannot};
use crate::attempt::{as_one_of_many, honestly};
use crate::campaign::{Order, campaign};
use crate::library;
use crate::marks::{Expected, Mark};
use crate::outages;
use crate::own_settings::{Own, cluster_of};
use crate::plan::Plan;
use crate::report::{swimlane, timeline};
use crate::scenario::lex;
use crate::scenario::print::{print, show_cluster};
use crate::scenario::run::Outcome;
use crate::share::{Campaign, Share};
use crate::shrink::{acts_left, shrink};
use crate::swarm;
use crate::tally::{Find, Tally};
use crate::trace::trace;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tanist_core::time::Span;

#[derive(Clone, Debug, clap::Args)]
pub struct Swarm {
    /// How many plans to draw and run, a seed each (100, or as many as fit into the time)
    #[arg(long, value_name = "N", alias = "runs")]
    pub seeds: Option<u64>,
    /// Begin no run after this time on the clock of the wall
    #[arg(long = "for", value_name = "TIME", alias = "box", value_parser = span)]
    pub time_box: Option<Span>,
    /// Length of each run's chaos phase
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = span)]
    pub chaos: Span,
    /// Seed of the first run; the others follow it. A commit's hash will do: each commit looks at other plans then
    #[arg(long, value_name = "HEX", default_value = "1", value_parser = seed)]
    pub seed_from: u64,
    /// Runs side by side; as many as there are cores, if not said
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Only this share of the runs, such as 1/4
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = shard)]
    pub shard: (u64, u64),
    /// End after so many different finds
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub finds: usize,
    /// Runs to spend on making each find smaller
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub shrink_runs: usize,
    /// Where the smallest plan of each find is written, with its trace and its picture
    #[arg(long, value_name = "FOLDER", default_value = "finds")]
    pub out: PathBuf,
    /// Your own configuration (patroni.yml): a file for each member, or one that three share. Ends with what each fault
    /// costs such a cluster, and what would be safer
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub config: Vec<PathBuf>,
    #[command(flatten)]
    pub pages: Pages,
}

pub fn span(text: &str) -> Result<Span, String> {
    lex::span(text).ok_or_else(|| format!("{text:?} is no time such as 10m or 90s"))
}

pub fn hex(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| format!("{text:?} is no hexadecimal number"))
}

/// A seed, or the hash of a commit, of which the first 64 bits count.
pub fn seed(text: &str) -> Result<u64, String> {
    match text.get(..16) {
        Some(first) if is_hash(text) => hex(first),
        _no_hash => hex(text),
    }
}

fn is_hash(text: &str) -> bool {
    const LENGTHS: [usize; 2] = [40, 64];
    LENGTHS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
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
    let own = match own(&args.config) {
        Ok(own) => own,
        Err(e) => return cannot(e),
    };
    let draw = |seed| match &own {
        None => swarm::plan(seed, args.chaos),
        Some(own) => swarm::plan_in(own.shape.clone(), seed, args.chaos),
    };
    let order = Order {
        first_seed: args.seed_from,
        runs: args.seeds.unwrap_or(unboxed),
        draw: &draw,
        jobs: args.jobs.unwrap_or_else(cores),
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
            println!("{}{}", pace(tally, began.elapsed()), unseen(tally));
        }
    });
    for (promise, find) in &tally.finds {
        if let Err(e) = tell(args, &draw(find.seed), promise, find) {
            return cannot(e);
        }
    }
    println!("\n{}", pace(&tally, began.elapsed()));
    if let Some(own) = &own {
        println!("\n{}", costs(own));
    }
    let (part, shards) = args.shard;
    let cluster = own.map(|own| show_cluster(&own.shape));
    let campaign = Campaign::new(args.seed_from, args.chaos, shards, cluster);
    end(&args.pages, &Share::of(campaign, part, tally))
}

fn own(files: &[PathBuf]) -> Result<Option<Own>, String> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut texts = Vec::new();
    for file in files {
        let text = library::text_of(file).map_err(|e| e.to_string())?;
        texts.push((file.display().to_string(), text));
    }
    let own = cluster_of(&texts)?;
    for complaint in &own.complaints {
        println!("{complaint}");
    }
    Ok(Some(own))
}

/// Runs of each fault when the costs are measured.
const RUNS_OF_A_FAULT: u64 = 40;

fn costs(own: &Own) -> String {
    let missing: Vec<String> = own.missing_modes.iter().map(ToString::to_string).collect();
    outages::page(
        &own.shape,
        &outages::measure(&own.shape, RUNS_OF_A_FAULT),
        &missing,
    )
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
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

/// Marks named in a line of progress.
const UNSEEN_NAMED: usize = 3;

/// Marks that no run has met so far, the tail of a line of progress.
fn unseen(tally: &Tally) -> String {
    let mut unmet: Vec<Mark> = tally.never_met(Expected::Often);
    unmet.extend(tally.never_met(Expected::Rare));
    let named: Vec<&str> = unmet.iter().take(UNSEEN_NAMED).map(|m| m.name()).collect();
    match unmet.len() {
        0 => String::new(),
        n if n > named.len() => format!(", {n} marks unseen: {}, ...", named.join(", ")),
        n => format!(", {n} marks unseen: {}", named.join(", ")),
    }
}

/// Tells one find: what broke, the story before it, how to see it again, the smallest plan.
fn tell(args: &Swarm, plan: &Plan, promise: &str, find: &Find) -> Result<(), library::Unreadable> {
    let outcome = as_one_of_many(plan);
    let seeds: Vec<String> = find.seeds.iter().map(|seed| format!("{seed:x}")).collect();
    println!("\n{promise}, in {} runs: {}", find.runs, seeds.join(" "));
    println!("{}", outcome.verdict.sentence());
    println!("{}", timeline::excerpt(plan, &outcome, 25));
    let again = lex::show_span(args.chaos);
    println!(
        "again:  tanist-sim swarm --seeds 1 --seed-from {:x} --chaos {again}",
        find.seed
    );
    if args.shrink_runs == 0 {
        return Ok(());
    }
    let Some(small) = shrink(plan, promise, &honestly, args.shrink_runs) else {
        println!("it did not break a second time: the run is not deterministic");
        return Ok(());
    };
    let acts = acts_left(plan);
    let mut plan = small.plan;
    plan.question = format!("Is this promise kept: {promise}?");
    plan.notes = vec![format!(
        "shrunk from seed {:x} in {} runs",
        find.seed, small.runs
    )];
    let path = args.out.join(format!("{:x}.scn", find.seed));
    keep(&path, &plan, &small.outcome)?;
    println!(
        "small:  tanist-sim run --tell {}  ({} acts of {acts}, {} runs to shrink)",
        path.display(),
        acts_left(&plan),
        small.runs
    );
    println!(
        "{}\n{}",
        print(&plan),
        timeline::excerpt(&plan, &small.outcome, 40)
    );
    Ok(())
}

/// The scenario, and beside it the merged trace and the picture of its run.
fn keep(path: &Path, plan: &Plan, outcome: &Outcome) -> Result<(), library::Unreadable> {
    library::store(path, &print(plan))?;
    library::store(&path.with_extension("trace"), &trace(plan, outcome))?;
    library::store(&path.with_extension("html"), &swimlane::page(plan, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commits_hash_is_a_seed_and_so_is_any_number_of_64_bits() {
        let hash = "01acee4c0ffee0123456789abcdef0123456789a";
        assert_eq!(seed(hash), Ok(0x01ac_ee4c_0ffe_e012));
        assert_eq!(seed("01acee4c0ffe"), Ok(0x01ac_ee4c_0ffe));
        assert!(seed("1234567890abcdef0").is_err());
        assert!(seed(&hash.replace('c', "x")).is_err());
    }
}
