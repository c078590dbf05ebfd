//! `tanist-stage`: plays scenarios of the simulator on real servers of this machine and compares the two worlds.
//! `tanist-sim run --on real` calls it. Exit codes as the simulator's: 0 passed, 1 found something, 2 usage, 125 cannot run.

mod archive;
mod cast;
mod deeds;
mod eyes;
mod house;
mod ledger;
mod links;
mod page;
mod play;

use clap::Parser;
use page::Row;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tanist_core::name::MemberName;
use tanist_sim::attempt::honestly;
use tanist_sim::event::What;
use tanist_sim::library;
use tanist_sim::plan::{Plan, Step};
use tanist_sim::scenario::run::Outcome;

/// Plays scenarios on real servers: PostgreSQL, etcd and Tanist's agents on loopback, with the claims of the files.
#[derive(Parser)]
#[command(name = "tanist-stage", version)]
struct Cli {
    /// Scenario files, folders of them, or patterns
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// The agent's program; its fencer and command line stand beside it
    #[arg(long)]
    agent: Option<PathBuf>,
    /// Only say which scenarios can be played, and what stands in the way of the others
    #[arg(long)]
    list: bool,
    /// Write the comparison of both worlds to this page
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

const CANNOT_RUN: u8 = 125;

fn main() -> ExitCode {
    match command(&Cli::parse()) {
        Ok(Ended::Passed) => ExitCode::SUCCESS,
        Ok(Ended::Found) => ExitCode::from(1),
        Ok(Ended::NotPlayed(why)) => cannot_run(&why),
        Err(why) => cannot_run(&format!("{why:#}")),
    }
}

fn cannot_run(why: &str) -> ExitCode {
    eprintln!("tanist-stage: {why}");
    ExitCode::from(CANNOT_RUN)
}

enum Ended {
    Passed,
    Found,
    /// Nothing was found, and there is something that could not be played.
    NotPlayed(String),
}

fn command(args: &Cli) -> anyhow::Result<Ended> {
    let mut files = Vec::new();
    for path in &args.paths {
        files.extend(library::scenarios(path).map_err(anyhow::Error::msg)?);
    }
    anyhow::ensure!(
        !files.is_empty(),
        "no scenario there (a file that ends in .scn)"
    );
    let agent = agent(args)?;
    let mut rows = Vec::new();
    for file in &files {
        let plan = library::load(file).map_err(anyhow::Error::msg)?;
        let obstacles = cast::obstacles(&plan);
        if !obstacles.is_empty() || args.list {
            let told = match obstacles.is_empty() {
                true => "can be played".to_string(),
                false => format!("not played: {}", obstacles.join("; ")),
            };
            println!("{}: {told}", file.display());
            continue;
        }
        let row = both_worlds(file, &plan, &agent);
        println!("{}", row.sentence());
        rows.push(row);
    }
    if args.list {
        return Ok(Ended::Passed);
    }
    println!("{}", page::summary(&rows));
    if let Some(path) = &args.page {
        library::store(path, &page::page(&rows)).map_err(anyhow::Error::msg)?;
    }
    Ok(ended(&rows))
}

fn ended(rows: &[Row]) -> Ended {
    let found = |row: &Row| row.real.is_ok() && !(row.agrees() && row.simulated.held());
    let unplayed = rows.iter().find(|row| row.real.is_err());
    match unplayed {
        _ if rows.iter().any(found) => Ended::Found,
        Some(row) => Ended::NotPlayed(format!("{} could not be played", row.scenario)),
        None if rows.is_empty() => Ended::NotPlayed("none of these can be played here".into()),
        None => Ended::Passed,
    }
}

fn both_worlds(file: &Path, plan: &Plan, agent: &Path) -> Row {
    let simulated = honestly(plan);
    let real = match first_leader(plan, &simulated) {
        Some(first) => play::play(plan, &first, agent.to_path_buf()),
        None => Err(anyhow::anyhow!("nobody leads before its first act")),
    };
    Row {
        scenario: file.display().to_string(),
        question: plan.question.clone(),
        simulated: simulated.verdict,
        real: real.map_err(|why| format!("{why:#}")),
    }
}

/// Who leads in the simulator when the story begins: members are alike, and stories name them.
fn first_leader(plan: &Plan, simulated: &Outcome) -> Option<MemberName> {
    let acts = plan.steps.iter().filter_map(|step| match step {
        Step::At { at, .. } => Some(*at),
        Step::When { .. } | Step::Expect(_) => None,
    });
    let begin = tanist_sim::moment::Moment::START + acts.min().unwrap_or(plan.end);
    let before = simulated.events.iter().take_while(|event| event.at < begin);
    let keys = before.filter_map(|event| match &event.what {
        What::LeaderKey { owner } => Some(owner.clone()),
        _ => None,
    });
    keys.last().flatten()
}

fn agent(args: &Cli) -> anyhow::Result<PathBuf> {
    if let Some(path) = &args.agent {
        return Ok(path.clone());
    }
    let beside = std::env::current_exe()?.with_file_name("tanist");
    anyhow::ensure!(
        beside.exists(),
        "no agent beside this program ({}): build it (`cargo build --profile swarm -p tanist`) or name it with --agent",
        beside.display()
    );
    Ok(beside)
}
