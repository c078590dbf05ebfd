//! What a health check asks: Patroni's paths and parameters, read from a request's path and query.
//! Knows nothing of the member that is asked; `health.rs` answers.
//!
//! Load balancers send whatever their configuration says, so a path is recognised by what it contains
//! (`/foo-replica` is a replica check), in Patroni's order of precedence.

use crate::config::as_bytes;

/// Which question. Anything that Patroni has no check for is `Unknown` and never passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    Primary,
    Leader,
    StandbyLeader,
    Replica,
    /// A primary or a replica.
    ReadOnly,
    Running,
    Synchronous,
    Quorum,
    Asynchronous,
    ReadOnlySynchronous,
    ReadOnlyQuorum,
    Liveness,
    Readiness,
    Unknown,
}

/// Which position `lag=` of a readiness check is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LagOf {
    #[default]
    Replayed,
    Received,
}

/// One check with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub kind: CheckKind,
    /// `lag=`: `None` also when it cannot be read, as in Patroni.
    pub lag_max: Option<u64>,
    pub lag_of: LagOf,
    pub replication_state: Option<String>,
    /// `tag_NAME=VALUE`: each must be set to exactly this.
    pub tags: Vec<(String, String)>,
}

/// How a check arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Get,
    /// HEAD and OPTIONS: Patroni does not know `/liveness` and `/readiness` there.
    HeadOrOptions,
}

impl Check {
    pub fn of_kind(kind: CheckKind) -> Check {
        Check {
            kind,
            lag_max: None,
            lag_of: LagOf::Replayed,
            replication_state: None,
            tags: Vec::new(),
        }
    }

    pub fn read(path: &str, query: &str, asked: Asked) -> Check {
        let mut check = Check::of_kind(CheckKind::of_path(path, asked));
        let mut seen_lag = false;
        for (name, value) in parameters(query) {
            // The first of several equal parameters counts.
            if name == "lag" && !seen_lag {
                seen_lag = true;
                check.lag_max = as_bytes(&value);
            } else if name == "mode" && value == "write" {
                check.lag_of = LagOf::Received;
            } else if name == "replication_state" && check.replication_state.is_none() {
                check.replication_state = Some(value);
            } else if let Some(tag) = name.strip_prefix("tag_")
                && !check.tags.iter().any(|(known, _)| known == tag)
            {
                check.tags.push((tag.to_string(), value));
            }
        }
        check
    }
}

impl CheckKind {
    pub fn of_path(path: &str, asked: Asked) -> CheckKind {
        let has = |word: &str| path.contains(word);
        let first = path.trim_start_matches('/').split('/').next();
        match (asked, first.unwrap_or_default()) {
            (Asked::Get, "liveness") => return CheckKind::Liveness,
            (Asked::Get, "readiness") => return CheckKind::Readiness,
            (Asked::Get | Asked::HeadOrOptions, _) => {}
        }
        if path == "/" {
            return CheckKind::Primary;
        }
        if has("standby_leader") || has("standby-leader") {
            return CheckKind::StandbyLeader;
        }
        if has("leader") {
            return CheckKind::Leader;
        }
        if has("master") || has("primary") || has("read-write") {
            return CheckKind::Primary;
        }
        if has("replica") {
            return CheckKind::Replica;
        }
        if has("read-only") && !has("sync") && !has("quorum") {
            return CheckKind::ReadOnly;
        }
        if has("health") {
            return CheckKind::Running;
        }
        match path {
            "/sync" | "/synchronous" => CheckKind::Synchronous,
            "/quorum" => CheckKind::Quorum,
            "/async" | "/asynchronous" => CheckKind::Asynchronous,
            "/read-only-sync" | "/read-only-synchronous" => CheckKind::ReadOnlySynchronous,
            "/read-only-quorum" => CheckKind::ReadOnlyQuorum,
            _ => CheckKind::Unknown,
        }
    }
}

/// The parameters of a query string, decoded; those without a value are left out.
fn parameters(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (decoded(name), decoded(value)))
}

/// `+` and `%XX` of a query string; what is not valid stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        let digit = |b: u8| char::from(b).to_digit(16);
        let mut ahead = rest.clone();
        match (
            b,
            ahead.next().and_then(digit),
            ahead.next().and_then(digit),
        ) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = ahead;
            }
            (b'+', _, _) => bytes.push(b' '),
            (other, _, _) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_recognised_by_what_it_contains_in_patronis_order() {
        for (path, kind) in [
            ("/", CheckKind::Primary),
            ("/primary", CheckKind::Primary),
            ("/master", CheckKind::Primary),
            ("/read-write", CheckKind::Primary),
            ("/x-primary-y", CheckKind::Primary),
            ("/leader", CheckKind::Leader),
            ("/standby-leader", CheckKind::StandbyLeader),
            ("/standby_leader", CheckKind::StandbyLeader),
            ("/replica", CheckKind::Replica),
            ("/foo-replica", CheckKind::Replica),
            ("/primary-or-replica", CheckKind::Primary),
            ("/read-only", CheckKind::ReadOnly),
            ("/read-only-sync", CheckKind::ReadOnlySynchronous),
            ("/read-only-quorum", CheckKind::ReadOnlyQuorum),
            ("/health", CheckKind::Running),
            ("/healthz", CheckKind::Running),
            ("/sync", CheckKind::Synchronous),
            ("/async", CheckKind::Asynchronous),
            ("/async2", CheckKind::Unknown),
            ("/quorum", CheckKind::Quorum),
            ("/liveness", CheckKind::Liveness),
            ("/liveness/x", CheckKind::Liveness),
            ("/readiness", CheckKind::Readiness),
            ("/restart", CheckKind::Unknown),
            ("", CheckKind::Unknown),
        ] {
            assert_eq!(CheckKind::of_path(path, Asked::Get), kind, "{path}");
        }
        for path in ["/liveness", "/readiness"] {
            let asked = CheckKind::of_path(path, Asked::HeadOrOptions);
            assert_eq!(asked, CheckKind::Unknown, "{path}");
        }
    }

    #[test]
    fn parameters_are_decoded_and_the_first_of_several_counts() {
        let check = Check::read(
            "/replica",
            "lag=10MB&lag=1&tag_zone=a%20b&tag_zone=c&replication_state=in+archive+recovery&x",
            Asked::Get,
        );
        assert_eq!(check.lag_max, Some(10 << 20));
        assert_eq!(check.tags, [("zone".to_string(), "a b".to_string())]);
        assert_eq!(
            check.replication_state.as_deref(),
            Some("in archive recovery")
        );
    }

    #[test]
    fn odd_escapes_and_limits_are_no_panic() {
        for (query, lag) in [
            ("lag=%", None),
            ("lag=%4", None),
            ("lag=%zz", None),
            ("lag=%C3%28", None),
            ("lag=many", None),
            ("lag=99999999999999999999", None),
            ("lag=1.5kB", Some(1536)),
            ("lag=0", Some(0)),
        ] {
            assert_eq!(Check::read("/", query, Asked::Get).lag_max, lag, "{query}");
        }
    }
}
