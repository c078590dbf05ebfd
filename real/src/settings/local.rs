//! The whole local configuration, each part for the room that acts on it.
//! What the core receives (`settings`) holds no secret.

use super::bootstrap::{self, Bootstrap};
use super::etcd3;
use super::log::{self, Log};
use super::node::{Body, Node};
use super::postgresql::{self, Postgres};
use super::problem::{Findings, Problem};
use super::restapi::{self, Ctl, Rest};
use super::section::{Section, Unknown};
use super::tanist::{self, Own};
use crate::dcs::EtcdSettings;
use serde_json::{Map, Value};
use std::path::PathBuf;
use tanist_core::name::MemberName;
use tanist_core::settings::Settings;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    pub settings: Settings,
    pub store: EtcdSettings,
    pub postgres: Postgres,
    pub bootstrap: Bootstrap,
    pub rest: Rest,
    pub ctl: Ctl,
    pub log: Log,
    pub state_dir: PathBuf,
    pub recorder: tanist::Recorder,
    /// What was accepted and has no effect.
    pub warnings: Vec<Problem>,
}

pub fn read(tree: &Node, findings: &Findings) -> Option<Local> {
    let root = Section::root(tree, findings);
    let scope = required_name(&root, "scope", "the cluster");
    let name = required_name(&root, "name", "this member");
    let namespace = root.text("namespace").unwrap_or_else(|| "service".into());
    let store = etcd3::read(&root);
    let rest = restapi::read(&root);
    let ctl = restapi::read_ctl(&root, rest.as_ref());
    let postgres = postgresql::read(&root);
    let bootstrap = bootstrap::read(&root);
    let log = log::read(&root);
    let own = tanist::read(&root, postgres.as_ref().map(|p| p.data_dir.as_path()));
    let tags = read_tags(&root);
    refuse_what_is_not_built(&root);
    root.finish(Unknown::Refuse);
    let (rest, postgres) = (rest?, postgres?);
    Some(Local {
        settings: Settings {
            scope: scope?,
            namespace,
            name: MemberName(name?),
            api_url: rest.api_url(),
            conn_url: pg_url(&postgres.connect.for_url(), &postgres.database),
            proxy_url: postgres
                .proxy
                .as_ref()
                .map(|p| pg_url(&p.for_url(), &postgres.database)),
            tags,
            bootstrap: bootstrap.dcs.clone(),
            postgresql: postgres.local.clone(),
            safety: own.safety.clone(),
        },
        store: store?,
        postgres,
        bootstrap,
        rest,
        ctl,
        log,
        state_dir: own.state_dir,
        recorder: own.recorder,
        warnings: Vec::new(),
    })
}

impl Local {
    /// What changed against `before` and is taken up only by a restart of the agent, in the file's words.
    pub fn needs_restart_against(&self, before: &Local) -> Vec<&'static str> {
        let parts = [
            ("scope", self.settings.scope == before.settings.scope),
            (
                "namespace",
                self.settings.namespace == before.settings.namespace,
            ),
            ("name", self.settings.name == before.settings.name),
            ("tags", self.settings.tags == before.settings.tags),
            ("etcd3", self.store == before.store),
            ("postgresql", self.postgres == before.postgres),
            ("restapi", self.rest == before.rest),
            ("log", self.log == before.log),
            ("tanist", self.own() == before.own()),
        ];
        let changed = parts.into_iter().filter(|(_, same)| !same);
        changed.map(|(name, _)| name).collect()
    }

    fn own(&self) -> Own {
        Own {
            safety: self.settings.safety.clone(),
            state_dir: self.state_dir.clone(),
            recorder: self.recorder.clone(),
        }
    }
}

fn pg_url(address: &str, database: &str) -> String {
    format!("postgres://{address}/{database}")
}

/// Names become parts of keys in the store, so a slash cannot be one.
fn required_name(root: &Section<'_>, key: &str, whose: &str) -> Option<String> {
    let Some(name) = root.text(key) else {
        root.missing(key, &format!("write the name of {whose}"));
        return None;
    };
    if name.is_empty() || name.contains('/') || name.chars().any(char::is_control) {
        root.wrong(
            key,
            format!("expected a name without slashes, found `{name}`"),
            "write letters, digits, `-`, `_` and `.`",
        );
        return None;
    }
    Some(name)
}

/// Tags are published as they are; those that would steer something this build does not have are told.
fn read_tags(root: &Section<'_>) -> Map<String, Value> {
    let Some(node) = root.node("tags") else {
        return Map::new();
    };
    let (Body::Map(_), Value::Object(tags)) = (&node.body, node.to_json()) else {
        root.wrong(
            "tags",
            "expected a mapping",
            "write `tag: value` lines below it",
        );
        return Map::new();
    };
    if let Some(section) = root.section("tags") {
        for (tag, why) in [
            (
                "replicatefrom",
                "cascading replication is not built: this member follows the leader",
            ),
            (
                "nostream",
                "archive recovery only is not built: this member streams",
            ),
            ("clonefrom", "clones are made from the leader"),
            ("nosync", "synchronous mode is not built"),
            ("sync_priority", "synchronous mode is not built"),
        ] {
            section.without_effect(tag, why);
        }
    }
    tags
}

fn refuse_what_is_not_built(root: &Section<'_>) {
    root.not_built("citus", "Citus clusters are not offered");
    for key in ["thread_pool_size", "thread_stack_size"] {
        root.without_effect(key, "there is no thread pool");
    }
    for key in ["ttl", "loop_wait", "retry_timeout", "standby_cluster"] {
        root.without_effect(key, "it is a cluster-wide setting: patch /config");
    }
    if let Some(watchdog) = root.section("watchdog") {
        let mode = watchdog.text("mode").unwrap_or_else(|| "automatic".into());
        if !matches!(
            mode.to_ascii_lowercase().as_str(),
            "off" | "false" | "disable" | "disabled"
        ) {
            watchdog.wrong(
                "mode",
                format!("found `{mode}`, and watchdog devices are not built"),
                "write `mode: off`; `tanist.fencer` guards against a frozen agent",
            );
        }
        for key in ["device", "safety_margin", "driver"] {
            watchdog.without_effect(key, "no watchdog device is used");
        }
        watchdog.finish(Unknown::Warn);
    }
}
