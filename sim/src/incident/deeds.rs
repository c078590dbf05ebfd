//! What must have been done to one member for its recording to be what it is: ends and pauses of its agent, what its
//! PostgreSQL did unasked, operations that failed or took long, what people asked for. Knows nothing of other members.
//!
//! A recording shows effects; each is told as the plainest act that has it. A silence of the agent is a frozen agent,
//! be it that the whole host stood still; an agent that comes back and finds its server gone was on a host that crashed,
//! be it that the fencer ended the server.

use super::clocks::Clocks;
use super::recording::{Recording, Told};
use crate::act::{Act, AgentAct, HostAct, OperatorAct, PostgresAct, StoreAct, Trouble, Who};
use std::collections::BTreeMap;
use tanist_core::input::Input;
use tanist_core::keys;
use tanist_core::name::MemberName;
use tanist_core::note::Note;
use tanist_core::operator::OperatorRequest;
use tanist_core::postgres::{DbState, Observation, PgInput, Sql};
use tanist_core::time::{Mono, Now, Span};

/// An act at an instant of the common clock, in microseconds.
pub type Deed = (i128, Act);

/// What takes no longer than this takes so long in the simulator, too.
const USUAL: [(&str, Span); 4] = [
    ("start", Span::secs(3)),
    ("stop", Span::secs(1)),
    ("promote", Span::secs(1)),
    ("clone", Span::secs(30)),
];

/// In microseconds.
const EARLIER: i128 = 15_000_000;

/// What has to be known of the whole cluster.
pub struct Around<'a> {
    pub clocks: &'a Clocks,
    /// An agent that is silent for longer stands still.
    pub pause: Span,
    /// A leader that is away for so long has lost its key, whenever it renewed it last.
    pub lease: Span,
    /// Who got the leader key, and when.
    pub keys: Vec<(i128, MemberName)>,
    /// Where the recordings begin; where the cluster has a leader; where they end.
    pub begin: i128,
    pub formed: i128,
    pub until: i128,
}

/// Everything that was done to the member, in no order.
pub fn of_member(at: usize, recording: &Recording, around: &Around<'_>) -> Vec<Deed> {
    let mut teller = Teller {
        who: Who::Member(recording.member.clone()),
        deeds: Vec::new(),
        ended: BTreeMap::new(),
    };
    let common = |boot: u32, instant: Mono| around.clocks.common((at, boot), instant);
    teller.lives(recording, &common, around);
    let mut server = Server::default();
    let mut begun: Option<(i128, String)> = None;
    for one in &recording.told {
        let now = common(one.boot, one.now.mono);
        if server.life != one.life {
            // Whatever ended with the agent was told with its end.
            server = Server::of(one.life);
            begun = None;
        }
        teller.notes(now, one, around, &mut begun, &mut server);
        teller.asked(now, one.now, &one.input);
        teller.postgres(now, &one.input, begun.is_some(), &mut server);
    }
    teller.deeds
}

/// What the agent has seen of its server in this life.
#[derive(Default)]
struct Server {
    life: u32,
    postmaster: Option<u32>,
    in_recovery: Option<bool>,
    replay_paused: bool,
    silent_since: Option<i128>,
    refuses: bool,
    /// Its end, or its promotion, is the work of an operation or of the fencer.
    expected: bool,
}

impl Server {
    fn of(life: u32) -> Server {
        Server {
            life,
            ..Server::default()
        }
    }
}

impl Around<'_> {
    /// What waits for an operation of the formed cluster must not meet one of its forming.
    fn floor(&self, since: i128) -> i128 {
        match since < self.formed {
            true => self.begin,
            false => self.formed,
        }
    }

    /// The instant of the end is known to a loop only: whoever lost the key in between must lose it here, too.
    fn back(&self, member: &MemberName, ended: i128, back: i128) -> i128 {
        let meanwhile =
            |(at, owner): &(i128, MemberName)| owner != member && ended < *at && *at <= back;
        match self.keys.iter().any(meanwhile) {
            true => back.max(ended + i128::from(self.lease.as_micros())),
            false => back,
        }
    }
}

struct Teller {
    who: Who,
    deeds: Vec<Deed>,
    /// When the latest operation of each kind was over.
    ended: BTreeMap<String, i128>,
}

impl Teller {
    fn tell(&mut self, at: i128, act: Act) {
        self.deeds.push((at, act));
    }

    fn agent(&mut self, at: i128, act: AgentAct) {
        let who = self.who.clone();
        self.tell(at, Act::Agent { who, act });
    }

    fn server(&mut self, at: i128, act: PostgresAct) {
        let who = self.who.clone();
        self.tell(at, Act::Postgres { who, act });
    }

    fn host(&mut self, at: i128, act: HostAct) {
        let who = self.who.clone();
        self.tell(at, Act::Host { who, act });
    }

    /// Ends and pauses of the agent and of its host.
    fn lives(
        &mut self,
        recording: &Recording,
        common: &impl Fn(u32, Mono) -> i128,
        around: &Around<'_>,
    ) {
        let lives = recording.starts.iter().enumerate();
        for (life, (boot, _)) in lives {
            let told: Vec<&Told> = recording
                .told
                .iter()
                .filter(|t| t.life as usize == life)
                .collect();
            for pair in told.windows(2) {
                let silent = pair[1].now.mono.since(pair[0].now.mono);
                if silent > around.pause {
                    let at = common(*boot, pair[0].now.mono);
                    self.agent(at, AgentAct::FreezeFor(whole(silent)));
                }
            }
            let Some(last) = told.last() else { continue };
            let ended = common(*boot, last.now.mono);
            let asked = told
                .iter()
                .find(|t| matches!(t.input, Input::Stopping))
                .map(|t| common(*boot, t.now.mono));
            let next = recording.starts.get(life + 1);
            match next {
                Some((boot_after, start)) => {
                    let back = common(*boot_after, start.mono);
                    let back = around.back(&recording.member, ended, back);
                    let crashed = boot_after != boot || finds_no_server(recording, life + 1);
                    let crashed = crashed && asked.is_none();
                    self.end_of_life(ended, asked, crashed);
                    match crashed {
                        false => self.agent(back, AgentAct::Start),
                        true => self.host(back, HostAct::Boot),
                    }
                }
                None if around.until - ended > i128::from(around.pause.as_micros()) => {
                    self.end_of_life(ended, asked, true);
                }
                None => {}
            }
        }
    }

    fn end_of_life(&mut self, ended: i128, asked: Option<i128>, with_its_host: bool) {
        match asked {
            Some(at) => self.agent(at, AgentAct::Stop),
            None if with_its_host => self.host(ended, HostAct::Crash),
            None => self.agent(ended, AgentAct::Kill),
        }
    }

    /// How operations began and ended.
    fn notes(
        &mut self,
        now: i128,
        one: &Told,
        around: &Around<'_>,
        begun: &mut Option<(i128, String)>,
        server: &mut Server,
    ) {
        for note in &one.notes {
            match note {
                Note::OperationStarted { verb, .. } => {
                    server.expected |= matches!(verb.as_str(), "stop" | "promote" | "start");
                    *begun = Some((now, verb.clone()));
                }
                Note::OperationEnded { verb, how, .. } => {
                    if let Some((since, _)) = begun.take().filter(|(_, begun)| begun == verb) {
                        let floor = around.floor(since);
                        self.operation(since, now, floor, verb, how);
                    }
                }
                Note::FencerFired { .. } => {
                    // What is under way ends with the server.
                    server.expected = true;
                    *begun = None;
                }
                _other => {}
            }
        }
    }

    fn operation(&mut self, since: i128, now: i128, floor: i128, verb: &str, how: &str) {
        let took = Span::micros(u64::try_from(now - since).unwrap_or_default());
        let failed = how.starts_with("failed");
        let before = self.ended.insert(verb.to_string(), now);
        let usual = USUAL.iter().find(|(of, _)| *of == verb);
        let long = usual.is_some_and(|(_, usual)| took > *usual);
        let trouble = match (verb, failed) {
            ("promote", true) if how.contains("server ended") => Trouble::PromoteDiesHalfWay,
            ("promote", true) => Trouble::PromoteFails,
            ("rewind", true) => Trouble::RewindFails,
            ("start", true) => Trouble::StartFails,
            ("clone", true) => Trouble::CloneCut,
            ("initdb", true) => Trouble::InitdbFails,
            ("promote", false) if long => Trouble::PromoteTakes(whole(took)),
            ("start", false) if long => Trouble::StartTakes(whole(took)),
            ("stop", false) if long => Trouble::StopTakes(whole(took)),
            ("clone", false) if long => Trouble::CloneTakes(whole(took)),
            (_, _) => return,
        };
        let who = self.who.clone();
        // It waits for the operation, which may come earlier when the story is told again.
        let at = before.unwrap_or(floor).max(floor).max(since - EARLIER);
        self.tell(at, Act::Trouble { who, trouble });
    }

    fn asked(&mut self, at: i128, now: Now, input: &Input) {
        let Input::Operator(asked) = input else {
            return;
        };
        let (ask, who) = (self.who.clone(), self.who.clone());
        let member = |name: &MemberName| Who::Member(name.clone());
        let act = match &asked.request {
            OperatorRequest::Switchover {
                leader,
                candidate,
                at,
            } => OperatorAct::Switchover {
                ask,
                leader: Some(member(leader)),
                candidate: candidate.as_ref().map(member),
                after: at.map(|at| whole(Span::micros((at.0 - now.wall.0).max(0).unsigned_abs()))),
            },
            OperatorRequest::Failover { candidate } => OperatorAct::Failover {
                ask,
                candidate: member(candidate),
            },
            OperatorRequest::CancelSwitchover => OperatorAct::CancelSwitchover { ask },
            OperatorRequest::Restart => OperatorAct::Restart { who },
            OperatorRequest::Reinitialize { force } => {
                OperatorAct::Reinitialize { who, force: *force }
            }
            OperatorRequest::PatchConfig { patch } => OperatorAct::PatchConfig {
                patch: patch.clone(),
            },
            OperatorRequest::PutConfig { config } => {
                let key = keys::CONFIG.to_string();
                let value = config.clone();
                return self.tell(at, Act::Store(StoreAct::PutKey { key, value }));
            }
        };
        self.tell(at, Act::Operator(act));
    }

    /// What the server did that nobody had asked for.
    fn postgres(&mut self, now: i128, input: &Input, busy: bool, server: &mut Server) {
        let Input::Postgres(PgInput::Observed { observation, .. }) = input else {
            return;
        };
        let seen = observation.processes.postmaster;
        if server.postmaster.is_some() && seen.is_none() && !server.expected {
            self.server(now, how_it_went(observation));
        }
        if let Sql::Answered(status) = &observation.sql {
            let promoted = server.in_recovery == Some(true) && !status.in_recovery;
            if promoted && !server.expected {
                self.server(now, PostgresAct::PromoteByHand);
            }
            match (server.replay_paused, status.replay_paused) {
                (false, true) => self.server(now, PostgresAct::PauseReplay),
                (true, false) => self.server(now, PostgresAct::ResumeReplay),
                (_, _) => {}
            }
            server.in_recovery = Some(status.in_recovery);
            server.replay_paused = status.replay_paused;
            // It is what its operation wanted; what comes now is its own doing.
            server.expected &= busy;
        }
        self.admission(now, &observation.sql, server);
        server.postmaster = seen;
    }

    /// Whether it let the agent in, refused it, or said nothing.
    fn admission(&mut self, now: i128, sql: &Sql, server: &mut Server) {
        let refuses = matches!(sql, Sql::Refused(_));
        match (server.refuses, refuses) {
            (false, true) => self.server(now, PostgresAct::ExhaustConnections),
            (true, false) => self.server(now, PostgresAct::FreeConnections),
            (_, _) => {}
        }
        server.refuses = refuses;
        match (sql, server.silent_since) {
            (Sql::Silent(_), None) => server.silent_since = Some(now),
            (Sql::Silent(_), Some(_)) => {}
            (_, Some(since)) => {
                self.server(since, PostgresAct::FreezePostmaster);
                self.server(now, PostgresAct::ThawPostmaster);
                server.silent_since = None;
            }
            (_, None) => {}
        }
    }
}

/// Has the agent of this life, at its first look, no server before it?
fn finds_no_server(recording: &Recording, life: usize) -> bool {
    let told = recording.told.iter();
    let mut looks = told.filter_map(|one| match &one.input {
        Input::Postgres(PgInput::Observed { observation, .. }) if one.life as usize == life => {
            Some(observation.processes.none_left())
        }
        _other => None,
    });
    looks.next().unwrap_or(false)
}

fn how_it_went(seen: &Observation) -> PostgresAct {
    let clean = seen
        .data_dir
        .control()
        .is_some_and(|c| matches!(c.state, DbState::ShutDown | DbState::ShutDownInRecovery));
    match (clean, seen.processes.backends) {
        (true, _) => PostgresAct::StopByHand,
        (false, 0) => PostgresAct::KillAll,
        (false, _) => PostgresAct::KillPostmaster,
    }
}

/// To the millisecond, as a scenario says it.
fn whole(span: Span) -> Span {
    Span::millis(span.as_millis().max(1))
}
