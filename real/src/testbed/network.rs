//! A network of its own for each member, on one bridge of this host: so that one link can be cut while
//! the others stay. Needs root. Cut links swallow packets; nothing is refused.

use super::account::Namespace;
use super::sweep::remove_on_signal;
use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

/// How an address is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Packets vanish.
    Silently,
    /// Connections are refused and reset.
    Refused,
}

#[derive(Debug)]
pub struct Network {
    bridge: String,
    names: Vec<String>,
    subnet: u8,
}

impl Network {
    /// `count` namespaces, each with an address on the bridge; the host itself has one too.
    pub fn new(count: u8) -> anyhow::Result<Network> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a network of its own for each member needs root: run the tests as root"
        );
        let id = std::process::id() % 100_000;
        let mut network = Network {
            bridge: format!("tnb{id}"),
            names: Vec::new(),
            subnet: (id % 250) as u8 + 1,
        };
        let bridge = network.bridge.clone();
        let namespaces = (0..count).map(|i| format!("tn{id}-{i}"));
        remove_on_signal(&bridge, namespaces.collect())?;
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        let gateway = format!("{}/24", network.address(1));
        ip(&["addr", "add", &gateway, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for i in 0..count {
            network.add(&format!("tn{id}-{i}"), i)?;
        }
        Ok(network)
    }

    fn add(&mut self, name: &str, index: u8) -> anyhow::Result<()> {
        ip(&["netns", "add", name])?;
        self.names.push(name.to_string());
        let (here, there) = (format!("{name}h"), format!("{name}n"));
        ip(&["link", "add", &here, "type", "veth", "peer", "name", &there])?;
        ip(&["link", "set", &here, "master", &self.bridge, "up"])?;
        ip(&["link", "set", &there, "netns", name])?;
        let address = format!("{}/24", self.address(index + 11));
        ip(&["-n", name, "addr", "add", &address, "dev", &there])?;
        ip(&["-n", name, "link", "set", &there, "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.subnet, host)
    }

    /// This host's own address on the bridge.
    pub fn gateway(&self) -> IpAddr {
        self.address(1).into()
    }

    pub fn places(&self) -> Vec<(Namespace, IpAddr)> {
        let names = self.names.iter().zip(11u8..);
        names
            .map(|(name, host)| (Namespace::Named(name.clone()), self.address(host).into()))
            .collect()
    }

    /// From now on nothing passes between that namespace and `port` of `to`, either way.
    pub fn cut(&self, namespace: &Namespace, to: SocketAddr) -> anyhow::Result<()> {
        self.block(namespace, &BTreeMap::from([(to, Blocked::Silently)]))
    }

    /// From now on these addresses, and no others, are out of reach from that namespace.
    pub fn block(
        &self,
        namespace: &Namespace,
        what: &BTreeMap<SocketAddr, Blocked>,
    ) -> anyhow::Result<()> {
        let (mut there, mut back) = (String::new(), String::new());
        for (to, how) in what {
            let (ip, port) = (to.ip(), to.port());
            let verdict = match how {
                Blocked::Silently => "drop",
                Blocked::Refused => "reject with tcp reset",
            };
            there += &format!("ip daddr {ip} tcp dport {port} {verdict}\n");
            back += &format!("ip saddr {ip} tcp sport {port} {verdict}\n");
        }
        nft(
            namespace,
            &format!(
                "table inet testbed {{ }}
                delete table inet testbed
                table inet testbed {{
                    chain out {{
                        type filter hook output priority 0;
                        {there}
                    }}
                    chain in {{
                        type filter hook input priority 0;
                        {back}
                    }}
                }}\n"
            ),
        )
    }

    /// From now on the member hears nobody and nobody hears it; no connection is told so.
    pub fn unplug(&self, namespace: &Namespace) -> anyhow::Result<()> {
        self.link(namespace, "down")
    }

    pub fn plug(&self, namespace: &Namespace) -> anyhow::Result<()> {
        self.link(namespace, "up")
    }

    fn link(&self, namespace: &Namespace, state: &str) -> anyhow::Result<()> {
        let Namespace::Named(name) = namespace else {
            anyhow::bail!("a member in the host's own network cannot be unplugged");
        };
        ip(&["link", "set", &format!("{name}h"), state])
    }

    pub fn heal(&self, namespace: &Namespace) -> anyhow::Result<()> {
        nft(namespace, "delete table inet testbed\n")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(&self.bridge, &self.names);
    }
}

/// Namespaces and bridge go; what cannot be removed is told.
pub fn remove(bridge: &str, namespaces: &[String]) {
    let all = namespaces.iter().map(|name| ["netns", "del", name]);
    for what in all.chain([["link", "del", bridge]]) {
        if let Err(why) = ip(&what) {
            eprintln!("{why:#}");
        }
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let told = Command::new("ip")
        .args(arguments)
        .output()
        .context("starting ip (iproute2)")?;
    let words = String::from_utf8_lossy(&told.stderr);
    ensure!(told.status.success(), "ip {}: {words}", arguments.join(" "));
    Ok(())
}

fn nft(namespace: &Namespace, rules: &str) -> anyhow::Result<()> {
    let Namespace::Named(name) = namespace else {
        anyhow::bail!("a member in the host's own network cannot be cut off");
    };
    let mut child = Command::new("ip")
        .args(["netns", "exec", name, "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("starting nft (nftables)")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules.as_bytes())?;
    }
    ensure!(child.wait()?.success(), "nft refused: {rules}");
    Ok(())
}
