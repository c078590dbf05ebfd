//! The agent. (skeleton, decision logic follows)
use crate::effect::Effect;
use crate::fencer::Armed;
use crate::input::Input;
use crate::leader_key::Authority;
use crate::note::Note;
use crate::settings::Settings;
use crate::time::{Mono, Now};
use crate::view::{Role, State, View};
use serde::{Deserialize, Serialize};

/// What the agent is told about its own start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Different at every start of the agent's process on this host.
    pub incarnation: u64,
    /// A living fencer was found, holding this deadline.
    pub fencer: Option<Armed>,
}

/// What one `handle` asks for and tells, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub effects: Vec<Effect>,
    pub notes: Vec<Note>,
}

/// Why the agent wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WakeReason {
    FirstLook,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    settings: Settings,
    boot: Boot,
    seed: u64,
    started: Now,
    woken: bool,
}

impl Agent {
    pub fn new(settings: Settings, boot: Boot, seed: u64, now: Now) -> Agent {
        Agent {
            settings,
            boot,
            seed,
            started: now,
            woken: false,
        }
    }

    /// Takes one input; what follows from it is appended to `out`. Total: odd input becomes a note.
    pub fn handle(&mut self, _now: Now, _input: Input, _out: &mut Output) {
        self.woken = true;
    }

    pub fn next_wakeup(&self) -> Option<(Mono, WakeReason)> {
        (!self.woken).then_some((self.started.mono, WakeReason::FirstLook))
    }

    pub fn view(&self) -> View {
        View {
            scope: self.settings.scope.clone(),
            name: self.settings.name.clone(),
            api_url: self.settings.api_url.clone(),
            conn_url: self.settings.conn_url.clone(),
            tags: self.settings.tags.clone(),
            role: Role::Uninitialized,
            state: State::Stopped,
            authority: Authority::None,
            holds_key: false,
            paused: false,
            config: Default::default(),
            observed: None,
            observed_at: None,
            cluster: None,
            store_seen: None,
            operation: None,
            decision: String::new(),
            recent: Default::default(),
            requests: Default::default(),
            decided_at: self.started.mono,
        }
    }
}
