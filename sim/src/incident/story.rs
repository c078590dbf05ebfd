//! The members' recordings as events of one story, in the order of the common clock: what each saw of its own
//! PostgreSQL, who held the leader key, what was decided and why.

use super::clocks::{Clock, Clocks};
use super::recording::{Recording, Told};
use crate::event::{Event, Role, What};
use crate::moment::Moment;
use std::collections::BTreeMap;
use tanist_core::dcs::{DcsInput, DcsOutcome, DcsReply, KeyValue, Revision};
use tanist_core::input::Input;
use tanist_core::keys::LEADER;
use tanist_core::name::MemberName;
use tanist_core::note::Note;
use tanist_core::postgres::{Observation, PgInput, Sql};
use tanist_core::time::{Mono, Span};
use tanist_core::timeline::TimelineId;

/// The story of an incident.
#[derive(Clone, Debug)]
pub struct Merged {
    pub members: Vec<MemberName>,
    pub events: Vec<Event>,
    pub ended: Moment,
    /// What a reader has to know of how good it is.
    pub remarks: Vec<String>,
}

pub fn merge(recordings: &[Recording]) -> Merged {
    let clocks = Clocks::of(recordings);
    let mut told: Vec<(i128, What)> = Vec::new();
    for (at, recording) in recordings.iter().enumerate() {
        for (life, (boot, start)) in recording.starts.iter().enumerate() {
            let what = What::AgentStarted {
                member: recording.member.clone(),
                incarnation: life as u64 + 1,
            };
            told.push((clocks.common((at, *boot), start.mono), what));
        }
        of_one(at, recording, &clocks, &mut told);
    }
    leader_keys(recordings, &clocks, &mut told);
    told.sort_by_key(|(at, _)| *at);
    let first = told.first().map_or(0, |(at, _)| *at);
    let moment = |at: i128| Moment(u64::try_from(at - first).unwrap_or_default());
    let ended = told.last().map_or(Moment::START, |(at, _)| moment(*at));
    let events = told.into_iter().map(|(at, what)| Event {
        at: moment(at),
        what,
    });
    Merged {
        members: recordings.iter().map(|r| r.member.clone()).collect(),
        events: events.collect(),
        ended: ended + Span::secs(1),
        remarks: remarks(recordings, &clocks),
    }
}

fn remarks(recordings: &[Recording], clocks: &Clocks) -> Vec<String> {
    let mut remarks = Vec::new();
    for (at, recording) in recordings.iter().enumerate() {
        let member = &recording.member;
        if recording.damaged > 0 {
            let lines = recording.damaged;
            remarks.push(format!(
                "{lines} lines of {member} cannot be read: tanist-sim replay tells why"
            ));
        }
        if recording.lost > 0 {
            let lines = recording.lost;
            remarks.push(format!(
                "{lines} inputs of {member} were never written, as its recorder says"
            ));
        }
        if clocks.guessed.iter().any(|(of, _)| *of == at) {
            remarks.push(format!(
                "nothing in the store ties {member} to the others: its wall clock is taken at its word"
            ));
        }
    }
    remarks
}

/// What one member saw of itself and said.
fn of_one(at: usize, recording: &Recording, clocks: &Clocks, told: &mut Vec<(i128, What)>) {
    let mut shown = None;
    for one in &recording.told {
        let instant = clocks.common((at, one.boot), one.now.mono);
        let member = recording.member.clone();
        if let Input::Postgres(PgInput::Observed { observation, .. }) = &one.input {
            let seen = seen(observation);
            if shown != Some(seen) {
                shown = Some(seen);
                let (role, timeline, can_write) = seen;
                told.push((
                    instant,
                    What::Postgres {
                        member: member.clone(),
                        role,
                        timeline,
                        can_write,
                    },
                ));
            }
        }
        for note in &one.notes {
            told.extend(event_of(&member, note).map(|what| (instant, what)));
        }
    }
}

fn event_of(member: &MemberName, note: &Note) -> Option<What> {
    let member = member.clone();
    Some(match note {
        Note::OperationStarted { verb, .. } => What::Operation {
            member,
            verb: verb.clone(),
            outcome: None,
        },
        Note::OperationEnded { verb, how, .. } => What::Operation {
            member,
            verb: verb.clone(),
            outcome: Some(how.clone()),
        },
        Note::FencerFired { .. } => What::FencerFired { member },
        note => What::Note {
            member,
            note: note.clone(),
        },
    })
}

/// What the member's PostgreSQL was, as its agent saw it.
fn seen(observed: &Observation) -> (Role, TimelineId, bool) {
    let timeline = observed
        .data_dir
        .control()
        .map_or(TimelineId(0), |c| c.timeline);
    if observed.processes.postmaster.is_none() {
        return match observed.processes.backends {
            0 => (Role::Stopped, timeline, false),
            _left => (Role::Orphaned, timeline, true),
        };
    }
    match &observed.sql {
        Sql::Answered(status) if status.in_recovery => (Role::Standby, status.timeline, false),
        Sql::Answered(status) => (Role::Primary, status.timeline, true),
        Sql::ShuttingDown => (Role::Stopping, timeline, !observed.standby_signal),
        Sql::NotRunning | Sql::Starting | Sql::Silent(_) | Sql::Refused(_) => {
            (Role::Starting, timeline, false)
        }
    }
}

/// Who held the leader key from which revision on, told once, by whoever knew first.
fn leader_keys(recordings: &[Recording], clocks: &Clocks, told: &mut Vec<(i128, What)>) {
    let mut owners: BTreeMap<Revision, (i128, Option<MemberName>)> = BTreeMap::new();
    for (at, recording) in recordings.iter().enumerate() {
        for one in &recording.told {
            let Input::Dcs(said) = &one.input else {
                continue;
            };
            if let Some((revision, owner)) = owner_of(said) {
                let instant = told_at(clocks, (at, one.boot), one, said);
                let known = owners.entry(revision).or_insert((instant, owner));
                known.0 = known.0.min(instant);
            }
        }
    }
    let mut shown: Option<Option<MemberName>> = None;
    let mut last = i128::MIN;
    for (instant, owner) in owners.into_values() {
        if shown.as_ref() == Some(&owner) {
            continue;
        }
        // Told in the order of the store, whatever the clocks say.
        last = last.max(instant);
        told.push((
            last,
            What::LeaderKey {
                owner: owner.clone(),
            },
        ));
        shown = Some(owner);
    }
}

fn told_at(clocks: &Clocks, clock: Clock, one: &Told, said: &DcsInput) -> i128 {
    let at: Mono = match said {
        DcsInput::Completed { sent_at, .. } => *sent_at,
        DcsInput::Listed { .. } | DcsInput::Changed { .. } | DcsInput::WatchLost { .. } => {
            one.now.mono
        }
    };
    clocks.common(clock, at)
}

/// Who holds the leader key as of a revision, where the input says so.
fn owner_of(said: &DcsInput) -> Option<(Revision, Option<MemberName>)> {
    let name = |kv: &KeyValue| MemberName::from(kv.value.as_str());
    match said {
        DcsInput::Changed { revision, changes } => {
            let change = changes.get(LEADER)?;
            Some((*revision, change.as_ref().map(name)))
        }
        DcsInput::Listed { snapshot }
        | DcsInput::Completed {
            outcome: DcsOutcome::Ok(DcsReply::Snapshot(snapshot)),
            ..
        } => Some((snapshot.revision, snapshot.keys.get(LEADER).map(name))),
        DcsInput::Completed { .. } | DcsInput::WatchLost { .. } => None,
    }
}
