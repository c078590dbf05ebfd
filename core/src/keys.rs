//! The values of the cluster's other keys (`status`, `failover`, `sync`, `history`), byte-compatible with
//! Patroni 4.1.5: what is written, and what is understood when it was written by somebody else.
//! A value that makes no sense reads as nothing, never as a default that would turn something off.

use crate::lsn::Lsn;
use crate::name::MemberName;
use crate::timeline::{TimelineHistory, TimelineId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub const LEADER: &str = "leader";
pub const INITIALIZE: &str = "initialize";
pub const CONFIG: &str = "config";
pub const STATUS: &str = "status";
pub const OPTIME_LEADER: &str = "optime/leader";
pub const FAILOVER: &str = "failover";
pub const SYNC: &str = "sync";
pub const HISTORY: &str = "history";
pub const FAILSAFE: &str = "failsafe";
pub const MEMBERS: &str = "members/";

/// The key of a member.
pub fn member_key(name: &MemberName) -> String {
    [MEMBERS, name.as_str()].concat()
}

/// `status`: how far the leader's WAL goes, and what its slots hold back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub optime: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<BTreeMap<String, u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_slots: Option<Vec<String>>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Status {
    /// A bare integer is the oldest form and means `optime`.
    pub fn parse(text: &str) -> Option<Status> {
        if let Some(whole) = Some(text)
            .filter(|text| text.trim_start().starts_with('{'))
            .and_then(|text| serde_json::from_str(text).ok())
        {
            return Some(whole);
        }
        match serde_json::from_str(text).ok()? {
            Value::Number(n) => Some(Status {
                optime: n.as_u64()?,
                ..Status::default()
            }),
            Value::Object(m) => {
                let optime = m.get("optime").and_then(Value::as_u64)?;
                let whole = serde_json::from_value(Value::Object(m));
                Some(whole.unwrap_or(Status {
                    optime,
                    ..Status::default()
                }))
            }
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn position(&self) -> Lsn {
        Lsn(self.optime)
    }
}

/// `failover`: what somebody asked for. With `leader` a switchover, with only `member` a failover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverKey {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<MemberName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberName>,
    /// ISO 8601 with offset, as given; interpreted outside (`Scheduled`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl FailoverKey {
    /// `None`: nothing is asked for (`{}`, empty) or it cannot be read. `LEADER:CANDIDATE` is the oldest form.
    pub fn parse(text: &str) -> Option<FailoverKey> {
        let name = |s: &str| (!s.trim().is_empty()).then(|| MemberName::from(s.trim()));
        let key = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(mut m)) => {
                m.retain(|_, v| !v.is_null());
                let mut key: FailoverKey = serde_json::from_value(Value::Object(m)).ok()?;
                key.leader = key.leader.filter(|n| !n.as_str().is_empty());
                key.member = key.member.filter(|n| !n.as_str().is_empty());
                key
            }
            Ok(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_),
            ) => return None,
            Err(_) => {
                let (leader, member) = text.split_once(':')?;
                if text.contains(['{', '"']) {
                    return None;
                }
                FailoverKey {
                    leader: name(leader),
                    member: name(member),
                    ..FailoverKey::default()
                }
            }
        };
        (key.leader.is_some() || key.member.is_some()).then_some(key)
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// `sync`: who may be promoted while synchronous replication is on. This build only reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncKey {
    #[serde(default)]
    pub leader: Option<MemberName>,
    #[serde(default)]
    pub quorum: Option<u64>,
    #[serde(default)]
    pub sync_standby: Option<String>,
}

impl SyncKey {
    pub fn parse(text: &str) -> Option<SyncKey> {
        serde_json::from_str(text).ok()
    }

    /// Synchronous mode is in force as long as somebody is named as its leader.
    pub fn is_active(&self) -> bool {
        self.leader.as_ref().is_some_and(|l| !l.as_str().is_empty())
    }

    /// `name` is one of the standbys listed. PostgreSQL compares application names without regard to case.
    pub fn names_standby(&self, name: &MemberName) -> bool {
        let listed = self.sync_standby.as_deref().unwrap_or_default();
        self.is_active()
            && listed
                .split(',')
                .any(|n| n.trim().eq_ignore_ascii_case(name.as_str()))
    }
}

/// One row of `history`: `timeline` ended at `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    pub timeline: TimelineId,
    pub end: Lsn,
    pub reason: String,
    pub at: Option<String>,
    pub new_leader: Option<MemberName>,
}

/// `history`: `[[1,50639880,"no recovery target specified","2026-..","n2"],...]`; `[]` on timeline 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryKey {
    pub rows: Vec<HistoryRow>,
}

impl HistoryRow {
    fn is_of_another(&self, me: &MemberName) -> bool {
        self.new_leader.as_ref().is_some_and(|name| name != me)
    }
}

/// The timeline that begins at this fork: my own, or one that I have opened?
fn is_mine(local: &TimelineHistory, at_fork: usize, opened: &[TimelineId]) -> bool {
    let next = local.forks.get(at_fork + 1).map(|fork| fork.parent);
    next.is_none_or(|timeline| opened.contains(&timeline))
}

impl HistoryKey {
    /// Rows of 3 to 5 columns; anything else is unreadable as a whole, since a hole would hide a fork.
    pub fn parse(text: &str) -> Option<HistoryKey> {
        let Value::Array(rows) = serde_json::from_str(text).ok()? else {
            return None;
        };
        rows.iter()
            .map(HistoryKey::row)
            .collect::<Option<Vec<_>>>()
            .map(|rows| HistoryKey { rows })
    }

    fn row(row: &Value) -> Option<HistoryRow> {
        let columns = row.as_array()?;
        let text = |i: usize| columns.get(i).and_then(Value::as_str).map(str::to_string);
        Some(HistoryRow {
            timeline: TimelineId(u32::try_from(columns.first()?.as_u64()?).ok()?),
            end: Lsn(columns.get(1)?.as_u64()?),
            reason: text(2)?,
            at: text(3),
            new_leader: text(4).map(MemberName),
        })
    }

    pub fn to_text(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let mut columns = vec![
                row.timeline.0.into(),
                row.end.0.into(),
                row.reason.clone().into(),
            ];
            // A leader stands in the fifth column, and is none of the fourth where nobody knows the time.
            if row.at.is_some() || row.new_leader.is_some() {
                columns.push(row.at.clone().into());
            }
            columns.extend(
                row.new_leader
                    .iter()
                    .map(|name| Value::from(name.0.clone())),
            );
            Value::Array(columns)
        });
        Value::Array(rows.collect()).to_string()
    }

    /// The cluster's timeline: one past the last recorded end.
    pub fn timeline(&self) -> TimelineId {
        TimelineId(
            self.rows
                .last()
                .map_or(1, |row| row.timeline.0.saturating_add(1)),
        )
    }

    /// Where `timeline` ended, as recorded.
    pub fn end_of(&self, timeline: TimelineId) -> Option<Lsn> {
        self.rows
            .iter()
            .find(|row| row.timeline == timeline)
            .map(|row| row.end)
    }

    /// Who promoted to `timeline`, as recorded; `None` also for a number that is not of the cluster's line. Its parent
    /// need not be the number before it: one that a promotion gave away and left is skipped.
    pub fn promoter_of(&self, timeline: TimelineId) -> Option<&MemberName> {
        let of_line = timeline == self.timeline() || self.end_of(timeline).is_some();
        let parent = self.rows.iter().rev().find(|row| row.timeline < timeline);
        parent?.new_leader.as_ref().filter(|_| of_line)
    }

    /// What the key should say for a primary with this history: rows with an equal end keep their time
    /// and leader, the newest gets `at` and `new_leader`. Two members may have promoted from the very same position,
    /// each to its own timeline of that number: the one that leads now is the one that counts. `opened`: timelines that
    /// it knows to have opened itself, in promotions that died before they could be told as well.
    pub fn rebuilt(
        &self,
        local: &TimelineHistory,
        opened: &[TimelineId],
        at: &str,
        new_leader: &MemberName,
        rows_max: u64,
    ) -> HistoryKey {
        let mut rows: Vec<HistoryRow> = Vec::new();
        for (at_fork, fork) in local.forks.iter().enumerate() {
            let stored = self
                .rows
                .iter()
                .find(|r| r.timeline == fork.parent && r.end == fork.end);
            let mine = is_mine(local, at_fork, opened);
            let others = |r: &HistoryRow| r.is_of_another(new_leader);
            let stored = stored.filter(|r| !(mine && others(r)));
            rows.push(HistoryRow {
                timeline: fork.parent,
                end: fork.end,
                reason: fork.reason.clone(),
                at: stored
                    .and_then(|r| r.at.clone())
                    .or_else(|| mine.then(|| at.to_string())),
                new_leader: stored
                    .and_then(|r| r.new_leader.clone())
                    .or_else(|| mine.then(|| new_leader.clone())),
            });
        }
        let surplus = if rows_max == 0 {
            0
        } else {
            rows.len().saturating_sub(rows_max as usize)
        };
        HistoryKey {
            rows: rows.split_off(surplus),
        }
    }

    /// Would it be rebuilt to the same forks, with the same promoters? A time stamp is new only once.
    pub fn tells(
        &self,
        local: &TimelineHistory,
        opened: &[TimelineId],
        me: &MemberName,
        rows_max: u64,
    ) -> bool {
        let surplus = match rows_max {
            0 => 0,
            most => local.forks.len().saturating_sub(most as usize),
        };
        let told = |(at, row): (usize, &HistoryRow)| {
            let fork = &local.forks[surplus + at];
            let others = is_mine(local, surplus + at, opened) && row.is_of_another(me);
            (row.timeline, row.end) == (fork.parent, fork.end) && !others
        };
        self.rows.len() == local.forks.len() - surplus && self.rows.iter().enumerate().all(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Fork;

    #[test]
    fn patronis_recorded_values_survive_a_round_trip() {
        let status = r#"{"optime":50331784,"slots":{"n1":50331784,"n2":50331784},"retain_slots":["n1","n2"]}"#;
        assert_eq!(Status::parse(status).unwrap().to_text(), status);
        let failover = r#"{"leader":"n1","member":"n2"}"#;
        assert_eq!(FailoverKey::parse(failover).unwrap().to_text(), failover);
        let history = r#"[[1,50639880,"no recovery target specified","2026-11-22T19:25:29.662657+00:00","n2"]]"#;
        assert_eq!(HistoryKey::parse(history).unwrap().to_text(), history);
    }

    #[test]
    fn older_forms_are_read() {
        assert_eq!(Status::parse("42").unwrap().optime, 42);
        assert_eq!(FailoverKey::parse("a:b").unwrap().member, Some("b".into()));
        assert_eq!(FailoverKey::parse(":b").unwrap().leader, None);
        assert_eq!(
            HistoryKey::parse(r#"[[1,5,"why"]]"#).unwrap().rows[0].at,
            None
        );
    }

    #[test]
    fn nothing_asked_for_and_garbage_read_as_nothing() {
        for text in [
            "{}",
            "",
            "null",
            "[]",
            r#"{"leader":null}"#,
            r#"{"leader":5}"#,
            "{",
            r#"{"leader":""}"#,
        ] {
            assert_eq!(FailoverKey::parse(text), None, "{text}");
        }
        for text in ["", "{}", "\"x\"", r#"{"optime":"x"}"#] {
            assert_eq!(Status::parse(text), None, "{text}");
        }
        for text in ["", "{}", "[1]", r#"[["x",1,"r"]]"#] {
            assert_eq!(HistoryKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_rebuilt_history_keeps_what_was_recorded_and_names_the_newest_leader() {
        let fork = |parent, end| Fork {
            parent: TimelineId(parent),
            end: Lsn(end),
            reason: "r".into(),
        };
        let local = TimelineHistory {
            timeline: TimelineId(3),
            forks: vec![fork(1, 10), fork(2, 20)],
        };
        let stored = HistoryKey::parse(r#"[[1,10,"r","then","a"]]"#).unwrap();
        let rebuilt = stored.rebuilt(&local, &[], "now", &"b".into(), 0);
        assert_eq!(
            rebuilt.to_text(),
            r#"[[1,10,"r","then","a"],[2,20,"r","now","b"]]"#
        );
        assert_eq!(rebuilt.promoter_of(TimelineId(3)), Some(&"b".into()));
        let newest = stored.rebuilt(&local, &[], "now", &"b".into(), 1);
        assert_eq!(newest.rows.len(), 1);
        let twin = rebuilt.rebuilt(&local, &[], "later", &"c".into(), 0);
        assert_eq!(twin.promoter_of(TimelineId(3)), Some(&"c".into()));
        // Its promotion to 2 died before anybody was told of it.
        let opened = [TimelineId(2), TimelineId(3)];
        let told = HistoryKey::default().rebuilt(&local, &opened, "now", &"b".into(), 0);
        assert_eq!(told.promoter_of(TimelineId(2)), Some(&"b".into()));
        assert_eq!(HistoryKey::parse(&told.to_text()), Some(told));
        assert_eq!(
            stored
                .rebuilt(&local, &opened, "now", &"b".into(), 0)
                .promoter_of(TimelineId(2)),
            Some(&"b".into()),
            "another's timeline of that number is not the one that is led from now on"
        );
    }
}
