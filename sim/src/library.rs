//! Where scenarios and their golden timelines lie on disk, and whether a page still tells the same
//! story. The only room of the simulator that reads and writes files on its own account.

use crate::plan::Plan;
use crate::scenario::parse::parse;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A scenario that cannot be had: no such file, or one that is not understood.
#[derive(Debug)]
pub struct Unreadable {
    pub path: PathBuf,
    pub why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for Unreadable {}

/// Deeper trees than this are no scenario tree.
const DEPTH_MAX: usize = 6;

/// Every scenario that `named` means, sorted by path: itself if it is a file, those below it if it is a folder, those
/// that match if it is a pattern such as `scenarios/**/rewind*`.
pub fn scenarios(named: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let mut found = Vec::new();
    if named.exists() {
        gather(named, DEPTH_MAX, &mut found)?;
    } else {
        for path in matching(named)? {
            gather(&path, DEPTH_MAX, &mut found)?;
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// What a pattern matches; an error if that is nothing.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let bad = |why: String| Unreadable {
        path: pattern.to_path_buf(),
        why,
    };
    let text = pattern.to_string_lossy();
    let paths = glob::glob(&text).map_err(|e| bad(format!("no pattern: {}", e.msg)))?;
    let found: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
    if found.is_empty() {
        return Err(bad("no such file, and nothing matches it".into()));
    }
    Ok(found)
}

fn gather(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Unreadable> {
    if path.is_file() {
        found.push(path.to_path_buf());
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(|e| unreadable(path, &e))?;
    for entry in entries {
        let entry = entry.map_err(|e| unreadable(path, &e))?.path();
        let is_scenario = entry.extension().is_some_and(|ext| ext == "scn");
        if is_scenario || (entry.is_dir() && depth > 0) {
            gather(&entry, depth - 1, found)?;
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Unreadable {
    Unreadable {
        path: path.to_path_buf(),
        why: error.to_string(),
    }
}

pub fn text_of(path: &Path) -> Result<String, Unreadable> {
    fs::read_to_string(path).map_err(|e| unreadable(path, &e))
}

pub fn load(path: &Path) -> Result<Plan, Unreadable> {
    parse(&text_of(path)?).map_err(|complaint| Unreadable {
        path: path.to_path_buf(),
        why: complaint.to_string(),
    })
}

pub fn store(path: &Path, text: &str) -> Result<(), Unreadable> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| unreadable(folder, &e))?;
    }
    fs::write(path, text).map_err(|e| unreadable(path, &e))
}

/// `scenarios/failover/x.scn` has its golden page at `<timelines>/failover/x.txt`.
pub fn golden_of(scenario: &Path, scenarios: &Path, timelines: &Path) -> PathBuf {
    let below = scenario.strip_prefix(scenarios).unwrap_or(scenario);
    timelines.join(below).with_extension("txt")
}

/// How a page compares with the one that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    Same,
    /// No page is kept yet.
    New,
    /// The first line that differs: its number, what was kept, what is told now.
    Changed {
        line: usize,
        kept: String,
        told: String,
    },
}

pub fn compare(golden: &Path, page: &str) -> Compared {
    let Ok(kept) = fs::read_to_string(golden) else {
        return Compared::New;
    };
    if kept == page {
        return Compared::Same;
    }
    let pairs = kept.lines().zip(page.lines());
    let same = pairs.take_while(|(before, now)| before == now).count();
    let nth = |text: &str| {
        text.lines()
            .nth(same)
            .unwrap_or("(the page ends)")
            .to_string()
    };
    Compared::Changed {
        line: same + 1,
        kept: nth(&kept),
        told: nth(page),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_golden_page_lies_at_the_same_place_below_the_timelines() {
        let golden = golden_of(
            Path::new("scenarios/failover/x.scn"),
            Path::new("scenarios"),
            Path::new("reports/timelines"),
        );
        assert_eq!(golden, Path::new("reports/timelines/failover/x.txt"));
    }

    #[test]
    fn a_page_that_was_never_kept_is_new_and_not_the_same() {
        assert_eq!(compare(Path::new("no/such/page.txt"), ""), Compared::New);
    }
}
