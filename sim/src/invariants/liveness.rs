//! What must come about once all is healed: L01 one leader serves writes, L02 every member that policy can repair
//! streams on its timeline, L03 nobody changes the leader without need.
//!
//! L01 and L02 are judged when the run asks for it, after `recovery_bound`. L03 is judged at every change
//! of the leader key while the weather has been fair for long.

use super::Invariant;
use super::assumptions::Assumption;
use crate::due::Due;
use crate::host::{Host, Wanted};
use crate::pg::instance::{DataDir, Instance};
use crate::pg::wal::Position;
use crate::shape::{MemberShape, RewindPolicy};
use crate::wire::Seat;
use crate::world::World;
use tanist_core::keys::INITIALIZE;
use tanist_core::postgres::{Ended, Operation};
use tanist_core::time::Span;

/// After so many the policy for a rewind that failed applies, and may be to leave it to a person.
const REWIND_TRIES: u32 = 3;

/// How long a clone may take that follows upon a start in vain.
const REPAIR: Span = Span::secs(60);

impl World {
    /// How long after `HealAll` it may take until one leader serves: a lease may have been prolonged once by an
    /// election of the store, a crashed primary may first use up its time to come back, then a race, then a
    /// promotion.
    pub fn leader_bound(&self) -> Span {
        let shape = &self.shape;
        shape.ttl.times(2)
            + shape.loop_wait.times(3)
            + shape.retry_timeout.times(2)
            + shape.primary_start_timeout.min(Span::secs(120))
            + Span::secs(60)
    }

    /// How long the whole cluster may take: after that every other member is rewound or cloned, some twice.
    pub fn recovery_bound(&self) -> Span {
        let shape = &self.shape;
        let election = shape.ttl.times(2) + shape.loop_wait + shape.retry_timeout;
        election.times(2) + Span::secs(180)
    }

    /// From now on all is well, as far as it can be.
    pub(crate) fn expect_recovery(&mut self) {
        self.note_healed();
        for bound in [
            self.view_bound(),
            self.leader_bound(),
            self.recovery_bound(),
        ] {
            let at = self.now() + bound + Span::millis(1);
            self.agenda.enter(at, Due::JudgeRecovery);
        }
    }

    /// The time is over, unless something was broken or asked for in the meantime.
    pub(crate) fn recovery_is_due(&mut self) {
        let fair_for = |bound| self.oracle.calm.has_settled(self.now(), bound);
        if fair_for(self.recovery_bound()) {
            self.check_recovered();
        } else if fair_for(self.leader_bound()) {
            self.check_leader_serves();
        } else if fair_for(self.view_bound()) {
            self.check_fresh_views();
        }
    }

    /// All is healed, one leader serves, all that can follow do.
    pub fn is_well(&self) -> bool {
        let healed = self.oracle.calm.is_fair() && !self.is_paused();
        let follow = healed && self.one_leader_serves().is_ok() && self.all_follow().is_ok();
        follow && self.record().is_ok() && self.slots_there().is_ok()
    }

    /// Judges what must have come about by now.
    pub fn check_recovered(&mut self) {
        let now = self.now();
        if !self.owes_recovery() {
            self.oracle.set_aside(Invariant::OneLeaderServes);
            self.oracle.set_aside(Invariant::AllFollow);
            return;
        }
        self.check_leader_serves();
        if self.one_leader_serves().is_ok() {
            let follow = self.all_follow();
            self.oracle.judge(Invariant::AllFollow, now, follow);
            self.check_record();
            self.check_slots_there();
        }
        self.check_requests_end();
    }

    fn check_leader_serves(&mut self) {
        let now = self.now();
        if !self.owes_recovery() {
            return self.oracle.set_aside(Invariant::OneLeaderServes);
        }
        let leads = self.one_leader_serves();
        self.oracle.judge(Invariant::OneLeaderServes, now, leads);
    }

    /// Is a leader, and that others follow it, to be demanded at all? A store that lost keys is no excuse; lost data is.
    fn owes_recovery(&self) -> bool {
        let sound = [Assumption::DurableDisks, Assumption::FaultCount];
        self.oracle.assumptions.hold(&sound)
            && !self.is_forgotten()
            && !self.is_misnamed()
            && !self.is_spoilt_by_a_patroni()
            && !self.is_promoted_astray()
            && !self.is_paused()
            && self.shape.commit_mode == crate::shape::CommitMode::Async
    }

    /// The store lost its keys or was told of a cluster that is not here, every agent was started anew since, and nowhere
    /// lies what a primary left behind: only standbys, whose primary may be alive elsewhere. A person has to say which of
    /// them leads.
    fn is_forgotten(&self) -> bool {
        let by_hand = self.oracle.evidence.initialize_by_hand;
        let initialize = self.store.get(INITIALIZE);
        let known = initialize.is_some_and(|kv| Some(kv.modified) != by_hand);
        // Who has nothing to lead with writes nothing back.
        let remembers = |(at, (host, member)): (usize, (&Host, &MemberShape))| {
            let agent = host.agent.as_ref();
            let agent = agent.and_then(|a| a.agent.tanist());
            let could_lead = !is_barred(member) && self.pgs[at].dir.is_whole();
            could_lead && agent.is_some_and(|agent| agent.has_seen_cluster())
        };
        let mut hosts = self.hosts.iter().zip(&self.shape.members).enumerate();
        let remembered = hosts.any(remembers);
        // Who led last brings a cluster back that the store knows nothing of, and not one that somebody seems to found.
        let absent = initialize.is_none();
        let standby = |pg: &Instance| {
            let led_last = absent && pg.led_last;
            !pg.dir.is_whole() || pg.dir.standby_signal && !led_last
        };
        !known && !remembered && self.pgs.iter().all(standby)
    }

    fn one_leader_serves(&self) -> Result<(), String> {
        let Some(leader) = self.leader_seat() else {
            return Err("nobody owns the leader key".to_string());
        };
        if !self.pgs[leader.index()].accepts_writes() {
            return Err(format!(
                "{} owns the leader key and accepts no writes",
                self.name(leader)
            ));
        }
        match self.says_primary(leader) {
            true => Ok(()),
            false => Err(format!("{} leads and does not say so", self.name(leader))),
        }
    }

    fn all_follow(&self) -> Result<(), String> {
        let Some(leader) = self.leader_seat() else {
            return Err("nobody owns the leader key".to_string());
        };
        let timeline = self.wal.timeline(self.pgs[leader.index()].dir.wal.branch);
        for at in 0..self.pgs.len() as u8 {
            let seat = Seat(at);
            if seat == leader || self.hosts[seat.index()].wanted == Wanted::Down {
                continue;
            }
            let pg = &self.pgs[seat.index()];
            let theirs = self.pgs[leader.index()].dir.wal;
            let fed =
                self.wal.is_prefix(pg.dir.wal, theirs) && !self.has_removed(leader, pg.dir.wal.lsn);
            let left = self.starts_for_nobody(seat) || self.hangs_in_a_stop(seat);
            let own_rules = self.is_patroni(seat) && (!fed || left);
            if own_rules || self.is_given_its_time(seat) || self.beyond_repair(seat, leader) {
                continue;
            }
            if pg.receiver().is_none_or(|r| r.stalled.is_some()) {
                return Err(format!("{} does not stream", self.name(seat)));
            }
            if pg.server.as_ref().is_some_and(|server| server.falls_short) {
                let name = self.name(seat);
                return Err(format!(
                    "{name} replays nothing: its primary's settings are greater"
                ));
            }
            let own = self.wal.timeline(pg.dir.wal.branch);
            if own != timeline {
                return Err(format!("{} streams on timeline {own}", self.name(seat)));
            }
        }
        Ok(())
    }

    /// Started while nobody led, it lacks WAL that only a leader can send, and its agent, in a later life than that of the
    /// rewind, cannot tell it from a server that recovers what it has: such a start has five minutes, which is longer than
    /// the bound. Afterwards it is started for the leader. Whose start was given up after all its time, and who is
    /// cloned anew for that, has time for the clone.
    fn is_given_its_time(&self, seat: Seat) -> bool {
        let given_up = self.oracle.evidence.start_given_up.get(&seat);
        let lately = given_up.is_some_and(|at| self.now().since(*at) < REPAIR);
        if lately && !self.pgs[seat.index()].dir.is_whole() {
            return true;
        }
        let start = self.pgs[seat.index()].server.as_ref();
        let start = start.and_then(|server| server.starting_for);
        let rewound_in = self.oracle.evidence.rewound_in.get(&seat);
        self.starts_for_nobody(seat) && start.is_some_and(|s| rewound_in < Some(&s.life))
    }

    /// Two that go by one name take each other's keys for their own, and others cannot tell which of them leads: one has
    /// to be named anew.
    pub(crate) fn is_misnamed(&self) -> bool {
        self.shape
            .members
            .iter()
            .any(|member| member.goes_by.is_some())
    }

    /// Of another cluster, or diverged, and no policy allows to throw its data away: a person must look at it.
    fn beyond_repair(&self, seat: Seat, leader: Seat) -> bool {
        let (mine, leads) = (&self.pgs[seat.index()].dir, &self.pgs[leader.index()].dir);
        let policy = self.rewind_policy();
        let told_apart = self.are_told_apart(mine.wal, leads.wal);
        let common = self.wal.common(mine.reaches(), leads.wal);
        let sees = common.is_some_and(|at| self.taken_for_common(mine, leads) <= at.lsn);
        let rewinds = policy.use_pg_rewind && policy.wal_log_hints && told_apart && sees;
        let half_rewound = mine.layout == crate::pg::instance::Layout::HalfRewound;
        let system = |dir: &DataDir| self.wal.system(dir.wal.branch);
        let foreign = mine.is_whole() && system(mine) != system(leads);
        // The history file of a timeline that a promotion opened and never wrote to: started, the server looks for it.
        let reached = self.wal.timeline(mine.wal.branch);
        let opened = |number| {
            let mut marks = self.pgs[seat.index()].promoted.iter();
            marks.any(|mark| mark.timeline == number)
        };
        let newest = mine.newest_known.timeline;
        // Or it was given another's WAL of that number by the archive: nobody can tell from outside whose it is.
        let same_number = self.wal.timeline(leads.wal.branch) == reached;
        let orphan = opened(newest) && (newest > reached || same_number);
        let leaves = !self.wal.is_prefix(mine.reaches(), leads.wal);
        let diverged = mine.is_whole() && (leaves || orphan);
        let failed = self.oracle.evidence.rewinds_failed.get(&seat);
        let gave_up = diverged && failed.is_some_and(|failed| *failed >= REWIND_TRIES);
        let starts = self.foreign_line(seat).is_none() || self.is_on_its_own_line(seat);
        // It was rewound from who had more than the leader has, and nobody else has the WAL that it needs to come up.
        let stranded = diverged && mine.reaches() != mine.wal;
        let half_rewound = half_rewound || gave_up || stranded || (diverged && !starts);
        foreign
            || self.is_led_astray(seat)
            || (!diverged && self.is_starved(seat, leader))
            || (half_rewound && !policy.remove_data_directory_on_rewind_failure)
            || (diverged && !rewinds && !policy.remove_data_directory_on_diverged_timelines)
    }

    /// The newest timeline of the archive was opened by hand, or by a Patroni without the key, and nothing here is on it:
    /// PostgreSQL starts no standby until a person has taken the history file away, but along one timeline only.
    fn is_led_astray(&self, seat: Seat) -> bool {
        let astray = &self.oracle.evidence.opened_astray;
        if !self.is_patroni(seat) && self.is_on_its_own_line(seat) {
            return false;
        }
        let foreign = self.foreign_line(seat);
        foreign.is_some_and(|line| {
            astray
                .iter()
                .any(|branch| self.wal.history(*branch) == line)
        })
    }

    fn rewind_policy(&self) -> RewindPolicy {
        let config = self.config_in_force();
        RewindPolicy {
            use_pg_rewind: config.use_pg_rewind,
            wal_log_hints: self.shape.rewind.wal_log_hints,
            remove_data_directory_on_rewind_failure: config.remove_on_rewind_failure,
            remove_data_directory_on_diverged_timelines: config.remove_on_diverged_timelines,
        }
    }

    /// Somebody promoted a server by hand, or a Patroni did without the key, and none of those on the newest timeline may
    /// lead: each is barred, is a Patroni and others have more, has left the recorded line of the cluster, or lacks more of what
    /// the last leader published than may be lost. What they have would be lost if another led, so a person has to say.
    fn is_promoted_astray(&self) -> bool {
        if self.oracle.evidence.opened_astray.is_empty() {
            return false;
        }
        let may_lead = (0u8..)
            .zip(&self.shape.members)
            .filter(|(_, m)| !is_barred(m));
        let has_data = |seat: &Seat| self.pgs[seat.index()].dir.is_whole();
        let may_lead = may_lead.map(|(at, _)| Seat(at)).filter(has_data);
        let mut may_lead = may_lead.peekable();
        if may_lead.peek().is_some() && may_lead.all(|seat| self.is_led_astray(seat)) {
            return true;
        }
        // Stopped, the leader cannot be started as a standby again, which it has to be before it leads.
        if self
            .leader_seat()
            .is_some_and(|seat| self.is_led_astray(seat))
        {
            return true;
        }
        let timeline = |dir: &DataDir| self.wal.timeline(dir.wal.branch);
        let newest = self.pgs.iter().map(|pg| timeline(&pg.dir)).max();
        let (published, allowed) = (self.published_position(), self.lag_allowed());
        let furthest = self.pgs.iter().map(|pg| pg.dir.wal.lsn).max();
        let mut ahead = (0u8..).zip(self.pgs.iter().zip(&self.shape.members));
        ahead.all(|(at, (pg, member))| {
            let end = pg.dir.wal.lsn;
            let lacks = published.map_or(0, |published| published.bytes_ahead_of(end));
            // A Patroni leaves the key to whoever has more, on whichever timeline.
            let stands_back = self.is_patroni(Seat(at)) && Some(end) < furthest;
            let diverged = self.leaves_the_record(&pg.dir);
            let may_not = is_barred(member) || lacks > allowed || stands_back || diverged;
            Some(timeline(&pg.dir)) != newest || self.opened_by_hand(&pg.dir) && may_not
        })
    }

    fn opened_by_hand(&self, dir: &DataDir) -> bool {
        self.oracle.evidence.opened_astray.iter().any(|branch| {
            let start = self.wal.start_of(*branch);
            self.wal.is_prefix(start, dir.wal)
        })
    }

    /// The tool goes by the numbers of timelines: two that have the same one it takes for one.
    fn are_told_apart(&self, mine: Position, leads: Position) -> bool {
        let number = self.wal.timeline(mine.branch);
        let history = self.wal.history(leads.branch);
        let theirs_too = history.forks.iter().any(|fork| fork.parent == number);
        let common = self.wal.common(mine, leads);
        let shared = common.is_some_and(|at| self.wal.timeline(at.branch) == number);
        history.timeline != number && (shared || !theirs_too)
    }

    /// Keeps account of rewinds: how many failed one after the other, and who knows of the last.
    pub(crate) fn note_rewind(&mut self, seat: Seat, operation: &Operation, ended: &Ended) {
        let agent = self.hosts[seat.index()].agent.as_ref();
        if let (Operation::Rewind { .. }, Some(agent)) = (operation, agent) {
            self.oracle.evidence.rewound_in.insert(seat, agent.life);
        }
        let failed = &mut self.oracle.evidence.rewinds_failed;
        match (operation, ended) {
            (Operation::Rewind { .. }, Ended::Failed(_)) => {
                *failed.entry(seat).or_default() += 1;
            }
            (Operation::Rewind { .. } | Operation::Clone { .. }, Ended::Done) => {
                failed.remove(&seat);
            }
            (_, _) => {}
        }
    }

    /// The leader key has another owner than before.
    pub(crate) fn check_needless_change(&mut self, from: &str, to: Option<&str>) {
        let to = to.unwrap_or("nobody");
        self.is_needless(format!(
            "the leader key went from {from} to {to} without need"
        ));
    }

    /// A primary is one no more.
    pub(crate) fn check_needless_stop(&mut self, seat: Seat) {
        let name = self.name(seat);
        self.is_needless(format!("{name} was primary and was ended without need"));
    }

    /// In calm weather nothing of the kind happens.
    fn is_needless(&mut self, story: String) {
        let now = self.now();
        let settling = self.recovery_bound();
        let sound = [Assumption::Clocks, Assumption::Store, Assumption::FreeRun];
        let calm = self.oracle.calm.has_settled(now, settling);
        if !calm || !self.oracle.assumptions.hold(&sound) {
            return self.oracle.set_aside(Invariant::NoNeedlessChange);
        }
        self.oracle
            .judge(Invariant::NoNeedlessChange, now, Err(story));
    }

    /// The leader key was renewed or kept: no change is what was promised.
    pub(crate) fn note_no_change(&mut self) {
        if self
            .oracle
            .calm
            .has_settled(self.now(), self.recovery_bound())
        {
            self.oracle.fine(Invariant::NoNeedlessChange);
        }
    }
}

fn is_barred(member: &MemberShape) -> bool {
    member.nofailover || member.failover_priority.is_some_and(|p| p <= 0)
}
