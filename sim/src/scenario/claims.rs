//! What may be said of the world: facts, which a trigger waits for and a claim demands, and the claims
//! themselves. Knows nothing of log text: a fact is true or false of members, WAL, keys and clients.

use crate::act::Who;
use crate::marks::Mark;
use tanist_core::time::Span;

/// Something that is true of the world at an instant, or not. Of `any` and `standby` it is true if it
/// is of one of them, of `all` and `standbys` if of each; `leader` is the owner of the leader key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A backend there could still report a commit to a client.
    AcceptsWrites(Who),
    RefusesWrites(Who),
    /// Commits there wait for standbys, or none does.
    CommitsWait(Who, Waiting),
    /// The store's leader key names this member.
    HoldsKey(Who),
    KeyIsFree,
    /// It holds the leader key and accepts writes.
    LeaderIs(Who),
    /// Nobody both holds the key and accepts writes.
    NoLeader,
    Is(Who, Condition),
    Streams {
        member: Who,
        from: Who,
        timeline: Option<u32>,
    },
    /// The timeline of this member's WAL.
    OnTimeline(Who, u32),
    /// The timeline of the leader.
    TimelineIs(u32),
    /// The member's exclusive lane holds an operation of this kind.
    InOperation(Who, Work),
    /// Every member that runs either leads or streams from the leader on its timeline.
    EveryoneFollows,
    /// Acknowledged commits that the present leader's history does not hold.
    LostCommits(Relation, u64),
    /// Nobody has been promoted since the claim was made.
    NoFailover,
    /// The member has not thrown away its data directory since the claim was made.
    KeptData(Who),
    /// How the last request of an operator ended.
    RequestIs(Ending),
    /// The run has come past this mark.
    Mark(Mark),
}

/// What a member's PostgreSQL is, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It runs and is out of recovery.
    Primary,
    /// It runs in recovery.
    Standby,
    /// Neither postmaster nor any backend is left.
    Down,
}

/// Kinds of work in the exclusive lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Initdb,
    Clone,
    Start,
    Stop,
    Promote,
    CrashRecovery,
    Rewind,
    Discard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Some,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Exactly,
    AtMost,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Done,
    Refused,
    Failed,
}

/// What must hold, and when. Times count from the `at` line above the claim, or from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It becomes true, at the latest after this time.
    Within(Span, Fact),
    /// It is true at every instant for this long.
    For(Span, Fact),
    /// It is true at every instant until the end.
    Always(Fact),
    Never(Fact),
    AtEnd(Fact),
    /// When `event` becomes true for the first time, `first` is true already.
    Before {
        event: Fact,
        first: Fact,
    },
}

impl Condition {
    pub const ALL: [(&'static str, Condition); 3] = [
        ("primary", Condition::Primary),
        ("standby", Condition::Standby),
        ("down", Condition::Down),
    ];
}

impl Work {
    pub const ALL: [(&'static str, Work); 8] = [
        ("initdb", Work::Initdb),
        ("clone", Work::Clone),
        ("start", Work::Start),
        ("stop", Work::Stop),
        ("promote", Work::Promote),
        ("crash-recovery", Work::CrashRecovery),
        ("rewind", Work::Rewind),
        ("discard", Work::Discard),
    ];
}

impl Ending {
    pub const ALL: [(&'static str, Ending); 3] = [
        ("done", Ending::Done),
        ("refused", Ending::Refused),
        ("failed", Ending::Failed),
    ];
}

impl Relation {
    pub const ALL: [(&'static str, Relation); 3] = [
        ("=", Relation::Exactly),
        ("<=", Relation::AtMost),
        (">=", Relation::AtLeast),
    ];

    pub fn holds(self, count: u64, bound: u64) -> bool {
        match self {
            Relation::Exactly => count == bound,
            Relation::AtMost => count <= bound,
            Relation::AtLeast => count >= bound,
        }
    }
}

/// The word for a value of one of the tables above.
pub fn word_of<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table
        .iter()
        .find(|(_, v)| *v == value)
        .map_or("", |(word, _)| word)
}
