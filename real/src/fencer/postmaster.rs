//! The postmaster that the fencer holds: started by it, or adopted. Answers whether it has exited, and how.
//! Signals nobody, and decides nothing.
//!
//! The fencer itself never waits for a disk, not even for reading PostgreSQL's program: it starts its
//! own program again (which is in memory), and that one opens the log and becomes the postmaster.

use super::pidfd::Held;
use super::process_table::{Instance, ProcessId, stat};
use super::protocol::{ExitHow, SpawnPostmaster};
use rustix::process::{WaitOptions, WaitStatus, wait};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The first argument by which this program knows that it is to become a postmaster.
pub const LAUNCH: &str = "launch";

#[derive(Debug)]
pub struct Postmaster {
    id: ProcessId,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// Our child: `wait` tells how it ended. The handle wakes the poll (none if it had ended at once).
    Child(Option<Held>),
    /// Of an earlier fencer, or started by hand.
    Adopted(Held),
}

/// A child that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    pub pid: u32,
    pub how: ExitHow,
}

impl Postmaster {
    pub fn spawn(wanted: &SpawnPostmaster) -> std::io::Result<Postmaster> {
        let mut child = Command::new("/proc/self/exe")
            .arg(LAUNCH)
            .arg(&wanted.log_path)
            .args(&wanted.argv)
            .env_clear()
            .envs(wanted.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // Not yet reaped, so its number and its start time are still its own even if it has ended.
        let start_time = match stat(child.id()) {
            Ok(found) => found.map_or(0, |stat| stat.start_time),
            // Whom we cannot name we cannot hold.
            Err(e) => {
                child.kill()?;
                child.wait()?;
                return Err(e);
            }
        };
        let id = ProcessId {
            pid: child.id(),
            start_time,
        };
        Ok(Postmaster {
            id,
            origin: Origin::Child(Held::open(id)),
        })
    }

    /// Takes over a postmaster that runs already, if it is one, and of this instance.
    pub fn adopt(id: ProcessId, instance: &Instance) -> Result<Postmaster, String> {
        let Some(held) = Held::open(id) else {
            return Err(format!(
                "no process {} that started at {} is alive",
                id.pid, id.start_time
            ));
        };
        let server = instance
            .is_server(id.pid)
            .map_err(|e| format!("process {} cannot be looked at: {e}", id.pid))?;
        if !server {
            return Err(format!(
                "process {} does not run {} in {:?}",
                id.pid, instance.program, instance.data_dir
            ));
        }
        Ok(Postmaster {
            id,
            origin: Origin::Adopted(held),
        })
    }

    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// What to poll: readable once it has exited.
    pub fn handle(&self) -> Option<&Held> {
        match &self.origin {
            Origin::Child(held) => held.as_ref(),
            Origin::Adopted(held) => Some(held),
        }
    }

    /// How it ended, if it has. `reaped` are the children that ended since the last look.
    pub fn exit(&self, reaped: &[Reaped]) -> Option<ExitHow> {
        match &self.origin {
            Origin::Child(_) => reaped
                .iter()
                .find(|child| child.pid == self.id.pid)
                .map(|child| child.how),
            Origin::Adopted(held) => held.has_exited().then_some(ExitHow::NotKnown),
        }
    }
}

/// Takes leave of every child that has ended, orphans of the postmaster included.
pub fn reap() -> Vec<Reaped> {
    let mut reaped = Vec::new();
    // Ends: each turn removes one zombie, and without one `wait` returns nothing.
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        reaped.push(Reaped {
            pid: pid.as_raw_nonzero().get().unsigned_abs(),
            how: exit_how(status),
        });
    }
    reaped
}

fn exit_how(status: WaitStatus) -> ExitHow {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitHow::Code(code),
        (None, Some(signal)) => ExitHow::Signal(signal),
        (None, None) => ExitHow::NotKnown,
    }
}

/// Runs in the child: opens the log, leaves the fencer's session, and becomes the postmaster. Returns
/// only with an exit code, if that failed: 126 when the log cannot be opened, 127 when the program
/// cannot be run (the log then says why).
pub fn launch(arguments: &[String]) -> i32 {
    let [log_path, program, rest @ ..] = arguments else {
        return 126;
    };
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log_path);
    let Ok(log) = opened else { return 126 };
    let Ok(errors) = log.try_clone() else {
        return 126;
    };
    // Fails only for a process group's leader, which a fresh child is not.
    let _ = rustix::process::setsid();
    let error = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .exec();
    if let Ok(mut log) = OpenOptions::new().append(true).open(log_path) {
        let text = format!("tanist-fencer: cannot run {program}: {error}\n");
        let _ = std::io::Write::write_all(&mut log, text.as_bytes());
    }
    127
}
