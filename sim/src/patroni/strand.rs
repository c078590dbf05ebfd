//! The process: its loop, the task beside it and the requests of people, each a strand of its own; what each waits for,
//! and when the loop runs next (2.1). Knows nothing of what the scripts do.

use super::asks::{Ask, Asks, Halt, Kernel, Said};
use super::{Kept, Me, Role, Task, cycle, people, tasks, watchdog};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tanist_core::dcs::{DcsInput, LeaseId};
use tanist_core::input::Input;
use tanist_core::keys::{CONFIG, LEADER, STATUS};
use tanist_core::name::{MemberName, OpId, RequestId};
use tanist_core::operator::{Answer, OperatorRequest};
use tanist_core::peer::{PeerAnswer, PeerRequest};
use tanist_core::postgres::{Ended, Operation, PgInput, SideTask};
use tanist_core::primitive::{Primitive, PrimitiveOutcome};
use tanist_core::time::{Mono, Now, Span};

/// What the process wants done.
#[derive(Clone, Debug)]
pub enum Wish {
    Call {
        op: OpId,
        primitive: Primitive,
        until: Mono,
    },
    Peer {
        op: OpId,
        request: PeerRequest,
        until: Mono,
    },
    Look {
        op: OpId,
        until: Mono,
    },
    Side {
        op: OpId,
        task: SideTask,
        until: Mono,
    },
    Work {
        op: OpId,
        operation: Operation,
    },
    CancelWork,
    Kernel {
        op: OpId,
        call: Kernel,
    },
    Reply(RequestId, Answer),
    Exit {
        code: u8,
    },
}

/// What the process is told.
#[derive(Clone, Debug)]
pub enum Told {
    Input(Box<Input>),
    /// The verdict of a call to the store, or that none came.
    Heard {
        op: OpId,
        outcome: PrimitiveOutcome,
    },
    Kernel {
        op: OpId,
        said: Said,
    },
}

/// In the order in which they run when several can.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Ending,
    Loop,
    Task,
    /// Beside a stop, whoever has begun it.
    Safepoint,
    Request(RequestId),
}

#[derive(Clone, Debug)]
enum Script {
    Ending,
    Loop,
    Task(Task),
    Safepoint,
    Request(RequestId, OperatorRequest),
}

#[derive(Clone, Debug)]
enum Waits {
    Op(OpId),
    Until(Mono),
    View(Mono),
    Peers {
        asked: BTreeMap<OpId, MemberName>,
        heard: BTreeMap<MemberName, PeerAnswer>,
    },
}

#[derive(Clone, Debug)]
struct Strand {
    script: Script,
    began: Now,
    said: Vec<(Now, Said)>,
    waits: Option<Waits>,
}

const TASK_WAKES_AFTER: Span = Span::secs(1);

/// One life of a Patroni.
#[derive(Clone, Debug)]
pub struct Patroni {
    pub kept: Arc<Kept>,
    strands: BTreeMap<Which, Strand>,
    ops: u64,
    next_run: Mono,
    woken: bool,
}

impl Patroni {
    pub fn new(me: Me, now: Now) -> Patroni {
        Patroni {
            kept: Arc::new(Kept::new(me)),
            strands: BTreeMap::new(),
            ops: 0,
            next_run: now.mono,
            woken: false,
        }
    }

    pub fn lease(&self) -> Option<LeaseId> {
        self.kept.lease
    }

    pub fn next_wakeup(&self) -> Option<Mono> {
        let waits = self
            .strands
            .values()
            .filter_map(|strand| match strand.waits {
                Some(Waits::Until(at) | Waits::View(at)) => Some(at),
                Some(Waits::Op(_) | Waits::Peers { .. }) | None => None,
            });
        let idle = !self.strands.contains_key(&Which::Loop);
        waits
            .chain(idle.then_some(self.next_run).filter(|_| !self.is_ending()))
            .min()
    }

    pub fn is_ending(&self) -> bool {
        self.strands.contains_key(&Which::Ending)
    }

    pub fn handle(&mut self, now: Now, told: Told) -> Vec<Wish> {
        match told {
            Told::Heard { op, outcome } => self.answer(now, op, Said::Outcome(outcome)),
            Told::Kernel { op, said } => self.answer(now, op, said),
            Told::Input(input) => self.take_in(now, *input),
        }
        let mut wishes = Vec::new();
        self.go_on(now, &mut wishes);
        wishes
    }

    fn take_in(&mut self, now: Now, input: Input) {
        match input {
            Input::Dcs(input) => self.watch(input),
            Input::Postgres(PgInput::Observed {
                op: Some(op),
                observation,
            }) => {
                self.answer(now, op, Said::Looked(Arc::new(observation)));
            }
            Input::Postgres(PgInput::Finished { op, ended }) => {
                self.answer(now, op, Said::Ended(ended));
            }
            Input::Peer(input) => self.peer_says(now, input.op, input.answer),
            Input::Operator(input) => {
                let script = Script::Request(input.id.clone(), input.request);
                self.begin(now, Which::Request(input.id), script);
            }
            Input::Stopping => {
                self.strands.remove(&Which::Loop);
                self.begin(now, Which::Ending, Script::Ending);
            }
            // It looks at its postmaster once a loop, and knows no fencer.
            Input::Postgres(_) | Input::Fencer(_) | Input::Wakeup => {}
        }
    }

    /// The watch feeds the cache, and wakes the loop for some keys (1.7).
    fn watch(&mut self, input: DcsInput) {
        let kept = Arc::make_mut(&mut self.kept);
        match input {
            DcsInput::Listed { snapshot } => {
                self.woken |= kept.view.is_some();
                kept.view = Some(Arc::new(snapshot));
            }
            DcsInput::Changed { revision, changes } => {
                let leads = kept.leads_until.is_some();
                let Some(view) = kept.view.as_mut() else {
                    return;
                };
                let view = Arc::make_mut(view);
                for (key, value) in changes {
                    let before = view.keys.get(&key).map(|kv| kv.value.clone());
                    let after = value.as_ref().map(|kv| kv.value.clone());
                    let differs = before != after;
                    self.woken |= match key.as_str() {
                        LEADER => differs,
                        CONFIG => differs && before.is_some(),
                        STATUS => differs && !leads,
                        _other => false,
                    };
                    match value {
                        Some(kv) => view.keys.insert(key, kv),
                        None => view.keys.remove(&key),
                    };
                }
                view.revision = revision;
            }
            DcsInput::WatchLost { .. } => kept.view = None,
            DcsInput::Completed { .. } => {}
        }
    }

    fn begin(&mut self, now: Now, which: Which, script: Script) {
        let strand = Strand {
            script,
            began: now,
            said: Vec::new(),
            waits: None,
        };
        self.strands.insert(which, strand);
    }

    fn answer(&mut self, now: Now, op: OpId, said: Said) {
        let waiting = self
            .strands
            .values_mut()
            .find(|strand| matches!(strand.waits, Some(Waits::Op(waits)) if waits == op));
        if let Some(strand) = waiting {
            strand.waits = None;
            strand.said.push((now, said));
        }
    }

    fn peer_says(&mut self, now: Now, op: OpId, answer: PeerAnswer) {
        for strand in self.strands.values_mut() {
            let Some(Waits::Peers { asked, heard }) = strand.waits.as_mut() else {
                continue;
            };
            let Some(member) = asked.remove(&op) else {
                continue;
            };
            heard.insert(member, answer.clone());
            if asked.is_empty() {
                let heard = std::mem::take(heard);
                strand.waits = None;
                strand.said.push((now, Said::Peers(heard)));
            }
        }
    }

    /// Runs whatever can run, until all wait. Bounded: each turn answers a question or ends a strand.
    fn go_on(&mut self, now: Now, wishes: &mut Vec<Wish>) {
        for _ in 0..1_000 {
            self.end_waits(now);
            if !self.is_ending() && !self.strands.contains_key(&Which::Loop) {
                let due = self.next_run <= now.mono;
                if due || self.woken {
                    self.rebase(now, due);
                    self.begin(now, Which::Loop, Script::Loop);
                }
            }
            let ready = self.strands.iter().find(|(_, s)| s.waits.is_none());
            let Some(which) = ready.map(|(which, _)| which.clone()) else {
                return;
            };
            self.run(now, &which, wishes);
        }
    }

    /// The next run is planned a loop after the planned one; a wake-up plans it anew (2.1).
    fn rebase(&mut self, now: Now, due: bool) {
        let loop_wait = self.kept.tunes.loop_wait;
        let planned = self.next_run + loop_wait;
        self.woken = false;
        self.next_run = match due && planned > now.mono {
            true => planned,
            false => now.mono + loop_wait,
        };
    }

    fn end_waits(&mut self, now: Now) {
        let there = self.kept.view.is_some();
        for strand in self.strands.values_mut() {
            let said = match &strand.waits {
                Some(Waits::Until(at)) if *at <= now.mono => Said::Nothing,
                Some(Waits::View(_)) if there => Said::View(true),
                Some(Waits::View(at)) if *at <= now.mono => Said::View(false),
                Some(_) | None => continue,
            };
            strand.waits = None;
            strand.said.push((now, said));
        }
    }

    fn run(&mut self, now: Now, which: &Which, wishes: &mut Vec<Wish>) {
        let Some(mut strand) = self.strands.remove(which) else {
            return;
        };
        let mut asks = Asks::new(&mut self.kept, &mut strand.said, strand.began, now);
        let ended = match &strand.script {
            Script::Ending => tasks::end(&mut asks),
            Script::Loop => cycle::cycle(&mut asks),
            Script::Task(task) => tasks::task(&mut asks, task),
            Script::Safepoint => watchdog::at_safepoint(&mut asks),
            Script::Request(id, request) => people::request(&mut asks, id, request),
        };
        match (ended, asks.asking.take()) {
            (Err(Halt::Waits), Some(ask)) => {
                self.wish(now, &mut strand, ask, wishes);
                self.strands.insert(which.clone(), strand);
            }
            // An error of the store that nobody has caught ends the script.
            (Ok(()) | Err(_), _) => self.ended(now, which),
        }
    }

    /// A task that has ended wakes the loop; one that ends at once, again and again, does so once a second.
    fn ended(&mut self, now: Now, which: &Which) {
        if *which == Which::Task {
            Arc::make_mut(&mut self.kept).task = None;
            self.next_run = Ord::min(self.next_run, now.mono + TASK_WAKES_AFTER);
        }
    }

    fn op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    fn wish(&mut self, now: Now, strand: &mut Strand, ask: Ask, wishes: &mut Vec<Wish>) {
        let op = self.op();
        let mut at_once = |said| strand.said.push((now, said));
        match ask {
            Ask::View { until } => strand.waits = Some(Waits::View(until)),
            Ask::Sleep { until } => strand.waits = Some(Waits::Until(until)),
            Ask::Call { primitive, until } => {
                strand.waits = Some(Waits::Op(op));
                wishes.push(Wish::Call {
                    op,
                    primitive,
                    until,
                });
            }
            Ask::Look { until } => {
                strand.waits = Some(Waits::Op(op));
                wishes.push(Wish::Look { op, until });
            }
            Ask::Side { task, until } => {
                strand.waits = Some(Waits::Op(op));
                wishes.push(Wish::Side { op, task, until });
            }
            Ask::Work(operation) => {
                strand.waits = Some(Waits::Op(op));
                wishes.push(Wish::Work { op, operation });
            }
            Ask::Peers { requests, .. } if requests.is_empty() => {
                at_once(Said::Peers(BTreeMap::new()));
            }
            Ask::Peers { requests, until } => {
                let mut asked = BTreeMap::new();
                for request in requests {
                    let op = self.op();
                    asked.insert(op, request.member.clone());
                    wishes.push(Wish::Peer { op, request, until });
                }
                let heard = BTreeMap::new();
                strand.waits = Some(Waits::Peers { asked, heard });
            }
            Ask::Begin(task) => {
                at_once(Said::Nothing);
                // One at a time: who comes second looks again in its next loop.
                if !self.strands.contains_key(&Which::Task) {
                    Arc::make_mut(&mut self.kept).task = Some(task.clone());
                    self.begin(now, Which::Task, Script::Task(task));
                }
            }
            Ask::CancelTask => {
                at_once(Said::Nothing);
                if self.strands.remove(&Which::Task).is_some() {
                    wishes.push(Wish::CancelWork);
                }
                Arc::make_mut(&mut self.kept).task = None;
            }
            Ask::AwaitSafepoint => {
                at_once(Said::Nothing);
                self.begin(now, Which::Safepoint, Script::Safepoint);
            }
            Ask::Kernel(call) => {
                strand.waits = Some(Waits::Op(op));
                wishes.push(Wish::Kernel { op, call });
            }
            Ask::Reply(id, answer) => {
                at_once(Said::Nothing);
                wishes.push(Wish::Reply(id, answer));
            }
            Ask::Exit { code } => {
                strand.waits = Some(Waits::Op(op));
                wishes.push(Wish::Exit { code });
            }
        }
    }

    /// What its REST says of it without asking PostgreSQL: state and role (1.3, 1.4).
    pub fn words(&self) -> (&'static str, &'static str) {
        (state_word(&self.kept), self.kept.role.word())
    }

    pub fn tags(&self) -> Value {
        Value::Object(self.kept.me.tags.clone())
    }
}

/// The word for what its PostgreSQL does (1.4).
pub fn state_word(kept: &Kept) -> &'static str {
    let runs = kept
        .seen_here
        .as_ref()
        .is_some_and(|here| here.processes.postmaster.is_some());
    match (&kept.task, kept.role, runs) {
        (Some(Task::Bootstrap), _, _) => "initializing new cluster",
        (Some(Task::Clone | Task::Reinitialize), _, _) => "creating replica",
        (Some(Task::Graceful), Role::Primary, _) => "stopping",
        (Some(Task::StartPrimary | Task::StartStandby | Task::FollowAgain), _, _) => "starting",
        (Some(Task::Restart), _, _) => "restarting",
        (_, _, true) => "running",
        (_, Role::Primary, false) => "crashed",
        (_, _, false) => "stopped",
    }
}

impl From<Ended> for Said {
    fn from(ended: Ended) -> Said {
        Said::Ended(ended)
    }
}
