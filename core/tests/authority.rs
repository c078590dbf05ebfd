//! Until when a member's PostgreSQL may accept writes, and what its fencer is told of that, as tables: an agent in one
//! state of its tenure, and the deadlines that follow.

mod support;

use serde_json::{Value, json};
use support::{at, settings};
use tanist_core::agent::{Agent, Boot, Output};
use tanist_core::dcs::{LeaseId, Session};
use tanist_core::decision::{Decision, Waiting};
use tanist_core::effect::EffectBody;
use tanist_core::fencer::{Armed, FencerInput, FencerRequest};
use tanist_core::leader_key::{Authority, Key};
use tanist_core::name::{OpId, Term};
use tanist_core::settings::FencerMode;
use tanist_core::tenure::Resumption;
use tanist_core::time::{Mono, Span};

const TERM: Term = Term(3);
const LEASE: LeaseId = LeaseId(7);

fn mono(seconds: u64) -> Mono {
    at(seconds).mono
}

/// What a lease of ten seconds, renewed at second 100, gives: less drift, stop and the store's margin.
fn lease_end() -> Mono {
    mono(100) + Span::millis(9_950 - 2_500)
}

fn armed(until: Mono) -> Armed {
    Armed {
        term: TERM,
        lease: LEASE,
        until,
    }
}

/// An agent that began its life at second 99, with these parts of its state put in place of its own.
fn agent(boot: Boot, parts: &[(&str, &str, Value)]) -> Agent {
    let fresh = Agent::new(settings(), boot, 7, at(99));
    let mut state = serde_json::to_value(fresh).unwrap();
    for (part, field, value) in parts {
        let place = state[part].get_mut(field).expect("a field of the agent");
        *place = value.clone();
    }
    serde_json::from_value(state).unwrap()
}

fn value(of: impl serde::Serialize) -> Value {
    serde_json::to_value(of).unwrap()
}

fn session() -> Value {
    value(Session {
        lease: LEASE,
        ttl: Span::secs(10),
        renewed_at: mono(100),
    })
}

/// A member with a session and this key, of which the store has said (or not) that it is bound to that very session.
fn member(key: Key, proven: bool, fencer: Option<Armed>, more: &[(&str, &str, Value)]) -> Agent {
    let boot = Boot {
        fencer,
        ..Boot::default()
    };
    let mut parts = vec![
        ("tenure", "key", value(key)),
        ("tenure", "session", session()),
        ("tenure", "proven", json!(proven)),
        ("tenure", "resumption", value(Resumption::Over)),
    ];
    parts.extend_from_slice(more);
    agent(boot, &parts)
}

fn leader(more: &[(&str, &str, Value)]) -> Agent {
    member(Key::Held { term: TERM }, true, None, more)
}

fn until(until: Mono) -> Authority {
    Authority::Lease { until, term: TERM }
}

#[test]
fn authority_is_what_the_lease_gives_and_never_more_than_is_proven() {
    let held = Key::Held { term: TERM };
    let gone = |since| Key::Gone { term: TERM, since };
    let early = Some(armed(mono(102)));
    let late = Some(armed(mono(200)));
    let cases = [
        (
            "held and proven",
            member(held, true, None, &[]),
            until(lease_end()),
        ),
        (
            "proven, whatever an old fencer holds",
            member(held, true, early, &[]),
            until(lease_end()),
        ),
        (
            "not proven, no fencer",
            member(held, false, None, &[]),
            Authority::None,
        ),
        (
            "not proven, to the fencer's deadline",
            member(held, false, early, &[]),
            until(mono(102)),
        ),
        (
            "not proven, to the lease's end",
            member(held, false, late, &[]),
            until(lease_end()),
        ),
        (
            "gone long before the lease ends",
            member(gone(mono(101)), true, None, &[]),
            until(mono(101) + Span::millis(500)),
        ),
        (
            "gone when the lease ends",
            member(gone(lease_end()), true, None, &[]),
            until(lease_end()),
        ),
        (
            "not held",
            member(Key::NotHeld, true, late, &[]),
            Authority::None,
        ),
        (
            "asked for",
            member(Key::Acquiring { op: OpId(1) }, true, late, &[]),
            Authority::None,
        ),
        (
            "in doubt",
            member(Key::InDoubt, true, late, &[]),
            Authority::None,
        ),
        (
            "being given up",
            member(
                Key::Releasing {
                    op: OpId(1),
                    term: TERM,
                },
                true,
                late,
                &[],
            ),
            Authority::None,
        ),
    ];
    for (what, member, expected) in cases {
        assert_eq!(member.authority(), expected, "{what}");
    }
}

#[test]
fn while_an_earlier_life_s_session_is_resumed_its_fencer_s_deadline_is_the_authority() {
    let resuming = [("tenure", "resumption", value(Resumption::Trying))];
    let fenced = member(Key::NotHeld, false, Some(armed(mono(104))), &resuming);
    assert_eq!(fenced.authority(), until(mono(104)));
    let unfenced = member(Key::NotHeld, false, None, &resuming);
    assert_eq!(unfenced.authority(), Authority::None);
}

#[test]
fn a_ttl_that_was_asked_for_and_not_yet_answered_shortens_the_authority() {
    let asked = [("tenure", "asked_ttl", value(Span::secs(6)))];
    let shorter = mono(100) + Span::millis(5_970 - 2_500);
    assert_eq!(leader(&asked).authority(), until(shorter));
    let asked = [("tenure", "asked_ttl", value(Span::secs(60)))];
    assert_eq!(leader(&asked).authority(), until(lease_end()));
}

#[test]
fn the_orderly_stop_begins_a_quarter_of_the_lease_before_its_end_and_two_seconds_at_most() {
    let whole = lease_end().since(mono(100));
    let at_ten = lease_end().saturating_sub(whole.divided_by(4));
    assert_eq!(leader(&[]).orderly_stop_at(), Some(at_ten));
    let long = value(Session {
        lease: LEASE,
        ttl: Span::secs(30),
        renewed_at: mono(100),
    });
    let leader = leader(&[("tenure", "session", long)]);
    let end = leader.authority().until().unwrap();
    assert_eq!(
        leader.orderly_stop_at(),
        Some(end.saturating_sub(Span::secs(2)))
    );
}

#[test]
fn nobody_stops_in_order_while_a_vanished_key_is_taken_again() {
    let gone = Key::Gone {
        term: TERM,
        since: mono(101),
    };
    assert_eq!(member(gone, true, None, &[]).orderly_stop_at(), None);
}

#[test]
fn a_lease_is_known_only_of_a_key_that_is_held_and_proven() {
    let held = Key::Held { term: TERM };
    assert_eq!(
        member(held, true, None, &[]).lease_until(),
        Some(lease_end())
    );
    assert_eq!(member(held, false, None, &[]).lease_until(), None);
    assert_eq!(member(Key::NotHeld, true, None, &[]).lease_until(), None);
}

#[test]
fn a_primary_found_running_writes_unproven_to_its_fencer_s_deadline_and_two_seconds_without_one() {
    let boot = |fencer| Boot {
        fencer,
        ..Boot::default()
    };
    let cases = [
        (None, mono(101)),
        (Some(armed(mono(100))), mono(100)),
        (Some(armed(mono(500))), mono(109)),
    ];
    for (fencer, expected) in cases {
        assert_eq!(
            agent(boot(fencer), &[]).proves_until(),
            expected,
            "{fencer:?}"
        );
    }
}

/// A leader with this mode, whose fencer is ready or not and holds this.
fn fenced(
    mode: FencerMode,
    ready: bool,
    holds: Option<Armed>,
    more: &[(&str, &str, Value)],
) -> Agent {
    let mut safety = settings().safety;
    safety.fencer = mode;
    let mut parts = vec![
        ("settings", "safety", value(safety)),
        ("fencing", "ready", json!(ready)),
        ("fencing", "armed", value(holds)),
    ];
    parts.extend_from_slice(more);
    leader(&parts)
}

#[test]
fn a_fencer_covers_only_what_it_is_armed_for_and_is_done_without_only_where_it_never_came() {
    use FencerMode::{Auto, Off, Required};
    let right = Some(armed(mono(105)));
    let earlier_term = Some(Armed {
        term: Term(2),
        ..armed(mono(105))
    });
    let seen = [("fencing", "ever_ready", json!(true))];
    let second = 101;
    let cases = [
        ("armed", fenced(Required, true, right, &seen), second, true),
        (
            "armed for another term",
            fenced(Required, true, earlier_term, &seen),
            second,
            false,
        ),
        (
            "armed, and lost since",
            fenced(Required, false, right, &seen),
            second,
            false,
        ),
        (
            "not armed",
            fenced(Required, true, None, &seen),
            second,
            false,
        ),
        (
            "its deadline is over",
            fenced(Required, true, right, &seen),
            105,
            false,
        ),
        (
            "required and never there",
            fenced(Required, false, None, &[]),
            150,
            false,
        ),
        (
            "auto, and it may still come",
            fenced(Auto, false, None, &[]),
            second,
            false,
        ),
        (
            "auto, and it never came",
            fenced(Auto, false, None, &[]),
            102,
            true,
        ),
        (
            "auto, and it was there once",
            fenced(Auto, false, None, &seen),
            150,
            false,
        ),
        (
            "auto and armed",
            fenced(Auto, true, right, &seen),
            second,
            true,
        ),
        ("none wanted", fenced(Off, false, None, &[]), second, true),
    ];
    for (what, agent, second, expected) in cases {
        assert_eq!(agent.fencer_covers(at(second)), expected, "{what}");
    }
    let no_leader = member(Key::NotHeld, true, None, &[]);
    assert!(!no_leader.fencer_covers(at(second)));
}

#[test]
fn a_lost_fencer_is_waited_for_one_second() {
    use FencerMode::{Auto, Off, Required};
    let lost = [("fencing", "lost_since", value(mono(110)))];
    for (mode, second, overdue) in [
        (Required, 110, false),
        (Required, 111, true),
        (Auto, 110, false),
        (Auto, 111, true),
        (Off, 150, false),
    ] {
        let agent = fenced(mode, false, None, &lost);
        assert_eq!(
            agent.fencer_overdue(at(second)),
            overdue,
            "{mode:?} at {second}"
        );
        assert_eq!(agent.fencer_deadline(), Some(mono(111)));
    }
    // One that never came has the time of a first start; one that is there is waited for by nobody.
    assert_eq!(
        fenced(Auto, false, None, &[]).fencer_deadline(),
        Some(mono(102))
    );
    let seen = [("fencing", "ever_ready", json!(true))];
    assert_eq!(fenced(Auto, true, None, &seen).fencer_deadline(), None);
}

#[test]
fn a_server_started_under_a_deadline_that_nothing_moves_would_be_ended_by_it() {
    let holds = Some(armed(mono(105)));
    let leads = fenced(FencerMode::Auto, true, holds, &[]);
    assert!(!leads.fencer_would_end_it(at(101)));
    assert!(leads.fencer_would_end_it(at(108)), "past its authority");
    assert!(!fenced(FencerMode::Auto, true, None, &[]).fencer_would_end_it(at(108)));
}

/// What the fencer is asked for at this second.
fn asked(agent: &mut Agent, second: u64) -> Option<(OpId, FencerRequest)> {
    let mut out = Output::default();
    agent.fencer_duties(at(second), &mut out);
    out.effects.iter().find_map(|effect| match &effect.body {
        EffectBody::Fencer(request) => Some((effect.id, *request)),
        _ => None,
    })
}

fn waits_for_it() -> (&'static str, Value) {
    let waiting = Decision::Wait(Waiting::FencerNotReady);
    ("decision", value(waiting))
}

/// A leader that waits for its fencer, to promote then.
fn about_to_write(mode: FencerMode, ready: bool, holds: Option<Armed>) -> Agent {
    let mut state = value(fenced(
        mode,
        ready,
        holds,
        &[("fencing", "ever_ready", json!(true))],
    ));
    let (part, waiting) = waits_for_it();
    state[part] = waiting;
    serde_json::from_value(state).unwrap()
}

#[test]
fn the_fencer_is_armed_before_the_first_write_and_moved_only_forward() {
    use FencerMode::{Auto, Off};
    let end = lease_end();
    let arm = Some(FencerRequest::Arm {
        term: TERM,
        lease: LEASE,
        until: end,
    });
    let extend = Some(FencerRequest::Extend {
        term: TERM,
        until: end,
    });
    let another = Some(Armed {
        term: Term(2),
        ..armed(mono(105))
    });
    let cases = [
        ("before it writes", about_to_write(Auto, true, None), arm),
        (
            "armed for an earlier term",
            about_to_write(Auto, true, another),
            arm,
        ),
        (
            "the lease was renewed",
            about_to_write(Auto, true, Some(armed(mono(105)))),
            extend,
        ),
        (
            "it holds that already",
            about_to_write(Auto, true, Some(armed(end))),
            None,
        ),
        ("it is not there", about_to_write(Auto, false, None), None),
        ("none is wanted", about_to_write(Off, true, None), None),
    ];
    for (what, mut agent, expected) in cases {
        let request = asked(&mut agent, 101).map(|(_, request)| request);
        assert_eq!(request, expected, "{what}");
    }
    let mut over = about_to_write(Auto, true, None);
    assert_eq!(asked(&mut over, 108), None, "its deadline would be past");
}

#[test]
fn one_request_to_the_fencer_is_under_way_at_a_time_and_a_refused_one_rests_half_a_second() {
    let mut agent = about_to_write(FencerMode::Auto, true, Some(armed(mono(105))));
    let (op, _) = asked(&mut agent, 101).unwrap();
    assert_eq!(asked(&mut agent, 101), None, "the first is not answered");
    let refused = FencerInput::Refused {
        op,
        why: "another term".into(),
    };
    let mut out = Output::default();
    agent.fencer_said(at(101), refused, &mut out);
    let retry = mono(101) + Span::millis(500);
    assert_eq!(agent.fencer_retry(), Some(retry));
    assert_eq!(asked(&mut agent, 101), None, "it rests");
    let (_, again) = asked(&mut agent, 102).unwrap();
    assert!(
        matches!(again, FencerRequest::Arm { .. }),
        "what it refused to prolong it does not hold: {again:?}"
    );
}

#[test]
fn a_fencer_that_obeyed_holds_the_later_of_both_deadlines_and_is_lost_no_more() {
    let mut agent = about_to_write(FencerMode::Auto, true, Some(armed(mono(105))));
    let (op, _) = asked(&mut agent, 101).unwrap();
    let lost = FencerInput::Acknowledged { op: OpId(op.0 + 9) };
    agent.fencer_said(at(101), lost, &mut Output::default());
    assert_eq!(
        asked(&mut agent, 101),
        None,
        "an answer to something else is none"
    );
    agent.fencer_said(
        at(101),
        FencerInput::Acknowledged { op },
        &mut Output::default(),
    );
    let state = value(&agent);
    assert_eq!(state["fencing"]["armed"], value(armed(lease_end())));
    assert_eq!(asked(&mut agent, 101), None, "it has what it needs");
}
