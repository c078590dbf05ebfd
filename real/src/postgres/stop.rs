//! Stops the server, and ends only when neither postmaster nor any backend is left.
//! Knows nothing of why; how hard, and when harder, is the plan's. To cancel a stop is to make it immediate.
//!
//! The postmaster's exit proves nothing: a backend whose postmaster was killed goes on committing for
//! seconds, in a process group of its own. So the process table is asked until it shows nobody.

use super::context::Work;
use super::deadline::Deadline;
use super::process::{self, Found, Proc};
use super::session::{Kind, Session, local};
use super::trouble::{Outcome, Trouble};
use crate::clock;
use rustix::process::Signal;
use std::time::Duration;
use tanist_core::postgres::{Ended, StopMode, StopPlan};
use tanist_core::time::{Mono, Span};

const POLL_MIN: Duration = Duration::from_millis(2);
const POLL_MAX: Duration = Duration::from_millis(25);

/// After an orderly end of the postmaster, its log collector ends by itself, once it has written the last
/// lines. Others that outlive a postmaster are ended before they can do much.
const ORPHANS_MAY_END: Span = Span::millis(100);
/// What the immediate stop leaves, of a stop that was cancelled, is killed after this.
const KILL_AFTER: Span = Span::millis(300);

/// How hard the instance has been asked so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pressure {
    None,
    Fast,
    Immediate,
    Kill,
}

pub async fn stop(work: &Work, plan: StopPlan, checkpoint_first: bool) -> Outcome<Ended> {
    let begun = clock::mono();
    if checkpoint_first && work.context.scan()?.postmaster.is_some() {
        // Half of the orderly time at most: the fast stop needs the rest.
        let orderly = plan.immediate_after.min(plan.kill_after);
        let limit = Deadline::at(begun + orderly.divided_by(2));
        work.progress("checkpoint before stop");
        // Only to make the shutdown's own checkpoint short: without it the stop is slower, not wrong.
        tokio::select! {
            _ = checkpoint(work, limit) => {}
            () = work.cancel.wait() => {}
        }
    }
    let mut plan = plan;
    let mut applied = Pressure::None;
    let mut pause = POLL_MIN;
    let mut told_at = begun;
    let mut seen_alive_at = None;
    // Without a bound: it must not end while one process may still commit. One that was killed and that the kernel
    // holds in a disk wait cannot; it ends when the kernel lets it.
    loop {
        let found = work.context.scan()?;
        if found.none_left() {
            return Ok(Ended::Done);
        }
        let now = clock::mono();
        if found.postmaster.is_some() {
            seen_alive_at = Some(now);
        }
        if work.cancel.requested() {
            plan = at_once(plan, now.since(begun));
        }
        let orphaned = Orphaned::judge(seen_alive_at, now);
        let wanted = pressure(&plan, now.since(begun), orphaned).max(applied);
        if wanted > applied || wanted == Pressure::Kill {
            apply(&found, wanted)?;
            if wanted > applied {
                work.progress(said(wanted, &found));
                pause = POLL_MIN;
            }
            applied = wanted;
        }
        if clock::mono().since(told_at) >= Span::secs(5) {
            told_at = clock::mono();
            work.progress(format!(
                "waiting for {} processes to end",
                found.counts().backends
            ));
        }
        tokio::select! {
            () = wait_for_end(&plan, begun, pause) => {}
            () = work.cancel.wait(), if !work.cancel.requested() => {}
        }
        pause = (pause * 2).min(POLL_MAX);
    }
}

/// The plan of a stop that was cancelled `after` it began.
fn at_once(plan: StopPlan, after: Span) -> StopPlan {
    StopPlan {
        first: StopMode::Immediate,
        immediate_after: plan.immediate_after.min(after),
        kill_after: plan.kill_after.min(after + KILL_AFTER),
    }
}

/// CHECKPOINT over a fresh session.
pub async fn checkpoint(work: &Work, deadline: Deadline) -> Outcome<Ended> {
    let failed = |e: super::session::SqlTrouble| Trouble::failed(format!("CHECKPOINT: {e}"));
    let session = Session::open(local(work.settings(), Kind::Sql), deadline)
        .await
        .map_err(failed)?;
    session.rows("CHECKPOINT").await.map_err(failed)?;
    Ok(Ended::Done)
}

/// How the backends stand to their postmaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Orphaned {
    No,
    /// It ended a moment ago, during this stop.
    JustNow,
    Yes,
}

impl Orphaned {
    fn judge(postmaster_seen_at: Option<Mono>, now: Mono) -> Orphaned {
        match postmaster_seen_at {
            None => Orphaned::Yes,
            Some(at) if at == now => Orphaned::No,
            Some(at) if now.since(at) < ORPHANS_MAY_END => Orphaned::JustNow,
            Some(_) => Orphaned::Yes,
        }
    }
}

/// How hard it must be asked by now. Backends that were found without a postmaster are killed at once:
/// nobody tells them to end, they go on committing, and they hold the shared memory that the next start needs.
fn pressure(plan: &StopPlan, after: Span, orphaned: Orphaned) -> Pressure {
    match orphaned {
        Orphaned::Yes => return Pressure::Kill,
        Orphaned::No | Orphaned::JustNow if after >= plan.kill_after => return Pressure::Kill,
        Orphaned::JustNow => return Pressure::None,
        Orphaned::No => {}
    }
    match plan.first {
        StopMode::Fast if after < plan.immediate_after => Pressure::Fast,
        StopMode::Fast | StopMode::Immediate => Pressure::Immediate,
    }
}

/// SIGKILL ends stopped (SIGSTOP) and frozen processes too; the postmaster goes first, so that it neither
/// forks nor restarts while its backends are being killed.
fn apply(found: &Found, pressure: Pressure) -> Outcome {
    let send = |p: &Proc, signal| {
        let pid = p.pid;
        process::signal(*p, signal)
            .map_err(|e| Trouble::failed(format!("cannot signal process {pid}: {e}")))
    };
    let signal = match pressure {
        Pressure::None => return Ok(()),
        Pressure::Fast => Signal::INT,
        Pressure::Immediate => Signal::QUIT,
        Pressure::Kill => {
            return found
                .postmaster
                .iter()
                .chain(&found.backends)
                .try_for_each(|p| send(p, Signal::KILL));
        }
    };
    found.postmaster.iter().try_for_each(|p| send(p, signal))
}

fn said(pressure: Pressure, found: &Found) -> String {
    let counts = found.counts();
    match pressure {
        Pressure::None => "stop".to_string(),
        Pressure::Fast => "fast stop".to_string(),
        Pressure::Immediate => "immediate stop".to_string(),
        Pressure::Kill if counts.postmaster.is_none() => format!(
            "killing {} backends that outlived their postmaster",
            counts.backends
        ),
        Pressure::Kill => format!("killing the postmaster and {} backends", counts.backends),
    }
}

/// Short, and never past the instant at which the plan becomes harder.
async fn wait_for_end(plan: &StopPlan, begun: Mono, pause: Duration) {
    let now = clock::mono();
    let next = [begun + plan.immediate_after, begun + plan.kill_after]
        .into_iter()
        .filter(|&at| at > now)
        .min();
    let left = next.map_or(pause, |at| Duration::from_micros(at.since(now).as_micros()));
    tokio::time::sleep(pause.min(left)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_becomes_harder_with_time_and_orphans_are_killed_at_once() {
        let plan = |first| StopPlan {
            first,
            immediate_after: Span::secs(5),
            kill_after: Span::secs(9),
        };
        for (first, after, wanted) in [
            (StopMode::Fast, 0, Pressure::Fast),
            (StopMode::Fast, 5, Pressure::Immediate),
            (StopMode::Fast, 9, Pressure::Kill),
            (StopMode::Immediate, 0, Pressure::Immediate),
            (StopMode::Immediate, 9, Pressure::Kill),
        ] {
            let after = Span::secs(after);
            assert_eq!(pressure(&plan(first), after, Orphaned::No), wanted);
            assert_eq!(pressure(&plan(first), after, Orphaned::Yes), Pressure::Kill);
        }
        let now = Mono(10_000_000);
        assert_eq!(Orphaned::judge(None, now), Orphaned::Yes);
        assert_eq!(Orphaned::judge(Some(now), now), Orphaned::No);
        assert_eq!(
            Orphaned::judge(Some(now), now + Span::millis(40)),
            Orphaned::JustNow
        );
        assert_eq!(
            Orphaned::judge(Some(now), now + Span::millis(100)),
            Orphaned::Yes
        );
    }
}
