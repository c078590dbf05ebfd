//! Until when? A deadline on the clock that also counts suspend, as durations for tokio's timers.
//! Knows nothing of what waits for it.

use crate::clock;
use std::future::Future;
use std::time::Duration;
use tanist_core::time::{Mono, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Mono);

impl Deadline {
    pub fn at(until: Mono) -> Deadline {
        Deadline(until)
    }
    pub fn after(span: Span) -> Deadline {
        Deadline(clock::mono() + span)
    }
    pub fn earlier(self, other: Deadline) -> Deadline {
        Deadline(self.0.min(other.0))
    }
    pub fn later(self, by: Span) -> Deadline {
        Deadline(self.0 + by)
    }
    /// Zero when it has passed.
    pub fn left(self) -> Duration {
        Duration::from_micros(self.0.since(clock::mono()).as_micros())
    }
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }
    /// `None`: the deadline came first.
    pub async fn bound<F: Future>(self, work: F) -> Option<F::Output> {
        tokio::time::timeout(self.left(), work).await.ok()
    }
    /// Sleeps for `step`, but not past the deadline.
    pub async fn pause(self, step: Duration) {
        tokio::time::sleep(step.min(self.left())).await;
    }
}
