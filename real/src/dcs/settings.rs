//! Where is etcd, and how do we prove who we are? Plain values, already read and checked.
//! Knows nothing of configuration files or connections.

use crate::secret::Secret;
use std::fmt;
use std::path::PathBuf;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdSettings {
    /// Asked in this order; members that etcd itself names are asked after these.
    pub endpoints: Vec<Endpoint>,
    pub user: Option<(String, Secret)>,
    /// Whom to trust on https. Without it: the host's own collection.
    pub cacert: Option<PathBuf>,
    /// Client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    Http,
    Https,
}

/// One etcd member's client address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub scheme: Scheme,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// `http(s)://HOST[:PORT]`, with etcd's port 2379 when none is given. `None` for anything else.
    pub fn parse(url: &str) -> Option<Endpoint> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let authority = rest.split('/').next()?;
        if authority.contains('@') {
            return None;
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']')?;
                match after {
                    "" => (host, None),
                    _ => (host, Some(after.strip_prefix(':')?)),
                }
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => 2379,
        };
        if host.is_empty() {
            return None;
        }
        Some(Endpoint {
            scheme,
            host: host.to_string(),
            port,
        })
    }

    /// `HOST:PORT`, as the Host header wants it.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_read_and_shown_the_same() {
        for (text, shown) in [
            ("http://10.0.0.1:2379", "http://10.0.0.1:2379"),
            ("https://etcd-a", "https://etcd-a:2379"),
            ("http://[::1]:4001/", "http://[::1]:4001"),
        ] {
            assert_eq!(
                Endpoint::parse(text).map(|e| e.to_string()).as_deref(),
                Some(shown)
            );
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "10.0.0.1:2379",
            "ftp://a:1",
            "http://",
            "http://u:p@a:1",
            "http://a:port",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }
}
