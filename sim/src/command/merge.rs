//! `tanist-sim merge`: joins the shares of one campaign that ran on several machines, as if it had run on one.

use super::campaign::{Pages, end};
use super::{Ended, cannot};
use crate::library::{Unreadable, text_of};
use crate::share::Share;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Merge {
    /// What each share's `swarm --tally FILE` has written
    #[arg(required = true)]
    pub shares: Vec<PathBuf>,
    /// Join what there is, even if shares are missing
    #[arg(long)]
    pub incomplete: bool,
    #[command(flatten)]
    pub pages: Pages,
}

pub fn command(args: &Merge) -> Ended {
    let share = match joined(&args.shares) {
        Ok(share) => share,
        Err(e) => return cannot(e),
    };
    let missing = share.missing();
    if !missing.is_empty() {
        let told: Vec<String> = missing.iter().map(u64::to_string).collect();
        let why = format!(
            "{} of {} shares are not among these: {}",
            missing.len(),
            share.campaign.shards,
            told.join(", ")
        );
        if !args.incomplete {
            return cannot(format!("{why}; --incomplete joins what there is"));
        }
        println!("{why}");
    }
    end(&args.pages, &share)
}

/// The sum of these shares; there is at least one.
pub fn joined(paths: &[PathBuf]) -> Result<Share, Unreadable> {
    let mut sum: Option<Share> = None;
    for path in paths {
        let bad = |why: String| Unreadable {
            path: path.clone(),
            why,
        };
        let share = Share::read(&text_of(path)?).map_err(bad)?;
        match &mut sum {
            None => sum = Some(share),
            Some(sum) => sum.join(share).map_err(bad)?,
        }
    }
    sum.ok_or_else(|| Unreadable {
        path: PathBuf::from("tally"),
        why: "no share was named".into(),
    })
}
