//! The processes of this host, as /proc shows them, and signals to them. Only processes of a testbed are
//! ever named here: by pid, by their data directory, or as one of its programs on its own folder.

use rustix::process::{Pid, Signal};
use std::path::{Path, PathBuf};

/// What a testbed starts, directly or not. Somebody's pager on a log file is none of them.
const PROGRAMS: [&str; 9] = [
    "tanist",
    "tanist-fencer",
    "patroni",
    "python3",
    "etcd",
    "haproxy",
    "initdb",
    "pg_basebackup",
    "pg_rewind",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub pid: u32,
    pub parent: u32,
    pub state: char,
    pub command: String,
}

impl Seen {
    fn of(pid: u32) -> Option<Seen> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything, a closing parenthesis too.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let raw = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&raw).replace('\0', " ");
        let command = command.trim_end().to_string();
        Some(Seen {
            pid,
            parent,
            state,
            command,
        })
    }

    fn is_program(&self, names: &[&str]) -> bool {
        let first = self.command.split(' ').next().unwrap_or_default();
        let name = first.rsplit('/').next().unwrap_or_default();
        names.contains(&name)
    }

    pub fn is_fencer(&self) -> bool {
        self.is_program(&["tanist-fencer"])
    }

    /// A word of its command line is this path, or lies below it.
    fn names(&self, path: &str) -> bool {
        self.command.split([' ', '=']).any(|word| {
            let rest = word.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
        })
    }

    /// A zombie holds nothing and can do nothing.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Every process but zombies.
fn all() -> Vec<Seen> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Seen::of).filter(Seen::is_alive).collect()
}

pub fn is_alive(pid: u32) -> bool {
    Seen::of(pid).is_some_and(|seen| seen.is_alive())
}

/// Processes of a PostgreSQL instance, postmaster and orphans included: all have the data directory as
/// their working directory, for as long as they live.
pub fn of_instance(data_dir: &Path) -> Vec<Seen> {
    of_instances(|working| working == data_dir)
}

/// The same of every instance below a folder.
pub fn of_instances_below(folder: &Path) -> Vec<Seen> {
    of_instances(|working| working.starts_with(folder))
}

fn of_instances(wanted: impl Fn(&Path) -> bool) -> Vec<Seen> {
    let mut found = all();
    found.retain(|seen| {
        seen.is_program(&["postgres", "postgres:"])
            && working_directory(seen.pid).is_some_and(|directory| wanted(&directory))
    });
    found
}

/// The postmaster of a running instance: the one whose parent is not of the instance.
pub fn postmaster(data_dir: &Path) -> Option<u32> {
    postmaster_among(data_dir, &of_instance(data_dir))
}

/// The same, where the processes of the instance were seen just now.
pub fn postmaster_among(data_dir: &Path, instance: &[Seen]) -> Option<u32> {
    let line = std::fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
    let pid: u32 = line.lines().next()?.trim().parse().ok()?;
    instance.iter().find(|s| s.pid == pid).map(|s| s.pid)
}

/// The other processes of a testbed that were started on something below `folder`.
pub fn started_on(folder: &Path) -> Vec<Seen> {
    let Some(folder) = folder.to_str() else {
        return Vec::new();
    };
    let mut found = all();
    found.retain(|seen| seen.is_program(&PROGRAMS) && seen.names(folder));
    found
}

fn working_directory(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// False when the process is gone.
pub fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
}

/// Resident memory in KiB.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_of_the_testbed_on_its_own_folder_belongs_to_it() {
        for (command, ours) in [
            ("/tmp/t/tanist /tmp/t/a.yml", true),
            ("/tmp/t/tanist-fencer --data-dir /tmp/t/a/data", true),
            ("etcd --data-dir=/tmp/t/etcd", true),
            ("less /tmp/t/a/agent.log", false),
            ("/tmp/t2/tanist /tmp/t2/a.yml", false),
            ("/tmp/t/tanistctl -c /tmp/t/a.yml list", false),
        ] {
            let seen = Seen {
                pid: 1,
                parent: 0,
                state: 'S',
                command: command.into(),
            };
            assert_eq!(
                seen.is_program(&PROGRAMS) && seen.names("/tmp/t"),
                ours,
                "{command}"
            );
        }
    }
}
