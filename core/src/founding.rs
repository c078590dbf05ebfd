//! How a new cluster is founded: claim `initialize`, initdb, take the leader key, start under its authority,
//! create the roles, then write the system identifier and the configuration. No write is accepted before the
//! key is held. A founder that dies lets go of everything, since the claim is bound to its session.

use crate::agent::{Agent, Output};
use crate::cluster::{Cluster, Initialize};
use crate::config::missing_modes;
use crate::dcs::{DcsOutcome, DcsReply, DcsRequest, LeaseId, Precondition, Revision};
use crate::decision::{AcquireReason, Decision, ReleaseReason, StartReason, StopReason, Waiting};
use crate::keys;
use crate::local::Server;
use crate::member::Tags;
use crate::name::OpId;
use crate::note::Note;
use crate::postgres::{DataDir, DiscardReason, StartAs, StopMode, StopPlan};
use crate::rejoin::retry;
use crate::tenure::reason_of;
use crate::time::{Mono, Now, Span};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const RETRY_PAUSE: Span = Span::secs(10);
const REFUSED_PAUSE: Span = Span::secs(1);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    pub initdb_done: bool,
    pub roles_done: bool,
    pub config_written: bool,
    pub failed: Option<String>,
    /// The write of `config` or the removal of `initialize` under way.
    asked: Option<OpId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub op: Option<OpId>,
    pub not_before: Mono,
    /// The version of `initialize` that was my last claim of which I heard.
    version: Revision,
}

impl Agent {
    /// The store shows no cluster yet, or one that is being founded, and nobody leads.
    pub fn decide_without_cluster(&self, now: Now, cluster: &Cluster) -> Decision {
        match &cluster.initialize {
            Initialize::Absent => self.decide_claim(now),
            Initialize::InProgress { .. } => Decision::Wait(Waiting::SomebodyBootstraps),
            Initialize::Done(_) | Initialize::Unreadable(_) => {
                Decision::Wait(Waiting::NobodyBootstraps)
            }
        }
    }

    /// Nobody has claimed the founding.
    fn decide_claim(&self, now: Now) -> Decision {
        if let Some(waiting) = self.may_not_found() {
            return Decision::Wait(waiting);
        }
        if self.claim.op.is_some() || self.tenure.session.is_none() {
            return Decision::Wait(Waiting::SomebodyBootstraps);
        }
        if now.mono < self.claim.not_before {
            return retry("bootstrap", "see above");
        }
        Decision::ClaimInitialize
    }

    /// Why it is not for me to found the cluster.
    fn may_not_found(&self) -> Option<Waiting> {
        let Some(first) = &self.settings.bootstrap else {
            return Some(Waiting::NobodyBootstraps);
        };
        // The store lost its keys, not the cluster its data: those who have a copy take the key again. An empty
        // member that founds another cluster under the same name would shut all of them out.
        if Tags::read(&self.settings.tags).nofailover || self.seen_initialized {
            return Some(Waiting::NobodyBootstraps);
        }
        // Nobody of this build could ever lead what it founds.
        let mode = missing_modes(first).first().copied()?;
        Some(Waiting::ModeMissing { mode })
    }

    /// The founding under way, step by step.
    pub fn decide_founding(&self, now: Now, founding: &Founding) -> Decision {
        if founding.failed.is_some() {
            return self.abandon(now);
        }
        let Some(data_dir) = self.local.data_dir() else {
            return Decision::Wait(Waiting::FirstLook);
        };
        match (self.local.server(), data_dir) {
            (Server::Down, DataDir::Empty) if !founding.initdb_done => Decision::Initdb,
            (Server::Down, DataDir::Present(_)) if !self.holds_key() => self.take_founders_key(now),
            (Server::Down, DataDir::Present(_)) if !self.fencer_covers(now) => {
                Decision::Wait(Waiting::FencerNotReady)
            }
            (Server::Down, DataDir::Present(_))
                if self.lane.pausing("start", now.mono).is_some() =>
            {
                retry("start", "see above")
            }
            (Server::Down, DataDir::Present(_)) => Decision::Start {
                role: StartAs::Primary,
                why: StartReason::NewCluster,
            },
            (Server::Primary, _) if !founding.roles_done => Decision::PostBootstrap,
            (Server::Primary, _) => Decision::Lead,
            (
                Server::Starting
                | Server::ShuttingDown
                | Server::Silent
                | Server::Standby
                | Server::Leftovers { .. },
                _,
            ) => self.wait_for_server(now),
            (Server::Down, DataDir::Unreadable(what) | DataDir::NotACluster(what)) => {
                Decision::Wait(Waiting::DataUnreadable { what: what.clone() })
            }
            (Server::Down, DataDir::Empty | DataDir::HalfCloned | DataDir::HalfRewound(_)) => {
                Decision::Wait(Waiting::DataUnreadable {
                    what: "initdb left nothing usable".into(),
                })
            }
        }
    }

    /// The founding was broken off after initdb, by the end of the agent or of its host, and I lead what came of it.
    pub fn owes_roles(&self) -> bool {
        let owed = self.local.observed.as_ref().is_some_and(|o| o.roles_owed);
        owed && self.founding.is_none()
    }

    /// Without its roles nobody could clone from here, or rewind.
    pub fn finish_roles(&self, now: Now) -> Decision {
        match self.lane.pausing("post-bootstrap", now.mono) {
            Some(pause) => retry("post-bootstrap", &pause.last),
            None => Decision::PostBootstrap,
        }
    }

    /// Nobody leads what is being founded. Am I the founder, come back after its agent or host went down? A claim is made
    /// for an empty directory only, so what is in mine under a claim of mine came of it, with its roles made or not; and
    /// as long as my session keeps the claim, nobody else takes up the work.
    pub fn decide_unfinished(&self, now: Now) -> Decision {
        let mine = self.seen_claim().is_some();
        if mine {
            return self.take_founders_key(now);
        }
        Decision::Wait(Waiting::SomebodyBootstraps)
    }

    /// A Tanist binds its claim to its session. An empty `initialize` without one, where this life has seen the cluster's
    /// identifier, was emptied: nobody is at work.
    pub fn somebody_founds(&self, cluster: &Cluster) -> bool {
        match &cluster.initialize {
            Initialize::InProgress { lease, .. } => {
                *lease != LeaseId::NONE || !self.seen_initialized
            }
            Initialize::Absent | Initialize::Done(_) | Initialize::Unreadable(_) => false,
        }
    }

    fn take_founders_key(&self, now: Now) -> Decision {
        if self.tenure.call.is_some() || now.mono < self.tenure.ask_key_at {
            return Decision::Wait(Waiting::KeyRequested);
        }
        Decision::Acquire {
            why: AcquireReason::Bootstrap,
        }
    }

    /// Undo in the order that leaves nothing half-done: server, key, directory, claim.
    pub fn abandon(&self, now: Now) -> Decision {
        if self.local.server() != Server::Down {
            let plan = StopPlan {
                first: StopMode::Immediate,
                immediate_after: Span::ZERO,
                kill_after: Span::secs(1),
            };
            return Decision::Stop {
                why: StopReason::BootstrapFailed,
                plan,
                checkpoint_first: false,
            };
        }
        if self.holds_key() {
            return Decision::Release {
                why: ReleaseReason::BootstrapFailed,
            };
        }
        match self.local.data_dir() {
            Some(DataDir::Empty) | None => Decision::AbandonInitialize,
            Some(_) if self.lane.pausing("discard data", now.mono).is_some() => {
                retry("discard data", "see above")
            }
            Some(
                DataDir::Unreadable(_)
                | DataDir::NotACluster(_)
                | DataDir::HalfCloned
                | DataDir::HalfRewound(_)
                | DataDir::Present(_),
            ) => Decision::Discard {
                why: DiscardReason::BootstrapFailed,
            },
        }
    }

    pub fn claim_initialize(&mut self, now: Now, out: &mut Output) {
        let request = DcsRequest::Put {
            key: keys::INITIALIZE.into(),
            value: String::new(),
            precondition: Precondition::Absent,
            with_session: true,
        };
        let op = self.ask_store(
            request,
            now.mono + self.store.config.timing.retry_timeout,
            out,
        );
        self.claim.op = Some(op);
    }

    pub fn abandon_initialize(&mut self, now: Now, out: &mut Output) {
        let asked = self.founding.as_ref().is_some_and(|f| f.asked.is_some());
        if asked || now.mono < self.claim.not_before {
            return;
        }
        // Only my own claim, seen yet or not: another member may have founded the cluster, or be founding it, meanwhile.
        let request = DcsRequest::Delete {
            key: keys::INITIALIZE.into(),
            precondition: Precondition::Version(self.claim_version()),
        };
        let op = self.ask_store(
            request,
            now.mono + self.store.config.timing.retry_timeout,
            out,
        );
        if let Some(founding) = &mut self.founding {
            founding.asked = Some(op);
        }
    }

    /// The first configuration goes out once the cluster has its roles, before others may join.
    pub fn founding_duties(&mut self, now: Now, out: &mut Output) {
        let Some(founding) = &self.founding else {
            return;
        };
        let asked = founding.asked.is_some() || now.mono < self.claim.not_before;
        if !founding.roles_done || founding.config_written || asked {
            return;
        }
        let value = Value::Object(self.settings.bootstrap.clone().unwrap_or_default()).to_string();
        let request = DcsRequest::Put {
            key: keys::CONFIG.into(),
            value,
            precondition: Precondition::None,
            with_session: false,
        };
        let op = self.ask_store(
            request,
            now.mono + self.store.config.timing.retry_timeout,
            out,
        );
        if let Some(founding) = &mut self.founding {
            founding.asked = Some(op);
        }
    }

    /// The roles exist and the configuration is in the store: the system identifier may be written, last.
    pub fn founding_complete(&self) -> bool {
        self.founding
            .as_ref()
            .is_some_and(|f| f.roles_done && f.config_written)
    }

    /// The end of a write of this file's. `false`: it is not one.
    pub fn founding_answered(
        &mut self,
        now: Now,
        op: OpId,
        outcome: &DcsOutcome,
        out: &mut Output,
    ) -> bool {
        if self.claim.op == Some(op) {
            self.claim.op = None;
            self.claimed(now, outcome, out);
            return true;
        }
        let Some(founding) = &mut self.founding else {
            return false;
        };
        if founding.asked != Some(op) {
            return false;
        }
        founding.asked = None;
        match (outcome, founding.failed.is_some()) {
            (DcsOutcome::Ok(_), false) => founding.config_written = true,
            (DcsOutcome::Ok(_) | DcsOutcome::Conflict { .. }, true) => {
                self.founding = None;
                self.claim.not_before = now.mono + RETRY_PAUSE;
            }
            // A store that refuses at once is not asked again at once.
            (other, _) => {
                self.claim.not_before = now.mono + REFUSED_PAUSE;
                out.notes.push(Note::StoreFailed {
                    what: "founding the cluster".into(),
                    why: reason_of(other),
                });
            }
        }
        true
    }

    fn claimed(&mut self, now: Now, outcome: &DcsOutcome, out: &mut Output) {
        match outcome {
            DcsOutcome::Ok(DcsReply::Written { revision }) => {
                self.claim.version = *revision;
                self.founding = Some(Founding::default());
            }
            DcsOutcome::Conflict { .. } => self.claim.not_before = now.mono + Span::secs(1),
            // Without a verdict the claim may stand in my session's name: it is taken up when it is seen.
            other => {
                self.claim.not_before = now.mono + RETRY_PAUSE;
                out.notes.push(Note::StoreFailed {
                    what: "claiming initialize".into(),
                    why: reason_of(other),
                });
            }
        }
    }

    /// My session keeps a claim alive of which I have not heard: one that ended without a verdict, or that an earlier
    /// life could not take back. Nobody else will ever found as long as it stands: I do, or give it back.
    pub fn take_up_claim(&mut self) {
        let Some(version) = self.seen_claim() else {
            return;
        };
        let empty = matches!(self.local.data_dir(), Some(DataDir::Empty));
        let unheard_of = self.claim.op.is_none() && version != self.claim.version;
        if self.founding.is_none() && empty && unheard_of && !self.paused() {
            self.claim.version = version;
            self.founding = Some(Founding {
                failed: self.may_not_go_on(),
                ..Founding::default()
            });
        }
    }

    /// Why a claim that was taken up is to be given back. Whose key is there beside an empty directory has lost what it led
    /// with, perhaps for as long as a disk is away.
    fn may_not_go_on(&self) -> Option<String> {
        let led = self.store.leader().is_some() || self.holds_key();
        let led = led.then(|| "the leader key is there".to_string());
        led.or_else(|| self.may_not_found().map(|waiting| waiting.to_string()))
    }

    /// The version of the claim that my session keeps alive, as far as it can be seen.
    fn seen_claim(&self) -> Option<Revision> {
        let session = self.tenure.session?.lease;
        let claim = self.store.value(keys::INITIALIZE)?;
        (claim.value.is_empty() && claim.lease == session).then_some(claim.modified)
    }

    /// What a founder's request for the leader key rests on.
    pub fn claim_version(&self) -> Revision {
        self.seen_claim().unwrap_or(self.claim.version)
    }

    /// Once its roles exist a client may have written: from then on nothing is undone, and what failed is tried again.
    pub fn founding_failed(&mut self, why: &str) {
        if let Some(founding) = self.founding.as_mut().filter(|f| !f.roles_done) {
            founding.failed = founding.failed.take().or_else(|| Some(why.to_string()));
        }
    }

    /// A founder that stood still for longer than its claim may find that the cluster is another's by now. And data that it
    /// has not made itself was put there by somebody: it is not thrown away as a founding that failed.
    pub fn note_founding_lost(&mut self) {
        let there = matches!(self.local.data_dir(), Some(DataDir::Present(_)));
        let made = self.founding.as_ref().is_none_or(|f| f.initdb_done);
        if there && !made && self.lane.is_free() {
            self.founding = None;
        }
        let (Some(_), Some(cluster)) = (&self.founding, &self.store.cluster) else {
            return;
        };
        let lost = match &cluster.initialize {
            Initialize::Done(id) => self.local.system_id().is_some_and(|mine| mine != id),
            Initialize::Absent | Initialize::InProgress { .. } | Initialize::Unreadable(_) => false,
        };
        // Somebody whose data the store had forgotten, or who stood still for even longer.
        let led = cluster
            .leader
            .as_ref()
            .is_some_and(|key| key.owner != self.settings.name);
        if lost || (led && !self.holds_key()) {
            self.founding_lost("another member has founded the cluster, or leads it");
        }
    }

    /// What it rested on is so no more. With rows of clients in it the directory stays as it is: a former primary's, or a
    /// foreign cluster's, for its operator to judge.
    pub fn founding_lost(&mut self, why: &str) {
        self.founding_failed(why);
        if self.founding.as_ref().is_some_and(|f| f.roles_done) {
            self.founding = None;
        }
    }

    /// The founding ends when everybody can see the system identifier.
    pub fn finish_founding(&mut self) {
        let done = self
            .store
            .cluster
            .as_ref()
            .is_some_and(|c| matches!(c.initialize, Initialize::Done(_)));
        if done && self.founding_complete() {
            self.founding = None;
        }
    }
}
