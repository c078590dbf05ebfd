//! Side tasks of an agent: looks, checkpoints, slots, reloads, questions to an upstream.
//! Knows nothing of the exclusive lane.

use crate::act::Trouble;
use crate::due::{AgentDue, PgDue};
use crate::event::What;
use crate::marks::Mark;
use crate::pg::connections::TOO_MANY;
use crate::pg::instance::{Phase, Retained};
use crate::pg::streaming::data_hop;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::input::Input;
use tanist_core::name::{OpId, RequestId};
use tanist_core::operator::Answer;
use tanist_core::postgres::{Ended, Observation, PgInput, SideTask};
use tanist_core::time::{Mono, Span};

impl World {
    pub(crate) fn begin_side(&mut self, seat: Seat, op: OpId, task: SideTask, until: Mono) {
        let deadline = self.hosts[seat.index()].clock.when(until).since(self.now());
        let quick = self.chance.pg.span(Span::micros(500), Span::millis(4));
        let silent = self.is_silent(seat);
        if let SideTask::AdvanceSlot { name, to } = &task {
            self.check_slot_advance(seat, name, *to);
        }
        match task {
            SideTask::Probe if silent => {
                let observation = Box::new(self.observation(seat));
                if let Some(agent) = self.hosts[seat.index()].agent.as_mut() {
                    agent.silent_looks.insert(op);
                }
                self.agent_due(seat, deadline, AgentDue::LookedInVain { op, observation });
            }
            SideTask::Probe => self.agent_due(seat, quick, AgentDue::Looked { op: Some(op) }),
            task => {
                let slow = matches!(task, SideTask::Checkpoint);
                let takes = match (silent, slow) {
                    (true, _) => deadline,
                    (false, true) => self.checkpoint_takes(seat),
                    (false, false) => quick,
                };
                let task = Box::new(task);
                self.agent_due(seat, takes.min(deadline), AgentDue::SideDone { op, task });
            }
        }
    }

    /// CHECKPOINT, asked for over a session.
    fn checkpoint_takes(&mut self, seat: Seat) -> Span {
        let usual = self.chance.pg.span(Span::millis(20), Span::secs(2));
        let trouble = self.pgs[seat.index()].meets(|trouble| match trouble {
            Trouble::CheckpointTakes(span) => Some(span),
            _ => None,
        });
        trouble.unwrap_or(usual)
    }

    pub(crate) fn looked(&mut self, seat: Seat, op: Option<OpId>) {
        let observation = self.sabotage.observation(self.observation(seat));
        self.tell(seat, Input::Postgres(PgInput::Observed { op, observation }));
    }

    /// The disk or the postmaster answers again, and so do the looks that wait for it.
    pub(crate) fn end_silent_looks(&mut self, seat: Seat) {
        if self.is_silent(seat) {
            return;
        }
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        let quick = Span::millis(2);
        for op in std::mem::take(&mut agent.silent_looks) {
            self.agent_due(seat, quick, AgentDue::Looked { op: Some(op) });
        }
    }

    /// The server did not answer in time; the rest of the look is as good as ever.
    pub(crate) fn looked_in_vain(&mut self, seat: Seat, op: OpId, observation: Observation) {
        let agent = self.hosts[seat.index()].agent.as_mut();
        if !agent.is_some_and(|agent| agent.silent_looks.remove(&op)) {
            return;
        }
        let op = Some(op);
        self.tell(seat, Input::Postgres(PgInput::Observed { op, observation }));
    }

    pub(crate) fn side_done(&mut self, seat: Seat, op: OpId, task: &SideTask) {
        let ended = self.run_side(seat, task);
        self.tell(seat, Input::Postgres(PgInput::Finished { op, ended }));
    }

    fn run_side(&mut self, seat: Seat, task: &SideTask) -> Ended {
        let failed = |why: &str| Ended::Failed(why.to_string());
        if let SideTask::AskUpstream { upstream, mine } = task {
            let from = self.seat_of_host(&upstream.address.host);
            let open =
                |from: &Seat| self.powered(*from) && self.wire.connects(data_hop(seat, *from));
            let facts = from
                .filter(open)
                .and_then(|from| self.upstream_facts(seat, from, *mine));
            return facts.map_or_else(|| failed("could not connect"), Ended::Upstream);
        }
        let answers = self.pgs[seat.index()]
            .server
            .as_ref()
            .is_some_and(|s| s.accepts());
        if !answers {
            return failed("the server does not accept connections");
        }
        if self.is_crowded(seat) {
            return failed(TOO_MANY);
        }
        match task {
            SideTask::Probe | SideTask::AskUpstream { .. } => {}
            SideTask::Checkpoint => self.checkpointed(seat),
            SideTask::Reconfigure { role, parameters } => {
                // A reload changes upstream and parameters; it never makes a standby of a primary.
                let signal = self.pgs[seat.index()].dir.standby_signal;
                self.configure(seat, role, parameters);
                self.pgs[seat.index()].dir.standby_signal = signal;
                self.reread_synchronous(seat);
                self.reconnect(seat);
            }
            SideTask::CreateSlot { name } => {
                // WAL is reserved at once: from the last checkpoint or restartpoint.
                let dir = &mut self.pgs[seat.index()].dir;
                let from = Retained::new(dir.control.checkpoint);
                dir.slots.entry(name.clone()).or_insert(from);
            }
            SideTask::DropSlot { name, if_lost } => {
                let slot = self.pgs[seat.index()].dir.slots.get(name);
                if *if_lost && slot.is_some_and(|slot| slot.from.is_some()) {
                    return Ended::Done;
                }
                if self.slot_in_use(seat, name) {
                    return failed("replication slot is active");
                }
                self.check_slot_drop(seat, name);
                self.pgs[seat.index()].dir.slots.remove(name);
            }
            SideTask::AdvanceSlot { name, to } => {
                let pg = &mut self.pgs[seat.index()];
                let standby = pg.server.as_ref().filter(|s| s.in_recovery());
                let most = standby.map_or(pg.dir.wal.lsn, |s| s.replayed);
                match pg.dir.slots.get_mut(name) {
                    // The adapter moves none that retains nothing.
                    Some(slot) if slot.from.is_none() => {}
                    Some(slot) => slot.from = slot.from.max(Some(Ord::min(*to, most))),
                    None => return failed("replication slot does not exist"),
                }
            }
        }
        Ended::Done
    }

    fn slot_in_use(&self, seat: Seat, name: &str) -> bool {
        self.standbys_of(seat).into_iter().any(|standby| {
            let receiver = self.pgs[standby.index()].receiver();
            receiver.is_some_and(|r| r.slot.as_deref() == Some(name))
        })
    }

    /// A reload with another upstream restarts the WAL receiver.
    fn reconnect(&mut self, seat: Seat) {
        let upstream = self.pgs[seat.index()].dir.upstream.clone();
        let wanted = upstream
            .as_ref()
            .and_then(|u| self.seat_of_host(&u.address.host));
        let Some(server) = self.pgs[seat.index()].server.as_mut() else {
            return;
        };
        if !matches!(server.phase, Phase::Recovery { .. }) {
            return;
        }
        let slot = upstream.and_then(|u| u.slot);
        match server.receiver.as_ref() {
            Some(r) if Some(r.from) == wanted && r.slot == slot => {}
            Some(r) => {
                let from = r.from;
                server.receiver = None;
                let member = self.name(seat);
                self.tell_story(What::Streaming { member, from: None });
                self.release_confirmed(from);
                self.end_when_standbys_have_it(from);
                self.pg_due(seat, Span::millis(20), PgDue::Connect);
            }
            None => self.pg_due(seat, Span::millis(20), PgDue::Connect),
        }
    }

    /// An operator's request has ended: one answer is all it gets, be it that nobody knows what becomes of it.
    pub(crate) fn answered(&mut self, seat: Seat, request: RequestId, answer: Answer) {
        let member = self.name(seat);
        if let Answer::Refused { .. } = answer {
            self.mark(Mark::RequestRefused);
        }
        self.check_answer(seat, &request, &answer);
        self.tell_story(What::Answered { member, answer });
        self.requests.answered(&request);
    }
}
