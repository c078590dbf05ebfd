//! The fake store answers as real etcd did when the transcript was recorded; a fake that is wrong is found out.

use std::path::Path;
use tanist_core::dcs::{LeaseId, Revision};
use tanist_core::primitive::{Primitive, PrimitiveOutcome, PrimitiveReply};
use tanist_core::time::Span;
use tanist_sim::fidelity::store_script::{Line, Step, play_on_fake, script};
use tanist_sim::fidelity::transcript::{parse, parting, steps};

fn recorded() -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fidelity/etcd.jsonl");
    parse(&std::fs::read_to_string(path).expect("the transcript is there")).expect("a transcript")
}

fn honest(_: &Primitive, outcome: PrimitiveOutcome) -> PrimitiveOutcome {
    outcome
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
fn the_fake_store_answers_as_etcd_did() {
    let recorded = recorded();
    let played = play_on_fake(&steps(&recorded), &honest);
    assert_eq!(parting(&recorded, &played), None);
}

/// Each of these is a way in which a fake store would be kinder, or other, than etcd.
#[test]
fn a_store_that_is_wrong_is_found_out() {
    type Bend = fn(&Primitive, PrimitiveOutcome) -> PrimitiveOutcome;
    let wrong: [(&str, Bend); 6] = [
        ("keeps alive what is gone", |_, outcome| match outcome {
            PrimitiveOutcome::Ok(PrimitiveReply::KeptAlive { ttl: None }) => {
                let ttl = Some(Span::secs(5));
                PrimitiveOutcome::Ok(PrimitiveReply::KeptAlive { ttl })
            }
            other => other,
        }),
        ("lets everybody win", |_, outcome| match outcome {
            PrimitiveOutcome::Ok(PrimitiveReply::Transaction { revision, got, .. }) => {
                PrimitiveOutcome::Ok(PrimitiveReply::Transaction {
                    succeeded: true,
                    revision,
                    got,
                })
            }
            other => other,
        }),
        ("always knows", |call, outcome| match (call, outcome) {
            (Primitive::Transaction(_), PrimitiveOutcome::Unknown(_)) => {
                PrimitiveOutcome::Denied(String::new())
            }
            (_, other) => other,
        }),
        ("counts a revision too many", |_, outcome| match outcome {
            PrimitiveOutcome::Ok(PrimitiveReply::Transaction {
                succeeded,
                revision,
                got,
            }) => PrimitiveOutcome::Ok(PrimitiveReply::Transaction {
                succeeded,
                revision: Revision(revision.0 + i64::from(!succeeded)),
                got,
            }),
            other => other,
        }),
        (
            "forgets what a key is bound to",
            |_, outcome| match outcome {
                PrimitiveOutcome::Ok(PrimitiveReply::All(mut all)) => {
                    all.keys
                        .values_mut()
                        .for_each(|kv| kv.lease = LeaseId::NONE);
                    PrimitiveOutcome::Ok(PrimitiveReply::All(all))
                }
                other => other,
            },
        ),
        ("takes any lease", |_, outcome| match outcome {
            PrimitiveOutcome::LeaseNotFound => PrimitiveOutcome::Denied(String::new()),
            other => other,
        }),
    ];
    let recorded = recorded();
    for (what, bend) in wrong {
        let played = play_on_fake(&steps(&recorded), &bend);
        let told = parting(&recorded, &played);
        assert!(told.is_some(), "a store that {what} is taken for etcd");
    }
}
