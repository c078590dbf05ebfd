//! `incident collect`: the flight recordings of all members around a time, in one folder, for `tanist-sim from-traces`.

use super::Outcome;
use super::access::{Access, api_url};
use super::time::instant;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use tanist_core::cluster::Cluster;
use tanist_core::iso::iso_time;
use tanist_core::name::MemberName;
use tanist_core::time::{Span, Wall};

#[derive(Debug, clap::Subcommand)]
pub enum Incident {
    /// Gather the members' flight recordings around a time into a folder
    Collect(Collect),
}

#[derive(Debug, clap::Args)]
pub struct Collect {
    /// The time of the incident, such as 2026-11-27T10:00; now, if not said
    #[arg(long, default_value = "now")]
    around: String,
    /// How many minutes before and after it
    #[arg(long, default_value_t = 15)]
    minutes: u32,
    /// The folder to make; it must not be there
    #[arg(long, default_value = "incident")]
    out: PathBuf,
    /// The cluster, when it is not the configured one
    #[arg(long)]
    cluster: Option<String>,
}

/// Tens of megabytes may have to be read from a disk and sent.
const ANSWER_BUDGET: Span = Span::secs(60);

pub async fn run(incident: Incident, access: &Access) -> anyhow::Result<Outcome> {
    let Incident::Collect(args) = incident;
    let name = access.cluster_name(args.cluster.as_deref())?;
    let around = instant(&args.around)?;
    let reach = Span::secs(u64::from(args.minutes) * 60);
    let from = Wall(around.0.saturating_sub_unsigned(reach.as_micros()));
    let until = around.plus(reach);
    let cluster = access.cluster(&name)?.read().await?;
    if args.out.exists() {
        anyhow::bail!(
            "{} is there already; name another folder with --out",
            args.out.display()
        );
    }
    std::fs::create_dir_all(&args.out)?;
    let endpoint = format!("recording?from={}&until={}", from.0, until.0);
    let mut members = Map::new();
    let mut missing = 0;
    for member in cluster.members.keys() {
        let told = match of_one(access, &cluster, member, &endpoint, &args.out).await {
            Ok(bytes) => json!({ "bytes": bytes }),
            Err(why) => {
                missing += 1;
                json!({ "missing": why.to_string() })
            }
        };
        println!("{member}: {told}");
        members.insert(member.to_string(), told);
    }
    let about = json!({
        "cluster": name,
        "from": iso_time(from),
        "until": iso_time(until),
        "members": Value::Object(members),
    });
    std::fs::write(args.out.join("incident.json"), format!("{about:#}\n"))?;
    println!(
        "one story of it: tanist-sim from-traces {}",
        args.out.display()
    );
    Ok(if missing == 0 {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// Fetches one member's recording into a file of its own; its length.
async fn of_one(
    access: &Access,
    cluster: &Cluster,
    member: &MemberName,
    endpoint: &str,
    folder: &Path,
) -> anyhow::Result<usize> {
    let url = api_url(cluster, member)?;
    let response = access
        .ask(url, "GET", endpoint, None, ANSWER_BUDGET)
        .await?;
    match response.code {
        200 if response.body.is_empty() => anyhow::bail!("it recorded nothing then"),
        200 => {}
        code => anyhow::bail!("it answered {code}: {}", response.body.trim()),
    }
    // A member's name may hold what a file's may not.
    let file: String = member
        .as_str()
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '-' || c == '.' {
                c
            } else {
                '_'
            }
        })
        .collect();
    std::fs::write(folder.join(format!("{file}.jsonl")), &response.body)?;
    Ok(response.body.len())
}
