//! Which environment variables patch which settings. Patroni's names with the prefix `PATRONI_` are
//! accepted; the same names with `TANIST_` win over them, and Tanist's own settings have only the latter.
//! Knows nothing of what the values mean; an empty variable is not set.

use super::node::{Body, Entry, Node, Origin};
use super::problem::{Findings, Problem};
use super::yaml;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a variable's text becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Word,
    /// A YAML list, or words with commas between.
    List,
}

/// Patroni's variables, without prefix, and the setting each patches.
const PATRONI: &[(&str, &str, Shape)] = &[
    ("NAME", "name", Shape::Word),
    ("NAMESPACE", "namespace", Shape::Word),
    ("SCOPE", "scope", Shape::Word),
    ("THREAD_POOL_SIZE", "thread_pool_size", Shape::Word),
    ("THREAD_STACK_SIZE", "thread_stack_size", Shape::Word),
    ("LOGLEVEL", "log.level", Shape::Word),
    ("LOGFORMAT", "log.format", Shape::Word),
    ("LOG_DATEFMT", "log.dateformat", Shape::Word),
    ("LOG_TYPE", "log.type", Shape::Word),
    ("LOG_LEVEL", "log.level", Shape::Word),
    ("LOG_TRACEBACK_LEVEL", "log.traceback_level", Shape::Word),
    ("LOG_FORMAT", "log.format", Shape::Word),
    ("LOG_DATEFORMAT", "log.dateformat", Shape::Word),
    ("LOG_STATIC_FIELDS", "log.static_fields", Shape::Word),
    ("LOG_MAX_QUEUE_SIZE", "log.max_queue_size", Shape::Word),
    ("LOG_DIR", "log.dir", Shape::Word),
    ("LOG_MODE", "log.mode", Shape::Word),
    ("LOG_FILE_SIZE", "log.file_size", Shape::Word),
    ("LOG_FILE_NUM", "log.file_num", Shape::Word),
    ("LOG_LOGGERS", "log.loggers", Shape::Word),
    (
        "LOG_DEDUPLICATE_HEARTBEAT_LOGS",
        "log.deduplicate_heartbeat_logs",
        Shape::Word,
    ),
    ("RESTAPI_LISTEN", "restapi.listen", Shape::Word),
    (
        "RESTAPI_CONNECT_ADDRESS",
        "restapi.connect_address",
        Shape::Word,
    ),
    ("RESTAPI_CERTFILE", "restapi.certfile", Shape::Word),
    ("RESTAPI_KEYFILE", "restapi.keyfile", Shape::Word),
    (
        "RESTAPI_KEYFILE_PASSWORD",
        "restapi.keyfile_password",
        Shape::Word,
    ),
    ("RESTAPI_CAFILE", "restapi.cafile", Shape::Word),
    ("RESTAPI_CIPHERS", "restapi.ciphers", Shape::Word),
    (
        "RESTAPI_VERIFY_CLIENT",
        "restapi.verify_client",
        Shape::Word,
    ),
    (
        "RESTAPI_HTTP_EXTRA_HEADERS",
        "restapi.http_extra_headers",
        Shape::Word,
    ),
    (
        "RESTAPI_HTTPS_EXTRA_HEADERS",
        "restapi.https_extra_headers",
        Shape::Word,
    ),
    ("RESTAPI_ALLOWLIST", "restapi.allowlist", Shape::List),
    (
        "RESTAPI_ALLOWLIST_INCLUDE_MEMBERS",
        "restapi.allowlist_include_members",
        Shape::Word,
    ),
    (
        "RESTAPI_REQUEST_QUEUE_SIZE",
        "restapi.request_queue_size",
        Shape::Word,
    ),
    (
        "RESTAPI_SERVER_TOKENS",
        "restapi.server_tokens",
        Shape::Word,
    ),
    (
        "RESTAPI_USERNAME",
        "restapi.authentication.username",
        Shape::Word,
    ),
    (
        "RESTAPI_PASSWORD",
        "restapi.authentication.password",
        Shape::Word,
    ),
    ("CTL_INSECURE", "ctl.insecure", Shape::Word),
    ("CTL_CACERT", "ctl.cacert", Shape::Word),
    ("CTL_CERTFILE", "ctl.certfile", Shape::Word),
    ("CTL_KEYFILE", "ctl.keyfile", Shape::Word),
    ("CTL_KEYFILE_PASSWORD", "ctl.keyfile_password", Shape::Word),
    ("CTL_USERNAME", "ctl.authentication.username", Shape::Word),
    ("CTL_PASSWORD", "ctl.authentication.password", Shape::Word),
    ("POSTGRESQL_LISTEN", "postgresql.listen", Shape::Word),
    (
        "POSTGRESQL_CONNECT_ADDRESS",
        "postgresql.connect_address",
        Shape::Word,
    ),
    (
        "POSTGRESQL_PROXY_ADDRESS",
        "postgresql.proxy_address",
        Shape::Word,
    ),
    (
        "POSTGRESQL_CONFIG_DIR",
        "postgresql.config_dir",
        Shape::Word,
    ),
    ("POSTGRESQL_DATA_DIR", "postgresql.data_dir", Shape::Word),
    ("POSTGRESQL_PGPASS", "postgresql.pgpass", Shape::Word),
    ("POSTGRESQL_BIN_DIR", "postgresql.bin_dir", Shape::Word),
];

/// Tanist's own, with the prefix `TANIST_` only.
const TANIST: &[(&str, &str, Shape)] = &[
    ("FENCER", "tanist.fencer", Shape::Word),
    ("STOP_BUDGET", "tanist.stop_budget", Shape::Word),
    ("STATE_DIR", "tanist.state_dir", Shape::Word),
    ("FAST_TIMING", "tanist.fast_timing", Shape::Word),
    ("CLOCK_DRIFT_PPM", "tanist.clock_drift_ppm", Shape::Word),
    ("RECORDER_DIR", "tanist.recorder.dir", Shape::Word),
    ("RECORDER_SIZE", "tanist.recorder.size", Shape::Word),
];

/// `PATRONI_ETCD3_X`.
const ETCD3: &[(&str, Shape)] = &[
    ("HOST", Shape::Word),
    ("HOSTS", Shape::List),
    ("PORT", Shape::Word),
    ("URL", Shape::Word),
    ("PROTOCOL", Shape::Word),
    ("USERNAME", Shape::Word),
    ("PASSWORD", Shape::Word),
    ("CACERT", Shape::Word),
    ("CERT", Shape::Word),
    ("KEY", Shape::Word),
    ("SRV", Shape::Word),
    ("SRV_SUFFIX", Shape::Word),
    ("PROXY", Shape::Word),
    ("USE_PROXIES", Shape::Word),
];

/// `PATRONI_SUPERUSER_X` and the two other users.
const USER: &[&str] = &[
    "USERNAME",
    "PASSWORD",
    "SSLMODE",
    "SSLCERT",
    "SSLKEY",
    "SSLPASSWORD",
    "SSLROOTCERT",
    "SSLCRL",
    "SSLCRLDIR",
    "GSSENCMODE",
    "CHANNEL_BINDING",
    "SSLNEGOTIATION",
];

/// Sections that a variable alone can call into being; the reader of the tree refuses them.
const OTHER_STORES: &[&str] = &[
    "ETCD",
    "CONSUL",
    "ZOOKEEPER",
    "EXHIBITOR",
    "KUBERNETES",
    "RAFT",
    "CITUS",
];

/// Variables that are read elsewhere.
const ELSEWHERE: &[&str] = &["CONFIGURATION", "CONFIG_FILE", "CTL_CONFIG_FILE"];

/// The whole configuration as YAML text, used when no file is there. `TANIST_CONFIGURATION` wins.
pub fn whole_configuration(env: &BTreeMap<String, String>) -> Option<(&'static str, &str)> {
    ["TANIST_CONFIGURATION", "PATRONI_CONFIGURATION"]
        .into_iter()
        .find_map(|name| Some((name, env.get(name)?.as_str())))
        .filter(|(_, text)| !text.trim().is_empty())
}

/// Patches the tree. A variable that would be Tanist's but names nothing is told as a warning.
pub fn patch(tree: &mut Node, env: &BTreeMap<String, String>, findings: &Findings) {
    for prefix in ["PATRONI_", "TANIST_"] {
        for (name, text) in env.iter().filter(|(_, text)| !text.is_empty()) {
            let Some(suffix) = name.strip_prefix(prefix) else {
                continue;
            };
            let origin = Origin::Environment(Arc::from(name.as_str()));
            match setting_of(prefix, suffix) {
                Some((path, shape)) => {
                    let path: Vec<&str> = path.split('.').collect();
                    tree.set(&path, value_of(origin, text, shape));
                }
                None if ELSEWHERE.contains(&suffix) => {}
                None => findings.warn(Problem {
                    origin,
                    path: name.clone(),
                    what: "names no setting that Tanist knows".into(),
                    remedy: "it has no effect; unset it".into(),
                }),
            }
        }
    }
}

fn setting_of(prefix: &str, suffix: &str) -> Option<(String, Shape)> {
    let own: &[_] = if prefix == "TANIST_" { TANIST } else { &[] };
    if let Some((_, path, shape)) = PATRONI.iter().chain(own).find(|(n, _, _)| *n == suffix) {
        return Some(((*path).to_string(), *shape));
    }
    if let Some(key) = suffix.strip_prefix("ETCD3_") {
        let (_, shape) = ETCD3.iter().find(|(n, _)| *n == key)?;
        return Some((format!("etcd3.{}", key.to_lowercase()), *shape));
    }
    if let Some(binary) = suffix.strip_prefix("POSTGRESQL_BIN_") {
        return Some((
            format!("postgresql.bin_name.{}", binary.to_lowercase()),
            Shape::Word,
        ));
    }
    for user in ["SUPERUSER", "REPLICATION", "REWIND"] {
        let key = suffix
            .strip_prefix(user)
            .and_then(|rest| rest.strip_prefix('_'));
        if let Some(key) = key.filter(|k| USER.contains(k)) {
            let path = format!("postgresql.authentication.{user}.{key}").to_lowercase();
            return Some((path, Shape::Word));
        }
    }
    let (section, key) = suffix.split_once('_')?;
    OTHER_STORES
        .contains(&section)
        .then(|| (format!("{section}.{key}").to_lowercase(), Shape::Word))
}

fn value_of(origin: Origin, text: &str, shape: Shape) -> Node {
    if shape == Shape::Word {
        return Node::scalar(origin, text);
    }
    let listed = yaml::parse(text, "").ok().map(|n| n.body);
    let items = match listed {
        Some(Body::List(items)) => items,
        _ => text
            .split(',')
            .map(|word| Node::scalar(origin.clone(), word.trim().trim_matches(['\'', '"'])))
            .collect(),
    };
    Node {
        origin: origin.clone(),
        body: Body::List(items.into_iter().map(|n| from_here(n, &origin)).collect()),
    }
}

/// The value came from the variable, whatever line of its text it stood on.
fn from_here(node: Node, origin: &Origin) -> Node {
    let body = match node.body {
        Body::Scalar(s) => Body::Scalar(s),
        Body::List(items) => Body::List(items.into_iter().map(|n| from_here(n, origin)).collect()),
        Body::Map(entries) => Body::Map(
            entries
                .into_iter()
                .map(|e| Entry {
                    key: e.key,
                    origin: origin.clone(),
                    value: from_here(e.value, origin),
                })
                .collect(),
        ),
    };
    Node {
        origin: origin.clone(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn patched(yaml_text: &str, env: &[(&str, &str)]) -> (Value, Vec<Problem>) {
        let mut tree = yaml::parse(yaml_text, "p.yml").unwrap();
        let env = env
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        let findings = Findings::default();
        patch(&mut tree, &env, &findings);
        (tree.to_json(), findings.into_parts().1)
    }

    #[test]
    fn a_variable_wins_over_the_file_and_ours_wins_over_patronis() {
        for (env, name) in [
            (&[][..], "file"),
            (&[("PATRONI_NAME", "p")], "p"),
            (&[("TANIST_NAME", "t")], "t"),
            (&[("PATRONI_NAME", "p"), ("TANIST_NAME", "t")], "t"),
            (&[("PATRONI_NAME", "p"), ("TANIST_NAME", "")], "p"),
            (&[("PATRONI_NAME", "")], "file"),
        ] {
            let (tree, warnings) = patched("name: file", env);
            assert_eq!(tree, json!({"name": name}), "{env:?}");
            assert_eq!(warnings, [], "{env:?}");
        }
    }

    #[test]
    fn each_group_of_names_reaches_its_setting() {
        for (name, text, tree) in [
            (
                "PATRONI_ETCD3_HOSTS",
                "a:1, b:2",
                json!({"etcd3": {"hosts": ["a:1", "b:2"]}}),
            ),
            (
                "PATRONI_ETCD3_HOSTS",
                "['a:1', 'b:2']",
                json!({"etcd3": {"hosts": ["a:1", "b:2"]}}),
            ),
            (
                "PATRONI_SUPERUSER_PASSWORD",
                "x",
                json!({"postgresql": {"authentication": {"superuser": {"password": "x"}}}}),
            ),
            (
                "PATRONI_RESTAPI_LISTEN",
                "h:1",
                json!({"restapi": {"listen": "h:1"}}),
            ),
            ("PATRONI_CONSUL_HOST", "h", json!({"consul": {"host": "h"}})),
            ("TANIST_FENCER", "off", json!({"tanist": {"fencer": false}})),
        ] {
            let (found, warnings) = patched("", &[(name, text)]);
            assert_eq!(found, tree, "{name}");
            assert_eq!(warnings, [], "{name}");
        }
    }

    #[test]
    fn a_variable_that_names_nothing_is_told() {
        let (tree, warnings) = patched("", &[("PATRONI_NMAE", "x"), ("PATRONI_FENCER", "off")]);
        assert_eq!(tree, json!({}));
        assert_eq!(warnings.len(), 2);
    }
}
