//! `list`: the members of a cluster as the store knows them, once or again and again.

use super::Outcome;
use super::access::Access;
use super::members_table::{Columns, Format, render};
use super::time::timestamp;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct List {
    cluster_names: Vec<String>,
    /// Show some extra information
    #[arg(short, long)]
    extended: bool,
    /// Print timestamp
    #[arg(short, long)]
    timestamp: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value = "pretty")]
    format: Format,
    /// Auto update the screen every 2 seconds
    #[arg(short = 'W')]
    every_two_seconds: bool,
    /// Auto update the screen every X seconds
    #[arg(short, long, value_name = "SEC")]
    watch: Option<f64>,
}

pub async fn run(args: List, access: &Access) -> anyhow::Result<Outcome> {
    let mut names = args.cluster_names;
    if names.is_empty() {
        names.push(access.cluster_name(None)?);
    }
    let columns = if args.extended {
        Columns::Extended
    } else {
        Columns::AsNeeded
    };
    let seconds = args.watch.or(args.every_two_seconds.then_some(2.0));
    let pause = match seconds.map(Duration::try_from_secs_f64) {
        None => None,
        Some(Ok(pause)) => Some(pause.max(Duration::from_millis(100))),
        Some(Err(_)) => anyhow::bail!("--watch expects a number of seconds"),
    };
    loop {
        if pause.is_some() {
            // Clear the screen, cursor home.
            print!("\x1b[2J\x1b[1;1H");
        }
        if args.timestamp {
            println!("{}", timestamp(0));
        }
        for name in &names {
            let snapshot = access.cluster(name)?.snapshot().await?;
            print!("{}", render(&snapshot, name, args.format, columns));
        }
        match pause {
            None => return Ok(Outcome::Done),
            Some(pause) => tokio::time::sleep(pause).await,
        }
    }
}
