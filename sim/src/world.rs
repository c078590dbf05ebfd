//! The world: what really is, not what anyone believes, and the one step that moves it on.
//! Knows nothing of plans, scenarios or reports.
//!
//! One step: the next entry of the agenda is handled by its room; every agent that was told something handles
//! it; the invariants are judged against the true state.

use crate::act::Who;
use crate::agenda::Agenda;
use crate::app::App;
use crate::due::{AgentDue, Due, FencerDue, HostDue, PgDue, StoreDue};
use crate::event::{Broken, Counted, Event, Role, What};
use crate::host::{Host, Power, Run};
use crate::invariants::Oracle;
use crate::marks::{Mark, Marks};
use crate::moment::Moment;
use crate::operator::Requests;
use crate::pg::archive::Archive;
use crate::pg::instance::Instance;
use crate::pg::wal::Wal;
use crate::sabotage::{Canary, Sabotage};
use crate::shape::{ClusterShape, Runs, StartWhen};
use crate::shell::outside::Hosting;
use crate::store::Store;
use crate::streams::{Stream, Streams};
use crate::wire::{Hop, Seat, Wire};
use std::collections::BTreeMap;
use tanist_core::agent::{Boot, Output};
use tanist_core::input::Input;
use tanist_core::name::MemberName;
use tanist_core::peer::PeerAnswer;
use tanist_core::postgres::SystemId;
use tanist_core::settings::Settings;
use tanist_core::time::{Now, Span};
use tanist_core::timeline::TimelineId;

/// What is stuck behind cut links is kept up to this many messages.
const STUCK_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maintenance {
    Off,
    Paused,
}

/// Everything that one life of one agent was told and answered.
#[derive(Clone, Debug)]
pub struct LifeTrace {
    pub seat: Seat,
    pub life: u32,
    pub settings: Settings,
    pub boot: Boot,
    pub seed: u64,
    pub born: Now,
    pub lines: Vec<(Now, Input, Output)>,
}

/// One run.
pub struct World {
    pub(crate) shape: ClusterShape,
    pub(crate) seed: u64,
    pub(crate) agenda: Agenda<Due>,
    pub(crate) chance: Streams,
    pub(crate) wire: Wire,
    pub(crate) stuck: Vec<(Hop, Due)>,
    pub(crate) store: Store,
    pub(crate) hosts: Vec<Host>,
    pub(crate) pgs: Vec<Instance>,
    pub(crate) wal: Wal,
    pub(crate) archives: BTreeMap<SystemId, Archive>,
    pub(crate) stream_ids: u64,
    pub(crate) copies_begun: u64,
    pub(crate) app: App,
    pub(crate) requests: Requests,
    pub(crate) oracle: Oracle,
    pub(crate) sabotage: Sabotage,
    /// Members whose agents have something in their inbox.
    pub(crate) telling: Vec<Seat>,
    pub(crate) hosting: Hosting,
    pub(crate) scratch: Output,
    pub(crate) handled: u64,
    pub(crate) keeps_traces: bool,
    pub(crate) tells_commits: bool,
    pub(crate) traces: Vec<LifeTrace>,
    /// As the `config` key in the store says, or last said.
    pub(crate) maintenance: Maintenance,
    /// What was last told of each member's PostgreSQL.
    pub(crate) shown: Vec<(Role, TimelineId, bool)>,
    pub(crate) shown_owner: Option<String>,
    events: Vec<Event>,
    marks: Marks,
    steps: u64,
    /// The instant of the latest step, and how many steps it has had.
    pub(crate) instant: (Moment, u64),
}

impl World {
    /// A world at its start: hosts up, nothing initialised, agents about to start.
    pub fn new(shape: ClusterShape, seed: u64) -> World {
        World::with_canary(shape, seed, None)
    }

    /// The same with a deliberate bug.
    pub fn with_canary(shape: ClusterShape, seed: u64, canary: Option<Canary>) -> World {
        let members = shape.members.len() as u8;
        let mut world = World {
            seed,
            agenda: Agenda::default(),
            chance: Streams::new(seed),
            wire: Wire::default(),
            stuck: Vec::new(),
            store: Store::new(shape.store_servers),
            hosts: (0..members)
                .map(|at| Host::new(at, &shape.members[usize::from(at)]))
                .collect(),
            pgs: (0..members).map(|_| Instance::default()).collect(),
            wal: Wal::default(),
            archives: BTreeMap::new(),
            stream_ids: 0,
            copies_begun: 0,
            app: App::new(shape.clients),
            requests: Requests::default(),
            oracle: Oracle::default(),
            sabotage: Sabotage::new(canary, Stream::named(seed, "sabotage")),
            telling: Vec::new(),
            hosting: Hosting::Inside,
            scratch: Output::default(),
            handled: 0,
            keeps_traces: false,
            tells_commits: false,
            traces: Vec::new(),
            maintenance: Maintenance::Off,
            shown_owner: None,
            shown: vec![(Role::Stopped, TimelineId(0), false); usize::from(members)],
            events: Vec::new(),
            marks: Marks::default(),
            steps: 0,
            instant: (Moment::START, 0),
            shape,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        for at in 0..self.hosts.len() as u8 {
            if self.shape.members[usize::from(at)].start == StartWhen::AtOnce {
                let after = self.chance.host.span(Span::ZERO, Span::millis(500));
                self.host_due(Seat(at), after, HostDue::StartAgent);
            } else {
                self.hosts[usize::from(at)].wanted = crate::host::Wanted::Down;
            }
        }
        self.start_clients();
        self.expect_recovery();
    }

    /// Keeps every agent's inputs and outputs, for `check_replays` and for reports.
    pub fn keep_traces(&mut self) {
        self.keeps_traces = true;
    }
    /// Tells every acknowledged commit as an event.
    pub fn tell_commits(&mut self) {
        self.tells_commits = true;
    }
    pub fn traces(&self) -> &[LifeTrace] {
        &self.traces
    }

    pub fn shape(&self) -> &ClusterShape {
        &self.shape
    }
    pub fn now(&self) -> Moment {
        self.agenda.now()
    }
    /// When the next thing happens by itself.
    pub fn next_at(&self) -> Option<Moment> {
        self.agenda.next_at()
    }
    /// Steps taken, and inputs that agents handled.
    pub fn effort(&self) -> (u64, u64) {
        (self.steps, self.handled)
    }

    /// Lets the next thing happen. False when nothing is left to happen, or a promise is broken.
    pub fn step(&mut self) -> bool {
        if self.oracle.broken.is_some() {
            return false;
        }
        let Some(due) = self.agenda.take() else {
            return false;
        };
        self.steps += 1;
        self.check_progress();
        self.carry_out(due);
        self.settle_step();
        self.oracle.broken.is_none()
    }

    /// Steps until nothing more is due up to `until` (then it is `until`), or a promise is broken.
    pub fn run_until(&mut self, until: Moment) {
        while self.agenda.next_at().is_some_and(|next| next <= until) {
            if !self.step() {
                return;
            }
        }
        if self.oracle.broken.is_none() {
            self.agenda.advance_to(until);
        }
    }

    /// The end of every step: agents handle what they were told, changes are told, promises judged.
    pub(crate) fn settle_step(&mut self) {
        self.oracle.now = self.agenda.now();
        self.drain_inboxes();
        self.show_changes();
        self.check_always();
    }

    fn carry_out(&mut self, due: Due) {
        let Some(due) = self.park_if_standing(due) else {
            return;
        };
        match due {
            Due::Agent { seat, life, due } => {
                if self.hosts[seat.index()].life(life).is_some() {
                    self.agent_comes_due(seat, due);
                }
            }
            Due::Fencer { seat, life, due } => {
                let lives = self.hosts[seat.index()].fencer.as_ref().map(|f| f.life);
                if lives == Some(life) {
                    self.fencer_comes_due(seat, due);
                }
            }
            Due::Pg { seat, run, due } => {
                if self.pgs[seat.index()].run == run {
                    self.pg_comes_due(seat, due);
                }
            }
            Due::Command { seat, ticket, step } => self.command_step(seat, ticket, step),
            Due::Host { seat, due } => match due {
                HostDue::StartAgent => self.start_agent(seat),
                HostDue::StartFencer => self.start_fencer(seat),
                HostDue::Resume => self.resume_host(seat),
                HostDue::ThawAgent => self.thaw_agent(seat),
                HostDue::Watchdog => self.watchdog_comes_due(seat),
                HostDue::Boot => self.boots_by_itself(seat),
            },
            Due::Store(StoreDue::CallArrives(call)) => self.call_arrives(*call),
            Due::Store(StoreDue::AnswerLeaves(answer)) => self.answer_leaves(*answer),
            Due::Store(StoreDue::ListArrives {
                seat,
                life,
                watch,
                hop,
                sent_at,
            }) => {
                self.list_arrives(seat, life, watch, hop, sent_at);
            }
            Due::Store(StoreDue::Expiry { lease }) => self.lease_may_expire(lease),
            Due::Store(StoreDue::Elect) => self.election_due(),
            Due::App(due) => self.client_acts(due),
            Due::Ask(question) => self.asked(*question),
            Due::JudgeRecovery => self.recovery_is_due(),
        }
    }

    /// What is due for a process that stands still waits for it. `None`: it was parked.
    fn park_if_standing(&mut self, due: Due) -> Option<Due> {
        let seat = match &due {
            Due::Agent { seat, .. }
            | Due::Fencer { seat, .. }
            | Due::Pg { seat, .. }
            | Due::Command { seat, .. } => *seat,
            Due::Host { .. } | Due::Store(_) | Due::App(_) | Due::Ask(_) | Due::JudgeRecovery => {
                return Some(due);
            }
        };
        if let Some(seat) = self.waits_for_storage(&due) {
            self.pgs[seat.index()].stalled.push(due);
            return None;
        }
        let host = &mut self.hosts[seat.index()];
        if host.power == Power::Suspended {
            host.parked.push(due);
            return None;
        }
        match &due {
            Due::Agent { life, .. } => {
                let life = *life;
                match host.life(life).filter(|agent| agent.run == Run::Frozen) {
                    Some(agent) => {
                        agent.parked.push(due);
                        None
                    }
                    None => Some(due),
                }
            }
            Due::Fencer { life, .. } => {
                let life = *life;
                let frozen =
                    |f: &&mut crate::host::FencerProcess| f.life == life && f.run == Run::Frozen;
                match host.fencer.as_mut().filter(frozen) {
                    Some(fencer) => {
                        fencer.parked.push(due);
                        None
                    }
                    None => Some(due),
                }
            }
            Due::Pg { .. }
            | Due::Command { .. }
            | Due::Host { .. }
            | Due::Store(_)
            | Due::App(_)
            | Due::Ask(_)
            | Due::JudgeRecovery => Some(due),
        }
    }

    fn agent_comes_due(&mut self, seat: Seat, due: AgentDue) {
        match due {
            AgentDue::Wake { deadline } => self.wake(seat, deadline),
            AgentDue::Tell(input) => self.tell(seat, *input),
            AgentDue::CallAnswered(answered) => self.call_answered(seat, *answered),
            AgentDue::CallTimedOut { op, call } => self.call_timed_out(seat, op, call),
            AgentDue::ExchangeResumes { op, call } => self.exchange_resumes(seat, op, call),
            AgentDue::BeginWatch => self.begin_watch(seat),
            AgentDue::Listed { watch, snapshot } => self.listed(seat, watch, *snapshot),
            AgentDue::ListTimedOut { watch } => self.list_timed_out(seat, watch),
            AgentDue::WatchEvent { watch, change } => self.watch_event(seat, watch, &change),
            AgentDue::WatchBreaks { watch } => self.watch_broke(seat, watch),
            AgentDue::Looked { op } => self.looked(seat, op),
            AgentDue::SideDone { op, task } => self.side_done(seat, op, &task),
            AgentDue::LookedInVain { op, observation } => {
                self.looked_in_vain(seat, op, *observation)
            }
            AgentDue::PeerSilent { op, member } => {
                self.peer_says(seat, op, member, PeerAnswer::TimedOut);
            }
            AgentDue::Escalate { op, to } => self.escalate(seat, op, to),
            AgentDue::GiveUp { op } => self.give_up(seat, op),
        }
    }

    fn fencer_comes_due(&mut self, seat: Seat, due: FencerDue) {
        match due {
            FencerDue::Request {
                from_life,
                op,
                request,
            } => {
                self.fencer_asked(seat, from_life, op, request);
            }
            FencerDue::Deadline => self.deadline_comes(seat),
            FencerDue::KillAll => self.fencer_kills(seat),
        }
    }

    fn pg_comes_due(&mut self, seat: Seat, due: PgDue) {
        match due {
            PgDue::Recovered => self.recovered(seat),
            PgDue::StartFails => self.start_fails(seat),
            PgDue::SessionsEnded => self.sessions_ended(seat),
            PgDue::ShutdownCheckpoint => self.shutdown_checkpoint(seat),
            PgDue::GhostsGone => {
                self.release_confirmed(seat);
                self.end_when_standbys_have_it(seat);
            }
            PgDue::QuitDone => self.quit_done(seat),
            PgDue::Killed => self.killed(seat),
            PgDue::SessionsNotice => self.sessions_notice(seat),
            PgDue::LoopsNotice => self.loops_notice(seat),
            PgDue::CrashRestart => self.recovered(seat),
            PgDue::Promoted => self.promoted(seat),
            PgDue::Checkpointed => self.checkpointed(seat),
            PgDue::Flush => self.flushed(seat),
            PgDue::LoopCommit => self.loop_commit(seat),
            PgDue::Connect => self.connect(seat),
            PgDue::WalArrives { id, upto, sent_at } => self.wal_arrives(seat, id, upto, sent_at),
            PgDue::ReplyArrives {
                id,
                lsn,
                replayed,
                sent_at,
            } => self.reply_arrives(seat, id, (lsn, replayed), sent_at),
            PgDue::StallCheck { id } => self.stall_check(seat, id),
            PgDue::Disconnected { id } => self.disconnected(seat, id),
            PgDue::ArchiverGaveUp => self.archiver_gave_up(seat),
            PgDue::TimedCheckpoint => self.timed_checkpoint(seat),
        }
    }

    fn check_always(&mut self) {
        self.note_stop_bound();
        self.check_one_writer();
        self.check_no_writer_past_deadline();
        self.check_one_content();
        self.check_one_says_primary();
        self.check_lets_clients_in();
        self.note_no_change();
    }

    // ---- what is so ----

    pub(crate) fn name(&self, seat: Seat) -> MemberName {
        self.shape.members[seat.index()].name.clone()
    }
    /// The name that its agent knows itself by.
    pub(crate) fn goes_by(&self, seat: Seat) -> MemberName {
        let member = &self.shape.members[seat.index()];
        member.goes_by.as_ref().unwrap_or(&member.name).clone()
    }
    /// It is run by Patroni: what Tanist promises of its members is not promised of this one.
    pub(crate) fn is_patroni(&self, seat: Seat) -> bool {
        self.hosts[seat.index()].runs == Runs::Patroni
    }
    pub(crate) fn powered(&self, seat: Seat) -> bool {
        self.hosts[seat.index()].power == Power::On
    }
    /// Maintenance mode is on: the store says so, or it lost the configuration and somebody still knows.
    pub(crate) fn is_paused(&self) -> bool {
        let mut agents = self.hosts.iter().filter_map(|host| host.agent.as_ref());
        let known = self.store.get("config").is_some() || agents.any(|a| a.agent.paused());
        self.maintenance == Maintenance::Paused && known
    }

    pub fn broken(&self) -> Option<&Broken> {
        self.oracle.broken.as_ref()
    }
    /// Everything that happened so far, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }
    pub fn marks(&self) -> &Marks {
        &self.marks
    }
    /// How often each invariant was evaluated, by its name.
    pub fn evaluations(&self) -> BTreeMap<&'static str, Counted> {
        self.oracle.counted()
    }
    /// Which assumptions do not hold any more, and why.
    pub fn broken_assumptions(&self) -> Vec<String> {
        let broken = self.oracle.assumptions.broken().iter();
        broken
            .map(|(what, why)| format!("{what:?}: {why}"))
            .collect()
    }
    /// The next draw of every stream: equal for two runs that drew equally.
    pub fn unseed(&self) -> BTreeMap<String, u64> {
        let next = self.chance.unseed().into_iter();
        next.map(|(name, draw)| (name.to_string(), draw)).collect()
    }

    /// Which members `who` names now; those that are drawn come from the stream `who`.
    pub fn resolve(&mut self, who: &Who) -> Vec<MemberName> {
        self.seats(who)
            .into_iter()
            .map(|seat| self.name(seat))
            .collect()
    }

    /// A number that two runs share only if the same happened in both.
    pub fn digest(&self) -> u64 {
        let text = serde_json::to_string(&(&self.events, self.unseed(), self.now(), self.steps))
            .expect("events are plain data");
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    // ---- the story ----

    pub(crate) fn tell_story(&mut self, what: What) {
        self.events.push(Event {
            at: self.agenda.now(),
            what,
        });
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        if self.marks.hit(mark) {
            self.tell_story(What::Mark(mark.name().to_string()));
        }
    }

    pub(crate) fn get_stuck(&mut self, hop: Hop, due: Due) {
        if self.stuck.len() < STUCK_MAX {
            self.stuck.push((hop, due));
        }
    }
}
