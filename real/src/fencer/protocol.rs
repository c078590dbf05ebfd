//! What agent and fencer say to each other over the socket: one JSON object a line, both ways.
//! Knows nothing of sockets, and nothing of what the fencer does about a command.
//!
//! A request carries an id and gets exactly one answer with that id. Events carry none.

use super::process_table::{InstanceProcess, ProcessId};
use serde::{Deserialize, Serialize};
use tanist_core::fencer::{Armed, FencerRequest};
use tanist_core::name::Term;
use tanist_core::time::{Mono, Span};

/// Counts up when an old client could misread a new fencer.
pub const VERSION: u32 = 1;

/// No line may be longer. An environment of a postmaster fits many times.
pub const LINE_BYTES_MAX: usize = 256 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The first line of a connection. A new agent displaces the one before it.
    Hello {
        version: u32,
        role: Role,
    },
    /// "Are you awake?"
    Ping,
    /// Arm, extend, disarm: the deadline.
    Obey(FencerRequest),
    /// Start a postmaster. Refused while any process of the instance lives.
    Spawn(SpawnPostmaster),
    /// Hold a postmaster that somebody else started.
    Adopt(ProcessId),
    /// End every process of the instance now. Answered when none is left.
    Fence {
        reason: String,
    },
    Status,
    /// Every living process of the instance.
    Processes,
    /// The last lines of the fencer's own account.
    Diagnostics,
}

/// Who is calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The one that commands. The newest agent wins.
    Agent,
    /// May look, not command.
    Observer,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnPostmaster {
    /// Program and arguments. The program's path is absolute.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Where stdout and stderr go (appended to, created with mode 0600).
    pub log_path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromFencer {
    Answer { id: u64, answer: Answer },
    Event(Event),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Refused { why: String },
    Spawned(ProcessId),
    Status(Box<Status>),
    Processes(Vec<InstanceProcess>),
    Diagnostics(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A wake-up, never proof that nothing can commit: backends outlive their postmaster.
    PostmasterExited(PostmasterExit),
    Fired(Firing),
    /// A newer agent has said hello: the last line of this connection.
    Displaced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostmasterExit {
    pub postmaster: ProcessId,
    pub how: ExitHow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitHow {
    Code(i32),
    Signal(i32),
    /// It was not the fencer's child: only that it is gone is known.
    NotKnown,
}

/// One time that the fencer ended PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    pub why: FiringReason,
    /// The tenure it was armed for, if it was armed.
    pub term: Option<Term>,
    pub at: Mono,
    /// Until no process of the instance was left.
    pub took: Span,
    /// How many processes got SIGKILL (those that SIGQUIT did not end in time).
    pub killed: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FiringReason {
    DeadlinePassed { until: Mono },
    Asked { reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: u32,
    pub fencer: ProcessId,
    pub armed: Option<Armed>,
    /// Disarmed for pause while this tenure was armed, and not armed since.
    pub paused: Option<Term>,
    /// Ending PostgreSQL at this very moment.
    pub firing: bool,
    pub postmaster: Option<ProcessId>,
    pub last_exit: Option<PostmasterExit>,
    pub last_firing: Option<Firing>,
    pub memory: Memory,
    pub self_test: SelfTest,
    /// The self-test's measure and the pause between SIGQUIT and SIGKILL: what `stop` costs at least.
    pub stop_measured: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memory {
    Locked,
    /// May be swapped out; why.
    NotLocked(String),
}

/// What ending a few dummy processes took when the fencer started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTest {
    /// The slowest look at the whole process table.
    pub scan: Span,
    /// From SIGKILL of all dummies until a look found none of them.
    pub kill: Span,
}

/// One line, with its end.
pub fn to_line<T: Serialize>(message: &T) -> Vec<u8> {
    // Serializing our own plain data to memory cannot fail; an empty line would be refused by the other side.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads one line. The error says what is wrong with it, not what it held.
pub fn from_line<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|e| format!("line not understood: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_wire() {
        let request = Request {
            id: 7,
            command: Command::Obey(FencerRequest::Extend {
                term: Term(3),
                until: Mono(9),
            }),
        };
        let line = to_line(&request);
        assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
        assert_eq!(from_line::<Request>(&line).unwrap(), request);
    }

    #[test]
    fn a_line_break_inside_a_value_does_not_end_the_line() {
        let line = to_line(&Command::Fence {
            reason: "two\nlines".into(),
        });
        assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
    }

    #[test]
    fn an_odd_line_is_an_error_and_no_panic() {
        assert!(from_line::<Request>(b"{\"id\":").is_err());
        assert!(from_line::<Request>(b"").is_err());
    }
}
