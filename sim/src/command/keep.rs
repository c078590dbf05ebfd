//! `tanist-sim keep`: a find becomes a scenario of the library: with the question that it answers, under a name of its
//! own, with its golden timeline once the core holds it.

use super::{Ended, cannot};
use crate::attempt::honestly;
use crate::library::{self, Unreadable};
use crate::report::timeline;
use crate::scenario::print::print;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Keep {
    /// The scenario that a find left, shrunk
    pub find: PathBuf,
    /// What the case is about, in words joined by `_`: the name of its file
    #[arg(long, value_parser = name)]
    pub name: String,
    /// The question that the scenario answers; what stands in the file otherwise
    #[arg(long)]
    pub question: Option<String>,
    /// The mutants or canaries on which it fails, such as `blind-acquire`
    #[arg(long, value_name = "NAMES")]
    pub fails_on: Option<String>,
    /// The folder of kept finds
    #[arg(long, value_name = "FOLDER", default_value = "scenarios/regress")]
    pub to: PathBuf,
    /// The folders that golden timelines mirror
    #[arg(long, default_value = "scenarios")]
    pub scenarios: PathBuf,
    #[arg(long, default_value = "reports/timelines")]
    pub timelines: PathBuf,
}

fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !text.is_empty() && text.chars().all(fits) {
        return Ok(text.to_string());
    }
    Err(format!(
        "{text:?} is no name such as old_primary_returns: small letters, digits and _"
    ))
}

pub fn command(args: &Keep) -> Ended {
    match kept(args) {
        Ok(ended) => ended,
        Err(e) => cannot(e),
    }
}

fn kept(args: &Keep) -> Result<Ended, Unreadable> {
    let mut plan = library::load(&args.find)?;
    if let Some(question) = &args.question {
        plan.question.clone_from(question);
    }
    if let Some(names) = &args.fails_on {
        plan.notes.push(format!("fails on: {names}"));
    }
    let path = args.to.join(&args.name).with_extension("scn");
    if path.exists() {
        return Err(Unreadable {
            path,
            why: "is there already; choose another --name".into(),
        });
    }
    let outcome = honestly(&plan);
    library::store(&path, &print(&plan))?;
    println!("kept as {}", path.display());
    if !outcome.verdict.held() {
        println!("it is not held yet: {}", outcome.verdict.sentence());
        println!("once it is: tanist-sim run --bless {}", path.display());
        return Ok(Ended::Found);
    }
    let golden = library::golden_of(&path, &args.scenarios, &args.timelines);
    library::store(&golden, &timeline::page(&plan, &outcome))?;
    println!("it holds; its story is kept in {}", golden.display());
    Ok(Ended::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_name_of_the_library() {
        assert_eq!(name("two_forks_1").as_deref(), Ok("two_forks_1"));
        for bad in ["", "../x", "Two", "a b", "x.scn"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
