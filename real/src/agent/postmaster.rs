//! Who becomes the postmaster's parent: the fencer, so that it sees every process of the instance, or the agent.
//! Knows nothing of why a postmaster is started.

use crate::fencer::client::FencerHandle;
use crate::fencer::process_table::ProcessId;
use crate::fencer::protocol::SpawnPostmaster;
use crate::fencer::replacement::FencerError;
use crate::postgres::process::Instance;
use crate::postgres::{DirectHost, PostmasterCommand, PostmasterHost};
use std::io;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tanist_core::settings::FencerMode;
use tokio::runtime::Handle;

/// The fencer forks and answers; a replacement of the fencer may come between.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub struct FencedHost {
    pub fencer: FencerHandle,
    pub mode: FencerMode,
    /// The agent's runtime, on which the fencer's connection lives.
    pub runtime: Handle,
}

impl PostmasterHost for FencedHost {
    fn spawn(&self, command: &PostmasterCommand) -> io::Result<u32> {
        let wanted = SpawnPostmaster {
            argv: command.argv.clone(),
            env: command.env.clone(),
            log_path: command.log_file.display().to_string(),
        };
        let (answer, answered) = sync_channel(1);
        let fencer = self.fencer.clone();
        self.runtime.spawn(async move {
            // The start that asked has given up if nobody listens.
            let _ = answer.send(fencer.spawn_postmaster(wanted).await);
        });
        match answered.recv_timeout(ANSWER_WITHIN) {
            Ok(Ok(id)) => Ok(id.pid),
            Ok(Err(FencerError::Absent)) if self.mode == FencerMode::Auto => {
                tracing::warn!("no fencer is there; the agent itself starts the postmaster");
                DirectHost.spawn(command)
            }
            Ok(Err(error)) => Err(io::Error::other(error)),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the fencer did not say whether it started a postmaster",
            )),
        }
    }
}

/// A PostgreSQL that was running before the agent: the fencer holds it from now on.
pub async fn adopt_running(fencer: &FencerHandle, data_dir: &Path) {
    let held = fencer.status().await.ok().and_then(|s| s.postmaster);
    let found = Instance::new(data_dir).scan().ok();
    let Some(running) = found.and_then(|f| f.postmaster) else {
        return;
    };
    let id = ProcessId {
        pid: running.pid,
        start_time: running.started,
    };
    if held == Some(id) {
        return;
    }
    match fencer.adopt(id).await {
        Ok(()) => tracing::info!("the fencer holds the running postmaster {}", id.pid),
        Err(error) => tracing::warn!("the fencer does not hold postmaster {}: {error}", id.pid),
    }
}
