//! Leaves nothing behind: ends every process that was started on a folder, and removes the folder; also
//! when the run is interrupted, whatever it is doing at that moment.

use super::{network, process};
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

/// What an interrupt undoes: one run may make several folders and networks, one after the other.
static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());
static WAITING: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
enum Made {
    Folder(PathBuf),
    /// Goes after the folders, whose processes live in it.
    Network {
        bridge: String,
        namespaces: Vec<String>,
    },
}

/// On SIGINT and SIGTERM: sweeps from a thread of its own and ends this process.
pub fn sweep_on_signal(folder: PathBuf) -> anyhow::Result<()> {
    remember(Made::Folder(folder))
}

fn be_ready() -> anyhow::Result<()> {
    if WAITING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let waits = wait_for_signal();
    if waits.is_err() {
        WAITING.store(false, Ordering::Relaxed);
    }
    waits
}

/// The same for a network of namespaces on a bridge, if it is still there then.
pub fn remove_on_signal(bridge: &str, namespaces: Vec<String>) -> anyhow::Result<()> {
    let bridge = bridge.to_string();
    remember(Made::Network { bridge, namespaces })
}

fn remember(made: Made) -> anyhow::Result<()> {
    MADE.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(made);
    be_ready()
}

fn wait_for_signal() -> anyhow::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    std::thread::spawn(move || {
        while !asked.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        undo_all();
        std::process::exit(130);
    });
    Ok(())
}

fn undo_all() {
    let all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    for made in all.iter() {
        if let Made::Folder(folder) = made
            && folder.exists()
        {
            println!("\nInterrupted: ending everything in {}.", folder.display());
            if let Err(why) = sweep(folder) {
                eprintln!("{why:#}");
            }
        }
    }
    for made in all.iter() {
        if let Made::Network { bridge, namespaces } = made
            && Path::new("/sys/class/net").join(bridge).exists()
        {
            network::remove(bridge, namespaces);
        }
    }
}
