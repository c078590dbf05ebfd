//! One member's PostgreSQL: what is on its disk, and what runs. Plain data and questions about it.
//! Knows nothing of how it changes over time; that is in the files beside this one.

use crate::act::Trouble;
use crate::due::Ticket;
use crate::moment::Moment;
use crate::pg::archive::{Archiving, Segments};
use crate::pg::limits::Limits;
use crate::pg::synchronous::Setting;
use crate::pg::wal::{Checkpoint, CommitId, Position};
use crate::wire::Seat;
use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;
use tanist_core::postgres::{DbState, PromotionMark, Upstream};
use tanist_core::time::{Span, Wall};
use tanist_core::timeline::{TimelineHistory, TimelineId};

/// What the data directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Empty,
    HalfCloned,
    HalfRewound,
    Cluster,
}

/// The control file, as far as it decides anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    pub state: DbState,
    pub checkpoint: Lsn,
    /// Timeline of that checkpoint: lags a promotion until the next one.
    pub timeline: TimelineId,
    /// Minimum recovery ending location: lags what a standby has replayed until a restartpoint or an orderly stop, and is
    /// a promoted server's until its next checkpoint.
    pub min_recovery: Option<Position>,
    /// Not consistent before this has been replayed.
    pub consistent_at: Option<Position>,
    /// What the primary had that wrote the WAL which was replayed here last.
    pub limits: Limits,
}

/// Everything that survives the end of all processes.
#[derive(Clone, Debug)]
pub struct DataDir {
    pub layout: Layout,
    pub control: Control,
    /// End of the WAL on disk.
    pub wal: Position,
    /// Where its oldest segment begins: what was written before is not here any more, or never was.
    pub oldest: Lsn,
    /// End of what really reached the platters; behind `wal` only on a disk that lies.
    pub durable: Position,
    /// The history file with the highest number that is here (PostgreSQL's `findNewestTimeLine` starts there). A
    /// promotion that died half-way leaves one of a timeline on which the WAL here may not be.
    pub newest_known: TimelineHistory,
    /// The history files of timelines that the newest did not grow out of.
    pub other_lines: BTreeMap<TimelineId, TimelineHistory>,
    pub standby_signal: bool,
    /// Configured with this number as `recovery_target_timeline`.
    pub one_timeline: Option<TimelineId>,
    /// initdb was done here, and the roles were not made since.
    pub roles_owed: bool,
    pub upstream: Option<Upstream>,
    pub parameters: BTreeMap<String, String>,
    /// `synchronous_standby_names` of `postgresql.auto.conf`, which wins.
    pub altered: Option<String>,
    pub slots: BTreeMap<String, Retained>,
    /// `backup_label`: the next start recovers from this checkpoint, whatever the control file names.
    pub label: Option<Checkpoint>,
    pub segments: Segments,
    /// It streamed WAL onto an end that the upstream never had: its pages are worthless.
    pub corrupt: bool,
    /// It was a Patroni's doing, which nothing is promised of.
    pub corrupted_by_patroni: bool,
}

/// From where a slot retains WAL. `None`: it reserves none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retained {
    pub from: Option<Lsn>,
    /// As of the last checkpoint, to which a crash takes it back.
    pub saved: Option<Lsn>,
    /// It held back more than it may, and lost what it retained. Who streams through it all the same makes it good.
    pub invalidated: bool,
}

impl Retained {
    pub fn new(from: Lsn) -> Retained {
        Retained {
            from: Some(from),
            saved: Some(from),
            invalidated: false,
        }
    }

    /// `wal_status` is `lost`.
    pub fn is_lost(&self) -> bool {
        self.invalidated && self.from.is_none()
    }

    /// As it is on disk at once, whatever the checkpoint before had kept.
    pub fn invalidate(&mut self) {
        self.invalidated = true;
        self.from = None;
        self.saved = None;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushing {
    Honest,
    /// Acknowledged, not done: power loss undoes it.
    Lying,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    Answers,
    /// No space is left.
    Full,
    /// No call that touches it returns.
    Stalls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    /// In recovery; `consistent` once sessions are let in.
    Recovery {
        consistent: bool,
    },
    Promoting,
    Primary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Postmaster {
    Running,
    /// SIGSTOP: reacts to SIGKILL only.
    Frozen,
    Dead,
}

/// Client backends of the instance. Each could report a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backends {
    /// Waiting for their clients, or about to.
    pub sessions: u32,
    /// Running a procedure that commits in a loop: they notice nothing but signals.
    pub loops: u32,
    /// Stuck in IO: they survive everything but SIGKILL.
    pub frozen: u32,
}

impl Backends {
    pub fn all(self) -> u32 {
        self.sessions + self.loops + self.frozen
    }
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopping {
    /// A smart stop: nobody new is let in, the present sessions go on until they end by themselves.
    WaitingForSessions,
    /// Sessions were told to end.
    EndingSessions,
    /// The shutdown checkpoint is being written.
    Checkpoint,
    /// Connected standbys must receive it.
    WaitingForStandbys,
    /// The last segments must be archived; its control file is clean by now.
    WaitingForArchiver,
    /// SIGQUIT was sent to everybody.
    Immediate,
    /// A fast stop that will never end by itself.
    Hanging,
}

/// The connection of a standby's WAL receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    pub from: Seat,
    /// Which start of the upstream's server it is connected to.
    pub upstream_run: u32,
    pub slot: Option<String>,
    pub id: u64,
    pub sending: Sending,
    /// What the upstream has sent, and what it was told is flushed and replayed here.
    pub sent: Lsn,
    pub confirmed: Lsn,
    pub replayed: Lsn,
    pub wal_on_wire: bool,
    pub reply_on_wire: bool,
    /// Nothing gets through since then.
    pub stalled: Option<Moment>,
}

/// How far the upstream's WAL sender has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    CatchingUp,
    /// It has once sent everything that there was.
    Streaming,
}

impl Sending {
    /// `pg_stat_replication.state`.
    pub fn word(self) -> &'static str {
        match self {
            Sending::CatchingUp => "catchup",
            Sending::Streaming => "streaming",
        }
    }
}

/// A WAL sender whose standby vanished without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ghost {
    /// When it notices.
    pub until: Moment,
    /// The connection, if there was one.
    pub stream: Option<Receiver>,
}

/// A commit that waits for its flush, or for standbys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub commit: CommitId,
    pub from: Committer,
    /// Where its record ends.
    pub ends: Lsn,
}

/// Who wants to hear of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committer {
    Roaming,
    Pinned,
    /// A procedure on the server: nobody outside is told.
    ServerLoop,
}

/// Processes of the instance, as long as one is left.
#[derive(Clone, Debug)]
pub struct Server {
    pub pid: u32,
    pub postmaster: Postmaster,
    pub phase: Phase,
    pub backends: Backends,
    pub stopping: Option<Stopping>,
    /// End of what was inserted: ahead of the disk's WAL until flushed.
    pub inserted: Position,
    pub replayed: Lsn,
    pub replay_paused: bool,
    /// Every connection is taken (`FATAL: sorry, too many clients already`); those of WAL senders count apart.
    pub crowded: bool,
    /// Started with these.
    pub limits: Limits,
    /// Replay stands still since the primary has more.
    pub falls_short: bool,
    /// It was told to promote past its agent.
    pub by_hand: bool,
    pub receiver: Option<Receiver>,
    pub ghosts: BTreeMap<Seat, Ghost>,
    pub flush_due: bool,
    pub waiting: Vec<Waiting>,
    pub synchronous: Setting,
    /// Flushed here, and not yet where `synchronous` demands it.
    pub unconfirmed: Vec<Waiting>,
    pub loop_every: Span,
    pub started_at: Wall,
    /// The `Start` operation that waits for it.
    pub starting_for: Option<Ticket>,
}

#[derive(Clone, Debug)]
pub struct Instance {
    pub dir: DataDir,
    /// The directory that was moved aside last.
    pub aside: Option<DataDir>,
    /// Kept beside the data directory.
    pub promoted: Vec<PromotionMark>,
    /// The other durable notes beside the data directory.
    pub led_last: bool,
    pub copy: Option<u64>,
    pub flushing: Flushing,
    pub storage: Storage,
    /// What waits for the storage to answer.
    pub stalled: Vec<crate::due::Due>,
    /// Its processes were killed and cannot end, each in the middle of a call that does not return. None of them can
    /// report anything any more, but the directory is theirs.
    pub held: bool,
    pub archiving: Archiving,
    /// Counts starts; what was due for an earlier one is void.
    pub run: u32,
    pub server: Option<Server>,
    pub troubles: Vec<Trouble>,
}

impl DataDir {
    pub fn empty() -> DataDir {
        let nowhere = Position {
            branch: super::wal::BranchId(0),
            lsn: Lsn::INVALID,
        };
        DataDir {
            layout: Layout::Empty,
            control: Control {
                state: DbState::ShutDown,
                checkpoint: Lsn::INVALID,
                timeline: TimelineId(1),
                min_recovery: None,
                consistent_at: None,
                limits: Limits::default(),
            },
            wal: nowhere,
            oldest: Lsn::INVALID,
            durable: nowhere,
            newest_known: TimelineHistory::bare(TimelineId(1)),
            other_lines: BTreeMap::new(),
            standby_signal: false,
            one_timeline: None,
            roles_owed: false,
            upstream: None,
            parameters: BTreeMap::new(),
            altered: None,
            slots: BTreeMap::new(),
            label: None,
            segments: Segments::default(),
            corrupt: false,
            corrupted_by_patroni: false,
        }
    }

    /// A history file comes from an upstream, or is written by a promotion.
    pub fn learn(&mut self, history: &TimelineHistory) {
        if history.timeline >= self.newest_known.timeline {
            let before = std::mem::replace(&mut self.newest_known, history.clone());
            self.other_lines.insert(before.timeline, before);
        } else {
            self.other_lines.insert(history.timeline, history.clone());
        }
        let newest = &self.newest_known;
        self.other_lines
            .retain(|number, _| !newest.contains(*number));
    }

    /// Where the next start begins to recover.
    pub fn recovers_from(&self) -> Checkpoint {
        self.label.unwrap_or(Checkpoint {
            begins: self.control.checkpoint,
            timeline: self.control.timeline,
        })
    }

    /// How far its pages go: those of a rewound directory further than the WAL that came with them.
    pub fn reaches(&self) -> Position {
        let demanded = self.control.consistent_at;
        demanded
            .filter(|at| at.lsn > self.wal.lsn)
            .unwrap_or(self.wal)
    }

    /// It could be started by itself, and everything in it be had.
    pub fn is_good_copy(&self) -> bool {
        self.is_whole() && !self.corrupt && self.reaches() == self.wal
    }

    /// A checkpoint or restartpoint is done: the control file names it, and slots are on disk as they are.
    pub fn keep_checkpoint(&mut self, checkpoint: Checkpoint) {
        self.control.checkpoint = checkpoint.begins;
        self.control.timeline = checkpoint.timeline;
        self.slots
            .values_mut()
            .for_each(|slot| slot.saved = slot.from);
    }

    /// A server that begins to recover reads its slots from disk.
    pub fn read_slots(&mut self) {
        self.slots
            .values_mut()
            .for_each(|slot| slot.from = slot.saved);
    }

    /// It holds a whole cluster, be it diverged or not.
    pub fn is_whole(&self) -> bool {
        self.layout == Layout::Cluster
    }
}

impl Instance {
    /// The adapter forgets what this member led once it follows somebody, or its data is new.
    pub fn forget_leading(&mut self) {
        self.promoted.clear();
        self.led_last = false;
    }
}

impl Default for Instance {
    fn default() -> Instance {
        Instance {
            dir: DataDir::empty(),
            aside: None,
            promoted: Vec::new(),
            led_last: false,
            copy: None,
            flushing: Flushing::Honest,
            storage: Storage::Answers,
            stalled: Vec::new(),
            held: false,
            archiving: Archiving::Works,
            run: 0,
            server: None,
            troubles: Vec::new(),
        }
    }
}

impl Server {
    /// A new session would be let in.
    pub fn accepts(&self) -> bool {
        let open = match self.phase {
            Phase::Primary | Phase::Recovery { consistent: true } | Phase::Promoting => true,
            Phase::Starting | Phase::Recovery { consistent: false } => false,
        };
        open && self.postmaster == Postmaster::Running && self.stopping.is_none()
    }

    /// W: at least one backend could report a commit to a client.
    pub fn can_write(&self) -> bool {
        let backends = self.backends.all() > 0 || !self.unconfirmed.is_empty();
        self.phase == Phase::Primary && (self.accepts() || backends)
    }

    pub fn in_recovery(&self) -> bool {
        match self.phase {
            Phase::Primary => false,
            Phase::Starting | Phase::Recovery { .. } | Phase::Promoting => true,
        }
    }

    /// Its WAL senders run: standbys can connect and receive.
    pub fn sends(&self) -> bool {
        self.postmaster != Postmaster::Dead
            && match (self.phase, self.stopping) {
                (Phase::Starting, _) => false,
                (_, Some(Stopping::Immediate)) => false,
                (Phase::Recovery { .. } | Phase::Promoting | Phase::Primary, _) => true,
            }
    }
}

impl Instance {
    pub fn can_write(&self) -> bool {
        self.server.as_ref().is_some_and(Server::can_write)
    }
    pub fn accepts_writes(&self) -> bool {
        let serves = |s: &Server| s.phase == Phase::Primary && s.accepts() && !s.crowded;
        self.storage != Storage::Stalls && self.server.as_ref().is_some_and(serves)
    }
    pub fn in_recovery(&self) -> bool {
        self.server.as_ref().is_some_and(Server::in_recovery)
    }
    pub fn receiver(&self) -> Option<&Receiver> {
        self.server.as_ref()?.receiver.as_ref()
    }

    /// What is on disk now survives power loss, if the disk is honest.
    pub fn settle(&mut self) {
        if self.flushing == Flushing::Honest {
            self.dir.durable = self.dir.wal;
        }
    }

    /// Takes the trouble for which `wanted` answers, if one waits.
    pub fn meets<T>(&mut self, wanted: impl Fn(Trouble) -> Option<T>) -> Option<T> {
        let at = self.troubles.iter().position(|t| wanted(*t).is_some())?;
        wanted(self.troubles.remove(at))
    }
}
