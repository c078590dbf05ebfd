//! The servers of the store: which can answer, which is stale, who leads them, and elections.
//! Knows nothing of the network between members and servers.

use super::{Change, DEPOSED_ACKS_FOR, ELECTION_TIMEOUT, Store};
use crate::act::Switch;
use crate::moment::Moment;
use crate::store::keys::Keys;
use crate::streams::Stream;
use tanist_core::dcs::LeaseId;
use tanist_core::time::Span;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerState {
    #[default]
    Up,
    /// Its process is gone: connections are refused.
    Down,
    /// Its process is stopped: connections are taken, nothing is answered.
    Frozen,
}

#[derive(Clone, Debug, Default)]
pub struct Server {
    pub state: ServerState,
    /// Cut off from the others since then: the keys as it knew them.
    pub held: Option<Keys>,
    /// Leases that it counted when it was frozen as leader, with their expiry by its reckoning.
    remembers: Vec<(LeaseId, Moment)>,
}

impl Server {
    fn counts(&self) -> bool {
        self.state == ServerState::Up && self.held.is_none()
    }
}

impl Store {
    pub fn has_quorum(&self) -> bool {
        let counting = self.servers.iter().filter(|server| server.counts()).count();
        !self.quorum_lost && counting * 2 > self.servers.len()
    }

    /// Sets a server's state. True: its leader is lost and an election is due.
    pub fn set_server(&mut self, now: Moment, server: u8, state: ServerState) -> ServerChanged {
        let leads = self.leader == Some(server);
        let counted = self.lease_reckoning();
        let Some(it) = self.servers.get_mut(usize::from(server)) else {
            return ServerChanged::Nothing;
        };
        let was = std::mem::replace(&mut it.state, state);
        if leads && state == ServerState::Frozen {
            it.remembers = counted;
        }
        if was == state {
            return ServerChanged::Nothing;
        }
        match (leads, state) {
            (true, ServerState::Down | ServerState::Frozen) => self.depose(now, server),
            (_, ServerState::Up) if was == ServerState::Frozen => ServerChanged::Thawed,
            (false, ServerState::Down | ServerState::Frozen) | (_, ServerState::Up) => {
                ServerChanged::Nothing
            }
        }
    }

    /// Cuts a server off from the other servers: from now on it serves what it has.
    pub fn isolate(&mut self, now: Moment, server: u8) -> ServerChanged {
        let keys = self.keys.clone();
        let Some(it) = self.servers.get_mut(usize::from(server)) else {
            return ServerChanged::Nothing;
        };
        if it.held.is_none() {
            it.held = Some(keys);
        }
        if self.leader == Some(server) {
            self.depose(now, server)
        } else {
            ServerChanged::Nothing
        }
    }

    pub fn rejoin(&mut self, server: u8) {
        if let Some(it) = self.servers.get_mut(usize::from(server)) {
            it.held = None;
        }
    }

    /// Another store has come in place of this one: on every server, since none joins a store that it is not of.
    pub fn forget_isolated(&mut self) {
        for server in &mut self.servers {
            server.held = None;
        }
    }

    pub fn lose_quorum(&mut self) {
        self.quorum_lost = true;
    }

    /// What was proposed meanwhile may be committed now; the changes are returned.
    pub fn regain_quorum(&mut self, now: Moment) -> Vec<Change> {
        self.quorum_lost = false;
        self.leases.prolong_all(now, ELECTION_TIMEOUT);
        let mut changes = Vec::new();
        for call in std::mem::take(&mut self.limbo) {
            let mut change = None;
            self.execute(now, &call, &mut change);
            changes.extend(change);
        }
        changes
    }

    fn depose(&mut self, now: Moment, server: u8) -> ServerChanged {
        self.leader = None;
        self.deposed = Some((server, now + DEPOSED_ACKS_FOR));
        ServerChanged::LeaderLost
    }

    /// The leader steps down although it is well, as after a lost heartbeat.
    pub fn step_down(&mut self, now: Moment) -> ServerChanged {
        match self.leader {
            Some(server) => self.depose(now, server),
            None => ServerChanged::LeaderLost,
        }
    }

    /// Elects a leader among the servers that count. Every lease starts anew in full. False: no quorum,
    /// try again later.
    pub fn elect(&mut self, now: Moment, chance: &mut Stream) -> bool {
        if self.leader.is_some() {
            return true;
        }
        let able: Vec<u8> = (0u8..)
            .zip(&self.servers)
            .filter(|(_, server)| server.counts())
            .map(|(at, _)| at)
            .collect();
        if !self.has_quorum() {
            return false;
        }
        self.leader = chance.pick(&able).copied();
        // Another leader's log overwrites what the old one had not committed.
        if self.leader != self.deposed.map(|(old, _)| old) {
            self.limbo.clear();
        }
        self.leases.prolong_all(now, ELECTION_TIMEOUT);
        self.elections += 1;
        self.leader.is_some()
    }

    fn lease_reckoning(&self) -> Vec<(LeaseId, Moment)> {
        let due = |lease| Some((lease, self.leases.expires_at(lease)?));
        self.leases.ids().into_iter().filter_map(due).collect()
    }

    /// etcd before 3.4.31 and 3.5.13: a leader that was frozen revokes, on thawing, the leases that ran out by its own
    /// reckoning, though they were renewed with its successor.
    pub fn thawed(&mut self, now: Moment, server: u8) -> Vec<Change> {
        let remembered = match self.servers.get_mut(usize::from(server)) {
            Some(it) => std::mem::take(&mut it.remembers),
            None => Vec::new(),
        };
        if self.old_leader_revokes == Switch::Off || self.leader == Some(server) {
            return Vec::new();
        }
        let ran_out = |(lease, at): (LeaseId, Moment)| (at <= now).then_some(lease);
        let dead: Vec<LeaseId> = remembered.into_iter().filter_map(ran_out).collect();
        let living = dead.into_iter().filter(|lease| self.leases.exists(*lease));
        let living: Vec<LeaseId> = living.collect();
        living.into_iter().map(|lease| self.revoke(lease)).collect()
    }
}

/// What a change of a server means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerChanged {
    Nothing,
    LeaderLost,
    Thawed,
}

/// How long the others take to notice and to elect.
pub fn election_delay(chance: &mut Stream) -> Span {
    chance.span(
        ELECTION_TIMEOUT,
        ELECTION_TIMEOUT.times(2) + Span::millis(500),
    )
}

impl Store {
    /// It answers cached reads with something older than the store's state.
    pub fn is_behind(&self, server: u8) -> bool {
        self.servers
            .get(usize::from(server))
            .is_some_and(|it| it.held.is_some())
    }
    pub fn server_state(&self, server: u8) -> ServerState {
        self.servers
            .get(usize::from(server))
            .map_or(ServerState::Down, |it| it.state)
    }
}
