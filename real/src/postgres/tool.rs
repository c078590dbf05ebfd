//! Runs a PostgreSQL program to its end: environment, captured output, deadline, cancelling.
//! Knows nothing of what the programs do.
//!
//! Passwords never pass through here: libpq programs find them in the file that PGPASSFILE names.

use super::deadline::Deadline;
use super::trouble::{Cancel, Outcome, Trouble};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// What is kept of each output: enough for any error, bounded for any chatter.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// How long a program may take to clean up after SIGTERM before it is killed.
const CLEAN_UP: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The end of what it said, or its exit status when it said nothing.
    pub fn complaint(&self) -> String {
        let said = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        if said.trim().is_empty() {
            return self.status.to_string();
        }
        last_lines(said, 4)
    }
}

/// Our own environment without what is meant for us or would redirect libpq, plus the password file.
pub fn environment(pgpass: &Path) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = inherited();
    env.push(("LC_ALL".into(), "C".into()));
    env.push(("PGPASSFILE".into(), pgpass.to_string_lossy().into_owned()));
    env
}

/// What a server or program of ours may inherit: not our configuration (it may hold passwords), not our
/// supervisor's socket, not libpq's defaults.
pub fn inherited() -> Vec<(String, String)> {
    const KEPT_PG: [&str; 2] = ["PG_OOM_ADJUST_FILE", "PG_OOM_ADJUST_VALUE"];
    let dropped = |name: &str| {
        let ours = ["PATRONI_", "TANIST_", "KUBERNETES_"]
            .iter()
            .any(|p| name.starts_with(p));
        let libpq = name.starts_with("PG") && !KEPT_PG.contains(&name);
        ours || libpq || name == "NOTIFY_SOCKET" || name == "LISTEN_FDS" || name == "LISTEN_PID"
    };
    let text = |s: OsString| s.into_string().ok();
    std::env::vars_os()
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .filter(|(name, _)| !dropped(name))
        .collect()
}

/// The last `n` lines that hold something, on one line.
pub fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    lines[lines.len().saturating_sub(n)..].join("; ")
}

/// Runs `command` in a process group of its own, from a thread that lives until it has ended: an agent that is killed
/// takes it along. At the deadline, or when cancelled, the whole group is
/// ended (SIGTERM, then SIGKILL) and waited for. `on_line` sees each line of the error output as it comes.
pub async fn run(
    mut command: Command,
    pgpass: &Path,
    deadline: Option<Deadline>,
    cancel: &Cancel,
    mut on_line: impl FnMut(&str),
) -> Outcome<Output> {
    let name = Path::new(command.as_std().get_program())
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    command.env_clear().envs(environment(pgpass));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    crate::sys::dies_with_its_thread(command.as_std_mut());
    let mut child = command
        .spawn()
        .map_err(|e| Trouble::failed(format!("cannot run {name}: {e}")))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = {
        let work = async { tokio::join!(child.wait(), keep(out, |_| ()), keep(err, &mut on_line)) };
        let limit = async {
            match deadline {
                Some(deadline) => tokio::time::sleep(deadline.left()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = cancel.wait() => Err(Trouble::Cancelled),
            () = limit => Err(Trouble::failed(format!("{name} did not end in time"))),
        }
    };
    match ended {
        Ok((status, stdout, stderr)) => {
            let status =
                status.map_err(|e| Trouble::failed(format!("cannot wait for {name}: {e}")))?;
            Ok(Output {
                status,
                stdout,
                stderr,
            })
        }
        Err(trouble) => {
            end_group(&mut child).await;
            Err(trouble)
        }
    }
}

/// Ends the program and whatever it started (pg_basebackup forks a WAL receiver).
async fn end_group(child: &mut Child) {
    let Some(group) = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
    else {
        return;
    };
    // A group that has ended by itself meanwhile is what we want.
    let _ = kill_process_group(group, Signal::TERM);
    if tokio::time::timeout(CLEAN_UP, child.wait()).await.is_err() {
        let _ = kill_process_group(group, Signal::KILL);
        let _ = child.wait().await;
    }
    let _ = kill_process_group(group, Signal::KILL);
}

async fn keep(stream: Option<impl AsyncRead + Unpin>, mut on_line: impl FnMut(&str)) -> String {
    let Some(mut stream) = stream else {
        return String::new();
    };
    let (mut kept, mut line, mut buffer) = (Vec::new(), Vec::new(), [0u8; 4096]);
    // Ends with the stream: every holder of the other end is in the process group.
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        for &byte in &buffer[..n] {
            if byte == b'\n' || byte == b'\r' {
                on_line(&String::from_utf8_lossy(&line));
                line.clear();
            } else if line.len() < 1024 {
                line.push(byte);
            }
        }
        kept.extend_from_slice(&buffer[..n]);
        let surplus = kept.len().saturating_sub(KEPT_BYTES_MAX);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_core::time::Span;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_program_that_hangs_is_ended_at_the_deadline_with_its_children() {
        let (_never, cancel) = Cancel::new();
        let deadline = Some(Deadline::after(Span::millis(50)));
        let ended = run(
            sh("sleep 60 & echo $! >&2; wait"),
            Path::new("/nonexistent"),
            deadline,
            &cancel,
            |_| (),
        )
        .await;
        assert!(matches!(ended, Err(Trouble::Failed(why)) if why.contains("in time")));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn cancelling_ends_a_running_program() {
        let (request, cancel) = Cancel::new();
        request.send(true).unwrap();
        let ended = run(
            sh("sleep 60"),
            Path::new("/nonexistent"),
            None,
            &cancel,
            |_| (),
        )
        .await;
        assert_eq!(ended.unwrap_err(), Trouble::Cancelled);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn output_is_kept_to_its_end_and_lines_are_seen_as_they_come() {
        let (_never, cancel) = Cancel::new();
        let mut lines = Vec::new();
        let script = "printf 'a\\rb\\n' >&2; head -c 100000 /dev/zero; exit 3";
        let output = run(sh(script), Path::new("/nonexistent"), None, &cancel, |l| {
            lines.push(l.to_string())
        })
        .await
        .unwrap();
        assert_eq!(lines, ["a", "b"]);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(3), KEPT_BYTES_MAX)
        );
    }
}
