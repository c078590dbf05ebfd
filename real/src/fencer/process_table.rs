//! Which processes belong to this PostgreSQL instance? Answers from /proc alone, which is memory, not a disk.
//! Knows nothing of deadlines, and signals nobody.
//!
//! What cannot be read is an error, never "nobody": too many open files must not look like an instance that has ended.
//!
//! Only `stat`, `cwd` and `exe` are read. `/proc/PID/cmdline` would be telling, but reading it takes the
//! memory map lock of that process and may wait for its swapped pages: exactly when a fencer must not wait.

use crate::sys;
use rustix::fs::{CWD, readlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A process, safe against the reuse of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: u32,
    /// Field 22 of /proc/PID/stat: clock ticks since boot.
    pub start_time: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProcess {
    pub id: ProcessId,
    pub parent: u32,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Runs the server's program: the postmaster, a backend, an auxiliary process. May report a commit.
    Server,
    /// Started by the server (archive command, COPY TO PROGRAM) and running another program. Cannot commit.
    Helper,
}

/// What makes a process one of this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Resolved: the server changes into it and stays there.
    pub data_dir: PathBuf,
    /// The file name of the server's program, usually `postgres`.
    pub program: String,
}

/// One line of the process table, as far as we read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub parent: u32,
    pub start_time: u64,
    pub life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Alive,
    /// Alive, and in a call that cannot be interrupted.
    InDiskWait,
    /// It has ended and only waits for its parent to ask how. It holds no memory and runs nothing: dead.
    Zombie,
    /// In a disk wait, with SIGKILL pending: it never runs a line of its own again.
    Killed,
}

impl Life {
    /// It may yet run a line of its own.
    pub fn runs(self) -> bool {
        match self {
            Life::Alive | Life::InDiskWait => true,
            Life::Zombie | Life::Killed => false,
        }
    }
}

/// The process `pid` right now; `None` when there is none.
pub fn stat(pid: u32) -> io::Result<Option<Stat>> {
    let mut found = read_stat(&PathBuf::from(format!("/proc/{pid}/stat")))?;
    if let Some(stat) = found.as_mut().filter(|s| s.life == Life::InDiskWait) {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        // One whose status cannot be read counts as one that runs.
        if status.is_ok_and(|status| sys::was_killed(&status)) {
            stat.life = Life::Killed;
        }
    }
    Ok(found)
}

fn read_stat(path: &Path) -> io::Result<Option<Stat>> {
    match std::fs::read(path) {
        Ok(line) => match parse_stat(&line) {
            Some(stat) => Ok(Some(stat)),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is no line of the process table", path.display()),
            )),
        },
        Err(e) if is_gone(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The only errors by which the kernel says that there is no such process.
fn is_gone(e: &io::Error) -> bool {
    let code = e.raw_os_error();
    code == Some(Errno::NOENT.raw_os_error()) || code == Some(Errno::SRCH.raw_os_error())
}

/// The living process `pid`, named so that its number can be recycled without harm.
pub fn identify(pid: u32) -> Option<ProcessId> {
    let stat = stat(pid).ok()??;
    stat.life.runs().then_some(ProcessId {
        pid,
        start_time: stat.start_time,
    })
}

/// Is this very process alive? One that cannot be asked for is.
pub fn is_alive(id: ProcessId) -> bool {
    match stat(id.pid) {
        Ok(Some(stat)) => stat.life.runs() && stat.start_time == id.start_time,
        Ok(None) => false,
        Err(_) => true,
    }
}

fn parse_stat(line: &[u8]) -> Option<Stat> {
    // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    let name_end = line.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(line.get(name_end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let state = fields.first()?;
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
        life: match *state {
            "Z" | "X" | "x" => Life::Zombie,
            "D" => Life::InDiskWait,
            _ => Life::Alive,
        },
    })
}

impl Instance {
    /// Does this process run the server's program in the data directory?
    pub fn is_server(&self, pid: u32) -> io::Result<bool> {
        Ok(self.runs_program(pid)? && self.works_in_data_dir(pid)?)
    }

    fn runs_program(&self, pid: u32) -> io::Result<bool> {
        let exe = link(pid, "exe")?;
        let name = exe.as_deref().and_then(Path::file_name);
        let name = name.and_then(|name| name.to_str());
        // After an upgrade the old program goes on running from a deleted file.
        Ok(name.is_some_and(|name| name.trim_end_matches(" (deleted)") == self.program))
    }

    fn works_in_data_dir(&self, pid: u32) -> io::Result<bool> {
        let cwd = link(pid, "cwd")?;
        Ok(cwd.is_some_and(|cwd| same_dir(&cwd, &self.data_dir)))
    }

    /// Every living process of the instance: the descendants of `postmaster`, those of `subreaper`
    /// (to which the postmaster's orphans come), and whoever runs the server's program in the data
    /// directory, whoever its parent is.
    pub fn processes(
        &self,
        postmaster: Option<ProcessId>,
        subreaper: Option<u32>,
    ) -> io::Result<Vec<InstanceProcess>> {
        let table = read_table()?;
        let mut found = Vec::new();
        for (&pid, stat) in &table {
            if Some(pid) == subreaper || !stat.life.runs() {
                continue;
            }
            let id = ProcessId {
                pid,
                start_time: stat.start_time,
            };
            let related = descends(&table, pid, postmaster, subreaper);
            // A postmaster that is still being launched does not run the server's program yet.
            let server = Some(id) == postmaster
                || self.is_server(pid)?
                || (related && self.runs_program(pid)?);
            if related || server {
                found.push(InstanceProcess {
                    id,
                    parent: stat.parent,
                    kind: if server { Kind::Server } else { Kind::Helper },
                });
            }
        }
        Ok(found)
    }
}

/// Walks up from `pid` to the postmaster or to a child of the subreaper.
fn descends(
    table: &BTreeMap<u32, Stat>,
    pid: u32,
    postmaster: Option<ProcessId>,
    subreaper: Option<u32>,
) -> bool {
    let mut at = pid;
    // Bounded: numbers may be recycled between two reads of the table, and a loop must not hang us.
    for _ in 0..64 {
        let Some(stat) = table.get(&at) else {
            return false;
        };
        let is_postmaster = postmaster.is_some_and(|held| {
            held == ProcessId {
                pid: at,
                start_time: stat.start_time,
            }
        });
        if is_postmaster || Some(stat.parent) == subreaper {
            return true;
        }
        at = stat.parent;
    }
    false
}

fn read_table() -> io::Result<BTreeMap<u32, Stat>> {
    let mut table = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(stat) = stat(pid)? {
            table.insert(pid, stat);
        }
    }
    Ok(table)
}

/// Where a link of the process leads. `None`: it is gone, has none (a thread of the kernel), or belongs to another
/// user, and then it is not of this instance, which runs as the user of its fencer.
fn link(pid: u32, name: &str) -> io::Result<Option<PathBuf>> {
    match readlinkat(CWD, format!("/proc/{pid}/{name}"), Vec::new()) {
        Ok(target) => Ok(target.into_string().ok().map(PathBuf::from)),
        Err(Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn same_dir(cwd: &Path, data_dir: &Path) -> bool {
    // The kernel marks a directory that was removed under its process.
    cwd == data_dir
        || cwd
            .to_str()
            .and_then(|cwd| cwd.strip_suffix(" (deleted)"))
            .is_some_and(|cwd| Path::new(cwd) == data_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";

    #[test]
    fn a_program_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = parse_stat(format!("9 (a) S (b) S 1 {TAIL}").as_bytes()).unwrap();
        assert_eq!((stat.parent, stat.start_time), (1, 777));
        assert_eq!(stat.life, Life::Alive);
    }

    #[test]
    fn a_zombie_is_dead() {
        let stat = parse_stat(format!("9 (postgres) Z 1 {TAIL}").as_bytes()).unwrap();
        assert_eq!(stat.life, Life::Zombie);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_only_a_missing_process_is_nobody() {
        assert_eq!(parse_stat(b"9 (postgres) S 1 2"), None);
        let nobody = Path::new("/proc/4294967295/stat");
        assert_eq!(read_stat(nobody).unwrap(), None);
        // A directory and an empty file stand for a table that does not answer as it should.
        assert!(read_stat(Path::new("/proc")).is_err());
        assert!(read_stat(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn this_process_is_alive_and_its_number_with_another_start_time_is_not() {
        let id = identify(std::process::id()).unwrap();
        assert!(is_alive(id));
        assert!(!is_alive(ProcessId {
            start_time: id.start_time + 1,
            ..id
        }));
    }

    #[test]
    fn a_removed_data_directory_is_still_the_data_directory() {
        assert!(same_dir(
            Path::new("/data/a (deleted)"),
            Path::new("/data/a")
        ));
        assert!(!same_dir(Path::new("/data/ab"), Path::new("/data/a")));
    }
}
