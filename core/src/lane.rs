//! The exclusive lane of the data directory: which operation runs, for which term, and how the last ones ended.
//! One at a time; issues nothing itself.

use crate::name::{OpId, Term};
use crate::postgres::{Ended, Operation};
use crate::time::{Mono, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InLane {
    pub op: OpId,
    pub operation: Operation,
    pub term: Option<Term>,
    pub since: Mono,
    pub phase: Option<String>,
    pub cancelled: bool,
}

/// How often in a row an operation has failed, and when it may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    pub count: u32,
    pub last: String,
    pub retry_at: Mono,
    /// The tenure for which the last one was begun.
    pub term: Option<Term>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    pub current: Option<InLane>,
    failures: BTreeMap<String, Failures>,
}

const FIRST_PAUSE: Span = Span::secs(1);
const LONGEST_PAUSE: Span = Span::secs(30);

impl Lane {
    pub fn is_free(&self) -> bool {
        self.current.is_none()
    }

    /// Ends the operation `op`; `None` when it is not the one in the lane.
    pub fn end(&mut self, op: OpId, now: Mono, ended: &Ended) -> Option<InLane> {
        if self.current.as_ref()?.op != op {
            return None;
        }
        let held = self.current.take()?;
        let verb = held.operation.verb().to_string();
        match ended {
            Ended::Done | Ended::Upstream(_) => {
                self.failures.remove(&verb);
            }
            Ended::Cancelled => {}
            Ended::Failed(why) => {
                let count = self
                    .failures
                    .get(&verb)
                    .map_or(0, |f| f.count)
                    .saturating_add(1);
                let pause = FIRST_PAUSE
                    .times(1 << (count - 1).min(5))
                    .min(LONGEST_PAUSE);
                self.failures.insert(
                    verb,
                    Failures {
                        count,
                        last: why.clone(),
                        retry_at: now + pause,
                        term: held.term,
                    },
                );
            }
        }
        Some(held)
    }

    pub fn failures(&self, verb: &str) -> Option<&Failures> {
        self.failures.get(verb)
    }

    pub fn failed(&self, verb: &str) -> u32 {
        self.failures.get(verb).map_or(0, |f| f.count)
    }

    /// Is `verb` in its pause after a failure?
    pub fn pausing(&self, verb: &str, now: Mono) -> Option<&Failures> {
        self.failures.get(verb).filter(|f| now < f.retry_at)
    }

    pub fn forget_failures(&mut self) {
        self.failures.clear();
    }

    pub fn retries(&self) -> impl Iterator<Item = Mono> + '_ {
        self.failures.values().map(|f| f.retry_at)
    }
}
