//! What this member was configured with: Patroni's YAML, its environment variables, and Tanist's own section.
//! Reads and checks; starts nothing, and hands the core only what holds no secret.
//!
//! Precedence: file (or directory of files, later names over earlier ones), then `PATRONI_*`, then `TANIST_*`.
//! A setting that Patroni has and this build does not act on is refused, or told as a warning where nothing
//! is lost by going without it; none is silently dropped.

pub mod bootstrap;
pub mod environment;
pub mod etcd3;
pub mod local;
pub mod log;
pub mod node;
pub mod postgresql;
pub mod problem;
pub mod restapi;
pub mod section;
pub mod tanist;
pub mod tools;
pub mod yaml;

use local::Local;
use node::{Node, Origin};
use problem::{Findings, Problem};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// No configuration that an agent could start with; every problem found is listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct BadSettings(pub Vec<Problem>);

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// Reads the configuration at `path` and the environment, and checks both.
/// Blocking; for the start, for SIGHUP and for `--validate-config`.
pub fn load(path: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Local, BadSettings> {
    let mut tree = read_tree(path, env)?;
    let findings = Findings::default();
    environment::patch(&mut tree, env, &findings);
    let local = local::read(&tree, &findings);
    let (errors, warnings) = findings.into_parts();
    match local {
        Some(mut local) if errors.is_empty() => {
            local.warnings = warnings;
            Ok(local)
        }
        _ => Err(BadSettings(errors)),
    }
}

fn read_tree(path: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Node, BadSettings> {
    if let Some(path) = path.filter(|p| p.exists()) {
        return read_path(path);
    }
    if let Some((name, text)) = environment::whole_configuration(env) {
        return parse(text, name);
    }
    match path {
        None => Ok(Node::empty_map(Origin::Environment("PATRONI_*".into()))),
        Some(path) => Err(unreadable(path, "it does not exist")),
    }
}

fn read_path(path: &Path) -> Result<Node, BadSettings> {
    let mut files = vec![path.to_path_buf()];
    if path.is_dir() {
        files = yaml_files(path).map_err(|e| unreadable(path, &e.to_string()))?;
        if files.is_empty() {
            return Err(unreadable(
                path,
                "the directory holds no *.yml or *.yaml file",
            ));
        }
    }
    let mut tree: Option<Node> = None;
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|e| unreadable(&file, &e.to_string()))?;
        let read = parse(&text, &file.display().to_string())?;
        match &mut tree {
            Some(tree) => tree.overlay(read),
            None => tree = Some(read),
        }
    }
    tree.ok_or_else(|| unreadable(path, "there is nothing to read"))
}

fn yaml_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_yaml = path.extension().is_some_and(|e| e == "yml" || e == "yaml");
        if is_yaml && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn parse(text: &str, file: &str) -> Result<Node, BadSettings> {
    yaml::parse(text, file).map_err(|e| {
        BadSettings(vec![Problem {
            origin: e.origin,
            path: "configuration".into(),
            what: e.why,
            remedy: "mend the YAML at that line".into(),
        }])
    })
}

fn unreadable(path: &Path, why: &str) -> BadSettings {
    BadSettings(vec![Problem {
        origin: Origin::Line {
            file: path.display().to_string().into(),
            line: 0,
        },
        path: "configuration".into(),
        what: format!("cannot be read: {why}"),
        remedy: "name a readable YAML file, or set PATRONI_CONFIGURATION".into(),
    }])
}
