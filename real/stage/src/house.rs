//! The real cluster that a scenario asks for: members, timings, tags, each in a network of its own where links are cut.
//! Knows nothing of what will happen to it.

use crate::archive::Archive;
use anyhow::Context;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tanist::testbed::account::Account;
use tanist::testbed::cluster::{self, Cluster};
use tanist::testbed::folder::Folder;
use tanist::testbed::network::Network;
use tanist::testbed::template::{Make, Pace, merge};
use tanist::testbed::wait_for;
use tanist_core::name::MemberName;
use tanist_core::settings::FencerMode;
use tanist_sim::act::Act;
use tanist_sim::plan::Plan;
use tanist_sim::shape::{ClusterShape, MemberShape};

const FOUNDED_BY: Duration = Duration::from_secs(60);
const WHOLE_BY: Duration = Duration::from_secs(120);

/// A cluster and the network that it lives in; the network goes last.
pub struct House {
    pub cluster: Cluster,
    pub network: Option<Network>,
    pub archive: Option<Archive>,
}

impl House {
    /// Builds it, and waits until `first` leads and all others stream.
    pub fn build(plan: &Plan, first: &MemberName, program: PathBuf) -> anyhow::Result<House> {
        let shape = &plan.cluster;
        let needs_links = plan.acts().any(|act| matches!(act, Act::Wire { .. }));
        let count = u8::try_from(shape.members.len()).context("too many members")?;
        let network = needs_links.then(|| Network::new(count)).transpose()?;
        // Names of members live as long as the process; there are a few of each scenario.
        let names = shape
            .members
            .iter()
            .map(|m| &*m.name.as_str().to_string().leak());
        let mut wanted = cluster::Plan::three(&program, Pace::Default);
        wanted.make = Make::Tanist;
        wanted.members = names.collect();
        wanted.patch = for_all(shape);
        if let Some(network) = &network {
            wanted.network = network.places();
            wanted.store_host = network.gateway();
        }
        let folder = Folder::temporary("tanist-stage", Account::ordinary()?)?;
        let archive = shape.archive.then(|| Archive::build(&folder)).transpose()?;
        let cluster = Cluster::prepare(&wanted, folder)?;
        for (member, shape) in cluster.members().iter().zip(&shape.members) {
            let text = std::fs::read_to_string(member.config())?;
            let mut file: Value = serde_json::from_str(&text)?;
            merge(&mut file, &for_one(shape));
            if let Some(archive) = &archive {
                merge(&mut file, &archive.settings(&shape.name));
            }
            std::fs::write(member.config(), format!("{file:#}\n"))?;
        }
        cluster.member(first.as_str())?.start()?;
        wait_for("the first member leads", FOUNDED_BY, || {
            cluster.leader().map(|_| ())
        })?;
        for member in cluster.members() {
            if member.name() != first.as_str() {
                member.start()?;
            }
        }
        cluster.wait_healthy(WHOLE_BY)?;
        Ok(House {
            cluster,
            network,
            archive,
        })
    }
}

fn for_all(shape: &ClusterShape) -> Value {
    let fencer = match shape.fencer {
        FencerMode::Off => "off",
        FencerMode::Auto => "auto",
        FencerMode::Required => "required",
    };
    let rewind = &shape.rewind;
    json!({
        "bootstrap": {"dcs": {
            "ttl": seconds(shape.ttl),
            "loop_wait": seconds(shape.loop_wait),
            "retry_timeout": seconds(shape.retry_timeout),
            "maximum_lag_on_failover": shape.maximum_lag_on_failover,
            "primary_start_timeout": seconds(shape.primary_start_timeout),
            "postgresql": {
                "use_pg_rewind": rewind.use_pg_rewind,
                "remove_data_directory_on_rewind_failure": rewind.remove_data_directory_on_rewind_failure,
                "remove_data_directory_on_diverged_timelines": rewind.remove_data_directory_on_diverged_timelines,
            },
        }},
        "tanist": {
            "fencer": fencer,
            "stop_budget": format!("{}ms", shape.stop_budget.as_micros() / 1000),
            "clock_drift_ppm": shape.clock_drift_ppm,
        },
    })
}

fn for_one(member: &MemberShape) -> Value {
    let mut tags = json!({});
    if member.nofailover {
        tags["nofailover"] = json!(true);
    }
    if let Some(priority) = member.failover_priority {
        tags["failover_priority"] = json!(priority);
    }
    json!({ "tags": tags })
}

fn seconds(span: tanist_core::time::Span) -> u64 {
    span.0 / 1_000_000
}
