//! The world: what really is, not what anyone believes, and the one step that moves it on.
//! Knows nothing of plans, scenarios or reports.

use crate::act::{Act, Who};
use crate::agenda::Agenda;
use crate::event::{Broken, Counted, Event, What};
use crate::marks::Marks;
use crate::moment::Moment;
use crate::shape::ClusterShape;
use crate::streams::Streams;
use crate::truth::{Commits, Truth};
use std::collections::BTreeMap;
use tanist_core::name::MemberName;

/// One run.
pub struct World {
    shape: ClusterShape,
    agenda: Agenda<()>,
    streams: Streams,
    events: Vec<Event>,
    marks: Marks,
    broken: Option<Broken>,
    evaluations: BTreeMap<&'static str, Counted>,
}

impl World {
    /// A world at its start: hosts up, nothing initialised, agents about to start.
    pub fn new(shape: ClusterShape, seed: u64) -> World {
        World {
            shape,
            agenda: Agenda::default(),
            streams: Streams::new(seed),
            events: Vec::new(),
            marks: Marks::default(),
            broken: None,
            evaluations: BTreeMap::new(),
        }
    }

    pub fn shape(&self) -> &ClusterShape {
        &self.shape
    }
    pub fn now(&self) -> Moment {
        self.agenda.now()
    }
    /// When the next thing happens by itself.
    pub fn next_at(&self) -> Option<Moment> {
        self.agenda.next_at()
    }

    /// Does `act` now. Returns the members it was resolved to.
    pub fn apply(&mut self, act: &Act) -> Vec<MemberName> {
        let on = Vec::new();
        let what = What::Acted {
            act: act.clone(),
            on: on.clone(),
        };
        let at = self.now();
        self.events.push(Event { at, what });
        on
    }

    /// Lets the next thing happen. False when nothing is left to happen, or a promise is broken.
    pub fn step(&mut self) -> bool {
        self.broken.is_none() && self.agenda.take().is_some()
    }

    /// Steps until nothing more is due up to `until` (then it is `until`), or a promise is broken.
    pub fn run_until(&mut self, until: Moment) {
        while self.agenda.next_at().is_some_and(|next| next <= until) {
            if !self.step() {
                return;
            }
        }
        if self.broken.is_none() {
            self.agenda.advance_to(until);
        }
    }

    pub fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }
    /// Everything that happened so far, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }
    pub fn marks(&self) -> &Marks {
        &self.marks
    }
    /// How often each invariant was evaluated, by its name.
    pub fn evaluations(&self) -> &BTreeMap<&'static str, Counted> {
        &self.evaluations
    }
    /// The next draw of every stream: equal for two runs that drew equally.
    pub fn unseed(&self) -> BTreeMap<String, u64> {
        self.streams.unseed()
    }

    pub fn truth(&self) -> Truth {
        Truth {
            at: self.now(),
            leader_key: None,
            members: BTreeMap::new(),
            commits: Commits::default(),
            paused: false,
        }
    }

    /// Which members `who` names now; those that are drawn come from the stream `who`.
    pub fn resolve(&mut self, who: &Who) -> Vec<MemberName> {
        match who {
            Who::Member(name) => vec![name.clone()],
            Who::Any => {
                let names: Vec<_> = self.shape.members.iter().map(|m| m.name.clone()).collect();
                self.streams
                    .get("who")
                    .pick(&names)
                    .cloned()
                    .into_iter()
                    .collect()
            }
            Who::All => self.shape.members.iter().map(|m| m.name.clone()).collect(),
            Who::Leader => self.truth().leader_key.into_iter().collect(),
            Who::Standby | Who::Standbys => Vec::new(),
        }
    }

    /// A number that two runs share only if the same happened in both.
    pub fn digest(&self) -> u64 {
        let text = serde_json::to_string(&(&self.events, self.unseed(), self.now()))
            .expect("events are plain data");
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}
