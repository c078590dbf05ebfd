//! What a member answers to a health check: the status code, and the reason in one sentence.
//! A verdict is made from the view at the moment of answering, since authority ends by itself.
//! Knows nothing of HTTP beyond the two codes.
//!
//! "Primary" takes all of: authority stands now, the postmaster is alive, it is out of recovery, and no
//! stop is under way. Anything that is not known counts against it: a load balancer that sends writes to
//! the wrong member does more harm than one that sends none.

use crate::cluster::Cluster;
use crate::config::{MissingMode, as_bool};
use crate::health_check::{Check, CheckKind, LagOf};
use crate::leader_key::Authority;
use crate::lsn::Lsn;
use crate::member::Tags;
use crate::postgres::{Sql, SqlStatus};
use crate::time::{Now, Span};
use crate::view::{Role, State, View};
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// The answer to a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// 200 or 503.
    pub code: u16,
    pub reason: HealthReason,
}

/// Why a check passed or did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum HealthReason {
    WritablePrimary,
    HoldsLeaderKey,
    ServingReplica,
    PostgresRuns,
    LoopTurns,
    Paused,
    Ready,
    NoAuthority,
    Stopping,
    NotObserved,
    PostmasterGone,
    InRecovery,
    /// PostgreSQL was asked and has not said which role it has.
    RoleUnknown,
    StandbyCluster,
    NotStandbyCluster,
    NotInRecovery,
    StateIs {
        state: String,
    },
    NoLoadBalance,
    Lags {
        bytes: u64,
        limit: u64,
    },
    ReplicationStateIs {
        state: String,
    },
    TagMissing {
        tag: String,
    },
    TagDiffers {
        tag: String,
        value: String,
    },
    StoreNeverSeen,
    NotOfThisKind {
        is: SyncStanding,
    },
    LoopLate {
        since: Span,
        limit: Span,
    },
    UnknownCheck,
}

/// Which part a standby has in synchronous replication, by the `sync` key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SyncStanding {
    Asynchronous,
    Synchronous,
    Quorum,
}

type Verdict = Result<HealthReason, HealthReason>;

/// Answers `check` for the member of `view` as of `now`.
pub fn health(view: &View, now: Now, check: Check) -> Health {
    let verdict = judge(view, now, &check);
    let (code, reason) = match verdict {
        Ok(reason) => (200, reason),
        Err(reason) => (503, reason),
    };
    Health { code, reason }
}

fn judge(view: &View, now: Now, check: &Check) -> Verdict {
    match check.kind {
        CheckKind::Primary => primary(view, now),
        CheckKind::Leader => leader(view, now),
        CheckKind::StandbyLeader => standby_leader(view),
        CheckKind::Liveness => liveness(view, now),
        CheckKind::Readiness => readiness(view, now, check),
        CheckKind::Replica => with_tags(view, check, replica(view, check)),
        CheckKind::ReadOnly => {
            let verdict = primary(view, now).or_else(|_| replica(view, check));
            with_tags(view, check, verdict)
        }
        CheckKind::Running => with_tags(view, check, running(view)),
        CheckKind::Synchronous => standing(view, check, SyncStanding::Synchronous),
        CheckKind::Quorum => standing(view, check, SyncStanding::Quorum),
        CheckKind::Asynchronous => standing(view, check, SyncStanding::Asynchronous),
        CheckKind::ReadOnlySynchronous => {
            primary_or_standing(view, now, check, SyncStanding::Synchronous)
        }
        CheckKind::ReadOnlyQuorum => primary_or_standing(view, now, check, SyncStanding::Quorum),
        CheckKind::Unknown => Err(HealthReason::UnknownCheck),
    }
}

fn primary(view: &View, now: Now) -> Verdict {
    if is_standby_cluster(view) {
        return Err(HealthReason::StandbyCluster);
    }
    may_lead(view, now)?;
    // A founding that fails is undone, directory and all: no client is sent there before its roles exist.
    if view.state == State::InitializingNewCluster {
        let state = view.state.to_string();
        return Err(HealthReason::StateIs { state });
    }
    let observed = view.observed.as_ref().ok_or(HealthReason::NotObserved)?;
    if observed.processes.postmaster.is_none() {
        return Err(HealthReason::PostmasterGone);
    }
    match &observed.sql {
        Sql::Answered(status) if !status.in_recovery => Ok(HealthReason::WritablePrimary),
        Sql::Answered(_) => Err(HealthReason::InRecovery),
        Sql::NotRunning => Err(HealthReason::PostmasterGone),
        Sql::ShuttingDown => Err(HealthReason::Stopping),
        Sql::Starting | Sql::Silent(_) | Sql::Refused(_) => Err(HealthReason::RoleUnknown),
    }
}

fn leader(view: &View, now: Now) -> Verdict {
    may_lead(view, now).map(|()| HealthReason::HoldsLeaderKey)
}

/// The write authority stands, and this member is not already closing.
fn may_lead(view: &View, now: Now) -> Result<(), HealthReason> {
    if !view.authority.stands(now.mono) {
        return Err(HealthReason::NoAuthority);
    }
    if is_stopping(view) {
        return Err(HealthReason::Stopping);
    }
    match view.authority {
        Authority::None => Err(HealthReason::NoAuthority),
        Authority::Lease { .. } => Ok(()),
        // In maintenance mode every member may run what it runs, so the key tells which one leads; with
        // no view of the store at all, PostgreSQL's own role has to do, as in Patroni.
        Authority::Paused if view.holds_key || view.cluster.is_none() => Ok(()),
        Authority::Paused => Err(HealthReason::NoAuthority),
    }
}

fn is_stopping(view: &View) -> bool {
    let operation = view.operation.as_ref();
    view.state == State::Stopping || operation.is_some_and(|o| o.verb == "stop")
}

fn is_standby_cluster(view: &View) -> bool {
    view.config
        .missing_modes
        .contains(&MissingMode::StandbyCluster)
}

/// This build never leads a standby cluster.
fn standby_leader(view: &View) -> Verdict {
    if is_standby_cluster(view) {
        return Err(HealthReason::NoAuthority);
    }
    Err(HealthReason::NotStandbyCluster)
}

fn running(view: &View) -> Verdict {
    match shown_state(view) {
        "running" => Ok(HealthReason::PostgresRuns),
        state => Err(HealthReason::StateIs {
            state: state.to_string(),
        }),
    }
}

fn replica(view: &View, check: &Check) -> Verdict {
    if Tags::read(&view.tags).noloadbalance {
        return Err(HealthReason::NoLoadBalance);
    }
    let status = answered(view).ok_or(HealthReason::RoleUnknown)?;
    if !status.in_recovery {
        return Err(HealthReason::NotInRecovery);
    }
    running(view)?;
    if let Some(limit) = check.lag_max {
        let bytes = newest_known(view, status).bytes_ahead_of(status.replayed);
        if bytes > limit {
            return Err(HealthReason::Lags { bytes, limit });
        }
    }
    if let Some(wanted) = &check.replication_state {
        let state = replication_state(status).unwrap_or_default();
        if state != wanted {
            return Err(HealthReason::ReplicationStateIs {
                state: state.to_string(),
            });
        }
    }
    Ok(HealthReason::ServingReplica)
}

fn standing(view: &View, check: &Check, wanted: SyncStanding) -> Verdict {
    let is = sync_standing(view).ok_or(HealthReason::StoreNeverSeen)?;
    if is != wanted {
        return Err(HealthReason::NotOfThisKind { is });
    }
    with_tags(view, check, replica(view, check))
}

fn primary_or_standing(view: &View, now: Now, check: &Check, wanted: SyncStanding) -> Verdict {
    if view.cluster.is_none() {
        return Err(HealthReason::StoreNeverSeen);
    }
    match primary(view, now) {
        Ok(reason) => with_tags(view, check, Ok(reason)),
        Err(_) => standing(view, check, wanted),
    }
}

fn liveness(view: &View, now: Now) -> Verdict {
    if view.paused {
        return Ok(HealthReason::Paused);
    }
    let ttl = view.config.timing.ttl;
    let is_primary = view.role == Role::Primary && running(view).is_ok();
    let limit = if is_primary { ttl } else { ttl.times(2) };
    let since = now.mono.since(view.decided_at);
    if since < limit {
        Ok(HealthReason::LoopTurns)
    } else {
        Err(HealthReason::LoopLate { since, limit })
    }
}

fn readiness(view: &View, now: Now, check: &Check) -> Verdict {
    if leader(view, now).is_ok() {
        return Ok(HealthReason::HoldsLeaderKey);
    }
    running(view)?;
    let status = answered(view).ok_or(HealthReason::RoleUnknown)?;
    if replication_state(status) != Some("streaming") {
        let state = replication_state(status).unwrap_or_default().to_string();
        return Err(HealthReason::ReplicationStateIs { state });
    }
    if view.cluster.is_none() && !status.received.is_valid() {
        return Err(HealthReason::StoreNeverSeen);
    }
    let reached = match check.lag_of {
        LagOf::Replayed => status.replayed,
        // PostgreSQL counts what it received from the begin of the segment in which it connected last.
        LagOf::Received => status.received.max(status.replayed),
    };
    let limit = check.lag_max.unwrap_or(view.config.maximum_lag_on_failover);
    let bytes = newest_known(view, status).bytes_ahead_of(reached);
    if bytes > limit {
        return Err(HealthReason::Lags { bytes, limit });
    }
    Ok(HealthReason::Ready)
}

fn with_tags(view: &View, check: &Check, verdict: Verdict) -> Verdict {
    let passed = verdict?;
    for (tag, wanted) in &check.tags {
        let value = match view.tags.get(tag) {
            None | Some(Value::Null) => {
                return Err(HealthReason::TagMissing { tag: tag.clone() });
            }
            Some(Value::String(text)) => text.clone(),
            Some(
                other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)),
            ) => other.to_string().to_lowercase(),
        };
        if value != *wanted {
            let tag = tag.clone();
            return Err(HealthReason::TagDiffers { tag, value });
        }
    }
    Ok(passed)
}

/// What PostgreSQL's last look told, if a session answered.
pub fn answered(view: &View) -> Option<&SqlStatus> {
    view.observed.as_ref()?.sql.answered()
}

/// Patroni's word for the state: `unknown` when it should run and does not answer.
pub fn shown_state(view: &View) -> &'static str {
    if view.state == State::Running && answered(view).is_none() {
        return "unknown";
    }
    view.state.word()
}

/// Where a standby gets its WAL from, in Patroni's words.
pub fn replication_state(status: &SqlStatus) -> Option<&'static str> {
    if !status.in_recovery {
        None
    } else if status.streaming {
        Some("streaming")
    } else {
        Some("in archive recovery")
    }
}

/// A standby that never streamed has received nothing; what it replayed came from files.
pub fn received_or_replayed(status: &SqlStatus) -> Lsn {
    if status.received.is_valid() {
        status.received
    } else {
        status.replayed
    }
}

/// The end of the leader's WAL as far as it is known here.
fn newest_known(view: &View, status: &SqlStatus) -> Lsn {
    let published = view.cluster.as_ref().and_then(|c| c.status.as_ref());
    let published = published.map_or(Lsn::INVALID, |s| s.position());
    published.max(status.received)
}

/// How standbys that the `sync` key names count, by the cluster's configuration.
pub fn sync_mode(cluster: &Cluster) -> SyncStanding {
    let config = cluster.config.as_ref();
    let mode = config.and_then(|c| c.get("synchronous_mode"));
    let word = mode.and_then(Value::as_str).unwrap_or_default();
    if word.eq_ignore_ascii_case("quorum") {
        SyncStanding::Quorum
    } else if mode.and_then(as_bool) == Some(true) {
        SyncStanding::Synchronous
    } else {
        SyncStanding::Asynchronous
    }
}

/// `None` while the store was never read.
pub fn sync_standing(view: &View) -> Option<SyncStanding> {
    let cluster = view.cluster.as_ref()?;
    let is_standby = answered(view).is_some_and(|s| s.in_recovery);
    if is_standby && cluster.sync.names_standby(&view.name) {
        Some(sync_mode(cluster))
    } else {
        Some(SyncStanding::Asynchronous)
    }
}

impl fmt::Display for SyncStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SyncStanding::Asynchronous => "asynchronous",
            SyncStanding::Synchronous => "synchronous",
            SyncStanding::Quorum => "one of the quorum",
        })
    }
}

impl fmt::Display for HealthReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HealthReason::WritablePrimary => f.write_str("primary with authority to write"),
            HealthReason::HoldsLeaderKey => f.write_str("holds the leader key"),
            HealthReason::ServingReplica => f.write_str("running standby"),
            HealthReason::PostgresRuns => f.write_str("PostgreSQL is running"),
            HealthReason::LoopTurns => f.write_str("the agent decides in time"),
            HealthReason::Paused => f.write_str("maintenance mode"),
            HealthReason::Ready => f.write_str("streaming within the allowed lag"),
            HealthReason::NoAuthority => f.write_str("no write authority at this moment"),
            HealthReason::Stopping => f.write_str("PostgreSQL is being stopped"),
            HealthReason::NotObserved => f.write_str("PostgreSQL has not been looked at yet"),
            HealthReason::PostmasterGone => f.write_str("no postmaster"),
            HealthReason::InRecovery => f.write_str("PostgreSQL is in recovery"),
            HealthReason::RoleUnknown => f.write_str("PostgreSQL does not tell its role"),
            HealthReason::StandbyCluster => f.write_str("this is a standby cluster"),
            HealthReason::NotStandbyCluster => f.write_str("this is not a standby cluster"),
            HealthReason::NotInRecovery => f.write_str("PostgreSQL is not in recovery"),
            HealthReason::StateIs { state } => write!(f, "PostgreSQL is {state}"),
            HealthReason::NoLoadBalance => f.write_str("tagged noloadbalance"),
            HealthReason::Lags { bytes, limit } => {
                write!(f, "lags {bytes} bytes, {limit} are allowed")
            }
            HealthReason::ReplicationStateIs { state } if state.is_empty() => {
                f.write_str("not replicating")
            }
            HealthReason::ReplicationStateIs { state } => write!(f, "replication is {state}"),
            HealthReason::TagMissing { tag } => write!(f, "has no tag {tag}"),
            HealthReason::TagDiffers { tag, value } => write!(f, "its tag {tag} is {value}"),
            HealthReason::StoreNeverSeen => f.write_str("the DCS has not been read"),
            HealthReason::NotOfThisKind { is } => write!(f, "this member is {is}"),
            HealthReason::LoopLate { since, limit } => {
                write!(
                    f,
                    "the agent last decided {since} ago, {limit} are tolerated"
                )
            }
            HealthReason::UnknownCheck => f.write_str("no such check"),
        }
    }
}
