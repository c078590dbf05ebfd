//! What a script may ask, and the memory that lets it be run again from its beginning: every answer is kept with its time,
//! every change of what is remembered is made once. Knows nothing of what is asked for.

use super::Kept;
use super::keys::Seen;
use std::collections::BTreeMap;
use std::sync::Arc;
use tanist_core::dcs::Snapshot;
use tanist_core::name::{MemberName, RequestId};
use tanist_core::operator::Answer;
use tanist_core::peer::{PeerAnswer, PeerRequest};
use tanist_core::postgres::{Ended, Observation, Operation, SideTask};
use tanist_core::primitive::{Primitive, PrimitiveOutcome};
use tanist_core::time::{Mono, Now, Span};

use super::Task;
use crate::watchdog::{Call, Refused};

/// Why a script does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Until its question is answered.
    Waits,
    /// The store gave no verdict in time: an error, not a "no" (1.8).
    StoreAway,
}

pub type Run<T> = Result<T, Halt>;

#[derive(Clone, Debug)]
pub enum Ask {
    /// The watch's cache, once there is one.
    View {
        until: Mono,
    },
    Call {
        primitive: Primitive,
        until: Mono,
    },
    Peers {
        requests: Vec<PeerRequest>,
        until: Mono,
    },
    Look {
        until: Mono,
    },
    Side {
        task: SideTask,
        until: Mono,
    },
    Work(Operation),
    Sleep {
        until: Mono,
    },
    Begin(Task),
    CancelTask,
    /// Beside this script, and beside the stop that it begins.
    AwaitSafepoint,
    Reply(RequestId, Answer),
    Exit {
        code: u8,
    },
    Kernel(Kernel),
}

/// What its host's kernel answers at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    Watchdog(Call),
    /// By the list of processes, and by its own session.
    LookForSessions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    MayCommit,
    /// Its own was broken, so that none is let in any more, and none of a client's is left.
    Over,
}

#[derive(Clone, Debug)]
pub enum Said {
    Nothing,
    Kept(Arc<Kept>),
    Seen(Arc<Seen>),
    Outcome(PrimitiveOutcome),
    Peers(BTreeMap<MemberName, PeerAnswer>),
    Looked(Arc<Observation>),
    Ended(Ended),
    /// In time, or not.
    View(bool),
    Watchdog(Result<Span, Refused>),
    Sessions(Sessions),
}

/// One run of a script.
pub struct Asks<'a> {
    kept: &'a mut Arc<Kept>,
    said: &'a mut Vec<(Now, Said)>,
    at: usize,
    /// When the last answer came that the script has heard.
    now: Now,
    present: Now,
    pub asking: Option<Ask>,
}

impl<'a> Asks<'a> {
    pub fn new(
        kept: &'a mut Arc<Kept>,
        said: &'a mut Vec<(Now, Said)>,
        began: Now,
        present: Now,
    ) -> Asks<'a> {
        Asks {
            kept,
            said,
            at: 0,
            now: began,
            present,
            asking: None,
        }
    }

    pub fn now(&self) -> Now {
        self.now
    }

    fn heard(&mut self) -> Option<Said> {
        let (at, said) = self.said.get(self.at).cloned()?;
        self.at += 1;
        self.now = at;
        Some(said)
    }

    fn ask(&mut self, ask: Ask) -> Run<Said> {
        if let Some(said) = self.heard() {
            return Ok(said);
        }
        self.asking = Some(ask);
        Err(Halt::Waits)
    }

    /// What is remembered now.
    pub fn recall(&mut self) -> Arc<Kept> {
        if let Some(Said::Kept(kept)) = self.heard() {
            return kept;
        }
        let kept = Arc::clone(self.kept);
        self.hear(Said::Kept(Arc::clone(&kept)));
        kept
    }

    /// What a reading of the store says.
    pub fn read(&mut self, view: &Snapshot) -> Arc<Seen> {
        if let Some(Said::Seen(seen)) = self.heard() {
            return seen;
        }
        let seen = Arc::new(Seen::of(view));
        self.hear(Said::Seen(Arc::clone(&seen)));
        seen
    }

    /// Heard at once, and now.
    fn hear(&mut self, said: Said) {
        self.said.push((self.present, said));
        self.at += 1;
        self.now = self.present;
    }

    /// Changes what is remembered.
    pub fn keep(&mut self, change: impl FnOnce(&mut Kept)) {
        if self.heard().is_none() {
            change(Arc::make_mut(self.kept));
            self.hear(Said::Nothing);
        }
    }

    pub fn view(&mut self, within: Span) -> Run<bool> {
        let until = self.now.mono + within;
        match self.ask(Ask::View { until })? {
            Said::View(there) => Ok(there),
            _other => Ok(false),
        }
    }

    pub fn call(&mut self, primitive: Primitive, until: Mono) -> Run<PrimitiveOutcome> {
        match self.ask(Ask::Call { primitive, until })? {
            Said::Outcome(outcome) => Ok(outcome),
            _other => Ok(PrimitiveOutcome::NotSent("nothing was asked".into())),
        }
    }

    pub fn peers(
        &mut self,
        requests: Vec<PeerRequest>,
        within: Span,
    ) -> Run<BTreeMap<MemberName, PeerAnswer>> {
        let until = self.now.mono + within;
        match self.ask(Ask::Peers { requests, until })? {
            Said::Peers(answers) => Ok(answers),
            _other => Ok(BTreeMap::new()),
        }
    }

    pub fn look(&mut self, within: Span) -> Run<Option<Arc<Observation>>> {
        let until = self.now.mono + within;
        match self.ask(Ask::Look { until })? {
            Said::Looked(observation) => Ok(Some(observation)),
            _other => Ok(None),
        }
    }

    pub fn side(&mut self, task: SideTask, within: Span) -> Run<Ended> {
        let until = self.now.mono + within;
        self.ask(Ask::Side { task, until }).map(ended)
    }

    pub fn work(&mut self, operation: Operation) -> Run<Ended> {
        self.ask(Ask::Work(operation)).map(ended)
    }

    pub fn sleep(&mut self, span: Span) -> Run<()> {
        let until = self.now.mono + span;
        self.ask(Ask::Sleep { until }).map(|_| ())
    }

    /// Begins a task beside the loop.
    pub fn begin(&mut self, task: Task) -> Run<()> {
        self.ask(Ask::Begin(task)).map(|_| ())
    }

    pub fn cancel_task(&mut self) -> Run<()> {
        self.ask(Ask::CancelTask).map(|_| ())
    }

    pub fn reply(&mut self, request: &RequestId, answer: Answer) -> Run<()> {
        self.ask(Ask::Reply(request.clone(), answer)).map(|_| ())
    }

    pub fn await_safepoint(&mut self) -> Run<()> {
        self.ask(Ask::AwaitSafepoint).map(|_| ())
    }

    pub fn kernel(&mut self, call: Kernel) -> Run<Said> {
        self.ask(Ask::Kernel(call))
    }

    pub fn exit(&mut self, code: u8) -> Run<()> {
        self.ask(Ask::Exit { code }).map(|_| ())
    }
}

fn ended(said: Said) -> Ended {
    match said {
        Said::Ended(ended) => ended,
        _other => Ended::Failed("nothing was begun".into()),
    }
}
