//! A server that is down and should not be (2.8): started in place by who still holds the key, otherwise recovered,
//! rewound where it must be, and started as a standby. Knows nothing of servers that run.

use super::asks::{Asks, Run};
use super::dcs::{self, Held};
use super::keys::Seen;
use super::{Rewind, Role, Task, demote, follow, race, watchdog};
use tanist_core::postgres::{DbState, Observation};
use tanist_core::time::Span;

pub fn recover(a: &mut Asks, seen: &Seen, here: &Observation) -> Run<()> {
    let kept = a.recall();
    let Some(control) = here.data_dir.control() else {
        return Ok(());
    };
    let holds = seen.is_led_by(&kept.me.name) && dcs::refresh(a, seen)? == Held::Mine;
    if holds {
        let at_once = kept.tunes.primary_start_timeout == Span::ZERO;
        if at_once && race::failover_is_possible(a, seen, None, None)? {
            return demote::immediate_and_release(a);
        }
        let comes_back = matches!(
            control.state,
            DbState::InProduction
                | DbState::InCrashRecovery
                | DbState::ShuttingDown
                | DbState::ShutDown
        );
        if comes_back && kept.role == Role::Primary && !here.standby_signal && !at_once {
            return a.begin(Task::StartPrimary);
        }
    }
    watchdog::disable(a)?;
    let crashed = matches!(
        control.state,
        DbState::InProduction | DbState::ShuttingDown | DbState::InCrashRecovery
    );
    let can = follow::can_rewind(&kept, Some(control));
    if crashed && !here.standby_signal && !kept.recovered && (seen.is_unlocked() || can) {
        a.keep(|k| k.recovered = true);
        return a.begin(Task::CrashRecovery);
    }
    if holds {
        // Read-only, following nobody: it is promoted once it answers.
        a.keep(|k| {
            k.rewind = Rewind::Initial;
            k.role = Role::Replica;
        });
        return a.begin(Task::StartStandby);
    }
    if !matches!(kept.rewind, Rewind::Need | Rewind::Done | Rewind::Failed) {
        follow::arm(a);
    }
    if follow::repairs(a, seen, here, None)? {
        return Ok(());
    }
    a.begin(Task::StartStandby)
}

/// A rewind has left a directory that nobody may start: thrown away where that is allowed, left to people otherwise.
pub fn half_rewound(a: &mut Asks, seen: &Seen, holds: bool) -> Run<()> {
    if holds {
        return dcs::release(a, None);
    }
    match a.recall().tunes.remove_on_rewind_failure && !seen.is_unlocked() {
        true => a.begin(Task::Reinitialize),
        false => Ok(()),
    }
}
