//! What a leader's word makes of this member's WAL.

use super::rejoin::*;
use super::situation::*;
use super::sql::status;
use serde_json::json;
use std::collections::BTreeMap;
use tanist_core::divergence::Checked;
use tanist_core::lsn::Lsn;
use tanist_core::name::OpId;
use tanist_core::postgres::*;
use tanist_core::rejoin::Source;
use tanist_core::timeline::{Divergence, TimelineHistory, TimelineId};

fn asked() -> Source {
    Source {
        leader: "b".into(),
        term: TERM,
        copy: None,
    }
}

fn hears(situation: Situation, facts: UpstreamFacts) -> Option<Checked> {
    let mut agent = situation.agent();
    agent.leader_said(now(), facts);
    serde_json::from_value(json(&agent)["rejoin"]["checked"].clone()).unwrap()
}

fn has_asked(observation: Observation) -> Situation {
    under_b(observation).has("rejoin/asked", asked())
}

#[test]
fn the_word_of_another_or_of_another_tenure_is_nothing() {
    let here = || has_asked(standby(status(true)));
    assert_eq!(hears(here(), facts()), Some(checked(Divergence::None)));
    let mut another = facts();
    another.member = "c".into();
    assert_eq!(hears(here(), another), None);
    let earlier = here().has("local/looked_at", mono(SECOND - 1));
    assert_eq!(hears(earlier, facts()), None, "looked at before it led");
    for (leader, term) in [("c", 3), ("b", 2)] {
        let asked = json!({"leader": leader, "term": term, "copy": null});
        let here = here().has("rejoin/asked", asked);
        assert_eq!(hears(here, facts()), None, "{leader} in {term}");
    }
    let mut foreign = facts();
    foreign.system_id = SystemId("7000000000000000000".into());
    assert_eq!(hears(here(), foreign), None);
    let mut recovering = facts();
    recovering.in_recovery = true;
    assert_eq!(hears(here(), recovering), None);
}

/// Of timeline 2, opened at this position.
pub fn second(end: &str) -> TimelineHistory {
    let line = format!("1\t{end}\tno recovery target specified");
    TimelineHistory::parse(TimelineId(2), &line).unwrap()
}

/// A standby on timeline 2, which this member opened (or did not).
fn on_second(opened: bool) -> Observation {
    let mut here = status(true);
    (here.timeline, here.received_timeline) = (TimelineId(2), TimelineId(2));
    let mut observation = standby(here);
    observation.history = second("0/2FFF000");
    if opened {
        observation.promoted = vec![PromotionMark {
            timeline: TimelineId(2),
            term: TERM,
        }];
    }
    observation
}

fn third() -> TimelineHistory {
    let lines = "1\t0/2FFF000\tr\n2\t0/3100000\tr";
    TimelineHistory::parse(TimelineId(3), lines).unwrap()
}

fn rows(last_end: u64) -> String {
    json!([
        [1, 50_327_552u64, "r", "2026-11-01T00:00:00+00:00", "a"],
        [2, last_end, "r", "2026-11-01T00:00:00+00:00", "b"]
    ])
    .to_string()
}

#[test]
fn whose_timeline_is_its_own_opening_waits_for_the_record_of_the_leaders() {
    let hears = |opened, history: Option<&str>, leader: TimelineHistory| {
        let mut here = has_asked(on_second(opened));
        if let Some(history) = history {
            here = here.store(&[("history", history)]);
        }
        let facts = UpstreamFacts {
            control_timeline: leader.timeline,
            history: leader,
            ..facts()
        };
        hears(here, facts).map(|checked| checked.divergence)
    };
    let fork = 0x310_0000;
    let known = rows(fork);
    assert_eq!(hears(true, None, third()), None);
    assert_eq!(hears(true, Some(&rows(fork - 8)), third()), None);
    assert_eq!(hears(true, Some(&known), third()), Some(Divergence::None));
    assert_eq!(hears(false, None, third()), Some(Divergence::None));
    let own = second("0/2FFF000");
    assert!(hears(true, None, own).is_some(), "no newer than mine");
}

#[test]
fn a_number_that_both_opened_is_a_clash_unless_the_bytes_are_the_same() {
    let here = |opened: bool, same_wal| {
        let history = json!([[1, 50_327_552u64, "r", "2026-11-01T00:00:00+00:00", "b"]]);
        let here = has_asked(on_second(opened)).store(&[("history", &history.to_string())]);
        let facts = UpstreamFacts {
            control_timeline: TimelineId(2),
            history: second("0/2FFF000"),
            same_wal,
            ..facts()
        };
        hears(here, facts).unwrap().divergence
    };
    let clash = Divergence::Forked {
        from: TimelineId(2),
        at: Lsn::INVALID,
    };
    assert_eq!(here(true, None), clash);
    assert_eq!(here(true, Some(true)), Divergence::None);
    assert_eq!(here(true, Some(false)), clash);
    assert_eq!(here(false, None), Divergence::None);
    assert_eq!(here(false, Some(false)), clash, "by its bytes");
}

#[test]
fn a_verdict_of_divergence_is_over_when_the_server_has_found_another_timeline() {
    let stands = |divergence, observation| {
        let agent = following(divergence, observation).agent();
        let leader = serde_json::from_value(json(&agent)["store"]["cluster"]["leader"].clone());
        agent.valid_check(&leader.unwrap()).is_some()
    };
    assert!(stands(FORKED, standby(status(true))));
    assert!(!stands(FORKED, on_second(false)));
    assert!(stands(Divergence::None, standby(status(true))));
    assert!(!stands(Divergence::None, on_second(false)), "it opened one");
    // It was made when the own timeline was not known.
    let mut unknown = checked(FORKED);
    unknown.mine = None;
    let here = under_b(standby(status(true))).has("rejoin/checked", unknown);
    let agent = here.agent();
    let leader = serde_json::from_value(json(&agent)["store"]["cluster"]["leader"].clone());
    assert!(agent.valid_check(&leader.unwrap()).is_none());
}

#[test]
fn a_rewind_that_knows_less_of_the_history_than_the_server_may_part_too_late() {
    // Timeline 2 was opened here and the control file does not name it: pg_rewind sees timeline 1 alone.
    let sees = |control_timeline: u32, leader: TimelineHistory, divergence| {
        let mut observation = on_second(true);
        observation.sql = Sql::NotRunning;
        observation.processes = Processes::default();
        let mut control = control(DbState::ShutDownInRecovery);
        control.timeline = TimelineId(control_timeline);
        control.min_recovery_timeline = TimelineId(2);
        control.min_recovery_end = Lsn(0x310_0000);
        observation.data_dir = DataDir::Present(control.clone());
        let facts = UpstreamFacts {
            history: leader,
            ..facts()
        };
        let here = under_b(observation).has("rejoin/facts", (mono(SECOND), facts));
        here.agent().rewind_sees(&control, divergence)
    };
    let bare = || TimelineHistory::bare(TimelineId(1));
    let at = |at| Divergence::Forked {
        from: TimelineId(1),
        at: Lsn(at),
    };
    assert!(!sees(1, bare(), at(0x2FF_F000)), "taken for common: all");
    assert!(sees(2, bare(), at(0x2FF_F000)), "it knows both");
    let later = second("0/2FFE000");
    assert!(sees(1, later, at(0x2FF_E000)), "both part before");
    let no_facts = under_b(on_second(true)).agent();
    assert!(no_facts.rewind_sees(&control(DbState::ShutDown), FORKED));
}

#[test]
fn how_a_side_task_ended_is_heard_by_the_one_that_began_it() {
    let mut agent = under_b(standby(status(true)))
        .has("sides", BTreeMap::from([("upstream", OpId(4))]))
        .has("rejoin/asking", OpId(4))
        .agent();
    let mut heard = |op: u64| {
        let ended = Ended::Failed("no route".into());
        let input = PgInput::Finished {
            op: OpId(op),
            ended,
        };
        let input = tanist_core::input::Input::Postgres(input);
        let out = out(|out| agent.handle(now(), input, out));
        let asking = json(&agent)["rejoin"]["asking"].clone();
        (asking.is_null(), out.notes.len())
    };
    let (asking, _) = heard(9);
    assert!(!asking, "the end of something else");
    let (over, _) = heard(4);
    assert!(over);
}
