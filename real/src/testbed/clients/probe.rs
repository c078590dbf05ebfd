//! Tries to commit a row on one node every 10 ms, whatever that node is, and writes down what came of it.
//! Of all that answers, only a confirmed commit says that the node can write.

use super::{Attempt, Shared, TIMELINE, Verdict};
use crate::testbed::Stamp;
use crate::testbed::checker::Commit;
use crate::testbed::sql::{self, Access};
use std::time::Duration;
use tokio_postgres::{Client, SimpleQueryMessage};

const PERIOD: Duration = Duration::from_millis(10);
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

pub async fn run(node: String, access: Access, shared: Shared) {
    let query = format!("INSERT INTO testbed_probe (node) VALUES ('{node}') RETURNING {TIMELINE}");
    let mut session: Option<Client> = None;
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let client = match session.take() {
            Some(client) => client,
            None => match sql::connect(access, CONNECT_LIMIT, |_| {}).await {
                Ok(client) => client,
                Err(_) => continue,
            },
        };
        let sent = Stamp::now();
        let Ok(answer) = tokio::time::timeout(ANSWER_LIMIT, client.simple_query(&query)).await
        else {
            // In doubt: the session is dropped with its request.
            continue;
        };
        let acked = Stamp::now();
        let mut journal = shared.journal();
        let verdict = match answer {
            Ok(messages) => {
                journal.commits.push(Commit {
                    node: node.clone(),
                    timeline: first_number(&messages).unwrap_or_default(),
                    sent,
                    acked,
                });
                Verdict::Accepted
            }
            Err(_) => Verdict::Refused,
        };
        let node = node.clone();
        journal.writes.push(Attempt {
            node,
            sent,
            verdict,
        });
        session = (!client.is_closed()).then_some(client);
    }
}

fn first_number(messages: &[SimpleQueryMessage]) -> Option<u32> {
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row?.get(0)?.parse().ok()
}
