//! Requests to the store: each runs as the core's own exchange, its calls travel over the wire to one server
//! after another. Knows nothing of what a request is for.

use crate::due::{AgentDue, AnswerLeaves, CallAnswered, CallArrives, Due, StoreDue};
use crate::host::{Talk, UnderWay};
use crate::marks::Mark;
use crate::moment::Moment;
use crate::patroni::retries::Next;
use crate::store::{Change, EXPIRY_SCAN, Verdict};
use crate::wire::{Fate, Hop, Node, Seat, Traffic};
use crate::world::World;
use std::sync::Arc;
use tanist_core::dcs::{DcsInput, DcsOutcome, DcsReply, DcsRequest, KeyOwner, LeaseId, Session};
use tanist_core::exchange::{Exchange, Step};
use tanist_core::input::Input;
use tanist_core::name::{OpId, Term};
use tanist_core::primitive::{Primitive, PrimitiveOutcome, PrimitiveReply};
use tanist_core::time::{Mono, Span};

impl World {
    pub(crate) fn store_hop(seat: Seat, server: u8) -> Hop {
        Hop {
            from: Node::Member(seat),
            to: Node::StoreServer(server),
            traffic: Traffic::Store,
        }
    }

    pub(crate) fn begin_exchange(
        &mut self,
        seat: Seat,
        op: OpId,
        request: DcsRequest,
        until: Mono,
    ) {
        let now = self.host_now(seat);
        if let Some(outcome) = self.imagined_renewal(seat, &request, now.mono) {
            let (sent_at, maybe_since) = (now.mono, None);
            let completed = DcsInput::Completed {
                op,
                sent_at,
                maybe_since,
                outcome,
            };
            return self.tell(seat, Input::Dcs(completed));
        }
        let asked = self.sabotage.is_on().then(|| request.clone());
        let request = self.sabotage.request(seat, request);
        let mut exchange = Exchange::new(request, until);
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        let step = exchange.start(now.mono, &mut agent.session);
        agent.exchanges.insert(
            op,
            UnderWay {
                talk: Talk::Tanist(exchange),
                call: 0,
                sent_at: now.mono,
                until,
                asked,
            },
        );
        self.take_step(seat, op, step);
    }

    /// The canary that tells renewals as done without sending them.
    fn imagined_renewal(&self, seat: Seat, request: &DcsRequest, now: Mono) -> Option<DcsOutcome> {
        let DcsRequest::Renew { .. } = request else {
            return None;
        };
        let key = self
            .store
            .get("leader")
            .filter(|_| self.sabotage.imagines_renewal())?;
        let session = self.hosts[seat.index()].agent.as_ref()?.session.session?;
        Some(DcsOutcome::Ok(DcsReply::Renewed {
            session: Session {
                renewed_at: now,
                ..session
            },
            owner: KeyOwner::Mine {
                term: Term(key.created.0),
            },
            revision: self.store.revision(),
        }))
    }

    pub(crate) fn take_step(&mut self, seat: Seat, op: OpId, step: Step) {
        match step {
            Step::Send { call, until } => self.send_call(seat, op, call, until),
            Step::Wait { until } => {
                let at = self.hosts[seat.index()].clock.when(until);
                let Some(under_way) = self.under_way(seat, op) else {
                    return;
                };
                let due = AgentDue::ExchangeResumes {
                    op,
                    call: under_way.call,
                };
                self.enter_agent(seat, at, due);
            }
            Step::Done {
                outcome,
                sent_at,
                maybe_since,
            } => {
                self.note_session(seat);
                let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
                    return;
                };
                let asked = agent
                    .exchanges
                    .remove(&op)
                    .and_then(|under_way| under_way.asked);
                let outcome = match asked {
                    Some(asked) => self.sabotage.outcome(&asked, outcome),
                    None => outcome,
                };
                let completed = DcsInput::Completed {
                    op,
                    sent_at,
                    maybe_since,
                    outcome,
                };
                self.tell(seat, Input::Dcs(completed));
            }
        }
    }

    fn under_way(&mut self, seat: Seat, op: OpId) -> Option<&mut UnderWay> {
        self.hosts[seat.index()]
            .agent
            .as_mut()?
            .exchanges
            .get_mut(&op)
    }

    fn enter_agent(&mut self, seat: Seat, at: Moment, due: AgentDue) {
        if let Some(agent) = self.hosts[seat.index()].agent.as_ref() {
            let life = agent.life;
            self.agenda.enter(at, Due::Agent { seat, life, due });
        }
    }

    fn send_call(&mut self, seat: Seat, op: OpId, primitive: Primitive, until: Mono) {
        let now = self.now();
        let sent_mono = self.host_now(seat).mono;
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        let (life, server) = (agent.life, agent.server);
        let Some(under_way) = agent.exchanges.get_mut(&op) else {
            return;
        };
        under_way.call += 1;
        under_way.sent_at = sent_mono;
        under_way.until = until;
        let call = under_way.call;
        let hop = World::store_hop(seat, server);
        let arrives = CallArrives {
            seat,
            life,
            op,
            call,
            primitive,
            hop,
            sent_at: now,
        };
        let due = Due::Store(StoreDue::CallArrives(Box::new(arrives)));
        match self.wire.fate(now, hop, &mut self.chance.wire) {
            Fate::Arrives(at) => {
                self.agenda.enter(at, due);
                self.expect_delay(seat, op, call, at);
            }
            Fate::Stuck => {
                self.get_stuck(hop, due);
                self.expect_silence(seat, op, call);
            }
            Fate::Lost => self.expect_silence(seat, op, call),
            Fate::Refused => self.refused(seat, op, call),
        }
    }

    /// No answer will come: the call times out at its deadline. Only entered when it is known to matter.
    fn expect_silence(&mut self, seat: Seat, op: OpId, call: u32) {
        let Some(until) = self
            .under_way(seat, op)
            .filter(|u| u.call == call)
            .map(|u| u.until)
        else {
            return;
        };
        let at = self.hosts[seat.index()].clock.when(until);
        self.enter_agent(seat, at, AgentDue::CallTimedOut { op, call });
    }

    /// It will be under way until then, which may be longer than anybody waits for it.
    fn expect_delay(&mut self, seat: Seat, op: OpId, call: u32, until: Moment) {
        let Some(deadline) = self.under_way(seat, op).map(|under_way| under_way.until) else {
            return;
        };
        if until > self.hosts[seat.index()].clock.when(deadline) {
            self.expect_silence(seat, op, call);
        }
    }

    fn refused(&mut self, seat: Seat, op: OpId, call: u32) {
        let outcome = PrimitiveOutcome::NotSent("connection refused".to_string());
        let answered = CallAnswered { op, call, outcome };
        let at = self.now() + Span::millis(1);
        self.enter_agent(seat, at, AgentDue::CallAnswered(Box::new(answered)));
    }

    /// A call reaches its server, whoever still waits for the answer.
    pub(crate) fn call_arrives(&mut self, call: CallArrives) {
        let now = self.now();
        let CallArrives {
            seat,
            life,
            op,
            call,
            primitive,
            hop,
            sent_at,
        } = call;
        let waits = self.hosts[seat.index()].life(life).is_some();
        if !self.wire.arrives(sent_at, hop, &mut self.chance.wire) {
            if waits {
                self.expect_silence(seat, op, call);
            }
            return;
        }
        let Node::StoreServer(server) = hop.to else {
            return;
        };
        let mut change = None;
        let before = self.key_owner();
        let verdict = self
            .store
            .call(now, server, &primitive, &mut self.chance.dcs, &mut change);
        if let Verdict::Answer {
            outcome: PrimitiveOutcome::Ok(reply),
            ..
        } = &verdict
        {
            self.lease_granted(reply);
            if matches!(reply, PrimitiveReply::All(_)) && self.store.is_behind(server) {
                self.mark(Mark::StaleRead);
            }
        }
        let applied = change.is_some();
        if let Some(change) = change {
            self.watch_hand_over(Some(seat), before, &change);
            self.store_changed(change);
        }
        let late = self.under_way(seat, op).is_none_or(|u| u.call != call);
        if applied && (late || !waits) {
            self.mark(Mark::AppliedAfterGivingUp);
        }
        if !waits {
            return;
        }
        match verdict {
            Verdict::Answer { after, outcome } => {
                let leaves = AnswerLeaves {
                    seat,
                    life,
                    op,
                    call,
                    outcome,
                    hop: hop.back(),
                };
                let due = Due::Store(StoreDue::AnswerLeaves(Box::new(leaves)));
                self.agenda.enter(now + after, due);
                self.expect_delay(seat, op, call, now + after);
            }
            Verdict::Refused => self.refused(seat, op, call),
            Verdict::Silence => self.expect_silence(seat, op, call),
        }
    }

    /// The answer sets out on its way back.
    pub(crate) fn answer_leaves(&mut self, answer: AnswerLeaves) {
        let AnswerLeaves {
            seat,
            life,
            op,
            call,
            outcome,
            hop,
        } = answer;
        let now = self.now();
        let fate = self.wire.fate(now, hop, &mut self.chance.wire);
        let Some(agent) = self.hosts[seat.index()].life(life) else {
            return;
        };
        let Some(under_way) = agent.exchanges.get(&op).filter(|u| u.call == call) else {
            return;
        };
        let deadline = under_way.until;
        let reached = match fate {
            Fate::Arrives(at) if at <= self.hosts[seat.index()].clock.when(deadline) => Some(at),
            Fate::Arrives(_) | Fate::Stuck | Fate::Lost | Fate::Refused => None,
        };
        let Some(at) = reached else {
            if acquired(&outcome) {
                self.mark(Mark::AcquireInDoubt);
            }
            return self.expect_silence(seat, op, call);
        };
        let answered = Box::new(CallAnswered { op, call, outcome });
        let due = AgentDue::CallAnswered(answered);
        self.agenda.enter(at, Due::Agent { seat, life, due });
    }

    pub(crate) fn call_answered(&mut self, seat: Seat, answered: CallAnswered) {
        let CallAnswered { op, call, outcome } = answered;
        let now = self.host_now(seat).mono;
        let server_failed = matches!(
            outcome,
            PrimitiveOutcome::NotSent(_) | PrimitiveOutcome::Unknown(_)
        );
        let servers = self.shape.store_servers.max(1);
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        let Some(under_way) = agent.exchanges.get_mut(&op).filter(|u| u.call == call) else {
            return;
        };
        if server_failed {
            agent.server = (agent.server + 1) % servers;
        }
        let sent_at = under_way.sent_at;
        let step = match &mut under_way.talk {
            Talk::Tanist(exchange) => exchange.answered(now, sent_at, outcome, &mut agent.session),
            Talk::Patroni(retries) => match retries.answered(now, outcome) {
                Next::Step(step) => step,
                Next::Verdict(outcome) => return self.patroni_heard(seat, op, outcome),
            },
        };
        self.take_step(seat, op, step);
    }

    pub(crate) fn call_timed_out(&mut self, seat: Seat, op: OpId, call: u32) {
        let outcome = PrimitiveOutcome::Unknown("no answer in time".to_string());
        self.call_answered(seat, CallAnswered { op, call, outcome });
    }

    pub(crate) fn exchange_resumes(&mut self, seat: Seat, op: OpId, call: u32) {
        let now = self.host_now(seat).mono;
        let Some(agent) = self.hosts[seat.index()].agent.as_mut() else {
            return;
        };
        let Some(under_way) = agent.exchanges.get_mut(&op).filter(|u| u.call == call) else {
            return;
        };
        let step = match &mut under_way.talk {
            Talk::Tanist(exchange) => exchange.resumed(now, &mut agent.session),
            Talk::Patroni(retries) => retries.send(now),
        };
        self.take_step(seat, op, step);
    }

    /// A new lease is in the world: it will be looked at when it may have run out.
    fn lease_granted(&mut self, reply: &PrimitiveReply) {
        if let PrimitiveReply::Granted { lease, .. } = reply {
            self.enter_expiry(*lease);
        }
    }

    fn enter_expiry(&mut self, lease: LeaseId) {
        if let Some(at) = self.store.leases.expires_at(lease) {
            let late = self.chance.dcs.span(Span::ZERO, EXPIRY_SCAN);
            self.agenda
                .enter(at + late, Due::Store(StoreDue::Expiry { lease }));
        }
    }

    pub(crate) fn lease_may_expire(&mut self, lease: LeaseId) {
        let now = self.now();
        let before = self.key_owner();
        match self.store.expire(now, lease) {
            (Some(change), _) => {
                self.mark(Mark::LeaseExpired);
                self.watch_hand_over(None, before, &change);
                self.store_changed(change);
            }
            (None, Some(_)) => self.enter_expiry_later(lease),
            (None, None) => {}
        }
    }

    /// After a roll-back every lease of the restored state is looked at again.
    pub(crate) fn reenter_expiries(&mut self) {
        for lease in self.store.leases.ids() {
            self.enter_expiry(lease);
        }
    }

    fn enter_expiry_later(&mut self, lease: LeaseId) {
        let now = self.now();
        let expires = self.store.leases.expires_at(lease).unwrap_or(now);
        let late = self.chance.dcs.span(Span::ZERO, EXPIRY_SCAN);
        let at = Ord::max(expires, now + Span::millis(1)) + late;
        self.agenda
            .enter(at, Due::Store(StoreDue::Expiry { lease }));
    }

    /// Keys have changed: those who watch are told, and the story.
    pub(crate) fn store_changed(&mut self, change: Change) {
        self.tell_keys(&change);
        self.feed_watches(&Arc::new(change));
    }
}

fn acquired(outcome: &PrimitiveOutcome) -> bool {
    match outcome {
        PrimitiveOutcome::Ok(PrimitiveReply::Transaction { succeeded, .. }) => *succeeded,
        PrimitiveOutcome::Ok(_)
        | PrimitiveOutcome::LeaseNotFound
        | PrimitiveOutcome::Denied(_)
        | PrimitiveOutcome::NotSent(_)
        | PrimitiveOutcome::Unknown(_) => false,
    }
}
