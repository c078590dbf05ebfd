//! The agent's process: born, told, woken, frozen, killed, born again.
//! Knows nothing of what the agent decides.

use crate::due::{AgentDue, Due, HostDue, backwards};
use crate::event::{HowEnded, Role, What};
use crate::host::{AgentProcess, Mind, Power, Run, Wanted, Watch, WatchState};
use crate::marks::Mark;
use crate::moment::Moment;
use crate::patroni::{Me, Patroni, watchdog};
use crate::sabotage::Scene;
use crate::shape::{CommitMode, Runs};
use crate::shell::outside::{Birth, Hosting, Process};
use crate::streams::Stream;
use crate::wire::{Hop, Node, Seat, Traffic};
use crate::world::{LifeTrace, World};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tanist_core::agent::{Agent, Boot, Output};
use tanist_core::config::Timing;
use tanist_core::dcs::{DcsInput, Revision};
use tanist_core::effect::{Effect, EffectBody};
use tanist_core::exchange::SessionState;
use tanist_core::input::Input;
use tanist_core::member::MemberData;
use tanist_core::postgres::{Ended, PgInput};
use tanist_core::settings::{LocalPostgres, Safety, Settings};
use tanist_core::time::{Now, Span};

impl World {
    pub(crate) fn settings(&self, seat: Seat) -> Settings {
        let member = &self.shape.members[seat.index()];
        let mut tags = Map::new();
        if member.nofailover && !self.sabotage.strips_nofailover() {
            tags.insert("nofailover".into(), Value::Bool(true));
        }
        if let Some(priority) = member.failover_priority {
            tags.insert("failover_priority".into(), json!(priority));
        }
        Settings {
            scope: "sim".to_string(),
            namespace: "/service".to_string(),
            name: self.goes_by(seat),
            api_url: format!("http://{}:8008/patroni", member.name),
            conn_url: format!("postgres://{}:5432/postgres", member.name),
            proxy_url: None,
            tags,
            bootstrap: member.founds.then(|| self.first_config()),
            postgresql: LocalPostgres::default(),
            safety: Safety {
                fencer: self.shape.fencer,
                stop_budget: self.shape.stop_budget,
                clock_drift_ppm: self.shape.clock_drift_ppm,
                fast_timing: self.timing().is_fast(),
                ..Safety::default()
            },
        }
    }

    /// The `watchdog` section of a Patroni's file, and what it finds on its host.
    fn watchdog_settings(&self, seat: Seat) -> watchdog::Settings {
        let device = match self.hosts[seat.index()].watchdog {
            Some(_) => watchdog::Path::Exists,
            None => watchdog::Path::Missing,
        };
        watchdog::Settings {
            mode: self.shape.watchdog,
            margin: self.shape.safety_margin,
            device,
        }
    }

    fn timing(&self) -> Timing {
        Timing {
            ttl: self.shape.ttl,
            loop_wait: self.shape.loop_wait,
            retry_timeout: self.shape.retry_timeout,
        }
    }

    fn first_config(&self) -> Map<String, Value> {
        let shape = &self.shape;
        let mut config = Map::new();
        for (key, value) in [
            ("ttl", json!(shape.ttl.as_secs())),
            ("loop_wait", json!(shape.loop_wait.as_secs())),
            ("retry_timeout", json!(shape.retry_timeout.as_secs())),
            (
                "maximum_lag_on_failover",
                json!(shape.maximum_lag_on_failover),
            ),
            (
                "primary_start_timeout",
                json!(shape.primary_start_timeout.as_secs()),
            ),
        ] {
            config.insert(key.to_string(), value);
        }
        let mode = match shape.commit_mode {
            CommitMode::Async => None,
            CommitMode::Synchronous | CommitMode::Strict => Some(json!(true)),
            CommitMode::Quorum => Some(json!("quorum")),
        };
        if let Some(mode) = mode {
            config.insert("synchronous_mode".into(), mode);
        }
        if shape.commit_mode == CommitMode::Strict {
            config.insert("synchronous_mode_strict".into(), json!(true));
        }
        if shape.failsafe {
            config.insert("failsafe_mode".into(), json!(true));
        }
        if self.timing().is_fast() {
            let ms = |span: Span| format!("{}ms", span.as_millis());
            let own = json!({
                "ttl": ms(shape.ttl),
                "loop_wait": ms(shape.loop_wait),
                "retry_timeout": ms(shape.retry_timeout),
            });
            config.insert("tanist".into(), own);
        }
        let rewind = shape.rewind;
        config.insert(
            "postgresql".into(),
            json!({
                "use_pg_rewind": rewind.use_pg_rewind,
                "use_slots": true,
                "remove_data_directory_on_rewind_failure":
                    rewind.remove_data_directory_on_rewind_failure,
                "remove_data_directory_on_diverged_timelines":
                    rewind.remove_data_directory_on_diverged_timelines,
                "parameters": {"wal_log_hints": if rewind.wal_log_hints { "on" } else { "off" }},
            }),
        );
        config
    }

    pub(crate) fn start_agent(&mut self, seat: Seat) {
        let host = &self.hosts[seat.index()];
        if host.power == Power::Off || host.agent.is_some() || host.wanted == Wanted::Down {
            return;
        }
        if self.meets_namesake(seat) {
            return;
        }
        let at = self.now();
        let settings = self.settings(seat);
        let server = self.chance.dcs.below(self.shape.store_servers.into()) as u8;
        let seed = Stream::named(self.seed, &format!("agent-{}", settings.name)).draw();
        let watchdog = self.watchdog_settings(seat);
        let host = &mut self.hosts[seat.index()];
        host.lives += 1;
        let runs = host.runs;
        let life = host.lives;
        let now = host.clock.now(at);
        // A second life draws differently from the first, and the same in every run of the seed.
        let seed = seed.wrapping_add(u64::from(life).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let boot = Boot {
            incarnation: u64::from(life),
            instance: u64::from(seat.0) + 1,
            fencer: host.fencer.as_ref().and_then(|fencer| fencer.armed),
        };
        let agent = match runs {
            Runs::Tanist => Mind::Tanist(Box::new(Agent::new(
                settings.clone(),
                boot.clone(),
                seed,
                now,
            ))),
            Runs::Patroni => Mind::Patroni(Box::new(patroni_of(&settings, watchdog, now))),
        };
        host.agent = Some(AgentProcess {
            life,
            born: at,
            run: Run::Running,
            agent,
            parked: Vec::new(),
            inbox: VecDeque::new(),
            wake_at: None,
            exchanges: BTreeMap::new(),
            session: SessionState::default(),
            server,
            watch: Watch {
                id: 0,
                server,
                state: WatchState::Listing,
                seen: Revision(0),
                last_at: Moment::START,
            },
            lane: None,
            sides: BTreeSet::new(),
            silent_looks: BTreeSet::new(),
        });
        if runs == Runs::Tanist
            && let Hosting::Outside { births } = &mut self.hosting
        {
            births.push(Birth {
                process: Process { seat, life },
                settings: settings.clone(),
                boot: boot.clone(),
                seed,
                born: now,
            });
        }
        if self.keeps_traces && runs == Runs::Tanist {
            let trace = LifeTrace {
                seat,
                life,
                settings,
                boot,
                seed,
                born: now,
                lines: Vec::new(),
            };
            self.traces.push(trace);
        }
        if self.pgs[seat.index()].server.is_some() {
            self.mark(Mark::AdoptedAfterRestart);
        }
        let member = self.name(seat);
        self.tell_story(What::AgentStarted {
            member,
            incarnation: u64::from(life),
        });
        if runs == Runs::Tanist {
            self.meet_fencer(seat);
        }
        self.agent_due(seat, Span::millis(2), AgentDue::BeginWatch);
        self.schedule_wake(seat);
    }

    /// A start is refused where whoever wrote this name's member key answers and is somebody else; the supervisor tries
    /// again.
    fn meets_namesake(&mut self, seat: Seat) -> bool {
        let name = self.goes_by(seat);
        let key = self.store.get(&format!("members/{name}"));
        let written = key.and_then(|kv| MemberData::parse(&kv.value)?.address());
        let other = written.and_then(|address| self.seat_of_host(&address.host));
        let Some(other) = other.filter(|other| *other != seat) else {
            return false;
        };
        let hop = |to, traffic| Hop {
            from: Node::Member(seat),
            to,
            traffic,
        };
        let reads = |server| {
            self.wire
                .connects(hop(Node::StoreServer(server), Traffic::Store))
        };
        let host = &self.hosts[other.index()];
        let runs = |agent: &AgentProcess| agent.run == Run::Running;
        let lives = host.power == Power::On && host.agent.as_ref().is_some_and(runs);
        let met = lives
            && (0..self.shape.store_servers).any(reads)
            && self.wire.connects(hop(Node::Member(other), Traffic::Api));
        if met && let Some(after) = self.shape.members[seat.index()].supervisor {
            self.host_due(seat, after, HostDue::StartAgent);
        }
        met
    }

    /// The process is gone, and with it everything that it had under way except what is on the wire.
    pub(crate) fn agent_ended(&mut self, seat: Seat, how: HowEnded) {
        let Some(agent) = self.hosts[seat.index()].agent.take() else {
            return;
        };
        self.drop_watchdog(seat);
        if let Some(lane) = &agent.lane {
            self.abandon_lane(seat, lane);
        }
        let member = self.name(seat);
        self.tell_story(What::AgentEnded { member, how });
        let swapped = self.swap_agent(seat);
        // A supervisor does not ask why a process has ended, unless it was asked to end it.
        let again = match how {
            HowEnded::Killed | HowEnded::Exited(1..) => self.shape.members[seat.index()].supervisor,
            // It was asked to stop, and to start before that was done.
            HowEnded::Exited(0) if self.hosts[seat.index()].wanted == Wanted::Up => {
                Some(Span::millis(100))
            }
            HowEnded::Exited(0) | HowEnded::HostDown => None,
        };
        let again = again.or(swapped);
        if let Some(after) = again {
            self.host_due(seat, after, HostDue::StartAgent);
        }
    }

    pub(crate) fn host_due(&mut self, seat: Seat, after: Span, due: HostDue) {
        self.agenda
            .enter(self.agenda.now() + after, Due::Host { seat, due });
    }

    pub(crate) fn freeze_agent(&mut self, seat: Seat) {
        if let Some(agent) = self.hosts[seat.index()].agent.as_mut() {
            agent.run = Run::Frozen;
        }
    }

    /// Whatever came while it stood still is there at once; its timers are overdue.
    pub(crate) fn thaw_agent(&mut self, seat: Seat) {
        let now = self.now();
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        if agent.run == Run::Running {
            return;
        }
        agent.run = Run::Running;
        let mut parked = std::mem::take(&mut agent.parked);
        // Overdue timers and waiting sockets are seen in an order of the poll's own.
        if self.chance.host.chance(500) {
            parked = backwards(parked);
        }
        for due in parked {
            self.agenda.enter(now, due);
        }
        self.schedule_wake(seat);
        self.replace_fencer(seat);
    }

    /// Hands `input` to the agent: at once, unless its process stands still.
    pub(crate) fn tell(&mut self, seat: Seat, input: Input) {
        let host = &mut self.hosts[seat.index()];
        let suspended = host.power == Power::Suspended;
        let Some(agent) = host.agent.as_mut() else {
            return;
        };
        let frozen = agent.run == Run::Frozen;
        if suspended || frozen {
            let due = Due::Agent {
                seat,
                life: agent.life,
                due: AgentDue::Tell(Box::new(input)),
            };
            match suspended {
                true => host.parked.push(due),
                false => agent.parked.push(due),
            }
            return;
        }
        agent.inbox.push_back(input);
        if !self.telling.contains(&seat) {
            self.telling.push(seat);
        }
    }

    /// Lets every agent that has something in its inbox handle it. Runs at the end of each step, so that
    /// no agent is ever called from within the handling of another thing.
    pub(crate) fn drain_inboxes(&mut self) {
        if let Hosting::Outside { .. } = self.hosting {
            return;
        }
        while let Some(seat) = self.telling.pop() {
            loop {
                let agent = self.hosts[seat.index()].agent.as_mut();
                let Some(input) = agent.and_then(|agent| agent.inbox.pop_front()) else {
                    break;
                };
                self.handle(seat, input);
                // One that answers itself for ever would hold this very step for ever.
                if self.oracle.broken.is_some() {
                    return;
                }
            }
        }
    }

    fn handle(&mut self, seat: Seat, input: Input) {
        if self.is_patroni(seat) {
            return self.patroni_told(seat, input);
        }
        let now = self.host_now(seat);
        let Some(input) = self.sabotage.input(seat, input) else {
            return;
        };
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        let mut out = std::mem::take(&mut self.scratch);
        out.effects.clear();
        out.notes.clear();
        let kept = self.keeps_traces.then(|| input.clone());
        let kind = told_of(&input);
        if let Mind::Tanist(agent) = &mut agent.agent {
            agent.handle(now, input, &mut out);
        }
        let life = agent.life;
        self.sabotage.notes(&mut out.notes);
        self.check_explained(seat, life, &out);
        self.handled += 1;
        self.check_pace(seat, kind, &out);
        self.check_timing(seat);
        if let Some(input) = kept {
            self.keep_trace(seat, life, now, input, &out);
        }
        for note in out.notes.drain(..) {
            let member = self.name(seat);
            self.tell_story(What::Note { member, note });
        }
        let scene = self.scene(seat);
        let effects: Vec<Effect> = self.sabotage.effects(&mut out.effects, scene);
        self.scratch = out;
        for effect in effects {
            self.start_effect(seat, effect);
        }
        self.schedule_wake(seat);
    }

    /// What a canary may need to know of the member that it sits on.
    fn scene(&self, seat: Seat) -> Scene {
        if !self.sabotage.is_on() {
            return Scene::Other;
        }
        let host = &self.hosts[seat.index()];
        let idle = host
            .agent
            .as_ref()
            .is_some_and(|agent| agent.lane.is_none());
        if idle && self.is_paused() {
            return Scene::Paused;
        }
        match idle && self.role(seat) == Role::Standby {
            true => Scene::IdleStandby,
            false => Scene::Other,
        }
    }

    fn keep_trace(&mut self, seat: Seat, life: u32, now: Now, input: Input, out: &Output) {
        let of_life = |trace: &&mut LifeTrace| trace.seat == seat && trace.life == life;
        if let Some(trace) = self.traces.iter_mut().find(of_life) {
            trace.lines.push((now, input, out.clone()));
        }
    }

    pub(crate) fn host_now(&self, seat: Seat) -> Now {
        self.hosts[seat.index()].clock.now(self.now())
    }

    /// Makes sure that a wake-up is due no later than the agent wants it.
    pub(crate) fn schedule_wake(&mut self, seat: Seat) {
        if let Hosting::Outside { .. } = self.hosting {
            return;
        }
        let host = &mut self.hosts[seat.index()];
        let Some(agent) = host.agent.as_mut() else {
            return;
        };
        let Some(deadline) = agent.agent.next_wakeup() else {
            return;
        };
        if agent.wake_at.is_some_and(|at| at <= deadline) {
            return;
        }
        agent.wake_at = Some(deadline);
        let life = agent.life;
        let at = host.clock.when(deadline);
        self.agenda.enter(
            at,
            Due::Agent {
                seat,
                life,
                due: AgentDue::Wake { deadline },
            },
        );
    }

    /// A wake-up that was entered is due. The agent may want it later by now.
    pub(crate) fn wake(&mut self, seat: Seat, entered_for: tanist_core::time::Mono) {
        let now = self.host_now(seat);
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        if agent.wake_at != Some(entered_for) {
            return;
        }
        agent.wake_at = None;
        match agent.agent.next_wakeup() {
            Some(deadline) if deadline <= now.mono => self.tell(seat, Input::Wakeup),
            Some(_) | None => self.schedule_wake(seat),
        }
    }

    pub(crate) fn start_effect(&mut self, seat: Seat, effect: Effect) {
        let op = effect.id;
        match effect.body {
            EffectBody::Dcs { request, until } => self.begin_exchange(seat, op, request, until),
            EffectBody::Operation { operation, .. } if self.sabotage.skips(&operation) => {
                let ended = PgInput::Finished {
                    op,
                    ended: Ended::Done,
                };
                self.tell(seat, Input::Postgres(ended));
            }
            EffectBody::Operation { operation, term } => {
                self.begin_operation(seat, op, operation, term);
            }
            EffectBody::Cancel { op } => self.cancel(seat, op),
            EffectBody::Side { task, until } => self.begin_side(seat, op, task, until),
            EffectBody::Peer { request, until } => self.ask_peer(seat, op, request, until),
            EffectBody::Fencer(request) => self.ask_fencer(seat, op, request),
            EffectBody::Reply { request, answer } => self.answered(seat, request, answer),
            EffectBody::Exit { code } => self.agent_ended(seat, HowEnded::Exited(code)),
        }
    }
}

/// What a Patroni's file would say, where a Tanist's says this.
fn patroni_of(settings: &Settings, watchdog: watchdog::Settings, now: Now) -> Patroni {
    let me = Me {
        scope: settings.scope.clone(),
        name: settings.name.clone(),
        api_url: settings.api_url.clone(),
        conn_url: settings.conn_url.clone(),
        tags: settings.tags.clone(),
        bootstrap: settings.bootstrap.clone(),
        watchdog,
    };
    Patroni::new(me, now)
}

/// The kind of an input, for who is told too many of them.
fn told_of(input: &Input) -> &'static str {
    match input {
        Input::Wakeup => "that it is time",
        Input::Dcs(DcsInput::Listed { .. } | DcsInput::Changed { .. }) => "of the watch",
        Input::Dcs(DcsInput::WatchLost { .. }) => "that the watch is lost",
        Input::Dcs(DcsInput::Completed { .. }) => "a verdict of the store",
        Input::Postgres(_) => "something of PostgreSQL",
        Input::Peer(_) => "a peer's answer",
        Input::Operator(_) => "a request",
        Input::Fencer(_) => "something of the fencer",
        Input::Stopping => "to end",
    }
}
