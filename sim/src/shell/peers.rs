//! REST between members: a question travels, the other's REST thread answers from its latest view, the
//! answer travels back. Knows nothing of why it is asked.

use crate::due::{AgentDue, Due, Question};
use crate::host::{Power, Run};
use crate::patroni::read_status;
use crate::wire::{Fate, Hop, Node, Seat, Traffic};
use crate::world::World;
use tanist_core::input::Input;
use tanist_core::name::{MemberName, OpId};
use tanist_core::peer::{PeerAnswer, PeerInput, PeerRequest};
use tanist_core::peer_json;
use tanist_core::time::{Mono, Span};

impl World {
    pub(crate) fn ask_peer(&mut self, seat: Seat, op: OpId, request: PeerRequest, until: Mono) {
        let PeerRequest { member, api_url } = request;
        let host = api_url
            .split("//")
            .nth(1)
            .and_then(|rest| rest.split([':', '/']).next());
        let Some(peer) = host.and_then(|host| self.seat_of_host(host)) else {
            return self.peer_silent_at(seat, op, member, until);
        };
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        let now = self.now();
        let hop = Hop {
            from: Node::Member(seat),
            to: Node::Member(peer),
            traffic: Traffic::Api,
        };
        let life = agent.life;
        let (asker, sent_at) = (seat, now);
        let question = Question {
            hop,
            asker,
            life,
            op,
            member: member.clone(),
            until,
            sent_at,
            answer: None,
        };
        match self.wire.fate(now, hop, &mut self.chance.wire) {
            Fate::Arrives(at) => self.agenda.enter(at, Due::Ask(Box::new(question))),
            Fate::Refused => self.peer_says(seat, op, member, PeerAnswer::Refused),
            Fate::Stuck | Fate::Lost => self.peer_silent_at(seat, op, member, until),
        }
    }

    fn peer_silent_at(&mut self, seat: Seat, op: OpId, member: MemberName, until: Mono) {
        let at = self.hosts[seat.index()].clock.when(until);
        let after = at.since(self.now());
        self.agent_due(seat, after, AgentDue::PeerSilent { op, member });
    }

    pub(crate) fn peer_says(
        &mut self,
        seat: Seat,
        op: OpId,
        member: MemberName,
        answer: PeerAnswer,
    ) {
        let input = Input::Peer(PeerInput { op, member, answer });
        self.agent_due(seat, Span::micros(200), AgentDue::Tell(Box::new(input)));
    }

    /// A question reaches a member's REST, or its answer reaches the asker.
    pub(crate) fn asked(&mut self, mut question: Question) {
        let now = self.now();
        let Question {
            hop,
            asker,
            op,
            until,
            ..
        } = question;
        let member = question.member.clone();
        if self.hosts[asker.index()].life(question.life).is_none() {
            return;
        }
        if !self
            .wire
            .arrives(question.sent_at, hop, &mut self.chance.wire)
        {
            return self.peer_silent_at(asker, op, member, until);
        }
        if let Some(answer) = question.answer.take() {
            return match now <= self.hosts[asker.index()].clock.when(until) {
                true => self.tell(asker, Input::Peer(PeerInput { op, member, answer })),
                false => self.peer_silent_at(asker, op, member, until),
            };
        }
        let Node::Member(peer) = hop.to else {
            return;
        };
        let Some(answer) = self.rest_answers(asker, peer) else {
            return self.peer_silent_at(asker, op, member, until);
        };
        question.answer = Some(answer);
        question.hop = hop.back();
        question.sent_at = now;
        match self.wire.fate(now, question.hop, &mut self.chance.wire) {
            Fate::Arrives(at) => self.agenda.enter(at, Due::Ask(Box::new(question))),
            Fate::Stuck | Fate::Lost | Fate::Refused => {
                self.peer_silent_at(asker, op, member, until);
            }
        }
    }

    /// `None`: nothing comes back, since the process or the host stands still or is dark.
    fn rest_answers(&self, asker: Seat, peer: Seat) -> Option<PeerAnswer> {
        let host = &self.hosts[peer.index()];
        match (host.power, &host.agent) {
            (Power::Off | Power::Suspended, _) => None,
            (Power::On, None) => Some(PeerAnswer::Refused),
            (Power::On, Some(agent)) if agent.run == Run::Frozen => None,
            (Power::On, Some(_)) => Some(self.rest_status(asker, peer)),
        }
    }

    /// The body travels as text, and each reads it in its own way.
    fn rest_status(&self, asker: Seat, peer: Seat) -> PeerAnswer {
        let body = self.rest_body(peer);
        match self.is_patroni(asker) {
            true => read_status(&body),
            false => peer_json::read(body.as_bytes()),
        }
    }
}
