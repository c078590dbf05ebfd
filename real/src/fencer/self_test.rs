//! How long does ending processes take on this host? Measured once at start, on dummies, and reported,
//! so that `stop` rests on a measure. A floor, not a promise: a server with much shared memory ends slower.

use super::pidfd::signal;
use super::postmaster::reap;
use super::process_table::{Instance, identify};
use super::protocol::SelfTest;
use crate::clock;
use rustix::process::Signal;
use std::process::{Command, Stdio};
use std::time::Duration;
use tanist_core::time::Span;

/// The first argument by which this program knows that it is only a dummy.
pub const IDLE: &str = "idle";
const DUMMIES: usize = 3;
const PATIENCE: Span = Span::secs(2);

/// What a dummy does: nothing, and not for long if its fencer dies.
pub fn idle() -> i32 {
    std::thread::sleep(Duration::from_secs(10));
    0
}

pub fn measure(instance: &Instance) -> Result<SelfTest, String> {
    let mut dummies = Vec::new();
    for _ in 0..DUMMIES {
        let child = Command::new("/proc/self/exe")
            .arg(IDLE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("the self-test cannot start a process: {e}"))?;
        dummies.extend(identify(child.id()));
    }
    let own = Some(std::process::id());
    let began = clock::mono();
    let mut scan = Span::ZERO;
    for dummy in &dummies {
        signal(*dummy, Signal::KILL)
            .map_err(|e| format!("the self-test cannot end a process: {e}"))?;
    }
    loop {
        let before = clock::mono();
        let left = instance
            .processes(None, own)
            .map_err(|e| format!("the self-test cannot read the process table: {e}"))?;
        let after = clock::mono();
        scan = scan.max(after.since(before));
        reap();
        if !left.iter().any(|process| dummies.contains(&process.id)) {
            let kill = after.since(began);
            return Ok(SelfTest { scan, kill });
        }
        if after.since(began) >= PATIENCE {
            return Err(format!(
                "killed processes were still there after {PATIENCE}"
            ));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
