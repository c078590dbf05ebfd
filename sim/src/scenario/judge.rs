//! Judges the claims of a scenario while its run goes on: which facts are true now, which claim has
//! come true, which can no longer. Knows nothing of how the run is moved forward.

use super::claims::{Condition, Demand, Ending, Fact, Waiting, Work};
use super::fact::show_demand;
use crate::act::Who;
use crate::event::{Event, Role, What};
use crate::marks::Marks;
use crate::moment::Moment;
use crate::truth::{MemberTruth, Truth};
use std::collections::BTreeMap;
use tanist_core::name::MemberName;
use tanist_core::operator::Answer;

/// What one instant looks like to claims and triggers.
pub struct Sight<'a> {
    pub truth: &'a Truth,
    pub marks: &'a Marks,
    pub memory: &'a Memory,
}

/// What claims need to know of the past.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    promoted: Vec<Moment>,
    discarded: BTreeMap<MemberName, Moment>,
    answered: Option<Ending>,
}

impl Memory {
    pub fn remember(&mut self, event: &Event) {
        match &event.what {
            What::Promoted { .. } => self.promoted.push(event.at),
            What::Operation {
                member,
                verb,
                outcome: None,
            } if verb == verb_of(Work::Discard) => {
                self.discarded.insert(member.clone(), event.at);
            }
            What::Answered { answer, .. } => {
                self.answered = ending_of(answer).or(self.answered);
            }
            What::Acted { .. }
            | What::AgentStarted { .. }
            | What::AgentEnded { .. }
            | What::FencerStarted { .. }
            | What::FencerDied { .. }
            | What::FencerFired { .. }
            | What::WatchdogFired { .. }
            | What::Postgres { .. }
            | What::Operation { .. }
            | What::LeaderKey { .. }
            | What::Key { .. }
            | What::Streaming { .. }
            | What::Acked { .. }
            | What::Lost { .. }
            | What::Note { .. }
            | What::Mark(_)
            | What::Broken { .. } => {}
        }
    }
}

/// An answer that only says "wait" ends nothing.
fn ending_of(answer: &Answer) -> Option<Ending> {
    match answer {
        Answer::Done(_) => Some(Ending::Done),
        Answer::Refused { .. } => Some(Ending::Refused),
        Answer::Failed(_) => Some(Ending::Failed),
        Answer::Accepted(_) | Answer::StillRunning(_) => None,
    }
}

/// The core's word for a kind of work, as the truth names the operation in the lane.
fn verb_of(work: Work) -> &'static str {
    match work {
        Work::Initdb => "initdb",
        Work::Clone => "clone",
        Work::Start => "start",
        Work::Stop => "stop",
        Work::Promote => "promote",
        Work::CrashRecovery => "crash recovery",
        Work::Rewind => "rewind",
        Work::Discard => "discard data",
    }
}

impl Sight<'_> {
    /// Is `fact` true now? `since`: when it was first asked for.
    pub fn shows(&self, fact: &Fact, since: Moment) -> bool {
        match fact {
            Fact::AcceptsWrites(who) => self.of(who, |_, m| m.accepts_writes),
            Fact::RefusesWrites(who) => self.of(who, |_, m| !m.can_write),
            Fact::CommitsWait(who, Waiting::Some) => self.of(who, |_, m| m.waiting_commits > 0),
            Fact::CommitsWait(who, Waiting::None) => self.of(who, |_, m| m.waiting_commits == 0),
            Fact::HoldsKey(who) => {
                self.of(who, |name, _| self.truth.leader_key.as_ref() == Some(name))
            }
            Fact::KeyIsFree => self.truth.leader_key.is_none(),
            Fact::LeaderIs(who) => {
                self.of(who, |name, _| self.leader().is_some_and(|(l, _)| l == name))
            }
            Fact::NoLeader => self.leader().is_none(),
            Fact::Is(who, condition) => self.of(who, |_, m| is(m.role, *condition)),
            Fact::Streams {
                member,
                from,
                timeline,
            } => self.of(member, |_, m| {
                let right_timeline = timeline.is_none_or(|number| m.timeline.0 == number);
                let upstream = m.streams_from.as_ref();
                right_timeline && upstream.is_some_and(|up| self.of(from, |name, _| name == up))
            }),
            Fact::OnTimeline(who, number) => self.of(who, |_, m| m.timeline.0 == *number),
            Fact::TimelineIs(number) => self.leader().is_some_and(|(_, m)| m.timeline.0 == *number),
            Fact::InOperation(who, work) => {
                self.of(who, |_, m| m.operation.as_deref() == Some(verb_of(*work)))
            }
            Fact::EveryoneFollows => self.everyone_follows(),
            Fact::LostCommits(relation, bound) => relation.holds(self.truth.commits.lost, *bound),
            Fact::NoFailover => !self.memory.promoted.iter().any(|at| *at >= since),
            Fact::KeptData(who) => self.of(who, |name, _| {
                self.memory.discarded.get(name).is_none_or(|at| *at < since)
            }),
            Fact::RequestIs(ending) => self.memory.answered == Some(*ending),
            Fact::Mark(mark) => self.marks.hits().contains_key(mark),
        }
    }

    /// The owner of the leader key, if it also accepts writes.
    fn leader(&self) -> Option<(&MemberName, &MemberTruth)> {
        let owner = self.truth.leader_key.as_ref()?;
        let member = self.truth.members.get(owner)?;
        member.accepts_writes.then_some((owner, member))
    }

    fn everyone_follows(&self) -> bool {
        let Some((leader, primary)) = self.leader() else {
            return false;
        };
        self.truth.members.iter().all(|(name, member)| {
            let follows =
                member.streams_from.as_ref() == Some(leader) && member.timeline == primary.timeline;
            name == leader || follows || member.role == Role::HostDown
        })
    }

    /// Does `test` hold of the members that `who` names: of each, or of one where one is meant?
    fn of(&self, who: &Who, test: impl Fn(&MemberName, &MemberTruth) -> bool) -> bool {
        let members = &self.truth.members;
        match who {
            Who::Member(name) => members.get(name).is_some_and(|m| test(name, m)),
            Who::Leader => {
                let owner = self.truth.leader_key.as_ref();
                owner
                    .and_then(|name| members.get_key_value(name))
                    .is_some_and(|(n, m)| test(n, m))
            }
            Who::Any => members.iter().any(|(n, m)| test(n, m)),
            Who::All => members.iter().all(|(n, m)| test(n, m)),
            Who::Standby => members
                .iter()
                .any(|(n, m)| m.role == Role::Standby && test(n, m)),
            Who::Standbys => members
                .iter()
                .all(|(n, m)| m.role != Role::Standby || test(n, m)),
        }
    }
}

fn is(role: Role, condition: Condition) -> bool {
    match condition {
        Condition::Primary => role == Role::Primary,
        Condition::Standby => role == Role::Standby,
        Condition::Down => matches!(role, Role::Stopped | Role::HostDown),
    }
}

/// A claim that did not come true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuted {
    pub at: Moment,
    /// The claim as the scenario words it, and what was seen instead.
    pub story: String,
}

/// A claim that is not settled yet.
#[derive(Clone, Debug)]
pub struct OpenClaim {
    demand: Demand,
    since: Moment,
}

/// How a claim stands at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open,
    Kept,
    Refuted(&'static str),
}

impl OpenClaim {
    pub fn new(demand: Demand, since: Moment) -> OpenClaim {
        OpenClaim { demand, since }
    }

    /// The instant at which this claim must be looked at even if nothing happens.
    pub fn due(&self) -> Option<Moment> {
        match &self.demand {
            Demand::Within(span, _) | Demand::For(span, _) => Some(self.since + *span),
            Demand::Always(_) | Demand::Never(_) | Demand::AtEnd(_) | Demand::Before { .. } => None,
        }
    }

    fn standing(&self, sight: &Sight<'_>, end: Look) -> Standing {
        let holds = |fact: &Fact| sight.shows(fact, self.since);
        let due = self.due();
        let late = due.is_some_and(|due| sight.truth.at >= due);
        let over = due.is_some_and(|due| sight.truth.at > due);
        match &self.demand {
            Demand::For(..) if over => Standing::Kept,
            Demand::Within(_, fact) if !over && holds(fact) => Standing::Kept,
            Demand::Within(..) if late => Standing::Refuted("it had not come true by then"),
            Demand::Within(..) => Standing::Open,
            Demand::For(_, fact) | Demand::Always(fact) if !holds(fact) => {
                Standing::Refuted("it was no longer true")
            }
            Demand::For(..) if late => Standing::Kept,
            Demand::For(..) => Standing::Open,
            Demand::Never(fact) if holds(fact) => Standing::Refuted("it came true"),
            Demand::Always(_) | Demand::Never(_) => end.keeps(),
            Demand::AtEnd(fact) => match end {
                Look::Meanwhile => Standing::Open,
                Look::Last if holds(fact) => Standing::Kept,
                Look::Last => Standing::Refuted("it was not true at the end"),
            },
            Demand::Before { event, first } => match (holds(event), end) {
                (true, _) if holds(first) => Standing::Kept,
                (true, _) => Standing::Refuted("the first came true before the second"),
                (false, Look::Meanwhile) => Standing::Open,
                (false, Look::Last) => Standing::Refuted("it never came to it"),
            },
        }
    }
}

/// Is this the run's last look?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Meanwhile,
    Last,
}

impl Look {
    fn keeps(self) -> Standing {
        match self {
            Look::Meanwhile => Standing::Open,
            Look::Last => Standing::Kept,
        }
    }
}

/// All claims of a run.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    open: Vec<OpenClaim>,
    pub refuted: Vec<Refuted>,
    pub kept: usize,
}

impl Claims {
    pub fn open(&mut self, demand: Demand, since: Moment) {
        self.open.push(OpenClaim::new(demand, since));
    }

    /// Is nothing open that could still be refuted before the end?
    pub fn is_settled(&self) -> bool {
        self.open
            .iter()
            .all(|claim| matches!(claim.demand, Demand::AtEnd(_)))
    }

    /// Would all that is open be kept if this were the last look?
    pub fn would_be_kept(&self, sight: &Sight<'_>) -> bool {
        let mut open = self.open.iter();
        open.all(|claim| claim.standing(sight, Look::Last) == Standing::Kept)
    }

    pub fn next_due(&self) -> Option<Moment> {
        self.open.iter().filter_map(OpenClaim::due).min()
    }

    pub fn look(&mut self, sight: &Sight<'_>) {
        self.settle(sight, Look::Meanwhile);
    }

    /// The last look: what is still open is settled now.
    pub fn look_at_end(&mut self, sight: &Sight<'_>) {
        self.settle(sight, Look::Last);
    }

    fn settle(&mut self, sight: &Sight<'_>, end: Look) {
        let mut still_open = Vec::new();
        for claim in std::mem::take(&mut self.open) {
            match claim.standing(sight, end) {
                Standing::Open => still_open.push(claim),
                Standing::Kept => self.kept += 1,
                Standing::Refuted(why) => self.refuted.push(Refuted {
                    at: sight.truth.at,
                    story: format!("expected {}: {why}", show_demand(&claim.demand)),
                }),
            }
        }
        self.open = still_open;
    }
}
