//! Founding a cluster, and the store that knows none beside data that a primary left.

use super::situation::*;
use super::sql::status;
use serde_json::{Map, Value, json};
use tanist_core::agent::Agent;
use tanist_core::dcs::{DcsRequest, LeaseId, Precondition, Revision};
use tanist_core::decision::*;
use tanist_core::effect::EffectBody;
use tanist_core::election::Ballot;
use tanist_core::election_loss::ElectionLoss;
use tanist_core::name::MemberName;
use tanist_core::peer::{PeerAnswer, PeerStatus};
use tanist_core::postgres::*;
use tanist_core::time::Mono;
use tanist_core::timeline::TimelineId;

fn empty() -> Situation {
    Situation::new()
        .store(&[])
        .in_session()
        .has("settings/bootstrap", Map::new())
        .runs(down(DataDir::Empty))
}

#[test]
fn an_empty_member_claims_what_nobody_has_claimed() {
    let waits = |waiting| Decision::Wait(waiting);
    let nobody = || waits(Waiting::NobodyBootstraps);
    let somebody = || waits(Waiting::SomebodyBootstraps);
    assert_eq!(empty().decides(), Decision::ClaimInitialize);
    let cases = [
        (
            "no section to found from",
            empty().has("settings/bootstrap", json!(null)),
            nobody(),
        ),
        (
            "it may not lead",
            empty().has("settings/tags", json!({"nofailover": true})),
            nobody(),
        ),
        (
            "it has seen a cluster",
            empty().has("seen_initialized", true),
            nobody(),
        ),
        (
            "its claim is under way",
            empty().has("claim/op", 4),
            somebody(),
        ),
        (
            "it has no session",
            empty().has("tenure/session", json!(null)),
            somebody(),
        ),
    ];
    for (what, situation, expected) in cases {
        assert_eq!(situation.decides(), expected, "{what}");
    }
    let rests = |millis| {
        empty()
            .has("claim/not_before", now_and(millis).mono)
            .decides()
    };
    assert!(matches!(
        rests(1),
        Decision::Wait(Waiting::RetryLater { .. })
    ));
    assert_eq!(rests(0), Decision::ClaimInitialize);
}

#[test]
fn a_claim_of_its_session_is_taken_up_where_it_has_not_heard_of_it() {
    let takes_up = |situation: Situation| {
        let mut agent = situation.agent();
        agent.take_up_claim();
        !json(&agent)["founding"].is_null()
    };
    let claimed = |lease| empty().key("initialize", "", lease);
    let version = |situation: Situation| {
        let agent = situation.agent();
        json(agent.claim_version())
    };
    let data = || DataDir::Present(control(DbState::ShutDown));
    let cases = [
        (
            "without a verdict, or of an earlier life",
            claimed(MINE),
            true,
        ),
        ("there is none", empty(), false),
        ("somebody else's", claimed(THEIRS), false),
        (
            "a founded cluster's",
            empty().key("initialize", "77", MINE),
            false,
        ),
        (
            "its verdict is awaited",
            claimed(MINE).has("claim/op", 4),
            false,
        ),
        (
            "the one that it has given back, and still sees",
            claimed(MINE).has("claim/version", version(claimed(MINE))),
            false,
        ),
        (
            "with data of another story",
            claimed(MINE).runs(down(data())),
            false,
        ),
    ];
    for (what, situation, expected) in cases {
        assert_eq!(takes_up(situation), expected, "{what}");
    }
}

#[test]
fn who_may_not_found_gives_a_claim_of_its_session_back() {
    let failed = |path: &str, value: Value| {
        let claimed = empty().key("initialize", "", MINE);
        let mut agent = claimed.has(path, value).agent();
        agent.take_up_claim();
        json(&agent)["founding"]["failed"].clone()
    };
    let nobody = json!(Waiting::NobodyBootstraps.to_string());
    assert_eq!(failed("settings/bootstrap", json!(null)), nobody);
    assert_eq!(failed("settings/tags", json!({"nofailover": true})), nobody);
    assert_eq!(failed("seen_initialized", json!(true)), nobody);
    assert_eq!(failed("seen_initialized", json!(false)), json!(null));
}

// ---- step by step ----

fn founding(initdb_done: bool, roles_done: bool, config_written: bool) -> Value {
    json!({"initdb_done": initdb_done, "roles_done": roles_done, "config_written": config_written,
           "failed": null, "asked": null})
}

fn failed() -> Value {
    let mut founding = founding(false, false, false);
    founding["failed"] = json!("initdb said no");
    founding
}

fn founds(founding: &Value, observation: Observation) -> Situation {
    Situation::new()
        .key("initialize", "", MINE)
        .in_session()
        .has("founding", founding)
        .has("settings/safety/fencer", "Off")
        .runs(observation)
}

fn with_key(situation: Situation) -> Situation {
    situation
        .key("leader", "a", MINE)
        .has(
            "tenure/key",
            tanist_core::leader_key::Key::Held { term: TERM },
        )
        .has("tenure/proven", true)
}

#[test]
fn a_founder_makes_the_directory_once_takes_the_key_and_starts_under_it() {
    let fresh = founding(false, false, false);
    let made = founding(true, false, false);
    assert_eq!(
        founds(&fresh, down(DataDir::Empty)).decides(),
        Decision::Initdb
    );
    let again = founds(&made, down(DataDir::Empty)).decides();
    assert!(
        matches!(again, Decision::Wait(Waiting::DataUnreadable { .. })),
        "{again}"
    );
    let whole = || founds(&made, stopped(DbState::ShutDown));
    let why = AcquireReason::Bootstrap;
    assert_eq!(whole().decides(), Decision::Acquire { why });
    let rests = |millis| {
        whole()
            .has("tenure/ask_key_at", now_and(millis).mono)
            .decides()
    };
    assert_eq!(rests(1), Decision::Wait(Waiting::KeyRequested));
    assert!(matches!(rests(0), Decision::Acquire { .. }));
    let role = StartAs::Primary;
    let why = StartReason::NewCluster;
    assert_eq!(with_key(whole()).decides(), Decision::Start { role, why });
    let failed =
        json!({"start": {"count": 1, "last": "no", "retry_at": mono(SECOND + 1), "term": null}});
    let pauses = with_key(whole()).has("lane/failures", failed).decides();
    assert!(
        matches!(pauses, Decision::Wait(Waiting::RetryLater { .. })),
        "{pauses}"
    );
    let runs = |roles_done| {
        let founding = self::founding(true, roles_done, false);
        with_key(founds(&founding, primary(status(false)))).decides()
    };
    assert_eq!(runs(false), Decision::PostBootstrap);
    assert_eq!(runs(true), Decision::Lead);
}

#[test]
fn what_a_failed_founding_made_is_thrown_away_after_a_pause() {
    let failed = self::failed();
    let abandoned = |situation: Situation| situation.decides();
    let left = || founds(&failed, stopped(DbState::ShutDown));
    let why = DiscardReason::BootstrapFailed;
    assert_eq!(abandoned(left()), Decision::Discard { why });
    let pause = json!({"discard data": {"count": 1, "last": "no", "retry_at": mono(SECOND + 1), "term": null}});
    let pauses = abandoned(left().has("lane/failures", pause));
    assert!(
        matches!(pauses, Decision::Wait(Waiting::RetryLater { .. })),
        "{pauses}"
    );
    let nothing = founds(&failed, down(DataDir::Empty));
    assert_eq!(abandoned(nothing), Decision::AbandonInitialize);
    let why = ReleaseReason::BootstrapFailed;
    assert_eq!(abandoned(with_key(left())), Decision::Release { why });
}

#[test]
fn a_claim_is_given_up_when_the_pause_is_over_and_only_ones_own() {
    let failed = self::failed();
    let failed = || founds(&failed, down(DataDir::Empty)).has("claim/version", Revision(11));
    let given_up = |situation: Situation, millis| {
        let mut agent = situation
            .has("claim/not_before", now_and(millis).mono)
            .agent();
        let out = out(|out| agent.abandon_initialize(now(), out));
        out.effects.first().map(|effect| match &effect.body {
            EffectBody::Dcs { request, .. } => request.clone(),
            other => panic!("{other:?}"),
        })
    };
    let of = |version| {
        Some(DcsRequest::Delete {
            key: "initialize".into(),
            precondition: Precondition::Version(version),
        })
    };
    let seen = |lease| failed().key("initialize", "", lease);
    let shown = seen(MINE).agent().claim_version();
    assert_ne!(shown, Revision(11));
    assert_eq!(given_up(seen(MINE), 0), of(shown));
    assert_eq!(given_up(seen(MINE), 1), None);
    let heard = of(Revision(11));
    assert_eq!(given_up(seen(THEIRS), 0), heard, "which the store refuses");
    let unseen = Situation::new().store(&[]).in_session();
    let unseen = unseen
        .has("founding", self::failed())
        .runs(down(DataDir::Empty));
    let unseen = unseen.has("claim/version", Revision(11));
    assert_eq!(given_up(unseen, 0), heard, "no view shows it yet");
}

#[test]
fn the_first_configuration_goes_out_once_the_roles_are_there() {
    let writes = |roles_done, config_written, millis| {
        let founding = self::founding(true, roles_done, config_written);
        let mut agent = with_key(founds(&founding, primary(status(false))))
            .has("claim/not_before", now_and(millis).mono)
            .agent();
        out(|out| agent.founding_duties(now(), out)).effects.len()
    };
    assert_eq!(writes(true, false, 0), 1);
    assert_eq!(writes(true, false, 1), 0);
    assert_eq!(writes(false, false, 0), 0);
    assert_eq!(writes(true, true, 0), 0);
}

#[test]
fn a_founder_finds_that_the_cluster_is_anothers() {
    let lost = |situation: Situation| {
        let mut agent = situation.agent();
        agent.note_founding_lost();
        !json(&agent)["founding"]["failed"].is_null()
    };
    let founding = self::founding(true, false, false);
    let here = || founds(&founding, stopped(DbState::ShutDown));
    assert!(!lost(here()));
    assert!(!lost(here().store(&[("initialize", SYSTEM)])), "its own");
    assert!(lost(here().store(&[("initialize", "7000000000000000000")])));
    assert!(lost(here().key("leader", "b", THEIRS)), "another leads");
    assert!(!lost(here().key("leader", "a", MINE)));
    let holds = with_key(here()).key("leader", "b", THEIRS);
    assert!(!lost(holds), "by a view that is older than its own key");
}

#[test]
fn the_founder_that_comes_back_takes_the_key_for_its_own_claim_only() {
    let owing = |roles_owed, lease| {
        let observation = Observation {
            roles_owed,
            ..standby(status(true))
        };
        Situation::new()
            .key("initialize", "", lease)
            .in_session()
            .runs(observation)
            .decides()
    };
    let why = AcquireReason::Bootstrap;
    let takes = || Decision::Acquire { why: why.clone() };
    assert_eq!(owing(true, MINE), takes(), "it led before its roles");
    assert_eq!(owing(false, MINE), takes(), "all but the last keys");
    let somebody = Decision::Wait(Waiting::SomebodyBootstraps);
    assert_eq!(owing(true, THEIRS), somebody);
    assert_eq!(owing(false, THEIRS), somebody);
}

#[test]
fn an_empty_initialize_without_a_session_is_nobody_at_work_to_who_has_seen_the_cluster() {
    let founds = |lease, seen| {
        let here = Situation::new().key("initialize", "", lease);
        let agent = here.has("seen_initialized", seen).agent();
        let cluster = cluster_of(&agent);
        agent.somebody_founds(&cluster)
    };
    assert!(founds(THEIRS, true));
    assert!(founds(THEIRS, false));
    assert!(founds(LeaseId::NONE, false), "a Patroni binds it to none");
    assert!(!founds(LeaseId::NONE, true));
    let done = Situation::new().store(&[("initialize", SYSTEM)]).agent();
    assert!(!done.somebody_founds(&cluster_of(&done)));
}

fn cluster_of(agent: &Agent) -> tanist_core::cluster::Cluster {
    serde_json::from_value(json(agent)["store"]["cluster"].clone()).unwrap()
}

// ---- a store that has forgotten the cluster ----

/// What a primary left, in a life that began three seconds before.
fn forgotten() -> Situation {
    Situation::new()
        .store(&[])
        .in_session()
        .has("started/mono", mono(SECOND - 3))
        .has("store/confirmed", mono(SECOND))
        .has("local/looked_at", mono(SECOND))
        .runs(stopped(DbState::ShutDown))
}

fn answers(of: &[(&str, PeerStatus)]) -> Ballot {
    Ballot {
        asked_at: mono(SECOND),
        answers: of
            .iter()
            .map(|(name, s)| (MemberName::from(*name), PeerAnswer::Status(s.clone())))
            .collect(),
        ..Ballot::default()
    }
}

fn answer(in_recovery: bool, timeline: u32, state: &str) -> PeerStatus {
    PeerStatus {
        state: state.into(),
        in_recovery,
        timeline: Some(TimelineId(timeline)),
        ..follower(1)
    }
}

#[test]
fn the_last_primary_of_a_forgotten_cluster_takes_the_key_after_asking_everybody() {
    assert_eq!(forgotten().decides(), Decision::Ballot);
    let asked =
        |of: &[(&str, PeerStatus)]| forgotten().has("election/ballot", answers(of)).decides();
    let why = AcquireReason::FormerPrimary;
    let acquire = Decision::Acquire { why };
    assert_eq!(asked(&[]), acquire);
    assert_eq!(asked(&[("b", answer(true, 1, "running"))]), acquire);
    let lose = |loss| Decision::Wait(Waiting::Election(loss));
    let member = || MemberName::from("b");
    let primary = lose(ElectionLoss::StillPrimary { member: member() });
    assert_eq!(asked(&[("b", answer(false, 1, "running"))]), primary);
    assert_eq!(asked(&[("b", answer(false, 1, "stopped"))]), acquire);
    let theirs = TimelineId(2);
    let newer = lose(ElectionLoss::NewerTimeline {
        member: member(),
        theirs,
    });
    assert_eq!(asked(&[("b", answer(true, 2, "running"))]), newer);
}

#[test]
fn who_starts_first_leaves_the_others_two_seconds_to_say_that_they_have_more() {
    let young = |millis: u64| {
        let started = Mono(mono(SECOND).0 - millis * 1_000);
        forgotten().has("started/mono", started)
    };
    assert_eq!(
        young(1_999).decides(),
        Decision::Wait(Waiting::ElectionPending)
    );
    assert_eq!(young(2_000).decides(), Decision::Ballot);
    let wake = |situation: Situation| situation.agent().forgotten_wake();
    assert_eq!(wake(forgotten()), Some(mono(SECOND - 1)));
    assert_eq!(wake(forgotten().store(&[("initialize", SYSTEM)])), None);
    assert_eq!(wake(forgotten().has("seen_initialized", true)), None);
}

#[test]
fn nobody_but_the_last_primary_comes_up_in_this_way() {
    let alone = Decision::Start {
        role: StartAs::Standby { upstream: None },
        why: StartReason::NobodyLeads,
    };
    let signalled = Observation {
        standby_signal: true,
        ..stopped(DbState::ShutDown)
    };
    let cases = [
        (
            "a standby",
            forgotten().ran(SECOND, stopped(DbState::ShutDownInRecovery)),
            alone.clone(),
        ),
        (
            "a copy of a primary",
            forgotten().runs(signalled.clone()),
            alone.clone(),
        ),
        (
            "it may not lead",
            forgotten().has("settings/tags", json!({"nofailover": true})),
            alone.clone(),
        ),
        (
            "it has seen the cluster",
            forgotten().has("seen_initialized", true),
            alone.clone(),
        ),
        (
            "the store knows it",
            forgotten().store(&[("initialize", SYSTEM)]),
            alone,
        ),
    ];
    for (what, situation, expected) in cases {
        assert_eq!(situation.decides(), expected, "{what}");
    }
    let demoted = Observation {
        led_last: true,
        ..signalled
    };
    assert_eq!(forgotten().runs(demoted).decides(), Decision::Ballot);
    let mode = forgotten()
        .has("store/config/missing_modes", ["Failsafe"])
        .decides();
    assert!(
        matches!(mode, Decision::Wait(Waiting::ModeMissing { .. })),
        "{mode}"
    );
}
