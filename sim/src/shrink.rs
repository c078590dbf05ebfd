//! Makes the plan of a find smaller as long as the same promise breaks: fewer acts, fewer members,
//! shorter times, plainer cluster. Knows nothing of what the promise is.

use crate::act::Act;
use crate::attempt::{Runner, signature};
use crate::moment::Moment;
use crate::plan::{Plan, Step};
use crate::scenario::print::show_step;
use crate::scenario::run::{Outcome, Verdict};
use crate::shape::ClusterShape;
use tanist_core::time::Span;

/// The smallest plan found, and how much was tried for it.
pub struct Shrunk {
    pub plan: Plan,
    pub outcome: Outcome,
    pub runs: usize,
}

/// Shrinks `plan`, whose run breaks the promise `wanted`, with at most `runs_max` runs.
pub fn shrink(plan: &Plan, wanted: &str, run: &Runner, runs_max: usize) -> Option<Shrunk> {
    let mut shrinker = Shrinker {
        wanted,
        run,
        best: plan.clone(),
        outcome: None,
        runs: 0,
        runs_max,
    };
    if !shrinker.takes(plan.clone()) {
        return None;
    }
    // Each pass may open the way for another; every round but the last makes the plan smaller.
    loop {
        let before = shrinker.best.clone();
        shrinker.cut_the_end();
        shrinker.drop_claims();
        shrinker.drop_acts();
        shrinker.drop_members();
        shrinker.plain_cluster();
        shrinker.draw_together();
        shrinker.round_times();
        if shrinker.best == before || shrinker.is_spent() {
            break;
        }
    }
    let outcome = shrinker.outcome?;
    Some(Shrunk {
        plan: shrinker.best,
        outcome,
        runs: shrinker.runs,
    })
}

struct Shrinker<'a> {
    wanted: &'a str,
    run: &'a Runner,
    best: Plan,
    outcome: Option<Outcome>,
    runs: usize,
    runs_max: usize,
}

impl Shrinker<'_> {
    fn is_spent(&self) -> bool {
        self.runs >= self.runs_max
    }

    /// Keeps `plan` if the same promise still breaks in it.
    fn takes(&mut self, plan: Plan) -> bool {
        if self.is_spent() {
            return false;
        }
        self.runs += 1;
        let outcome = (self.run)(&plan);
        let same = signature(&outcome.verdict).as_deref() == Some(self.wanted);
        if same {
            self.best = plan;
            self.outcome = Some(outcome);
        }
        same
    }

    /// Nothing after the break matters.
    fn cut_the_end(&mut self) {
        let Some(Verdict::Broken(broken)) = self.outcome.as_ref().map(|o| o.verdict.clone()) else {
            return;
        };
        let mut plan = self.best.clone();
        let until = broken.at.since(Moment::START) + Span::secs(1);
        plan.steps.retain(|step| match step {
            Step::At { at, .. } => *at <= until,
            Step::When { .. } => true,
            Step::Expect(_) => false,
        });
        plan.end = Span::secs(until.as_secs() + 1).max(Plan::last_moment(&plan.steps));
        if plan != self.best && plan.end < self.best.end {
            self.takes(plan);
        }
    }

    /// When a claim was refuted, the others are only in the way.
    fn drop_claims(&mut self) {
        self.drop_steps(|step| matches!(step, Step::Expect(_)));
    }

    fn drop_acts(&mut self) {
        self.drop_steps(|step| matches!(step, Step::At { act: Some(_), .. } | Step::When { .. }));
    }

    /// Delta debugging: halves first, then ever smaller pieces, down to single steps.
    fn drop_steps(&mut self, of: fn(&Step) -> bool) {
        let count = |plan: &Plan| plan.steps.iter().filter(|step| of(step)).count();
        let mut piece = count(&self.best).div_ceil(2).max(1);
        loop {
            let mut from = 0;
            while from < count(&self.best) && !self.is_spent() {
                let smaller = without(&self.best, of, from, piece);
                if !self.takes(smaller) {
                    from += piece;
                }
            }
            if piece == 1 || self.is_spent() {
                return;
            }
            piece = piece.div_ceil(2);
        }
    }

    /// Members that no line names may be none of the story.
    fn drop_members(&mut self) {
        for at in (0..self.best.cluster.members.len()).rev() {
            let Some(member) = self.best.cluster.members.get(at) else {
                continue;
            };
            let name = member.name.as_str().to_string();
            let named = |step: &Step| show_step(step).split([' ', ':']).any(|word| word == name);
            if self.best.cluster.members.len() > 1 && !self.best.steps.iter().any(named) {
                let mut plan = self.best.clone();
                plan.cluster.members.remove(at);
                self.takes(plan);
            }
        }
    }

    /// Each peculiarity of the cluster that can go, goes.
    fn plain_cluster(&mut self) {
        let names: Vec<&str> = self
            .best
            .cluster
            .members
            .iter()
            .map(|m| m.name.as_str())
            .collect();
        let plain = ClusterShape::of(&names);
        let simpler: [fn(&mut ClusterShape, &ClusterShape); 8] = [
            |shape, plain| shape.members.clone_from(&plain.members),
            |shape, plain| {
                (shape.ttl, shape.loop_wait, shape.retry_timeout) =
                    (plain.ttl, plain.loop_wait, plain.retry_timeout);
            },
            |shape, plain| shape.maximum_lag_on_failover = plain.maximum_lag_on_failover,
            |shape, plain| shape.commit_mode = plain.commit_mode,
            |shape, plain| shape.rewind = plain.rewind,
            |shape, plain| shape.primary_start_timeout = plain.primary_start_timeout,
            |shape, plain| shape.clients = plain.clients,
            |shape, _| shape.store_servers = 1,
        ];
        for make_simpler in simpler {
            let mut plan = self.best.clone();
            make_simpler(&mut plan.cluster, &plain);
            if plan != self.best {
                self.takes(plan);
            }
        }
    }

    /// Pulls each step, with all that follow, nearer to the one before it.
    fn draw_together(&mut self) {
        for at in 0..self.best.steps.len() {
            let (Some(Step::At { at: time, .. }), false) =
                (self.best.steps.get(at), self.is_spent())
            else {
                continue;
            };
            let before = times(&self.best.steps[..at]).last().unwrap_or(Span::ZERO);
            let gap = time.saturating_sub(before);
            for shorter in [Span::ZERO, gap.divided_by(4), gap.divided_by(2)] {
                let plan = moved(&self.best, at, gap.saturating_sub(shorter));
                if gap > Span::secs(1) && self.takes(plan) {
                    break;
                }
            }
        }
    }

    /// Whole seconds read better than milliseconds.
    fn round_times(&mut self) {
        for at in 0..self.best.steps.len() {
            let Some(Step::At { at: time, .. }) = self.best.steps.get(at) else {
                continue;
            };
            let ragged = Span::micros(time.as_micros() % 1_000_000);
            let before = times(&self.best.steps[..at]).last().unwrap_or(Span::ZERO);
            // Times only go forward.
            if ragged > Span::ZERO && before + ragged <= *time {
                let plan = moved(&self.best, at, ragged);
                self.takes(plan);
            }
        }
    }
}

/// The plan without `piece` of the steps that `of` means, from the `from`th of them on. An `At` that
/// carries a later claim or trigger stays as a bare time.
fn without(plan: &Plan, of: fn(&Step) -> bool, from: usize, piece: usize) -> Plan {
    let mut smaller = plan.clone();
    smaller.steps.clear();
    let mut nth = 0;
    for step in &plan.steps {
        let goes = of(step) && (from..from + piece).contains(&nth);
        nth += usize::from(of(step));
        match step {
            step if !goes => smaller.steps.push(step.clone()),
            Step::At { at, .. } => smaller.steps.push(Step::At { at: *at, act: None }),
            Step::When { .. } | Step::Expect(_) => {}
        }
    }
    drop_idle_times(&mut smaller.steps);
    smaller
}

/// Bare times that nothing counts from.
fn drop_idle_times(steps: &mut Vec<Step>) {
    let counted = |next: Option<&Step>| matches!(next, Some(Step::When { .. } | Step::Expect(_)));
    let mut kept: Vec<Step> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let bare = matches!(step, Step::At { act: None, .. });
        if !bare || counted(steps.get(at + 1)) {
            kept.push(step.clone());
        }
    }
    *steps = kept;
}

fn times(steps: &[Step]) -> impl Iterator<Item = Span> {
    steps.iter().filter_map(|step| match step {
        Step::At { at, .. } => Some(*at),
        Step::When { .. } | Step::Expect(_) => None,
    })
}

/// The plan with everything from step `from` on happening `by` earlier.
fn moved(plan: &Plan, from: usize, by: Span) -> Plan {
    let mut earlier = plan.clone();
    for step in &mut earlier.steps[from..] {
        if let Step::At { at, .. } = step {
            *at = at.saturating_sub(by);
        }
    }
    earlier.end = earlier.end.saturating_sub(by);
    earlier
}

/// Acts that a plan names, for the summary of a find.
pub fn acts_left(plan: &Plan) -> usize {
    plan.acts()
        .filter(|act| !matches!(act, Act::HealAll))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Broken;
    use crate::scenario::parse::parse;
    use crate::scenario::print::print;

    /// A toy world in which two deeds in their order break a promise, two seconds after the second.
    fn toy(plan: &Plan) -> Outcome {
        let mut cut_at = None;
        let mut broken_at = None;
        for step in &plan.steps {
            let text = show_step(step);
            let Step::At { at, .. } = step else {
                continue;
            };
            if text.contains("cut a <-> dcs") {
                cut_at = Some(*at);
            }
            if text.contains("freeze agent on a") && cut_at.is_some() {
                broken_at = Some(Moment::START + *at + Span::secs(2));
            }
        }
        let end = Moment::START + plan.end;
        let verdict = match broken_at.filter(|at| *at <= end) {
            None => Verdict::Held,
            Some(at) => Verdict::Broken(Broken {
                invariant: "S01".into(),
                at,
                story: "two writers".into(),
            }),
        };
        Outcome {
            verdict,
            ended: end,
            events: Vec::new(),
            marks: Default::default(),
            evaluations: Default::default(),
            claims_kept: 0,
            unseed: Default::default(),
            effort: Default::default(),
        }
    }

    const NOISY: &str = "\
# Is it small?
cluster a b c d  dcs 3  ttl 60s  loop 10s  retry 20s  mode async
with  lag 0B  rewind off
member b  priority 3

at 7s250ms  elect dcs
at 40s  cut b <-> c
at 61s  cut a <-> dcs
at 70s  compact dcs
at 80s  restart c
at 5m  freeze agent on a
when leader key is free:  crash b
expect within 60s  leader is b
at 8m  heal all
at 10m  end
";

    #[test]
    fn what_does_not_matter_goes_and_what_matters_stays_in_its_order() {
        let plan = parse(NOISY).expect("a plan");
        let small = shrink(&plan, "S01", &toy, 400).expect("it breaks");
        let kept = "\
# Is it small?
cluster a  dcs 1  ttl 30s  loop 10s  retry 10s  mode async
seed 0

at 0s        cut a <-> dcs
at 0s        freeze agent on a
at 4s        end
";
        let text = print(&small.plan);
        let words =
            |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_string).collect() };
        assert_eq!(words(&text), words(kept), "{text}");
        assert!(small.runs < 100, "{} runs", small.runs);
    }

    #[test]
    fn a_find_that_does_not_repeat_is_not_shrunk() {
        let plan = parse(NOISY).expect("a plan");
        assert!(shrink(&plan, "S06", &toy, 400).is_none());
    }

    #[test]
    fn no_more_runs_are_spent_than_were_given() {
        let plan = parse(NOISY).expect("a plan");
        let small = shrink(&plan, "S01", &toy, 5).expect("it breaks");
        assert!(small.runs <= 5);
        assert!(!small.outcome.verdict.held());
    }
}
