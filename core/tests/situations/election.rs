//! Who may take the absent leader key: the gates, the ballot and its bounds.

use super::situation::*;
use super::sql::status;
use serde_json::json;
use std::collections::BTreeMap;
use tanist_core::agent::Agent;
use tanist_core::cluster::LeaderKey;
use tanist_core::dcs::Revision;
use tanist_core::decision::*;
use tanist_core::election::Ballot;
use tanist_core::election_loss::ElectionLoss;
use tanist_core::lsn::Lsn;
use tanist_core::name::{MemberName, OpId};
use tanist_core::peer::{PeerAnswer, PeerStatus};
use tanist_core::postgres::{Observation, SqlStatus};
use tanist_core::store::Vacancy;
use tanist_core::time::Mono;
use tanist_core::timeline::TimelineId;

/// Where the standby `a` is that every test is about.
const HERE: u64 = 50_331_784;
/// The second in which the key vanished.
const VACANT: u64 = SECOND - 1;

/// `b` led, and is gone in this way.
fn vacant(how: Vacancy) -> Situation {
    let former = LeaderKey {
        owner: "b".into(),
        lease: THEIRS,
        term: TERM,
        modified: Revision(3),
    };
    Situation::new()
        .store(&[("initialize", SYSTEM)])
        .in_session()
        .has("tenure/may_adopt", json!(null))
        .has("store/last_leader", former)
        .has("store/vacant", (mono(VACANT), how))
        .has("store/confirmed", mono(VACANT))
        .has("local/looked_at", mono(SECOND))
}

fn standing(how: Vacancy) -> Situation {
    vacant(how).runs(standby(status(true)))
}

/// Asked this long ago, in milliseconds before the decision.
fn ballot(answers: &[(&str, PeerStatus)], age: u64) -> Ballot {
    let asked = answers.iter().enumerate();
    Ballot {
        asked_at: Mono(mono(SECOND).0 - age * 1_000),
        mine: Lsn(HERE),
        asked: asked
            .map(|(n, (name, _))| (OpId(n as u64), MemberName::from(*name)))
            .collect(),
        answers: answers
            .iter()
            .map(|(name, status)| ((*name).into(), PeerAnswer::Status(status.clone())))
            .collect(),
    }
}

fn with(situation: Situation, answers: &[(&str, PeerStatus)]) -> Situation {
    situation.has("election/ballot", ballot(answers, 0))
}

fn loses(decision: Decision) -> ElectionLoss {
    match decision {
        Decision::Wait(Waiting::Election(loss)) => loss,
        other => panic!("it does not lose: {other}"),
    }
}

fn wins(decision: Decision) -> AcquireReason {
    match decision {
        Decision::Acquire { why } => why,
        other => panic!("it does not win: {other}"),
    }
}

fn healthiest(answered: u32) -> AcquireReason {
    AcquireReason::Healthiest {
        position: Lsn(HERE),
        answered,
        silent: 0,
    }
}

#[test]
fn a_ballot_is_judged_for_three_seconds_and_only_in_the_vacancy_that_it_was_held_in() {
    let held = |age| {
        let early = standing(Vacancy::Expired).has("store/vacant", (mono(90), Vacancy::Expired));
        early.has("election/ballot", ballot(&[("c", follower(1))], age))
    };
    assert_eq!(wins(held(2_999).decides()), healthiest(1));
    assert_eq!(held(3_000).decides(), Decision::Ballot);
    let earlier = |age| standing(Vacancy::Expired).has("election/ballot", ballot(&[], age));
    assert_eq!(
        wins(earlier(1_000).decides()),
        healthiest(0),
        "held with it"
    );
    assert_eq!(earlier(1_001).decides(), Decision::Ballot);
}

#[test]
fn nothing_is_tried_before_the_bar_after_a_failed_promotion_is_over() {
    let barred = |millis| {
        let until = now_and(millis).mono;
        with(standing(Vacancy::Expired), &[]).has("election/barred_until", until)
    };
    assert_eq!(loses(barred(1).decides()), ElectionLoss::Conflict);
    assert_eq!(wins(barred(0).decides()), healthiest(0));
}

#[test]
fn a_candidate_stands_back_for_two_seconds_while_the_former_leader_feeds_it() {
    let moved = |millis_ago: u64| Mono(mono(SECOND).0 - millis_ago * 1_000);
    let fed = |how, streams: bool, millis_ago, vacant_millis| {
        let mut here = status(true);
        here.streaming = streams;
        let fed = vacant(how).runs(standby(here));
        let fed = fed
            .has("local/moved_at", moved(millis_ago))
            .has("store/vacant", (moved(vacant_millis), how))
            .has("store/confirmed", mono(SECOND));
        with(fed, &[])
    };
    let from = "b".into();
    let stands_back = ElectionLoss::StillStreaming { from };
    let expired = Vacancy::Expired;
    assert_eq!(
        loses(fed(expired, true, 1_999, 1_999).decides()),
        stands_back
    );
    for (what, situation) in [
        ("nothing has come since", fed(expired, true, 2_000, 1_999)),
        ("two seconds are over", fed(expired, true, 1_999, 2_000)),
        ("it does not stream", fed(expired, false, 1_999, 1_999)),
        ("released", fed(Vacancy::Released, true, 1_999, 1_999)),
    ] {
        assert_eq!(wins(situation.decides()), healthiest(0), "{what}");
    }
    let deleted = fed(Vacancy::Deleted, false, 9_000, 1_999);
    assert_eq!(loses(deleted.decides()), stands_back, "its session lives");
}

// ---- a hand-over ----

fn published(optime: u64) -> String {
    json!({ "optime": optime }).to_string()
}

/// `b` released the key to this member, having written up to there.
fn handed(request: &str, optime: u64) -> Situation {
    standing(Vacancy::Released).store(&[("failover", request), ("status", &published(optime))])
}

const TO_ME: &str = r#"{"leader":"b","member":"a"}"#;

#[test]
fn the_named_candidate_of_a_hand_over_asks_nobody_if_it_has_all() {
    assert_eq!(
        wins(handed(TO_ME, HERE - 1).decides()),
        AcquireReason::Named
    );
    let needs_a_ballot = |what: &str, situation: Situation| {
        assert_eq!(situation.decides(), Decision::Ballot, "{what}");
    };
    needs_a_ballot("it lacks the last record", handed(TO_ME, HERE));
    let other = r#"{"leader":"c","member":"a"}"#;
    needs_a_ballot("prepared by another", handed(other, HERE - 1));
    let failover = r#"{"member":"a"}"#;
    needs_a_ballot("a failover", handed(failover, HERE - 1));
    let to_c = r#"{"leader":"b","member":"c"}"#;
    needs_a_ballot("it names another", handed(to_c, HERE - 1));
    let expired = (mono(VACANT), Vacancy::Expired);
    let went = handed(TO_ME, HERE - 1).has("store/vacant", expired);
    needs_a_ballot("its leader went without a release", went);
    let unknown = handed(TO_ME, HERE - 1).without("status");
    needs_a_ballot("where its WAL ends is not known", unknown);
    let history = json!([[1, 1u64, "", "2026-11-01T00:00:00+00:00", "b"]]).to_string();
    let newer = handed(TO_ME, HERE - 1).store(&[("history", &history)]);
    assert!(
        !matches!(newer.decides(), Decision::Acquire { .. }),
        "a newer timeline is known"
    );
}

#[test]
fn who_lacks_the_end_of_a_hand_over_waits_twelve_seconds_for_those_who_have_it() {
    let lacks = |request: Option<&str>, how, optime, millis: u64| {
        let since = Mono(mono(SECOND).0 - millis * 1_000);
        let status = published(optime);
        let mut here = standing(how).store(&[("status", &status)]);
        if let Some(request) = request {
            here = here.store(&[("failover", request)]);
        }
        let here = here
            .has("store/vacant", (since, how))
            .has("store/confirmed", mono(SECOND));
        with(here, &[]).decides()
    };
    let loss = |bytes| ElectionLoss::Lag { bytes, allowed: 0 };
    let released = Vacancy::Released;
    let to_c = Some(r#"{"leader":"b","member":"c"}"#);
    // After a switchover the position published is where the last record begins.
    assert_eq!(loses(lacks(to_c, released, HERE + 5, 11_999)), loss(5));
    assert_eq!(loses(lacks(to_c, released, HERE, 11_999)), loss(0));
    assert_eq!(wins(lacks(to_c, released, HERE - 1, 11_999)), healthiest(0));
    assert_eq!(wins(lacks(to_c, released, HERE + 5, 12_000)), healthiest(0));
    // After any other release the end of what clients wrote has to do.
    assert_eq!(loses(lacks(None, released, HERE + 5, 11_999)), loss(5));
    assert_eq!(wins(lacks(None, released, HERE, 11_999)), healthiest(0));
    // A leader that died promised nothing of its end.
    let expired = Vacancy::Expired;
    assert_eq!(wins(lacks(None, expired, HERE + 5, 0)), healthiest(0));
    // But for one that another had handed over to.
    let from_c = Some(r#"{"leader":"c","member":"b"}"#);
    assert_eq!(loses(lacks(from_c, expired, HERE + 5, 0)), loss(5));
    assert_eq!(wins(lacks(from_c, expired, HERE, 0)), healthiest(0));
}

#[test]
fn nobody_leads_who_lags_more_than_is_allowed() {
    let allowed = 1_048_576;
    let lags = |bytes| {
        let optime = published(HERE + bytes);
        with(
            standing(Vacancy::Expired).store(&[("status", &optime)]),
            &[],
        )
        .decides()
    };
    assert_eq!(wins(lags(allowed)), healthiest(0));
    let bytes = allowed + 1;
    assert_eq!(loses(lags(bytes)), ElectionLoss::Lag { bytes, allowed });
    // A named candidate whose leader went without handing over is no exception.
    let optime = published(HERE + bytes);
    let named = standing(Vacancy::Expired).store(&[("status", &optime), ("failover", TO_ME)]);
    let loss = loses(with(named, &[]).decides());
    assert_eq!(loss, ElectionLoss::Lag { bytes, allowed });
}

// ---- precedence ----

fn primary_peer() -> PeerStatus {
    PeerStatus {
        in_recovery: false,
        position: Lsn(0),
        ..follower(0)
    }
}

#[test]
fn a_named_candidate_waits_for_a_primary_that_runs_and_for_nobody_who_is_down() {
    let forced = |answer: PeerStatus| {
        let here = standing(Vacancy::Expired).store(&[("failover", r#"{"member":"a"}"#)]);
        with(here, &[("c", answer)]).decides()
    };
    let member = "c".into();
    let loss = loses(forced(primary_peer()));
    assert_eq!(loss, ElectionLoss::StillPrimary { member });
    let mut down = primary_peer();
    down.state = "stopped".into();
    assert_eq!(wins(forced(down)), AcquireReason::Named);
    // Further than this one, and no primary: whoever forces a failover knows.
    assert_eq!(wins(forced(follower(HERE + 9_000))), AcquireReason::Named);
}

#[test]
fn a_fit_candidate_of_a_request_goes_first_for_five_seconds() {
    let named_c = |answer: PeerStatus, millis: u64| {
        let since = Mono(mono(SECOND).0 - millis * 1_000);
        let here = standing(Vacancy::Expired)
            .store(&[("failover", r#"{"member":"c"}"#)])
            .has("store/vacant", (since, Vacancy::Expired))
            .has("store/confirmed", mono(SECOND));
        with(here, &[("c", answer)]).decides()
    };
    let candidate = MemberName::from("c");
    let loss = ElectionLoss::CandidateNamed { candidate };
    assert_eq!(loses(named_c(follower(1), 4_999)), loss);
    assert_eq!(wins(named_c(follower(1), 5_000)), healthiest(1));
    let unfit: [fn(&mut PeerStatus); 4] = [
        |s| s.nofailover = true,
        |s| s.watchdog_failed = true,
        |s| s.replay_paused = true,
        |s| s.state = "starting".into(),
    ];
    for spoil in unfit {
        let mut answer = follower(1);
        spoil(&mut answer);
        assert_eq!(wins(named_c(answer, 4_999)), healthiest(1));
    }
}

#[test]
fn who_handed_over_leaves_the_key_to_anybody_fit() {
    let from_me = |answer: PeerStatus| {
        let former = json!({"owner": "a", "lease": 7, "term": 3, "modified": 3});
        let here = standing(Vacancy::Expired)
            .store(&[("failover", r#"{"leader":"a"}"#)])
            .has("store/last_leader", former);
        with(here, &[("c", answer)]).decides()
    };
    assert_eq!(loses(from_me(follower(1))), ElectionLoss::SwitchoverFromMe);
    let mut barred = follower(1);
    barred.nofailover = true;
    assert_eq!(wins(from_me(barred)), healthiest(1));
}

#[test]
fn a_running_standby_on_a_newer_timeline_goes_first_and_a_stopped_one_does_not() {
    let newer = |state: &str| {
        let mut answer = follower(1);
        answer.timeline = Some(TimelineId(2));
        answer.state = state.into();
        with(standing(Vacancy::Expired), &[("c", answer)]).decides()
    };
    let theirs = TimelineId(2);
    let member = MemberName::from("c");
    let loss = ElectionLoss::NewerTimeline { member, theirs };
    assert_eq!(loses(newer("running")), loss);
    assert_eq!(wins(newer("stopped")), healthiest(1));
}

#[test]
fn a_member_that_cannot_lead_holds_nobody_up_for_any_one_of_the_three_reasons() {
    let unfit: [fn(&mut PeerStatus); 3] = [
        |s| s.nofailover = true,
        |s| s.watchdog_failed = true,
        |s| s.state = "starting".into(),
    ];
    for spoil in unfit {
        let mut ahead = follower(HERE + 1);
        spoil(&mut ahead);
        let decision = with(standing(Vacancy::Expired), &[("c", ahead)]).decides();
        assert_eq!(wins(decision), healthiest(1));
    }
    let ahead = with(standing(Vacancy::Expired), &[("c", follower(HERE + 1))]).decides();
    assert!(matches!(loses(ahead), ElectionLoss::Ahead { .. }));
}

#[test]
fn a_request_for_later_has_no_say_yet() {
    let at = |when: &str| {
        let request = json!({"member": "c", "scheduled_at": when}).to_string();
        let here = standing(Vacancy::Expired).store(&[("failover", &request)]);
        with(here, &[("c", follower(1))]).decides()
    };
    // The tests' hundredth second is 2023-11-14T22:15:00Z.
    let candidate = MemberName::from("c");
    let named = ElectionLoss::CandidateNamed { candidate };
    assert_eq!(loses(at("2023-11-14T22:15:00+00:00")), named);
    assert_eq!(wins(at("2023-11-14T22:15:01+00:00")), healthiest(1));
    assert_eq!(wins(at("whenever")), healthiest(1), "it cannot be read");
}

// ---- the ballot itself ----

#[test]
fn a_ballot_remembers_where_the_member_itself_was_when_it_asked() {
    let mut agent: Agent = standing(Vacancy::Expired)
        .store(&[("members/c", &member(8010))])
        .agent();
    let mut ballot = Ballot::default();
    let out = out(|out| ballot = agent.hold_ballot(now(), out));
    assert_eq!(ballot.mine, Lsn(HERE));
    assert_eq!(out.effects.len(), 1);
    let asked: BTreeMap<OpId, MemberName> = [(out.effects[0].id, "c".into())].into();
    assert_eq!((ballot.asked, ballot.asked_at), (asked, mono(SECOND)));
}

#[test]
fn who_replays_nothing_stands_in_no_election() {
    let runs = |observation: Observation| vacant(Vacancy::Expired).runs(observation).agent();
    let mut paused: SqlStatus = status(true);
    paused.replay_paused = true;
    let decision = runs(standby(paused)).decide(now());
    assert_eq!(loses(decision), ElectionLoss::ReplayPaused);
}
