//! `tanist-sim replay`: does this core do again what an agent's own recording says it did? Up to where, with which
//! other core, with what changed: the options say. Segments of one recording are given in their order.

use super::{Ended, cannot};
use crate::scenario::lex;
use std::fs;
use std::path::PathBuf;
use tanist_core::agent::Agent;
use tanist_core::record::{Line, split_sum};
use tanist_core::replay::{Change, Difference, How, State, Until, replay_with, words};
use tanist_core::time::Span;

#[derive(Clone, Debug, clap::Args)]
pub struct Replay {
    /// Segments of one agent's recording, oldest first
    #[arg(required = true)]
    pub traces: Vec<PathBuf>,
    /// Print what the agent said of its decisions, with number and time of each
    #[arg(long)]
    pub tell: bool,
    /// Go no further than this handle (4182), or this time after the agent's start (1m30s)
    #[arg(long, value_name = "N|TIME", value_parser = until)]
    pub until: Option<Until>,
    /// Stop there, too, and print what the agent knew and had decided
    #[arg(long, value_name = "N|TIME", value_parser = until, conflicts_with = "until")]
    pub at: Option<Until>,
    /// The recording is of another core: only what was decided is compared, not every field of the state
    #[arg(long)]
    pub as_if: bool,
    /// What if? `delay input 4182 by 200ms`, `drop input 4182`: the first decision that would have been another
    #[arg(long, value_name = "CHANGE", value_parser = change)]
    pub with: Option<Change>,
}

fn until(text: &str) -> Result<Until, String> {
    let number = text.parse().ok().map(Until::Handle);
    let found = number.or_else(|| lex::span(text).map(Until::Time));
    found.ok_or_else(|| format!("{text:?} is neither a handle's number nor a time such as 1m30s"))
}

fn change(text: &str) -> Result<Change, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |word: &str| word.parse::<u64>().ok();
    let found = match words.as_slice() {
        ["delay", "input", n, "by", by] => number(n)
            .zip(lex::span(by))
            .map(|(n, by)| Change::Delay { n, by }),
        ["drop", "input", n] => number(n).map(|n| Change::Drop { n }),
        _ => None,
    };
    let hint = "`delay input 4182 by 200ms` or `drop input 4182` are changes";
    found.ok_or_else(|| format!("{text:?} is not understood; {hint}"))
}

pub fn command(args: &Replay) -> Ended {
    let mut text = String::new();
    for path in &args.traces {
        match fs::read_to_string(path) {
            Ok(segment) => text.push_str(&segment),
            Err(e) => return cannot(format!("{}: {e}", path.display())),
        }
    }
    if args.tell {
        tell(&text);
    }
    let how = How {
        until: args.until.or(args.at),
        state: if args.as_if {
            State::NotCompared
        } else {
            State::Compared
        },
        change: args.with,
    };
    match replay_with(&text, how) {
        Ok(done) => {
            let told = match args.with {
                Some(_) => "decided again, and the change changes none of them",
                None => "replayed, each as it was recorded",
            };
            println!("{} handles {told}", done.handles);
            if done.lost > 0 {
                println!(
                    "{} handles were never written: the recording says so itself",
                    done.lost
                );
            }
            if let Some(line) = done.truncated {
                println!("line {line} is cut off, as a crash or a full disk leaves it");
            }
            if let (Some(_), Some(agent)) = (args.at, &done.agent) {
                println!("{}", known(agent));
            }
            Ended::Passed
        }
        Err(difference) => {
            println!("{}", explained(&difference, args.with));
            Ended::Found
        }
    }
}

/// What the agent shows of itself, as its `/patroni` endpoint and `tanistctl trace` would.
fn known(agent: &Agent) -> String {
    serde_json::to_string_pretty(&agent.view()).unwrap_or_default()
}

/// The first difference: the place on one line, then the handle, field by field, and what was said.
fn explained(difference: &Difference, with: Option<Change>) -> String {
    let whose = match with {
        Some(_) => "with this change it would have decided otherwise, first in",
        None => "this core does otherwise, first in",
    };
    let mut lines = vec![format!("{whose} {difference}")];
    let Some(parted) = &difference.handle else {
        return lines.remove(0);
    };
    lines.push(format!(
        "handle {} at {} of its host's clock, told: {}",
        parted.n,
        lex::show_span(Span(parted.now.mono.0)),
        parted.input
    ));
    for field in &parted.fields {
        lines.push(format!("  {}", field.path));
        lines.push(format!("    recorded {}", field.recorded));
        lines.push(format!("    replayed {}", field.replayed));
    }
    for (when, said) in [
        ("it said then", &parted.said),
        ("it says now", &parted.says),
    ] {
        let told = if said.is_empty() {
            "nothing".to_string()
        } else {
            said.join("; ")
        };
        lines.push(format!("  {when}: {told}"));
    }
    lines.join("\n")
}

/// The notes of the recording, without judging it.
fn tell(text: &str) {
    for raw in text.lines() {
        let Some((body, _)) = split_sum(raw) else {
            continue;
        };
        let Ok(Line::Handle(handled)) = serde_json::from_str(&body) else {
            continue;
        };
        for told in words(&handled.notes) {
            let ms = handled.now.mono.0 / 1_000;
            println!(
                "{:>7} {:>10}.{:03}  {told}",
                handled.n,
                ms / 1_000,
                ms % 1_000
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_and_a_place_are_read_and_others_answered_with_examples() {
        let delay = Change::Delay {
            n: 4182,
            by: Span::millis(200),
        };
        assert_eq!(change("delay input 4182 by 200ms"), Ok(delay));
        assert_eq!(change("drop  input 7"), Ok(Change::Drop { n: 7 }));
        assert!(
            change("delay input x by 3")
                .unwrap_err()
                .contains("drop input 4182")
        );
        assert_eq!(until("17"), Ok(Until::Handle(17)));
        assert_eq!(until("1m30s"), Ok(Until::Time(Span::secs(90))));
        assert!(until("soon").is_err());
    }
}
