//! Which segment files there are, how they are named, and which goes first when room is needed.
//! Knows nothing of what is in them.
//!
//! `0000000042.jsonl`, or `0000000042.kept.jsonl` for one around a change of role. Numbers grow over restarts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub number: u64,
    pub kept: bool,
    pub bytes: u64,
}

impl Segment {
    pub fn file_name(number: u64, kept: bool) -> String {
        let kept = if kept { ".kept" } else { "" };
        format!("{number:010}{kept}.jsonl")
    }

    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(Segment::file_name(self.number, self.kept))
    }

    fn parse(name: &str, bytes: u64) -> Option<Segment> {
        let stem = name.strip_suffix(".jsonl")?;
        let (digits, kept) = match stem.strip_suffix(".kept") {
            Some(digits) => (digits, true),
            None => (stem, false),
        };
        let number = digits.parse().ok()?;
        Some(Segment {
            number,
            kept,
            bytes,
        })
    }
}

/// The segments in `dir`, oldest first. Other files are left alone.
pub fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let bytes = entry.metadata().map(|m| m.len()).unwrap_or(0);
        if let Some(segment) = entry
            .file_name()
            .to_str()
            .and_then(|n| Segment::parse(n, bytes))
        {
            segments.push(segment);
        }
    }
    segments.sort_by_key(|s| s.number);
    Ok(segments)
}

/// What to remove so that the rest fits into `bytes_max`: the oldest of no interest first, then the oldest
/// around role changes; never `current`.
pub fn surplus(segments: &[Segment], current: u64, bytes_max: u64) -> Vec<Segment> {
    let mut total: u64 = segments.iter().map(|s| s.bytes).sum();
    let mut order: Vec<&Segment> = segments.iter().filter(|s| s.number != current).collect();
    order.sort_by_key(|s| (s.kept, s.number));
    let mut removed = Vec::new();
    for segment in order {
        if total <= bytes_max {
            break;
        }
        total -= segment.bytes;
        removed.push(segment.clone());
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u64, kept: bool) -> Segment {
        Segment {
            number,
            kept,
            bytes: 10,
        }
    }

    #[test]
    fn segments_around_a_role_change_outlive_older_and_newer_ones() {
        let all = [
            segment(1, false),
            segment(2, true),
            segment(3, false),
            segment(4, true),
            segment(5, false),
        ];
        let order = |bytes_max| -> Vec<u64> {
            let gone = surplus(&all, 5, bytes_max);
            gone.iter().map(|s| s.number).collect()
        };
        assert_eq!(order(50), [0u64; 0]);
        assert_eq!(order(45), [1]);
        assert_eq!(order(30), [1, 3]);
        assert_eq!(order(10), [1, 3, 2, 4]);
        assert_eq!(order(0), [1, 3, 2, 4], "the one being written stays");
    }

    #[test]
    fn only_files_with_our_names_are_segments() {
        assert_eq!(
            Segment::parse("0000000042.kept.jsonl", 1).map(|s| (s.number, s.kept)),
            Some((42, true))
        );
        for other in ["notes.txt", "x.jsonl", ".jsonl", "1.kept", "-1.jsonl"] {
            assert_eq!(Segment::parse(other, 1), None, "{other}");
        }
        assert_eq!(Segment::file_name(42, false), "0000000042.jsonl");
    }
}
