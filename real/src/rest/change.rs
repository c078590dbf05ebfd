//! Turns the body of a request into what the core calls it, with Patroni's checks in Patroni's order as
//! far as they need no knowledge of the cluster. Everything else is refused or done by the core.

use super::outcome::Reply;
use super::route::Change;
use super::schedule::{self, BadTime};
use serde_json::{Map, Value};
use tanist_core::config::{as_bool, as_span};
use tanist_core::name::MemberName;
use tanist_core::operator::OperatorRequest;
use tanist_core::time::{Span, Wall};

/// The body as it came.
pub enum Body {
    /// No `Content-Length`.
    Unannounced,
    Whole(Vec<u8>),
}

type Checked<T> = Result<T, Reply>;

pub fn read(change: Change, body: Body, now: Wall) -> Checked<OperatorRequest> {
    match change {
        Change::PatchConfig => Ok(OperatorRequest::PatchConfig {
            patch: Value::Object(filled(required(body)?)?).to_string(),
        }),
        Change::PutConfig => Ok(OperatorRequest::PutConfig {
            config: Value::Object(filled(required(body)?)?).to_string(),
        }),
        Change::Switchover => switchover(&filled(required(body)?)?, now),
        Change::Failover => failover(&filled(required(body)?)?),
        Change::CancelSwitchover => Ok(OperatorRequest::CancelSwitchover),
        Change::Reinitialize => reinitialize(&optional(body)?),
        Change::Restart => restart(&optional(body)?, now),
    }
}

fn bad(why: impl Into<String>) -> Reply {
    Reply::text(400, why)
}

fn not_built(what: &str) -> Reply {
    Reply::text(501, format!("{what} is not built into this agent"))
}

fn required(body: Body) -> Checked<Map<String, Value>> {
    match body {
        Body::Unannounced => Err(Reply::text(411, "Length Required")),
        Body::Whole(bytes) => object(&bytes),
    }
}

fn optional(body: Body) -> Checked<Map<String, Value>> {
    match body {
        Body::Unannounced => Ok(Map::new()),
        Body::Whole(bytes) if bytes.is_empty() => Ok(Map::new()),
        Body::Whole(bytes) => object(&bytes),
    }
}

fn object(bytes: &[u8]) -> Checked<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(bad("expected a JSON object")),
        Err(why) => Err(bad(format!("not valid JSON: {why}"))),
    }
}

fn filled(object: Map<String, Value>) -> Checked<Map<String, Value>> {
    if object.is_empty() {
        return Err(bad("expected a JSON object that is not empty"));
    }
    Ok(object)
}

/// A member's name; absent, null and empty all mean none.
fn name(from: &Map<String, Value>, key: &str) -> Checked<Option<MemberName>> {
    match from.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(MemberName::from(text.as_str()))),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(bad(format!("{key} must be a member's name")))
        }
    }
}

fn candidate(from: &Map<String, Value>) -> Checked<Option<MemberName>> {
    match name(from, "candidate")? {
        Some(candidate) => Ok(Some(candidate)),
        None => name(from, "member"),
    }
}

fn time<'a>(from: &'a Map<String, Value>, key: &str) -> Checked<Option<&'a str>> {
    match from.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(unreadable_time())
        }
    }
}

fn unreadable_time() -> Reply {
    let why =
        "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601";
    Reply::text(422, why)
}

fn scheduled(text: &str, action: &str, now: Wall) -> Checked<Wall> {
    schedule::read(text, now).map_err(|bad_time| match bad_time {
        BadTime::NoZone => bad(format!(
            "Timezone information is mandatory for the scheduled {action}"
        )),
        BadTime::InPast => Reply::text(422, format!("Cannot schedule {action} in the past")),
        BadTime::Unreadable => unreadable_time(),
    })
}

fn switchover(body: &Map<String, Value>, now: Wall) -> Checked<OperatorRequest> {
    let candidate = candidate(body)?;
    let Some(leader) = name(body, "leader")? else {
        return Err(bad(
            "Switchover could be performed only from a specific leader",
        ));
    };
    let at = match time(body, "scheduled_at")? {
        Some(text) => Some(scheduled(text, "switchover", now)?),
        None => None,
    };
    if candidate.as_ref() == Some(&leader) {
        return Err(bad("Switchover target and source are the same"));
    }
    Ok(OperatorRequest::Switchover {
        leader,
        candidate,
        at,
    })
}

/// With a leader named it is a switchover, as in Patroni.
fn failover(body: &Map<String, Value>) -> Checked<OperatorRequest> {
    let Some(candidate) = candidate(body)? else {
        return Err(bad(
            "Failover could be performed only to a specific candidate",
        ));
    };
    let leader = name(body, "leader")?;
    if time(body, "scheduled_at")?.is_some() {
        return Err(bad("Failover can't be scheduled"));
    }
    match leader {
        None => Ok(OperatorRequest::Failover { candidate }),
        Some(leader) if leader == candidate => {
            Err(bad("Switchover target and source are the same"))
        }
        Some(leader) => Ok(OperatorRequest::Switchover {
            leader,
            candidate: Some(candidate),
            at: None,
        }),
    }
}

fn flag(from: &Map<String, Value>, key: &str) -> bool {
    from.get(key).and_then(as_bool).unwrap_or(false)
}

fn reinitialize(body: &Map<String, Value>) -> Checked<OperatorRequest> {
    if flag(body, "from_leader") {
        return Err(not_built("the choice of the base backup's source"));
    }
    Ok(OperatorRequest::Reinitialize {
        force: flag(body, "force"),
    })
}

/// Patroni's filters are checked as Patroni does, then refused by name: a condition that is ignored would
/// restart a server that was to be left alone.
fn restart(body: &Map<String, Value>, now: Wall) -> Checked<OperatorRequest> {
    let mut unbuilt = None;
    for (filter, value) in body {
        let condition = match filter.as_str() {
            "schedule" => {
                let text = time(body, "schedule")?.ok_or_else(unreadable_time)?;
                scheduled(text, "restart", now)?;
                "a scheduled restart"
            }
            "role" => {
                let known = ["primary", "standby_leader", "replica"];
                if !value.as_str().is_some_and(|role| known.contains(&role)) {
                    return Err(bad(
                        "PostgreSQL role should be either primary, standby_leader, or replica",
                    ));
                }
                "a restart by role"
            }
            "postgres_version" => "a restart by version",
            "timeout" => {
                if as_span(value).is_none_or(|t| t == Span::ZERO) {
                    return Err(bad("Timeout should be a positive number of seconds"));
                }
                "a restart's own timeout"
            }
            "restart_pending" => "a restart only if one is pending",
            other => {
                return Err(bad(format!(
                    "Unknown filter for the scheduled restart: {other}"
                )));
            }
        };
        unbuilt = Some(condition);
    }
    match unbuilt {
        Some(condition) => Err(not_built(condition)),
        None => Ok(OperatorRequest::Restart),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_795_375_529_000_000);

    #[track_caller]
    fn refused(change: Change, body: &str, code: u16, words: &str) {
        let reply = read(change, Body::Whole(body.into()), NOW).unwrap_err();
        assert_eq!(reply.code, code, "{body}: {}", reply.body);
        assert!(reply.body.contains(words), "{body}: {}", reply.body);
    }

    fn taken(change: Change, body: &str) -> OperatorRequest {
        match read(change, Body::Whole(body.into()), NOW) {
            Ok(request) => request,
            Err(reply) => panic!("{body}: {reply:?}"),
        }
    }

    #[test]
    fn what_needs_no_knowledge_of_the_cluster_is_refused_at_the_door() {
        use Change::*;
        let past = r#"{"leader":"a","scheduled_at":"2020-01-01T00:00:00Z"}"#;
        let zoneless = r#"{"leader":"a","scheduled_at":"2027-01-01T00:00:00"}"#;
        let later = r#"{"candidate":"a","scheduled_at":"2027-01-01T00:00:00Z"}"#;
        for (change, body, code, words) in [
            (Switchover, "", 400, "not valid JSON"),
            (Switchover, "[]", 400, "JSON object"),
            (Switchover, "{}", 400, "not empty"),
            (
                Switchover,
                r#"{"candidate":"b"}"#,
                400,
                "from a specific leader",
            ),
            (Switchover, r#"{"leader":7}"#, 400, "leader must be"),
            (
                Switchover,
                r#"{"leader":"a","member":"a"}"#,
                400,
                "are the same",
            ),
            (Switchover, past, 422, "in the past"),
            (
                Switchover,
                zoneless,
                400,
                "Timezone information is mandatory",
            ),
            (
                Switchover,
                r#"{"leader":"a","scheduled_at":"soon"}"#,
                422,
                "Unable to parse",
            ),
            (
                Failover,
                r#"{"leader":"a"}"#,
                400,
                "to a specific candidate",
            ),
            (Failover, later, 400, "can't be scheduled"),
            (PatchConfig, "{}", 400, "not empty"),
            (PutConfig, "null", 400, "JSON object"),
            (Restart, r#"{"role":"x"}"#, 400, "should be either"),
            (Restart, r#"{"timeout":"0"}"#, 400, "positive"),
            (Restart, r#"{"colour":1}"#, 400, "Unknown filter"),
            (Restart, r#"{"restart_pending":true}"#, 501, "not built"),
            (Reinitialize, r#"{"from_leader":true}"#, 501, "not built"),
        ] {
            refused(change, body, code, words);
        }
        let lengthless = read(Switchover, Body::Unannounced, NOW).unwrap_err();
        assert_eq!(lengthless.code, 411);
    }

    #[test]
    fn what_is_well_formed_reaches_the_core_as_it_was_meant() {
        let at = Some(Wall(1_798_761_600_000_000));
        assert_eq!(
            taken(
                Change::Switchover,
                r#"{"leader":"a","candidate":null,"scheduled_at":"2027-01-01T00:00:00Z"}"#
            ),
            OperatorRequest::Switchover {
                leader: "a".into(),
                candidate: None,
                at
            }
        );
        assert_eq!(
            taken(Change::Failover, r#"{"leader":"a","candidate":"b"}"#),
            OperatorRequest::Switchover {
                leader: "a".into(),
                candidate: Some("b".into()),
                at: None
            }
        );
        assert_eq!(
            taken(
                Change::Reinitialize,
                r#"{"force":"true","from_leader":false}"#
            ),
            OperatorRequest::Reinitialize { force: true }
        );
        assert_eq!(taken(Change::Restart, ""), OperatorRequest::Restart);
        assert_eq!(
            taken(Change::PatchConfig, r#"{"pause":null}"#),
            OperatorRequest::PatchConfig {
                patch: r#"{"pause":null}"#.into()
            }
        );
    }
}
