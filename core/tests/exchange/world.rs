//! A small store that may lose, delay and refuse, with a process `a` beside it, and what becomes of one request.

use std::collections::{BTreeMap, BTreeSet};
use tanist_core::dcs::{
    DcsOutcome, DcsReply, DcsRequest, Guard, KeyOwner, KeyValue, LeaseId, Precondition, Revision,
    Snapshot,
};
use tanist_core::exchange::{Exchange, SessionState, Step};
use tanist_core::name::Term;
use tanist_core::primitive::{
    Compare, Primitive, PrimitiveOutcome, PrimitiveReply, StoreOp, Transaction,
};
use tanist_core::time::{Mono, Span};

pub const TTL: Span = Span::secs(30);
pub const START: Mono = Mono(1_000_000_000);
/// The tenure of `World::leading`: the first write of its store.
pub const FIRST_TERM: Term = Term(11);

/// What becomes of one call on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Answered,
    NotSent,
    Denied,
    /// Lost on the way there.
    Lost,
    /// Applied; the answer was lost.
    AppliedUnheard,
    /// Under way: applied when `Event::LateArrives` says so, or after the exchange.
    Late,
}

/// What happens in the store before a call arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Nothing,
    OtherTakesLeader,
    LeaderDeleted,
    MyLeaseEnds,
    SyncWritten,
    /// This key is written anew.
    Written(&'static str),
    SyncDeleted,
    LateArrives,
}

#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub event: Event,
    pub fate: Fate,
    pub takes: Span,
}

pub fn turn(event: Event, fate: Fate) -> Turn {
    Turn {
        event,
        fate,
        takes: Span::millis(5),
    }
}

pub fn fates(fates: &[Fate]) -> Vec<Turn> {
    fates
        .iter()
        .map(|fate| turn(Event::Nothing, *fate))
        .collect()
}

/// A store with etcd's rules, in one process.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub revision: i64,
    pub keys: BTreeMap<String, KeyValue>,
    pub leases: BTreeSet<LeaseId>,
    pub leases_granted: i64,
    pub late: Vec<Primitive>,
}

impl Model {
    pub fn put(&mut self, key: &str, value: &str, lease: LeaseId) {
        let revision = Revision(self.revision);
        let created = self.keys.get(key).map_or(revision, |kv| kv.created);
        self.keys.insert(
            key.to_string(),
            KeyValue {
                value: value.to_string(),
                created,
                modified: revision,
                lease,
            },
        );
    }

    pub fn write(&mut self, key: &str, value: &str, lease: LeaseId) -> Revision {
        self.revision += 1;
        self.put(key, value, lease);
        Revision(self.revision)
    }

    pub fn delete(&mut self, key: &str) {
        self.revision += 1;
        self.keys.remove(key);
    }

    pub fn end_lease(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
        self.revision += 1;
        self.keys.retain(|_, kv| kv.lease != lease);
    }

    pub fn leader(&self) -> Option<&KeyValue> {
        self.keys.get("leader")
    }

    pub fn holds(&self, compare: &Compare) -> bool {
        let kv = |key: &str| self.keys.get(key);
        match compare {
            Compare::Created { key, is } => kv(key).map_or(Revision(0), |kv| kv.created) == *is,
            Compare::Modified { key, is } => kv(key).map_or(Revision(0), |kv| kv.modified) == *is,
            Compare::Value { key, is } => kv(key).is_some_and(|kv| kv.value == *is),
            Compare::Lease { key, is } => kv(key).map_or(LeaseId::NONE, |kv| kv.lease) == *is,
        }
    }

    pub fn transact(&mut self, transaction: &Transaction) -> PrimitiveOutcome {
        let succeeded = transaction.compare.iter().all(|c| self.holds(c));
        let ops = if succeeded {
            &transaction.success
        } else {
            &transaction.failure
        };
        let unknown_lease = |op: &StoreOp| match op {
            StoreOp::Put { lease, .. } => *lease != LeaseId::NONE && !self.leases.contains(lease),
            StoreOp::Delete { .. } | StoreOp::Get { .. } => false,
        };
        if ops.iter().any(unknown_lease) {
            return PrimitiveOutcome::LeaseNotFound;
        }
        if ops.iter().any(|op| !matches!(op, StoreOp::Get { .. })) {
            self.revision += 1;
        }
        let mut got = BTreeMap::new();
        for op in ops {
            match op {
                StoreOp::Put { key, value, lease } => self.put(key, value, *lease),
                StoreOp::Delete { key } => {
                    self.keys.remove(key);
                }
                StoreOp::Get { key } => {
                    got.insert(key.clone(), self.keys.get(key).cloned());
                }
            }
        }
        PrimitiveOutcome::Ok(PrimitiveReply::Transaction {
            succeeded,
            revision: Revision(self.revision),
            got,
        })
    }

    pub fn execute(&mut self, call: &Primitive) -> PrimitiveOutcome {
        match call {
            Primitive::Grant { ttl } => {
                self.leases_granted += 1;
                let lease = LeaseId(1_000 + self.leases_granted);
                self.leases.insert(lease);
                PrimitiveOutcome::Ok(PrimitiveReply::Granted { lease, ttl: *ttl })
            }
            Primitive::KeepAlive { lease } => PrimitiveOutcome::Ok(PrimitiveReply::KeptAlive {
                ttl: self.leases.contains(lease).then_some(TTL),
            }),
            Primitive::ReadAll { .. } => PrimitiveOutcome::Ok(PrimitiveReply::All(Snapshot {
                revision: Revision(self.revision),
                keys: self.keys.clone(),
            })),
            Primitive::Transaction(transaction) => self.transact(transaction),
        }
    }

    pub fn happen(&mut self, event: Event, session: &SessionState) {
        match event {
            Event::Nothing => {}
            Event::OtherTakesLeader if self.leader().is_none() => {
                self.write("leader", "b", LeaseId(77));
            }
            Event::OtherTakesLeader => {}
            Event::LeaderDeleted => self.delete("leader"),
            Event::MyLeaseEnds => {
                if let Some(mine) = session.session {
                    self.end_lease(mine.lease);
                }
            }
            Event::SyncWritten => {
                self.write("sync", "{}", LeaseId::NONE);
            }
            Event::Written(key) => {
                self.write(key, "2", LeaseId::NONE);
            }
            Event::SyncDeleted => self.delete("sync"),
            Event::LateArrives => self.late_arrive(),
        }
    }

    pub fn late_arrive(&mut self) {
        for call in std::mem::take(&mut self.late) {
            self.execute(&call);
        }
    }
}

/// A process `a`, its store, and what it was ever confirmed.
pub struct World {
    pub model: Model,
    pub session: SessionState,
    pub now: Mono,
    pub confirmed: BTreeMap<LeaseId, Mono>,
    pub calls: Vec<Primitive>,
}

pub struct Ended {
    pub outcome: DcsOutcome,
    pub maybe_since: Option<Mono>,
}

impl World {
    pub fn new() -> World {
        World {
            model: Model {
                revision: 10,
                ..Model::default()
            },
            session: SessionState::default(),
            now: START,
            confirmed: BTreeMap::new(),
            calls: Vec::new(),
        }
    }

    pub fn with_session() -> World {
        let mut world = World::new();
        let ended = world.run(DcsRequest::KeepSession { ttl: TTL }, Span::secs(5), &[]);
        assert!(matches!(
            ended.outcome,
            DcsOutcome::Ok(DcsReply::Session(_))
        ));
        world.calls.clear();
        world
    }

    pub fn leading() -> World {
        let mut world = World::with_session();
        let ended = world.run(acquire(), Span::secs(5), &[]);
        assert!(matches!(
            ended.outcome,
            DcsOutcome::Ok(DcsReply::Acquired { .. })
        ));
        world.calls.clear();
        world
    }

    pub fn mine(&self) -> LeaseId {
        self.session.session.expect("a session").lease
    }

    pub fn run(&mut self, request: DcsRequest, budget: Span, script: &[Turn]) -> Ended {
        let until = self.now + budget;
        let mut turns = script.iter().copied();
        let mut exchange = Exchange::new(request.clone(), until);
        let mut step = exchange.start(self.now, &mut self.session);
        for _ in 0..1_000 {
            step = match step {
                Step::Send {
                    call,
                    until: try_until,
                } => {
                    assert!(try_until <= until && try_until > self.now, "{request:?}");
                    let turn = turns.next().unwrap_or(turn(Event::Nothing, Fate::Answered));
                    let sent_at = self.now;
                    let outcome = self.deliver(&call, turn, sent_at, try_until);
                    self.calls.push(call);
                    exchange.answered(self.now, sent_at, outcome, &mut self.session)
                }
                Step::Wait { until: waits_until } => {
                    assert!(
                        waits_until <= until && waits_until > self.now,
                        "{request:?}"
                    );
                    self.now = waits_until;
                    exchange.resumed(self.now, &mut self.session)
                }
                Step::Done {
                    outcome,
                    maybe_since,
                    ..
                } => {
                    assert!(self.now <= until, "ended {} late", self.now - until);
                    return Ended {
                        outcome,
                        maybe_since,
                    };
                }
            };
        }
        panic!("{request:?} does not end");
    }

    pub fn deliver(
        &mut self,
        call: &Primitive,
        turn: Turn,
        sent_at: Mono,
        try_until: Mono,
    ) -> PrimitiveOutcome {
        self.model.happen(turn.event, &self.session);
        let no_answer = PrimitiveOutcome::Unknown("no answer".to_string());
        let (outcome, takes) = match turn.fate {
            Fate::Answered => (self.model.execute(call), turn.takes),
            Fate::NotSent => (PrimitiveOutcome::NotSent("refused".to_string()), turn.takes),
            Fate::Denied => (PrimitiveOutcome::Denied("no".to_string()), turn.takes),
            Fate::Lost => (no_answer, try_until - self.now),
            Fate::AppliedUnheard => {
                self.model.execute(call);
                (no_answer, try_until - self.now)
            }
            Fate::Late => {
                self.model.late.push(call.clone());
                (no_answer, try_until - self.now)
            }
        };
        self.now = try_until.min(self.now + takes);
        let confirmed = match (&outcome, call) {
            (PrimitiveOutcome::Ok(PrimitiveReply::Granted { lease, .. }), _) => Some(*lease),
            (
                PrimitiveOutcome::Ok(PrimitiveReply::KeptAlive { ttl: Some(_) }),
                Primitive::KeepAlive { lease },
            ) => Some(*lease),
            (_, _) => None,
        };
        if let Some(lease) = confirmed {
            self.confirmed.insert(lease, sent_at);
        }
        outcome
    }
}

pub fn acquire_with(guard: Guard) -> DcsRequest {
    DcsRequest::Acquire {
        owner: "a".into(),
        ttl: TTL,
        guard,
    }
}

pub fn acquire() -> DcsRequest {
    acquire_with(Guard::default())
}

pub fn renew_for(ttl: Span) -> DcsRequest {
    DcsRequest::Renew {
        owner: "a".into(),
        ttl,
        status: Some("{\"optime\":5}".to_string()),
    }
}

pub fn renew() -> DcsRequest {
    renew_for(TTL)
}

pub fn release() -> DcsRequest {
    DcsRequest::Release {
        owner: "a".into(),
        term: FIRST_TERM,
        status: Some("{\"optime\":9}".to_string()),
    }
}

pub fn put(key: &str, value: &str, precondition: Precondition) -> DcsRequest {
    DcsRequest::Put {
        key: key.to_string(),
        value: value.to_string(),
        precondition,
        with_session: false,
    }
}

pub fn member() -> DcsRequest {
    DcsRequest::Put {
        key: "members/a".to_string(),
        value: "{}".to_string(),
        precondition: Precondition::None,
        with_session: true,
    }
}

/// One word for each outcome.
pub fn word(outcome: &DcsOutcome) -> &'static str {
    match outcome {
        DcsOutcome::Ok(reply) => match reply {
            DcsReply::Snapshot(_) => "snapshot",
            DcsReply::Session(_) => "session",
            DcsReply::Renewed { owner, .. } => match owner {
                KeyOwner::Mine { .. } => "mine",
                KeyOwner::MyNameOtherSession { .. } => "namesake's",
                KeyOwner::Other { .. } => "other's",
                KeyOwner::Absent => "absent",
            },
            DcsReply::Acquired { .. } => "acquired",
            DcsReply::Released { .. } => "released",
            DcsReply::Written { .. } => "written",
        },
        DcsOutcome::Conflict { .. } => "conflict",
        DcsOutcome::SessionGone => "session gone",
        DcsOutcome::Denied(_) => "denied",
        DcsOutcome::NotSent(_) => "not sent",
        DcsOutcome::Unknown(_) => "unknown",
    }
}

pub fn check(
    mut world: World,
    request: DcsRequest,
    budget: Span,
    script: &[Turn],
    expect: &str,
) -> World {
    let ended = world.run(request.clone(), budget, script);
    assert_eq!(
        word(&ended.outcome),
        expect,
        "{request:?} {script:?} {:?}",
        ended.outcome
    );
    world
}
