//! Does the swarm alone, without the scenario that knows where to look, come upon each deliberate bug? Runs drawn plans
//! with each one switched on until a promise breaks, and writes down how many that took.

use super::list::Mutant;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is spent on each bug at most.
const TIME_MAX: &str = "10m";

/// What became of one.
struct Caught {
    /// The first seed that broke a promise. They are counted from 1: as many runs were needed.
    runs: Option<u64>,
    promise: String,
}

/// Hunts them all, `runs` runs each at most, and writes the page.
pub fn hunt(
    simulator: &Path,
    all: &BTreeMap<String, Mutant>,
    pairs: &[(String, PathBuf)],
    runs: u64,
    page: &Path,
) {
    let mut rows = Vec::new();
    for (name, mutant) in all {
        let together = [std::slice::from_ref(name), &mutant.with[..]].concat();
        let caught = one(simulator, Some(&together.join(",")), runs);
        println!("{name}: {}", told(&caught));
        rows.push((name, mutant, caught));
    }
    let needed = rows.iter().filter_map(|(_, _, caught)| caught.runs);
    let honest = one(simulator, None, needed.max().unwrap_or(1));
    assert!(
        honest.runs.is_none(),
        "without any bug the same seeds break {}",
        honest.promise
    );
    std::fs::write(page, text(&rows, pairs, runs)).expect("the page can be written");
}

fn one(simulator: &Path, mutants: Option<&str>, runs: u64) -> Caught {
    let mut command = Command::new(simulator);
    command.args([
        "swarm",
        "--seed-from",
        "1",
        "--finds",
        "1",
        "--shrink-runs",
        "0",
    ]);
    command.args(["--seeds", &runs.to_string(), "--for", TIME_MAX]);
    command.env_remove("TANIST_MUTANT");
    if let Some(names) = mutants {
        command.env("TANIST_MUTANT", names);
    }
    let output = command.output().expect("the simulator can be started");
    let told = String::from_utf8_lossy(&output.stdout);
    // FAILED S01 one-writer (seed 2a, 1 runs)
    let found = told.lines().filter_map(|line| {
        let (promise, seed) = line.strip_prefix("FAILED ")?.split_once(" (seed ")?;
        let seed = seed.split(',').next()?;
        Some((u64::from_str_radix(seed, 16).ok()?, promise.to_string()))
    });
    match found.min() {
        Some((seed, promise)) => Caught {
            runs: Some(seed),
            promise,
        },
        None => Caught {
            runs: None,
            promise: String::new(),
        },
    }
}

fn told(caught: &Caught) -> String {
    match caught.runs {
        Some(runs) => format!("{} after {runs} runs", caught.promise),
        None => "not found".into(),
    }
}

fn text(rows: &[(&String, &Mutant, Caught)], pairs: &[(String, PathBuf)], runs: u64) -> String {
    let mut needed: Vec<u64> = rows.iter().filter_map(|(_, _, c)| c.runs).collect();
    needed.sort_unstable();
    let median = needed.get(needed.len() / 2).copied().unwrap_or_default();
    let mut page = format!(
        "# Mutants\n\n\
         Deliberate bugs inside the core and the fakes (`sim/tests/mutants.txt`), each the undoing of one rule. Each fails\n\
         the scenarios named here (`make mutants`). Which promise the swarm alone saw broken with it, and after how many\n\
         drawn runs (at most {runs}, or {TIME_MAX}), is told beside: {} of {} were found, the median after {median} runs. The\n\
         same seeds break nothing without a bug. Written by `make hunt`.\n\n\
         | mutant | undoes the rule | scenarios | found by | runs |\n|---|---|---|---|---:|\n",
        needed.len(),
        rows.len(),
    );
    for (name, mutant, caught) in rows {
        let scenarios: Vec<String> = pairs
            .iter()
            .filter(|(of, _)| of == *name)
            .map(|(_, file)| short(file))
            .collect();
        let _ = writeln!(
            page,
            "| {name} | {} | {} | {} | {} |",
            mutant.what,
            scenarios.join(", "),
            caught.promise.chars().take(60).collect::<String>(),
            caught.runs.map_or("-".into(), |runs| runs.to_string())
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
