//! A run as data: the cluster, what happens to it when, and what is claimed of it. Printed as a
//! scenario, drawn by the swarm, made smaller by the shrinker. Knows nothing of how it is carried out.

use crate::act::Act;
use crate::scenario::claims::{Demand, Fact};
use crate::shape::ClusterShape;
use tanist_core::time::Span;

/// Everything that decides a run. Two runs of one plan are the same, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The question that the run answers.
    pub question: String,
    /// Further lines of the header, such as `fails on: blind-acquire`.
    pub notes: Vec<String>,
    pub cluster: ClusterShape,
    pub seed: u64,
    pub steps: Vec<Step>,
    /// When the run is over, from its start.
    pub end: Span,
}

/// One line of the story. Triggers and claims count from the `At` above them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// At this time from the start.
    At {
        at: Span,
        act: Option<Act>,
    },
    /// Once, as soon as `fact` is true (and `delay` later).
    When {
        fact: Fact,
        delay: Span,
        act: Act,
    },
    Expect(Demand),
}

/// The header's words for the deliberate bug on which a scenario must fail.
const FAILS_ON: &str = "fails on:";

impl Plan {
    /// The deliberate bugs on each of which this scenario must fail.
    pub fn fails_on(&self) -> Vec<&str> {
        self.notes
            .iter()
            .filter_map(|note| note.strip_prefix(FAILS_ON))
            .flat_map(|names| names.split(','))
            .map(str::trim)
            .collect()
    }

    /// The latest instant at which a line of the story can still matter.
    pub fn last_moment(steps: &[Step]) -> Span {
        let mut base = Span::ZERO;
        let mut last = Span::ZERO;
        for step in steps {
            let reach = match step {
                Step::At { at, .. } => {
                    base = *at;
                    base
                }
                Step::When { delay, .. } => base + *delay,
                Step::Expect(demand) => match demand {
                    Demand::Within(span, _) | Demand::For(span, _) => base + *span,
                    Demand::Always(_)
                    | Demand::Never(_)
                    | Demand::AtEnd(_)
                    | Demand::Before { .. } => base,
                },
            };
            last = last.max(reach);
        }
        last
    }

    /// The acts of the plan, for counting and for shrinking.
    pub fn acts(&self) -> impl Iterator<Item = &Act> {
        self.steps.iter().filter_map(|step| match step {
            Step::At { act, .. } => act.as_ref(),
            Step::When { act, .. } => Some(act),
            Step::Expect(_) => None,
        })
    }
}
