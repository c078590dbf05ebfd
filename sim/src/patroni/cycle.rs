//! One run of the HA loop, in Patroni's order (2.2): each branch ends it. Knows nothing of when it runs.

use super::asks::{Asks, Halt, Run};
use super::dcs::{self, Held};
use super::keys::Seen;
use super::{Rewind, Role, Task, demote, follow, found, lead, race, recover, slots, watchdog};
use std::sync::Arc;
use tanist_core::postgres::{DataDir, Observation, Sql, SqlStatus};
use tanist_core::time::Span;

/// Its sessions give up on PostgreSQL after this.
const SESSION: Span = Span::secs(3);

/// What its PostgreSQL is, as Patroni tells it: by the postmaster, and by a session that stands.
#[derive(Clone, Debug)]
pub enum Server {
    Down,
    Starting,
    Standby(SqlStatus),
    Primary(SqlStatus),
}

pub fn cycle(a: &mut Asks) -> Run<()> {
    match through(a) {
        Err(Halt::StoreAway) => store_is_away(a),
        other => other,
    }
}

fn through(a: &mut Asks) -> Run<()> {
    let seen = dcs::read_cluster(a)?;
    if a.recall().tunes.paused {
        watchdog::disable(a)?;
    }
    let here = look(a)?;
    let me = a.recall().me.name.clone();
    if !seen.members.contains_key(&me) {
        dcs::touch(a, &here)?;
    }
    if seen.is_led_by(&me) {
        lead::restore_keys(a, &seen, &here)?;
    }
    decide(a, &seen, &here)?;
    let kept = a.recall();
    let here = kept.seen_here.clone().unwrap_or(here);
    if matches!(kept.task, None | Some(Task::Promote)) {
        slots::sync(a, &seen, &here)?;
    }
    dcs::touch(a, &here)
}

/// A look at everything local, with what the standing session told where a new one is not let in.
pub fn look(a: &mut Asks) -> Run<Arc<Observation>> {
    let Some(here) = a.look(SESSION)? else {
        return Err(Halt::StoreAway);
    };
    a.keep(|k| {
        let postmaster = here.processes.postmaster;
        if let (Some(pid), Sql::Answered(status)) = (postmaster, &here.sql) {
            k.session = Some((pid, status.clone()));
        }
        k.seen_here = Some(Arc::clone(&here));
    });
    Ok(here)
}

pub fn server(a: &mut Asks, here: &Observation) -> Server {
    let Some(pid) = here.processes.postmaster else {
        return Server::Down;
    };
    let of = |status: SqlStatus| match status.in_recovery {
        true => Server::Standby(status),
        false => Server::Primary(status),
    };
    match &here.sql {
        Sql::Answered(status) => of(status.clone()),
        Sql::NotRunning => Server::Down,
        Sql::Starting | Sql::ShuttingDown => Server::Starting,
        Sql::Silent(_) | Sql::Refused(_) => match &a.recall().session {
            Some((session, status)) if *session == pid => of(status.clone()),
            Some(_) | None => Server::Starting,
        },
    }
}

fn decide(a: &mut Asks, seen: &Seen, here: &Observation) -> Run<()> {
    let kept = a.recall();
    let server = server(a, here);
    let holds = seen.is_led_by(&kept.me.name);
    if kept.task.is_some() {
        return busy(a, seen, here, &server);
    }
    if let Server::Starting = server {
        return starting(a, seen);
    }
    a.keep(|k| k.starting_since = None);
    if kept.recovering {
        a.keep(|k| k.recovering = false);
        let down = matches!(server, Server::Down);
        if down {
            watchdog::disable(a)?;
        }
        if down && kept.rewind != Rewind::Check && kept.rewind != Rewind::Need && holds {
            a.keep(|k| k.role = Role::Demoted);
            return dcs::release(a, None);
        }
        if !down {
            a.keep(|k| k.recovered = false);
        }
    }
    let control = match &here.data_dir {
        DataDir::Present(control) => control,
        DataDir::Empty | DataDir::HalfCloned => return found::empty(a, seen, holds),
        DataDir::HalfRewound(_) => return recover::half_rewound(a, seen, holds),
        DataDir::Unreadable(_) | DataDir::NotACluster(_) => return Ok(()),
    };
    remember_role(a, &server, here);
    if seen
        .system()
        .is_some_and(|system| system != control.system_id.0)
    {
        return match kept.tunes.paused {
            true if holds => dcs::release(a, None),
            true => Ok(()),
            false => a.exit(1),
        };
    }
    if seen.system().is_none() && seen.is_unlocked() && !kept.tunes.paused && !kept.joined {
        if let Server::Standby(_) = server {
            return a.exit(1);
        }
        // It adopts what is there: the primary of a store that knows nothing yet.
        if seen.initialize.is_none() {
            dcs::create(a, "initialize", &control.system_id.0)?;
        }
    }
    match &server {
        Server::Down if kept.tunes.paused && holds => dcs::release(a, None),
        Server::Down if kept.tunes.paused => Ok(()),
        Server::Down => recover::recover(a, seen, here),
        Server::Starting => Ok(()),
        Server::Standby(_) | Server::Primary(_) => {
            a.keep(|k| k.joined = true);
            match seen.is_unlocked() {
                true => race::unlocked(a, seen, here, &server),
                false if holds => lead::locked(a, seen, here, &server),
                false => follow::follow(a, seen, here, &server),
            }
        }
    }
}

/// Its role after a start of the agent, and what PostgreSQL shows it to be by now.
fn remember_role(a: &mut Asks, server: &Server, here: &Observation) {
    let was_primary = here
        .data_dir
        .control()
        .is_some_and(|c| c.state.was_primary());
    let demoted = was_primary && !here.standby_signal;
    a.keep(|k| {
        k.role = match (k.role, server) {
            (_, Server::Primary(_)) => Role::Primary,
            (Role::Uninitialized, Server::Down) if demoted => Role::Demoted,
            (Role::Promoted, Server::Standby(_)) => Role::Promoted,
            (_, Server::Standby(_)) | (Role::Uninitialized, _) => Role::Replica,
            (role, Server::Down | Server::Starting) => role,
        };
    });
}

/// A task is under way beside the loop (2.3).
fn busy(a: &mut Asks, seen: &Seen, here: &Observation, server: &Server) -> Run<()> {
    let kept = a.recall();
    if seen.is_led_by(&kept.me.name) && dcs::refresh(a, seen)? == Held::Mine {
        return Ok(());
    }
    let bootstraps = kept.task == Some(Task::Bootstrap);
    // Once its key is gone the task that gave it away only has to bring the server back.
    let writes = matches!(server, Server::Primary(_)) || kept.role == Role::Primary;
    if !bootstraps && !kept.tunes.paused && writes {
        a.cancel_task()?;
        return demote::immediate(a, here);
    }
    Ok(())
}

/// The server does not let anybody in yet (2.4).
fn starting(a: &mut Asks, seen: &Seen) -> Run<()> {
    let kept = a.recall();
    let now = a.now().wall;
    a.keep(|k| {
        k.starting_since.get_or_insert(now);
    });
    if kept.tunes.paused || !seen.is_led_by(&kept.me.name) {
        return Ok(());
    }
    if dcs::refresh(a, seen)? == Held::Lost {
        let here = look(a)?;
        return demote::immediate(a, &here);
    }
    let since = kept.starting_since.unwrap_or(now);
    let waited = now.ahead_of(since);
    if waited >= kept.tunes.primary_start_timeout
        && race::failover_is_possible(a, seen, None, None)?
    {
        return demote::immediate_and_release(a);
    }
    Ok(())
}

/// The store gave no answer (2.16): a primary that cannot know stops, and is started read-only.
fn store_is_away(a: &mut Asks) -> Run<()> {
    let here = match look(a) {
        Err(Halt::StoreAway) => return Ok(()),
        other => other?,
    };
    let kept = a.recall();
    let never_read = kept.store_seen.is_none();
    if kept.tunes.paused || never_read || kept.task == Some(Task::Bootstrap) {
        return Ok(());
    }
    match server(a, &here) {
        Server::Primary(_) => {
            if kept.task.is_some() {
                a.cancel_task()?;
            }
            demote::offline(a, &here)
        }
        Server::Down | Server::Starting | Server::Standby(_) => Ok(()),
    }
}
