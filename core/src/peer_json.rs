//! Reads what another member says of itself (`GET /patroni`, Patroni's body or ours) into the terms of an
//! election. Tolerant: an odd field is left out. An answer without a WAL position is no answer at all,
//! as in Patroni: such a member can neither be compared with nor be counted as behind.

use crate::lsn::Lsn;
use crate::member::Tags;
use crate::peer::{PeerAnswer, PeerStatus};
use crate::timeline::TimelineId;
use serde_json::{Map, Value};

/// The body of an answer with status 200.
pub fn read(body: &[u8]) -> PeerAnswer {
    let status = match serde_json::from_slice(body) {
        Ok(Value::Object(status)) => status,
        Ok(_) => return PeerAnswer::Garbled("not a JSON object".into()),
        Err(e) => return PeerAnswer::Garbled(format!("not JSON: {e}")),
    };
    let Some(Value::Object(xlog)) = status.get("xlog") else {
        let state = text(&status, "state");
        return PeerAnswer::Garbled(format!("no WAL position, its PostgreSQL is {state:?}"));
    };
    let location = position(xlog, "location");
    let reached = position(xlog, "received_location").max(position(xlog, "replayed_location"));
    if location.is_none() && reached.is_none() {
        return PeerAnswer::Garbled("no readable WAL position".into());
    }
    let tags = match status.get("tags") {
        Some(Value::Object(tags)) => Tags::read(tags),
        _ => Tags::read(&Map::new()),
    };
    let timeline = status.get("timeline").and_then(Value::as_u64);
    let is_true = |field: &str| status.get(field) == Some(&Value::Bool(true));
    PeerAnswer::Status(PeerStatus {
        state: text(&status, "state"),
        role: text(&status, "role"),
        // A primary tells one position, a standby two.
        in_recovery: location.is_none(),
        timeline: timeline
            .and_then(|t| u32::try_from(t).ok())
            .filter(|t| *t > 0)
            .map(TimelineId),
        position: if location.is_none() {
            reached.unwrap_or_default()
        } else {
            Lsn::INVALID
        },
        nofailover: tags.nofailover,
        failover_priority: tags.failover_priority,
        watchdog_failed: is_true("watchdog_failed"),
        streaming: status.get("replication_state") == Some(&Value::from("streaming")),
        replay_paused: xlog.get("paused") == Some(&Value::Bool(true)),
        sees_leader: !is_true("cluster_unlocked"),
    })
}

fn text(from: &Map<String, Value>, field: &str) -> String {
    let value = from.get(field).and_then(Value::as_str);
    value.unwrap_or("unknown").to_string()
}

fn position(xlog: &Map<String, Value>, field: &str) -> Option<Lsn> {
    xlog.get(field)?.as_u64().map(Lsn)
}
