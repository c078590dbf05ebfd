//! Starts the server: writes its configuration, has the host spawn a postmaster, and waits until it
//! accepts connections. Knows nothing of why, or of who may be primary.

use super::context::{Context, Work};
use super::control_data;
use super::deadline::Deadline;
use super::host::PostmasterCommand;
use super::marks::make_private_dir;
use super::process::{self, Held, PidFileStatus, Proc};
use super::render;
use super::session::{Kind, Session, SqlTrouble, local};
use super::tool;
use super::trouble::{Outcome, Trouble};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;
use tanist_core::postgres::{Ended, StartAs};
use tanist_core::time::Span;

const POLL: Duration = Duration::from_millis(20);

pub async fn start(
    work: &Work,
    role: &StartAs,
    parameters: &BTreeMap<String, String>,
    timeout: Span,
) -> Outcome<Ended> {
    let deadline = Deadline::after(timeout);
    let context = &work.context;
    context.refuse_unfinished()?;
    context.refuse_while_running()?;
    control_data::read(work.settings()).map_err(Trouble::Failed)?;
    render::write_files(work.settings(), role, parameters)?;
    note_leading(context, role)?;
    render::write_signals(work.settings(), role)?;
    let command = postmaster_command(work, parameters)?;
    let log_before = fs::metadata(&command.log_file).map_or(0, |m| m.len());
    work.cancel.check()?;
    let pid = context
        .host
        .spawn(&command)
        .map_err(|e| Trouble::failed(format!("cannot start the postmaster: {e}")))?;
    work.progress(format!("postmaster {pid} started"));
    let accepted = match identify(work, pid, deadline).await? {
        Some(postmaster) => {
            context.watch(postmaster);
            wait_until_accepting(work, postmaster, deadline).await
        }
        None => Err(Trouble::failed("")),
    };
    match accepted {
        // Empty: it has exited, and its own words say why.
        Err(Trouble::Failed(why)) if why.is_empty() => {
            let said = log_since(&command.log_file, log_before);
            Err(Trouble::failed(format!(
                "the postmaster exited during start: {said}"
            )))
        }
        other => other.map(|()| Ended::Done),
    }
}

/// Before the signal file that makes a standby of a primary's directory: after it, nothing else would tell the two apart.
fn note_leading(context: &Context, role: &StartAs) -> Outcome {
    match role {
        StartAs::Standby { upstream: Some(_) }
        | StartAs::OneTimeline {
            upstream: Some(_), ..
        } => context.marks.forget_leading(),
        StartAs::Standby { upstream: None } | StartAs::OneTimeline { upstream: None, .. }
            if !render::is_standby(&context.settings.data_dir) =>
        {
            context.marks.note_led_last()
        }
        StartAs::Standby { .. } | StartAs::OneTimeline { .. } | StartAs::Primary => Ok(()),
    }
}

fn postmaster_command(
    work: &Work,
    parameters: &BTreeMap<String, String>,
) -> Outcome<PostmasterCommand> {
    let settings = work.settings();
    let mut argv = vec![settings.program("postgres").display().to_string()];
    argv.extend(render::arguments(settings, parameters));
    let mut env = tool::inherited();
    if let Some((_, arenas)) = env
        .iter()
        .find(|(name, _)| name == "PG_MALLOC_ARENA_MAX")
        .cloned()
    {
        env.push(("MALLOC_ARENA_MAX".into(), arenas));
    }
    // A stale postmaster.pid whose number now belongs to somebody else would make the server refuse to
    // start; this variable names a number that it may ignore. Nothing of the instance lives: just checked.
    if let Some(stale) = work.context.instance.pid_file()
        && process::find(stale.pid).is_some()
    {
        env.push(("PG_GRANDPARENT_PID".into(), stale.pid.to_string()));
    }
    if let Some(dir) = settings.log_file.parent() {
        make_private_dir(dir)?;
    }
    Ok(PostmasterCommand {
        argv,
        env,
        log_file: settings.log_file.clone(),
    })
}

/// Until the new process runs the server's program in the data directory. `None`: it has exited.
async fn identify(work: &Work, pid: u32, deadline: Deadline) -> Outcome<Option<Proc>> {
    loop {
        if let Some(found) = work.context.scan()?.postmaster {
            return Ok(Some(found));
        }
        if process::find(pid).is_none() {
            return Ok(None);
        }
        if deadline.is_over() {
            return Err(Trouble::failed(format!(
                "process {pid} was started but did not become a postmaster in time"
            )));
        }
        deadline.pause(POLL).await;
    }
}

/// The pid file says when connections are worth trying: fewer refused ones in the server's log.
async fn wait_until_accepting(work: &Work, postmaster: Proc, deadline: Deadline) -> Outcome {
    let exited = || Trouble::failed("");
    let mut told = false;
    loop {
        let held = Held::open(postmaster).ok_or_else(exited)?;
        let status = work
            .context
            .instance
            .pid_file()
            .filter(|f| f.pid == postmaster.pid)
            .map(|f| f.status);
        if status == Some(PidFileStatus::StandbyWithoutConnections) {
            return Err(Trouble::failed(
                "it runs with hot_standby off and accepts no connections",
            ));
        }
        if status == Some(PidFileStatus::Ready) {
            let limit = deadline.earlier(Deadline::after(Span::secs(3)));
            match Session::open(local(work.settings(), Kind::Sql), limit).await {
                Ok(_) => return Ok(()),
                Err(SqlTrouble::Refused { code, text })
                    if code.starts_with("28") || code.starts_with("3D") =>
                {
                    return Err(Trouble::failed(format!(
                        "it runs, but lets us not in: {text}"
                    )));
                }
                // Not yet, or too many connections: it has until the deadline.
                Err(_) => {}
            }
        }
        if !told && status == Some(PidFileStatus::Starting) {
            work.progress("recovering until consistent");
            told = true;
        }
        if work.cancel.requested() {
            return Err(Trouble::failed(
                "cancelled while starting: the postmaster is left as it is, not accepting connections yet",
            ));
        }
        if deadline.is_over() {
            return Err(Trouble::failed(
                "it does not accept connections in time; the postmaster is still starting",
            ));
        }
        drop(held);
        deadline.pause(POLL).await;
    }
}

/// The last lines that the server wrote to its log since `from`.
fn log_since(path: &Path, from: u64) -> String {
    let read = || {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(8192))))?;
        let mut bytes = Vec::new();
        file.take(8192).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) if !text.trim().is_empty() => what_ended_it(&text),
        Ok(_) | Err(_) => format!("see {}", path.display()),
    }
}

/// The line that a process of the server ended with, what it said just before, and its detail: what is logged after it is
/// the end of the others. Who connects while it starts is turned away with a line of that kind, too. Without one, the last
/// lines.
fn what_ended_it(log: &str) -> String {
    let turned_away = |line: &&str| line.contains("FATAL:  the database system is ");
    let lines: Vec<&str> = log.lines().filter(|line| !turned_away(line)).collect();
    let is_end = |line: &&str| line.contains("FATAL:  ") || line.contains("PANIC:  ");
    let Some(at) = lines.iter().rposition(is_end) else {
        return tool::last_lines(log, 4);
    };
    let detail = |line: &&&str| line.contains("DETAIL:  ") || line.contains("HINT:  ");
    let details = lines[at + 1..].iter().take_while(detail).count();
    lines[at.saturating_sub(1)..=at + details].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_a_server_is_its_fatal_line_or_the_end_of_its_log() {
        let log = "1 LOG:  entering standby mode\n4 FATAL:  could not receive data from WAL stream\n\
                   2 FATAL:  requested timeline 2 is not a child\n2 DETAIL:  It forked.\n\
                   3 FATAL:  the database system is starting up\n1 LOG:  terminating any other active server processes\n1 LOG:  database system is shut down\n";
        let told = "4 FATAL:  could not receive data from WAL stream; 2 FATAL:  requested timeline 2 is not a child; 2 DETAIL:  It forked.";
        assert_eq!(what_ended_it(log), told);
        let killed = "1 LOG:  starting\n\n1 LOG:  received SIGKILL\n";
        assert_eq!(
            what_ended_it(killed),
            "1 LOG:  starting; 1 LOG:  received SIGKILL"
        );
    }
}
