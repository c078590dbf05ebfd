//! Does the swarm alone, without the scenario that knows where to look, come upon each deliberate bug? Runs drawn plans
//! with each one switched on until a promise breaks, and writes down how many that took. Goes on where it was ended: what
//! was not hunted yet comes first, then what was hunted on another commit.

use super::asked;
use super::list::Mutant;
use super::page::{self, Row};
use super::switch;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What is spent on each bug at most.
const TIME_MAX: Duration = Duration::from_secs(600);

pub struct Hunt<'a> {
    /// With every bug behind its switch.
    pub simulator: &'a Path,
    pub scratch: &'a Path,
    pub page: &'a Path,
    /// For each bug, at most.
    pub runs: u64,
    pub minutes: Option<u64>,
    pub commit: &'a str,
}

/// The first seed that broke a promise, and which. They are counted from 1: as many runs were needed.
type Find = (u64, String);

impl Hunt<'_> {
    /// Hunts as many as the time allows, and writes the page after each.
    pub fn all(&self, all: &BTreeMap<String, Mutant>, pairs: &[(String, PathBuf)]) {
        let begun = Instant::now();
        let mut rows = page::read(self.page, all);
        let seeds = asked::seeds(self.simulator, self.scratch, all, self.runs);
        let mut due: Vec<&String> = all.keys().collect();
        let is_old = |name: &&String| rows.get(*name).is_some_and(|row| row.commit != self.commit);
        let is_new = |name: &&String| !rows.contains_key(*name);
        let old: Vec<&String> = due.iter().copied().filter(is_old).collect();
        due.retain(is_new);
        due.extend(old);
        let mut most = 0;
        for name in due {
            let over = |minutes| begun.elapsed() >= Duration::from_secs(60 * minutes);
            if self.minutes.is_some_and(over) {
                break;
            }
            let found = self.one(all, name, &seeds);
            most = most.max(found.as_ref().map_or(0, |(seed, _)| *seed));
            println!("{name}: {}", told(found.as_ref()));
            let commit = self.commit.to_string();
            rows.insert(name.clone(), Row { found, commit });
            let text = page::text(all, pairs, &rows, self.runs);
            std::fs::write(self.page, text).expect("the page can be written");
        }
        let honest = self.in_a_row(None, most);
        assert!(
            honest.is_none(),
            "without any bug the same seeds break {honest:?}"
        );
    }

    fn one(
        &self,
        all: &BTreeMap<String, Mutant>,
        name: &String,
        seeds: &[Vec<u64>],
    ) -> Option<Find> {
        let together = [std::slice::from_ref(name), &all[name].with[..]].concat();
        let ids = together
            .iter()
            .filter_map(|one| all.keys().position(|n| n == one));
        let mut mine: Vec<u64> = ids.flat_map(|id| seeds[id].iter().copied()).collect();
        mine.sort_unstable();
        mine.dedup();
        let on = together.join(",");
        // A process for each run costs more than the runs that it saves.
        if mine.len() as u64 > self.runs / 2 {
            return self.in_a_row(Some(&on), self.runs);
        }
        let begun = Instant::now();
        let first = Mutex::new(None::<Find>);
        asked::each(&mine, |seed, _| {
            let mut command = asked::run_of(self.simulator, seed);
            let found = finds(command.env(switch::ON, &on));
            let mut first = first.lock().expect("no thread has failed");
            if let Some(found) = found
                && first.as_ref().is_none_or(|(before, _)| found.0 < *before)
            {
                *first = Some(found);
            }
            first.is_none() && begun.elapsed() < TIME_MAX
        });
        first.into_inner().expect("no thread has failed")
    }

    /// One seed after the other, in one process.
    fn in_a_row(&self, on: Option<&str>, runs: u64) -> Option<Find> {
        let mut command = Command::new(self.simulator);
        command.args(["swarm", "--seed-from", "1", "--finds", "1"]);
        command.args(["--shrink-runs", "0", "--seeds", &runs.to_string()]);
        command.args(["--for", &format!("{}s", TIME_MAX.as_secs())]);
        command.env_remove(switch::ASKED).env_remove(switch::ON);
        if let Some(names) = on {
            command.env(switch::ON, names);
        }
        finds(&mut command)
    }
}

/// `FAILED S01 one-writer (seed 2a, 1 runs)`: the first of these lines, by seed.
fn finds(command: &mut Command) -> Option<Find> {
    let output = command.output().expect("the simulator can be started");
    let told = String::from_utf8_lossy(&output.stdout);
    let found = told.lines().filter_map(|line| {
        let (promise, seed) = line.strip_prefix("FAILED ")?.split_once(" (seed ")?;
        let seed = seed.split(',').next()?;
        Some((u64::from_str_radix(seed, 16).ok()?, promise.to_string()))
    });
    found.min()
}

fn told(found: Option<&Find>) -> String {
    match found {
        Some((runs, promise)) => format!("{promise} after {runs} runs"),
        None => "not found".into(),
    }
}
