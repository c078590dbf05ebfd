//! Streaming: which standby may receive from whom, how WAL and confirmations travel, what a cut does.
//! Knows nothing of who ought to lead. The checks are PostgreSQL's own: timeline numbers and positions,
//! never content, so a standby can be fed onto an end that its upstream never had.

use crate::due::{Due, PgDue};
use crate::event::What;
use crate::invariants::Invariant;
use crate::marks::Mark;
use crate::moment::Moment;
use crate::pg::instance::{Ghost, Phase, Postmaster, Receiver, Sending};
use crate::pg::wal::Position;
use crate::wire::{CutKind, Fate, Hop, Node, Seat, Traffic};
use crate::world::World;
use tanist_core::lsn::Lsn;
use tanist_core::name::MemberName;
use tanist_core::time::Span;

/// `wal_retrieve_retry_interval`, as Tanist sets it.
const RETRY: Span = Span::millis(500);
/// `wal_receiver_timeout` and `wal_sender_timeout`.
const TIMEOUT: Span = Span::secs(60);

pub(crate) fn data_hop(from: Seat, to: Seat) -> Hop {
    Hop {
        from: Node::Member(from),
        to: Node::Member(to),
        traffic: Traffic::Data,
    }
}

impl World {
    pub(crate) fn seat_of_host(&self, host: &str) -> Option<Seat> {
        let at = self
            .shape
            .members
            .iter()
            .position(|m| m.name.as_str() == host)?;
        Some(Seat(at as u8))
    }
    pub(crate) fn seat(&self, name: &MemberName) -> Option<Seat> {
        self.seat_of_host(name.as_str())
    }

    /// Standbys with a living connection to this start of `seat`'s server.
    pub(crate) fn standbys_of(&self, seat: Seat) -> Vec<Seat> {
        let run = self.pgs[seat.index()].run;
        let connected = |at: &u8| {
            let receiver = self.pgs[usize::from(*at)].receiver();
            receiver.is_some_and(|r| r.from == seat && r.upstream_run == run)
        };
        (0..self.pgs.len() as u8)
            .filter(connected)
            .map(Seat)
            .collect()
    }

    /// A standby tries to connect to the upstream of its configuration.
    pub(crate) fn connect(&mut self, seat: Seat) {
        let Some(server) = self.pgs[seat.index()].server.as_ref() else {
            return;
        };
        let in_recovery = matches!(server.phase, Phase::Recovery { .. });
        if !in_recovery || server.receiver.is_some() || server.postmaster == Postmaster::Dead {
            return;
        }
        if server.stopping.is_some() {
            return;
        }
        self.restore(seat);
        let Some(upstream) = self.pgs[seat.index()].dir.upstream.clone() else {
            return;
        };
        let from = self
            .seat_of_host(&upstream.address.host)
            .filter(|from| *from != seat);
        let slot = upstream.slot;
        match from.filter(|from| self.may_stream(seat, *from, slot.as_deref())) {
            Some(from) => self.connected(seat, from, slot),
            None => self.pg_due(seat, RETRY, PgDue::Connect),
        }
    }

    /// What a WAL sender checks before it streams.
    fn may_stream(&mut self, seat: Seat, from: Seat, slot: Option<&str>) -> bool {
        let open = self.wire.connects(data_hop(seat, from)) && self.powered(from);
        let upstream = &self.pgs[from.index()];
        let ready = upstream.server.as_ref().is_some_and(|s| {
            s.sends() && s.postmaster == Postmaster::Running && s.stopping.is_none()
        });
        if !open || !ready {
            return false;
        }
        let (mine, theirs) = (self.pgs[seat.index()].dir.wal, upstream.dir.wal);
        let removed = self.has_removed(from, mine.lsn);
        if self.wal.system(mine.branch) != self.wal.system(theirs.branch) {
            return false;
        }
        let slot_is_there = slot.is_none_or(|name| upstream.dir.slots.contains_key(name));
        // The receiver fetches the history files up to the timeline that its upstream is on, no further.
        let newest = self.wal.history(theirs.branch);
        self.pgs[seat.index()].dir.learn(newest);
        let history = self.wal.history(theirs.branch);
        let timeline = self.wal.timeline(mine.branch);
        // Along one timeline it follows to no other.
        let one = self.pgs[seat.index()].dir.one_timeline;
        let follows = one.is_none_or(|one| history.timeline == one);
        let fits = slot_is_there
            && follows
            && match history.end_of(timeline) {
                Some(end) => mine.lsn <= end,
                None => history.timeline == timeline && mine.lsn <= theirs.lsn,
            };
        if fits && removed {
            // "requested WAL segment has already been removed", each time anew.
            self.mark(Mark::WantsRemovedWal);
            if self.pgs[seat.index()].dir.reaches() != mine {
                self.mark(Mark::RewoundIsNotFed);
            }
        }
        fits && !removed
    }

    fn connected(&mut self, seat: Seat, from: Seat, slot: Option<String>) {
        self.stream_ids += 1;
        let (id, upstream_run) = (self.stream_ids, self.pgs[from.index()].run);
        let start = self.pgs[seat.index()].dir.wal;
        let theirs = self.pgs[from.index()].dir.wal;
        if let Some(server) = self.pgs[from.index()].server.as_mut() {
            server.ghosts.remove(&seat);
        }
        self.requests.touched.remove(&seat);
        // A rewind that began too late has left pages of what it discarded: no WAL makes those good.
        let dir = &self.pgs[seat.index()].dir;
        let is_prefix = !dir.corrupt && self.wal.is_prefix(start, theirs);
        let of_patroni = self.is_patroni(seat) || self.is_patroni(from) || dir.corrupted_by_patroni;
        if of_patroni {
            self.oracle.set_aside(Invariant::StreamingIsPrefix);
        } else {
            self.oracle
                .begins_to_stream(seat, self.agenda.now(), is_prefix);
        }
        if !is_prefix {
            // Numbers and positions fit, the content does not: from here on its pages are worthless.
            let dir = &mut self.pgs[seat.index()].dir;
            dir.corrupt = true;
            dir.corrupted_by_patroni = of_patroni;
        }
        if let Some(server) = self.pgs[seat.index()].server.as_mut() {
            server.receiver = Some(Receiver {
                from,
                upstream_run,
                slot,
                id,
                sending: Sending::CatchingUp,
                sent: start.lsn,
                // A standby tells both with the first message of the connection.
                confirmed: start.lsn,
                replayed: server.replayed,
                wal_on_wire: false,
                reply_on_wire: false,
                stalled: None,
            });
        }
        let (member, upstream) = (self.name(seat), self.name(from));
        self.tell_story(What::Streaming {
            member,
            from: Some(upstream),
        });
        self.send_to(from, seat);
    }

    /// New WAL is on `seat`'s disk: its standbys are sent what they lack.
    pub(crate) fn send_wal(&mut self, seat: Seat) {
        for standby in self.standbys_of(seat) {
            self.send_to(seat, standby);
        }
    }

    fn send_to(&mut self, from: Seat, to: Seat) {
        let now = self.now();
        let upto = self.pgs[from.index()].dir.wal;
        if !self.pgs[from.index()]
            .server
            .as_ref()
            .is_some_and(|s| s.sends())
        {
            return;
        }
        let run = self.pgs[to.index()].run;
        let Some(receiver) = self.pgs[to.index()]
            .server
            .as_mut()
            .and_then(|s| s.receiver.as_mut())
        else {
            return;
        };
        if receiver.wal_on_wire || receiver.stalled.is_some() {
            return;
        }
        if receiver.sent >= upto.lsn {
            receiver.sending = Sending::Streaming;
            return self.release_confirmed(from);
        }
        let id = receiver.id;
        match self
            .wire
            .fate(now, data_hop(from, to), &mut self.chance.wire)
        {
            Fate::Arrives(at) => {
                receiver.wal_on_wire = true;
                receiver.sent = upto.lsn;
                let due = PgDue::WalArrives {
                    id,
                    upto,
                    sent_at: now,
                };
                self.agenda.enter(at, Due::Pg { seat: to, run, due });
            }
            // TCP sends a lost packet again.
            Fate::Lost => {
                receiver.wal_on_wire = true;
                receiver.sent = upto.lsn;
                let due = PgDue::WalArrives {
                    id,
                    upto,
                    sent_at: now,
                };
                self.agenda
                    .enter(now + Span::millis(250), Due::Pg { seat: to, run, due });
            }
            Fate::Stuck => self.stalls(to, now),
            Fate::Refused => self.disconnected(to, id),
        }
    }

    pub(crate) fn wal_arrives(&mut self, seat: Seat, id: u64, upto: Position, sent_at: Moment) {
        let Some(receiver) = self.receiver_mut(seat, id) else {
            return;
        };
        receiver.wal_on_wire = false;
        let from = receiver.from;
        if !self
            .wire
            .arrives(sent_at, data_hop(from, seat), &mut self.chance.wire)
        {
            if let Some(receiver) = self.receiver_mut(seat, id) {
                receiver.sent = receiver.confirmed;
            }
            self.stalls(seat, sent_at);
            return;
        }
        let pg = &mut self.pgs[seat.index()];
        let of_another = |one| self.wal.timeline(upto.branch) != one;
        if pg.dir.one_timeline.is_some_and(of_another) {
            // "replication terminated by primary server": it asks for no other timeline.
            return self.disconnected(seat, id);
        }
        if upto.lsn > pg.dir.wal.lsn {
            pg.dir.wal = upto;
            // The history file comes before the first WAL of a new timeline.
            pg.dir.learn(self.wal.history(upto.branch));
            pg.settle();
        }
        self.replay(seat);
        self.check_consistency(seat);
        self.reply(seat);
        self.send_to(from, seat);
        // A standby that others stream from passes it on.
        self.send_wal(seat);
    }

    /// Replay has come further, for which no WAL had to arrive.
    pub(crate) fn tell_what_is_replayed(&mut self, seat: Seat) {
        let from = self.pgs[seat.index()].receiver().map(|r| r.from);
        if from.is_some_and(|from| self.asks_for_replay(from)) {
            self.reply(seat);
        }
    }

    fn reply(&mut self, seat: Seat) {
        let now = self.now();
        let (lsn, run) = (
            self.pgs[seat.index()].dir.wal.lsn,
            self.pgs[seat.index()].run,
        );
        let from = self.pgs[seat.index()].receiver().map(|r| r.from);
        let of_replay = from.is_some_and(|from| self.asks_for_replay(from));
        let replayed = self.pgs[seat.index()].server.as_ref().map(|s| s.replayed);
        let replayed = replayed.unwrap_or(Lsn::INVALID);
        let Some(receiver) = self.pgs[seat.index()]
            .server
            .as_mut()
            .and_then(|s| s.receiver.as_mut())
        else {
            return;
        };
        let is_news = receiver.confirmed < lsn || of_replay && receiver.replayed < replayed;
        if receiver.reply_on_wire || !is_news {
            return;
        }
        let (id, from) = (receiver.id, receiver.from);
        let at = match self
            .wire
            .fate(now, data_hop(seat, from), &mut self.chance.wire)
        {
            Fate::Arrives(at) => at,
            Fate::Lost => now + Span::millis(250),
            Fate::Stuck => return self.stalls(seat, now),
            Fate::Refused => return self.disconnected(seat, id),
        };
        receiver.reply_on_wire = true;
        let due = PgDue::ReplyArrives {
            id,
            lsn,
            replayed,
            sent_at: now,
        };
        self.agenda.enter(at, Due::Pg { seat, run, due });
    }

    /// The standby has flushed up to the one and replayed up to the other.
    pub(crate) fn reply_arrives(
        &mut self,
        seat: Seat,
        id: u64,
        (lsn, replayed): (Lsn, Lsn),
        sent_at: Moment,
    ) {
        let Some(receiver) = self.receiver_mut(seat, id) else {
            return;
        };
        receiver.reply_on_wire = false;
        let (from, run, slot) = (receiver.from, receiver.upstream_run, receiver.slot.clone());
        if !self
            .wire
            .arrives(sent_at, data_hop(seat, from), &mut self.chance.wire)
        {
            return self.stalls(seat, sent_at);
        }
        if let Some(receiver) = self.receiver_mut(seat, id) {
            receiver.confirmed = Ord::max(receiver.confirmed, lsn);
            receiver.replayed = Ord::max(receiver.replayed, replayed);
        }
        if self.pgs[from.index()].run == run {
            let held = slot.and_then(|name| self.pgs[from.index()].dir.slots.get_mut(&name));
            if let Some(held) = held {
                held.from = Some(lsn);
            }
            self.release_confirmed(from);
            self.end_when_standbys_have_it(from);
        }
        self.reply(seat);
    }

    fn receiver_mut(&mut self, seat: Seat, id: u64) -> Option<&mut Receiver> {
        let receiver = self.pgs[seat.index()].server.as_mut()?.receiver.as_mut()?;
        (receiver.id == id).then_some(receiver)
    }

    /// Nothing gets through any more; both ends notice by their timeouts.
    pub(crate) fn stalls(&mut self, seat: Seat, since: Moment) {
        let Some(receiver) = self.pgs[seat.index()]
            .server
            .as_mut()
            .and_then(|s| s.receiver.as_mut())
        else {
            return;
        };
        if receiver.stalled.is_none() {
            receiver.stalled = Some(since);
            let id = receiver.id;
            self.pg_due(seat, TIMEOUT, PgDue::StallCheck { id });
        }
    }

    pub(crate) fn stall_check(&mut self, seat: Seat, id: u64) {
        if self
            .receiver_mut(seat, id)
            .is_some_and(|r| r.stalled.is_some())
        {
            self.disconnected(seat, id);
        }
    }

    /// A receiver whose connection broke tries again by and by.
    pub(crate) fn disconnected(&mut self, seat: Seat, id: u64) {
        let Some(receiver) = self.receiver_mut(seat, id) else {
            return;
        };
        let from = receiver.from;
        if let Some(server) = self.pgs[seat.index()].server.as_mut() {
            server.receiver = None;
        }
        let member = self.name(seat);
        self.tell_story(What::Streaming { member, from: None });
        self.release_confirmed(from);
        self.end_when_standbys_have_it(from);
        let soon = self.chance.pg.span(Span::millis(50), RETRY);
        self.pg_due(seat, soon, PgDue::Connect);
    }

    /// Every connection to `seat`'s server ends: its kernel says so, if it can be heard.
    pub(crate) fn drop_standbys_of(&mut self, seat: Seat) {
        for at in 0..self.pgs.len() as u8 {
            let standby = Seat(at);
            let Some(receiver) = self.pgs[standby.index()].receiver().cloned() else {
                continue;
            };
            if receiver.from != seat {
                continue;
            }
            if self.wire.is_open(data_hop(seat, standby)) {
                let id = receiver.id;
                self.pg_due(standby, Span::millis(1), PgDue::Disconnected { id });
            } else {
                self.stalls(standby, self.agenda.now());
            }
        }
    }

    /// A host that lost power says nothing: its standbys and its upstream find out by their timeouts.
    /// `stream`: the connection that it had to its own upstream.
    pub(crate) fn leave_ghosts(&mut self, seat: Seat, stream: Option<Receiver>) {
        let now = self.now();
        for at in 0..self.pgs.len() as u8 {
            if self.pgs[usize::from(at)]
                .receiver()
                .is_some_and(|r| r.from == seat)
            {
                self.stalls(Seat(at), now);
            }
        }
        let dir = &self.pgs[seat.index()].dir;
        let upstream = dir.upstream.as_ref().filter(|_| dir.standby_signal);
        let upstream = upstream.map(|u| u.address.host.clone());
        if let Some(from) = upstream.and_then(|host| self.seat_of_host(&host))
            && let Some(server) = self.pgs[from.index()].server.as_mut()
        {
            let until = now + TIMEOUT;
            let is_counted = server.synchronous.demands().is_some();
            server.ghosts.insert(seat, Ghost { until, stream });
            if is_counted {
                self.pg_due(from, TIMEOUT, PgDue::GhostsGone);
            }
        }
    }

    /// Links have changed: what cannot get through stalls or breaks, what was stalled goes on.
    pub(crate) fn rewire_streams(&mut self) {
        let now = self.now();
        for at in 0..self.pgs.len() as u8 {
            let seat = Seat(at);
            let Some(receiver) = self.pgs[seat.index()].receiver().cloned() else {
                continue;
            };
            let (down, up) = (data_hop(receiver.from, seat), data_hop(seat, receiver.from));
            match (self.wire.cut(down), self.wire.cut(up)) {
                (None, None) => self.stream_goes_on(seat, &receiver),
                (Some(CutKind::Refuse), _) | (_, Some(CutKind::Refuse)) => {
                    self.disconnected(seat, receiver.id);
                }
                (Some(CutKind::Hang), _) | (_, Some(CutKind::Hang)) => self.stalls(seat, now),
            }
        }
    }

    fn stream_goes_on(&mut self, seat: Seat, was: &Receiver) {
        if was.stalled.is_none() {
            return;
        }
        let upstream = &self.pgs[was.from.index()];
        let mine = self.pgs[seat.index()].dir.wal.lsn;
        let removed = self.has_removed(was.from, mine);
        if upstream.run != was.upstream_run || upstream.server.is_none() || removed {
            return self.disconnected(seat, was.id);
        }
        if let Some(receiver) = self.receiver_mut(seat, was.id) {
            receiver.stalled = None;
            receiver.sent = mine;
            receiver.wal_on_wire = false;
            receiver.reply_on_wire = false;
        }
        self.reply(seat);
        self.send_to(was.from, seat);
    }
}
