//! What real etcd answers to the script that the simulator's store is held to. Compared with the transcript that is
//! kept; `make fidelity` writes it anew.

use crate::support::etcd::Etcd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tanist::dcs::{Endpoint, EtcdSettings, Store};
use tanist_core::dcs::{Consistency, Revision};
use tanist_core::primitive::{Primitive, PrimitiveOutcome, PrimitiveReply};
use tanist_sim::fidelity::names::Names;
use tanist_sim::fidelity::store_script::{BUDGET, Line, SERVERS, Step, script};
use tanist_sim::fidelity::transcript::{parse, parting, print};

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/tests/fidelity/etcd.jsonl")
}

async fn revision(store: &Store) -> Revision {
    let read = Primitive::ReadAll {
        consistency: Consistency::Linearizable,
    };
    match store.call(&read, BUDGET).await {
        PrimitiveOutcome::Ok(PrimitiveReply::All(snapshot)) => snapshot.revision,
        other => panic!("etcd does not answer: {other:?}"),
    }
}

async fn step(
    etcd: &mut Etcd,
    store: &Store,
    names: &mut Names,
    step: &Step,
) -> Option<PrimitiveOutcome> {
    let others = 1..usize::from(SERVERS);
    match step {
        Step::Ask(call) => {
            let outcome = store.call(&names.call(call), BUDGET).await;
            return Some(names.outcome(outcome));
        }
        Step::FreezeOthers => others.for_each(|server| etcd.freeze(server)),
        Step::ThawOthers => others.for_each(|server| etcd.thaw(server)),
        Step::Stop => etcd.kill(0),
        Step::Start => etcd.restart(0),
        Step::Wait(long) => tokio::time::sleep(Duration::from_micros(long.as_micros())).await,
    }
    None
}

#[tokio::test]
async fn etcd_answers_the_script_as_the_transcript_has_it() {
    let mut etcd = Etcd::start(usize::from(SERVERS));
    let settings = EtcdSettings {
        endpoints: Endpoint::parse(&etcd.url(0)).into_iter().collect(),
        ..EtcdSettings::default()
    };
    let store = Store::open(settings, "service", "fidelity").expect("usable settings");
    let mut names = Names::from(revision(&store).await);
    let mut played = Vec::new();
    for (about, what) in script() {
        let seen = step(&mut etcd, &store, &mut names, &what).await;
        played.push(Line {
            about: about.to_string(),
            step: what,
            seen,
        });
    }
    if std::env::var_os("TANIST_RECORD").is_some() {
        std::fs::write(kept(), print(&played)).expect("the transcript can be written");
    }
    let text = std::fs::read_to_string(kept()).expect("the transcript is there");
    let recorded = parse(&text).expect("a transcript");
    assert_eq!(parting(&recorded, &played), None);
}
