//! Where the REST interface listens, how peers and tools reach it, and who may change things: `restapi:` and `ctl:`.
//! Knows nothing of endpoints.

use super::section::{HostPort, Section, Unknown};
use crate::secret::Secret;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    pub listen: HostPort,
    pub connect: HostPort,
    /// Required from whoever changes something.
    pub credentials: Option<Credentials>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
}

/// What the command line uses towards the agents: `ctl:`, falling back on `restapi:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ctl {
    pub credentials: Option<Credentials>,
}

impl Rest {
    /// What is published in the member key, and what peers ask.
    pub fn api_url(&self) -> String {
        format!("http://{}/patroni", self.connect.for_url())
    }
}

pub fn read(root: &Section<'_>) -> Option<Rest> {
    let Some(section) = root.section("restapi") else {
        root.missing(
            "restapi",
            "add `restapi:` with `listen: HOST:PORT` and `connect_address: HOST:PORT`",
        );
        return None;
    };
    for key in [
        "certfile",
        "keyfile",
        "keyfile_password",
        "cafile",
        "ciphers",
        "verify_client",
    ] {
        section.not_built(key, "its REST interface speaks plain HTTP");
    }
    for key in ["allowlist", "allowlist_include_members"] {
        section.not_built(key, "access is limited by `restapi.authentication` only");
    }
    for key in ["http_extra_headers", "https_extra_headers"] {
        section.not_built(key, "its answers carry no extra headers");
    }
    for key in ["request_queue_size", "thread_pool_size", "server_tokens"] {
        section.without_effect(key, "one thread serves every connection");
    }
    let listen = section.address("listen", Some(8008));
    if !section.has("listen") {
        section.missing("listen", "write `listen: HOST:8008`");
    }
    let connect = address_or_listen(&section, listen.as_ref(), 8008);
    let credentials = read_credentials(&section);
    section.finish(Unknown::Refuse);
    Some(Rest {
        listen: listen?,
        connect: connect?,
        credentials,
    })
}

/// Without `connect_address` the listening address is the one to connect to, if it names one host.
pub fn address_or_listen(
    section: &Section<'_>,
    listen: Option<&HostPort>,
    port: u16,
) -> Option<HostPort> {
    if section.has("connect_address") {
        let address = section.address("connect_address", Some(port))?;
        if address.is_wildcard() {
            section.wrong(
                "connect_address",
                "expected one host's address, found a wildcard",
                "write the address at which other members reach this one",
            );
            return None;
        }
        return Some(address);
    }
    let listen = listen?;
    let one_host = !listen.is_wildcard() && !listen.host.contains(',');
    if !one_host {
        section.missing(
            "connect_address",
            "write the address at which other members reach this one",
        );
    }
    one_host.then(|| listen.clone())
}

pub fn read_ctl(root: &Section<'_>, rest: Option<&Rest>) -> Ctl {
    let fallback = rest.and_then(|r| r.credentials.clone());
    let Some(section) = root.section("ctl") else {
        return Ctl {
            credentials: fallback,
        };
    };
    for key in ["cacert", "certfile", "keyfile", "keyfile_password"] {
        section.not_built(key, "its REST interface speaks plain HTTP");
    }
    section.without_effect("insecure", "no certificate is involved");
    let credentials = read_credentials(&section).or(fallback);
    section.finish(Unknown::Refuse);
    Ctl { credentials }
}

pub(super) fn read_credentials(section: &Section<'_>) -> Option<Credentials> {
    let inner = section.section("authentication")?;
    let (username, password) = (inner.text("username"), inner.secret("password"));
    if username.is_none() {
        inner.missing("username", "give user and password, or neither");
    }
    if password.is_none() {
        inner.missing("password", "give user and password, or neither");
    }
    inner.finish(Unknown::Refuse);
    Some(Credentials {
        username: username?,
        password: password?,
    })
}
