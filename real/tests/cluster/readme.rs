//! What the README tells a new user to write founds a cluster as it stands there.

use crate::support::{plan, tanistctl};
use std::process::Command;
use std::time::Duration;
use tanist::testbed::account::Account;
use tanist::testbed::cluster::{Cluster, Plan};
use tanist::testbed::folder::Folder;
use tanist::testbed::member::Member;
use tanist::testbed::network::Network;
use tanist::testbed::sql::SUPERUSER_PASSWORD;
use tanist::testbed::template::SCOPE;

const README: &str = include_str!("../../../README.md");

/// The first block of the README that names a scope, without its indentation.
fn sample() -> String {
    let from = README.find("   scope: demo").expect("the sample");
    let (block, _) = README[from..].split_once("   ```").expect("its end");
    let lines = block.lines().map(|line| line.strip_prefix("   "));
    let lines: Vec<_> = lines.map(Option::unwrap_or_default).collect();
    lines.join("\n")
}

/// The sample with the addresses, ports and passwords of this testbed; each must stand in it.
fn filled_in(member: &Member, store: &str) -> String {
    let (rest, postgres) = (member.rest(), member.postgres().address());
    let subnet = match rest.ip() {
        std::net::IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        std::net::IpAddr::V6(_) => panic!("the network is of IPv4"),
    };
    let password = format!("password: {SUPERUSER_PASSWORD}");
    let data_dir = format!("data_dir: {}", member.data_dir().display());
    let line = |name: &str, value: String| format!("{name}: {value}\n");
    let replaced = [
        ("scope: demo\n", line("scope", SCOPE.into())),
        ("name: n1 ", format!("name: {} ", member.name())),
        (
            "listen: 0.0.0.0:8008\n",
            line("listen", format!("0.0.0.0:{}", rest.port())),
        ),
        (
            "address: 10.0.0.1:8008\n",
            line("address", rest.to_string()),
        ),
        (
            "10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379\n",
            format!("{store}\n"),
        ),
        (
            "listen: 0.0.0.0:5432\n",
            line("listen", format!("0.0.0.0:{}", postgres.port())),
        ),
        (
            "address: 10.0.0.1:5432\n",
            line("address", postgres.to_string()),
        ),
        ("data_dir: /var/lib/postgresql/15/demo", data_dir),
        ("10.0.0.0/24", subnet),
        ("password: ...", password),
    ];
    replaced.iter().fold(sample(), |text, (from, to)| {
        assert!(text.contains(from), "the sample lacks {from}");
        text.replace(from, to)
    })
}

/// The sample leaves PostgreSQL's sockets where Debian has them; those of a killed server stay there.
struct Sockets(Vec<u16>);

impl Drop for Sockets {
    fn drop(&mut self) {
        for port in &self.0 {
            let socket = format!("/var/run/postgresql/.s.PGSQL.{port}");
            let _ = std::fs::remove_file(&socket);
            let _ = std::fs::remove_file(socket + ".lock");
        }
    }
}

#[test]
fn the_sample_of_the_readme_founds_a_cluster() {
    let network = Network::new(3).unwrap();
    let plan = Plan {
        network: network.places(),
        store_host: network.gateway(),
        ..plan()
    };
    let folder = Folder::temporary("tanist-readme", Account::ordinary().unwrap()).unwrap();
    let cluster = Cluster::prepare(&plan, folder).unwrap();
    let ports = cluster.members().iter().map(|m| m.postgres().port);
    let _sockets = Sockets(ports.collect());
    let store = cluster.etcd.address().to_string();
    for member in cluster.members() {
        let text = filled_in(member, &store);
        let file = format!("{}.yml", member.name());
        let path = cluster.folder().write(&file, &text).unwrap();
        let checked = Command::new(env!("CARGO_BIN_EXE_tanist"))
            .arg("--validate-config")
            .arg(&path)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
        member.start().unwrap();
    }
    let healthy = cluster.wait_healthy(Duration::from_secs(60)).unwrap();
    assert_eq!(healthy.timeline, 1);
    for verb in [&["list"][..], &["trace", "a"]] {
        let told = tanistctl(cluster.members()[0].config(), verb);
        assert!(told.status.success(), "{verb:?}: {told:?}");
    }
}
