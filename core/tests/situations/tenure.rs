//! The session and the leader key: what is asked for, and what each answer makes of it.

use super::situation::*;
use super::sql::status;
use serde_json::Value;
use tanist_core::agent::{Agent, Output};
use tanist_core::dcs::*;
use tanist_core::decision::AcquireReason;
use tanist_core::effect::EffectBody;
use tanist_core::leader_key::Key;
use tanist_core::name::{MemberName, OpId, Term};
use tanist_core::store::Heard;
use tanist_core::tenure::SessionCall;
use tanist_core::time::{Now, Span};

const HELD: Key = Key::Held { term: TERM };

fn key(agent: &Agent) -> Key {
    serde_json::from_value(json(agent)["tenure"]["key"].clone()).unwrap()
}

fn field(agent: &Agent, name: &str) -> Value {
    json(agent)["tenure"][name].clone()
}

/// What the session's duties ask the store for, at this time.
fn asks(agent: &mut Agent, now: Now) -> Option<DcsRequest> {
    let out = out(|out| agent.session_duties(now, out));
    out.effects
        .into_iter()
        .find_map(|effect| match effect.body {
            EffectBody::Dcs { request, .. } => Some(request),
            _other => None,
        })
}

/// The end of the call under way.
fn hears(agent: &mut Agent, now: Now, outcome: &DcsOutcome) {
    let mut out = Output::default();
    assert!(agent.session_answered(now, OpId(4), outcome, &mut out));
}

fn asking(situation: Situation, call: SessionCall) -> Agent {
    situation.has("tenure/call", (OpId(4), call)).agent()
}

// ---- a key that I do not hold, and that names me ----

#[test]
fn a_key_of_mine_that_i_do_not_hold_is_given_up() {
    let named = |lease| {
        let here = Situation::new().key("leader", "a", lease);
        here.in_session().has("tenure/key", Key::NotHeld)
    };
    let release =
        |request| matches!(request, Some(DcsRequest::Release { term, .. }) if term == TERM);
    let keep = |request| matches!(request, Some(DcsRequest::KeepSession { .. }));
    assert!(
        release(asks(&mut named(MINE).agent(), now())),
        "in my session"
    );
    assert!(
        keep(asks(&mut named(THEIRS).agent(), now())),
        "in another one"
    );
    let owed = |term: i64| named(THEIRS).has("tenure/owes_release", Term(term));
    assert!(
        release(asks(&mut owed(3).agent(), now())),
        "given up without a verdict"
    );
    assert!(keep(asks(&mut owed(2).agent(), now())), "another tenure");
    let anothers = Situation::new().key("leader", "b", MINE).in_session();
    assert!(keep(asks(&mut anothers.agent(), now())), "it names another");
    let rests = named(MINE).has("tenure/due", mono(SECOND + 1));
    assert_eq!(
        asks(&mut rests.agent(), now()),
        None,
        "not before it is due"
    );
}

#[test]
fn a_renewal_goes_on_no_longer_than_the_authority() {
    let until = |renewed: u64, millis: u64| {
        let leads = Situation::new()
            .leads()
            .runs(super::situation::primary(status(false)));
        let mut agent = leads.has("tenure/session", session(renewed)).agent();
        let out = out(|out| agent.session_duties(now_and(millis), out));
        out.effects.iter().find_map(|effect| match &effect.body {
            EffectBody::Dcs { until, .. } => Some(*until),
            _other => None,
        })
    };
    let budget = Span::secs(10);
    assert_eq!(until(SECOND, 0), Some(mono(SECOND) + budget));
    // Twenty seconds old, it ends in 7.35.
    let end = mono(SECOND) + Span::millis(7_350);
    assert_eq!(until(SECOND - 20, 0), Some(end));
    // Past it there is nothing left to protect.
    let over = now_and(7_350);
    assert_eq!(until(SECOND - 20, 7_350), Some(over.mono + budget));
}

// ---- renewals ----

#[test]
fn a_key_that_vanished_is_taken_again_only_by_who_held_it_without_a_gap() {
    let renewed = |millis| {
        let call = SessionCall::Renew { status: None };
        let mut agent = asking(Situation::new().leads(), call);
        let reply = DcsReply::Renewed {
            session: session(SECOND),
            owner: KeyOwner::Absent,
            revision: Revision(9),
        };
        hears(&mut agent, now_and(millis), &DcsOutcome::Ok(reply));
        key(&agent)
    };
    let since = now_and(27_349).mono;
    assert_eq!(renewed(27_349), Key::Gone { term: TERM, since });
    assert_eq!(renewed(27_350), Key::NotHeld);
    assert_eq!(renewed(27_351), Key::NotHeld);
}

#[test]
fn what_an_acquisition_without_a_verdict_leaves_behind_depends_on_why_it_was_made() {
    let unheard = |why| {
        let mut agent = asking(Situation::new().leads(), SessionCall::Acquire { why });
        let outcome = DcsOutcome::Unknown("no answer".into());
        hears(&mut agent, now(), &outcome);
        (key(&agent), field(&agent, "may_land_late"))
    };
    let late = Value::Bool(true);
    let named = unheard(AcquireReason::Named);
    assert_eq!(named, (Key::InDoubt, late.clone()));
    let again = unheard(AcquireReason::KeyGone);
    assert_eq!(again, (Key::NotHeld, late));
}

// ---- what the watch shows ----

fn with_view(situation: Situation) -> Agent {
    let mut agent = situation.agent();
    agent.check_key_against_store(now());
    agent
}

#[test]
fn a_request_that_was_applied_late_makes_the_key_mine_unless_i_gave_it_up() {
    let late = || {
        let here = Situation::new().led_by("a").in_session();
        here.has("tenure/may_land_late", true)
    };
    let released = |second| late().has("tenure/released_at", mono(second));
    let cases = [
        ("applied late", late(), HELD),
        (
            "nothing of mine is on its way",
            late().has("tenure/may_land_late", false),
            Key::NotHeld,
        ),
        ("the agent ends", late().has("stopping", true), Key::NotHeld),
        (
            "the store is being asked",
            late().has("tenure/call", (OpId(4), SessionCall::Keep)),
            Key::NotHeld,
        ),
        (
            "bound to another session",
            late().key("leader", "a", THEIRS),
            Key::NotHeld,
        ),
        (
            "of another, in a session that is mine",
            late().key("leader", "b", MINE),
            Key::NotHeld,
        ),
        ("given up a moment ago", released(SECOND - 4), Key::NotHeld),
        ("given up long ago", released(SECOND - 5), HELD),
        ("given up even before", released(SECOND - 6), HELD),
    ];
    for (what, situation, expected) in cases {
        assert_eq!(key(&with_view(situation)), expected, "{what}");
    }
}

#[test]
fn a_newer_view_takes_the_key_from_who_holds_it_no_more() {
    let held = |leader: &str| {
        let here = Situation::new().leads().led_by(leader);
        key(&with_view(here))
    };
    assert_eq!(held("a"), HELD);
    assert_eq!(held("b"), Key::NotHeld);
    let missing = with_view(Situation::new().leads().without("leader"));
    let since = mono(SECOND);
    assert_eq!(key(&missing), Key::Gone { term: TERM, since });
    // Past its lease another may have led, in pause as well, where its authority knows no end.
    let after = |renewed, paused: bool| {
        let missing = Situation::new().leads().without("leader");
        let missing = missing.has("tenure/session", session(renewed));
        key(&with_view(missing.has("store/config/paused", paused)))
    };
    for paused in [false, true] {
        assert_eq!(after(SECOND - 27, paused), Key::Gone { term: TERM, since });
        assert_eq!(after(SECOND - 28, paused), Key::NotHeld, "paused: {paused}");
    }
    let newer = Heard {
        revision: Revision(12),
        at: mono(SECOND),
    };
    let older = Situation::new().leads().led_by("b");
    let older = with_view(older.has("tenure/mine_at", newer));
    assert_eq!(key(&older), HELD, "the store has said so since");
}

// ---- doubt ----

#[test]
fn a_doubtful_acquisition_is_what_the_quorum_shows_it_to_be() {
    let resolved = |situation: Situation| {
        let mut agent = situation
            .in_session()
            .has("tenure/key", Key::InDoubt)
            .agent();
        agent.resolve_doubt(now());
        (
            key(&agent),
            field(&agent, "proven"),
            field(&agent, "lost_to"),
        )
    };
    let not_mine = |by: Value| (Key::NotHeld, Value::Bool(false), by);
    let here = Situation::new;
    let mine = (HELD, Value::Bool(true), Value::Null);
    assert_eq!(resolved(here().key("leader", "a", MINE)), mine);
    assert_eq!(
        resolved(here().key("leader", "a", THEIRS)),
        not_mine(json(MemberName::from("a"))),
        "my name, another session"
    );
    assert_eq!(
        resolved(here().key("leader", "b", MINE)),
        not_mine(json(MemberName::from("b"))),
        "another name, my session"
    );
    assert_eq!(resolved(here().store(&[])), not_mine(Value::Null));
    // Only a doubt is resolved.
    let mut held = Situation::new().leads().led_by("b").agent();
    held.resolve_doubt(now());
    assert_eq!(key(&held), HELD);
}

// ---- how long a lease is asked for ----

#[test]
fn a_shorter_lease_is_not_asked_for_while_the_fencer_holds_a_later_deadline() {
    let asks_for = |asked: u64, until_millis: Option<u64>| {
        let armed = until_millis.map(|millis| tanist_core::fencer::Armed {
            term: TERM,
            lease: MINE,
            until: now_and(millis).mono,
        });
        let mut agent = Situation::new()
            .store(&[])
            .in_session()
            .has("tenure/asked_ttl", Span::secs(asked))
            .has("fencing/armed", armed)
            .agent();
        match asks(&mut agent, now()) {
            Some(DcsRequest::KeepSession { ttl }) => ttl,
            other => panic!("{other:?}"),
        }
    };
    // Thirty seconds are configured, which cover 27.35.
    let (long, short) = (Span::secs(60), Span::secs(30));
    assert_eq!(asks_for(60, Some(27_351)), long);
    assert_eq!(asks_for(60, Some(27_350)), short);
    assert_eq!(asks_for(60, None), short);
    assert_eq!(asks_for(30, Some(50_000)), short);
    assert_eq!(asks_for(20, Some(50_000)), short, "a longer one at once");
}
