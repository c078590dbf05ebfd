//! `tanistctl`: patronictl's commands, prompts and tables, with true exit codes: 0 done, 1 refused, failed or
//! of unknown end, 2 a command line that makes no sense.
//! Decides nothing about the cluster; members and store do.
//!
//! One file a command (`list`, `switchover`, `pause`, `reinit`, `restart`, `show_config`, `trace`, `incident`, `version`);
//! beside them `access` and `member_http` (how a cluster is reached), `choose` and `ask` (which members, and
//! are you sure), `members_table`, `table`, `yaml`, `python_json`, `in_order`, `time` (how things are shown).

mod access;
mod ask;
mod choose;
mod in_order;
mod incident;
mod list;
mod member_http;
pub mod members_table;
mod pause;
mod python_json;
mod reinit;
mod restart;
mod show_config;
mod switchover;
mod table;
mod time;
mod trace;
mod version;
mod yaml;
mod yaml_types;

use crate::settings::tools::{self, StoreUrl};
use access::Access;
use clap::{Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// How a command ended, when nothing was wrong with asking. What went wrong has been printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed,
}

/// Command-line interface for interacting with Tanist and Patroni clusters.
#[derive(Debug, Parser)]
#[command(name = "tanistctl", disable_version_flag = true)]
struct Cli {
    /// Configuration file; also TANISTCTL_CONFIG_FILE or PATRONICTL_CONFIG_FILE
    #[arg(short, long, global = true)]
    config_file: Option<PathBuf>,
    /// The DCS connect url
    #[arg(short, long, visible_alias = "dcs", global = true, env = "DCS_URL")]
    dcs_url: Option<String>,
    /// Accepted for patronictl's sake: no certificate is involved
    #[arg(short = 'k', long, global = true)]
    insecure: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the members of a cluster
    List(list::List),
    /// Switchover to a replica
    Switchover(switchover::Switchover),
    /// Failover to a replica
    Failover(switchover::Failover),
    /// Disable auto failover
    Pause(pause::Toggle),
    /// Resume auto failover
    Resume(pause::Toggle),
    /// Reinitialize cluster member
    Reinit(reinit::Reinit),
    /// Restart cluster member
    Restart(restart::Restart),
    /// Show cluster configuration
    ShowConfig(show_config::ShowConfig),
    /// Show a member's latest decisions with their reasons
    Trace(trace::Trace),
    /// Gather what is needed to understand an incident
    #[command(subcommand)]
    Incident(incident::Incident),
    /// Output version of this command or of a running cluster
    Version(version::Version),
}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(why) => Err(why.into()),
    };
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("Error: {why:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<Outcome> {
    // `vars` panics on a variable that is not UTF-8; none of ours is.
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    if let Command::Version(version) = &cli.command
        && version.is_only_mine()
    {
        version::mine();
        return Ok(Outcome::Done);
    }
    let access = Access::new(read_tools(&cli, &env)?);
    match cli.command {
        Command::List(args) => list::run(args, &access).await,
        Command::Switchover(args) => switchover::switchover(args, &access).await,
        Command::Failover(args) => switchover::failover(args, &access).await,
        Command::Pause(args) => pause::run(args, pause::Wanted::Paused, &access).await,
        Command::Resume(args) => pause::run(args, pause::Wanted::Resumed, &access).await,
        Command::Reinit(args) => reinit::run(args, &access).await,
        Command::Restart(args) => restart::run(args, &access).await,
        Command::ShowConfig(args) => show_config::run(args, &access).await,
        Command::Trace(args) => trace::run(args, &access).await,
        Command::Incident(args) => incident::run(args, &access).await,
        Command::Version(args) => version::run(args, &access).await,
    }
}

/// A file that was named must be there; the default one may be missing.
fn read_tools(cli: &Cli, env: &BTreeMap<String, String>) -> anyhow::Result<tools::Tools> {
    let url = cli.dcs_url.as_deref().map(StoreUrl::parse).transpose();
    let url = url.map_err(|why| anyhow::anyhow!(why))?;
    let from_env = ["TANISTCTL_CONFIG_FILE", "PATRONICTL_CONFIG_FILE"]
        .into_iter()
        .find_map(|name| env.get(name).map(PathBuf::from));
    let path = match cli.config_file.clone().or(from_env) {
        Some(path) if path.exists() => Some(path),
        Some(path) => anyhow::bail!(
            "Provided config file {} not existing or no read rights. Check the -c/--config-file parameter",
            path.display()
        ),
        None => default_file(env).filter(|path| path.exists()),
    };
    Ok(tools::load(path.as_deref(), env, url.as_ref())?)
}

fn default_file(env: &BTreeMap<String, String>) -> Option<PathBuf> {
    let xdg = env.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = xdg.or_else(|| {
        env.get("HOME")
            .map(|home| PathBuf::from(home).join(".config"))
    })?;
    Some(config.join("patroni").join("patronictl.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn patronictls_spellings_are_taken() {
        for line in [
            "-c f list",
            "list demo other -e -t -f yml -w 0.5",
            "list -W --format tsv",
            "switchover demo --primary a --candidate b --scheduled now --force",
            "switchover --leader a -d etcd3://h:1",
            "failover demo --candidate b --force",
            "pause --wait",
            "resume demo",
            "reinit demo b c --force --wait",
            "restart demo b --force --role replica --pending",
            "show-config demo",
            "trace b -n 5",
            "version demo b",
            "-k version",
        ] {
            let words = std::iter::once("tanistctl").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
