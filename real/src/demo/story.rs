//! The demonstration, step by step. Each step says what it does, shows what is seen, and checks its claim.

use super::Mode;
use super::console::Console;
use super::wreck::{Wreck, wreck};
use crate::testbed::checker;
use crate::testbed::clients::Clients;
use crate::testbed::cluster::{Cluster, Healthy, Plan};
use crate::testbed::folder::Folder;
use crate::testbed::haproxy::Haproxy;
use crate::testbed::member::Member;
use crate::testbed::{Stamp, flight, wait_for};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const HEAL_LIMIT: Duration = Duration::from_secs(180);
/// `maximum_lag_on_failover` of the cluster.
const LAG_BYTES_MAX: u64 = 1_048_576;

pub(super) fn tell(mode: Mode, program: &Path, folder: Folder) -> anyhow::Result<()> {
    let mut demo = Demo::begin(mode, program, folder)?;
    if let Err(why) = demo.steps() {
        eprintln!("{}", demo.cluster.story());
        return Err(why);
    }
    match mode {
        Mode::Watch => demo.leave_running(),
        Mode::Ci | Mode::Stop => demo.end(),
    }
}

struct Demo {
    console: Console,
    cluster: Cluster,
    haproxy: Haproxy,
    clients: Clients,
    began: Stamp,
    marks: Vec<(Stamp, String)>,
}

impl Demo {
    fn begin(mode: Mode, program: &Path, folder: Folder) -> anyhow::Result<Demo> {
        println!("folder: {}", folder.path().display());
        let mut console = Console::new(6);
        console.step("Three empty directories become a cluster");
        let began = Stamp::now();
        let cluster = Cluster::prepare(&Plan::three(program, mode.pace()), folder)?;
        console.say(&format!("etcd listens on {}", cluster.etcd.address()));
        for member in cluster.members() {
            member.start()?;
        }
        console.say("three agents started");
        let healthy = cluster.wait_healthy(HEAL_LIMIT)?;
        console.say(&format!(
            "{} leads, the others stream from it",
            healthy.leader
        ));
        let haproxy = Haproxy::start(&cluster)?;
        console.say(&format!(
            "HAProxy: primary on {}",
            haproxy.primary.address()
        ));
        Ok(Demo {
            clients: Clients::start_through(&cluster, haproxy.primary)?,
            console,
            cluster,
            haproxy,
            began,
            marks: Vec::new(),
        })
    }

    fn steps(&mut self) -> anyhow::Result<()> {
        self.show_and_write()?;
        let (fault, new) = self.lose_primary()?;
        self.rejoin(&fault, &new)?;
        self.hand_over()?;
        self.replay()
    }

    fn mark(&mut self, what: &str) {
        self.marks.push((Stamp::now(), what.to_string()));
    }

    fn show_and_write(&mut self) -> anyhow::Result<()> {
        self.console
            .step("The cluster, and a writer through HAProxy");
        self.table();
        self.clients.wait_written(10, HEAL_LIMIT)?;
        for _ in 0..3 {
            let before = self.clients.written();
            std::thread::sleep(Duration::from_secs(1));
            let rate = self.clients.written() - before;
            let lease = self.cluster.lease_left().unwrap_or_else(|why| why);
            self.console.say(&format!(
                "{rate} rows a second; the leader key's lease: {lease}"
            ));
        }
        Ok(())
    }

    fn table(&self) {
        let listed = Command::new(self.cluster.folder().path().join("tanistctl"))
            .arg("-c")
            .arg(self.cluster.folder().path().join("a.yml"))
            .arg("list")
            .output();
        match listed {
            Ok(told) if told.status.success() => {
                self.console.block(&String::from_utf8_lossy(&told.stdout));
            }
            Ok(told) => self.console.block(&String::from_utf8_lossy(&told.stderr)),
            Err(why) => self.console.say(&format!("tanistctl: {why}")),
        }
    }

    fn lose_primary(&mut self) -> anyhow::Result<(Fault, Healthy)> {
        let before = self.cluster.health().map_err(anyhow::Error::msg)?;
        let old = self.cluster.member(&before.leader)?.clone();
        let name = old.name().to_string();
        self.console.step(&format!(
            "{name} loses agent, fencer and postmaster at once"
        ));
        // A leader of a few seconds has not yet told how far it is.
        let told = "the leader publishes its position";
        let published = wait_for(told, HEAL_LIMIT, || self.cluster.published())?;
        let wreck = wreck(&old)?;
        self.mark(&format!("agent, fencer and postmaster of {name} killed"));
        self.console
            .say("killed, after its WAL senders were frozen and rows confirmed that only it has:");
        self.console.block(&wreck.only_there.join("\n"));
        let routed = self.watch_until_written(&wreck, before.timeline)?;
        let leader = self
            .cluster
            .leader()
            .map_err(anyhow::Error::msg)?
            .name()
            .to_string();
        self.console
            .check(&format!("{leader} took over from {name}"), leader != name)?;
        self.show_terms(&leader, wreck.at, routed);
        let fault = Fault {
            old,
            wreck,
            published,
        };
        let timeline = before.timeline + 1;
        self.show_losses(&fault)?;
        Ok((fault, Healthy { leader, timeline }))
    }

    /// Tells what the agents decide while writes are down; ends when a row is confirmed on a new timeline.
    fn watch_until_written(&self, wreck: &Wreck, timeline: u32) -> anyhow::Result<Stamp> {
        let end = Instant::now() + HEAL_LIMIT;
        let mut shown = 0;
        let mut last_lease = Instant::now();
        loop {
            let told = flight::told(self.cluster.members());
            let new: Vec<_> = told.iter().filter(|t| t.at > wreck.at).collect();
            for t in &new[shown.min(new.len())..] {
                let after = t.at.since(wreck.at).as_secs_f64();
                self.console
                    .say(&format!("+{after:.2} s  {}: {}", t.member, t.note));
            }
            shown = new.len();
            if last_lease.elapsed() > Duration::from_secs(2) {
                last_lease = Instant::now();
                if let Ok(left) = self.cluster.lease_left() {
                    self.console.say(&format!("the leader key's lease: {left}"));
                }
            }
            let journal = self.clients.shared().journal().acknowledged.clone();
            if let Some(row) = journal.iter().find(|row| row.timeline > timeline) {
                return Ok(row.acked);
            }
            anyhow::ensure!(
                Instant::now() < end,
                "no write was taken within {HEAL_LIMIT:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn show_terms(&self, winner: &str, fault: Stamp, routed: Stamp) {
        let total = routed.since(fault).as_secs_f64();
        let told = flight::told(self.cluster.members());
        let Some(terms) = flight::terms(&told, winner, fault, routed) else {
            self.console.say(&format!("outage {total:.2} s"));
            return;
        };
        self.console.say(&format!("outage {total:.2} s, by term:"));
        for (name, span) in [
            (
                "detect: until the new leader saw a sign of it before the key was gone",
                terms.detect,
            ),
            ("lease: until the old leader's key was gone", terms.lease),
            ("elect: until the key was the new leader's", terms.elect),
            (
                "promote: until its PostgreSQL was the primary",
                terms.promote,
            ),
            ("route: until HAProxy led the writer there", terms.route),
        ] {
            self.console
                .block(&format!("{:7.2} s  {name}", span.as_secs_f64()));
        }
    }

    /// Compares what the writer was told with what the new primary holds.
    fn show_losses(&self, fault: &Fault) -> anyhow::Result<()> {
        let held = self.cluster.rows_held().map_err(anyhow::Error::msg)?;
        let journal = self.clients.shared().journal().acknowledged.clone();
        let rows = checker::rows(&journal, &held);
        self.console.say(&format!(
            "{} of {} acknowledged rows are lost, besides the three above; asynchronous replication \
             may lose what was written after the last published position",
            rows.lost.len(),
            journal.len()
        ));
        let beyond = checker::beyond_bound(&rows.lost, fault.published, LAG_BYTES_MAX);
        self.console.check(
            "nothing older than the documented bound is lost",
            beyond.is_empty(),
        )?;
        self.console
            .check("no row is there twice", rows.duplicated.is_empty())
    }

    fn rejoin(&mut self, fault: &Fault, new: &Healthy) -> anyhow::Result<()> {
        let name = fault.old.name().to_string();
        self.console.step(&format!("{name} comes back"));
        self.mark(&format!("agent of {name} started again"));
        let started = Stamp::now();
        fault.old.start()?;
        let healthy = self.cluster.wait_healthy(HEAL_LIMIT)?;
        let told = flight::told(self.cluster.members());
        for t in told.iter().filter(|t| t.member == name && t.at > started) {
            let after = t.at.since(started).as_secs_f64();
            self.console
                .say(&format!("+{after:.2} s  {name}: {}", t.note));
        }
        let of_new = self.cluster.member(&new.leader)?;
        let left = of_new.value("SELECT count(*) FROM only_on_the_old_primary");
        let discarded = left.is_ok_and(|count| count == "0");
        self.console
            .check("the forked rows are gone from the whole cluster", discarded)?;
        self.console
            .say("discarded by pg_rewind, since no other member ever had them:");
        self.console.block(&fault.wreck.only_there.join("\n"));
        self.console.check(
            &format!(
                "{name} streams from {} on timeline {}",
                healthy.leader, healthy.timeline
            ),
            healthy.leader == new.leader && healthy.timeline == new.timeline,
        )?;
        self.table();
        Ok(())
    }

    fn hand_over(&mut self) -> anyhow::Result<()> {
        let before = self.cluster.wait_healthy(HEAL_LIMIT)?;
        self.console
            .step(&format!("Planned switchover from {}", before.leader));
        let known = self.clients.shared().journal().acknowledged.clone();
        let held = self.cluster.rows_held().map_err(anyhow::Error::msg)?;
        let lost_before = checker::rows(&known, &held).lost.len();
        self.mark("switchover asked for");
        let asked = Stamp::now();
        let answer = self
            .cluster
            .switchover(&before.leader, None)
            .map_err(anyhow::Error::msg)?;
        self.console.say(&answer.body);
        self.console
            .check("the switchover was done", answer.code == 200)?;
        self.clients.wait_written(20, HEAL_LIMIT)?;
        let after = self.cluster.wait_healthy(HEAL_LIMIT)?;
        let journal = self.clients.shared().journal().acknowledged.clone();
        let held = self.cluster.rows_held().map_err(anyhow::Error::msg)?;
        let lost = checker::rows(&journal, &held).lost.len();
        let outage = checker::outage(&journal, asked).as_secs_f64();
        self.console.say(&format!(
            "{} leads; the writer paused for {outage:.2} s",
            after.leader
        ));
        self.console.check(
            "no acknowledged row was lost on the way",
            lost == lost_before,
        )?;
        self.table();
        Ok(())
    }

    fn replay(&mut self) -> anyhow::Result<()> {
        self.console
            .step("The flight recordings, decided again in a fresh process");
        let program = self.cluster.folder().path().join("tanist");
        for member in self.cluster.members() {
            let inputs = flight::replay(&program, member)?;
            let name = member.name();
            self.console.check(
                &format!("{inputs} inputs of {name} replayed, the same to the last byte"),
                inputs > 0,
            )?;
        }
        let told = flight::told(self.cluster.members());
        let path = timeline_path()?;
        std::fs::write(&path, flight::timeline(&told, self.began, &self.marks))
            .with_context(|| format!("writing {}", path.display()))?;
        self.console
            .say(&format!("timeline of this run: {}", path.display()));
        Ok(())
    }

    fn leave_running(self) -> anyhow::Result<()> {
        let folder = self.cluster.folder().path().display().to_string();
        let primary = self.haproxy.primary.address();
        println!(
            "
The cluster goes on running. Try in another terminal:

  {folder}/tanistctl -c {folder}/a.yml list -w
  {folder}/tanistctl -c {folder}/a.yml switchover
  PGPASSWORD={} psql -h {} -p {} -U {} postgres
  less {folder}/a/agent.log

HAProxy's statistics: http://{}/

Ctrl-C here, or make demo-stop elsewhere, ends it and leaves nothing behind.",
            crate::testbed::sql::SUPERUSER_PASSWORD,
            primary.ip(),
            primary.port(),
            crate::testbed::sql::SUPERUSER,
            self.haproxy.statistics,
        );
        loop {
            std::thread::park();
        }
    }

    fn end(self) -> anyhow::Result<()> {
        let members: Vec<Member> = self.cluster.members().to_vec();
        drop(self.clients);
        drop(self.haproxy);
        drop(self.cluster);
        wait_for("nothing is left", Duration::from_secs(10), || match members
            .iter()
            .find(|m| !m.instance().is_empty() || m.agent().is_some())
        {
            None => Ok(()),
            Some(member) => Err(format!("processes of {} live", member.name())),
        })?;
        println!("\nEvery step held; nothing is left running.");
        Ok(())
    }
}

/// What was lost, and what is known of the instant before.
struct Fault {
    old: Member,
    wreck: Wreck,
    published: u64,
}

/// Beside the build, so that it outlives the demonstration's folder.
fn timeline_path() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .parent()
        .and_then(Path::parent)
        .context("a program without a folder")?;
    Ok(target.join("demo-timeline.txt"))
}
