//! What became of every mutant, as a page: how many fell to what, for each file, and who is left, with the reason.

use super::kept::{Kept, killed, words};
use super::listed::{Mutant, noun};
use super::trial::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

const KILLERS: [&str; 4] = ["tests", "scenarios", "swarm", "timeout"];

#[derive(Default)]
struct Row {
    listed: usize,
    viable: usize,
    tried: usize,
    by: BTreeMap<&'static str, usize>,
}

impl Row {
    fn killed(&self) -> usize {
        KILLERS.iter().filter_map(|by| self.by.get(by)).sum()
    }

    fn later(&self) -> usize {
        self.by.get("later").copied().unwrap_or_default()
    }

    fn add(&mut self, viable: bool, verdict: Option<&Verdict>) {
        self.listed += 1;
        self.viable += usize::from(viable);
        if let Some(verdict) = verdict.filter(|_| viable) {
            self.tried += 1;
            *self.by.entry(words(verdict).0).or_default() += 1;
        }
    }

    fn line(&self, name: &str) -> String {
        let by = |name: &&str| self.by.get(*name).copied().unwrap_or_default().to_string();
        let by: Vec<String> = KILLERS.iter().map(by).collect();
        let waiting = self.later();
        let survived = self.tried - self.killed() - waiting;
        format!(
            "| {name} | {} | {} | {} | {} | {waiting} | {survived} | {} |\n",
            self.listed,
            self.viable,
            self.tried,
            by.join(" | "),
            per_cent(self.killed(), self.tried)
        )
    }
}

fn per_cent(part: usize, of: usize) -> String {
    if of == 0 {
        return "-".into();
    }
    // Rounded down: 95 % is reached, not nearly reached.
    let tenths = part * 1000 / of;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

pub fn page(
    mutants: &[Mutant],
    unviable: &BTreeSet<usize>,
    kept: &Kept,
    reasons: &Reasons,
) -> String {
    let mut whole = Row::default();
    let mut files: Vec<(&str, Row)> = Vec::new();
    let mut left = Vec::new();
    for (id, mutant) in mutants.iter().enumerate() {
        let verdict = kept.get(&mutant.name);
        let viable = !unviable.contains(&id);
        let file = noun(&mutant.file);
        if files.last().is_none_or(|(last, _)| *last != file) {
            files.push((file, Row::default()));
        }
        files
            .last_mut()
            .expect("it was pushed")
            .1
            .add(viable, verdict);
        whole.add(viable, verdict);
        if viable && let Some(verdict) = verdict.filter(|v| !killed(v)) {
            left.push((mutant, verdict));
        }
    }
    let later = whole.later();
    let is_left = |(_, verdict): &&(&Mutant, &Verdict)| **verdict != Verdict::Later;
    let survived = left.iter().filter(is_left).count();
    let excused = left.iter().filter(|(m, _)| reasons.of(m).is_some()).count();
    let mut out = format!(
        "# Every mutant\n\n\
         What cargo-mutants would change in the files of core that decide and plan, each change tried against core's own\n\
         tests, then all scenarios with their golden timelines, then 300 drawn plans of the swarm; the first that fails\n\
         ends it. All stand in one copy of the sources behind a switch, so that one build does. Written by `make\n\
         cargo-mutants`.\n\n\
         {} mutants are listed, {} of them are Rust. {} of these were tried so far, and **{} of them killed: {}**. {} have only\n\
         passed a quick look (the tests and the 24 stories that kill most), wait for the rest, and count as alive until then.\n\
         Of the {} that are left {} have a reason below; without those whose reason is that nobody could tell them apart\n\
         (`equivalent`) it is {}.\n\n\
         | file | listed | viable | tried | tests | scenarios | swarm | timeout | waiting | left | killed |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        whole.listed,
        whole.viable,
        whole.tried,
        whole.killed(),
        per_cent(whole.killed(), whole.tried),
        later,
        survived,
        excused,
        {
            let same = left
                .iter()
                .filter(|(m, _)| reasons.is_equivalent(m))
                .count();
            per_cent(whole.killed(), whole.tried - same)
        },
    );
    for (file, row) in &files {
        out.push_str(&row.line(file));
    }
    out.push_str(&whole.line("all"));
    out.push_str("\n## Who is left, or waits\n\n| where | what | reason |\n|---|---|---|\n");
    for (mutant, verdict) in left {
        let (place, what) = mutant.name.split_once(": ").unwrap_or((&mutant.name, ""));
        let reason = reasons.of(mutant).unwrap_or(match verdict {
            Verdict::NeverReached => "nothing comes by it",
            Verdict::Later => "waits for the rest",
            _ => "no reason known",
        });
        let place = place.strip_prefix("core/src/").unwrap_or(place);
        let _ = writeln!(out, "| {place} | {} | {reason} |", what.replace('|', "\\|"));
    }
    out
}

/// Why a mutant need not be killed, by its file, what is replaced and the function: `reasons.txt`.
pub struct Reasons(BTreeMap<String, String>);

impl Reasons {
    /// A line for the mutant, as [`Mutant::without_line`] words it; the indented line below it is the reason.
    pub fn read(file: &Path) -> Reasons {
        let text = std::fs::read_to_string(file).expect("reasons.txt can be read");
        let mut all = BTreeMap::new();
        let mut those: Vec<String> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(reason) = line.strip_prefix("  ") {
                for mutant in those.drain(..) {
                    all.insert(mutant, reason.trim().to_string());
                }
            } else if !line.is_empty() {
                those.push(line.to_string());
            }
        }
        Reasons(all)
    }

    fn of(&self, mutant: &Mutant) -> Option<&str> {
        self.0.get(&mutant.without_line()).map(String::as_str)
    }

    fn is_equivalent(&self, mutant: &Mutant) -> bool {
        self.of(mutant).is_some_and(|r| r.starts_with("equivalent"))
    }
}
