//! When a run is calm: the last fault is healed, and time enough has passed for the cluster to have settled.
//! Promises of stability are made only then. Knows nothing of what is promised.

use crate::act::{Act, OperatorAct};
use crate::moment::Moment;
use tanist_core::time::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// No act since this moment but what heals.
    Fair { since: Moment },
    /// Something is broken or was asked for, and not all has been healed since.
    Foul,
}

#[derive(Clone, Debug)]
pub struct Calm {
    weather: Weather,
}

impl Default for Calm {
    fn default() -> Calm {
        Calm {
            weather: Weather::Fair {
                since: Moment::START,
            },
        }
    }
}

impl Calm {
    pub fn disturbed(&mut self, act: &Act, at: Moment) {
        self.weather = match act {
            Act::HealAll => Weather::Fair { since: at },
            Act::Clients(_) => return,
            // The agents have their hands free again: the time to settle begins anew.
            Act::Operator(OperatorAct::Resume) => match self.weather {
                Weather::Fair { .. } => Weather::Fair { since: at },
                Weather::Foul => Weather::Foul,
            },
            Act::Agent { .. }
            | Act::Fencer { .. }
            | Act::Postgres { .. }
            | Act::Host { .. }
            | Act::Trouble { .. }
            | Act::Wire { .. }
            | Act::HealWire
            | Act::Store(_)
            | Act::Operator(_) => Weather::Foul,
        };
    }

    /// Nothing is broken, and nothing was asked for since.
    pub fn is_fair(&self) -> bool {
        matches!(self.weather, Weather::Fair { .. })
    }

    /// Has it been fair for `settling` at least?
    pub fn has_settled(&self, now: Moment, settling: Span) -> bool {
        match self.weather {
            Weather::Fair { since } => now.since(since) > settling,
            Weather::Foul => false,
        }
    }
}
