//! S14: a member that streams holds a prefix of what it streams from. PostgreSQL itself checks numbers and
//! positions only; a diverged standby on the same number would be fed onto an end that its upstream never
//! had, and its pages would be worthless without a word in any log. Rests on A3, A4, A5.

use super::assumptions::Assumption;
use super::{Invariant, Oracle};
use crate::moment::Moment;
use crate::wire::Seat;

impl Oracle {
    pub fn begins_to_stream(&mut self, seat: Seat, at: Moment, is_prefix: bool) {
        let sound = [
            Assumption::Store,
            Assumption::FreeRun,
            Assumption::DurableDisks,
        ];
        if !self.assumptions.hold(&sound) {
            return self.set_aside(Invariant::StreamingIsPrefix);
        }
        let story = || {
            format!(
                "member {} streams onto WAL that its upstream never had",
                seat.0
            )
        };
        let verdict = if is_prefix { Ok(()) } else { Err(story()) };
        self.judge(Invariant::StreamingIsPrefix, at, verdict);
    }
}
