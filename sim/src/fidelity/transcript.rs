//! A script with what was answered to each of its steps: one JSON value a line, so that a changed answer is a changed
//! line. Says at which step two playings part. Knows nothing of what the steps and the answers are.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tanist_core::fields::differences;

/// One step, why it is there, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line<S, A> {
    pub about: String,
    #[serde(rename = "do")]
    pub step: S,
    #[serde(default = "nothing", skip_serializing_if = "Option::is_none")]
    pub seen: Option<A>,
}

fn nothing<A>() -> Option<A> {
    None
}

pub fn print<S: Serialize, A: Serialize>(lines: &[Line<S, A>]) -> String {
    let text = |line| serde_json::to_string(line).expect("steps are plain data with text keys");
    lines.iter().map(|line| text(line) + "\n").collect()
}

/// Reads a transcript; what is wrong with it, and in which line, otherwise.
pub fn parse<S: DeserializeOwned, A: DeserializeOwned>(
    text: &str,
) -> Result<Vec<Line<S, A>>, String> {
    let line = |(at, line)| {
        serde_json::from_str(line)
            .map_err(|e| format!("line {}: no step of a transcript: {e}", at + 1))
    };
    text.lines().enumerate().map(line).collect()
}

/// The steps alone, as a script has them.
pub fn steps<S: Clone, A>(lines: &[Line<S, A>]) -> Vec<(String, S)> {
    let step = |line: &Line<S, A>| (line.about.clone(), line.step.clone());
    lines.iter().map(step).collect()
}

/// The first step at which `played` is not as it was `recorded`.
pub fn parting<S, A>(recorded: &[Line<S, A>], played: &[Line<S, A>]) -> Option<String>
where
    S: Serialize + PartialEq,
    A: Serialize + PartialEq,
{
    let (was, is) = (recorded.len(), played.len());
    let mut partings = all_partings(recorded, played);
    let lengths = || (was != is).then(|| format!("{was} steps were recorded, {is} played"));
    partings.next().or_else(lengths)
}

/// Every step at which they part: after the first of them, the others may only follow from it.
pub fn all_partings<'a, S, A>(
    recorded: &'a [Line<S, A>],
    played: &'a [Line<S, A>],
) -> impl Iterator<Item = String> + 'a
where
    S: Serialize + PartialEq,
    A: Serialize + PartialEq,
{
    let pairs = recorded.iter().zip(played).enumerate();
    pairs
        .filter(|(_, (was, is))| was != is)
        .map(|(at, (was, is))| {
            let json = |line: &Line<S, A>| serde_json::to_value(line).unwrap_or_default();
            let fields = differences("", &json(was), &json(is), 8);
            let told: Vec<String> = fields
                .iter()
                .map(|f| format!("{}: really {}, here {}", f.path, f.recorded, f.replayed))
                .collect();
            format!("step {} ({}): {}", at + 1, was.about, told.join("; "))
        })
}
