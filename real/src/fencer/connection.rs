//! One connection to the fencer: lines in, lines out, never waiting, never growing without bound.
//! Knows nothing of what the lines mean.

use super::protocol::{LINE_BYTES_MAX, Role};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// A caller that does not read its answers is cut off at this many bytes.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;

pub struct Connection {
    pub number: u64,
    /// `None` until it said hello.
    pub role: Option<Role>,
    stream: UnixStream,
    received: Vec<u8>,
    unsent: Vec<u8>,
    open: Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Yes,
    /// Send what is left, then close.
    Closing,
    No,
}

impl Connection {
    pub fn new(number: u64, stream: UnixStream) -> std::io::Result<Connection> {
        stream.set_nonblocking(true)?;
        Ok(Connection {
            number,
            role: None,
            stream,
            received: Vec::new(),
            unsent: Vec::new(),
            open: Open::Yes,
        })
    }

    pub fn is_closed(&self) -> bool {
        match self.open {
            Open::Yes => false,
            Open::Closing => self.unsent.is_empty(),
            Open::No => true,
        }
    }

    pub fn close_when_sent(&mut self) {
        self.open = Open::Closing;
    }

    pub fn wants(&self) -> PollFlags {
        if self.unsent.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::IN | PollFlags::OUT
        }
    }

    /// The complete lines that have arrived, in order. A bounded read: the rest comes next time.
    pub fn read_lines(&mut self) -> Vec<Vec<u8>> {
        let mut chunk = [0u8; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.open = Open::No,
            Ok(n) => self.received.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.open = Open::No,
        }
        let mut lines = Vec::new();
        while let Some(end) = self.received.iter().position(|b| *b == b'\n') {
            let rest = self.received.split_off(end + 1);
            lines.push(std::mem::replace(&mut self.received, rest));
        }
        if self.received.len() > LINE_BYTES_MAX {
            self.open = Open::No;
        }
        lines
    }

    /// Queues one line and sends what can be sent at once.
    pub fn send(&mut self, line: &[u8]) {
        if self.unsent.len() + line.len() > UNSENT_BYTES_MAX {
            self.open = Open::No;
            return;
        }
        self.unsent.extend_from_slice(line);
        self.flush();
    }

    pub fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.open = Open::No;
                    return;
                }
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Connection::new(1, ours).unwrap(), theirs)
    }

    #[test]
    fn lines_are_cut_at_line_ends_whatever_the_chunks() {
        let (mut connection, mut peer) = pair();
        peer.write_all(b"one\ntw").unwrap();
        assert_eq!(connection.read_lines(), [b"one\n".to_vec()]);
        peer.write_all(b"o\n").unwrap();
        assert_eq!(connection.read_lines(), [b"two\n".to_vec()]);
    }

    #[test]
    fn a_line_without_end_closes_the_connection_instead_of_filling_memory() {
        let (mut connection, mut peer) = pair();
        peer.set_nonblocking(true).unwrap();
        for _ in 0..LINE_BYTES_MAX / 1024 + 64 {
            let _ = peer.write(&[b'x'; 1024]);
            connection.read_lines();
        }
        assert!(connection.is_closed());
    }

    #[test]
    fn a_caller_that_never_reads_is_cut_off() {
        let (mut connection, _peer) = pair();
        for _ in 0..64 {
            connection.send(&[b'x'; 64 * 1024]);
        }
        assert!(connection.is_closed());
    }
}
