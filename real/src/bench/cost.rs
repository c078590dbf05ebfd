//! What an agent costs while nothing happens: memory, processor time, its start, its REST answers. Of
//! Tanist, agent and fencer together; of Patroni, its one process.

use super::fault::Values;
use super::rows::Summary;
use super::scene::Scene;
use crate::testbed::member::Member;
use crate::testbed::{Stamp, http, wait_for};
use anyhow::{Context, ensure};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const IDLE: Duration = Duration::from_secs(20);
const REST_LOAD: Duration = Duration::from_secs(3);
const REST_CLIENTS: [usize; 2] = [1, 50];
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const START_LIMIT: Duration = Duration::from_secs(30);

/// From empty directories; the agents were started at `at`.
pub fn bootstrap(scene: &Scene, at: Stamp) -> anyhow::Result<Values> {
    let mut last = 0.0_f64;
    for member in scene.cluster.members() {
        last = last.max(first_answer(member, at)?);
    }
    let limit = Duration::from_secs(120);
    wait_for("a leader", limit, || {
        scene.cluster.leader()?.value("SELECT 1")
    })?;
    let leader = Stamp::now().since(at).as_secs_f64();
    scene.heal()?;
    let well = Stamp::now().since(at).as_secs_f64();
    Ok(vec![
        ("all_answer_rest_s".into(), last),
        ("leader_s".into(), leader),
        ("all_streaming_s".into(), well),
    ])
}

/// Seconds from `at` until its REST interface gives any answer.
pub fn first_answer(member: &Member, at: Stamp) -> anyhow::Result<f64> {
    let end = Instant::now() + START_LIMIT;
    loop {
        if http::get(member.rest(), "/liveness", Duration::from_secs(5)).is_ok() {
            return Ok(Stamp::now().since(at).as_secs_f64());
        }
        ensure!(
            Instant::now() < end,
            "{} does not answer within {START_LIMIT:?}",
            member.name()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn idle(scene: &Scene) -> anyhow::Result<Values> {
    let leader = scene.heal()?.leader;
    std::thread::sleep(Duration::from_secs(5));
    let used = |member: &Member| -> f64 { processes(member).into_iter().map(cpu_s).sum() };
    let members = scene.cluster.members();
    let before: Vec<f64> = members.iter().map(used).collect();
    std::thread::sleep(IDLE);
    let mut values = Values::new();
    for (member, before) in members.iter().zip(before) {
        let role = if member.name() == leader {
            "leader"
        } else {
            "standby"
        };
        let a_minute = (used(member) - before) * 60.0 / IDLE.as_secs_f64();
        values.push((format!("cpu_{role}_s_per_min"), a_minute));
        let (mut rss, mut pss) = (0.0, 0.0);
        for (i, pid) in processes(member).into_iter().enumerate() {
            let (resident, share) = memory_mib(pid)?;
            rss += resident;
            pss += share;
            let which = ["agent", "fencer"][i];
            values.push((format!("rss_{which}_{role}_mib"), resident));
        }
        values.push((format!("rss_{role}_mib"), rss));
        values.push((format!("pss_{role}_mib"), pss));
    }
    Ok(values)
}

/// The agent, and the fencer where there is one.
fn processes(member: &Member) -> Vec<u32> {
    member.agent().into_iter().chain(member.fencer()).collect()
}

/// Resident and proportional memory.
fn memory_mib(pid: u32) -> anyhow::Result<(f64, f64)> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let mib = |name: &str| -> Option<f64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib / 1024.0)
    };
    let both = mib("Rss:").zip(mib("Pss:"));
    both.with_context(|| format!("no Rss and Pss in {path}"))
}

/// Processor time of the process in user and system mode, threads that have ended included: fields 14 and 15 of
/// /proc/PID/stat, in hundredths of a second.
fn cpu_s(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The agent of a standby is killed and started again beside its running PostgreSQL.
pub fn start(scene: &Scene) -> anyhow::Result<Values> {
    let leader = scene.heal()?.leader;
    let standby = scene.cluster.standbys_of(&leader)[0];
    standby.signal_agent(Signal::KILL)?;
    standby.agent_ends(START_LIMIT)?;
    std::thread::sleep(Duration::from_millis(200));
    let at = Stamp::now();
    standby.start()?;
    let answered = first_answer(standby, at)?;
    wait_for(
        "the standby says that it is one",
        START_LIMIT,
        || match standby.get("/replica")?.code {
            200 => Ok(()),
            code => Err(code.to_string()),
        },
    )?;
    let replica = Stamp::now().since(at).as_secs_f64();
    Ok(vec![
        ("to_rest_s".into(), answered),
        ("to_replica_200_s".into(), replica),
    ])
}

/// Health checks as load balancers ask them: a connection for each.
pub fn rest(scene: &Scene) -> anyhow::Result<Values> {
    let leader = scene.heal()?.leader;
    let at = scene.cluster.member(&leader)?.rest();
    let mut values = Values::new();
    for clients in REST_CLIENTS {
        let (mut took, failed) = ask_for(at, clients);
        let asked = took.len();
        took.sort_by(f64::total_cmp);
        let percentile = |p: usize| took.get(asked.saturating_sub(1) * p / 100).copied();
        let seconds = REST_LOAD.as_secs_f64();
        values.push((format!("per_s_{clients}"), asked as f64 / seconds));
        for p in [50, 99] {
            let value = percentile(p).context("no answer at all")?;
            values.push((format!("p{p}_ms_{clients}"), value * 1e3));
        }
        let worst = Summary::of(took).map_or(0.0, |s| s.max);
        values.push((format!("max_ms_{clients}"), worst * 1e3));
        values.push((format!("failed_{clients}"), f64::from(failed)));
    }
    Ok(values)
}

fn ask_for(at: SocketAddr, clients: usize) -> (Vec<f64>, u32) {
    let all = Mutex::new((Vec::new(), 0));
    let end = Instant::now() + REST_LOAD;
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let (mut took, mut failed) = (Vec::new(), 0);
                while Instant::now() < end {
                    let asked = Instant::now();
                    match http::get(at, "/primary", ANSWER_LIMIT) {
                        Ok(answer) if answer.code == 200 => {
                            took.push(asked.elapsed().as_secs_f64());
                        }
                        Ok(_) | Err(_) => failed += 1,
                    }
                }
                let mut all = all.lock().unwrap_or_else(|e| e.into_inner());
                all.0.extend(took);
                all.1 += failed;
            });
        }
    });
    all.into_inner().unwrap_or_else(|e| e.into_inner())
}
