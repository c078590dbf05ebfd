//! What a Patroni says of itself: its member key (1.3) and the body of `GET /patroni` (5.3), and how it reads another
//! member's body in a race (2.11). Knows nothing of HTTP.

use super::strand::state_word;
use super::{Kept, Role, VERSION, watchdog};
use serde_json::{Map, Value, json};
use tanist_core::iso::shown_time;
use tanist_core::lsn::Lsn;
use tanist_core::peer::{PeerAnswer, PeerStatus};
use tanist_core::postgres::{Observation, SqlStatus};
use tanist_core::time::Now;
use tanist_core::timeline::TimelineId;

/// What a session told, if one was had.
pub fn answered(here: &Observation) -> Option<&SqlStatus> {
    here.sql.answered()
}

pub fn member_key(kept: &Kept, here: &Observation) -> String {
    let mut member = Map::new();
    let mut say = |key: &str, value: Value| member.insert(key.to_string(), value);
    say("conn_url", json!(kept.me.conn_url));
    say("api_url", json!(kept.me.api_url));
    say("state", json!(state_word(kept)));
    say("role", json!(kept.role.word()));
    say("version", json!(VERSION));
    let status = answered(here);
    let primary = status.filter(|s| !s.in_recovery);
    let control = here.data_dir.control();
    // Only ever `false`: until the control file shows the timeline that it writes, nobody may be rewound from it.
    if kept.role == Role::Primary
        && let (Some(status), Some(control)) = (primary, control)
        && control.timeline != status.timeline
    {
        say("checkpoint_after_promote", json!(false));
    }
    if !kept.me.tags.is_empty() {
        say("tags", Value::Object(kept.me.tags.clone()));
    }
    if let Some(status) = status {
        if status.pending_restart {
            say("pending_restart", json!(true));
        }
        let reached = status.received.max(status.replayed);
        if status.in_recovery {
            say("xlog_location", json!(reached.0));
            say("replay_lsn", json!(status.replayed.0));
            say("receive_lsn", json!(status.received.0));
            if status.streaming {
                say("replication_state", json!("streaming"));
            }
            say("timeline", json!(status.received_timeline.0));
        } else {
            say("xlog_location", json!(status.written.0));
            say("timeline", json!(status.timeline.0));
        }
    }
    if kept.tunes.paused {
        say("pause", json!(true));
    }
    Value::Object(member).to_string()
}

/// Equality before a write is structural, with leaves as text: 1 equals "1".
pub fn same(a: &str, b: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (read(a), read(b)) {
        (Some(a), Some(b)) => alike(&a, &b),
        (_, _) => a == b,
    }
}

fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| alike(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::String(text), other) | (other, Value::String(text)) => match other {
            Value::String(other) => text == other,
            other => {
                let shown = other.to_string();
                *text == shown
            }
        },
        (a, b) => a == b,
    }
}

/// The body of `GET /patroni`, over a fresh session of the REST thread's own.
pub fn status(kept: &Kept, here: &Observation, now: Now) -> String {
    let mut body = Map::new();
    let mut say = |key: &str, value: Value| body.insert(key.to_string(), value);
    let status = answered(here);
    let state = match (status, state_word(kept)) {
        (None, "running") => "unknown",
        (_, word) => word,
    };
    say("state", json!(state));
    match status {
        None => {
            say("role", json!(kept.role.word()));
        }
        Some(status) => {
            say(
                "postmaster_start_time",
                json!(shown_time(status.started_at)),
            );
            say(
                "role",
                json!(if status.in_recovery {
                    "replica"
                } else {
                    "primary"
                }),
            );
            say("server_version", json!(status.server_version));
            say("xlog", xlog(status));
            say("timeline", json!(status.timeline.0));
            if status.in_recovery && status.streaming {
                say("replication_state", json!("streaming"));
            }
        }
    }
    if kept.tunes.paused {
        say("pause", json!(true));
    }
    if !watchdog::is_healthy(kept) {
        say("watchdog_failed", json!(true));
    }
    let fresh = kept
        .store_seen
        .filter(|at| now.wall < at.plus(kept.tunes.ttl));
    let leader = kept.view.as_ref().and_then(|view| view.keys.get("leader"));
    if fresh.is_none() || leader.is_none() {
        say("cluster_unlocked", json!(true));
    }
    let seen = kept.store_seen.map_or(0, |at| at.0.div_euclid(1_000_000));
    say("dcs_last_seen", json!(seen));
    if !kept.me.tags.is_empty() {
        say("tags", Value::Object(kept.me.tags.clone()));
    }
    if let Some(control) = here.data_dir.control() {
        say("database_system_identifier", json!(control.system_id.0));
    }
    let about = json!({"version": VERSION, "scope": kept.me.scope, "name": kept.me.name.0});
    say("patroni", about);
    Value::Object(body).to_string()
}

fn xlog(status: &SqlStatus) -> Value {
    match status.in_recovery {
        false => json!({"location": status.written.0}),
        true => json!({
            "received_location": status.received.max(status.replayed).0,
            "replayed_location": status.replayed.0,
            "replayed_timestamp": status.replayed_at.map(shown_time),
            "paused": status.replay_paused,
        }),
    }
}

/// Another member's body as Patroni's race reads it. Without an `xlog` object the member counts as unreachable.
pub fn read(body: &str) -> PeerAnswer {
    let garbled = |why: &str| PeerAnswer::Garbled(why.to_string());
    let Ok(Value::Object(status)) = serde_json::from_str(body) else {
        return garbled("no JSON object");
    };
    let Some(xlog) = status
        .get("xlog")
        .or_else(|| status.get("wal"))
        .and_then(Value::as_object)
    else {
        return garbled("no WAL position");
    };
    let text = |field: &str| {
        status
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let at = |field: &str| xlog.get(field).and_then(Value::as_u64).unwrap_or(0);
    let is_primary = at("location") > 0 || matches!(text("role"), "primary" | "master");
    let reached = at("received_location").max(at("replayed_location"));
    let tags = json!({ "tags": status.get("tags") });
    let (nofailover, failover_priority) = super::keys::tags_of(&tags);
    let timeline = status.get("timeline").and_then(Value::as_u64);
    PeerAnswer::Status(PeerStatus {
        state: text("state").to_string(),
        role: text("role").to_string(),
        in_recovery: !is_primary,
        timeline: timeline
            .and_then(|number| u32::try_from(number).ok())
            .map(TimelineId),
        position: if is_primary {
            Lsn::INVALID
        } else {
            Lsn(reached)
        },
        nofailover,
        failover_priority,
        watchdog_failed: status.get("watchdog_failed") == Some(&Value::Bool(true)),
        streaming: status.get("replication_state") == Some(&Value::from("streaming")),
        replay_paused: xlog.get("paused") == Some(&Value::Bool(true)),
        sees_leader: status.get("cluster_unlocked") != Some(&Value::Bool(true)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_a_position_is_no_answer() {
        assert!(matches!(
            read(r#"{"state":"running"}"#),
            PeerAnswer::Garbled(_)
        ));
        let standby = r#"{"role":"replica","xlog":{"received_location":5,"replayed_location":7}}"#;
        match read(standby) {
            PeerAnswer::Status(status) => {
                assert!(status.in_recovery);
                assert_eq!(status.position, Lsn(7));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equality_is_structural_and_a_number_equals_its_text() {
        assert!(same(r#"{"a":1,"b":[2]}"#, r#"{"b":["2"],"a":"1"}"#));
        assert!(!same(r#"{"a":1}"#, r#"{"a":1,"b":2}"#));
    }
}
