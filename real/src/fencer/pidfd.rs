//! Holds and signals one process by a handle that cannot come to mean another process.
//! Knows nothing of which process it is, or why it is signalled.
//!
//! A number alone is not enough: 1. a scan finds backend 4711. 2. it ends, and its number is given to
//! an unrelated process. 3. `kill 4711` hits that one. So: open the handle first, then compare the
//! start time, then signal through the handle.

use super::process_table::{ProcessId, is_alive};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;

#[derive(Debug)]
pub struct Held {
    id: ProcessId,
    handle: OwnedFd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signalled {
    Sent,
    /// That very process has ended; nobody was signalled.
    Gone,
}

impl Held {
    /// `None` when that very process is not alive.
    pub fn open(id: ProcessId) -> Option<Held> {
        let pid = Pid::from_raw(i32::try_from(id.pid).ok()?)?;
        let handle = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
        // Only now: whatever has this start time while the handle is open is what the handle means.
        is_alive(id).then_some(Held { id, handle })
    }

    pub fn id(&self) -> ProcessId {
        self.id
    }

    pub fn signal(&self, signal: Signal) -> rustix::io::Result<Signalled> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) => Ok(Signalled::Sent),
            Err(rustix::io::Errno::SRCH) => Ok(Signalled::Gone),
            Err(e) => Err(e),
        }
    }

    /// A handle becomes readable when its process has ended.
    pub fn has_exited(&self) -> bool {
        let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Signals that very process, or nobody.
pub fn signal(id: ProcessId, signal: Signal) -> rustix::io::Result<Signalled> {
    match Held::open(id) {
        Some(held) => held.signal(signal),
        None => Ok(Signalled::Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::super::process_table::identify;
    use super::*;
    use std::process::Command;

    #[test]
    fn a_recycled_number_is_never_signalled() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let id = identify(child.id()).unwrap();
        let before = ProcessId {
            start_time: id.start_time - 1,
            ..id
        };
        assert_eq!(signal(before, Signal::KILL), Ok(Signalled::Gone));
        assert!(child.try_wait().unwrap().is_none(), "it must live on");
        assert_eq!(signal(id, Signal::KILL), Ok(Signalled::Sent));
        child.wait().unwrap();
        assert_eq!(signal(id, Signal::KILL), Ok(Signalled::Gone));
    }
}
