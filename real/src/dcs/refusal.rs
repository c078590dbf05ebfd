//! What does an error answer of etcd's gateway mean for the request? One table, by gRPC code and, where
//! the code says too little, by etcd's own text. Knows nothing of connections.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A put named a lease that does not exist: not applied.
    LeaseNotFound,
    /// The token is missing, unknown or older than the last change of users: log in and ask again.
    LogInAgain,
    /// Logging in is pointless: authentication is switched off.
    AuthenticationIsOff,
    /// The revision asked for is no longer kept.
    Compacted,
    /// Not applied, and repeating will not help.
    Denied,
    /// The gateway answered for a store that gave no verdict.
    NoVerdict,
}

/// An error answer, in etcd's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub http: u16,
    pub code: Option<i64>,
    pub text: String,
}

impl Refusal {
    /// Unary: `{error, message, code}`; in a stream: `{"error": {grpc_code or code, message}}`.
    pub fn read(http: u16, body: &[u8]) -> Refusal {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
            return Refusal {
                http,
                code: None,
                text: format!("HTTP {http}: {}", text.trim()),
            };
        };
        Refusal::of(http, &value)
    }

    pub fn of(http: u16, value: &Value) -> Refusal {
        let inner = value
            .get("error")
            .filter(|e| e.is_object())
            .unwrap_or(value);
        let code = ["code", "grpc_code"]
            .iter()
            .find_map(|name| inner.get(name).and_then(Value::as_i64));
        let text = ["message", "error"]
            .iter()
            .find_map(|name| inner.get(name).and_then(Value::as_str))
            .unwrap_or("etcd gave no reason");
        Refusal {
            http,
            code,
            text: text.to_string(),
        }
    }

    pub fn meaning(&self) -> Meaning {
        let says = |words: &str| self.text.contains(words);
        match self.code {
            Some(5) if says("lease not found") => Meaning::LeaseNotFound,
            Some(16) => Meaning::LogInAgain,
            Some(3) if says("user name is empty") || says("revision of auth store is old") => {
                Meaning::LogInAgain
            }
            Some(9) if says("authentication is not enabled") => Meaning::AuthenticationIsOff,
            Some(11) => Meaning::Compacted,
            // Invalid argument, not found, permission, out of quota, not built in.
            Some(3 | 5 | 7 | 8 | 12) => Meaning::Denied,
            // Also "context deadline exceeded", "no leader", "not a primary lessor", timeouts.
            Some(_) => Meaning::NoVerdict,
            None => match self.http {
                400..=499 => Meaning::Denied,
                _ => Meaning::NoVerdict,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(http: u16, body: &str, meaning: Meaning) {
        let refusal = Refusal::read(http, body.as_bytes());
        assert_eq!(refusal.meaning(), meaning, "{refusal:?}");
    }

    #[test]
    fn each_recorded_error_of_etcd_has_its_meaning() {
        let said = |text: &str, code: i64| {
            format!(r#"{{"error":"{text}","message":"{text}","code":{code}}}"#)
        };
        for (http, text, code, meaning) in [
            (
                404,
                "etcdserver: requested lease not found",
                5,
                Meaning::LeaseNotFound,
            ),
            (
                400,
                "etcdserver: user name is empty",
                3,
                Meaning::LogInAgain,
            ),
            (
                400,
                "etcdserver: revision of auth store is old",
                3,
                Meaning::LogInAgain,
            ),
            (
                401,
                "etcdserver: invalid auth token",
                16,
                Meaning::LogInAgain,
            ),
            (
                400,
                "etcdserver: authentication failed, invalid user ID or password",
                3,
                Meaning::Denied,
            ),
            (403, "etcdserver: permission denied", 7, Meaning::Denied),
            (
                429,
                "etcdserver: mvcc: database space exceeded",
                8,
                Meaning::Denied,
            ),
            (503, "etcdserver: no leader", 14, Meaning::NoVerdict),
            (500, "context deadline exceeded", 2, Meaning::NoVerdict),
            (
                500,
                "etcdserver: not a primary lessor",
                2,
                Meaning::NoVerdict,
            ),
            (503, "etcdserver: request timed out", 14, Meaning::NoVerdict),
            (
                400,
                "etcdserver: authentication is not enabled",
                9,
                Meaning::AuthenticationIsOff,
            ),
            (400, "etcdserver: something else", 9, Meaning::NoVerdict),
            (
                400,
                "etcdserver: mvcc: required revision has been compacted",
                11,
                Meaning::Compacted,
            ),
        ] {
            check(http, &said(text, code), meaning);
        }
    }

    #[test]
    fn an_error_inside_a_stream_reads_like_any_other() {
        check(
            200,
            r#"{"error":{"grpc_code":16,"http_code":401,"message":"etcdserver: invalid auth token"}}"#,
            Meaning::LogInAgain,
        );
    }

    #[test]
    fn a_proxy_that_answers_for_etcd_is_no_verdict() {
        check(502, "<html>Bad Gateway</html>", Meaning::NoVerdict);
        check(404, "404 page not found", Meaning::Denied);
    }
}
