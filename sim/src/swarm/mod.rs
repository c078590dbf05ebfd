//! Draws a plan from a seed: a cluster, a subset of faults with weights of its own, a phase of chaos,
//! and a heal. What must come true then, the invariants know. Knows nothing of how plans are carried out.

mod cluster;
mod faults;
mod rhythm;

use crate::act::{Act, OperatorAct};
use crate::plan::{Plan, Step};
use crate::shape::ClusterShape;
use crate::streams::Stream;
use faults::{FAULTS, Fault, Kind};
use rhythm::{Rhythm, Score};
use tanist_core::time::Span;

/// How long after the heal a paused cluster is resumed.
const RESUMED: Span = Span::secs(20);

/// How long the whole cluster may take to be well again after the heal.
const RECOVERY: Span = Span::secs(480);

/// The plan of `seed`: the same one for ever, as long as this file does not change.
pub fn plan(seed: u64, chaos: Span) -> Plan {
    let mut draw = Stream::named(seed, "plan");
    let mut cluster = cluster::draw(&mut draw);
    cluster::misname(&mut Stream::named(seed, "namesake"), &mut cluster);
    cluster.archive = Stream::named(seed, "archive").chance(300);
    cluster::retention(&mut Stream::named(seed, "retention"), &mut cluster);
    cluster::mix(&mut Stream::named(seed, "mixed"), &mut cluster);
    cluster::watch(&mut Stream::named(seed, "watchdog"), &mut cluster);
    drawn(draw, cluster, seed, chaos)
}

/// The same for a cluster that is given.
pub fn plan_in(cluster: ClusterShape, seed: u64, chaos: Span) -> Plan {
    drawn(Stream::named(seed, "plan"), cluster, seed, chaos)
}

fn drawn(mut draw: Stream, cluster: ClusterShape, seed: u64, chaos: Span) -> Plan {
    let mix = Mix::draw(&mut draw, &cluster);
    let rhythm = Rhythm::draw(&mut Stream::named(seed, "rhythm"));
    let start = rhythm.starts(&mut draw);
    let healed = start + rhythm.lasts(chaos);
    let mut score = Score {
        mix: &mix,
        cluster: &cluster,
        acts: Vec::new(),
    };
    score.fill(rhythm, &mut draw, start, healed);
    let mut acts = score.acts;
    acts.push((healed, Act::HealAll));
    // Somebody must be up to be asked, and the store must be there to be told.
    let pause = Act::Operator(OperatorAct::Pause);
    if acts.iter().any(|(_, act)| *act == pause) {
        acts.push((healed + RESUMED, Act::Operator(OperatorAct::Resume)));
    }
    acts.sort_by_key(|(at, _)| *at);
    let steps: Vec<Step> = acts
        .into_iter()
        .map(|(at, act)| Step::At { at, act: Some(act) })
        .collect();
    Plan {
        question: format!("Does the cluster keep its promises under the faults of seed {seed:x}?"),
        notes: vec![format!("faults: {}", mix.names())],
        cluster,
        seed,
        steps,
        end: healed + RECOVERY,
    }
}

/// The faults of one run, each with its weight, and how often one happens.
struct Mix {
    faults: Vec<(&'static Fault, u64)>,
    every: Span,
}

impl Mix {
    /// Most faults sit a run out: where all happen at once nothing gets far enough to go wrong.
    fn draw(draw: &mut Stream, cluster: &ClusterShape) -> Mix {
        let share = *draw.pick(&[80_u32, 150, 300, 500]).unwrap_or(&150);
        let mut faults: Vec<(&Fault, u64)> = Vec::new();
        for fault in FAULTS {
            let chosen = match fault.kind {
                Kind::Ordinary => draw.chance(share),
                Kind::BreaksAnAssumption | Kind::LosesTheOnlyCopy => draw.chance(share / 16),
            };
            let weight = 1 << draw.below(5);
            if chosen && fault.fits(cluster) {
                faults.push((fault, weight));
            }
        }
        if faults.is_empty() {
            let any = draw.pick(FAULTS).filter(|fault| fault.fits(cluster));
            faults.push((any.unwrap_or(&FAULTS[0]), 1));
        }
        let every = *draw
            .pick(&[
                Span::secs(5),
                Span::secs(15),
                Span::secs(40),
                Span::secs(120),
            ])
            .unwrap_or(&Span::secs(40));
        Mix { faults, every }
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.faults.iter().map(|(fault, _)| fault.name).collect();
        names.join(", ")
    }

    fn pick(&self, draw: &mut Stream) -> Option<&'static Fault> {
        let total: u64 = self.faults.iter().map(|(_, weight)| weight).sum();
        let mut left = draw.below(total);
        for (fault, weight) in &self.faults {
            if left < *weight {
                return Some(fault);
            }
            left -= weight;
        }
        None
    }
}

/// How long a fault lasts: short, about a loop, about a lease, long.
fn duration(draw: &mut Stream, cluster: &ClusterShape) -> Span {
    match draw.below(4) {
        0 => draw.span(Span::millis(50), Span::secs(2)),
        1 => draw.span(Span::secs(1), cluster.loop_wait.times(2)),
        2 => draw.span(cluster.ttl.divided_by(2), cluster.ttl.times(2)),
        _long => draw.span(cluster.ttl, Span::secs(240)),
    }
}

/// To the millisecond, so that a printed plan is easy on the eye.
fn round(at: Span) -> Span {
    Span::millis(at.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse::parse;
    use crate::scenario::print::print;

    #[test]
    fn a_drawn_plan_is_a_scenario_that_reads_back_to_itself() {
        for seed in 0..200 {
            let plan = plan(seed, Span::secs(300));
            let text = print(&plan);
            assert_eq!(parse(&text).map_err(|c| c.to_string()), Ok(plan), "{text}");
        }
    }

    #[test]
    fn one_seed_is_one_plan_and_seeds_differ() {
        let of = |seed| plan(seed, Span::secs(300));
        assert_eq!(of(7), of(7));
        assert_ne!(of(7).steps, of(8).steps);
    }

    #[test]
    fn every_fault_sits_most_runs_out_and_none_sits_them_all_out() {
        let notes = |seed| plan(seed, Span::secs(10)).notes[0].clone();
        let runs: Vec<String> = (0..1_000).map(notes).collect();
        for fault in FAULTS {
            let takes_part = |run: &&String| run.split([',', ':']).any(|n| n.trim() == fault.name);
            let count = runs.iter().filter(takes_part).count();
            assert!(
                (1..600).contains(&count),
                "{} took part in {count}",
                fault.name
            );
        }
    }
}
