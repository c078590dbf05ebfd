//! S24: whatever the configuration says, the timings that an agent goes by fit together: `loop_wait + 2 x retry_timeout`
//! within `ttl`. Otherwise a renewal may come after the lease has run out, and a healthy primary is demoted again and
//! again.

use super::Invariant;
use crate::wire::Seat;
use crate::world::World;

impl World {
    pub(crate) fn check_timing(&mut self, seat: Seat) {
        let agent = self.hosts[seat.index()].agent.as_ref();
        let Some(agent) = agent.and_then(|agent| agent.agent.tanist()) else {
            return;
        };
        let timing = agent.timing();
        if timing.loop_wait + timing.retry_timeout.times(2) <= timing.ttl {
            return self.oracle.fine(Invariant::TimingFits);
        }
        let story = format!(
            "{} goes by ttl {}, loop_wait {}, retry_timeout {}",
            self.name(seat),
            timing.ttl,
            timing.loop_wait,
            timing.retry_timeout
        );
        let now = self.now();
        self.oracle.judge(Invariant::TimingFits, now, Err(story));
    }
}
