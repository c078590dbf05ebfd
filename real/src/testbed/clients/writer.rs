//! A client with several hosts, as libpq's `target_session_attrs=read-write` has them: it asks each in
//! turn until one takes writes, inserts numbered rows there, and notes which were confirmed. It never
//! repeats a row: what was in doubt stays in doubt.

use super::{Shared, TIMELINE};
use crate::testbed::Stamp;
use crate::testbed::checker::Acknowledged;
use crate::testbed::sql::{self, Access};
use std::time::Duration;
use tokio_postgres::{Client, SimpleQueryMessage};

pub const PERIOD: Duration = Duration::from_millis(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Between two rounds through all hosts without a primary.
const ROUND: Duration = Duration::from_millis(20);

/// Its rows are numbered from just above `base`.
pub async fn run(hosts: Vec<(String, Access)>, period: Duration, base: u64, shared: Shared) {
    let mut id = base;
    let mut tick = tokio::time::interval(period);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let Some((node, client)) = find_primary(&hosts).await else {
            tokio::time::sleep(ROUND).await;
            continue;
        };
        loop {
            tick.tick().await;
            id += 1;
            let Some(row) = insert(&client, id, &node).await else {
                break;
            };
            shared.journal().acknowledged.push(row);
        }
    }
}

async fn find_primary(hosts: &[(String, Access)]) -> Option<(String, Client)> {
    for (node, access) in hosts {
        let Ok(client) = sql::connect(*access, CONNECT_LIMIT, |_| {}).await else {
            continue;
        };
        let asked = client.simple_query("SHOW transaction_read_only");
        let Ok(Ok(answer)) = tokio::time::timeout(CONNECT_LIMIT, asked).await else {
            continue;
        };
        if cell(&answer, 0) == Some("off") {
            return Some((node.clone(), client));
        }
    }
    None
}

async fn insert(client: &Client, id: u64, node: &str) -> Option<Acknowledged> {
    let query = format!(
        "INSERT INTO testbed_rows (id) VALUES ({id}) \
         RETURNING {TIMELINE}, (pg_current_wal_insert_lsn() - '0/0')::bigint"
    );
    let answer = tokio::time::timeout(ANSWER_LIMIT, client.simple_query(&query)).await;
    let answer = answer.ok()?.ok()?;
    Some(Acknowledged {
        id,
        node: node.to_string(),
        timeline: cell(&answer, 0)?.parse().ok()?,
        lsn: cell(&answer, 1)?.parse().ok()?,
        acked: Stamp::now(),
    })
}

fn cell(messages: &[SimpleQueryMessage], index: usize) -> Option<&str> {
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row?.get(index)
}
