//! The store of a testbed: one etcd process, and what a fault does to it (stopped, hung, wiped, a key
//! deleted behind the agents' backs). Talks to it as any client would, through its JSON gateway.

use super::account::Namespace;
use super::folder::Folder;
use super::{http, ports, process, wait_for};
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_secs(20);
const CALL_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Etcd {
    data_dir: PathBuf,
    log: PathBuf,
    client: SocketAddr,
    peer: SocketAddr,
    account: super::account::Account,
    child: Option<Child>,
}

impl Etcd {
    /// Starts an empty etcd on `host`, in the host's own network namespace.
    pub fn start(folder: &Folder, host: IpAddr) -> anyhow::Result<Etcd> {
        let mut etcd = Etcd {
            data_dir: folder.path().join("etcd"),
            log: folder.path().join("etcd.log"),
            client: SocketAddr::new(host, ports::free_port()?),
            peer: SocketAddr::new(host, ports::free_port()?),
            account: folder.account().clone(),
            child: None,
        };
        etcd.resume()?;
        Ok(etcd)
    }

    pub fn address(&self) -> SocketAddr {
        self.client
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it again on the data it has.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("opening {}", self.log.display()))?;
        let (client, peer) = (
            format!("http://{}", self.client),
            format!("http://{}", self.peer),
        );
        let mut command = self.account.command("etcd", &Namespace::Host);
        command
            .args(["--name", "e1", "--initial-cluster-token", "testbed"])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("e1={peer}")])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.child = Some(command.spawn().context("starting etcd")?);
        wait_for("etcd answers", START_LIMIT, || {
            self.get("testbed-start").map(|_| ())
        })
    }

    /// Ends it at once, as a lost host would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else {
            bail!("etcd is stopped already");
        };
        child.kill().context("killing etcd")?;
        child.wait().context("waiting for etcd")?;
        Ok(())
    }

    /// Ends it and comes back with nothing of what it knew.
    pub fn wipe(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        std::fs::remove_dir_all(&self.data_dir).context("removing etcd's data")?;
        self.resume()
    }

    /// It takes connections and answers nothing.
    pub fn freeze(&self) -> bool {
        self.pid()
            .is_some_and(|pid| process::signal(pid, Signal::STOP))
    }

    pub fn thaw(&self) -> bool {
        self.pid()
            .is_some_and(|pid| process::signal(pid, Signal::CONT))
    }

    pub fn get(&self, key: &str) -> Result<Option<String>, String> {
        Ok(self.bound(key)?.map(|(value, _)| value))
    }
    /// A key's value and the lease it is bound to. `None`: it is absent.
    pub fn bound(&self, key: &str) -> Result<Option<(String, i64)>, String> {
        let answer = self.call("/v3/kv/range", &json!({"key": STANDARD.encode(key)}))?;
        let Some(found) = answer.pointer("/kvs/0") else {
            return Ok(None);
        };
        let value = STANDARD.decode(found["value"].as_str().unwrap_or_default());
        let value = value.map_err(|e| e.to_string())?;
        let lease = number(&found["lease"]).unwrap_or_default();
        Ok(Some((String::from_utf8_lossy(&value).into_owned(), lease)))
    }

    /// Seconds left and seconds granted.
    pub fn lease_left(&self, lease: i64) -> Result<(i64, i64), String> {
        let answer = self.call("/v3/lease/timetolive", &json!({"ID": lease.to_string()}))?;
        let left = number(&answer["TTL"]).unwrap_or(0).max(0);
        Ok((left, number(&answer["grantedTTL"]).unwrap_or(0)))
    }

    pub fn put(&self, key: &str, value: &[u8]) -> Result<(), String> {
        let body = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
        self.call("/v3/kv/put", &body).map(|_| ())
    }

    pub fn delete(&self, key: &str) -> Result<(), String> {
        self.call("/v3/kv/deleterange", &json!({"key": STANDARD.encode(key)}))
            .map(|_| ())
    }

    fn call(&self, path: &str, body: &Value) -> Result<Value, String> {
        let answer = http::send(self.client, "POST", path, body, CALL_LIMIT)?;
        if answer.code != 200 {
            return Err(format!("etcd {path}: {} {}", answer.code, answer.body));
        }
        answer.json()
    }
}

/// The gateway writes 64-bit numbers as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Either it is killed or it was gone; both end in the wait.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
