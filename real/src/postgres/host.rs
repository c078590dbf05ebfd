//! Who is the postmaster's parent? The trait by which a start asks for a postmaster, and the
//! implementation in which the agent itself is the parent (`fencer: off`).
//! Knows nothing of roles, timeouts or what the server is started for.

use crate::sys;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A postmaster to be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostmasterCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Where stdout and stderr go: appended to, created with mode 0600.
    pub log_file: PathBuf,
}

/// Starts postmasters. Called from the thread of the start, which may block.
pub trait PostmasterHost: Send + Sync {
    /// The pid of the postmaster, which leads a session of its own and is reaped by the host when it ends.
    fn spawn(&self, command: &PostmasterCommand) -> io::Result<u32>;
}

/// The agent is the parent.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectHost;

impl PostmasterHost for DirectHost {
    fn spawn(&self, command: &PostmasterCommand) -> io::Result<u32> {
        let (program, args) = command
            .argv
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program to start"))?;
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&command.log_file)?;
        let mut process = Command::new(program);
        process
            .args(args)
            .env_clear()
            .envs(command.env.iter().cloned());
        process
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        sys::in_own_session(&mut process);
        let mut child = process.spawn()?;
        let pid = child.id();
        // A thread that waits for one process and ends with it: a postmaster must not stay a zombie.
        std::thread::Builder::new()
            .name("postmaster-reaper".to_string())
            .spawn(move || child.wait())?;
        Ok(pid)
    }
}
