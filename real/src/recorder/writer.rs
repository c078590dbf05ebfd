//! The thread that owns the recorder's files. May wait for the disk; the agent never waits for it.
//! Knows nothing of what a line says.

use super::segments::{self, Segment};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use tanist_core::record::{lost_line, split_sum};

pub enum Message {
    /// Handle number `n`.
    Line { n: u64, text: String },
    /// The segment tells of a change of role: it and its neighbours are kept longest.
    Keep,
    /// A new segment begins after handle number `before`.
    Begin { before: u64, text: String },
}

pub struct Writer {
    dir: PathBuf,
    size_max: u64,
    failed: Arc<AtomicBool>,
    current: Option<Current>,
    next_number: Option<u64>,
    /// The segment before the current one.
    previous: Option<u64>,
    /// The next segment follows one that told of a change of role.
    keep_next: bool,
    complained: bool,
    /// The last handle that was written.
    last: u64,
}

struct Current {
    file: File,
    number: u64,
    kept: bool,
    /// Whole lines written.
    bytes: u64,
    /// The sum of the last of them.
    last_sum: u64,
}

impl Writer {
    pub fn new(dir: &Path, size_max: u64, failed: Arc<AtomicBool>) -> Writer {
        Writer {
            dir: dir.to_path_buf(),
            size_max,
            failed,
            current: None,
            next_number: None,
            previous: None,
            keep_next: false,
            complained: false,
            last: 0,
        }
    }

    /// Until the agent's side is gone.
    pub fn run(mut self, messages: &Receiver<Message>) {
        let mut broken = false;
        while let Ok(message) = messages.recv() {
            let done = match message {
                // The agent's side has been told and will come with a whole segment.
                Message::Line { .. } | Message::Keep if broken => continue,
                Message::Line { n, text } => self.line(n, &text),
                Message::Keep => self.keep_around(),
                Message::Begin { before, text } => self.begin_with_room(before, &text),
            };
            broken = done.is_err();
            match done {
                Ok(()) => {
                    if self.complained {
                        tracing::info!("the flight recorder writes again");
                    }
                    self.complained = false;
                }
                Err(error) => self.complain(&error),
            }
        }
    }

    fn complain(&mut self, error: &io::Error) {
        self.failed.store(true, Ordering::Release);
        if !self.complained {
            let dir = self.dir.display();
            tracing::warn!(
                "the flight recorder cannot write to {dir}: {error}; lines are being lost"
            );
        }
        self.complained = true;
    }

    fn line(&mut self, n: u64, text: &str) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Err(io::Error::other("no segment is open"));
        };
        current.append(text)?;
        self.last = n;
        Ok(())
    }

    /// A full disk has no room for the last words of a segment either, so the oldest one gives way, once.
    fn begin_with_room(&mut self, before: u64, text: &str) -> io::Result<()> {
        let first = self.end_and_begin(before, text);
        let full = first
            .as_ref()
            .is_err_and(|e| e.kind() == io::ErrorKind::StorageFull);
        if !full {
            return first;
        }
        let current = self.current.as_ref().map_or(0, |c| c.number);
        let all = segments::list(&self.dir)?;
        let total: u64 = all.iter().map(|s| s.bytes).sum();
        for segment in segments::surplus(&all, current, total.saturating_sub(1)) {
            std::fs::remove_file(segment.path(&self.dir))?;
        }
        self.end_and_begin(before, text)
    }

    fn end_and_begin(&mut self, before: u64, text: &str) -> io::Result<()> {
        let lost = before.saturating_sub(self.last);
        if let Some(current) = &mut self.current
            && lost > 0
        {
            current.append(&lost_line(current.last_sum, lost))?;
        }
        self.begin(text)?;
        self.last = before;
        Ok(())
    }

    fn begin(&mut self, text: &str) -> io::Result<()> {
        if let Some(current) = self.current.take() {
            self.previous = Some(current.number);
        }
        std::fs::create_dir_all(&self.dir)?;
        let number = match self.next_number {
            Some(number) => number,
            None => segments::list(&self.dir)?
                .last()
                .map_or(1, |s| s.number + 1),
        };
        let room = super::segment_room(self.size_max, text.len() as u64);
        self.make_room(number, room)?;
        let kept = std::mem::take(&mut self.keep_next);
        let path = self.dir.join(Segment::file_name(number, kept));
        // A recording holds what the DCS holds, and somebody's password may be in a parameter there.
        let file = OpenOptions::new()
            .mode(0o600)
            .write(true)
            .create_new(true)
            .open(&path)?;
        self.next_number = Some(number + 1);
        let mut current = Current {
            file,
            number,
            kept,
            bytes: 0,
            last_sum: 0,
        };
        if let Err(error) = current.append(text) {
            std::fs::remove_file(&path)?;
            return Err(error);
        }
        self.current = Some(current);
        Ok(())
    }

    fn make_room(&self, current: u64, room: u64) -> io::Result<()> {
        let all = segments::list(&self.dir)?;
        for segment in segments::surplus(&all, current, self.size_max.saturating_sub(room)) {
            std::fs::remove_file(segment.path(&self.dir))?;
        }
        Ok(())
    }

    /// Marks this segment and the one before it; the next is marked when it begins.
    fn keep_around(&mut self) -> io::Result<()> {
        self.keep_next = true;
        if let Some(number) = self.previous.take() {
            mark(&self.dir, number)?;
        }
        if let Some(current) = &mut self.current
            && !current.kept
        {
            mark(&self.dir, current.number)?;
            current.kept = true;
        }
        Ok(())
    }
}

/// A segment that is gone, or is marked already, needs no mark.
fn mark(dir: &Path, number: u64) -> io::Result<()> {
    let from = dir.join(Segment::file_name(number, false));
    match std::fs::rename(from, dir.join(Segment::file_name(number, true))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Current {
    /// A line is written whole or not at all: what a full disk left of it is cut off again.
    fn append(&mut self, text: &str) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.bytes))?;
        let written = self.file.write_all(text.as_bytes());
        if written.is_err() {
            self.file.set_len(self.bytes)?;
        }
        written?;
        self.bytes += text.len() as u64;
        let last = text.lines().last().and_then(split_sum);
        self.last_sum = last.map_or(self.last_sum, |(_, sum)| sum);
        Ok(())
    }
}
