//! A user's own configuration files as a cluster of the simulator: a file for each member, or one that three members
//! share. Reads what decides anything here (timings, policies, tags, modes, the fencer) and says what it makes of it.

use crate::scenario::lex;
use crate::shape::{ClusterShape, MemberShape};
use serde_json::{Map, Value};
use tanist_core::config::{Config, MissingMode};
use tanist_core::member::Tags;
use tanist_core::settings::FencerMode;
use tanist_core::time::Span;

/// What the files come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub shape: ClusterShape,
    /// Values that could not be used, and modes that this build does not have.
    pub complaints: Vec<String>,
    pub missing_modes: Vec<MissingMode>,
}

/// Names of the members that share one file.
const SHARED: [&str; 3] = ["a", "b", "c"];

/// `files`: path and text of each. What is wrong with them otherwise.
pub fn cluster_of(files: &[(String, String)]) -> Result<Own, String> {
    let mut roots = Vec::new();
    for (path, text) in files {
        let root: Value =
            serde_saphyr::from_str(text).map_err(|e| format!("{path}: not YAML: {e}"))?;
        match root {
            Value::Object(root) => roots.push((path.as_str(), root)),
            _ => return Err(format!("{path}: expected a mapping, as in patroni.yml")),
        }
    }
    let Some((path, first)) = roots.first() else {
        return Err("no configuration file was named".into());
    };
    let config = Config::read(&dynamic(first), false);
    let members = match &roots[..] {
        [(_, one)] => SHARED.map(|name| member(name, one)).to_vec(),
        several => named(several)?,
    };
    let mut shape = ClusterShape::of(&[]);
    shape.members = members;
    shape.configure(&config);
    shape.rewind.wal_log_hints = keeps_hints(first, &config);
    shape.archive = archives(&config);
    let own = mapping(first, "tanist");
    let wrong = |why| format!("{path}: {why}");
    shape.fencer = fencer(&own).map_err(wrong)?;
    shape.stop_budget = stop_budget(&own)
        .map_err(wrong)?
        .unwrap_or(shape.stop_budget);
    shape.clock_drift_ppm = drift(&own).map_err(wrong)?.unwrap_or(shape.clock_drift_ppm);
    Ok(Own {
        shape,
        complaints: config.complaints,
        missing_modes: config.missing_modes,
    })
}

/// The dynamic configuration as the cluster would be founded with, the member's own `postgresql` section over it.
fn dynamic(root: &Map<String, Value>) -> Map<String, Value> {
    let mut dcs = mapping(&mapping(root, "bootstrap"), "dcs");
    let mut postgresql = mapping(&dcs, "postgresql");
    for (key, value) in mapping(root, "postgresql") {
        if key != "parameters" {
            postgresql.insert(key, value);
        }
    }
    dcs.insert("postgresql".into(), Value::Object(postgresql));
    dcs
}

fn mapping(of: &Map<String, Value>, key: &str) -> Map<String, Value> {
    of.get(key)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn stop_budget(own: &Map<String, Value>) -> Result<Option<Span>, String> {
    let budget = match own.get("stop_budget") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(seconds)) => seconds.as_u64().filter(|s| *s < 3_600).map(Span::secs),
        Some(Value::String(text)) => lex::span(text),
        Some(_) => None,
    };
    match budget {
        Some(budget) => Ok(Some(budget)),
        None => Err("tanist.stop_budget: expected a length of time such as 2s".into()),
    }
}

fn drift(own: &Map<String, Value>) -> Result<Option<u32>, String> {
    let Some(value) = own.get("clock_drift_ppm") else {
        return Ok(None);
    };
    let ppm = value.as_u64().and_then(|ppm| u32::try_from(ppm).ok());
    match ppm.filter(|ppm| *ppm <= 100_000) {
        Some(ppm) => Ok(Some(ppm)),
        None => Err(format!(
            "tanist.clock_drift_ppm: expected a whole number up to 100000, found {value}"
        )),
    }
}

fn named(roots: &[(&str, Map<String, Value>)]) -> Result<Vec<MemberShape>, String> {
    let mut members: Vec<MemberShape> = Vec::new();
    for (path, root) in roots {
        let name = root.get("name").and_then(Value::as_str);
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(format!("{path}: a member's file has no `name`"));
        };
        if members.iter().any(|member| member.name.as_str() == name) {
            return Err(format!("{path}: two files have the name {name}"));
        }
        members.push(member(name, root));
    }
    Ok(members)
}

fn member(name: &str, root: &Map<String, Value>) -> MemberShape {
    let tags = Tags::read(&mapping(root, "tags"));
    let mut member = MemberShape::named(name);
    member.nofailover = tags.nofailover;
    member.failover_priority = (tags.failover_priority != 1).then_some(tags.failover_priority);
    member
}

/// Was the cluster made so that `pg_rewind` can be used at all?
fn keeps_hints(root: &Map<String, Value>, config: &Config) -> bool {
    let on = |text: &String| matches!(text.as_str(), "on" | "true" | "yes" | "1");
    let hinted = config.parameters.get("wal_log_hints").is_some_and(on);
    let initdb = mapping(root, "bootstrap").remove("initdb");
    hinted || initdb.is_some_and(|options| options.to_string().contains("data-checksums"))
}

fn archives(config: &Config) -> bool {
    let mode = config.parameters.get("archive_mode");
    mode.is_some_and(|mode| matches!(mode.as_str(), "on" | "always" | "true" | "yes" | "1"))
}

fn fencer(own: &Map<String, Value>) -> Result<FencerMode, String> {
    match own.get("fencer") {
        None | Some(Value::Null) => Ok(FencerMode::Required),
        Some(Value::Bool(false)) => Ok(FencerMode::Off),
        Some(Value::String(mode)) => match mode.to_ascii_lowercase().as_str() {
            "off" | "no" => Ok(FencerMode::Off),
            "auto" | "automatic" => Ok(FencerMode::Auto),
            "required" => Ok(FencerMode::Required),
            _ => Err(format!(
                "tanist.fencer: expected off, auto or required, found {mode:?}"
            )),
        },
        Some(other) => Err(format!(
            "tanist.fencer: expected off, auto or required, found {other}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
scope: demo
name: pg1
bootstrap:
  dcs:
    ttl: 40
    loop_wait: 5
    retry_timeout: 5
    maximum_lag_on_failover: 4096
    synchronous_mode: true
    postgresql:
      use_pg_rewind: false
      parameters: {wal_log_hints: 'on'}
postgresql:
  use_pg_rewind: true
tags: {nofailover: true}
";

    fn of(texts: &[&str]) -> Result<Own, String> {
        let files: Vec<(String, String)> = texts
            .iter()
            .map(|text| ("x.yml".to_string(), text.to_string()))
            .collect();
        cluster_of(&files)
    }

    #[test]
    fn a_file_becomes_a_cluster_of_three_with_its_settings() {
        let own = of(&[FILE]).unwrap();
        assert_eq!(own.shape.members.len(), 3);
        assert_eq!(own.shape.ttl, Span::secs(40));
        assert_eq!(own.shape.maximum_lag_on_failover, 4096);
        assert!(own.shape.rewind.use_pg_rewind && own.shape.rewind.wal_log_hints);
        assert!(own.shape.members[0].nofailover);
        assert_eq!(own.missing_modes, [MissingMode::Synchronous]);
    }

    #[test]
    fn several_files_are_a_member_each_and_what_is_wrong_is_named() {
        let other = FILE.replace("pg1", "pg2");
        let own = of(&[FILE, &other]).unwrap();
        let names: Vec<&str> = own.shape.members.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["pg1", "pg2"]);
        for (texts, hint) in [
            (&[FILE, FILE][..], "two files have the name pg1"),
            (&["- a\n- b"][..], "expected a mapping"),
            (&["a: [1"][..], "not YAML"),
            (
                &["tanist: {fencer: maybe}"][..],
                "expected off, auto or required",
            ),
        ] {
            let told = of(texts).unwrap_err();
            assert!(told.contains(hint), "{told}");
        }
    }
}
