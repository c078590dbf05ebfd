//! How a new cluster comes to be: `bootstrap:`. Its first dynamic configuration, initdb's options, its first pg_hba lines.

use super::node::{Body, Node};
use super::section::{Section, Unknown};
use serde_json::{Map, Value};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// `None`: this member never founds a cluster.
    pub dcs: Option<Map<String, Value>>,
    /// Options of initdb, each `--key` or `--key=value`.
    pub initdb: Vec<String>,
    /// Used when `postgresql.pg_hba` is not given.
    pub pg_hba: Vec<String>,
}

/// What initdb's options must not touch: the agent sets it, or it would leave no cluster to start.
const NOT_FOR_INITDB: &[&str] = &["pgdata", "nosync", "pwfile", "sync-only", "version"];

pub fn read(root: &Section<'_>) -> Bootstrap {
    let Some(section) = root.section("bootstrap") else {
        return Bootstrap::default();
    };
    let method = section.text("method");
    if let Some(method) = method.filter(|m| m != "initdb") {
        section.wrong(
            "method",
            format!("expected initdb, found `{method}`: custom bootstrap is not built"),
            "remove it, or write initdb",
        );
    }
    for key in ["post_bootstrap", "post_init"] {
        section.not_built(key, "no script runs after bootstrap");
    }
    section.not_built(
        "users",
        "Patroni itself removed it, since it created roles with passwords kept in this file; \
         create roles in SQL once the cluster runs",
    );
    let dcs = section.node("dcs").and_then(|node| match node.to_json() {
        Value::Object(map) => Some(map),
        _ => {
            section.wrong("dcs", "expected a mapping", "indent its settings below it");
            None
        }
    });
    if dcs.is_none() && !section.has("dcs") {
        section.missing(
            "dcs",
            "add the cluster's first dynamic configuration, or remove `bootstrap`",
        );
    }
    let bootstrap = Bootstrap {
        dcs,
        initdb: read_options(&section, "initdb", NOT_FOR_INITDB),
        pg_hba: section.lines("pg_hba").unwrap_or_default(),
    };
    section.finish(Unknown::Refuse);
    bootstrap
}

/// Options as Patroni writes them: a list of words and of one-pair mappings, or one mapping.
pub fn read_options<'a>(section: &Section<'a>, key: &str, refused: &[&str]) -> Vec<String> {
    let Some(node) = section.node(key) else {
        return Vec::new();
    };
    let mut pairs: Vec<(&Node, String, Option<String>)> = Vec::new();
    let mut collect = |node: &'a Node| match &node.body {
        Body::Map(entries) => {
            for entry in entries {
                let value = match &entry.value.body {
                    _ if entry.value.is_null() => None,
                    Body::Scalar(s) => Some(s.text.clone()),
                    Body::List(_) | Body::Map(_) => {
                        let what = format!("expected a single value for `{}`", entry.key);
                        let at = entry.value.origin.clone();
                        section.wrong_at(at, key, what, "write it on the same line");
                        continue;
                    }
                };
                pairs.push((&entry.value, entry.key.clone(), value));
            }
        }
        Body::Scalar(s) => pairs.push((node, s.text.clone(), None)),
        Body::List(_) => section.wrong(key, "expected an option, found a list", "write `- option`"),
    };
    match &node.body {
        Body::List(items) => items.iter().for_each(&mut collect),
        Body::Map(_) => collect(node),
        Body::Scalar(_) => {
            section.wrong(key, "expected a list of options", "write `- option` lines")
        }
    }
    let mut options = Vec::new();
    for (node, name, value) in pairs {
        let name = name.trim_start_matches('-');
        if refused.contains(&name.split('=').next().unwrap_or(name)) {
            let what = format!("option `{name}` is the agent's own to set");
            section.wrong_at(node.origin.clone(), key, what, "remove it");
            continue;
        }
        options.push(match value {
            None => format!("--{name}"),
            Some(value) => format!("--{name}={value}"),
        });
    }
    options
}
