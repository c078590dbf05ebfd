//! The clients of a testbed, all on one thread of their own: a writer with a journal, a probe on every
//! node, sessions that commit without asking their client, idle and stopped ones. They write down what
//! they saw; `checker` judges it.

pub mod busy;
pub mod crowd;
pub mod probe;
pub mod writer;

use super::checker::{Acknowledged, Commit};
use super::cluster::Cluster;
use super::member::Member;
use super::sql::{self, Access};
use super::{Stamp, process};
use anyhow::Context;
use rustix::process::Signal;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Timeline on which the statement runs; an error on a standby.
const TIMELINE: &str = "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int";

/// A request to one node and whether it was allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub node: String,
    pub sent: Stamp,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Refused,
}

/// What the clients wrote down.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Confirmed commits of probes and busy sessions on every node.
    pub commits: Vec<Commit>,
    /// The writer's rows.
    pub acknowledged: Vec<Acknowledged>,
    /// Writes tried by the probes.
    pub writes: Vec<Attempt>,
    /// `GET /primary` of every node.
    pub claims: Vec<Attempt>,
}

#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Mutex<Journal>>);

impl Shared {
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[derive(Debug)]
pub struct Clients {
    shared: Shared,
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
    stopped_backends: Vec<u32>,
}

impl Clients {
    /// Makes the tables and starts a writer and a probe on every node.
    pub fn start(cluster: &Cluster) -> anyhow::Result<Clients> {
        Clients::make_tables(cluster)?;
        let clients = Clients::none()?;
        clients.probe(cluster);
        let hosts = cluster
            .members()
            .iter()
            .map(|m| (m.name().to_string(), m.postgres()));
        clients.spawn(writer::run(
            hosts.collect(),
            writer::PERIOD,
            0,
            clients.shared.clone(),
        ));
        Ok(clients)
    }

    /// Makes the tables and starts one writer through a proxy that leads to the primary.
    pub fn start_through(cluster: &Cluster, proxy: Access) -> anyhow::Result<Clients> {
        Clients::make_tables(cluster)?;
        let clients = Clients::none()?;
        let hosts = vec![("proxy".to_string(), proxy)];
        clients.spawn(writer::run(
            hosts,
            writer::PERIOD,
            0,
            clients.shared.clone(),
        ));
        Ok(clients)
    }

    /// What all clients need, made on the leader where it is not there yet.
    pub fn make_tables(cluster: &Cluster) -> anyhow::Result<()> {
        let leader = cluster.leader().map_err(anyhow::Error::msg)?;
        leader.sql(SCHEMA).map_err(anyhow::Error::msg)?;
        Ok(())
    }

    /// A probe on every member.
    pub fn probe(&self, cluster: &Cluster) {
        for member in cluster.members() {
            let (name, access) = (member.name().to_string(), member.postgres());
            self.spawn(probe::run(name, access, self.shared.clone()));
        }
    }

    /// The thread, with nobody on it yet.
    pub fn none() -> anyhow::Result<Clients> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the clients' thread")?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            // Either told to end, or whoever would tell is gone.
            let _ = runtime.block_on(ended);
        });
        Ok(Clients {
            shared: Shared::default(),
            handle,
            end: Some(end),
            threads: vec![thread],
            ending: Arc::default(),
            stopped_backends: Vec::new(),
        })
    }

    pub fn spawn(&self, client: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(client);
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What a primary may meet in the wild: two sessions that commit in a loop on the server without
    /// looking at their client or their postmaster, one of the same under SIGSTOP, 100 idle ones.
    pub fn unkind(&mut self, primary: &Member) -> anyhow::Result<()> {
        for session in 0..3 {
            let (node, access) = (primary.name().to_string(), primary.postgres());
            let (tell, told) = std::sync::mpsc::channel();
            self.spawn(busy::run(node, access, session, tell, self.shared.clone()));
            let limit = Duration::from_secs(10);
            let pid = told
                .recv_timeout(limit)
                .context("a busy session did not start")?;
            if session == 2 {
                std::thread::sleep(Duration::from_millis(100));
                anyhow::ensure!(process::signal(pid, Signal::STOP), "backend {pid} is gone");
                self.stopped_backends.push(pid);
            }
        }
        self.spawn(idle(primary.postgres(), 100));
        Ok(())
    }

    /// Wakes the stopped backends that still live. One that could still commit then does.
    pub fn wake_stopped(&mut self) -> usize {
        let pids = std::mem::take(&mut self.stopped_backends);
        pids.into_iter()
            .filter(|pid| process::signal(*pid, Signal::CONT))
            .count()
    }

    /// Asks every node all the time whether it is the primary.
    pub fn watch_claims(&mut self, members: &[Member]) {
        for member in members {
            let member = member.clone();
            let (shared, ending) = (self.shared.clone(), Arc::clone(&self.ending));
            self.threads.push(std::thread::spawn(move || {
                while !ending.load(Ordering::Relaxed) {
                    let sent = Stamp::now();
                    let answer = member.get("/primary");
                    let yes = answer.is_ok_and(|a| a.code == 200);
                    let node = member.name().to_string();
                    let verdict = if yes {
                        Verdict::Accepted
                    } else {
                        Verdict::Refused
                    };
                    shared.journal().claims.push(Attempt {
                        node,
                        sent,
                        verdict,
                    });
                    std::thread::sleep(Duration::from_millis(10));
                }
            }));
        }
    }

    /// How many rows the writer was told are there.
    pub fn written(&self) -> usize {
        self.shared.journal().acknowledged.len()
    }

    /// Waits until the writer writes again.
    pub fn wait_written(&self, more: usize, limit: Duration) -> anyhow::Result<()> {
        let wanted = self.written() + more;
        super::wait_for("the writer writes", limit, || match self.written() {
            n if n >= wanted => Ok(()),
            n => Err(format!("{n} of {wanted} rows")),
        })
    }

    /// Ends all clients and hands over what they wrote down.
    pub fn finish(mut self) -> Journal {
        self.stop();
        std::mem::take(&mut *self.shared.journal())
    }

    fn stop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.end = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.wake_stopped();
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Connects `count` sessions and keeps them, asking nothing.
async fn idle(access: Access, count: usize) {
    let mut kept = Vec::new();
    for _ in 0..count {
        // A primary that goes away meanwhile has fewer idle sessions; that is no finding.
        if let Ok(client) = sql::connect(access, Duration::from_secs(5), |_| {}).await {
            kept.push(client);
        }
    }
    std::future::pending::<()>().await;
}

/// `COPY FROM PROGRAM` waits in a read that looks neither at the client nor at the postmaster.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS testbed_rows (id bigint, at timestamptz DEFAULT clock_timestamp());
    CREATE TABLE IF NOT EXISTS testbed_probe (node text, at timestamptz DEFAULT clock_timestamp());
    CREATE TABLE IF NOT EXISTS testbed_busy (session int, n bigint);
    CREATE TABLE IF NOT EXISTS testbed_nothing (line text);
    CREATE OR REPLACE PROCEDURE testbed_commit_in_a_loop(session int) LANGUAGE plpgsql AS $$
    DECLARE
        n bigint := 0;
        began numeric;
    BEGIN
        LOOP
            n := n + 1;
            INSERT INTO testbed_busy VALUES (session, n);
            began := extract(epoch FROM clock_timestamp());
            COMMIT;
            RAISE NOTICE '% %', (began * 1000000)::bigint,
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
            EXECUTE 'COPY testbed_nothing FROM PROGRAM ''sleep 0.05''';
        END LOOP;
    END $$;
";
