//! `tanist-sim replay`: does this core do again what an agent's own recording says it did? Segments of one
//! recording are given in their order.

use super::{Ended, cannot};
use std::fs;
use std::path::PathBuf;
use tanist_core::record::{Line, split_sum};
use tanist_core::replay::replay;

#[derive(Clone, Debug, clap::Args)]
pub struct Replay {
    /// Segments of one agent's recording, oldest first
    #[arg(required = true)]
    pub traces: Vec<PathBuf>,
    /// Print what the agent said of its decisions, with the time of each
    #[arg(long)]
    pub tell: bool,
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
    match replay(&text) {
        Ok(done) => {
            println!("{} handles replayed, each as it was recorded", done.handles);
            if done.lost > 0 {
                println!(
                    "{} handles were never written: the recording says so itself",
                    done.lost
                );
            }
            if let Some(line) = done.truncated {
                println!("line {line} is cut off, as a crash or a full disk leaves it");
            }
            Ended::Passed
        }
        Err(difference) => {
            println!("this core does otherwise, first in {difference}");
            Ended::Found
        }
    }
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
        let notes = handled.notes.as_array().cloned().unwrap_or_default();
        for note in notes {
            let told = match serde_json::from_value::<tanist_core::note::Note>(note.clone()) {
                Ok(note) => note.to_string(),
                // A recording of another version of the core may hold notes that this one does not know.
                Err(_) => note.to_string(),
            };
            let ms = handled.now.mono.0 / 1_000;
            println!("{:>10}.{:03}  {told}", ms / 1_000, ms % 1_000);
        }
    }
}
