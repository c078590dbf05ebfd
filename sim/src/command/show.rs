//! `tanist-sim show`: prints the plan of a seed as a scenario, without running it.

use super::Ended;
use super::swarm::{seed, span};
use crate::scenario::print::print;
use crate::swarm;
use tanist_core::time::Span;

#[derive(Clone, Debug, clap::Args)]
pub struct Show {
    /// The seed, in hexadecimal
    #[arg(value_parser = seed)]
    pub seed: u64,
    /// Length of the chaos phase, which is part of what is drawn
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = span)]
    pub chaos: Span,
}

pub fn command(args: &Show) -> Ended {
    print!("{}", print(&swarm::plan(args.seed, args.chaos)));
    Ended::Passed
}
