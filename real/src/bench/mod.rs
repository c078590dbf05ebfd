//! `make bench`: Tanist and Patroni 4.1.5 beside each other on real servers, in turns, and the page that
//! tells the numbers. This file parses the command line and decides what is measured when.
//!
//! | file | question |
//! |---|---|
//! | `scene` | what is the cluster, and who writes to it? |
//! | `fault` | what does one fault cost? |
//! | `cost` | what does an agent cost while nothing happens? |
//! | `rows` | how are values kept and summed up? |
//! | `page` | what is told of them? |
//! | `machine` | on what was it measured? |

mod cost;
mod fault;
mod machine;
mod page;
mod rows;
mod scene;

use crate::testbed::Stamp;
use crate::testbed::template::{Make, Pace};
use clap::{Parser, ValueEnum};
use fault::{Fault, Values};
use rows::{Ledger, Row};
use scene::Scene;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "tanist-bench",
    about = "Measures Tanist and Patroni beside each other"
)]
struct CommandLine {
    /// What to measure; all of it when nothing is named
    #[arg(value_enum)]
    cells: Vec<Cell>,
    /// Rounds for each agent
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Only this agent
    #[arg(long)]
    agent: Option<String>,
    /// The page; the rows are kept beside it and added to
    #[arg(long, default_value = "reports/bench.md")]
    page: PathBuf,
    /// Write the page from the rows there are
    #[arg(long)]
    only_page: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Cell {
    /// Three agents on empty directories
    Bootstrap,
    /// Memory and processor time
    Idle,
    /// An agent's start
    Start,
    /// Health checks
    Rest,
    Switchover,
    Sigterm,
    Pmkill,
    Hostloss,
    Freeze,
}

impl Cell {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |v| v.get_name().to_string())
    }
}

pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    match Bench::begin(line).and_then(|bench| bench.run()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("bench: {failed} cells could not be measured");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("bench: {why:#}");
            ExitCode::FAILURE
        }
    }
}

struct Bench {
    line: CommandLine,
    ledger: Ledger,
    run: String,
    version: String,
    program: PathBuf,
}

fn agent_name(make: Make) -> &'static str {
    match make {
        Make::Tanist => "tanist",
        Make::Patroni => "patroni",
    }
}

impl Bench {
    fn begin(mut line: CommandLine) -> anyhow::Result<Bench> {
        if line.cells.is_empty() {
            line.cells = Cell::value_variants().to_vec();
        }
        let began = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        Ok(Bench {
            ledger: Ledger::open(&line.page.with_extension("tsv"))?,
            run: began.to_string(),
            version: machine::version(),
            program: std::env::current_exe()?.with_file_name("tanist"),
            line,
        })
    }

    /// How many cells could not be measured.
    fn run(&self) -> anyhow::Result<usize> {
        let mut failed = 0;
        let rounds = if self.line.only_page {
            0
        } else {
            self.line.rounds
        };
        for round in 1..=rounds {
            for make in [Make::Tanist, Make::Patroni] {
                let wanted = self.line.agent.as_deref();
                if wanted.is_none_or(|agent| agent == agent_name(make)) {
                    failed += self.round(round, make)?;
                }
                self.write_page()?;
            }
        }
        self.write_page()?;
        Ok(failed)
    }

    fn write_page(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(
            &self.line.page,
            page::render(&self.ledger.read()?),
        )?)
    }

    /// All cells on one fresh cluster. A cell that fails takes its cluster with it; the next has a new one.
    fn round(&self, round: u32, make: Make) -> anyhow::Result<usize> {
        let mut failed = 0;
        let mut scene: Option<Scene> = None;
        for cell in &self.line.cells {
            let at = Stamp::now();
            let fresh = scene.is_none() || *cell == Cell::Bootstrap;
            if fresh {
                drop(scene.take());
            }
            let measured = match scene.take() {
                Some(scene) => Ok(scene),
                None => Scene::start(make, &self.program, Pace::Floor),
            }
            .and_then(|ready| {
                let values = self.measure(*cell, &ready, at)?;
                Ok((ready, values))
            });
            match measured {
                Ok((ready, values)) => {
                    self.keep(round, make, *cell, &values)?;
                    scene = Some(ready);
                }
                Err(why) => {
                    failed += 1;
                    eprintln!("{} {}: {why:#}", agent_name(make), cell.name());
                }
            }
        }
        Ok(failed)
    }

    fn measure(&self, cell: Cell, scene: &Scene, at: Stamp) -> anyhow::Result<Values> {
        let story = self
            .program
            .with_file_name(format!("bench-{}.txt", cell.name()));
        let fault = |fault| fault::measure(fault, scene, &story);
        match cell {
            Cell::Bootstrap => cost::bootstrap(scene, at),
            Cell::Idle => cost::idle(scene),
            Cell::Start => cost::start(scene),
            Cell::Rest => cost::rest(scene),
            Cell::Switchover => fault(Fault::Switchover),
            Cell::Sigterm => fault(Fault::Sigterm),
            Cell::Pmkill => fault(Fault::Pmkill),
            Cell::Hostloss => fault(Fault::Hostloss),
            Cell::Freeze => fault(Fault::Freeze),
        }
    }

    fn keep(&self, round: u32, make: Make, cell: Cell, values: &Values) -> anyhow::Result<()> {
        let row = |agent: &str, cell: String, measure: &str, value: f64| Row {
            run: self.run.clone(),
            version: self.version.clone(),
            round,
            agent: agent.into(),
            cell,
            measure: measure.into(),
            value,
        };
        let mut rows = vec![row(
            "machine",
            "load".into(),
            "load_average",
            machine::load_average(),
        )];
        for (measure, value) in values {
            rows.push(row(agent_name(make), cell.name(), measure, *value));
        }
        for row in &rows[1..] {
            println!(
                "{} {round} {} {} {:.3}",
                row.agent, row.cell, row.measure, row.value
            );
        }
        self.ledger.add(&rows)
    }
}
