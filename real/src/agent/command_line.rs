//! The command line of `tanist`. Patroni's words where Patroni has them.

use crate::settings;
use clap::Parser;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use tanist_core::replay::replay;

/// High availability for PostgreSQL: the agent of one member.
#[derive(Debug, Parser)]
#[command(name = "tanist", version)]
pub struct CommandLine {
    /// YAML file, or directory of YAML files. Without it: PATRONI_CONFIGURATION, or PATRONI_* variables alone
    #[arg(value_name = "CONFIG", env = "TANIST_CONFIG_FILE")]
    pub config: Option<PathBuf>,
    /// Check the configuration, tell every problem with its line, and end
    #[arg(long)]
    pub validate_config: bool,
    /// Replay segments of a flight recording, in their order, and tell the first difference
    #[arg(long, value_name = "SEGMENT", num_args = 1.., conflicts_with_all = ["config", "validate_config"])]
    pub replay: Vec<PathBuf>,
}

/// Something is wrong with the configuration, or the agent must not run here.
pub const EXIT_REFUSED: u8 = 1;

pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    if !line.replay.is_empty() {
        return replay_recording(&line.replay);
    }
    // `vars` panics on a variable that is not UTF-8; none of ours is.
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    let local = match settings::load(line.config.as_deref(), &env) {
        Ok(local) => local,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(EXIT_REFUSED);
        }
    };
    if line.validate_config {
        for warning in &local.warnings {
            eprintln!("warning: {warning}");
        }
        return ExitCode::SUCCESS;
    }
    super::start::main(super::start::Configuration {
        path: line.config,
        env,
        local,
    })
}

fn replay_recording(segments: &[PathBuf]) -> ExitCode {
    let mut text = String::new();
    for path in segments {
        match std::fs::read(path) {
            // A byte that is not UTF-8 was changed after it was written: its line's sum tells.
            Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                return ExitCode::from(EXIT_REFUSED);
            }
        }
    }
    match replay(&text) {
        Ok(done) => {
            println!(
                "{} inputs replayed, the same to the last byte",
                done.handles
            );
            if done.lost > 0 {
                println!("{} inputs were not recorded", done.lost);
            }
            if let Some(line) = done.truncated {
                println!("line {line} is cut off");
            }
            ExitCode::SUCCESS
        }
        Err(difference) => {
            eprintln!("{difference}");
            ExitCode::from(EXIT_REFUSED)
        }
    }
}
