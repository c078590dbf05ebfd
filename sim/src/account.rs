//! The account of a run: what of the true state is told as events, and the whole truth for claims.
//! Knows nothing of how it is shown; changes nothing.

use crate::event::{Role, What};
use crate::host::Run;
use crate::store::Change;
use crate::truth::{MemberTruth, Process, Truth};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::keys::FAILOVER;
use tanist_core::lsn::Lsn;
use tanist_core::timeline::TimelineId;

impl World {
    /// Tells what has changed of any member's PostgreSQL since it was last told.
    pub(crate) fn show_changes(&mut self) {
        for at in 0..self.pgs.len() {
            let seat = Seat(at as u8);
            let can_write = self.pgs[at].can_write() && self.powered(seat);
            let now = (self.role(seat), self.timeline(seat), can_write);
            if self.shown[at] != now {
                if self.shown[at].0 == Role::Primary && now.0 != Role::Primary {
                    self.check_needless_stop(seat);
                }
                self.shown[at] = now;
                let (role, timeline, can_write) = now;
                let member = self.name(seat);
                self.tell_story(What::Postgres {
                    member,
                    role,
                    timeline,
                    can_write,
                });
            }
        }
    }

    pub(crate) fn timeline(&self, seat: Seat) -> TimelineId {
        let dir = &self.pgs[seat.index()].dir;
        match dir.wal.lsn {
            Lsn::INVALID => TimelineId(0),
            _ => self.wal.timeline(dir.wal.branch),
        }
    }

    /// Tells which keys of the store have changed.
    pub(crate) fn tell_keys(&mut self, change: &Change) {
        for (key, value) in &change.keys {
            if key == "config" {
                self.note_config();
            }
            if key == "leader" {
                self.tell_leader_key();
            } else {
                let value = value.as_ref().map(|kv| kv.value.clone());
                self.note_member_key(key);
                if key == FAILOVER {
                    self.note_failover_key(value.as_deref());
                }
                if key.starts_with("members/") || key == "status" {
                    continue;
                }
                self.tell_story(What::Key {
                    key: key.clone(),
                    value,
                });
            }
        }
    }

    /// The store is another one now: nothing that was shown of it need be so any more.
    pub(crate) fn store_is_another(&mut self) {
        self.break_all_watches();
        self.tell_leader_key();
        self.note_config();
        self.forget_cancelled();
    }

    pub(crate) fn tell_leader_key(&mut self) {
        let owner = self.store.get("leader").map(|kv| kv.value.clone());
        if self.shown_owner == owner {
            return;
        }
        if let Some(from) = std::mem::replace(&mut self.shown_owner, owner.clone()) {
            self.note_led(&from);
            self.check_needless_change(&from, owner.as_deref());
        }
        let owner = owner.map(tanist_core::name::MemberName);
        self.tell_story(What::LeaderKey { owner });
    }

    pub fn truth(&self) -> Truth {
        let seats = (0..self.pgs.len() as u8).map(Seat);
        Truth {
            at: self.now(),
            leader_key: self.leader_seat().map(|seat| self.name(seat)),
            members: seats
                .map(|seat| (self.name(seat), self.member_truth(seat)))
                .collect(),
            commits: self.app.commits(self.wal.commits_written()),
            paused: self.is_paused(),
        }
    }

    fn member_truth(&self, seat: Seat) -> MemberTruth {
        let pg = &self.pgs[seat.index()];
        let host = &self.hosts[seat.index()];
        let role = self.role(seat);
        let process = |run: Option<Run>| match run.filter(|_| role != Role::HostDown) {
            None => Process::Gone,
            Some(Run::Frozen) => Process::Frozen,
            Some(Run::Running) if self.powered(seat) => Process::Running,
            Some(Run::Running) => Process::Frozen,
        };
        let agent = host.agent.as_ref();
        MemberTruth {
            role,
            can_write: pg.can_write() && self.powered(seat),
            accepts_writes: pg.accepts_writes() && self.powered(seat),
            waiting_commits: pg.server.as_ref().map_or(0, |s| s.unconfirmed.len()),
            timeline: self.timeline(seat),
            flushed: pg.dir.wal.lsn,
            replayed: pg.server.as_ref().map_or(pg.dir.wal.lsn, |s| s.replayed),
            streams_from: pg.receiver().map(|r| self.name(r.from)),
            control: pg.dir.is_whole().then_some(pg.dir.control.state),
            agent: process(agent.map(|a| a.run)),
            fencer: process(host.fencer.as_ref().map(|f| f.run)),
            says_primary: self.says_primary(seat),
            operation: agent
                .and_then(|a| a.lane.as_ref())
                .map(|lane| lane.operation.verb().to_string()),
        }
    }
}
