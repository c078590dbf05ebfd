//! When a leader's PostgreSQL that lets nobody in is ended: its postmaster hangs, and so do all who connect anew.
//! Knows nothing of processes; a look is over a fresh session, so that it sees what a new client sees.
//!
//! Sessions that are open already may go on, and a look over one of those would find nothing amiss (Patroni#1371). The
//! key is kept meanwhile. In the end the server is stopped and is from then on a primary that crashed: it starts in
//! place, which loses nothing, or hands over when that fails.

use crate::agent::Agent;
use crate::decision::{Decision, StopReason};
use crate::local::Server;
use crate::time::{Now, Span};

/// However little time a crashed primary is given, one look that took too long is no proof.
const LOOPS_AT_LEAST: u64 = 3;

impl Agent {
    /// How long a primary may leave every look unanswered: as long as it may take to come back from a crash.
    fn patience_with_silence(&self) -> Span {
        let config = &self.store.config;
        let at_least = config.timing.loop_wait.times(LOOPS_AT_LEAST);
        config.primary_start_timeout.max(at_least)
    }

    /// The stop of a leader's server that runs and does not answer.
    pub(crate) fn decide_silence(&self, now: Now) -> Option<Decision> {
        let after = now.mono.since(self.local.silent_since?);
        // Silent: its role was never learned by this life.
        let runs = matches!(self.local.server(), Server::Primary | Server::Silent);
        (runs && after >= self.patience_with_silence()).then(|| Decision::Stop {
            why: StopReason::LetsNobodyIn { after },
            plan: self.handover_stop_plan(now),
            checkpoint_first: false,
        })
    }
}
