//! What a member says of itself: the body of `GET /patroni`, fields in Patroni's order, and a section of
//! Tanist's own. Also the bodies of `/history` and `/trace`. Renders the view; judges nothing.

use crate::health::{
    SyncStanding, answered, received_or_replayed, replication_state, shown_state, sync_standing,
};
use crate::iso::{iso_time, shown_time};
use crate::leader_key::Authority;
use crate::name::{MemberName, Term};
use crate::own_member::PROTOCOL_VERSION;
use crate::postgres::{ConnectedStandby, SqlStatus};
use crate::time::Now;
use crate::view::View;
use serde::Serialize;
use serde_json::{Map, Value};

/// The body of `GET /patroni`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusBody {
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postmaster_start_time: Option<String>,
    pub role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xlog: Option<Xlog>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_standby: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum_standby: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replication: Vec<Walsender>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_unlocked: Option<bool>,
    /// Seconds since 1970; zero while the store has never answered.
    pub dcs_last_seen: i64,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub tags: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_system_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_restart: Option<bool>,
    pub patroni: About,
    pub tanist: Own,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Xlog {
    Primary {
        location: u64,
    },
    Standby {
        received_location: u64,
        replayed_location: u64,
        replayed_timestamp: Option<String>,
        paused: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Walsender {
    pub usename: String,
    pub application_name: String,
    pub client_addr: String,
    pub state: String,
    pub sync_state: String,
    pub sync_priority: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    pub version: &'static str,
    pub scope: String,
    pub name: MemberName,
}

/// What Patroni has no word for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Own {
    pub version: &'static str,
    pub authority: AuthorityLeft,
    pub decision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationNow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthorityLeft {
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms_left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationNow {
    pub verb: String,
    pub phase: Option<String>,
    pub running_ms: u64,
}

impl StatusBody {
    pub fn of(view: &View, now: Now) -> StatusBody {
        let status = answered(view);
        let standing = sync_standing(view);
        let control = view.observed.as_ref().and_then(|o| o.data_dir.control());
        let unlocked = view.cluster.as_ref().is_none_or(|c| c.is_unlocked());
        StatusBody {
            state: shown_state(view).into(),
            postmaster_start_time: status.map(|s| shown_time(s.started_at)),
            role: shown_role(view, status).into(),
            server_version: status.map(|s| s.server_version),
            xlog: status.map(Xlog::of),
            sync_standby: (standing == Some(SyncStanding::Synchronous)).then_some(true),
            quorum_standby: (standing == Some(SyncStanding::Quorum)).then_some(true),
            timeline: status.map(|s| s.timeline.0),
            replication_state: status.and_then(replication_state),
            replication: status.map_or(Vec::new(), |s| {
                s.standbys.iter().map(Walsender::of).collect()
            }),
            pause: view.paused.then_some(true),
            cluster_unlocked: unlocked.then_some(true),
            dcs_last_seen: view
                .store_seen
                .map_or(0, |seen| seen.wall.0.div_euclid(1_000_000)),
            tags: shown_tags(view),
            database_system_identifier: control.map(|c| c.system_id.0.clone()),
            pending_restart: status.is_some_and(|s| s.pending_restart).then_some(true),
            patroni: About {
                version: PROTOCOL_VERSION,
                scope: view.scope.clone(),
                name: view.name.clone(),
            },
            tanist: Own::of(view, now),
        }
    }
}

/// A Patroni gives way to whoever has more WAL, on whichever timeline, unless that one says that it may not lead
/// (`failover_limitation`).
fn shown_tags(view: &View) -> Map<String, Value> {
    let mut tags = view.tags.clone();
    if view.stands_back {
        tags.insert("nofailover".into(), Value::Bool(true));
    }
    tags
}

fn shown_role(view: &View, status: Option<&SqlStatus>) -> &'static str {
    match status {
        Some(s) if s.in_recovery => "replica",
        Some(_) => "primary",
        None => view.role.word(),
    }
}

impl Xlog {
    fn of(status: &SqlStatus) -> Xlog {
        if !status.in_recovery {
            return Xlog::Primary {
                location: status.written.0,
            };
        }
        Xlog::Standby {
            received_location: received_or_replayed(status).0,
            replayed_location: status.replayed.0,
            replayed_timestamp: status.replayed_at.map(shown_time),
            paused: status.replay_paused,
        }
    }
}

impl Walsender {
    fn of(standby: &ConnectedStandby) -> Walsender {
        Walsender {
            usename: standby.user.clone(),
            application_name: standby.application_name.clone(),
            client_addr: standby.client_address.clone(),
            state: standby.state.clone(),
            sync_state: standby.sync_state.clone(),
            sync_priority: standby.sync_priority,
        }
    }
}

impl Own {
    fn of(view: &View, now: Now) -> Own {
        let kind = match view.authority {
            Authority::None => "none",
            Authority::Lease { .. } if view.authority.stands(now.mono) => "lease",
            Authority::Lease { .. } => "lease, ended",
            Authority::Paused => "paused",
        };
        let term = match view.authority {
            Authority::Lease { term, .. } => Some(term),
            Authority::None | Authority::Paused => None,
        };
        let until = view.authority.until();
        Own {
            version: env!("CARGO_PKG_VERSION"),
            authority: AuthorityLeft {
                kind,
                until_ms_left: until.map(|u| u.since(now.mono).as_millis()),
                term,
            },
            decision: view.decision.clone(),
            operation: view.operation.as_ref().map(|o| OperationNow {
                verb: o.verb.clone(),
                phase: o.phase.clone(),
                running_ms: now.mono.since(o.since).as_millis(),
            }),
        }
    }
}

/// The body of `GET /history`: what the key says, `[]` when it says nothing.
pub fn history(view: &View) -> String {
    let key = view.cluster.as_ref().and_then(|c| c.history.as_ref());
    key.map_or_else(|| "[]".to_string(), |history| history.to_text())
}

/// One line of the body of `GET /trace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceLine {
    pub at: String,
    pub ms_ago: u64,
    pub text: String,
}

/// The body of `GET /trace`: the latest decisions with their reasons, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceBody {
    pub member: MemberName,
    pub at: String,
    pub decision: String,
    pub recent: Vec<TraceLine>,
}

impl TraceBody {
    pub fn of(view: &View, now: Now, lines_max: usize) -> TraceBody {
        let surplus = view.recent.len().saturating_sub(lines_max);
        let line = |told: &crate::view::Told| TraceLine {
            at: iso_time(told.now.wall),
            ms_ago: now.mono.since(told.now.mono).as_millis(),
            text: told.text.clone(),
        };
        TraceBody {
            member: view.name.clone(),
            at: iso_time(now.wall),
            decision: view.decision.clone(),
            recent: view.recent.iter().skip(surplus).map(line).collect(),
        }
    }
}
