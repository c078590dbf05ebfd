//! `tanist-sim shrink`: makes a scenario that fails smaller, as long as it fails in the same way.

use super::{Ended, cannot};
use crate::attempt::{honestly, signature};
use crate::library;
use crate::report::timeline;
use crate::scenario::print::print;
use crate::shrink::{acts_left, shrink};
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Shrink {
    /// The scenario that fails
    pub scenario: PathBuf,
    /// Where the small one is written; printed otherwise
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How many runs to spend
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub runs: usize,
}

pub fn command(args: &Shrink) -> Ended {
    let plan = match library::load(&args.scenario) {
        Ok(plan) => plan,
        Err(e) => return cannot(e),
    };
    let outcome = honestly(&plan);
    let Some(promise) = signature(&outcome.verdict) else {
        println!(
            "{}: holds; there is nothing to shrink",
            args.scenario.display()
        );
        return Ended::Passed;
    };
    let Some(small) = shrink(&plan, &promise, &honestly, args.runs) else {
        return cannot("it did not fail a second time: the run is not deterministic");
    };
    println!(
        "{promise}: {} acts left of {}",
        acts_left(&small.plan),
        acts_left(&plan)
    );
    println!("{}", timeline::excerpt(&small.plan, &small.outcome, 40));
    let text = print(&small.plan);
    match &args.out {
        None => println!("{text}"),
        Some(path) => {
            if let Err(e) = library::store(path, &text) {
                return cannot(e);
            }
        }
    }
    Ended::Found
}
