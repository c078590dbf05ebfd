//! How a Patroni gives up being a primary (2.18): which stop, whether the key is given away, and what it is started as.
//! Knows nothing of why.

use super::asks::{Asks, Run};
use super::cycle::look;
use super::dcs;
use super::{Rewind, Role, Task, watchdog};
use tanist_core::postgres::{DbState, Ended, Observation, Operation, StartAs, StopMode, StopPlan};
use tanist_core::time::Span;

/// A stop that hangs is hardened after a minute: `stop_timeout` as an operator would set it.
pub const FAST: StopPlan = StopPlan {
    first: StopMode::Fast,
    immediate_after: Span::secs(60),
    kill_after: Span::secs(120),
};
const IMMEDIATE: StopPlan = StopPlan {
    first: StopMode::Immediate,
    immediate_after: Span::ZERO,
    kill_after: Span::secs(60),
};
/// Others are given this time to take the key before it looks whom to follow.
pub const PAUSE: Span = Span::secs(2);

pub fn stop(a: &mut Asks, plan: StopPlan) -> Run<Ended> {
    a.work(Operation::Stop {
        plan,
        checkpoint_first: plan.first == StopMode::Fast,
    })
}

/// Of a server that is not to be a primary any more: its watchdog is closed once no session is left, not only when the
/// shutdown checkpoint is written and shipped. A stop that fails leaves it armed.
pub fn stop_for_good(a: &mut Asks, plan: StopPlan) -> Run<()> {
    if watchdog::is_running(&a.recall()) {
        a.await_safepoint()?;
    }
    if stop(a, plan)? == Ended::Done {
        watchdog::disable(a)?;
    }
    Ok(())
}

fn demoted(a: &mut Asks) {
    a.keep(|k| {
        k.role = Role::Demoted;
        k.leads_until = None;
        k.rewind = Rewind::Check;
    });
}

/// The lock is lost: stop at once, leave the key alone.
pub fn immediate(a: &mut Asks, _here: &Observation) -> Run<()> {
    demoted(a);
    stop_for_good(a, IMMEDIATE)?;
    a.begin(Task::FollowAgain)
}

/// It could not be started in time, or may not be: others shall lead.
pub fn immediate_and_release(a: &mut Asks) -> Run<()> {
    demoted(a);
    stop_for_good(a, IMMEDIATE)?;
    dcs::release(a, None)?;
    a.begin(Task::FollowAgain)
}

/// The store is away: a fast stop, read-only afterwards, the lock untouched.
pub fn offline(a: &mut Asks, here: &Observation) -> Run<()> {
    a.keep(|k| k.rewind = Rewind::Check);
    stop_for_good(a, FAST)?;
    demoted(a);
    let parameters = a.recall().tunes.parameters(here.data_dir.control());
    let start = Operation::Start {
        role: StartAs::Standby { upstream: None },
        parameters,
        timeout: Span::secs(60),
    };
    a.work(start).map(|_| ())
}

/// A planned hand-over, beside the loop, which keeps the key meanwhile.
pub fn graceful(a: &mut Asks) -> Run<()> {
    a.keep(|k| k.rewind = Rewind::Check);
    stop_for_good(a, FAST)?;
    let here = look(a)?;
    demoted(a);
    dcs::release(a, shutdown_position(&here))?;
    follow_again(a)
}

/// Where the WAL of a cleanly stopped primary ends: its last checkpoint.
pub fn shutdown_position(here: &Observation) -> Option<u64> {
    let control = here.data_dir.control()?;
    (control.state == DbState::ShutDown).then_some(control.checkpoint.0)
}

/// Two seconds later it looks who leads, and follows.
pub fn follow_again(a: &mut Asks) -> Run<()> {
    a.sleep(PAUSE)?;
    super::tasks::start_standby(a)
}
