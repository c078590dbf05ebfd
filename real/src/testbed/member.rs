//! One member of a testbed: its agent as a child process, its PostgreSQL as /proc shows it, and what can
//! be done to each. Knows nothing of the other members.

use super::account::{Account, Namespace};
use super::http::{self, Answer};
use super::process::{self, Seen};
use super::sql::{self, Access};
use super::wait_for;
use anyhow::Context;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const REST_LIMIT: Duration = Duration::from_secs(3);
const SQL_LIMIT: Duration = Duration::from_secs(3);

/// What a member is made of, fixed for its life.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: String,
    pub home: PathBuf,
    pub data_dir: PathBuf,
    pub config: PathBuf,
    pub rest: SocketAddr,
    pub postgres: Access,
    pub namespace: Namespace,
    pub account: Account,
    /// The agent, and what stands before the configuration file on its command line.
    pub program: PathBuf,
}

/// A member; clones are the same member.
#[derive(Clone, Debug)]
pub struct Member {
    place: Arc<Place>,
    agent: Arc<Mutex<Option<Child>>>,
}

impl Member {
    pub fn new(place: Place) -> Member {
        Member {
            place: Arc::new(place),
            agent: Arc::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.place.name
    }

    pub fn postgres(&self) -> Access {
        self.place.postgres
    }

    pub fn rest(&self) -> SocketAddr {
        self.place.rest
    }

    pub fn data_dir(&self) -> &Path {
        &self.place.data_dir
    }

    pub fn config(&self) -> &Path {
        &self.place.config
    }

    pub fn namespace(&self) -> &Namespace {
        &self.place.namespace
    }

    pub fn log(&self) -> PathBuf {
        self.place.home.join("agent.log")
    }

    /// Where its flight recorder writes.
    pub fn recorder(&self) -> PathBuf {
        self.place.home.join("data.tanist/recorder")
    }

    /// Starts the agent. From the thread that is to outlive it.
    pub fn start(&self) -> anyhow::Result<()> {
        let mut agent = self.lock();
        if let Some(child) = agent.as_mut() {
            anyhow::ensure!(child.try_wait()?.is_some(), "{} runs already", self.name());
        }
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .with_context(|| format!("opening {}", self.log().display()))?;
        let place = &self.place;
        let mut command = place.account.command(&place.program, &place.namespace);
        command
            .arg(&place.config)
            .current_dir(&place.home)
            .env("HOME", &place.home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        *agent = Some(command.spawn().context("starting the agent")?);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.agent.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub fn agent(&self) -> Option<u32> {
        let mut agent = self.lock();
        let child = agent.as_mut()?;
        let pid = child.id();
        let gone = child.try_wait().is_ok_and(|status| status.is_some());
        (!gone).then_some(pid)
    }

    /// The fencer that guards its data directory.
    pub fn fencer(&self) -> Option<u32> {
        let on_data = process::started_on(&self.place.data_dir);
        on_data
            .iter()
            .find(|seen| seen.is_fencer())
            .map(|seen| seen.pid)
    }

    pub fn postmaster(&self) -> Option<u32> {
        process::postmaster(&self.place.data_dir)
    }

    /// Every process of its PostgreSQL.
    pub fn instance(&self) -> Vec<Seen> {
        process::of_instance(&self.place.data_dir)
    }

    pub fn signal_agent(&self, signal: Signal) -> anyhow::Result<()> {
        self.signal("agent", self.agent(), signal)
    }

    pub fn signal_fencer(&self, signal: Signal) -> anyhow::Result<()> {
        self.signal("fencer", self.fencer(), signal)
    }

    pub fn signal_postmaster(&self, signal: Signal) -> anyhow::Result<()> {
        self.signal("postmaster", self.postmaster(), signal)
    }

    fn signal(&self, what: &str, pid: Option<u32>, signal: Signal) -> anyhow::Result<()> {
        let pid = pid.with_context(|| format!("{} has no {what}", self.name()))?;
        anyhow::ensure!(
            process::signal(pid, signal),
            "{what} {pid} of {} is gone",
            self.name()
        );
        Ok(())
    }

    /// Waits until the agent has ended by itself.
    pub fn agent_ends(&self, limit: Duration) -> anyhow::Result<()> {
        wait_for(
            &format!("agent of {} ends", self.name()),
            limit,
            || match self.agent() {
                None => Ok(()),
                Some(pid) => Err(format!("{pid} runs")),
            },
        )
    }

    pub fn get(&self, path: &str) -> Result<Answer, String> {
        http::get(self.place.rest, path, REST_LIMIT)
    }

    pub fn sql(&self, query: &str) -> Result<Vec<Vec<String>>, String> {
        sql::ask(self.place.postgres, query, SQL_LIMIT)
    }

    /// One value of one row.
    pub fn value(&self, query: &str) -> Result<String, String> {
        let rows = self.sql(query)?;
        let cell = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        cell.ok_or_else(|| format!("no row for {query}"))
    }

    /// Ends everything of this member, at once, until nothing is left. Wakes what was stopped.
    pub fn end(&self) {
        // Bounded: each round kills what it sees; what starts processes is killed in the first.
        for _ in 0..200 {
            if let Some(child) = self.lock().as_mut() {
                let _ = child.kill();
                let _ = child.wait();
            }
            let mut left = process::started_on(&self.place.home);
            left.extend(process::started_on(&self.place.config));
            left.extend(self.instance());
            if left.is_empty() {
                return;
            }
            for seen in left {
                process::signal(seen.pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("processes of {} did not end", self.name());
    }
}
