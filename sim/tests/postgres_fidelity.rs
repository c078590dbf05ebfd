//! The fake PostgreSQL answers as the real one did when the transcript was recorded; a fake that is wrong is found out.

use std::path::Path;
use tanist_sim::fidelity::postgres::Line;
use tanist_sim::fidelity::postgres::fake::play_on_fake;
use tanist_sim::fidelity::postgres::script::script;
use tanist_sim::fidelity::postgres::step::Step;
use tanist_sim::fidelity::postgres::wrong::Wrong;
use tanist_sim::fidelity::transcript::{all_partings, parse, parting, steps};

/// Of the script: one that grows or shrinks says so here.
const STEPS: usize = 530;
/// The rest is done or waited for, and seen in what follows.
const ANSWERS: usize = 454;

fn recorded() -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fidelity/postgres.jsonl");
    parse(&std::fs::read_to_string(path).expect("the transcript is there")).expect("a transcript")
}

#[test]
fn the_transcript_is_of_the_present_script() {
    let written: Vec<(String, Step)> = script()
        .into_iter()
        .map(|(about, step)| (about.to_string(), step))
        .collect();
    assert_eq!(steps(&recorded()), written, "record it anew: make fidelity");
}

#[test]
fn no_step_is_without_its_answer() {
    let recorded = recorded();
    let acts = |step: &Step| match step {
        Step::Anew | Step::Wait(_) => false,
        Step::On(_, deed) => !deed.is_silent(),
    };
    let (asked, answered): (Vec<&Line>, Vec<&Line>) = (
        recorded.iter().filter(|line| acts(&line.step)).collect(),
        recorded.iter().filter(|line| line.seen.is_some()).collect(),
    );
    assert_eq!(asked, answered);
    assert_eq!((recorded.len(), answered.len()), (STEPS, ANSWERS));
}

#[test]
fn the_fake_answers_as_postgresql_did() {
    let recorded = recorded();
    let played = play_on_fake(&steps(&recorded), None);
    let partings: Vec<String> = all_partings(&recorded, &played).collect();
    assert!(partings.is_empty(), "\n{}", partings.join("\n"));
}

/// Each with the step at which the real one is not like that.
#[test]
fn a_fake_that_is_wrong_is_found_out() {
    let wrong = [
        (Wrong::SmartStopEndsSessions, "it still commits"),
        (
            Wrong::FastStopForgetsStandbys,
            "the standby has the shutdown checkpoint",
        ),
        (
            Wrong::ImmediateStopIsClean,
            "an immediate stop writes no checkpoint",
        ),
        (Wrong::CrashLosesCommits, "loses no acknowledged commit"),
        (
            Wrong::BackendsDieWithPostmaster,
            "backends are left, no server answers",
        ),
        (Wrong::PromoteKeepsTimeline, "what others are told"),
        (Wrong::PromoteEndsInCheckpoint, "what others are told"),
        (Wrong::RewindTakesUnclean, "unclean: no rewind"),
        (Wrong::SlotRetainsNothing, "it is not fed"),
        (Wrong::SlotOfAbsentStandbyMoves, "it is not fed"),
        (Wrong::SmallStandbyStarts, "nor does it start with less"),
        (Wrong::SmallStandbyIsPromoted, "a promotion ends it"),
        (
            Wrong::CrashedStandbyKnowsItsEnd,
            "a standby's immediate stop: the control file knows less than was replayed",
        ),
        (Wrong::CrashKeepsSlots, "it is not fed"),
        (Wrong::MissingSlotIsMade, "and not fed without its slot"),
        (
            Wrong::WalIsKeptForEver,
            "slots that held back more are lost",
        ),
        (Wrong::LostSlotRetains, "slots that held back more are lost"),
        (
            Wrong::RewindBringsAllWal,
            "and the target never begins to recover",
        ),
        (Wrong::NobodyWaits, "it waits for its standby"),
        (Wrong::StopTellsWhoWaits, "ended, it is not acknowledged"),
        (
            Wrong::CancelledWaitIsNotTold,
            "cancelled, it is acknowledged",
        ),
    ];
    let recorded = recorded();
    for (wrong, about) in wrong {
        let played = play_on_fake(&steps(&recorded), Some(wrong));
        let told = parting(&recorded, &played).unwrap_or_default();
        assert!(told.contains(&format!("({about})")), "{wrong:?}: {told}");
    }
}
