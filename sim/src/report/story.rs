//! Turns the events of a run into rows: what each member was, who held the leader key, what happened.
//! The common ground of the text timeline and of the swimlane. Knows nothing of either's looks.

use super::notes::Said;
use super::words::words;
use crate::event::{Event, Role, What};
use crate::moment::Moment;
use crate::scenario::run::{Outcome, Verdict};
use std::collections::BTreeMap;
use tanist_core::name::MemberName;

/// What one member is, in one letter and the number of its timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub part: Part,
    pub timeline: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Off,
    Down,
    Starting,
    Standby,
    /// It holds the leader key, or is being promoted, and takes no write yet.
    Candidate,
    Primary,
    /// Once a primary, being stopped, or with backends left over.
    Demoting,
}

impl Part {
    pub fn letter(self) -> char {
        match self {
            Part::Off => 'x',
            Part::Down => '-',
            Part::Starting => '.',
            Part::Standby => 's',
            Part::Candidate => 'C',
            Part::Primary => 'P',
            Part::Demoting => 'd',
        }
    }
}

/// One line of the story. The columns show what was so after it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub at: Moment,
    pub cells: BTreeMap<MemberName, Cell>,
    pub leader_key: Option<MemberName>,
    pub what: String,
}

pub fn rows(members: &[MemberName], events: &[Event]) -> Vec<Row> {
    let mut state = Columns::new(members);
    let mut rows: Vec<Row> = Vec::new();
    let mut said = Said::default();
    for event in events {
        state.follow(event);
        if !said.is_news(event) {
            continue;
        }
        if let Some(what) = words(event) {
            rows.push(Row {
                at: event.at,
                cells: state.cells(),
                leader_key: state.leader_key.clone(),
                what,
            });
        }
    }
    rows
}

/// The rows of a whole run, its verdict as the last one when it is a bad one.
pub fn rows_of(members: &[MemberName], outcome: &Outcome) -> Vec<Row> {
    let mut rows = rows(members, &outcome.events);
    if let Verdict::Refuted(claims) = &outcome.verdict {
        for claim in claims {
            let after = rows.partition_point(|row| row.at <= claim.at);
            let (cells, leader_key) = match after.checked_sub(1).map(|at| &rows[at]) {
                Some(row) => (row.cells.clone(), row.leader_key.clone()),
                None => (Columns::new(members).cells(), None),
            };
            let what = format!("REFUTED {}", claim.story);
            let row = Row {
                at: claim.at,
                cells,
                leader_key,
                what,
            };
            rows.insert(after, row);
        }
    }
    rows
}

/// The columns while the story goes on.
struct Columns {
    roles: BTreeMap<MemberName, (Role, u32)>,
    leader_key: Option<MemberName>,
}

impl Columns {
    fn new(members: &[MemberName]) -> Columns {
        Columns {
            roles: members
                .iter()
                .map(|name| (name.clone(), (Role::Stopped, 0)))
                .collect(),
            leader_key: None,
        }
    }

    fn follow(&mut self, event: &Event) {
        match &event.what {
            What::Postgres {
                member,
                role,
                timeline,
                ..
            } => {
                self.roles.insert(member.clone(), (*role, timeline.0));
            }
            What::LeaderKey { owner } => self.leader_key = owner.clone(),
            What::Acted { .. }
            | What::AgentStarted { .. }
            | What::AgentEnded { .. }
            | What::FencerStarted { .. }
            | What::FencerDied { .. }
            | What::FencerFired { .. }
            | What::WatchdogFired { .. }
            | What::Operation { .. }
            | What::Key { .. }
            | What::Streaming { .. }
            | What::Promoted { .. }
            | What::Acked { .. }
            | What::Lost { .. }
            | What::Note { .. }
            | What::Answered { .. }
            | What::Mark(_)
            | What::Broken { .. } => {}
        }
    }

    fn cells(&self) -> BTreeMap<MemberName, Cell> {
        let cell = |name: &MemberName, role: Role, timeline: u32| Cell {
            part: part(role, self.leader_key.as_ref() == Some(name)),
            timeline,
        };
        let cells = self
            .roles
            .iter()
            .map(|(name, (role, timeline))| (name.clone(), cell(name, *role, *timeline)));
        cells.collect()
    }
}

fn part(role: Role, holds_key: bool) -> Part {
    match role {
        Role::HostDown => Part::Off,
        Role::Stopped => Part::Down,
        Role::Starting => Part::Starting,
        Role::Standby if holds_key => Part::Candidate,
        Role::Standby => Part::Standby,
        Role::Promoting => Part::Candidate,
        Role::Primary => Part::Primary,
        Role::Stopping | Role::Orphaned => Part::Demoting,
    }
}
