//! Does an exchange ever take "no verdict" for "no", end late, or claim more time than was confirmed?
//! Tables for each rule, then laws over arbitrary answers of a small store that may lose, delay and refuse.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tanist_core::dcs::{
    Consistency, DcsOutcome, DcsReply, DcsRequest, Guard, KeyOwner, KeyValue, LeaseId,
    Precondition, Revision, Session, Snapshot,
};
use tanist_core::exchange::{Exchange, SessionState, Step};
use tanist_core::name::Term;
use tanist_core::primitive::{
    Compare, Primitive, PrimitiveOutcome, PrimitiveReply, StoreOp, Transaction,
};
use tanist_core::time::{Mono, Span};

const TTL: Span = Span::secs(30);
const START: Mono = Mono(1_000_000_000);
/// The tenure of `World::leading`: the first write of its store.
const FIRST_TERM: Term = Term(11);

/// What becomes of one call on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
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
enum Event {
    Nothing,
    OtherTakesLeader,
    LeaderDeleted,
    MyLeaseEnds,
    SyncWritten,
    SyncDeleted,
    LateArrives,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    event: Event,
    fate: Fate,
    takes: Span,
}

fn turn(event: Event, fate: Fate) -> Turn {
    Turn {
        event,
        fate,
        takes: Span::millis(5),
    }
}

fn fates(fates: &[Fate]) -> Vec<Turn> {
    fates
        .iter()
        .map(|fate| turn(Event::Nothing, *fate))
        .collect()
}

/// A store with etcd's rules, in one process.
#[derive(Clone, Debug, Default)]
struct Model {
    revision: i64,
    keys: BTreeMap<String, KeyValue>,
    leases: BTreeSet<LeaseId>,
    leases_granted: i64,
    late: Vec<Primitive>,
}

impl Model {
    fn put(&mut self, key: &str, value: &str, lease: LeaseId) {
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

    fn write(&mut self, key: &str, value: &str, lease: LeaseId) -> Revision {
        self.revision += 1;
        self.put(key, value, lease);
        Revision(self.revision)
    }

    fn delete(&mut self, key: &str) {
        self.revision += 1;
        self.keys.remove(key);
    }

    fn end_lease(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
        self.revision += 1;
        self.keys.retain(|_, kv| kv.lease != lease);
    }

    fn leader(&self) -> Option<&KeyValue> {
        self.keys.get("leader")
    }

    fn holds(&self, compare: &Compare) -> bool {
        let kv = |key: &str| self.keys.get(key);
        match compare {
            Compare::Created { key, is } => kv(key).map_or(Revision(0), |kv| kv.created) == *is,
            Compare::Modified { key, is } => kv(key).map_or(Revision(0), |kv| kv.modified) == *is,
            Compare::Value { key, is } => kv(key).is_some_and(|kv| kv.value == *is),
            Compare::Lease { key, is } => kv(key).map_or(LeaseId::NONE, |kv| kv.lease) == *is,
        }
    }

    fn transact(&mut self, transaction: &Transaction) -> PrimitiveOutcome {
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

    fn execute(&mut self, call: &Primitive) -> PrimitiveOutcome {
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

    fn happen(&mut self, event: Event, session: &SessionState) {
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
            Event::SyncDeleted => self.delete("sync"),
            Event::LateArrives => self.late_arrive(),
        }
    }

    fn late_arrive(&mut self) {
        for call in std::mem::take(&mut self.late) {
            self.execute(&call);
        }
    }
}

/// A process `a`, its store, and what it was ever confirmed.
struct World {
    model: Model,
    session: SessionState,
    now: Mono,
    confirmed: BTreeMap<LeaseId, Mono>,
    calls: Vec<Primitive>,
}

struct Ended {
    outcome: DcsOutcome,
    maybe_since: Option<Mono>,
}

impl World {
    fn new() -> World {
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

    fn with_session() -> World {
        let mut world = World::new();
        let ended = world.run(DcsRequest::KeepSession { ttl: TTL }, Span::secs(5), &[]);
        assert!(matches!(
            ended.outcome,
            DcsOutcome::Ok(DcsReply::Session(_))
        ));
        world.calls.clear();
        world
    }

    fn leading() -> World {
        let mut world = World::with_session();
        let ended = world.run(acquire(), Span::secs(5), &[]);
        assert!(matches!(
            ended.outcome,
            DcsOutcome::Ok(DcsReply::Acquired { .. })
        ));
        world.calls.clear();
        world
    }

    fn mine(&self) -> LeaseId {
        self.session.session.expect("a session").lease
    }

    fn run(&mut self, request: DcsRequest, budget: Span, script: &[Turn]) -> Ended {
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

    fn deliver(
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

fn acquire_with(guard: Guard) -> DcsRequest {
    DcsRequest::Acquire {
        owner: "a".into(),
        ttl: TTL,
        guard,
    }
}

fn acquire() -> DcsRequest {
    acquire_with(Guard::default())
}

fn renew_for(ttl: Span) -> DcsRequest {
    DcsRequest::Renew {
        owner: "a".into(),
        ttl,
        status: Some("{\"optime\":5}".to_string()),
    }
}

fn renew() -> DcsRequest {
    renew_for(TTL)
}

fn release() -> DcsRequest {
    DcsRequest::Release {
        owner: "a".into(),
        term: FIRST_TERM,
        status: Some("{\"optime\":9}".to_string()),
    }
}

fn put(key: &str, value: &str, precondition: Precondition) -> DcsRequest {
    DcsRequest::Put {
        key: key.to_string(),
        value: value.to_string(),
        precondition,
        with_session: false,
    }
}

fn member() -> DcsRequest {
    DcsRequest::Put {
        key: "members/a".to_string(),
        value: "{}".to_string(),
        precondition: Precondition::None,
        with_session: true,
    }
}

/// One word for each outcome.
fn word(outcome: &DcsOutcome) -> &'static str {
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

fn check(
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

use Fate::{Answered, AppliedUnheard, Denied, Late, Lost, NotSent};

#[test]
fn a_lost_answer_to_an_acquire_is_looked_up_before_anything_is_said() {
    let budget = Span::secs(10);
    for (script, expect) in [
        (fates(&[Answered, Answered]), "acquired"),
        (fates(&[Answered, AppliedUnheard]), "acquired"),
        (fates(&[Answered, Lost]), "acquired"),
        (fates(&[Answered, Late]), "acquired"),
        (fates(&[Answered, NotSent]), "acquired"),
        (
            vec![
                turn(Event::Nothing, Answered),
                turn(Event::Nothing, Lost),
                turn(Event::OtherTakesLeader, Answered),
            ],
            "conflict",
        ),
        (fates(&[Answered, AppliedUnheard, Denied]), "unknown"),
        (fates(&[Answered, Denied]), "denied"),
        (
            fates(&[Answered, AppliedUnheard, Lost, Lost, Lost, NotSent, NotSent]),
            "unknown",
        ),
    ] {
        check(World::with_session(), acquire(), budget, &script, expect);
    }
}

#[test]
fn an_acquire_whose_session_had_no_verdict_never_asked_for_the_key() {
    for fate in [Lost, NotSent, AppliedUnheard] {
        let world = check(
            World::new(),
            acquire(),
            Span::secs(3),
            &fates(&[fate; 10]),
            "not sent",
        );
        assert!(world.model.leader().is_none());
    }
}

#[test]
fn a_guard_that_changed_refuses_and_one_that_may_come_back_leaves_doubt() {
    let mut world = World::with_session();
    let sync = world.model.write("sync", "{}", LeaseId::NONE);
    let seen = Guard {
        sync,
        failover: Revision(0),
        history: Revision(0),
        claim: None,
    };
    let lost_then = |event| {
        vec![
            turn(Event::Nothing, Answered),
            turn(Event::Nothing, Late),
            turn(event, Answered),
        ]
    };
    let changed = world.run(
        acquire_with(seen),
        Span::secs(9),
        &lost_then(Event::SyncWritten),
    );
    assert_eq!(
        changed.outcome,
        DcsOutcome::Conflict {
            owner: KeyOwner::Absent
        }
    );
    world.model.late_arrive();
    assert!(world.model.leader().is_none());
    // Absent was seen, then somebody wrote; when he deletes it again, the late attempt would succeed.
    let world = World::with_session();
    let mut world = check(
        world,
        acquire(),
        Span::secs(9),
        &lost_then(Event::SyncWritten),
        "unknown",
    );
    world.model.delete("sync");
    world.model.late_arrive();
    assert!(world.model.leader().is_some());
}

#[test]
fn acquiring_renews_nothing_beyond_what_was_confirmed() {
    let mut world = World::with_session();
    world.now = world.now + Span::secs(5);
    let kept_at = world.now;
    let ended = world.run(
        acquire(),
        Span::secs(9),
        &fates(&[Answered, Lost, Answered]),
    );
    let DcsOutcome::Ok(DcsReply::Acquired { session, .. }) = ended.outcome else {
        panic!("{:?}", ended.outcome);
    };
    assert_eq!(session.renewed_at, kept_at);
    assert!(world.now > kept_at + Span::secs(1));
    assert!(ended.maybe_since.is_some_and(|since| since > kept_at));
}

#[test]
fn a_former_acquire_that_was_applied_late_counts_only_while_this_ones_guard_holds() {
    let late = fates(&[Answered, Late, Late, Late, Late, Late, Late]);
    for (event, expect) in [
        (Event::Nothing, "acquired"),
        (Event::SyncWritten, "conflict"),
    ] {
        let mut world = check(
            World::with_session(),
            acquire(),
            Span::secs(3),
            &late,
            "unknown",
        );
        world.model.late_arrive();
        let script = [turn(event, Answered)];
        let world = check(world, acquire(), Span::secs(3), &script, expect);
        assert_eq!(world.model.leader().map(|kv| kv.lease), Some(world.mine()));
    }
}

#[test]
fn a_session_that_is_gone_is_made_anew_once_where_that_is_allowed() {
    let gone = |fate| vec![turn(Event::MyLeaseEnds, fate)];
    let then_gone = vec![
        turn(Event::Nothing, Answered),
        turn(Event::MyLeaseEnds, Answered),
    ];
    let s = Span::secs(5);
    check(
        World::with_session(),
        DcsRequest::KeepSession { ttl: TTL },
        s,
        &gone(Answered),
        "session",
    );
    check(
        World::with_session(),
        acquire(),
        s,
        &gone(Answered),
        "acquired",
    );
    check(World::with_session(), acquire(), s, &then_gone, "acquired");
    check(
        World::with_session(),
        member(),
        s,
        &gone(Answered),
        "written",
    );
    check(
        World::leading(),
        renew(),
        s,
        &gone(Answered),
        "session gone",
    );
    check(World::leading(), renew(), s, &then_gone, "absent");
    check(World::leading(), release(), s, &gone(Answered), "conflict");
    check(World::new(), renew(), s, &[], "session gone");
    check(World::new(), release(), s, &[], "session gone");
    check(World::new(), member(), s, &[], "session gone");
}

#[test]
fn a_new_session_is_not_begun_without_time_for_it() {
    let slow = |takes| Turn {
        event: Event::MyLeaseEnds,
        fate: Answered,
        takes,
    };
    for (budget, takes, expect) in [
        (Span::secs(3), Span::millis(100), "acquired"),
        (Span::millis(1_500), Span::millis(700), "acquired"),
        (Span::millis(400), Span::millis(100), "acquired"),
        (Span::secs(2), Span::secs(1), "acquired"),
        (Span::millis(500), Span::millis(250), "acquired"),
    ] {
        check(
            World::with_session(),
            acquire(),
            budget,
            &[slow(takes)],
            expect,
        );
    }
    let lost_first = [
        Turn {
            event: Event::Nothing,
            fate: Lost,
            takes: Span::ZERO,
        },
        slow(Span::millis(300)),
    ];
    check(
        World::with_session(),
        acquire(),
        Span::secs(2),
        &lost_first,
        "session gone",
    );
}

#[test]
fn a_renewal_tells_whose_the_key_is_and_moves_time_only_when_confirmed() {
    let s = Span::secs(5);
    let at = |event| vec![turn(Event::Nothing, Answered), turn(event, Answered)];
    check(World::leading(), renew(), s, &[], "mine");
    check(
        World::leading(),
        renew(),
        s,
        &fates(&[Answered, AppliedUnheard]),
        "mine",
    );
    check(
        World::leading(),
        renew(),
        s,
        &at(Event::LeaderDeleted),
        "absent",
    );
    let mut lost = World::leading();
    lost.model.delete("leader");
    check(lost, renew(), s, &at(Event::OtherTakesLeader), "other's");
    let mut namesake = World::leading();
    namesake.model.write("leader", "a", LeaseId(77));
    check(namesake, renew(), s, &[], "namesake's");
    for (fate, expect) in [(Lost, "unknown"), (NotSent, "not sent"), (Denied, "denied")] {
        let mut world = World::leading();
        let before = world.session.clone();
        world.now = world.now + Span::secs(3);
        let world = check(world, renew(), s, &fates(&[fate; 10]), expect);
        assert_eq!(world.session, before);
    }
}

#[test]
fn a_new_ttl_moves_the_key_to_a_new_lease_and_survives_a_lost_answer() {
    for script in [
        fates(&[]),
        fates(&[Lost, Answered, Lost]),
        fates(&[Answered, Answered, AppliedUnheard]),
        fates(&[Answered, AppliedUnheard, AppliedUnheard]),
    ] {
        let world = World::leading();
        let (old, created) = (world.mine(), world.model.leader().expect("mine").created);
        let world = check(
            world,
            renew_for(Span::secs(20)),
            Span::secs(20),
            &script,
            "mine",
        );
        assert_ne!(world.mine(), old);
        let key = world.model.leader().expect("still mine");
        assert_eq!((key.lease, key.created), (world.mine(), created));
    }
}

#[test]
fn a_store_that_refuses_new_leases_still_renews_the_old_one() {
    let world = World::leading();
    let old = world.mine();
    let script = fates(&[Denied]);
    let world = check(
        world,
        renew_for(Span::secs(20)),
        Span::secs(5),
        &script,
        "mine",
    );
    assert_eq!(world.mine(), old);
}

#[test]
fn a_release_is_done_when_the_key_is_no_longer_mine() {
    let s = Span::secs(9);
    for script in [
        fates(&[]),
        fates(&[AppliedUnheard]),
        fates(&[Lost]),
        fates(&[Late]),
    ] {
        let world = check(World::leading(), release(), s, &script, "released");
        assert!(world.model.leader().is_none());
    }
    let mut taken = World::leading();
    taken.model.delete("leader");
    taken
        .model
        .happen(Event::OtherTakesLeader, &taken.session.clone());
    let taken = check(taken, release(), s, &[], "conflict");
    assert!(
        !taken.model.keys.contains_key("status"),
        "status of a leader that is none"
    );
}

#[test]
fn a_release_that_arrives_late_spares_the_key_that_was_acquired_anew() {
    let mut world = World::leading();
    world.run(release(), Span::secs(1), &fates(&[Late]));
    let late = std::mem::take(&mut world.model.late);
    world.model.delete("leader");
    let again = world.run(acquire(), Span::secs(5), &[]);
    assert_eq!(word(&again.outcome), "acquired");
    world.model.late = late;
    assert!(!world.model.late.is_empty());
    world.model.late_arrive();
    assert!(world.model.leader().is_some());
}

#[test]
fn a_conditional_write_in_doubt_is_known_by_its_bytes_except_initialize() {
    let s = Span::secs(9);
    let lost = |fate| fates(&[fate]);
    for fate in [AppliedUnheard, Lost, Late] {
        for precondition in [Precondition::Absent, Precondition::None] {
            check(
                World::new(),
                put("config", "{}", precondition),
                s,
                &lost(fate),
                "written",
            );
        }
        let mut world = World::new();
        let version = Precondition::Version(world.model.write("sync", "{}", LeaseId::NONE));
        let world = check(
            world,
            put("sync", "{\"q\":1}", version),
            s,
            &lost(fate),
            "written",
        );
        assert_eq!(world.model.keys["sync"].value, "{\"q\":1}");
        let overtaken = [
            turn(Event::Nothing, fate),
            turn(Event::SyncWritten, Answered),
        ];
        let world = check(
            world,
            put("sync", "{\"q\":2}", version),
            s,
            &overtaken,
            "conflict",
        );
        let version = Precondition::Version(world.model.keys["sync"].modified);
        let delete = DcsRequest::Delete {
            key: "sync".to_string(),
            precondition: version,
        };
        check(world, delete, s, &lost(fate), "written");
    }
    let world = World::new();
    check(
        world,
        put("initialize", "", Precondition::Absent),
        s,
        &lost(AppliedUnheard),
        "unknown",
    );
}

#[test]
fn a_snapshot_is_a_reading_or_an_honest_failure() {
    let request = DcsRequest::Snapshot {
        consistency: Consistency::Linearizable,
    };
    let s = Span::secs(3);
    check(
        World::new(),
        request.clone(),
        s,
        &fates(&[Lost]),
        "snapshot",
    );
    check(
        World::new(),
        request.clone(),
        s,
        &fates(&[NotSent; 9]),
        "not sent",
    );
    check(
        World::new(),
        request.clone(),
        s,
        &fates(&[NotSent, Lost, Lost, Lost]),
        "unknown",
    );
    check(World::new(), request, s, &fates(&[Denied]), "denied");
}

#[test]
fn the_confirmation_that_was_sent_last_counts_whoever_heard_it_last() {
    let mut world = World::with_session();
    let renew = DcsRequest::KeepSession { ttl: TTL };
    let until = world.now + Span::secs(5);
    let (mut early, mut late) = (
        Exchange::new(renew.clone(), until),
        Exchange::new(renew, until),
    );
    early.start(world.now, &mut world.session);
    late.start(world.now, &mut world.session);
    let kept = || PrimitiveOutcome::Ok(PrimitiveReply::KeptAlive { ttl: Some(TTL) });
    let (first, second) = (world.now + Span::millis(1), world.now + Span::millis(9));
    late.answered(second, second, kept(), &mut world.session);
    early.answered(second, first, kept(), &mut world.session);
    let Some(Session { renewed_at, .. }) = world.session.session else {
        panic!("the session is gone");
    };
    assert_eq!(renewed_at, second);
}

#[test]
fn an_earlier_lifes_session_is_resumed_only_when_the_store_confirms_it() {
    let s = Span::secs(3);
    let leading = World::leading();
    let resume = DcsRequest::ResumeSession {
        lease: leading.mine(),
        ttl: TTL,
    };
    let reborn = |event: fn(&mut Model, LeaseId)| {
        let mut world = World::new();
        world.model = leading.model.clone();
        event(&mut world.model, leading.mine());
        world
    };
    let mut world = reborn(|_, _| {});
    world.now = START + Span::secs(9);
    let world = check(world, resume.clone(), s, &[], "session");
    let session = world.session.session.expect("resumed");
    assert_eq!(
        (session.lease, session.renewed_at),
        (leading.mine(), START + Span::secs(9))
    );
    check(world, renew(), s, &[], "mine");
    check(
        reborn(Model::end_lease),
        resume.clone(),
        s,
        &[],
        "session gone",
    );
    let unheard = check(reborn(|_, _| {}), resume, s, &fates(&[Lost; 9]), "unknown");
    let session = unheard.session.session.expect("adopted");
    assert_eq!(
        session.renewed_at,
        Mono(0),
        "not confirmed, so worth nothing"
    );
}

#[test]
fn two_grants_at_once_leave_one_session() {
    let mut world = World::new();
    let until = world.now + Span::secs(5);
    let keep = DcsRequest::KeepSession { ttl: TTL };
    let (mut one, mut two) = (
        Exchange::new(keep.clone(), until),
        Exchange::new(keep, until),
    );
    one.start(world.now, &mut world.session);
    two.start(world.now, &mut world.session);
    let granted = |lease| {
        PrimitiveOutcome::Ok(PrimitiveReply::Granted {
            lease: LeaseId(lease),
            ttl: TTL,
        })
    };
    one.answered(world.now, world.now, granted(1), &mut world.session);
    let step = two.answered(world.now, world.now, granted(2), &mut world.session);
    let Step::Done {
        outcome: DcsOutcome::Ok(DcsReply::Session(session)),
        ..
    } = step
    else {
        panic!("{step:?}");
    };
    assert_eq!(session.lease, LeaseId(1));
    assert_eq!(world.mine(), LeaseId(1));
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Answered),
        1 => Just(NotSent),
        1 => Just(Denied),
        2 => Just(Lost),
        2 => Just(AppliedUnheard),
        2 => Just(Late),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Nothing),
        2 => Just(Event::OtherTakesLeader),
        1 => Just(Event::LeaderDeleted),
        1 => Just(Event::MyLeaseEnds),
        1 => Just(Event::SyncWritten),
        1 => Just(Event::SyncDeleted),
        2 => Just(Event::LateArrives),
    ]
}

fn any_script() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (any_event(), any_fate(), 1..2_000_u64).prop_map(|(event, fate, millis)| Turn {
        event,
        fate,
        takes: Span::millis(millis),
    });
    prop::collection::vec(turn, 0..14)
}

fn any_request() -> impl Strategy<Value = DcsRequest> {
    prop_oneof![
        Just(acquire()),
        Just(renew()),
        Just(renew_for(Span::secs(20))),
        Just(release()),
        Just(member()),
        Just(put("sync", "{}", Precondition::Absent)),
        Just(DcsRequest::KeepSession { ttl: TTL }),
        Just(DcsRequest::Snapshot {
            consistency: Consistency::Linearizable
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Ending by `until`, and steps within it, are asserted by `run` for every exchange.
    #[test]
    fn any_sequence_of_requests_ends_in_time_and_renewed_at_is_what_was_confirmed(
        requests in prop::collection::vec((any_request(), any_script(), 0..12_000_u64), 1..5),
    ) {
        let mut world = World::new();
        for (request, script, millis) in requests {
            world.run(request, Span::millis(millis), &script);
            if let Some(session) = world.session.session {
                prop_assert_eq!(Some(&session.renewed_at), world.confirmed.get(&session.lease));
            }
        }
    }

    #[test]
    fn an_acquire_says_only_what_the_store_bears_out(
        before in any_script(),
        script in any_script(),
        guarded in any::<bool>(),
        millis in 20..12_000_u64,
    ) {
        let mut world = World::new();
        if guarded {
            world.model.write("sync", "{}", LeaseId::NONE);
        }
        world.run(DcsRequest::KeepSession { ttl: TTL }, Span::secs(9), &before);
        world.model.late.clear();
        let sync = world.model.keys.get("sync").map_or(Revision(0), |kv| kv.modified);
        let guard = Guard { sync, ..Guard::default() };
        let ended = world.run(acquire_with(guard), Span::millis(millis), &script);
        let leases: Vec<LeaseId> = world.confirmed.keys().copied().collect();
        let leader = world.model.leader().cloned();
        let is_mine = |key: &KeyValue| key.value == "a" && leases.contains(&key.lease);
        let mut later = world.model.clone();
        later.late_arrive();
        let mine_later = later.leader().is_some_and(is_mine);
        match ended.outcome {
            DcsOutcome::Ok(DcsReply::Acquired { session, term, .. }) => {
                let leader = leader.expect("a leader key");
                prop_assert_eq!((leader.value.as_str(), leader.lease), ("a", session.lease));
                prop_assert_eq!(term, Term(leader.created.0));
                prop_assert_eq!(Some(&session.renewed_at), world.confirmed.get(&session.lease));
            }
            DcsOutcome::Ok(other) => prop_assert!(false, "{:?}", other),
            // Not mine, and nothing that is under way makes it mine as things stand.
            DcsOutcome::Conflict { .. }
            | DcsOutcome::SessionGone
            | DcsOutcome::Denied(_)
            | DcsOutcome::NotSent(_) => prop_assert!(!mine_later, "{:?} but {:?}", ended.outcome, later),
            DcsOutcome::Unknown(_) => prop_assert!(ended.maybe_since.is_some()),
        }
    }

    #[test]
    fn a_write_that_is_said_not_to_be_applied_is_not_applied(
        script in any_script(),
        absent in any::<bool>(),
        millis in 20..12_000_u64,
    ) {
        let mut world = World::new();
        let precondition = if absent { Precondition::Absent } else { Precondition::None };
        let request = put("history", "mine", precondition);
        let ended = world.run(request, Span::millis(millis), &script);
        let mut later = world.model.clone();
        later.late_arrive();
        match ended.outcome {
            DcsOutcome::Ok(_) => {
                prop_assert_eq!(&world.model.keys["history"].value, "mine");
            }
            DcsOutcome::Conflict { .. }
            | DcsOutcome::SessionGone
            | DcsOutcome::Denied(_)
            | DcsOutcome::NotSent(_) => prop_assert!(!later.keys.contains_key("history")),
            DcsOutcome::Unknown(_) => prop_assert!(ended.maybe_since.is_some()),
        }
    }
}
