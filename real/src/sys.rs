//! The few system calls that no crate wraps without `unsafe`. The only module of the package that may use it.
//! Knows nothing of why they are made.
#![allow(unsafe_code)]

use rustix::process::{Signal, set_parent_process_death_signal};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The command's process becomes the leader of a session of its own: no terminal's or supervisor's
/// signal to our process group reaches it.
pub fn in_own_session(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; setsid(2) is one.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}

/// The command's process is killed when the thread that starts it ends, be it with our whole process: what nobody
/// waits for any more must not go on writing into a data directory.
pub fn dies_with_its_thread(command: &mut Command) {
    // SAFETY: as above; prctl(2) is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
}

/// SIGKILL has been sent to this process, which is in the middle of a call that does not return (state D). It never runs
/// a line of its own again, so that it can tell nobody of a commit. `status` is the text of /proc/PID/status.
pub fn was_killed(status: &str) -> bool {
    const SIGKILL: u64 = 1 << 8;
    let pending = |line: &str| {
        let bits = line
            .strip_prefix("SigPnd:")
            .or(line.strip_prefix("ShdPnd:"))?;
        u64::from_str_radix(bits.trim(), 16).ok()
    };
    let mut pending = status.lines().filter_map(pending);
    pending.any(|bits| bits & SIGKILL != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sigkill_that_is_pending_makes_a_killed_process() {
        let status = |thread: &str, process: &str| {
            format!(
                "Name:\tpostgres\nState:\tD (disk sleep)\nSigPnd:\t{thread}\nShdPnd:\t{process}\nSigBlk:\t0000000000000100\n"
            )
        };
        let (none, kill, quit) = ("0000000000000000", "0000000000000100", "0000000000000004");
        for (thread, process, killed) in [
            (none, none, false),
            (none, quit, false),
            (none, kill, true),
            (kill, none, true),
            (none, "0000000000004104", true),
        ] {
            assert_eq!(
                was_killed(&status(thread, process)),
                killed,
                "{thread} {process}"
            );
        }
    }
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_program_does_not_outlive_the_thread_that_started_it() {
        let started = std::thread::spawn(|| {
            let mut command = Command::new("sleep");
            command.arg("60");
            dies_with_its_thread(&mut command);
            command.spawn().unwrap()
        });
        let mut child = started.join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
