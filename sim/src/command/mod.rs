//! The commands of `tanist-sim`, one a file. Each ends with a verdict; nothing here prints an error twice.

pub mod bench;
pub mod campaign;
pub mod canaries;
pub mod coverage;
pub mod diff;
pub mod from_traces;
pub mod keep;
pub mod merge;
pub mod replay;
pub mod run;
pub mod show;
pub mod shrink;
pub mod step;
pub mod swarm;

use std::process::ExitCode;

/// How a command ended, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Passed,
    /// A promise is broken, a claim did not come true, a page changed.
    Found,
    /// It could not be tried at all; `git bisect run` skips on this code.
    CannotRun,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> ExitCode {
        match ended {
            Ended::Passed => ExitCode::SUCCESS,
            Ended::Found => ExitCode::from(1),
            Ended::CannotRun => ExitCode::from(125),
        }
    }
}

/// Says why a command could not be tried.
pub fn cannot(why: impl std::fmt::Display) -> Ended {
    eprintln!("tanist-sim: {why}");
    Ended::CannotRun
}
