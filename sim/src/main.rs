//! `tanist-sim`: the simulator's command line. Reads arguments, hands over, turns the end into an exit
//! code: 0 passed, 1 found something, 2 wrong usage, 125 could not run.

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use std::process::ExitCode;
use tanist_sim::command;

/// A run allocates all the time and in small pieces.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    /// Join the shares of one campaign that ran on several machines
    Merge(command::merge::Merge),
    /// Print what campaigns came past: marks met, invariants evaluated
    Coverage(command::coverage::Coverage),
    /// Carry out a run by hand, at a prompt
    Step(command::step::Step),
    /// Print the plan of a seed as a scenario
    Show(command::show::Show),
    /// Make a failing scenario smaller
    Shrink(command::shrink::Shrink),
    /// Take a find into the library of scenarios
    Keep(command::keep::Keep),
    /// Prove that each deliberate bug is caught by its invariant
    Canaries(command::canaries::Canaries),
    /// Replay what an agent recorded and compare every decision
    Replay(command::replay::Replay),
    /// Merge the recordings of a cluster's members into one story
    FromTraces(command::from_traces::FromTraces),
    /// Tell where two traces part
    Diff(command::diff::Diff),
    /// Measure how fast the simulator is
    Bench(command::bench::Bench),
}

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(args) => command::run::command(&args),
        Command::Swarm(args) => command::swarm::command(&args),
        Command::Merge(args) => command::merge::command(&args),
        Command::Coverage(args) => command::coverage::command(&args),
        Command::Step(args) => command::step::command(&args),
        Command::Show(args) => command::show::command(&args),
        Command::Shrink(args) => command::shrink::command(&args),
        Command::Keep(args) => command::keep::command(&args),
        Command::Canaries(args) => command::canaries::command(&args),
        Command::Replay(args) => command::replay::command(&args),
        Command::FromTraces(args) => command::from_traces::command(&args),
        Command::Diff(args) => command::diff::command(&args),
        Command::Bench(args) => command::bench::command(&args),
    };
    ended.into()
}
