//! Ends every process of the instance: immediate stop first, SIGKILL soon after, until none is left.
//! Does not decide when: it is begun by the deadline or by request, and goes on step by step, so that
//! the fencer goes on answering meanwhile.
//!
//! 1. SIGQUIT to each root of the instance (the postmaster; orphans if it is gone): PostgreSQL's
//!    immediate stop, by which clients still get a last message.
//! 2. `kill_after` later SIGKILL to everything found. A stopped process (SIGSTOP) does not see SIGQUIT,
//!    and dies by SIGKILL without being continued.
//! 3. Look again every few milliseconds. While the postmaster lives it may have forked behind our
//!    back, so only two empty looks in a row count.
//!
//! A process in an uninterruptible wait for a dead disk outlives even SIGKILL. Once it has been sent, the process never
//! runs a line of its own again, and does not count. Until then the firing goes on, for as long as it takes.

use super::pidfd::{Signalled, signal};
use super::process_table::{Instance, InstanceProcess, ProcessId};
use super::protocol::{Firing, FiringReason};
use rustix::process::Signal;
use std::collections::BTreeSet;
use tanist_core::name::Term;
use tanist_core::time::{Mono, Span};

const EMPTY_LOOKS_WANTED: u8 = 2;

#[derive(Debug)]
pub struct Ending {
    why: FiringReason,
    term: Option<Term>,
    began_at: Mono,
    kill_at: Mono,
    quit: Quit,
    killed: BTreeSet<ProcessId>,
    empty_looks: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quit {
    NotYet,
    Sent,
}

/// How far it is after one step.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Going { left: usize },
    Done(Firing),
}

impl Ending {
    pub fn begin(why: FiringReason, term: Option<Term>, now: Mono, kill_after: Span) -> Ending {
        Ending {
            why,
            term,
            began_at: now,
            kill_at: now + kill_after,
            quit: Quit::NotYet,
            killed: BTreeSet::new(),
            empty_looks: 0,
        }
    }

    pub fn began_at(&self) -> Mono {
        self.began_at
    }

    /// Looks once, signals what has to be signalled.
    pub fn step(
        &mut self,
        now: Mono,
        instance: &Instance,
        postmaster: Option<ProcessId>,
        subreaper: u32,
    ) -> Progress {
        let left = match instance.processes(postmaster, Some(subreaper)) {
            Ok(left) => left,
            Err(_) => return self.press_blindly(now, postmaster),
        };
        if left.is_empty() {
            return self.one_more_empty_look(now);
        }
        self.empty_looks = 0;
        if now >= self.kill_at {
            self.kill(&left, postmaster);
        } else if self.quit == Quit::NotYet {
            for root in roots(&left) {
                // What cannot be signalled now is tried again with SIGKILL.
                let _ = signal(root, Signal::QUIT);
            }
            self.quit = Quit::Sent;
        }
        Progress::Going { left: left.len() }
    }

    /// The process table cannot be read: the postmaster is known without it, and nothing counts as ended.
    fn press_blindly(&mut self, now: Mono, postmaster: Option<ProcessId>) -> Progress {
        self.empty_looks = 0;
        if let Some(postmaster) = postmaster {
            let kill = now >= self.kill_at;
            let _ = signal(postmaster, if kill { Signal::KILL } else { Signal::QUIT });
        }
        Progress::Going { left: 1 }
    }

    fn one_more_empty_look(&mut self, now: Mono) -> Progress {
        self.empty_looks += 1;
        if self.empty_looks < EMPTY_LOOKS_WANTED {
            return Progress::Going { left: 0 };
        }
        Progress::Done(Firing {
            why: self.why.clone(),
            term: self.term,
            at: self.began_at,
            took: now.since(self.began_at),
            killed: u32::try_from(self.killed.len()).unwrap_or(u32::MAX),
        })
    }

    fn kill(&mut self, left: &[InstanceProcess], postmaster: Option<ProcessId>) {
        // The postmaster first: then nobody forks any more.
        let (first, rest): (Vec<&InstanceProcess>, Vec<&InstanceProcess>) = left
            .iter()
            .partition(|process| Some(process.id) == postmaster);
        for process in first.into_iter().chain(rest) {
            if signal(process.id, Signal::KILL) == Ok(Signalled::Sent) {
                self.killed.insert(process.id);
            }
        }
    }
}

/// The processes whose parent is not of the instance.
fn roots(left: &[InstanceProcess]) -> impl Iterator<Item = ProcessId> {
    left.iter()
        .filter(|process| left.iter().all(|other| other.id.pid != process.parent))
        .map(|process| process.id)
}

#[cfg(test)]
mod tests {
    use super::super::process_table::Kind;
    use super::*;

    fn process(pid: u32, parent: u32) -> InstanceProcess {
        InstanceProcess {
            id: ProcessId { pid, start_time: 1 },
            parent,
            kind: Kind::Server,
        }
    }

    #[test]
    fn the_immediate_stop_goes_to_the_postmaster_and_to_orphans_but_not_to_its_children() {
        let left = [
            process(10, 1),
            process(11, 10),
            process(12, 10),
            process(20, 1),
        ];
        let found: Vec<u32> = roots(&left).map(|id| id.pid).collect();
        assert_eq!(found, [10, 20]);
    }
}
