//! The one folder in which a testbed lives. It belongs to the account that runs the servers, holds copies
//! of the binaries (a build tree under /root cannot be entered by others), and goes when dropped.

use super::account::Account;
use super::sweep::sweep_on_signal;
use anyhow::Context;
use rustix::fs::StatVfsMountFlags;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where files live in memory, if the system has such a place.
const MEMORY: &str = "/dev/shm";
/// Three data directories with the WAL that they keep, their copies of a clone or rewind, and etcd.
const ROOM_BYTES: u64 = 4 << 30;

#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    account: Account,
    at_end: AtEnd,
}

/// What becomes of the folder when its testbed ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    Remove,
    Keep,
}

impl Folder {
    /// A fresh folder: in memory where there is room, so that no fsync of a shared disk is measured as
    /// an outage; else, or where `TMPDIR` names a place, below the temporary directory.
    pub fn temporary(prefix: &str, account: Account) -> anyhow::Result<Folder> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{next}", std::process::id());
        let asked = std::env::var_os("TMPDIR").is_some_and(|dir| !dir.is_empty());
        let below = if !asked && has_room(Path::new(MEMORY)) {
            PathBuf::from(MEMORY)
        } else {
            std::env::temp_dir()
        };
        Folder::at(below.join(name), account)
    }

    /// The folder at `path`, which must not exist. An interrupt ends all that was started on it.
    pub fn at(path: PathBuf, account: Account) -> anyhow::Result<Folder> {
        std::fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        account.give(&path)?;
        sweep_on_signal(path.clone())?;
        let at_end = AtEnd::Remove;
        Ok(Folder {
            path,
            account,
            at_end,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    pub fn at_end(&mut self, what: AtEnd) {
        self.at_end = what;
    }

    pub fn subfolder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        self.account.give(&path)?;
        Ok(path)
    }

    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        self.account.give(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }

    /// Copies a binary to where the account can run it.
    pub fn adopt_binary(&self, from: &Path) -> anyhow::Result<PathBuf> {
        let name = from.file_name().context("a binary without a name")?;
        let to = self.path.join(name);
        std::fs::copy(from, &to).with_context(|| format!("copying {}", from.display()))?;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755))?;
        Ok(to)
    }
}

/// Room for a testbed whose binaries can be run there: containers often have a small or locked one.
fn has_room(dir: &Path) -> bool {
    let Ok(found) = rustix::fs::statvfs(dir) else {
        return false;
    };
    let locked = StatVfsMountFlags::NOEXEC | StatVfsMountFlags::RDONLY;
    found.f_bavail.saturating_mul(found.f_frsize) >= ROOM_BYTES && !found.f_flag.intersects(locked)
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.at_end == AtEnd::Remove
            && let Err(why) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("cannot remove {}: {why}", self.path.display());
        }
    }
}
