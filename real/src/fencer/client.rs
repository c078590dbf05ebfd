//! The agent's handle on its fencer: requests of the core, and calls of the room that runs PostgreSQL.
//! Knows nothing of sockets and processes: `supervision.rs` keeps a fencer alive behind it.

use super::process_table::{InstanceProcess, ProcessId};
use super::protocol::{Answer, Command, PostmasterExit, SpawnPostmaster, Status};
use super::replacement::{FencerError, FencerSettings};
use super::supervision::Supervisor;
use tanist_core::fencer::{FencerInput, FencerRequest};
use tanist_core::input::Input;
use tanist_core::name::OpId;
use tokio::sync::{broadcast, mpsc, oneshot};

const ASKS_MAX: usize = 256;

/// A cheap handle; the supervision ends when the last one is dropped. The fencer goes on.
#[derive(Clone)]
pub struct FencerHandle {
    asks: mpsc::Sender<Ask>,
    exits: broadcast::Sender<PostmasterExit>,
    inputs: mpsc::UnboundedSender<Input>,
}

pub(super) struct Ask {
    pub command: Command,
    pub to: Asker,
}

pub(super) enum Asker {
    Core(OpId),
    Caller(oneshot::Sender<Result<Answer, FencerError>>),
    /// The supervision itself: a ping.
    Nobody,
}

impl FencerHandle {
    /// Returns at once. `Ready` or `Lost` comes as an input.
    pub fn start(settings: FencerSettings, inputs: mpsc::UnboundedSender<Input>) -> FencerHandle {
        let (asks, receiver) = mpsc::channel(ASKS_MAX);
        let (exits, _) = broadcast::channel(16);
        let supervisor = Supervisor::new(settings, receiver, inputs.clone(), exits.clone());
        tokio::spawn(supervisor.run());
        FencerHandle {
            asks,
            exits,
            inputs,
        }
    }

    /// The answer comes as the input `Acknowledged` or `Refused`; `Lost` if there is none.
    pub fn request(&self, op: OpId, request: FencerRequest) {
        let ask = Ask {
            command: Command::Obey(request),
            to: Asker::Core(op),
        };
        if self.asks.try_send(ask).is_err() {
            let why = "too many requests to the fencer wait already".to_string();
            let refused = FencerInput::Refused { op, why };
            let _ = self.inputs.send(Input::Fencer(refused));
        }
    }

    /// Starts a postmaster as the fencer's child. It may still fail to run: then it exits, 126 (log
    /// file) or 127 (program).
    pub async fn spawn_postmaster(
        &self,
        wanted: SpawnPostmaster,
    ) -> Result<ProcessId, FencerError> {
        match self.call(Command::Spawn(wanted)).await? {
            Answer::Spawned(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets the fencer hold a postmaster that runs already.
    pub async fn adopt(&self, postmaster: ProcessId) -> Result<(), FencerError> {
        match self.call(Command::Adopt(postmaster)).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn processes(&self) -> Result<Vec<InstanceProcess>, FencerError> {
        match self.call(Command::Processes).await? {
            Answer::Processes(processes) => Ok(processes),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn status(&self) -> Result<Status, FencerError> {
        match self.call(Command::Status).await? {
            Answer::Status(status) => Ok(*status),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn diagnostics(&self) -> Result<Vec<String>, FencerError> {
        match self.call(Command::Diagnostics).await? {
            Answer::Diagnostics(lines) => Ok(lines),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends every process of the instance now. Done when none is left, however long that takes.
    pub async fn fence(&self, reason: &str) -> Result<(), FencerError> {
        let reason = reason.to_string();
        match self.call(Command::Fence { reason }).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// How postmasters end, as it happens.
    pub fn postmaster_exits(&self) -> broadcast::Receiver<PostmasterExit> {
        self.exits.subscribe()
    }

    async fn call(&self, command: Command) -> Result<Answer, FencerError> {
        let (sender, answer) = oneshot::channel();
        let to = Asker::Caller(sender);
        let ask = Ask { command, to };
        self.asks.try_send(ask).map_err(|_| FencerError::Absent)?;
        match answer.await.unwrap_or(Err(FencerError::Absent))? {
            Answer::Refused { why } => Err(FencerError::Refused(why)),
            answer => Ok(answer),
        }
    }
}

fn unexpected(answer: &Answer) -> FencerError {
    FencerError::Refused(format!("an answer to another question: {answer:?}"))
}
