//! The member key: what each member publishes about itself, byte-compatible with Patroni 4.1.5.
//! Tolerant when reading; unknown fields are kept.

use crate::config::as_bool;
use crate::lsn::Lsn;
use crate::name::MemberName;
use crate::postgres::{Address, CopyId};
use crate::timeline::TimelineId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `members/NAME`, fields in Patroni's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemberData {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conn_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_after_promote: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_restart: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xlog_location: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_lsn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_lsn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<bool>,
    /// Fields that other agents write and this one does not know (and `tanist`, our own).
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Which copy of the data the member has (`CopyId`).
pub const COPY_FIELD: &str = "tanist_copy";
/// Which of those that may go by the member's name wrote the key (`Boot::instance`, in hexadecimal).
pub const INSTANCE_FIELD: &str = "tanist_instance";
/// By member, the copy that it may be fed from.
pub const ACCEPTS_FIELD: &str = "tanist_accepts";

/// A member key that says nothing of what it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTold;

/// Tags as decisions see them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    pub nofailover: bool,
    pub failover_priority: i64,
    pub clonefrom: bool,
    pub noloadbalance: bool,
    pub nostream: bool,
    pub replicatefrom: Option<MemberName>,
}

impl Tags {
    /// `nofailover` wins over `failover_priority` where both are given; a priority of zero or less means nofailover.
    pub fn read(tags: &Map<String, Value>) -> Tags {
        let on = |key: &str| tags.get(key).and_then(as_bool);
        let priority = match tags.get("failover_priority") {
            Some(Value::Number(n)) => n.as_i64(),
            Some(Value::String(s)) => s.trim().parse().ok(),
            None | Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
        };
        let nofailover = on("nofailover").unwrap_or(priority.is_some_and(|p| p <= 0));
        Tags {
            nofailover,
            failover_priority: if nofailover { 0 } else { priority.unwrap_or(1) },
            clonefrom: on("clonefrom").unwrap_or(false),
            noloadbalance: on("noloadbalance").unwrap_or(false),
            nostream: on("nostream").unwrap_or(false),
            replicatefrom: tags
                .get("replicatefrom")
                .and_then(Value::as_str)
                .map(MemberName::from),
        }
    }
}

impl MemberData {
    /// Reads a member key; `None` when it is not a JSON object nor Patroni's old connection-string form.
    /// Each field of an unexpected type is left out rather than spoiling the rest.
    pub fn parse(text: &str) -> Option<MemberData> {
        if let Some(rest) = text.strip_prefix("postgres://") {
            return Some(MemberData::from_old_form(text, rest));
        }
        if let Some(whole) = Some(text)
            .filter(|text| text.trim_start().starts_with('{'))
            .and_then(|text| serde_json::from_str(text).ok())
        {
            return Some(whole);
        }
        let object: Map<String, Value> = serde_json::from_str(text).ok()?;
        Some(MemberData::field_by_field(object))
    }

    fn from_old_form(whole: &str, rest: &str) -> MemberData {
        let conn_url = whole.split('?').next().map(str::to_string);
        let api = rest
            .split_once("application_name=")
            .map(|(_, api)| api.split('&').next().unwrap_or(api).to_string());
        MemberData {
            conn_url,
            api_url: api,
            ..MemberData::default()
        }
    }

    fn field_by_field(object: Map<String, Value>) -> MemberData {
        let mut kept = Map::new();
        for (key, value) in object {
            let mut trial = kept.clone();
            trial.insert(key.clone(), value);
            if serde_json::from_value::<MemberData>(Value::Object(trial.clone())).is_ok() {
                kept = trial;
            }
        }
        serde_json::from_value(Value::Object(kept)).unwrap_or_default()
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn read_tags(&self) -> Tags {
        self.tags
            .as_ref()
            .map(Tags::read)
            .unwrap_or_else(|| Tags::read(&Map::new()))
    }

    /// Where its PostgreSQL listens.
    pub fn address(&self) -> Option<Address> {
        address_of(self.conn_url.as_deref()?)
    }

    pub fn is_running(&self) -> bool {
        self.state.as_deref() == Some("running")
    }

    pub fn is_primary(&self) -> bool {
        matches!(self.role.as_deref(), Some("primary" | "master"))
    }

    /// A running primary that has not yet written a checkpoint on its new timeline says so;
    /// silence means that it is ready to be rewound from.
    pub fn awaits_checkpoint(&self) -> bool {
        self.checkpoint_after_promote == Some(false)
    }

    pub fn position(&self) -> Lsn {
        Lsn(self.xlog_location.unwrap_or(0))
    }

    pub fn timeline_id(&self) -> Option<TimelineId> {
        self.timeline.map(TimelineId)
    }

    /// Published by a Tanist (and not by a Patroni).
    pub fn is_tanist(&self) -> bool {
        self.other.contains_key("tanist")
    }

    /// Was it written by this very agent, in this life or an earlier one?
    pub fn is_of(&self, instance: u64) -> bool {
        let written = self.other.get(INSTANCE_FIELD).and_then(Value::as_str);
        instance != 0 && written.is_some_and(|text| is_instance_text(text, instance))
    }

    /// Which copy of the cluster's data it has.
    pub fn copy(&self) -> Option<CopyId> {
        self.copy_text().map(|id| CopyId(id.to_string()))
    }

    pub fn copy_text(&self) -> Option<&str> {
        self.other.get(COPY_FIELD)?.as_str()
    }

    /// The copy of `member` that its PostgreSQL may be fed from. `Err`: it does not tell, as a Patroni never does.
    pub fn accepts(&self, member: &MemberName) -> Result<Option<&str>, NotTold> {
        let accepted = self.other.get(ACCEPTS_FIELD).ok_or(NotTold)?;
        Ok(accepted.get(member.as_str()).and_then(Value::as_str))
    }
}

pub fn instance_text(instance: u64) -> String {
    format!("{instance:016x}")
}

/// Is `text` what `instance_text` makes of it?
pub fn is_instance_text(text: &str, instance: u64) -> bool {
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    text.len() == 16 && lower && u64::from_str_radix(text, 16) == Ok(instance)
}

/// Host and port of a `postgres://HOST:PORT/DB` URL; the port defaults to 5432, brackets of IPv6 are taken off.
pub fn address_of(conn_url: &str) -> Option<Address> {
    let rest = conn_url
        .strip_prefix("postgres://")
        .or_else(|| conn_url.strip_prefix("postgresql://"))?;
    let authority = rest.split(['/', '?']).next()?;
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port) = if let Some(v6) = authority.strip_prefix('[') {
        let (host, after) = v6.split_once(']')?;
        (host, after.strip_prefix(':'))
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = port.map_or(Some(5432), |p| p.parse().ok())?;
    (!host.is_empty()).then(|| Address {
        host: host.to_string(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLICA: &str = r#"{"conn_url":"postgres://127.0.0.1:25432/postgres","api_url":"http://127.0.0.1:28008/patroni","state":"running","role":"replica","version":"4.1.5","xlog_location":50331784,"replay_lsn":50331784,"receive_lsn":50331784,"replication_state":"streaming","timeline":1}"#;

    #[test]
    fn patronis_own_bytes_survive_a_round_trip() {
        assert_eq!(MemberData::parse(REPLICA).unwrap().to_text(), REPLICA);
    }

    #[test]
    fn an_unknown_field_is_kept_and_a_spoiled_one_spoils_nothing_else() {
        let odd = r#"{"conn_url":"postgres://h/","timeline":"one","new_field":{"a":1}}"#;
        let member = MemberData::parse(odd).unwrap();
        assert_eq!(
            member.address(),
            Some(Address {
                host: "h".into(),
                port: 5432
            })
        );
        assert_eq!(member.timeline, None);
        assert!(member.to_text().contains(r#""new_field":{"a":1}"#));
    }

    #[test]
    fn of_a_field_that_is_there_twice_the_last_one_counts() {
        for (text, state) in [
            (r#"{"state":"starting","state":"running"}"#, Some("running")),
            (r#"{"state":null,"state":"running"}"#, Some("running")),
            (r#"{"state":"running","state":null}"#, None),
            (r#"{"st\u0061te":"running"}"#, Some("running")),
        ] {
            let member = MemberData::parse(text).unwrap();
            assert_eq!(member.state.as_deref(), state, "{text}");
        }
        let unknown = MemberData::parse(r#"{"x":1,"x":{"y":[2.5,-1]}}"#).unwrap();
        assert_eq!(unknown.to_text(), r#"{"x":{"y":[2.5,-1]}}"#);
    }

    #[test]
    fn garbage_is_no_member_and_no_panic() {
        for bad in ["", "null", "[]", "{", "\u{fffd}", "5"] {
            assert_eq!(MemberData::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_old_connection_string_form_is_read() {
        let m =
            MemberData::parse("postgres://h:5433/postgres?application_name=http://h:8008/patroni")
                .unwrap();
        assert_eq!(m.address().unwrap().port, 5433);
        assert_eq!(m.api_url.as_deref(), Some("http://h:8008/patroni"));
    }

    #[test]
    fn nofailover_wins_over_priority_and_priority_zero_means_nofailover() {
        let tags = |json: &str| Tags::read(&serde_json::from_str(json).unwrap());
        assert!(tags(r#"{"failover_priority":0}"#).nofailover);
        assert!(!tags(r#"{"nofailover":false,"failover_priority":0}"#).nofailover);
        assert!(tags(r#"{"nofailover":"on","failover_priority":5}"#).nofailover);
        assert_eq!(tags(r#"{"failover_priority":"5"}"#).failover_priority, 5);
    }
}
