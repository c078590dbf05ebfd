//! What this member has to say of itself in its member key, borrowed from where it is known. It is compared with what was
//! written after every input, and becomes a value of its own only when it is to be written.
//! Knows nothing of when that is.

use crate::member::{
    ACCEPTS_FIELD, COPY_FIELD, INSTANCE_FIELD, MemberData, instance_text, is_instance_text,
};
use crate::name::MemberName;
use crate::postgres::{CopyId, SqlStatus};
use crate::settings::Settings;
use crate::view::{Role, State};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The version published in the member key: Patroni peers compare it as dotted integers to choose a protocol.
pub const PROTOCOL_VERSION: &str = "4.1.5";
/// Its value is the version of this core.
const TANIST_FIELD: &str = "tanist";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Clone, Copy, Debug)]
pub struct OwnMember<'a> {
    pub settings: &'a Settings,
    pub state: State,
    pub role: Role,
    pub paused: bool,
    /// What the server answered, if it did.
    pub status: Option<&'a SqlStatus>,
    /// It leads, and nobody can be rewound from it yet.
    pub awaits_checkpoint: bool,
    pub copy: Option<&'a CopyId>,
    pub instance: u64,
    pub accepts: &'a BTreeMap<MemberName, CopyId>,
}

/// How it relates to what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    Same,
    /// But for the positions, which move all the time.
    Alike,
    Otherwise,
}

/// Where the server is in the WAL, as the member key tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Positions {
    xlog_location: Option<u64>,
    replay_lsn: Option<u64>,
    receive_lsn: Option<u64>,
}

impl OwnMember<'_> {
    pub fn data(&self) -> MemberData {
        let settings = self.settings;
        let positions = self.positions();
        MemberData {
            conn_url: Some(settings.conn_url.clone()),
            api_url: Some(settings.api_url.clone()),
            state: Some(self.state.word().into()),
            role: Some(self.role.word().into()),
            version: Some(PROTOCOL_VERSION.into()),
            proxy_url: settings.proxy_url.clone(),
            checkpoint_after_promote: self.checkpoint_after_promote(),
            tags: self.tags().cloned(),
            pending_restart: self.pending_restart(),
            xlog_location: positions.xlog_location,
            replay_lsn: positions.replay_lsn,
            receive_lsn: positions.receive_lsn,
            replication_state: self.replication_state().map(str::to_string),
            timeline: self.timeline(),
            pause: self.pause(),
            other: self.own_fields(),
        }
    }

    /// The same answer as a comparison with `data()`, which is not made for it.
    pub fn compared_with(&self, written: &MemberData) -> Compared {
        let MemberData {
            conn_url,
            api_url,
            state,
            role,
            version,
            proxy_url,
            checkpoint_after_promote,
            tags,
            pending_restart,
            xlog_location,
            replay_lsn,
            receive_lsn,
            replication_state,
            timeline,
            pause,
            other,
        } = written;
        let settings = self.settings;
        let alike = state.as_deref() == Some(self.state.word())
            && role.as_deref() == Some(self.role.word())
            && *timeline == self.timeline()
            && replication_state.as_deref() == self.replication_state()
            && *checkpoint_after_promote == self.checkpoint_after_promote()
            && *pending_restart == self.pending_restart()
            && *pause == self.pause()
            && self.has_own_fields(other)
            && tags.as_ref() == self.tags()
            && conn_url.as_ref() == Some(&settings.conn_url)
            && api_url.as_ref() == Some(&settings.api_url)
            && *proxy_url == settings.proxy_url
            && version.as_deref() == Some(PROTOCOL_VERSION);
        let positions = Positions {
            xlog_location: *xlog_location,
            replay_lsn: *replay_lsn,
            receive_lsn: *receive_lsn,
        };
        match (alike, positions == self.positions()) {
            (true, true) => Compared::Same,
            (true, false) => Compared::Alike,
            (false, _) => Compared::Otherwise,
        }
    }

    fn tags(&self) -> Option<&Map<String, Value>> {
        Some(&self.settings.tags).filter(|tags| !tags.is_empty())
    }

    fn pause(&self) -> Option<bool> {
        self.paused.then_some(true)
    }

    fn checkpoint_after_promote(&self) -> Option<bool> {
        self.awaits_checkpoint.then_some(false)
    }

    fn pending_restart(&self) -> Option<bool> {
        self.status?.pending_restart.then_some(true)
    }

    fn timeline(&self) -> Option<u32> {
        self.status.map(|status| status.timeline.0)
    }

    fn replication_state(&self) -> Option<&'static str> {
        let status = self.status?;
        (status.in_recovery && status.streaming).then_some("streaming")
    }

    fn positions(&self) -> Positions {
        let Some(status) = self.status else {
            return Positions::default();
        };
        if !status.in_recovery {
            return Positions {
                xlog_location: Some(status.written.0),
                ..Positions::default()
            };
        }
        Positions {
            xlog_location: Some(status.received.max(status.replayed).0),
            replay_lsn: Some(status.replayed.0).filter(|lsn| *lsn != 0),
            receive_lsn: Some(status.received.0).filter(|lsn| *lsn != 0),
        }
    }

    /// What only another Tanist reads.
    fn own_fields(&self) -> Map<String, Value> {
        let mut own = Map::new();
        own.insert(TANIST_FIELD.into(), json!(VERSION));
        if let Some(copy) = self.copy {
            own.insert(COPY_FIELD.into(), json!(copy));
        }
        if self.instance != 0 {
            own.insert(INSTANCE_FIELD.into(), json!(instance_text(self.instance)));
        }
        own.insert(ACCEPTS_FIELD.into(), json!(self.accepts));
        own
    }

    fn has_own_fields(&self, written: &Map<String, Value>) -> bool {
        let text = |field: &str| written.get(field).and_then(Value::as_str);
        let instance = Some(self.instance).filter(|instance| *instance != 0);
        let fields = 2 + usize::from(self.copy.is_some()) + usize::from(instance.is_some());
        let accepts = written.get(ACCEPTS_FIELD).and_then(Value::as_object);
        written.len() == fields
            && text(TANIST_FIELD) == Some(VERSION)
            && self
                .copy
                .is_none_or(|copy| text(COPY_FIELD) == Some(&copy.0))
            && instance.is_none_or(|instance| {
                text(INSTANCE_FIELD).is_some_and(|text| is_instance_text(text, instance))
            })
            && accepts.is_some_and(|accepts| self.accepts_the_same(accepts))
    }

    fn accepts_the_same(&self, written: &Map<String, Value>) -> bool {
        // Both are in the order of their names.
        let pairs = self.accepts.iter().zip(written);
        let same = |((mine, copy), (name, value)): ((&MemberName, &CopyId), (&String, &Value))| {
            mine.0 == *name && value.as_str() == Some(&copy.0)
        };
        self.accepts.len() == written.len() && pairs.into_iter().all(same)
    }
}
