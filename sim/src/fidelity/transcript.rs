//! A script with what was answered to each of its steps: one JSON value a line, so that a changed answer is a changed
//! line. Says at which step two playings part.

use super::store_script::Step;
use serde::{Deserialize, Serialize};
use tanist_core::fields::differences;
use tanist_core::primitive::PrimitiveOutcome;

/// One step, why it is there, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub about: String,
    #[serde(rename = "do")]
    pub step: Step,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<PrimitiveOutcome>,
}

pub fn print(lines: &[Line]) -> String {
    let text = |line| serde_json::to_string(line).expect("steps are plain data with text keys");
    lines.iter().map(|line| text(line) + "\n").collect()
}

/// Reads a transcript; what is wrong with it, and in which line, otherwise.
pub fn parse(text: &str) -> Result<Vec<Line>, String> {
    let line = |(at, line)| {
        serde_json::from_str(line)
            .map_err(|e| format!("line {}: no step of a transcript: {e}", at + 1))
    };
    text.lines().enumerate().map(line).collect()
}

/// The first step at which `played` is not as it was `recorded`.
pub fn parting(recorded: &[Line], played: &[Line]) -> Option<String> {
    for (at, (was, is)) in recorded.iter().zip(played).enumerate() {
        if was == is {
            continue;
        }
        let json = |line: &Line| serde_json::to_value(line).unwrap_or_default();
        let fields = differences("", &json(was), &json(is), 8);
        let told: Vec<String> = fields
            .iter()
            .map(|f| format!("{}: really {}, here {}", f.path, f.recorded, f.replayed))
            .collect();
        return Some(format!(
            "step {} ({}): {}",
            at + 1,
            was.about,
            told.join("; ")
        ));
    }
    let (was, is) = (recorded.len(), played.len());
    (was != is).then(|| format!("{was} steps were recorded, {is} played"))
}
