//! What this agent knows of its own PostgreSQL, and the one word for what it is now.
//! A role that could not be asked for is the last known one, never "not a primary".

use crate::lsn::Lsn;
use crate::name::OpId;
use crate::postgres::{ControlData, DataDir, Observation, Sql, SqlStatus, SystemId, WalEnd};
use crate::time::Mono;
use crate::timeline::{TimelineHistory, TimelineId};
use serde::{Deserialize, Serialize};

/// The server in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Server {
    /// Neither postmaster nor backend.
    Down,
    /// No postmaster, but backends that may go on committing.
    Leftovers {
        count: u32,
    },
    Starting,
    Primary,
    Standby,
    ShuttingDown,
    /// A postmaster that does not answer, and whose role was never learned.
    Silent,
}

/// A setting of which a standby has less than its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    pub setting: String,
    pub has: u64,
    pub needs: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    pub observed: Option<Observation>,
    pub observed_at: Option<Mono>,
    /// The last answer over SQL of the present postmaster.
    status: Option<SqlStatus>,
    status_of: Option<u32>,
    /// The last position and timeline of any answer, kept over a stop.
    pub last_position: Lsn,
    pub last_timeline: Option<TimelineId>,
    /// When a look last found the position of the same server changed.
    pub moved_at: Option<Mono>,
    /// The postmaster that was told to promote, when nobody waits for it any more: it may do so yet.
    may_yet_promote: Option<u32>,
    pub probe: Option<OpId>,
    /// When the look under way was begun.
    pub probe_begun: Mono,
    pub probe_due: Mono,
    /// When an operation last ended: what a look saw before may be over.
    #[serde(default)]
    pub operated_at: Option<Mono>,
    /// When the newest finished look was begun: what it saw was true then or later.
    pub looked_at: Option<Mono>,
    pub silent_since: Option<Mono>,
    pub starting_since: Option<Mono>,
    pub shutting_down_since: Option<Mono>,
}

impl Local {
    /// Nothing known yet; the first look is due at once.
    pub fn new(now: Mono) -> Local {
        Local {
            probe_due: now,
            ..Local::default()
        }
    }

    pub fn observe(&mut self, at: Mono, mut observation: Observation) {
        // A disk that does not answer has changed nothing: others would compare with this member's data once more.
        if matches!(observation.data_dir, DataDir::Unreadable(_)) {
            observation.copy = self.observed.as_ref().and_then(|known| known.copy.clone());
        }
        let postmaster = observation.processes.postmaster;
        if self.status_of != postmaster {
            self.status = None;
            self.status_of = postmaster;
            self.silent_since = None;
            self.starting_since = None;
            self.shutting_down_since = None;
            self.may_yet_promote = None;
        }
        if matches!(observation.sql, Sql::ShuttingDown) {
            self.shutting_down_since = self.shutting_down_since.or(Some(at));
        }
        match &observation.sql {
            Sql::Answered(status) => {
                if self.status.is_some() && position(status) != self.last_position {
                    self.moved_at = Some(at);
                }
                self.last_position = position(status);
                self.last_timeline = Some(status.timeline);
                self.status = Some(status.clone());
                self.silent_since = None;
                self.starting_since = None;
            }
            Sql::Silent(_) => self.silent_since = self.silent_since.or(Some(at)),
            Sql::Starting => {
                self.starting_since = self.starting_since.or(Some(at));
                self.silent_since = None;
            }
            Sql::NotRunning | Sql::ShuttingDown | Sql::Refused(_) => self.silent_since = None,
        }
        self.observed = Some(observation);
        self.observed_at = Some(at);
    }

    /// An operation on this server has ended since the look under way was begun.
    pub fn is_overtaken(&self) -> bool {
        self.operated_at.is_some_and(|at| at > self.probe_begun)
    }

    /// An order to promote ended without the promotion.
    pub fn note_promotion_given_up(&mut self) {
        self.may_yet_promote = self.status_of;
    }

    /// Is it a standby that may open a timeline at any moment?
    pub fn may_yet_promote(&self) -> bool {
        self.may_yet_promote.is_some() && self.server() == Server::Standby
    }

    pub fn server(&self) -> Server {
        let Some(observed) = &self.observed else {
            return Server::Silent;
        };
        if observed.processes.postmaster.is_none() {
            return match observed.processes.backends {
                0 => Server::Down,
                count => Server::Leftovers { count },
            };
        }
        match &observed.sql {
            Sql::Answered(status) => role(status),
            Sql::Starting | Sql::NotRunning => Server::Starting,
            Sql::ShuttingDown => Server::ShuttingDown,
            Sql::Silent(_) | Sql::Refused(_) => self.status.as_ref().map_or(Server::Silent, role),
        }
    }

    /// Could a process of ours report a commit? Judged against us: anything but a known standby counts.
    pub fn may_write(&self) -> bool {
        match self.server() {
            Server::Primary | Server::Leftovers { .. } => true,
            Server::Down | Server::Standby => false,
            Server::Starting => self.observed.as_ref().is_none_or(|o| !o.standby_signal),
            Server::ShuttingDown | Server::Silent => match &self.status {
                Some(status) => !status.in_recovery,
                None => !self.is_standby_on_disk(),
            },
        }
    }

    /// Its directory is a standby's. PostgreSQL removes `standby.signal` before a promotion lets anybody write, and the
    /// control file says "in production" from then on: with the one there and the other not, nobody can.
    fn is_standby_on_disk(&self) -> bool {
        let signal = self.observed.as_ref().is_some_and(|o| o.standby_signal);
        signal && self.control().is_some_and(|c| !c.state.was_primary())
    }

    pub fn status(&self) -> Option<&SqlStatus> {
        self.status.as_ref()
    }

    /// Fresh SQL answer of this very observation.
    pub fn answered(&self) -> Option<&SqlStatus> {
        self.observed.as_ref()?.sql.answered()
    }

    /// Why a server that runs let this agent not in, in its own words.
    pub fn refusal(&self) -> Option<&str> {
        match &self.observed.as_ref()?.sql {
            Sql::Refused(why) => Some(why),
            Sql::NotRunning
            | Sql::Starting
            | Sql::ShuttingDown
            | Sql::Silent(_)
            | Sql::Answered(_) => None,
        }
    }

    pub fn data_dir(&self) -> Option<&DataDir> {
        self.observed.as_ref().map(|o| &o.data_dir)
    }

    pub fn control(&self) -> Option<&ControlData> {
        self.data_dir()?.control()
    }

    /// A standby that replays nothing more, since its primary has been given more of a setting than it was started with.
    /// Started anew, it gets what its control file demands.
    ///
    /// PostgreSQL 14 and newer pause replay there (`RecoveryRequiresIntParameter`); older ones end, and are started so.
    pub fn shortfall(&self) -> Option<Shortfall> {
        let status = self
            .answered()
            .filter(|s| s.in_recovery && s.replay_paused)?;
        let mut demanded = self.control()?.standby_minimums.iter();
        demanded.find_map(|(setting, needs)| {
            let has = status.limits.get(setting).filter(|has| *has < needs)?;
            Some(Shortfall {
                setting: setting.clone(),
                has: *has,
                needs: *needs,
            })
        })
    }

    pub fn system_id(&self) -> Option<&SystemId> {
        self.control().map(|c| &c.system_id)
    }

    /// The branch that this member's WAL is on: the history files may know of newer ones that it has not reached.
    /// `None` also for a look that saw the files before a promotion and the server after it: its last fork is missing,
    /// and the one before would be taken for the newest.
    pub fn branch(&self) -> Option<TimelineHistory> {
        let observed = self.observed.as_ref()?;
        let timeline = match self.answered() {
            Some(s) if s.in_recovery => s.timeline.max(s.received_timeline),
            Some(s) if s.timeline > observed.history.timeline => return None,
            Some(s) => s.timeline,
            None => {
                let c = observed.data_dir.control()?;
                if c.state.was_primary() {
                    c.timeline
                } else {
                    c.timeline.max(c.min_recovery_timeline)
                }
            }
        };
        let mut lines = observed.lines();
        let line = lines.find(|line| line.contains(timeline));
        Some(line.unwrap_or(&observed.history).up_to(timeline))
    }

    /// One past the last byte of WAL that this member certainly holds: for the comparison with a fork point.
    /// `None`: a running server that does not answer, or an unclean former primary, whose end only crash recovery can find.
    pub fn wal_end(&self) -> Option<Lsn> {
        if let Some(status) = self.answered() {
            return Some(position(status));
        }
        // What a server has received that runs and does not answer is known to nobody.
        if self.server() != Server::Down {
            return None;
        }
        let control = self.control()?;
        // A fork lies on a record boundary, so the checkpoint's record is shared exactly if the fork comes after its start.
        let checkpoint = Lsn(control.checkpoint.0.saturating_add(1));
        // With `standby.signal` it is a copy that has not been started: nothing but its source's WAL is in it.
        let standby = self.observed.as_ref().is_some_and(|o| o.standby_signal);
        if !control.state.was_primary() || (standby && !control.state.is_clean()) {
            return Some(control.min_recovery_end.max(checkpoint));
        }
        // The last record of a clean stop is the shutdown checkpoint.
        control.state.is_clean().then_some(checkpoint)
    }

    /// The same as a position on its timeline, with where that timeline began.
    pub fn end_on_branch(&self) -> Option<WalEnd> {
        let (branch, lsn) = (self.branch()?, self.wal_end()?);
        Some(WalEnd {
            timeline: branch.timeline,
            begin: branch.start_of(branch.timeline),
            lsn,
        })
    }

    pub fn is_answering(&self) -> bool {
        self.answered().is_some()
    }
}

fn role(status: &SqlStatus) -> Server {
    if status.in_recovery {
        Server::Standby
    } else {
        Server::Primary
    }
}

/// The position a member stands for election with: end of flushed WAL, or the further of received and replayed.
pub fn position(status: &SqlStatus) -> Lsn {
    if status.in_recovery {
        status.received.max(status.replayed)
    } else {
        status.written
    }
}
