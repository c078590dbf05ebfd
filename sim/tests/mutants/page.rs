//! The page of the hunt: written, and read again by the next one.

use super::list::Mutant;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What became of one bug.
pub struct Row {
    /// As many runs were needed, and what broke. `None`: not found.
    pub found: Option<(u64, String)>,
    /// On which commit it was hunted.
    pub commit: String,
}

/// The rows of bugs that there still are.
pub fn read(page: &Path, all: &BTreeMap<String, Mutant>) -> BTreeMap<String, Row> {
    let text = std::fs::read_to_string(page).unwrap_or_default();
    text.lines()
        .filter_map(row)
        .filter(|(name, _)| all.contains_key(name))
        .collect()
}

fn row(line: &str) -> Option<(String, Row)> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let ["", name, _what, _scenarios, promise, runs, commit, ""] = cells[..] else {
        return None;
    };
    let found = match runs {
        "-" => None,
        runs => Some((runs.parse().ok()?, promise.to_string())),
    };
    let commit = commit.to_string();
    Some((name.to_string(), Row { found, commit }))
}

pub fn text(
    all: &BTreeMap<String, Mutant>,
    pairs: &[(String, PathBuf)],
    rows: &BTreeMap<String, Row>,
    runs: u64,
) -> String {
    let found = |row: &Row| row.found.as_ref().map(|(runs, _)| *runs);
    let mut needed: Vec<u64> = rows.values().filter_map(found).collect();
    needed.sort_unstable();
    // Who was not found needed more than anybody who was.
    let median = needed.get(rows.len() / 2);
    let median = median.map_or(format!("more than {runs}"), u64::to_string);
    let mut page = format!(
        "# Mutants\n\n\
         Deliberate bugs inside the core and the fakes (`sim/tests/mutants.txt`), each the undoing of one rule. Each fails\n\
         the scenarios named here (`make mutants`). Which promise the swarm alone saw broken with it, and after how many\n\
         drawn runs from seed 1 on (at most {runs}, or 10 minutes), is told beside: {} of {} were found, the median of all\n\
         after {median} runs; {} were not hunted yet. The same seeds break nothing without a bug. Written by `make hunt`.\n\n\
         | mutant | undoes the rule | scenarios | found by | runs | hunted on |\n|---|---|---|---|---:|---|\n",
        needed.len(),
        rows.len(),
        all.len() - rows.len(),
    );
    for (name, row) in rows {
        let scenarios: Vec<String> = pairs
            .iter()
            .filter(|(of, _)| of == name)
            .map(|(_, file)| short(file))
            .collect();
        let (runs, promise) = match &row.found {
            Some((runs, promise)) => (runs.to_string(), promise.as_str()),
            None => ("-".into(), ""),
        };
        let _ = writeln!(
            page,
            "| {name} | {} | {} | {promise} | {runs} | {} |",
            all[name].what,
            scenarios.join(", "),
            row.commit,
        );
    }
    page
}

/// `failover/best_candidate_wins`.
fn short(file: &Path) -> String {
    let name = file.with_extension("");
    let parts: Vec<String> = name
        .components()
        .rev()
        .take(2)
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}
