//! The shell around a Patroni: what it wishes for is begun in the same rooms as what a Tanist asks for, over the same
//! wire; how it ends is told. Also the swap of one agent for the other. Knows nothing of why anything is wished for.

use crate::due::AgentDue;
use crate::event::HowEnded;
use crate::host::{Mind, Run, Talk, UnderWay, Wanted};
use crate::marks::Mark;
use crate::patroni::asks::{Kernel, Said, Sessions};
use crate::patroni::retries::Retries;
use crate::patroni::{Told, Wish, body_of};
use crate::pg::instance::Server;
use crate::shape::Runs;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::input::Input;
use tanist_core::name::OpId;
use tanist_core::postgres::{Ended, Operation, PgInput, SideTask, Sql};
use tanist_core::primitive::{Primitive, PrimitiveOutcome};
use tanist_core::status_json::StatusBody;
use tanist_core::time::{Mono, Span};

/// From the end of one agent to the start of the other.
const SWAP_TAKES: Span = Span::secs(1);

impl World {
    pub(crate) fn patroni_told(&mut self, seat: Seat, input: Input) {
        self.patroni_handles(seat, Told::Input(Box::new(input)));
    }

    /// A call to the store has its verdict, or none in time.
    pub(crate) fn patroni_heard(&mut self, seat: Seat, op: OpId, outcome: PrimitiveOutcome) {
        if let Some(agent) = self.hosts[seat.index()].agent.as_mut() {
            agent.exchanges.remove(&op);
        }
        self.patroni_handles(seat, Told::Heard { op, outcome });
    }

    fn patroni_handles(&mut self, seat: Seat, told: Told) {
        let now = self.host_now(seat);
        let agent = self.hosts[seat.index()].agent.as_mut();
        let Some(Mind::Patroni(patroni)) = agent.map(|agent| &mut agent.agent) else {
            return;
        };
        let wishes = patroni.handle(now, told);
        self.handled += 1;
        self.check_pace(seat, "something", &Default::default());
        for wish in wishes {
            self.begin_wish(seat, wish);
        }
        self.schedule_wake(seat);
    }

    fn begin_wish(&mut self, seat: Seat, wish: Wish) {
        match wish {
            Wish::Call {
                op,
                primitive,
                until,
            } => self.begin_patronis_call(seat, op, primitive, until),
            Wish::Peer { op, request, until } => self.ask_peer(seat, op, request, until),
            Wish::Look { op, until } => self.begin_side(seat, op, SideTask::Probe, until),
            Wish::Side { op, task, until } => self.begin_side(seat, op, task, until),
            Wish::Work { op, operation } => self.begin_patronis_work(seat, op, operation),
            Wish::CancelWork => {
                let lane = self.hosts[seat.index()].agent.as_ref();
                if let Some(op) = lane.and_then(|agent| Some(agent.lane.as_ref()?.op)) {
                    self.cancel(seat, op);
                }
            }
            // It does not wait for its host's kernel.
            Wish::Kernel { op, call } => {
                let said = self.kernel_says(seat, call);
                self.patroni_handles(seat, Told::Kernel { op, said });
            }
            Wish::Reply(request, answer) => self.answered(seat, request, answer),
            Wish::Exit { code } => self.agent_ended(seat, HowEnded::Exited(code)),
        }
    }

    fn kernel_says(&mut self, seat: Seat, call: Kernel) -> Said {
        match call {
            Kernel::Watchdog(call) => Said::Watchdog(self.ask_watchdog(seat, call)),
            Kernel::LookForSessions => {
                let server = self.pgs[seat.index()].server.as_ref();
                let over =
                    |server: &Server| server.stopping.is_some() && server.backends.all() == 0;
                Said::Sessions(match server.is_none_or(over) {
                    true => Sessions::Over,
                    false => Sessions::MayCommit,
                })
            }
        }
    }

    fn begin_patronis_call(&mut self, seat: Seat, op: OpId, primitive: Primitive, until: Mono) {
        let now = self.host_now(seat).mono;
        let retries = Retries::new(primitive, now, until, self.shape.store_servers);
        let step = retries.send(now);
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        let under_way = UnderWay {
            talk: Talk::Patroni(retries),
            call: 0,
            sent_at: now,
            until,
            asked: None,
        };
        agent.exchanges.insert(op, under_way);
        self.take_step(seat, op, step);
    }

    /// A stop replaces the stop that is under way; nothing else begins beside another operation.
    fn begin_patronis_work(&mut self, seat: Seat, op: OpId, operation: Operation) {
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        match (agent.lane.as_mut(), &operation) {
            (None, _) => self.begin_operation(seat, op, operation, None),
            (Some(lane), Operation::Stop { plan, .. })
                if matches!(lane.operation, Operation::Stop { .. }) =>
            {
                let plan = *plan;
                lane.replaced.push(std::mem::replace(&mut lane.op, op));
                lane.operation = operation;
                self.begin_stop(seat, op, plan);
            }
            (Some(_), _) => {
                let ended = Ended::Failed("another operation is under way".to_string());
                let ended = Input::Postgres(PgInput::Finished { op, ended });
                self.agent_due(seat, Span::millis(1), AgentDue::Tell(Box::new(ended)));
            }
        }
    }

    /// What a member's REST says of it, over a session of its own; what was known before says more than a server that
    /// says nothing (the shell's `rest/fresh.rs`).
    pub(crate) fn rest_body(&self, peer: Seat) -> String {
        let here = self.observation(peer);
        let now = self.host_now(peer);
        match self.hosts[peer.index()].agent.as_ref().map(|a| &a.agent) {
            Some(Mind::Patroni(patroni)) => body_of(&patroni.kept, &here, now),
            Some(Mind::Tanist(agent)) => {
                let mut view = agent.view();
                if !matches!(here.sql, Sql::Silent(_) | Sql::Refused(_)) {
                    view.observed = Some(here);
                }
                serde_json::to_string(&StatusBody::of(&view, now)).unwrap_or_default()
            }
            None => String::new(),
        }
    }

    // ---- swapping one agent for the other ----

    /// The agent is asked to end in order, as its supervisor would; the other one is started in its place. In pause both
    /// leave PostgreSQL running.
    pub(crate) fn swap(&mut self, seat: Seat, to: Runs) {
        let host = &mut self.hosts[seat.index()];
        host.becomes = Some(to).filter(|to| *to != host.runs);
        host.wanted = Wanted::Up;
        if host.becomes.is_none() {
            return;
        }
        if host.agent.is_some() {
            return self.tell(seat, Input::Stopping);
        }
        if let Some(after) = self.swap_agent(seat) {
            self.host_due(seat, after, crate::due::HostDue::StartAgent);
        }
    }

    /// The old agent is gone: whoever is started next is the other one.
    pub(crate) fn swap_agent(&mut self, seat: Seat) -> Option<Span> {
        let host = &mut self.hosts[seat.index()];
        host.runs = host.becomes.take()?;
        self.mark(Mark::AgentSwapped);
        Some(SWAP_TAKES)
    }

    /// What a Patroni's REST answers to the primary check: it leads by its own clock.
    pub(crate) fn patroni_says_primary(&self, seat: Seat) -> bool {
        let host = &self.hosts[seat.index()];
        let Some(agent) = host.agent.as_ref().filter(|a| a.run == Run::Running) else {
            return false;
        };
        let Mind::Patroni(patroni) = &agent.agent else {
            return false;
        };
        let now = self.host_now(seat).wall;
        self.pgs[seat.index()].accepts_writes() && patroni.kept.is_leader(now)
    }
}
