//! One primitive, sent once: to the member that answered last, or to the next one while it surely never
//! left. Logs in where etcd asks for it. Retries nothing that may have been applied.

use super::connection::{Connections, Sender};
use super::endpoints::{Dialect, Endpoints, Freshness, Vouched};
use super::gateway::{self, Call, CallError, Called};
use super::refusal::{Meaning, Refusal};
use super::settings::{Endpoint, EtcdSettings, Scheme};
use super::tls::{self, TlsError};
use super::wire;
use crate::clock;
use crate::secret::Secret;
use hyper::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tanist_core::dcs::{Consistency, Revision};
use tanist_core::primitive::{Primitive, PrimitiveOutcome};
use tanist_core::time::{Mono, Span};

/// A member that takes no connection gets its share of the time, and at least this much.
const CONNECT_MIN: Span = Span::millis(200);

/// What is known of our login.
#[derive(Clone)]
enum Login {
    /// No user is configured, or etcd has authentication switched off.
    NotNeeded,
    Needed,
    Done(Secret),
}

pub struct Client {
    base: String,
    connections: Connections,
    endpoints: Mutex<Endpoints>,
    user: Option<(String, Secret)>,
    login: Mutex<Login>,
    version_told: Mutex<Option<String>>,
}

impl Client {
    /// Reads the TLS files, so it belongs before the agent's loop starts.
    pub fn new(settings: EtcdSettings, base: String) -> Result<Client, TlsError> {
        let https = settings.endpoints.iter().any(|e| e.scheme == Scheme::Https);
        let tls = if https {
            Some(tls::client_config(&settings)?)
        } else {
            None
        };
        let login = match settings.user {
            Some(_) => Login::Needed,
            None => Login::NotNeeded,
        };
        Ok(Client {
            base,
            connections: Connections::new(tls),
            endpoints: Mutex::new(Endpoints::new(settings.endpoints)),
            user: settings.user,
            login: Mutex::new(login),
            version_told: Mutex::default(),
        })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// The member that is asked first.
    pub fn current(&self) -> Option<Endpoint> {
        self.endpoints().in_turn().into_iter().next()
    }

    fn endpoints(&self) -> MutexGuard<'_, Endpoints> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of the call by `until`, and when its first byte was sent.
    pub async fn call(&self, call: &Primitive, until: Mono) -> (Mono, PrimitiveOutcome) {
        let (path, body) = wire::encode(call, &self.base);
        let (endpoint, called) = match self.post_in_turn(path, &body, until).await {
            Ok(answered) => answered,
            Err(why) => return (clock::mono(), PrimitiveOutcome::NotSent(why)),
        };
        let outcome = match called.result {
            Ok(answer) => self.read(call, &answer, &endpoint),
            Err(CallError::NotSent(why)) => PrimitiveOutcome::NotSent(why),
            Err(CallError::Unheard(why)) => PrimitiveOutcome::Unknown(why),
            Err(CallError::Refused(refusal)) => refused(&refusal, &endpoint),
        };
        if matches!(outcome, PrimitiveOutcome::Unknown(_)) {
            self.endpoints().failed(&endpoint);
        }
        (called.sent_at, outcome)
    }

    fn read(&self, call: &Primitive, answer: &Value, endpoint: &Endpoint) -> PrimitiveOutcome {
        let (vouched, headed) = match call {
            Primitive::KeepAlive { .. } => (Vouched::ByMember, answer.get("result")),
            Primitive::ReadAll {
                consistency: Consistency::Cached,
            } => (Vouched::ByMember, Some(answer)),
            Primitive::ReadAll {
                consistency: Consistency::Linearizable,
            }
            | Primitive::Grant { .. }
            | Primitive::Transaction(_) => (Vouched::ByQuorum, Some(answer)),
        };
        let Some(header) = headed.and_then(wire::header) else {
            return PrimitiveOutcome::Unknown(format!("{endpoint}: an answer without a header"));
        };
        match self.endpoints().heard(header, vouched) {
            Freshness::Fresh => {}
            Freshness::Stale { term, seen } => {
                return PrimitiveOutcome::Unknown(format!(
                    "{endpoint} is cut off from its cluster: it is at term {term}, others at {seen}"
                ));
            }
        }
        match wire::decode(call, answer, &self.base) {
            Ok(reply) => PrimitiveOutcome::Ok(reply),
            Err(why) => PrimitiveOutcome::Unknown(format!("{endpoint}: {why}")),
        }
    }

    /// Asks each member once, until one of them may have heard.
    async fn post_in_turn(
        &self,
        path: &str,
        body: &Value,
        until: Mono,
    ) -> Result<(Endpoint, Called<Value>), String> {
        let turn = self.endpoints().in_turn();
        let mut refusals = Vec::new();
        for (tried, endpoint) in turn.iter().enumerate() {
            let connect_until = share(until, turn.len() - tried);
            let called = self.post(endpoint, path, body, connect_until, until).await;
            match called.result {
                Err(CallError::NotSent(why)) => {
                    self.endpoints().failed(endpoint);
                    refusals.push(why);
                }
                Ok(_) | Err(CallError::Unheard(_) | CallError::Refused(_)) => {
                    self.endpoints().answered(endpoint);
                    return Ok((endpoint.clone(), called));
                }
            }
        }
        if refusals.is_empty() {
            refusals.push("no etcd endpoint is configured".to_string());
        }
        Err(refusals.join("; "))
    }

    /// One member: its dialect, our login, the call; and once more when etcd wants a new login, since it
    /// has then refused the first without applying it.
    async fn post(
        &self,
        endpoint: &Endpoint,
        path: &str,
        body: &Value,
        connect_until: Mono,
        until: Mono,
    ) -> Called<Value> {
        let dialect = match self.dialect(endpoint, connect_until).await {
            Ok(dialect) => dialect,
            Err(e) => return unsent(e),
        };
        let mut login = match self.logged_in(endpoint, &dialect, connect_until).await {
            Ok(login) => login,
            Err(e) => return unsent(e),
        };
        let path = format!("{}{path}", dialect.prefix);
        let mut relogins_left = 1;
        loop {
            let call = Call {
                endpoint,
                path: &path,
                token: token(&login),
                connect_until,
                until,
            };
            let called = gateway::post(&self.connections, &call, body).await;
            let Err(CallError::Refused(refusal)) = &called.result else {
                return called;
            };
            if refusal.code.is_none() {
                self.endpoints().forget_dialect(endpoint);
            }
            if refusal.meaning() != Meaning::LogInAgain || self.user.is_none() || relogins_left == 0
            {
                return called;
            }
            relogins_left -= 1;
            self.set_login(Login::Needed);
            login = match self.logged_in(endpoint, &dialect, until).await {
                Ok(login) => login,
                Err(e) => return unsent(e),
            };
        }
    }

    /// How this member's gateway is spoken to, by its version: asked once for each member.
    async fn dialect(&self, endpoint: &Endpoint, until: Mono) -> Result<Dialect, CallError> {
        if let Some(known) = self.endpoints().dialect(endpoint) {
            return Ok(known);
        }
        let call = Call {
            endpoint,
            path: "/version",
            token: None,
            connect_until: until,
            until,
        };
        let versions = before_the_request(gateway::get(&self.connections, &call).await)?;
        let version = |field: &str| versions.get(field).and_then(Value::as_str).unwrap_or("");
        let server = version("etcdserver");
        let prefix = match prefix_of(server, version("etcdcluster")) {
            Prefix::Known(prefix) => prefix,
            Prefix::NotYet => {
                let why = format!("{endpoint} is still agreeing on its cluster's version");
                return Err(CallError::NotSent(why));
            }
            Prefix::TooOld => {
                return Err(CallError::Refused(Refusal {
                    http: 404,
                    code: None,
                    text: format!("this is etcd {server:?}; version 3.1 or newer is needed"),
                }));
            }
        };
        self.tell_version(server);
        let dialect = Dialect { prefix };
        self.endpoints().learn_dialect(endpoint, dialect.clone());
        Ok(dialect)
    }

    /// Etcd before 3.4.31, and 3.5 before 3.5.13: a leader that was frozen and thaws revokes leases that
    /// were renewed meanwhile, so the leader key can vanish while its owner renews it in time.
    fn tell_version(&self, server: &str) {
        let mut told = self
            .version_told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if told.as_deref() == Some(server) {
            return;
        }
        *told = Some(server.to_string());
        let Some(version) = parts(server) else { return };
        if version < [3, 4, 31] || ([3, 5, 0]..[3, 5, 13]).contains(&version) {
            tracing::warn!(
                etcd = server,
                "this etcd version can revoke a live lease after its leader was frozen; \
                 upgrade to 3.4.31, 3.5.13 or newer"
            );
        }
    }

    async fn logged_in(
        &self,
        endpoint: &Endpoint,
        dialect: &Dialect,
        until: Mono,
    ) -> Result<Login, CallError> {
        let login = self
            .login
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (Login::Needed, Some((name, password))) = (&login, &self.user) else {
            return Ok(login);
        };
        let call = Call {
            endpoint,
            path: &format!("{}/auth/authenticate", dialect.prefix),
            token: None,
            connect_until: until,
            until,
        };
        let body = json!({"name": name, "password": password.expose()});
        let login = match before_the_request(gateway::post(&self.connections, &call, &body).await) {
            Ok(answer) => match answer.get("token").and_then(Value::as_str) {
                Some(token) => Login::Done(Secret::from(token)),
                None => {
                    return Err(CallError::NotSent(format!(
                        "{endpoint}: login brought no token"
                    )));
                }
            },
            Err(CallError::Refused(refusal))
                if refusal.meaning() == Meaning::AuthenticationIsOff =>
            {
                Login::NotNeeded
            }
            Err(e) => return Err(e),
        };
        self.set_login(login.clone());
        Ok(login)
    }

    fn set_login(&self, login: Login) {
        *self.login.lock().unwrap_or_else(PoisonError::into_inner) = login;
    }

    /// Asks etcd for its members, to have somebody left to ask when the configured ones are down.
    pub async fn refresh_members(&self, until: Mono) {
        let Ok((_, called)) = self
            .post_in_turn("/cluster/member/list", &json!({}), until)
            .await
        else {
            return;
        };
        let Ok(answer) = called.result else { return };
        let urls = answer
            .get("members")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|member| member.get("clientURLs").and_then(Value::as_array))
            .flatten()
            .filter_map(|url| url.as_str().map(str::to_string))
            .collect::<Vec<_>>();
        self.endpoints().learn_members(urls);
    }

    /// Opens a watch of everything below the base path, at the member that is asked first.
    pub async fn watch(
        &self,
        from: Revision,
        until: Mono,
    ) -> Result<(Endpoint, Sender, Response<Incoming>), String> {
        let endpoint = self.current().ok_or("no etcd endpoint is configured")?;
        let opened = self.open_watch(&endpoint, from, until).await;
        opened
            .map(|(sender, response)| (endpoint.clone(), sender, response))
            .map_err(|e| {
                self.endpoints().failed(&endpoint);
                match e {
                    CallError::NotSent(why) | CallError::Unheard(why) => why,
                    CallError::Refused(refusal) => {
                        if refusal.meaning() == Meaning::LogInAgain && self.user.is_some() {
                            self.set_login(Login::Needed);
                        }
                        format!("{endpoint}: {}", refusal.text)
                    }
                }
            })
    }

    async fn open_watch(
        &self,
        endpoint: &Endpoint,
        from: Revision,
        until: Mono,
    ) -> Result<(Sender, Response<Incoming>), CallError> {
        let dialect = self.dialect(endpoint, until).await?;
        let login = self.logged_in(endpoint, &dialect, until).await?;
        let call = Call {
            endpoint,
            path: &format!("{}/watch", dialect.prefix),
            token: token(&login),
            connect_until: until,
            until,
        };
        gateway::stream(&self.connections, &call, &wire::watch_all(&self.base, from)).await
    }

    /// Whether a message of a watch comes from a member that knows less than others.
    pub fn is_stale(&self, message: &Value) -> bool {
        wire::header(message).is_some_and(|header| {
            self.endpoints().heard(header, Vouched::ByMember) != Freshness::Fresh
        })
    }
}

fn token(login: &Login) -> Option<&Secret> {
    match login {
        Login::Done(token) => Some(token),
        Login::NotNeeded | Login::Needed => None,
    }
}

/// A step before the request failed: the request itself never left.
fn before_the_request(called: Called<Value>) -> Result<Value, CallError> {
    called.result.map_err(|e| match e {
        CallError::NotSent(why) | CallError::Unheard(why) => CallError::NotSent(why),
        CallError::Refused(refusal) if refusal.meaning() == Meaning::NoVerdict => {
            CallError::NotSent(refusal.text)
        }
        CallError::Refused(refusal) => CallError::Refused(refusal),
    })
}

fn unsent(e: CallError) -> Called<Value> {
    Called {
        sent_at: clock::mono(),
        result: Err(e),
    }
}

fn refused(refusal: &Refusal, endpoint: &Endpoint) -> PrimitiveOutcome {
    let why = format!("{endpoint}: {}", refusal.text);
    match refusal.meaning() {
        Meaning::LeaseNotFound => PrimitiveOutcome::LeaseNotFound,
        Meaning::LogInAgain
        | Meaning::AuthenticationIsOff
        | Meaning::Compacted
        | Meaning::Denied => PrimitiveOutcome::Denied(why),
        Meaning::NoVerdict => PrimitiveOutcome::Unknown(why),
    }
}

fn share(until: Mono, members_left: usize) -> Mono {
    let now = clock::mono();
    let share = until.since(now).divided_by(members_left as u64);
    until.min(now + share.max(CONNECT_MIN))
}

#[derive(Debug, PartialEq, Eq)]
enum Prefix {
    Known(&'static str),
    NotYet,
    TooOld,
}

/// Where the gateway is. A cluster that was just started calls itself `not_decided` or `3.0.0` for a
/// moment, whatever its servers are.
fn prefix_of(server: &str, cluster: &str) -> Prefix {
    match (parts(server), parts(cluster)) {
        (_, Some(cluster)) if cluster >= [3, 4, 0] => Prefix::Known("/v3"),
        (_, Some(cluster)) if cluster >= [3, 3, 0] => Prefix::Known("/v3beta"),
        (_, Some(cluster)) if cluster >= [3, 1, 0] => Prefix::Known("/v3alpha"),
        (Some(server), Some(_) | None) if server >= [3, 1, 0] => Prefix::NotYet,
        (Some(_) | None, Some(_) | None) => Prefix::TooOld,
    }
}

/// `3.4.23` and `3.5.0-rc.1` as numbers.
fn parts(version: &str) -> Option<[u32; 3]> {
    let mut parts = version
        .split(['.', '-', '+'])
        .map(|part| part.parse::<u32>().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_versions_compare_as_numbers() {
        assert_eq!(parts("3.4.23"), Some([3, 4, 23]));
        assert_eq!(parts("3.5.0-rc.1"), Some([3, 5, 0]));
        assert_eq!(parts("not_decided"), None);
        assert!(parts("3.10.0") > parts("3.9.9"));
    }

    #[test]
    fn the_gateway_is_found_by_the_clusters_version() {
        for (server, cluster, prefix) in [
            ("3.4.23", "3.4.0", Prefix::Known("/v3")),
            ("3.6.5", "3.6.0", Prefix::Known("/v3")),
            ("3.4.23", "3.3.0", Prefix::Known("/v3beta")),
            ("3.2.26", "3.2.0", Prefix::Known("/v3alpha")),
            ("3.4.23", "3.0.0", Prefix::NotYet),
            ("3.4.23", "not_decided", Prefix::NotYet),
            ("3.0.17", "3.0.0", Prefix::TooOld),
            ("", "", Prefix::TooOld),
        ] {
            assert_eq!(prefix_of(server, cluster), prefix, "{server} in {cluster}");
        }
    }
}
