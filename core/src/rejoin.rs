//! Decides how a member that does not lead comes to stream from the leader: follow, rewind, clone, or wait.
//! Knows nothing of processes or files: it sees control data, timeline histories, the leader's own word, policy.
//!
//! Why this is subtle: a member can be diverged on the *same* timeline number, an unclean former primary does
//! not know where its own WAL ends, and a leader that has just promoted still shows its old timeline in its
//! control file. So: the check is made anew for every (leader, term, timeline), and only with the leader out of recovery.

use crate::agent::Agent;
use crate::carry_out::STANDBY_START_TIMEOUT;
use crate::cluster::{Cluster, Initialize, LeaderKey};
use crate::decide::immediate;
use crate::decision::{Decision, ExitReason, StartReason, StopReason, Waiting};
use crate::divergence::Checked;
use crate::local::Server;
use crate::lsn::Lsn;
use crate::member::MemberData;
use crate::name::{MemberName, OpId, Term};
use crate::postgres::{
    ControlData, CopyId, DataDir, DiscardReason, StopMode, StopPlan, Upstream, UpstreamFacts,
};
use crate::time::{Mono, Now, Span};
use crate::timeline::{Divergence, TimelineId};
use serde::{Deserialize, Serialize};

/// How old the leader's own word may be when a decision rests on it.
pub const FACTS_AGE_MAX: Span = Span::secs(10);
/// Between two questions to a leader that is not ready.
pub const ASK_PAUSE: Span = Span::millis(500);
/// A stop that somebody else began may take this long.
const SHUTDOWN_PATIENCE: Span = Span::secs(10);
/// After so many failed rewinds the policy for a failed rewind applies.
const REWIND_TRIES: u32 = 3;
/// The same after so many starts, of two kinds in turns, that were to end in the clean stop before a rewind.
const CLEAN_STOP_TRIES: u32 = 6;

/// A standby has nothing to write down: what it has not ended by then, it loses nothing by.
pub const STANDBY_STOP: StopPlan = StopPlan {
    first: StopMode::Fast,
    immediate_after: Span::secs(10),
    kill_after: Span::secs(20),
};

/// Whom something was asked of, or copied from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub leader: MemberName,
    pub term: Term,
    pub copy: Option<CopyId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejoin {
    pub checked: Option<Checked>,
    pub facts: Option<(Mono, UpstreamFacts)>,
    pub asking: Option<OpId>,
    /// Who is being asked, or was asked last.
    pub asked: Option<Source>,
    /// Whom the clone or the rewind under way copies from.
    pub copying: Option<Source>,
    pub ask_at: Mono,
    pub last_refusal: Option<String>,
    /// Operator's reinit: what is here is to be discarded and cloned anew.
    pub reinit: bool,
    /// A command took this member out of the cluster: it comes back by itself, in pause as well.
    pub by_command: bool,
    /// Since when it runs without streaming from the leader it follows.
    pub not_streaming_since: Option<Mono>,
    #[serde(default)]
    pub rewound: Rewound,
}

/// What has become of the directory since its last rewind. `pg_rewind` leaves pages of the source's very end with WAL that
/// was copied before, and a label that names the last common checkpoint: the server lets nobody in until it was given the
/// rest, and never does where the source had removed what it wrote after the fork.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rewound {
    /// It came up since, or there was none.
    #[default]
    Settled,
    NotYetUp,
    /// A start had all its time, and the server still lacks what it needs.
    InVain,
}

impl Rejoin {
    /// Local WAL changed in a way that voids the check (it was a primary, it was rewound or cloned).
    pub fn forget(&mut self) {
        self.checked = None;
        self.facts = None;
        self.not_streaming_since = None;
    }
}

/// Can `pg_rewind` work on this directory at all?
pub fn is_rewindable(control: &ControlData) -> bool {
    control.wal_log_hints || control.data_checksums
}

impl Agent {
    pub fn decide_rejoin(&self, now: Now, cluster: &Cluster, leader: &LeaderKey) -> Decision {
        let Some(observed) = &self.local.observed else {
            return Decision::Wait(Waiting::FirstLook);
        };
        if self.rejoin.reinit {
            return self.decide_reinit(now, cluster, leader);
        }
        match &observed.data_dir {
            DataDir::Unreadable(what) | DataDir::NotACluster(what) => {
                Decision::Wait(Waiting::DataUnreadable { what: what.clone() })
            }
            DataDir::HalfCloned => self.discard(now, DiscardReason::CloneUnfinished),
            DataDir::Empty => self.decide_clone(now, cluster, leader),
            DataDir::HalfRewound(control) => match self.foreign_system(cluster, control) {
                Some(exit) => exit,
                None => self.rewind_again(now, cluster, leader),
            },
            DataDir::Present(control) => match self.foreign_system(cluster, control) {
                Some(exit) => exit,
                None => self.decide_follow(now, cluster, leader, control),
            },
        }
    }

    /// Nobody with another system identifier streams, races or is wiped without a command.
    pub fn foreign_system(&self, cluster: &Cluster, control: &ControlData) -> Option<Decision> {
        match &cluster.initialize {
            Initialize::Done(id) if *id != control.system_id => {
                let why = ExitReason::SystemIdMismatch {
                    mine: control.system_id.0.clone(),
                    cluster: id.0.clone(),
                };
                Some(Decision::Exit { code: 1, why })
            }
            Initialize::Done(_)
            | Initialize::Absent
            | Initialize::InProgress { .. }
            | Initialize::Unreadable(_) => None,
        }
    }

    fn decide_follow(
        &self,
        now: Now,
        cluster: &Cluster,
        leader: &LeaderKey,
        control: &ControlData,
    ) -> Decision {
        let upstream = match self.upstream_of(cluster, leader) {
            Ok(upstream) => upstream,
            Err(why) => return self.idle_or_start_alone(now, leader, control, why),
        };
        let server = self.local.server();
        match server {
            Server::Starting if self.starts_in_vain(now, leader) => {
                let leader = leader.owner.clone();
                return stop(StopReason::StartsInVain { leader });
            }
            Server::Starting | Server::ShuttingDown | Server::Silent => {
                return self.wait_for_server(now);
            }
            Server::Down | Server::Standby | Server::Primary | Server::Leftovers { .. } => {}
        }
        if server == Server::Down && self.is_unclean_primary(control) {
            return self.recover_alone(now);
        }
        let Some(checked) = self.valid_check(leader) else {
            return self.ask(now, upstream);
        };
        match checked.divergence {
            Divergence::None => self.stream(now, leader, upstream, server),
            divergence => self.repair(now, cluster, leader, upstream, control, divergence),
        }
    }

    /// A server that starts lets nobody in who could tell it of another upstream. One that was pointed elsewhere may have
    /// all it needs, and recovery may rightly take hours: only one that was rewound, or has had the time of a start, is
    /// stopped for it, once in a life of the agent. And what a rewind has left in vain makes room, where policy allows that.
    fn starts_in_vain(&self, now: Now, leader: &LeaderKey) -> bool {
        let rewound = self.rejoin.rewound;
        if rewound == Rewound::InVain && self.remove_on_rewind_failure() {
            return true;
        }
        let since = self.local.starting_since;
        let long = since.is_some_and(|at| now.mono.since(at) >= STANDBY_START_TIMEOUT);
        let for_leader = self.copies.aimed.as_ref() == Some(&leader.owner);
        !for_leader && (long || rewound != Rewound::Settled) && !self.local.may_write()
    }

    /// It last ran as a primary and was not stopped cleanly. A directory with `standby.signal` did not: a fresh
    /// copy carries its source's control file, and crash recovery would write WAL of its own into it.
    fn is_unclean_primary(&self, control: &ControlData) -> bool {
        let standby = self
            .local
            .observed
            .as_ref()
            .is_some_and(|o| o.standby_signal);
        control.state.was_primary() && !control.state.is_clean() && !standby
    }

    /// The leader as it is seen now, for what is about to be asked of it or copied from it.
    pub fn leader_as_source(&self) -> Option<Source> {
        let leader = self.store.leader()?;
        let member = self.store.cluster.as_ref()?.members.get(&leader.owner);
        Some(Source {
            leader: leader.owner.clone(),
            term: leader.term,
            copy: member.and_then(MemberData::copy),
        })
    }

    fn stream(&self, now: Now, leader: &LeaderKey, upstream: Upstream, server: Server) -> Decision {
        if server == Server::Down {
            if self.rejoin.rewound == Rewound::InVain && self.remove_on_rewind_failure() {
                return self.discard(now, DiscardReason::RewindFailed);
            }
            if let Some(pause) = self.lane.pausing("start", now.mono) {
                return retry("start", &pause.last);
            }
            if self.fencer_would_end_it(now) {
                return Decision::Wait(Waiting::FencerHoldsDeadline);
            }
            return Decision::Start {
                role: self.role_following(leader, upstream),
                why: StartReason::Following {
                    leader: leader.owner.clone(),
                },
            };
        }
        if let Some(stop) = self.decide_other_timeline(leader) {
            return stop;
        }
        let Some(status) = self.local.answered() else {
            return self.wait_for_server(now);
        };
        let slot = if self.store.config.use_slots {
            upstream.slot.clone()
        } else {
            None
        };
        if status.upstream.as_ref() != Some(&upstream.address) || status.upstream_slot != slot {
            let settling = self
                .side_rest
                .get("reconfigure")
                .is_some_and(|at| now.mono < *at);
            return if settling || self.sides.contains_key("reconfigure") {
                Decision::Wait(Waiting::CatchingUp {
                    leader: leader.owner.clone(),
                })
            } else {
                Decision::Reconfigure { upstream }
            };
        }
        if status.streaming {
            return Decision::Follow {
                leader: leader.owner.clone(),
            };
        }
        // It may have received more than the leader had at its fork, or the leader may have a new timeline.
        let stale = self
            .rejoin
            .facts
            .as_ref()
            .is_none_or(|(at, _)| now.mono.since(*at) >= FACTS_AGE_MAX);
        if stale && self.knows_its_end(now) && self.may_ask(now) {
            return Decision::AskUpstream { upstream };
        }
        Decision::Wait(Waiting::CatchingUp {
            leader: leader.owner.clone(),
        })
    }

    fn repair(
        &self,
        now: Now,
        cluster: &Cluster,
        leader: &LeaderKey,
        upstream: Upstream,
        control: &ControlData,
        divergence: Divergence,
    ) -> Decision {
        // `pg_rewind` tells timelines apart by their numbers alone: two histories with one number, of which one is in
        // this control file, it can never bring together.
        let clashes = matches!(divergence, Divergence::Forked { from, at: Lsn::INVALID } if from <= control.timeline);
        let checked = self.rejoin.checked.as_ref();
        let told_apart = !clashes
            && checked.is_none_or(|c| c.timeline != control.timeline)
            && self.rewind_sees(control, divergence);
        let rewind = self.use_pg_rewind() && is_rewindable(control) && told_apart;
        if self.local.server() != Server::Down {
            return if rewind || self.remove_on_diverged() {
                stop(StopReason::Rewind {
                    leader: leader.owner.clone(),
                })
            } else if clashes {
                stop(StopReason::Diverged {
                    leader: leader.owner.clone(),
                })
            } else {
                self.diverged(leader, cannot_rewind(clashes))
            };
        }
        if !rewind {
            return if self.remove_on_diverged() {
                self.discard(now, DiscardReason::DivergedTimelines)
            } else {
                self.diverged(leader, cannot_rewind(clashes))
            };
        }
        if self.is_unclean_primary(control) {
            return self.recover_alone(now);
        }
        if !control.state.is_clean() {
            return self.start_to_stop_cleanly(now, leader);
        }
        self.decide_rewind(now, cluster, leader, upstream, divergence)
    }

    fn recover_alone(&self, now: Now) -> Decision {
        match self.lane.pausing("crash recovery", now.mono) {
            Some(pause) => retry("crash recovery", &pause.last),
            None => Decision::CrashRecovery,
        }
    }

    /// `pg_rewind` takes only what was stopped cleanly. Started without an upstream a standby that crashed reaches its
    /// consistent state, and is stopped: on the newest timeline or along its own one. What starts in neither way cannot be
    /// rewound.
    fn start_to_stop_cleanly(&self, now: Now, leader: &LeaderKey) -> Decision {
        // Without an upstream one that was rewound never comes to its consistent state.
        let rewound = self.rejoin.rewound != Rewound::Settled;
        let in_vain = rewound || self.lane.failed("start") >= CLEAN_STOP_TRIES;
        if in_vain && self.remove_on_rewind_failure() {
            return self.discard(now, DiscardReason::RewindFailed);
        }
        // What stood in the way may be gone by itself, a full disk perhaps.
        if rewound || in_vain && self.lane.pausing("start", now.mono).is_some() {
            return self.diverged(
                leader,
                "it crashed and cannot be started, see the log: run tanistctl reinit",
            );
        }
        if let Some(pause) = self.lane.pausing("start", now.mono) {
            return retry("start", &pause.last);
        }
        if self.fencer_would_end_it(now) {
            return Decision::Wait(Waiting::FencerHoldsDeadline);
        }
        Decision::Start {
            role: self.role_before_clean_stop(),
            why: StartReason::CleanStopFirst,
        }
    }

    fn decide_rewind(
        &self,
        now: Now,
        cluster: &Cluster,
        leader: &LeaderKey,
        upstream: Upstream,
        divergence: Divergence,
    ) -> Decision {
        if self.lane.failed("rewind") >= REWIND_TRIES {
            return if self.remove_on_rewind_failure() {
                self.discard(now, DiscardReason::RewindFailed)
            } else {
                self.diverged(
                    leader,
                    "pg_rewind failed, see the log: run tanistctl reinit",
                )
            };
        }
        if let Some(pause) = self.lane.pausing("rewind", now.mono) {
            return retry("rewind", &pause.last);
        }
        // The source's control file must name its new timeline, or pg_rewind would find nothing to do.
        let Some(facts) = self.fresh_facts(now, leader) else {
            return self.ask(now, upstream);
        };
        let awaits = cluster
            .members
            .get(&leader.owner)
            .is_some_and(MemberData::awaits_checkpoint);
        if facts.control_timeline < facts.history.timeline || awaits {
            return if self.may_ask(now) {
                Decision::AskUpstream { upstream }
            } else {
                Decision::Wait(Waiting::CheckpointOnLeader {
                    leader: leader.owner.clone(),
                })
            };
        }
        Decision::Rewind {
            source: upstream,
            divergence,
        }
    }

    fn rewind_again(&self, now: Now, cluster: &Cluster, leader: &LeaderKey) -> Decision {
        match self.upstream_of(cluster, leader) {
            Err(why) => Decision::Wait(Waiting::LeaderNotReady {
                leader: leader.owner.clone(),
                why,
            }),
            Ok(_) if !self.use_pg_rewind() => self.diverged(
                leader,
                "an earlier pg_rewind did not finish: run tanistctl reinit",
            ),
            Ok(upstream) => {
                let divergence = Divergence::Forked {
                    from: TimelineId(0),
                    at: Lsn::INVALID,
                };
                self.decide_rewind(now, cluster, leader, upstream, divergence)
            }
        }
    }

    fn decide_clone(&self, now: Now, cluster: &Cluster, leader: &LeaderKey) -> Decision {
        if let Some(pause) = self.lane.pausing("clone", now.mono) {
            return retry("clone", &pause.last);
        }
        match self.upstream_of(cluster, leader) {
            Ok(source) => Decision::Clone { source },
            Err(why) => Decision::Wait(Waiting::LeaderNotReady {
                leader: leader.owner.clone(),
                why,
            }),
        }
    }

    /// A reinit never starts before a leader is there that holds everything this member would throw away. What the store
    /// showed last may be long over, so the leader itself must have said just now that it runs out of recovery.
    fn decide_reinit(&self, now: Now, cluster: &Cluster, leader: &LeaderKey) -> Decision {
        let upstream = match self.upstream_of(cluster, leader) {
            Ok(upstream) => upstream,
            Err(why) => {
                return Decision::Wait(Waiting::LeaderNotReady {
                    leader: leader.owner.clone(),
                    why,
                });
            }
        };
        if self.fresh_facts(now, leader).is_none() {
            return self.ask(now, upstream);
        }
        match self.local.server() {
            Server::Down => self.discard(now, DiscardReason::ReinitRequested),
            Server::Leftovers { .. }
            | Server::Starting
            | Server::Primary
            | Server::Standby
            | Server::ShuttingDown
            | Server::Silent => stop(StopReason::Reinit),
        }
    }

    fn discard(&self, now: Now, why: DiscardReason) -> Decision {
        match self.lane.pausing("discard data", now.mono) {
            Some(pause) => retry("discard data", &pause.last),
            None => Decision::Discard { why },
        }
    }

    fn ask(&self, now: Now, upstream: Upstream) -> Decision {
        if !self.has_looked(now) {
            return Decision::Wait(Waiting::FreshLook);
        }
        // Another look would show no more: it runs, and lets nobody in.
        if !self.knows_its_end(now) {
            return self.wait_for_server(now);
        }
        if self.may_ask(now) {
            return Decision::AskUpstream { upstream };
        }
        let why = self
            .rejoin
            .last_refusal
            .clone()
            .unwrap_or_else(|| "asking where its timeline forked".into());
        Decision::Wait(Waiting::LeaderNotReady {
            leader: upstream.member,
            why,
        })
    }

    /// The leader's own word, while a decision may rest on it. Only one that is out of recovery has any.
    fn fresh_facts(&self, now: Now, leader: &LeaderKey) -> Option<&UpstreamFacts> {
        let (at, facts) = self.rejoin.facts.as_ref()?;
        let fresh = now.mono.since(*at) < FACTS_AGE_MAX && facts.member == leader.owner;
        fresh.then_some(facts)
    }

    fn may_ask(&self, now: Now) -> bool {
        self.rejoin.asking.is_none() && now.mono >= self.rejoin.ask_at
    }

    fn diverged(&self, leader: &LeaderKey, remedy: &str) -> Decision {
        Decision::Wait(Waiting::Diverged {
            leader: leader.owner.clone(),
            remedy: remedy.into(),
        })
    }

    /// The leader cannot be streamed from yet: a server that runs goes on serving reads as it is. A standby that is down
    /// does not wait for a leader that may never be ready: it could take over, but only a server that runs can.
    fn idle_or_start_alone(
        &self,
        now: Now,
        leader: &LeaderKey,
        control: &ControlData,
        why: String,
    ) -> Decision {
        let patient = now.mono.since(self.store.leader_since) < self.store.config.timing.ttl;
        // Whoever leads has yet to open its timeline, of the very number perhaps that a promotion of mine has opened.
        let down = self.local.server() == Server::Down
            && !control.state.was_primary()
            && !self.is_half_promoted();
        if down
            && !patient
            && let Decision::Start { role, .. } = self.start_alone(now)
        {
            let leader = leader.owner.clone();
            let why = StartReason::LeaderNotReady { leader };
            return Decision::Start { role, why };
        }
        Decision::Wait(Waiting::LeaderNotReady {
            leader: leader.owner.clone(),
            why,
        })
    }

    fn shutdown_hangs_at(&self) -> Option<Mono> {
        let since = self.local.shutting_down_since?;
        Some(since + SHUTDOWN_PATIENCE)
    }

    pub fn wait_for_server(&self, now: Now) -> Decision {
        let since = self
            .local
            .starting_since
            .map_or(Span::ZERO, |at| now.mono.since(at));
        match self.local.server() {
            // It takes nobody in any more, and whoever began to stop it may be gone.
            Server::ShuttingDown if self.shutdown_hangs_at().is_some_and(|at| now.mono >= at) => {
                immediate(StopReason::ShutdownHangs {
                    after: SHUTDOWN_PATIENCE,
                })
            }
            Server::ShuttingDown => Decision::Wait(Waiting::PostgresShuttingDown),
            Server::Starting => Decision::Wait(Waiting::PostgresStarting { since }),
            Server::Silent
            | Server::Down
            | Server::Leftovers { .. }
            | Server::Primary
            | Server::Standby => Decision::Wait(match self.local.refusal() {
                Some(why) => Waiting::PostgresRefuses { why: why.into() },
                None => Waiting::PostgresSilent {
                    why: "no answer over SQL".into(),
                },
            }),
        }
    }

    /// Who to stream from: the leader, once its member key says that it runs as a primary.
    pub fn upstream_of(&self, cluster: &Cluster, leader: &LeaderKey) -> Result<Upstream, String> {
        let member = cluster
            .members
            .get(&leader.owner)
            .ok_or("its member key is missing")?;
        let address = member.address().ok_or("it publishes no usable conn_url")?;
        if !member.is_primary() || !member.is_running() {
            let (role, state) = (
                member.role.as_deref().unwrap_or("?"),
                member.state.as_deref().unwrap_or("?"),
            );
            return Err(format!("it is {role}, {state}"));
        }
        let slot = self
            .store
            .config
            .use_slots
            .then(|| self.settings.name.slot().into_owned());
        Ok(Upstream {
            member: leader.owner.clone(),
            address,
            slot,
        })
    }

    pub fn use_pg_rewind(&self) -> bool {
        self.settings
            .postgresql
            .use_pg_rewind
            .unwrap_or(self.store.config.use_pg_rewind)
    }

    fn remove_on_rewind_failure(&self) -> bool {
        let local = self
            .settings
            .postgresql
            .remove_data_directory_on_rewind_failure;
        local.unwrap_or(self.store.config.remove_on_rewind_failure)
    }

    fn remove_on_diverged(&self) -> bool {
        let local = self
            .settings
            .postgresql
            .remove_data_directory_on_diverged_timelines;
        local.unwrap_or(self.store.config.remove_on_diverged_timelines)
    }

    pub fn rejoin_wakes(&self) -> impl Iterator<Item = Mono> + '_ {
        let facts = self
            .rejoin
            .facts
            .as_ref()
            .map(|(at, _)| *at + FACTS_AGE_MAX);
        std::iter::once(self.rejoin.ask_at)
            .chain(facts)
            .chain(self.shutdown_hangs_at())
            .chain(
                self.local
                    .starting_since
                    .map(|at| at + STANDBY_START_TIMEOUT),
            )
    }
}

fn cannot_rewind(clashes: bool) -> &'static str {
    if clashes {
        "two members opened a timeline of one number from one position, which pg_rewind cannot tell apart: run tanistctl reinit"
    } else {
        "pg_rewind is off or impossible (use_pg_rewind, wal_log_hints or data checksums): run tanistctl reinit"
    }
}

/// A stop in the middle of normal life: in order, harder after a while.
pub fn stop(why: StopReason) -> Decision {
    let plan = StopPlan {
        first: StopMode::Fast,
        immediate_after: Span::secs(10),
        kill_after: Span::secs(12),
    };
    Decision::Stop {
        why,
        plan,
        checkpoint_first: false,
    }
}

pub fn retry(what: &str, after: &str) -> Decision {
    Decision::Wait(Waiting::RetryLater {
        what: what.into(),
        after: after.into(),
    })
}
