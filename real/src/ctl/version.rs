//! `version`: of this program, and of the agents and servers of a cluster.

use super::Outcome;
use super::access::Access;
use serde_json::Value;
use tanist_core::time::Span;

#[derive(Debug, clap::Args)]
pub struct Version {
    cluster_name: Option<String>,
    member_names: Vec<String>,
}

impl Version {
    pub fn is_only_mine(&self) -> bool {
        self.cluster_name.is_none()
    }
}

pub fn mine() {
    println!("tanistctl version {}", env!("CARGO_PKG_VERSION"));
}

pub async fn run(args: Version, access: &Access) -> anyhow::Result<Outcome> {
    mine();
    println!();
    let name = access.cluster_name(args.cluster_name.as_deref())?;
    let cluster = access.cluster(&name)?.read().await?;
    let mut outcome = Outcome::Done;
    for (member, data) in &cluster.members {
        let asked =
            args.member_names.is_empty() || args.member_names.iter().any(|n| n == member.as_str());
        let Some(url) = data.api_url.as_deref().filter(|_| asked) else {
            continue;
        };
        match access.ask(url, "GET", "patroni", None, Span::secs(5)).await {
            Ok(response) => match versions(&response.body) {
                Some(versions) => println!("{member}: {versions}"),
                None => {
                    let code = response.code;
                    println!("{member}: failed to get version: it answered {code}");
                    outcome = Outcome::Failed;
                }
            },
            Err(why) => {
                println!("{member}: failed to get version: {why}");
                outcome = Outcome::Failed;
            }
        }
    }
    Ok(outcome)
}

/// `None`: not the status of a member.
fn versions(body: &str) -> Option<String> {
    let status: Value = serde_json::from_str(body).ok()?;
    let agent = match status["tanist"]["version"].as_str() {
        Some(version) => format!("Tanist {version}"),
        None => format!("Patroni {}", status["patroni"]["version"].as_str()?),
    };
    Some(match status["server_version"].as_u64() {
        Some(number) => format!("{agent} PostgreSQL {}", server_version(number)),
        None => agent,
    })
}

/// `150014` is 15.14; before 10 there were three parts.
fn server_version(number: u64) -> String {
    if number >= 100_000 {
        format!("{}.{}", number / 10_000, number % 10_000)
    } else {
        format!(
            "{}.{}.{}",
            number / 10_000,
            number / 100 % 100,
            number % 100
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_and_servers_are_named() {
        let patroni = r#"{"patroni":{"version":"4.1.5"},"server_version":150014}"#;
        let shown = versions(patroni);
        assert_eq!(shown.as_deref(), Some("Patroni 4.1.5 PostgreSQL 15.14"));
        let tanist = r#"{"patroni":{"version":"4.1.5"},"tanist":{"version":"0.1.0"}}"#;
        assert_eq!(versions(tanist).as_deref(), Some("Tanist 0.1.0"));
        assert_eq!(server_version(90624), "9.6.24");
        for nonsense in ["nonsense", "{}", "[]"] {
            assert_eq!(versions(nonsense), None);
        }
    }
}
