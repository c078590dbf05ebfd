//! Agents whose loop runs outside the world: the world keeps their processes, adapters, wire and clocks, and
//! somebody else calls the core. `sim/madsim` does so, with the production driver.
//! Knows nothing of tasks or runtimes. Canaries of the world do not reach agents out there.
//!
//! 1. `take_births` says which processes began; `stands` says which of them live, and whether they are frozen.
//! 2. `take_mail` yields what they are told; each is handled out there, at the world's present moment.
//! 3. `noted` and `shown` bring back what a `handle` said and left; `begin` starts one effect of it.

use crate::event::{HowEnded, What};
use crate::host::{Mind, Power, Run};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::agent::{Agent, Boot, Output};
use tanist_core::effect::Effect;
use tanist_core::input::Input;
use tanist_core::note::Note;
use tanist_core::settings::Settings;
use tanist_core::time::Now;

/// Who calls the agents' core.
#[derive(Debug)]
pub(crate) enum Hosting {
    Inside,
    Outside { births: Vec<Birth> },
}

/// An agent's process has begun: all that its core needs.
#[derive(Clone, Debug)]
pub struct Birth {
    pub process: Process,
    pub settings: Settings,
    pub boot: Boot,
    pub seed: u64,
    pub born: Now,
}

/// One life of the agent in one seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub seat: Seat,
    pub life: u32,
}

impl World {
    /// From now on somebody else calls the core. Before anything has happened.
    pub fn host_agents_outside(&mut self) {
        assert_eq!(self.effort(), (0, 0), "the run has begun");
        self.hosting = Hosting::Outside { births: Vec::new() };
    }

    pub fn take_births(&mut self) -> Vec<Birth> {
        match &mut self.hosting {
            Hosting::Inside => Vec::new(),
            Hosting::Outside { births } => std::mem::take(births),
        }
    }

    /// The agent's process in this seat, if any, and whether it may run just now.
    pub fn stands(&self, seat: Seat) -> Option<(Process, Run)> {
        let host = &self.hosts[seat.index()];
        let agent = host.agent.as_ref()?;
        let life = agent.life;
        let run = match host.power {
            Power::On => agent.run,
            Power::Off | Power::Suspended => Run::Frozen,
        };
        Some((Process { seat, life }, run))
    }

    /// What agents are told since the last time, each seat's in its order.
    pub fn take_mail(&mut self) -> Vec<(Process, Input)> {
        let mut mail = Vec::new();
        for seat in std::mem::take(&mut self.telling) {
            if let Some(agent) = self.hosts[seat.index()].agent.as_mut() {
                let life = agent.life;
                let inbox = agent.inbox.drain(..);
                mail.extend(inbox.map(|input| (Process { seat, life }, input)));
            }
        }
        mail
    }

    /// Both clocks of this host.
    pub fn clocks(&self, seat: Seat) -> Now {
        self.host_now(seat)
    }

    /// A `handle` is over, and these are its notes.
    pub fn noted(&mut self, of: Process, notes: &[Note]) {
        self.handled += 1;
        self.check_pace(of.seat, "an input", &Output::default());
        for note in notes.iter().cloned() {
            let member = self.name(of.seat);
            self.tell_story(What::Note { member, note });
        }
    }

    /// The state that others see from now on.
    pub fn shown(&mut self, of: Process, agent: Agent) {
        if let Some(process) = self.hosts[of.seat.index()].life(of.life) {
            process.agent = Mind::Tanist(Box::new(agent));
        }
    }

    /// Begins an effect; void when its process is gone.
    pub fn begin(&mut self, of: Process, effect: Effect) {
        if self.hosts[of.seat.index()].life(of.life).is_some() {
            self.start_effect(of.seat, effect);
            self.settle_step();
        }
    }

    /// The loop has ended by itself.
    pub fn exited(&mut self, of: Process, code: u8) {
        if self.hosts[of.seat.index()].life(of.life).is_some() {
            self.agent_ended(of.seat, HowEnded::Exited(code));
            self.settle_step();
        }
    }
}
