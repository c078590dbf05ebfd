//! The REST server over real sockets: codes, bodies and headers of a scripted view, requests that go to a
//! scripted agent and come back, and clients that do not behave.

#[path = "../../core/tests/support/sql.rs"]
mod sql;

use proptest::prelude::*;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use tanist::clock;
use tanist::rest::{Look, Published, RestHandle, RestSettings, start};
use tanist::secret::Secret;
use tanist::settings::restapi::Credentials;
use tanist::settings::section::HostPort;
use tanist_core::cluster::Cluster;
use tanist_core::config::Config;
use tanist_core::dcs::{KeyValue, LeaseId, Revision, Snapshot};
use tanist_core::input::Input;
use tanist_core::leader_key::Authority;
use tanist_core::name::Term;
use tanist_core::operator::{Answer, OperatorRequest, Refusal};
use tanist_core::postgres::*;
use tanist_core::time::Span;
use tanist_core::timeline::{TimelineHistory, TimelineId};
use tanist_core::view::{Role, State, Told, View};

fn keys() -> Cluster {
    let kv = |value: &str| KeyValue {
        value: value.into(),
        created: Revision(1),
        modified: Revision(1),
        lease: LeaseId(7),
    };
    let pairs = [
        ("leader", "n1"),
        ("config", r#"{"ttl":30,"loop_wait":10}"#),
        (
            "members/n1",
            r#"{"conn_url":"postgres://127.0.0.1:5432/postgres","api_url":"http://127.0.0.1:8008/patroni","state":"running","role":"primary","timeline":1}"#,
        ),
        (
            "history",
            r#"[[1,50639880,"no recovery target specified"]]"#,
        ),
    ];
    Cluster::read(&Snapshot {
        revision: Revision(9),
        keys: pairs.iter().map(|(k, v)| (k.to_string(), kv(v))).collect(),
    })
}

fn primary() -> View {
    let now = clock::now();
    let told = Told {
        now,
        text: "leads: the key is mine".into(),
    };
    View {
        scope: "demo".into(),
        name: "n1".into(),
        api_url: "http://127.0.0.1:8008/patroni".into(),
        conn_url: "postgres://127.0.0.1:5432/postgres".into(),
        tags: Map::new(),
        role: Role::Primary,
        state: State::Running,
        authority: Authority::Lease {
            until: now.mono + Span::secs(60),
            term: Term(3),
        },
        holds_key: true,
        stands_back: false,
        paused: false,
        config: Config::default(),
        observed: Some(Observation {
            data_dir: DataDir::Empty,
            processes: Processes {
                postmaster: Some(77),
                backends: 5,
            },
            sql: Sql::Answered(sql::status(false)),
            history: TimelineHistory::bare(TimelineId(1)),
            other_lines: Vec::new(),
            promoted: Vec::new(),
            standby_signal: false,
            roles_owed: false,
            led_last: false,
            copy: None,
        }),
        observed_at: Some(now.mono),
        cluster: Some(keys()),
        store_seen: Some(now),
        operation: None,
        decision: "leads".into(),
        recent: VecDeque::from([told]),
        requests: BTreeMap::new(),
        decided_at: now.mono,
    }
}

fn published(view: View) -> Published {
    Arc::new(RwLock::new(Arc::new(view)))
}

/// PostgreSQL says nothing of its own: answers come from the view.
fn no_look() -> Look {
    Arc::new(|| Box::pin(async { None }))
}

/// A server with an agent behind it that answers as `script` says.
struct Member {
    handle: Arc<RestHandle>,
    published: Published,
    address: SocketAddr,
}

fn member(script: fn(&OperatorRequest) -> Option<Answer>) -> Member {
    member_for(None, script)
}

fn member_for(
    credentials: Option<Credentials>,
    script: fn(&OperatorRequest) -> Option<Answer>,
) -> Member {
    let shown = published(primary());
    let (inputs, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let settings = RestSettings {
        listen: HostPort {
            host: "127.0.0.1".into(),
            port: 0,
        },
        credentials,
        recordings: "/nonexistent".into(),
    };
    let handle = Arc::new(start(settings, shown.clone(), no_look(), inputs).expect("a free port"));
    let agent = Arc::downgrade(&handle);
    std::thread::spawn(move || {
        while let Some(Input::Operator(input)) = asked.blocking_recv() {
            let Some(handle) = agent.upgrade() else {
                return;
            };
            if let Some(answer) = script(&input.request) {
                handle.reply(&input.id, answer);
            }
        }
    });
    let address = handle.addresses()[0];
    Member {
        handle,
        published: shown,
        address,
    }
}

fn silent(_: &OperatorRequest) -> Option<Answer> {
    None
}

impl Member {
    /// Sends bytes, reads until the other side closes: one connection a request.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout can be set");
        stream.write_all(bytes).expect("the request is taken");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn ask(&self, method: &str, target: &str) -> (u16, String) {
        parts(&self.raw(format!("{method} {target} HTTP/1.0\r\n\r\n").as_bytes()))
    }

    fn send(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        parts(&self.raw(format!("{head}{body}").as_bytes()))
    }
}

fn parts(answer: &str) -> (u16, String) {
    let code = answer.split(' ').nth(1).and_then(|c| c.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    (code.unwrap_or(0), body.unwrap_or_default().to_string())
}

#[test]
fn a_load_balancer_reads_the_code_and_a_person_the_status() {
    let member = member(silent);
    for (method, target, code) in [
        ("GET", "/", 200),
        ("GET", "/primary", 200),
        ("HEAD", "/primary", 200),
        ("OPTIONS", "/primary", 200),
        ("OPTIONS", "/replica", 503),
        ("GET", "/replica?lag=1MB", 503),
        ("GET", "/liveness", 200),
        ("HEAD", "/liveness", 503),
        ("GET", "/readiness", 200),
        ("GET", "/health", 200),
        ("GET", "/history", 200),
        ("GET", "/cluster", 200),
        ("GET", "/config", 200),
        ("GET", "/trace?n=1", 200),
        ("GET", "/trace?n=x", 400),
        ("GET", "/metrics", 501),
        ("GET", "/unheard-of", 503),
        ("PUT", "/unheard-of", 501),
        ("DELETE", "/restart", 501),
    ] {
        assert_eq!(member.ask(method, target).0, code, "{method} {target}");
    }
    let body: Value = serde_json::from_str(&member.ask("GET", "/primary").1).unwrap();
    assert_eq!(body["patroni"]["name"], "n1");
    assert_eq!(body["xlog"]["location"], 50_331_784);
    assert_eq!(member.ask("GET", "/liveness").1, "");
    assert_eq!(member.ask("OPTIONS", "/primary").1, "");
    let config: Value = serde_json::from_str(&member.ask("GET", "/config").1).unwrap();
    assert_eq!(config["ttl"], 30);
    let trace: Value = serde_json::from_str(&member.ask("GET", "/trace").1).unwrap();
    assert_eq!(trace["recent"][0]["text"], "leads: the key is mine");
}

/// Monitoring reads these bodies: a field that changes its name or its kind is a change that must be meant.
#[test]
fn the_bodies_that_monitoring_reads_keep_their_form() {
    let member = member(silent);
    for (name, target) in [
        ("patroni", "/patroni"),
        ("cluster", "/cluster"),
        ("history", "/history"),
        ("config", "/config"),
    ] {
        let mut body: Value = serde_json::from_str(&member.ask("GET", target).1).unwrap();
        if let Some(seen) = body.get_mut("dcs_last_seen") {
            assert!(seen.as_i64().is_some_and(|at| at > 1_700_000_000), "{seen}");
            *seen = "now, in seconds".into();
        }
        if let Some(left) = body.pointer_mut("/tanist/authority/until_ms_left") {
            assert!(left.as_u64().is_some_and(|ms| ms <= 60_000), "{left}");
            *left = "what is left, in milliseconds".into();
        }
        insta::assert_snapshot!(name, serde_json::to_string_pretty(&body).unwrap());
    }
}

#[test]
fn primary_says_no_when_authority_has_ended_although_the_view_is_unchanged() {
    let member = member(silent);
    let mut view = primary();
    let until = clock::mono() + Span::millis(300);
    view.authority = Authority::Lease {
        until,
        term: Term(3),
    };
    *member.published.write().unwrap() = Arc::new(view);
    assert_eq!(member.ask("GET", "/primary").0, 200);
    while clock::mono() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(member.ask("GET", "/primary").0, 503);
}

#[test]
fn one_connection_serves_many_requests() {
    let member = member(silent);
    let mut stream = TcpStream::connect(member.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"GET /liveness HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut answer = [0; 1024];
        let n = stream.read(&mut answer).unwrap();
        assert!(answer[..n].starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn a_request_reaches_the_agent_and_its_end_comes_back_with_patronis_code() {
    let member = member(|request| {
        Some(match request {
            OperatorRequest::Switchover { at: Some(_), .. } => {
                Answer::Accepted("Switchover scheduled".into())
            }
            OperatorRequest::Switchover { .. } => {
                Answer::Done("Successfully switched over to \"n2\"".into())
            }
            OperatorRequest::Failover { .. } => Answer::Refused {
                code: Refusal::PreconditionFailed,
                why: "candidate does not exists".into(),
            },
            OperatorRequest::CancelSwitchover => Answer::Refused {
                code: Refusal::NotFound,
                why: "no switchover is scheduled".into(),
            },
            OperatorRequest::Restart => Answer::Failed("restart failed".into()),
            OperatorRequest::Reinitialize { .. } => Answer::Accepted("reinitialize started".into()),
            OperatorRequest::PatchConfig { patch } => Answer::Done(patch.clone()),
            OperatorRequest::PutConfig { .. } => Answer::StillRunning("no verdict".into()),
        })
    });
    let scheduled = r#"{"leader":"n1","scheduled_at":"2199-01-01T00:00:00Z"}"#;
    for (method, target, body, code, words) in [
        (
            "POST",
            "/switchover",
            r#"{"leader":"n1"}"#,
            200,
            "Successfully switched over",
        ),
        (
            "POST",
            "/switchover",
            scheduled,
            202,
            "Switchover scheduled",
        ),
        (
            "POST",
            "/switchover",
            r#"{"candidate":"n1"}"#,
            400,
            "from a specific leader",
        ),
        (
            "POST",
            "/failover",
            r#"{"candidate":"n9"}"#,
            412,
            "candidate does not exists",
        ),
        (
            "DELETE",
            "/switchover",
            "",
            404,
            "no switchover is scheduled",
        ),
        ("POST", "/restart", "", 503, "restart failed"),
        (
            "POST",
            "/reinitialize",
            r#"{"force":true}"#,
            200,
            "reinitialize started",
        ),
        (
            "PATCH",
            "/config",
            r#"{"pause":true}"#,
            200,
            r#"{"pause":true}"#,
        ),
        ("PATCH", "/config", "nonsense", 400, "not valid JSON"),
        ("PUT", "/config", r#"{"ttl":30}"#, 503, "no verdict"),
    ] {
        let (got, text) = member.send(method, target, body);
        assert_eq!(got, code, "{method} {target} {body}: {text}");
        assert!(text.contains(words), "{method} {target} {body}: {text}");
    }
    assert_eq!(member.ask("PATCH", "/config").0, 411);
    let chunked = "POST /restart HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(parts(&member.raw(chunked.as_bytes())).0, 411);
}

#[test]
fn a_body_beyond_the_limit_is_refused_unread() {
    let member = member(silent);
    let body = format!(r#"{{"x":"{}"}}"#, "y".repeat(70_000));
    assert_eq!(member.send("PATCH", "/config", &body).0, 413);
}

#[test]
fn only_whoever_knows_the_password_changes_things() {
    let credentials = Credentials {
        username: "ops".into(),
        password: Secret::new("sesame"),
    };
    let member = member_for(Some(credentials), |_| Some(Answer::Done("{}".into())));
    let patch = |authorization: &str| {
        member.raw(
            format!(
                "PATCH /config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}Content-Length: 10\r\n\r\n{{\"ttl\":30}}"
            )
            .as_bytes(),
        )
    };
    let refused = patch("");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    assert!(refused.to_lowercase().contains("www-authenticate: basic"));
    assert!(patch("Authorization: Basic b3BzOndyb25n\r\n").starts_with("HTTP/1.1 401"));
    assert!(patch("Authorization: Basic b3BzOnNlc2FtZQ==\r\n").starts_with("HTTP/1.1 200"));
    assert_eq!(member.ask("GET", "/config").0, 200);
}

#[test]
fn a_client_that_hangs_up_gives_its_place_free_and_an_agent_that_says_nothing_blocks_no_check() {
    let member = member(silent);
    let body = r#"{"leader":"n1"}"#;
    let request = format!(
        "POST /switchover HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut waiting = Vec::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(member.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        waiting.push(stream);
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    let too_many = loop {
        // Hangs up after a moment when it was taken in.
        let mut stream = TcpStream::connect(member.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 512];
        if let Ok(n @ 1..) = stream.read(&mut answer) {
            break String::from_utf8_lossy(&answer[..n]).into_owned();
        }
        assert!(Instant::now() < deadline, "more than 32 were taken in");
    };
    assert!(too_many.starts_with("HTTP/1.1 503"), "{too_many}");
    assert_eq!(member.ask("GET", "/primary").0, 200);
    drop(waiting);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut stream = TcpStream::connect(member.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 512];
        if stream.read(&mut answer).is_err() {
            break;
        }
        assert!(Instant::now() < deadline, "the places were not given back");
    }
}

#[test]
fn a_taken_port_is_told_at_the_start_with_a_remedy() {
    let member = member(silent);
    let (inputs, _asked) = tokio::sync::mpsc::unbounded_channel();
    let settings = RestSettings {
        listen: HostPort {
            host: "127.0.0.1".into(),
            port: member.address.port(),
        },
        credentials: None,
        recordings: "/nonexistent".into(),
    };
    let refused = start(settings, published(primary()), no_look(), inputs).err();
    let text = refused.expect("the port is taken").to_string();
    assert!(text.contains("check `restapi.listen`"), "{text}");
}

#[test]
fn dropping_the_handle_closes_the_port() {
    let Member {
        handle, address, ..
    } = member(silent);
    drop(handle);
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn arbitrary_bytes_never_stop_the_server() {
    let member = member(|_| Some(Answer::Done("{}".into())));
    let methods = prop::sample::select(vec![
        "GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "X",
    ]);
    let targets =
        prop::sample::select(vec!["/", "/config", "/switchover", "/restart", "/trace?n="]);
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let shaped = (methods, targets, bytes.clone(), 0_usize..400).prop_map(
        |(method, target, junk, length)| {
            let head = format!("{method} {target}");
            let mut request = head.into_bytes();
            request.extend(
                junk.iter()
                    .take(length % 20)
                    .filter(|b| b.is_ascii_graphic()),
            );
            request.extend(format!(" HTTP/1.1\r\nContent-Length: {length}\r\n\r\n").bytes());
            request.extend(junk);
            request
        },
    );
    let any_request = prop_oneof![bytes, shaped];
    proptest!(ProptestConfig::with_cases(200), |(request in any_request)| {
        let mut stream = TcpStream::connect(member.address).expect("the server listens");
        let _ = stream.write_all(&request);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let mut answer = Vec::new();
        // It ends the connection, with an answer or without one, but it does end it.
        let ended = stream.read_to_end(&mut answer);
        let timed_out = ended.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        prop_assert!(!timed_out);
    });
    assert_eq!(member.ask("GET", "/primary").0, 200);
}
