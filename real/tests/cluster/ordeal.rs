//! One fault, start to end: a healthy cluster under unkind load is struck, must take writes again and
//! heal, and then what all clients saw is judged.

use crate::support::{healthy_cluster, plan, promise};
use std::time::Duration;
use tanist::testbed::checker::{self, Acknowledged};
use tanist::testbed::clients::{Clients, Journal};
use tanist::testbed::cluster::Cluster;
use tanist::testbed::member::Member;
use tanist::testbed::{Stamp, process};

/// `maximum_lag_on_failover` of every testbed.
const LAG_BYTES_MAX: u64 = 1_048_576;
const HEAL_LIMIT: Duration = Duration::from_secs(120);

/// What a fault may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Planned, or nobody else took over: no acknowledged row.
    None,
    /// Unplanned: rows written after the last position that the leader published.
    WithinBound,
}

pub struct Ordeal {
    pub cluster: Cluster,
    pub clients: Clients,
    /// Who led when it began.
    pub old: Member,
    timeline: u32,
    published: u64,
    struck: Stamp,
}

/// The position that the leader published last; a cluster of a second ago has not yet.
fn published(cluster: &Cluster) -> u64 {
    let limit = Duration::from_secs(30);
    tanist::testbed::wait_for("the leader publishes its position", limit, || {
        cluster.published()
    })
    .unwrap()
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub leader: String,
    /// Promotions since it began.
    pub promotions: u32,
    /// The writer's longest pause that ended after the fault.
    pub outage: Duration,
    pub lost: Vec<Acknowledged>,
    pub journal: Journal,
}

impl Ordeal {
    pub fn begin() -> Ordeal {
        Ordeal::on(healthy_cluster(), Load::Unkind)
    }

    pub fn on(cluster: Cluster, load: Load) -> Ordeal {
        let healthy = cluster.wait_healthy(HEAL_LIMIT).unwrap();
        let old = cluster.member(&healthy.leader).unwrap().clone();
        let mut clients = Clients::start(&cluster).unwrap();
        if load == Load::Unkind {
            clients.unkind(&old).unwrap();
        }
        clients.wait_written(50, Duration::from_secs(60)).unwrap();
        Ordeal {
            published: published(&cluster),
            cluster,
            clients,
            old,
            timeline: healthy.timeline,
            struck: Stamp::now(),
        }
    }

    /// The instant of the fault, and what was published just before it.
    pub fn strike(&mut self) {
        self.published = self.cluster.published().unwrap();
        self.struck = Stamp::now();
    }

    /// Writes must be taken by another member.
    pub fn wait_new_leader(&self, limit: Duration) -> Member {
        let took = tanist::testbed::wait_for("another member takes writes", limit, || {
            let journal = self.clients.shared().journal();
            let last = journal.acknowledged.last().map(|row| row.node.clone());
            last.filter(|node| node != self.old.name())
                .ok_or_else(|| "none".to_string())
        });
        let name = took.unwrap_or_else(|why| panic!("{why:#}\n{}", self.cluster.story()));
        self.cluster.member(&name).unwrap().clone()
    }

    /// Writes are taken, the cluster is whole, and nothing was broken on the way.
    pub fn end(mut self, loss: Loss) -> Ended {
        let written = self.clients.wait_written(20, HEAL_LIMIT);
        written.unwrap_or_else(|why| panic!("{why:#}\n{}", self.cluster.story()));
        // Had it been left alive, it would commit now.
        let woken = self.clients.wake_stopped();
        let healthy = self
            .cluster
            .wait_healthy(HEAL_LIMIT)
            .unwrap_or_else(|e| panic!("{e:?}"));
        std::thread::sleep(Duration::from_millis(300));
        let journal = self.clients.finish();
        let held = self.cluster.rows_held().unwrap();
        let rows = checker::rows(&journal.acknowledged, &held);
        let ended = Ended {
            promotions: healthy.timeline - self.timeline,
            leader: healthy.leader,
            outage: checker::outage(&journal.acknowledged, self.struck),
            lost: rows.lost,
            journal,
        };
        println!(
            "{} -> {} after {} promotions, outage {:.2} s, {} rows acknowledged, {} lost, {} in doubt; \
             {woken} stopped backends lived to the end",
            self.old.name(),
            ended.leader,
            ended.promotions,
            ended.outage.as_secs_f64(),
            ended.journal.acknowledged.len(),
            ended.lost.len(),
            rows.unacknowledged,
        );
        let overlaps = checker::overlaps(&ended.journal.commits);
        promise(overlaps.is_empty(), || {
            let story = self.cluster.story();
            format!("two nodes committed beside each other: {overlaps:?}\n{story}")
        });
        promise(rows.duplicated.is_empty(), || {
            format!("rows are there twice: {:?}", rows.duplicated)
        });
        let beyond = match loss {
            Loss::None => ended.lost.iter().collect(),
            Loss::WithinBound => checker::beyond_bound(&ended.lost, self.published, LAG_BYTES_MAX),
        };
        promise(beyond.is_empty(), || {
            format!("acknowledged rows are gone beyond {loss:?}: {beyond:?}")
        });
        ended
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Writer and probes.
    Kind,
    /// And sessions that commit in a loop, one of them stopped, and 100 idle ones.
    Unkind,
}

/// No process of its PostgreSQL is left within `limit`.
pub fn assert_instance_ends(member: &Member, limit: Duration) {
    let ended = tanist::testbed::wait_for("its PostgreSQL ends", limit, || {
        let left = process::of_instance(member.data_dir());
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
    ended.unwrap();
}

/// From the loss of the agent until its fencer must have ended everything.
pub fn authority_max() -> Duration {
    plan().pace.ttl()
}
