//! The cluster that is measured, and its clients: the same for both agents but for the program that runs.
//! Each member has a network of its own where this may be made (root), so that a lost host can fall silent
//! as a real one does.

use crate::testbed::checker::Acknowledged;
use crate::testbed::clients::{Clients, Shared, writer};
use crate::testbed::cluster::{Cluster, Healthy, Plan};
use crate::testbed::folder::Folder;
use crate::testbed::haproxy::Haproxy;
use crate::testbed::network::Network;
use crate::testbed::template::{Make, Pace};
use crate::testbed::{account::Account, patroni, wait_for};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const HEAL_LIMIT: Duration = Duration::from_secs(180);
const WRITERS_EACH: u64 = 2;
/// Apart enough that no writer reaches the next one's rows.
const IDS_APART: u64 = 1_000_000_000;

/// Dropped in this order.
#[derive(Debug)]
pub struct Scene {
    pub haproxy: Haproxy,
    pub cluster: Cluster,
    pub network: Option<Network>,
    pub make: Make,
}

/// A folder in memory, where there is one: the disk of a shared machine is noise.
fn in_memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let there = memory.is_dir();
    if there { memory } else { std::env::temp_dir() }
}

impl Scene {
    /// Agents on empty directories, just started.
    pub fn start(make: Make, program: &Path, pace: Pace) -> anyhow::Result<Scene> {
        let account = Account::ordinary()?;
        let network = match account {
            Account::Lent { .. } => Some(Network::new(3)?),
            Account::Myself => None,
        };
        let mut plan = Plan {
            make,
            ..Plan::three(program, pace)
        };
        if make == Make::Patroni {
            plan.program = patroni::program()?;
        }
        if let Some(network) = &network {
            plan.network = network.places();
            plan.store_host = network.gateway();
        }
        let name = format!("tanist-bench-{}", std::process::id());
        let folder = Folder::at(in_memory().join(name), account)?;
        let cluster = Cluster::prepare(&plan, folder)?;
        let haproxy = Haproxy::start(&cluster)?;
        for member in cluster.members() {
            member.start()?;
        }
        Ok(Scene {
            haproxy,
            cluster,
            network,
            make,
        })
    }

    /// Waits until all is well, and starts agents that ended, as a service manager does.
    pub fn heal(&self) -> anyhow::Result<Healthy> {
        wait_for("all healthy", HEAL_LIMIT, || {
            for member in self.cluster.members() {
                if member.agent().is_none() {
                    member.start().map_err(|why| why.to_string())?;
                }
            }
            self.cluster.health()
        })
        .map_err(|why| why.context(self.cluster.story()))
    }
}

/// Two writers through multi-host connections, two through HAProxy, a probe on every member.
#[derive(Debug)]
pub struct Load {
    pub clients: Clients,
    multihost: Vec<Shared>,
    haproxy: Vec<Shared>,
}

/// How a writer finds the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    MultiHost,
    Haproxy,
}

impl Load {
    pub fn start(scene: &Scene) -> anyhow::Result<Load> {
        Clients::make_tables(&scene.cluster)?;
        // Numbers begin anew with each load: a row of the one before must not stand in for a lost one.
        let leader = scene.cluster.leader().map_err(anyhow::Error::msg)?;
        leader
            .sql("TRUNCATE testbed_rows")
            .map_err(anyhow::Error::msg)?;
        let clients = Clients::none()?;
        clients.probe(&scene.cluster);
        let members = scene.cluster.members().iter();
        let hosts: Vec<_> = members
            .map(|m| (m.name().to_string(), m.postgres()))
            .collect();
        let proxy = vec![("proxy".to_string(), scene.haproxy.primary)];
        let mut load = Load {
            clients,
            multihost: Vec::new(),
            haproxy: Vec::new(),
        };
        for i in 0..WRITERS_EACH {
            for (hosts, journals, first) in [
                (&hosts, &mut load.multihost, 2 * i * IDS_APART),
                (&proxy, &mut load.haproxy, (2 * i + 1) * IDS_APART),
            ] {
                let shared = Shared::default();
                load.clients.spawn(writer::run(
                    hosts.clone(),
                    writer::PERIOD,
                    first,
                    shared.clone(),
                ));
                journals.push(shared);
            }
        }
        Ok(load)
    }

    /// What each writer of this kind was told so far.
    pub fn journals(&self, path: Route) -> Vec<Vec<Acknowledged>> {
        let journals = match path {
            Route::MultiHost => &self.multihost,
            Route::Haproxy => &self.haproxy,
        };
        let told = journals.iter().map(|s| s.journal().acknowledged.clone());
        told.collect()
    }

    pub fn all_journals(&self) -> Vec<Vec<Acknowledged>> {
        let mut all = self.journals(Route::MultiHost);
        all.extend(self.journals(Route::Haproxy));
        all
    }

    /// Every writer was told of a row that `wanted` takes.
    pub fn wait_each(
        &self,
        what: &str,
        wanted: impl Fn(&Acknowledged) -> bool,
    ) -> anyhow::Result<()> {
        wait_for(what, HEAL_LIMIT, || {
            let all = self.all_journals();
            let waiting = all.iter().filter(|j| !j.iter().rev().any(&wanted)).count();
            match waiting {
                0 => Ok(()),
                n => Err(format!("{n} writers wait")),
            }
        })
    }
}
