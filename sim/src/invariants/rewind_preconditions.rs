//! S15: `pg_rewind` runs only against a source that shows its own timeline in its control file, and a directory in the
//! middle of a rewind or of a base backup is never started. (From a source in recovery the adapter refuses to rewind.)
//!
//! Why the control file: `pg_rewind` compares the two control files' timelines and does nothing when they
//! are equal. Right after a promotion the source's file still shows the old timeline, the tool says "no
//! rewind required", and the diverged member starts with its tail.

use super::{Invariant, Oracle};
use crate::moment::Moment;
use crate::pg::instance::Layout;
use crate::wire::Seat;

/// Whether a rewind's source was fit for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Ready,
    /// Its control file shows another timeline than the one that it writes.
    ControlFileLags,
}

impl Oracle {
    pub fn rewinds(&mut self, seat: Seat, source: Source, at: Moment) {
        let verdict = match source {
            Source::Ready => Ok(()),
            Source::ControlFileLags => Err(format!(
                "member {} is rewound against a source whose control file lags its promotion",
                seat.0
            )),
        };
        self.judge(Invariant::RewindPreconditions, at, verdict);
    }

    pub fn starts(&mut self, seat: Seat, layout: Layout, at: Moment) {
        let verdict = match layout {
            Layout::Cluster | Layout::Empty => Ok(()),
            Layout::HalfRewound => Err(format!("member {} starts half rewound", seat.0)),
            Layout::HalfCloned => Err(format!("member {} starts half cloned", seat.0)),
        };
        self.judge(Invariant::RewindPreconditions, at, verdict);
    }
}
