//! What the agent tells: a closed enum, one variant a kind of event, rendered here and nowhere else.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// A new decision, with its reason in words.
    Decided(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Decided(text) => f.write_str(text),
        }
    }
}
