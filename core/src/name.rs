//! The names of things: members, requests, effects. Knows nothing of what they name.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// PostgreSQL's limit for the name of a slot.
const SLOT_NAME_MAX: usize = 63;

/// A member's name: unique in its cluster, the value of the leader key, the standby's `application_name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberName(pub String);

impl MemberName {
    pub fn new(name: impl Into<String>) -> MemberName {
        MemberName(name.into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The physical replication slot of this member, by Patroni's rule: lower case, `-` and `.` become `_`,
    /// any other character outside `[a-z0-9_]` becomes `u` and its four-digit decimal code point, cut to 63.
    pub fn slot_name(&self) -> String {
        let mut slot = String::new();
        for c in self.0.to_lowercase().chars() {
            match c {
                'a'..='z' | '0'..='9' | '_' => slot.push(c),
                '-' | '.' => slot.push('_'),
                other => slot.push_str(&format!("u{:04}", other as u32)),
            }
        }
        slot.truncate(SLOT_NAME_MAX);
        slot
    }

    /// The same, borrowed where the name is its slot's, as most are.
    pub fn slot(&self) -> Cow<'_, str> {
        let kept = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_');
        match self.0.len() <= SLOT_NAME_MAX && self.0.bytes().all(kept) {
            true => Cow::Borrowed(&self.0),
            false => Cow::Owned(self.slot_name()),
        }
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for MemberName {
    fn from(name: &str) -> MemberName {
        MemberName(name.to_string())
    }
}

/// Identifies one effect; its completion comes back with the same number. Increasing within one agent's life.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct OpId(pub u64);

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Identifies one operator request for as long as anybody may ask for its outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One tenure of the leader key: the store's create revision of the key. Grows from owner to owner.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Term(pub i64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_names_follow_patronis_rule() {
        for (name, slot) in [
            ("node-1.a", "node_1_a"),
            ("Ä", "u0228"),
            ("A b", "au0032b"),
            ("pg_0", "pg_0"),
        ] {
            assert_eq!(MemberName::from(name).slot_name(), slot);
            assert_eq!(MemberName::from(name).slot(), slot);
        }
        let long = MemberName::new("x".repeat(80));
        assert_eq!(long.slot_name().len(), 63);
        assert_eq!(long.slot(), long.slot_name());
    }
}
