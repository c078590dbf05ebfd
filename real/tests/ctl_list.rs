//! `tanistctl list` prints what patronictl prints. `recorded/list/CASE.keys.json` are the keys of a cluster;
//! the files beside it are what patronictl 4.1.5 printed of them, in every format, plain and extended.

use std::collections::BTreeMap;
use std::path::Path;
use tanist::ctl::members_table::{Columns, Format, render};
use tanist_core::dcs::{KeyValue, LeaseId, Revision, Snapshot};

const CASES: [&str; 6] = [
    "two_members",
    "everything",
    "nobody",
    "founding",
    "quorum_and_old_agents",
    "standby_cluster",
];

fn recorded(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/list");
    let path = path.join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn snapshot(case: &str) -> Snapshot {
    let keys: BTreeMap<String, String> =
        serde_json::from_str(&recorded(&format!("{case}.keys.json"))).expect("an object of texts");
    let kv = |value: String| KeyValue {
        value,
        created: Revision(1),
        modified: Revision(1),
        lease: LeaseId::NONE,
    };
    Snapshot {
        revision: Revision(1),
        keys: keys.into_iter().map(|(k, v)| (k, kv(v))).collect(),
    }
}

#[track_caller]
fn check(format: Format, name: &str) {
    for case in CASES {
        for (columns, suffix) in [(Columns::AsNeeded, ""), (Columns::Extended, ".extended")] {
            let printed = render(&snapshot(case), "demo", format, columns);
            let patroni = recorded(&format!("{case}.{name}{suffix}.txt"));
            assert!(
                printed == patroni,
                "{case}{suffix}\npatronictl:\n{patroni}\ntanistctl:\n{printed}"
            );
        }
    }
}

#[test]
fn tables_are_patronictls_to_the_byte() {
    check(Format::Pretty, "pretty");
}

#[test]
fn tab_separated_values_are_patronictls_to_the_byte() {
    check(Format::Tsv, "tsv");
}

#[test]
fn json_is_patronictls_to_the_byte() {
    check(Format::Json, "json");
}

#[test]
fn yaml_is_patronictls_to_the_byte() {
    check(Format::Yaml, "yaml");
    check(Format::Yml, "yaml");
}
