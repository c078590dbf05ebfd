//! Does this core do again what a recording says was done? Feeds the recorded inputs to an agent and compares.
//! Never panics on what it reads; the first difference is told with its line and field.
//!
//! What is compared at each handle, in this order: the number, effects, notes, the digest of the state where
//! one was written, and the line's own sum. The sum comes last since the others say more.

use crate::agent::{Agent, Output};
use crate::record::{FORMAT, FORMAT_MIN, Handled, Header, Line, digest, line_sum, split_sum};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt;

/// A recording that this core reproduces to the last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Handles that were replayed.
    pub handles: u64,
    /// Handles that the recording itself says were not written.
    pub lost: u64,
    /// The number of a last line that was cut off, as a crash or a full disk leaves it.
    pub truncated: Option<usize>,
    /// The state after the last handle.
    pub agent: Option<Agent>,
}

/// The first place at which recording and replay part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Counted from 1.
    pub line: usize,
    /// `effects[0].body.Dcs.until`; `n`, `format`, `sum`, `digest`, or `line` for one that cannot be read.
    pub path: String,
    pub recorded: String,
    pub replayed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, {}: recorded {}, replayed {}",
            self.line, self.path, self.recorded, self.replayed
        )
    }
}

impl std::error::Error for Difference {}

/// Replays the text of one segment, or of several in their order.
pub fn replay(text: &str) -> Result<Replayed, Difference> {
    let mut replay = Replay {
        line: 0,
        sum: 0,
        handles: 0,
        phase: Phase::BeforeHeader,
        done: Replayed {
            handles: 0,
            lost: 0,
            truncated: None,
            agent: None,
        },
    };
    for raw in text.split_inclusive('\n') {
        replay.line += 1;
        let line = raw.strip_suffix('\n');
        let Some((body, sum)) = split_sum(line.unwrap_or(raw)) else {
            if line.is_none() {
                replay.done.truncated = Some(replay.line);
                break;
            }
            return Err(replay.unreadable(raw, "a line that ends with its sum"));
        };
        replay.take(&body, sum)?;
    }
    if let Phase::BeforeHeader = replay.phase {
        return Err(replay.unreadable("nothing", "a header"));
    }
    if let Phase::Running(agent) = replay.phase {
        replay.done.agent = Some(*agent);
    }
    Ok(replay.done)
}

enum Phase {
    BeforeHeader,
    /// A segment that begins in the middle of an agent's life: its state must come first.
    BeforeSnapshot,
    Running(Box<Agent>),
    /// Lines were lost: only a new segment can go on.
    Ended,
}

/// Just enough of a line to see whether it is a header, and in which format.
#[derive(Deserialize)]
struct Peek {
    header: Option<Map<String, Value>>,
}

struct Replay {
    line: usize,
    sum: u64,
    handles: u64,
    phase: Phase,
    done: Replayed,
}

impl Replay {
    fn difference(
        &self,
        path: impl Into<String>,
        recorded: impl Into<String>,
        replayed: impl Into<String>,
    ) -> Difference {
        Difference {
            line: self.line,
            path: path.into(),
            recorded: recorded.into(),
            replayed: replayed.into(),
        }
    }

    fn unreadable(&self, found: &str, expected: &str) -> Difference {
        self.difference(
            "line",
            shortened(found.trim_end()),
            format!("expected {expected}"),
        )
    }

    fn take(&mut self, body: &str, sum: u64) -> Result<(), Difference> {
        self.check_format(body)?;
        let line: Line = match serde_json::from_str(body) {
            Ok(line) => line,
            Err(error) => return Err(self.unreadable(body, &format!("a line: {error}"))),
        };
        let before = self.sum;
        self.sum = sum;
        match line {
            Line::Header(header) => {
                self.sum_is(0, body, sum)?;
                self.begin(*header)?;
                return Ok(());
            }
            Line::Snapshot(agent) => match self.phase {
                Phase::BeforeSnapshot => self.phase = Phase::Running(agent),
                Phase::BeforeHeader | Phase::Running(_) | Phase::Ended => {
                    return Err(self.unreadable("a snapshot", "it after a header only"));
                }
            },
            Line::Handle(handled) => self.handle(*handled)?,
            Line::Lost { lines } => {
                self.done.lost = self.done.lost.saturating_add(lines);
                self.handles = self.handles.saturating_add(lines);
                self.phase = Phase::Ended;
            }
        }
        self.sum_is(before, body, sum)
    }

    /// Before anything else is read of a header: another format has other fields.
    fn check_format(&self, body: &str) -> Result<(), Difference> {
        let Ok(Peek {
            header: Some(header),
        }) = serde_json::from_str(body)
        else {
            return Ok(());
        };
        let format = header.get("format");
        let known = format
            .and_then(Value::as_u64)
            .is_some_and(|f| (u64::from(FORMAT_MIN)..=u64::from(FORMAT)).contains(&f));
        if known {
            return Ok(());
        }
        let reads = format!("this core reads {FORMAT_MIN} to {FORMAT}");
        Err(self.difference("format", shown(format), reads))
    }

    fn sum_is(&self, before: u64, body: &str, sum: u64) -> Result<(), Difference> {
        let found = line_sum(before, body);
        if found == sum {
            return Ok(());
        }
        Err(self.difference(
            "sum",
            format!("{sum:016x}"),
            format!("{found:016x}: the line was changed, or one before it is missing"),
        ))
    }

    fn begin(&mut self, header: Header) -> Result<(), Difference> {
        let follows = match self.phase {
            Phase::BeforeHeader => true,
            // More may have been lost than the last words could say: the disk was full, after all.
            Phase::Ended => header.before >= self.handles,
            Phase::BeforeSnapshot | Phase::Running(_) => header.before == self.handles,
        };
        // Another life of the agent begins at its own beginning, whatever came before.
        if !follows && header.before != 0 {
            return Err(self.difference(
                "header.before",
                header.before.to_string(),
                self.handles.to_string(),
            ));
        }
        if let Phase::Ended = self.phase {
            let unsaid = header.before.saturating_sub(self.handles);
            self.done.lost = self.done.lost.saturating_add(unsaid);
        }
        self.handles = header.before;
        self.phase = if header.before == 0 {
            let agent = Agent::new(header.settings, header.boot, header.seed, header.start);
            Phase::Running(Box::new(agent))
        } else {
            Phase::BeforeSnapshot
        };
        Ok(())
    }

    fn handle(&mut self, handled: Handled) -> Result<(), Difference> {
        let expected = self.handles.saturating_add(1);
        if handled.n != expected {
            return Err(self.difference("n", handled.n.to_string(), expected.to_string()));
        }
        let Phase::Running(agent) = &mut self.phase else {
            return Err(self.unreadable("a handle", "a header (and a snapshot) before it"));
        };
        let mut output = Output::default();
        agent.handle(handled.now, handled.input, &mut output);
        let left = handled.digest.as_ref().map(|_| digest(agent));
        self.handles = expected;
        self.done.handles += 1;
        self.same("effects", &handled.effects, &as_json(&output.effects))?;
        self.same("notes", &handled.notes, &as_json(&output.notes))?;
        match (handled.digest, left) {
            (Some(recorded), Some(replayed)) if recorded != replayed => {
                Err(self.difference("digest", recorded, replayed))
            }
            _ => Ok(()),
        }
    }

    fn same(&self, field: &str, recorded: &Value, replayed: &Value) -> Result<(), Difference> {
        match first_difference(field.to_string(), recorded, replayed) {
            None => Ok(()),
            Some((path, recorded, replayed)) => Err(self.difference(path, recorded, replayed)),
        }
    }
}

fn as_json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The path of the first value in which two documents differ, with both values.
fn first_difference(path: String, a: &Value, b: &Value) -> Option<(String, String, String)> {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            for at in 0..a.len().max(b.len()) {
                let (x, y) = (a.get(at), b.get(at));
                let here = format!("{path}[{at}]");
                match (x, y) {
                    (Some(x), Some(y)) => {
                        let found = first_difference(here, x, y);
                        if found.is_some() {
                            return found;
                        }
                    }
                    (x, y) => return Some((here, shown(x), shown(y))),
                }
            }
            None
        }
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (x, y) = (a.get(key), b.get(key));
                let here = format!("{path}.{key}");
                match (x, y) {
                    (Some(x), Some(y)) => {
                        let found = first_difference(here, x, y);
                        if found.is_some() {
                            return found;
                        }
                    }
                    (x, y) => return Some((here, shown(x), shown(y))),
                }
            }
            None
        }
        (a, b) if a == b => None,
        (a, b) => Some((path, shown(Some(a)), shown(Some(b)))),
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_string(),
        Some(value) => shortened(&value.to_string()),
    }
}

fn shortened(text: &str) -> String {
    const LENGTH_MAX: usize = 200;
    match text.char_indices().nth(LENGTH_MAX) {
        None => text.to_string(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}
