//! `tanist-sim run`: carries out scenario files, compares each story with its golden page.

use super::{Ended, cannot};
use crate::attempt::{honestly, sabotaged};
use crate::library::{self, Compared, Unreadable};
use crate::plan::Plan;
use crate::report::junit::{self, Case, Failure};
use crate::report::{swimlane, timeline};
use crate::sabotage::Canary;
use crate::scenario::lex;
use crate::scenario::run::Outcome;
use crate::trace::trace;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// Scenario files, folders of them, or patterns such as 'scenarios/**/rewind*'
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
    /// Write the verdicts here as JUnit's XML, a test for each scenario
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Where it is played: in the simulator, or on real servers of this machine as well (by the program tanist-stage)
    #[arg(long, value_enum, default_value_t = Place::Sim)]
    pub on: Place,
    /// Compare both worlds on this page
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Place {
    Sim,
    Real,
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
    if args.on == Place::Real {
        return on_real_servers(args);
    }
    if args.page.is_some() {
        return cannot("--page compares two worlds: add --on real");
    }
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
    let mut cases = Vec::new();
    for file in &files {
        match one(args, file) {
            Ok(failed) => cases.push(Case {
                name: file.display().to_string(),
                failed,
            }),
            Err(e) => return cannot(e),
        }
    }
    if let Some(path) = &args.junit
        && let Err(e) = library::store(path, &junit::page("scenarios", &cases))
    {
        return cannot(e);
    }
    let bad = cases.iter().filter(|case| case.failed.is_some()).count();
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

/// Real servers are another program's, so that the simulator needs none of what they need.
fn on_real_servers(args: &Run) -> Ended {
    let told = args.tell || args.bless || args.canary.is_some();
    let written = args.trace.is_some() || args.swimlane.is_some() || args.junit.is_some();
    if told || written {
        return cannot(
            "--bless, --canary, --tell, --trace, --swimlane and --junit are the simulator's; leave out --on real",
        );
    }
    let beside = std::env::current_exe().map(|me| me.with_file_name("tanist-stage"));
    let program = match beside {
        Ok(program) if program.exists() => program,
        Ok(_) | Err(_) => {
            return cannot(
                "no tanist-stage beside this program: build it, the agent and this one together \
                 (cargo build --profile swarm -p tanist -p tanist-sim -p tanist-stage)",
            );
        }
    };
    let mut command = std::process::Command::new(program);
    command.args(&args.paths);
    if let Some(page) = &args.page {
        command.arg("--page").arg(page);
    }
    match command.status() {
        Ok(status) => match status.code() {
            Some(0) => Ended::Passed,
            Some(1) => Ended::Found,
            Some(_) | None => Ended::CannotRun,
        },
        Err(why) => cannot(format!("starting tanist-stage: {why}")),
    }
}

/// Carries out one file, and says how it went.
fn one(args: &Run, file: &Path) -> Result<Option<Failure>, Unreadable> {
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
        return Ok(None);
    }
    let golden = library::golden_of(file, &args.scenarios, &args.timelines);
    let compared = library::compare(&golden, &page);
    if args.bless && args.canary.is_none() && compared != Compared::Same && outcome.verdict.held() {
        library::store(&golden, &page)?;
        println!("{}: told anew in {}", file.display(), golden.display());
        return Ok(None);
    }
    let failed = failure(&plan, &outcome, &compared);
    match &failed {
        None => println!("{}: holds", file.display()),
        Some(failure) => println!("{}: {}\n{}", file.display(), failure.what, failure.text),
    }
    Ok(failed)
}

fn failure(plan: &Plan, outcome: &Outcome, compared: &Compared) -> Option<Failure> {
    if !outcome.verdict.held() {
        return Some(Failure {
            what: outcome.verdict.sentence(),
            text: timeline::excerpt(plan, outcome, 40),
        });
    }
    match compared {
        Compared::Same => None,
        Compared::New => Some(Failure {
            what: "holds, but no golden timeline is kept".into(),
            text: "  run with --bless".into(),
        }),
        Compared::Changed { line, kept, told } => Some(Failure {
            what: format!("the story changed in line {line}"),
            text: format!("  - {kept}\n  + {told}\n  if this is meant, run with --bless"),
        }),
    }
}
