//! The agent: the one place where its state lives and is replaced. `handle` folds an input into what is known,
//! lets the duties and the decision follow from the whole of it, and names the next deadline.
//! Knows nothing of clocks, sockets, processes; total: odd input becomes a note.

use crate::copies::{Copies, aimed_at};
use crate::dcs::{DcsInput, DcsOutcome, DcsReply, Guard, Revision};
use crate::decision::{AcquireReason, Decision, Waiting};
use crate::effect::{Effect, EffectBody};
use crate::election::Election;
use crate::fencer::Armed;
use crate::fencing::Fencing;
use crate::founding::{Claim, Founding};
use crate::handover::{Handover, Phase};
use crate::input::Input;
use crate::lane::Lane;
use crate::local::{Local, Server};
use crate::name::OpId;
use crate::note::Note;
use crate::peer::PeerInput;
use crate::postgres::{DbState, Ended, Operation, PgInput, SLOT_NOUN, SideTask};
use crate::publish::Publishing;
use crate::rejoin::{Rejoin, Rewound};
use crate::requests::Requests;
use crate::rng::Rng;
use crate::settings::Settings;
use crate::slots::Slots;
use crate::store::Store;
use crate::tenure::{Tenure, reason_of};
use crate::time::{Mono, Now, Span};
use crate::view::Told;
pub use crate::wake::WakeReason;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// What the agent is told about its own start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Different at every start of the agent's process on this host.
    pub incarnation: u64,
    /// The same at every start on this host, and another on every other, whatever the member's name is. 0: not known.
    #[serde(default)]
    pub instance: u64,
    /// A living fencer was found, holding this deadline.
    pub fencer: Option<Armed>,
}

/// What one `handle` asks for and tells, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub effects: Vec<Effect>,
    pub notes: Vec<Note>,
}

/// Rounds of decision in one `handle`: each acts at most once, so a handful always settles.
const ROUNDS: u32 = 6;
/// Decisions and events remembered for the view.
const RECENT: usize = 200;
/// Between two looks while a hand-over waits for its candidate to stream again: writes are open meanwhile.
const RECOVERING_PROBE: Span = Span::millis(100);
/// How long a side task that failed rests before it is tried again.
const SIDE_REST: Span = Span::secs(2);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    pub(crate) settings: Settings,
    pub(crate) boot: Boot,
    pub(crate) started: Now,
    pub(crate) rng: Rng,
    next_op: u64,
    pub(crate) store: Store,
    pub(crate) tenure: Tenure,
    pub(crate) local: Local,
    pub(crate) lane: Lane,
    /// Side tasks under way, by noun.
    pub(crate) sides: BTreeMap<String, OpId>,
    pub(crate) side_rest: BTreeMap<String, Mono>,
    pub(crate) fencing: Fencing,
    pub(crate) election: Election,
    pub(crate) rejoin: Rejoin,
    pub(crate) claim: Claim,
    pub(crate) founding: Option<Founding>,
    pub(crate) handover: Option<Handover>,
    /// No hand-over of my own accord before this.
    pub(crate) handover_not_before: Mono,
    pub(crate) publishing: Publishing,
    pub(crate) slots: Slots,
    pub(crate) copies: Copies,
    pub(crate) requests: Requests,
    pub(crate) stopping: bool,
    pub(crate) exited: bool,
    /// Since when PostgreSQL is not up although the key is held.
    pub(crate) crashed_at: Option<Mono>,
    /// The store has once shown a cluster with a system identifier.
    pub(crate) seen_initialized: bool,
    pub(crate) was_paused: bool,
    pub(crate) read_not_before: Mono,
    pub(crate) decision: Decision,
    pub(crate) decided_at: Mono,
    pub(crate) recent: VecDeque<Told>,
    pub(crate) wake: Option<(Mono, crate::wake::WakeReason)>,
}

/// What one round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    AsBefore,
    Otherwise,
}

impl Agent {
    pub fn new(settings: Settings, boot: Boot, seed: u64, now: Now) -> Agent {
        let mut agent = Agent {
            started: now,
            rng: Rng::new(seed),
            next_op: 1,
            store: Store::default(),
            tenure: Tenure::new(now),
            local: Local::new(now.mono),
            lane: Lane::default(),
            sides: BTreeMap::new(),
            side_rest: BTreeMap::new(),
            fencing: Fencing::new(now, boot.fencer),
            election: Election::default(),
            rejoin: Rejoin::default(),
            claim: Claim::default(),
            founding: None,
            handover: None,
            handover_not_before: now.mono,
            publishing: Publishing::default(),
            slots: Slots::default(),
            copies: Copies::default(),
            requests: Requests::default(),
            stopping: false,
            exited: false,
            crashed_at: None,
            seen_initialized: false,
            was_paused: false,
            read_not_before: now.mono,
            decision: Decision::Wait(Waiting::FirstLook),
            decided_at: now.mono,
            recent: VecDeque::new(),
            wake: Some((now.mono, crate::wake::WakeReason::FirstLook)),
            settings,
            boot,
        };
        // Before the store has spoken, the founder's own configuration is the best guess at the timings.
        if let Some(first) = &agent.settings.bootstrap {
            agent.store.config =
                crate::config::Config::read(first, agent.settings.safety.fast_timing);
        }
        agent
    }

    /// Takes one input; what follows from it is appended to `out`.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Output) {
        let told = out.notes.len();
        self.fold(now, input, out);
        for _ in 0..ROUNDS {
            let asked = self.next_op;
            self.duties(now, out);
            if self.settle(now, out) == Settled::AsBefore && self.next_op == asked {
                break;
            }
        }
        self.decided_at = now.mono;
        self.wake = self.next_wake(now);
        for note in &out.notes[told..] {
            self.recent.push_back(Told {
                now,
                text: note.to_string(),
            });
        }
        while self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Has it seen, since its start, a store that knows a cluster?
    pub fn has_seen_cluster(&self) -> bool {
        self.seen_initialized
    }

    /// It was asked to end, and is on its way.
    pub fn is_ending(&self) -> bool {
        self.stopping
    }

    pub fn next_wakeup(&self) -> Option<(Mono, crate::wake::WakeReason)> {
        self.wake
    }

    pub(crate) fn emit(&mut self, body: EffectBody, out: &mut Output) -> OpId {
        let id = OpId(self.next_op);
        self.next_op += 1;
        out.effects.push(Effect { id, body });
        id
    }

    fn settle(&mut self, now: Now, out: &mut Output) -> Settled {
        let decision = self.decide(now);
        self.settle_ballot(now, &decision);
        if decision == self.decision {
            self.carry_out(now, &decision, out);
            return Settled::AsBefore;
        }
        if decision.kind_differs(&self.decision) {
            out.notes.push(Note::Decided(decision.clone()));
        }
        self.decision = decision.clone();
        self.carry_out(now, &decision, out);
        Settled::Otherwise
    }

    /// What is due besides the decision, none of it dangerous.
    fn duties(&mut self, now: Now, out: &mut Output) {
        if self.exited {
            return;
        }
        self.note_pause(now, out);
        self.note_command_done();
        self.check_key_against_store(now);
        self.resolve_doubt_if_read(now);
        self.take_up_claim();
        self.finish_founding();
        self.note_founding_lost();
        self.note_crash(now);
        self.note_session_replaced(now);
        self.session_duties(now, out);
        self.fencer_duties(now, out);
        self.handover_duties(now, out);
        self.advance_handover(now, out);
        self.accept_copies();
        self.publish_duties(now, out);
        self.founding_duties(now, out);
        self.slot_duties(now, out);
        self.request_duties(now, out);
        self.probe_duty(now, out);
        self.checkpoint_duty(now, out);
        self.reread_duty(now, out);
    }

    fn fold(&mut self, now: Now, input: Input, out: &mut Output) {
        match input {
            Input::Wakeup => {}
            Input::Dcs(dcs) => self.fold_dcs(now, dcs, out),
            Input::Postgres(pg) => self.fold_postgres(now, pg, out),
            Input::Peer(peer) => self.fold_peer(now, peer, out),
            Input::Operator(request) => self.operator_asked(now, request, out),
            Input::Fencer(said) => self.fencer_said(now, said, out),
            Input::Stopping => {
                self.stopping = true;
                self.founding_failed("the agent was asked to end");
            }
        }
    }

    fn fold_dcs(&mut self, now: Now, input: DcsInput, out: &mut Output) {
        let fast = self.settings.safety.fast_timing;
        let vacant = self.store.vacant.is_some();
        match input {
            DcsInput::Listed { snapshot } => self.store.listed(now, snapshot, fast, &mut out.notes),
            DcsInput::Changed { revision, changes } => {
                self.store
                    .changed(now, revision, changes, fast, &mut out.notes);
            }
            DcsInput::WatchLost { why } => {
                self.store.watch_lost();
                out.notes.push(Note::WatchLost { why });
            }
            DcsInput::Completed {
                op,
                sent_at,
                outcome,
                ..
            } => self.fold_verdict(now, op, sent_at, outcome, out),
        }
        // Whoever races compares what it has now, so it looks while the quorum is still being asked.
        if self.store.vacant.is_some() && !vacant {
            self.local.probe_due = now.mono;
        }
        let initialized = |c: &crate::cluster::Cluster| {
            matches!(c.initialize, crate::cluster::Initialize::Done(_))
        };
        self.seen_initialized |= self.store.cluster.as_deref().is_some_and(initialized);
    }

    fn fold_verdict(
        &mut self,
        now: Now,
        op: OpId,
        sent_at: Mono,
        outcome: DcsOutcome,
        out: &mut Output,
    ) {
        if matches!(
            outcome,
            DcsOutcome::Ok(_) | DcsOutcome::Conflict { .. } | DcsOutcome::SessionGone
        ) {
            self.store.seen = Some(now);
        }
        if let DcsOutcome::Ok(
            DcsReply::Acquired { revision, .. } | DcsReply::Renewed { revision, .. },
        ) = &outcome
        {
            self.store.answered(sent_at, *revision);
        }
        if self.store.read_op == Some(op) {
            self.store.read_op = None;
            match outcome {
                DcsOutcome::Ok(DcsReply::Snapshot(snapshot)) => {
                    self.read_not_before = now.mono + Span::millis(100);
                    let fast = self.settings.safety.fast_timing;
                    self.store
                        .read(now, sent_at, snapshot, fast, &mut out.notes);
                }
                other => {
                    self.read_not_before = now.mono + Span::millis(500);
                    self.tell_store_failure("reading the cluster", &other, out);
                }
            }
            return;
        }
        let known = self.session_answered(now, op, &outcome, out)
            || self.write_answered(now, op, &outcome, out)
            || self.founding_answered(now, op, &outcome, out)
            || self.request_written(op, &outcome, out);
        if !known {
            out.notes.push(Note::Late { op });
        }
    }

    pub(crate) fn tell_store_failure(&self, what: &str, outcome: &DcsOutcome, out: &mut Output) {
        out.notes.push(Note::StoreFailed {
            what: what.into(),
            why: reason_of(outcome),
        });
    }

    fn fold_peer(&mut self, now: Now, input: PeerInput, out: &mut Output) {
        let PeerInput { op, member, answer } = input;
        if self.handover_answered(now, op, &member, &answer) {
            return;
        }
        match self
            .election
            .ballot
            .as_mut()
            .filter(|b| b.asked.contains_key(&op))
        {
            Some(ballot) => {
                ballot.answers.insert(member, answer);
            }
            None => out.notes.push(Note::Late { op }),
        }
    }

    fn fold_postgres(&mut self, now: Now, input: PgInput, out: &mut Output) {
        match input {
            PgInput::Observed { op, observation } if self.tells_nothing_yet(now, &observation) => {
                if op.is_some() && self.local.probe == op {
                    let noun = SideTask::Probe.noun();
                    self.local.probe = None;
                    self.local.probe_due = now.mono;
                    self.sides.remove(&noun);
                    self.side_rest.insert(noun, now.mono);
                }
            }
            // On a disk that stalls a look may take seconds: what it saw may be of before an operation's end.
            PgInput::Observed { op: Some(op), .. }
                if self.local.probe == Some(op) && self.local.is_overtaken() =>
            {
                self.local.probe = None;
                self.local.probe_due = now.mono;
                self.sides.remove(&SideTask::Probe.noun());
            }
            PgInput::Observed { op, observation } => {
                if op.is_none() || self.local.probe == op {
                    self.local.observe(now.mono, observation);
                }
                if self.local.is_answering() {
                    self.rejoin.rewound = Rewound::Settled;
                }
                if op.is_some() && self.local.probe == op {
                    self.local.looked_at = Some(self.local.probe_begun);
                    self.local.probe = None;
                    self.sides.remove(&SideTask::Probe.noun());
                }
            }
            PgInput::PostmasterExited { .. } => self.local.probe_due = now.mono,
            PgInput::Progress { op, phase } => {
                if let Some(in_lane) = self.lane.current.as_mut().filter(|l| l.op == op) {
                    in_lane.phase = Some(phase);
                }
            }
            PgInput::Finished { op, ended } => self.finished(now, op, ended, out),
        }
    }

    fn finished(&mut self, now: Now, op: OpId, ended: Ended, out: &mut Output) {
        if let Some(in_lane) = self.lane.end(op, now.mono, &ended) {
            let (verb, how) = (in_lane.operation.verb().to_string(), how_it_ended(&ended));
            out.notes.push(Note::OperationEnded { op, verb, how });
            self.local.operated_at = Some(now.mono);
            self.local.probe_due = now.mono;
            return self.operation_ended(now, &in_lane.operation, &ended);
        }
        let noun = self
            .sides
            .iter()
            .find(|(_, mine)| **mine == op)
            .map(|(noun, _)| noun.clone());
        let Some(noun) = noun else {
            out.notes.push(Note::Late { op });
            return;
        };
        self.sides.remove(&noun);
        if self.local.probe == Some(op) {
            self.local.probe = None;
        }
        if self.rejoin.asking == Some(op) {
            self.rejoin.asking = None;
            self.rejoin.ask_at = now.mono + Span::millis(500);
        }
        match ended {
            Ended::Upstream(facts) => self.leader_said(now, facts),
            // What became of a slot, the next look of the loop shows early enough; asking again at once would
            // be asking for ever where the server rounds a position down.
            Ended::Done if noun.starts_with(SLOT_NOUN) => {
                let rest = now.mono + self.store.config.timing.loop_wait;
                self.side_rest.insert(noun, rest);
            }
            Ended::Done => self.local.probe_due = now.mono,
            Ended::Cancelled => {}
            Ended::Failed(why) => {
                self.side_rest.insert(noun.clone(), now.mono + SIDE_REST);
                if noun == "upstream" {
                    self.rejoin.last_refusal = Some(why.clone());
                    self.rejoin.facts = None;
                }
                out.notes.push(Note::SideTaskFailed { what: noun, why });
            }
        }
    }

    /// What an operation's end means beyond the observation that came with it.
    fn operation_ended(&mut self, now: Now, operation: &Operation, ended: &Ended) {
        let failed = match ended {
            Ended::Failed(why) => Some(why.clone()),
            Ended::Done | Ended::Upstream(_) | Ended::Cancelled => None,
        };
        match (operation, failed) {
            (Operation::Initdb | Operation::PostBootstrap, Some(why)) => self.founding_failed(&why),
            (Operation::Start { role, .. }, Some(why)) => {
                self.founding_failed(&why);
                // Whoever leads had all the time to feed it. Started for nobody, or for one that is gone, it waited rightly.
                let leader = self.store.leader().map(|key| &key.owner);
                let fed = leader.is_some() && aimed_at(role).as_ref() == leader;
                let waits = fed && self.local.server() == Server::Starting;
                if waits && self.rejoin.rewound == Rewound::NotYetUp {
                    self.rejoin.rewound = Rewound::InVain;
                }
            }
            (Operation::Initdb, None) => {
                if let Some(founding) = &mut self.founding {
                    founding.initdb_done = true;
                }
            }
            (Operation::PostBootstrap, None) => {
                if let Some(founding) = &mut self.founding {
                    founding.roles_done = true;
                }
            }
            (Operation::Promote { .. }, Some(_)) => {
                self.local.note_promotion_given_up();
                self.election.barred_until = now.mono + self.store.config.timing.ttl;
            }
            // What the leader said before may not be so any more: it is asked anew.
            (Operation::Rewind { .. }, Some(_)) => self.rejoin.facts = None,
            // The directory is the leader's own up to the fork now: nothing is left to compare.
            (Operation::Rewind { .. } | Operation::Clone { .. }, None)
                if matches!(ended, Ended::Done) =>
            {
                self.rejoin.rewound = match operation {
                    Operation::Rewind { .. } => Rewound::NotYetUp,
                    _clone => Rewound::Settled,
                };
                self.trust_copy();
            }
            (
                Operation::CrashRecovery | Operation::Stop { .. } | Operation::Promote { .. },
                None,
            ) => self.rejoin.forget(),
            (Operation::DiscardData { .. }, None) => {
                self.rejoin.forget();
                self.rejoin.reinit = false;
                self.rejoin.rewound = Rewound::Settled;
            }
            (_, _) => {}
        }
        if matches!(operation, Operation::Stop { .. }) {
            self.requests.restart_stopped_after(ended);
        }
    }

    fn trust_copy(&mut self) {
        let facts = self.rejoin.facts.as_ref().map(|(_, f)| f.history.timeline);
        let timeline = facts.or_else(|| {
            let leader = self.store.cluster.as_ref()?.leader_member()?;
            leader.1.timeline_id()
        });
        let (Some(source), Some(timeline)) = (self.rejoin.copying.take(), timeline) else {
            return self.rejoin.forget();
        };
        self.rejoin.checked = Some(crate::divergence::Checked {
            leader: source.leader,
            term: source.term,
            timeline,
            copy: source.copy,
            mine: None,
            divergence: crate::timeline::Divergence::None,
        });
    }

    fn note_pause(&mut self, now: Now, out: &mut Output) {
        let paused = self.paused();
        if paused == self.was_paused {
            return;
        }
        self.was_paused = paused;
        out.notes.push(Note::PauseChanged { paused });
        if !paused {
            // Everything is judged anew: the operator may have promoted, stopped or moved anything.
            self.rejoin.forget();
            self.tenure.may_adopt = Some(now.mono);
            self.tenure.due = now.mono;
            self.local.probe_due = now.mono;
        }
    }

    fn note_crash(&mut self, now: Now) {
        let up = matches!(self.local.server(), Server::Primary);
        let phase = self.handover.as_ref().map(|h| &h.phase);
        // Until its start fails: from then on it is down for another reason.
        let handing_over = matches!(
            phase,
            Some(
                Phase::Stopping { .. }
                    | Phase::Confirming { .. }
                    | Phase::Recovering { .. }
                    | Phase::Resuming { .. }
            )
        );
        // A server that was stopped in order, by whomever, has not crashed: it starts in place.
        let in_order = self.local.server() == Server::Down && self.is_cleanly_down();
        let asked = handing_over || self.requests.restart_under_way() || in_order;
        let stopped_by_me = asked && self.lane.failed("start") == 0;
        if up || !self.holds_key() || stopped_by_me {
            self.crashed_at = None;
        } else if self.local.server() == Server::Down && self.crashed_at.is_none() {
            self.crashed_at = Some(now.mono);
        }
    }

    fn resolve_doubt_if_read(&mut self, now: Now) {
        let doubtful = self.tenure.key == crate::leader_key::Key::InDoubt;
        // The reading must be younger than the acquisition that had no verdict; each doubt forgets the older ones.
        if doubtful
            && self.store.read_op.is_none()
            && self
                .store
                .confirmed
                .is_some_and(|at| at >= self.tenure.doubt_since)
        {
            self.resolve_doubt(now);
        }
    }

    fn probe_duty(&mut self, now: Now, out: &mut Output) {
        let wanted = self.decision == Decision::Wait(Waiting::FreshLook);
        if self.local.probe.is_some() || (now.mono < self.local.probe_due && !wanted) {
            return;
        }
        self.local.probe_due = now.mono + self.probe_pause();
        self.local.probe_begun = now.mono;
        self.local.probe = self.start_side(now, SideTask::Probe, out);
    }

    /// A look each loop is enough when nothing moves; while something does, looks are cheap.
    fn probe_pause(&self) -> Span {
        let loop_wait = self.store.config.timing.loop_wait;
        let calm = matches!(self.decision, Decision::Lead | Decision::Follow { .. });
        let phase = self.handover.as_ref().map(|h| &h.phase);
        if matches!(
            phase,
            Some(Phase::Recovering { .. } | Phase::Choosing { ballot: Some(_) })
        ) {
            RECOVERING_PROBE
        } else if calm {
            loop_wait
        } else {
            loop_wait.min(Span::millis(500))
        }
    }

    /// Without a checkpoint the control file names the old timeline, and nobody can be rewound from us.
    fn checkpoint_duty(&mut self, now: Now, out: &mut Output) {
        if self.holds_key() && self.local.server() == Server::Primary && self.awaits_checkpoint() {
            self.start_side(now, SideTask::Checkpoint, out);
        }
    }

    /// With the watch broken, after a reading that went backwards, and every few loops in any case, the quorum
    /// is asked: what is known is never older than that.
    fn reread_duty(&mut self, now: Now, out: &mut Output) {
        let due = self.reading_due().is_none_or(|at| now.mono >= at);
        let blind = !self.store.watching;
        if due || blind {
            self.carry_out(now, &Decision::ReadBeforeRace, out);
        }
    }

    /// A watch can die without a word, so its view is confirmed through the quorum now and then.
    pub(crate) fn reading_due(&self) -> Option<Mono> {
        let age_max = self.store.config.timing.loop_wait.times(3);
        self.store.confirmed.map(|at| at + age_max)
    }

    /// The revision of the store that decisions rest on now.
    pub fn decides_from(&self) -> Option<Revision> {
        self.store.cluster.as_ref().map(|cluster| cluster.revision)
    }

    /// The versions that a decision to race rests on.
    pub(crate) fn guard(&self, why: &AcquireReason) -> Guard {
        let cluster = self.store.cluster.as_ref();
        let version = |v: Option<Revision>| v.unwrap_or_default();
        Guard {
            sync: version(cluster.map(|c| c.sync_version)),
            failover: version(cluster.map(|c| c.failover_version)),
            history: self.history_version(),
            claim: (*why == AcquireReason::Bootstrap).then(|| self.claim_version()),
        }
    }

    /// Did the server stop in a way after which nothing is lost?
    pub fn is_cleanly_down(&self) -> bool {
        self.local
            .control()
            .is_some_and(|c| matches!(c.state, DbState::ShutDown | DbState::ShutDownInRecovery))
    }
}

fn how_it_ended(ended: &Ended) -> String {
    match ended {
        Ended::Done | Ended::Upstream(_) => "done".into(),
        Ended::Failed(why) => format!("failed: {why}"),
        Ended::Cancelled => "cancelled".into(),
    }
}
