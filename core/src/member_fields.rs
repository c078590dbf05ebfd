//! Reads the fields of a member key in one go: every member reads every other one's key whenever it moves. A derived reader
//! would first put aside whatever it does not know, and take it apart again. Knows nothing of what the fields mean.

use crate::member::MemberData;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::fmt;

enum Field {
    ConnUrl,
    ApiUrl,
    State,
    Role,
    Version,
    ProxyUrl,
    CheckpointAfterPromote,
    Tags,
    PendingRestart,
    XlogLocation,
    ReplayLsn,
    ReceiveLsn,
    ReplicationState,
    Timeline,
    Pause,
    /// Of another agent, or our own.
    Other(String),
}

impl From<&str> for Field {
    fn from(name: &str) -> Field {
        match name {
            "conn_url" => Field::ConnUrl,
            "api_url" => Field::ApiUrl,
            "state" => Field::State,
            "role" => Field::Role,
            "version" => Field::Version,
            "proxy_url" => Field::ProxyUrl,
            "checkpoint_after_promote" => Field::CheckpointAfterPromote,
            "tags" => Field::Tags,
            "pending_restart" => Field::PendingRestart,
            "xlog_location" => Field::XlogLocation,
            "replay_lsn" => Field::ReplayLsn,
            "receive_lsn" => Field::ReceiveLsn,
            "replication_state" => Field::ReplicationState,
            "timeline" => Field::Timeline,
            "pause" => Field::Pause,
            other => Field::Other(other.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Field, D::Error> {
        from.deserialize_identifier(FieldName)
    }
}

struct FieldName;

impl Visitor<'_> for FieldName {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Field, E> {
        Ok(Field::from(name))
    }
}

impl<'de> Deserialize<'de> for MemberData {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<MemberData, D::Error> {
        from.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = MemberData;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MemberData, A::Error> {
        let mut data = MemberData::default();
        while let Some(field) = map.next_key()? {
            match field {
                Field::ConnUrl => read(&mut data.conn_url, &mut map)?,
                Field::ApiUrl => read(&mut data.api_url, &mut map)?,
                Field::State => read(&mut data.state, &mut map)?,
                Field::Role => read(&mut data.role, &mut map)?,
                Field::Version => read(&mut data.version, &mut map)?,
                Field::ProxyUrl => read(&mut data.proxy_url, &mut map)?,
                Field::CheckpointAfterPromote => {
                    read(&mut data.checkpoint_after_promote, &mut map)?
                }
                Field::Tags => read(&mut data.tags, &mut map)?,
                Field::PendingRestart => read(&mut data.pending_restart, &mut map)?,
                Field::XlogLocation => read(&mut data.xlog_location, &mut map)?,
                Field::ReplayLsn => read(&mut data.replay_lsn, &mut map)?,
                Field::ReceiveLsn => read(&mut data.receive_lsn, &mut map)?,
                Field::ReplicationState => read(&mut data.replication_state, &mut map)?,
                Field::Timeline => read(&mut data.timeline, &mut map)?,
                Field::Pause => read(&mut data.pause, &mut map)?,
                Field::Other(name) => {
                    data.other.insert(name, map.next_value()?);
                }
            }
        }
        Ok(data)
    }
}

/// Which of two values of one field was meant, nobody knows here.
fn read<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    field: &mut Option<T>,
    map: &mut A,
) -> Result<(), A::Error> {
    if field.is_some() {
        return Err(A::Error::custom("a field is there twice"));
    }
    *field = map.next_value()?;
    Ok(())
}
