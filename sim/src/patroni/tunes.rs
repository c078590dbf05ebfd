//! The dynamic configuration as Patroni reads it from the `config` key (3.1, 3.3): its own defaults, bounds and clamps, and
//! the parameters that PostgreSQL is started with (3.6). Knows nothing of local files.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tanist_core::postgres::ControlData;
use tanist_core::time::Span;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunes {
    pub ttl: Span,
    pub loop_wait: Span,
    pub retry_timeout: Span,
    pub maximum_lag_on_failover: u64,
    pub check_timeline: bool,
    pub primary_start_timeout: Span,
    pub member_slots_ttl: Span,
    pub paused: bool,
    pub use_pg_rewind: bool,
    pub remove_on_rewind_failure: bool,
    pub remove_on_diverged_timelines: bool,
    pub parameters: BTreeMap<String, String>,
}

impl Default for Tunes {
    fn default() -> Tunes {
        Tunes::read(&Map::new())
    }
}

/// Shared-memory settings with Patroni's defaults: a standby must have as much as its primary had.
const CONTROLLED: [(&str, u64); 5] = [
    ("max_connections", 100),
    ("max_worker_processes", 8),
    ("max_wal_senders", 10),
    ("max_prepared_transactions", 0),
    ("max_locks_per_transaction", 64),
];

fn switch(of: &Map<String, Value>, key: &str) -> bool {
    match of.get(key) {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(text)) => {
            ["on", "true", "yes", "1"].contains(&text.to_lowercase().as_str())
        }
        Some(Value::Number(n)) => n.as_i64() == Some(1),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
    }
}

fn number(of: &Map<String, Value>, key: &str, usual: u64) -> u64 {
    match of.get(key) {
        Some(Value::Number(n)) => n.as_u64().unwrap_or(usual),
        Some(Value::String(text)) => text.trim().parse().unwrap_or(usual),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => usual,
    }
}

impl Tunes {
    pub fn read(config: &Map<String, Value>) -> Tunes {
        let (ttl, loop_wait, retry) = fitting(
            number(config, "ttl", 30),
            number(config, "loop_wait", 10),
            number(config, "retry_timeout", 10),
        );
        let empty = Map::new();
        let postgresql = config.get("postgresql").and_then(Value::as_object);
        let postgresql = postgresql.unwrap_or(&empty);
        let parameters = postgresql.get("parameters").and_then(Value::as_object);
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let start = number(config, "master_start_timeout", 300);
        Tunes {
            ttl: Span::secs(ttl),
            loop_wait: Span::secs(loop_wait),
            retry_timeout: Span::secs(retry),
            maximum_lag_on_failover: number(config, "maximum_lag_on_failover", 1_048_576),
            check_timeline: switch(config, "check_timeline"),
            primary_start_timeout: Span::secs(number(config, "primary_start_timeout", start)),
            member_slots_ttl: Span::secs(number(config, "member_slots_ttl", 1_800)),
            paused: switch(config, "pause"),
            use_pg_rewind: switch(postgresql, "use_pg_rewind"),
            remove_on_rewind_failure: switch(postgresql, "remove_data_directory_on_rewind_failure"),
            remove_on_diverged_timelines: switch(
                postgresql,
                "remove_data_directory_on_diverged_timelines",
            ),
            parameters: parameters
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
        }
    }

    /// What a server is started with; `standby_of`: it must have as much as its control file demands.
    pub fn parameters(&self, standby_of: Option<&ControlData>) -> BTreeMap<String, String> {
        let mut wanted: BTreeMap<String, String> = CONTROLLED
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        wanted.extend(self.parameters.clone());
        for (name, least) in standby_of.iter().flat_map(|c| &c.standby_minimums) {
            let has = wanted.get(name).and_then(|v| v.parse::<u64>().ok());
            if has.is_none_or(|has| has < *least) {
                wanted.insert(name.clone(), least.to_string());
            }
        }
        wanted
    }
}

/// `loop_wait + 2 x retry_timeout` fits in `ttl`: first the loop gives way, then the retries.
fn fitting(ttl: u64, loop_wait: u64, retry: u64) -> (u64, u64, u64) {
    let (ttl, loop_wait, retry) = (ttl.max(20), loop_wait.max(1), retry.max(3));
    if 1 + 2 * retry > ttl {
        return (ttl, 1, (ttl - 1) / 2);
    }
    (ttl, loop_wait.min(ttl - 2 * retry), retry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_that_do_not_fit_are_clamped_as_patroni_clamps_them() {
        assert_eq!(fitting(30, 10, 10), (30, 10, 10));
        assert_eq!(fitting(20, 10, 8), (20, 4, 8));
        assert_eq!(fitting(20, 10, 30), (20, 1, 9));
        assert_eq!(fitting(5, 0, 1), (20, 1, 3));
    }
}
