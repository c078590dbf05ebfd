//! What a member writes, its slots, and what it remembers of requests.

use super::situation::*;
use super::sql::status;
use serde_json::{Value, json};
use tanist_core::agent::{Agent, Boot, Output};
use tanist_core::dcs::*;
use tanist_core::effect::EffectBody;
use tanist_core::leader_key::Key;
use tanist_core::lsn::Lsn;
use tanist_core::name::OpId;
use tanist_core::note::Note;
use tanist_core::postgres::*;
use tanist_core::time::Span;

fn follower() -> Situation {
    Situation::new()
        .led_by("b")
        .in_session()
        .runs(standby(status(true)))
}

fn leader() -> Situation {
    Situation::new().leads().runs(primary(status(false)))
}

/// The keys that are written, in order.
fn writes(out: &Output) -> Vec<String> {
    let key = |body: &EffectBody| match body {
        EffectBody::Dcs {
            request: DcsRequest::Put { key, .. },
            ..
        } => Some(key.clone()),
        _other => None,
    };
    out.effects
        .iter()
        .filter_map(|effect| key(&effect.body))
        .collect()
}

// ---- writes ----

#[test]
fn a_write_that_found_no_session_asks_for_one_unless_the_key_is_held() {
    let answered = |situation: Situation, key: &str| {
        let mut agent = situation.has("publishing/writes", json!({key: 4})).agent();
        let mut out = Output::default();
        assert!(agent.write_answered(now(), OpId(4), &DcsOutcome::SessionGone, &mut out));
        json(&agent)["tenure"]["session"].is_null()
    };
    assert!(answered(follower(), "members/a"));
    assert!(!answered(leader(), "members/a"));
    assert!(!answered(follower(), "config"));
    let mut agent = follower().agent();
    let outcome = DcsOutcome::SessionGone;
    assert!(!agent.write_answered(now(), OpId(4), &outcome, &mut Output::default()));
}

#[test]
fn a_retry_is_a_deadline_while_it_lies_ahead() {
    let retries = |millis: u64| {
        let at = now_and(millis).mono;
        let agent = follower()
            .has("publishing/retry_at", json!({"config": at}))
            .agent();
        let publishing: tanist_core::publish::Publishing =
            serde_json::from_value(json(&agent)["publishing"].clone()).unwrap();
        publishing.next_due(mono(SECOND)).count()
    };
    assert_eq!(retries(1), 2);
    assert_eq!(retries(0), 1);
}

#[test]
fn another_agent_under_my_name_is_told_of_and_not_written_over_at_once() {
    let publishes = |instance: u64, due_millis: u64| {
        let theirs = json!({
            "conn_url": "postgres://127.0.0.1:5432/postgres", "api_url": "http://127.0.0.9:8008/patroni",
            "state": "running", "role": "replica", "tanist": "0.1.0", "tanist_instance": "00000000000000ff"
        });
        let boot = Boot {
            instance,
            ..Boot::default()
        };
        let confirmed = json!([{"state": "stopped"}, MINE]);
        let mut agent = follower()
            .boot(boot)
            .key("members/a", &theirs.to_string(), MINE)
            .has("publishing/member", confirmed)
            .has("publishing/member_due", now_and(due_millis).mono)
            .agent();
        let out = out(|out| agent.publish_duties(now(), out));
        let told = out.notes.iter().any(|n| matches!(n, Note::Namesake { .. }));
        (writes(&out).len(), told)
    };
    assert_eq!(publishes(0xff, 9), (1, false), "its own");
    assert_eq!(publishes(0, 9), (1, false), "it has no number of its own");
    assert_eq!(publishes(0xfe, 9), (0, false), "a namesake's, once a loop");
    assert_eq!(publishes(0xfe, 0), (1, true));
}

#[test]
fn a_view_shows_a_write_when_none_is_under_way_and_the_last_is_in_it() {
    let shows = |writes: Value, written: Value| {
        let agent = leader()
            .has("publishing/writes", writes)
            .has("publishing/written", written)
            .agent();
        agent.view_shows_write("failover")
    };
    let none = || json!({});
    let written = |revision: i64| json!({"failover": {"revision": revision, "at": mono(SECOND)}});
    assert!(shows(none(), none()));
    assert!(shows(none(), written(9)));
    assert!(!shows(none(), written(10)));
    assert!(!shows(json!({"failover": 4}), none()));
    assert!(!shows(json!({"failover": 4}), written(9)));
}

#[test]
fn a_status_that_was_written_is_not_written_again() {
    let mut agent = leader().agent();
    let status = agent.status_to_publish();
    assert!(status.is_some());
    agent.status_published(status);
    assert_eq!(agent.status_to_publish(), None);
    agent.status_published(None);
    assert_eq!(agent.status_to_publish(), None, "nothing was written");
}

// ---- slots ----

fn slot(physical: bool, active: bool, restart: Option<u64>, lost: bool) -> Slot {
    Slot {
        physical,
        active,
        restart_lsn: restart.map(Lsn),
        lost,
    }
}

fn with_slot(in_recovery: bool, name: &str, slot: Slot) -> SqlStatus {
    let mut here = status(in_recovery);
    here.slots.insert(name.into(), slot);
    here
}

/// The tasks that the slots' duties begin.
fn slot_tasks(agent: &mut Agent) -> Vec<SideTask> {
    let out = out(|out| agent.slot_duties(now(), out));
    let tasks = out
        .effects
        .into_iter()
        .filter_map(|effect| match effect.body {
            EffectBody::Side { task, .. } => Some(task),
            _other => None,
        });
    tasks.collect()
}

/// `b` is another member.
fn beside_b(situation: Situation) -> Situation {
    situation.store(&[("members/b", &member(8009))])
}

#[test]
fn a_slot_that_is_lost_or_holds_nothing_is_replaced_when_nobody_uses_it() {
    let tasks = |slot| {
        let here = Situation::new()
            .leads()
            .runs(primary(with_slot(false, "b", slot)));
        slot_tasks(&mut beside_b(here).agent())
    };
    let name = || "b".to_string();
    let drops = vec![SideTask::DropSlot {
        name: name(),
        if_lost: true,
    }];
    let here = Some(1);
    assert_eq!(tasks(slot(true, false, here, true)), drops, "lost");
    assert_eq!(
        tasks(slot(true, false, None, false)),
        drops,
        "holds nothing"
    );
    assert_eq!(tasks(slot(true, true, here, true)), []);
    assert_eq!(tasks(slot(true, true, None, false)), []);
    assert_eq!(tasks(slot(true, false, here, false)), []);
}

#[test]
fn a_standby_moves_slots_on_and_a_leader_never() {
    let published = json!({"optime": 50_331_784u64, "slots": {"b": 50_331_500u64}}).to_string();
    let behind = || slot(true, false, Some(50_331_000), false);
    let name = || "b".to_string();
    let mut stands_by = beside_b(
        Situation::new()
            .led_by("c")
            .in_session()
            .runs(standby(with_slot(true, "b", behind()))),
    )
    .store(&[("status", &published)])
    .agent();
    let to = Lsn(50_331_500);
    let advance = vec![SideTask::AdvanceSlot { name: name(), to }];
    assert_eq!(slot_tasks(&mut stands_by), advance);
    let leads = Situation::new()
        .leads()
        .runs(primary(with_slot(false, "b", behind())));
    let mut leads = beside_b(leads).store(&[("status", &published)]).agent();
    assert_eq!(slot_tasks(&mut leads), []);
}

#[test]
fn a_slot_is_kept_for_its_members_time_and_a_loop_and_dropped_once_it_is_idle() {
    let tasks = |age: Span, slot| {
        let at = tanist_core::time::Mono(mono(5_000).0 - age.as_micros());
        let here = Situation::new()
            .leads()
            .runs(primary(with_slot(false, "d", slot)));
        let mut agent = here
            .has("tenure/session", session(5_000))
            .has("slots/seen", json!({"d": at}))
            .agent();
        let mut out = Output::default();
        agent.slot_duties(super::support::at(5_000), &mut out);
        out.effects.len()
    };
    let idle = || slot(true, false, Some(1), false);
    // Half an hour, and a loop of ten seconds.
    let kept = Span::secs(1_810);
    assert_eq!(tasks(kept, idle()), 1);
    assert_eq!(tasks(kept.saturating_sub(Span::micros(1)), idle()), 0);
    assert_eq!(tasks(kept, slot(true, true, Some(1), false)), 0, "in use");
    assert_eq!(
        tasks(kept, slot(false, false, Some(1), false)),
        0,
        "not physical"
    );
}

#[test]
fn slots_that_the_last_leader_retained_are_remembered_from_when_they_are_first_seen() {
    let retained = json!({"optime": 1, "retain_slots": ["d"]}).to_string();
    let here = leader().store(&[("status", &retained)]).agent();
    let mut agent = here;
    let _ = slot_tasks(&mut agent);
    assert_eq!(json(&agent)["slots"]["seen"]["d"], json(mono(SECOND)));
    let before = leader()
        .store(&[("status", &retained)])
        .has("slots/seen", json!({"d": mono(7)}));
    let mut agent = before.agent();
    let _ = slot_tasks(&mut agent);
    assert_eq!(json(&agent)["slots"]["seen"]["d"], json(mono(7)));
}

#[test]
fn a_leader_publishes_the_positions_of_slots_that_hold_any() {
    let published = |slot| {
        let here = Situation::new()
            .leads()
            .runs(primary(with_slot(false, "b", slot)));
        let text = here.agent().status_to_publish().unwrap();
        let status: Value = serde_json::from_str(&text).unwrap();
        status["slots"]["b"].as_u64()
    };
    assert_eq!(published(slot(true, false, Some(7), false)), Some(7));
    assert_eq!(published(slot(true, false, Some(7), true)), None, "lost");
    assert_eq!(
        published(slot(false, false, Some(7), false)),
        None,
        "logical"
    );
    assert_eq!(
        published(slot(true, false, None, false)),
        None,
        "holds nothing"
    );
}

// ---- the fencer ----

#[test]
fn a_deadline_found_with_a_fencer_ends_its_loss_and_one_without_does_so_where_none_is_needed() {
    use tanist_core::fencer::{Armed, FencerInput};
    let still_lost = |situation: Situation, armed: Option<Armed>| {
        let mut agent = situation.has("fencing/lost_since", mono(SECOND)).agent();
        agent.fencer_said(now(), FencerInput::Ready { armed }, &mut Output::default());
        !json(&agent)["fencing"]["lost_since"].is_null()
    };
    let armed = Armed {
        term: TERM,
        lease: MINE,
        until: mono(SECOND + 9),
    };
    assert!(still_lost(leader(), None));
    assert!(!still_lost(leader(), Some(armed)));
    assert!(!still_lost(follower(), None));
    assert!(!still_lost(
        follower().has("tenure/key", Key::NotHeld),
        Some(armed)
    ));
}
