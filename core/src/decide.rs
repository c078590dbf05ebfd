//! The one decision tree, in strict order: safety first, then what was begun, then maintenance mode, then the
//! member's part in the cluster. All branching of the agent is here or in the noun that a branch names.
//! Decides only: `carry_out.rs` acts.

use crate::agent::Agent;
use crate::cluster::{Cluster, Initialize};
use crate::copies::aimed_at;
use crate::decision::{
    AcquireReason, CancelReason, Decision, ExitReason, ReleaseReason, StartReason, StopReason,
    Waiting,
};
use crate::election_loss::ElectionLoss;
use crate::lane::InLane;
use crate::leader_key::Key;
use crate::local::Server;
use crate::name::Term;
use crate::postgres::{ControlData, DataDir, Operation, StartAs, StopMode, StopPlan};
use crate::rejoin::{Rewound, retry, stop};
use crate::tenure::Resumption;
use crate::time::{Mono, Now, Span};

/// A promotion is not begun with less of the authority left than this, or a quarter of what a lease gives.
const PROMOTE_NEEDS: Span = Span::secs(2);
/// How long PostgreSQL may go on when agent and fencer both died, or an agent finds it without the key of its cluster.
const UNFENCED_GRACE: Span = Span::secs(2);
/// Beyond the time in which the store must have answered: for a ballot or two.
const ADOPT_RESERVE: Span = Span::secs(3);
/// How long a stop in order may take before it is made harder: for a restart, and where the agent ends.
const RESTART_STOP: Span = Span::secs(10);
const SHUTDOWN_STOP: Span = Span::secs(60);
/// How a server is stopped whose promotion failed: nobody writes there, and another is to be found soon.
const FAILED_PROMOTION_STOP: StopPlan = StopPlan {
    first: StopMode::Fast,
    immediate_after: Span::secs(1),
    kill_after: Span::secs(2),
};

impl Agent {
    pub fn decide(&self, now: Now) -> Decision {
        if self.exited {
            return Decision::Wait(Waiting::Operation {
                verb: "exit".into(),
            });
        }
        if let Some(in_lane) = &self.lane.current {
            return self.decide_busy(now, in_lane);
        }
        let Some(observed) = &self.local.observed else {
            return Decision::Wait(Waiting::FirstLook);
        };
        if self.stopping {
            return self.decide_shutdown(now);
        }
        if self.paused() && !self.is_commanded_in_pause() {
            return match &self.store.cluster {
                Some(cluster) => self.decide_paused(now, cluster),
                None => Decision::Wait(Waiting::StoreNeverSeen),
            };
        }
        if let Some(decision) = self.decide_safety(now) {
            return decision;
        }
        let Some(cluster) = &self.store.cluster else {
            return Decision::Wait(Waiting::StoreNeverSeen);
        };
        if let Some(founding) = &self.founding {
            return self.decide_founding(now, founding);
        }
        if self.tenure.key == Key::InDoubt {
            return Decision::ReadBeforeRace;
        }
        if matches!(self.tenure.key, Key::Releasing { .. }) {
            return Decision::Wait(Waiting::KeyRequested);
        }
        if let Some(decision) = self
            .handover
            .as_ref()
            .and_then(|_| self.decide_handover(now))
        {
            return decision;
        }
        if self.requests.restart_wanted() && self.local.server() != Server::Down {
            return self.stop_in_order(now, StopReason::Restart, RESTART_STOP, false);
        }
        if let Some(stop) = self
            .decide_one_timeline()
            .or_else(|| self.decide_shortfall(cluster))
        {
            return stop;
        }
        if self.holds_key() {
            return self
                .decide_silence(now)
                .unwrap_or_else(|| self.decide_lead(now, cluster, &observed.data_dir));
        }
        match &cluster.leader {
            Some(leader) if leader.owner != self.settings.name => {
                self.decide_rejoin(now, cluster, leader)
            }
            // My name, not (yet) my session: an earlier life's key that is being resumed or runs out.
            Some(_) => self.decide_own_stale_key(now),
            None => self.decide_unlocked(now, cluster, &observed.data_dir),
        }
    }

    /// What comes before everything: nothing of ours may write without authority.
    fn decide_safety(&self, now: Now) -> Option<Decision> {
        if let Server::Leftovers { count } = self.local.server() {
            return Some(immediate(StopReason::LeftoverBackends { count }));
        }
        // The order to promote may still be carried out: a server that was merely slow would open a timeline beside the
        // next leader's. Only when it is down may the key be given away, or another be followed.
        if self.local.may_yet_promote() {
            let failures = self.lane.failures("promote");
            return Some(Decision::Stop {
                why: StopReason::PromotionFailed {
                    why: failures.map_or_else(String::new, |f| f.last.clone()),
                },
                plan: FAILED_PROMOTION_STOP,
                checkpoint_first: false,
            });
        }
        if !self.local.may_write() {
            return None;
        }
        if matches!(self.local.data_dir(), Some(DataDir::Empty)) {
            return Some(immediate(StopReason::DataDirectoryGone));
        }
        if self.authority().stands(now.mono) {
            return self.decide_with_authority(now);
        }
        self.decide_without_authority(now)
    }

    fn decide_with_authority(&self, now: Now) -> Option<Decision> {
        if self.fencer_overdue(now) {
            return Some(immediate(StopReason::FencerLost));
        }
        let late = self.orderly_stop_at().is_some_and(|at| now.mono >= at);
        if late && self.holds_key() {
            let left = self
                .authority()
                .until()
                .map_or(Span::ZERO, |until| until.since(now.mono));
            let plan = StopPlan {
                first: StopMode::Fast,
                immediate_after: left,
                kill_after: left + Span::millis(300),
            };
            let why = StopReason::AuthorityEnds {
                unrenewed: self.unrenewed(now),
            };
            return Some(Decision::Stop {
                why,
                plan,
                checkpoint_first: false,
            });
        }
        None
    }

    /// A primary that may not write. The only reasons to leave it running are those under which it may
    /// have authority that this process has not proved yet, each bounded.
    fn decide_without_authority(&self, now: Now) -> Option<Decision> {
        let young = now.mono < self.proves_until();
        let Some(cluster) = &self.store.cluster else {
            return Some(if young {
                Decision::Wait(Waiting::StoreNeverSeen)
            } else {
                immediate(StopReason::StoreNeverSeen)
            });
        };
        if let Some(owner) = cluster
            .leader
            .as_ref()
            .map(|k| &k.owner)
            .filter(|n| **n != self.settings.name)
        {
            return Some(immediate(StopReason::KeyLostTo {
                owner: owner.clone(),
            }));
        }
        if self.tenure.resumption != Resumption::Over && young {
            return Some(Decision::Wait(Waiting::ResumingSession));
        }
        if let Some(owner) = &self.tenure.lost_to {
            return Some(immediate(StopReason::KeyLostTo {
                owner: owner.clone(),
            }));
        }
        if self.holds_key() && !self.tenure.proven && young {
            return Some(Decision::Wait(Waiting::ResumingSession));
        }
        if self.holds_key() {
            return Some(immediate(StopReason::AuthorityOver {
                unrenewed: self.unrenewed(now),
            }));
        }
        if let Some(until) = self.adopts_until() {
            let decision = self.decide_adoption(now, cluster);
            let waits = matches!(decision, Decision::Wait(_) | Decision::ReadBeforeRace);
            return Some(if waits && now.mono >= until {
                immediate(StopReason::NeverHadKey)
            } else {
                decision
            });
        }
        Some(immediate(if self.tenure.may_adopt.is_some() {
            StopReason::NeverHadKey
        } else {
            StopReason::KeyGone
        }))
    }

    /// Until when a primary that was found running may write before this life has proved anything: to the deadline that
    /// the fencer of the life before holds, whether or not that fencer can still act; without one the lease may end at
    /// any moment.
    pub fn proves_until(&self) -> Mono {
        let patience = self.store.config.timing.retry_timeout;
        match &self.boot.fencer {
            Some(armed) => armed.until.min(self.started.mono + patience),
            None => self.started.mono + patience.min(UNFENCED_GRACE),
        }
    }

    /// Until when a primary that was found running may wait for the free key: what it waits for may never come.
    pub fn adopts_until(&self) -> Option<Mono> {
        let since = self.tenure.may_adopt?;
        let cluster = self.store.cluster.as_ref()?;
        // Where a cluster is known, another may be elected at any moment.
        let patience = match &cluster.initialize {
            Initialize::Done(_) => UNFENCED_GRACE,
            Initialize::Absent | Initialize::InProgress { .. } | Initialize::Unreadable(_) => {
                self.store.config.timing.retry_timeout + ADOPT_RESERVE
            }
        };
        cluster.is_unlocked().then(|| since + patience)
    }

    /// PostgreSQL already runs as a primary and nobody leads: first start on existing data, or after pause.
    fn decide_adoption(&self, now: Now, cluster: &Cluster) -> Decision {
        let Some(control) = self.local.control() else {
            return Decision::Wait(Waiting::FirstLook);
        };
        if let Some(exit) = self.foreign_system(cluster, control) {
            return exit;
        }
        if self.somebody_founds(cluster) {
            return self.decide_unfinished(now);
        }
        match self.decide_election(now, cluster) {
            Decision::Acquire { .. } => Decision::Acquire {
                why: AcquireReason::RunningPrimary,
            },
            Decision::Wait(Waiting::Election(_)) if self.election.ballot.is_some() => {
                immediate(StopReason::NeverHadKey)
            }
            other => other,
        }
    }

    fn decide_busy(&self, now: Now, in_lane: &InLane) -> Decision {
        let wait = Decision::Wait(Waiting::Operation {
            verb: in_lane.operation.verb().into(),
        });
        if in_lane.cancelled {
            return wait;
        }
        let cancel = |why| Decision::Cancel { why };
        let writes = matches!(
            in_lane.operation,
            Operation::Promote { .. }
                | Operation::Start {
                    role: StartAs::Primary,
                    ..
                }
        );
        if writes && !self.authority().stands(now.mono) {
            return match in_lane.term {
                Some(term) => cancel(CancelReason::TermEnded { term }),
                None => wait,
            };
        }
        match &in_lane.operation {
            // It will say for ever that promotion is not possible.
            Operation::Promote { .. } if self.local.shortfall().is_some() => {
                cancel(CancelReason::FallsShort)
            }
            Operation::Clone { source } | Operation::Rewind { source } => {
                let leader = self.store.leader().map(|k| &k.owner);
                let same = leader.is_none_or(|owner| *owner == source.member);
                let rewinding = matches!(in_lane.operation, Operation::Rewind { .. });
                match (self.stopping, same) {
                    // A rewind that is cut short leaves a directory that cannot be started: let it end.
                    (true, _) if !rewinding => cancel(CancelReason::Stopping),
                    (_, false) if !rewinding => cancel(CancelReason::LeaderChanged),
                    (true | false, true | false) => wait,
                }
            }
            Operation::Start { .. } if self.stopping => cancel(CancelReason::Stopping),
            // It needs WAL of its upstream to come up. That one may never send any again, and without one nobody does.
            Operation::Start { role, .. }
                if self.rejoin.rewound != Rewound::Settled
                    && aimed_at(role) != self.store.leader().map(|key| key.owner.clone())
                    && self.leader_can_be_followed() =>
            {
                cancel(CancelReason::LeaderChanged)
            }
            // Without a leader there is nothing to clone from: the server runs until there is one.
            Operation::Start { .. } if self.rejoin.reinit && self.somebody_else_leads() => {
                cancel(CancelReason::ReinitForced)
            }
            Operation::Stop { plan, .. }
                if plan.first == StopMode::Fast
                    && self.local.may_write()
                    && !self.authority().stands(now.mono) =>
            {
                cancel(CancelReason::AuthorityOver)
            }
            Operation::Start { .. }
            | Operation::Initdb
            | Operation::PostBootstrap
            | Operation::Stop { .. }
            | Operation::Promote { .. }
            | Operation::CrashRecovery
            | Operation::DiscardData { .. } => wait,
        }
    }

    /// Somebody else leads and is ready: until then a server is started for nobody.
    fn leader_can_be_followed(&self) -> bool {
        let leader = self.store.leader().zip(self.store.cluster.as_ref());
        let ready = leader.is_some_and(|(key, cluster)| self.upstream_of(cluster, key).is_ok());
        ready && self.somebody_else_leads()
    }

    fn somebody_else_leads(&self) -> bool {
        self.store
            .leader()
            .is_some_and(|key| key.owner != self.settings.name)
    }

    /// The agent was asked to end: PostgreSQL down, key released, out. In pause everything is left as it is.
    fn decide_shutdown(&self, now: Now) -> Decision {
        let unfinished = self.founding.as_ref().is_some_and(|f| f.failed.is_some());
        // What is left of it would be a foreign cluster's when another member has founded this one.
        let left = !matches!(self.local.data_dir(), Some(DataDir::Empty) | None);
        if unfinished && left && !self.paused() {
            return self.abandon(now);
        }
        if self.paused() {
            return Decision::Exit {
                code: 0,
                why: ExitReason::StoppedPaused,
            };
        }
        if self.local.server() != Server::Down {
            let limit = self.store.config.primary_stop_timeout;
            return self.stop_in_order(
                now,
                StopReason::Shutdown,
                limit.unwrap_or(SHUTDOWN_STOP),
                true,
            );
        }
        match self.tenure.key {
            Key::Held { .. } if self.tenure.call.is_none() => Decision::Release {
                why: ReleaseReason::Shutdown,
            },
            Key::Held { .. } | Key::Gone { .. } | Key::Releasing { .. }
                if self.tenure.call.is_some() =>
            {
                Decision::Wait(Waiting::KeyRequested)
            }
            Key::Held { .. }
            | Key::Gone { .. }
            | Key::Releasing { .. }
            | Key::NotHeld
            | Key::InDoubt
            | Key::Acquiring { .. } => Decision::Exit {
                code: 0,
                why: ExitReason::Stopped,
            },
        }
    }

    /// A stop that leaves a clean server, made harder after `limit`, and never later than the authority lasts of a
    /// server that may write. Without authority there is nothing to be done in order.
    fn stop_in_order(
        &self,
        now: Now,
        why: StopReason,
        limit: Span,
        checkpoint_first: bool,
    ) -> Decision {
        let authority = self.authority();
        if self.local.may_write() && !authority.stands(now.mono) {
            return immediate(why);
        }
        let left = authority
            .until()
            .map_or(limit, |until| until.since(now.mono));
        let limit = limit.min(left);
        Decision::Stop {
            why,
            plan: StopPlan {
                first: StopMode::Fast,
                immediate_after: limit,
                kill_after: limit + Span::secs(1),
            },
            checkpoint_first,
        }
    }

    fn decide_lead(&self, now: Now, cluster: &Cluster, data_dir: &DataDir) -> Decision {
        match (self.local.server(), data_dir) {
            (Server::Primary, _) if self.owes_roles() => self.finish_roles(now),
            (Server::Primary, _) => Decision::Lead,
            (Server::Standby, _) => self.decide_promote(now),
            (Server::Starting | Server::Silent, _) if self.start_budget_spent(now, cluster) => {
                let after = self.crashed_at.map_or(Span::ZERO, |at| now.mono.since(at));
                immediate(StopReason::StartTimeout { after })
            }
            (
                Server::Starting | Server::ShuttingDown | Server::Silent | Server::Leftovers { .. },
                _,
            ) => self.wait_for_server(now),
            (Server::Down, DataDir::Present(control)) => {
                self.decide_start_as_leader(now, cluster, control)
            }
            (Server::Down, DataDir::Empty) => Decision::Release {
                why: ReleaseReason::DataDirectoryGone,
            },
            (Server::Down, DataDir::Unreadable(what) | DataDir::NotACluster(what)) => {
                Decision::Release {
                    why: ReleaseReason::DataUnusable { what: what.clone() },
                }
            }
            (Server::Down, DataDir::HalfCloned | DataDir::HalfRewound(_)) => Decision::Release {
                why: ReleaseReason::DataUnusable {
                    what: "a copy into it was not finished".into(),
                },
            },
        }
    }

    fn decide_promote(&self, now: Now) -> Decision {
        let Some(term) = self.term() else {
            return Decision::Wait(Waiting::KeyRequested);
        };
        if !self.local.is_answering() {
            return self.wait_for_server(now);
        }
        if !self.tenure.proven {
            return Decision::Wait(Waiting::ResumingSession);
        }
        if !self.fencer_covers(now) {
            return Decision::Wait(Waiting::FencerNotReady);
        }
        let until = self.lease_until();
        let whole = self
            .tenure
            .session
            .zip(until)
            .map_or(Span::ZERO, |(s, until)| until.since(s.renewed_at));
        let needs = PROMOTE_NEEDS.min(whole.divided_by(4));
        if until.is_none_or(|until| until.since(now.mono) < needs) {
            return Decision::Wait(Waiting::PromoteOutOfTime);
        }
        Decision::Promote { term }
    }

    /// One failure is enough to give the key to another, but it is held against this tenure only: where every
    /// member's promotion has failed once, each would give the key away for ever.
    fn promotion_failed(&self, term: Term) -> Option<String> {
        let failures = self.lane.failures("promote")?;
        (failures.term == Some(term)).then(|| failures.last.clone())
    }

    /// I hold the key and PostgreSQL is down: in place within the start budget, else hand over.
    fn decide_start_as_leader(
        &self,
        now: Now,
        cluster: &Cluster,
        control: &ControlData,
    ) -> Decision {
        let failed = self.term().and_then(|term| self.promotion_failed(term));
        if let Some(why) = failed.filter(|_| !control.state.was_primary()) {
            return Decision::Release {
                why: ReleaseReason::CannotPromote { why },
            };
        }
        let down_for = self.crashed_at.map_or(Span::ZERO, |at| now.mono.since(at));
        if self.start_budget_spent(now, cluster) {
            return Decision::Release {
                why: ReleaseReason::CannotStart { after: down_for },
            };
        }
        let standby = self
            .local
            .observed
            .as_ref()
            .is_some_and(|o| o.standby_signal);
        let verb_pause = self.lane.pausing("start", now.mono);
        if let Some(pause) = verb_pause {
            return retry("start", &pause.last);
        }
        if self.fencer_would_end_it(now) {
            return Decision::Wait(Waiting::FencerHoldsDeadline);
        }
        if !control.state.was_primary() || standby {
            return Decision::Start {
                role: self.role_alone(),
                why: StartReason::BeforePromote,
            };
        }
        if !self.authority().stands(now.mono) {
            // The store is away and the lease may have run out: serve reads until it is known who leads.
            return Decision::Start {
                role: self.role_alone(),
                why: StartReason::NobodyLeads,
            };
        }
        if !self.fencer_covers(now) {
            return Decision::Wait(Waiting::FencerNotReady);
        }
        // Past the point at which an orderly stop begins, only a renewal makes a start worth anything.
        if self.orderly_stop_at().is_some_and(|at| now.mono >= at) {
            return Decision::Wait(Waiting::PromoteOutOfTime);
        }
        let why = if self.hands_over_no_more() {
            StartReason::HandoverAbandoned
        } else if control.state.is_clean() {
            StartReason::KeyStillHeld
        } else {
            StartReason::CrashedPrimary
        };
        Decision::Start {
            role: StartAs::Primary,
            why,
        }
    }

    /// A crashed primary has its time to come back; after it, somebody who can take over shall.
    fn start_budget_spent(&self, now: Now, cluster: &Cluster) -> bool {
        let budget = self.store.config.primary_start_timeout;
        let spent = self
            .crashed_at
            .is_some_and(|at| now.mono.since(at) >= budget);
        // In pause nobody takes over, so there is nothing to be gained by giving up.
        let in_vain = self.paused() || self.nobody_else_may_lead(cluster);
        spent && !in_vain && self.somebody_could_take_over(cluster)
    }

    /// The store knows no cluster, so no other member may take the key that I took as its last primary. A start that
    /// failed in this tenure leaves it to those who still know of the cluster by themselves.
    fn nobody_else_may_lead(&self, cluster: &Cluster) -> bool {
        let failed = self
            .lane
            .failures("start")
            .and_then(|failures| failures.term);
        matches!(cluster.initialize, Initialize::Absent)
            && (failed.is_none() || failed != self.term())
    }

    /// By the member keys alone: the race that follows a release asks everybody anyway.
    fn somebody_could_take_over(&self, cluster: &Cluster) -> bool {
        cluster
            .others(&self.settings.name)
            .any(|(_, m)| m.is_running() && !m.is_primary() && !m.read_tags().nofailover)
    }

    /// The leader key carries my name, but I do not hold it.
    fn decide_own_stale_key(&self, now: Now) -> Decision {
        if self.tenure.resumption != Resumption::Over || self.tenure.call.is_some() {
            return Decision::Wait(Waiting::ResumingSession);
        }
        // It runs out with the session that it is bound to; meanwhile serve reads.
        match (self.local.server(), self.local.data_dir()) {
            (Server::Down, Some(DataDir::Present(_))) => self.start_alone(now),
            // Is it really still there? The watch may have died.
            _ => Decision::ReadBeforeRace,
        }
    }

    fn decide_unlocked(&self, now: Now, cluster: &Cluster, data_dir: &DataDir) -> Decision {
        if let Some(wait) = self.abstains(now, cluster) {
            return wait;
        }
        match (self.local.server(), data_dir) {
            (Server::Down, DataDir::Empty) => self.decide_without_cluster(now, cluster),
            (Server::Down, DataDir::Unreadable(what) | DataDir::NotACluster(what)) => {
                Decision::Wait(Waiting::DataUnreadable { what: what.clone() })
            }
            (Server::Down, DataDir::HalfCloned | DataDir::HalfRewound(_)) => {
                Decision::Wait(Waiting::NobodyBootstraps)
            }
            (Server::Down, DataDir::Present(control)) => {
                match self.foreign_system(cluster, control) {
                    Some(exit) => exit,
                    None => self
                        .decide_forgotten(now, cluster, control)
                        .unwrap_or_else(|| self.start_alone(now)),
                }
            }
            (Server::Standby | Server::Primary, DataDir::Present(control)) => {
                match self.foreign_system(cluster, control) {
                    Some(exit) => exit,
                    None => self
                        .decide_forgotten(now, cluster, control)
                        .unwrap_or_else(|| self.decide_race(now, cluster)),
                }
            }
            (Server::Standby | Server::Primary, _) => Decision::Wait(Waiting::FirstLook),
            (
                Server::Starting | Server::ShuttingDown | Server::Silent | Server::Leftovers { .. },
                _,
            ) => self.wait_for_server(now),
        }
    }

    fn decide_race(&self, now: Now, cluster: &Cluster) -> Decision {
        if self.paused() && !self.is_named_in_pause() {
            return Decision::Wait(Waiting::Paused);
        }
        // Started before the cluster's timeline of this number was opened.
        if let Some(ElectionLoss::NumberOfAnother { opener, .. }) = self.is_on_anothers_number() {
            return stop(StopReason::Diverged { leader: opener });
        }
        if self.somebody_founds(cluster) {
            return self.decide_unfinished(now);
        }
        // A standby never founds a cluster: its primary may be alive elsewhere.
        if matches!(cluster.initialize, Initialize::Absent) && !self.seen_initialized {
            return Decision::Exit {
                code: 1,
                why: ExitReason::StandbyCannotFound,
            };
        }
        self.decide_election(now, cluster)
    }

    /// Nobody leads and PostgreSQL is down: start it read-only, so that it can serve reads and stand for election.
    pub fn start_alone(&self, now: Now) -> Decision {
        if self.fencer_would_end_it(now) {
            return Decision::Wait(Waiting::FencerHoldsDeadline);
        }
        if self.is_half_promoted() {
            let barred_until = self.election.barred_until;
            if now.mono < barred_until {
                return Decision::Wait(Waiting::OthersAfterFailedPromotion);
            }
            // It would run on a number that others may have opened since, and who followed me last would stream it: that
            // nobody leads has to be the quorum's word, and newer than the time that was left to them.
            if self.store.confirmed.is_none_or(|read| read < barred_until) {
                return Decision::ReadBeforeRace;
            }
        }
        if let Some(loss) = self.is_on_anothers_number() {
            return Decision::Wait(Waiting::Election(loss));
        }
        match self.lane.pausing("start", now.mono) {
            Some(pause) => retry("start", &pause.last),
            None => Decision::Start {
                role: self.role_alone(),
                why: StartReason::NobodyLeads,
            },
        }
    }

    /// My WAL is of a timeline that is the cluster's by its number alone. Running, it would serve what the cluster never
    /// had, and its position would keep others from leading. An operator who forces a failover to me knows.
    fn is_on_anothers_number(&self) -> Option<ElectionLoss> {
        let timeline = self.local.branch()?.timeline;
        let opener = self.number_of_another(timeline)?;
        let request = self.store.cluster.as_ref()?.failover.as_ref();
        let me = Some(&self.settings.name);
        let named = request.is_some_and(|r| r.leader.is_none() && r.member.as_ref() == me);
        (!named).then_some(ElectionLoss::NumberOfAnother { timeline, opener })
    }

    /// A promotion of mine has opened a timeline that was never written to. Started as a standby the server would go on
    /// there, and feed it to those who still stream from me, while another member opens one of the same number.
    pub(crate) fn is_half_promoted(&self) -> bool {
        let Some(observed) = &self.local.observed else {
            return false;
        };
        let opened = |control: &ControlData| {
            let mut marks = observed.promoted.iter();
            !control.state.was_primary() && marks.any(|mark| mark.timeline > control.timeline)
        };
        observed.data_dir.control().is_some_and(opened)
    }
}

/// A stop that cannot wait.
pub fn immediate(why: StopReason) -> Decision {
    let plan = StopPlan {
        first: StopMode::Immediate,
        immediate_after: Span::ZERO,
        kill_after: Span::millis(300),
    };
    Decision::Stop {
        why,
        plan,
        checkpoint_first: false,
    }
}
