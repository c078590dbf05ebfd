//! An agent in a situation of somebody's making: what the store shows, what its PostgreSQL was found to be, and parts of
//! its own state put in place of what its life would have made of them.

use super::support::{at, settings};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tanist_core::agent::{Agent, Boot, Output};
use tanist_core::dcs::{KeyValue, LeaseId, Revision, Session, Snapshot};
use tanist_core::decision::Decision;
use tanist_core::lane::InLane;
use tanist_core::leader_key::Key;
use tanist_core::local::Local;
use tanist_core::lsn::Lsn;
use tanist_core::name::{OpId, Term};
use tanist_core::peer::PeerStatus;
use tanist_core::postgres::{
    ControlData, DataDir, DbState, Observation, Operation, Processes, Sql, SqlStatus, SystemId,
};
use tanist_core::store::Store;
use tanist_core::tenure::Resumption;
use tanist_core::time::{Mono, Now, Span};
use tanist_core::timeline::{TimelineHistory, TimelineId};

/// The member's present session, and the lease of anybody else's.
pub const MINE: LeaseId = LeaseId(7);
pub const THEIRS: LeaseId = LeaseId(8);
pub const TERM: Term = Term(3);
pub const SYSTEM: &str = "7711078574722072691";
/// The second of everything that is decided: the agent is a second old then.
pub const SECOND: u64 = 100;

pub fn mono(seconds: u64) -> Mono {
    at(seconds).mono
}

pub fn now() -> Now {
    at(SECOND)
}

/// The same with so many milliseconds more.
pub fn now_and(millis: u64) -> Now {
    let after = Span::millis(millis);
    Now {
        mono: now().mono + after,
        wall: now().wall.plus(after),
    }
}

pub fn json(of: impl Serialize) -> Value {
    serde_json::to_value(of).unwrap()
}

pub struct Situation {
    boot: Boot,
    keys: BTreeMap<String, KeyValue>,
    told: bool,
    observed: Vec<(u64, Observation)>,
    own: Vec<(String, Value)>,
}

impl Situation {
    /// The agent has just been born, and knows nothing.
    pub fn new() -> Situation {
        Situation {
            boot: Boot::default(),
            keys: BTreeMap::new(),
            told: false,
            observed: Vec::new(),
            own: Vec::new(),
        }
    }

    pub fn boot(mut self, boot: Boot) -> Situation {
        self.boot = boot;
        self
    }

    /// The store was read, and knows nothing yet but this.
    pub fn store(mut self, keys: &[(&str, &str)]) -> Situation {
        self.told = true;
        for (key, value) in keys {
            self = self.key(key, value, LeaseId::NONE);
        }
        self
    }

    /// One key of it, created at the revision of `TERM`.
    pub fn key(mut self, key: &str, value: &str, lease: LeaseId) -> Situation {
        let kv = KeyValue {
            value: value.into(),
            created: Revision(TERM.0),
            modified: Revision(TERM.0),
            lease,
        };
        self.told = true;
        self.keys.insert(key.into(), kv);
        self
    }

    /// The store has lost this key.
    pub fn without(mut self, key: &str) -> Situation {
        self.keys.remove(key);
        self
    }

    /// A cluster that has been founded, led by this member.
    pub fn led_by(self, leader: &str) -> Situation {
        let lease = if leader == "a" { MINE } else { THEIRS };
        self.key("leader", leader, lease)
            .store(&[("initialize", SYSTEM)])
    }

    /// Its PostgreSQL was found so, a moment ago.
    pub fn runs(self, observation: Observation) -> Situation {
        self.ran(SECOND, observation)
    }

    /// And so at this second.
    pub fn ran(mut self, second: u64, observation: Observation) -> Situation {
        self.observed.push((second, observation));
        self
    }

    /// `field` of the agent's state (`tenure/key`) is this.
    pub fn has(mut self, field: &str, value: impl Serialize) -> Situation {
        self.own.push((field.into(), json(value)));
        self
    }

    /// It has a session, renewed at this second, and has looked for an earlier one.
    pub fn in_session(self) -> Situation {
        self.has("tenure/session", session(SECOND))
            .has("tenure/resumption", Resumption::Over)
    }

    /// It holds the leader key, by the store's word.
    pub fn leads(self) -> Situation {
        self.led_by("a")
            .in_session()
            .has("tenure/key", Key::Held { term: TERM })
            .has("tenure/proven", true)
            .has("tenure/may_adopt", Value::Null)
            .has("settings/safety/fencer", "Off")
    }

    pub fn agent(self) -> Agent {
        let mut state = json(Agent::new(settings(), self.boot, 7, at(SECOND - 1)));
        if self.told {
            state["store"] = json(read(&self.keys));
        }
        if !self.observed.is_empty() {
            let mut local = Local::new(mono(SECOND - 1));
            for (second, observation) in self.observed {
                local.observe(mono(second), observation);
            }
            state["local"] = json(local);
        }
        for (field, value) in self.own {
            let place = state.pointer_mut(&format!("/{field}"));
            *place.unwrap_or_else(|| panic!("{field} is no field of the agent")) = value;
        }
        serde_json::from_value(state).unwrap()
    }

    pub fn decides(self) -> Decision {
        self.agent().decide(now())
    }
}

fn read(keys: &BTreeMap<String, KeyValue>) -> Store {
    let snapshot = Snapshot {
        revision: Revision(9),
        keys: keys.clone(),
    };
    let mut store = Store::default();
    // Nobody has led since before it was read through the quorum.
    let at_first = at(SECOND - 2);
    store.read(at_first, mono(SECOND - 1), snapshot, false, &mut Vec::new());
    store
}

/// Of thirty seconds.
pub fn session(renewed_at: u64) -> Session {
    Session {
        lease: MINE,
        ttl: Span::secs(30),
        renewed_at: mono(renewed_at),
    }
}

/// What one duty asks for and tells.
pub fn out(of: impl FnOnce(&mut Output)) -> Output {
    let mut out = Output::default();
    of(&mut out);
    out
}

pub fn control(state: DbState) -> ControlData {
    ControlData {
        system_id: SystemId(SYSTEM.into()),
        state,
        checkpoint: Lsn(50_331_000),
        timeline: TimelineId(1),
        min_recovery_end: Lsn(0),
        min_recovery_timeline: TimelineId(0),
        wal_log_hints: true,
        data_checksums: true,
        standby_minimums: BTreeMap::new(),
    }
}

/// Nothing runs on this directory.
pub fn down(data_dir: DataDir) -> Observation {
    Observation {
        data_dir,
        processes: Processes::default(),
        sql: Sql::NotRunning,
        history: TimelineHistory::bare(TimelineId(1)),
        other_lines: Vec::new(),
        promoted: Vec::new(),
        standby_signal: false,
        roles_owed: false,
        led_last: false,
        copy: None,
    }
}

pub fn stopped(state: DbState) -> Observation {
    down(DataDir::Present(control(state)))
}

/// A postmaster with two processes that answers so.
pub fn server(state: DbState, sql: Sql) -> Observation {
    Observation {
        processes: Processes {
            postmaster: Some(77),
            backends: 2,
        },
        sql,
        ..stopped(state)
    }
}

pub fn primary(status: SqlStatus) -> Observation {
    server(DbState::InProduction, Sql::Answered(status))
}

pub fn standby(status: SqlStatus) -> Observation {
    Observation {
        standby_signal: true,
        ..server(DbState::InArchiveRecovery, Sql::Answered(status))
    }
}

/// The member key of a standby that streams, in Tanist's words.
pub fn member(api: u16) -> String {
    serde_json::json!({
        "conn_url": "postgres://127.0.0.1:5432/postgres",
        "api_url": format!("http://127.0.0.1:{api}/patroni"),
        "state": "running", "role": "replica", "version": "4.1.5",
        "xlog_location": 50_331_784u64, "timeline": 1, "tanist": "0.1.0"
    })
    .to_string()
}

/// What a standby says that runs, streams from nobody and sees no leader.
pub fn follower(position: u64) -> PeerStatus {
    PeerStatus {
        state: "running".into(),
        role: "replica".into(),
        in_recovery: true,
        timeline: Some(TimelineId(1)),
        position: Lsn(position),
        nofailover: false,
        failover_priority: 1,
        watchdog_failed: false,
        streaming: false,
        replay_paused: false,
        sees_leader: false,
    }
}

/// An operation that was begun in this tenure.
pub fn under_way(op: OpId, operation: Operation) -> InLane {
    InLane {
        op,
        operation,
        term: Some(TERM),
        since: mono(SECOND),
        phase: None,
        cancelled: false,
    }
}
