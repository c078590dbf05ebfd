//! Who waits for a standby: commits that are flushed here and that the standbys of `synchronous_standby_names` have not
//! confirmed yet. Knows nothing of how the setting is read or counted (`standby_names`), nor of how WAL travels.
//!
//! As PostgreSQL 15 does it (`syncrep.c`). What waits is in the WAL, and every other copy of it may show it. A user's
//! cancel ends a wait with a warning: the client is told its commit. A backend that is ended tells nobody, nor does one
//! whose postmaster died: it notices while it waits. A reload that empties the setting lets everybody go.
//!
//! Where a standby was cut off, the others are counted at once; a real server does so with their next reply, at the
//! latest after `wal_receiver_status_interval`. Nothing but standbys streams here: what `*` would let count besides
//! (`pg_receivewal`) is not there. A standby flushes what it writes, so that `remote_write` waits as long as `on` does.

use crate::pg::instance::{Committer, DataDir, Postmaster, Sending, Server, Waiting};
use crate::pg::standby_names::{Malformed, Part, Sender, StandbyNames};
use crate::wire::Seat;
use crate::world::World;

/// What a server goes by: read when it starts, and by every reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// `synchronous_standby_names`, as it was written.
    pub text: String,
    names: Option<StandbyNames>,
    level: Level,
}

/// `synchronous_commit`: what a standby must have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Level {
    /// Nothing.
    Local,
    #[default]
    Flushed,
    Replayed,
}

impl Level {
    fn of(value: Option<&String>) -> Level {
        match value.map(String::as_str) {
            Some("off" | "local") => Level::Local,
            Some("remote_apply") => Level::Replayed,
            Some(_) | None => Level::Flushed,
        }
    }
}

impl Setting {
    pub fn of(dir: &DataDir) -> Result<Setting, Malformed> {
        let configured = dir.parameters.get("synchronous_standby_names");
        let text = dir.altered.as_ref().or(configured);
        let text = text.cloned().unwrap_or_default();
        Ok(Setting {
            names: StandbyNames::parse(&text)?,
            level: Level::of(dir.parameters.get("synchronous_commit")),
            text,
        })
    }

    /// Whom a commit waits for.
    pub fn demands(&self) -> Option<&StandbyNames> {
        self.names.as_ref().filter(|_| self.level != Level::Local)
    }

    /// Standbys are to say what they have replayed as soon as they have.
    fn asks_for_replay(&self) -> bool {
        self.demands().is_some() && self.level == Level::Replayed
    }
}

impl Server {
    /// A backend would take a commit of `from`: one that waits takes no other.
    pub fn takes_commit(&self, from: Committer) -> bool {
        let loops = |wait: &&Waiting| wait.from == Committer::ServerLoop;
        let loops = self.unconfirmed.iter().filter(loops).count() as u64;
        let clients = self.unconfirmed.len() as u64 - loops;
        match from {
            Committer::Roaming | Committer::Pinned => {
                let lets_in = self.accepts() && clients < self.limits.connections();
                lets_in || u64::from(self.backends.sessions) > clients
            }
            Committer::ServerLoop => u64::from(self.backends.loops) > loops,
        }
    }

    /// Every backend that can be ended is; nobody is told of what it waited for.
    pub fn end_backends(&mut self) {
        self.backends.sessions = 0;
        self.backends.loops = 0;
        self.unconfirmed.clear();
    }

    /// Those that wait notice that their postmaster is gone, and end.
    pub fn end_waits_of_orphans(&mut self) {
        for wait in std::mem::take(&mut self.unconfirmed) {
            let kind = match wait.from {
                Committer::Roaming | Committer::Pinned => &mut self.backends.sessions,
                Committer::ServerLoop => &mut self.backends.loops,
            };
            *kind = kind.saturating_sub(1);
        }
    }
}

impl World {
    /// Flushed here: who needs no standby for it is told, the others begin to wait.
    pub(crate) fn await_standbys(&mut self, seat: Seat, flushed: Vec<Waiting>) {
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        server.unconfirmed.extend(flushed);
        self.release_confirmed(seat);
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if server.unconfirmed.is_empty() {
            return;
        }
        if server.postmaster == Postmaster::Dead {
            server.end_waits_of_orphans();
            self.end_if_none_left(seat);
        } else if !server.accepts() && server.backends.all() == 0 {
            // Their backends were ended before the flush came.
            server.unconfirmed.clear();
        }
    }

    /// Tells those whose commit the wanted standbys have, and goes on with a smart stop that waited for them.
    pub(crate) fn release_confirmed(&mut self, seat: Seat) {
        let Some(server) = self.pgs[seat.index()].server.as_ref() else {
            return;
        };
        if server.unconfirmed.is_empty() {
            return;
        }
        let everything = Some(server.inserted.lsn);
        let upto = match server.synchronous.demands() {
            Some(names) if self.backends_run(seat) => names.confirmed(&self.senders(seat)),
            Some(_) => None,
            None => everything,
        };
        if let Some(upto) = upto {
            self.release(seat, |wait| wait.ends <= upto);
        }
    }

    /// A user cancels every wait: each is told that its commit is done, with a warning that it may not be anywhere else.
    pub(crate) fn cancel_waits(&mut self, seat: Seat) {
        if self.backends_run(seat) {
            self.release(seat, |_| true);
        }
    }

    /// Nobody is told anything by a host that stands still, nor by processes that were killed and cannot end.
    fn backends_run(&self, seat: Seat) -> bool {
        self.powered(seat) && !self.pgs[seat.index()].held
    }

    fn release(&mut self, seat: Seat, is_over: impl Fn(&Waiting) -> bool) {
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        let waits = std::mem::take(&mut server.unconfirmed);
        let (over, left) = waits.into_iter().partition(is_over);
        server.unconfirmed = left;
        self.tell_clients(seat, over);
        self.end_if_no_session_is_left(seat);
    }

    /// Over a session, which the server must let in. It takes no value that it could not read.
    pub(crate) fn alter_system(&mut self, seat: Seat, names: &str) {
        let answers = !self.is_silent(seat) && !self.is_crowded(seat);
        let pg = &mut self.pgs[seat.index()];
        let lets_in = answers && pg.server.as_ref().is_some_and(Server::accepts);
        if lets_in && StandbyNames::parse(names).is_ok() {
            pg.dir.altered = Some(names.to_string());
            self.reread_synchronous(seat);
        }
    }

    /// The server reads its configuration again. What it cannot read stays as it was.
    pub(crate) fn reread_synchronous(&mut self, seat: Seat) {
        let pg = &mut self.pgs[seat.index()];
        let read = Setting::of(&pg.dir);
        if let (Some(server), Ok(setting)) = (pg.server.as_mut(), read) {
            server.synchronous = setting;
        }
        self.release_confirmed(seat);
    }

    /// Its WAL senders that stream, with what their standbys have told last. One whose standby vanished without a word
    /// counts until it notices.
    fn senders(&self, seat: Seat) -> Vec<Sender> {
        let Some(server) = self.pgs[seat.index()].server.as_ref().filter(|s| s.sends()) else {
            return Vec::new();
        };
        let level = server.synchronous.level;
        let run = self.pgs[seat.index()].run;
        let now = self.now();
        let connection = |standby: Seat| {
            let ghost = server.ghosts.get(&standby).filter(|g| g.until > now);
            let left = ghost.and_then(|ghost| ghost.stream.as_ref());
            let connected = self.pgs[standby.index()].receiver().or(left);
            connected.filter(|r| r.from == seat && r.upstream_run == run)
        };
        let sender = |standby: Seat| {
            let streams = connection(standby).filter(|r| r.sending == Sending::Streaming)?;
            Some(Sender {
                name: self.name(standby).0,
                confirmed: match level {
                    Level::Local | Level::Flushed => streams.confirmed,
                    Level::Replayed => streams.replayed,
                },
            })
        };
        (0..self.pgs.len() as u8)
            .map(Seat)
            .filter_map(sender)
            .collect()
    }

    /// Does the upstream wait for what is replayed?
    pub(crate) fn asks_for_replay(&self, upstream: Seat) -> bool {
        let server = self.pgs[upstream.index()].server.as_ref();
        server.is_some_and(|s| s.synchronous.asks_for_replay())
    }

    /// `sync_state` and `sync_priority` of a standby of `seat`'s server.
    pub(crate) fn part_of(&self, seat: Seat, standby: &str) -> (Part, u32) {
        let server = self.pgs[seat.index()].server.as_ref();
        let Some(names) = server.and_then(|s| s.synchronous.names.as_ref()) else {
            return (Part::Async, 0);
        };
        let senders = self.senders(seat);
        let at = senders.iter().position(|sender| sender.name == standby);
        at.map_or((Part::Async, 0), |at| names.part(&senders, at))
    }
}
