//! Which configurations an agent starts with, and what its author is told about the others.

use std::collections::BTreeMap;
use tanist::settings::{BadSettings, load, local::Local};
use tanist_core::settings::FencerMode;
use tanist_core::time::Span;

const GOOD: &str = "\
scope: demo
name: a
restapi:
  listen: 127.0.0.1:8008
  connect_address: 10.0.0.1:8008
  authentication:
    username: admin
    password: canary-rest
etcd3:
  hosts: 10.0.0.1:2379,10.0.0.2
  username: root
  password: canary-etcd
bootstrap:
  dcs:
    ttl: 30
    postgresql:
      use_pg_rewind: on
      parameters:
        max_connections: 100
        wal_log_hints: on
  initdb:
  - encoding: UTF8
  - data-checksums
  pg_hba:
  - host replication replicator 10.0.0.0/8 scram-sha-256
postgresql:
  listen: 0.0.0.0:5432
  connect_address: 10.0.0.1:5432
  data_dir: /srv/pg/data
  authentication:
    superuser: {username: postgres, password: canary-super}
    replication: {username: replicator, password: canary-repl, sslmode: require}
  parameters:
    unix_socket_permissions: 0770
    log_min_messages: on
    idle_session_timeout: 12:30
tags:
  failover_priority: 2
  dc: 0x10
watchdog:
  mode: off
tanist:
  fencer: required
  stop_budget: 1500ms
";

fn read(text: &str, env: &[(&str, &str)]) -> Result<Local, BadSettings> {
    let mut all = BTreeMap::new();
    all.insert("PATRONI_CONFIGURATION".to_string(), text.to_string());
    all.extend(env.iter().map(|(k, v)| (k.to_string(), v.to_string())));
    load(None, &all)
}

fn endpoints(local: &Local) -> Vec<String> {
    local
        .store
        .endpoints
        .iter()
        .map(|e| e.to_string())
        .collect()
}

/// `GOOD` with one line replaced must be refused at that line, in words that name `about`.
fn refused(line: &str, instead: &str, about: &str) {
    assert!(GOOD.contains(line), "{line}");
    let text = GOOD.replacen(line, instead, 1);
    let errors = read(&text, &[]).expect_err(instead).to_string();
    let added: Vec<String> = text
        .lines()
        .enumerate()
        .filter(|(_, l)| !GOOD.lines().any(|g| g == *l))
        .map(|(at, _)| format!("PATRONI_CONFIGURATION:{}:", at + 1))
        .collect();
    let told = errors
        .lines()
        .any(|l| l.contains(about) && added.iter().any(|place| l.starts_with(place)));
    assert!(told, "expected {about:?} at {added:?}\n{errors}");
    assert!(!errors.contains("canary"), "{errors}");
}

#[test]
fn a_patroni_file_is_read_and_parameters_keep_their_words() {
    let local = read(GOOD, &[]).unwrap();
    let settings = &local.settings;
    assert_eq!(settings.namespace, "service");
    assert_eq!(settings.api_url, "http://10.0.0.1:8008/patroni");
    assert_eq!(settings.conn_url, "postgres://10.0.0.1:5432/postgres");
    assert_eq!(settings.safety.fencer, FencerMode::Required);
    assert_eq!(settings.safety.stop_budget, Span::millis(1500));
    assert_eq!(
        serde_json::to_value(&settings.tags).unwrap(),
        serde_json::json!({"failover_priority": 2, "dc": 16})
    );
    let parameters = &settings.postgresql.parameters;
    assert_eq!(parameters["unix_socket_permissions"], "0770");
    assert_eq!(parameters["log_min_messages"], "on");
    assert_eq!(parameters["idle_session_timeout"], "12:30");
    assert_eq!(
        endpoints(&local),
        ["http://10.0.0.1:2379", "http://10.0.0.2:2379"]
    );
    assert_eq!(
        local.bootstrap.initdb,
        ["--encoding=UTF8", "--data-checksums"]
    );
    let dcs = serde_json::to_value(&settings.bootstrap).unwrap();
    assert_eq!(dcs["postgresql"]["parameters"]["wal_log_hints"], true);
    assert_eq!(
        local.recorder.dir.to_str(),
        Some("/srv/pg/data.tanist/recorder")
    );
    let warned: Vec<_> = local.warnings.iter().map(|w| w.path.as_str()).collect();
    assert_eq!(warned, ["postgresql.authentication.replication.sslmode"]);
}

#[test]
fn no_password_shows_in_a_dump_or_reaches_the_core() {
    let local = read(
        GOOD,
        &[
            ("PATRONI_REWIND_USERNAME", "r"),
            ("PATRONI_REWIND_PASSWORD", "canary-rewind"),
        ],
    )
    .unwrap();
    assert_eq!(
        local
            .postgres
            .rewind
            .as_ref()
            .unwrap()
            .password
            .as_ref()
            .unwrap()
            .expose(),
        "canary-rewind"
    );
    assert!(!format!("{local:?}").contains("canary"));
    assert!(
        !serde_json::to_string(&local.settings)
            .unwrap()
            .contains("canary")
    );
}

#[test]
fn what_this_build_does_not_have_is_refused_at_its_line() {
    for (line, instead, about) in [
        ("  mode: off", "  mode: automatic", "watchdog.mode"),
        (
            "  initdb:",
            "  users: {app: {password: canary}}\n  initdb:",
            "bootstrap.users",
        ),
        (
            "  initdb:",
            "  method: wal_g\n  initdb:",
            "bootstrap.method",
        ),
        ("etcd3:", "consul: {host: x}\netcd3:", "consul"),
        (
            "  data_dir: /srv/pg/data",
            "  data_dir: /srv/pg/data\n  pre_promote: /bin/true",
            "pre_promote",
        ),
        (
            "  data_dir: /srv/pg/data",
            "  data_dir: /srv/pg/data\n  create_replica_methods: [wal_g]",
            "create_replica_methods",
        ),
        (
            "  listen: 127.0.0.1:8008",
            "  listen: 127.0.0.1:8008\n  certfile: /x",
            "restapi.certfile",
        ),
        (
            "  listen: 127.0.0.1:8008",
            "  listen: 127.0.0.1:8008\n  allowlist: [10.0.0.1]",
            "restapi.allowlist",
        ),
    ] {
        refused(line, instead, about);
    }
}

#[test]
fn bad_values_are_refused_with_what_was_expected() {
    for (line, instead, about) in [
        ("scope: demo", "scope: a/b", "without slashes"),
        (
            "scope: demo",
            "scope: demo\nscpe: demo",
            "did you mean `scope`?",
        ),
        (
            "  listen: 127.0.0.1:8008",
            "  listen: 127.0.0.1:http",
            "expected HOST:PORT",
        ),
        (
            "  connect_address: 10.0.0.1:8008",
            "  connect_address: 0.0.0.0:8008",
            "wildcard",
        ),
        (
            "  hosts: 10.0.0.1:2379,10.0.0.2",
            "  hosts: [ ]",
            "names no endpoint",
        ),
        ("  data_dir: /srv/pg/data", "  data_dir: data", "absolute"),
        (
            "  fencer: required",
            "  fencer: maybe",
            "off, auto or required",
        ),
        (
            "  stop_budget: 1500ms",
            "  stop_budget: 1ms",
            "at least 200 ms",
        ),
        (
            "  stop_budget: 1500ms",
            "  state_dir: /srv/pg/data/x",
            "inside the data directory",
        ),
        (
            "    password: canary-rest",
            "    passwort: canary-rest",
            "did you mean `password`?",
        ),
        ("  - data-checksums", "  - pgdata: /x", "agent's own"),
    ] {
        refused(line, instead, about);
    }
}

#[test]
fn a_wildcard_to_listen_on_needs_an_address_to_connect_to() {
    let text = GOOD.replace("  connect_address: 10.0.0.1:5432\n", "");
    let errors = read(&text, &[]).unwrap_err().to_string();
    assert!(
        errors.contains("postgresql.connect_address: is required"),
        "{errors}"
    );
}

#[test]
fn settings_without_effect_are_accepted_and_told() {
    let text = format!("{GOOD}log: {{level: warning, dir: /var/log}}\n")
        .replace("  dc: 0x10", "  replicatefrom: b");
    let local = read(&text, &[]).unwrap();
    assert_eq!(local.log.level, tracing::Level::WARN);
    let told: Vec<&str> = local.warnings.iter().map(|w| w.path.as_str()).collect();
    let expected = [
        "log.dir",
        "postgresql.authentication.replication.sslmode",
        "tags.replicatefrom",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    assert!(expected.iter().all(|path| told.contains(path)), "{told:?}");
}

#[test]
fn a_whole_configuration_may_come_from_the_environment_alone() {
    let env = [
        ("PATRONI_SCOPE", "demo"),
        ("PATRONI_NAME", "a"),
        ("TANIST_NAME", "b"),
        ("PATRONI_RESTAPI_LISTEN", "127.0.0.1:8008"),
        ("PATRONI_ETCD3_HOSTS", "'127.0.0.1:2379'"),
        ("PATRONI_POSTGRESQL_LISTEN", "127.0.0.1:5432"),
        ("PATRONI_POSTGRESQL_DATA_DIR", "/srv/pg/data"),
    ];
    let env = env
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    let local = load(None, &env).unwrap();
    assert_eq!(local.settings.name.as_str(), "b");
    assert_eq!(endpoints(&local), ["http://127.0.0.1:2379"]);
}

#[test]
fn a_reload_names_the_parts_that_need_a_restart() {
    let before = read(GOOD, &[]).unwrap();
    let after = read(
        &GOOD.replace("listen: 0.0.0.0:5432", "listen: 0.0.0.0:5433"),
        &[],
    )
    .unwrap();
    assert_eq!(after.needs_restart_against(&before), ["postgresql"]);
    assert_eq!(before.needs_restart_against(&before), [""; 0]);
}
