//! The fencer's rule at work: holds deadline and postmaster, ends the instance when the deadline has
//! passed, answers commands. Knows nothing of sockets: commands come in, answers and events go out.
//!
//! Order within one turn: first the deadline, then whatever was asked. A host that was paused wakes up
//! with requests in the socket and the deadline long passed: kill first, listen later.

use super::deadline::{Deadline, Left};
use super::diagnostics::Diagnostics;
use super::firing::{Ending, Progress};
use super::postmaster::{Postmaster, Reaped, reap};
use super::process_table::{Instance, Kind, ProcessId, identify};
use super::protocol::{
    Answer, Command, Event, ExitHow, Firing, FiringReason, Memory, PostmasterExit, SelfTest,
    SpawnPostmaster, Status, VERSION,
};
use tanist_core::time::{Mono, Span};

/// A longer silence between two turns means that this process or its host stood still.
const GAP_MAX: Span = Span::secs(1);
/// How often a firing that does not come to its end says so.
const STUCK_NOTE_EVERY: Span = Span::secs(5);

pub struct Guard {
    instance: Instance,
    kill_after: Span,
    own: ProcessId,
    memory: Memory,
    self_test: SelfTest,
    deadline: Deadline,
    ending: Option<Ending>,
    stuck_noted_at: Mono,
    postmaster: Option<Postmaster>,
    last_exit: Option<PostmasterExit>,
    last_firing: Option<Firing>,
    turned_at: Option<Mono>,
    pub diagnostics: Diagnostics,
}

/// What a command comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Now(Answer),
    /// When the firing that goes on is done.
    WhenFired,
}

impl Guard {
    pub fn new(instance: Instance, kill_after: Span, memory: Memory, self_test: SelfTest) -> Guard {
        let pid = std::process::id();
        let own = identify(pid).unwrap_or(ProcessId { pid, start_time: 0 });
        Guard {
            instance,
            kill_after,
            own,
            memory,
            self_test,
            deadline: Deadline::default(),
            ending: None,
            stuck_noted_at: Mono::default(),
            postmaster: None,
            last_exit: None,
            last_firing: None,
            turned_at: None,
            diagnostics: Diagnostics::default(),
        }
    }

    pub fn postmaster(&self) -> Option<&Postmaster> {
        self.postmaster.as_ref()
    }

    /// When it must be awake for the deadline.
    pub fn armed_until(&self) -> Option<Mono> {
        self.deadline.armed().map(|armed| armed.until)
    }

    pub fn is_firing(&self) -> bool {
        self.ending.is_some()
    }

    /// Neither a deadline nor a firing depends on this process.
    pub fn may_go(&self) -> bool {
        self.deadline.armed().is_none() && self.ending.is_none()
    }

    /// Nothing is left to watch, either.
    pub fn has_nothing_to_watch(&self) -> bool {
        self.may_go() && self.postmaster.is_none() && self.left(None) == Left::Nothing
    }

    /// One turn: what happened meanwhile, and the deadline.
    pub fn turn(&mut self, now: Mono) -> Vec<Event> {
        if let Some(before) = self.turned_at.replace(now) {
            let gap = now.since(before);
            if gap > GAP_MAX {
                self.note(now, &format!("stood still for {gap}"));
            }
        }
        if let Some(armed) = self.deadline.passed(now)
            && self.ending.is_none()
        {
            let until = armed.until;
            self.begin(FiringReason::DeadlinePassed { until }, now);
        }
        let mut events = Vec::new();
        events.extend(self.step(now).map(Event::Fired));
        events.extend(self.look_for_exit(now).map(Event::PostmasterExited));
        events
    }

    fn begin(&mut self, why: FiringReason, now: Mono) {
        let term = self.deadline.armed().map(|armed| armed.term);
        self.note(now, &format!("ending PostgreSQL: {why:?}, term {term:?}"));
        self.ending = Some(Ending::begin(why, term, now, self.kill_after));
        self.stuck_noted_at = now;
    }

    fn step(&mut self, now: Mono) -> Option<Firing> {
        let held = self.postmaster.as_ref().map(Postmaster::id);
        let ending = self.ending.as_mut()?;
        match ending.step(now, &self.instance, held, self.own.pid) {
            Progress::Going { left } => {
                let since = now.since(ending.began_at());
                if now.since(self.stuck_noted_at) >= STUCK_NOTE_EVERY {
                    self.stuck_noted_at = now;
                    self.note(now, &format!("{left} processes still there after {since}"));
                }
                None
            }
            Progress::Done(firing) => {
                self.ending = None;
                self.deadline.used_up();
                let (took, killed) = (firing.took, firing.killed);
                self.note(
                    now,
                    &format!("no process left after {took}, {killed} killed"),
                );
                self.last_firing = Some(firing.clone());
                Some(firing)
            }
        }
    }

    fn look_for_exit(&mut self, now: Mono) -> Option<PostmasterExit> {
        let reaped: Vec<Reaped> = reap();
        let held = self.postmaster.as_ref()?;
        let how: ExitHow = held.exit(&reaped)?;
        let exit = PostmasterExit {
            postmaster: held.id(),
            how,
        };
        self.postmaster = None;
        self.last_exit = Some(exit);
        self.note(now, &format!("postmaster exited: {exit:?}"));
        Some(exit)
    }

    /// Obeys an agent's command (an observer's commands were sorted out before).
    pub fn obey(&mut self, command: Command, now: Mono) -> Reply {
        let answer = match command {
            Command::Hello { .. } | Command::Status => Answer::Status(Box::new(self.status())),
            Command::Ping => Answer::Done,
            Command::Processes => match self.processes() {
                Ok(processes) => Answer::Processes(processes),
                Err(e) => refused(format!("the process table cannot be read: {e}")),
            },
            Command::Diagnostics => Answer::Diagnostics(self.diagnostics.lines()),
            Command::Fence { reason } => {
                if self.ending.is_none() {
                    self.begin(FiringReason::Asked { reason }, now);
                }
                return Reply::WhenFired;
            }
            Command::Obey(_) | Command::Spawn(_) | Command::Adopt(_) if self.is_firing() => {
                refused("PostgreSQL is being ended; ask again when that is done".into())
            }
            Command::Obey(request) => {
                let left = self.left(Some(Kind::Server));
                let verdict = self.deadline.obey(request, || left);
                self.verdict(now, &format!("{request:?}"), verdict)
            }
            Command::Spawn(wanted) => self.spawn(&wanted, now),
            Command::Adopt(id) => {
                let verdict = self.adopt(id);
                self.verdict(now, &format!("adopt {id:?}"), verdict)
            }
        };
        Reply::Now(answer)
    }

    fn verdict(&mut self, now: Mono, what: &str, verdict: Result<(), String>) -> Answer {
        match verdict {
            Ok(()) => Answer::Done,
            Err(why) => {
                self.note(now, &format!("refused {what}: {why}"));
                refused(why)
            }
        }
    }

    fn spawn(&mut self, wanted: &SpawnPostmaster, now: Mono) -> Answer {
        // Two postmasters in one directory would be PostgreSQL's own interlock's to prevent, and an
        // orphaned backend beside a new postmaster corrupts data.
        match self.left(None) {
            Left::Nothing => {}
            left @ (Left::Processes(_) | Left::Unknown) => return refused(left.to_string()),
        }
        match Postmaster::spawn(wanted) {
            Ok(postmaster) => {
                let id = postmaster.id();
                self.note(now, &format!("started postmaster {}", id.pid));
                self.postmaster = Some(postmaster);
                Answer::Spawned(id)
            }
            Err(e) => refused(format!("no process could be started: {e}")),
        }
    }

    fn adopt(&mut self, id: ProcessId) -> Result<(), String> {
        match self.postmaster.as_ref().map(Postmaster::id) {
            Some(held) if held == id => return Ok(()),
            Some(held) => return Err(format!("holds the postmaster {} already", held.pid)),
            None => {}
        }
        self.postmaster = Some(Postmaster::adopt(id, &self.instance)?);
        Ok(())
    }

    /// What lives of the instance: processes of one kind, or of any.
    fn left(&self, kind: Option<Kind>) -> Left {
        let counted = |found: Kind| match kind {
            Some(wanted) => found == wanted,
            None => true,
        };
        let Ok(processes) = self.processes() else {
            return Left::Unknown;
        };
        match processes.iter().filter(|p| counted(p.kind)).count() {
            0 => Left::Nothing,
            count => Left::Processes(count),
        }
    }

    fn processes(&self) -> std::io::Result<Vec<super::process_table::InstanceProcess>> {
        let held = self.postmaster.as_ref().map(Postmaster::id);
        self.instance.processes(held, Some(self.own.pid))
    }

    fn status(&self) -> Status {
        // A firing looks at least three times: with something there, and twice without.
        let looks = self.self_test.scan.times(3);
        Status {
            version: VERSION,
            fencer: self.own,
            armed: self.deadline.armed(),
            paused: self.deadline.paused(),
            firing: self.is_firing(),
            postmaster: self.postmaster.as_ref().map(Postmaster::id),
            last_exit: self.last_exit,
            last_firing: self.last_firing.clone(),
            memory: self.memory.clone(),
            self_test: self.self_test,
            stop_measured: self.kill_after + self.self_test.kill + looks,
        }
    }

    pub fn note(&mut self, now: Mono, text: &str) {
        self.diagnostics.note(now, text);
    }
}

fn refused(why: String) -> Answer {
    Answer::Refused { why }
}
