//! How to reach the store: `etcd3:`. Knows nothing of connections; other stores are refused by name.

use super::section::{HostPort, Section, Unknown};
use crate::dcs::{Endpoint, EtcdSettings};
use std::path::PathBuf;

pub(super) const OTHER_STORES: &[&str] = &[
    "consul",
    "etcd",
    "exhibitor",
    "kubernetes",
    "raft",
    "zookeeper",
];

pub fn read(root: &Section<'_>) -> Option<EtcdSettings> {
    for store in OTHER_STORES {
        root.not_built(
            store,
            "its only store is etcd through the v3 interface (section `etcd3`)",
        );
    }
    let Some(section) = root.section("etcd3") else {
        root.missing("etcd3", "add `etcd3:` with `hosts: HOST:PORT,HOST:PORT`");
        return None;
    };
    for key in ["srv", "srv_suffix", "proxy", "use_proxies"] {
        section.not_built(key, "list the members in `hosts`");
    }
    let protocol = section.text("protocol").unwrap_or_else(|| "http".into());
    if !matches!(protocol.as_str(), "http" | "https") {
        section.wrong(
            "protocol",
            format!("expected http or https, found `{protocol}`"),
            "write http or https",
        );
    }
    let endpoints = read_endpoints(&section, &protocol);
    let user = match (section.text("username"), section.secret("password")) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) => {
            section.missing("password", "give the password of `etcd3.username`");
            None
        }
        (None, Some(_)) => {
            section.missing("username", "give the user that `etcd3.password` belongs to");
            None
        }
    };
    let cacert = section.text("cacert").map(PathBuf::from);
    let identity = match (section.text("cert"), section.text("key")) {
        (Some(cert), Some(key)) => Some((PathBuf::from(cert), PathBuf::from(key))),
        (None, None) => None,
        (Some(_), None) => {
            section.missing("key", "give the private key of `etcd3.cert`");
            None
        }
        (None, Some(_)) => {
            section.missing("cert", "give the certificate that `etcd3.key` belongs to");
            None
        }
    };
    section.finish(Unknown::Refuse);
    Some(EtcdSettings {
        endpoints,
        user,
        cacert,
        identity,
    })
}

/// `url` before `hosts` before `host`, as Patroni looks for them.
fn read_endpoints(section: &Section<'_>, protocol: &str) -> Vec<Endpoint> {
    let port = section.integer("port", 1..=65_535).unwrap_or(2379) as u16;
    let (url, hosts, host) = (
        section.text("url"),
        section.list("hosts"),
        section.text("host"),
    );
    if let Some(url) = url {
        return Endpoint::parse(&url).map_or_else(
            || {
                section.wrong(
                    "url",
                    "expected http(s)://HOST:PORT",
                    "write for example `http://10.0.0.1:2379`",
                );
                Vec::new()
            },
            |endpoint| vec![endpoint],
        );
    }
    let (key, words) = match (hosts, host) {
        (Some(hosts), _) => ("hosts", hosts),
        (None, Some(host)) => ("host", vec![host]),
        (None, None) => {
            section.missing("hosts", "write `hosts: HOST:PORT,HOST:PORT`");
            return Vec::new();
        }
    };
    let mut endpoints = Vec::new();
    for word in &words {
        let endpoint = if word.contains("://") {
            Endpoint::parse(word)
        } else {
            HostPort::parse(word, Some(port))
                .and_then(|hp| Endpoint::parse(&format!("{protocol}://{}", hp.for_url())))
        };
        match endpoint {
            Some(endpoint) => endpoints.push(endpoint),
            None => section.wrong(
                key,
                format!("expected HOST:PORT, found `{word}`"),
                "write for example `10.0.0.1:2379`",
            ),
        }
    }
    if words.is_empty() {
        section.wrong(
            key,
            "names no endpoint",
            "write `hosts: HOST:PORT,HOST:PORT`",
        );
    }
    endpoints
}
