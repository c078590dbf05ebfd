//! What the operating system asks of the agent: SIGTERM and SIGINT end it, SIGHUP reads the configuration again.

use super::start::Configuration;
use crate::settings::{self, local::Local};
use tanist_core::input::Input;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;

pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on the signals no longer end the process by themselves.
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub fn serve(mut self, configuration: Configuration, inputs: UnboundedSender<Input>) {
        tokio::spawn(async move {
            loop {
                let asked = tokio::select! {
                    biased;
                    _ = self.terminate.recv() => Asked::End("SIGTERM"),
                    _ = self.interrupt.recv() => Asked::End("SIGINT"),
                    _ = self.hangup.recv() => Asked::Reload,
                };
                match asked {
                    Asked::End(name) => {
                        tracing::info!("{name}: ending in order");
                        // Nobody listens any more only when the agent has ended.
                        let _ = inputs.send(Input::Stopping);
                    }
                    Asked::Reload => reload(&configuration).await,
                }
            }
        });
    }
}

enum Asked {
    End(&'static str),
    Reload,
}

/// The disk is read on another thread; a configuration that cannot be read changes nothing.
async fn reload(configuration: &Configuration) {
    let (path, env) = (configuration.path.clone(), configuration.env.clone());
    let read = tokio::task::spawn_blocking(move || settings::load(path.as_deref(), &env)).await;
    match read {
        Ok(Ok(after)) => tell_changes(&configuration.local, &after),
        Ok(Err(problems)) => tracing::error!("configuration not reloaded: {problems}"),
        Err(error) => tracing::error!("configuration not reloaded: {error}"),
    }
}

fn tell_changes(before: &Local, after: &Local) {
    for warning in &after.warnings {
        tracing::warn!("configuration: {warning}");
    }
    let changed = after.needs_restart_against(before);
    if changed.is_empty() {
        tracing::info!("configuration read again: nothing has changed");
    } else {
        let changed = changed.join(", ");
        tracing::warn!(
            "configuration read again: {changed} changed; restart the agent to apply it"
        );
    }
}
