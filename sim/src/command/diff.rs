//! `tanist-sim diff`: where two traces part: merged traces of runs (`run --trace`), or recordings of agents. One JSON
//! value a line each; the first lines that differ are told field by field, with what both had just before.

use super::{Ended, cannot};
use crate::library::text_of;
use serde_json::Value;
use std::path::PathBuf;
use tanist_core::fields::{differences, shortened};

#[derive(Clone, Debug, clap::Args)]
pub struct Diff {
    pub one: PathBuf,
    pub other: PathBuf,
}

/// Lines shown before the first that differs, and fields of that one.
const BEFORE: usize = 3;
const FIELDS_MAX: usize = 24;

pub fn command(args: &Diff) -> Ended {
    let texts = text_of(&args.one).and_then(|one| Ok((one, text_of(&args.other)?)));
    let (one, other) = match texts {
        Ok(texts) => texts,
        Err(e) => return cannot(e),
    };
    match parting(&one, &other) {
        None => {
            println!("the same, byte for byte: {} lines", one.lines().count());
            Ended::Passed
        }
        Some(told) => {
            println!("{told}");
            Ended::Found
        }
    }
}

/// The first line in which two texts differ, in words. `None`: in none.
fn parting(one: &str, other: &str) -> Option<String> {
    if one == other {
        return None;
    }
    let (a, b): (Vec<&str>, Vec<&str>) = (one.lines().collect(), other.lines().collect());
    let at = (0..a.len().max(b.len()))
        .find(|at| a.get(*at) != b.get(*at))
        .unwrap_or(a.len());
    let mut told: Vec<String> = a[at.saturating_sub(BEFORE).min(a.len())..at.min(a.len())]
        .iter()
        .map(|line| format!("  both      {}", shortened(line)))
        .collect();
    told.push(format!("they part in line {}", at + 1));
    match (json(a.get(at)), json(b.get(at))) {
        (Some(x), Some(y)) => {
            for field in differences("", &x, &y, FIELDS_MAX) {
                told.push(format!("  {}", field.path.trim_start_matches('.')));
                told.push(format!("    the one   {}", field.recorded));
                told.push(format!("    the other {}", field.replayed));
            }
        }
        _not_both_json => {
            let shown = |line: Option<&&str>| {
                line.map_or("(it ends here)".to_string(), |line| shortened(line))
            };
            told.push(format!("  the one   {}", shown(a.get(at))));
            told.push(format!("  the other {}", shown(b.get(at))));
        }
    }
    Some(told.join("\n"))
}

fn json(line: Option<&&str>) -> Option<Value> {
    serde_json::from_str(line?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_part_at_a_line_and_in_named_fields() {
        assert_eq!(parting("{\"a\":1}\n", "{\"a\":1}\n"), None);
        let told = parting(
            "{\"at\":1}\n{\"at\":2,\"what\":{\"key\":\"x\"}}\n",
            "{\"at\":1}\n{\"at\":2,\"what\":{\"key\":\"y\"}}\n",
        );
        let kept = "  both      {\"at\":1}
they part in line 2
  what.key
    the one   \"x\"
    the other \"y\"";
        assert_eq!(told.as_deref(), Some(kept));
    }

    #[test]
    fn a_trace_that_ends_before_the_other_parts_there() {
        let told = parting("{\"at\":1}\n", "{\"at\":1}\n{\"at\":2}\n").unwrap();
        assert!(told.contains("they part in line 2"), "{told}");
        assert!(told.contains("the one   (it ends here)"), "{told}");
        // A line end more or less is a difference, too, however little there is to show of it.
        assert!(parting("{}", "{}\n").is_some());
    }
}
