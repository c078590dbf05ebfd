//! The people: what they ask of which member's REST, and which of their requests are still open.
//! Knows nothing of how a request is carried out.

use crate::act::{OperatorAct, Who};
use crate::due::AgentDue;
use crate::moment::Moment;
use crate::wire::Seat;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use tanist_core::input::Input;
use tanist_core::name::RequestId;
use tanist_core::operator::{OperatorInput, OperatorRequest};
use tanist_core::time::Span;

/// Longer than any request is given by itself.
const ENDS_WITHIN: Span = Span::secs(600);

/// One request that an agent has taken.
#[derive(Clone, Debug)]
pub struct Asked {
    pub seat: Seat,
    pub life: u32,
    pub at: Moment,
    pub request: OperatorRequest,
    /// The start of its server that was the last one then.
    pub run: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Requests {
    made: u64,
    pub open: BTreeMap<RequestId, Asked>,
    /// The latest request to do something to PostgreSQL, which excuses what agents do while paused.
    pub last_touching: Option<Moment>,
    /// Members that a request took, or will take, out of the cluster, until they are back in it.
    pub touched: BTreeSet<Seat>,
    /// When each member was last asked for a restart or a reinit: it may come minutes later, when there is a leader.
    pub asked_down: BTreeMap<Seat, Moment>,
}

impl Requests {
    pub fn answered(&mut self, id: &RequestId) {
        self.open.remove(id);
    }
}

/// A request whose point is that something happens to PostgreSQL.
fn touches(request: &OperatorRequest) -> bool {
    match request {
        OperatorRequest::Switchover { .. }
        | OperatorRequest::Failover { .. }
        | OperatorRequest::Restart
        | OperatorRequest::Reinitialize { .. } => true,
        OperatorRequest::CancelSwitchover
        | OperatorRequest::PatchConfig { .. }
        | OperatorRequest::PutConfig { .. } => false,
    }
}

impl World {
    /// Returns whom it was asked of.
    pub(crate) fn operate(&mut self, act: &OperatorAct) -> Vec<Seat> {
        let pause = |on: &str| OperatorRequest::PatchConfig {
            patch: format!("{{\"pause\":{on}}}"),
        };
        match act {
            OperatorAct::Switchover {
                ask,
                leader,
                candidate,
                after,
            } => {
                let leader = leader.clone().unwrap_or(Who::Leader);
                let (Some(leader), Some(asked)) = (self.one(&leader), self.one(ask)) else {
                    return Vec::new();
                };
                let candidate = candidate.as_ref().and_then(|who| self.one(who));
                let at = after.map(|span| self.host_now(asked).wall.plus(span));
                let candidate = candidate.map(|seat| self.name(seat));
                let leader = self.name(leader);
                self.ask(
                    asked,
                    OperatorRequest::Switchover {
                        leader,
                        candidate,
                        at,
                    },
                );
                vec![asked]
            }
            OperatorAct::Failover { ask, candidate } => {
                let (Some(candidate), Some(asked)) = (self.one(candidate), self.one(ask)) else {
                    return Vec::new();
                };
                let candidate = self.name(candidate);
                self.ask(asked, OperatorRequest::Failover { candidate });
                vec![asked]
            }
            OperatorAct::CancelSwitchover { ask } => {
                self.ask_each(ask, &OperatorRequest::CancelSwitchover)
            }
            OperatorAct::Restart { who } => self.ask_each(who, &OperatorRequest::Restart),
            OperatorAct::Reinitialize { who, force } => {
                self.ask_each(who, &OperatorRequest::Reinitialize { force: *force })
            }
            OperatorAct::Pause => self.ask_somebody(pause("true")),
            OperatorAct::Resume => self.ask_somebody(pause("null")),
            OperatorAct::PatchConfig { patch } => self.ask_somebody(OperatorRequest::PatchConfig {
                patch: patch.clone(),
            }),
        }
    }

    /// A request that its agent, in the same life, has had for too long.
    pub(crate) fn open_too_long(&self) -> Option<&RequestId> {
        let overdue = |asked: &Asked| {
            let lives = self.hosts[asked.seat.index()]
                .agent
                .as_ref()
                .map(|a| a.life);
            lives == Some(asked.life) && self.now().since(asked.at) > ENDS_WITHIN
        };
        self.requests
            .open
            .iter()
            .find(|(_, asked)| overdue(asked))
            .map(|(id, _)| id)
    }

    fn one(&mut self, who: &Who) -> Option<Seat> {
        self.seats(who).first().copied()
    }

    fn ask_each(&mut self, who: &Who, request: &OperatorRequest) -> Vec<Seat> {
        let seats = self.seats(who);
        for seat in &seats {
            self.ask(*seat, request.clone());
        }
        seats
    }

    /// The leader's REST, or the first that answers.
    fn ask_somebody(&mut self, request: OperatorRequest) -> Vec<Seat> {
        let answering = |world: &World, seat: &Seat| world.hosts[seat.index()].agent_runs();
        let leader = self.seats(&Who::Leader);
        let all = self.seats(&Who::All);
        let asked = leader
            .into_iter()
            .chain(all)
            .find(|seat| answering(self, seat));
        if let Some(seat) = asked {
            self.ask(seat, request);
        }
        asked.into_iter().collect()
    }

    /// A REST that does not answer is the client's own error and leaves nothing open.
    fn ask(&mut self, seat: Seat, request: OperatorRequest) {
        let at = self.now();
        if !self.hosts[seat.index()].agent_runs() {
            return;
        }
        let Some(agent) = self.hosts[seat.index()].agent.as_ref() else {
            return;
        };
        let life = agent.life;
        self.requests.made += 1;
        if touches(&request) {
            self.requests.last_touching = Some(at);
        }
        match request {
            OperatorRequest::Restart | OperatorRequest::Reinitialize { .. } => {
                self.requests.touched.insert(seat);
                self.requests.asked_down.insert(seat, at);
            }
            OperatorRequest::Switchover { .. } | OperatorRequest::Failover { .. } => {
                self.requests.touched.extend(self.leader_seat());
            }
            OperatorRequest::CancelSwitchover
            | OperatorRequest::PatchConfig { .. }
            | OperatorRequest::PutConfig { .. } => {}
        }
        let id = RequestId(format!("op-{}", self.requests.made));
        let asked = Asked {
            seat,
            life,
            at,
            request: request.clone(),
            run: self.pgs[seat.index()].run,
        };
        self.requests.open.insert(id.clone(), asked);
        let input = Input::Operator(OperatorInput { id, request });
        self.agent_due(seat, Span::millis(1), AgentDue::Tell(Box::new(input)));
    }
}
