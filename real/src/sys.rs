//! The few system calls that no crate wraps without `unsafe`. The only module of the package that may use it.
//! Knows nothing of why they are made.
#![allow(unsafe_code)]

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
