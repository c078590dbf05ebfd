//! Does to a real cluster what a scenario's acts say: signals, links, the store, operators' requests. Remembers only
//! what has to be undone or done later. Knows nothing of claims.

use crate::house::House;
use crate::links::Links;
use anyhow::Context;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tanist::testbed::clients::crowd::Crowd;
use tanist::testbed::cluster::lose;
use tanist::testbed::http;
use tanist::testbed::member::Member;
use tanist::testbed::process;
use tanist_core::name::MemberName;
use tanist_core::operator::{Answer, Refusal};
use tanist_core::time::Span;
use tanist_sim::act::{Act, AgentAct, FencerAct, HostAct, OperatorAct, PostgresAct, StoreAct, Who};
use tanist_sim::event::Role;
use tanist_sim::pg::archive::Archiving;
use tanist_sim::shape::ClusterShape;
use tanist_sim::truth::Truth;

/// An operator waits so long for an answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Something to be done when its time has come.
#[derive(Clone, Debug)]
enum Later {
    ThawAgent(MemberName),
    WakeHost(MemberName),
}

pub struct Deeds {
    links: Links,
    later: Vec<(Instant, Later)>,
    supervisors: BTreeMap<MemberName, Option<Duration>>,
    died: BTreeMap<MemberName, Instant>,
    /// Ended in order, by an act: nobody starts its agent again.
    stopped: BTreeSet<MemberName>,
    /// Who holds all connections of a server.
    crowds: BTreeMap<MemberName, Crowd>,
    down: BTreeSet<MemberName>,
    /// Does the store take requests now?
    pub store_answers: bool,
    answers: (Sender<Answer>, Receiver<Answer>),
}

impl Deeds {
    pub fn new(shape: &ClusterShape) -> Deeds {
        let delay = |span: Span| Duration::from_micros(span.as_micros());
        let members = shape.members.iter();
        Deeds {
            links: Links::default(),
            later: Vec::new(),
            supervisors: members
                .map(|m| (m.name.clone(), m.supervisor.map(delay)))
                .collect(),
            died: BTreeMap::new(),
            stopped: BTreeSet::new(),
            crowds: BTreeMap::new(),
            down: BTreeSet::new(),
            store_answers: true,
            answers: channel(),
        }
    }

    pub fn hosts_down(&self) -> Vec<MemberName> {
        self.down.iter().cloned().collect()
    }

    /// The answers to operators that came in since the last time.
    pub fn answered(&self) -> Vec<Answer> {
        self.answers.1.try_iter().collect()
    }

    /// Something is still to be undone, or somebody to come back.
    pub fn is_busy(&self) -> bool {
        !self.later.is_empty() || !self.died.is_empty()
    }

    /// What supervisors and timers have to do by now.
    pub fn tick(&mut self, house: &mut House) -> anyhow::Result<()> {
        let now = Instant::now();
        let (due, waiting) = self.later.drain(..).partition(|(at, _)| *at <= now);
        self.later = waiting;
        let due: Vec<(Instant, Later)> = due;
        for (_, later) in due {
            match later {
                Later::ThawAgent(name) => signal(house, &name, Member::agent, Signal::CONT)?,
                Later::WakeHost(name) => every_process(house, &name, Signal::CONT)?,
            }
        }
        for (name, delay) in &self.supervisors {
            let member = house.cluster.member(name.as_str())?;
            if member.agent().is_some() || self.stopped.contains(name) || self.down.contains(name) {
                self.died.remove(name);
                continue;
            }
            let since = *self.died.entry(name.clone()).or_insert(now);
            if delay.is_some_and(|delay| now - since >= delay) {
                member.start()?;
            }
        }
        Ok(())
    }

    /// Whom `who` means now.
    pub fn who(&self, who: &Who, truth: &Truth) -> Vec<MemberName> {
        let names = truth.members.keys().cloned();
        let standbys = truth
            .members
            .iter()
            .filter(|(_, m)| m.role == Role::Standby);
        let mut standbys = standbys.map(|(name, _)| name.clone());
        match who {
            Who::Member(name) => vec![name.clone()],
            Who::Leader => truth.leader_key.iter().cloned().collect(),
            Who::Standby => standbys.next().into_iter().collect(),
            Who::Any => names.take(1).collect(),
            Who::Standbys => standbys.collect(),
            Who::All => names.collect(),
        }
    }

    pub fn apply(&mut self, act: &Act, house: &mut House, truth: &Truth) -> anyhow::Result<()> {
        let on_each = |who: &Who| self.who(who, truth);
        match act {
            Act::Agent { who, act } => {
                for name in on_each(who) {
                    self.on_agent(house, &name, *act)?;
                }
            }
            Act::Fencer { who, act } => {
                let what = match act {
                    FencerAct::Kill => Signal::KILL,
                    FencerAct::Freeze => Signal::STOP,
                    FencerAct::Thaw => Signal::CONT,
                };
                for name in on_each(who) {
                    signal(house, &name, Member::fencer, what)?;
                }
            }
            Act::Postgres { who, act } => {
                for name in on_each(who) {
                    self.on_postgres(house, &name, act)?;
                }
            }
            Act::Host { who, act } => {
                for name in on_each(who) {
                    self.on_host(house, &name, *act)?;
                }
            }
            Act::Wire { link, act } => {
                let ends = [&link.from, &link.to].map(|end| match end {
                    tanist_sim::act::End::Member(who) => Some(on_each(who)),
                    _ => None,
                });
                self.links.change(house, ends, link.lane, *act)?;
            }
            Act::HealWire => self.links.heal(house)?,
            Act::Store(act) => self.on_store(house, act)?,
            Act::Operator(act) => self.on_operator(house, act, truth)?,
            Act::HealAll => self.heal(house)?,
            Act::Trouble { .. } | Act::Clients(_) => anyhow::bail!("no act of this stage"),
        }
        Ok(())
    }

    fn on_agent(&mut self, house: &House, name: &MemberName, act: AgentAct) -> anyhow::Result<()> {
        match act {
            AgentAct::Start => {
                self.stopped.remove(name);
                let member = house.cluster.member(name.as_str())?;
                match member.agent() {
                    None => member.start(),
                    Some(_) => Ok(()),
                }
            }
            AgentAct::Kill => signal(house, name, Member::agent, Signal::KILL),
            AgentAct::Stop => {
                self.stopped.insert(name.clone());
                signal(house, name, Member::agent, Signal::TERM)
            }
            AgentAct::Freeze => signal(house, name, Member::agent, Signal::STOP),
            AgentAct::Thaw => signal(house, name, Member::agent, Signal::CONT),
            AgentAct::FreezeFor(span) => {
                self.do_later(span, Later::ThawAgent(name.clone()));
                signal(house, name, Member::agent, Signal::STOP)
            }
            AgentAct::LoseWatch | AgentAct::SilenceWatch | AgentAct::Become(_) => {
                anyhow::bail!("no act of this stage")
            }
        }
    }

    fn on_postgres(
        &mut self,
        house: &House,
        name: &MemberName,
        act: &PostgresAct,
    ) -> anyhow::Result<()> {
        match act {
            PostgresAct::ExhaustConnections => {
                let server = house.cluster.member(name.as_str())?.postgres();
                let crowd = Crowd::fill(server).map_err(anyhow::Error::msg)?;
                self.crowds.insert(name.clone(), crowd);
            }
            PostgresAct::FreeConnections => drop(self.crowds.remove(name)),
            other => on_postgres(house, name, other)?,
        }
        Ok(())
    }

    fn do_later(&mut self, span: Span, later: Later) {
        let at = Instant::now() + Duration::from_micros(span.as_micros());
        self.later.push((at, later));
    }

    fn on_host(&mut self, house: &House, name: &MemberName, act: HostAct) -> anyhow::Result<()> {
        let member = house.cluster.member(name.as_str())?;
        match act {
            HostAct::Crash => {
                self.down.insert(name.clone());
                if member.agent().is_some() {
                    lose(member)?;
                }
                every_process(house, name, Signal::KILL)
            }
            HostAct::Boot => {
                if self.down.remove(name) {
                    member.start()?;
                }
                Ok(())
            }
            HostAct::Suspend => suspend(house, name),
            HostAct::SuspendFor(span) => {
                self.do_later(span, Later::WakeHost(name.clone()));
                suspend(house, name)
            }
            HostAct::Resume => every_process(house, name, Signal::CONT),
            _ => anyhow::bail!("no act of this stage"),
        }
    }

    fn on_store(&mut self, house: &mut House, act: &StoreAct) -> anyhow::Result<()> {
        let etcd = &mut house.cluster.etcd;
        match act {
            StoreAct::StopAll => {
                self.store_answers = false;
                if etcd.pid().is_some() {
                    etcd.kill()?;
                }
            }
            StoreAct::HangAll => {
                self.store_answers = false;
                etcd.freeze();
            }
            StoreAct::StartAll => {
                if etcd.pid().is_none() {
                    etcd.resume()?;
                }
                etcd.thaw();
                self.store_answers = true;
            }
            StoreAct::Wipe => {
                anyhow::ensure!(
                    self.store_answers,
                    "a store that does not answer cannot be wiped"
                );
                etcd.wipe()?;
            }
            StoreAct::DeleteKey(key) => {
                let key = house.cluster.key(key);
                house
                    .cluster
                    .etcd
                    .delete(&key)
                    .map_err(anyhow::Error::msg)?;
            }
            StoreAct::PutKey { key, value } => {
                let key = house.cluster.key(key);
                let put = house.cluster.etcd.put(&key, value.as_bytes());
                put.map_err(anyhow::Error::msg)?;
            }
            _ => anyhow::bail!("no act of this stage"),
        }
        Ok(())
    }

    fn heal(&mut self, house: &mut House) -> anyhow::Result<()> {
        self.links.heal(house)?;
        self.on_store(house, &StoreAct::StartAll)?;
        self.later.clear();
        self.stopped.clear();
        self.down.clear();
        self.crowds.clear();
        for member in house.cluster.members() {
            every_process(house, &MemberName::from(member.name()), Signal::CONT)?;
            if member.agent().is_none() {
                member.start()?;
            }
            if let Some(archive) = &house.archive {
                archive.set(&MemberName::from(member.name()), Archiving::Works)?;
            }
        }
        Ok(())
    }

    /// Operators wait for their answer beside the story, which goes on.
    fn on_operator(&self, house: &House, act: &OperatorAct, truth: &Truth) -> anyhow::Result<()> {
        let one = |who: &Who| self.who(who, truth).into_iter().next();
        let leader = one(&Who::Leader);
        let name = |who: &Who| one(who).map_or(Value::Null, |name| json!(name.as_str()));
        let (ask, method, path, body) = match act {
            OperatorAct::Switchover {
                ask,
                leader,
                candidate,
                after,
            } => {
                let mut body = json!({"leader": name(leader.as_ref().unwrap_or(&Who::Leader))});
                if let Some(candidate) = candidate {
                    body["candidate"] = name(candidate);
                }
                if let Some(after) = after {
                    body["scheduled_at"] = json!(in_a_while(*after));
                }
                (one(ask), "POST", "/switchover", body)
            }
            OperatorAct::Failover { ask, candidate } => (
                one(ask),
                "POST",
                "/failover",
                json!({"candidate": name(candidate)}),
            ),
            OperatorAct::CancelSwitchover { ask } => (one(ask), "DELETE", "/switchover", json!({})),
            OperatorAct::Restart { who } => (one(who), "POST", "/restart", json!({})),
            OperatorAct::Reinitialize { who, force } => {
                (one(who), "POST", "/reinitialize", json!({"force": force}))
            }
            OperatorAct::Pause => (leader, "PATCH", "/config", json!({"pause": true})),
            OperatorAct::Resume => (leader, "PATCH", "/config", json!({"pause": null})),
            OperatorAct::PatchConfig { patch } => {
                (leader, "PATCH", "/config", serde_json::from_str(patch)?)
            }
        };
        let ask = ask.or_else(|| truth.members.keys().next().cloned());
        let ask = ask.context("nobody to ask")?;
        let at = house.cluster.member(ask.as_str())?.rest();
        let tell = self.answers.0.clone();
        std::thread::spawn(move || {
            let answer = http::send(at, method, path, &body, PATIENCE);
            // Whoever asked may have ended the story meanwhile.
            let _ = tell.send(meant(answer));
        });
        Ok(())
    }
}

/// In Patroni's status codes. 503 is one of them for three things: refused for now, begun and given up, still running;
/// a claim sees all three as failed.
fn meant(answer: Result<http::Answer, String>) -> Answer {
    match answer {
        Err(why) => Answer::Failed(why),
        Ok(answer) => match answer.code {
            200 => Answer::Done(answer.body),
            202 => Answer::Accepted(answer.body),
            503 | 504 => Answer::Failed(answer.body),
            _refused => Answer::Refused {
                code: Refusal::BadRequest,
                why: answer.body,
            },
        },
    }
}

fn in_a_while(after: Span) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = since.map_or(0, |d| d.as_micros() as i64);
    tanist_core::iso::iso_time(tanist_core::time::Wall(now + after.as_micros() as i64))
}

/// To a process of the member, where there is one: an act on what is not there changes nothing.
fn signal(
    house: &House,
    name: &MemberName,
    of: impl Fn(&Member) -> Option<u32>,
    what: Signal,
) -> anyhow::Result<()> {
    let member = house.cluster.member(name.as_str())?;
    if let Some(pid) = of(member) {
        process::signal(pid, what);
    }
    Ok(())
}

fn every_process(house: &House, name: &MemberName, what: Signal) -> anyhow::Result<()> {
    let member = house.cluster.member(name.as_str())?;
    let others = [member.agent(), member.fencer()].into_iter().flatten();
    let servers = member.instance().into_iter().map(|seen| seen.pid);
    for pid in others.chain(servers) {
        process::signal(pid, what);
    }
    Ok(())
}

/// Whoever starts processes stands still first; what was started meanwhile is met the next time.
fn suspend(house: &House, name: &MemberName) -> anyhow::Result<()> {
    signal(house, name, Member::postmaster, Signal::STOP)?;
    every_process(house, name, Signal::STOP)?;
    every_process(house, name, Signal::STOP)
}

fn on_postgres(house: &House, name: &MemberName, act: &PostgresAct) -> anyhow::Result<()> {
    let member = house.cluster.member(name.as_str())?;
    // An act that is not done is no act of the story any more.
    let ask = |query: &str| member.sql(query).map(|_| ()).map_err(anyhow::Error::msg);
    match act {
        PostgresAct::KillPostmaster => signal(house, name, Member::postmaster, Signal::KILL)?,
        PostgresAct::FreezePostmaster => signal(house, name, Member::postmaster, Signal::STOP)?,
        PostgresAct::ThawPostmaster => signal(house, name, Member::postmaster, Signal::CONT)?,
        PostgresAct::StopByHand => signal(house, name, Member::postmaster, Signal::INT)?,
        PostgresAct::KillAll => {
            for seen in member.instance() {
                process::signal(seen.pid, Signal::KILL);
            }
        }
        PostgresAct::CrashBackend => {
            let client = member.value(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' \
                 AND pid <> pg_backend_pid() LIMIT 1",
            );
            if let Some(pid) = client.ok().and_then(|pid| pid.parse().ok()) {
                process::signal(pid, Signal::KILL);
            }
        }
        PostgresAct::PromoteByHand => ask("SELECT pg_promote(false)")?,
        PostgresAct::Checkpoint => ask("CHECKPOINT")?,
        PostgresAct::PauseReplay => ask("SELECT pg_wal_replay_pause()")?,
        PostgresAct::Archiving(how) => {
            if let Some(archive) = &house.archive {
                archive.set(name, *how)?;
            }
        }
        PostgresAct::ResumeReplay => ask("SELECT pg_wal_replay_resume()")?,
        PostgresAct::AlterSystem {
            synchronous_standby_names: names,
        } => {
            let names = names.replace('\'', "''");
            ask(&format!(
                "ALTER SYSTEM SET synchronous_standby_names = '{names}'"
            ))?;
            ask("SELECT pg_reload_conf()")?;
        }
        PostgresAct::CancelWaits => {
            ask("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")?
        }
        _ => anyhow::bail!("no act of this stage"),
    }
    Ok(())
}
