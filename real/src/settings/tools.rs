//! What the command line needs of a configuration: which cluster, which store, and the password of the
//! agents. Reads a whole `patroni.yml` as well as a `patronictl.yaml` that holds little else.

use super::problem::Findings;
use super::restapi::{Credentials, read_credentials};
use super::section::Section;
use super::{BadSettings, Origin, environment, etcd3, node::Node, read_tree};
use crate::dcs::EtcdSettings;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    pub scope: Option<String>,
    pub namespace: String,
    pub store: EtcdSettings,
    pub credentials: Option<Credentials>,
}

/// The store as given on the command line: `[etcd3://]HOST[:PORT][/NAMESPACE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl {
    pub host: String,
    pub namespace: Option<String>,
}

impl StoreUrl {
    pub fn parse(text: &str) -> Result<StoreUrl, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("etcd3", text));
        let rest = rest.trim_start_matches("//");
        if scheme != "etcd3" {
            return Err(format!(
                "{scheme} is not a store that this build reaches; use etcd3://HOST:PORT"
            ));
        }
        let (host, namespace) = match rest.split_once('/') {
            Some((host, namespace)) if !namespace.is_empty() => (host, Some(namespace.to_string())),
            Some((host, _)) => (host, None),
            None => (rest, None),
        };
        let host = match host {
            "" => "localhost:2379".to_string(),
            port if port.starts_with(':') => format!("localhost{port}"),
            host if host.ends_with(']') || !host.contains(':') => format!("{host}:2379"),
            host => host.to_string(),
        };
        Ok(StoreUrl { host, namespace })
    }
}

/// Blocking. `url` replaces whatever store the file names.
pub fn load(
    path: Option<&Path>,
    env: &BTreeMap<String, String>,
    url: Option<&StoreUrl>,
) -> Result<Tools, BadSettings> {
    let mut tree = read_tree(path, env)?;
    let findings = Findings::default();
    environment::patch(&mut tree, env, &findings);
    if let Some(url) = url {
        let origin = Origin::Environment("--dcs-url".into());
        let nothing = || Node::scalar(origin.clone(), "null");
        for store in etcd3::OTHER_STORES {
            if tree.get(store).is_some() {
                tree.set(&[store], nothing());
            }
        }
        tree.set(&["etcd3"], Node::empty_map(origin.clone()));
        tree.set(&["etcd3", "hosts"], Node::scalar(origin.clone(), &url.host));
        if let Some(namespace) = &url.namespace {
            tree.set(&["namespace"], Node::scalar(origin, namespace));
        }
    }
    let root = Section::root(&tree, &findings);
    let credentials = ["ctl", "restapi"]
        .into_iter()
        .filter_map(|name| root.section(name))
        .find_map(|section| read_credentials(&section));
    let tools = etcd3::read(&root).map(|store| Tools {
        scope: root.text("scope"),
        namespace: root.text("namespace").unwrap_or_else(|| "service".into()),
        store,
        credentials,
    });
    let (errors, _) = findings.into_parts();
    match tools {
        Some(tools) if errors.is_empty() => Ok(tools),
        _ => Err(BadSettings(errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_url_is_read_as_patronictl_reads_it() {
        for (text, host, namespace) in [
            ("etcd3://a:1", "a:1", None),
            ("etcd3://a", "a:2379", None),
            ("a:1/ns", "a:1", Some("ns")),
            ("etcd3://:1/", "localhost:1", None),
            ("etcd3://[::1]:7", "[::1]:7", None),
            ("", "localhost:2379", None),
        ] {
            let url = StoreUrl::parse(text).unwrap();
            assert_eq!(
                (url.host.as_str(), url.namespace.as_deref()),
                (host, namespace)
            );
        }
        assert!(StoreUrl::parse("consul://a").is_err());
    }

    #[test]
    fn a_short_file_is_enough_and_a_url_replaces_its_store() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ctl.yaml");
        let text =
            "scope: demo\nconsul: {host: x}\nctl: {authentication: {username: u, password: p}}\n";
        std::fs::write(&file, text).unwrap();
        let env = BTreeMap::new();
        assert!(load(Some(&file), &env, None).is_err());
        let url = StoreUrl::parse("etcd3://a:1").unwrap();
        let tools = load(Some(&file), &env, Some(&url)).unwrap();
        assert_eq!(tools.scope.as_deref(), Some("demo"));
        assert_eq!(tools.store.endpoints[0].to_string(), "http://a:1");
        assert_eq!(tools.credentials.unwrap().username, "u");
    }
}
