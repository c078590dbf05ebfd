//! How a campaign ends, whether it ran here or was joined from shares: the summary, the pages that it leaves, the
//! verdict. Knows nothing of how the runs were run.

use super::{Ended, cannot};
use crate::library::{self, Unreadable};
use crate::marks::Expected;
use crate::report::coverage;
use crate::report::junit::{self, Case, Failure};
use crate::scenario::lex::show_span;
use crate::share::Share;
use std::path::PathBuf;

/// What a campaign leaves behind.
#[derive(Clone, Debug, clap::Args)]
pub struct Pages {
    /// Write marks and evaluations to this page
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write what was counted here, for `tanist-sim merge` and `coverage`
    #[arg(long, value_name = "FILE")]
    pub tally: Option<PathBuf>,
    /// Write the verdicts here as JUnit's XML: a test for each invariant, and for each find
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Writes the pages, prints the summary, and judges.
pub fn end(pages: &Pages, share: &Share) -> Ended {
    if let Err(e) = leave(pages, share) {
        return cannot(e);
    }
    let tally = &share.tally;
    for (expected, word) in [(Expected::Often, "expected"), (Expected::Rare, "rare")] {
        let unmet: Vec<&str> = tally
            .never_met(expected)
            .iter()
            .map(|mark| mark.name())
            .collect();
        if !unmet.is_empty() {
            println!("marks never met ({word}): {}", unmet.join(", "));
        }
    }
    let shortcomings = shortcomings(share);
    for shortcoming in &shortcomings {
        println!("FAILED {shortcoming}");
    }
    for (promise, find) in &tally.finds {
        println!(
            "FAILED {promise} (seed {:x}, {} runs)",
            find.seed, find.runs
        );
    }
    let runs = tally.runs;
    let seeds = format!("{runs} runs from seed {:x} on", share.campaign.first_seed);
    if tally.finds.is_empty() && shortcomings.is_empty() {
        println!("passed: {seeds}, no find");
        Ended::Passed
    } else {
        println!("failed: {seeds}, {} finds", tally.finds.len());
        Ended::Found
    }
}

fn leave(pages: &Pages, share: &Share) -> Result<(), Unreadable> {
    if let Some(path) = &pages.tally {
        library::store(path, &share.text())?;
    }
    if let Some(path) = &pages.report {
        library::store(path, &coverage_page(share))?;
    }
    if let Some(path) = &pages.junit {
        library::store(path, &junit::page("swarm", &cases(share)))?;
    }
    Ok(())
}

pub fn coverage_page(share: &Share) -> String {
    let command = format!(
        "tanist-sim swarm --seeds {} --chaos {} --seed-from {:x}",
        share.tally.runs,
        show_span(share.campaign.chaos),
        share.campaign.first_seed
    );
    coverage::page(&share.tally, &command)
}

/// What a campaign has failed to look at. A share alone cannot be expected to have seen all: that is judged when it is
/// joined with the others.
fn shortcomings(share: &Share) -> Vec<String> {
    match share.missing().is_empty() {
        true => share.tally.shortcomings(),
        false => Vec::new(),
    }
}

/// Each invariant held or broke; so did whatever else broke; so did the campaign as a whole.
fn cases(share: &Share) -> Vec<Case> {
    let tally = &share.tally;
    let failure = |promise: &str| {
        tally.finds.get(promise).map(|find| Failure {
            what: format!("seed {:x}, {} runs", find.seed, find.runs),
            text: find.sentence.clone(),
        })
    };
    let invariants = tally.evaluations.keys();
    let others = tally
        .finds
        .keys()
        .filter(|promise| !tally.evaluations.contains_key(*promise));
    let mut cases: Vec<Case> = invariants
        .chain(others)
        .map(|promise| Case {
            name: promise.clone(),
            failed: failure(promise),
        })
        .collect();
    let shortcomings = shortcomings(share);
    cases.push(Case {
        name: "everything was looked at".into(),
        failed: (!shortcomings.is_empty()).then(|| Failure {
            what: format!("{} shortcomings", shortcomings.len()),
            text: shortcomings.join("\n"),
        }),
    });
    cases
}
