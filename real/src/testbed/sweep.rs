//! Leaves nothing behind: ends every process that was started on a folder, and removes the folder; also
//! when the run is interrupted, whatever it is doing at that moment.

use super::process;
use anyhow::Context;
use rustix::process::Signal;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Ends every process of the folder, then removes it. Gives back how many processes there were.
pub fn sweep(folder: &Path) -> anyhow::Result<usize> {
    let mut ended = 0;
    // Bounded: whoever starts processes is killed in the first round.
    for _ in 0..200 {
        let mut left = process::started_on(folder);
        left.extend(process::of_instances_below(folder));
        left.retain(|seen| seen.pid != std::process::id());
        if left.is_empty() {
            break;
        }
        ended = ended.max(left.len());
        for seen in left {
            process::signal(seen.pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(ended),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(ended),
        Err(why) => Err(why).with_context(|| format!("removing {}", folder.display())),
    }
}

/// What an interrupt sweeps: one run may make several folders, one after the other.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static WAITING: AtomicBool = AtomicBool::new(false);

/// On SIGINT and SIGTERM: sweeps from a thread of its own and ends this process.
pub fn sweep_on_signal(folder: PathBuf) -> anyhow::Result<()> {
    FOLDERS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(folder);
    if WAITING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    std::thread::spawn(move || {
        while !asked.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in folders.iter().filter(|folder| folder.exists()) {
            println!("\nInterrupted: ending everything in {}.", folder.display());
            if let Err(why) = sweep(folder) {
                eprintln!("{why:#}");
            }
        }
        std::process::exit(130);
    });
    Ok(())
}
