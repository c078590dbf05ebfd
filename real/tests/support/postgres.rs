//! Members with a real PostgreSQL for the contract tests: rooms in a temporary folder, run as an ordinary
//! user, with a watcher that looks for passwords in every command line and environment.

use rustix::process::Signal;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tanist::clock;
use tanist::postgres::process::{self, Instance};
use tanist::postgres::{Adapter, AsideCopies, DbUser, DirectHost, PgSettings, state_dir_beside};
use tanist_core::input::Input;
use tanist_core::name::{MemberName, OpId, Term};
use tanist_core::postgres::{
    Address, Ended, Observation, Operation, PgInput, SideTask, Sql, SqlStatus, StartAs, StopMode,
    StopPlan, Upstream,
};
use tanist_core::time::Span;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Part of every password of these tests.
pub const CANARY: &str = "canary-5c1e";

/// Runs `body` as an ordinary user: PostgreSQL refuses root. As root, the test binary runs itself again for
/// this one test as the user `postgres` (or `nobody`).
pub fn in_room<F: Future<Output = ()>>(test: &str, body: impl FnOnce(Room) -> F) {
    in_room_telling(test, |room| async {
        body(room).await;
        String::new()
    });
}

/// The same for a body with something to tell, which the ordinary user may not read or write where it belongs.
/// `None`: this is the ordinary user's run; the one that began it goes on with what was told.
pub fn in_room_telling<F: Future<Output = String>>(
    test: &str,
    body: impl FnOnce(Room) -> F,
) -> Option<String> {
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = ordinary_user();
        let binary = reachable_copy(test);
        let ran = binary.with_extension("ran");
        let status = Command::new(&binary)
            .args([test, "--exact", "--nocapture"])
            .uid(uid)
            .gid(gid)
            .env("HOME", "/tmp")
            .env(RAN, &ran)
            .current_dir("/tmp")
            .status()
            .unwrap();
        let _ = std::fs::remove_file(&binary);
        assert!(status.success(), "as an ordinary user: {status}");
        // A name that no test has runs nothing, and that is a success.
        let told = std::fs::read_to_string(&ran);
        let told = told.expect("the test ran to its end as an ordinary user");
        std::fs::remove_file(&ran).unwrap();
        return Some(told);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let told = runtime.block_on(body(Room::new(&file_name(test))));
    let Some(ran) = std::env::var_os(RAN) else {
        return Some(told);
    };
    std::fs::write(ran, &told).unwrap();
    None
}

/// Where a test that runs as an ordinary user leaves word that it did, and what it has to tell.
const RAN: &str = "TANIST_TEST_RAN";

fn file_name(test: &str) -> String {
    test.replace("::", "-")
}

/// This binary where an ordinary user can run it: the build folder may lie below one that is root's alone.
fn reachable_copy(test: &str) -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    let name = format!("tanist-contract-{}-{}", std::process::id(), file_name(test));
    let copy = std::env::temp_dir().join(name);
    if std::fs::hard_link(&binary, &copy).is_err() {
        std::fs::copy(&binary, &copy).unwrap();
    }
    copy
}

fn ordinary_user() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = passwd
            .lines()
            .find(|l| l.starts_with(&format!("{name}:")))?;
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).unwrap()
}

/// A folder of its own; everything that runs in it is ended when the test ends.
pub struct Room {
    pub dir: PathBuf,
    members: std::sync::Mutex<Vec<PathBuf>>,
    ended: Arc<AtomicBool>,
    watcher: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Room {
    fn new(test: &str) -> Room {
        let short: String = test.chars().take(20).collect();
        let dir = PathBuf::from(format!("/tmp/tanist-{}-{short}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let watcher = std::thread::spawn(move || watch_for_passwords(&until));
        Room {
            dir,
            members: std::sync::Mutex::default(),
            ended,
            watcher: Some(watcher),
        }
    }

    pub fn member(&self, name: &str) -> Member {
        self.member_in(&self.dir, name)
    }

    /// In a folder below the room's own.
    pub fn member_in(&self, folder: &Path, name: &str) -> Member {
        let settings = settings(folder, name);
        self.members.lock().unwrap().push(settings.data_dir.clone());
        Member::new(settings)
    }

    /// A running primary with its roles.
    pub async fn primary(&self, name: &str) -> Member {
        let mut member = self.member(name);
        member.done(Operation::Initdb).await;
        member.done(member.start_as(StartAs::Primary)).await;
        member.done(Operation::PostBootstrap).await;
        member
    }

    /// A clone of `source` that streams from it through a slot.
    pub async fn standby(&self, name: &str, source: &mut Member) -> Member {
        let mut member = self.member(name);
        let slot = member.settings.name.slot_name();
        source
            .side_done(SideTask::CreateSlot { name: slot.clone() })
            .await;
        let upstream = Upstream {
            slot: Some(slot),
            ..source.as_upstream()
        };
        member
            .done(Operation::Clone {
                source: upstream.clone(),
            })
            .await;
        member
            .done(member.start_as(StartAs::Standby {
                upstream: Some(upstream),
            }))
            .await;
        member.until("it streams", |s| s.streaming).await;
        member
    }
}

impl Room {
    /// Ends every server that runs in it.
    pub fn end_servers(&self) {
        for dir in self.members.lock().unwrap().iter() {
            // Until none is left: killing the postmaster first keeps it from forking more.
            for _ in 0..200 {
                let found = Instance::new(dir).scan().unwrap();
                if found.none_left() {
                    break;
                }
                for p in found.postmaster.iter().chain(&found.backends) {
                    let _ = process::signal(*p, Signal::KILL);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.end_servers();
        self.ended.store(true, Ordering::SeqCst);
        let seen = self.watcher.take().map(|w| w.join().unwrap_or_default());
        if std::thread::panicking() {
            eprintln!("left for inspection: {}", self.dir.display());
            return;
        }
        std::fs::remove_dir_all(&self.dir).unwrap();
        assert_eq!(
            seen,
            Some(Vec::new()),
            "a password was in a command line or environment"
        );
    }
}

/// Every process of the machine whose command line or environment holds the canary.
fn watch_for_passwords(ended: &AtomicBool) -> Vec<String> {
    let mut seen = Vec::new();
    while !ended.load(Ordering::SeqCst) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            for file in ["cmdline", "environ"] {
                let text = std::fs::read(entry.path().join(file)).unwrap_or_default();
                if text.windows(CANARY.len()).any(|w| w == CANARY.as_bytes()) {
                    seen.push(format!("{file}: {}", String::from_utf8_lossy(&text)));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    seen
}

fn settings(room: &Path, name: &str) -> PgSettings {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let data_dir = room.join(name);
    let user = |username: &str| DbUser {
        username: username.into(),
        password: format!("{CANARY}:{username}'\\").as_str().into(),
        options: BTreeMap::new(),
    };
    let text = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    PgSettings {
        name: MemberName::from(name),
        scope: "contract".into(),
        bin_dir: "/usr/lib/postgresql/15/bin".into(),
        state_dir: state_dir_beside(&data_dir),
        config_dir: data_dir.clone(),
        log_file: room.join(format!("{name}.log")),
        listen: "127.0.0.1".into(),
        port,
        connect_address: Address {
            host: "127.0.0.1".into(),
            port,
        },
        database: "postgres".into(),
        superuser: user("admin"),
        replication: user("replicator"),
        rewind: Some(user("rewinder")),
        pgpass: room.join(format!("{name}.pgpass")),
        unix_socket_dir: Some(room.to_path_buf()),
        pg_hba: text(&[
            "local all all scram-sha-256",
            "host all all 127.0.0.1/32 scram-sha-256",
            "host replication replicator 127.0.0.1/32 scram-sha-256",
        ]),
        pg_ident: Vec::new(),
        bootstrap_pg_hba: Vec::new(),
        initdb_options: text(&["--data-checksums", "--no-sync", "--auth=scram-sha-256"]),
        basebackup_options: text(&["--no-sync"]),
        rewind_options: Vec::new(),
        pg_ctl_timeout: Span::secs(60),
        custom_conf: None,
        recovery_conf: BTreeMap::new(),
        aside: AsideCopies::KeepNewest,
        data_dir,
    }
}

/// One member: its adapter and what came from it.
pub struct Member {
    pub settings: PgSettings,
    pub adapter: Adapter,
    inputs: UnboundedReceiver<Input>,
    next: u64,
    /// Phases of the last operation.
    pub phases: Vec<String>,
    pub exited: Vec<u32>,
    /// The look that was pushed before the last operation's end.
    pub seen: Option<Observation>,
}

impl Member {
    pub fn new(settings: PgSettings) -> Member {
        let (sender, inputs) = unbounded_channel();
        let adapter = Adapter::new(settings.clone(), Arc::new(DirectHost), sender);
        Member {
            settings,
            adapter,
            inputs,
            next: 0,
            phases: Vec::new(),
            exited: Vec::new(),
            seen: None,
        }
    }

    pub fn as_upstream(&self) -> Upstream {
        Upstream {
            member: self.settings.name.clone(),
            address: self.settings.connect_address.clone(),
            slot: None,
        }
    }

    pub fn parameters(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("wal_log_hints", "on"),
            ("wal_keep_size", "128MB"),
            ("fsync", "off"),
            ("max_connections", "40"),
        ];
        pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect()
    }

    pub fn start_as(&self, role: StartAs) -> Operation {
        Operation::Start {
            role,
            parameters: self.parameters(),
            timeout: Span::secs(60),
        }
    }

    pub fn begin(&mut self, operation: Operation) -> OpId {
        self.next += 1;
        let op = OpId(self.next);
        self.adapter.start_operation(op, operation, Some(Term(7)));
        op
    }

    /// Waits for the end of `op`; a look must have come before it.
    pub async fn end_of(&mut self, op: OpId) -> Ended {
        self.phases.clear();
        self.seen = None;
        loop {
            match self.next_input().await {
                PgInput::Observed {
                    op: None,
                    observation,
                } => self.seen = Some(observation),
                PgInput::Observed { op: Some(_), .. } => {}
                PgInput::PostmasterExited { pid } => self.exited.push(pid),
                PgInput::Progress { phase, .. } => self.phases.push(phase),
                PgInput::Finished {
                    op: ended_op,
                    ended,
                } => {
                    assert_eq!(ended_op, op, "only one operation was under way");
                    return ended;
                }
            }
        }
    }

    pub async fn next_input(&mut self) -> PgInput {
        let next = tokio::time::timeout(Duration::from_secs(90), self.inputs.recv());
        match next.await.expect("an input within 90 s").unwrap() {
            Input::Postgres(input) => input,
            other => panic!("not of PostgreSQL: {other:?}"),
        }
    }

    pub async fn operate(&mut self, operation: Operation) -> Ended {
        let op = self.begin(operation);
        let ended = self.end_of(op).await;
        assert!(
            self.seen.is_some(),
            "a look comes before the end of an operation"
        );
        ended
    }

    pub async fn done(&mut self, operation: Operation) {
        let verb = operation.verb();
        assert_eq!(
            self.operate(operation).await,
            Ended::Done,
            "{verb} of {}",
            self.settings.name
        );
    }

    /// The text with which `operation` must fail.
    pub async fn refused(&mut self, operation: Operation) -> String {
        match self.operate(operation).await {
            Ended::Failed(why) => why,
            other => panic!("expected a failure, ended as {other:?}"),
        }
    }

    pub async fn side(&mut self, task: SideTask) -> Ended {
        self.next += 1;
        let op = OpId(self.next);
        self.adapter
            .start_side(op, task, clock::mono() + Span::secs(20));
        loop {
            match self.next_input().await {
                PgInput::Finished {
                    op: ended_op,
                    ended,
                } if ended_op == op => return ended,
                PgInput::PostmasterExited { pid } => self.exited.push(pid),
                _ => {}
            }
        }
    }

    pub async fn side_done(&mut self, task: SideTask) {
        let noun = task.noun();
        assert_eq!(self.side(task).await, Ended::Done, "{noun}");
    }

    pub async fn probe(&mut self) -> Observation {
        self.probe_within(Span::secs(10)).await
    }

    pub async fn probe_within(&mut self, limit: Span) -> Observation {
        self.next += 1;
        let op = OpId(self.next);
        self.adapter
            .start_side(op, SideTask::Probe, clock::mono() + limit);
        loop {
            match self.next_input().await {
                PgInput::Observed {
                    op: Some(observed),
                    observation,
                } if observed == op => return observation,
                PgInput::Finished {
                    op: ended_op,
                    ended,
                } if ended_op == op => panic!("the probe failed: {ended:?}"),
                PgInput::PostmasterExited { pid } => self.exited.push(pid),
                _ => {}
            }
        }
    }

    pub async fn status(&mut self) -> SqlStatus {
        match self.probe().await.sql {
            Sql::Answered(status) => status,
            other => panic!("{} does not answer: {other:?}", self.settings.name),
        }
    }

    pub async fn until(&mut self, what: &str, holds: impl Fn(&SqlStatus) -> bool) -> SqlStatus {
        for _ in 0..300 {
            let status = self.status().await;
            if holds(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let last = self.status().await;
        panic!(
            "{}: waited in vain until {what}: {last:?}",
            self.settings.name
        );
    }

    /// A client of the application; ends with the returned handle.
    pub async fn client(&self) -> tokio_postgres::Client {
        self.try_client().await.unwrap()
    }

    pub async fn try_client(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.settings.unix_socket_dir.as_ref().unwrap())
            .port(self.settings.port)
            .dbname("postgres");
        config
            .user("admin")
            .password(self.settings.superuser.password.expose());
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(async move { connection.await.err() });
        Ok(client)
    }

    pub async fn sql(&self, text: &str) {
        self.client().await.batch_execute(text).await.unwrap();
    }

    pub fn instance(&self) -> Instance {
        Instance::new(&self.settings.data_dir)
    }
}

pub fn stop(first: StopMode, immediate_after: u64, kill_after: u64) -> Operation {
    Operation::Stop {
        plan: StopPlan {
            first,
            immediate_after: Span::millis(immediate_after),
            kill_after: Span::millis(kill_after),
        },
        checkpoint_first: false,
    }
}
