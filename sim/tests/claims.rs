//! When a claim holds: each kind of demand against a short film of instants, each kind of fact against
//! one instant. The world here is made by hand, so that nothing but the judging is judged.

use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;
use tanist_core::name::MemberName;
use tanist_core::operator::{Answer, Refusal};
use tanist_core::timeline::TimelineId;
use tanist_sim::event::{Event, Role, What};
use tanist_sim::marks::{Mark, Marks};
use tanist_sim::moment::Moment;
use tanist_sim::plan::Step;
use tanist_sim::scenario::claims::{Demand, Fact};
use tanist_sim::scenario::judge::{Claims, Memory, Sight};
use tanist_sim::scenario::parse::parse;
use tanist_sim::truth::{Commits, MemberTruth, Process, Truth};

fn member(role: Role, timeline: u32, from: Option<&str>) -> MemberTruth {
    MemberTruth {
        role,
        can_write: role == Role::Primary,
        accepts_writes: role == Role::Primary,
        waiting_commits: 0,
        timeline: TimelineId(timeline),
        flushed: Lsn(100),
        replayed: Lsn(100),
        streams_from: from.map(MemberName::from),
        control: None,
        agent: Process::Running,
        fencer: Process::Running,
        says_primary: role == Role::Primary,
        operation: None,
    }
}

/// At `secs`: `a` leads `b` on timeline 1.
fn calm(secs: u64) -> Truth {
    let members = [
        ("a", member(Role::Primary, 1, None)),
        ("b", member(Role::Standby, 1, Some("a"))),
    ];
    Truth {
        at: Moment::secs(secs),
        leader_key: Some("a".into()),
        members: members
            .map(|(name, truth)| (MemberName::from(name), truth))
            .into(),
        commits: Commits::default(),
        paused: false,
    }
}

/// At `secs`: `a` is down and nobody leads.
fn headless(secs: u64) -> Truth {
    let mut truth = calm(secs);
    truth.leader_key = None;
    truth
        .members
        .insert("a".into(), member(Role::Stopped, 1, None));
    truth
        .members
        .insert("b".into(), member(Role::Standby, 1, None));
    truth
}

fn demand(text: &str) -> Demand {
    let plan = parse(&format!("# q\ncluster a b\nexpect {text}\n")).expect(text);
    match &plan.steps[..] {
        [Step::Expect(demand)] => demand.clone(),
        other => panic!("not one claim: {other:?}"),
    }
}

/// Shows the claim the film from its first instant on. `Ok`: kept; `Err`: when and why not.
fn judged(text: &str, film: &[Truth]) -> Result<(), (Moment, String)> {
    let (marks, memory) = (Marks::default(), Memory::default());
    let sight = |truth| Sight {
        truth,
        marks: &marks,
        memory: &memory,
    };
    let mut claims = Claims::default();
    claims.open(demand(text), film[0].at);
    for truth in film {
        claims.look(&sight(truth));
    }
    claims.look_at_end(&sight(&film[film.len() - 1]));
    match claims.refuted.first() {
        None => {
            assert_eq!(claims.kept, 1, "{text} was neither kept nor refuted");
            Ok(())
        }
        Some(refuted) => Err((refuted.at, refuted.story.clone())),
    }
}

#[test]
fn each_demand_is_kept_or_refuted_at_the_right_instant() {
    let film = [calm(0), calm(10), headless(20), headless(30), calm(40)];
    for (text, refuted_at) in [
        ("within 20s  no leader", None),
        ("within 15s  no leader", Some(20)),
        ("for 10s  leader is a", None),
        ("for 20s  leader is a", Some(20)),
        ("always  leader is a", Some(20)),
        ("always  b refuses writes", None),
        ("never  no leader", Some(20)),
        ("never  b accepts writes", None),
        ("at end  leader is a", None),
        ("at end  no leader", Some(40)),
        ("before  a is down : leader key is free", None),
        ("before  a is down : b streams from a", Some(20)),
        ("before  b accepts writes : a is down", Some(40)),
    ] {
        let found = judged(text, &film).err().map(|(at, _)| at);
        assert_eq!(found, refuted_at.map(Moment::secs), "{text}");
    }
}

#[test]
fn an_event_that_never_comes_does_not_keep_a_claim_about_what_is_before_it() {
    let (_, story) =
        judged("before  b accepts writes : a is down", &[calm(0), calm(1)]).unwrap_err();
    assert!(story.contains("it never came to it"), "{story}");
}

/// Is the fact true in this instant?
fn shows(text: &str, truth: &Truth, marks: &Marks, memory: &Memory) -> bool {
    let Demand::AtEnd(fact) = demand(text) else {
        panic!("{text} is more than a fact");
    };
    let sight = Sight {
        truth,
        marks,
        memory,
    };
    sight.shows(&fact, Moment::START)
}

#[test]
fn facts_are_true_of_the_world_and_of_nothing_else() {
    let (marks, memory) = (Marks::default(), Memory::default());
    for (text, in_calm, headless_too) in [
        ("a accepts writes", true, false),
        ("a refuses writes", false, true),
        ("all refuses writes", false, true),
        ("a has waiting commits", false, false),
        ("a has no waiting commits", true, true),
        ("any accepts writes", true, false),
        ("leader is a", true, false),
        ("leader is b", false, false),
        ("no leader", false, true),
        ("a holds leader key", true, false),
        ("leader key is free", false, true),
        ("a is primary", true, false),
        ("a is down", false, true),
        ("b is standby", true, true),
        ("b streams from a", true, false),
        ("b streams from a on timeline 1", true, false),
        ("b streams from a on timeline 2", false, false),
        ("b streams from leader", true, false),
        ("b is on timeline 1", true, true),
        ("timeline is 1", true, false),
        ("everyone follows", true, false),
        ("lost commits = 0", true, true),
        ("lost commits >= 1", false, false),
        ("a in rewind", false, false),
        ("no failover", true, true),
        ("a kept data", true, true),
        ("request is done", false, false),
        ("mark fencer-fired", false, false),
    ] {
        assert_eq!(
            shows(text, &calm(0), &marks, &memory),
            in_calm,
            "{text}, calm"
        );
        let found = shows(text, &headless(0), &marks, &memory);
        assert_eq!(found, headless_too, "{text}, headless");
    }
}

#[test]
fn a_member_is_no_follower_on_another_timeline_or_without_an_upstream() {
    let (marks, memory) = (Marks::default(), Memory::default());
    for (role, timeline, from, follows) in [
        (Role::Standby, 1, Some("a"), true),
        (Role::Standby, 2, Some("a"), false),
        (Role::Standby, 1, None, false),
        (Role::Stopped, 1, None, false),
        (Role::HostDown, 1, None, true),
    ] {
        let mut truth = calm(0);
        truth
            .members
            .insert("b".into(), member(role, timeline, from));
        let found = shows("everyone follows", &truth, &marks, &memory);
        assert_eq!(found, follows, "{role:?} on {timeline} from {from:?}");
    }
}

#[test]
fn a_member_whose_backends_linger_does_not_refuse_writes() {
    let mut truth = headless(0);
    let mut orphaned = member(Role::Orphaned, 1, None);
    orphaned.can_write = true;
    truth.members.insert("a".into(), orphaned);
    let (marks, memory) = (Marks::default(), Memory::default());
    assert!(!shows("a refuses writes", &truth, &marks, &memory));
    assert!(!shows("a is down", &truth, &marks, &memory));
}

#[test]
fn what_happened_before_a_claim_does_not_count_against_it() {
    let mut memory = Memory::default();
    let promoted = What::Promoted {
        member: "b".into(),
        timeline: TimelineId(2),
        at: Lsn(100),
    };
    let discarded = What::Operation {
        member: "a".into(),
        verb: "discard data".into(),
        outcome: None,
    };
    for what in [promoted, discarded] {
        let at = Moment::secs(5);
        memory.remember(&Event { at, what });
    }
    let (truth, marks) = (calm(9), Marks::default());
    let sight = Sight {
        truth: &truth,
        marks: &marks,
        memory: &memory,
    };
    for (since, holds) in [(4, false), (5, false), (6, true)] {
        assert_eq!(sight.shows(&Fact::NoFailover, Moment::secs(since)), holds);
        assert_eq!(
            sight.shows(&Fact::KeptData("a".into()), Moment::secs(since)),
            holds
        );
    }
}

#[test]
fn an_answer_that_says_wait_ends_no_request() {
    let mut memory = Memory::default();
    let mut marks = Marks::default();
    let refused = Answer::Refused {
        code: Refusal::PreconditionFailed,
        why: "no candidate".into(),
    };
    let told = |answer| Event {
        at: Moment::START,
        what: What::Answered {
            member: "a".into(),
            answer,
        },
    };
    for (answer, ended) in [
        (Answer::Accepted("later".into()), None),
        (refused, Some("request is refused")),
        (
            Answer::StillRunning("wait".into()),
            Some("request is refused"),
        ),
        (
            Answer::Done("switched over".into()),
            Some("request is done"),
        ),
    ] {
        memory.remember(&told(answer));
        for text in ["request is done", "request is refused", "request is failed"] {
            let found = shows(text, &calm(0), &marks, &memory);
            assert_eq!(found, ended == Some(text), "{text}");
        }
    }
    marks.hit(Mark::FencerFired);
    assert!(shows("mark fencer-fired", &calm(0), &marks, &memory));
}

#[test]
fn an_empty_world_has_no_leader_and_no_follower() {
    let truth = Truth {
        members: BTreeMap::new(),
        leader_key: None,
        ..calm(0)
    };
    let (marks, memory) = (Marks::default(), Memory::default());
    assert!(shows("no leader", &truth, &marks, &memory));
    assert!(!shows("everyone follows", &truth, &marks, &memory));
}
