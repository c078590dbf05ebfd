//! How does an agent come to a living fencer? Finds the one there is, starts one where none is, and
//! ends a frozen one to start another. Decides nothing about deadlines, and never touches PostgreSQL.

use super::line::{Line, LineError};
use super::pidfd;
use super::process_table::{ProcessId, is_alive};
use super::protocol::{Answer, Command, FromFencer, Request, Role, Status, VERSION, to_line};
use super::start::EXIT_LOCKED;
use super::state_dir::{StateDirError, lock_holder, socket_path};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tanist_core::time::Span;
use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

/// A fencer that is awake answers in well under a millisecond.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// From starting the program until its socket answers; its self-test is part of that.
const START_WITHIN: Duration = Duration::from_secs(3);
const END_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Clone, Debug)]
pub struct FencerSettings {
    /// The program `tanist-fencer`.
    pub program: PathBuf,
    pub data_dir: PathBuf,
    /// Of this data directory alone; mode 0700.
    pub state_dir: PathBuf,
    /// From the immediate stop (SIGQUIT) to SIGKILL.
    pub kill_after: Span,
    /// The file name of the server's program.
    pub server_program: String,
}

impl FencerSettings {
    /// The fencer that lies beside the running program.
    pub fn beside_this_program(data_dir: &Path, state_dir: &Path) -> std::io::Result<Self> {
        Ok(FencerSettings {
            program: std::env::current_exe()?.with_file_name("tanist-fencer"),
            data_dir: data_dir.to_path_buf(),
            state_dir: state_dir.to_path_buf(),
            kill_after: Span::millis(300),
            server_program: "postgres".into(),
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FencerError {
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error("the fencer {0:?} cannot be started: {1}. It is installed beside the program tanist")]
    NotStarted(PathBuf, std::io::Error),
    #[error("the fencer ended at once: {0}")]
    EndedAtOnce(String),
    #[error("the fencer did not answer within {0:?}")]
    Silent(Duration),
    #[error("fencer {0} could not be ended: it hangs in the kernel, or belongs to another user")]
    CannotEnd(u32),
    #[error("connection to the fencer: {0}")]
    Line(#[from] LineError),
    #[error("the fencer refused: {0}")]
    Refused(String),
    #[error("no fencer is there at this moment")]
    Absent,
}

/// A fencer that has answered the hello.
pub struct Connected {
    pub line: Line,
    pub status: Status,
}

/// What is known of the fencer before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Nothing,
    /// It did not answer: end it first.
    Frozen(ProcessId),
}

pub async fn connect(settings: &FencerSettings, before: Before) -> Result<Connected, FencerError> {
    let path = socket_path(&settings.state_dir)?;
    match before {
        Before::Frozen(fencer) => end(fencer).await?,
        Before::Nothing => match hello(&path).await {
            Ok(connected) => return Ok(connected),
            // Somebody listens, and is frozen, or speaks otherwise than we do.
            Err(FencerError::Silent(_) | FencerError::Refused(_)) => end_holder(settings).await?,
            // Nobody listens.
            Err(FencerError::Line(LineError::Socket(_) | LineError::Closed)) => {}
            Err(other) => return Err(other),
        },
    }
    start(settings, &path).await
}

async fn hello(path: &Path) -> Result<Connected, FencerError> {
    let ask = async {
        let mut line = Line::connect(path).await?;
        let command = Command::Hello {
            version: VERSION,
            role: Role::Agent,
        };
        line.send(&to_line(&Request { id: 0, command })).await?;
        loop {
            match line.next().await? {
                FromFencer::Answer {
                    answer: Answer::Status(status),
                    ..
                } => {
                    let status = *status;
                    return Ok(Connected { line, status });
                }
                FromFencer::Answer {
                    answer: Answer::Refused { why },
                    ..
                } => return Err(FencerError::Refused(why)),
                FromFencer::Answer { .. } | FromFencer::Event(_) => {}
            }
        }
    };
    timeout(ANSWER_WITHIN, ask)
        .await
        .unwrap_or(Err(FencerError::Silent(ANSWER_WITHIN)))
}

async fn start(settings: &FencerSettings, path: &Path) -> Result<Connected, FencerError> {
    let mut child = spawn(settings).await?;
    let until = Instant::now() + START_WITHIN;
    while Instant::now() < until {
        if let Some(exit) = ended(&mut child)? {
            let said = last_words(&mut child).await;
            if exit == Some(EXIT_LOCKED) {
                // One is there that does not listen: it has only begun, or its socket was removed.
                if let Ok(connected) = hello(path).await {
                    return Ok(connected);
                }
                end_holder(settings).await?;
            }
            return Err(FencerError::EndedAtOnce(said));
        }
        match hello(path).await {
            Ok(connected) => {
                // Its account is fetched over the socket from now on. Somebody must reap it, though.
                drop(child.stderr.take());
                tokio::spawn(async move { child.wait().await });
                return Ok(connected);
            }
            Err(_) => sleep(LOOK_EVERY).await,
        }
    }
    let _ = child.start_kill();
    Err(FencerError::Silent(START_WITHIN))
}

async fn spawn(settings: &FencerSettings) -> Result<Child, FencerError> {
    let mut command = tokio::process::Command::new(&settings.program);
    command
        .arg("--data-dir")
        .arg(&settings.data_dir)
        .arg("--state-dir")
        .arg(&settings.state_dir)
        .arg("--kill-after-ms")
        .arg(settings.kill_after.as_millis().to_string())
        .arg("--program")
        .arg(&settings.server_program)
        // The agent's environment may hold passwords, and the fencer needs none of it.
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // Reading the program may wait for a disk, and the agent must not.
    let spawning = tokio::task::spawn_blocking(move || command.spawn());
    let failed = |e| FencerError::NotStarted(settings.program.clone(), e);
    match timeout(START_WITHIN, spawning).await {
        Ok(Ok(spawned)) => spawned.map_err(failed),
        Ok(Err(joined)) => Err(failed(std::io::Error::other(joined))),
        Err(_) => Err(FencerError::Silent(START_WITHIN)),
    }
}

fn ended(child: &mut Child) -> Result<Option<Option<i32>>, FencerError> {
    let exit = child.try_wait().map_err(LineError::Socket)?;
    Ok(exit.map(|status| status.code()))
}

async fn last_words(child: &mut Child) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = timeout(ANSWER_WITHIN, stderr.take(2_000).read_to_end(&mut said)).await;
    }
    String::from_utf8_lossy(&said).trim().to_string()
}

/// Ends whoever holds the lock: that is the fencer, by number and start time.
async fn end_holder(settings: &FencerSettings) -> Result<(), FencerError> {
    let dir = settings.state_dir.clone();
    let looked = tokio::task::spawn_blocking(move || lock_holder(&dir)).await;
    match looked {
        Ok(Some(holder)) => end(holder).await,
        Ok(None) | Err(_) => Ok(()),
    }
}

async fn end(fencer: ProcessId) -> Result<(), FencerError> {
    pidfd::signal(fencer, Signal::KILL).map_err(|_| FencerError::CannotEnd(fencer.pid))?;
    let until = Instant::now() + END_WITHIN;
    while is_alive(fencer) {
        if Instant::now() >= until {
            return Err(FencerError::CannotEnd(fencer.pid));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
