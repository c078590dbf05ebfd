//! Keeps a living fencer behind the agent's handle, and tells the core what becomes of it.
//! Decides nothing about deadlines.
//!
//! A fencer that breaks off or stays silent is replaced within a second: 1. `Lost` to the core. 2. a
//! frozen one is ended by SIGKILL. 3. a new one starts, adopts the postmaster, and is armed with what
//! the old one had last confirmed, so that the deadline has no hole. 4. `Ready` to the core.

use super::client::{Ask, Asker};
use super::process_table::ProcessId;
use super::protocol::{Answer, Command, Event, FromFencer, PostmasterExit, Request, to_line};
use super::replacement::{ANSWER_WITHIN, Before, Connected, FencerError, FencerSettings, connect};
use std::collections::BTreeMap;
use std::time::Duration;
use tanist_core::fencer::{Armed, FencerInput, FencerRequest};
use tanist_core::input::Input;
use tanist_core::postgres::PgInput;
use tanist_core::time::Mono;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};

const PING_EVERY: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between two attempts to get a fencer when one failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Another agent took the fencer: no tug-of-war.
const DISPLACED_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Supervisor {
    settings: FencerSettings,
    asks: mpsc::Receiver<Ask>,
    inputs: mpsc::UnboundedSender<Input>,
    exits: broadcast::Sender<PostmasterExit>,
    /// The one that was there last.
    fencer: Option<ProcessId>,
    /// What it last confirmed.
    armed: Option<Armed>,
    postmaster: Option<ProcessId>,
}

/// Why a connection ended.
enum End {
    /// The last handle was dropped.
    NotNeeded,
    Broken(String),
    Silent,
    Displaced,
}

/// What is under way on one connection.
struct Held {
    connected: Connected,
    pending: BTreeMap<u64, Pending>,
    /// Events that arrived while an answer was waited for.
    came_between: Vec<FromFencer>,
    last_id: u64,
    ping_at: Instant,
    looked_at: Instant,
}

struct Pending {
    command: Command,
    to: Asker,
    /// `None`: takes as long as it takes.
    until: Option<Instant>,
}

impl Supervisor {
    pub(super) fn new(
        settings: FencerSettings,
        asks: mpsc::Receiver<Ask>,
        inputs: mpsc::UnboundedSender<Input>,
        exits: broadcast::Sender<PostmasterExit>,
    ) -> Supervisor {
        Supervisor {
            settings,
            asks,
            inputs,
            exits,
            fencer: None,
            armed: None,
            postmaster: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut before = Before::Nothing;
        let mut told = String::new();
        loop {
            let connected = match connect(&self.settings, before).await {
                Ok(connected) => connected,
                Err(e) => {
                    let why = e.to_string();
                    // The same failure is told once, not twice a second.
                    if why != told {
                        told.clone_from(&why);
                        self.tell(FencerInput::Lost { why });
                    }
                    if self.turn_askers_away() == StillNeeded::No {
                        return;
                    }
                    sleep(RETRY_AFTER).await;
                    continue;
                }
            };
            told.clear();
            let fencer = connected.status.fencer;
            before = Before::Nothing;
            let why = match self.hold(connected).await {
                End::NotNeeded => return,
                End::Broken(why) => why,
                End::Silent => {
                    before = Before::Frozen(fencer);
                    format!("no answer within {} ms", ANSWER_WITHIN.as_millis())
                }
                End::Displaced => {
                    self.tell(FencerInput::Lost {
                        why: "another agent took the fencer over".into(),
                    });
                    sleep(DISPLACED_PAUSE).await;
                    continue;
                }
            };
            self.tell(FencerInput::Lost { why });
        }
    }

    /// Uses one connection until it ends.
    async fn hold(&mut self, connected: Connected) -> End {
        let mut held = Held {
            connected,
            pending: BTreeMap::new(),
            came_between: Vec::new(),
            last_id: 0,
            ping_at: Instant::now(),
            looked_at: Instant::now(),
        };
        if let Err(end) = self.restore(&mut held).await {
            return end;
        }
        self.tell(FencerInput::Ready { armed: self.armed });
        for message in std::mem::take(&mut held.came_between) {
            if let Err(end) = self.take(&mut held, message) {
                return end;
            }
        }
        loop {
            let look_at = Instant::now() + LOOK_EVERY;
            // Reading comes first: an agent that was frozen finds the answers already there.
            let step = tokio::select! {
                biased;
                message = held.connected.line.next() => match message {
                    Ok(message) => self.take(&mut held, message),
                    Err(e) => Err(End::Broken(e.to_string())),
                },
                ask = self.asks.recv() => match ask {
                    Some(ask) => held.send(ask).await,
                    None => Err(End::NotNeeded),
                },
                () = sleep_until(look_at.min(held.ping_at)) => held.look().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Hands a new fencer what the old one held; takes over what this one holds already.
    async fn restore(&mut self, held: &mut Held) -> Result<(), End> {
        let status = &held.connected.status;
        let (armed, postmaster) = (status.armed, status.postmaster);
        let is_blank = armed.is_none() && status.paused.is_none() && status.last_firing.is_none();
        let is_another = self.fencer.replace(status.fencer) != Some(status.fencer);
        match postmaster {
            Some(_) => self.postmaster = postmaster,
            None => {
                if let Some(known) = self.postmaster
                    && held.ask(Command::Adopt(known)).await? != Answer::Done
                {
                    // It has ended meanwhile, unseen by any fencer.
                    self.postmaster = None;
                    self.tell_exit(known.pid);
                }
            }
        }
        match self.armed {
            Some(Armed { term, lease, until }) if is_blank && is_another => {
                let again = FencerRequest::Arm { term, lease, until };
                if held.ask(Command::Obey(again)).await? != Answer::Done {
                    self.armed = None;
                }
            }
            Some(_) | None => self.armed = armed,
        }
        Ok(())
    }

    fn take(&mut self, held: &mut Held, message: FromFencer) -> Result<(), End> {
        match message {
            FromFencer::Event(Event::Displaced) => return Err(End::Displaced),
            FromFencer::Event(Event::PostmasterExited(exit)) => {
                self.postmaster = None;
                let _ = self.exits.send(exit);
                self.tell_exit(exit.postmaster.pid);
            }
            FromFencer::Event(Event::Fired(firing)) => {
                self.armed = None;
                if let Some(term) = firing.term {
                    let at = firing.at;
                    self.tell(FencerInput::Fired { at, term });
                }
            }
            FromFencer::Answer { id, answer } => {
                if let Some(pending) = held.pending.remove(&id) {
                    self.learn(&pending.command, &answer);
                    self.pass_on(pending.to, answer);
                }
            }
        }
        Ok(())
    }

    /// Keeps what a replacement would have to be told.
    fn learn(&mut self, command: &Command, answer: &Answer) {
        match (command, answer) {
            (Command::Obey(FencerRequest::Arm { term, lease, until }), Answer::Done) => {
                let held = self.armed.filter(|armed| armed.term == *term);
                let (term, lease) = (*term, *lease);
                let until = later(held, *until);
                self.armed = Some(Armed { term, lease, until });
            }
            (Command::Obey(FencerRequest::Extend { until, .. }), Answer::Done) => {
                let until = later(self.armed, *until);
                self.armed = self.armed.map(|armed| Armed { until, ..armed });
            }
            (Command::Obey(FencerRequest::Disarm { .. }), Answer::Done) => self.armed = None,
            (Command::Spawn(_), Answer::Spawned(id)) => self.postmaster = Some(*id),
            (Command::Adopt(id), Answer::Done) => self.postmaster = Some(*id),
            _ => {}
        }
    }

    fn pass_on(&self, to: Asker, answer: Answer) {
        match (to, answer) {
            (Asker::Core(op), Answer::Refused { why }) => {
                self.tell(FencerInput::Refused { op, why });
            }
            (Asker::Core(op), _) => self.tell(FencerInput::Acknowledged { op }),
            (Asker::Caller(caller), answer) => {
                let _ = caller.send(Ok(answer));
            }
            (Asker::Nobody, _) => {}
        }
    }

    fn turn_askers_away(&mut self) -> StillNeeded {
        loop {
            match self.asks.try_recv() {
                Ok(Ask { to, .. }) => match to {
                    Asker::Core(op) => {
                        let why = FencerError::Absent.to_string();
                        self.tell(FencerInput::Refused { op, why });
                    }
                    Asker::Caller(caller) => {
                        let _ = caller.send(Err(FencerError::Absent));
                    }
                    Asker::Nobody => {}
                },
                Err(mpsc::error::TryRecvError::Empty) => return StillNeeded::Yes,
                Err(mpsc::error::TryRecvError::Disconnected) => return StillNeeded::No,
            }
        }
    }

    fn tell_exit(&self, pid: u32) {
        let exited = PgInput::PostmasterExited { pid };
        let _ = self.inputs.send(Input::Postgres(exited));
    }

    fn tell(&self, input: FencerInput) {
        // Nobody listens any more when the agent ends.
        let _ = self.inputs.send(Input::Fencer(input));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StillNeeded {
    Yes,
    No,
}

fn later(held: Option<Armed>, until: Mono) -> Mono {
    Mono(held.map_or(0, |armed| armed.until.0).max(until.0))
}

impl Held {
    async fn send(&mut self, ask: Ask) -> Result<(), End> {
        self.last_id += 1;
        let id = self.last_id;
        let Ask { command, to } = ask;
        let until = match command {
            // Until no process is left: a disk may decide that.
            Command::Fence { .. } => None,
            _ => Some(Instant::now() + ANSWER_WITHIN),
        };
        let request = Request {
            id,
            command: command.clone(),
        };
        let line = to_line(&request);
        let entry = Pending { command, to, until };
        self.pending.insert(id, entry);
        match timeout(ANSWER_WITHIN, self.connected.line.send(&line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(End::Broken(e.to_string())),
            Err(_) => Err(End::Silent),
        }
    }

    /// Asks and waits, at the begin of a connection. Events that come in between are kept.
    async fn ask(&mut self, command: Command) -> Result<Answer, End> {
        let to = Asker::Nobody;
        self.send(Ask { command, to }).await?;
        let id = self.last_id;
        let (line, came_between) = (&mut self.connected.line, &mut self.came_between);
        let wait = async {
            loop {
                match line.next().await {
                    Ok(FromFencer::Answer { id: found, answer }) if found == id => {
                        return Ok(answer);
                    }
                    Ok(FromFencer::Event(Event::Displaced)) => return Err(End::Displaced),
                    Ok(FromFencer::Answer { .. }) => {}
                    Ok(event @ FromFencer::Event(_)) => came_between.push(event),
                    Err(e) => return Err(End::Broken(e.to_string())),
                }
            }
        };
        let answer = timeout(ANSWER_WITHIN, wait).await;
        self.pending.remove(&id);
        answer.unwrap_or(Err(End::Silent))
    }

    /// Is an answer overdue? And is it time for a ping?
    async fn look(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let stood_still = now - self.looked_at > PING_EVERY;
        self.looked_at = now;
        if stood_still {
            // It was this agent that did not run: nothing is said about the fencer yet.
            for pending in self.pending.values_mut() {
                pending.until = pending.until.map(|until| until.max(now + PING_EVERY));
            }
        }
        let overdue = |pending: &Pending| pending.until.is_some_and(|until| until <= now);
        if self.pending.values().any(overdue) {
            return Err(End::Silent);
        }
        if now < self.ping_at {
            return Ok(());
        }
        self.ping_at = now + PING_EVERY;
        self.send(Ask {
            command: Command::Ping,
            to: Asker::Nobody,
        })
        .await
    }
}
