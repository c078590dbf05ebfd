//! Which processes belong to this instance, and which of them is its postmaster? Answers from /proc.
//! Knows nothing of why anybody asks; signals exactly the process it was told.
//!
//! A process is the instance's when its program is the server's and its working directory is the data
//! directory: the postmaster changes into it and every backend inherits that. postmaster.pid alone proves
//! nothing: it outlives its postmaster, and its number may have been given to somebody else.

use crate::sys;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use tanist_core::postgres::Processes;

/// A process, safe against the reuse of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proc {
    pub pid: u32,
    /// Field 22 of /proc/PID/stat: clock ticks since boot.
    pub started: u64,
    parent: u32,
}

/// The living processes of the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub postmaster: Option<Proc>,
    pub backends: Vec<Proc>,
    /// Killed, and held in a call by a disk that does not answer: they run nothing, and the directory is theirs.
    pub held: usize,
}

impl Found {
    /// Nobody is left who could report a commit.
    pub fn none_left(&self) -> bool {
        self.postmaster.is_none() && self.backends.is_empty()
    }
    pub fn counts(&self) -> Processes {
        Processes {
            postmaster: self.postmaster.map(|p| p.pid),
            backends: u32::try_from(self.backends.len()).unwrap_or(u32::MAX),
        }
    }
}

#[derive(Debug)]
pub struct Instance {
    data_dir: PathBuf,
    /// Resolved once: a disk that hangs later must not keep us from finding the processes.
    resolved: OnceLock<PathBuf>,
    /// The postmaster last seen, so that it is known again even when it is the only process.
    known: Mutex<Option<Proc>>,
}

impl Instance {
    pub fn new(data_dir: impl Into<PathBuf>) -> Instance {
        Instance {
            data_dir: data_dir.into(),
            resolved: OnceLock::new(),
            known: Mutex::new(None),
        }
    }

    fn resolved(&self) -> PathBuf {
        if let Some(resolved) = self.resolved.get() {
            return resolved.clone();
        }
        match fs::canonicalize(&self.data_dir) {
            Ok(resolved) => self.resolved.get_or_init(|| resolved).clone(),
            // Not there yet (or any more): nothing can run in it under another name.
            Err(_) => self.data_dir.clone(),
        }
    }

    /// Every living process of the instance. A zombie is dead: it runs nothing and holds no memory.
    pub fn scan(&self) -> io::Result<Found> {
        let dir = self.resolved();
        let (mut all, mut held) = (Vec::new(), 0);
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            if let Some(pid) = name.to_str().and_then(|n| n.parse().ok())
                && works_in(pid, &dir)
                && let Some((found, state)) = stat_and_state(pid)
            {
                match state {
                    State::Killed => held += 1,
                    State::Runs => all.push(found),
                }
            }
        }
        let postmaster = self.postmaster_of(&all);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = postmaster;
        let backends = all.into_iter().filter(|p| Some(*p) != postmaster).collect();
        Ok(Found {
            postmaster,
            backends,
            held,
        })
    }

    fn postmaster_of(&self, all: &[Proc]) -> Option<Proc> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        choose_postmaster(all, known, |pid| Title::of(&command_line(pid)))
    }

    /// The file that the postmaster keeps about itself: what a start is waiting for is told there.
    pub fn pid_file(&self) -> Option<PidFile> {
        PidFile::parse(&fs::read_to_string(self.data_dir.join("postmaster.pid")).ok()?)
    }
}

/// What a process of the server calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Title {
    /// The command line it was started with.
    Postmaster,
    /// Backends rename themselves `postgres: ...`, whatever `update_process_title` says.
    Backend,
    SingleUser,
    /// Empty: it is on its way out.
    None,
}

impl Title {
    fn of(command_line: &str) -> Title {
        if command_line.is_empty() {
            Title::None
        } else if command_line.starts_with("postgres: ") {
            Title::Backend
        } else if command_line.split(' ').nth(1) == Some("--single") {
            Title::SingleUser
        } else {
            Title::Postmaster
        }
    }
}

/// A process of the instance whose parent is one of them is a backend. Of the others, the postmaster is the
/// one with its title; if it has no title any more, the one known from before or with children.
///
/// Children alone prove nothing: 1. The postmaster is killed, its backends are left. 2. One of them runs a
/// program (`COPY FROM PROGRAM`): until the child executes it, it is a process of the server. 3. That backend
/// was taken for the postmaster from then on, and the leader waited for its answer for ever.
fn choose_postmaster(
    all: &[Proc],
    known: Option<Proc>,
    title: impl Fn(u32) -> Title,
) -> Option<Proc> {
    let is_child = |p: &Proc| all.iter().any(|other| other.pid == p.parent);
    let has_child = |p: &Proc| all.iter().any(|other| other.parent == p.pid);
    let is_known = |p: &Proc| known.is_some_and(|k| (k.pid, k.started) == (p.pid, p.started));
    let mut roots = all.iter().filter(|p| !is_child(p)).copied();
    roots.find(|p| match title(p.pid) {
        Title::Postmaster => true,
        Title::None => is_known(p) || has_child(p),
        Title::Backend | Title::SingleUser => false,
    })
}

/// What postmaster.pid says. Not a proof of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidFile {
    pub pid: u32,
    pub status: PidFileStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidFileStatus {
    /// Written early in the start, before the line exists.
    Unknown,
    Starting,
    Stopping,
    Ready,
    /// In recovery, and `hot_standby` is off.
    StandbyWithoutConnections,
}

impl PidFile {
    fn parse(text: &str) -> Option<PidFile> {
        let mut lines = text.lines();
        // Negative: a single-user server.
        let pid = lines.next()?.trim().parse::<i64>().ok()?.unsigned_abs();
        let status = match lines.nth(6).map(str::trim) {
            Some("starting") => PidFileStatus::Starting,
            Some("stopping") => PidFileStatus::Stopping,
            Some("ready") => PidFileStatus::Ready,
            Some("standby") => PidFileStatus::StandbyWithoutConnections,
            Some(_) | None => PidFileStatus::Unknown,
        };
        Some(PidFile {
            pid: u32::try_from(pid).ok()?,
            status,
        })
    }
}

/// The living process of this number, whoever it is.
pub fn find(pid: u32) -> Option<Proc> {
    stat(pid)
}

fn works_in(pid: u32, dir: &Path) -> bool {
    let Ok(cwd) = fs::read_link(format!("/proc/{pid}/cwd")) else {
        return false;
    };
    // The kernel marks a directory that was removed under its process.
    let same = cwd == dir
        || cwd
            .to_str()
            .and_then(|c| c.strip_suffix(" (deleted)"))
            .is_some_and(|c| Path::new(c) == dir);
    same && runs_server(pid)
}

fn runs_server(pid: u32) -> bool {
    let name = match fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(exe) => exe.file_name().map(|n| n.to_string_lossy().into_owned()),
        // It is on its way out and has given up its program already: alive until it is a zombie.
        Err(_) => fs::read_to_string(format!("/proc/{pid}/comm")).ok(),
    };
    // `edb-postgres`, and `postgres (deleted)` after an upgrade of the package, are servers too.
    name.is_some_and(|n| n.contains("postgres") || n.contains("postmaster"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// In a disk wait, with SIGKILL pending.
    Killed,
}

/// The living process of this number; `None` for a zombie.
fn stat(pid: u32) -> Option<Proc> {
    stat_and_state(pid).map(|(found, _)| found)
}

fn stat_and_state(pid: u32) -> Option<(Proc, State)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let found = parse_stat(pid, &line)?;
    let waits = line
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('D'));
    let status = || fs::read_to_string(format!("/proc/{pid}/status"));
    let killed = waits && status().is_ok_and(|status| sys::was_killed(&status));
    Some((found, if killed { State::Killed } else { State::Runs }))
}

fn parse_stat(pid: u32, line: &str) -> Option<Proc> {
    // The program's name stands in parentheses and may itself hold spaces and parentheses.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let started = fields.get(19)?.parse().ok()?;
    let dead = matches!(*fields.first()?, "Z" | "X" | "x");
    (!dead).then_some(Proc {
        pid,
        started,
        parent,
    })
}

fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// A handle that cannot come to mean another process.
#[derive(Debug)]
pub struct Held(OwnedFd);

impl Held {
    /// `None`: that very process is not alive.
    pub fn open(process: Proc) -> Option<Held> {
        let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
        let handle = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
        // Only now: whatever has this start time while the handle is open is what the handle means.
        stat(process.pid)
            .filter(|s| s.started == process.started)
            .map(|_| Held(handle))
    }
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
    /// Waits at most `limit` for its end; blocks the thread.
    pub fn ended_within(&self, limit: std::time::Duration) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0)
    }
}

/// Signals that very process, or nobody.
pub fn signal(process: Proc, signal: Signal) -> io::Result<()> {
    Held::open(process).map_or(Ok(()), |held| held.signal(signal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn an_orphan_with_a_child_is_no_postmaster() {
        let process = |pid, parent| Proc {
            pid,
            started: 1,
            parent,
        };
        let (postmaster, backend, program) = (process(10, 1), process(11, 10), process(12, 11));
        let orphan = process(11, 1);
        let title = |pid| match pid {
            10 => Title::Postmaster,
            _ => Title::Backend,
        };
        let whole = [postmaster, backend, program];
        assert_eq!(choose_postmaster(&whole, None, title), Some(postmaster));
        let left = [orphan, program];
        assert_eq!(choose_postmaster(&left, Some(postmaster), title), None);
        assert_eq!(choose_postmaster(&left, Some(orphan), title), None);
        let leaving = |_| Title::None;
        let known = Some(postmaster);
        assert_eq!(
            choose_postmaster(&[postmaster], known, leaving),
            Some(postmaster)
        );
        assert_eq!(choose_postmaster(&[postmaster], None, leaving), None);
    }

    #[test]
    fn a_title_tells_backends_and_single_user_mode_from_the_postmaster() {
        for (line, title) in [
            ("", Title::None),
            (
                "/usr/lib/postgresql/15/bin/postgres -D x ",
                Title::Postmaster,
            ),
            (
                "/usr/lib/postgresql/15/bin/postgres --single -D x ",
                Title::SingleUser,
            ),
            ("postgres: a: walwriter ", Title::Backend),
        ] {
            assert_eq!(Title::of(line), title, "{line}");
        }
    }

    #[test]
    fn a_program_name_with_parentheses_does_not_shift_the_fields() {
        let tail = "3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        let read = |state: &str| parse_stat(9, &format!("9 (a) S (b) {state} 1 2 {tail}"));
        let proc = read("S").unwrap();
        assert_eq!((proc.parent, proc.started), (1, 777));
        assert_eq!(read("Z"), None);
        assert_eq!(parse_stat(9, "9 (postgres) S 1"), None);
    }

    #[test]
    fn the_pid_file_tells_how_far_the_postmaster_is() {
        let text =
            "4711\n/data\n1795383065\n5432\n/tmp\nlocalhost\n  5432001    131072\nready   \n";
        assert_eq!(
            PidFile::parse(text),
            Some(PidFile {
                pid: 4711,
                status: PidFileStatus::Ready
            })
        );
        let early = "4711\n/data\n1795383065\n5432\n";
        assert_eq!(
            PidFile::parse(early).unwrap().status,
            PidFileStatus::Unknown
        );
        assert_eq!(PidFile::parse("-4711\n/data\n").unwrap().pid, 4711);
        assert_eq!(PidFile::parse(""), None);
    }

    #[test]
    fn a_recycled_number_is_never_signalled() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let found = stat(child.id()).unwrap();
        signal(
            Proc {
                started: found.started - 1,
                ..found
            },
            Signal::KILL,
        )
        .unwrap();
        assert!(child.try_wait().unwrap().is_none(), "it must live on");
        signal(found, Signal::KILL).unwrap();
        child.wait().unwrap();
        signal(found, Signal::KILL).unwrap();
    }

    #[test]
    fn a_process_of_another_program_in_the_data_directory_is_not_the_instance() {
        let dir = std::env::temp_dir().join(format!("tanist-process-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut child = Command::new("sleep")
            .arg("30")
            .current_dir(&dir)
            .spawn()
            .unwrap();
        assert!(Instance::new(&dir).scan().unwrap().none_left());
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
