//! Who is another member's PostgreSQL, where did its branch fork, and is the WAL here its own? Asked of the server itself.
//! Knows nothing of what follows for this member.

use super::context::Work;
use super::deadline::Deadline;
use super::same_wal::same_wal;
use super::session::{Kind, Row, Session, SqlTrouble, Target};
use super::trouble::{Outcome, Trouble};
use tanist_core::lsn::Lsn;
use tanist_core::postgres::{Ended, SystemId, Upstream, UpstreamFacts, WalEnd};
use tanist_core::timeline::{TimelineHistory, TimelineId};

pub async fn ask(
    work: &Work,
    upstream: &Upstream,
    mine: Option<WalEnd>,
    deadline: Deadline,
) -> Outcome<Ended> {
    let settings = work.settings();
    let address = &upstream.address;
    let failed = |e: SqlTrouble| {
        Trouble::failed(format!(
            "{} at {}:{}: {e}",
            upstream.member, address.host, address.port
        ))
    };
    let odd = |what: &str| {
        failed(SqlTrouble::Silent(format!(
            "IDENTIFY_SYSTEM answered without {what}"
        )))
    };
    let sql = Target {
        place: address.into(),
        user: settings.rewind_user(),
        database: &settings.database,
        kind: Kind::Sql,
    };
    let sql = Session::open(sql, deadline).await.map_err(failed)?;
    let state = "SELECT pg_is_in_recovery(), (SELECT timeline_id FROM pg_control_checkpoint())";
    let state = sql.row(state).await.map_err(failed)?;
    let replication = Target {
        place: address.into(),
        user: &settings.replication,
        database: &settings.database,
        kind: Kind::Physical,
    };
    let replication = Session::open(replication, deadline).await.map_err(failed)?;
    let identity = replication.row("IDENTIFY_SYSTEM").await.map_err(failed)?;
    let timeline = timeline(&identity, 1).ok_or_else(|| odd("a timeline"))?;
    let history = history(&replication, timeline).await.map_err(failed)?;
    let written = text(&identity, 2).and_then(|t| t.parse::<Lsn>().ok());
    let written = written.ok_or_else(|| odd("a position"))?;
    let same = match mine {
        Some(mine) => same_wal(settings, &sql, &history, written, mine).await,
        None => Ok(None),
    };
    Ok(Ended::Upstream(UpstreamFacts {
        member: upstream.member.clone(),
        system_id: SystemId(
            text(&identity, 0)
                .ok_or_else(|| odd("a system identifier"))?
                .to_string(),
        ),
        in_recovery: text(&state, 0) != Some("f"),
        history,
        written,
        control_timeline: self::timeline(&state, 1)
            .ok_or_else(|| odd("its checkpoint's timeline"))?,
        same_wal: same.map_err(failed)?,
    }))
}

/// Timeline 1 has no history file, and the server would answer with an error.
async fn history(session: &Session, timeline: TimelineId) -> Result<TimelineHistory, SqlTrouble> {
    if timeline <= TimelineId(1) {
        return Ok(TimelineHistory::bare(timeline));
    }
    let row = session.row(&format!("TIMELINE_HISTORY {timeline}")).await?;
    let content = text(&row, 1).unwrap_or_default();
    TimelineHistory::parse(timeline, content).map_err(|e| SqlTrouble::Silent(e.to_string()))
}

fn text(row: &Row, i: usize) -> Option<&str> {
    row.get(i)?.as_deref()
}

fn timeline(row: &Row, i: usize) -> Option<TimelineId> {
    text(row, i)?.parse().ok().map(TimelineId)
}
