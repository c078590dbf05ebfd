//! `show-config`: the cluster-wide configuration as it is stored.

use super::access::Access;
use super::{Outcome, yaml};
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub struct ShowConfig {
    cluster_name: Option<String>,
}

pub async fn run(args: ShowConfig, access: &Access) -> anyhow::Result<Outcome> {
    let name = access.cluster_name(args.cluster_name.as_deref())?;
    let cluster = access.cluster(&name)?.read().await?;
    match cluster.config {
        Some(config) => {
            println!("{}", yaml::block(&Value::Object(config)));
            Ok(Outcome::Done)
        }
        None => anyhow::bail!("cluster {name} has no readable configuration"),
    }
}
