//! `trace`: a member's latest decisions with their reasons, as the member itself tells them.

use super::Outcome;
use super::access::{Access, api_url};
use serde_json::Value;
use tanist_core::name::MemberName;
use tanist_core::time::Span;

#[derive(Debug, clap::Args)]
pub struct Trace {
    member: String,
    /// How many of the latest decisions
    #[arg(short = 'n', long, default_value_t = 50)]
    lines: u32,
    /// The cluster, when it is not the configured one
    #[arg(long)]
    cluster: Option<String>,
}

pub async fn run(args: Trace, access: &Access) -> anyhow::Result<Outcome> {
    let name = access.cluster_name(args.cluster.as_deref())?;
    let cluster = access.cluster(&name)?.read().await?;
    let member = MemberName(args.member);
    if !cluster.members.contains_key(&member) {
        anyhow::bail!("{member} is not a member of cluster {name}");
    }
    let url = api_url(&cluster, &member)?;
    let endpoint = format!("trace?n={}", args.lines);
    let response = access
        .ask(url, "GET", &endpoint, None, Span::secs(5))
        .await?;
    let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
    let Some(recent) = body["recent"].as_array().filter(|_| response.code == 200) else {
        anyhow::bail!("{member} tells no decisions: it answered {}", response.code);
    };
    for line in recent {
        let text = |field: &str| line[field].as_str().unwrap_or_default();
        println!("{}  {}", text("at"), text("text"));
    }
    println!("now: {}", body["decision"].as_str().unwrap_or_default());
    Ok(Outcome::Done)
}
