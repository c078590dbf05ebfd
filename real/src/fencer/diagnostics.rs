//! The fencer's own account of what it did: a bounded ring in memory that a client can fetch.
//! Never writes to a file, and never waits for a reader.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use rustix::time::Timespec;
use std::collections::VecDeque;
use std::io::Write;
use tanist_core::time::Mono;

const LINES_MAX: usize = 200;
const LINE_CHARS_MAX: usize = 300;

#[derive(Default)]
pub struct Diagnostics {
    lines: VecDeque<String>,
}

impl Diagnostics {
    pub fn note(&mut self, now: Mono, text: &str) {
        let text: String = text.chars().take(LINE_CHARS_MAX).collect();
        let line = format!("{:.3} {text}", now.0 as f64 / 1e6);
        to_stderr(&line);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

/// Best effort: a full pipe loses the line, and a regular file is never written (its disk may hang).
fn to_stderr(line: &str) {
    let stderr = std::io::stderr();
    let Ok(stat) = fstat(&stderr) else { return };
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        return;
    }
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    let writable = poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
    if writable {
        // A line is shorter than what a pipe takes whole, so this does not wait.
        let _ = stderr.lock().write_all(format!("{line}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_make_room_for_new_ones() {
        let mut diagnostics = Diagnostics::default();
        for n in 0..LINES_MAX + 5 {
            diagnostics.note(Mono(0), &format!("line {n}"));
        }
        assert_eq!(diagnostics.lines().len(), LINES_MAX);
        assert!(diagnostics.lines()[0].ends_with("line 5"));
    }
}
