//! Everything that can be due in a world: the entries of its one queue, by room.
//! Knows nothing of what handling them does.

use crate::moment::Moment;
use crate::pg::wal::Position;
use crate::store::Change;
use crate::wire::{Hop, Seat};
use std::collections::BTreeMap;
use std::sync::Arc;
use tanist_core::dcs::{DcsInput, LeaseId, Snapshot};
use tanist_core::fencer::FencerRequest;
use tanist_core::input::Input;
use tanist_core::lsn::Lsn;
use tanist_core::name::{MemberName, OpId};
use tanist_core::peer::PeerAnswer;
use tanist_core::postgres::{Observation, SideTask};
use tanist_core::primitive::{Primitive, PrimitiveOutcome};
use tanist_core::time::Mono;

#[derive(Clone, Debug)]
pub enum Due {
    /// For the agent's process of that life; void when it is gone.
    Agent {
        seat: Seat,
        life: u32,
        due: AgentDue,
    },
    /// For the fencer's process of that life.
    Fencer {
        seat: Seat,
        life: u32,
        due: FencerDue,
    },
    /// For the server of that start.
    Pg {
        seat: Seat,
        run: u32,
        due: PgDue,
    },
    /// A step of a command that runs on the host in a process of its own.
    Command {
        seat: Seat,
        ticket: Ticket,
        step: CommandStep,
    },
    Host {
        seat: Seat,
        due: HostDue,
    },
    Store(StoreDue),
    App(AppDue),
    /// A request for a member's REST.
    Ask(Box<Question>),
    /// What must have come about some time after the last fault was healed.
    JudgeRecovery,
}

/// Names an operation of one agent's life: ids begin anew with each life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    pub life: u32,
    pub op: OpId,
}

#[derive(Clone, Debug)]
pub enum AgentDue {
    /// The deadline of `next_wakeup`.
    Wake {
        deadline: Mono,
    },
    Tell(Box<Input>),
    CallAnswered(Box<CallAnswered>),
    CallTimedOut {
        op: OpId,
        call: u32,
    },
    ExchangeResumes {
        op: OpId,
        call: u32,
    },
    BeginWatch,
    Listed {
        watch: u32,
        snapshot: Box<Snapshot>,
    },
    ListTimedOut {
        watch: u32,
    },
    WatchEvent {
        watch: u32,
        change: Arc<Change>,
    },
    WatchBreaks {
        watch: u32,
    },
    /// A look at everything local is done.
    Looked {
        op: Option<OpId>,
    },
    SideDone {
        op: OpId,
        task: Box<SideTask>,
    },
    /// The look took too long: the server did not answer.
    LookedInVain {
        op: OpId,
        observation: Box<Observation>,
    },
    PeerSilent {
        op: OpId,
        member: MemberName,
    },
    Escalate {
        op: OpId,
        to: Harder,
    },
    /// An operation's time is over.
    GiveUp {
        op: OpId,
    },
}

/// The next degree of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harder {
    Immediate,
    Kill,
}

#[derive(Clone, Debug)]
pub struct CallAnswered {
    pub op: OpId,
    pub call: u32,
    pub outcome: PrimitiveOutcome,
}

#[derive(Clone, Debug)]
pub enum FencerDue {
    Request {
        from_life: u32,
        op: OpId,
        request: FencerRequest,
    },
    Deadline,
    /// What the immediate stop left is killed.
    KillAll,
}

#[derive(Clone, Debug)]
pub enum PgDue {
    Recovered,
    StartFails,
    SessionsEnded,
    ShutdownCheckpoint,
    GhostsGone,
    /// Every process that reacts to SIGQUIT is gone.
    QuitDone,
    /// SIGKILL takes effect.
    Killed,
    /// Sessions notice that their postmaster is gone.
    SessionsNotice,
    LoopsNotice,
    CrashRestart,
    Promoted,
    Checkpointed,
    Flush,
    LoopCommit,
    Connect,
    WalArrives {
        id: u64,
        upto: Position,
        sent_at: Moment,
    },
    ReplyArrives {
        id: u64,
        lsn: Lsn,
        replayed: Lsn,
        sent_at: Moment,
    },
    StallCheck {
        id: u64,
    },
    Disconnected {
        id: u64,
    },
    ArchiverGaveUp,
    /// `checkpoint_timeout` is over.
    TimedCheckpoint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandStep {
    InitdbDone,
    Done,
    CloneDone,
    RewindDone,
    RecoveryDone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostDue {
    StartAgent,
    StartFencer,
    Resume,
    ThawAgent,
    /// The watchdog's time may be over.
    Watchdog,
    /// A host that was reset is up again.
    Boot,
}

#[derive(Clone, Debug)]
pub enum StoreDue {
    CallArrives(Box<CallArrives>),
    AnswerLeaves(Box<AnswerLeaves>),
    ListArrives {
        seat: Seat,
        life: u32,
        watch: u32,
        hop: Hop,
        sent_at: Moment,
    },
    Expiry {
        lease: LeaseId,
    },
    Elect,
}

#[derive(Clone, Debug)]
pub struct CallArrives {
    pub seat: Seat,
    pub life: u32,
    pub op: OpId,
    pub call: u32,
    pub primitive: Primitive,
    pub hop: Hop,
    pub sent_at: Moment,
}

#[derive(Clone, Debug)]
pub struct AnswerLeaves {
    pub seat: Seat,
    pub life: u32,
    pub op: OpId,
    pub call: u32,
    pub outcome: PrimitiveOutcome,
    pub hop: Hop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppDue {
    Roam,
    Pinned(Seat),
}

#[derive(Clone, Debug)]
pub struct Question {
    pub hop: Hop,
    pub asker: Seat,
    pub life: u32,
    pub op: OpId,
    pub member: MemberName,
    pub until: Mono,
    pub sent_at: Moment,
    /// `None` on the way there, the answer on the way back.
    pub answer: Option<PeerAnswer>,
}

/// What came for a process while it stood still, in an order of the poll's own: backwards, but who tells everything
/// over one connection or channel still tells it in order.
pub fn backwards(mut parked: Vec<Due>) -> Vec<Due> {
    parked.reverse();
    let mut by_teller: BTreeMap<(u8, Teller), Vec<usize>> = BTreeMap::new();
    for (at, due) in parked.iter().enumerate() {
        if let Some((seat, teller)) = told_in_order(due) {
            by_teller.entry((seat.0, teller)).or_default().push(at);
        }
    }
    for places in by_teller.into_values() {
        let (front, back) = (places.iter(), places.iter().rev());
        for (a, b) in front.zip(back).take(places.len() / 2) {
            parked.swap(*a, *b);
        }
    }
    parked
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Teller {
    Watch,
    /// Shows what an operation left before it tells of its end.
    Postgres,
}

fn told_in_order(due: &Due) -> Option<(Seat, Teller)> {
    let Due::Agent { seat, due, .. } = due else {
        return None;
    };
    let teller = match due {
        AgentDue::Listed { .. } | AgentDue::WatchEvent { .. } | AgentDue::WatchBreaks { .. } => {
            Teller::Watch
        }
        AgentDue::Tell(input) => match **input {
            Input::Dcs(
                DcsInput::Listed { .. } | DcsInput::Changed { .. } | DcsInput::WatchLost { .. },
            ) => Teller::Watch,
            Input::Postgres(_) => Teller::Postgres,
            _ => return None,
        },
        AgentDue::Wake { .. }
        | AgentDue::CallAnswered(_)
        | AgentDue::CallTimedOut { .. }
        | AgentDue::ExchangeResumes { .. }
        | AgentDue::BeginWatch
        | AgentDue::ListTimedOut { .. }
        | AgentDue::Looked { .. }
        | AgentDue::SideDone { .. }
        | AgentDue::LookedInVain { .. }
        | AgentDue::PeerSilent { .. }
        | AgentDue::Escalate { .. }
        | AgentDue::GiveUp { .. } => return None,
    };
    Some((*seat, teller))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(seat: u8, due: AgentDue) -> Due {
        let (seat, life) = (Seat(seat), 1);
        Due::Agent { seat, life, due }
    }

    #[test]
    fn what_was_parked_comes_backwards_but_a_watch_stays_in_order() {
        let breaks = |seat, watch| agent(seat, AgentDue::WatchBreaks { watch });
        let parked = vec![
            breaks(0, 1),
            agent(0, AgentDue::BeginWatch),
            breaks(0, 2),
            breaks(1, 7),
            agent(1, AgentDue::Looked { op: None }),
            breaks(0, 3),
        ];
        let told: Vec<String> = backwards(parked)
            .iter()
            .map(|due| match due {
                Due::Agent {
                    seat,
                    due: AgentDue::WatchBreaks { watch },
                    ..
                } => {
                    format!("{}:{watch}", seat.0)
                }
                Due::Agent { seat, .. } => seat.0.to_string(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(told, ["0:1", "1", "1:7", "0:2", "0", "0:3"]);
    }
}
