//! `switchover` and `failover`: shows the cluster, asks what is missing, confirms, asks the leader's agent,
//! and tells how it ended. Which member may take over is for the members to decide.

use super::access::{Access, Reached};
use super::member_http::Reach;
use super::members_table::table;
use super::time::{next_hour, scheduled, timestamp};
use super::{Outcome, ask};
use serde_json::{Map, Value};
use tanist_core::cluster::Cluster;
use tanist_core::cluster_json::{is_on, is_standby_cluster};
use tanist_core::dcs::Precondition;
use tanist_core::keys;
use tanist_core::name::MemberName;
use tanist_core::time::Span;
use tanist_core::wording::Asked;

/// The agent answers within twice its loop, and tells itself when it does not know.
const BUDGET: Span = Span::secs(180);

#[derive(Debug, clap::Args)]
pub struct Switchover {
    cluster_name: Option<String>,
    /// The name of the current leader
    #[arg(long, visible_alias = "primary")]
    leader: Option<String>,
    /// The name of the candidate
    #[arg(long)]
    candidate: Option<String>,
    /// Timestamp of a scheduled switchover in unambiguous format (e.g. ISO 8601)
    #[arg(long)]
    scheduled: Option<String>,
    /// Do not ask for confirmation at any point
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
pub struct Failover {
    cluster_name: Option<String>,
    /// The name of the candidate
    #[arg(long)]
    candidate: Option<String>,
    /// Do not ask for confirmation at any point
    #[arg(long)]
    force: bool,
}

pub async fn switchover(args: Switchover, access: &Access) -> anyhow::Result<Outcome> {
    let name = access.cluster_name(args.cluster_name.as_deref())?;
    let reached = access.cluster(&name)?;
    let cluster = show(&reached).await?;
    let leader = leader(&cluster, &name, args.leader, args.force)?;
    let candidate = candidate(
        &cluster,
        Asked::Switchover,
        &name,
        args.candidate,
        args.force,
    )?;
    let at = match args.scheduled {
        Some(text) => scheduled(&text)?,
        None if args.force => None,
        None => {
            let question = format!(
                "When should the switchover take place (e.g. {} ) ",
                next_hour()
            );
            scheduled(&ask::prompt(&question, "now")?)?
        }
    };
    if at.is_some() && is_on(&cluster, "pause") {
        anyhow::bail!("Can't schedule switchover in the paused state");
    }
    if !args.force {
        let question = match &at {
            Some(at) => format!(
                "Are you sure you want to schedule switchover of cluster {name} at {at}, demoting current leader {leader}?"
            ),
            None => sure(Asked::Switchover, &name, Some(&leader)),
        };
        if !ask::confirm(&question)? {
            let what = if at.is_some() { "scheduled " } else { "" };
            anyhow::bail!("Aborting {what}switchover");
        }
    }
    let mut request = Map::new();
    request.insert("candidate".into(), candidate.map(|c| c.0).into());
    request.insert("leader".into(), leader.0.into());
    request.extend(at.map(|at| ("scheduled_at".to_string(), Value::from(at))));
    carry_out(Asked::Switchover, access, &reached, &cluster, request).await
}

pub async fn failover(args: Failover, access: &Access) -> anyhow::Result<Outcome> {
    let name = access.cluster_name(args.cluster_name.as_deref())?;
    let reached = access.cluster(&name)?;
    let cluster = show(&reached).await?;
    let candidate = candidate(&cluster, Asked::Failover, &name, args.candidate, args.force)?;
    let Some(candidate) = candidate else {
        anyhow::bail!("Failover could be performed only to a specific candidate");
    };
    if !args.force {
        let is_async = cluster.sync.is_active() && !cluster.sync.names_standby(&candidate);
        let question =
            format!("Are you sure you want to failover to the asynchronous node {candidate}?");
        if is_async && !ask::confirm(&question)? {
            anyhow::bail!("Aborting failover");
        }
        let leader = cluster.leader.as_ref().map(|l| &l.owner);
        if !ask::confirm(&sure(Asked::Failover, &name, leader))? {
            anyhow::bail!("Aborting failover");
        }
    }
    let request = Map::from_iter([("candidate".to_string(), Value::from(candidate.0))]);
    carry_out(Asked::Failover, access, &reached, &cluster, request).await
}

async fn show(reached: &Reached) -> anyhow::Result<Cluster> {
    let snapshot = reached.snapshot().await?;
    println!("Current cluster topology");
    print!("{}", table(&snapshot, &reached.name));
    Ok(Cluster::read(&snapshot))
}

fn sure(action: Asked, name: &str, leader: Option<&MemberName>) -> String {
    let demoting = leader.map(|l| format!(", demoting current leader {l}"));
    format!(
        "Are you sure you want to {} cluster {name}{}?",
        action.word(),
        demoting.unwrap_or_default()
    )
}

fn leader(
    cluster: &Cluster,
    name: &str,
    given: Option<String>,
    force: bool,
) -> anyhow::Result<MemberName> {
    let Some(key) = &cluster.leader else {
        anyhow::bail!("This cluster has no leader");
    };
    let current = key.owner.clone();
    let given = match given {
        Some(given) => given,
        None if force => return Ok(current),
        None => {
            let word = if is_standby_cluster(cluster) {
                "Standby Leader"
            } else {
                "Primary"
            };
            ask::prompt(word, current.as_str())?
        }
    };
    if current.as_str() != given {
        anyhow::bail!("Member {given} is not the leader of cluster {name}");
    }
    Ok(current)
}

fn candidate(
    cluster: &Cluster,
    action: Asked,
    name: &str,
    given: Option<String>,
    force: bool,
) -> anyhow::Result<Option<MemberName>> {
    let current = cluster.leader.as_ref().map(|l| l.owner.clone());
    let fit = cluster
        .members
        .iter()
        .filter(|(name, data)| Some(*name) != current.as_ref() && !data.read_tags().nofailover);
    let names: Vec<&str> = fit.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        anyhow::bail!("No candidates found to {} to", action.word());
    }
    let given = match given {
        Some(given) => given,
        None if force => String::new(),
        None => {
            let quoted: Vec<String> = names.iter().map(|n| format!("'{n}'")).collect();
            ask::prompt(&format!("Candidate [{}]", quoted.join(", ")), "")?
        }
    };
    if given.is_empty() {
        return Ok(None);
    }
    if current.is_some_and(|c| c.as_str() == given) {
        anyhow::bail!("Member {given} is already the leader of cluster {name}");
    }
    if !names.contains(&given.as_str()) {
        anyhow::bail!("Member {given} does not exist in cluster {name} or is tagged as nofailover");
    }
    Ok(Some(MemberName(given)))
}

async fn carry_out(
    action: Asked,
    access: &Access,
    reached: &Reached,
    cluster: &Cluster,
    request: Map<String, Value>,
) -> anyhow::Result<Outcome> {
    let member = cluster.leader.as_ref().map(|l| l.owner.clone());
    let candidate = request.get("candidate").and_then(Value::as_str);
    let member = member.or_else(|| candidate.map(MemberName::from));
    let data = member.and_then(|m| cluster.members.get(&m));
    let body = Value::Object(request.clone());
    let answer = match data.and_then(|d| d.api_url.as_deref()) {
        Some(url) => {
            access
                .ask(url, "POST", action.word(), Some(&body), BUDGET)
                .await
        }
        None => Err(Reach::NotSent("no member publishes an address".into())),
    };
    match answer {
        Ok(response) if matches!(response.code, 200 | 202) => {
            println!("{} {}", timestamp(6), response.body);
        }
        Ok(response) => {
            let (code, text) = (response.code, response.body);
            println!("{} failed, details: {code}, {text}", action.title());
            return Ok(Outcome::Failed);
        }
        Err(Reach::NotSent(why)) => {
            eprintln!("{why}");
            println!(
                "{} Could not {} using Patroni api, falling back to DCS",
                timestamp(6),
                action.word()
            );
            write_request(reached, cluster, request).await?;
        }
        // It may be under way: asking a second time, in another way, could hand over twice.
        Err(why @ Reach::Unknown(_)) => anyhow::bail!("{why}"),
    }
    print!("{}", table(&reached.snapshot().await?, &reached.name));
    Ok(Outcome::Done)
}

/// Only onto the `failover` key as it was read: somebody else's request is not overwritten.
async fn write_request(
    reached: &Reached,
    cluster: &Cluster,
    mut request: Map<String, Value>,
) -> anyhow::Result<()> {
    if let Some(candidate) = request.remove("candidate").filter(|c| !c.is_null()) {
        request.insert("member".into(), candidate);
    }
    let precondition = match cluster.failover_version.0 {
        0 => Precondition::Absent,
        _ => Precondition::Version(cluster.failover_version),
    };
    let value = Value::Object(request).to_string();
    reached.write(keys::FAILOVER, &value, precondition).await
}
