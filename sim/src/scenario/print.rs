//! Writes a plan as a scenario that reads back to the same plan. Knows nothing of how it came about.

use super::acts;
use super::fact::{show_demand, show_fact};
use super::lex::show_span;
use super::options::{show_members, show_options};
use crate::plan::{Plan, Step};
use crate::shape::ClusterShape;
use tanist_core::time::Span;

/// How many options stand on one `with` line.
const OPTIONS_A_LINE: usize = 5;

pub fn print(plan: &Plan) -> String {
    let mut lines = vec![format!("# {}", plan.question)];
    lines.extend(plan.notes.iter().map(|note| format!("# {note}")));
    lines.push(show_cluster(&plan.cluster));
    lines.push(format!("seed {:x}", plan.seed));
    lines.push(String::new());
    lines.extend(plan.steps.iter().map(show_step));
    lines.push(format!("at {}  end", pad(plan.end)));
    lines.join("\n") + "\n"
}

/// The lines that say what the cluster is.
pub fn show_cluster(cluster: &ClusterShape) -> String {
    let members = cluster.members.iter();
    let names: Vec<&str> = members.map(|member| member.name.as_str()).collect();
    let (first, rest) = show_options(cluster);
    let mut lines = vec![format!("cluster {}  {first}", names.join(" "))];
    for options in rest.chunks(OPTIONS_A_LINE) {
        lines.push(format!("with  {}", options.join("  ")));
    }
    lines.extend(show_members(cluster));
    lines.join("\n")
}

pub fn show_step(step: &Step) -> String {
    match step {
        Step::At { at, act: None } => format!("at {}", show_span(*at)),
        Step::At { at, act: Some(act) } => format!("at {}  {}", pad(*at), acts::show(act)),
        Step::When { fact, delay, act } => {
            let delay = if *delay == Span::ZERO {
                String::new()
            } else {
                format!(", after {}", show_span(*delay))
            };
            format!("when {}{delay}:  {}", show_fact(fact), acts::show(act))
        }
        Step::Expect(demand) => format!("expect {}", show_demand(demand)),
    }
}

/// Times of equal width, so that the acts below each other line up.
fn pad(at: Span) -> String {
    format!("{:<8}", show_span(at))
}
