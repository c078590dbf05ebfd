//! `tanist-sim from-traces`: the flight recordings of a cluster's members as one story: a timeline and a picture.
//! A folder, or several files in their order, belong to the member whose name their headers bear.

use super::{Ended, cannot};
use crate::incident::recording::Recording;
use crate::incident::story::{Merged, merge};
use crate::library::{self, Unreadable, text_of};
use crate::report::{story, swimlane, timeline};
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
}

pub fn command(args: &FromTraces) -> Ended {
    let merged = match read(&args.traces) {
        Ok(recordings) if recordings.is_empty() => {
            return cannot("no recording there: a segment begins with a header");
        }
        Ok(recordings) => merge(&recordings),
        Err(e) => return cannot(e),
    };
    println!("{}", told(&merged));
    match &args.swimlane {
        None => Ended::Passed,
        Some(path) => {
            library::store(path, &picture(&merged)).map_or_else(cannot, |()| Ended::Passed)
        }
    }
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
