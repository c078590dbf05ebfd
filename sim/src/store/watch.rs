//! The log of changes that watches read from, and its compaction.
//! Knows nothing of who watches.

use super::Change;
use std::collections::VecDeque;
use tanist_core::dcs::Revision;

/// Changes kept for watches that begin in the past.
const KEPT: usize = 256;

#[derive(Clone, Debug, Default)]
pub struct ChangeLog {
    changes: VecDeque<Change>,
    /// Nothing at or before this revision can be watched any more.
    compacted: Revision,
}

/// What a watch that begins after `revision` gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    Changes(Vec<Change>),
    /// What it asks for is gone; it must list anew.
    Compacted,
}

impl ChangeLog {
    pub fn push(&mut self, change: &Change) {
        if self.changes.len() == KEPT
            && let Some(dropped) = self.changes.pop_front()
        {
            self.compacted = dropped.revision;
        }
        self.changes.push_back(change.clone());
    }

    pub fn compact(&mut self) {
        if let Some(last) = self.changes.back() {
            self.compacted = last.revision;
        }
        self.changes.clear();
    }

    pub fn since(&self, revision: Revision) -> Since {
        if revision < self.compacted {
            return Since::Compacted;
        }
        let later = self
            .changes
            .iter()
            .filter(|change| change.revision > revision);
        Since::Changes(later.cloned().collect())
    }
}
