//! `tanist-sim coverage`: what campaigns looked at, as a page: marks and the runs that met them, invariants and how
//! often each was evaluated.

use super::campaign::coverage_page;
use super::merge::joined;
use super::{Ended, cannot};
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Coverage {
    /// What `swarm --tally FILE` or `merge --tally FILE` has written
    #[arg(required = true)]
    pub shares: Vec<PathBuf>,
}

pub fn command(args: &Coverage) -> Ended {
    match joined(&args.shares) {
        Ok(share) => {
            print!("{}", coverage_page(&share));
            Ended::Passed
        }
        Err(e) => cannot(e),
    }
}
