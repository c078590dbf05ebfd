//! Requests of people over its REST (5.2): each is judged, written as a key or begun as a task, and answered once. Knows
//! nothing of HTTP.

use super::asks::{Asks, Halt, Run};
use super::dcs;
use super::keys::Seen;
use super::{Task, race};
use serde_json::{Map, Value, json};
use tanist_core::iso::iso_time;
use tanist_core::name::{MemberName, RequestId};
use tanist_core::operator::{Answer, OperatorRequest, Refusal};
use tanist_core::time::{Span, Wall};

pub fn request(a: &mut Asks, id: &RequestId, request: &OperatorRequest) -> Run<()> {
    let answer = match answered(a, request) {
        Err(Halt::StoreAway) => refused(Refusal::Unavailable, "the store does not answer"),
        other => other?,
    };
    a.reply(id, answer)
}

fn refused(code: Refusal, why: &str) -> Answer {
    let why = why.to_string();
    Answer::Refused { code, why }
}

fn answered(a: &mut Asks, request: &OperatorRequest) -> Run<Answer> {
    match request {
        OperatorRequest::Switchover {
            leader,
            candidate,
            at,
        } => move_leader(a, Some(leader), candidate.as_ref(), *at),
        OperatorRequest::Failover { candidate } => move_leader(a, None, Some(candidate), None),
        OperatorRequest::CancelSwitchover => cancel(a),
        OperatorRequest::Restart => begin(a, Task::Restart, "restarted"),
        OperatorRequest::Reinitialize { .. } => {
            let seen = dcs::read_cluster(a)?;
            let me = a.recall().me.name.clone();
            if seen.is_unlocked() || seen.is_led_by(&me) {
                let why = "Cluster has no leader, can not reinitialize";
                return Ok(refused(Refusal::Unavailable, why));
            }
            begin(a, Task::Reinitialize, "reinitialize started")
        }
        OperatorRequest::PatchConfig { patch } => configure(a, patch, Change::Patch),
        OperatorRequest::PutConfig { config } => configure(a, config, Change::Replace),
    }
}

fn begin(a: &mut Asks, task: Task, done: &str) -> Run<Answer> {
    if a.recall().task.is_some() {
        return Ok(refused(
            Refusal::Unavailable,
            "another action already in progress",
        ));
    }
    a.begin(task)?;
    Ok(Answer::Done(done.to_string()))
}

fn move_leader(
    a: &mut Asks,
    leader: Option<&MemberName>,
    candidate: Option<&MemberName>,
    at: Option<Wall>,
) -> Run<Answer> {
    let seen = dcs::read_cluster(a)?;
    let not_now = |why: &str| Ok(refused(Refusal::PreconditionFailed, why));
    if at.is_none() {
        if leader.is_some() && seen.leader.as_ref() != leader {
            return not_now("leader name does not match");
        }
        if candidate.is_some_and(|name| !seen.members.contains_key(name)) {
            return not_now("candidate does not exist");
        }
        if !possible(a, &seen, candidate)? {
            return not_now("no good candidates have been found");
        }
    }
    let mut key = Map::new();
    if let Some(leader) = leader {
        key.insert("leader".into(), json!(leader.0));
    }
    if let Some(candidate) = candidate {
        key.insert("member".into(), json!(candidate.0));
    }
    if let Some(at) = at {
        key.insert("scheduled_at".into(), json!(iso_time(at)));
    }
    if !dcs::write(a, "failover", &Value::Object(key).to_string())? {
        return Ok(refused(
            Refusal::Unavailable,
            "failed to write failover key into DCS",
        ));
    }
    if at.is_some() {
        return Ok(Answer::Accepted("Switchover scheduled".into()));
    }
    outcome(a, seen.leader.as_ref(), candidate)
}

/// Could anybody take over, whoever was asked?
fn possible(a: &mut Asks, seen: &Seen, candidate: Option<&MemberName>) -> Run<bool> {
    let leads = seen.leader.clone();
    let without = leads.as_ref().filter(|_| candidate.is_none());
    let me = a.recall().me.name.clone();
    // It does not ask itself: what it is asked to hand over to is well if it runs.
    if candidate == Some(&me) {
        return Ok(seen.member_text(&me, "state") == Some("running"));
    }
    Ok(race::failover_is_possible(a, seen, candidate, without)? || candidate.is_none())
}

/// Looks once a second who leads, for two loops.
fn outcome(a: &mut Asks, from: Option<&MemberName>, candidate: Option<&MemberName>) -> Run<Answer> {
    let loop_wait = a.recall().tunes.loop_wait.max(Span::secs(10));
    for _ in 0..loop_wait.times(2).as_secs() {
        a.sleep(Span::secs(1))?;
        let seen = dcs::read_cluster(a)?;
        if let Some(leader) = seen.leader.as_ref().filter(|leader| Some(*leader) != from) {
            let text = match candidate {
                Some(candidate) if candidate != leader => "Switched over to another node",
                Some(_) | None => "Successfully switched over",
            };
            return Ok(Answer::Done(format!("{text} to {leader}")));
        }
        if !seen.is_unlocked() && seen.failover.is_none() {
            return Ok(Answer::Failed("Switchover failed".into()));
        }
    }
    Ok(Answer::Failed("Switchover status unknown".into()))
}

fn cancel(a: &mut Asks) -> Run<Answer> {
    let seen = dcs::read_cluster(a)?;
    match seen.failover.as_ref().filter(|f| f.scheduled_at.is_some()) {
        None => Ok(refused(Refusal::NotFound, "no switchover is scheduled")),
        Some(failover) => match dcs::write_at(a, "failover", "{}", failover.version)? {
            true => Ok(Answer::Done("scheduled switchover deleted".into())),
            false => Ok(refused(Refusal::Conflict, "failed to delete switchover")),
        },
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Patch,
    Replace,
}

/// `null` deletes, unknown keys stay (1.9): Patroni looks no further at what the values say.
fn configure(a: &mut Asks, text: &str, change: Change) -> Run<Answer> {
    let Ok(Value::Object(asked)) = serde_json::from_str(text) else {
        return Ok(refused(Refusal::BadRequest, "not a JSON object"));
    };
    let seen = dcs::read_cluster(a)?;
    let Some(mut config) = seen.config.clone() else {
        return Ok(refused(Refusal::Conflict, "config key doesn't exist"));
    };
    match change {
        Change::Patch => patch(&mut config, &asked),
        Change::Replace => config = asked,
    }
    let text = Value::Object(config).to_string();
    match dcs::write_at(a, "config", &text, seen.config_version)? {
        true => Ok(Answer::Done(text)),
        false => Ok(refused(Refusal::Conflict, "config changed meanwhile")),
    }
}

fn patch(config: &mut Map<String, Value>, with: &Map<String, Value>) {
    for (key, value) in with {
        match (config.get_mut(key), value) {
            (_, Value::Null) => {
                config.remove(key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => patch(old, new),
            (_, value) => {
                config.insert(key.clone(), value.clone());
            }
        }
    }
}
