//! Recovers a data directory that was not shut down cleanly, in single-user mode: nobody can connect, and
//! it ends as cleanly shut down. Knows nothing of why it must be clean.

use super::archive;
use super::context::Work;
use super::control_data;
use super::render;
use super::tool;
use super::trouble::{Outcome, Trouble};
use tanist_core::postgres::Ended;
use tokio::process::Command;

pub async fn recover(work: &Work) -> Outcome<Ended> {
    let context = &work.context;
    let settings = work.settings();
    context.refuse_while_running()?;
    context.refuse_unfinished()?;
    // Recovery recycles segments: what waits for the archive goes there first, and nothing goes there by itself.
    archive::archive_waiting(work).await?;
    work.cancel.check()?;
    render::remove_signals(settings)?;
    let mut command = Command::new(settings.program("postgres"));
    command.arg("--single").arg("-D").arg(&settings.data_dir);
    command.arg(format!(
        "--config_file={}",
        settings.config_file().display()
    ));
    command.args(["-c", "archive_mode=on", "-c", "archive_command=false"]);
    command.arg(&settings.database);
    work.progress("crash recovery in single-user mode");
    // Its standard input is at its end: it recovers, writes the shutdown checkpoint and exits.
    let output = tool::run(command, &settings.pgpass, None, &work.cancel, |_| ()).await?;
    if !output.status.success() {
        return Err(Trouble::failed(format!(
            "crash recovery: {}",
            output.complaint()
        )));
    }
    let state = control_data::read(settings).map_err(Trouble::Failed)?.state;
    if !state.is_clean() {
        return Err(Trouble::failed(format!(
            "crash recovery ended, but the control file says {state:?}"
        )));
    }
    Ok(Ended::Done)
}
