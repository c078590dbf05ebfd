//! Carries out a plan: moves the world from one due moment to the next, does the acts at their times
//! and triggers, lets the claims be judged after every step. Knows nothing of files or reports.

use super::claims::Fact;
use super::judge::{Claims, Memory, Refuted, Sight};
use crate::act::Act;
use crate::event::{Broken, Counted, Event};
use crate::marks::Marks;
use crate::moment::Moment;
use crate::plan::{Plan, Step};
use crate::world::World;
use std::collections::BTreeMap;
use tanist_core::time::Span;

/// How a run ended, and everything that a report may tell of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    pub ended: Moment,
    pub events: Vec<Event>,
    pub marks: Marks,
    pub evaluations: BTreeMap<&'static str, Counted>,
    pub claims_kept: usize,
    /// The next draw of every stream at the end: differs if anything was drawn differently.
    pub unseed: BTreeMap<String, u64>,
    pub effort: Effort,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Entries of the agenda that were carried out.
    pub steps: u64,
    /// Inputs that agents handled.
    pub handled: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Held,
    /// An invariant broke; nothing after it was looked at.
    Broken(Broken),
    /// The invariants held, but these claims did not come true.
    Refuted(Vec<Refuted>),
}

impl Verdict {
    /// One sentence for the top of a report.
    pub fn sentence(&self) -> String {
        match self {
            Verdict::Held => "Every claim and every invariant held.".into(),
            Verdict::Broken(broken) => {
                format!(
                    "Broken at {}: {}. {}",
                    broken.at, broken.invariant, broken.story
                )
            }
            Verdict::Refuted(claims) => {
                let told: Vec<String> = claims
                    .iter()
                    .map(|c| format!("At {}: {}.", c.at, c.story))
                    .collect();
                told.join(" ")
            }
        }
    }

    pub fn held(&self) -> bool {
        *self == Verdict::Held
    }
}

/// How far a run goes after the last line of its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// To the plan's end.
    Full,
    /// Until the cluster has been well for a while: what comes then is more of the same.
    WhenWell,
}

/// How long all must be well, without a break, before a run ends early.
const WELL_FOR: Span = Span::secs(10);

/// Runs `plan` to its end, or to the first broken invariant.
pub fn run(plan: &Plan) -> Outcome {
    let world = World::new(plan.cluster.clone(), plan.seed);
    run_in(world, plan, Ending::Full)
}

/// The world as a plan leaves it at its end, for going on by hand.
pub fn left_behind(plan: &Plan) -> World {
    left_behind_in(World::new(plan.cluster.clone(), plan.seed), plan)
}

/// The same, with everything that each agent was told and answered.
pub fn left_behind_with_traces(plan: &Plan) -> World {
    let mut world = World::new(plan.cluster.clone(), plan.seed);
    world.keep_traces();
    left_behind_in(world, plan)
}

/// The same for a world that was made ready otherwise.
pub fn left_behind_in(world: World, plan: &Plan) -> World {
    let mut teller = Teller::new(world, Ending::Full);
    teller.tell(plan);
    teller.world
}

/// The same in a world that was made ready otherwise: one with a deliberate bug, one that keeps less.
pub fn run_in(world: World, plan: &Plan, ending: Ending) -> Outcome {
    let mut teller = Teller::new(world, ending);
    teller.tell(plan);
    teller.outcome()
}

struct Trigger {
    fact: Fact,
    since: Moment,
    delay: Span,
    act: Act,
}

/// The one who tells the story: a world, and what is still waited for.
struct Teller {
    world: World,
    ending: Ending,
    claims: Claims,
    triggers: Vec<Trigger>,
    /// Acts whose trigger has fired, with their time.
    due: Vec<(Moment, Act)>,
    memory: Memory,
    /// How many of the world's events were remembered.
    seen: usize,
}

impl Teller {
    fn new(world: World, ending: Ending) -> Teller {
        Teller {
            world,
            ending,
            claims: Claims::default(),
            triggers: Vec::new(),
            due: Vec::new(),
            memory: Memory::default(),
            seen: 0,
        }
    }

    fn tell(&mut self, plan: &Plan) {
        for step in &plan.steps {
            match step {
                Step::At { at, act } => {
                    self.go_on_until(Moment::START + *at);
                    if let Some(act) = act {
                        self.world.apply(act);
                    }
                }
                Step::When { fact, delay, act } => self.triggers.push(Trigger {
                    fact: fact.clone(),
                    since: self.world.now(),
                    delay: *delay,
                    act: act.clone(),
                }),
                Step::Expect(demand) => {
                    let since = self.world.now();
                    self.claims.open(demand.clone(), since);
                }
            }
        }
        let end = Moment::START + plan.end;
        match self.ending {
            Ending::Full => self.go_on_until(end),
            Ending::WhenWell => self.go_on_until_well(end),
        }
        self.world.check_replays();
        if self.world.broken().is_none() {
            let truth = self.world.truth();
            let sight = Sight {
                truth: &truth,
                marks: self.world.marks(),
                memory: &self.memory,
            };
            self.claims.look_at_end(&sight);
        }
    }

    /// Lets everything happen that is due up to `until`, looking after every step.
    fn go_on_until(&mut self, until: Moment) {
        loop {
            self.look();
            self.do_what_is_due();
            if self.world.broken().is_some() {
                return;
            }
            let stop = self.next_stop(until);
            match self.world.next_at() {
                Some(next) if next <= stop => {
                    self.world.step();
                }
                _nothing_before if stop > self.world.now() => self.world.run_until(stop),
                _nothing_more => return,
            }
        }
    }

    /// Looks once a second whether all is well; judges then what is judged at the end of the bound otherwise.
    fn go_on_until_well(&mut self, end: Moment) {
        let mut well_since = None;
        while self.world.now() < end && self.world.broken().is_none() {
            let next = Ord::min(self.world.now() + Span::secs(1), end);
            self.go_on_until(next);
            let waiting = !self.triggers.is_empty() || !self.due.is_empty();
            well_since = match well_since {
                _ if waiting || !self.claims.is_settled() || !self.world.is_well() => None,
                None => Some(next),
                Some(since) => Some(since),
            };
            if well_since.is_some_and(|since| next.since(since) >= WELL_FOR) {
                return self.world.check_recovered();
            }
        }
    }

    /// The next instant at which the teller itself has something to do.
    fn next_stop(&self, until: Moment) -> Moment {
        let now = self.world.now();
        let acts = self.due.iter().map(|(at, _)| *at);
        acts.chain(self.claims.next_due())
            .filter(|at| *at > now)
            .fold(until, Moment::min)
    }

    fn do_what_is_due(&mut self) {
        if self.due.is_empty() {
            return;
        }
        let now = self.world.now();
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.due = waiting;
        for (_, act) in ready {
            self.world.apply(&act);
            self.look();
        }
    }

    /// Remembers what happened, fires triggers, settles claims.
    fn look(&mut self) {
        for event in &self.world.events()[self.seen..] {
            self.memory.remember(event);
        }
        self.seen = self.world.events().len();
        if self.triggers.is_empty() && self.claims.is_settled() {
            return;
        }
        let truth = self.world.truth();
        let sight = Sight {
            truth: &truth,
            marks: self.world.marks(),
            memory: &self.memory,
        };
        self.claims.look(&sight);
        let mut waiting = Vec::new();
        for trigger in std::mem::take(&mut self.triggers) {
            if sight.shows(&trigger.fact, trigger.since) {
                self.due.push((truth.at + trigger.delay, trigger.act));
            } else {
                waiting.push(trigger);
            }
        }
        self.triggers = waiting;
    }

    fn outcome(self) -> Outcome {
        let verdict = match self.world.broken() {
            Some(broken) => Verdict::Broken(broken.clone()),
            None if self.claims.refuted.is_empty() => Verdict::Held,
            None => Verdict::Refuted(self.claims.refuted.clone()),
        };
        let (steps, handled) = self.world.effort();
        Outcome {
            verdict,
            ended: self.world.now(),
            events: self.world.events().to_vec(),
            marks: self.world.marks().clone(),
            evaluations: self.world.evaluations().clone(),
            claims_kept: self.claims.kept,
            unseed: self.world.unseed(),
            effort: Effort { steps, handled },
        }
    }
}
