//! Log lines to standard error, as text or JSON, written by a thread of their own.
//! A reader that stalls (a full pipe, a stuck journal) costs lines, which are counted; never the agent's time.

use crate::settings::log::{Log, LogShape};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for the reader.
const WAITING_MAX: usize = 4_096;
/// How long the end of the process waits for the last lines.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Ends the logging in order: to be kept until the process ends.
pub struct LogGuard {
    lines: SyncSender<Line>,
}

enum Line {
    Text(Vec<u8>),
    /// Everything before this has been written: say so.
    Flush(SyncSender<()>),
}

#[derive(Clone)]
struct Outlet {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

/// One event; handed over when it is dropped.
struct Event {
    outlet: Outlet,
    text: Vec<u8>,
}

pub fn start(log: Log) -> io::Result<LogGuard> {
    let (lines, receiver) = sync_channel(WAITING_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    let outlet = Outlet {
        lines: lines.clone(),
        lost: Arc::clone(&lost),
    };
    std::thread::Builder::new()
        .name("log".into())
        .spawn(move || write_out(&receiver, &lost, &mut io::stderr()))?;
    let layer = tracing_subscriber::fmt()
        .with_max_level(log.level)
        .with_ansi(false)
        .with_target(false)
        .with_writer(outlet);
    let set = match log.shape {
        LogShape::Text => layer.try_init(),
        LogShape::Json => layer.json().flatten_event(true).try_init(),
    };
    set.map_err(io::Error::other)?;
    Ok(LogGuard { lines })
}

fn write_out(lines: &Receiver<Line>, lost: &AtomicU64, to: &mut dyn Write) {
    while let Ok(line) = lines.recv() {
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let _ = writeln!(to, "{missing} log lines lost: the reader was too slow");
        }
        match line {
            // Standard error is closed: there is nobody to tell.
            Line::Text(text) => drop(to.write_all(&text)),
            Line::Flush(done) => drop(done.send(())),
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_WITHIN);
        }
    }
}

impl<'a> MakeWriter<'a> for Outlet {
    type Writer = Event;

    fn make_writer(&'a self) -> Event {
        Event {
            outlet: self.clone(),
            text: Vec::new(),
        }
    }
}

impl Write for Event {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let text = std::mem::take(&mut self.text);
        match self.outlet.lines.try_send(Line::Text(text)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.outlet.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_reader_costs_counted_lines_and_no_time() {
        let (lines, receiver) = sync_channel(2);
        let lost = Arc::new(AtomicU64::new(0));
        let outlet = Outlet {
            lines,
            lost: Arc::clone(&lost),
        };
        for n in 0..5 {
            writeln!(outlet.make_writer(), "line {n}").unwrap();
        }
        drop(outlet);
        let mut seen = Vec::new();
        write_out(&receiver, &lost, &mut seen);
        let seen = String::from_utf8(seen).unwrap();
        assert_eq!(
            seen,
            "3 log lines lost: the reader was too slow\nline 0\nline 1\n"
        );
    }
}
