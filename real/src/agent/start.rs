//! In which order the parts of an agent come to life, and when it is refused to start.
//!
//! 1. Configuration and log; the store's client (it reads certificates).
//! 2. Is another member of this name alive? Then end: two agents under one name would share one leader key.
//! 3. The fencer, whose deadline of an earlier life the core must know.
//! 4. PostgreSQL's adapter, recorder, watch, REST; then the loop.

use super::command_line::EXIT_REFUSED;
use super::host::AgentHost;
use super::postmaster::{FencedHost, adopt_running};
use super::signals::Signals;
use super::vault::Vault;
use super::{logging, wiring};
use crate::clock;
use crate::dcs::Store;
use crate::fencer::client::FencerHandle;
use crate::fencer::replacement::FencerSettings;
use crate::peers;
use crate::postgres::{Adapter, DirectHost, PostmasterHost};
use crate::recorder::Recorder;
use crate::rest::{self, Published};
use crate::settings::local::Local;
use anyhow::Context;
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tanist_core::agent::{Agent, Boot};
use tanist_core::dcs::Consistency;
use tanist_core::fencer::{Armed, FencerInput};
use tanist_core::input::Input;
use tanist_core::member::{MemberData, instance_text};
use tanist_core::record::Header;
use tanist_core::settings::FencerMode;
use tanist_core::time::Span;
use tanist_driver::Ended;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Where the configuration came from, to read it again, and what it was.
pub struct Configuration {
    pub path: Option<PathBuf>,
    pub env: BTreeMap<String, String>,
    pub local: Local,
}

/// A store that does not answer by then leaves the namesake unseen; an agent must start during an outage.
const NAMESAKE_READ: Span = Span::secs(3);
const NAMESAKE_ASK: Span = Span::secs(2);
/// A fencer answers within three seconds of its start, self-test included.
const FENCER_WITHIN: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the recorder's last lines.
const RECORDER_WITHIN: Duration = Duration::from_secs(2);

pub fn main(configuration: Configuration) -> ExitCode {
    let _log = match logging::start(configuration.local.log) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("the log cannot be started: {error}");
            return ExitCode::from(EXIT_REFUSED);
        }
    };
    for warning in &configuration.local.warnings {
        tracing::warn!("configuration: {warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .context("the runtime cannot be started")
        .and_then(|runtime| {
            let ended = runtime.block_on(live(configuration));
            // Work that hangs on a disk must not hold up the end.
            runtime.shutdown_timeout(Duration::from_millis(100));
            ended
        });
    match ended {
        Ok(code) => {
            tracing::info!("ended with code {code}");
            ExitCode::from(code)
        }
        Err(error) => {
            tracing::error!("not started: {error:#}");
            ExitCode::from(EXIT_REFUSED)
        }
    }
}

async fn live(configuration: Configuration) -> anyhow::Result<u8> {
    let signals = Signals::listen().context("signals cannot be listened to")?;
    let local = configuration.local.clone();
    let mut vault = Vault::default();
    let (settings, state_dir) = (vault.hide(local.settings.clone()), local.state_dir.clone());
    create_private(&state_dir)?;
    let store = Store::open(local.store.clone(), &settings.namespace, &settings.scope)?;
    refuse_beside_namesake(&store, &local).await?;

    let (inputs, mut queue) = unbounded_channel();
    let (fencer, armed) = start_fencer(&local, &inputs, &mut queue).await?;
    let host: Arc<dyn PostmasterHost> = match &fencer {
        None => Arc::new(DirectHost),
        Some(fencer) => Arc::new(FencedHost {
            fencer: fencer.clone(),
            mode: settings.safety.fencer,
            runtime: Handle::current(),
        }),
    };
    let postgres = Adapter::new(wiring::postgres(&local), host, inputs.clone());

    let now = clock::now();
    let boot = Boot {
        incarnation: now.wall.0.unsigned_abs(),
        instance: own_instance(&state_dir)?,
        fencer: armed,
    };
    let seed = fresh_seed()?;
    let mut agent = Agent::new(settings.clone(), boot.clone(), seed, now);
    let commit = option_env!("BUILD_COMMIT").unwrap_or_default();
    let header = Header::new(commit, settings, boot, seed, now);
    let recorder = Recorder::start(&local.recorder.dir, local.recorder.size_max, header)
        .context("the flight recorder's thread cannot be started")?;
    let published: Published = Arc::new(RwLock::new(Arc::new(agent.view())));
    let look = wiring::look(postgres.observer());
    let rest = rest::start(
        wiring::rest(&local),
        published.clone(),
        look,
        inputs.clone(),
    )?;
    let _watch = store.watch(inputs.clone());
    signals.serve(configuration, inputs.clone());
    tracing::info!(
        "member {} of cluster {} starts",
        local.settings.name,
        local.settings.scope
    );

    let mut host = AgentHost {
        store,
        postgres,
        fencer,
        recorder,
        published,
        rest,
        inputs,
        vault,
        standing: None,
    };
    let ended = tanist_driver::run(&mut agent, &mut host, &mut queue).await;
    let AgentHost { recorder, .. } = host;
    finish(recorder);
    Ok(match ended {
        Ended::Exit { code } => code,
        Ended::InputsClosed => EXIT_REFUSED,
    })
}

/// This user's alone: one holds the password file and the fencer's socket, the other the data.
fn create_private(dir: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("{} cannot be created by this user", dir.display()))
}

/// Only a living process answers; a key alone may be left of an earlier life of this member.
async fn refuse_beside_namesake(store: &Store, local: &Local) -> anyhow::Result<()> {
    let name = &local.settings.name;
    let snapshot = match store.read_all(Consistency::Cached, NAMESAKE_READ).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            tracing::warn!("whether another member is named {name} cannot be seen: {error}");
            return Ok(());
        }
    };
    let key = snapshot.keys.get(&format!("members/{name}"));
    let Some(api_url) = key.and_then(|kv| MemberData::parse(&kv.value)?.api_url) else {
        return Ok(());
    };
    anyhow::ensure!(
        !peers::is_answering(&api_url, NAMESAKE_ASK).await,
        "a member named {name} answers at {api_url}; end it, or give this one another name"
    );
    Ok(())
}

/// The fencer, and the deadline that it holds from an earlier life of this agent.
async fn start_fencer(
    local: &Local,
    inputs: &UnboundedSender<Input>,
    queue: &mut UnboundedReceiver<Input>,
) -> anyhow::Result<(Option<FencerHandle>, Option<Armed>)> {
    if local.settings.safety.fencer == FencerMode::Off {
        return Ok((None, None));
    }
    let data_dir = &local.postgres.data_dir;
    // The fencer knows the instance by its resolved directory, so there must be one.
    create_private(data_dir)?;
    let settings = FencerSettings::beside_this_program(data_dir, &local.state_dir)
        .context("where this program lies cannot be seen")?;
    let fencer = FencerHandle::start(settings, inputs.clone());
    let first = tokio::time::timeout(FENCER_WITHIN, queue.recv()).await;
    let Ok(Some(first)) = first else {
        tracing::warn!("the fencer has not answered yet");
        return Ok((Some(fencer), None));
    };
    let armed = match &first {
        Input::Fencer(FencerInput::Ready { armed }) => {
            adopt_running(&fencer, data_dir).await;
            tokio::spawn(warn_if_slow(
                fencer.clone(),
                local.settings.safety.stop_budget,
            ));
            *armed
        }
        Input::Fencer(FencerInput::Lost { why }) => {
            tracing::warn!("no fencer yet: {why}");
            None
        }
        Input::Fencer(
            FencerInput::Acknowledged { .. }
            | FencerInput::Refused { .. }
            | FencerInput::Fired { .. },
        )
        | Input::Wakeup
        | Input::Dcs(_)
        | Input::Postgres(_)
        | Input::Peer(_)
        | Input::Operator(_)
        | Input::Stopping => None,
    };
    // The core hears it as its first input, too; nothing else can have come before it.
    inputs.send(first).context("the agent's queue is closed")?;
    Ok((Some(fencer), armed))
}

/// The deadline of every write authority leaves `stop_budget` for the stop (assumption A2).
async fn warn_if_slow(fencer: FencerHandle, budget: Span) {
    let asked = tokio::time::timeout(FENCER_WITHIN, fencer.status()).await;
    if let Ok(Ok(status)) = asked
        && let Some(warning) = slow_stop(status.stop_measured, budget)
    {
        tracing::warn!("{warning}");
    }
}

fn slow_stop(measured: Span, budget: Span) -> Option<String> {
    (measured > budget).then(|| {
        format!(
            "ending processes takes at least {measured} on this host, more than tanist.stop_budget ({budget}): \
             a fencer could be late; raise stop_budget"
        )
    })
}

/// Drawn at the first start on this host, and kept: the name may be another's, too.
fn own_instance(state_dir: &Path) -> anyhow::Result<u64> {
    let path = state_dir.join("instance");
    let kept = std::fs::read_to_string(&path).ok();
    if let Some(kept) = kept.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()) {
        return Ok(kept);
    }
    let drawn = fresh_seed()?.max(1);
    std::fs::write(&path, format!("{}\n", instance_text(drawn)))
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(drawn)
}

fn fresh_seed() -> anyhow::Result<u64> {
    use std::io::Read;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("no random numbers from /dev/urandom")?;
    Ok(u64::from_le_bytes(bytes))
}

/// Lets the recorder write its last lines; a disk that hangs keeps its thread, not the process.
fn finish(recorder: Recorder) {
    let (done, written) = std::sync::mpsc::sync_channel(1);
    let waiting = std::thread::Builder::new()
        .name("recorder-end".into())
        .spawn(move || {
            drop(recorder);
            let _ = done.send(());
        });
    if waiting.is_ok() {
        let _ = written.recv_timeout(RECORDER_WITHIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_ends_processes_too_slowly_is_warned_of() {
        assert_eq!(slow_stop(Span::millis(320), Span::secs(2)), None);
        let warning = slow_stop(Span::secs(3), Span::secs(2)).unwrap();
        assert!(warning.contains("stop_budget"), "{warning}");
    }
}
