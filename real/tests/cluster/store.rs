//! The store goes away, hangs, forgets, or cannot be reached by the primary alone.

use crate::ordeal::{Load, Loss, Ordeal, authority_max};
use crate::support::{healthy_cluster, pace, plan, promise};
use rustix::process::Signal;
use std::time::Duration;
use tanist::testbed::cluster::{Cluster, Plan};
use tanist::testbed::member::Member;
use tanist::testbed::network::Network;
use tanist::testbed::template::Pace;

#[test]
fn store_away_for_less_than_the_authority_lasts_causes_no_demotion() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    ordeal.cluster.etcd.kill().unwrap();
    // The authority lasts for the ttl, less what the lease may be old by and what a stop takes.
    std::thread::sleep(match pace() {
        Pace::Fast => Duration::from_millis(800),
        Pace::Floor | Pace::Default => pace().ttl() / 3,
    });
    ordeal.cluster.etcd.resume().unwrap();
    std::thread::sleep(2 * authority_max());
    let old = ordeal.old.clone();
    let ended = ordeal.end(Loss::None);
    assert_eq!((ended.leader.as_str(), ended.promotions), (old.name(), 0));
}

#[test]
fn store_away_for_a_minute_stops_writes_and_nothing_is_lost() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    ordeal.cluster.etcd.kill().unwrap();
    std::thread::sleep(authority_max());
    let written = ordeal.clients.written();
    std::thread::sleep(Duration::from_secs(60) - authority_max());
    let since = ordeal.clients.written();
    promise(since == written, || {
        "writes went on without authority".into()
    });
    ordeal.cluster.etcd.resume().unwrap();
    ordeal.end(Loss::None);
}

#[test]
fn hung_store_stops_writes_and_nothing_is_lost() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    assert!(ordeal.cluster.etcd.freeze());
    std::thread::sleep(authority_max());
    let written = ordeal.clients.written();
    std::thread::sleep(2 * authority_max());
    let since = ordeal.clients.written();
    promise(since == written, || {
        "writes went on without authority".into()
    });
    assert!(ordeal.cluster.etcd.thaw());
    ordeal.end(Loss::None);
}

#[test]
fn wiped_store_is_filled_again_without_a_second_primary() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    ordeal.cluster.etcd.wipe().unwrap();
    std::thread::sleep(authority_max());
    ordeal.end(Loss::WithinBound);
}

#[test]
fn deleted_leader_key_is_taken_back_by_the_primary() {
    let mut ordeal = Ordeal::begin();
    ordeal.strike();
    ordeal
        .cluster
        .etcd
        .delete(&ordeal.cluster.key("leader"))
        .unwrap();
    std::thread::sleep(authority_max());
    let old = ordeal.old.clone();
    let ended = ordeal.end(Loss::None);
    assert_eq!((ended.leader.as_str(), ended.promotions), (old.name(), 0));
}

#[test]
fn primary_cut_off_from_the_store_alone_stops_before_another_writes() {
    let network = Network::new(3).unwrap();
    let plan = Plan {
        network: network.places(),
        store_host: network.gateway(),
        ..plan()
    };
    let mut ordeal = Ordeal::on(Cluster::start(&plan).unwrap(), Load::Unkind);
    ordeal.strike();
    let store = ordeal.cluster.etcd.address();
    network.cut(ordeal.old.namespace(), store).unwrap();
    assert_instance_is_no_primary(&ordeal);
    ordeal.wait_new_leader(4 * authority_max());
    network.heal(ordeal.old.namespace()).unwrap();
    assert_eq!(ordeal.end(Loss::WithinBound).promotions, 1);
}

/// Clients still reach it, and it takes no write: stopped, or started again as a standby.
fn assert_instance_is_no_primary(ordeal: &Ordeal) {
    let limit = 2 * authority_max();
    let stopped = tanist::testbed::wait_for("it stops writing", limit, || {
        match ordeal.old.value("SELECT pg_is_in_recovery()") {
            Ok(recovery) if recovery == "f" => Err("out of recovery".to_string()),
            Ok(_) | Err(_) => Ok(()),
        }
    });
    stopped.unwrap();
}

/// An etcd that was replaced during maintenance of the whole cluster: the last primary brings it back, by itself.
#[test]
fn store_wiped_while_every_agent_was_down_is_filled_again_by_the_last_primary() {
    let mut ordeal = Ordeal::on(healthy_cluster(), Load::Kind);
    ordeal.strike();
    let members = ordeal.cluster.members().to_vec();
    // The standbys first, so that nobody takes over from the primary.
    let (old, standbys): (Vec<Member>, Vec<Member>) = members
        .into_iter()
        .partition(|member| member.name() == ordeal.old.name());
    for member in standbys.iter().chain(&old) {
        member.signal_agent(Signal::TERM).unwrap();
        member.agent_ends(Duration::from_secs(60)).unwrap();
    }
    ordeal.cluster.etcd.wipe().unwrap();
    for member in old.iter().chain(&standbys) {
        member.start().unwrap();
        std::thread::sleep(Duration::from_secs(3));
    }
    let name = ordeal.old.name().to_string();
    let ended = ordeal.end(Loss::None);
    assert_eq!((ended.leader, ended.promotions), (name, 0));
}
