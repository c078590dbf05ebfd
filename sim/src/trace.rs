//! The merged trace of a run: its plan, each event with its true time, and at the end the next draw of
//! every stream. Two runs of one plan write the same bytes. Knows nothing of any single agent's trace.

use crate::plan::Plan;
use crate::scenario::print::print;
use crate::scenario::run::Outcome;

/// One JSON value a line.
pub fn trace(plan: &Plan, outcome: &Outcome) -> String {
    let mut lines = vec![line(&("plan", print(plan)))];
    lines.extend(outcome.events.iter().map(line));
    lines.push(line(&("ended", outcome.ended)));
    lines.push(line(&("unseed", &outcome.unseed)));
    lines.join("\n") + "\n"
}

fn line<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("events are plain data with text keys")
}
