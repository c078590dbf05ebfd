//! What a real cluster is at an instant, as the simulator's claims want to know it: from /proc, SQL and the store, never
//! from an agent's word. Knows nothing of claims.
//!
//! Why this is subtle: the members are not seen at one instant, and a machine that stands still for a moment must not
//! look like an outage. So a member accepts writes as soon as a look says so, and no longer once two say not; whether any
//! process could still commit comes from the newest look alone.

use crate::ledger::Published;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tanist::testbed::cluster::Cluster;
use tanist::testbed::member::Member;
use tanist::testbed::{process, sql};
use tanist_core::lsn::Lsn;
use tanist_core::name::MemberName;
use tanist_core::timeline::TimelineId;
use tanist_sim::event::Role;
use tanist_sim::moment::Moment;
use tanist_sim::truth::{Commits, MemberTruth, Process, Truth};

const SQL_LIMIT: Duration = Duration::from_millis(500);

/// Recovery, timeline, whom it receives from: one row, of whatever the server is.
const ASK: &str = "SELECT pg_is_in_recovery(), \
     CASE WHEN pg_is_in_recovery() THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), \
         (SELECT timeline_id FROM pg_control_checkpoint())) \
     ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END, \
     (SELECT sender_port FROM pg_stat_wal_receiver WHERE status = 'streaming')";

/// What one look at a member showed.
#[derive(Clone, Debug, Default)]
struct Look {
    postmaster: Option<u32>,
    /// Processes of the instance that are left.
    processes: BTreeSet<u32>,
    sql: Option<Sql>,
}

#[derive(Clone, Debug)]
struct Sql {
    in_recovery: bool,
    timeline: Option<u32>,
    sender_port: Option<u16>,
}

/// What is remembered of a member between two looks.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Processes of a server that has run out of recovery: those of them that are left.
    writers: BTreeSet<u32>,
    accepted_before: bool,
    accepts: bool,
    timeline: u32,
}

pub struct Eyes {
    known: BTreeMap<MemberName, Known>,
    leader_key: Option<MemberName>,
    pub published: Published,
}

impl Eyes {
    pub fn new() -> Eyes {
        Eyes {
            known: BTreeMap::new(),
            leader_key: None,
            published: Published::default(),
        }
    }

    /// One look at everything; the members are looked at side by side.
    pub fn look(
        &mut self,
        at: Moment,
        cluster: &Cluster,
        hosts_down: &[MemberName],
        store_answers: bool,
        commits: Commits,
    ) -> Truth {
        let looks: Vec<(MemberName, Look)> = std::thread::scope(|scope| {
            let looking: Vec<_> = cluster
                .members()
                .iter()
                .map(|member| scope.spawn(|| (MemberName::from(member.name()), look_at(member))))
                .collect();
            let seen = looking.into_iter().filter_map(|look| look.join().ok());
            seen.collect()
        });
        if store_answers {
            let status = cluster.published().ok();
            if let Ok(key) = cluster.etcd.bound(&cluster.key("leader")) {
                self.leader_key = key.map(|(owner, _)| MemberName::from(owner.as_str()));
                self.published.look(status, self.leader_key.as_ref());
            }
        }
        let ports: BTreeMap<u16, MemberName> = cluster
            .members()
            .iter()
            .map(|m| (m.postgres().port, MemberName::from(m.name())))
            .collect();
        let mut members = BTreeMap::new();
        for (name, look) in looks {
            let known = self.known.entry(name.clone()).or_default();
            let down = hosts_down.contains(&name);
            members.insert(name, known.take(&look, down, &ports));
        }
        Truth {
            at,
            leader_key: self.leader_key.clone(),
            members,
            commits,
            paused: false,
        }
    }
}

impl Known {
    fn take(
        &mut self,
        look: &Look,
        host_down: bool,
        ports: &BTreeMap<u16, MemberName>,
    ) -> MemberTruth {
        let primary = look.sql.as_ref().is_some_and(|sql| !sql.in_recovery);
        self.note_writers(look, primary);
        self.accepts = primary || (self.accepts && self.accepted_before);
        self.accepted_before = primary;
        if let Some(timeline) = look.sql.as_ref().and_then(|sql| sql.timeline) {
            self.timeline = timeline;
        }
        let upstream = look.sql.as_ref().and_then(|sql| sql.sender_port);
        MemberTruth {
            role: self.role(look, host_down),
            can_write: !self.writers.is_empty(),
            accepts_writes: self.accepts,
            waiting_commits: 0,
            timeline: TimelineId(self.timeline),
            flushed: Lsn::INVALID,
            replayed: Lsn::INVALID,
            streams_from: upstream.and_then(|port| ports.get(&port).cloned()),
            control: None,
            agent: Process::Running,
            fencer: Process::Running,
            says_primary: false,
            operation: None,
        }
    }

    /// A server that does not answer is what it was, and starts processes as long as its postmaster is there. Beside a
    /// new postmaster, those of the old one that are left could still commit.
    fn note_writers(&mut self, look: &Look, primary: bool) {
        let goes_on = look.postmaster.is_some_and(|p| self.writers.contains(&p));
        let silent = look.sql.is_none();
        if primary || (goes_on && silent) {
            self.writers = look.processes.clone();
        } else {
            self.writers.retain(|pid| look.processes.contains(pid));
        }
    }

    fn role(&self, look: &Look, host_down: bool) -> Role {
        match (&look.sql, look.postmaster) {
            _ if host_down => Role::HostDown,
            (Some(sql), _) if sql.in_recovery => Role::Standby,
            (Some(_), _) => Role::Primary,
            (None, None) if look.processes.is_empty() => Role::Stopped,
            (None, None) => Role::Orphaned,
            (None, Some(pid)) if self.writers.contains(&pid) => Role::Stopping,
            (None, Some(_)) => Role::Starting,
        }
    }
}

fn look_at(member: &Member) -> Look {
    let rows = sql::ask(member.postgres(), ASK, SQL_LIMIT).ok();
    let sql = rows.and_then(|rows| read(rows.first()?));
    let instance = member.instance();
    Look {
        sql,
        postmaster: process::postmaster_among(member.data_dir(), &instance),
        processes: instance.iter().map(|seen| seen.pid).collect(),
    }
}

fn read(row: &Vec<String>) -> Option<Sql> {
    let [recovery, timeline, port] = row.as_slice() else {
        return None;
    };
    Some(Sql {
        in_recovery: recovery == "t",
        timeline: timeline.parse().ok(),
        sender_port: port.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(postmaster: Option<u32>, processes: &[u32], in_recovery: Option<bool>) -> Look {
        let sql = in_recovery.map(|in_recovery| Sql {
            in_recovery,
            timeline: Some(1),
            sender_port: None,
        });
        Look {
            postmaster,
            processes: processes.iter().copied().collect(),
            sql,
        }
    }

    fn seen(looks: &[Look]) -> Vec<(bool, bool, Role)> {
        let mut known = Known::default();
        let looks = looks.iter();
        looks
            .map(|look| known.take(look, false, &BTreeMap::new()))
            .map(|member| (member.accepts_writes, member.can_write, member.role))
            .collect()
    }

    #[test]
    fn one_look_makes_no_outage() {
        let primary = look(Some(7), &[7, 8, 9], Some(false));
        let busy = look(Some(7), &[7, 8, 9], None);
        let looks = [
            primary.clone(),
            primary.clone(),
            busy.clone(),
            primary,
            busy.clone(),
            busy,
        ];
        let accepts: Vec<bool> = seen(&looks).iter().map(|(accepts, ..)| *accepts).collect();
        assert_eq!(accepts, [true, true, true, true, true, false]);
    }

    #[test]
    fn a_server_that_answers_nobody_is_what_it_was_until_nothing_of_it_is_left() {
        let looks = [
            look(Some(7), &[7, 8, 9], Some(false)),
            look(None, &[8, 9], None),
            look(None, &[], None),
            look(Some(11), &[11, 12], None),
            look(Some(11), &[11, 12], Some(true)),
        ];
        assert_eq!(
            seen(&looks),
            [
                (true, true, Role::Primary),
                (true, true, Role::Orphaned),
                (false, false, Role::Stopped),
                (false, false, Role::Starting),
                (false, false, Role::Standby),
            ]
        );
    }
    #[test]
    fn beside_a_new_postmaster_what_is_left_of_the_old_one_could_still_commit() {
        let looks = [
            look(Some(7), &[7, 8, 9], Some(false)),
            look(None, &[8, 9], None),
            look(Some(11), &[8, 11, 12], None),
            look(Some(11), &[8, 11, 12], Some(true)),
            look(Some(11), &[11, 12], Some(true)),
        ];
        let could: Vec<bool> = seen(&looks).iter().map(|(_, could, _)| *could).collect();
        assert_eq!(could, [true, true, true, true, false]);
    }

    #[test]
    fn a_server_that_stops_answering_may_still_let_clients_in() {
        let looks = [
            look(Some(7), &[7, 8], Some(false)),
            look(Some(7), &[7, 9], None),
            look(None, &[9], None),
        ];
        let could: Vec<bool> = seen(&looks).iter().map(|(_, could, _)| *could).collect();
        assert_eq!(could, [true, true, true]);
    }
}
