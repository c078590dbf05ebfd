//! Does this core do again what a recording says was done? Feeds the recorded inputs to an agent and compares.
//! Never panics on what it reads; the first difference is told with its line and field.
//!
//! What is compared at each handle, in this order: the number, effects, notes, the digest of the state where
//! one was written, and the line's own sum. The sum comes last since the others say more.

use crate::agent::{Agent, Output};
use crate::fields::{Field, differences, shortened, shown};
use crate::note::Note;
use crate::record::{FORMAT, FORMAT_MIN, Handled, Header, Line, digest, line_sum, split_sum};
use crate::time::{Now, Span};
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

/// How to replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Nothing after the handle of this number, or after this time on the agent's clock since it began.
    pub until: Option<Until>,
    pub state: State,
    /// What is done to one of the inputs: what would have been decided then?
    pub change: Option<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Handle(u64),
    Time(Span),
}

/// Is the digest of the state compared?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Compared,
    /// Another core's state may hold other fields and still decide the same.
    NotCompared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The input of this number comes so much later, after whatever was recorded in between.
    Delay { n: u64, by: Span },
    /// It never comes.
    Drop { n: u64 },
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
    /// The handle whose outcome differs, where it is one.
    pub handle: Option<Box<Parted>>,
}

/// The handle at which recording and replay part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parted {
    pub n: u64,
    pub now: Now,
    /// What the agent was told, as the recording writes it.
    pub input: String,
    /// Every field of effects and notes that differs.
    pub fields: Vec<Field>,
    /// What was said then, and what is said now.
    pub said: Vec<String>,
    pub says: Vec<String>,
}

/// So many fields of one handle are named.
const FIELDS_MAX: usize = 24;

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
    replay_with(text, How::default())
}

/// The same up to some point, or with something changed.
pub fn replay_with(text: &str, how: How) -> Result<Replayed, Difference> {
    let mut replay = Replay {
        how,
        born: None,
        held: None,
        changed: false,
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
        if let Reached::End = replay.take(&body, sum)? {
            break;
        }
    }
    if let Phase::BeforeHeader = replay.phase {
        replay.line = replay.line.max(1);
        return Err(replay.unreadable("nothing", "a header"));
    }
    replay.let_go()?;
    if let (Some(Change::Delay { n, .. } | Change::Drop { n }), false) =
        (how.change, replay.changed)
    {
        let ends = format!("handle {} is the last one here", replay.handles);
        return Err(replay.difference("n", ends, format!("handle {n} was to be changed")));
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

/// Does the replay go on?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Middle,
    End,
}

/// An input that comes later than it was recorded.
struct Held {
    line: usize,
    handled: Handled,
}

struct Replay {
    how: How,
    /// When the agent's life that is replayed began.
    born: Option<Now>,
    held: Option<Held>,
    /// The change was made.
    changed: bool,
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
            handle: None,
        }
    }

    fn unreadable(&self, found: &str, expected: &str) -> Difference {
        self.difference(
            "line",
            shortened(found.trim_end()),
            format!("expected {expected}"),
        )
    }

    fn take(&mut self, body: &str, sum: u64) -> Result<Reached, Difference> {
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
                return Ok(Reached::Middle);
            }
            Line::Snapshot(agent) => match self.phase {
                Phase::BeforeSnapshot => self.phase = Phase::Running(agent),
                Phase::BeforeHeader | Phase::Running(_) | Phase::Ended => {
                    return Err(self.unreadable("a snapshot", "it after a header only"));
                }
            },
            Line::Handle(handled) => {
                if self.is_beyond(&handled) {
                    return Ok(Reached::End);
                }
                self.handle(*handled)?;
            }
            Line::Lost { lines } => {
                self.done.lost = self.done.lost.saturating_add(lines);
                self.handles = self.handles.saturating_add(lines);
                self.phase = Phase::Ended;
            }
        }
        self.sum_is(before, body, sum)?;
        Ok(Reached::Middle)
    }

    fn is_beyond(&self, handled: &Handled) -> bool {
        match (self.how.until, self.born) {
            (Some(Until::Handle(n)), _) => handled.n > n,
            (Some(Until::Time(span)), Some(born)) => handled.now.mono > born.mono + span,
            (Some(Until::Time(_)), None) | (None, _) => false,
        }
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
        self.born = Some(header.start);
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
        self.handles = expected;
        let is_time = |held: &Held| held.handled.now.mono <= handled.now.mono;
        if self.held.as_ref().is_some_and(is_time) {
            self.let_go()?;
        }
        match self.how.change {
            Some(Change::Drop { n }) if n == handled.n => {
                self.changed = true;
                Ok(())
            }
            Some(Change::Delay { n, by }) if n == handled.n => {
                self.changed = true;
                let mut handled = handled;
                handled.now.mono = handled.now.mono + by;
                handled.now.wall = handled.now.wall.plus(by);
                self.held = Some(Held {
                    line: self.line,
                    handled,
                });
                Ok(())
            }
            _unchanged => self.decide(handled),
        }
    }

    /// The input that was held back comes now.
    fn let_go(&mut self) -> Result<(), Difference> {
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        let here = std::mem::replace(&mut self.line, held.line);
        self.decide(held.handled)?;
        self.line = here;
        Ok(())
    }

    /// Tells the agent, and compares what comes of it.
    fn decide(&mut self, handled: Handled) -> Result<(), Difference> {
        let Phase::Running(agent) = &mut self.phase else {
            return Err(self.unreadable("a handle", "a header (and a snapshot) before it"));
        };
        let mut output = Output::default();
        let input = handled.input.clone();
        agent.handle(handled.now, handled.input, &mut output);
        let is_compared = self.how.state == State::Compared && self.how.change.is_none();
        let left = handled.digest.as_ref().filter(|_| is_compared);
        let left = left.map(|_| digest(agent));
        self.done.handles += 1;
        let (effects, notes) = (as_json(&output.effects), as_json(&output.notes));
        let mut fields = differences("effects", &handled.effects, &effects, FIELDS_MAX);
        let more = FIELDS_MAX.saturating_sub(fields.len());
        fields.extend(differences("notes", &handled.notes, &notes, more));
        if let (Some(recorded), Some(replayed)) = (handled.digest, left)
            && recorded != replayed
        {
            fields.push(Field {
                path: "digest".to_string(),
                recorded,
                replayed,
            });
        }
        let Some(first) = fields.first().cloned() else {
            return Ok(());
        };
        let mut difference = self.difference(first.path, first.recorded, first.replayed);
        difference.handle = Some(Box::new(Parted {
            n: handled.n,
            now: handled.now,
            input: shortened(&as_json(&input).to_string()),
            fields,
            said: words(&handled.notes),
            says: words(&notes),
        }));
        Err(difference)
    }
}

fn as_json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Notes as people read them; one that this core does not know as it was written.
pub fn words(notes: &Value) -> Vec<String> {
    let notes = notes.as_array().cloned().unwrap_or_default();
    let told = notes.into_iter().map(|note| {
        let text = note.to_string();
        serde_json::from_value::<Note>(note).map_or(text, |note| note.to_string())
    });
    told.collect()
}
