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

#[cfg(test)]
mod tests {
    use super::*;
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
