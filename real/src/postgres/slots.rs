//! Creates, drops and advances physical replication slots of the local server.
//! Knows nothing of which slots ought to exist.

use super::context::Work;
use super::deadline::Deadline;
use super::session::{Kind, Session, literal, local};
use super::trouble::{Outcome, Trouble};
use tanist_core::lsn::Lsn;
use tanist_core::postgres::Ended;

/// With WAL reserved from now on: a slot that reserves none protects nobody. One that exists is left alone.
pub async fn create(work: &Work, name: &str, deadline: Deadline) -> Outcome<Ended> {
    let slot = literal(name);
    let sql = format!(
        "SELECT pg_create_physical_replication_slot({slot}, true) \
         WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = {slot})"
    );
    execute(work, &sql, deadline).await
}

/// One that is gone already is as it should be; one that is in use is refused by the server.
pub async fn drop_slot(
    work: &Work,
    name: &str,
    if_lost: bool,
    deadline: Deadline,
) -> Outcome<Ended> {
    let which = match if_lost {
        true => "AND NOT active AND (restart_lsn IS NULL OR wal_status = 'lost')",
        false => "",
    };
    let sql = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {} {which}",
        literal(name)
    );
    execute(work, &sql, deadline).await
}

/// Never beyond what is replayed (or, on a primary, flushed) here: nobody can have received more from us.
pub async fn advance(work: &Work, name: &str, to: Lsn, deadline: Deadline) -> Outcome<Ended> {
    let sql = format!(
        "SELECT pg_replication_slot_advance(s.slot_name, t.lsn) FROM pg_replication_slots s, \
         (SELECT least('{to}'::pg_lsn, CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END) AS lsn) t \
         WHERE s.slot_name = {} AND s.slot_type = 'physical' AND NOT s.active AND s.restart_lsn < t.lsn",
        literal(name)
    );
    execute(work, &sql, deadline).await
}

async fn execute(work: &Work, sql: &str, deadline: Deadline) -> Outcome<Ended> {
    let failed = |e: super::session::SqlTrouble| Trouble::failed(format!("replication slot: {e}"));
    let session = Session::open(local(work.settings(), Kind::Sql), deadline)
        .await
        .map_err(failed)?;
    session.rows(sql).await.map_err(failed)?;
    Ok(Ended::Done)
}
