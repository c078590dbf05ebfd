//! `tanist-sim canaries`: proves that the checkers can fail, and writes down what that took.

use super::swarm::{hex, span};
use super::{Ended, cannot};
use crate::attempt::{Runner, as_one_of_many, sabotaged, signature};
use crate::canaries::{Sung, page, sing};
use crate::library::{self, Unreadable};
use crate::plan::Plan;
use crate::sabotage::Canary;
use crate::scenario::lex::show_span;
use crate::shrink::{acts_left, shrink};
use crate::swarm;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tanist_core::time::Span;

#[derive(Clone, Debug, clap::Args)]
pub struct Canaries {
    /// Only these
    #[arg(value_parser = super::run::canary)]
    pub names: Vec<Canary>,
    /// Drawn runs to try for each
    #[arg(long, default_value_t = 200)]
    pub runs: u64,
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = span)]
    pub chaos: Span,
    #[arg(long, value_name = "HEX", default_value = "1", value_parser = hex)]
    pub seed_from: u64,
    /// The scenarios whose headers name the canaries on which they fail
    #[arg(long, default_value = "scenarios")]
    pub scenarios: PathBuf,
    /// Runs to spend on making each find small, for the page; 0: none
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub shrink_runs: usize,
    /// Write the page here
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

pub fn command(args: &Canaries) -> Ended {
    let chosen = if args.names.is_empty() {
        Canary::ALL
    } else {
        &args.names
    };
    let stories = match by_canary(args) {
        Ok(stories) => stories,
        Err(e) => return cannot(e),
    };
    let all: Vec<Sung> = chosen
        .iter()
        .map(|canary| one(args, *canary, stories.get(canary)))
        .collect();
    let missed = all.iter().filter(|sung| !sung.is_caught()).count();
    println!("{} canaries, {missed} not caught", all.len());
    if let Some(path) = &args.report {
        let command = format!(
            "tanist-sim canaries --runs {} --chaos {} --seed-from {:x}",
            args.runs,
            show_span(args.chaos),
            args.seed_from
        );
        if let Err(e) = library::store(path, &page(&all, &command)) {
            return cannot(e);
        }
    }
    if missed == 0 {
        Ended::Passed
    } else {
        Ended::Found
    }
}

fn one(args: &Canaries, canary: Canary, stories: Option<&Vec<(String, Plan)>>) -> Sung {
    let seeds = (0..args.runs).map(|nth| args.seed_from.wrapping_add(nth));
    let plan_of = |seed| swarm::plan(seed, args.chaos);
    let with_bug = move |plan: &_| sabotaged(plan, canary);
    let mut sung = sing(canary, seeds, &plan_of, &with_bug, &as_one_of_many);
    if sung.runs.is_some() && args.shrink_runs > 0 {
        sung.acts = shrunk(&plan_of(sung.seed), &with_bug, args.shrink_runs);
    }
    for (name, plan) in stories.into_iter().flatten() {
        let fails = !sabotaged(plan, canary).verdict.held();
        if !fails {
            println!("{}: {name} HOLDS with it", canary.name());
        }
        sung.stories.push((name.clone(), fails));
    }
    match sung.runs {
        Some(runs) => println!(
            "{}: {} after {runs} runs",
            canary.name(),
            canary.caught_by()
        ),
        None => println!(
            "{}: not {} in {} runs; fired: {:?}; stories that fail on it: {}",
            canary.name(),
            canary.caught_by(),
            args.runs,
            sung.others,
            sung.stories.iter().filter(|(_, fails)| *fails).count()
        ),
    }
    if !sung.honest_finds.is_empty() {
        println!("  the true core fails on seeds {:x?}", sung.honest_finds);
    }
    sung
}

/// Acts of the plan on which the bug was caught, and how many are left of them.
fn shrunk(plan: &Plan, with_bug: &Runner, runs: usize) -> Option<(usize, usize)> {
    let promise = signature(&with_bug(plan).verdict)?;
    let small = shrink(plan, &promise, with_bug, runs)?;
    Some((acts_left(plan), acts_left(&small.plan)))
}

/// Which scenarios are to fail on which canary, as their headers say.
fn by_canary(args: &Canaries) -> Result<BTreeMap<Canary, Vec<(String, Plan)>>, Unreadable> {
    let mut found: BTreeMap<Canary, Vec<(String, Plan)>> = BTreeMap::new();
    for file in library::scenarios(&args.scenarios)? {
        let plan = library::load(&file)?;
        let below = file
            .strip_prefix(&args.scenarios)
            .unwrap_or(&file)
            .with_extension("");
        for canary in plan.fails_on().into_iter().filter_map(Canary::named) {
            let story = (below.display().to_string(), plan.clone());
            found.entry(canary).or_default().push(story);
        }
    }
    Ok(found)
}
