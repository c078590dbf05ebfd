//! Archives, with the server's own archive_command, the WAL segments of a stopped server that still wait
//! for it. Knows nothing of why the server is down.

use super::context::Work;
use super::deadline::Deadline;
use super::marks::sync_dir;
use super::tool;
use super::trouble::{Outcome, Trouble};
use std::fs;
use std::io::ErrorKind;
use tanist_core::time::Span;
use tokio::process::Command;

const LITTLE: Span = Span::secs(5);

/// Hands each segment marked `.ready`, oldest first, to archive_command, and marks it `.done`. A segment
/// that the command refuses is told and left: an archive that is away must not keep the member away. After one for
/// which it did not answer the others have little time, and none where it does not answer again.
pub async fn archive_waiting(work: &Work) -> Outcome {
    let mode = setting(work, "archive_mode").await?;
    if !matches!(mode.as_deref(), Some("on" | "always")) {
        return Ok(());
    }
    let Some(template) = setting(work, "archive_command").await? else {
        return Ok(());
    };
    let mut patience = work.settings().pg_ctl_timeout;
    for name in waiting(work)? {
        work.cancel.check()?;
        work.progress(format!("archiving {name}"));
        let deadline = Deadline::after(patience);
        if let Err(why) = archive(work, &template, &name, deadline).await? {
            work.progress(format!("archive_command failed for {name}: {why}"));
            match (deadline.is_over(), patience > LITTLE) {
                (true, true) => patience = LITTLE,
                (true, false) => break,
                (false, _) => {}
            }
        }
    }
    Ok(())
}

/// A setting as the stopped server would have it; `None` when empty.
pub async fn setting(work: &Work, name: &str) -> Outcome<Option<String>> {
    let settings = work.settings();
    let mut command = Command::new(settings.program("postgres"));
    command
        .arg("-D")
        .arg(&settings.data_dir)
        .arg("-C")
        .arg(name);
    command.arg(format!(
        "--config_file={}",
        settings.config_file().display()
    ));
    let deadline = Some(Deadline::after(settings.pg_ctl_timeout));
    let output = tool::run(command, &settings.pgpass, deadline, &work.cancel, |_| ()).await?;
    if !output.status.success() {
        return Err(Trouble::failed(format!(
            "cannot read the setting {name}: {}",
            output.complaint()
        )));
    }
    let value = output.stdout.trim_end_matches('\n');
    Ok((!value.is_empty() && value != "(disabled)").then(|| value.to_string()))
}

fn waiting(work: &Work) -> Outcome<Vec<String>> {
    let dir = work.settings().data_dir.join("pg_wal/archive_status");
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Trouble::file("read", &dir, &e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Trouble::file("read", &dir, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // The server's own rule for what it archives: hexadecimal names, `.history`, `.backup`, `.partial`.
        if let Some(name) = name.strip_suffix(".ready")
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
        {
            names.push(name.to_string());
        }
    }
    names.sort();
    Ok(names)
}

async fn archive(
    work: &Work,
    template: &str,
    name: &str,
    patience: Deadline,
) -> Outcome<Result<(), String>> {
    let settings = work.settings();
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(expand(template, name))
        .current_dir(&settings.data_dir);
    let output = match tool::run(
        command,
        &settings.pgpass,
        Some(patience),
        &work.cancel,
        |_| (),
    )
    .await
    {
        Ok(output) => output,
        Err(Trouble::Cancelled) => return Err(Trouble::Cancelled),
        Err(Trouble::Failed(why)) => return Ok(Err(why)),
    };
    if !output.status.success() {
        return Ok(Err(output.complaint()));
    }
    let dir = settings.data_dir.join("pg_wal/archive_status");
    let ready = dir.join(format!("{name}.ready"));
    fs::rename(&ready, dir.join(format!("{name}.done")))
        .map_err(|e| Trouble::file("rename", &ready, &e))?;
    sync_dir(&dir)?;
    Ok(Ok(()))
}

/// `%p`: path from the data directory; `%f`: file name; `%%`: a percent sign.
fn expand(template: &str, name: &str) -> String {
    let mut command = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        let known = chars.peek().copied().filter(|_| c == '%');
        match known {
            Some('p') => command.push_str(&format!("pg_wal/{name}")),
            Some('f') => command.push_str(name),
            Some('%') => command.push('%'),
            Some(_) | None => {
                command.push(c);
                continue;
            }
        }
        chars.next();
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_command_expands_as_the_server_expands_it() {
        let expanded = expand("test ! -f /a/%f && cp %p /a/%f # 100%% %x %", "0001");
        assert_eq!(
            expanded,
            "test ! -f /a/0001 && cp pg_wal/0001 /a/0001 # 100% %x %"
        );
    }
}
