//! The cluster as people see it: the body of `GET /cluster`, which the command line's table is made of too.
//! Renders one reading of the store; judges nothing, and knows no member's own view.

use crate::cluster::Cluster;
use crate::config::as_bool;
use crate::health::{SyncStanding, sync_mode};
use crate::lsn::Lsn;
use crate::member::MemberData;
use crate::name::MemberName;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// The whole body, fields in Patroni's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterBody {
    pub members: Vec<MemberRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_switchover: Option<ScheduledSwitchover>,
    pub scope: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduledSwitchover {
    pub at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<MemberName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<MemberName>,
}

/// The part a member has, in Patroni's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    Leader,
    StandbyLeader,
    SyncStandby,
    QuorumStandby,
    Replica,
}

/// One member. The positions are given for every member but the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberRow {
    pub name: MemberName,
    pub role: MemberRole,
    pub state: String,
    pub api_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_restart: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_restart_reason: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_restart: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Map<String, Value>>,
    #[serde(flatten)]
    pub positions: Option<Positions>,
}

/// How far a standby is, and how far behind what the leader last published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Positions {
    pub receive_lag: Lag,
    pub receive_lsn: Reached,
    pub replay_lag: Lag,
    pub replay_lsn: Reached,
    pub lag: Lag,
    pub lsn: Reached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    Bytes(u64),
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    At(Lsn),
    Unknown,
}

impl Serialize for Lag {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Lag::Bytes(bytes) => s.serialize_u64(*bytes),
            Lag::Unknown => s.serialize_str("unknown"),
        }
    }
}

impl Serialize for Reached {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Reached::At(lsn) => s.collect_str(lsn),
            Reached::Unknown => s.serialize_str("unknown"),
        }
    }
}

impl ClusterBody {
    pub fn of(cluster: &Cluster, scope: &str) -> ClusterBody {
        let scheduled = cluster.failover.as_ref().and_then(|failover| {
            Some(ScheduledSwitchover {
                at: failover.scheduled_at.clone()?,
                from: failover.leader.clone(),
                to: failover.member.clone(),
            })
        });
        let members = cluster.members.iter();
        ClusterBody {
            members: members
                .map(|(name, data)| MemberRow::of(cluster, name, data))
                .collect(),
            pause: is_on(cluster, "pause").then_some(true),
            scheduled_switchover: scheduled,
            scope: scope.to_string(),
        }
    }
}

impl MemberRow {
    fn of(cluster: &Cluster, name: &MemberName, data: &MemberData) -> MemberRow {
        let role = role_of(cluster, name);
        let streaming = data.replication_state.clone().filter(|s| !s.is_empty());
        let state = match role {
            MemberRole::Leader => None,
            MemberRole::StandbyLeader
            | MemberRole::SyncStandby
            | MemberRole::QuorumStandby
            | MemberRole::Replica => streaming,
        };
        let address = data.address();
        MemberRow {
            name: name.clone(),
            role,
            state: state.or_else(|| data.state.clone()).unwrap_or_default(),
            api_url: data.api_url.clone(),
            host: address.as_ref().map(|a| a.host.clone()),
            port: address.as_ref().map(|a| a.port),
            timeline: data.timeline,
            pending_restart: data.pending_restart,
            pending_restart_reason: data.other.get("pending_restart_reason").cloned(),
            scheduled_restart: data.other.get("scheduled_restart").cloned(),
            tags: data.tags.clone(),
            positions: (!leads(cluster, name)).then(|| Positions::of(cluster, data)),
        }
    }
}

impl Positions {
    fn of(cluster: &Cluster, data: &MemberData) -> Positions {
        let newest = cluster.status.as_ref().map_or(0, |s| s.optime);
        let measured = |at: Option<u64>| match at {
            None | Some(0) => (Lag::Unknown, Reached::Unknown),
            Some(at) => (Lag::Bytes(newest.saturating_sub(at)), Reached::At(Lsn(at))),
        };
        let (receive_lag, receive_lsn) = measured(data.receive_lsn);
        let (replay_lag, replay_lsn) = measured(data.replay_lsn);
        let (lag, lsn) = measured(data.xlog_location);
        Positions {
            receive_lag,
            receive_lsn,
            replay_lag,
            replay_lsn,
            lag,
            lsn,
        }
    }
}

fn leads(cluster: &Cluster, name: &MemberName) -> bool {
    cluster.leader.as_ref().is_some_and(|l| l.owner == *name)
}

fn role_of(cluster: &Cluster, name: &MemberName) -> MemberRole {
    if leads(cluster, name) {
        return if is_standby_cluster(cluster) {
            MemberRole::StandbyLeader
        } else {
            MemberRole::Leader
        };
    }
    match sync_mode(cluster) {
        SyncStanding::Synchronous if cluster.sync.names_standby(name) => MemberRole::SyncStandby,
        SyncStanding::Quorum if cluster.sync.names_standby(name) => MemberRole::QuorumStandby,
        SyncStanding::Synchronous | SyncStanding::Quorum | SyncStanding::Asynchronous => {
            MemberRole::Replica
        }
    }
}

/// A flag of the cluster's configuration.
pub fn is_on(cluster: &Cluster, flag: &str) -> bool {
    let config = cluster.config.as_ref();
    config.and_then(|c| c.get(flag)).and_then(as_bool) == Some(true)
}

/// It follows another cluster, by Patroni's rule: one of the ways to get at that cluster's WAL is named.
pub fn is_standby_cluster(cluster: &Cluster) -> bool {
    let config = cluster.config.as_ref();
    let Some(Value::Object(section)) = config.and_then(|c| c.get("standby_cluster")) else {
        return false;
    };
    let named = |key: &str| match section.get(key) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Number(n)) => n.as_u64() != Some(0),
        Some(Value::Bool(on)) => *on,
        Some(Value::Array(_) | Value::Object(_)) => true,
    };
    ["host", "port", "restore_command"].into_iter().any(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcs::{KeyValue, LeaseId, Revision, Snapshot};

    const PRIMARY: &str = r#"{"conn_url":"postgres://127.0.0.1:25432/postgres","api_url":"http://127.0.0.1:28008/patroni","state":"running","role":"primary","version":"4.1.5","xlog_location":50331784,"timeline":1}"#;
    const REPLICA: &str = r#"{"conn_url":"postgres://127.0.0.1:25433/postgres","api_url":"http://127.0.0.1:28108/patroni","state":"running","role":"replica","version":"4.1.5","tags":{"clonefrom":true},"xlog_location":50331600,"replay_lsn":50331600,"receive_lsn":50331784,"replication_state":"streaming","timeline":1}"#;

    fn cluster(pairs: &[(&str, &str)]) -> Cluster {
        let kv = |value: &str| KeyValue {
            value: value.into(),
            created: Revision(1),
            modified: Revision(1),
            lease: LeaseId(7),
        };
        Cluster::read(&Snapshot {
            revision: Revision(9),
            keys: pairs.iter().map(|(k, v)| (k.to_string(), kv(v))).collect(),
        })
    }

    #[test]
    fn the_body_is_patronis() {
        let read = cluster(&[
            ("leader", "n1"),
            ("members/n1", PRIMARY),
            ("members/n2", REPLICA),
            ("members/n3", "{}"),
            ("status", r#"{"optime":50331784}"#),
            ("config", r#"{"pause":true,"synchronous_mode":"quorum"}"#),
            (
                "sync",
                r#"{"leader":"n1","quorum":1,"sync_standby":"N2,n9"}"#,
            ),
            (
                "failover",
                r#"{"leader":"n1","member":"n2","scheduled_at":"2026-11-23T10:00:00+00:00"}"#,
            ),
        ]);
        let body = ClusterBody::of(&read, "demo");
        insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap());
    }

    #[test]
    fn a_leader_of_a_standby_cluster_is_called_one_and_keeps_its_replication_state() {
        let read = cluster(&[
            ("leader", "n2"),
            ("members/n2", REPLICA),
            ("config", r#"{"standby_cluster":{"host":"far"}}"#),
        ]);
        let row = &ClusterBody::of(&read, "demo").members[0];
        assert_eq!(row.role, MemberRole::StandbyLeader);
        assert_eq!(row.state, "streaming");
        assert_eq!(row.positions, None);
    }
}
