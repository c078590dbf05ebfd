//! Takes operations and side tasks, runs each on a thread of its own, and reports how it ended: exactly
//! once. Knows nothing of how any of them is done.
//!
//! A thread each, since all of them touch the disk: one that hangs keeps its own thread only, and neither
//! the agent nor a stop waits for it.

use super::basebackup;
use super::context::{Context, Work};
use super::crash_recovery;
use super::deadline::Deadline;
use super::discard;
use super::host::PostmasterHost;
use super::initdb;
use super::observe::observe;
use super::promote;
use super::reconfigure;
use super::rewind;
use super::settings::PgSettings;
use super::slots;
use super::start;
use super::stop;
use super::trouble::{Cancel, Outcome, Trouble};
use super::upstream;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tanist_core::input::Input;
use tanist_core::name::{OpId, Term};
use tanist_core::postgres::{Ended, Observation, Operation, PgInput, SideTask};
use tanist_core::time::{Mono, Span};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

/// How long the look after an operation may take.
const LOOK_AFTER: Span = Span::secs(3);

pub struct Adapter {
    context: Arc<Context>,
    runtime: Handle,
    /// The holder of the exclusive lane.
    lane: Arc<Mutex<Option<Running>>>,
}

struct Running {
    op: OpId,
    verb: &'static str,
    cancel: watch::Sender<bool>,
}

impl Adapter {
    /// To be called on the agent's tokio runtime.
    pub fn new(
        settings: PgSettings,
        host: Arc<dyn PostmasterHost>,
        inputs: UnboundedSender<Input>,
    ) -> Adapter {
        let runtime = Handle::current();
        let context = Arc::new(Context::new(settings, host, inputs));
        Adapter {
            context,
            runtime,
            lane: Arc::new(Mutex::new(None)),
        }
    }

    /// Ends in one `Finished`, after an `Observed` that already shows what the operation left.
    pub fn start_operation(&self, op: OpId, operation: Operation, term: Option<Term>) {
        let (request, cancel) = Cancel::new();
        let verb = operation.verb();
        {
            let mut lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(holder) = lane.as_ref() {
                let why = format!("{} ({}) holds the data directory", holder.verb, holder.op);
                return self.context.send(PgInput::Finished {
                    op,
                    ended: Ended::Failed(why),
                });
            }
            *lane = Some(Running {
                op,
                verb,
                cancel: request,
            });
        }
        tracing::info!(%op, verb, term = term.map(|t| t.0), "operation begins");
        let work = Work {
            context: Arc::clone(&self.context),
            op,
            cancel,
        };
        let context = Arc::clone(&self.context);
        let lane = Arc::clone(&self.lane);
        let done = on_own_thread(verb, move || -> Job<Ended> {
            Box::pin(async move { operate(&work, operation).await })
        });
        self.runtime.spawn(async move {
            let ended = done.await.unwrap_or_else(|_| {
                Ended::Failed(format!("{verb} broke off by an internal error"))
            });
            tracing::info!(%op, verb, ?ended, "operation ended");
            // A failed look is no fact; the next probe brings one.
            if let Ok(observation) = look(&context, Deadline::after(LOOK_AFTER)).await {
                context.send(PgInput::Observed {
                    op: None,
                    observation,
                });
            }
            *lane.lock().unwrap_or_else(PoisonError::into_inner) = None;
            context.send(PgInput::Finished { op, ended });
        });
    }

    pub fn observer(&self) -> Observer {
        Observer(Arc::clone(&self.context))
    }

    /// Asks the operation to end if it has not taken effect. One that is not running is none.
    pub fn cancel(&self, op: OpId) {
        let lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = lane.as_ref().filter(|r| r.op == op) {
            running.cancel.send_replace(true);
        }
    }

    /// Ends by `until`: in one `Finished`, or, for a probe that was answered, in one `Observed`.
    pub fn start_side(&self, op: OpId, task: SideTask, until: Mono) {
        let deadline = Deadline::at(until);
        let context = Arc::clone(&self.context);
        if task == SideTask::Probe {
            self.runtime.spawn(async move {
                match look(&context, deadline).await {
                    Ok(observation) => context.send(PgInput::Observed {
                        op: Some(op),
                        observation,
                    }),
                    Err(trouble) => context.send(PgInput::Finished {
                        op,
                        ended: trouble.into_ended(),
                    }),
                }
            });
            return;
        }
        let (never, cancel) = Cancel::new();
        let work = Work {
            context: Arc::clone(&self.context),
            op,
            cancel,
        };
        let noun = task.noun();
        let done = on_own_thread("pg side task", move || -> Job<Ended> {
            Box::pin(async move { attend(&work, task, deadline).await })
        });
        self.runtime.spawn(async move {
            let ended = match deadline.bound(done).await {
                Some(Ok(ended)) => ended,
                Some(Err(_)) => Ended::Failed(format!("{noun} broke off by an internal error")),
                None => Ended::Failed(format!("{noun}: no answer in time")),
            };
            drop(never);
            context.send(PgInput::Finished { op, ended });
        });
    }
}

type Job<T> = Pin<Box<dyn Future<Output = T>>>;

/// Runs `job` on a new thread with a small runtime of its own; the receiver fails if the job broke off, or
/// if no thread could be had.
fn on_own_thread<T: Send + 'static>(
    name: &str,
    job: impl FnOnce() -> Job<T> + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    let body = move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            // Nobody waits any more: the deadline came first.
            let _ = sender.send(runtime.block_on(job()));
        }
    };
    let _ = std::thread::Builder::new()
        .name(format!("pg-{name}"))
        .spawn(body);
    receiver
}

/// Looks at PostgreSQL for somebody else than the core; from any runtime.
#[derive(Clone)]
pub struct Observer(Arc<Context>);

impl Observer {
    /// `None`: the look broke off.
    pub async fn observe(&self, within: Span) -> Option<Observation> {
        look(&self.0, Deadline::after(within)).await.ok()
    }
}

/// One look, from a thread of its own. `None`: it broke off.
async fn look(context: &Arc<Context>, deadline: Deadline) -> Outcome<Observation> {
    let looker = Arc::clone(context);
    let done = on_own_thread("probe", move || {
        Box::pin(async move { observe(&looker, deadline).await })
    });
    // A little later than the look's own deadline, by which it answers with what it has.
    match deadline.later(Span::millis(200)).bound(done).await {
        Some(Ok(observed)) => observed,
        Some(Err(_)) => Err(Trouble::failed("probe broke off by an internal error")),
        None => Err(Trouble::failed("probe: no answer in time")),
    }
}

async fn operate(work: &Work, operation: Operation) -> Ended {
    let outcome = match operation {
        Operation::Initdb => initdb::initdb(work).await,
        Operation::PostBootstrap => initdb::post_bootstrap(work).await,
        Operation::Clone { source } => basebackup::clone(work, &source).await,
        Operation::Start {
            role,
            parameters,
            timeout,
        } => start::start(work, &role, &parameters, timeout).await,
        Operation::Stop {
            plan,
            checkpoint_first,
        } => stop::stop(work, plan, checkpoint_first).await,
        Operation::Promote { mark, timeout } => promote::promote(work, mark, timeout).await,
        Operation::CrashRecovery => crash_recovery::recover(work).await,
        Operation::Rewind { source } => rewind::rewind(work, &source).await,
        Operation::DiscardData { why } => discard::discard(work, why),
    };
    outcome.unwrap_or_else(Trouble::into_ended)
}

async fn attend(work: &Work, task: SideTask, deadline: Deadline) -> Ended {
    let outcome: Outcome<Ended> = match task {
        SideTask::Probe => Err(Trouble::failed("a probe is answered by an observation")),
        SideTask::Checkpoint => stop::checkpoint(work, deadline).await,
        SideTask::Reconfigure { role, parameters } => {
            reconfigure::reconfigure(work, &role, &parameters)
        }
        SideTask::CreateSlot { name } => slots::create(work, &name, deadline).await,
        SideTask::DropSlot { name, if_lost } => {
            slots::drop_slot(work, &name, if_lost, deadline).await
        }
        SideTask::AdvanceSlot { name, to } => slots::advance(work, &name, to, deadline).await,
        SideTask::AskUpstream { upstream, mine } => {
            upstream::ask(work, &upstream, mine, deadline).await
        }
    };
    outcome.unwrap_or_else(Trouble::into_ended)
}
