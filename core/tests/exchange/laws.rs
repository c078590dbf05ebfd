//! Laws over arbitrary requests and fates.

use super::world::Fate::{Answered, AppliedUnheard, Denied, Late, Lost, NotSent};
use super::world::*;
use proptest::prelude::*;
use tanist_core::dcs::*;
use tanist_core::name::Term;
use tanist_core::time::Span;

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
