//! The watch of each agent on the store: it lists, follows, lags, breaks, and lists again.
//! Knows nothing of what the keys mean.

use crate::due::{AgentDue, Due, StoreDue};
use crate::host::WatchState;
use crate::marks::Mark;
use crate::store::servers::ServerState;
use crate::store::watch::Since;
use crate::store::{Change, Verdict};
use crate::wire::{Fate, Hop, Node, Seat};
use crate::world::World;
use std::sync::Arc;
use tanist_core::dcs::{Consistency, DcsInput, Snapshot};
use tanist_core::input::Input;
use tanist_core::primitive::{Primitive, PrimitiveOutcome, PrimitiveReply};
use tanist_core::time::Span;

const LIST_TIMEOUT: Span = Span::secs(5);

impl World {
    /// A new watch: first a whole reading, possibly an old one, from one server.
    pub(crate) fn begin_watch(&mut self, seat: Seat) {
        let now = self.now();
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        agent.watch.id += 1;
        agent.watch.state = WatchState::Listing;
        agent.watch.server = agent.server;
        let (life, watch, server) = (agent.life, agent.watch.id, agent.server);
        let hop = World::store_hop(seat, server);
        let lists = StoreDue::ListArrives {
            seat,
            life,
            watch,
            hop,
            sent_at: now,
        };
        match self.wire.fate(now, hop, &mut self.chance.wire) {
            Fate::Arrives(at) => self.agenda.enter(at, Due::Store(lists)),
            Fate::Refused => self.list_failed(seat, watch, Span::millis(500)),
            Fate::Stuck | Fate::Lost => self.list_failed(seat, watch, LIST_TIMEOUT),
        }
    }

    fn list_failed(&mut self, seat: Seat, watch: u32, after: Span) {
        self.agent_due(seat, after, AgentDue::ListTimedOut { watch });
    }

    pub(crate) fn list_arrives(
        &mut self,
        seat: Seat,
        life: u32,
        watch: u32,
        hop: Hop,
        sent_at: crate::moment::Moment,
    ) {
        let now = self.now();
        let Node::StoreServer(server) = hop.to else {
            return;
        };
        if self.hosts[seat.index()].life(life).is_none() {
            return;
        }
        if !self.wire.arrives(sent_at, hop, &mut self.chance.wire) {
            return self.list_failed(seat, watch, LIST_TIMEOUT);
        }
        let call = Primitive::ReadAll {
            consistency: Consistency::Cached,
        };
        match self
            .store
            .call(now, server, &call, &mut self.chance.dcs, &mut None)
        {
            Verdict::Answer {
                after,
                outcome: PrimitiveOutcome::Ok(PrimitiveReply::All(all)),
            } => {
                if self.store.is_behind(server) {
                    self.mark(Mark::StaleRead);
                }
                self.list_leaves(seat, life, watch, hop.back(), after, all);
            }
            Verdict::Answer { .. } | Verdict::Silence => {
                self.list_failed(seat, watch, LIST_TIMEOUT);
            }
            Verdict::Refused => self.list_failed(seat, watch, Span::millis(500)),
        }
    }

    fn list_leaves(
        &mut self,
        seat: Seat,
        life: u32,
        watch: u32,
        hop: Hop,
        after: Span,
        snapshot: Snapshot,
    ) {
        let leaves_at = self.now() + after;
        match self.wire.fate(leaves_at, hop, &mut self.chance.wire) {
            Fate::Arrives(at) => {
                let due = AgentDue::Listed {
                    watch,
                    snapshot: Box::new(snapshot),
                };
                self.agenda.enter(at, Due::Agent { seat, life, due });
            }
            Fate::Stuck | Fate::Lost | Fate::Refused => {
                self.list_failed(seat, watch, LIST_TIMEOUT);
            }
        }
    }

    pub(crate) fn listed(&mut self, seat: Seat, watch: u32, snapshot: Snapshot) {
        let now = self.now();
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        if agent.watch.id != watch || agent.watch.state != WatchState::Listing {
            return;
        }
        agent.watch.state = WatchState::Following;
        agent.watch.seen = snapshot.revision;
        agent.watch.last_at = now;
        self.tell(seat, Input::Dcs(DcsInput::Listed { snapshot }));
        self.catch_up(seat);
    }

    pub(crate) fn list_timed_out(&mut self, seat: Seat, watch: u32) {
        let servers = self.shape.store_servers.max(1);
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        if agent.watch.id != watch || agent.watch.state != WatchState::Listing {
            return;
        }
        agent.server = (agent.server + 1) % servers;
        let again = self.chance.dcs.span(Span::millis(200), Span::secs(2));
        self.agent_due(seat, again, AgentDue::BeginWatch);
    }

    /// Changes since what the watch saw last, as its server knows them.
    pub(crate) fn catch_up(&mut self, seat: Seat) {
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        if agent.watch.state != WatchState::Following || self.store.is_behind(agent.watch.server) {
            return;
        }
        match self.store.log.since(agent.watch.seen) {
            Since::Changes(changes) => {
                for change in changes {
                    let revision = change.revision;
                    self.send_change(seat, &Arc::new(change));
                    // What is stuck on the wire holds up all that follows.
                    let agent = self.hosts[seat.index()].agent.as_ref();
                    if agent.is_none_or(|agent| agent.watch.seen != revision) {
                        return;
                    }
                }
            }
            Since::Compacted => self.watch_breaks_in(seat, Span::millis(5)),
        }
    }

    pub(crate) fn feed_watches(&mut self, change: &Arc<Change>) {
        for at in 0..self.hosts.len() as u8 {
            self.feed(Seat(at), change);
        }
    }

    /// A watch tells everything in order: where an earlier change did not get through, that one goes first.
    fn feed(&mut self, seat: Seat, change: &Arc<Change>) {
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        // Every revision has its change.
        if agent.watch.seen.0 + 1 < change.revision.0 {
            self.catch_up(seat);
        } else {
            self.send_change(seat, change);
        }
    }

    fn send_change(&mut self, seat: Seat, change: &Arc<Change>) {
        let now = self.now();
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        if agent.watch.state != WatchState::Following {
            return;
        }
        let (life, watch, server) = (agent.life, agent.watch.id, agent.watch.server);
        match self.store.server_state(server) {
            ServerState::Up if self.store.is_behind(server) => return,
            ServerState::Up => {}
            ServerState::Down => return self.watch_breaks_in(seat, Span::millis(5)),
            ServerState::Frozen => return self.watch_notices_later(seat),
        }
        let hop = World::store_hop(seat, server).back();
        let arrives = self
            .wire
            .fate(now + self.store.slow, hop, &mut self.chance.wire);
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        match arrives {
            Fate::Arrives(at) => {
                // One connection: no event overtakes an earlier one.
                let at = Ord::max(at, agent.watch.last_at);
                agent.watch.last_at = at;
                agent.watch.seen = change.revision;
                let due = AgentDue::WatchEvent {
                    watch,
                    change: Arc::clone(change),
                };
                self.agenda.enter(at, Due::Agent { seat, life, due });
            }
            Fate::Lost => {
                // TCP sends it again; whatever follows waits behind it.
                let at = Ord::max(now + Span::millis(250), agent.watch.last_at);
                agent.watch.last_at = at;
                agent.watch.seen = change.revision;
                let due = AgentDue::WatchEvent {
                    watch,
                    change: Arc::clone(change),
                };
                self.agenda.enter(at, Due::Agent { seat, life, due });
            }
            Fate::Stuck => self.watch_notices_later(seat),
            Fate::Refused => self.watch_breaks_in(seat, Span::millis(5)),
        }
    }

    /// Nothing comes any more, and no error either: the watch finds out by its own keep-alives.
    pub(crate) fn watch_notices_later(&mut self, seat: Seat) {
        let after = self.chance.dcs.span(Span::secs(3), Span::secs(10));
        self.watch_breaks_in(seat, after);
    }

    pub(crate) fn watch_breaks_in(&mut self, seat: Seat, after: Span) {
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        if agent.watch.state == WatchState::Following {
            agent.watch.state = WatchState::Broken;
            let watch = agent.watch.id;
            self.agent_due(seat, after, AgentDue::WatchBreaks { watch });
        }
    }

    pub(crate) fn watch_broke(&mut self, seat: Seat, watch: u32) {
        let servers = self.shape.store_servers.max(1);
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        if agent.watch.id != watch {
            return;
        }
        agent.server = (agent.server + 1) % servers;
        agent.watch.state = WatchState::Listing;
        let why = "the watch is broken".to_string();
        self.tell(seat, Input::Dcs(DcsInput::WatchLost { why }));
        let again = self.chance.dcs.span(Span::millis(50), Span::secs(1));
        self.agent_due(seat, again, AgentDue::BeginWatch);
    }

    pub(crate) fn watch_event(&mut self, seat: Seat, watch: u32, change: &Change) {
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        let alive = matches!(
            agent.watch.state,
            WatchState::Following | WatchState::Broken
        );
        if agent.watch.id != watch || !alive {
            return;
        }
        let revision = change.revision;
        let changes = change.keys.clone();
        self.tell(seat, Input::Dcs(DcsInput::Changed { revision, changes }));
    }

    /// Every watch ends, as when the store was restarted or compacted.
    pub(crate) fn break_all_watches(&mut self) {
        for at in 0..self.hosts.len() as u8 {
            self.watch_breaks_in(Seat(at), Span::millis(20));
        }
    }
}
