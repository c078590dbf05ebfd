//! L07: nothing spins. No instant of the run has more than a bounded number of steps, and no agent is told
//! more than a bounded number of things in ten seconds: one that asks, is answered, and asks the same again at
//! once would burn a processor in production and decide nothing.

use super::Invariant;
use crate::moment::Moment;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::agent::Output;
use tanist_core::time::Span;

/// Far above what the busiest instant of any sane run has.
const STEPS_IN_ONE_INSTANT_MAX: u64 = 20_000;

/// What agents and their answers amount to in the busiest ten seconds of a sane run, many times over.
const TOLD_IN_TEN_SECONDS_MAX: u64 = 3_000;
const WINDOW: Span = Span::secs(10);

/// How much an agent was told in the present window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    since: Moment,
    inputs: u64,
}

impl World {
    /// `seat`'s agent was told one more thing.
    pub(crate) fn check_pace(&mut self, seat: Seat, what: &str, out: &Output) {
        let now = self.now();
        let told = self.oracle.evidence.told.entry(seat).or_default();
        if now.since(told.since) >= WINDOW {
            *told = Told {
                since: now,
                inputs: 0,
            };
        }
        told.inputs += 1;
        if told.inputs > TOLD_IN_TEN_SECONDS_MAX {
            let inputs = told.inputs;
            let asked: Vec<_> = out.effects.iter().map(|effect| &effect.body).collect();
            let story = format!(
                "{} was told {inputs} things in ten seconds, at last {what}, upon which it asked for {asked:?}",
                self.name(seat)
            );
            self.oracle.judge(Invariant::Progress, now, Err(story));
        }
    }

    pub(crate) fn check_progress(&mut self) {
        let now = self.now();
        self.instant = match self.instant {
            (at, steps) if at == now => (at, steps + 1),
            _ => (now, 0),
        };
        if self.instant.1 < STEPS_IN_ONE_INSTANT_MAX {
            return self.oracle.fine(Invariant::Progress);
        }
        let wants =
            |host: &crate::host::Host| host.agent.as_ref().and_then(|a| a.agent.next_wakeup());
        let wants: Vec<_> = self.hosts.iter().map(wants).collect();
        let story = format!("time stands still; the agents want to be woken: {wants:?}");
        self.oracle.judge(Invariant::Progress, now, Err(story));
    }
}
