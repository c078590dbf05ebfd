//! `tanist-sim from-traces`: the flight recordings of a cluster's members as one story: a timeline, a picture, and a
//! scenario that goes wrong in the same way.
//! A folder, or several files in their order, belong to the member whose name their headers bear.

use super::{Ended, cannot};
use crate::attempt::{honestly, signature};
use crate::incident::recording::Recording;
use crate::incident::retold::{claiming, retell, usual_claim};
use crate::incident::story::{Merged, merge};
use crate::library::{self, Unreadable, text_of};
use crate::plan::Plan;
use crate::report::{story, swimlane, timeline};
use crate::scenario::fact::read_demand;
use crate::scenario::lex::Complaint;
use crate::scenario::line::Line;
use crate::scenario::parse::parse;
use crate::scenario::print::print;
use crate::shrink::{acts_left, shrink};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub struct FromTraces {
    /// Segments of recordings, or the recorders' folders
    #[arg(required = true)]
    pub traces: Vec<PathBuf>,
    /// Write the picture here, as one HTML file
    #[arg(long, value_name = "FILE")]
    pub swimlane: Option<PathBuf>,
    /// Write what was done to the cluster here, as a scenario: made small where it goes wrong in the simulator, too
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// What should have been, in the words of a scenario: 'always a accepts writes'. Without: that the first leader
    /// keeps its key, if it lost it
    #[arg(long, value_name = "CLAIM", requires = "scenario")]
    pub claim: Vec<String>,
    /// How many runs to spend on making it small
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub runs: usize,
}

pub fn command(args: &FromTraces) -> Ended {
    let recordings = match read(&args.traces) {
        Ok(recordings) if recordings.is_empty() => {
            return cannot("no recording there: a segment begins with a header");
        }
        Ok(recordings) => recordings,
        Err(e) => return cannot(e),
    };
    let merged = merge(&recordings);
    println!("{}", told(&merged));
    if let Some(path) = &args.swimlane
        && let Err(e) = library::store(path, &picture(&merged))
    {
        return cannot(e);
    }
    let Some(path) = &args.scenario else {
        return Ended::Passed;
    };
    match scenario(&recordings, &merged, &args.claim, args.runs) {
        Ok((plan, said)) => {
            println!("\n{said}");
            let text = print(&plan);
            // A member may be called what is a word of the language.
            match parse(&text) {
                Ok(_) => library::store(path, &text).map_or_else(cannot, |()| Ended::Passed),
                Err(complaint) => {
                    cannot(format!("it cannot be written as a scenario: {complaint}"))
                }
            }
        }
        Err(complaint) => cannot(complaint),
    }
}

/// The scenario, and what is to be said of it.
fn scenario(
    recordings: &[Recording],
    merged: &Merged,
    claims: &[String],
    runs: usize,
) -> Result<(Plan, String), Complaint> {
    let mut wanted = Vec::new();
    for claim in claims {
        let mut line = Line::cut(1, claim, &merged.members)?;
        wanted.push(read_demand(&mut line)?);
        line.end()?;
    }
    if wanted.is_empty() {
        wanted.extend(usual_claim(merged));
    }
    let plan = claiming(&retell(recordings, merged), &wanted);
    let outcome = honestly(&plan);
    let Some(promise) = signature(&outcome.verdict) else {
        let said = "In the simulator every claim and every invariant holds: what went wrong is not in it yet. Written as it was told.";
        return Ok((plan, said.to_string()));
    };
    let verdict = outcome.verdict.sentence();
    let Some(small) = shrink(&plan, &promise, &honestly, runs) else {
        return Ok((plan, verdict));
    };
    let (left, of) = (acts_left(&small.plan), acts_left(&plan));
    Ok((small.plan, format!("{verdict}\n{left} acts left of {of}.")))
}

/// One recording for each member, its segments in the order of their names.
fn read(paths: &[PathBuf]) -> Result<Vec<Recording>, Unreadable> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for path in paths {
        for segment in segments(path)? {
            let text = text_of(&segment)?;
            if let Some(recording) = Recording::read(&text) {
                let name = recording.member.to_string();
                texts.entry(name).or_default().push_str(&text);
            }
        }
    }
    Ok(texts
        .values()
        .filter_map(|text| Recording::read(text))
        .collect())
}

fn segments(path: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let unreadable = |e: std::io::Error| Unreadable {
        path: path.to_path_buf(),
        why: e.to_string(),
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?.path();
        if entry.extension().is_some_and(|ext| ext == "jsonl") {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}

fn question(merged: &Merged) -> String {
    let names: Vec<&str> = merged.members.iter().map(|m| m.as_str()).collect();
    format!("What the recordings of {} tell", names.join(", "))
}

fn told(merged: &Merged) -> String {
    let mut lines = vec![question(merged)];
    lines.extend(merged.remarks.iter().cloned());
    lines.push(String::new());
    lines.push(timeline::heading(&merged.members));
    let rows = story::rows(&merged.members, &merged.events);
    lines.extend(rows.iter().map(|row| timeline::line(&merged.members, row)));
    lines.join("\n")
}

fn picture(merged: &Merged) -> String {
    let rows = story::rows(&merged.members, &merged.events);
    let verdict = match merged.remarks.is_empty() {
        true => "Merged by the store's revisions; a recording holds no verdict.".to_string(),
        false => merged.remarks.join(". ") + ".",
    };
    swimlane::draw(&swimlane::Film {
        question: &question(merged),
        verdict: &verdict,
        held: true,
        names: &merged.members,
        rows: &rows,
        events: &merged.events,
        ended: merged.ended,
    })
}
