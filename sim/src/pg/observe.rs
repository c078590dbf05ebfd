//! What a look at everything local shows: the data directory, the processes, and what a session tells.
//! Knows nothing of who looks. The role is unknown, never guessed, when the server does not answer.

use crate::event::Role;
use crate::pg::connections::TOO_MANY;
use crate::pg::instance::{Layout, Phase, Postmaster, Server, Storage};
use crate::pg::limits::Limits;
use crate::wire::Seat;
use crate::world::World;
use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;
use tanist_core::postgres::{
    ConnectedStandby, ControlData, CopyId, DataDir, Observation, Processes, Slot, Sql, SqlStatus,
    UpstreamFacts, WalEnd,
};
use tanist_core::timeline::{TimelineHistory, TimelineId};

/// The disk did not answer: nothing that lies on it is known.
fn unseen(processes: Processes, sql: Sql) -> Observation {
    Observation {
        data_dir: DataDir::Unreadable("the disk does not answer in time".to_string()),
        processes,
        sql,
        history: TimelineHistory::default(),
        other_lines: Vec::new(),
        promoted: Vec::new(),
        standby_signal: false,
        roles_owed: false,
        led_last: false,
        copy: None,
    }
}

impl World {
    pub(crate) fn observation(&self, seat: Seat) -> Observation {
        let pg = &self.pgs[seat.index()];
        let processes = match &pg.server {
            None => Processes::default(),
            Some(server) => Processes {
                postmaster: (server.postmaster != Postmaster::Dead).then_some(server.pid),
                // Beside a postmaster there is always one that recovers, writes or watches, and is counted as well.
                backends: match server.postmaster {
                    Postmaster::Dead => server.backends.all(),
                    Postmaster::Running | Postmaster::Frozen => server.backends.all().max(1),
                },
            },
        };
        let history = match pg.dir.layout {
            Layout::Empty | Layout::HalfCloned => TimelineHistory::bare(TimelineId(1)),
            Layout::HalfRewound | Layout::Cluster => pg.dir.newest_known.clone(),
        };
        if pg.held || pg.storage == Storage::Stalls {
            return unseen(processes, self.observed_sql(seat));
        }
        Observation {
            data_dir: self.observed_dir(seat),
            processes,
            sql: self.observed_sql(seat),
            history,
            other_lines: pg.dir.other_lines.values().cloned().collect(),
            promoted: pg.promoted.clone(),
            standby_signal: pg.dir.standby_signal,
            roles_owed: pg.dir.roles_owed,
            led_last: pg.led_last,
            copy: pg.copy.map(|number| CopyId(number.to_string())),
        }
    }

    fn observed_dir(&self, seat: Seat) -> DataDir {
        let dir = &self.pgs[seat.index()].dir;
        match dir.layout {
            Layout::Empty => DataDir::Empty,
            Layout::HalfCloned => DataDir::HalfCloned,
            Layout::HalfRewound => DataDir::HalfRewound(self.control_data(seat)),
            Layout::Cluster => DataDir::Present(self.control_data(seat)),
        }
    }

    fn control_data(&self, seat: Seat) -> ControlData {
        let dir = &self.pgs[seat.index()].dir;
        let min_recovery = dir.control.min_recovery;
        ControlData {
            system_id: self.wal.system(dir.wal.branch).clone(),
            state: dir.control.state,
            checkpoint: dir.control.checkpoint,
            timeline: dir.control.timeline,
            min_recovery_end: min_recovery.map_or(Lsn::INVALID, |at| at.lsn),
            min_recovery_timeline: min_recovery
                .map_or(TimelineId(0), |at| self.wal.timeline(at.branch)),
            wal_log_hints: self.shape.rewind.wal_log_hints,
            data_checksums: false,
            standby_minimums: dir.control.limits.named(),
        }
    }

    /// No answer is to be had: a look over a fresh session would wait until its deadline.
    pub(crate) fn is_silent(&self, seat: Seat) -> bool {
        let pg = &self.pgs[seat.index()];
        let frozen = |s: &Server| s.postmaster == Postmaster::Frozen;
        pg.storage == Storage::Stalls || pg.server.as_ref().is_some_and(frozen)
    }

    fn observed_sql(&self, seat: Seat) -> Sql {
        let Some(server) = &self.pgs[seat.index()].server else {
            return Sql::NotRunning;
        };
        match (server.postmaster, server.stopping, server.phase) {
            (Postmaster::Dead, _, _) => Sql::NotRunning,
            (Postmaster::Frozen, _, _) => Sql::Silent("timeout".to_string()),
            (Postmaster::Running, _, _) if self.is_silent(seat) => {
                Sql::Silent("timeout".to_string())
            }
            (_, Some(_), _) => Sql::ShuttingDown,
            (_, None, Phase::Starting | Phase::Recovery { consistent: false }) => Sql::Starting,
            (_, None, _) if server.crowded => Sql::Refused(TOO_MANY.to_string()),
            (_, None, Phase::Recovery { consistent: true } | Phase::Promoting | Phase::Primary) => {
                Sql::Answered(self.sql_status(seat))
            }
        }
    }

    fn sql_status(&self, seat: Seat) -> SqlStatus {
        let pg = &self.pgs[seat.index()];
        let dir = &pg.dir;
        let server = pg
            .server
            .as_ref()
            .expect("only asked of a server that answers");
        let in_recovery = server.in_recovery();
        let timeline = self.wal.timeline(dir.wal.branch);
        // A promoted server keeps the setting until it is given another.
        let upstream = dir.upstream.as_ref();
        SqlStatus {
            in_recovery,
            server_version: 150_000,
            started_at: server.started_at,
            timeline,
            written: if in_recovery {
                Lsn::INVALID
            } else {
                dir.wal.lsn
            },
            received: if in_recovery {
                dir.wal.lsn
            } else {
                Lsn::INVALID
            },
            received_timeline: timeline,
            replayed: if in_recovery {
                server.replayed
            } else {
                Lsn::INVALID
            },
            replay_paused: server.replay_paused,
            replayed_at: None,
            streaming: server.receiver.is_some(),
            upstream: upstream.map(|u| u.address.clone()),
            upstream_slot: upstream.and_then(|u| u.slot.clone()),
            slots: self.observed_slots(seat),
            standbys: self.observed_standbys(seat),
            limits: server.limits.named(),
            one_timeline: dir.one_timeline.filter(|_| in_recovery),
            pending_restart: server.limits != Limits::of(&dir.parameters),
            synchronous_standby_names: server.synchronous.text.clone(),
        }
    }

    fn observed_slots(&self, seat: Seat) -> BTreeMap<String, Slot> {
        let run = self.pgs[seat.index()].run;
        let in_use = |name: &String| {
            self.pgs
                .iter()
                .filter_map(|pg| pg.receiver())
                .any(|r| r.from == seat && r.upstream_run == run && r.slot.as_ref() == Some(name))
        };
        let slots = self.pgs[seat.index()].dir.slots.iter();
        slots
            .map(|(name, retained)| {
                let (restart_lsn, active) = (retained.from, in_use(name));
                (
                    name.clone(),
                    Slot {
                        physical: true,
                        active,
                        restart_lsn,
                        lost: retained.is_lost(),
                    },
                )
            })
            .collect()
    }

    fn observed_standbys(&self, seat: Seat) -> Vec<ConnectedStandby> {
        let connected = self.standbys_of(seat).into_iter();
        connected
            .filter_map(|standby| {
                let receiver = self.pgs[standby.index()].receiver()?;
                let name = self.name(standby).0;
                let (part, sync_priority) = self.part_of(seat, &name);
                Some(ConnectedStandby {
                    application_name: name.clone(),
                    user: "replicator".to_string(),
                    client_address: name,
                    state: receiver.sending.word().to_string(),
                    sync_state: part.word().to_string(),
                    sync_priority,
                    flushed: receiver.confirmed,
                })
            })
            .collect()
    }

    /// What `seat`'s server says of itself to `asker`, whose WAL ends at `mine`.
    pub(crate) fn upstream_facts(
        &self,
        asker: Seat,
        seat: Seat,
        mine: Option<WalEnd>,
    ) -> Option<UpstreamFacts> {
        let pg = &self.pgs[seat.index()];
        let server = pg.server.as_ref()?;
        let refuses = server.stopping.is_some() || server.crowded;
        if !server.sends() || refuses || self.is_silent(seat) {
            return None;
        }
        Some(UpstreamFacts {
            member: self.name(seat),
            system_id: self.wal.system(pg.dir.wal.branch).clone(),
            in_recovery: server.in_recovery(),
            history: self.wal.history(pg.dir.wal.branch).clone(),
            written: pg.dir.wal.lsn,
            control_timeline: pg.dir.control.timeline,
            same_wal: mine.and_then(|end| self.same_wal(asker, seat, end)),
        })
    }

    /// Compares the WAL before `end` on both sides. What goes beyond what a server has flushed on its own timeline did
    /// not come from it; on an older one, the fork point tells.
    fn same_wal(&self, asker: Seat, seat: Seat, end: WalEnd) -> Option<bool> {
        let (mine, theirs) = (
            self.pgs[asker.index()].dir.wal,
            self.pgs[seat.index()].dir.wal,
        );
        if end.lsn > theirs.lsn {
            return (end.timeline == self.wal.timeline(theirs.branch)).then_some(false);
        }
        let mine = self.wal.cut_at(mine, end.lsn);
        Some(self.wal.is_prefix(mine, theirs))
    }

    /// The role that the member's PostgreSQL truly has.
    pub(crate) fn role(&self, seat: Seat) -> Role {
        let Some(server) = &self.pgs[seat.index()].server else {
            return if self.powered(seat) {
                Role::Stopped
            } else {
                Role::HostDown
            };
        };
        match (server.postmaster, server.stopping, server.phase) {
            (Postmaster::Dead, _, _) => Role::Orphaned,
            (_, Some(_), _) => Role::Stopping,
            (_, None, Phase::Starting | Phase::Recovery { consistent: false }) => Role::Starting,
            (_, None, Phase::Recovery { consistent: true }) => Role::Standby,
            (_, None, Phase::Promoting) => Role::Promoting,
            (_, None, Phase::Primary) => Role::Primary,
        }
    }
}
