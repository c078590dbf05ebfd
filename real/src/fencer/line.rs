//! The agent's end of the socket: whole lines, bounded, and safe to give up waiting for at any time.
//! Knows nothing of what the lines mean, nor of when to give up.

use super::protocol::{FromFencer, LINE_BYTES_MAX, from_line};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use std::collections::VecDeque;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    #[error("the fencer closed the connection")]
    Closed,
    #[error("{0}")]
    NotUnderstood(String),
    #[error("the process behind the fencer's socket runs as uid {0}, not as the agent's user")]
    WrongUser(u32),
}

pub struct Line {
    stream: UnixStream,
    received: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
}

impl Line {
    pub async fn connect(path: &Path) -> Result<Line, LineError> {
        let stream = UnixStream::connect(path).await?;
        let peer = socket_peercred(&stream).map_err(std::io::Error::from)?;
        if peer.uid != geteuid() {
            return Err(LineError::WrongUser(peer.uid.as_raw()));
        }
        Ok(Line {
            stream,
            received: Vec::new(),
            ready: VecDeque::new(),
        })
    }

    pub async fn send(&mut self, line: &[u8]) -> Result<(), LineError> {
        Ok(self.stream.write_all(line).await?)
    }

    /// The next message. Dropping this future before it is done loses nothing.
    pub async fn next(&mut self) -> Result<FromFencer, LineError> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return from_line(&line).map_err(LineError::NotUnderstood);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(LineError::Closed);
            }
            while let Some(end) = self.received.iter().position(|b| *b == b'\n') {
                let rest = self.received.split_off(end + 1);
                self.ready
                    .push_back(std::mem::replace(&mut self.received, rest));
            }
            // The process list of a big instance is the longest line there is.
            if self.received.len() > 4 * LINE_BYTES_MAX {
                return Err(LineError::NotUnderstood("a line without end".into()));
            }
        }
    }
}
