//! A session that goes on committing on the server without a word from its client, and tells each commit
//! as a notice. Such a backend outlives its postmaster; only its own notices show it.

use super::{Shared, TIMELINE};
use crate::testbed::Stamp;
use crate::testbed::checker::Commit;
use crate::testbed::sql::{self, Access};
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio_postgres::{AsyncMessage, SimpleQueryMessage};

/// Tells its backend's pid once it has started, then commits until its server ends it.
pub async fn run(node: String, access: Access, session: u32, tell: Sender<u32>, shared: Shared) {
    let limit = Duration::from_secs(5);
    let Ok(asking) = sql::connect(access, limit, |_| {}).await else {
        return;
    };
    let Some(timeline) = number(&asking, &format!("SELECT {TIMELINE}")).await else {
        return;
    };
    let listen = move |message| {
        let AsyncMessage::Notice(notice) = message else {
            return;
        };
        if let Some((sent, acked)) = stamps(notice.message()) {
            let node = node.clone();
            shared.journal().commits.push(Commit {
                node,
                timeline,
                sent,
                acked,
            });
        }
    };
    let Ok(client) = sql::connect(access, limit, listen).await else {
        return;
    };
    let Some(pid) = number(&client, "SELECT pg_backend_pid()").await else {
        return;
    };
    // Nobody listens any more: the test that wanted the session has given up.
    let _ = tell.send(pid);
    // Ends with an error when the server ends it; that is its life.
    let _ = client
        .simple_query(&format!("CALL testbed_commit_in_a_loop({session})"))
        .await;
}

fn stamps(notice: &str) -> Option<(Stamp, Stamp)> {
    let (sent, acked) = notice.split_once(' ')?;
    Some((Stamp(sent.parse().ok()?), Stamp(acked.parse().ok()?)))
}

async fn number(client: &tokio_postgres::Client, query: &str) -> Option<u32> {
    let messages = client.simple_query(query).await.ok()?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row?.get(0)?.parse().ok()
}
