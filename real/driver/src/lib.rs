//! The loop around the core: wait for an input or the deadline, call `handle`, record, publish, start the effects.
//! Decides nothing, and knows no store, no PostgreSQL, no process: a [`Host`] does what the effects ask for.
//!
//! It needs tokio's time and channels only, so the same source runs under madsim.
//!
//! 1. A line is recorded before its effects start: what a recording lacks was not done.
//! 2. The view is published before them, too: who hears the answer to a request sees its result.
//! 3. A deadline that has passed comes before waiting inputs: a flood of inputs delays no deadline.

use std::time::Duration;
use tanist_core::agent::{Agent, Output, WakeReason};
use tanist_core::effect::{Effect, EffectBody};
use tanist_core::input::Input;
use tanist_core::time::{Mono, Now, Span};
use tanist_core::view::View;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;

/// Inputs handled in a row before deadlines are looked at again and other tasks run.
const BATCH: usize = 64;

/// The runtime's timers do not count suspend, the agent's clock does: after a suspend the deadline is
/// found to have passed within this time.
const SLEEP_MAX: Span = Span::secs(1);

/// A core that names a past deadline again after its wake-up is asked again after this, not at once.
const SLEEP_MIN: Span = Span::millis(1);

/// What the loop needs of a decision core. [`Agent`] is the one there is; tests script another.
pub trait Core {
    fn handle(&mut self, now: Now, input: Input, out: &mut Output);
    fn next_wakeup(&self) -> Option<(Mono, WakeReason)>;
    fn view(&self) -> View;
}

impl Core for Agent {
    fn handle(&mut self, now: Now, input: Input, out: &mut Output) {
        Agent::handle(self, now, input, out);
    }
    fn next_wakeup(&self) -> Option<(Mono, WakeReason)> {
        Agent::next_wakeup(self)
    }
    fn view(&self) -> View {
        Agent::view(self)
    }
}

/// The world around the core. None of these may block.
pub trait Host<C> {
    fn now(&self) -> Now;
    /// The input as the core may see it: what it sees is recorded.
    fn admit(&mut self, input: Input) -> Input {
        input
    }
    /// Begins the effect; its completion comes back as an input.
    fn start(&mut self, effect: Effect);
    /// `core` is the state that the input left.
    fn record(&mut self, now: Now, input: &Input, output: &Output, core: &C);
    fn publish(&mut self, view: View);
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The core asked for it; effects before it in the same output were started.
    Exit { code: u8 },
    /// Nobody is left who could send an input.
    InputsClosed,
}

/// Runs until the core exits.
pub async fn run<C: Core, H: Host<C>>(
    core: &mut C,
    host: &mut H,
    inputs: &mut UnboundedReceiver<Input>,
) -> Ended {
    let mut just_woken = false;
    loop {
        let due = until_wakeup(core, host.now().mono) == Some(Span::ZERO);
        if due && !just_woken {
            just_woken = true;
            match step(core, host, Input::Wakeup) {
                Some(ended) => return ended,
                None => continue,
            }
        }
        let wait = until_wakeup(core, host.now().mono)
            .unwrap_or(SLEEP_MAX)
            .min(SLEEP_MAX)
            .max(if just_woken { SLEEP_MIN } else { Span::ZERO });
        just_woken = false;
        tokio::select! {
            biased;
            input = inputs.recv() => match input {
                None => return Ended::InputsClosed,
                Some(first) => {
                    if let Some(ended) = batch(core, host, first, inputs) {
                        return ended;
                    }
                    tokio::task::yield_now().await;
                }
            },
            () = tokio::time::sleep(Duration::from_micros(wait.as_micros())) => {}
        }
    }
}

fn until_wakeup<C: Core>(core: &C, now: Mono) -> Option<Span> {
    core.next_wakeup().map(|(deadline, _)| deadline.since(now))
}

/// Handles `first` and what waits behind it, up to a bound.
fn batch<C: Core, H: Host<C>>(
    core: &mut C,
    host: &mut H,
    first: Input,
    inputs: &mut UnboundedReceiver<Input>,
) -> Option<Ended> {
    let mut next = first;
    for _ in 1..BATCH {
        let ended = step(core, host, next);
        if ended.is_some() {
            return ended;
        }
        next = match inputs.try_recv() {
            Ok(input) => input,
            // A closed channel is told by the next `recv`.
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
        };
    }
    step(core, host, next)
}

fn step<C: Core, H: Host<C>>(core: &mut C, host: &mut H, input: Input) -> Option<Ended> {
    let now = host.now();
    let input = host.admit(input);
    let mut output = Output::default();
    core.handle(now, input.clone(), &mut output);
    host.record(now, &input, &output, core);
    host.publish(core.view());
    let mut ended = None;
    for effect in output.effects {
        match effect.body {
            EffectBody::Exit { code } => ended = Some(Ended::Exit { code }),
            EffectBody::Dcs { .. }
            | EffectBody::Operation { .. }
            | EffectBody::Cancel { .. }
            | EffectBody::Side { .. }
            | EffectBody::Peer { .. }
            | EffectBody::Fencer(_)
            | EffectBody::Reply { .. } => host.start(effect),
        }
    }
    ended
}

#[cfg(test)]
mod tests;
