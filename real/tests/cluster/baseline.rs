//! Does the testbed itself see what it claims to see? Patroni 4.1.5 stands in for the agent: it is known
//! to let two nodes commit when its agent is frozen, so a checker that finds nothing there is blind.

use rustix::process::Signal;
use std::time::Duration;
use tanist::testbed::checker::overlaps;
use tanist::testbed::clients::Clients;
use tanist::testbed::cluster::{Cluster, Plan};
use tanist::testbed::template::{Make, Pace};
use tanist::testbed::{patroni, wait_for};

fn cluster_of_patroni() -> Cluster {
    let plan = Plan {
        make: Make::Patroni,
        ..Plan::three(&patroni::program().unwrap(), Pace::Floor)
    };
    Cluster::start(&plan).unwrap()
}

#[test]
fn two_primaries_beside_each_other_are_seen_when_patroni_is_frozen() {
    let cluster = cluster_of_patroni();
    let mut clients = Clients::start(&cluster).unwrap();
    let old = cluster.leader().unwrap().clone();
    clients.unkind(&old).unwrap();
    clients.wait_written(20, Duration::from_secs(20)).unwrap();
    old.signal_agent(Signal::STOP).unwrap();
    let limit = Duration::from_secs(60);
    let seen = wait_for("two nodes commit", limit, || {
        let found = overlaps(&clients.shared().journal().commits);
        found
            .into_iter()
            .next()
            .ok_or_else(|| "none seen".to_string())
    });
    old.signal_agent(Signal::CONT).unwrap();
    assert_eq!(seen.unwrap().old.node, old.name());
}
