//! What a Patroni does with the leader key in its hand (2.13, 2.14, 2.17, 2.25): keeps it, promotes, publishes, hands over
//! when asked. Knows nothing of how it came by the key.

use super::asks::{Asks, Run};
use super::body::answered;
use super::cycle::{Server, look};
use super::dcs::{self, Held};
use super::keys::{Seen, is_system};
use super::{Role, Task, demote, race, watchdog};
use serde_json::{Map, Value, json};
use tanist_core::iso::{iso_time, parse_iso};
use tanist_core::postgres::{Observation, SqlStatus};

/// Keys that only a leader mends: the system identifier, the configuration (T6, T7).
pub fn restore_keys(a: &mut Asks, seen: &Seen, here: &Observation) -> Run<()> {
    let kept = a.recall();
    let busy = kept.task == Some(Task::Bootstrap);
    let control = here.data_dir.control();
    if let Some(control) = control.filter(|c| is_system(&c.system_id.0) && !busy)
        && seen.system().is_none()
    {
        dcs::write(a, "initialize", &control.system_id.0)?;
    }
    if seen.config.is_none() && !kept.config.is_empty() {
        dcs::write(
            a,
            "config",
            &Value::Object((*kept.config).clone()).to_string(),
        )?;
    }
    Ok(())
}

/// Its own name stands in the leader key.
pub fn locked(a: &mut Asks, seen: &Seen, here: &Observation, server: &Server) -> Run<()> {
    let kept = a.recall();
    let is_primary = matches!(server, Server::Primary(_));
    if kept.tunes.paused && !is_primary {
        let named = seen.failover.as_ref().and_then(|f| f.candidate.as_ref());
        return match named == Some(&kept.me.name) {
            true => Ok(()),
            false => dcs::release(a, None),
        };
    }
    if dcs::refresh_and_tell(a, seen, here)? == Held::Lost {
        return match is_primary && !kept.tunes.paused {
            true => demote::immediate(a, here),
            false => Ok(()),
        };
    }
    if hands_over(a, seen, is_primary)? {
        return a.begin(Task::Graceful);
    }
    enforce(a, seen, here, server)
}

/// With the key confirmed, and a watchdog where one is required: a primary publishes, a standby is promoted.
pub fn enforce(a: &mut Asks, seen: &Seen, here: &Observation, server: &Server) -> Run<()> {
    if !a.recall().tunes.paused && !watchdog::activate(a)? {
        return match server {
            Server::Primary(_) => demote::immediate_and_release(a),
            Server::Standby(_) | Server::Down | Server::Starting => dcs::release(a, None),
        };
    }
    match server {
        Server::Primary(status) => {
            a.keep(|k| k.role = Role::Primary);
            let control = here.data_dir.control().map(|c| c.timeline);
            let lags = control.is_some_and(|timeline| timeline != status.timeline);
            if lags && a.recall().checkpointed != Some(status.timeline) {
                let timeline = status.timeline;
                a.keep(|k| k.checkpointed = Some(timeline));
                a.begin(Task::Checkpoint)?;
            }
            history(a, seen, here, status)
        }
        Server::Standby(_) if a.recall().role == Role::Promoted => Ok(()),
        Server::Standby(_) => a.begin(Task::Promote),
        Server::Down | Server::Starting => Ok(()),
    }
}

/// `status`: where its WAL ends, and what its slots hold back.
pub fn status(a: &mut Asks, seen: &Seen, here: &Observation) -> Option<String> {
    let kept = a.recall();
    let status = answered(here)?;
    let optime = match status.in_recovery {
        true => status.received.max(status.replayed).0,
        false => status.written.0,
    };
    let mut slots = Map::new();
    for (name, slot) in &status.slots {
        if let Some(at) = slot.restart_lsn {
            slots.insert(name.clone(), json!(at.0));
        }
    }
    slots.insert(kept.me.name.slot_name(), json!(optime));
    let mut retained: Vec<String> = seen.members.keys().map(|m| m.slot_name()).collect();
    retained.extend(kept.slot_seen.keys().cloned());
    retained.sort();
    retained.dedup();
    let mut told = Map::new();
    told.insert("optime".into(), json!(optime));
    told.insert("slots".into(), Value::Object(slots));
    told.insert("retain_slots".into(), json!(retained));
    Some(Value::Object(told).to_string())
}

/// `history` is rebuilt from the local history file where its last row is not of the timeline before.
fn history(a: &mut Asks, seen: &Seen, here: &Observation, status: &SqlStatus) -> Run<()> {
    let timeline = status.timeline.0;
    if timeline == 1 {
        return match seen.history.as_ref().is_some_and(|rows| !rows.is_empty()) {
            true => dcs::write(a, "history", "[]").map(|_| ()),
            false => Ok(()),
        };
    }
    let stored = seen.history.clone().unwrap_or_default();
    let whole = |row: &Value| {
        row.as_array().is_some_and(|r| r.len() == 5)
            && row.get(0).and_then(Value::as_u64) == Some(u64::from(timeline) - 1)
    };
    if stored.last().is_some_and(whole) || here.history.timeline != status.timeline {
        return Ok(());
    }
    let me = a.recall().me.name.0.clone();
    let at = iso_time(a.now().wall);
    let newest = here.history.forks.len().saturating_sub(1);
    let rows = here.history.forks.iter().enumerate().map(|(n, fork)| {
        let same = |row: &&Value| row.get(1).and_then(Value::as_u64) == Some(fork.end.0);
        let known = stored.iter().find(same).and_then(Value::as_array);
        let mut row = vec![json!(fork.parent.0), json!(fork.end.0), json!(fork.reason)];
        match known {
            Some(known) => row.extend(known.iter().skip(3).cloned()),
            None if n == newest => row.extend([json!(at), json!(me)]),
            None => {}
        }
        if n == newest && row.len() < 5 {
            row.truncate(3);
            row.extend([json!(at), json!(me)]);
        }
        Value::Array(row)
    });
    let text = Value::Array(rows.collect()).to_string();
    dcs::write(a, "history", &text).map(|_| ())
}

/// Was it asked to hand over, and can it (2.17)? A request that cannot be met is taken back.
fn hands_over(a: &mut Asks, seen: &Seen, is_primary: bool) -> Run<bool> {
    let kept = a.recall();
    let Some(failover) = seen.failover.clone() else {
        return Ok(false);
    };
    let paused = kept.tunes.paused;
    if paused && !is_primary {
        return Ok(false);
    }
    if let Some(text) = &failover.scheduled_at {
        let now = a.now().wall;
        match parse_iso(text) {
            _ if paused => return Ok(false),
            Some(at) if at.ahead_of(now) > kept.tunes.loop_wait => return Ok(false),
            Some(at) if at > now => a.sleep(at.ahead_of(now))?,
            Some(at) => {
                let window = kept.tunes.loop_wait + kept.tunes.loop_wait.divided_by(2);
                if now.ahead_of(at) > window {
                    return taken_back(a, &failover);
                }
            }
            None => return taken_back(a, &failover),
        }
    }
    let other_leader = failover.leader.as_ref().is_some_and(|l| *l != kept.me.name);
    let to_me = failover.candidate.as_ref() == Some(&kept.me.name);
    if other_leader || to_me || (failover.candidate.is_none() && paused) {
        return taken_back(a, &failover);
    }
    let only = failover.candidate.clone();
    match race::failover_is_possible(a, seen, only.as_ref(), None)? {
        true => Ok(true),
        false => taken_back(a, &failover),
    }
}

fn taken_back(a: &mut Asks, failover: &super::keys::Failover) -> Run<bool> {
    dcs::write_at(a, "failover", "{}", failover.version)?;
    Ok(false)
}

/// A promotion (2.14): it is told so, and then it is waited for.
pub fn promote(a: &mut Asks) -> Run<()> {
    use tanist_core::name::Term;
    use tanist_core::postgres::{Operation, PromotionMark};
    let kept = a.recall();
    a.keep(|k| {
        k.role = Role::Promoted;
        k.rewind = super::Rewind::Initial;
    });
    let term = kept.view.as_ref().and_then(|view| view.keys.get("leader"));
    let mark = PromotionMark {
        timeline: tanist_core::timeline::TimelineId(0),
        term: Term(term.map_or(0, |kv| kv.created.0)),
    };
    let timeout = kept.tunes.loop_wait.times(6);
    a.work(Operation::Promote { mark, timeout })?;
    let here = look(a)?;
    let primary = answered(&here).is_some_and(|s| !s.in_recovery);
    a.keep(|k| {
        k.role = match primary {
            true => Role::Primary,
            false => Role::Replica,
        };
    });
    Ok(())
}
