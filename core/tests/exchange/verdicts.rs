//! What an answer says when an earlier attempt had none, and the exact bounds of the time that an exchange has.

use super::world::Fate::{Answered, AppliedUnheard, Denied, Late, Lost};
use super::world::*;
use tanist_core::dcs::*;
use tanist_core::exchange::{Exchange, Step};
use tanist_core::primitive::PrimitiveOutcome;
use tanist_core::time::Span;

#[test]
fn an_attempt_is_dead_once_any_version_that_it_names_is_left_behind() {
    let keys = ["sync", "failover", "history", "initialize"];
    for moved in keys {
        let mut world = World::with_session();
        let mut version = |key: &str| world.model.write(key, "1", LeaseId::NONE);
        let guard = Guard {
            sync: version("sync"),
            failover: version("failover"),
            history: version("history"),
            claim: Some(version("initialize")),
        };
        let script = [
            turn(Event::Nothing, Answered),
            turn(Event::Nothing, Late),
            turn(Event::Written(moved), Answered),
        ];
        check(
            world,
            acquire_with(guard),
            Span::secs(9),
            &script,
            "conflict",
        );
    }
    // Nothing else moved.
    let mut world = World::with_session();
    let sync = world.model.write("sync", "1", LeaseId::NONE);
    let guard = Guard {
        sync,
        ..Guard::default()
    };
    let script = [
        turn(Event::Nothing, Answered),
        turn(Event::Nothing, Late),
        turn(Event::OtherTakesLeader, Answered),
    ];
    check(
        world,
        acquire_with(guard),
        Span::secs(9),
        &script,
        "conflict",
    );
}

#[test]
fn a_renewal_that_is_refused_after_one_that_had_no_verdict_is_refused() {
    let script = fates(&[Answered, Lost, Denied]);
    check(World::leading(), renew(), Span::secs(9), &script, "denied");
    let script = fates(&[Lost, Denied]);
    check(
        World::leading(),
        release(),
        Span::secs(9),
        &script,
        "unknown",
    );
}

#[test]
fn only_a_renewal_that_has_a_session_goes_on_without_a_new_one() {
    let s = Span::secs(5);
    let refused = fates(&[Denied]);
    check(
        World::new(),
        DcsRequest::KeepSession { ttl: TTL },
        s,
        &refused,
        "denied",
    );
    check(World::new(), acquire(), s, &refused, "denied");
    let longer = DcsRequest::KeepSession {
        ttl: Span::secs(60),
    };
    check(World::with_session(), longer, s, &refused, "denied");
    check(World::leading(), renew(), s, &refused, "denied");
}

#[test]
fn a_status_is_written_by_the_leader_alone() {
    let mut lost = World::leading();
    lost.model.delete("leader");
    lost.model.write("leader", "b", LeaseId(77));
    let lost = check(lost, renew(), Span::secs(5), &[], "other's");
    assert!(!lost.model.keys.contains_key("status"));
    let mut namesake = World::leading();
    namesake.model.write("leader", "a", LeaseId(77));
    let namesake = check(namesake, renew(), Span::secs(5), &[], "namesake's");
    assert!(!namesake.model.keys.contains_key("status"));
}

#[test]
fn a_write_in_doubt_is_found_by_its_bytes_its_lease_and_its_version() {
    let s = Span::secs(9);
    let found = |value: &str, lease, precondition, expect: &str| {
        let mut world = World::new();
        let version = world.model.write("config", "{}", LeaseId::NONE);
        let precondition = match precondition {
            Precondition::Version(_) => Precondition::Version(version),
            other => other,
        };
        // Lost on its way; somebody else has written meanwhile, or nobody has.
        world.model.write("config", value, lease);
        let script = fates(&[Lost]);
        check(
            world,
            put("config", "wanted", precondition),
            s,
            &script,
            expect,
        );
    };
    let versioned = Precondition::Version(Revision(0));
    found("wanted", LeaseId::NONE, versioned, "written");
    found("other", LeaseId::NONE, versioned, "conflict");
    found("wanted", LeaseId(77), versioned, "conflict");
    // The very version that was named is no sign of a write since.
    let mut world = World::new();
    world.model.write("config", "wanted", LeaseId::NONE);
    let stale = Precondition::Version(Revision(99));
    check(
        world,
        put("config", "wanted", stale),
        s,
        &fates(&[Lost]),
        "conflict",
    );
    let mut world = World::new();
    world.model.write("config", "wanted", LeaseId::NONE);
    let absent = put("config", "wanted", Precondition::Absent);
    check(world, absent, s, &fates(&[Lost]), "written");
}

#[test]
fn a_key_is_deleted_when_it_is_gone_after_an_attempt_that_nobody_heard_of() {
    let s = Span::secs(9);
    let delete = |version| DcsRequest::Delete {
        key: "sync".to_string(),
        precondition: Precondition::Version(version),
    };
    let there = || {
        let mut world = World::new();
        let version = world.model.write("sync", "{}", LeaseId::NONE);
        (world, version)
    };
    let (world, version) = there();
    check(
        world,
        delete(version),
        s,
        &fates(&[AppliedUnheard]),
        "written",
    );
    // It was gone before, and nothing was sent.
    let (mut world, version) = there();
    world.model.delete("sync");
    check(world, delete(version), s, &[], "conflict");
    // It is there, and another.
    let (mut world, version) = there();
    world.model.write("sync", "1", LeaseId::NONE);
    check(world, delete(version), s, &fates(&[Lost]), "conflict");
}

#[test]
fn a_release_in_the_name_of_a_former_lease_is_made_once() {
    // A ttl was changed, and the new lease never reached the key.
    let moved = || {
        let mut world = World::leading();
        let script = fates(&[Answered, Lost, Lost, Lost, Lost, Lost, Lost, Lost, Lost]);
        world.run(renew_for(Span::secs(20)), Span::secs(2), &script);
        assert_ne!(world.model.leader().map(|kv| kv.lease), Some(world.mine()));
        world
    };
    let world = check(moved(), release(), Span::secs(9), &[], "released");
    assert!(world.model.leader().is_none());
    let world = check(
        moved(),
        renew_for(Span::secs(20)),
        Span::secs(9),
        &[],
        "mine",
    );
    assert_eq!(world.model.leader().map(|kv| kv.lease), Some(world.mine()));
    // Bound to a lease that was never mine.
    let mut namesake = World::leading();
    namesake.model.write("leader", "a", LeaseId(77));
    check(namesake, release(), Span::secs(9), &[], "conflict");
}

#[test]
fn no_call_is_sent_and_no_wait_begun_without_ten_milliseconds_left() {
    let starts = |millis: u64| {
        let mut world = World::with_session();
        let until = world.now + Span::millis(millis);
        let mut exchange = Exchange::new(renew(), until);
        matches!(
            exchange.start(world.now, &mut world.session),
            Step::Send { .. }
        )
    };
    assert!(starts(10));
    assert!(!starts(9));
    // The first wait after a failure is twenty milliseconds.
    let waits = |millis: u64| {
        let mut world = World::with_session();
        let until = world.now + Span::millis(millis);
        let mut exchange = Exchange::new(renew(), until);
        let _sent = exchange.start(world.now, &mut world.session);
        let refused = PrimitiveOutcome::NotSent("refused".into());
        let step = exchange.answered(world.now, world.now, refused, &mut world.session);
        match step {
            Step::Wait { until } => Some(until - world.now),
            Step::Send { .. } | Step::Done { .. } => None,
        }
    };
    let first = waits(9_000).expect("there is time");
    let needed = (first + Span::millis(10)).as_micros() / 1_000;
    assert_eq!(waits(needed), Some(first));
    assert_eq!(waits(needed - 1), None);
}

#[test]
fn a_renewal_whose_session_is_gone_by_the_time_it_is_sent_is_none() {
    let mut world = World::leading();
    let until = world.now + Span::secs(5);
    let mut exchange = Exchange::new(renew(), until);
    let refused = PrimitiveOutcome::NotSent("refused".into());
    let _sent = exchange.start(world.now, &mut world.session);
    let Step::Wait { until } = exchange.answered(world.now, world.now, refused, &mut world.session)
    else {
        panic!("it is tried again");
    };
    world.session.session = None;
    let step = exchange.resumed(until, &mut world.session);
    let Step::Done { outcome, .. } = step else {
        panic!("{step:?}");
    };
    assert_eq!(word(&outcome), "session gone");
}
