//! An empty data directory (2.5, 2.7): whoever wins the `initialize` key founds the cluster, everybody else copies the
//! leader. Knows nothing of directories that hold anything.

use super::asks::{Asks, Halt, Run};
use super::cycle::look;
use super::dcs;
use super::keys::Seen;
use super::{Rewind, Role, Task, demote, tasks, watchdog};
use serde_json::Value;
use std::sync::Arc;
use tanist_core::postgres::{DiscardReason, Ended, Operation, StartAs};
use tanist_core::time::Span;

pub fn empty(a: &mut Asks, seen: &Seen, holds: bool) -> Run<()> {
    a.keep(|k| k.role = Role::Uninitialized);
    watchdog::disable(a)?;
    if holds {
        dcs::release(a, None)?;
    }
    let kept = a.recall();
    if kept.tunes.paused {
        return Ok(());
    }
    if !seen.is_unlocked() && !holds {
        return a.begin(Task::Clone);
    }
    let barred = super::keys::tags_of(&serde_json::json!({"tags": kept.me.tags})).0;
    let may_found = kept.me.bootstrap.is_some() && !barred;
    if may_found && seen.initialize.is_none() && dcs::create(a, "initialize", "")? {
        return a.begin(Task::Bootstrap);
    }
    Ok(())
}

/// initdb, the first start, the roles, then the keys (2.5).
pub fn bootstrap(a: &mut Asks) -> Run<()> {
    match founded(a) {
        Ok(true) => Ok(()),
        Err(Halt::Waits) => Err(Halt::Waits),
        Ok(false) | Err(Halt::StoreAway) => cancelled(a),
    }
}

fn founded(a: &mut Asks) -> Run<bool> {
    let done = |ended: Ended| ended == Ended::Done;
    if !done(a.work(Operation::Initdb)?) {
        return Ok(false);
    }
    let kept = a.recall();
    let config = kept.me.bootstrap.clone().unwrap_or_default();
    let tunes = super::tunes::Tunes::read(&config);
    let start = Operation::Start {
        role: StartAs::Primary,
        parameters: tunes.parameters(None),
        timeout: Span::secs(300),
    };
    if !done(a.work(start)?) || !done(a.work(Operation::PostBootstrap)?) {
        return Ok(false);
    }
    let here = look(a)?;
    let Some(control) = here.data_dir.control() else {
        return Ok(false);
    };
    let system = control.system_id.0.clone();
    a.keep(|k| {
        k.role = Role::Primary;
        k.config = Arc::new(config.clone());
        k.tunes = tunes;
        k.joined = true;
    });
    if !watchdog::activate(a)? {
        return Ok(false);
    }
    // What fails of these the next loops make good: it runs as a primary, and takes the key of an unlocked cluster.
    dcs::write(a, "initialize", &system)?;
    dcs::write(a, "config", &Value::Object(config).to_string())?;
    match dcs::take_leader(a) {
        Err(Halt::Waits) => return Err(Halt::Waits),
        Err(Halt::StoreAway) | Ok(_) => {}
    }
    Ok(true)
}

/// The claim is given back, the server ended, the directory moved away.
fn cancelled(a: &mut Asks) -> Run<()> {
    dcs::delete(a, "initialize")?;
    demote::stop(a, demote::FAST)?;
    let why = DiscardReason::BootstrapFailed;
    a.work(Operation::DiscardData { why })?;
    a.exit(1)
}

/// A copy of the leader, started as its standby. What an earlier attempt left goes first.
pub fn clone(a: &mut Asks) -> Run<()> {
    let kept = a.recall();
    a.keep(|k| k.rewind = Rewind::Initial);
    let seen = dcs::read_cluster(a)?;
    let Some(source) = super::follow::leader_upstream(&kept, &seen) else {
        return Ok(());
    };
    let why = DiscardReason::CloneUnfinished;
    if look(a)?.data_dir == tanist_core::postgres::DataDir::HalfCloned {
        a.work(Operation::DiscardData { why })?;
    }
    match a.work(Operation::Clone { source })? {
        Ended::Done => tasks::start_standby(a),
        Ended::Failed(_) | Ended::Cancelled | Ended::Upstream(_) => Ok(()),
    }
}

/// Throws away what is here, and copies the leader (2.17).
pub fn reinitialize(a: &mut Asks, why: DiscardReason) -> Run<()> {
    let kept = a.recall();
    let seen = dcs::read_cluster(a)?;
    if super::follow::leader_upstream(&kept, &seen).is_none() {
        return Ok(());
    }
    demote::stop(a, demote::FAST)?;
    if a.work(Operation::DiscardData { why })? != Ended::Done {
        return Ok(());
    }
    clone(a)
}
