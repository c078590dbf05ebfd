//! An incident as a scenario: the cluster as its members were configured, and what was done to it. Not what its agents
//! decided: that is what the scenario shows, with this core or with a mended one.

use super::clocks::Clocks;
use super::deeds::{self, Around, Deed};
use super::outages;
use super::recording::Recording;
use super::story::Merged;
use crate::event::What;
use crate::moment::Moment;
use crate::plan::{Plan, Step};
use crate::scenario::claims::{Demand, Fact};
use crate::shape::{ClusterShape, MemberShape};
use serde_json::{Map, Value};
use tanist_core::cluster::{Cluster, Initialize};
use tanist_core::config::Config;
use tanist_core::dcs::{DcsInput, DcsOutcome, DcsReply, Snapshot};
use tanist_core::input::Input;
use tanist_core::keys;
use tanist_core::member::Tags;
use tanist_core::name::MemberName;
use tanist_core::time::Span;

/// A cluster of the simulator is founded and whole by then.
const FORMING: Span = Span::secs(60);
/// How long the story goes on after the last that was done.
const AFTERMATH: Span = Span::secs(60);

/// The incident, with nothing claimed of it yet.
pub fn retell(recordings: &[Recording], merged: &Merged) -> Plan {
    let clocks = Clocks::of(recordings);
    let first = first_reading(recordings);
    let config = config(recordings, first.as_ref());
    let (begin, until) = span_of(recordings, &clocks);
    let around = Around {
        clocks: &clocks,
        pause: config.timing.loop_wait.times(2) + Span::secs(2),
        lease: config.timing.ttl + config.timing.loop_wait,
        keys: keys_taken(merged, begin),
        begin,
        formed: begin,
        until,
    };
    let led = around.keys.first().map(|(at, _)| *at);
    let formed = led
        .filter(|_| is_founded_here(first.as_ref()))
        .unwrap_or(begin);
    let around = Around { formed, ..around };
    let mut done: Vec<Deed> = outages::of_all(recordings, &clocks, until);
    for (at, recording) in recordings.iter().enumerate() {
        done.extend(deeds::of_member(at, recording, &around));
    }
    done.sort_by_key(|(at, _)| *at);
    // Where the recordings begin with the founding, what came after it counts from its end.
    let on_stage = |at: i128| {
        let after = |since: i128| Span::micros(u64::try_from(at - since).unwrap_or_default());
        let at = match at < formed {
            true => after(begin).min(FORMING),
            false => FORMING + after(formed),
        };
        Span::millis(at.as_millis())
    };
    let steps: Vec<Step> = done
        .into_iter()
        .map(|(at, act)| Step::At {
            at: on_stage(at),
            act: Some(act),
        })
        .collect();
    let names: Vec<&str> = merged.members.iter().map(MemberName::as_str).collect();
    Plan {
        question: format!("What happened to {}?", names.join(", ")),
        notes: vec!["retold from recordings by tanist-sim from-traces".to_string()],
        cluster: shape(recordings, &config, first_leader(merged).as_ref()),
        seed: 1,
        end: Plan::last_moment(&steps).max(on_stage(until)) + AFTERMATH,
        steps,
    }
}

/// The same with claims on it, each from the end of the forming on.
pub fn claiming(plan: &Plan, claims: &[Demand]) -> Plan {
    let mut plan = plan.clone();
    let formed = |step: &Step| matches!(step, Step::At { at, .. } if *at >= FORMING);
    let here = plan.steps.iter().position(formed);
    let after = plan.steps.split_off(here.unwrap_or(plan.steps.len()));
    plan.steps.push(Step::At {
        at: FORMING,
        act: None,
    });
    plan.steps.extend(claims.iter().cloned().map(Step::Expect));
    plan.steps.extend(after);
    plan
}

/// What an operator would have wished, where he says nothing: that the leader of the beginning kept its key.
pub fn usual_claim(merged: &Merged) -> Option<Demand> {
    let leader = first_leader(merged)?;
    let lost = merged.events.iter().any(|event| match &event.what {
        What::LeaderKey { owner } => owner.as_ref() != Some(&leader),
        _other => false,
    });
    let kept = Fact::HoldsKey(crate::act::Who::Member(leader));
    lost.then_some(Demand::Always(kept))
}

fn first_leader(merged: &Merged) -> Option<MemberName> {
    let (_, first) = keys_taken(merged, 0).into_iter().next()?;
    Some(first)
}

/// Who got the leader key, and when.
fn keys_taken(merged: &Merged, begin: i128) -> Vec<(i128, MemberName)> {
    let taken = merged.events.iter().filter_map(|event| match &event.what {
        What::LeaderKey { owner } => owner.clone().map(|owner| (event.at, owner)),
        _other => None,
    });
    let since = |at: Moment| begin + i128::from(at.since(Moment::START).as_micros());
    taken.map(|(at, owner)| (since(at), owner)).collect()
}

/// Did the store know no cluster yet when somebody first read it?
fn is_founded_here(first: Option<&Snapshot>) -> bool {
    let known = first.map(Cluster::read);
    known.is_some_and(|cluster| !matches!(cluster.initialize, Initialize::Done(_)))
}

fn span_of(recordings: &[Recording], clocks: &Clocks) -> (i128, i128) {
    let mut instants = Vec::new();
    for (at, recording) in recordings.iter().enumerate() {
        let starts = recording.starts.first();
        instants.extend(starts.map(|(boot, start)| clocks.common((at, *boot), start.mono)));
        let last = recording.told.last();
        instants.extend(last.map(|t| clocks.common((at, t.boot), t.now.mono)));
    }
    let begin = instants.iter().min().copied().unwrap_or_default();
    (begin, instants.iter().max().copied().unwrap_or(begin))
}

/// What the store held when somebody first read the whole of it.
fn first_reading(recordings: &[Recording]) -> Option<Snapshot> {
    let told = recordings.iter().flat_map(|recording| &recording.told);
    let mut readings = told.filter_map(|one| match &one.input {
        Input::Dcs(
            DcsInput::Listed { snapshot }
            | DcsInput::Completed {
                outcome: DcsOutcome::Ok(DcsReply::Snapshot(snapshot)),
                ..
            },
        ) => Some(snapshot.clone()),
        _other => None,
    });
    let first = readings.next()?;
    Some(
        readings.fold(first, |least, one| match one.revision < least.revision {
            true => one,
            false => least,
        }),
    )
}

/// As stored, or as the cluster was founded with.
fn config(recordings: &[Recording], first: Option<&Snapshot>) -> Config {
    let stored = first.and_then(|snapshot| snapshot.keys.get(keys::CONFIG));
    let stored = stored.and_then(|kv| serde_json::from_str::<Map<String, Value>>(&kv.value).ok());
    let founded = || recordings.iter().find_map(|r| r.settings.bootstrap.clone());
    let fast = recordings.iter().any(|r| r.settings.safety.fast_timing);
    Config::read(&stored.or_else(founded).unwrap_or_default(), fast)
}

fn shape(recordings: &[Recording], config: &Config, founder: Option<&MemberName>) -> ClusterShape {
    let mut shape = ClusterShape::of(&[]);
    shape.members = recordings
        .iter()
        .map(|recording| member(recording, founder))
        .collect();
    shape.configure(config);
    if let Some(safety) = recordings.first().map(|r| &r.settings.safety) {
        shape.fencer = safety.fencer;
        shape.stop_budget = safety.stop_budget;
        shape.clock_drift_ppm = safety.clock_drift_ppm;
    }
    shape
}

fn member(recording: &Recording, founder: Option<&MemberName>) -> MemberShape {
    let tags = Tags::read(&recording.settings.tags);
    let mut member = MemberShape::named(recording.member.as_str());
    member.nofailover = tags.nofailover;
    let priority = Some(tags.failover_priority);
    member.failover_priority = priority.filter(|p| *p != 1 && !tags.nofailover);
    member.founds = founder.is_none_or(|founder| *founder == recording.member);
    // When it came back is part of the story.
    member.supervisor = None;
    member
}
