//! What is known of the store, and how old it may be.

use super::situation::*;
use std::collections::BTreeMap;
use tanist_core::dcs::*;
use tanist_core::name::OpId;
use tanist_core::note::Note;
use tanist_core::store::{Heard, Store, Vacancy, is_watch};

fn kv(value: &str, lease: LeaseId, modified: i64) -> KeyValue {
    KeyValue {
        value: value.into(),
        created: Revision(1),
        modified: Revision(modified),
        lease,
    }
}

fn snapshot(revision: i64, keys: &[(&str, KeyValue)]) -> Snapshot {
    Snapshot {
        revision: Revision(revision),
        keys: keys
            .iter()
            .map(|(k, v)| (k.to_string(), v.clone()))
            .collect(),
    }
}

fn read(store: &mut Store, second: u64, sent: u64, snapshot: Snapshot) -> Vec<Note> {
    let mut notes = Vec::new();
    let now = super::support::at(second);
    store.read(now, mono(sent), snapshot, false, &mut notes);
    notes
}

fn listed(store: &mut Store, second: u64, snapshot: Snapshot) {
    store.listed(super::support::at(second), snapshot, false, &mut Vec::new());
}

type Change<'a> = (&'a str, Option<KeyValue>);

fn changed(store: &mut Store, second: u64, revision: i64, changes: &[Change]) -> Vec<Note> {
    let mut notes = Vec::new();
    let changes: BTreeMap<_, _> = changes
        .iter()
        .map(|(k, v)| (k.to_string(), v.clone()))
        .collect();
    let now = super::support::at(second);
    store.changed(now, Revision(revision), changes, false, &mut notes);
    notes
}

#[test]
fn a_reading_that_was_overtaken_on_its_way_confirms_what_the_watch_told_since() {
    let known = || {
        let mut store = Store::default();
        read(&mut store, 10, 9, snapshot(6, &[]));
        changed(&mut store, 12, 8, &[("config", None)]);
        store
    };
    let mut late = known();
    read(&mut late, 13, 11, snapshot(7, &[]));
    assert_eq!(
        (late.revision(), late.confirmed),
        (Revision(8), Some(mono(11)))
    );
    // Sent in the very instant of the change: it proves nothing, and takes nothing back.
    let mut at_once = known();
    read(&mut at_once, 13, 12, snapshot(7, &[]));
    assert_eq!(
        (at_once.revision(), at_once.confirmed),
        (Revision(8), Some(mono(9)))
    );
    // Sent after it, and older all the same: the store went back.
    let mut back = known();
    read(&mut back, 14, 13, snapshot(7, &[]));
    assert_eq!(
        (back.revision(), back.confirmed),
        (Revision(7), Some(mono(13)))
    );
}

#[test]
fn a_confirmation_is_the_newest_and_none_is_had_while_the_watch_goes_on_from_an_older_reading() {
    let mut store = Store::default();
    read(&mut store, 10, 9, snapshot(6, &[]));
    read(&mut store, 11, 8, snapshot(6, &[]));
    assert_eq!(store.confirmed, Some(mono(9)), "sent before the other");
    listed(&mut store, 12, snapshot(3, &[]));
    assert_eq!(store.confirmed, None);
    // Asked for before the watch began anew: whose reading the watch goes on from, it cannot tell.
    read(&mut store, 13, 12, snapshot(7, &[]));
    assert_eq!((store.confirmed, store.revision()), (None, Revision(7)));
    read(&mut store, 14, 13, snapshot(7, &[]));
    assert_eq!(store.confirmed, Some(mono(13)));
}

#[test]
fn the_quorum_says_which_of_two_readings_is_the_store() {
    let two = |revision| {
        let mut store = Store::default();
        read(
            &mut store,
            10,
            9,
            snapshot(6, &[("config", kv("{}", LeaseId::NONE, 6))]),
        );
        listed(&mut store, 11, snapshot(3, &[]));
        changed(
            &mut store,
            12,
            5,
            &[("status", Some(kv("1", LeaseId::NONE, 5)))],
        );
        read(&mut store, 13, 12, snapshot(revision, &[]));
        (store.revision(), store.value("status").is_some())
    };
    assert_eq!(
        two(4),
        (Revision(5), true),
        "overtaken by what the watch told"
    );
    assert_eq!(
        two(5),
        (Revision(5), false),
        "the same: as the quorum has it"
    );
    assert_eq!(two(7), (Revision(7), false));
}

#[test]
fn a_view_shows_a_write_by_its_revision_or_by_a_later_question() {
    let mut store = Store::default();
    read(&mut store, 10, 9, snapshot(6, &[]));
    let heard = |revision, second| Heard {
        revision: Revision(revision),
        at: mono(second),
    };
    assert!(store.shows(heard(6, 20)));
    assert!(!store.shows(heard(7, 20)));
    assert!(store.shows(heard(7, 8)), "asked for since");
    assert!(!store.shows(heard(7, 9)), "asked for in that instant");
}

#[test]
fn how_the_key_went_is_told_by_what_went_with_it() {
    let gone = |status_at: i64, member: Option<KeyValue>| {
        let mut store = Store::default();
        let mut keys = vec![
            ("leader", kv("b", THEIRS, 2)),
            ("status", kv("1", LeaseId::NONE, status_at)),
        ];
        if let Some(member) = &member {
            keys.push(("members/b", member.clone()));
        }
        read(&mut store, 10, 9, snapshot(6, &keys));
        changed(&mut store, 11, 7, &[("leader", None)]);
        store.vacant.map(|(_, why)| why)
    };
    let member = |text: &str, lease| Some(kv(text, lease, 2));
    let runs = r#"{"state":"running"}"#;
    assert_eq!(gone(2, None), Some(Vacancy::Expired));
    assert_eq!(
        gone(2, member(runs, MINE)),
        Some(Vacancy::Expired),
        "of another session"
    );
    assert_eq!(gone(2, member(runs, THEIRS)), Some(Vacancy::Deleted));
    assert_eq!(gone(7, member(runs, THEIRS)), Some(Vacancy::Released));
    for word in ["stopping", "stopped", "demoted"] {
        let text = format!(r#"{{"state":"{word}"}}"#);
        assert_eq!(
            gone(2, member(&text, THEIRS)),
            Some(Vacancy::Released),
            "{word}"
        );
    }
}

#[test]
fn a_key_that_cannot_be_read_is_told_of_once() {
    let told = |notes: Vec<Note>| {
        let unreadable = |note: &Note| matches!(note, Note::Unreadable { .. });
        notes.into_iter().filter(unreadable).count()
    };
    let mut store = Store::default();
    let config = |text: &str, at| [("config", Some(kv(text, LeaseId::NONE, at)))];
    read(&mut store, 10, 9, snapshot(6, &[]));
    assert_eq!(told(changed(&mut store, 11, 7, &config("what?", 7))), 1);
    assert_eq!(told(changed(&mut store, 12, 8, &[("status", None)])), 0);
    assert_eq!(
        told(changed(&mut store, 13, 9, &config("what else?", 9))),
        1
    );
}

#[test]
fn who_leads_is_who_the_key_names() {
    let mut store = Store::default();
    assert!(!store.led_by(&"b".into()));
    read(
        &mut store,
        10,
        9,
        snapshot(6, &[("leader", kv("b", THEIRS, 2))]),
    );
    assert!(store.led_by(&"b".into()) && !store.led_by(&"c".into()));
}

#[test]
fn timings_below_patronis_floors_hold_among_tanists_alone() {
    let ttl = |other: &str| {
        let mut store = Store::default();
        let config = kv(
            r#"{"ttl": 20, "tanist": {"ttl": 5, "loop_wait": 1, "retry_timeout": 1}}"#,
            LeaseId::NONE,
            2,
        );
        let keys = [("config", config), ("members/b", kv(other, THEIRS, 2))];
        let now = super::support::at(10);
        store.read(now, mono(9), snapshot(6, &keys), true, &mut Vec::new());
        store.config.timing.ttl.as_micros() / 1_000_000
    };
    assert_eq!(ttl(&member(8009)), 5);
    assert_eq!(ttl(r#"{"state":"running"}"#), 20);
}

#[test]
fn what_the_watch_tells_is_not_the_end_of_a_request() {
    let why = "stream ended".to_string();
    assert!(is_watch(&DcsInput::WatchLost { why }));
    let completed = DcsInput::Completed {
        op: OpId(1),
        sent_at: mono(1),
        maybe_since: None,
        outcome: DcsOutcome::SessionGone,
    };
    assert!(!is_watch(&completed));
}
