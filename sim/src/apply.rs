//! Carries out acts: turns one deed into changes of the rooms that it concerns.
//! Knows nothing of when acts are due.

use crate::act::{
    Act, AgentAct, ClientAct, End, FencerAct, HostAct, Lane, Link, OperatorAct, PostgresAct,
    StoreAct, Way, Who, WireAct,
};
use crate::app::Load;
use crate::due::{Due, HostDue, PgDue, StoreDue, backwards};
use crate::event::{HowEnded, What};
use crate::host::{Power, Wanted, WatchState};
use crate::invariants::assumptions::Assumption;
use crate::marks::Mark;
use crate::pg::archive::Archiving;
use crate::pg::instance::{DataDir, Flushing, Storage};
use crate::shape::ClusterShape;
use crate::store::servers::{ServerChanged, ServerState, election_delay};
use crate::watchdog::Works;
use crate::wire::{CutKind, Hop, Node, Seat, Traffic};
use crate::world::World;
use tanist_core::input::Input;
use tanist_core::keys::INITIALIZE;
use tanist_core::name::MemberName;
use tanist_core::postgres::StartAs;
use tanist_core::time::Span;

impl World {
    /// Does `act` now. Returns the members it was resolved to.
    pub fn apply(&mut self, act: &Act) -> Vec<MemberName> {
        self.note_assumptions(act);
        let seats = match act {
            Act::Agent { who, .. }
            | Act::Fencer { who, .. }
            | Act::Postgres { who, .. }
            | Act::Host { who, .. }
            | Act::Trouble { who, .. } => self.seats(who),
            Act::Operator(operator) => self.operate(operator),
            Act::Wire { link, act } => self.apply_wire(link, *act),
            Act::HealWire | Act::Store(_) | Act::Clients(_) | Act::HealAll => Vec::new(),
        };
        let on: Vec<MemberName> = seats.iter().map(|seat| self.name(*seat)).collect();
        self.tell_story(What::Acted {
            act: act.clone(),
            on: on.clone(),
        });
        for seat in seats {
            match act {
                Act::Agent { act, .. } => self.apply_agent(seat, *act),
                Act::Fencer { act, .. } => self.apply_fencer(seat, *act),
                Act::Postgres { act, .. } => self.apply_postgres(seat, act),
                Act::Host { act, .. } => self.apply_host(seat, *act),
                Act::Trouble { trouble, .. } => self.pgs[seat.index()].troubles.push(*trouble),
                Act::Operator(_)
                | Act::Wire { .. }
                | Act::HealWire
                | Act::Store(_)
                | Act::Clients(_)
                | Act::HealAll => {}
            }
        }
        match act {
            Act::Store(store) => self.apply_store(store),
            Act::Clients(clients) => self.apply_clients(*clients),
            Act::HealWire => self.heal_wire(),
            Act::HealAll => self.heal_all(),
            Act::Operator(OperatorAct::Resume) => self.expect_recovery(),
            Act::Agent { .. }
            | Act::Fencer { .. }
            | Act::Postgres { .. }
            | Act::Host { .. }
            | Act::Trouble { .. }
            | Act::Operator(_)
            | Act::Wire { .. } => {}
        }
        self.settle_step();
        on
    }

    fn apply_agent(&mut self, seat: Seat, act: AgentAct) {
        match act {
            AgentAct::Start => {
                self.hosts[seat.index()].wanted = Wanted::Up;
                self.start_agent(seat);
            }
            AgentAct::Kill => self.agent_ended(seat, HowEnded::Killed),
            AgentAct::Stop => {
                self.hosts[seat.index()].wanted = Wanted::Down;
                self.tell(seat, Input::Stopping);
            }
            AgentAct::Freeze => self.freeze_agent(seat),
            AgentAct::Thaw => self.thaw_agent(seat),
            AgentAct::FreezeFor(span) => {
                self.freeze_agent(seat);
                self.host_due(seat, span, HostDue::ThawAgent);
            }
            AgentAct::Become(runs) => self.swap(seat, runs),
            AgentAct::LoseWatch => self.watch_breaks_in(seat, Span::millis(1)),
            AgentAct::SilenceWatch => {
                if let Some(agent) = self.hosts[seat.index()].agent.as_mut() {
                    agent.watch.state = WatchState::Silenced;
                }
            }
        }
    }

    fn apply_fencer(&mut self, seat: Seat, act: FencerAct) {
        match act {
            FencerAct::Kill => self.kill_fencer(seat),
            FencerAct::Freeze => self.freeze_fencer(seat),
            FencerAct::Thaw => self.thaw_fencer(seat),
        }
    }

    fn apply_postgres(&mut self, seat: Seat, act: &PostgresAct) {
        match act {
            PostgresAct::KillPostmaster => self.kill_postmaster(seat),
            PostgresAct::FreezePostmaster => self.freeze_postmaster(seat),
            PostgresAct::ThawPostmaster => self.thaw_postmaster(seat),
            PostgresAct::FreezeBackend => self.freeze_backend(seat),
            PostgresAct::ThawBackends => self.thaw_backends(seat),
            PostgresAct::CrashBackend => self.crash_backend(seat),
            PostgresAct::KillAll => self.kill_all(seat),
            PostgresAct::PromoteByHand => {
                // A server that does not react is what the operator sees, too.
                let _ = self.promote(seat, true);
            }
            PostgresAct::StopByHand => self.stop_fast(seat),
            PostgresAct::StartByHand => {
                let dir = &self.pgs[seat.index()].dir;
                // PostgreSQL refuses to start on what is no whole data directory.
                if !dir.is_whole() || self.pgs[seat.index()].held {
                    return;
                }
                let parameters = dir.parameters.clone();
                let role = match dir.standby_signal {
                    true => StartAs::Standby {
                        upstream: dir.upstream.clone(),
                    },
                    false => StartAs::Primary,
                };
                let _ = self.start_server(seat, &role, &parameters, None);
            }
            PostgresAct::Checkpoint => self.checkpointed(seat),
            PostgresAct::BeginServerLoop { every } => self.begin_server_loop(seat, *every),
            PostgresAct::Write { bytes } => self.write_much(seat, *bytes),
            PostgresAct::PauseReplay => self.pause_replay(seat, true),
            PostgresAct::ResumeReplay => self.pause_replay(seat, false),
            PostgresAct::ExhaustConnections => self.crowd(seat, true),
            PostgresAct::FreeConnections => self.crowd(seat, false),
            PostgresAct::CancelWaits => self.cancel_waits(seat),
            PostgresAct::AlterSystem {
                synchronous_standby_names,
            } => self.alter_system(seat, synchronous_standby_names),
            PostgresAct::Archiving(archiving) => self.set_archiving(seat, *archiving),
        }
    }

    fn apply_host(&mut self, seat: Seat, act: HostAct) {
        let now = self.now();
        let host = &mut self.hosts[seat.index()];
        match act {
            HostAct::Crash => self.crash_host(seat),
            HostAct::Boot => self.boot_host(seat),
            HostAct::Suspend => self.suspend_host(seat),
            HostAct::Resume => self.resume_host(seat),
            HostAct::SuspendFor(span) => {
                self.suspend_host(seat);
                self.agenda.enter(
                    now + span,
                    Due::Host {
                        seat,
                        due: HostDue::Resume,
                    },
                );
            }
            HostAct::ClockRate { ppm } => {
                host.clock.set_rate(now, ppm);
                self.clock_changed(seat);
            }
            HostAct::StepWall { by } => {
                host.clock.step_wall(now, by);
                self.clock_changed(seat);
            }
            HostAct::FillDisk => self.pgs[seat.index()].storage = Storage::Full,
            HostAct::StallDisk => self.stall_storage(seat),
            HostAct::FreeDisk => self.free_storage(seat),
            HostAct::LieAboutFlush => self.pgs[seat.index()].flushing = Flushing::Lying,
            HostAct::Watchdog(works) => self.set_watchdog(seat, works),
            HostAct::LoseData => {
                self.pgs[seat.index()].server = None;
                self.pgs[seat.index()].run += 1;
                self.drop_standbys_of(seat);
                self.pgs[seat.index()].dir = DataDir::empty();
                self.pgs[seat.index()].aside = None;
                self.server_ended(seat, None);
            }
        }
    }

    pub(crate) fn crash_host(&mut self, seat: Seat) {
        let host = &mut self.hosts[seat.index()];
        host.boots_at = None;
        if host.power == Power::Off {
            return;
        }
        host.power = Power::Off;
        host.fencer = None;
        host.parked.clear();
        if let Some(device) = host.watchdog.as_mut() {
            device.lost_power();
        }
        // Its clock of deadlines begins anew with the next boot.
        self.oracle.evidence.deadlines.remove(&seat);
        self.power_lost(seat);
    }

    pub(crate) fn boot_host(&mut self, seat: Seat) {
        let now = self.now();
        let boots = self.chance.host.span(Span::secs(1), Span::secs(5));
        let host = &mut self.hosts[seat.index()];
        if host.power != Power::Off {
            return;
        }
        host.power = Power::On;
        host.boots_at = None;
        host.watchdog_looked_at = None;
        host.clock = crate::clock::HostClock::booted(now, boots);
        self.host_due(seat, boots, HostDue::StartAgent);
    }

    fn suspend_host(&mut self, seat: Seat) {
        let host = &mut self.hosts[seat.index()];
        if host.power == Power::On {
            host.power = Power::Suspended;
            let now = self.agenda.now();
            self.suspend_watchdog(seat);
            self.suspend_streams(seat, now);
        }
    }

    pub(crate) fn resume_host(&mut self, seat: Seat) {
        let now = self.now();
        let host = &mut self.hosts[seat.index()];
        if host.power != Power::Suspended {
            return;
        }
        host.power = Power::On;
        host.resumed_at = Some(now);
        self.resume_watchdog(seat);
        let host = &mut self.hosts[seat.index()];
        let mut parked = std::mem::take(&mut host.parked);
        if self.chance.host.chance(500) {
            parked = backwards(parked);
        }
        for due in parked {
            self.agenda.enter(now, due);
        }
        if self.leader_seat() != Some(seat) && self.pgs[seat.index()].can_write() {
            self.mark(Mark::FrozenLeaderWoke);
        }
        self.rewire_streams();
        self.release_confirmed(seat);
        self.schedule_wake(seat);
        self.replace_fencer(seat);
    }

    fn suspend_streams(&mut self, seat: Seat, now: crate::moment::Moment) {
        for at in 0..self.pgs.len() as u8 {
            let touches = self.pgs[usize::from(at)]
                .receiver()
                .is_some_and(|r| r.from == seat || Seat(at) == seat);
            if touches {
                self.stalls(Seat(at), now);
            }
        }
    }

    /// Deadlines fall on other moments now.
    fn clock_changed(&mut self, seat: Seat) {
        if let Some(agent) = self.hosts[seat.index()].agent.as_mut() {
            agent.wake_at = None;
        }
        if let Some(fencer) = self.hosts[seat.index()].fencer.as_mut() {
            fencer.timer = None;
        }
        self.schedule_wake(seat);
        self.deadline_comes(seat);
        self.watchdog_comes_due(seat);
    }

    fn set_watchdog(&mut self, seat: Seat, works: Works) {
        if let Some(device) = self.hosts[seat.index()].watchdog.as_mut() {
            device.works = works;
        }
    }

    fn apply_clients(&mut self, act: ClientAct) {
        match act {
            ClientAct::On => self.app.load = Load::On,
            ClientAct::Off => self.app.load = Load::Off,
            ClientAct::Pace(pace) => {
                let was = self.app.pace;
                self.app.pace = pace;
                self.shape.clients = pace;
                // Clients that had stopped for good begin anew; the others change pace at their next turn.
                if was.roaming_every == Span::ZERO && pace.roaming_every > Span::ZERO {
                    self.app.pace.stubborn_every = match was.stubborn_every {
                        Span::ZERO => pace.stubborn_every,
                        _ => Span::ZERO,
                    };
                    self.start_clients();
                    self.app.pace = pace;
                }
            }
        }
    }

    // ---- the wire ----

    fn apply_wire(&mut self, link: &Link, act: WireAct) -> Vec<Seat> {
        let (hops, seats) = self.hops(link);
        let now = self.now();
        for hop in &hops {
            match act {
                WireAct::Cut => self.wire.set_cut(now, *hop, CutKind::Hang),
                WireAct::Refuse => self.wire.set_cut(now, *hop, CutKind::Refuse),
                WireAct::Heal => self.wire.heal(*hop),
                WireAct::Delay { by, jitter } => self.wire.set_delay(*hop, by, jitter),
                WireAct::Lose { per_mille } => self.wire.set_loss(*hop, per_mille),
                WireAct::Straggle { per_mille, upto } => {
                    self.wire.set_straggle(*hop, per_mille, upto);
                }
            }
        }
        self.rewired();
        seats
    }

    /// Every direction of every lane that `link` means, and the members at its ends.
    fn hops(&mut self, link: &Link) -> (Vec<Hop>, Vec<Seat>) {
        let (from, to) = (self.end(&link.from), self.end(&link.to));
        let mut hops = Vec::new();
        let mut seats = Vec::new();
        for a in &from {
            for b in to.iter().filter(|b| *b != a) {
                for node in [a, b] {
                    if let Node::Member(seat) = node
                        && !seats.contains(seat)
                    {
                        seats.push(*seat);
                    }
                }
                for traffic in kinds(*a, *b, link.lane) {
                    let hop = Hop {
                        from: *a,
                        to: *b,
                        traffic,
                    };
                    hops.push(hop);
                    if link.way == Way::Both {
                        hops.push(hop.back());
                    }
                }
            }
        }
        (hops, seats)
    }

    fn end(&mut self, end: &End) -> Vec<Node> {
        match end {
            End::Member(who) => self.seats(who).into_iter().map(Node::Member).collect(),
            End::Store => (0..self.shape.store_servers)
                .map(Node::StoreServer)
                .collect(),
            End::StoreServer(server) => vec![Node::StoreServer(*server)],
            End::Clients => vec![Node::Clients],
        }
    }

    fn heal_wire(&mut self) {
        self.wire.heal_all();
        self.rewired();
    }

    /// What was stuck behind a link that is open again may arrive now, late.
    fn rewired(&mut self) {
        self.rewire_streams();
        let now = self.now();
        let stuck = std::mem::take(&mut self.stuck);
        for (hop, due) in stuck {
            if !self.wire.is_open(hop) {
                self.stuck.push((hop, due));
            } else if self.chance.wire.chance(500) {
                let late = self.chance.wire.span(Span::millis(1), Span::millis(400));
                self.agenda.enter(now + late, due);
            }
        }
        self.break_watches_over_refusing_links();
    }

    fn break_watches_over_refusing_links(&mut self) {
        for at in 0..self.hosts.len() as u8 {
            let seat = Seat(at);
            let Some(server) = self.hosts[seat.index()]
                .agent
                .as_ref()
                .map(|a| a.watch.server)
            else {
                continue;
            };
            let hop = World::store_hop(seat, server);
            let cuts = (self.wire.cut(hop), self.wire.cut(hop.back()));
            match cuts {
                (None, None) => {}
                (Some(CutKind::Refuse), _) | (_, Some(CutKind::Refuse)) => {
                    self.watch_breaks_in(seat, Span::millis(5));
                }
                (Some(CutKind::Hang), _) | (_, Some(CutKind::Hang)) => {
                    self.watch_notices_later(seat);
                }
            }
        }
    }

    // ---- the store ----

    fn apply_store(&mut self, act: &StoreAct) {
        let now = self.now();
        let all = 0..self.shape.store_servers;
        match act {
            StoreAct::StopAll => all.for_each(|s| self.set_server(s, ServerState::Down)),
            StoreAct::HangAll => all.for_each(|s| self.set_server(s, ServerState::Frozen)),
            StoreAct::StartAll => all.for_each(|s| self.set_server(s, ServerState::Up)),
            StoreAct::StopServer(s) => self.set_server(*s, ServerState::Down),
            StoreAct::HangServer(s) => self.set_server(*s, ServerState::Frozen),
            StoreAct::StartServer(s) => self.set_server(*s, ServerState::Up),
            StoreAct::IsolateServer(s) => {
                let changed = self.store.isolate(now, *s);
                self.server_changed(*s, changed);
            }
            StoreAct::RejoinServer(s) => {
                self.store.rejoin(*s);
                (0..self.hosts.len() as u8).for_each(|at| self.catch_up(Seat(at)));
            }
            StoreAct::Elect => {
                let changed = self.store.step_down(now);
                self.server_changed(0, changed);
            }
            StoreAct::LoseQuorum => self.store.lose_quorum(),
            StoreAct::RegainQuorum => {
                for change in self.store.regain_quorum(now) {
                    self.mark(Mark::AppliedAfterGivingUp);
                    self.store_changed(change);
                }
            }
            StoreAct::Slow(by) => self.store.slow = *by,
            StoreAct::DenyWrites => self.store.deny_writes(Some("permission denied")),
            StoreAct::AllowWrites => self.store.deny_writes(None),
            StoreAct::Wipe => {
                self.store.wipe();
                // Revisions begin anew.
                self.oracle.evidence.initialize_by_hand = None;
                self.store_is_another();
            }
            StoreAct::TakeSnapshot => self.store.save(),
            StoreAct::RollBack => {
                if self.store.roll_back(now) {
                    self.reenter_expiries();
                    self.store_is_another();
                }
            }
            StoreAct::DeleteKey(key) => self.edit_key(key, None),
            StoreAct::PutKey { key, value } => self.edit_key(key, Some(value)),
            StoreAct::Compact => {
                self.store.log.compact();
                self.break_all_watches();
            }
            StoreAct::ClockRate { ppm } => self.store.leases.set_clock_rate(*ppm),
            StoreAct::OldLeaderRevokes(switch) => self.store.old_leader_revokes = *switch,
        }
    }

    fn edit_key(&mut self, key: &str, value: Option<&str>) {
        if let Some(change) = self.store.edit(key, value) {
            self.store_changed(change);
        }
        if key == INITIALIZE {
            let written = self.store.get(key).map(|kv| kv.modified);
            self.oracle.evidence.initialize_by_hand = written;
        }
    }

    fn set_server(&mut self, server: u8, state: ServerState) {
        let changed = self.store.set_server(self.agenda.now(), server, state);
        self.server_changed(server, changed);
        if state != ServerState::Up {
            for at in 0..self.hosts.len() as u8 {
                let watches = self.hosts[usize::from(at)]
                    .agent
                    .as_ref()
                    .is_some_and(|agent| agent.watch.server == server);
                match (watches, state) {
                    (true, ServerState::Down) => self.watch_breaks_in(Seat(at), Span::millis(5)),
                    (true, ServerState::Frozen) => self.watch_notices_later(Seat(at)),
                    (true, ServerState::Up) | (false, _) => {}
                }
            }
        }
    }

    fn server_changed(&mut self, server: u8, changed: ServerChanged) {
        let now = self.now();
        match changed {
            ServerChanged::Nothing => {}
            ServerChanged::LeaderLost => {
                let at = now + election_delay(&mut self.chance.dcs);
                self.agenda.enter(at, Due::Store(StoreDue::Elect));
            }
            ServerChanged::Thawed => {
                for change in self.store.thawed(now, server) {
                    self.store_changed(change);
                }
            }
        }
        if self.store.leader.is_none() {
            let at = now + election_delay(&mut self.chance.dcs);
            self.agenda.enter(at, Due::Store(StoreDue::Elect));
        }
    }

    pub(crate) fn election_due(&mut self) {
        let now = self.now();
        if self.store.leader.is_some() {
            return;
        }
        if self.store.elect(now, &mut self.chance.dcs) {
            self.mark(Mark::LeaseProlongedByElection);
        } else if self
            .store
            .servers
            .iter()
            .any(|s| s.state == ServerState::Up)
        {
            self.agenda
                .enter(now + Span::secs(2), Due::Store(StoreDue::Elect));
        }
    }

    // ---- healing ----

    fn heal_all(&mut self) {
        self.heal_wire();
        for server in 0..self.shape.store_servers {
            self.store.rejoin(server);
            self.set_server(server, ServerState::Up);
        }
        let switch_off = StoreAct::OldLeaderRevokes(crate::act::Switch::Off);
        for act in [StoreAct::RegainQuorum, StoreAct::AllowWrites, switch_off] {
            self.apply_store(&act);
        }
        self.apply_store(&StoreAct::Slow(Span::ZERO));
        self.apply_store(&StoreAct::ClockRate { ppm: 0 });
        for at in 0..self.hosts.len() as u8 {
            self.heal_member(Seat(at));
        }
        self.expect_recovery();
    }

    fn heal_member(&mut self, seat: Seat) {
        let now = self.now();
        self.apply_host(seat, HostAct::FreeDisk);
        self.set_watchdog(seat, Works::Well);
        self.pgs[seat.index()].flushing = Flushing::Honest;
        self.pgs[seat.index()].settle();
        self.pgs[seat.index()].troubles.clear();
        self.resume_host(seat);
        self.hosts[seat.index()].wanted = Wanted::Up;
        if self.hosts[seat.index()].clock.rate_ppm() != 0 {
            self.hosts[seat.index()].clock.set_rate(now, 0);
            self.clock_changed(seat);
        }
        self.thaw_backends(seat);
        self.thaw_postmaster(seat);
        self.unhang_start(seat);
        self.pause_replay(seat, false);
        self.crowd(seat, false);
        self.set_archiving(seat, Archiving::Works);
        self.thaw_fencer(seat);
        self.thaw_agent(seat);
        // A watch that would never notice is beyond what an agent can be asked to survive.
        let silenced = self.hosts[seat.index()]
            .agent
            .as_ref()
            .is_some_and(|agent| agent.watch.state == WatchState::Silenced);
        if silenced {
            if let Some(agent) = self.hosts[seat.index()].agent.as_mut() {
                agent.watch.state = WatchState::Following;
            }
            self.watch_breaks_in(seat, Span::millis(5));
        }
        match self.hosts[seat.index()].power {
            Power::Off => self.boot_host(seat),
            Power::On | Power::Suspended => {
                self.host_due(seat, Span::millis(10), HostDue::StartAgent)
            }
        }
        self.pg_due(seat, Span::millis(100), PgDue::Connect);
        self.catch_up(seat);
    }

    // ---- assumptions ----

    /// What an act takes away from what the promises rest on.
    fn note_assumptions(&mut self, act: &Act) {
        let now = self.now();
        let breaks = |world: &mut World, what, why: &str| {
            world.oracle.assumptions.break_for_good(what, why);
        };
        if act.ends_free_run() {
            breaks(
                self,
                Assumption::FreeRun,
                "an operator acted past the agents",
            );
        }
        match act {
            Act::Host {
                act: HostAct::ClockRate { ppm },
                ..
            } if beyond(&self.shape, *ppm) => {
                breaks(
                    self,
                    Assumption::Clocks,
                    "a host's clock runs wrong by more than agreed",
                );
            }
            Act::Store(StoreAct::ClockRate { ppm }) if beyond(&self.shape, *ppm) => {
                breaks(
                    self,
                    Assumption::Clocks,
                    "the store's clock runs wrong by more than agreed",
                );
            }
            Act::Host {
                act: HostAct::LieAboutFlush,
                ..
            } => {
                breaks(self, Assumption::DurableDisks, "a disk lies about flushes");
            }
            Act::Host {
                act: HostAct::LoseData,
                ..
            } => {
                breaks(self, Assumption::FaultCount, "a member lost its data");
            }
            Act::Store(
                StoreAct::Wipe
                | StoreAct::RollBack
                | StoreAct::DeleteKey(_)
                | StoreAct::PutKey { .. }
                | StoreAct::OldLeaderRevokes(_),
            ) => breaks(
                self,
                Assumption::Store,
                "the store lost or changed keys by itself",
            ),
            Act::Agent { .. }
            | Act::Fencer { .. }
            | Act::Postgres { .. }
            | Act::Host { .. }
            | Act::Trouble { .. }
            | Act::Wire { .. }
            | Act::HealWire
            | Act::Store(_)
            | Act::Operator(_)
            | Act::Clients(_)
            | Act::HealAll => {}
        }
        self.oracle.calm.disturbed(act, now);
    }
}

/// Half of the allowance on either side keeps any two clocks within it.
fn beyond(shape: &ClusterShape, ppm: i32) -> bool {
    ppm.unsigned_abs().saturating_mul(2) > shape.clock_drift_ppm
}

fn kinds(a: Node, b: Node, lane: Option<Lane>) -> Vec<Traffic> {
    match (a, b) {
        (Node::Member(_), Node::Member(_)) => match lane {
            None => vec![Traffic::Data, Traffic::Api],
            Some(Lane::Data) => vec![Traffic::Data],
            Some(Lane::Api) => vec![Traffic::Api],
        },
        (Node::StoreServer(_), _) | (_, Node::StoreServer(_)) => vec![Traffic::Store],
        (Node::Clients, _) | (_, Node::Clients) => vec![Traffic::Client],
    }
}

impl World {
    /// Which members `who` names now, by seat.
    pub(crate) fn seats(&mut self, who: &Who) -> Vec<Seat> {
        let all: Vec<Seat> = (0..self.hosts.len() as u8).map(Seat).collect();
        let standbys = |world: &World| {
            let standby = |seat: &Seat| world.pgs[seat.index()].in_recovery();
            all.iter().copied().filter(standby).collect::<Vec<_>>()
        };
        match who {
            Who::Member(name) => self.seat(name).into_iter().collect(),
            Who::Leader => {
                let writer = |seat: &Seat| self.pgs[seat.index()].can_write();
                let leader = self.leader_seat();
                leader
                    .or_else(|| all.iter().copied().find(writer))
                    .into_iter()
                    .collect()
            }
            Who::Standby => {
                let standbys = standbys(self);
                self.chance
                    .who
                    .pick(&standbys)
                    .copied()
                    .into_iter()
                    .collect()
            }
            Who::Any => self.chance.who.pick(&all).copied().into_iter().collect(),
            Who::Standbys => standbys(self),
            Who::All => all,
        }
    }
}
