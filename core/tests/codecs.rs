//! Laws of the codecs of the store's keys and of PostgreSQL's texts: whatever stands there is read without a panic,
//! what was understood is written so that it is understood again, and what belongs to others is kept.

use proptest::prelude::*;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tanist_core::cluster::Cluster;
use tanist_core::config::{self, Config};
use tanist_core::dcs::{KeyValue, LeaseId, Revision, Snapshot};
use tanist_core::iso::{iso_time, parse_iso};
use tanist_core::keys::{self, FailoverKey, HistoryKey, HistoryRow, Status, SyncKey};
use tanist_core::lsn::Lsn;
use tanist_core::member::MemberData;
use tanist_core::name::MemberName;
use tanist_core::peer_json;
use tanist_core::time::Wall;
use tanist_core::timeline::{Fork, TimelineHistory, TimelineId};

/// Words that the keys know beside words that they do not.
const FIELDS: [&str; 24] = [
    "conn_url",
    "api_url",
    "state",
    "role",
    "version",
    "tags",
    "xlog_location",
    "timeline",
    "pause",
    "replication_state",
    "tanist",
    "tanist_accepts",
    "optime",
    "slots",
    "retain_slots",
    "leader",
    "member",
    "scheduled_at",
    "sync_standby",
    "ttl",
    "synchronous_mode",
    "postgresql",
    "xlog",
    "x",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_u64..5).prop_map(Value::from),
        "[a-z0-9/: ]{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let field = prop_oneof![
            prop::sample::select(FIELDS.to_vec()).prop_map(str::to_string),
            any::<String>()
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(field, inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// What somebody may have written: text of any kind, or JSON of any kind.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => any::<String>(),
        1 => "[ -~]{0,40}",
        3 => any_json().prop_map(|v| v.to_string()),
    ]
}

fn any_name() -> impl Strategy<Value = MemberName> {
    "[a-zA-Z0-9_.-]{1,20}".prop_map(MemberName)
}

fn any_row() -> impl Strategy<Value = HistoryRow> {
    (
        any::<u32>(),
        any::<u64>(),
        any::<String>(),
        any::<Option<String>>(),
        prop::option::of(any_name()),
    )
        .prop_map(|(timeline, end, reason, at, new_leader)| HistoryRow {
            timeline: TimelineId(timeline),
            end: Lsn(end),
            reason,
            at,
            new_leader,
        })
}

/// Everything but fields that say nothing.
fn without_nulls(object: &Map<String, Value>) -> Map<String, Value> {
    let kept = object.iter().filter(|(_, value)| !value.is_null());
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_stands_in_a_key_is_understood_again_as_it_was_understood(text in any_value()) {
        if let Some(member) = MemberData::parse(&text) {
            prop_assert_eq!(MemberData::parse(&member.to_text()), Some(member));
        }
        if let Some(status) = Status::parse(&text) {
            prop_assert_eq!(Status::parse(&status.to_text()), Some(status));
        }
        if let Some(failover) = FailoverKey::parse(&text) {
            prop_assert_eq!(FailoverKey::parse(&failover.to_text()), Some(failover));
        }
        if let Some(history) = HistoryKey::parse(&text) {
            prop_assert_eq!(HistoryKey::parse(&history.to_text()), Some(history));
        }
        // Read only.
        let _ = SyncKey::parse(&text);
        let _ = peer_json::read(text.as_bytes());
    }

    #[test]
    fn a_cluster_of_senseless_values_is_read_and_every_member_in_it_is_one(
        values in prop::collection::btree_map(
            prop_oneof![
                prop::sample::select(vec![
                    keys::LEADER, keys::INITIALIZE, keys::CONFIG, keys::STATUS, keys::OPTIME_LEADER,
                    keys::FAILOVER, keys::SYNC, keys::HISTORY, keys::FAILSAFE,
                ]).prop_map(str::to_string),
                any_name().prop_map(|name| keys::member_key(&name)),
                any::<String>(),
            ],
            any_value(),
            0..8,
        ),
    ) {
        let mut snapshot = Snapshot { revision: Revision(9), ..Snapshot::default() };
        for (key, value) in values {
            let (created, modified) = (Revision(3), Revision(7));
            let written = KeyValue { value, created, modified, lease: LeaseId::NONE };
            snapshot.keys.insert(key, written);
        }
        let cluster = Cluster::read(&snapshot);
        // A key is there, whatever it says: nobody may race past it.
        prop_assert_eq!(cluster.leader.is_some(), snapshot.keys.contains_key(keys::LEADER));
        let is_member = |key: &&String| {
            key.strip_prefix(keys::MEMBERS).is_some_and(|name| !name.is_empty() && !name.contains('/'))
        };
        prop_assert_eq!(cluster.members.len(), snapshot.keys.keys().filter(is_member).count());
        for key in cluster.unreadable.keys() {
            prop_assert!(snapshot.keys.contains_key(key), "{} is not there", key);
        }
    }

    #[test]
    fn what_a_member_key_says_beyond_what_is_known_is_kept(
        known in (any::<Option<String>>(), prop::option::of(any::<u64>()), prop::option::of(any::<u32>()), any::<Option<bool>>()),
        unknown in prop::collection::btree_map("[A-Z]{1,8}", any_json(), 0..5),
    ) {
        let (state, position, timeline, pause) = known;
        let mut object: Map<String, Value> = unknown.into_iter().collect();
        object.insert("state".into(), state.into());
        object.insert("xlog_location".into(), position.into());
        object.insert("timeline".into(), timeline.into());
        object.insert("pause".into(), pause.into());
        let member = MemberData::parse(&Value::Object(object.clone()).to_string()).unwrap();
        let written: Map<String, Value> = serde_json::from_str(&member.to_text()).unwrap();
        prop_assert_eq!(without_nulls(&written), without_nulls(&object));
    }

    /// A field of the wrong kind takes no other with it.
    #[test]
    fn an_odd_field_of_a_member_key_spoils_no_other(
        odd in prop::sample::select(vec!["api_url", "tags", "timeline", "pause", "version"]),
        value in any_json(),
    ) {
        let mut object = Map::from_iter([("state".to_string(), Value::from("running"))]);
        object.insert(odd.into(), value);
        let member = MemberData::parse(&Value::Object(object).to_string()).unwrap();
        prop_assert!(member.is_running());
    }

    #[test]
    fn history_rows_come_back_as_they_were_written(rows in prop::collection::vec(any_row(), 0..5)) {
        let history = HistoryKey { rows };
        prop_assert_eq!(HistoryKey::parse(&history.to_text()), Some(history));
    }

    #[test]
    fn a_request_comes_back_as_it_was_written(
        leader in prop::option::of(any_name()),
        member in any_name(),
        scheduled_at in any::<Option<String>>(),
    ) {
        let key = FailoverKey { leader, member: Some(member), scheduled_at, other: Map::new() };
        prop_assert_eq!(FailoverKey::parse(&key.to_text()), Some(key));
    }

    #[test]
    fn positions_keep_text_and_order(a in any::<u64>(), b in any::<u64>(), text in any::<String>()) {
        let back = |lsn: Lsn| lsn.to_string().parse::<Lsn>();
        prop_assert_eq!(back(Lsn(a)), Ok(Lsn(a)));
        prop_assert_eq!(Lsn(a).cmp(&Lsn(b)), a.cmp(&b));
        prop_assert_eq!(Lsn(a).bytes_ahead_of(Lsn(b)), a.saturating_sub(b));
        let _ = text.parse::<Lsn>();
    }

    #[test]
    fn a_history_file_is_read_as_it_was_written(
        numbers in prop::collection::btree_map(1_u32..100_000, (any::<u64>(), "[a-z ]{0,12}"), 0..6),
        text in any::<String>(),
    ) {
        let mut file = String::new();
        let mut forks = Vec::new();
        for (parent, (end, reason)) in numbers {
            file += &format!("{parent}\t{}\t{reason}\n\n", Lsn(end));
            let reason = reason.trim().to_string();
            forks.push(Fork { parent: TimelineId(parent), end: Lsn(end), reason });
        }
        let timeline = TimelineId(100_000);
        let expected = TimelineHistory { timeline, forks };
        prop_assert_eq!(TimelineHistory::parse(timeline, &file), Ok(expected));
        let _ = TimelineHistory::parse(timeline, &text);
    }

    /// From 1970 to the end of 9999.
    #[test]
    fn instants_come_back_to_the_microsecond(micros in 0_i64..253_402_300_800_000_000, text in any::<String>()) {
        prop_assert_eq!(parse_iso(&iso_time(Wall(micros))), Some(Wall(micros)));
        let _ = parse_iso(&text);
    }

    #[test]
    fn a_change_of_the_configuration_does_what_it_says_and_leaves_the_rest(
        stored in prop::collection::btree_map("[a-d]", any_json(), 0..4),
        changes in prop::collection::btree_map("[a-d]", any_json(), 0..4),
    ) {
        let before: Map<String, Value> = stored.into_iter().collect();
        let changes: Map<String, Value> = changes.into_iter().collect();
        let mut after = before.clone();
        config::patch(&mut after, &changes);
        for (key, value) in &before {
            if !changes.contains_key(key) {
                prop_assert_eq!(after.get(key), Some(value));
            }
        }
        for (key, change) in &changes {
            prop_assert_eq!(after.contains_key(key), !change.is_null());
            if !change.is_null() && !change.is_object() {
                prop_assert_eq!(after.get(key), Some(change));
            }
        }
        let mut twice = after.clone();
        config::patch(&mut twice, &changes);
        prop_assert_eq!(twice, after);
    }

    #[test]
    fn any_configuration_gives_timings_that_hold_a_lease(
        stored in prop::collection::btree_map(
            prop::sample::select(vec!["ttl", "loop_wait", "retry_timeout", "maximum_lag_on_failover", "postgresql", "tanist"]),
            any_json(),
            0..6,
        ),
        fast in any::<bool>(),
    ) {
        let stored: BTreeMap<_, _> = stored;
        let object = stored.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        let timing = Config::read(&object, fast).timing;
        // The rule that Patroni's documentation gives for them.
        let (ttl, loop_wait, retry) = (timing.ttl, timing.loop_wait, timing.retry_timeout);
        prop_assert!(loop_wait + retry + retry <= ttl, "{:?}", timing);
    }
}
