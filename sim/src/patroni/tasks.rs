//! The actions beside the loop (2.28), and the end of the agent (2.18). Knows nothing of why one was begun.

use super::asks::{Asks, Halt, Run};
use super::cycle::look;
use super::dcs;
use super::follow::{self, leader_upstream};
use super::{Rewind, Role, Task, demote, found, lead, watchdog};
use tanist_core::postgres::{
    DataDir, DiscardReason, Ended, Operation, SideTask, StartAs, StopMode, StopPlan,
};
use tanist_core::time::Span;

pub fn task(a: &mut Asks, task: &Task) -> Run<()> {
    match task {
        Task::Bootstrap => found::bootstrap(a),
        Task::Clone => found::clone(a),
        Task::StartPrimary => start_primary(a),
        Task::StartStandby => start_standby(a),
        Task::FollowAgain => demote::follow_again(a),
        Task::CrashRecovery => a.work(Operation::CrashRecovery).map(|_| ()),
        Task::Rewind => rewind(a),
        Task::Promote => lead::promote(a),
        Task::Graceful => demote::graceful(a),
        Task::Checkpoint => a.side(SideTask::Checkpoint, Span::secs(60)).map(|_| ()),
        Task::Restart => restart(a),
        Task::Reinitialize => found::reinitialize(a, DiscardReason::DivergedTimelines),
    }
}

/// In place, on its own timeline.
fn start_primary(a: &mut Asks) -> Run<()> {
    let kept = a.recall();
    let start = Operation::Start {
        role: StartAs::Primary,
        parameters: kept.tunes.parameters(None),
        timeout: kept.tunes.primary_start_timeout.max(Span::secs(1)),
    };
    a.work(start)?;
    a.keep(|k| {
        k.recovering = true;
        k.role = Role::Primary;
    });
    Ok(())
}

/// As a standby of whoever leads by a fresh reading; of nobody where that is not known.
pub fn start_standby(a: &mut Asks) -> Run<()> {
    let seen = match dcs::read_cluster(a) {
        Err(Halt::StoreAway) => None,
        other => Some(other?),
    };
    let kept = a.recall();
    let upstream = seen.as_ref().and_then(|seen| leader_upstream(&kept, seen));
    let here = look(a)?;
    let start = Operation::Start {
        role: StartAs::Standby { upstream },
        parameters: kept.tunes.parameters(here.data_dir.control()),
        timeout: kept.tunes.primary_start_timeout.max(Span::secs(60)),
    };
    a.work(start)?;
    a.keep(|k| {
        k.recovering = true;
        k.role = match k.role {
            Role::Primary | Role::Promoted => Role::Demoted,
            other => other,
        };
    });
    Ok(())
}

/// Stop, recover what crashed, `pg_rewind`, start (2.20).
fn rewind(a: &mut Asks) -> Run<()> {
    let kept = a.recall();
    let seen = dcs::read_cluster(a)?;
    let Some(source) = leader_upstream(&kept, &seen) else {
        return Ok(());
    };
    let leader = seen.members.get(&source.member);
    let awaits = leader.and_then(|m| m.get("checkpoint_after_promote"));
    if awaits == Some(&serde_json::Value::Bool(false)) {
        return a.sleep(Span::secs(1));
    }
    demote::stop(a, demote::FAST)?;
    let here = look(a)?;
    let clean = here.data_dir.control().is_some_and(|c| c.state.is_clean());
    if !clean && a.work(Operation::CrashRecovery)? != Ended::Done {
        return Ok(());
    }
    let ended = a.work(Operation::Rewind {
        source: source.clone(),
    })?;
    if ended == Ended::Done {
        a.keep(|k| k.rewind = Rewind::Done);
        return start_standby(a);
    }
    let reached = follow::facts(a, &source, None)?.is_some();
    let half = matches!(look(a)?.data_dir, DataDir::HalfRewound(_));
    if !reached && !half {
        return Ok(());
    }
    a.keep(|k| k.rewind = Rewind::Failed);
    let kept = a.recall();
    if kept.tunes.remove_on_rewind_failure || kept.tunes.remove_on_diverged_timelines {
        let why = match kept.tunes.remove_on_rewind_failure {
            true => DiscardReason::RewindFailed,
            false => DiscardReason::DivergedTimelines,
        };
        return found::reinitialize(a, why);
    }
    match half {
        true => Ok(()),
        // It tries to stream all the same.
        false => start_standby(a),
    }
}

fn restart(a: &mut Asks) -> Run<()> {
    let role = a.recall().role;
    demote::stop(a, demote::FAST)?;
    match role {
        Role::Primary => start_primary(a),
        Role::Uninitialized | Role::Replica | Role::Demoted | Role::Promoted => start_standby(a),
    }
}

const LAST_STOP: StopPlan = StopPlan {
    first: StopMode::Fast,
    immediate_after: Span::secs(60),
    kill_after: Span::secs(120),
};

/// SIGTERM (2.18): in pause the server and the key are left; otherwise it is stopped, and the key is given away.
pub fn end(a: &mut Asks) -> Run<()> {
    a.cancel_task()?;
    let kept = a.recall();
    if kept.tunes.paused {
        watchdog::disable(a)?;
        return a.exit(0);
    }
    let led = kept.leads_until.is_some();
    demote::stop_for_good(a, LAST_STOP)?;
    let here = look(a)?;
    if led {
        dcs::release(a, demote::shutdown_position(&here))?;
    }
    dcs::touch(a, &here)?;
    a.exit(0)
}
