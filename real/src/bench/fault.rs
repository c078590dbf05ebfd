//! One fault and what it costs: struck on a healthy cluster under load, watched until all members are well
//! again, and judged by what the clients were told.

use super::scene::{HEAL_LIMIT, Load, Route, Scene};
use crate::testbed::checker::{self, Acknowledged};
use crate::testbed::member::Member;
use crate::testbed::template::Make;
use crate::testbed::{Stamp, flight, http, process, wait_for};
use anyhow::{Context, ensure};
use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Asked for through REST.
    Switchover,
    /// SIGTERM of the agent, which is started again once another member serves.
    Sigterm,
    /// SIGKILL of the postmaster.
    Pmkill,
    /// Link dead; agent, fencer and all of PostgreSQL killed; started again once another member serves.
    Hostloss,
    /// SIGSTOP of the agent until five seconds after another member serves.
    Freeze,
}

const FROZEN_BESIDE_NEW: Duration = Duration::from_secs(5);

/// Named values, in the order in which they are told.
pub type Values = Vec<(String, f64)>;

/// What is known of the run when the clients have been told of writes again.
struct Struck {
    old: Member,
    timeline: u32,
    at: Stamp,
    restarted: Option<Stamp>,
    values: Values,
}

pub fn measure(fault: Fault, scene: &Scene, keep: &std::path::Path) -> anyhow::Result<Values> {
    let healthy = scene.heal()?;
    let old = scene.cluster.member(&healthy.leader)?.clone();
    let load = Load::start(scene)?;
    let begun = Stamp::now();
    load.wait_each("the writers write", |_| true)?;
    std::thread::sleep(Duration::from_secs(2));
    let mut struck = Struck {
        old,
        timeline: healthy.timeline,
        at: Stamp::now(),
        restarted: None,
        values: Vec::new(),
    };
    strike(fault, scene, &load, &mut struck)?;
    let healed = scene.heal()?;
    let well = Stamp::now();
    std::thread::sleep(Duration::from_millis(500));
    let values = judge(scene, &load, struck, well, &healed.leader)?;
    if scene.make == Make::Tanist {
        let told = flight::told(scene.cluster.members());
        let marks = [(Stamp(well.0), "all healthy".to_string())];
        std::fs::write(keep, flight::timeline(&told, begun, &marks))?;
    }
    Ok(values)
}

/// Does it, and returns when every writer writes again.
fn strike(fault: Fault, scene: &Scene, load: &Load, struck: &mut Struck) -> anyhow::Result<()> {
    let old = struck.old.clone();
    let timeline = struck.timeline;
    let on_new = |row: &Acknowledged| row.timeline > timeline;
    struck.at = Stamp::now();
    match fault {
        Fault::Switchover => {
            let to = scene.cluster.standbys_of(old.name())[0].name().to_string();
            let body = json!({"leader": old.name(), "candidate": to});
            let answer = http::send(old.rest(), "POST", "/switchover", &body, HEAL_LIMIT)
                .map_err(anyhow::Error::msg)?;
            ensure!(answer.code == 200, "switchover refused: {answer:?}");
            struck.tell("call_s", Stamp::now().since(struck.at));
            load.wait_each("the new primary serves", on_new)
        }
        Fault::Sigterm => {
            old.signal_agent(Signal::TERM)?;
            old.agent_ends(HEAL_LIMIT)?;
            struck.tell("agent_exit_s", Stamp::now().since(struck.at));
            load.wait_each("the new primary serves", on_new)?;
            restart(&old, struck)
        }
        Fault::Pmkill => {
            old.signal_postmaster(Signal::KILL)?;
            // What was under way is told within this time; afterwards only a new postmaster can tell.
            let later = Stamp(struck.at.0 + 300_000);
            load.wait_each("a primary serves", |row| row.acked > later)
        }
        Fault::Hostloss => {
            if let Some(network) = &scene.network {
                network.unplug(old.namespace())?;
            }
            struck.at = Stamp::now();
            lose_all(&old)?;
            load.wait_each("the new primary serves", on_new)?;
            if let Some(network) = &scene.network {
                network.plug(old.namespace())?;
            }
            restart(&old, struck)
        }
        Fault::Freeze => {
            old.signal_agent(Signal::STOP)?;
            let newer = wait_for("another member commits", HEAL_LIMIT, || {
                let journal = load.clients.shared().journal();
                let mut commits = journal.commits.iter();
                let first = commits.find(|c| c.timeline > timeline && c.node != old.name());
                first.map(|c| c.acked).ok_or_else(|| "none".to_string())
            });
            if let Ok(at) = &newer {
                struck.tell("new_primary_s", at.since(struck.at));
                std::thread::sleep(FROZEN_BESIDE_NEW);
            }
            // Gone, if its supervisor's rule is to end it; that is as good as woken.
            let _ = old.signal_agent(Signal::CONT);
            newer?;
            struck.restarted = Some(Stamp::now());
            load.wait_each("the new primary serves", on_new)
        }
    }
}

impl Struck {
    fn tell(&mut self, measure: &str, span: Duration) {
        self.values.push((measure.into(), span.as_secs_f64()));
    }
}

fn restart(old: &Member, struck: &mut Struck) -> anyhow::Result<()> {
    let at = Stamp::now();
    struck.restarted = Some(at);
    old.start()?;
    let answered = super::cost::first_answer(old, at)?;
    struck.values.push(("restart_to_rest_s".into(), answered));
    Ok(())
}

/// As a host that loses power: nothing of it runs an instant later.
fn lose_all(member: &Member) -> anyhow::Result<()> {
    let instance = member.instance();
    let fencer = member.fencer();
    member.signal_agent(Signal::KILL)?;
    let pids = instance.iter().map(|seen| seen.pid);
    for pid in fencer.into_iter().chain(pids) {
        process::signal(pid, Signal::KILL);
    }
    wait_for("nothing of it runs", Duration::from_secs(10), || {
        let left = member.instance();
        for seen in &left {
            process::signal(seen.pid, Signal::KILL);
        }
        match left.len() {
            0 => Ok(()),
            n => Err(format!("{n} processes")),
        }
    })
}

fn judge(
    scene: &Scene,
    load: &Load,
    struck: Struck,
    well: Stamp,
    leader: &str,
) -> anyhow::Result<Values> {
    let mut values: Values = Vec::new();
    let mut tell = |measure: &str, value: f64| values.push((measure.to_string(), value));
    let told = flight::told(scene.cluster.members());
    for (route, name) in [(Route::MultiHost, "multihost"), (Route::Haproxy, "haproxy")] {
        let journals = load.journals(route);
        let longest = journals
            .iter()
            .max_by_key(|j| checker::outage(j, struck.at))
            .context("no writer")?;
        let outage = checker::outage(longest, struck.at);
        tell(&format!("outage_{name}_s"), outage.as_secs_f64());
        for (term, span) in split(&told, &struck, leader, longest) {
            tell(&format!("{term}_{name}_s"), span.as_secs_f64());
        }
    }
    // The writers go on: what they are told after this was not yet asked for.
    let all = load.all_journals();
    let held = scene.cluster.rows_held().map_err(anyhow::Error::msg)?;
    let lost: usize = all.iter().map(|j| checker::rows(j, &held).lost.len()).sum();
    tell("rows_lost", lost as f64);
    tell("rows_told", all.iter().map(Vec::len).sum::<usize>() as f64);
    let overlaps = checker::overlaps(&load.clients.shared().journal().commits);
    let beside = overlaps.iter().map(|o| o.lasted).max().unwrap_or_default();
    tell("two_primaries_s", beside.as_secs_f64());
    tell("to_healthy_s", well.since(struck.at).as_secs_f64());
    if let Some(restarted) = struck.restarted {
        tell("restart_to_healthy_s", well.since(restarted).as_secs_f64());
    }
    values.extend(struck.values);
    Ok(values)
}

/// Where the time went until a writer's row was acknowledged again, from the flight recordings: nothing of
/// an agent that keeps none.
fn split(
    told: &[flight::Told],
    struck: &Struck,
    leader: &str,
    journal: &[Acknowledged],
) -> Vec<(String, Duration)> {
    let after = |row: &&Acknowledged| row.acked > struck.at;
    let newer = |row: &&Acknowledged| row.timeline > struck.timeline;
    if leader == struck.old.name() {
        let mut pairs = journal.windows(2).filter(|pair| after(&&pair[1]));
        let longest = pairs.by_ref().max_by_key(|p| p[1].acked.since(p[0].acked));
        let Some(back) = longest.map(|pair| pair[1].acked) else {
            return Vec::new();
        };
        return flight::restart_terms(told, leader, struck.at, back);
    }
    let Some(routed) = journal.iter().find(newer).map(|row| row.acked) else {
        return Vec::new();
    };
    match flight::terms(told, leader, struck.at, routed) {
        None => Vec::new(),
        Some(t) => [
            ("term_detect", t.detect),
            ("term_lease", t.lease),
            ("term_elect", t.elect),
            ("term_promote", t.promote),
            ("term_route", t.route),
        ]
        .map(|(name, span)| (name.to_string(), span))
        .into(),
    }
}
