//! The configuration of one member of a testbed: the YAML that an administrator would write, for Tanist
//! and for Patroni alike.

use super::sql::{Access, SUPERUSER, SUPERUSER_PASSWORD};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

/// The cluster's name in every testbed.
pub const SCOPE: &str = "testbed";

/// How fast the cluster notices and acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// ttl 6, loop_wait 1, retry_timeout 1: Tanist's own key.
    Fast,
    /// ttl 20, loop_wait 1, retry_timeout 3: the shortest that Patroni takes.
    Floor,
    /// ttl 30, loop_wait 10, retry_timeout 10.
    Default,
}

impl Pace {
    /// Seconds: ttl, loop_wait, retry_timeout.
    pub fn timings(self) -> (u64, u64, u64) {
        match self {
            Pace::Fast => (6, 1, 1),
            Pace::Floor => (20, 1, 3),
            Pace::Default => (30, 10, 10),
        }
    }

    pub fn ttl(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.timings().0)
    }
}

/// Whose agent runs on the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    Tanist,
    Patroni,
}

pub struct Member<'a> {
    pub make: Make,
    pub name: &'a str,
    pub pace: Pace,
    pub store: SocketAddr,
    pub rest: SocketAddr,
    pub postgres: Access,
    pub home: &'a Path,
    pub data_dir: &'a Path,
    /// Patches of the whole file, for tests that need a tag or a setting of their own.
    pub patch: &'a Value,
}

/// The file's text. JSON is YAML, and needs no rules of its own about quotes.
pub fn render(member: &Member<'_>) -> String {
    let mut file = json!({
        "scope": SCOPE,
        "name": member.name,
        "restapi": {
            "listen": member.rest.to_string(),
            "connect_address": member.rest.to_string(),
        },
        "etcd3": {"hosts": [member.store.to_string()]},
        "bootstrap": {
            "dcs": dynamic(member.pace),
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
        },
        "postgresql": {
            "listen": member.postgres.address().to_string(),
            "connect_address": member.postgres.address().to_string(),
            "data_dir": member.data_dir,
            "bin_dir": "/usr/lib/postgresql/15/bin",
            "pgpass": member.home.join("pgpass"),
            "authentication": {
                "superuser": {"username": SUPERUSER, "password": SUPERUSER_PASSWORD},
                "replication": {"username": "replicator", "password": "replication-secret"},
                "rewind": {"username": "rewinder", "password": "rewind-secret"},
            },
            "pg_hba": [
                "local all all trust",
                "host replication replicator all scram-sha-256",
                "host all all all scram-sha-256",
            ],
            "parameters": {"unix_socket_directories": member.home},
        },
    });
    if member.make == Make::Tanist {
        file["tanist"] = json!({"fencer": "required", "fast_timing": member.pace == Pace::Fast});
    }
    merge(&mut file, member.patch);
    format!("{file:#}\n")
}

/// `bootstrap.dcs`.
fn dynamic(pace: Pace) -> Value {
    let (ttl, loop_wait, retry_timeout) = pace.timings();
    let mut dynamic = json!({
        "maximum_lag_on_failover": 1_048_576,
        "postgresql": {
            "use_pg_rewind": true,
            "use_slots": true,
            "parameters": {"max_connections": 200, "wal_keep_size": "128MB"},
        },
    });
    let timings = json!({"ttl": ttl, "loop_wait": loop_wait, "retry_timeout": retry_timeout});
    match pace {
        Pace::Fast => dynamic["tanist"] = timings,
        Pace::Floor | Pace::Default => merge(&mut dynamic, &timings),
    }
    dynamic
}

/// Objects are merged, everything else is replaced.
pub fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every testbed rests on it: what is generated is what the agent accepts, without a warning.
    #[test]
    fn the_agent_accepts_what_is_generated() {
        for pace in [Pace::Fast, Pace::Floor, Pace::Default] {
            let postgres = Access {
                host: "127.0.0.1".parse().unwrap(),
                port: 5432,
            };
            let text = render(&Member {
                make: Make::Tanist,
                name: "a",
                pace,
                store: "127.0.0.1:2379".parse().unwrap(),
                rest: "127.0.0.1:8008".parse().unwrap(),
                postgres,
                home: Path::new("/tmp/t/a"),
                data_dir: Path::new("/tmp/t/a/data"),
                patch: &json!({}),
            });
            let env = [("TANIST_CONFIGURATION".to_string(), text)].into();
            let local = crate::settings::load(None, &env).unwrap();
            assert_eq!(local.warnings, []);
            assert_eq!(local.settings.safety.fast_timing, pace == Pace::Fast);
        }
    }
}
