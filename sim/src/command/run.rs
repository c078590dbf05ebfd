//! `tanist-sim run`: carries out scenario files, compares each story with its golden page.

use super::{Ended, cannot};
use crate::attempt::{honestly, sabotaged};
use crate::library::{self, Compared, Unreadable};
use crate::plan::Plan;
use crate::report::{swimlane, timeline};
use crate::sabotage::Canary;
use crate::scenario::lex;
use crate::scenario::run::Outcome;
use crate::trace::trace;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// Scenario files, or folders of them
    #[arg(default_value = "scenarios")]
    pub paths: Vec<PathBuf>,
    /// Rewrite the golden timelines with what is told now
    #[arg(long)]
    pub bless: bool,
    /// Judge the claims and the invariants alone; no golden timeline is looked for
    #[arg(long, conflicts_with = "bless")]
    pub claims_only: bool,
    /// Print each story, not only its verdict
    #[arg(long)]
    pub tell: bool,
    /// The folder that golden timelines mirror
    #[arg(long, default_value = "scenarios")]
    pub scenarios: PathBuf,
    #[arg(long, default_value = "reports/timelines")]
    pub timelines: PathBuf,
    /// Run with this deliberate bug
    #[arg(long, value_name = "NAME", value_parser = canary)]
    pub canary: Option<Canary>,
    /// Write the merged trace of the (only) scenario here
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write the picture of the (only) scenario here, as one HTML file
    #[arg(long, value_name = "FILE")]
    pub swimlane: Option<PathBuf>,
}

pub fn canary(name: &str) -> Result<Canary, String> {
    let names = || Canary::ALL.iter().map(|canary| canary.name());
    Canary::named(name).ok_or_else(|| match lex::nearest(name, names()) {
        Some(near) => format!("no such canary; did you mean {near}?"),
        None => format!(
            "no such canary; there are {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    })
}

pub fn command(args: &Run) -> Ended {
    let mut files = Vec::new();
    for path in &args.paths {
        match library::scenarios(path) {
            Ok(found) => files.extend(found),
            Err(e) => return cannot(e),
        }
    }
    if files.is_empty() {
        return cannot("no scenario there (a file that ends in .scn)");
    }
    if files.len() > 1 && (args.trace.is_some() || args.swimlane.is_some()) {
        return cannot("--trace and --swimlane are for one scenario; name one file");
    }
    let mut bad = 0;
    for file in &files {
        match one(args, file) {
            Ok(Ended::Passed) => {}
            Ok(_found) => bad += 1,
            Err(e) => return cannot(e),
        }
    }
    println!(
        "{} scenarios, {} of them not as they should be",
        files.len(),
        bad
    );
    if bad == 0 {
        Ended::Passed
    } else {
        Ended::Found
    }
}

fn one(args: &Run, file: &Path) -> Result<Ended, Unreadable> {
    let plan = library::load(file)?;
    let outcome = match args.canary {
        None => honestly(&plan),
        Some(canary) => sabotaged(&plan, canary),
    };
    let page = timeline::page(&plan, &outcome);
    if let Some(path) = &args.trace {
        library::store(path, &trace(&plan, &outcome))?;
    }
    if let Some(path) = &args.swimlane {
        library::store(path, &swimlane::page(&plan, &outcome))?;
    }
    if args.tell {
        println!("{page}");
    }
    if args.claims_only && outcome.verdict.held() {
        println!("{}: holds", file.display());
        return Ok(Ended::Passed);
    }
    let golden = library::golden_of(file, &args.scenarios, &args.timelines);
    let compared = library::compare(&golden, &page);
    if args.bless && args.canary.is_none() && compared != Compared::Same && outcome.verdict.held() {
        library::store(&golden, &page)?;
        println!("{}: told anew in {}", file.display(), golden.display());
        return Ok(Ended::Passed);
    }
    Ok(verdict(file, &plan, &outcome, &compared))
}

fn verdict(file: &Path, plan: &Plan, outcome: &Outcome, compared: &Compared) -> Ended {
    if !outcome.verdict.held() {
        println!("{}: {}", file.display(), outcome.verdict.sentence());
        println!("{}", timeline::excerpt(plan, outcome, 40));
        return Ended::Found;
    }
    match compared {
        Compared::Same => {
            println!("{}: holds", file.display());
            Ended::Passed
        }
        Compared::New => {
            println!(
                "{}: holds, but no golden timeline is kept: run with --bless",
                file.display()
            );
            Ended::Found
        }
        Compared::Changed { line, kept, told } => {
            println!("{}: the story changed in line {line}", file.display());
            println!("  - {kept}\n  + {told}\n  if this is meant, run with --bless");
            Ended::Found
        }
    }
}
