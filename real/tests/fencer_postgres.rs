//! Does the fencer's deadline hold for PostgreSQL itself, with a backend that commits in a loop on the
//! server's side? That one goes on for many seconds after its postmaster was killed.
//!
//! Needs the server's programs (`PG_BIN`, or Debian's usual place). As root, the server runs as `postgres`.

#[path = "support/instance.rs"]
mod instance;

use instance::{FENCER, Wire, signal, soon};
use rustix::process::{Signal, geteuid};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant};
use tanist::fencer::process_table::{Instance, Kind, ProcessId};
use tanist::fencer::protocol::{Answer, Command, Event, Firing, Role, SpawnPostmaster};
use tanist_core::time::Span;

struct Server {
    dir: tempfile::TempDir,
    user: Option<(u32, u32)>,
    fencer: Option<Child>,
}

fn programs() -> PathBuf {
    if let Some(dir) = std::env::var_os("PG_BIN") {
        return dir.into();
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed, or PG_BIN names its programs")
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|dir| dir.join("postgres").exists() && dir.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("a PostgreSQL server is installed")
}

/// PostgreSQL does not run as root.
fn ordinary_user() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.expect("a user postgres").split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

impl Server {
    fn new() -> Server {
        let mut server = Server {
            dir: tempfile::tempdir().unwrap(),
            user: ordinary_user(),
            fencer: None,
        };
        if let Some((uid, gid)) = server.user {
            chown(server.dir.path(), Some(uid), Some(gid)).unwrap();
        }
        let made = server
            .program(&programs().join("initdb"))
            .args([
                "--auth",
                "trust",
                "--username",
                "postgres",
                "--no-sync",
                "-D",
            ])
            .arg(server.data_dir())
            .status();
        assert!(made.unwrap().success(), "initdb");
        server.fencer = Some(server.start_fencer());
        server
    }

    fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }
    fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }
    fn state_dir(&self) -> PathBuf {
        self.path().join("state")
    }

    fn program(&self, path: &Path) -> Program {
        let mut program = Program::new(path);
        program
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some((uid, gid)) = self.user {
            program.uid(uid).gid(gid);
        }
        program
    }

    fn start_fencer(&self) -> Child {
        // A copy, since the build's directory may be closed to the ordinary user.
        let copy = self.path().join("tanist-fencer");
        std::fs::copy(FENCER, &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
        let child = self
            .program(&copy)
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--state-dir")
            .arg(self.state_dir())
            .spawn()
            .unwrap();
        let socket = self.state_dir().join("fencer.sock");
        eventually("the fencer listens", || socket.exists());
        child
    }

    fn start_postgres(&self, wire: &mut Wire) -> ProcessId {
        let text = |path: PathBuf| path.display().to_string();
        let answer = wire.ask(Command::Spawn(SpawnPostmaster {
            argv: vec![
                text(programs().join("postgres")),
                "-D".into(),
                text(self.data_dir()),
                "-c".into(),
                "listen_addresses=".into(),
                "-c".into(),
                format!("unix_socket_directories={}", self.path().display()),
            ],
            env: vec![("LANG".into(), "C".into())],
            log_path: text(self.path().join("log")),
        }));
        let Answer::Spawned(id) = answer else {
            panic!("{answer:?}");
        };
        eventually("PostgreSQL answers", || self.sql("select 1").is_some());
        id
    }

    fn psql(&self, sql: &str) -> Program {
        let mut program = self.program(&programs().join("psql"));
        program
            .args(["-X", "-A", "-t", "-U", "postgres", "-h"])
            .arg(self.path())
            .args(["-c", sql, "postgres"]);
        program
    }

    fn sql(&self, sql: &str) -> Option<String> {
        let output = self.psql(sql).stdout(Stdio::piped()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
        output.status.success().then_some(text)
    }

    fn rows(&self) -> u64 {
        self.sql("select count(*) from written")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0)
    }

    /// A backend that needs no client to go on committing.
    fn commit_in_a_loop(&self) -> Child {
        self.sql("create table if not exists written (n bigint)")
            .unwrap();
        self.sql(
            "create or replace procedure write_on() language plpgsql as
             $$ begin loop insert into written values (1); commit; end loop; end $$",
        )
        .unwrap();
        let before = self.rows();
        let session = self.psql("call write_on()").spawn().unwrap();
        eventually("rows are committed", || self.rows() > before);
        session
    }

    fn left(&self) -> usize {
        let instance = Instance {
            data_dir: self.data_dir(),
            program: "postgres".into(),
        };
        instance.processes(None, None).unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut fencer) = self.fencer.take() {
            let reason = "the test is over".to_string();
            let mut wire = Wire::connect(&self.state_dir(), Role::Agent);
            wire.ask(Command::Fence { reason });
            let _ = fencer.kill();
            let _ = fencer.wait();
        }
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn fired(wire: &mut Wire) -> Firing {
    loop {
        match wire.event() {
            Some(Event::Fired(firing)) => return firing,
            Some(Event::PostmasterExited(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn after_the_deadline_no_process_of_a_writing_primary_is_left_and_it_recovers() {
    let server = Server::new();
    let mut wire = Wire::connect(&server.state_dir(), Role::Agent);
    server.start_postgres(&mut wire);
    let mut session = server.commit_in_a_loop();
    wire.arm(1, soon(300));
    let firing = fired(&mut wire);
    assert_eq!(server.left(), 0);
    assert!(firing.took < Span::secs(2), "{firing:?}");
    session.wait().unwrap();

    server.start_postgres(&mut wire);
    let rows = server.rows();
    assert!(rows > 0);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.rows(), rows, "nobody writes any more");
}

#[test]
fn a_backend_that_commits_on_after_its_postmaster_was_killed_is_ended_at_the_deadline() {
    let server = Server::new();
    let mut wire = Wire::connect(&server.state_dir(), Role::Agent);
    let postmaster = server.start_postgres(&mut wire);
    let mut session = server.commit_in_a_loop();
    let until = soon(1_500);
    wire.arm(1, until);
    signal(postmaster, Signal::KILL);
    std::thread::sleep(Duration::from_millis(1_000));
    let Answer::Processes(left) = wire.ask(Command::Processes) else {
        panic!("no list");
    };
    let backends = left.iter().filter(|p| p.kind == Kind::Server).count();
    assert!(backends >= 1, "it goes on without its postmaster: {left:?}");
    let firing = fired(&mut wire);
    assert_eq!(server.left(), 0);
    assert!(
        firing.at >= until && firing.took < Span::secs(2),
        "{firing:?}"
    );
    session.wait().unwrap();
}

#[test]
fn a_frozen_postmaster_does_not_keep_its_backends_from_being_ended() {
    let server = Server::new();
    let mut wire = Wire::connect(&server.state_dir(), Role::Agent);
    let postmaster = server.start_postgres(&mut wire);
    let mut session = server.commit_in_a_loop();
    signal(postmaster, Signal::STOP);
    wire.arm(1, soon(100));
    let firing = fired(&mut wire);
    assert_eq!(server.left(), 0);
    assert!(firing.killed >= 2, "{firing:?}");
    session.wait().unwrap();
}
