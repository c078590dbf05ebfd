//! How a fencer begins: arguments, session, lock, socket, self-test, locked memory; then it serves.
//! Everything that may wait for a disk happens here, before the first deadline can be set.

use super::guard::Guard;
use super::postmaster::{LAUNCH, launch};
use super::process_table::Instance;
use super::protocol::Memory;
use super::self_test::{IDLE, idle, measure};
use super::serve::Server;
use super::state_dir::{StateDir, StateDirError};
use crate::clock;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, geteuid, getpid, getrlimit, set_child_subreaper, setsid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tanist_core::time::Span;

/// The exit code that means: another fencer holds the lock.
pub const EXIT_LOCKED: i32 = 3;
const EXIT_UNUSABLE: i32 = 2;

const USAGE: &str = "usage: tanist-fencer --data-dir DIR --state-dir DIR [--kill-after-ms 300] [--program postgres] [--linger-ms 10000]
The agent starts this program; there is nothing to configure by hand.";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    pub data_dir: PathBuf,
    pub state_dir: PathBuf,
    /// From SIGQUIT to SIGKILL.
    pub kill_after: Span,
    /// The file name of the server's program.
    pub program: String,
    /// How long it stays when nobody needs it.
    pub linger: Span,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}\n{USAGE}")]
    Usage(String),
    #[error(
        "data directory {0:?} cannot be resolved: {1}. Give the directory that PostgreSQL runs in"
    )]
    DataDir(PathBuf, std::io::Error),
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error("{0}")]
    SelfTest(String),
    #[error("this kernel refuses what the fencer needs: {0}")]
    Kernel(#[from] std::io::Error),
}

/// The whole program. The exit code is for whoever started it.
pub fn main(arguments: &[String]) -> i32 {
    match arguments {
        [word, rest @ ..] if word == LAUNCH => return launch(rest),
        [word] if word == IDLE => return idle(),
        _ => {}
    }
    match Arguments::parse(arguments).and_then(run) {
        Ok(()) => 0,
        Err(e) => {
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("tanist-fencer: {e}\n"),
            );
            match e {
                StartError::StateDir(StateDirError::Locked(_)) => EXIT_LOCKED,
                StartError::Usage(_)
                | StartError::DataDir(..)
                | StartError::StateDir(_)
                | StartError::SelfTest(_)
                | StartError::Kernel(_) => EXIT_UNUSABLE,
            }
        }
    }
}

impl Arguments {
    fn parse(arguments: &[String]) -> Result<Arguments, StartError> {
        let (mut data_dir, mut state_dir) = (None, None);
        let (mut kill_after, mut linger) = (Span::millis(300), Span::secs(10));
        let mut program = "postgres".to_string();
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let value = rest
                .next()
                .ok_or_else(|| StartError::Usage(format!("{name} needs a value")))?;
            match name.as_str() {
                "--data-dir" => data_dir = Some(PathBuf::from(value)),
                "--state-dir" => state_dir = Some(PathBuf::from(value)),
                "--kill-after-ms" => kill_after = millis(name, value)?,
                "--linger-ms" => linger = millis(name, value)?,
                "--program" => program.clone_from(value),
                other => return Err(StartError::Usage(format!("unknown argument {other}"))),
            }
        }
        let missing = |name: &str| StartError::Usage(format!("{name} is missing"));
        Ok(Arguments {
            data_dir: data_dir.ok_or_else(|| missing("--data-dir"))?,
            state_dir: state_dir.ok_or_else(|| missing("--state-dir"))?,
            kill_after,
            program,
            linger,
        })
    }
}

fn millis(name: &str, value: &str) -> Result<Span, StartError> {
    let whole = value.parse::<u32>();
    whole
        .map(|n| Span::millis(u64::from(n)))
        .map_err(|_| StartError::Usage(format!("{name} takes whole milliseconds, not {value:?}")))
}

fn run(arguments: Arguments) -> Result<(), StartError> {
    // Fails only when this process leads a group already, as when started from a shell: harmless.
    let _ = setsid();
    let data_dir = std::fs::canonicalize(&arguments.data_dir)
        .map_err(|e| StartError::DataDir(arguments.data_dir.clone(), e))?;
    let state_dir = std::path::absolute(&arguments.state_dir)?;
    let state_dir = StateDir::take(&state_dir)?;
    std::env::set_current_dir("/")?;
    set_child_subreaper(Some(getpid())).map_err(std::io::Error::from)?;
    let terminate = Arc::new(AtomicBool::new(false));
    // A handler rather than "ignore": what is ignored stays ignored in the postmaster, too.
    for signal in [SIGTERM, SIGINT, SIGQUIT, SIGHUP] {
        flag::register(signal, Arc::clone(&terminate))?;
    }
    let instance = Instance {
        data_dir,
        program: arguments.program,
    };
    let self_test = measure(&instance).map_err(StartError::SelfTest)?;
    let memory = lock_memory();
    let listener = state_dir.listen()?;
    let mut guard = Guard::new(instance, arguments.kill_after, memory.clone(), self_test);
    guard.note(clock::mono(), &format!("began: {memory:?}, {self_test:?}"));
    let server = Server::new(guard, state_dir, listener, terminate, arguments.linger)?;
    Ok(server.run()?)
}

/// Locks what is there and what comes. Under a limit that leaves no room to grow, locking would turn a
/// small allocation into the end of the fencer: then rather not.
fn lock_memory() -> Memory {
    const ROOM: u64 = 2 * 1024 * 1024;
    if let Some(limit) = getrlimit(Resource::Memlock).current
        && !geteuid().is_root()
    {
        let needed = mapped_bytes().saturating_add(ROOM);
        if needed > limit {
            return Memory::NotLocked(format!(
                "the limit for locked memory is {limit} bytes, {needed} are needed (LimitMEMLOCK of the unit)"
            ));
        }
    }
    match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        Ok(()) => Memory::Locked,
        Err(e) => Memory::NotLocked(e.to_string()),
    }
}

fn mapped_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').next().and_then(|n| n.parse::<u64>().ok());
    pages.unwrap_or(u64::MAX).saturating_mul(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, StartError> {
        let words: Vec<String> = line.split(' ').map(str::to_string).collect();
        Arguments::parse(&words)
    }

    #[test]
    fn arguments_have_defaults_but_the_directories_must_be_given() {
        let got = parse("--data-dir /d --state-dir /s --kill-after-ms 50").unwrap();
        assert_eq!(
            (got.kill_after, got.linger),
            (Span::millis(50), Span::secs(10))
        );
        assert_eq!(got.program, "postgres");
        for wrong in [
            "--data-dir /d",
            "--data-dir",
            "--no-such x",
            "--linger-ms soon",
        ] {
            assert!(matches!(parse(wrong), Err(StartError::Usage(_))), "{wrong}");
        }
    }
}
