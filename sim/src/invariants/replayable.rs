//! S29: the core is a function: the same start and the same inputs at the same times give the same outputs.
//! Every trace from production rests on that. Judged at the end of a run that keeps traces.

use super::Invariant;
use crate::world::World;
use tanist_core::agent::{Agent, Output};

impl World {
    /// Plays every agent's own inputs to a fresh agent.
    pub fn check_replays(&mut self) {
        let now = self.now();
        let traces = std::mem::take(&mut self.traces);
        for trace in &traces {
            let (settings, boot) = (trace.settings.clone(), trace.boot.clone());
            let mut agent = Agent::new(settings, boot, trace.seed, trace.born);
            let differs = trace.lines.iter().position(|(at, input, output)| {
                let mut out = Output::default();
                agent.handle(*at, input.clone(), &mut out);
                out != *output
            });
            let verdict = match differs {
                None => Ok(()),
                Some(line) => Err(format!(
                    "life {} of {} answers input {line} otherwise when replayed",
                    trace.life,
                    self.name(trace.seat)
                )),
            };
            self.oracle.judge(Invariant::Replayable, now, verdict);
        }
        self.traces = traces;
    }
}
