//! `pause` and `resume`: switches maintenance mode through any member that answers, the leader first.

use super::Outcome;
use super::access::{Access, Reached};
use super::member_http::Reach;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tanist_core::cluster::Cluster;
use tanist_core::cluster_json::is_on;
use tanist_core::config::Config;
use tanist_core::name::MemberName;
use tanist_core::time::Span;

const BUDGET: Span = Span::secs(30);

#[derive(Debug, clap::Args)]
pub struct Toggle {
    cluster_name: Option<String>,
    /// Wait until it is applied on all nodes
    #[arg(long)]
    wait: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Paused,
    Resumed,
}

impl Wanted {
    fn verb(self) -> &'static str {
        match self {
            Wanted::Paused => "pause",
            Wanted::Resumed => "resume",
        }
    }

    fn is_reached(self, paused: bool) -> bool {
        paused == (self == Wanted::Paused)
    }

    fn success(self) -> &'static str {
        match self {
            Wanted::Paused => "Success: cluster management is paused",
            Wanted::Resumed => "Success: cluster management is resumed",
        }
    }
}

pub async fn run(args: Toggle, wanted: Wanted, access: &Access) -> anyhow::Result<Outcome> {
    let name = access.cluster_name(args.cluster_name.as_deref())?;
    let reached = access.cluster(&name)?;
    let cluster = reached.read().await?;
    if wanted.is_reached(is_on(&cluster, "pause")) {
        let how = match wanted {
            Wanted::Paused => "already",
            Wanted::Resumed => "not",
        };
        anyhow::bail!("Cluster is {how} paused");
    }
    let patch = match wanted {
        Wanted::Paused => json!({"pause": true}),
        Wanted::Resumed => json!({ "pause": Value::Null }),
    };
    for (member, url) in leader_first(&cluster) {
        match access
            .ask(&url, "PATCH", "config", Some(&patch), BUDGET)
            .await
        {
            Err(Reach::NotSent(why)) => eprintln!("Member {member} is not accessible: {why}"),
            Err(why @ Reach::Unknown(_)) => anyhow::bail!("{why}"),
            Ok(response) if response.code == 200 && args.wait => {
                return wait(wanted, &reached, &cluster).await;
            }
            Ok(response) if response.code == 200 => {
                println!("{}", wanted.success());
                return Ok(Outcome::Done);
            }
            Ok(response) => {
                println!(
                    "Failed: {} cluster management status code={}, ({})",
                    wanted.verb(),
                    response.code,
                    response.body
                );
                return Ok(Outcome::Failed);
            }
        }
    }
    anyhow::bail!("Can not find accessible cluster member")
}

fn leader_first(cluster: &Cluster) -> Vec<(MemberName, String)> {
    let leader = cluster.leader.as_ref().map(|l| &l.owner);
    let mut members: Vec<_> = cluster
        .members
        .iter()
        .filter_map(|(name, data)| Some((name.clone(), data.api_url.clone()?)))
        .collect();
    members.sort_by_key(|(name, _)| Some(name) != leader);
    members
}

async fn wait(wanted: Wanted, reached: &Reached, before: &Cluster) -> anyhow::Result<Outcome> {
    println!(
        "'{}' request sent, waiting until it is recognized by all nodes",
        wanted.verb()
    );
    let asked: BTreeSet<&MemberName> = before.members.keys().collect();
    let stored = before.config.clone().unwrap_or_default();
    let loop_wait = Config::read(&stored, false).timing.loop_wait;
    let deadline = Instant::now() + Duration::from_secs(loop_wait.as_secs() + 1);
    loop {
        let cluster = reached.read().await?;
        let lagging: Vec<&str> = cluster
            .members
            .iter()
            .filter(|(name, data)| {
                asked.contains(name) && !wanted.is_reached(data.pause == Some(true))
            })
            .map(|(name, _)| name.as_str())
            .collect();
        if lagging.is_empty() {
            println!("{}", wanted.success());
            return Ok(Outcome::Done);
        }
        if Instant::now() >= deadline {
            println!(
                "{} members didn't recognized pause state after {} seconds",
                lagging.join(", "),
                loop_wait.as_secs()
            );
            return Ok(Outcome::Failed);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
