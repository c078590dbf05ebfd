//! Real etcd members for tests: started on free ports of loopback in a folder of their own, frozen,
//! killed and restarted by pid, gone when dropped. Knows nothing of Tanist.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const START_BUDGET: Duration = Duration::from_secs(30);

/// A folder that is removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(purpose: &str) -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tanist-{purpose}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder below the temporary one");
        Folder(path)
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port that is free now, below those that the kernel gives to outgoing connections, so that only
/// another test could take it; each process begins to look elsewhere.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(nth < 10_000, "no free port of loopback");
        let offset = std::process::id().wrapping_mul(97).wrapping_add(nth) % 16_000;
        let port = 16_000 + u16::try_from(offset).expect("below 16000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The etcd binary: `TANIST_TEST_ETCD`, or the first on the path.
pub fn find_etcd(named: Option<&str>, path: &str) -> Result<PathBuf, String> {
    let candidates = match named {
        Some(named) => vec![PathBuf::from(named)],
        None => path
            .split(':')
            .map(|dir| Path::new(dir).join("etcd"))
            .collect(),
    };
    let found = candidates.into_iter().find(|candidate| candidate.is_file());
    found.ok_or_else(|| {
        "etcd was not found; install it (Debian: apt-get install etcd-server) \
         or set TANIST_TEST_ETCD to its binary"
            .to_string()
    })
}

/// Files for https with client certificates.
#[derive(Clone)]
pub struct Certificates {
    pub cacert: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

struct Member {
    name: String,
    client: u16,
    peer: u16,
    health: u16,
    process: Option<Child>,
}

pub struct Etcd {
    members: Vec<Member>,
    tls: Option<Certificates>,
    folder: Folder,
}

impl Etcd {
    /// `count` members that have elected a leader. Elections are quick (0.5 s), so the shortest ttl is 1 s.
    pub fn start(count: usize) -> Etcd {
        Etcd::start_with(count, None)
    }

    /// The same with https, demanding a client certificate.
    pub fn start_tls(tls: Certificates) -> Etcd {
        Etcd::start_with(1, Some(tls))
    }

    fn start_with(count: usize, tls: Option<Certificates>) -> Etcd {
        let members = (0..count)
            .map(|i| Member {
                name: format!("m{i}"),
                client: free_port(),
                peer: free_port(),
                health: free_port(),
                process: None,
            })
            .collect();
        let mut etcd = Etcd {
            members,
            tls,
            folder: Folder::new("etcd"),
        };
        for i in 0..count {
            etcd.spawn(i);
        }
        for i in 0..count {
            etcd.wait_healthy(i);
        }
        etcd
    }

    fn spawn(&mut self, i: usize) {
        let named = std::env::var("TANIST_TEST_ETCD").ok();
        let path = std::env::var("PATH").unwrap_or_default();
        let binary = find_etcd(named.as_deref(), &path).unwrap_or_else(|remedy| panic!("{remedy}"));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let cluster = self
            .members
            .iter()
            .map(|m| format!("{}=http://127.0.0.1:{}", m.name, m.peer))
            .collect::<Vec<_>>()
            .join(",");
        let member = &self.members[i];
        let client = format!("{scheme}://127.0.0.1:{}", member.client);
        let peer = format!("http://127.0.0.1:{}", member.peer);
        let log = std::fs::File::create(self.folder.path().join(format!("{}.log", member.name)))
            .expect("a log file");
        let mut command = Command::new(binary);
        command
            .args(["--name", &member.name])
            .arg("--data-dir")
            .arg(self.folder.path().join(&member.name))
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &cluster])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .arg("--listen-metrics-urls")
            .arg(format!("http://127.0.0.1:{}", member.health))
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(tls) = &self.tls {
            command
                .arg("--client-cert-auth")
                .arg("--trusted-ca-file")
                .arg(&tls.cacert)
                .arg("--cert-file")
                .arg(&tls.cert)
                .arg("--key-file")
                .arg(&tls.key);
        }
        self.members[i].process = Some(command.spawn().expect("etcd starts"));
    }

    fn wait_healthy(&mut self, i: usize) {
        let began = Instant::now();
        while began.elapsed() < START_BUDGET && self.is_running(i) {
            let health = http(
                self.members[i].health,
                "GET",
                "/health",
                "",
                Duration::from_secs(2),
            );
            if health.is_ok_and(|answer| answer.contains("\"true\"")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = self
            .folder
            .path()
            .join(format!("{}.log", self.members[i].name));
        let log = std::fs::read_to_string(log).unwrap_or_default();
        panic!("etcd was not healthy after {:?}:\n{log}", began.elapsed());
    }

    fn is_running(&mut self, i: usize) -> bool {
        let process = self.members[i].process.as_mut();
        process.is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// `http(s)://127.0.0.1:PORT` of each member.
    pub fn urls(&self) -> Vec<String> {
        (0..self.members.len()).map(|i| self.url(i)).collect()
    }

    pub fn url(&self, i: usize) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.members[i].client)
    }

    pub fn port(&self, i: usize) -> u16 {
        self.members[i].client
    }

    /// SIGSTOP: connections are still accepted by the kernel, nothing is answered.
    pub fn freeze(&self, i: usize) {
        self.signal(i, Signal::STOP);
    }

    pub fn thaw(&self, i: usize) {
        self.signal(i, Signal::CONT);
    }

    /// SIGKILL; connections are refused from now on.
    pub fn kill(&mut self, i: usize) {
        if let Some(mut process) = self.members[i].process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// After `kill`, with the data it had.
    pub fn restart(&mut self, i: usize) {
        self.spawn(i);
        self.wait_healthy(i);
    }

    fn signal(&self, i: usize, signal: Signal) {
        let process = self.members[i].process.as_ref().expect("a running member");
        let pid = Pid::from_raw(process.id().cast_signed()).expect("a pid");
        kill_process(pid, signal).expect("our own child takes signals");
    }

    /// A call of the JSON gateway behind Tanist's back: the answer's body.
    pub fn post(&self, i: usize, path: &str, body: &str) -> String {
        http(
            self.members[i].client,
            "POST",
            path,
            body,
            Duration::from_secs(10),
        )
        .unwrap_or_else(|e| panic!("etcd answers {path}: {e}"))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for i in 0..self.members.len() {
            self.kill(i);
        }
    }
}

/// The whole answer, head included, of one plain HTTP/1.0 request.
fn http(
    port: u16,
    method: &str,
    path: &str,
    body: &str,
    timeout: Duration,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(timeout))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
