//! A cluster of members on one store: started from nothing, judged healthy or not from the outside, ended
//! without a trace. Judges by what REST and SQL say, never by an agent's log.

use super::account::{Account, Namespace};
use super::etcd::Etcd;
use super::folder::{AtEnd, Folder};
use super::member::{Member, Place};
use super::sql::Access;
use super::template::{self, Make, Pace};
use super::{http, ports, wait_for};
use anyhow::Context;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a cluster is to look like.
#[derive(Clone, Debug)]
pub struct Plan {
    pub make: Make,
    pub pace: Pace,
    pub members: Vec<&'static str>,
    /// Members of a cluster of Tanist's that run Patroni instead, and its program.
    pub by_patroni: Option<(Vec<&'static str>, PathBuf)>,
    /// The agent's program; of Tanist, what stands beside it is taken along.
    pub program: PathBuf,
    /// Where the network is not the host's own: a namespace and an address for each member.
    pub network: Vec<(Namespace, IpAddr)>,
    /// Where the store listens.
    pub store_host: IpAddr,
    /// Patches of every member's file.
    pub patch: Value,
}

impl Plan {
    pub fn three(program: &Path, pace: Pace) -> Plan {
        Plan {
            make: Make::Tanist,
            pace,
            members: vec!["a", "b", "c"],
            by_patroni: None,
            program: program.to_path_buf(),
            network: Vec::new(),
            store_host: Ipv4Addr::LOCALHOST.into(),
            patch: json!({}),
        }
    }
}

/// Who leads whom, once all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthy {
    pub leader: String,
    pub timeline: u32,
}

#[derive(Debug)]
pub struct Cluster {
    pub pace: Pace,
    pub etcd: Etcd,
    members: Vec<Member>,
    supervisor: Option<Supervisor>,
    folder: Folder,
}

impl Cluster {
    /// The store runs, the members are written down and not started.
    pub fn prepare(plan: &Plan, folder: Folder) -> anyhow::Result<Cluster> {
        let etcd = Etcd::start(&folder, plan.store_host)?;
        let program = match plan.make {
            Make::Tanist => adopt(&folder, &plan.program)?,
            Make::Patroni => plan.program.clone(),
        };
        let mut members = Vec::new();
        for (i, name) in plan.members.iter().enumerate() {
            let theirs = plan
                .by_patroni
                .as_ref()
                .filter(|(names, _)| names.contains(name));
            let (make, program) = match theirs {
                Some((_, patroni)) => (Make::Patroni, patroni),
                None => (plan.make, &program),
            };
            let local = (Namespace::Host, IpAddr::from(Ipv4Addr::LOCALHOST));
            let (namespace, host) = plan.network.get(i).cloned().unwrap_or(local);
            let home = folder.subfolder(name)?;
            let place = Place {
                name: (*name).to_string(),
                data_dir: home.join("data"),
                config: folder.path().join(format!("{name}.yml")),
                rest: SocketAddr::new(host, ports::free_port()?),
                postgres: Access {
                    host,
                    port: ports::free_port()?,
                },
                home,
                namespace,
                account: folder.account().clone(),
                program: program.clone(),
            };
            let text = template::render(&template::Member {
                make,
                name,
                pace: plan.pace,
                store: etcd.address(),
                rest: place.rest,
                postgres: place.postgres,
                home: &place.home,
                data_dir: &place.data_dir,
                patch: &plan.patch,
            });
            folder.write(&format!("{name}.yml"), &text)?;
            members.push(Member::new(place));
        }
        Ok(Cluster {
            pace: plan.pace,
            etcd,
            members,
            supervisor: None,
            folder,
        })
    }

    /// All of it, from empty directories to one leader and the others streaming.
    pub fn start(plan: &Plan) -> anyhow::Result<Cluster> {
        let folder = Folder::temporary("tanist-testbed", Account::ordinary()?)?;
        let cluster = Cluster::prepare(plan, folder)?;
        for member in &cluster.members {
            member.start()?;
        }
        cluster.wait_healthy(Duration::from_secs(60))?;
        Ok(cluster)
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    pub fn member(&self, name: &str) -> anyhow::Result<&Member> {
        let found = self.members.iter().find(|m| m.name() == name);
        found.with_context(|| format!("no member {name}"))
    }

    /// Restarts agents that end, as a service manager does, until `unsupervise` or the end.
    pub fn supervise(&mut self) {
        self.supervisor = Some(Supervisor::start(self.members.clone()));
    }

    pub fn unsupervise(&mut self) {
        self.supervisor = None;
    }

    /// A key of the cluster in the store.
    pub fn key(&self, key: &str) -> String {
        format!("/service/{}/{key}", template::SCOPE)
    }

    /// The WAL position that the leader last published.
    pub fn published(&self) -> Result<u64, String> {
        let status = self.etcd.get(&self.key("status"))?.ok_or("no status key")?;
        let status: Value = serde_json::from_str(&status).map_err(|e| e.to_string())?;
        let optime = status.get("optime").and_then(Value::as_u64);
        optime.ok_or_else(|| format!("no optime in {status}"))
    }

    /// Of the leader key: who holds it, and what is left of the lease it is bound to.
    pub fn lease_left(&self) -> Result<String, String> {
        let Some((owner, lease)) = self.etcd.bound(&self.key("leader"))? else {
            return Ok("no leader key".into());
        };
        let (left, granted) = self.etcd.lease_left(lease)?;
        Ok(format!(
            "{owner} holds the leader key, {left} s of {granted} s left"
        ))
    }

    /// `/cluster`, from the first member that answers.
    pub fn view(&self) -> Result<Value, String> {
        let mut last = "no member".to_string();
        for member in &self.members {
            match member.get("/cluster").and_then(|answer| answer.json()) {
                Ok(view) => return Ok(view),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// The member that every question says leads.
    pub fn leader(&self) -> Result<&Member, String> {
        let view = self.view()?;
        let rows = view.get("members").and_then(Value::as_array);
        let mut leaders = rows.into_iter().flatten().filter(|m| m["role"] == "leader");
        let name = leaders
            .next()
            .and_then(|m| m["name"].as_str())
            .ok_or("no leader")?;
        self.member(name).map_err(|e| e.to_string())
    }

    pub fn standbys_of(&self, leader: &str) -> Vec<&Member> {
        self.members.iter().filter(|m| m.name() != leader).collect()
    }

    pub fn wait_healthy(&self, limit: Duration) -> anyhow::Result<Healthy> {
        wait_for("one leader, all others streaming", limit, || self.health())
            .with_context(|| self.story())
    }

    /// One leader, and every other member streams from it on its timeline: by REST and by SQL.
    pub fn health(&self) -> Result<Healthy, String> {
        let leader = self.leader()?;
        let timeline = leader.value(
            "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int",
        )?;
        let timeline: u32 = timeline
            .parse()
            .map_err(|_| format!("timeline {timeline}?"))?;
        let view = self.view()?;
        let rows = view
            .get("members")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for member in &self.members {
            let row = rows.iter().find(|row| row["name"] == member.name());
            let row = row.ok_or_else(|| format!("{} is not in /cluster", member.name()))?;
            let expected = if member.name() == leader.name() {
                "running"
            } else {
                "streaming"
            };
            if row["state"] != expected {
                return Err(format!(
                    "{}: {} instead of {expected}",
                    member.name(),
                    row["state"]
                ));
            }
            if row["timeline"] != json!(timeline) {
                return Err(format!("{}: timeline {}", member.name(), row["timeline"]));
            }
        }
        for standby in self.standbys_of(leader.name()) {
            let received = standby.value(
                "SELECT received_tli || ' ' || status || ' ' || sender_port \
                 FROM pg_stat_wal_receiver WHERE pg_is_in_recovery()",
            )?;
            let expected = format!("{timeline} streaming {}", leader.postgres().port);
            if received != expected {
                return Err(format!(
                    "{} receives {received}, not {expected}",
                    standby.name()
                ));
            }
        }
        Ok(Healthy {
            leader: leader.name().to_string(),
            timeline,
        })
    }

    /// The writer's rows that the present leader holds.
    pub fn rows_held(&self) -> Result<Vec<u64>, String> {
        Cluster::rows_on(self.leader()?)
    }

    /// Those that this member holds.
    pub fn rows_on(member: &Member) -> Result<Vec<u64>, String> {
        let rows = member.sql("SELECT id FROM testbed_rows")?;
        let cells = rows.iter().filter_map(|row| row.first());
        cells
            .map(|id| id.parse().map_err(|_| format!("row {id}?")))
            .collect()
    }

    /// Asks the leader for a switchover and gives back its answer.
    pub fn switchover(&self, from: &str, to: Option<&str>) -> Result<http::Answer, String> {
        let mut body = json!({"leader": from});
        if let Some(to) = to {
            body["candidate"] = json!(to);
        }
        let at = self.member(from).map_err(|e| e.to_string())?.rest();
        http::send(at, "POST", "/switchover", &body, Duration::from_secs(60))
    }

    pub fn patch_config(&self, patch: &Value) -> Result<http::Answer, String> {
        let at = self.leader()?.rest();
        http::send(at, "PATCH", "/config", patch, Duration::from_secs(10))
    }

    /// What each member had to say last: what a failed test shows.
    pub fn story(&self) -> String {
        let mut story = format!("view: {:?}\n", self.view());
        for member in &self.members {
            let log = std::fs::read_to_string(member.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(25)..].join("\n");
            story += &format!("--- agent {}\n{last}\n", member.name());
        }
        story
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.supervisor = None;
        if std::thread::panicking() {
            eprintln!("{}", self.story());
        }
        for member in &self.members {
            member.end();
        }
        if let Some(keep) = std::env::var_os("TANIST_TESTBED_KEEP").filter(|k| !k.is_empty()) {
            eprintln!(
                "kept ({}): {}",
                keep.to_string_lossy(),
                self.folder.path().display()
            );
            self.folder.at_end(AtEnd::Keep);
        }
    }
}

/// Copies the agent, its fencer and `tanistctl` from beside it, to where the account can run them.
fn adopt(folder: &Folder, program: &Path) -> anyhow::Result<PathBuf> {
    for beside in ["tanist-fencer", "tanistctl"].map(|name| program.with_file_name(name)) {
        if beside.exists() {
            folder.adopt_binary(&beside)?;
        }
    }
    folder.adopt_binary(program)
}

/// Starts agents again a little after they ended, as `Restart=always` with a short delay does.
#[derive(Debug)]
struct Supervisor {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const RESTART_DELAY: Duration = Duration::from_millis(300);

impl Supervisor {
    fn start(members: Vec<Member>) -> Supervisor {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            // Agents started here are killed when this thread ends, so it waits for the cluster's end.
            while !seen.load(Ordering::Relaxed) {
                for member in members.iter().filter(|m| m.agent().is_none()) {
                    std::thread::sleep(RESTART_DELAY);
                    if let Err(why) = member.start() {
                        eprintln!("supervisor: {why:#}");
                    }
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let thread = Some(thread);
        Supervisor { stop, thread }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What `kill -9` of an agent, its fencer and its postmaster leaves: backends that nobody owns.
pub fn lose(member: &Member) -> anyhow::Result<()> {
    let fencer = member.fencer();
    let postmaster = member.postmaster();
    member.signal_agent(Signal::KILL)?;
    for pid in [fencer, postmaster].into_iter().flatten() {
        super::process::signal(pid, Signal::KILL);
    }
    Ok(())
}
