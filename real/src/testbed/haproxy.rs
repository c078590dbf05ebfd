//! HAProxy before a testbed's cluster: one port that leads to the primary, one that spreads over the
//! standbys, and its own page of statistics. It asks the agents' REST ports which is which.

use super::account::Namespace;
use super::cluster::Cluster;
use super::sql::Access;
use super::{ports, wait_for};
use anyhow::Context;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

/// How a server is looked at, for every agent alike.
pub const CHECKS: &str =
    "inter 100ms fastinter 50ms fall 2 rise 1 on-marked-down shutdown-sessions";
/// A second attempt on the same server waits a whole second (haproxy's turn-around), longer than most of what
/// is survived here; a client that is refused tries again by itself.
pub const RETRIES: &str = "retries 0";

#[derive(Debug)]
pub struct Haproxy {
    pub primary: Access,
    pub standbys: Access,
    pub statistics: SocketAddr,
    child: Child,
}

impl Haproxy {
    pub fn start(cluster: &Cluster) -> anyhow::Result<Haproxy> {
        let folder = cluster.folder();
        let host = IpAddr::from(Ipv4Addr::LOCALHOST);
        let access = || ports::free_port().map(|port| Access { host, port });
        let (primary, standbys) = (access()?, access()?);
        let statistics = access()?.address();
        let config = folder.write(
            "haproxy.cfg",
            &config(cluster, primary, standbys, statistics),
        )?;
        let log = std::fs::File::create(folder.path().join("haproxy.log"))?;
        let mut command = folder.account().command("haproxy", &Namespace::Host);
        command
            .args(["-db", "-f"])
            .arg(config)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn().context("starting haproxy")?;
        let haproxy = Haproxy {
            primary,
            standbys,
            statistics,
            child,
        };
        wait_for("haproxy listens", Duration::from_secs(10), || {
            TcpStream::connect(statistics)
                .map(|_| ())
                .map_err(|e| e.to_string())
        })?;
        Ok(haproxy)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // Either it is killed or it was gone; both end in the wait.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(cluster: &Cluster, primary: Access, standbys: Access, statistics: SocketAddr) -> String {
    let mut text = format!(
        "global
    maxconn 400
defaults
    mode tcp
    timeout connect 2s
    timeout client 30m
    timeout server 30m
    timeout check 1s
    {RETRIES}
listen statistics
    bind {statistics}
    mode http
    stats enable
    stats uri /
    stats refresh 2s
"
    );
    for (name, at, path) in [
        ("primary", primary, "/primary"),
        ("standbys", standbys, "/replica"),
    ] {
        text += &format!(
            "listen {name}
    bind {}
    option httpchk
    http-check send meth GET uri {path}
    http-check expect status 200
    default-server {CHECKS}
",
            at.address()
        );
        for member in cluster.members() {
            text += &format!(
                "    server {} {} check port {}\n",
                member.name(),
                member.postgres().address(),
                member.rest().port()
            );
        }
    }
    text
}
