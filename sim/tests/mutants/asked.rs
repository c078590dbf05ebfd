//! In which drawn runs is each bug's switch asked at all? Any other run is the same with the bug and without, and need not
//! be made.

use super::list::Mutant;
use super::switch;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// By the bug's place among `all`, the seeds from 1 to `runs` that ask its switch, in order.
pub fn seeds(
    simulator: &Path,
    scratch: &Path,
    all: &BTreeMap<String, Mutant>,
    runs: u64,
) -> Vec<Vec<u64>> {
    let by_switch = Mutex::new(vec![Vec::new(); all.len()]);
    each_seed(runs, |seed, thread| {
        let file = scratch.join(format!("asked-{thread}"));
        let _ = std::fs::remove_file(&file);
        run_of(simulator, seed)
            .env(switch::ASKED, &file)
            .stdout(Stdio::null())
            .status()
            .expect("the simulator can be started");
        let told = std::fs::read_to_string(&file).unwrap_or_default();
        let mut by_switch = by_switch.lock().expect("no thread has failed");
        for id in told.lines().filter_map(|line| line.parse::<usize>().ok()) {
            by_switch[id].push(seed);
        }
        true
    });
    let mut by_switch = by_switch.into_inner().expect("no thread has failed");
    by_switch.iter_mut().for_each(|seeds| seeds.sort_unstable());
    by_switch
}

/// One drawn run.
pub fn run_of(simulator: &Path, seed: u64) -> Command {
    let mut command = Command::new(simulator);
    command.args([
        "swarm",
        "--finds",
        "1",
        "--shrink-runs",
        "0",
        "--seeds",
        "1",
    ]);
    command.args(["--seed-from", &format!("{seed:x}")]);
    command.env_remove(switch::ON).env_remove(switch::ASKED);
    command
}

/// Calls `visit` with 1 to `last`, on all cores, until it says `false`. What was begun is ended.
fn each_seed(last: u64, visit: impl Fn(u64, usize) -> bool + Sync) {
    let all: Vec<u64> = (1..=last).collect();
    each(&all, visit);
}

/// The same for these seeds, in their order.
pub fn each(seeds: &[u64], visit: impl Fn(u64, usize) -> bool + Sync) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (next, visit) = (&next, &visit);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed) as usize;
                    match seeds.get(at) {
                        Some(seed) if visit(*seed, thread) => {}
                        Some(_) => next.store(seeds.len() as u64, Ordering::Relaxed),
                        None => return,
                    }
                }
            });
        }
    });
}
