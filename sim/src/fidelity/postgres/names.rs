//! What each playing names its own way: addresses, positions, copies of data, system identifiers. Puts steps into the
//! adapter's vocabulary, and what was seen into the transcript's words.

use super::answer::{
    Answer, Control, Dir, Facts, Fork, How, Look, Place, Seen, Slot, Sql as Shown, Told,
};
use super::step::{Deed, Lane, Role, Server, Side, Start, Until};
use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;
use tanist_core::name::{MemberName, Term};
use tanist_core::postgres::{
    Address, ControlData, CopyId, DataDir, DiscardReason, Ended, Observation, Operation,
    PromotionMark, SideTask, Sql, SqlStatus, StartAs, StopMode, StopPlan, SystemId, Upstream,
    UpstreamFacts,
};
use tanist_core::time::Span;
use tanist_core::timeline::{TimelineHistory, TimelineId};

/// Long enough that no fast stop of the script becomes a harder one by itself.
const PATIENCE: Span = Span::secs(30);
/// What does not react to an immediate stop is killed.
const KILL_AFTER: Span = Span::secs(4);

/// What every server runs with besides the settings that the script is about. Nothing that writes or flushes WAL by
/// itself: where a position lies would be chance.
const PARAMETERS: [(&str, &str); 7] = [
    ("wal_log_hints", "on"),
    ("fsync", "off"),
    ("autovacuum", "off"),
    ("bgwriter_lru_maxpages", "0"),
    ("wal_keep_size", "128MB"),
    ("wal_retrieve_retry_interval", "500ms"),
    ("max_wal_senders", "10"),
];

/// The names of one playing.
#[derive(Clone, Debug)]
pub struct Names {
    addresses: Vec<Address>,
    /// In the order in which they were set.
    marks: Vec<(String, Lsn)>,
    copies: Vec<CopyId>,
    systems: Vec<SystemId>,
    /// As each server was started last.
    max_connections: [u32; 3],
    /// As each was told last.
    synchronous_standby_names: [String; 3],
}

impl Names {
    /// `addresses`: of a, b and c.
    pub fn new(addresses: Vec<Address>) -> Names {
        Names {
            addresses,
            marks: Vec::new(),
            copies: Vec::new(),
            systems: Vec::new(),
            max_connections: [0; 3],
            synchronous_standby_names: Default::default(),
        }
    }

    fn upstream(&self, of: Server, slot: Option<Server>) -> Upstream {
        Upstream {
            member: MemberName::from(of.name()),
            address: self.addresses[of.index()].clone(),
            slot: slot.map(|for_whom| for_whom.name().to_string()),
        }
    }

    fn role(&self, on: Server, role: Role) -> StartAs {
        match role {
            Role::Primary => StartAs::Primary,
            Role::Alone => StartAs::Standby { upstream: None },
            Role::Standby { of } => StartAs::Standby {
                upstream: Some(self.upstream(of, Some(on))),
            },
        }
    }

    fn parameters(&self, on: Server) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = PARAMETERS
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let connections = self.max_connections[on.index()].to_string();
        all.insert("max_connections".into(), connections);
        let names = &self.synchronous_standby_names[on.index()];
        if !names.is_empty() {
            all.insert("synchronous_standby_names".into(), names.clone());
        }
        all
    }

    pub fn operation(&mut self, on: Server, lane: &Lane) -> Operation {
        match lane {
            Lane::Initdb => Operation::Initdb,
            Lane::PostBootstrap => Operation::PostBootstrap,
            Lane::Clone { of } => Operation::Clone {
                source: self.upstream(*of, None),
            },
            Lane::Start(start) => self.start(on, *start),
            Lane::Stop(first) => Operation::Stop {
                plan: StopPlan {
                    first: *first,
                    immediate_after: PATIENCE,
                    kill_after: match first {
                        StopMode::Fast => PATIENCE + PATIENCE,
                        StopMode::Immediate => KILL_AFTER,
                    },
                },
                checkpoint_first: false,
            },
            Lane::Promote { timeline, within } => Operation::Promote {
                mark: PromotionMark {
                    timeline: TimelineId(*timeline),
                    term: Term(1),
                },
                timeout: *within,
            },
            Lane::CrashRecovery => Operation::CrashRecovery,
            Lane::Rewind { from } => Operation::Rewind {
                source: self.upstream(*from, None),
            },
            Lane::Discard => Operation::DiscardData {
                why: DiscardReason::ReinitRequested,
            },
        }
    }

    fn start(&mut self, on: Server, start: Start) -> Operation {
        self.max_connections[on.index()] = start.max_connections;
        Operation::Start {
            role: self.role(on, start.role),
            parameters: self.parameters(on),
            timeout: Span::secs(30),
        }
    }

    /// `None`: it speaks of a mark that was not set.
    pub fn side_task(&mut self, on: Server, side: &Side) -> Option<SideTask> {
        let slot = |of: &Server| of.name().to_string();
        Some(match side {
            Side::Checkpoint => SideTask::Checkpoint,
            Side::CreateSlot(of) => SideTask::CreateSlot { name: slot(of) },
            Side::DropSlot(of) => SideTask::DropSlot {
                name: slot(of),
                if_lost: false,
            },
            Side::AdvanceSlot(of, mark) => SideTask::AdvanceSlot {
                name: slot(of),
                to: self.marked(mark)?,
            },
            Side::Follow(of) => SideTask::Reconfigure {
                role: self.role(on, Role::Standby { of: *of }),
                parameters: self.parameters(on),
            },
            Side::WaitFor(names) => {
                self.synchronous_standby_names[on.index()] = names.clone();
                SideTask::Reconfigure {
                    role: StartAs::Primary,
                    parameters: self.parameters(on),
                }
            }
            Side::Ask(whom) => SideTask::AskUpstream {
                upstream: self.upstream(*whom, None),
                mine: None,
            },
        })
    }

    /// Takes the position that a mark names. False: the server did not tell one.
    pub fn mark(&mut self, name: &str, seen: &Observation) -> bool {
        let Sql::Answered(status) = &seen.sql else {
            return false;
        };
        let at = match status.in_recovery {
            true => status.replayed,
            false => status.written,
        };
        self.marks.push((name.to_string(), at));
        at.is_valid()
    }

    fn marked(&self, name: &str) -> Option<Lsn> {
        let found = self.marks.iter().find(|(mark, _)| mark == name);
        found.map(|(_, lsn)| *lsn)
    }

    /// Is it so? `other` is what is seen of the server that it speaks of.
    pub fn holds(&self, until: &Until, seen: &Observation, other: Option<&Observation>) -> bool {
        let status = seen.sql.answered();
        let told = |holds: &dyn Fn(&SqlStatus) -> bool| status.is_some_and(holds);
        match until {
            Until::Answers => status.is_some(),
            Until::Gone => seen.processes.none_left(),
            Until::Streams => told(&|s| s.streaming),
            Until::CaughtUp(_) => match other.map(|o| &o.sql) {
                Some(Sql::Answered(primary)) => told(&|s| s.replayed >= primary.written),
                _ => false,
            },
            Until::HasCheckpointOf(_) => {
                let control = other.and_then(|o| o.data_dir.control());
                control.is_some_and(|c| told(&|s| s.received > c.checkpoint))
            }
            Until::OnTimeline(timeline) => told(&|s| s.timeline == TimelineId(*timeline)),
            Until::ReplayPaused => told(&|s| s.replay_paused),
            Until::SlotPast(of, mark) => told(&|s| {
                let slot = s.slots.get(of.name()).and_then(|slot| slot.restart_lsn);
                slot >= self.marked(mark) && slot.is_some()
            }),
        }
    }

    /// What was seen of `deed`, in the transcript's words.
    pub fn answer(&mut self, deed: &Deed, seen: Seen) -> Option<Answer> {
        Some(match seen {
            Seen::Nothing => return None,
            Seen::Ended(ended, seen) => {
                let mut left = self.look(&seen, false);
                // The checkpoint that follows a promotion is written at a time of its own.
                if matches!(deed, Deed::Operate(Lane::Promote { .. })) && ended == Ended::Done {
                    left.control = left.control.map(Control::without_its_checkpoint);
                }
                Answer::Ended {
                    how: How::of(&ended),
                    left,
                }
            }
            Seen::Attended(Ended::Upstream(facts)) => Answer::Facts(self.facts(&facts)),
            Seen::Attended(ended) => Answer::Attended(How::of(&ended)),
            Seen::Observed(seen) if *deed == Deed::LookClosely => {
                let told = seen.sql.answered().map(|status| self.told(status));
                Answer::LookedClosely(self.look(&seen, true), told)
            }
            Seen::Observed(seen) => Answer::Looked(self.look(&seen, false)),
            Seen::Commit(commit) => Answer::Commit(commit),
            Seen::Rows(rows) => Answer::Rows(rows),
            Seen::CameAbout(is) => Answer::CameAbout(is),
        })
    }

    fn look(&mut self, seen: &Observation, closely: bool) -> Look {
        let control = seen.data_dir.control();
        let learns = matches!(&seen.sql, Sql::Answered(status) if status.in_recovery);
        Look {
            dir: match seen.data_dir {
                DataDir::Empty => Dir::Empty,
                DataDir::HalfCloned => Dir::HalfCloned,
                DataDir::HalfRewound(_) => Dir::HalfRewound,
                DataDir::Present(_) => Dir::Whole,
                DataDir::Unreadable(_) | DataDir::NotACluster(_) => Dir::Odd,
            },
            control: control.map(|c| self.control(c, seen.processes.none_left())),
            standby_signal: seen.standby_signal,
            roles_owed: seen.roles_owed,
            led_last: seen.led_last,
            promoted: seen.promoted.iter().map(|mark| mark.timeline.0).collect(),
            copy: seen.copy.as_ref().map(|copy| self.copy(copy)),
            history: (closely || !learns).then(|| self.history(&seen.history)),
            postmaster: seen.processes.postmaster.is_some(),
            backends: seen.processes.backends > 0,
            sql: match &seen.sql {
                Sql::NotRunning => Shown::NotRunning,
                Sql::Starting => Shown::Starting,
                Sql::ShuttingDown => Shown::ShuttingDown,
                Sql::Silent(_) | Sql::Refused(_) => Shown::Silent,
                Sql::Answered(status) if status.in_recovery => Shown::Standby,
                Sql::Answered(_) => Shown::Primary,
            },
        }
    }

    fn control(&mut self, control: &ControlData, down: bool) -> Control {
        let min_recovery = (control.min_recovery_end, control.min_recovery_timeline.0);
        let known = |(lsn, timeline): (Lsn, u32)| {
            (down && lsn.is_valid()).then(|| (self.place(lsn), timeline))
        };
        let max_connections = control.standby_minimums.get("max_connections");
        Control {
            state: control.state,
            timeline: control.timeline.0,
            checkpoint: self.place(control.checkpoint),
            min_recovery: known(min_recovery),
            max_connections: max_connections.copied().unwrap_or_default(),
            system: self.system(&control.system_id),
        }
    }

    fn told(&self, status: &SqlStatus) -> Told {
        let place = |lsn: Lsn| lsn.is_valid().then(|| self.place(lsn));
        let of_standby = |lsn| place(lsn).filter(|_| status.in_recovery);
        let upstream = status.upstream.as_ref();
        let upstream = upstream.and_then(|at| self.addresses.iter().position(|a| a == at));
        let slots = status.slots.iter().map(|(name, slot)| {
            let seen = Slot {
                active: slot.active,
                lost: slot.lost,
                from: slot.restart_lsn.map(|lsn| self.place(lsn)),
            };
            (name.clone(), seen)
        });
        let standbys = status.standbys.iter().filter(|s| s.receives());
        let max_connections = status.limits.get("max_connections");
        Told {
            timeline: status.timeline.0,
            written: place(status.written),
            held: of_standby(status.received.max(status.replayed)),
            replayed: of_standby(status.replayed),
            replay_paused: status.replay_paused,
            streaming: status.streaming,
            upstream: upstream.map(|at| Server::ALL[at].name().to_string()),
            upstream_slot: status.upstream_slot.clone(),
            slots: slots.collect(),
            standbys: standbys.map(|s| s.application_name.clone()).collect(),
            max_connections: max_connections.copied().unwrap_or_default(),
            pending_restart: status.pending_restart,
        }
    }

    fn facts(&mut self, facts: &UpstreamFacts) -> Facts {
        Facts {
            system: self.system(&facts.system_id),
            in_recovery: facts.in_recovery,
            control_timeline: facts.control_timeline.0,
            timeline: facts.history.timeline.0,
            history: self.history(&facts.history),
            written: self.place(facts.written),
        }
    }

    fn history(&self, history: &TimelineHistory) -> Vec<Fork> {
        let forks = history.forks.iter();
        let known = forks.map(|fork| Fork {
            timeline: fork.parent.0,
            ends: self.place(fork.end),
        });
        known.collect()
    }

    fn place(&self, lsn: Lsn) -> Place {
        let before = self.marks.iter().filter(|(_, mark)| *mark <= lsn);
        let last = before.max_by_key(|(_, mark)| *mark);
        Place(last.map_or_else(|| "start".to_string(), |(name, _)| name.clone()))
    }

    fn copy(&mut self, copy: &CopyId) -> usize {
        numbered(&mut self.copies, copy)
    }

    fn system(&mut self, system: &SystemId) -> usize {
        numbered(&mut self.systems, system)
    }
}

/// From 1, by first appearance.
fn numbered<T: Clone + PartialEq>(seen: &mut Vec<T>, one: &T) -> usize {
    if let Some(at) = seen.iter().position(|other| other == one) {
        return at + 1;
    }
    seen.push(one.clone());
    seen.len()
}
