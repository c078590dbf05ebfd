//! Physical slots of the other members (2.21): every member that may lead keeps one for each, moves those that nobody uses
//! along with what the leader published, and the leader keeps that of a member that is gone for `member_slots_ttl`.
//! Knows nothing of whose data a slot would feed.

use super::asks::{Asks, Run};
use super::body::answered;
use super::keys::Seen;
use tanist_core::lsn::Lsn;
use tanist_core::postgres::{Observation, SideTask};
use tanist_core::time::Span;

const SESSION: Span = Span::secs(2);

pub fn sync(a: &mut Asks, seen: &Seen, here: &Observation) -> Run<()> {
    let kept = a.recall();
    let Some(status) = answered(here) else {
        return Ok(());
    };
    let now = a.now().wall;
    let others = seen.members.keys().filter(|name| **name != kept.me.name);
    let wanted: Vec<String> = others.map(|name| name.slot_name()).collect();
    a.keep(|k| {
        for name in &wanted {
            k.slot_seen.insert(name.clone(), now);
        }
    });
    for name in wanted
        .iter()
        .filter(|name| !status.slots.contains_key(*name))
    {
        a.side(SideTask::CreateSlot { name: name.clone() }, SESSION)?;
    }
    let seen_last = a.recall().slot_seen.clone();
    for (name, slot) in &status.slots {
        if wanted.contains(name) {
            let told = seen.slots.get(name).and_then(serde_json::Value::as_u64);
            let to = Lsn(told.unwrap_or(0)).min(status.replayed);
            let lags = slot.restart_lsn.is_some_and(|at| at < to);
            if status.in_recovery && !slot.active && lags {
                let name = name.clone();
                a.side(SideTask::AdvanceSlot { name, to }, SESSION)?;
            }
            continue;
        }
        let last = seen_last.get(name).copied();
        // Its timers begin when it first sees the slot.
        let Some(last) = last else {
            let name = name.clone();
            a.keep(|k| {
                k.slot_seen.insert(name, now);
            });
            continue;
        };
        let stale = now.ahead_of(last) > kept.tunes.member_slots_ttl;
        if stale && !slot.active && !kept.tunes.paused {
            let gone = name.clone();
            a.side(
                SideTask::DropSlot {
                    name: gone.clone(),
                    if_lost: false,
                },
                SESSION,
            )?;
            a.keep(|k| {
                k.slot_seen.remove(&gone);
            });
        }
    }
    Ok(())
}
