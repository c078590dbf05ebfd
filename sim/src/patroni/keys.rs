//! What the keys of the store say to a Patroni (1.2, 1.3): its own way of reading them, so that a value that only Tanist
//! could read would be found out. Knows nothing of how they were read.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tanist_core::dcs::{LeaseId, Revision, Snapshot};
use tanist_core::name::MemberName;

/// Somebody asked for another leader: with `leader` a switchover, without a failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    pub leader: Option<MemberName>,
    pub candidate: Option<MemberName>,
    pub scheduled_at: Option<String>,
    pub version: Revision,
}

/// The cluster as one reading of the store shows it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub leader: Option<MemberName>,
    pub leader_lease: LeaseId,
    pub initialize: Option<String>,
    /// `None`: it is missing, empty, or no JSON object.
    pub config: Option<Map<String, Value>>,
    pub config_version: Revision,
    pub members: Arc<BTreeMap<MemberName, Value>>,
    pub failover: Option<Failover>,
    /// Of the last position that a leader published.
    pub optime: u64,
    pub slots: Map<String, Value>,
    pub status: Option<String>,
    /// Rows of five columns; `None`: the key is missing or cannot be read.
    pub history: Option<Vec<Value>>,
}

fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Some(map),
        Ok(_) | Err(_) => None,
    }
}

impl Seen {
    pub fn of(view: &Snapshot) -> Seen {
        let text = |key: &str| view.keys.get(key).map(|kv| kv.value.clone());
        let leader = view.keys.get("leader");
        let members = view.keys.iter().filter_map(|(key, kv)| {
            let name = key.strip_prefix("members/").filter(|n| !n.contains('/'))?;
            // A value that cannot be read is a member that says nothing.
            let data = object(&kv.value).unwrap_or_default();
            Some((MemberName::from(name), Value::Object(data)))
        });
        let (optime, slots) = status_of(text("status").as_deref());
        let config = text("config");
        Seen {
            leader: leader.map(|kv| MemberName(kv.value.clone())),
            leader_lease: leader.map_or(LeaseId::NONE, |kv| kv.lease),
            initialize: text("initialize"),
            config: config
                .as_deref()
                .and_then(object)
                .filter(|config| !config.is_empty()),
            config_version: view
                .keys
                .get("config")
                .map_or(Revision(0), |kv| kv.modified),
            members: Arc::new(members.collect()),
            failover: view
                .keys
                .get("failover")
                .and_then(|kv| failover_of(&kv.value, kv.modified)),
            optime,
            slots,
            status: text("status"),
            history: text("history").and_then(|text| rows(&text)),
        }
    }

    pub fn is_unlocked(&self) -> bool {
        self.leader.as_ref().is_none_or(|name| name.0.is_empty())
    }

    pub fn is_led_by(&self, name: &MemberName) -> bool {
        self.leader.as_ref() == Some(name)
    }

    /// The cluster's timeline: one past the last row; `[]` is 1, a missing key 0.
    pub fn timeline(&self) -> u64 {
        match &self.history {
            None => 0,
            Some(rows) => rows
                .last()
                .map_or(1, |row| row.get(0).and_then(Value::as_u64).unwrap_or(0) + 1),
        }
    }

    /// At least ten digits make a system identifier.
    pub fn system(&self) -> Option<&str> {
        self.initialize.as_deref().filter(|text| is_system(text))
    }

    pub fn member_text(&self, name: &MemberName, field: &str) -> Option<&str> {
        self.members.get(name)?.get(field)?.as_str()
    }
}

pub fn is_system(text: &str) -> bool {
    text.len() >= 10 && text.bytes().all(|b| b.is_ascii_digit())
}

fn status_of(text: Option<&str>) -> (u64, Map<String, Value>) {
    match text.and_then(|text| serde_json::from_str(text).ok()) {
        Some(Value::Number(n)) => (n.as_u64().unwrap_or(0), Map::new()),
        Some(Value::Object(status)) => {
            let optime = status.get("optime").and_then(Value::as_u64).unwrap_or(0);
            let slots = status.get("slots").and_then(Value::as_object).cloned();
            (optime, slots.unwrap_or_default())
        }
        Some(Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_)) | None => {
            (0, Map::new())
        }
    }
}

fn failover_of(text: &str, version: Revision) -> Option<Failover> {
    let map = object(text)?;
    let name = |field: &str| {
        let text = map.get(field).and_then(Value::as_str);
        text.filter(|t| !t.is_empty()).map(MemberName::from)
    };
    let (leader, candidate) = (name("leader"), name("member"));
    let scheduled_at = map.get("scheduled_at").and_then(Value::as_str);
    (leader.is_some() || candidate.is_some()).then(|| Failover {
        leader,
        candidate,
        scheduled_at: scheduled_at.map(str::to_string),
        version,
    })
}

fn rows(text: &str) -> Option<Vec<Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Array(rows)) => Some(rows),
        Ok(_) | Err(_) => None,
    }
}

/// What a member is barred from, and how it ranks (section 4).
pub fn tags_of(member: &Value) -> (bool, i64) {
    let tags = member.get("tags").and_then(Value::as_object);
    let get = |key: &str| tags.and_then(|tags| tags.get(key));
    let priority = get("failover_priority").and_then(Value::as_i64);
    let barred = match get("nofailover") {
        Some(Value::Bool(barred)) => *barred,
        _absent => priority.is_some_and(|p| p <= 0),
    };
    (barred, if barred { 0 } else { priority.unwrap_or(1) })
}

/// Where a member's PostgreSQL listens, from `postgres://HOST:PORT/DB`.
pub fn host_of(url: &str) -> Option<(String, u16)> {
    let rest = url.strip_prefix("postgres://")?;
    let (host, port) = rest.split('/').next()?.rsplit_once(':')?;
    Some((host.to_string(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_core::dcs::KeyValue;

    fn seen(keys: &[(&str, &str)]) -> Seen {
        let kv = |value: &str| KeyValue {
            value: value.to_string(),
            created: Revision(2),
            modified: Revision(3),
            lease: LeaseId(9),
        };
        let keys = keys.iter().map(|(key, value)| (key.to_string(), kv(value)));
        Seen::of(&Snapshot {
            revision: Revision(3),
            keys: keys.collect(),
        })
    }

    #[test]
    fn what_patroni_writes_is_read_and_garbage_says_nothing() {
        let all = seen(&[
            ("leader", "a"),
            ("status", r#"{"optime":42,"slots":{"b":40}}"#),
            ("history", r#"[[1,5,"why","then","a"]]"#),
            ("failover", r#"{"leader":"a","member":"b"}"#),
            ("members/b", r#"{"tags":{"nofailover":true}}"#),
            ("initialize", "7000000000"),
        ]);
        assert_eq!((all.optime, all.timeline()), (42, 2));
        assert_eq!(all.failover.unwrap().candidate, Some("b".into()));
        assert!(tags_of(&all.members[&"b".into()]).0);
        let odd = seen(&[
            ("status", "["),
            ("history", "x"),
            ("failover", "{}"),
            ("config", "[]"),
        ]);
        assert_eq!((odd.optime, odd.timeline()), (0, 0));
        assert!(odd.failover.is_none() && odd.config.is_none() && odd.is_unlocked());
    }
}
