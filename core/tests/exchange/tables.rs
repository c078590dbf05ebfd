//! Each rule of an exchange as a table.

use super::world::Fate::{Answered, AppliedUnheard, Denied, Late, Lost, NotSent};
use super::world::*;
use tanist_core::dcs::*;
use tanist_core::exchange::{Exchange, Step};
use tanist_core::primitive::{PrimitiveOutcome, PrimitiveReply};
use tanist_core::time::{Mono, Span};

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
