//! `restart`: restarts PostgreSQL of members, one after the other.

use super::Outcome;
use super::access::{Access, api_url};
use super::ask;
use super::choose::{self, Choice, RoleFilter, Unnamed};
use super::time::{next_hour, scheduled};
use serde_json::{Map, Value};
use tanist_core::cluster::Cluster;
use tanist_core::time::Span;

/// A member may take `primary_start_timeout` to come back, five minutes unless configured otherwise.
const BUDGET: Span = Span::secs(600);

#[derive(Debug, clap::Args)]
pub struct Restart {
    cluster_name: String,
    member_names: Vec<String>,
    /// Restart only members with this role
    #[arg(short, long, value_enum, default_value = "any")]
    role: RoleFilter,
    /// Restart a single member only
    #[arg(long)]
    any: bool,
    /// Timestamp of a scheduled restart in unambiguous format (e.g. ISO 8601)
    #[arg(long)]
    scheduled: Option<String>,
    /// Restart if the PostgreSQL version is less than provided (e.g. 9.5.2)
    #[arg(long)]
    pg_version: Option<String>,
    /// Restart if pending
    #[arg(long)]
    pending: bool,
    /// Return error and fail over if necessary when restarting takes longer than this
    #[arg(long)]
    timeout: Option<String>,
    /// Do not ask for confirmation at any point
    #[arg(long)]
    force: bool,
}

pub async fn run(args: Restart, access: &Access) -> anyhow::Result<Outcome> {
    let snapshot = access.cluster(&args.cluster_name)?.snapshot().await?;
    let cluster = Cluster::read(&snapshot);
    let choice = Choice {
        snapshot: &snapshot,
        cluster: &cluster,
        cluster_name: &args.cluster_name,
        given: &args.member_names,
        role: args.role,
        action: "restart",
        force: args.force,
    };
    let mut members = choose::members(&choice, Unnamed::All)?;
    let at = match args.scheduled {
        Some(text) => scheduled(&text)?,
        None if args.force => None,
        None => {
            let question = format!("When should the restart take place (e.g. {}) ", next_hour());
            scheduled(&ask::prompt(&question, "now")?)?
        }
    };
    if args.pending && at.is_none() {
        members.retain(|name| {
            let member = cluster.members.get(name);
            member.is_some_and(|m| m.pending_restart == Some(true))
        });
    }
    if args.any {
        // patronictl draws one; the first will do as well and can be foreseen.
        members.truncate(1);
    }
    choose::confirm("restart", &members, args.force)?;
    let mut filters = Map::new();
    filters.extend(at.map(|at| ("schedule".to_string(), Value::from(at))));
    filters.extend(
        args.pg_version
            .map(|v| ("postgres_version".to_string(), Value::from(v))),
    );
    filters.extend(
        args.timeout
            .map(|t| ("timeout".to_string(), Value::from(t))),
    );
    let body = Value::Object(filters);
    let mut outcome = Outcome::Done;
    for member in members {
        let url = api_url(&cluster, &member)?;
        let response = access
            .ask(url, "POST", "restart", Some(&body), BUDGET)
            .await?;
        match response.code {
            200 => println!("Success: restart on member {member}"),
            202 => println!("Success: restart scheduled on member {member}"),
            409 => {
                println!("Failed: another restart is already scheduled on member {member}");
                outcome = Outcome::Failed;
            }
            code => {
                println!(
                    "Failed: restart for member {member}, status code={code}, ({})",
                    response.body
                );
                outcome = Outcome::Failed;
            }
        }
    }
    Ok(outcome)
}
