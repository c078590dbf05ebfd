//! The flight recorder: what the agent was told and did, on disk, always on.
//! Never blocks the agent, and never fails it: what cannot be written is counted and said.
//!
//! The agent's side (here) makes the lines and hands them to a thread over a bounded channel; the thread
//! ([`writer`]) owns the files. When the channel is full or the disk is, lines are lost; the segment then ends
//! with their count, and the next begins with a snapshot of the whole agent, so that a replay can go on there.

pub mod segments;
pub mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use tanist_core::agent::{Agent, Output};
use tanist_core::input::Input;
use tanist_core::record::{Header, Recording};
use tanist_core::time::{Mono, Now, Span};
use writer::{Message, Writer};

/// Lines that may wait for the disk. A line is about a kilobyte, a snapshot some tens.
const WAITING_MAX: usize = 1_024;
/// Handles from one digest of the state to the next.
const DIGEST_EVERY: u64 = 64;
/// All segments together are this many times as large as one.
const SEGMENTS: u64 = 16;

/// How much a segment holds before the next begins: its share of the whole, and at least as much again as the
/// snapshot at its head, or a large state would be written over and over.
fn segment_room(size_max: u64, head: u64) -> u64 {
    (size_max / SEGMENTS).max(head.saturating_mul(2))
}
/// After lines were lost, how long until a new segment is tried.
const RETRY_AFTER: Span = Span::secs(1);

/// The agent's side.
pub struct Recorder {
    recording: Recording,
    to_writer: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    /// Raised by the thread when a line could not be written.
    failed: Arc<AtomicBool>,
    segment_bytes: u64,
    /// Of the segment being written.
    segment_bytes_max: u64,
    size_max: u64,
    state: State,
}

enum State {
    Writing,
    /// Lines are being lost; a new segment is tried then.
    Losing {
        retry_at: Mono,
    },
}

impl State {
    fn losing(now: Now) -> State {
        State::Losing {
            retry_at: now.mono + RETRY_AFTER,
        }
    }
}

impl Recorder {
    /// Starts the thread. A directory that cannot be used is no reason not to start: lines are lost then,
    /// and tried again.
    pub fn start(dir: &Path, size_max: u64, header: Header) -> std::io::Result<Recorder> {
        let (to_writer, messages) = sync_channel(WAITING_MAX);
        let failed = Arc::new(AtomicBool::new(false));
        let writer = Writer::new(dir, size_max, Arc::clone(&failed));
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || writer.run(&messages))?;
        let (recording, text) = Recording::begin(header, DIGEST_EVERY);
        let mut recorder = Recorder {
            recording,
            to_writer: Some(to_writer),
            thread: Some(thread),
            failed,
            segment_bytes: text.len() as u64,
            segment_bytes_max: segment_room(size_max, text.len() as u64),
            size_max,
            state: State::Writing,
        };
        recorder.send(Message::Begin { before: 0, text });
        Ok(recorder)
    }

    /// Records one handle. `agent` is the state that it left.
    pub fn record(&mut self, now: Now, input: &Input, output: &Output, agent: &Agent) {
        if self.failed.swap(false, Ordering::AcqRel)
            && let State::Writing = self.state
        {
            self.state = State::losing(now);
        }
        match self.state {
            State::Writing => self.write_line(now, input, output, agent),
            State::Losing { retry_at } => {
                self.recording.skip();
                if now.mono >= retry_at {
                    self.begin_segment(now, agent);
                }
            }
        }
    }

    /// A change of role was just recorded: the segments around it are what somebody will ask for.
    pub fn keep_this_segment(&mut self) {
        // Where the channel is full the segment is about to end anyway.
        let _ = self.send(Message::Keep);
    }

    fn write_line(&mut self, now: Now, input: &Input, output: &Output, agent: &Agent) {
        let text = self.recording.handle(now, input, output, agent);
        let n = self.recording.handles();
        self.segment_bytes += text.len() as u64;
        if !self.send(Message::Line { n, text }) {
            self.state = State::losing(now);
            return;
        }
        if self.segment_bytes >= self.segment_bytes_max {
            self.begin_segment(now, agent);
        }
    }

    /// The state `agent` is the first thing in it, so nothing before it is needed to replay it.
    fn begin_segment(&mut self, now: Now, agent: &Agent) {
        let text = self.recording.segment(agent);
        let before = self.recording.handles();
        self.segment_bytes = text.len() as u64;
        self.segment_bytes_max = segment_room(self.size_max, self.segment_bytes);
        self.state = if self.send(Message::Begin { before, text }) {
            State::Writing
        } else {
            State::losing(now)
        };
    }

    fn send(&mut self, message: Message) -> bool {
        let Some(to_writer) = &self.to_writer else {
            return false;
        };
        match to_writer.try_send(message) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

impl Drop for Recorder {
    /// Waits until what was handed over is on its way to the disk. The agent has ended by then.
    fn drop(&mut self) {
        self.to_writer = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has nothing left to write.
            let _ = thread.join();
        }
    }
}
