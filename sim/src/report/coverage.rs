//! What a campaign looked at: runs that met each mark, evaluations of each invariant. A page for people.

use crate::marks::{Expected, Mark};
use crate::tally::Tally;
use std::fmt::Write;

pub fn page(tally: &Tally, command: &str) -> String {
    let mut page = String::from("# Coverage\n\n");
    let _ = writeln!(
        page,
        "What {} runs ({} simulated hours) came past. Written by `{command}`.\n",
        tally.runs,
        tally.simulated.as_secs() / 3_600
    );
    if tally.finds.is_empty() {
        page.push_str("No promise was broken in any of them.\n\n");
    }
    for (promise, find) in &tally.finds {
        let _ = writeln!(
            page,
            "**Broken: {promise}**, in {} runs, first with seed {:x}.\n",
            find.runs, find.seed
        );
    }
    page.push_str("## Marks\n\nSituations without which a run proves little, and the runs that were in them.\n\n");
    page.push_str("| mark | runs | first seed | |\n|---|---:|---|---|\n");
    for mark in Mark::ALL {
        let rare = match mark.expected() {
            Expected::Often => "",
            Expected::Rare => "rare",
        };
        let (runs, first) = match tally.marks.get(mark) {
            Some((runs, first)) => (*runs, format!("{first:x}")),
            None => (0, "-".into()),
        };
        let _ = writeln!(page, "| {} | {runs} | {first} | {rare} |", mark.name());
    }
    page.push_str("\n## Invariants\n\nHow often each was looked at. Suspended: set aside because an assumption did not hold.\n\n");
    page.push_str(
        "| invariant | evaluations | suspended | suspended for |\n|---|---:|---:|---:|\n",
    );
    for (name, counted) in &tally.evaluations {
        let _ = writeln!(
            page,
            "| {name} | {} | {} | {} s |",
            counted.evaluations,
            counted.suspended,
            counted.suspended_for.as_secs()
        );
    }
    page
}
