//! What changed below the base path, told as it happens? Lists, then follows from the list's revision;
//! begins anew whenever the stream ends, falls behind or comes from a member that knows less.
//! Decides nothing: it says `Listed`, `Changed` and `WatchLost`.
//!
//! A watch can fall silent without an error (a frozen member, a half-open connection). So every few
//! seconds the quorum is asked for the same keys, and a watch that has not shown them a second later is
//! given up.

use super::client::Client;
use super::connection::Sender;
use super::refusal::Refusal;
use super::settings::Endpoint;
use super::wire::{self, Change};
use crate::clock;
use bytes::Buf;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tanist_core::dcs::{Consistency, DcsInput, Revision, Snapshot};
use tanist_core::input::Input;
use tanist_core::primitive::{Primitive, PrimitiveOutcome, PrimitiveReply};
use tanist_core::time::{Mono, Span};
use tokio::sync::mpsc::UnboundedSender;

const PROBE_EVERY: Span = Span::secs(2);
const CALL_BUDGET: Span = Span::secs(2);
const CATCH_UP: Span = Span::secs(1);
const FIRST_PAUSE: Span = Span::millis(100);
const LONGEST_PAUSE: Span = Span::secs(1);
const MEMBERS_EVERY: Span = Span::secs(300);
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Runs until nobody listens any more.
pub async fn run(client: Arc<Client>, inputs: UnboundedSender<Input>) {
    let mut pause = FIRST_PAUSE;
    let mut seen = Revision(0);
    let mut told: Option<String> = None;
    while !inputs.is_closed() {
        let began = clock::mono();
        let why = tokio::select! {
            biased;
            () = inputs.closed() => return,
            why = follow(&client, &inputs, &mut seen, &mut told) => why,
        };
        if told.is_none() {
            tracing::info!(why, "the watch of the store ended; it begins anew");
            let lost = DcsInput::WatchLost { why: why.clone() };
            let _ = inputs.send(Input::Dcs(lost));
            told = Some(why);
        }
        if clock::mono() - began > LONGEST_PAUSE.times(10) {
            pause = FIRST_PAUSE;
        }
        clock::sleep_until(clock::mono() + pause).await;
        pause = pause.times(2).min(LONGEST_PAUSE);
    }
}

/// One life of a watch. Returns why it ended. `told`: the loss that was reported and not yet made good.
async fn follow(
    client: &Arc<Client>,
    inputs: &UnboundedSender<Input>,
    seen: &mut Revision,
    told: &mut Option<String>,
) -> String {
    let listed = match list(client, *seen).await {
        Ok(snapshot) => snapshot,
        Err(why) => return why,
    };
    let from = Revision(listed.revision.0 + 1);
    let mut mirror = Mirror::of(&listed);
    let opened = client.watch(from, clock::mono() + CALL_BUDGET).await;
    let mut stream = match opened {
        Ok((endpoint, sender, response)) => Stream {
            endpoint,
            _sender: sender,
            body: response.into_body(),
            read: Vec::new(),
        },
        Err(why) => return why,
    };
    *seen = listed.revision;
    *told = None;
    let _ = inputs.send(Input::Dcs(DcsInput::Listed { snapshot: listed }));
    let mut members_at = clock::mono();
    let mut probe = next_probe(client.clone(), Members::Refresh);
    let mut behind: Option<(Mono, Snapshot)> = None;
    loop {
        let catch_up_by = behind.as_ref().map_or(Mono(u64::MAX), |(by, _)| *by);
        tokio::select! {
            biased;
            message = stream.next() => match message.and_then(|m| read(client, &stream, &m)) {
                Ok(changes) => {
                    mirror.apply(&changes);
                    *seen = mirror.revision;
                    tell(inputs, changes);
                }
                Err(why) => return why,
            },
            found = &mut probe => {
                if client.current().as_ref() != Some(&stream.endpoint) {
                    return format!("{} stopped answering", stream.endpoint);
                }
                if behind.is_none() {
                    behind = found
                        .filter(|found| mirror.lacks(found))
                        .map(|found| (clock::mono() + CATCH_UP, found));
                }
                let refresh = if clock::mono() - members_at > MEMBERS_EVERY {
                    members_at = clock::mono();
                    Members::Refresh
                } else {
                    Members::Keep
                };
                probe = next_probe(client.clone(), refresh);
            }
            () = clock::sleep_until(catch_up_by) => {
                if behind.take().is_some_and(|(_, found)| mirror.lacks(&found)) {
                    return format!("the watch at {} fell silent", stream.endpoint);
                }
            }
        }
    }
}

/// From the quorum; while there is none, from one member, provided that it goes no further back than
/// what was seen before.
async fn list(client: &Client, seen: Revision) -> Result<Snapshot, String> {
    let first = read_all(client, Consistency::Linearizable).await;
    let Err(why) = first else { return first };
    match read_all(client, Consistency::Cached).await {
        Ok(cached) if cached.revision >= seen => Ok(cached),
        Ok(_) | Err(_) => Err(why),
    }
}

async fn read_all(client: &Client, consistency: Consistency) -> Result<Snapshot, String> {
    let until = clock::mono() + CALL_BUDGET;
    match client
        .call(&Primitive::ReadAll { consistency }, until)
        .await
        .1
    {
        PrimitiveOutcome::Ok(PrimitiveReply::All(snapshot)) => Ok(snapshot),
        PrimitiveOutcome::Ok(
            PrimitiveReply::Granted { .. }
            | PrimitiveReply::KeptAlive { .. }
            | PrimitiveReply::Transaction { .. },
        )
        | PrimitiveOutcome::LeaseNotFound => Err("etcd answered another question".to_string()),
        PrimitiveOutcome::Denied(why)
        | PrimitiveOutcome::NotSent(why)
        | PrimitiveOutcome::Unknown(why) => Err(why),
    }
}

#[derive(Clone, Copy)]
enum Members {
    Refresh,
    Keep,
}

type Probe = Pin<Box<dyn Future<Output = Option<Snapshot>> + Send>>;

/// What the quorum says, a while from now; `None` when it says nothing.
fn next_probe(client: Arc<Client>, members: Members) -> Probe {
    Box::pin(async move {
        clock::sleep_until(clock::mono() + PROBE_EVERY).await;
        match members {
            Members::Refresh => client.refresh_members(clock::mono() + CALL_BUDGET).await,
            Members::Keep => {}
        }
        read_all(&client, Consistency::Linearizable).await.ok()
    })
}

/// The changes in one message of the stream, or why the stream is of no use any more.
fn read(client: &Client, stream: &Stream, message: &Value) -> Result<Vec<Change>, String> {
    let at = &stream.endpoint;
    let Some(result) = message.get("result") else {
        return Err(format!("{at}: {}", Refusal::of(200, message).text));
    };
    if result.get("canceled").and_then(Value::as_bool) == Some(true) {
        return Err(format!("{at} cancelled the watch"));
    }
    if client.is_stale(result) {
        return Err(format!("{at} is cut off from its cluster"));
    }
    Ok(wire::changes(result, client.base()))
}

/// One input for each revision: a key that is deleted and made again in one message was still deleted.
fn tell(inputs: &UnboundedSender<Input>, changes: Vec<Change>) {
    let mut by_revision: BTreeMap<Revision, BTreeMap<_, _>> = BTreeMap::new();
    for change in changes {
        by_revision
            .entry(change.revision)
            .or_default()
            .insert(change.key, change.now);
    }
    for (revision, changes) in by_revision {
        let _ = inputs.send(Input::Dcs(DcsInput::Changed { revision, changes }));
    }
}

/// What the watch has shown so far: each key's last write.
struct Mirror {
    revision: Revision,
    keys: BTreeMap<String, Revision>,
}

impl Mirror {
    fn of(snapshot: &Snapshot) -> Mirror {
        let modified =
            |(key, kv): (&String, &tanist_core::dcs::KeyValue)| (key.clone(), kv.modified);
        Mirror {
            revision: snapshot.revision,
            keys: snapshot.keys.iter().map(modified).collect(),
        }
    }

    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            self.revision = self.revision.max(change.revision);
            match &change.now {
                Some(kv) => self.keys.insert(change.key.clone(), kv.modified),
                None => self.keys.remove(&change.key),
            };
        }
    }

    /// Whether the watch has yet to show something that `found` has: a write, or a key's absence.
    fn lacks(&self, found: &Snapshot) -> bool {
        let unseen_write = found.keys.iter().any(|(key, kv)| {
            kv.modified > self.revision
                && self.keys.get(key).is_none_or(|shown| *shown < kv.modified)
        });
        let unseen_delete = self
            .keys
            .iter()
            .any(|(key, shown)| *shown <= found.revision && !found.keys.contains_key(key));
        unseen_write || unseen_delete
    }
}

/// Newline-separated JSON, as it arrives.
struct Stream {
    endpoint: Endpoint,
    /// Dropping it would end the connection.
    _sender: Sender,
    body: Incoming,
    read: Vec<u8>,
}

impl Stream {
    /// Nothing is lost when this future is dropped: what was read stays in `read`.
    async fn next(&mut self) -> Result<Value, String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.drain(..=end).collect::<Vec<_>>();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return serde_json::from_slice(&line)
                    .map_err(|e| format!("{}: no JSON: {e}", self.endpoint));
            }
            if self.read.len() > MESSAGE_BYTES_MAX {
                return Err(format!("{}: a message without end", self.endpoint));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(data.chunk());
                    }
                }
                Some(Err(e)) => return Err(format!("{}: {e}", self.endpoint)),
                None => return Err(format!("{} closed the watch", self.endpoint)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_core::dcs::{KeyValue, LeaseId};

    fn snapshot(revision: i64, keys: &[(&str, i64)]) -> Snapshot {
        let kv = |modified| KeyValue {
            value: String::new(),
            created: Revision(modified),
            modified: Revision(modified),
            lease: LeaseId::NONE,
        };
        Snapshot {
            revision: Revision(revision),
            keys: keys.iter().map(|(k, m)| (k.to_string(), kv(*m))).collect(),
        }
    }

    #[test]
    fn a_watch_lacks_writes_and_deletes_that_the_quorum_knows() {
        let mirror = Mirror::of(&snapshot(10, &[("leader", 5), ("sync", 7)]));
        for (found, lacks) in [
            (snapshot(10, &[("leader", 5), ("sync", 7)]), false),
            (snapshot(12, &[("leader", 11), ("sync", 7)]), true),
            (snapshot(12, &[("sync", 7)]), true),
            (
                snapshot(12, &[("leader", 5), ("sync", 7), ("config", 12)]),
                true,
            ),
            // Read before the watch went on: an old reading accuses nobody.
            (snapshot(4, &[]), false),
        ] {
            assert_eq!(mirror.lacks(&found), lacks, "{found:?}");
        }
    }
}
