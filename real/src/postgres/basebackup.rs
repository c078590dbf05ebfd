//! Copies a base backup of another member into the empty data directory, without starting it.
//! Knows nothing of which member is a good source.
//!
//! The mark is set before and removed after: whatever ends the copy half-way, the directory is never
//! taken for a member's data.

use super::conninfo;
use super::context::Work;
use super::discard;
use super::marks::Unfinished;
use super::render;
use super::tool;
use super::trouble::{Outcome, Trouble};
use tanist_core::postgres::{Ended, StartAs, Upstream};
use tokio::process::Command;

pub async fn clone(work: &Work, source: &Upstream) -> Outcome<Ended> {
    let context = &work.context;
    let settings = work.settings();
    context.refuse_while_running()?;
    let unfinished = context.marks.is_set(Unfinished::Clone)?;
    if !unfinished && !discard::is_empty(&settings.data_dir)? {
        return Err(Trouble::failed(
            "the data directory is not empty; it must be discarded first",
        ));
    }
    conninfo::write_pgpass(settings)?;
    context.marks.begin_copy()?;
    context.marks.set(
        Unfinished::Clone,
        &format!("base backup of {}", source.member),
    )?;
    discard::remove_contents(&settings.data_dir)?;
    let mut last_told = None;
    let ran = tool::run(
        command(work, source),
        &settings.pgpass,
        None,
        &work.cancel,
        |line| {
            if let Some(percent) = percent(line).map(|p| p / 10 * 10)
                && last_told != Some(percent)
            {
                last_told = Some(percent);
                work.progress(format!("base backup of {}: {percent} %", source.member));
            }
        },
    );
    let failed = match ran.await {
        Ok(output) if output.status.success() => {
            // The copy carries its source's control file, "in production" included. The signal says, before the
            // mark goes, that this directory never was a primary: crash recovery would write WAL of its own into it.
            render::write_signals(settings, &StartAs::Standby { upstream: None })?;
            // A rewind that had not finished spoke of the data that is gone.
            context.marks.forget_leading()?;
            context.marks.clear(Unfinished::Rewind)?;
            context.marks.clear(Unfinished::Roles)?;
            context.marks.clear(Unfinished::Clone)?;
            return Ok(Ended::Done);
        }
        Ok(output) => Trouble::failed(format!(
            "base backup of {}: {}",
            source.member,
            output.complaint()
        )),
        Err(trouble) => trouble,
    };
    discard::remove_contents(&settings.data_dir)?;
    context.marks.clear(Unfinished::Clone)?;
    Err(failed)
}

fn command(work: &Work, source: &Upstream) -> Command {
    let settings = work.settings();
    let mut command = Command::new(settings.program("pg_basebackup"));
    command.arg("--pgdata").arg(&settings.data_dir);
    command.args(["--wal-method=stream", "--progress", "--no-password"]);
    let chosen = |option: &str| {
        settings
            .basebackup_options
            .iter()
            .any(|o| o.starts_with(option))
    };
    if !chosen("--checkpoint") {
        command.arg("--checkpoint=fast");
    }
    command.args(&settings.basebackup_options);
    let more = [
        ("application_name", settings.name.as_str()),
        ("dbname", "replication"),
    ];
    command
        .arg("--dbname")
        .arg(conninfo::to(&source.address, &settings.replication, &more));
    command
}

/// `23456/78901 kB (29%), 0/1 tablespace`
fn percent(line: &str) -> Option<u32> {
    let (before, _) = line.split_once("%)")?;
    before.rsplit_once('(')?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_as_pg_basebackup_prints_it() {
        assert_eq!(percent("23456/78901 kB (29%), 0/1 tablespace"), Some(29));
        assert_eq!(percent("23456/78901 kB (100%), 1/1 tablespace"), Some(100));
        assert_eq!(percent("waiting for checkpoint"), None);
    }
}
