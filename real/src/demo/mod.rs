//! A real cluster before your eyes: started, struck, healed, handed over, and every claim checked.
//! The steps are told in `story`; this file parses the command line, owns the folder, and cleans up.

mod console;
mod story;
mod wreck;

use crate::testbed::account::Account;
use crate::testbed::folder::Folder;
use crate::testbed::process;
use crate::testbed::sweep::sweep;
use crate::testbed::template::Pace;
use anyhow::bail;
use clap::{Parser, ValueEnum};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, Parser)]
#[command(
    name = "tanist-demo",
    about = "Three real nodes that survive a failover before your eyes"
)]
struct CommandLine {
    #[arg(value_enum, default_value = "watch")]
    mode: Mode,
    /// Where everything lives
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Default timings; leaves the cluster running until Ctrl-C or `make demo-stop`
    Watch,
    /// Fast timings; checks each step, ends by itself with an exit code
    Ci,
    /// End a demonstration that runs, and remove what it left
    Stop,
}

impl Mode {
    fn pace(self) -> Pace {
        match self {
            Mode::Watch => Pace::Default,
            Mode::Ci | Mode::Stop => Pace::Fast,
        }
    }
}

pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    let user = rustix::process::getuid().as_raw();
    let default = || std::env::temp_dir().join(format!("tanist-demo-{user}"));
    let path = line.folder.unwrap_or_else(default);
    let ended = match line.mode {
        Mode::Stop => stop(&path),
        Mode::Watch | Mode::Ci => run(line.mode, path),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\ndemo: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mode: Mode, path: PathBuf) -> anyhow::Result<()> {
    if let Some(pid) = running(&path) {
        bail!("a demonstration runs already (process {pid}): make demo-stop ends it");
    }
    sweep(&path)?;
    let folder = Folder::at(path.clone(), Account::ordinary()?)?;
    std::fs::write(path.join("demo.pid"), std::process::id().to_string())?;
    let program = std::env::current_exe()?.with_file_name("tanist");
    let told = story::tell(mode, &program, folder);
    let left = sweep(&path)?;
    told?;
    anyhow::ensure!(
        left == 0,
        "{left} processes were left when all should have ended"
    );
    Ok(())
}

/// `make demo-stop`.
fn stop(path: &Path) -> anyhow::Result<()> {
    if let Some(pid) = running(path) {
        process::signal(pid, Signal::TERM);
        let end = Instant::now() + Duration::from_secs(30);
        while process::is_alive(pid) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    sweep(path)?;
    println!("Nothing of the demonstration is left.");
    Ok(())
}

/// The process that tells the story in this folder.
fn running(path: &Path) -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(path.join("demo.pid"))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    (process::is_alive(pid) && pid != std::process::id() && command.contains("tanist-demo"))
        .then_some(pid)
}
