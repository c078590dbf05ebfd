//! What the fencer keeps in its state directory: the lock that makes it the only one, its socket, and
//! the account of its last firing. Opened at start; afterwards nothing waits for this disk.

use super::process_table::{ProcessId, identify, is_alive};
use super::protocol::{Firing, to_line};
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// What the kernel takes as the path of a socket, without the closing zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    #[error("state_dir {dir:?} cannot be used: {source}. Create it with mode 0700 for the user that runs the agent, or choose another", dir = .0, source = .1)]
    Unusable(PathBuf, #[source] std::io::Error),
    #[error(
        "state_dir {0:?} is open to others (mode {1:o}, owner uid {2}). It must belong to the user that runs the agent, with mode 0700"
    )]
    Exposed(PathBuf, u32, u32),
    #[error(
        "state_dir {0:?} is too long: its socket's path has {1} bytes, and the kernel takes {SOCKET_PATH_BYTES_MAX}. Choose a shorter state_dir"
    )]
    PathTooLong(PathBuf, usize),
    #[error("another fencer holds {0:?}: there is exactly one for a data directory")]
    Locked(PathBuf),
}

/// Held for the life of the fencer.
#[derive(Debug)]
pub struct StateDir {
    dir: PathBuf,
    /// The lock ends with the process, however it ends; children do not inherit it.
    _lock: File,
}

pub fn socket_path(dir: &Path) -> Result<PathBuf, StateDirError> {
    let path = dir.join("fencer.sock");
    let bytes = path.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        return Err(StateDirError::PathTooLong(dir.to_path_buf(), bytes));
    }
    Ok(path)
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.join("fencer.lock")
}

/// Who wrote its name into the lock, if that very process still lives.
pub fn lock_holder(dir: &Path) -> Option<ProcessId> {
    let mut text = String::new();
    let file = File::open(lock_path(dir)).ok()?;
    file.take(64).read_to_string(&mut text).ok()?;
    let (pid, start_time) = text.trim().split_once(' ')?;
    let named = ProcessId {
        pid: pid.parse().ok()?,
        start_time: start_time.parse().ok()?,
    };
    is_alive(named).then_some(named)
}

impl StateDir {
    /// Makes the directory if need be, checks it, and takes the lock.
    pub fn take(dir: &Path) -> Result<StateDir, StateDirError> {
        socket_path(dir)?;
        let unusable = |e| StateDirError::Unusable(dir.to_path_buf(), e);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(unusable)?;
        let metadata = std::fs::metadata(dir).map_err(unusable)?;
        let mode = metadata.mode() & 0o7777;
        if metadata.uid() != geteuid().as_raw() || mode & 0o077 != 0 {
            let owner = metadata.uid();
            return Err(StateDirError::Exposed(dir.to_path_buf(), mode, owner));
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(lock_path(dir))
            .map_err(unusable)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
            rustix::io::Errno::WOULDBLOCK => StateDirError::Locked(dir.to_path_buf()),
            other => unusable(other.into()),
        })?;
        if let Some(own) = identify(std::process::id()) {
            lock.set_len(0).map_err(unusable)?;
            let name = format!("{} {}\n", own.pid, own.start_time);
            lock.write_all(name.as_bytes()).map_err(unusable)?;
        }
        Ok(StateDir {
            dir: dir.to_path_buf(),
            _lock: lock,
        })
    }

    /// The socket appears under its name only once it listens, so nobody finds it half made.
    pub fn listen(&self) -> Result<UnixListener, StateDirError> {
        let unusable = |e| StateDirError::Unusable(self.dir.clone(), e);
        let path = socket_path(&self.dir)?;
        let early = self.dir.join("fencer.new");
        let _ = std::fs::remove_file(&early);
        let listener = UnixListener::bind(&early).map_err(unusable)?;
        listener.set_nonblocking(true).map_err(unusable)?;
        std::fs::rename(&early, &path).map_err(unusable)?;
        Ok(listener)
    }

    /// Writes the account of a firing, on a thread of its own since the disk may hang. Best effort: the
    /// same account goes to the next agent.
    pub fn record(&self, firing: &Firing) {
        let (line, path) = (to_line(firing), self.dir.join("last-firing.json"));
        let early = self.dir.join("last-firing.new");
        let write = move || {
            if std::fs::write(&early, line).is_ok() {
                let _ = std::fs::rename(&early, &path);
            }
        };
        let _ = std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(write);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_the_kernel_would_cut_is_an_error_that_names_state_dir() {
        let long = PathBuf::from(format!("/{}", "d".repeat(100)));
        let error = socket_path(&long).unwrap_err().to_string();
        assert!(
            error.contains("state_dir") && error.contains("113 bytes"),
            "{error}"
        );
        assert!(socket_path(Path::new("/run/tanist")).is_ok());
    }

    #[test]
    fn a_state_directory_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("open");
        DirBuilder::new().mode(0o755).create(&dir).unwrap();
        let error = StateDir::take(&dir).unwrap_err();
        assert!(matches!(error, StateDirError::Exposed(..)), "{error}");
    }

    #[test]
    fn the_lock_names_its_holder_and_admits_no_second() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("state");
        let held = StateDir::take(&dir).unwrap();
        assert_eq!(lock_holder(&dir), identify(std::process::id()));
        assert!(matches!(
            StateDir::take(&dir),
            Err(StateDirError::Locked(_))
        ));
        drop(held);
        assert!(StateDir::take(&dir).is_ok());
    }
}
