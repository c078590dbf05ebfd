//! The worst that can happen to a primary at once: rows that only it has, and then its agent, its fencer
//! and its postmaster gone, with nobody left to tidy up.

use crate::testbed::cluster::lose;
use crate::testbed::member::Member;
use crate::testbed::{Stamp, process};
use rustix::process::Signal;

/// What the wreck left behind.
#[derive(Debug)]
pub struct Wreck {
    pub at: Stamp,
    /// Rows that were confirmed and that no standby received.
    pub only_there: Vec<String>,
}

/// Freezes what sends WAL to the standbys, commits three rows, and kills.
pub fn wreck(primary: &Member) -> anyhow::Result<Wreck> {
    primary
        .sql("CREATE TABLE IF NOT EXISTS only_on_the_old_primary (what text)")
        .map_err(anyhow::Error::msg)?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    let instance = primary.instance();
    for sender in instance
        .iter()
        .filter(|seen| seen.command.contains("walsender"))
    {
        process::signal(sender.pid, Signal::STOP);
    }
    let mut only_there = Vec::new();
    for row in ["order 4711 paid", "order 4712 paid", "order 4713 shipped"] {
        primary
            .sql(&format!(
                "INSERT INTO only_on_the_old_primary VALUES ('{row}')"
            ))
            .map_err(anyhow::Error::msg)?;
        only_there.push(row.to_string());
    }
    let at = Stamp::now();
    lose(primary)?;
    Ok(Wreck { at, only_there })
}
