//! Plays the script on the fakes: a world whose agents' processes are there, so that operations have somebody to end
//! for, and whose agents decide nothing. Knows nothing of what real servers answered.

use super::Line;
use super::answer::{Answer, Commit, Seen};
use super::names::Names;
use super::step::{Deed, Lane, Over, Server, Side, Step, Until};
use super::wrong::Wrong;
use crate::act::{Act, PostgresAct, Who};
use crate::moment::Moment;
use crate::pg::archive::SEGMENT;
use crate::pg::instance::{Committer, Phase};
use crate::pg::retention::begin_of_segment;
use crate::pg::wal::CommitId;
use crate::shape::{ClientShape, ClusterShape};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::effect::{Effect, EffectBody};
use tanist_core::input::Input;
use tanist_core::name::{OpId, Term};
use tanist_core::postgres::{Address, Ended, Observation, PgInput, SideTask, Sql};
use tanist_core::time::Span;

/// What an operation, a side task or a wait may take.
const LIMIT: Span = Span::secs(60);
/// `wal_keep_size` of all servers, in segments.
const WAL_KEPT: u64 = 8;
/// How long a look waits for a server that does not answer.
const LOOK: Span = Span::secs(1);
/// From the killing of a postmaster until commits of its backends count as made without it.
const ALONE_AFTER: Span = Span::millis(500);

/// Plays the steps on the fakes; `wrong`: on ones that are wrong on purpose.
pub fn play_on_fake(steps: &[(String, Step)], wrong: Option<Wrong>) -> Vec<Line> {
    let mut bench = Bench::new(wrong);
    let play = |(about, step): &(String, Step)| Line {
        about: about.clone(),
        step: step.clone(),
        seen: bench.step(step),
    };
    steps.iter().map(play).collect()
}

struct Bench {
    world: World,
    names: Names,
    wrong: Option<Wrong>,
    next_op: u64,
    /// By their numbers, from 1.
    commits: Vec<Option<CommitId>>,
    begun: Option<CommitId>,
    /// How many commits there were half a second after a postmaster was killed.
    before_alone: u64,
}

/// Three members and nothing that acts by itself.
fn still_world() -> World {
    let mut shape = ClusterShape::of(&Server::ALL.map(Server::name));
    shape.clients = ClientShape {
        roaming_every: Span::ZERO,
        stubborn_every: Span::ZERO,
        server_loop_every: Span::ZERO,
    };
    let mut world = World::new(shape, 1);
    world.host_agents_outside();
    world.run_until(Moment::secs(1));
    world.take_mail();
    world
}

fn seat(of: Server) -> Seat {
    Seat(of as u8)
}

fn address(of: Server) -> Address {
    Address {
        host: of.name().to_string(),
        port: 5432,
    }
}

impl Bench {
    fn new(wrong: Option<Wrong>) -> Bench {
        Bench {
            world: still_world(),
            names: Names::new(Server::ALL.map(address).to_vec()),
            wrong,
            next_op: 0,
            commits: Vec::new(),
            begun: None,
            before_alone: 0,
        }
    }

    fn step(&mut self, step: &Step) -> Option<Answer> {
        match step {
            Step::Anew => {
                *self = Bench::new(self.wrong);
                None
            }
            Step::Wait(long) => {
                let until = self.world.now() + *long;
                self.mail_until(until, |_, _| None::<()>);
                None
            }
            Step::On(on, deed) => {
                if let Some(wrong) = self.wrong {
                    wrong.before(&mut self.world, seat(*on), deed);
                }
                let seen = self.deed(*on, deed);
                if let Some(wrong) = self.wrong {
                    wrong.after(&mut self.world, seat(*on), deed);
                }
                self.names.answer(deed, seen)
            }
        }
    }

    fn deed(&mut self, on: Server, deed: &Deed) -> Seen {
        match deed {
            Deed::Operate(lane) => self.operate(on, lane),
            Deed::Attend(side) => self.attend(on, side),
            Deed::Look | Deed::LookClosely => Seen::Observed(self.look(on)),
            Deed::Mark(name) => {
                let seen = self.look(on);
                Seen::CameAbout(self.names.mark(name, &seen))
            }
            Deed::Rows => Seen::Rows(self.rows(on)),
            Deed::Await(until) => Seen::CameAbout(self.comes_about(on, until)),
            Deed::Commit(over) => {
                let told = self.commit(on, *over);
                let outcome = told.map_or(Commit::Not, |_| Commit::Acknowledged);
                self.commits.push(told);
                Seen::Commit(outcome)
            }
            Deed::BeginCommit => {
                self.begun = self.begin_commit(on);
                self.commits.push(self.begun);
                Seen::Nothing
            }
            Deed::BegunCommit => {
                let until = self.world.now() + Span::millis(500);
                self.mail_until(until, |_, _| None::<()>);
                Seen::Commit(self.became_of_begun(on))
            }
            Deed::CancelWait => self.act(on, PostgresAct::CancelWaits),
            Deed::Fill => {
                for _ in 0..100 {
                    self.commit(on, Over::Open);
                }
                Seen::Nothing
            }
            Deed::Segments(number) => {
                for _ in 0..*number {
                    let end = self.world.pgs[seat(on).index()].dir.wal.lsn;
                    let bytes = begin_of_segment(end).0 + SEGMENT + 8 - end.0;
                    self.act(on, PostgresAct::Write { bytes });
                }
                Seen::Nothing
            }
            Deed::LimitSlots(segments) => {
                self.world.shape.wal_keep = WAL_KEPT * SEGMENT;
                self.world.shape.slot_keep = Some(u64::from(*segments) * SEGMENT);
                Seen::Nothing
            }
            Deed::CloseSession => {
                self.world.close_sessions(seat(on));
                Seen::Nothing
            }
            Deed::LoopWentOn => Seen::CameAbout(self.loop_went_on(on)),
            Deed::AskToStop => {
                self.world.stop_smart(seat(on));
                Seen::Nothing
            }
            Deed::KillPostmaster => {
                self.act(on, PostgresAct::KillPostmaster);
                let until = self.world.now() + ALONE_AFTER;
                self.mail_until(until, |_, _| None::<()>);
                self.before_alone = self.world.wal.commits_written();
                Seen::Nothing
            }
            Deed::BeginLoop => {
                let every = Span::millis(20);
                self.act(on, PostgresAct::BeginServerLoop { every })
            }
            Deed::FreezePostmaster => self.act(on, PostgresAct::FreezePostmaster),
            Deed::ThawPostmaster => self.act(on, PostgresAct::ThawPostmaster),
            Deed::KillBackend => self.act(on, PostgresAct::CrashBackend),
            Deed::PauseReplay => self.act(on, PostgresAct::PauseReplay),
            Deed::ResumeReplay => self.act(on, PostgresAct::ResumeReplay),
        }
    }

    fn act(&mut self, on: Server, act: PostgresAct) -> Seen {
        let who = Who::from(on.name());
        self.world.apply(&Act::Postgres { who, act });
        Seen::Nothing
    }

    /// Lets the world go on until `found` finds what it looks for in what an agent is told, or it is `until`. Nobody
    /// judges servers that were never led.
    fn mail_until<T>(
        &mut self,
        until: Moment,
        mut found: impl FnMut(Seat, Input) -> Option<T>,
    ) -> Option<T> {
        loop {
            for (process, input) in self.world.take_mail() {
                if let Some(found) = found(process.seat, input) {
                    return Some(found);
                }
            }
            self.world.oracle.broken = None;
            match self.world.next_at() {
                Some(next) if next <= until => self.world.step(),
                Some(_) | None => {
                    self.world.run_until(until);
                    return None;
                }
            };
        }
    }

    fn begin(&mut self, on: Server, body: impl FnOnce(OpId) -> EffectBody) -> OpId {
        self.next_op += 1;
        let id = OpId(self.next_op);
        if let Some((process, _)) = self.world.stands(seat(on)) {
            let body = body(id);
            self.world.begin(process, Effect { id, body });
        }
        id
    }

    fn operate(&mut self, on: Server, lane: &Lane) -> Seen {
        let operation = self.names.operation(on, lane);
        let term = Some(Term(1));
        let op = self.begin(on, |_| EffectBody::Operation { operation, term });
        let until = self.world.now() + LIMIT;
        let mut last = None;
        let ended = self.mail_until(until, |from, input| match input {
            Input::Postgres(PgInput::Observed { observation, .. }) if from == seat(on) => {
                last = Some(observation);
                None
            }
            Input::Postgres(PgInput::Finished { op: of, ended })
                if from == seat(on) && of == op =>
            {
                Some(ended)
            }
            _ => None,
        });
        let ended = ended.unwrap_or_else(|| Ended::Failed("it never ended".to_string()));
        let left = last.unwrap_or_else(|| self.look(on));
        Seen::Ended(ended, left)
    }

    fn attend(&mut self, on: Server, side: &Side) -> Seen {
        let Some(task) = self.names.side_task(on, side) else {
            return Seen::Attended(Ended::Failed("no such mark".to_string()));
        };
        let until = self.world.clocks(seat(on)).mono + LIMIT;
        let op = self.begin(on, |_| EffectBody::Side { task, until });
        let until = self.world.now() + LIMIT;
        let ended = self.mail_until(until, |from, input| match input {
            Input::Postgres(PgInput::Finished { op: of, ended })
                if from == seat(on) && of == op =>
            {
                Some(ended)
            }
            _ => None,
        });
        Seen::Attended(ended.unwrap_or_else(|| Ended::Failed("it never ended".to_string())))
    }

    /// As the agent's adapter looks.
    fn look(&mut self, on: Server) -> Observation {
        let until = self.world.clocks(seat(on)).mono + LOOK;
        let task = SideTask::Probe;
        let op = self.begin(on, |_| EffectBody::Side { task, until });
        let until = self.world.now() + LIMIT;
        let seen = self.mail_until(until, |_, input| match input {
            Input::Postgres(PgInput::Observed {
                op: Some(of),
                observation,
            }) if of == op => Some(observation),
            _ => None,
        });
        seen.unwrap_or_else(|| self.world.observation(seat(on)))
    }

    fn comes_about(&mut self, on: Server, until: &Until) -> bool {
        let deadline = self.world.now() + LIMIT;
        while self.world.now() < deadline {
            let other = match until {
                Until::CaughtUp(other) | Until::HasCheckpointOf(other) => Some(self.look(*other)),
                Until::Answers
                | Until::Gone
                | Until::Streams
                | Until::OnTimeline(_)
                | Until::ReplayPaused
                | Until::SlotPast(..) => None,
            };
            let seen = self.look(on);
            if self.names.holds(until, &seen, other.as_ref()) {
                return true;
            }
            let next = self.world.now() + Span::millis(50);
            self.mail_until(next, |_, _| None::<()>);
        }
        false
    }

    /// The number that it got in the world, if it was acknowledged.
    fn commit(&mut self, on: Server, over: Over) -> Option<CommitId> {
        let server = self.world.pgs[seat(on).index()].server.as_ref()?;
        let has_session = match over {
            Over::Open => server.backends.sessions > 0,
            Over::New => server.accepts(),
        };
        let id = has_session.then(|| self.begin_commit(on)).flatten()?;
        let until = self.world.now() + Span::secs(1);
        while self.world.now() < until {
            let next = self.world.now() + Span::millis(1);
            self.mail_until(next, |_, _| None::<()>);
            if self.world.app.is_acked(id) {
                return Some(id);
            }
        }
        None
    }

    /// The number that it got in the world, if it was taken.
    fn begin_commit(&mut self, on: Server) -> Option<CommitId> {
        let before = self.world.wal.commits_written();
        self.world.commit(seat(on), Committer::Pinned);
        let written = self.world.wal.commits_written();
        (written > before).then_some(CommitId(written))
    }

    fn became_of_begun(&self, on: Server) -> Commit {
        match self.begun {
            Some(id) if self.waits(on, id) => Commit::Waits,
            Some(id) if self.world.app.is_acked(id) => Commit::Acknowledged,
            Some(_) | None => Commit::Not,
        }
    }

    fn waits(&self, on: Server, id: CommitId) -> bool {
        let server = self.world.pgs[seat(on).index()].server.as_ref();
        server.is_some_and(|s| s.unconfirmed.iter().any(|wait| wait.commit == id))
    }

    fn has(&self, on: Server, id: CommitId) -> bool {
        let wal = self.world.pgs[seat(on).index()].dir.wal;
        self.world.wal.has_commit(id, wal)
    }

    fn rows(&mut self, on: Server) -> Option<Vec<u32>> {
        let Sql::Answered(_) = self.look(on).sql else {
            return None;
        };
        let pg = &self.world.pgs[seat(on).index()];
        let server = pg.server.as_ref()?;
        let end = match server.phase {
            Phase::Primary => pg.dir.wal,
            _in_recovery => self.world.wal.cut_at(pg.dir.wal, server.replayed),
        };
        let numbered = self.commits.iter().zip(1..);
        // What waits is in the WAL, and a transaction under way to everybody else.
        let is_seen = |id: CommitId| self.world.wal.has_commit(id, end) && !self.waits(on, id);
        let shown = numbered.filter(|(id, _)| id.is_some_and(is_seen));
        Some(shown.map(|(_, number)| number).collect())
    }

    fn loop_went_on(&self, on: Server) -> bool {
        let later = self.before_alone + 1..=self.world.wal.commits_written();
        later.map(CommitId).any(|id| self.has(on, id))
    }
}
