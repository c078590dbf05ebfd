//! The exclusive lane of a data directory: which operation an agent has under way, and how it ends.
//! Knows nothing of whether it was wise to begin it.

use crate::due::{AgentDue, CommandStep, Ticket};
use crate::event::What;
use crate::host::Lane;
use crate::marks::Mark;
use crate::pg::archive::Archiving;
use crate::pg::connections::TOO_MANY;
use crate::pg::instance::{Layout, Phase};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::input::Input;
use tanist_core::name::{OpId, Term};
use tanist_core::postgres::{Ended, Operation, PgInput};

impl World {
    /// An agent begins an operation.
    pub(crate) fn begin_operation(
        &mut self,
        seat: Seat,
        op: OpId,
        operation: Operation,
        term: Option<Term>,
    ) {
        self.watch_operation(seat, &operation, term);
        let source = match &operation {
            Operation::Clone { source } | Operation::Rewind { source } => {
                let from = self.seat_of_host(&source.address.host);
                let pg = from.map(|from| &self.pgs[from.index()]);
                pg.map(|pg| {
                    let dir = &pg.dir;
                    (pg.run, dir.control.timeline, pg.in_recovery(), dir.wal)
                })
            }
            Operation::Initdb
            | Operation::PostBootstrap
            | Operation::Start { .. }
            | Operation::Stop { .. }
            | Operation::Promote { .. }
            | Operation::CrashRecovery
            | Operation::DiscardData { .. } => None,
        };
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        let life = agent.life;
        agent.lane = Some(Lane {
            op,
            operation: operation.clone(),
            term,
            source_run: source.map(|(run, ..)| run),
            source_timeline: source.map(|(_, timeline, ..)| timeline),
            archive_takes: self.pgs[seat.index()].archiving == Archiving::Works,
            source_recovering: source.is_some_and(|(_, _, recovering, _)| recovering),
            source_wal: source.map(|(.., end)| end),
            replaced: Vec::new(),
        });
        let (member, verb) = (self.name(seat), operation.verb().to_string());
        self.tell_story(What::Operation {
            member,
            verb,
            outcome: None,
        });
        let ticket = Ticket { life, op };
        match operation {
            Operation::Start {
                role,
                parameters,
                timeout,
            } => match self.start_server(seat, &role, &parameters, Some(ticket)) {
                Ok(()) => self.agent_due(seat, timeout, AgentDue::GiveUp { op }),
                Err(why) => self.finish_op(seat, Some(ticket), Ended::Failed(why)),
            },
            Operation::Stop {
                plan,
                checkpoint_first: _,
            } => self.begin_stop(seat, op, plan),
            // Asked over a session before anything is noted.
            Operation::Promote { .. } if self.pgs[seat.index()].accepts_writes() => {
                let why = "cannot promote: it is not in recovery".to_string();
                self.finish_op(seat, Some(ticket), Ended::Failed(why));
            }
            Operation::Promote { .. } if self.is_crowded(seat) => {
                let why = format!("cannot promote: {TOO_MANY}");
                self.finish_op(seat, Some(ticket), Ended::Failed(why));
            }
            Operation::Promote { mark, timeout } => {
                // Tanist's adapter notes it beside the data directory.
                if !self.is_patroni(seat) {
                    self.pgs[seat.index()].promoted.push(mark);
                }
                match self.promote(seat, false) {
                    Ok(()) => self.agent_due(seat, timeout, AgentDue::GiveUp { op }),
                    Err(why) => self.finish_op(seat, Some(ticket), Ended::Failed(why)),
                }
            }
            Operation::Clone { .. } if self.pgs[seat.index()].dir.layout != Layout::Empty => {
                let why = "pg_basebackup: directory exists but is not empty".to_string();
                self.finish_op(seat, Some(ticket), Ended::Failed(why));
            }
            Operation::Initdb
            | Operation::PostBootstrap
            | Operation::Clone { .. }
            | Operation::CrashRecovery
            | Operation::Rewind { .. }
            | Operation::DiscardData { .. } => self.begin_command(seat, ticket, &operation),
        }
    }

    pub(crate) fn command_step(&mut self, seat: Seat, ticket: Ticket, step: CommandStep) {
        let lane = self.hosts[seat.index()]
            .life(ticket.life)
            .and_then(|agent| agent.lane.clone());
        let Some(lane) = lane.filter(|lane| lane.op == ticket.op) else {
            return;
        };
        let ended = match (step, &lane.operation) {
            (CommandStep::InitdbDone, _) => self.initdb_done(seat),
            (CommandStep::CloneDone, Operation::Clone { source }) => {
                let ended = self.clone_done(seat, source);
                self.remove_half_a_clone(seat);
                ended
            }
            (CommandStep::RewindDone, Operation::Rewind { source }) => {
                self.rewind_done(seat, source)
            }
            (CommandStep::RecoveryDone, _) => self.recovery_done(seat),
            (_, Operation::DiscardData { .. }) => self.discard_data(seat),
            (_, Operation::PostBootstrap) if self.pgs[seat.index()].accepts_writes() => {
                self.pgs[seat.index()].dir.roles_owed = false;
                Ended::Done
            }
            (CommandStep::Done | CommandStep::CloneDone | CommandStep::RewindDone, _) => {
                Ended::Failed("the server does not accept connections".to_string())
            }
        };
        self.finish_op(seat, Some(ticket), ended);
    }

    /// What a base backup that ended early had copied is removed by whoever ran it.
    fn remove_half_a_clone(&mut self, seat: Seat) {
        let dir = &mut self.pgs[seat.index()].dir;
        if dir.layout == Layout::HalfCloned {
            dir.layout = Layout::Empty;
        }
    }

    /// Ends the operation, if it is still the one that its agent has under way.
    pub(crate) fn finish_op(&mut self, seat: Seat, ticket: Option<Ticket>, ended: Ended) {
        let Some(ticket) = ticket else {
            return;
        };
        let Some(agent) = self.hosts[seat.index()].life(ticket.life) else {
            return;
        };
        if agent.lane.as_ref().is_none_or(|lane| lane.op != ticket.op) {
            return;
        }
        let Some(lane) = agent.lane.take() else {
            return;
        };
        let outcome = match &ended {
            Ended::Done | Ended::Upstream(_) => "done".to_string(),
            Ended::Failed(why) => format!("failed: {why}"),
            Ended::Cancelled => "cancelled".to_string(),
        };
        self.note_rewind(seat, &lane.operation, &ended);
        match (&lane.operation, &ended) {
            (Operation::CrashRecovery, Ended::Done) => self.mark(Mark::CrashRecoveryDone),
            (Operation::DiscardData { .. }, Ended::Done) => self.mark(Mark::DataDiscarded),
            (Operation::Clone { .. }, Ended::Failed(_)) => self.mark(Mark::CloneBroke),
            (_, _) => {}
        }
        let (member, verb) = (self.name(seat), lane.operation.verb().to_string());
        self.tell_story(What::Operation {
            member,
            verb,
            outcome: Some(outcome),
        });
        // The real adapter looks before it tells of the end, so that nobody decides on what was before.
        self.looked(seat, None);
        for op in lane.replaced.into_iter().chain([ticket.op]) {
            let ended = ended.clone();
            self.tell(seat, Input::Postgres(PgInput::Finished { op, ended }));
        }
    }

    fn ticket_if(&self, seat: Seat, wanted: impl Fn(&Operation) -> bool) -> Option<Ticket> {
        let agent = self.hosts[seat.index()].agent.as_ref()?;
        let lane = agent.lane.as_ref().filter(|lane| wanted(&lane.operation))?;
        Some(Ticket {
            life: agent.life,
            op: lane.op,
        })
    }

    pub(crate) fn finish_promote(&mut self, seat: Seat, ended: Ended) {
        let promotes = |operation: &Operation| matches!(operation, Operation::Promote { .. });
        let ticket = self.ticket_if(seat, promotes);
        self.finish_op(seat, ticket, ended);
    }

    /// No process is left: ends whatever waited for that, or for the opposite.
    pub(crate) fn server_ended(&mut self, seat: Seat, starting_for: Option<Ticket>) {
        let gone = || Ended::Failed("the server ended".to_string());
        self.finish_op(seat, starting_for, gone());
        self.finish_promote(seat, gone());
        let stops = |operation: &Operation| matches!(operation, Operation::Stop { .. });
        let ticket = self.ticket_if(seat, stops);
        self.finish_op(seat, ticket, Ended::Done);
    }

    /// An operation's own time is over.
    pub(crate) fn give_up(&mut self, seat: Seat, op: OpId) {
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        let ticket = Ticket {
            life: agent.life,
            op,
        };
        let Some(lane) = agent.lane.as_ref().filter(|lane| lane.op == op) else {
            return;
        };
        let ended = match lane.operation {
            Operation::Stop { .. } => Ended::Done,
            Operation::Start { .. } => {
                let now = self.now();
                self.oracle.evidence.start_given_up.insert(seat, now);
                Ended::Failed("not ready in time".to_string())
            }
            Operation::Promote { .. } => Ended::Failed("still in recovery".to_string()),
            Operation::Initdb
            | Operation::PostBootstrap
            | Operation::Clone { .. }
            | Operation::CrashRecovery
            | Operation::Rewind { .. }
            | Operation::DiscardData { .. } => return,
        };
        self.finish_op(seat, Some(ticket), ended);
    }

    /// Ends the operation if it has not taken effect. What runs half-way leaves what it has made.
    pub(crate) fn cancel(&mut self, seat: Seat, op: OpId) {
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        let ticket = Ticket {
            life: agent.life,
            op,
        };
        let Some(lane) = agent.lane.clone().filter(|lane| lane.op == op) else {
            return;
        };
        match lane.operation {
            Operation::Clone { .. } | Operation::Initdb => {
                self.remove_half_a_clone(seat);
                self.finish_op(seat, Some(ticket), Ended::Cancelled);
            }
            Operation::Rewind { .. } => {
                self.abandon_rewind(seat);
                self.finish_op(seat, Some(ticket), Ended::Cancelled);
            }
            Operation::Start { .. } => {
                let starting = self.pgs[seat.index()].server.as_ref().map(|s| s.phase);
                if matches!(
                    starting,
                    Some(Phase::Starting | Phase::Recovery { consistent: false })
                ) {
                    self.finish_op(seat, Some(ticket), Ended::Cancelled);
                    self.quit_all(seat);
                }
            }
            Operation::Stop { .. } => self.stop_at_once(seat, op),
            // The signal has been sent: nobody waits for it any more, and the server goes on.
            Operation::Promote { .. } => {
                let why = "cancelled after the promote signal: it may yet leave recovery";
                self.finish_op(seat, Some(ticket), Ended::Failed(why.to_string()));
            }
            // Past their point of no return: they end as they would have.
            Operation::PostBootstrap | Operation::CrashRecovery | Operation::DiscardData { .. } => {
            }
        }
    }

    /// A rewind that is killed has written some of its blocks, or none yet.
    pub(crate) fn abandon_rewind(&mut self, seat: Seat) {
        if self.chance.pg.chance(500) && self.pgs[seat.index()].dir.layout == Layout::Cluster {
            self.begin_copy(seat);
            self.pgs[seat.index()].dir.layout = Layout::HalfRewound;
            self.mark(crate::marks::Mark::RewindBroken);
        }
    }

    /// The agent's process is gone: commands that it ran die with it and leave what they had made.
    pub(crate) fn abandon_lane(&mut self, seat: Seat, lane: &Lane) {
        match lane.operation {
            Operation::Rewind { .. } => self.abandon_rewind(seat),
            Operation::Initdb
            | Operation::PostBootstrap
            | Operation::Clone { .. }
            | Operation::Start { .. }
            | Operation::Stop { .. }
            | Operation::Promote { .. }
            | Operation::CrashRecovery
            | Operation::DiscardData { .. } => {}
        }
    }
}
