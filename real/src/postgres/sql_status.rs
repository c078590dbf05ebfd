//! What does a fresh session tell of the server: role, timeline, positions, slots, standbys?
//! One query, one round trip. Knows nothing of why no session is had, nor of what the answer means.

use super::conninfo;
use super::deadline::Deadline;
use super::session::{Kind, Row, Session, SqlTrouble, local};
use super::settings::PgSettings;
use serde::Deserialize;
use std::collections::BTreeMap;
use tanist_core::lsn::Lsn;
use tanist_core::postgres::{Address, ConnectedStandby, Slot, SqlStatus};
use tanist_core::time::Wall;
use tanist_core::timeline::TimelineId;

/// `r` is asked once: a promotion between two columns must not make them contradict each other.
/// The insert timeline of a primary is the first third of its WAL file's name; the control file lags.
const STATUS: &str = "\
SELECT r.in_recovery, current_setting('server_version_num'), \
 (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint, \
 CASE WHEN NOT r.in_recovery THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END, \
 CASE WHEN NOT r.in_recovery THEN pg_current_wal_flush_lsn() END, \
 pg_last_wal_receive_lsn(), (SELECT received_tli FROM pg_stat_get_wal_receiver()), pg_last_wal_replay_lsn(), \
 CASE WHEN r.in_recovery THEN pg_is_wal_replay_paused() ELSE false END, \
 (extract(epoch from pg_last_xact_replay_timestamp()) * 1000000)::bigint, \
 (SELECT status FROM pg_stat_get_wal_receiver()), \
 current_setting('primary_conninfo', true), current_setting('primary_slot_name', true), \
 (SELECT coalesce(json_agg(s), '[]') FROM (SELECT slot_name AS name, slot_type = 'physical' AS physical, active, \
   restart_lsn::text, wal_status IS NOT DISTINCT FROM 'lost' AS lost FROM pg_replication_slots WHERE NOT temporary) s), \
 (SELECT coalesce(json_agg(w), '[]') FROM (SELECT coalesce(application_name, '') AS application_name, coalesce(usename, '') AS \"user\", \
   coalesce(host(client_addr), '') AS client_address, coalesce(state, '') AS state, coalesce(sync_state, '') AS sync_state, \
   coalesce(sync_priority, 0) AS sync_priority, coalesce(flush_lsn, '0/0')::text AS flushed \
   FROM pg_stat_replication WHERE application_name <> 'tanist' ORDER BY pid) w), \
 EXISTS (SELECT 1 FROM pg_settings WHERE pending_restart), \
 current_setting('synchronous_standby_names'), (SELECT timeline_id FROM pg_control_checkpoint()), \
 (SELECT json_object_agg(name, current_setting(name)::bigint) FROM unnest(ARRAY['max_connections', 'max_worker_processes', \
   'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction']) name), \
 CASE WHEN r.in_recovery THEN substring(current_setting('recovery_target_timeline', true) FROM '^[0-9]+$')::bigint END \
FROM (SELECT pg_is_in_recovery() AS in_recovery OFFSET 0) r";

pub async fn ask(settings: &PgSettings, deadline: Deadline) -> Result<SqlStatus, SqlTrouble> {
    let session = Session::open(local(settings, Kind::Sql), deadline).await?;
    let row = session.row(STATUS).await?;
    let mut status = parse(&row)
        .map_err(|what| SqlTrouble::Silent(format!("the status query answered oddly: {what}")))?;
    if status.in_recovery
        && let Some(replaying) = replay_timeline(settings, deadline).await
    {
        status.timeline = replaying;
    }
    Ok(status)
}

/// Only the replication command tells the timeline that a standby is replaying; SQL knows the last
/// restartpoint's. It needs a free WAL sender, so a failure is no failure of the look.
async fn replay_timeline(settings: &PgSettings, deadline: Deadline) -> Option<TimelineId> {
    let session = Session::open(local(settings, Kind::Database), deadline)
        .await
        .ok()?;
    let row = session.row("IDENTIFY_SYSTEM").await.ok()?;
    row.get(1)?.as_deref()?.parse().ok().map(TimelineId)
}

#[derive(Deserialize)]
struct SlotRow {
    name: String,
    physical: bool,
    active: bool,
    restart_lsn: Option<Lsn>,
    lost: bool,
}

fn parse(row: &Row) -> Result<SqlStatus, String> {
    let text = |i: usize| row.get(i).and_then(Option::as_deref);
    let need = |i: usize| text(i).ok_or_else(|| format!("column {} is missing", i + 1));
    let flag = |i: usize| need(i).map(|t| t == "t");
    let lsn = |i: usize| match text(i) {
        None => Ok(Lsn::INVALID),
        Some(t) => t.parse::<Lsn>().map_err(|e| e.to_string()),
    };
    let int = |t: &str| t.parse::<i64>().map_err(|e| format!("{t:?}: {e}"));
    let timeline = match text(3) {
        Some(hex) => TimelineId(u32::from_str_radix(hex, 16).map_err(|e| format!("{hex:?}: {e}"))?),
        None => timeline_of(text(17))?,
    };
    let slots: Vec<SlotRow> = serde_json::from_str(need(13)?).map_err(|e| e.to_string())?;
    let standbys: Vec<ConnectedStandby> =
        serde_json::from_str(need(14)?).map_err(|e| e.to_string())?;
    Ok(SqlStatus {
        in_recovery: flag(0)?,
        server_version: u32::try_from(int(need(1)?)?).map_err(|e| e.to_string())?,
        started_at: Wall(int(need(2)?)?),
        timeline,
        written: lsn(4)?,
        received: lsn(5)?,
        received_timeline: timeline_of(text(6))?,
        replayed: lsn(7)?,
        replay_paused: flag(8)?,
        replayed_at: text(9).map(int).transpose()?.map(Wall),
        streaming: text(10) == Some("streaming"),
        upstream: text(11).and_then(upstream_of),
        upstream_slot: text(12).filter(|s| !s.is_empty()).map(str::to_string),
        slots: slots.into_iter().map(named).collect::<BTreeMap<_, _>>(),
        standbys,
        limits: serde_json::from_str(need(18)?).map_err(|e| e.to_string())?,
        one_timeline: text(19).map(|_| timeline_of(text(19))).transpose()?,
        pending_restart: flag(15)?,
        synchronous_standby_names: need(16)?.to_string(),
    })
}

fn named(row: SlotRow) -> (String, Slot) {
    let slot = Slot {
        physical: row.physical,
        active: row.active,
        restart_lsn: row.restart_lsn,
        lost: row.lost,
    };
    (row.name, slot)
}

fn timeline_of(text: Option<&str>) -> Result<TimelineId, String> {
    let Some(text) = text else {
        return Ok(TimelineId(0));
    };
    text.parse()
        .map(TimelineId)
        .map_err(|e| format!("{text:?}: {e}"))
}

fn upstream_of(text: &str) -> Option<Address> {
    let words = conninfo::parse(text)?;
    let port = words.get("port").map_or(Some(5432), |p| p.parse().ok())?;
    Some(Address {
        host: words.get("host").or_else(|| words.get("hostaddr"))?.clone(),
        port,
    })
}
