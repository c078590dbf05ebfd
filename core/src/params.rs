//! The PostgreSQL parameters that Tanist controls, and what they should be on this member.
//! A standby is never started with less than its control file demands. Knows nothing of files.

use crate::config::Config;
use crate::postgres::ControlData;
use crate::settings::LocalPostgres;
use std::collections::BTreeMap;

/// Controlled parameters with Patroni's defaults: they can be set cluster-wide only.
const CONTROLLED: [(&str, &str); 10] = [
    ("hot_standby", "on"),
    ("max_connections", "100"),
    ("max_locks_per_transaction", "64"),
    ("max_prepared_transactions", "0"),
    ("max_replication_slots", "10"),
    ("max_wal_senders", "10"),
    ("max_worker_processes", "8"),
    ("track_commit_timestamp", "off"),
    ("wal_keep_size", "128MB"),
    ("wal_level", "replica"),
];

/// What Tanist sets where nobody else does. PostgreSQL's own 5 s between two attempts of a standby to stream is what a
/// failover or a switchover would wait for: it only asks for WAL more often while its upstream is away.
const UNLESS_SET: [(&str, &str); 1] = [("wal_retrieve_retry_interval", "500ms")];

/// Always so, whatever anybody configures.
const FIXED: [(&str, &str); 1] = [("wal_log_hints", "on")];

/// Set by the shell from the member's own addresses; ignored in any configuration.
const OWNED_BY_SHELL: [&str; 3] = ["listen_addresses", "port", "cluster_name"];

/// Is this parameter the cluster's alone, and read by the core?
pub fn is_controlled(name: &str) -> bool {
    CONTROLLED.iter().any(|(controlled, _)| *controlled == name)
}

/// The parameters this member shall run with: controlled defaults, then the cluster's, then the member's own.
pub fn desired(
    config: &Config,
    local: &LocalPostgres,
    standby_of: Option<&ControlData>,
) -> BTreeMap<String, String> {
    let mut wanted: BTreeMap<String, String> = CONTROLLED
        .iter()
        .chain(&UNLESS_SET)
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    for (name, value) in &config.parameters {
        let usable = match name.as_str() {
            // Replication needs at least `replica`, and a standby that serves reads needs hot_standby.
            "wal_level" => matches!(value.as_str(), "replica" | "logical"),
            "hot_standby" => value == "on",
            _ => true,
        };
        if usable {
            wanted.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in &local.parameters {
        if !is_controlled(name) {
            wanted.insert(name.clone(), value.clone());
        }
    }
    for name in OWNED_BY_SHELL {
        wanted.remove(name);
    }
    for (name, value) in FIXED {
        wanted.insert(name.into(), value.into());
    }
    for (name, least) in standby_of.iter().flat_map(|c| &c.standby_minimums) {
        let enough = wanted
            .get(name)
            .and_then(|v| v.parse::<u64>().ok())
            .is_some_and(|v| v >= *least);
        if !enough {
            wanted.insert(name.clone(), least.to_string());
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;
    use crate::postgres::{DbState, SystemId};
    use crate::timeline::TimelineId;

    #[test]
    fn a_standby_never_starts_below_its_control_file() {
        let control = ControlData {
            system_id: SystemId("1".into()),
            state: DbState::ShutDownInRecovery,
            checkpoint: Lsn(1),
            timeline: TimelineId(1),
            min_recovery_end: Lsn(1),
            min_recovery_timeline: TimelineId(1),
            wal_log_hints: true,
            data_checksums: false,
            standby_minimums: [("max_connections".to_string(), 300)].into(),
        };
        let stored =
            serde_json::from_str(r#"{"postgresql":{"parameters":{"max_connections":200}}}"#)
                .unwrap();
        let config = Config::read(&stored, false);
        let local = LocalPostgres::default();
        assert_eq!(desired(&config, &local, None)["max_connections"], "200");
        assert_eq!(
            desired(&config, &local, Some(&control))["max_connections"],
            "300"
        );
    }

    #[test]
    fn controlled_parameters_are_the_clusters_and_the_rest_the_members() {
        let stored = serde_json::from_str(
            r#"{"postgresql":{"parameters":{"wal_level":"minimal","work_mem":"8MB"}}}"#,
        );
        let config = Config::read(&stored.unwrap(), false);
        let parameters = [("work_mem", "1MB"), ("max_wal_senders", "1"), ("port", "1")];
        let parameters = parameters
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .into();
        let wanted = desired(
            &config,
            &LocalPostgres {
                parameters,
                ..LocalPostgres::default()
            },
            None,
        );
        assert_eq!(
            (
                wanted["work_mem"].as_str(),
                wanted["max_wal_senders"].as_str()
            ),
            ("1MB", "10")
        );
        assert_eq!(wanted["wal_level"], "replica");
        assert!(!wanted.contains_key("port"));
    }
}
