//! Primitives and keys as etcd's JSON gateway writes them. Knows nothing of HTTP or of who asks.
//!
//! The gateway's habits: bytes are base64; 64-bit numbers are strings; what is false, zero or empty is
//! left out (a key with an empty value has no `value`, a refused transaction no `succeeded`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tanist_core::dcs::{Consistency, KeyValue, LeaseId, Revision, Snapshot};
use tanist_core::primitive::{Compare, Primitive, PrimitiveReply, StoreOp, Transaction};
use tanist_core::time::Span;

/// `/namespace/scope/`, with runs of slashes squeezed.
pub fn base_path(namespace: &str, scope: &str) -> String {
    let mut path = String::from("/");
    for part in namespace.split('/').chain(scope.split('/')) {
        if !part.is_empty() {
            path.push_str(part);
            path.push('/');
        }
    }
    path
}

/// Every answer's header: which cluster, and how new the answering member's knowledge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub cluster: u64,
    pub revision: Revision,
    pub term: u64,
}

pub fn header(answer: &Value) -> Option<Header> {
    let header = answer.get("header")?;
    Some(Header {
        cluster: unsigned(header, "cluster_id"),
        revision: Revision(number(header, "revision")),
        term: unsigned(header, "raft_term"),
    })
}

/// The path of a primitive below the gateway's prefix, and its body.
pub fn encode(call: &Primitive, base: &str) -> (&'static str, Value) {
    match call {
        Primitive::Grant { ttl } => (
            "/lease/grant",
            json!({"TTL": ttl.as_micros().div_ceil(1_000_000).to_string()}),
        ),
        Primitive::KeepAlive { lease } => ("/lease/keepalive", json!({"ID": lease.0.to_string()})),
        Primitive::ReadAll { consistency } => ("/kv/range", range_all(base, *consistency)),
        Primitive::Transaction(transaction) => ("/kv/txn", encode_transaction(transaction, base)),
    }
}

pub fn range_all(base: &str, consistency: Consistency) -> Value {
    let mut range = prefix(base);
    match consistency {
        Consistency::Linearizable => {}
        Consistency::Cached => {
            range.insert("serializable".to_string(), Value::Bool(true));
        }
    }
    Value::Object(range)
}

/// A watch of everything below `base`, from `start` on.
pub fn watch_all(base: &str, start: Revision) -> Value {
    let mut create = prefix(base);
    create.insert("start_revision".to_string(), json!(start.0.to_string()));
    create.insert("progress_notify".to_string(), Value::Bool(true));
    json!({"create_request": create})
}

/// `key` to the first key that does not begin with it. A base path ends in `/`, whose successor is `0`.
fn prefix(base: &str) -> Map<String, Value> {
    let mut end = base.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    let mut range = Map::new();
    range.insert("key".to_string(), json!(STANDARD.encode(base)));
    range.insert("range_end".to_string(), json!(STANDARD.encode(end)));
    range
}

fn encode_transaction(transaction: &Transaction, base: &str) -> Value {
    let ops = |ops: &[StoreOp]| ops.iter().map(|op| encode_op(op, base)).collect::<Vec<_>>();
    json!({
        "compare": transaction.compare.iter().map(|c| encode_compare(c, base)).collect::<Vec<_>>(),
        "success": ops(&transaction.success),
        "failure": ops(&transaction.failure),
    })
}

fn encode_compare(compare: &Compare, base: &str) -> Value {
    let at = |key: &str| STANDARD.encode(format!("{base}{key}"));
    match compare {
        Compare::Created { key, is } => {
            json!({"key": at(key), "target": "CREATE", "create_revision": is.0.to_string()})
        }
        Compare::Modified { key, is } => {
            json!({"key": at(key), "target": "MOD", "mod_revision": is.0.to_string()})
        }
        Compare::Value { key, is } => {
            json!({"key": at(key), "target": "VALUE", "value": STANDARD.encode(is)})
        }
        Compare::Lease { key, is } => {
            json!({"key": at(key), "target": "LEASE", "lease": is.0.to_string()})
        }
    }
}

fn encode_op(op: &StoreOp, base: &str) -> Value {
    let at = |key: &str| STANDARD.encode(format!("{base}{key}"));
    match op {
        StoreOp::Put { key, value, lease } => json!({"request_put": {
            "key": at(key), "value": STANDARD.encode(value), "lease": lease.0.to_string(),
        }}),
        StoreOp::Delete { key } => json!({"request_delete_range": {"key": at(key)}}),
        StoreOp::Get { key } => json!({"request_range": {"key": at(key)}}),
    }
}

/// The verdict in `answer`. An answer without what every answer has is no verdict.
pub fn decode(call: &Primitive, answer: &Value, base: &str) -> Result<PrimitiveReply, String> {
    match call {
        Primitive::Grant { .. } => {
            let (lease, ttl) = (number(answer, "ID"), seconds(answer));
            match (lease, ttl) {
                (1.., Some(ttl)) => Ok(PrimitiveReply::Granted {
                    lease: LeaseId(lease),
                    ttl,
                }),
                (_, _) => Err("etcd granted a lease without id or ttl".to_string()),
            }
        }
        // The stream's first message. A lease that does not exist is answered without a TTL.
        Primitive::KeepAlive { .. } => match answer.get("result") {
            Some(result) => Ok(PrimitiveReply::KeptAlive {
                ttl: seconds(result),
            }),
            None => Err("etcd's keep-alive has no result".to_string()),
        },
        Primitive::ReadAll { .. } => {
            let revision = header(answer)
                .ok_or("etcd's answer has no header")?
                .revision;
            Ok(PrimitiveReply::All(Snapshot {
                revision,
                keys: key_values(answer, base).collect(),
            }))
        }
        Primitive::Transaction(transaction) => decode_transaction(transaction, answer, base),
    }
}

fn decode_transaction(
    transaction: &Transaction,
    answer: &Value,
    base: &str,
) -> Result<PrimitiveReply, String> {
    let revision = header(answer)
        .ok_or("etcd's answer has no header")?
        .revision;
    let succeeded = answer.get("succeeded").and_then(Value::as_bool) == Some(true);
    let executed = if succeeded {
        &transaction.success
    } else {
        &transaction.failure
    };
    let nothing = Vec::new();
    let responses = answer
        .get("responses")
        .and_then(Value::as_array)
        .unwrap_or(&nothing);
    if responses.len() != executed.len() {
        return Err(format!(
            "etcd answered {} of {} operations",
            responses.len(),
            executed.len()
        ));
    }
    let mut got = BTreeMap::new();
    for (op, response) in executed.iter().zip(responses) {
        match op {
            StoreOp::Get { key } => {
                let range = response
                    .get("response_range")
                    .ok_or("etcd answered a read with something else")?;
                let found = key_values(range, base).next().map(|(_, kv)| kv);
                got.insert(key.clone(), found);
            }
            StoreOp::Put { .. } | StoreOp::Delete { .. } => {}
        }
    }
    Ok(PrimitiveReply::Transaction {
        succeeded,
        revision,
        got,
    })
}

fn key_values<'a>(
    answer: &'a Value,
    base: &'a str,
) -> impl Iterator<Item = (String, KeyValue)> + 'a {
    answer
        .get("kvs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(move |kv| key_value(kv, base))
}

/// `None` for a key that is not below `base`.
fn key_value(kv: &Value, base: &str) -> Option<(String, KeyValue)> {
    let key = text(kv, "key");
    Some((
        key.strip_prefix(base)?.to_string(),
        KeyValue {
            value: text(kv, "value"),
            created: Revision(number(kv, "create_revision")),
            modified: Revision(number(kv, "mod_revision")),
            lease: LeaseId(number(kv, "lease")),
        },
    ))
}

/// One change that a watch saw. `now` is `None` when the key was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    pub revision: Revision,
    pub now: Option<KeyValue>,
}

/// The changes in one message of a watch, in the order in which they happened.
pub fn changes(result: &Value, base: &str) -> Vec<Change> {
    let events = result.get("events").and_then(Value::as_array);
    let change = |event: &Value| {
        let (key, kv) = key_value(event.get("kv")?, base)?;
        let deleted = event.get("type").and_then(Value::as_str) == Some("DELETE");
        Some(Change {
            key,
            revision: kv.modified,
            now: if deleted { None } else { Some(kv) },
        })
    };
    events.into_iter().flatten().filter_map(change).collect()
}

fn seconds(answer: &Value) -> Option<Span> {
    match number(answer, "TTL") {
        ttl @ 1.. => Some(Span::secs(ttl.unsigned_abs())),
        _ => None,
    }
}

fn text(of: &Value, field: &str) -> String {
    let bytes = of
        .get(field)
        .and_then(Value::as_str)
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn number(of: &Value, field: &str) -> i64 {
    match of.get(field) {
        Some(Value::String(digits)) => digits.parse().unwrap_or(0),
        Some(Value::Number(number)) => number.as_i64().unwrap_or(0),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => 0,
    }
}

fn unsigned(of: &Value, field: &str) -> u64 {
    match of.get(field) {
        Some(Value::String(digits)) => digits.parse().unwrap_or(0),
        Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_have_single_slashes() {
        for (namespace, scope, path) in [
            ("service", "demo", "/service/demo/"),
            ("/service/", "demo", "/service/demo/"),
            ("//a//b/", "/c", "/a/b/c/"),
            ("", "demo", "/demo/"),
        ] {
            assert_eq!(base_path(namespace, scope), path);
        }
    }

    #[test]
    fn a_key_with_an_empty_value_is_present() {
        let answer = json!({"header": {"revision": "9"}, "kvs": [
            {"key": STANDARD.encode("/s/d/initialize"), "create_revision": "7", "mod_revision": "8"},
            {"key": STANDARD.encode("/s/other"), "mod_revision": "8"},
        ]});
        let call = Primitive::ReadAll {
            consistency: Consistency::Cached,
        };
        let Ok(PrimitiveReply::All(snapshot)) = decode(&call, &answer, "/s/d/") else {
            panic!("no snapshot in {answer}");
        };
        assert_eq!(snapshot.revision, Revision(9));
        assert_eq!(snapshot.keys.len(), 1);
        assert_eq!(snapshot.keys["initialize"].value, "");
        assert_eq!(snapshot.keys["initialize"].modified, Revision(8));
    }

    #[test]
    fn bytes_that_are_not_text_arrive_as_replacement_characters() {
        let kv =
            json!({"key": STANDARD.encode("/s/d/config"), "value": STANDARD.encode([b'a', 0xff])});
        let (_, found) = key_value(&kv, "/s/d/").expect("below the base");
        assert_eq!(found.value, "a\u{fffd}");
    }

    #[test]
    fn a_keep_alive_without_ttl_is_a_lease_that_does_not_exist() {
        let call = Primitive::KeepAlive { lease: LeaseId(9) };
        let gone = json!({"result": {"header": {"revision": "3"}, "ID": "9"}});
        let kept = json!({"result": {"header": {"revision": "3"}, "ID": "9", "TTL": "30"}});
        assert_eq!(
            decode(&call, &gone, "/"),
            Ok(PrimitiveReply::KeptAlive { ttl: None })
        );
        assert_eq!(
            decode(&call, &kept, "/"),
            Ok(PrimitiveReply::KeptAlive {
                ttl: Some(Span::secs(30))
            })
        );
    }

    #[test]
    fn a_part_of_a_second_is_asked_for_whole() {
        let (_, body) = encode(
            &Primitive::Grant {
                ttl: Span::millis(2_500),
            },
            "/",
        );
        assert_eq!(body, json!({"TTL": "3"}));
    }
}
