//! One host of the world: its power and clocks, its agent's process and its fencer's process.
//! Knows nothing of what the agent decides or of what PostgreSQL does.

use crate::clock::HostClock;
use crate::due::Due;
use crate::moment::Moment;
use crate::patroni::Patroni;
use crate::patroni::retries::Retries;
use crate::pg::wal::Position;
use crate::shape::{MemberShape, Runs};
use crate::watchdog::Watchdog;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tanist_core::agent::Agent;
use tanist_core::dcs::{DcsRequest, LeaseId, Revision};
use tanist_core::exchange::{Exchange, SessionState};
use tanist_core::fencer::Armed;
use tanist_core::input::Input;
use tanist_core::name::{OpId, Term};
use tanist_core::postgres::Operation;
use tanist_core::time::Mono;
use tanist_core::timeline::TimelineId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    On,
    Off,
    /// Every process stands still; the clock of deadlines goes on.
    Suspended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    Running,
    /// SIGSTOP.
    Frozen,
}

pub struct Host {
    pub clock: HostClock,
    pub power: Power,
    /// Whose agent its supervisor starts.
    pub runs: Runs,
    /// Whose it will be, once the present agent has ended.
    pub becomes: Option<Runs>,
    pub agent: Option<AgentProcess>,
    /// Counts the agent's starts.
    pub lives: u32,
    /// A supervisor or an act wants the agent up.
    pub wanted: Wanted,
    pub fencer: Option<FencerProcess>,
    pub fencer_lives: u32,
    /// What came due while the host was suspended.
    pub parked: Vec<Due>,
    /// Resumed at that moment, after a suspension.
    pub resumed_at: Option<Moment>,
    /// `None`: it has no such device.
    pub watchdog: Option<Watchdog>,
    /// The deadline for which a look at the device is in the queue.
    pub watchdog_looked_at: Option<Mono>,
    /// It was reset, and boots by itself.
    pub boots_at: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Up,
    Down,
}

/// Who decides in an agent's process.
pub enum Mind {
    Tanist(Box<Agent>),
    Patroni(Box<Patroni>),
}

impl Mind {
    /// What promises are made of. `None`: another's agent.
    pub fn tanist(&self) -> Option<&Agent> {
        match self {
            Mind::Tanist(agent) => Some(agent),
            Mind::Patroni(_) => None,
        }
    }
    pub fn next_wakeup(&self) -> Option<Mono> {
        match self {
            Mind::Tanist(agent) => agent.next_wakeup().map(|(at, _)| at),
            Mind::Patroni(patroni) => patroni.next_wakeup(),
        }
    }
    pub fn paused(&self) -> bool {
        match self {
            Mind::Tanist(agent) => agent.paused(),
            Mind::Patroni(patroni) => patroni.kept.tunes.paused,
        }
    }
}

/// How a request to the store becomes calls.
pub enum Talk {
    Tanist(Exchange),
    Patroni(Retries),
}

/// The agent's process: the core and its shell.
pub struct AgentProcess {
    pub life: u32,
    pub born: Moment,
    pub run: Run,
    pub agent: Mind,
    /// What came due while it was frozen.
    pub parked: Vec<Due>,
    pub inbox: VecDeque<Input>,
    /// The deadline for which a wake-up is in the queue.
    pub wake_at: Option<Mono>,
    pub exchanges: BTreeMap<OpId, UnderWay>,
    pub session: SessionState,
    /// The server of the store that it talks to first.
    pub server: u8,
    pub watch: Watch,
    pub lane: Option<Lane>,
    pub sides: BTreeSet<OpId>,
    /// The looks that wait for a server or a disk that says nothing.
    pub silent_looks: BTreeSet<OpId>,
}

/// One request to the store on its way.
pub struct UnderWay {
    pub talk: Talk,
    /// Counts its calls; answers to earlier ones are late.
    pub call: u32,
    pub sent_at: Mono,
    /// When the present call is given up.
    pub until: Mono,
    /// What was asked for, when a canary needs to know.
    pub asked: Option<DcsRequest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchState {
    Listing,
    Following,
    /// It gets nothing any more and will notice later.
    Broken,
    /// It gets nothing any more and will never notice.
    Silenced,
}

#[derive(Clone, Debug)]
pub struct Watch {
    pub id: u32,
    pub server: u8,
    pub state: WatchState,
    pub seen: Revision,
    /// Events of one connection come in order.
    pub last_at: Moment,
}

/// What holds the exclusive lane of the data directory.
#[derive(Clone, Debug)]
pub struct Lane {
    pub op: OpId,
    pub operation: Operation,
    pub term: Option<Term>,
    /// The start of the source's server that a copy is taken from: one connection from beginning to end.
    pub source_run: Option<u32>,
    /// What the control file there showed as its timeline when this began.
    pub source_timeline: Option<TimelineId>,
    /// The source was in recovery when this began.
    pub source_recovering: bool,
    /// The end of its WAL at that time, which is all that is sure to be copied of it.
    pub source_wal: Option<Position>,
    /// Did its archive command work when the operation began?
    pub archive_takes: bool,
    /// Stops that this one has replaced: who asked for them waits for this one's end.
    pub replaced: Vec<OpId>,
}

pub struct FencerProcess {
    pub life: u32,
    pub run: Run,
    pub armed: Option<Armed>,
    /// A deadline is in the queue.
    pub timer: Option<Mono>,
    pub firing: bool,
    pub parked: Vec<Due>,
}

impl Host {
    pub fn new(seat: u8, member: &MemberShape) -> Host {
        let uptime = tanist_core::time::Span::secs(1_000 * (u64::from(seat) + 1));
        Host {
            clock: HostClock::booted(Moment::START, uptime),
            power: Power::On,
            runs: member.runs,
            becomes: None,
            agent: None,
            lives: 0,
            wanted: Wanted::Up,
            fencer: None,
            fencer_lives: 0,
            parked: Vec::new(),
            resumed_at: None,
            watchdog: member.watchdog.map(Watchdog::new),
            watchdog_looked_at: None,
            boots_at: None,
        }
    }

    /// The agent of that life, if it still lives (frozen or not).
    pub fn life(&mut self, life: u32) -> Option<&mut AgentProcess> {
        self.agent.as_mut().filter(|agent| agent.life == life)
    }
    pub fn agent_runs(&self) -> bool {
        self.power == Power::On && self.agent.as_ref().is_some_and(|a| a.run == Run::Running)
    }
    pub fn fencer_runs(&self) -> bool {
        self.power == Power::On && self.fencer.as_ref().is_some_and(|f| f.run == Run::Running)
    }
    /// Is `lease` this agent's present session, or the one before it, from which its key is being moved?
    pub fn holds_lease(&self, lease: LeaseId) -> bool {
        if let Some(Mind::Patroni(patroni)) = self.agent.as_ref().map(|agent| &agent.agent) {
            return patroni.lease() == Some(lease);
        }
        let session = self.agent.as_ref().map(|agent| &agent.session);
        session.is_some_and(|s| {
            s.session.is_some_and(|s| s.lease == lease) || s.retired == Some(lease)
        })
    }
}
