//! Rewinds the stopped data directory to another member's branch with `pg_rewind`.
//! Knows nothing of whether that is needed, or of which member holds the branch.
//!
//! First, segments that still wait for the archive are archived, since the tool deletes them. Then a dry
//! run meets every ordinary failure (source away, WAL missing) while nothing is written. Then the mark is
//! set, the tool runs, the mark is removed: a directory it left half-way is never started.

use super::archive;
use super::conninfo;
use super::context::Work;
use super::deadline::Deadline;
use super::marks::Unfinished;
use super::render;
use super::tool;
use super::trouble::{Outcome, Trouble};
use super::upstream;
use tanist_core::postgres::{Ended, StartAs, Upstream};
use tanist_core::time::Span;
use tokio::process::Command;

const SOURCE_ANSWERS_IN: Span = Span::secs(5);

pub async fn rewind(work: &Work, source: &Upstream) -> Outcome<Ended> {
    let context = &work.context;
    context.refuse_while_running()?;
    context.refuse_unfinished()?;
    conninfo::write_pgpass(work.settings())?;
    archive::archive_waiting(work).await?;
    let restore = archive::setting(work, "restore_command").await?.is_some();
    source_is_ready(work, source).await?;
    work.progress(format!("rewind to {}: trying", source.member));
    if finds_nothing(&run(work, source, restore, &["--dry-run"]).await?) {
        return Err(Trouble::failed(format!(
            "pg_rewind from {}: no rewind required, it says, going by the numbers of timelines: nothing was rewound",
            source.member
        )));
    }
    work.cancel.check()?;
    work.progress(format!("rewind to {}: writing", source.member));
    context.marks.begin_copy()?;
    context.marks.set(
        Unfinished::Rewind,
        &format!("pg_rewind from {}", source.member),
    )?;
    match run(work, source, restore, &[]).await {
        Ok(_) => {}
        Err(Trouble::Cancelled) => {
            return Err(Trouble::failed(
                "rewind was cancelled while writing: the data directory is half rewound",
            ));
        }
        Err(Trouble::Failed(why)) => {
            return Err(Trouble::failed(format!(
                "{why}; the data directory is half rewound"
            )));
        }
    }
    // Only as a standby may it come up: before the mark goes, the signal is there.
    render::write_signals(&context.settings, &StartAs::Standby { upstream: None })?;
    context.marks.forget_leading()?;
    context.marks.clear(Unfinished::Rewind)?;
    Ok(Ended::Done)
}

/// What was asked of the source before this began may be seconds old: it may have been demoted since.
async fn source_is_ready(work: &Work, source: &Upstream) -> Outcome {
    let deadline = Deadline::after(SOURCE_ANSWERS_IN);
    match upstream::ask(work, source, None, deadline).await? {
        Ended::Upstream(facts) if facts.in_recovery => {
            Err(Trouble::failed("the source is in recovery"))
        }
        Ended::Upstream(facts) if facts.control_timeline < facts.history.timeline => Err(
            Trouble::failed("the source has no checkpoint on its timeline yet"),
        ),
        Ended::Upstream(_) | Ended::Done | Ended::Failed(_) | Ended::Cancelled => Ok(()),
    }
}

/// It goes by the numbers of timelines and by where they forked, and ends well. But it is asked only where WAL has left the
/// source's by more than that, or where an earlier one was left half-way: the directory would stay as it is.
fn finds_nothing(said: &str) -> bool {
    said.contains("no rewind required")
}

async fn run(work: &Work, source: &Upstream, restore: bool, more: &[&str]) -> Outcome<String> {
    let settings = work.settings();
    let mut command = Command::new(settings.program("pg_rewind"));
    command.arg("--target-pgdata").arg(&settings.data_dir);
    // An unclean directory is for the crash recovery that is asked for by itself.
    command.args(["--progress", "--no-ensure-shutdown"]);
    if restore {
        command.arg("--restore-target-wal");
        if !settings.config_in_data_dir() {
            command.arg(format!(
                "--config-file={}",
                settings.config_file().display()
            ));
        }
    }
    command.args(&settings.rewind_options).args(more);
    let words = [
        ("dbname", settings.database.as_str()),
        ("application_name", settings.name.as_str()),
    ];
    let source_server = conninfo::to(&source.address, settings.rewind_user(), &words);
    command.arg(format!("--source-server={source_server}"));
    let output = tool::run(command, &settings.pgpass, None, &work.cancel, |_| ()).await?;
    if output.status.success() {
        return Ok(output.stdout + &output.stderr);
    }
    Err(Trouble::failed(format!(
        "pg_rewind from {}: {}",
        source.member,
        output.complaint()
    )))
}
