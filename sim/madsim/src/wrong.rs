//! Drivers that are wrong in one way each: what proves that this tier can fail. A plain loop of its own, so
//! that the production driver has no switches; without a flaw it must pass as the production driver does.
//! Knows nothing of who judges it.

use std::time::Duration;
use tanist_core::agent::{Agent, Output};
use tanist_core::effect::EffectBody;
use tanist_core::input::Input;
use tanist_core::time::{Now, Span};
use tanist_driver::{Ended, Host};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::yield_now;

/// Who calls the agents' core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    Production,
    Wrong(Flaw),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The loop of this file as it should be.
    None,
    /// Effects start before the line that tells of them.
    EffectsBeforeTheirLine,
    /// Effects start before the view that shows their cause.
    EffectsBeforeTheirView,
    /// The last effect of an output is started first.
    EffectsInAnotherOrder,
    /// Nobody looks at the core's deadline.
    DeadlinesDropped,
    /// Every completion is handed in twice.
    InputsTwice,
    /// An input that was received is awaited over once more; a timer that comes first drops it.
    InputsLostAtAnAwait,
    /// The clock is read before the wait instead of after it.
    ClockReadBeforeTheWait,
}

/// Runs until the core exits.
pub async fn run<H: Host<Agent>>(
    flaw: Flaw,
    core: &mut Agent,
    host: &mut H,
    inputs: &mut UnboundedReceiver<Input>,
) -> Ended {
    loop {
        let began = host.now();
        let wait = match core.next_wakeup() {
            Some((deadline, _)) if flaw != Flaw::DeadlinesDropped => deadline.since(began.mono),
            Some(_) | None => Span::secs(1),
        };
        let next = tokio::select! {
            biased;
            input = receive(flaw, inputs), if wait > Span::ZERO => input,
            () = tokio::time::sleep(Duration::from_micros(wait.as_micros())) => {
                let now = host.now().mono;
                let due = core.next_wakeup().is_some_and(|(deadline, _)| deadline <= now);
                match due && flaw != Flaw::DeadlinesDropped {
                    true => Some(Input::Wakeup),
                    false => continue,
                }
            }
        };
        let Some(input) = next else {
            return Ended::InputsClosed;
        };
        let now = match flaw {
            Flaw::ClockReadBeforeTheWait => began,
            _ => host.now(),
        };
        let times = match (flaw, &input) {
            (Flaw::InputsTwice, Input::Dcs(_) | Input::Postgres(_)) => 2,
            _ => 1,
        };
        for _ in 0..times {
            if let Some(code) = step(flaw, core, host, now, input.clone()) {
                return Ended::Exit { code };
            }
        }
    }
}

async fn receive(flaw: Flaw, inputs: &mut UnboundedReceiver<Input>) -> Option<Input> {
    let input = inputs.recv().await;
    if flaw == Flaw::InputsLostAtAnAwait {
        for _ in 0..3 {
            yield_now().await;
        }
    }
    input
}

fn step<H: Host<Agent>>(
    flaw: Flaw,
    core: &mut Agent,
    host: &mut H,
    now: Now,
    input: Input,
) -> Option<u8> {
    let mut output = Output::default();
    core.handle(now, input.clone(), &mut output);
    let mut exit = None;
    let mut effects = output.effects.clone();
    effects.retain(|effect| match effect.body {
        EffectBody::Exit { code } => {
            exit = Some(code);
            false
        }
        _ => true,
    });
    match flaw {
        Flaw::EffectsBeforeTheirLine => {
            effects.drain(..).for_each(|effect| host.start(effect));
            host.record(now, &input, &output, core);
            host.publish(core.view());
        }
        Flaw::EffectsBeforeTheirView => {
            host.record(now, &input, &output, core);
            effects.drain(..).for_each(|effect| host.start(effect));
            host.publish(core.view());
        }
        Flaw::EffectsInAnotherOrder => {
            host.record(now, &input, &output, core);
            host.publish(core.view());
            effects
                .into_iter()
                .rev()
                .for_each(|effect| host.start(effect));
        }
        Flaw::None
        | Flaw::DeadlinesDropped
        | Flaw::InputsTwice
        | Flaw::InputsLostAtAnAwait
        | Flaw::ClockReadBeforeTheWait => {
            host.record(now, &input, &output, core);
            host.publish(core.view());
            effects.into_iter().for_each(|effect| host.start(effect));
        }
    }
    exit
}
