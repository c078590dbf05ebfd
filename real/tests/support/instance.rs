//! A PostgreSQL-like process tree for tests of the fencer, a fencer of its own, and a plain line to it.
//! The processes are a shell under the name `postgres`, in the data directory: what the fencer goes by.

// Each test file uses its own part of this.
#![allow(dead_code)]

use rustix::process::Signal;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant};
use tanist::clock;
use tanist::fencer::process_table::{Instance, ProcessId, identify};
use tanist::fencer::protocol::{
    Answer, Command, Event, FromFencer, PostmasterExit, Request, Role, Status, VERSION, from_line,
    to_line,
};
use tanist::fencer::replacement::FencerSettings;
use tanist_core::dcs::LeaseId;
use tanist_core::fencer::{DisarmReason, FencerRequest};
use tanist_core::name::Term;
use tanist_core::time::{Mono, Span};

pub const FENCER: &str = env!("CARGO_BIN_EXE_tanist-fencer");

/// Directories, and the promise that nothing of this test is left behind.
pub struct Room {
    dir: tempfile::TempDir,
}

/// How the dummy postmaster takes an immediate stop.
#[derive(Clone, Copy)]
pub enum OnQuit {
    Ends,
    Ignores,
}

impl Room {
    pub fn new() -> Room {
        let dir = tempfile::tempdir().unwrap();
        let room = Room { dir };
        std::fs::create_dir(room.data_dir()).unwrap();
        std::fs::copy("/bin/bash", room.program()).unwrap();
        room
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("data")
    }
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("postgres")
    }
    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A postmaster with three backends, one of which started a helper. Backends always ignore SIGQUIT
    /// when their postmaster does.
    pub fn argv(&self, on_quit: OnQuit) -> Vec<String> {
        let trap = match on_quit {
            OnQuit::Ends => "trap 'kill -QUIT $(jobs -p) 2>/dev/null; exit 2' QUIT",
            OnQuit::Ignores => "trap '' QUIT",
        };
        let script = format!(
            "cd {:?}; {trap}
             exec 9<> <(:)
             ( while :; do read -t 1 -u 9; done ) &
             ( while :; do read -t 1 -u 9; done ) &
             ( sleep 1000; : ) &
             while :; do read -t 1 -u 9; done",
            self.data_dir()
        );
        vec![self.program().display().to_string(), "-c".into(), script]
    }

    /// The same tree, started by hand.
    pub fn postmaster_by_hand(&self, on_quit: OnQuit) -> Child {
        let argv = self.argv(on_quit);
        let child = Program::new(&argv[0])
            .args(&argv[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let grown = self.eventually(|| self.left() >= 4);
        assert!(grown, "the dummy has {} processes", self.left());
        child
    }

    pub fn settings(&self) -> FencerSettings {
        FencerSettings {
            program: FENCER.into(),
            data_dir: self.data_dir(),
            state_dir: self.state_dir(),
            kill_after: Span::millis(300),
            server_program: "postgres".into(),
        }
    }

    fn instance(&self) -> Instance {
        Instance {
            data_dir: self.data_dir(),
            program: "postgres".into(),
        }
    }

    /// Processes in the data directory under the server's name, as anybody can see them.
    pub fn left(&self) -> usize {
        self.instance().processes(None, None).unwrap().len()
    }

    pub fn eventually(&self, mut holds: impl FnMut() -> bool) -> bool {
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if holds() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        holds()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for _ in 0..50 {
            for process in self.instance().processes(None, None).unwrap() {
                signal(process.id, Signal::KILL);
            }
            let holder = tanist::fencer::state_dir::lock_holder(&self.state_dir());
            if let Some(fencer) = holder {
                signal(fencer, Signal::KILL);
            }
            if self.left() == 0 && holder.is_none() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A fencer, started as the agent would.
pub struct Fencer {
    pub child: Child,
}

impl Fencer {
    pub fn start(room: &Room) -> Fencer {
        let child = fencer_program(room).spawn().unwrap();
        let fencer = Fencer { child };
        let socket = room.state_dir().join("fencer.sock");
        assert!(room.eventually(|| UnixStream::connect(&socket).is_ok()));
        fencer
    }

    pub fn id(&self) -> ProcessId {
        identify(self.child.id()).unwrap()
    }
}

impl Drop for Fencer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn fencer_program(room: &Room) -> Program {
    let mut program = Program::new(FENCER);
    program
        .arg("--data-dir")
        .arg(room.data_dir())
        .arg("--state-dir")
        .arg(room.state_dir())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    program
}

/// A blocking client, so that a test says exactly what goes over the wire.
pub struct Wire {
    stream: BufReader<UnixStream>,
    last_id: u64,
    pub status: Status,
}

impl Wire {
    pub fn agent(room: &Room) -> Wire {
        Wire::connect(&room.state_dir(), Role::Agent)
    }

    pub fn connect(state_dir: &Path, role: Role) -> Wire {
        let stream = UnixStream::connect(state_dir.join("fencer.sock")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut stream = BufReader::new(stream);
        let command = Command::Hello {
            version: VERSION,
            role,
        };
        let hello = Request { id: 0, command };
        stream.get_mut().write_all(&to_line(&hello)).unwrap();
        match read(&mut stream) {
            Some(FromFencer::Answer {
                answer: Answer::Status(status),
                ..
            }) => Wire {
                stream,
                last_id: 0,
                status: *status,
            },
            other => panic!("hello was answered by {other:?}"),
        }
    }

    pub fn ask(&mut self, command: Command) -> Answer {
        self.last_id += 1;
        let id = self.last_id;
        let line = to_line(&Request { id, command });
        self.stream.get_mut().write_all(&line).unwrap();
        loop {
            match read(&mut self.stream) {
                Some(FromFencer::Answer { id: found, answer }) if found == id => return answer,
                Some(_) => {}
                None => panic!("the fencer closed the connection"),
            }
        }
    }

    /// The next event; `None` once the fencer has closed the connection.
    pub fn event(&mut self) -> Option<Event> {
        loop {
            match read(&mut self.stream)? {
                FromFencer::Event(event) => return Some(event),
                FromFencer::Answer { .. } => {}
            }
        }
    }

    pub fn arm(&mut self, term: i64, until: Mono) -> Answer {
        let (term, lease) = (Term(term), LeaseId(7));
        self.ask(Command::Obey(FencerRequest::Arm { term, lease, until }))
    }

    pub fn extend(&mut self, term: i64, until: Mono) -> Answer {
        let term = Term(term);
        self.ask(Command::Obey(FencerRequest::Extend { term, until }))
    }

    pub fn disarm(&mut self, term: i64, why: DisarmReason) -> Answer {
        let term = Term(term);
        self.ask(Command::Obey(FencerRequest::Disarm { term, why }))
    }

    pub fn look(&mut self) -> Status {
        match self.ask(Command::Status) {
            Answer::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    pub fn look_for_exit(&mut self) -> PostmasterExit {
        loop {
            match self.look().last_exit {
                Some(exit) => return exit,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    pub fn processes(&mut self) -> usize {
        match self.ask(Command::Processes) {
            Answer::Processes(processes) => processes.len(),
            other => panic!("{other:?}"),
        }
    }
}

fn read(stream: &mut BufReader<UnixStream>) -> Option<FromFencer> {
    let mut line = Vec::new();
    let count = stream.read_until(b'\n', &mut line).unwrap_or(0);
    (count > 0).then(|| from_line(&line).unwrap())
}

pub fn soon(millis: u64) -> Mono {
    clock::mono() + Span::millis(millis)
}

pub fn signal(id: ProcessId, signal: Signal) {
    tanist::fencer::pidfd::signal(id, signal).ok();
}
