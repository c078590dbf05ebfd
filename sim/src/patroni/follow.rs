//! Following a leader (2.15), and when its data has to be rewound first (2.20): by the numbers and the ends of timelines,
//! as the leader's history file has them. Knows nothing of what the WAL holds.

use super::asks::{Asks, Run};
use super::cycle::Server;
use super::keys::{Seen, host_of};
use super::{Kept, Rewind, Role, Task, demote};
use crate::pg::wal::CHECKPOINT_BYTES;
use tanist_core::lsn::Lsn;
use tanist_core::name::MemberName;
use tanist_core::postgres::{
    Address, ControlData, DbState, Ended, Observation, SideTask, SqlStatus, StartAs, Upstream,
    UpstreamFacts, WalEnd,
};
use tanist_core::time::Span;
use tanist_core::timeline::TimelineId;

const SESSION: Span = Span::secs(3);

/// Where this member gets its WAL from when `leader` leads.
pub fn upstream(kept: &Kept, seen: &Seen, leader: &MemberName) -> Option<Upstream> {
    if *leader == kept.me.name {
        return None;
    }
    let (host, port) = host_of(seen.member_text(leader, "conn_url")?)?;
    Some(Upstream {
        member: leader.clone(),
        address: Address { host, port },
        slot: Some(kept.me.name.slot_name()),
    })
}

pub fn leader_upstream(kept: &Kept, seen: &Seen) -> Option<Upstream> {
    let leader = seen.leader.as_ref().filter(|name| !name.0.is_empty())?;
    upstream(kept, seen, leader)
}

/// A check for divergence is due, where anything could be done about one.
pub fn arm(a: &mut Asks) {
    a.keep(|k| {
        let can = k.tunes.use_pg_rewind || k.tunes.remove_on_diverged_timelines;
        if can && k.rewind != Rewind::Need {
            k.rewind = Rewind::Check;
        }
    });
}

pub fn follow(a: &mut Asks, seen: &Seen, here: &Observation, server: &Server) -> Run<()> {
    let kept = a.recall();
    let paused = kept.tunes.paused;
    let status = match server {
        Server::Primary(_) if paused => return Ok(()),
        Server::Primary(_) => return demote::immediate(a, here),
        Server::Down | Server::Starting => return Ok(()),
        Server::Standby(status) => status.clone(),
    };
    a.keep(|k| k.role = Role::Replica);
    let Some(wanted) = leader_upstream(&kept, seen) else {
        return Ok(());
    };
    let leader_timeline = seen.members.get(&wanted.member);
    let leader_timeline = leader_timeline
        .and_then(|m| m.get("timeline"))
        .and_then(serde_json::Value::as_u64);
    let aims =
        status.upstream.as_ref() == Some(&wanted.address) && status.upstream_slot == wanted.slot;
    let lags = leader_timeline.is_some_and(|number| u64::from(status.timeline.0) < number);
    if !aims || lags {
        arm(a);
    }
    if repairs(a, seen, here, Some(&status))? {
        return Ok(());
    }
    // Replay stands still since the primary has more of a setting. Patroni resumes it, upon which the server ends, and
    // starts it with as much as its control file demands: here in one step.
    let demanded = here.data_dir.control().map(|c| &c.standby_minimums);
    let short =
        |(name, least): (&String, &u64)| status.limits.get(name).is_some_and(|has| has < least);
    if demanded.is_some_and(|all| all.iter().any(short)) && !paused {
        return a.begin(Task::Restart);
    }
    if !aims {
        let parameters = kept.tunes.parameters(here.data_dir.control());
        let role = StartAs::Standby {
            upstream: Some(wanted),
        };
        a.side(SideTask::Reconfigure { role, parameters }, SESSION)?;
    }
    Ok(())
}

/// Checks what is armed, and begins what has to be done. `true`: this loop is over.
pub fn repairs(
    a: &mut Asks,
    seen: &Seen,
    here: &Observation,
    running: Option<&SqlStatus>,
) -> Run<bool> {
    if a.recall().rewind == Rewind::Check {
        let checked = check(a, seen, here, running)?;
        a.keep(|k| k.rewind = checked);
    }
    let kept = a.recall();
    if kept.rewind != Rewind::Need {
        return Ok(false);
    }
    let control = here.data_dir.control();
    if can_rewind(&kept, control) {
        a.begin(Task::Rewind)?;
        return Ok(true);
    }
    if kept.tunes.remove_on_diverged_timelines {
        a.begin(Task::Reinitialize)?;
        return Ok(true);
    }
    Ok(false)
}

pub fn can_rewind(kept: &Kept, control: Option<&ControlData>) -> bool {
    kept.tunes.use_pg_rewind && control.is_some_and(|c| c.wal_log_hints || c.data_checksums)
}

/// Asks the leader's PostgreSQL who it is.
pub fn facts(
    a: &mut Asks,
    upstream: &Upstream,
    mine: Option<WalEnd>,
) -> Run<Option<UpstreamFacts>> {
    let upstream = upstream.clone();
    match a.side(SideTask::AskUpstream { upstream, mine }, SESSION)? {
        Ended::Upstream(facts) => Ok(Some(facts)),
        Ended::Done | Ended::Failed(_) | Ended::Cancelled => Ok(None),
    }
}

fn check(
    a: &mut Asks,
    seen: &Seen,
    here: &Observation,
    running: Option<&SqlStatus>,
) -> Run<Rewind> {
    let kept = a.recall();
    let Some(upstream) = leader_upstream(&kept, seen) else {
        return Ok(Rewind::Check);
    };
    let role = seen.member_text(&upstream.member, "role");
    if !matches!(role, Some("primary" | "master")) {
        return Ok(Rewind::Check);
    }
    let Some((timeline, lsn, in_recovery)) = mine(here, running) else {
        return Ok(Rewind::Check);
    };
    match facts(a, &upstream, None)? {
        Some(facts) if !facts.in_recovery => Ok(judged(&facts, timeline, lsn, in_recovery)),
        Some(_) | None => Ok(Rewind::Check),
    }
}

/// Timeline and position of what is here, and whether it is a standby's.
fn mine(here: &Observation, running: Option<&SqlStatus>) -> Option<(TimelineId, Lsn, bool)> {
    if let Some(status) = running {
        return Some((status.timeline, status.replayed, true));
    }
    let control = here.data_dir.control()?;
    match control.state {
        DbState::ShutDownInRecovery | DbState::InArchiveRecovery
            if control.min_recovery_end > Lsn::INVALID =>
        {
            Some((
                control.min_recovery_timeline,
                control.min_recovery_end,
                true,
            ))
        }
        DbState::InArchiveRecovery => Some((control.timeline, control.checkpoint, false)),
        DbState::ShutDown | DbState::ShutDownInRecovery => {
            Some((control.timeline, control.checkpoint, false))
        }
        // It crashed: recovery comes first.
        DbState::StartingUp
        | DbState::ShuttingDown
        | DbState::InCrashRecovery
        | DbState::InProduction => None,
    }
}

fn judged(facts: &UpstreamFacts, timeline: TimelineId, lsn: Lsn, in_recovery: bool) -> Rewind {
    let theirs = facts.history.timeline;
    let needed = if timeline > theirs {
        true
    } else if timeline == theirs {
        false
    } else {
        match facts.history.end_of(timeline) {
            None => true,
            Some(switch) if in_recovery => lsn > switch,
            // The control file names where its last record begins; its end is what counts.
            Some(switch) => lsn >= switch || Lsn(lsn.0 + CHECKPOINT_BYTES) != switch,
        }
    };
    match needed {
        true => Rewind::Need,
        false => Rewind::NotNeeded,
    }
}
