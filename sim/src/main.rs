//! `tanist-sim`: the simulator's command line. Reads arguments, hands over, turns the end into an exit
//! code: 0 passed, 1 found something, 2 wrong usage, 125 could not run.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tanist_sim::command;

/// Simulates Tanist clusters deterministically: the agents' real decisions against fakes of the store,
/// of PostgreSQL and of the network.
#[derive(Parser)]
#[command(name = "tanist-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Carry out scenarios and compare their stories with the golden timelines
    Run(command::run::Run),
    /// Run many drawn plans and look for broken promises
    Swarm(command::swarm::Swarm),
    /// Print the plan of a seed as a scenario
    Show(command::show::Show),
    /// Prove that each deliberate bug is caught by its invariant
    Canaries(command::canaries::Canaries),
    /// Replay what an agent recorded and compare every decision
    Replay(command::replay::Replay),
    /// Make a failing scenario smaller
    Shrink(command::shrink::Shrink),
}

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(args) => command::run::command(&args),
        Command::Swarm(args) => command::swarm::command(&args),
        Command::Show(args) => command::show::command(&args),
        Command::Canaries(args) => command::canaries::command(&args),
        Command::Replay(args) => command::replay::command(&args),
        Command::Shrink(args) => command::shrink::command(&args),
    };
    ended.into()
}
