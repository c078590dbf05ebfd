//! `reinit`: throws a standby's data away and clones it anew.

use super::Outcome;
use super::access::{Access, api_url};
use super::ask;
use super::choose::{self, Choice, RoleFilter, Unnamed};
use serde_json::{Value, json};
use std::time::Duration;
use tanist_core::cluster::Cluster;
use tanist_core::name::MemberName;
use tanist_core::time::Span;

const BUDGET: Span = Span::secs(60);

#[derive(Debug, clap::Args)]
pub struct Reinit {
    cluster_name: String,
    member_names: Vec<String>,
    /// Do not ask for confirmation at any point
    #[arg(long)]
    force: bool,
    /// Get basebackup from leader
    #[arg(long)]
    from_leader: bool,
    /// Wait until reinitialization completes
    #[arg(long)]
    wait: bool,
}

pub async fn run(args: Reinit, access: &Access) -> anyhow::Result<Outcome> {
    let snapshot = access.cluster(&args.cluster_name)?.snapshot().await?;
    let cluster = Cluster::read(&snapshot);
    let choice = Choice {
        snapshot: &snapshot,
        cluster: &cluster,
        cluster_name: &args.cluster_name,
        given: &args.member_names,
        role: RoleFilter::Replica,
        action: "reinitialize",
        force: args.force,
    };
    let members = choose::members(&choice, Unnamed::Ask)?;
    choose::confirm("reinitialize", &members, args.force)?;
    let mut outcome = Outcome::Done;
    let mut started = Vec::new();
    for member in members {
        let url = api_url(&cluster, &member)?;
        if start(access, &member, url, &args).await? {
            started.push((member.clone(), url.to_string()));
        } else {
            outcome = Outcome::Failed;
        }
    }
    if args.wait {
        wait(access, started).await;
    }
    Ok(outcome)
}

async fn start(
    access: &Access,
    member: &MemberName,
    url: &str,
    args: &Reinit,
) -> anyhow::Result<bool> {
    let mut force = args.force;
    loop {
        let body = json!({"force": force, "from_leader": args.from_leader});
        let asked = access.ask(url, "POST", "reinitialize", Some(&body), BUDGET);
        let response = asked.await?;
        if response.code < 400 {
            println!("Success: reinitialize for member {member}");
            return Ok(true);
        }
        println!(
            "Failed: reinitialize for member {member}, status code={}, ({})",
            response.code, response.body
        );
        let busy = response.body.ends_with(" already in progress");
        if force || !busy || !ask::confirm("Do you want to cancel it and reinitialize anyway?")? {
            return Ok(false);
        }
        force = true;
    }
}

/// As long as it takes: the size of the database decides, and whoever waits may end it.
async fn wait(access: &Access, mut waiting: Vec<(MemberName, String)>) {
    let mut told = Vec::new();
    while !waiting.is_empty() {
        let names: Vec<String> = waiting.iter().map(|(m, _)| m.to_string()).collect();
        if names != told {
            println!(
                "Waiting for reinitialize to complete on: {}",
                names.join(", ")
            );
            told = names;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut still = Vec::new();
        for (member, url) in waiting {
            if is_over(access, &url).await {
                println!("Reinitialize is completed on: {member}");
            } else {
                still.push((member, url));
            }
        }
        waiting = still;
    }
}

/// It answers, and with anything but an empty or half-copied directory.
async fn is_over(access: &Access, url: &str) -> bool {
    let Ok(response) = access.ask(url, "GET", "patroni", None, Span::secs(5)).await else {
        return false;
    };
    let status: Value = serde_json::from_str(&response.body).unwrap_or_default();
    matches!(status["state"].as_str(), Some("running" | "start failed"))
        && status["tanist"]["operation"].is_null()
}
