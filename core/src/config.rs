//! The cluster-wide (dynamic) configuration under the `config` key: what it says, which of its values
//! are used, and which of its modes this build does not have.
//! Knows nothing of local files; a missing or unreadable value never turns a mode off.

use crate::time::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Patroni's floors (4.1.5): below them its own agents clamp.
const TTL_MIN: Span = Span::secs(20);
const LOOP_WAIT_MIN: Span = Span::secs(1);
const RETRY_TIMEOUT_MIN: Span = Span::secs(3);

/// The timings of the cluster, as used: `loop_wait + 2 x retry_timeout <= ttl` always holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    pub ttl: Span,
    pub loop_wait: Span,
    pub retry_timeout: Span,
}

impl Timing {
    /// Below Patroni's floors: in force only under Tanist's own key, where the host's file allows it.
    pub fn is_fast(&self) -> bool {
        self.ttl < TTL_MIN
            || self.loop_wait < LOOP_WAIT_MIN
            || self.retry_timeout < RETRY_TIMEOUT_MIN
    }
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            ttl: Span::secs(30),
            loop_wait: Span::secs(10),
            retry_timeout: Span::secs(10),
        }
    }
}

/// How a complaint begins about timings that make sense one by one.
const FIT_RULE: &str = "loop_wait + 2 x retry_timeout must fit in ttl";

/// Values of a configuration that no reader could use, each with its key and what was expected.
pub fn senseless(stored: &Map<String, Value>) -> Vec<String> {
    let told = Config::read(stored, false).complaints.into_iter();
    let senseless = told.filter(|complaint| !complaint.starts_with(FIT_RULE));
    // What is used instead is of no interest where the value is refused.
    senseless
        .map(|complaint| {
            let end = complaint.rfind("; ").unwrap_or(complaint.len());
            complaint[..end].to_string()
        })
        .collect()
}

/// A mode that the configuration asks for and this build does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MissingMode {
    Synchronous,
    Failsafe,
    StandbyCluster,
    PermanentSlots,
}

impl std::fmt::Display for MissingMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MissingMode::Synchronous => "synchronous_mode",
            MissingMode::Failsafe => "failsafe_mode",
            MissingMode::StandbyCluster => "standby_cluster",
            MissingMode::PermanentSlots => "slots (permanent)",
        })
    }
}

/// The dynamic configuration, interpreted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// As stored, unknown fields included: what is written back when the key vanishes.
    pub stored: Map<String, Value>,
    pub timing: Timing,
    pub maximum_lag_on_failover: u64,
    pub check_timeline: bool,
    /// How long a crashed primary may take to come back before it hands over. Zero: at once.
    pub primary_start_timeout: Span,
    pub primary_stop_timeout: Option<Span>,
    pub member_slots_ttl: Span,
    pub max_timelines_history: u64,
    pub paused: bool,
    pub use_pg_rewind: bool,
    pub use_slots: bool,
    pub remove_on_rewind_failure: bool,
    pub remove_on_diverged_timelines: bool,
    /// `postgresql.parameters` as text.
    pub parameters: BTreeMap<String, String>,
    pub missing_modes: Vec<MissingMode>,
    /// Values that could not be used, each with what is used instead.
    pub complaints: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config::read(&Map::new(), false)
    }
}

impl Config {
    /// Interprets a stored configuration. `fast`: timings below Patroni's floors are accepted from the
    /// `tanist` section (only ever set while every member is a Tanist).
    pub fn read(stored: &Map<String, Value>, fast: bool) -> Config {
        let mut complaints = Vec::new();
        let timing = read_timing(stored, fast, &mut complaints);
        let postgresql = match stored.get("postgresql") {
            Some(Value::Object(m)) => m.clone(),
            None | Some(Value::Null) => Map::new(),
            Some(other) => {
                complaints.push(format!(
                    "postgresql: expected a mapping, found {other}; ignored"
                ));
                Map::new()
            }
        };
        let mut c = Complaining {
            complaints: &mut complaints,
        };
        // The `master_` names are Patroni's older ones, still accepted.
        let start = c.span(stored, "master_start_timeout", Span::secs(300));
        let start = c.span(stored, "primary_start_timeout", start);
        let stop = c.span(stored, "master_stop_timeout", Span::ZERO);
        let stop = c.span(stored, "primary_stop_timeout", stop);
        Config {
            stored: stored.clone(),
            timing,
            maximum_lag_on_failover: c.number(stored, "maximum_lag_on_failover", 1_048_576),
            check_timeline: c.boolean(stored, "check_timeline", true),
            primary_start_timeout: start,
            primary_stop_timeout: (stop > Span::ZERO).then_some(stop),
            member_slots_ttl: c.span(stored, "member_slots_ttl", Span::secs(1_800)),
            max_timelines_history: c.number(stored, "max_timelines_history", 0),
            paused: c.boolean(stored, "pause", false),
            use_pg_rewind: c.boolean(&postgresql, "use_pg_rewind", false),
            use_slots: c.boolean(&postgresql, "use_slots", true),
            remove_on_rewind_failure: c.boolean(
                &postgresql,
                "remove_data_directory_on_rewind_failure",
                false,
            ),
            remove_on_diverged_timelines: c.boolean(
                &postgresql,
                "remove_data_directory_on_diverged_timelines",
                false,
            ),
            parameters: c.texts(&postgresql, "parameters"),
            missing_modes: missing_modes(stored),
            complaints,
        }
    }
}

/// Reads typed values and says which could not be used.
struct Complaining<'a> {
    complaints: &'a mut Vec<String>,
}

impl Complaining<'_> {
    fn complain(&mut self, key: &str, expected: &str, found: &Value, used: String) {
        self.complaints.push(format!(
            "{key}: expected {expected}, found {found}; using {used}"
        ));
    }

    fn number(&mut self, from: &Map<String, Value>, key: &str, default: u64) -> u64 {
        match from.get(key) {
            None | Some(Value::Null) => default,
            Some(v) => as_u64(v).unwrap_or_else(|| {
                self.complain(key, "a whole number", v, default.to_string());
                default
            }),
        }
    }

    fn span(&mut self, from: &Map<String, Value>, key: &str, default: Span) -> Span {
        match from.get(key) {
            None | Some(Value::Null) => default,
            Some(v) => as_span(v).unwrap_or_else(|| {
                self.complain(key, "seconds", v, default.to_string());
                default
            }),
        }
    }

    fn boolean(&mut self, from: &Map<String, Value>, key: &str, default: bool) -> bool {
        match from.get(key) {
            None | Some(Value::Null) => default,
            Some(v) => as_bool(v).unwrap_or_else(|| {
                self.complain(key, "true or false", v, default.to_string());
                default
            }),
        }
    }

    fn texts(&mut self, from: &Map<String, Value>, key: &str) -> BTreeMap<String, String> {
        match from.get(key) {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Object(m)) => m
                .iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k.clone(), as_text(v)))
                .collect(),
            Some(other) => {
                self.complain(key, "a mapping", other, "none".into());
                BTreeMap::new()
            }
        }
    }
}

fn as_u64(v: &Value) -> Option<u64> {
    match v {
        Value::Number(n) => n.as_u64(),
        Value::String(s) => s.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Seconds as a number, or as text with PostgreSQL's units (`10s`, `1min`, `500ms`).
pub fn as_span(v: &Value) -> Option<Span> {
    match v {
        Value::Number(n) => n
            .as_u64()
            .map(Span::secs)
            .or_else(|| span_text(&n.to_string())),
        Value::String(s) => span_text(s.trim()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn span_text(text: &str) -> Option<Span> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let micros_per_unit: u64 = match unit.trim() {
        "" | "s" => 1_000_000,
        "us" => 1,
        "ms" => 1_000,
        "min" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut micros = whole.parse::<u64>().ok()?.checked_mul(micros_per_unit)?;
    let mut weight = micros_per_unit;
    for digit in fraction.chars() {
        weight /= 10;
        micros = micros.checked_add(u64::from(digit.to_digit(10)?).checked_mul(weight)?)?;
    }
    Some(Span::micros(micros))
}

/// A number of bytes as text, with PostgreSQL's memory units (`1048576`, `10MB`, `1.5kB`).
pub fn as_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let bytes_per_unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut bytes = whole.parse::<u64>().ok()?.checked_mul(bytes_per_unit)?;
    // Six digits tell more than a byte's worth of anything up to a megabyte.
    let fraction = fraction.get(..fraction.len().min(6))?;
    if !fraction.is_empty() {
        let part = fraction.parse::<u64>().ok()?;
        bytes = bytes
            .checked_add(part.checked_mul(bytes_per_unit)? / 10u64.pow(fraction.len() as u32))?;
    }
    Some(bytes)
}

/// Patroni's and PostgreSQL's spellings of a boolean.
pub fn as_bool(v: &Value) -> Option<bool> {
    match v {
        Value::Bool(b) => Some(*b),
        Value::Number(n) => match n.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            Some(_) | None => None,
        },
        Value::String(s) => match s.to_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Some(true),
            "off" | "false" | "no" | "0" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A parameter's value as PostgreSQL wants to read it.
pub fn as_text(v: &Value) -> String {
    match v {
        Value::String(s) => s.clone(),
        Value::Bool(true) => "on".into(),
        Value::Bool(false) => "off".into(),
        Value::Null => String::new(),
        other @ (Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

fn read_timing(stored: &Map<String, Value>, fast: bool, complaints: &mut Vec<String>) -> Timing {
    let defaults = Timing::default();
    let mut c = Complaining { complaints };
    let mut timing = Timing {
        ttl: c.span(stored, "ttl", defaults.ttl).max(TTL_MIN),
        loop_wait: c
            .span(stored, "loop_wait", defaults.loop_wait)
            .max(LOOP_WAIT_MIN),
        retry_timeout: c
            .span(stored, "retry_timeout", defaults.retry_timeout)
            .max(RETRY_TIMEOUT_MIN),
    };
    if let (true, Some(Value::Object(own))) = (fast, stored.get("tanist")) {
        // Below these the store's own minimum lease and the stop budget leave no room for a renewal.
        timing.ttl = c.span(own, "ttl", timing.ttl).max(Span::secs(4));
        timing.loop_wait = c
            .span(own, "loop_wait", timing.loop_wait)
            .max(Span::millis(200));
        timing.retry_timeout = c
            .span(own, "retry_timeout", timing.retry_timeout)
            .max(Span::millis(500));
    }
    fit(timing, complaints)
}

/// Patroni's repair of `loop_wait + 2 x retry_timeout > ttl`: shorten loop_wait first, then retry_timeout.
fn fit(timing: Timing, complaints: &mut Vec<String>) -> Timing {
    let Timing {
        ttl,
        loop_wait,
        retry_timeout,
    } = timing;
    if loop_wait + retry_timeout.times(2) <= ttl {
        return timing;
    }
    let shortest = LOOP_WAIT_MIN.min(loop_wait);
    let fitted = if shortest + retry_timeout.times(2) > ttl {
        Timing {
            ttl,
            loop_wait: shortest,
            retry_timeout: ttl.saturating_sub(shortest).divided_by(2),
        }
    } else {
        Timing {
            ttl,
            loop_wait: ttl.saturating_sub(retry_timeout.times(2)),
            retry_timeout,
        }
    };
    complaints.push(format!(
        "{FIT_RULE} {ttl}: using loop_wait {} and retry_timeout {}",
        fitted.loop_wait, fitted.retry_timeout
    ));
    fitted
}

/// The modes that `stored` asks for and this build does not have.
pub fn missing_modes(stored: &Map<String, Value>) -> Vec<MissingMode> {
    // Anything but a clear "off" counts as asked for: an unreadable value never turns a mode off.
    let asked = |key: &str| match stored.get(key) {
        None | Some(Value::Null) => false,
        Some(v) => as_bool(v) != Some(false),
    };
    let filled = |key: &str| match stored.get(key) {
        None | Some(Value::Null) => false,
        Some(Value::Object(m)) => m.values().any(|v| !v.is_null()),
        Some(_) => true,
    };
    let mut modes = Vec::new();
    if asked("synchronous_mode") {
        modes.push(MissingMode::Synchronous);
    }
    if asked("failsafe_mode") {
        modes.push(MissingMode::Failsafe);
    }
    if filled("standby_cluster") {
        modes.push(MissingMode::StandbyCluster);
    }
    if ["slots", "permanent_slots", "permanent_replication_slots"]
        .iter()
        .any(|key| filled(key))
    {
        modes.push(MissingMode::PermanentSlots);
    }
    modes
}

/// Applies a PATCH: objects merge, `null` deletes, everything else replaces. Unknown keys survive.
pub fn patch(target: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (key, change) in changes {
        match (target.get_mut(key), change) {
            (_, Value::Null) => {
                target.remove(key);
            }
            (Some(Value::Object(inner)), Value::Object(changes)) => patch(inner, changes),
            (_, change) => {
                target.insert(key.clone(), without_nulls(change));
            }
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(m) => Value::Object(
            m.iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k.clone(), without_nulls(v)))
                .collect(),
        ),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)) => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, fast: bool) -> Config {
        Config::read(&serde_json::from_str(json).unwrap(), fast)
    }

    #[test]
    fn values_that_nobody_can_use_are_named_and_timings_that_only_do_not_fit_are_not() {
        let of = |text: &str| senseless(&serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"ttl": 5, "loop_wait": 10, "unknown": []}"#), [""; 0]);
        assert_eq!(
            of(r#"{"ttl": "soon", "postgresql": "none"}"#),
            [
                r#"ttl: expected seconds, found "soon""#,
                r#"postgresql: expected a mapping, found "none""#
            ]
        );
    }

    #[test]
    fn timings_are_fitted_as_patroni_fits_them() {
        let cases = [
            (r#"{"ttl":20,"loop_wait":5,"retry_timeout":5}"#, (20, 5, 5)),
            (
                r#"{"ttl":20,"loop_wait":10,"retry_timeout":10}"#,
                (20, 1, 9),
            ),
            (
                r#"{"ttl":30,"loop_wait":15,"retry_timeout":10}"#,
                (30, 10, 10),
            ),
            (r#"{"ttl":1,"loop_wait":0,"retry_timeout":1}"#, (20, 1, 3)),
            (r#"{"ttl":"1min"}"#, (60, 10, 10)),
        ];
        for (json, (ttl, loop_wait, retry)) in cases {
            let t = read(json, false).timing;
            let seconds = (
                t.ttl.as_secs(),
                t.loop_wait.as_secs(),
                t.retry_timeout.as_secs(),
            );
            assert_eq!(seconds, (ttl, loop_wait, retry), "{json}");
        }
    }

    #[test]
    fn fast_timing_counts_only_under_our_own_key_and_only_when_allowed() {
        let json = r#"{"ttl":30,"tanist":{"ttl":6,"loop_wait":1,"retry_timeout":1}}"#;
        assert_eq!(read(json, false).timing.ttl, Span::secs(30));
        assert_eq!(read(json, true).timing.ttl, Span::secs(6));
    }

    #[test]
    fn an_unreadable_mode_counts_as_asked_for() {
        assert_eq!(
            read(r#"{"synchronous_mode":"quorum"}"#, false).missing_modes,
            [MissingMode::Synchronous]
        );
        assert_eq!(
            read(
                r#"{"synchronous_mode":false,"standby_cluster":{"host":null}}"#,
                false
            )
            .missing_modes,
            []
        );
        assert_eq!(
            read(r#"{"failsafe_mode":[]}"#, false).missing_modes,
            [MissingMode::Failsafe]
        );
    }

    #[test]
    fn a_patch_merges_deletes_and_keeps_what_it_does_not_know() {
        let mut target = serde_json::from_str(r#"{"a":{"b":1,"c":2},"x":"kept"}"#).unwrap();
        patch(
            &mut target,
            &serde_json::from_str(r#"{"a":{"b":null,"d":{"e":null,"f":3}},"pause":true}"#).unwrap(),
        );
        assert_eq!(
            Value::Object(target).to_string(),
            r#"{"a":{"c":2,"d":{"f":3}},"pause":true,"x":"kept"}"#
        );
    }

    #[test]
    fn spans_read_patronis_and_postgresqls_forms() {
        for (text, micros) in [
            ("10", 10_000_000),
            ("500ms", 500_000),
            ("1.5", 1_500_000),
            ("2min", 120_000_000),
        ] {
            assert_eq!(
                as_span(&Value::String(text.into())),
                Some(Span::micros(micros)),
                "{text}"
            );
        }
        assert_eq!(as_span(&Value::String("soon".into())), None);
    }
}
