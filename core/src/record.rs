//! The flight recorder's line format: what is written of each `handle`, and how a line proves itself whole.
//! Knows nothing of files. One JSON object a line; [`replay`](crate::replay) reads them back.
//!
//! 1. `header`: format and core version, commit, settings, boot, seed, start, and how many handles came before.
//! 2. `snapshot`: the whole agent, where a segment does not begin at the agent's own beginning.
//! 3. `handle`: number, now, input, effects, notes, and at intervals a digest of the state that it left.
//! 4. `lost`: the segment ends here, and so many handles after it were not written.
//!
//! Every line ends with `"sum"`: FNV-1a (64 bits) over the sum of the line before it and the line itself.
//! So a byte that was changed shows at its line even where it changes no decision.

use crate::agent::{Agent, Boot, Output};
use crate::effect::Effect;
use crate::input::Input;
use crate::note::Note;
use crate::settings::Settings;
use crate::time::Now;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The format that this core writes.
pub const FORMAT: u32 = 1;
/// The oldest format that this core still replays.
pub const FORMAT_MIN: u32 = 1;

/// Whose recording it is, and all that is needed to begin it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    /// Version of the core, and the commit it was built from (empty when the build did not know).
    pub core: String,
    pub commit: String,
    pub settings: Settings,
    pub boot: Boot,
    pub seed: u64,
    pub start: Now,
    /// Handles before this segment.
    pub before: u64,
}

impl Header {
    pub fn new(commit: &str, settings: Settings, boot: Boot, seed: u64, start: Now) -> Header {
        Header {
            format: FORMAT,
            core: env!("CARGO_PKG_VERSION").to_string(),
            commit: commit.to_string(),
            settings,
            boot,
            seed,
            start,
            before: 0,
        }
    }
}

/// A line as it is read. Effects and notes stay JSON, so that they can be shown whatever this core makes of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Header(Box<Header>),
    Snapshot(Box<Agent>),
    Handle(Box<Handled>),
    Lost { lines: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Handled {
    pub n: u64,
    pub now: Now,
    pub input: Input,
    pub effects: Value,
    pub notes: Value,
    pub digest: Option<String>,
}

/// The same, as it is written.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Written<'a> {
    Header(&'a Header),
    Snapshot(&'a Agent),
    Handle {
        n: u64,
        now: Now,
        input: &'a Input,
        effects: &'a [Effect],
        notes: &'a [Note],
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
    },
    Lost {
        lines: u64,
    },
}

/// Writes the lines of one segment after another. Plain data; where the text goes is the caller's matter.
#[derive(Clone, Debug)]
pub struct Recording {
    header: Header,
    /// Handles written or lost so far.
    handles: u64,
    sum: u64,
    digest_every: u64,
}

impl Recording {
    /// Begins at the agent's own beginning; the text is the first segment's header.
    pub fn begin(header: Header, digest_every: u64) -> (Recording, String) {
        let mut recording = Recording {
            header,
            handles: 0,
            sum: 0,
            digest_every: digest_every.max(1),
        };
        let line = recording.write(&Written::Header(&recording.header.clone()));
        (recording, line)
    }

    /// The line of one handle. `agent` is the state that it left.
    pub fn handle(&mut self, now: Now, input: &Input, output: &Output, agent: &Agent) -> String {
        self.handles += 1;
        let digest = self
            .handles
            .is_multiple_of(self.digest_every)
            .then(|| digest(agent));
        self.write(&Written::Handle {
            n: self.handles,
            now,
            input,
            effects: &output.effects,
            notes: &output.notes,
            digest,
        })
    }

    /// Handles so far, written or not.
    pub fn handles(&self) -> u64 {
        self.handles
    }

    /// A handle that nobody will read of: counted, so that the numbers go on.
    pub fn skip(&mut self) {
        self.handles += 1;
    }

    /// Header and snapshot of a new segment, which begins at the state `agent`.
    pub fn segment(&mut self, agent: &Agent) -> String {
        self.sum = 0;
        self.header.before = self.handles;
        let header = self.write(&Written::Header(&self.header.clone()));
        header + &self.write(&Written::Snapshot(agent))
    }

    fn write(&mut self, line: &Written<'_>) -> String {
        let (text, sum) = sealed(line, self.sum);
        self.sum = sum;
        text
    }
}

/// The last line of a segment after which `lines` handles were not written; `before` is the sum of the line
/// that it follows. Whoever owns the file makes it, since only there it is known which line came last.
pub fn lost_line(before: u64, lines: u64) -> String {
    sealed(&Written::Lost { lines }, before).0
}

fn sealed(line: &Written<'_>, before: u64) -> (String, u64) {
    // Plain data with text keys: no value of these types fails to be written as JSON.
    let mut text = serde_json::to_string(line).unwrap_or_default();
    let sum = line_sum(before, &text);
    text.pop();
    text.push_str(&format!(",\"sum\":\"{sum:016x}\"}}\n"));
    (text, sum)
}

/// `,"sum":"0123456789abcdef"}`
const SUM_LENGTH: usize = 26;

/// Takes a line (without its line end) apart into what was summed and the sum it carries.
pub fn split_sum(line: &str) -> Option<(String, u64)> {
    let at = line.len().checked_sub(SUM_LENGTH)?;
    let (body, tail) = line.split_at_checked(at)?;
    let sum = tail.strip_prefix(",\"sum\":\"")?.strip_suffix("\"}")?;
    let plain = sum
        .bytes()
        .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    let sum = u64::from_str_radix(sum, 16).ok().filter(|_| plain)?;
    Some((format!("{body}}}"), sum))
}

/// The sum of a line that follows a line with the sum `before` (0 for the first).
pub fn line_sum(before: u64, text: &str) -> u64 {
    fnv1a(fnv1a(FNV_OFFSET, &before.to_be_bytes()), text.as_bytes())
}

/// Digest of the whole state: FNV-1a (64 bits) over its canonical JSON, as 16 hexadecimal digits.
pub fn digest(agent: &Agent) -> String {
    let text = serde_json::to_vec(agent).unwrap_or_default();
    format!("{:016x}", fnv1a(FNV_OFFSET, &text))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, b| {
        (hash ^ u64::from(*b)).wrapping_mul(FNV_PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_fnv_1a() {
        assert_eq!(fnv1a(FNV_OFFSET, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(FNV_OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_line_without_a_well_formed_sum_is_not_a_line() {
        for bad in [
            "",
            "{}",
            "{\"lost\":{\"lines\":1}}",
            "é,\"sum\":\"0123456789abcdeF\"}",
        ] {
            assert_eq!(split_sum(bad), None, "{bad}");
        }
        let (body, sum) = split_sum("{\"a\":1,\"sum\":\"00000000000000ff\"}").unwrap();
        assert_eq!((body.as_str(), sum), ("{\"a\":1}", 255));
    }
}
