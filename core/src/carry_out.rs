//! Carries a decision out: turns it into effects, once. Decides nothing; an effect that is under way already is
//! not asked for again.

use crate::agent::{Agent, Output};
use crate::copies::aimed_at;
use crate::dcs::{Consistency, DcsRequest};
use crate::decision::Decision;
use crate::effect::EffectBody;
use crate::name::OpId;
use crate::note::Note;
use crate::params;
use crate::postgres::{DataDir, Observation, Operation, PromotionMark, SideTask, Sql, StartAs};
use crate::time::{Mono, Now, Span};
use crate::timeline::TimelineId;

/// Side tasks that take longer than this are given up.
const SIDE_TASK_BUDGET: Span = Span::secs(5);
/// What an agent finds when it starts may be a primary that nobody else can end: a server that does not answer must be
/// known for one before the time of grace is over.
const FIRST_LOOK_BUDGET: Span = Span::secs(1);
/// With less than that left of the time of grace, what was seen has to do.
const WORTH_A_LOOK: Span = Span::millis(900);
const SETTLE_PAUSE: Span = Span::secs(1);
const CHECKPOINT_BUDGET: Span = Span::secs(300);
/// How long a standby may take until it lets anybody in. It is not stopped then, since recovery may take longer.
pub const STANDBY_START_TIMEOUT: Span = Span::secs(300);

impl Agent {
    pub fn carry_out(&mut self, now: Now, decision: &Decision, out: &mut Output) {
        match decision {
            Decision::Wait(_) | Decision::Lead | Decision::Follow { .. } => {}
            Decision::Stop {
                plan,
                checkpoint_first,
                ..
            } => {
                self.start_operation(
                    now,
                    Operation::Stop {
                        plan: *plan,
                        checkpoint_first: *checkpoint_first,
                    },
                    out,
                );
            }
            Decision::Cancel { .. } => self.cancel_operation(out),
            Decision::Initdb => self.start_operation(now, Operation::Initdb, out),
            Decision::PostBootstrap => self.start_operation(now, Operation::PostBootstrap, out),
            Decision::Clone { source } => {
                self.rejoin.copying = self.leader_as_source();
                let source = source.clone();
                self.start_operation(now, Operation::Clone { source }, out);
            }
            Decision::Start { role, .. } => self.start_server(now, role.clone(), out),
            Decision::Promote { .. } => self.promote(now, out),
            Decision::CrashRecovery => self.start_operation(now, Operation::CrashRecovery, out),
            Decision::Rewind { source, .. } => {
                self.rejoin.copying = self.leader_as_source();
                let source = source.clone();
                self.start_operation(now, Operation::Rewind { source }, out);
            }
            Decision::Discard { why } => {
                self.start_operation(now, Operation::DiscardData { why: *why }, out)
            }
            Decision::AskUpstream { upstream } => {
                let task = SideTask::AskUpstream {
                    upstream: upstream.clone(),
                    mine: self.local.end_on_branch(),
                };
                self.rejoin.asking = self.start_side(now, task, out);
                self.rejoin.asked = self.leader_as_source();
            }
            Decision::Reconfigure { upstream } => {
                let upstream = Some(upstream.clone());
                let role = match self.local.answered().and_then(|s| s.one_timeline) {
                    Some(timeline) => StartAs::OneTimeline { timeline, upstream },
                    None => StartAs::Standby { upstream },
                };
                let parameters = self.parameters(&role);
                let aimed = aimed_at(&role);
                let task = SideTask::Reconfigure { role, parameters };
                if self.start_side(now, task, out).is_some() {
                    self.copies.aimed = aimed;
                }
            }
            Decision::ReadBeforeRace => self.read_store(now, out),
            Decision::Ballot => {
                let ballot = self.hold_ballot(now, out);
                self.election.ballot = Some(ballot);
            }
            Decision::Acquire { why } => {
                let until = now.mono + self.store.config.timing.retry_timeout;
                self.request_key(now, why.clone(), until, out);
            }
            Decision::Release { why } => self.release_key(now, why, out),
            Decision::ClaimInitialize => self.claim_initialize(now, out),
            Decision::AbandonInitialize => self.abandon_initialize(now, out),
            Decision::ChooseCandidate => self.choose_candidate(now, out),
            Decision::ConfirmCandidate { candidate, .. } => {
                self.confirm_candidate(now, candidate, out)
            }
            Decision::Exit { code, .. } => {
                self.exited = true;
                self.emit(EffectBody::Exit { code: *code }, out);
            }
        }
    }

    fn start_server(&mut self, now: Now, role: StartAs, out: &mut Output) {
        let timeout = match role {
            StartAs::Primary => self.store.config.primary_start_timeout.max(Span::secs(10)),
            StartAs::Standby { .. } | StartAs::OneTimeline { .. } => STANDBY_START_TIMEOUT,
        };
        let parameters = self.parameters(&role);
        self.copies.aimed = aimed_at(&role);
        self.start_operation(
            now,
            Operation::Start {
                role,
                parameters,
                timeout,
            },
            out,
        );
    }

    fn parameters(&self, role: &StartAs) -> std::collections::BTreeMap<String, String> {
        let standby_of = match role {
            StartAs::Primary => None,
            StartAs::Standby { .. } | StartAs::OneTimeline { .. } => self.local.control(),
        };
        params::desired(&self.store.config, &self.settings.postgresql, standby_of)
    }

    /// The last gate before a member becomes writable: every condition once more, as assertions of our own.
    fn promote(&mut self, now: Now, out: &mut Output) {
        let Some(term) = self.term() else {
            return self.assertion_failed("promote without holding the leader key", out);
        };
        let leased = self.lease_until().is_some_and(|until| now.mono < until);
        if !leased || !self.authority().stands(now.mono) {
            return self.assertion_failed("promote without write authority", out);
        }
        if !self.fencer_covers(now) {
            return self.assertion_failed("promote without an armed fencer", out);
        }
        let newest = self
            .local
            .observed
            .as_ref()
            .map_or(TimelineId(0), |o| o.history.timeline);
        let running = self
            .local
            .status()
            .map_or(TimelineId(0), |s| s.timeline.max(s.received_timeline));
        let timeline = TimelineId(newest.max(running).0.saturating_add(1));
        let mark = PromotionMark { timeline, term };
        let timeout = self.store.config.primary_start_timeout.max(Span::secs(10));
        self.start_operation(now, Operation::Promote { mark, timeout }, out);
    }

    fn start_operation(&mut self, now: Now, operation: Operation, out: &mut Output) {
        if !self.lane.is_free() {
            return self.assertion_failed("two operations on one data directory", out);
        }
        let term = self.term();
        let verb = operation.verb().to_string();
        let op = self.emit(
            EffectBody::Operation {
                operation: operation.clone(),
                term,
            },
            out,
        );
        out.notes.push(Note::OperationStarted { op, verb });
        self.lane.current = Some(crate::lane::InLane {
            op,
            operation,
            term,
            since: now.mono,
            phase: None,
            cancelled: false,
        });
    }

    fn cancel_operation(&mut self, out: &mut Output) {
        let Some(in_lane) = &mut self.lane.current else {
            return;
        };
        in_lane.cancelled = true;
        let op = in_lane.op;
        self.emit(EffectBody::Cancel { op }, out);
    }

    /// Starts a side task unless one of its noun is under way.
    pub fn start_side(&mut self, now: Now, task: SideTask, out: &mut Output) -> Option<OpId> {
        let noun = task.noun();
        if !self.may_start_side(now, &noun) {
            return None;
        }
        let budget = match task {
            SideTask::Checkpoint => CHECKPOINT_BUDGET,
            SideTask::Probe if self.local.observed.is_none() => self.early_look_budget(now, &noun),
            SideTask::Probe
            | SideTask::Reconfigure { .. }
            | SideTask::CreateSlot { .. }
            | SideTask::DropSlot { .. }
            | SideTask::AdvanceSlot { .. }
            | SideTask::AskUpstream { .. } => SIDE_TASK_BUDGET,
        };
        if matches!(task, SideTask::Reconfigure { .. }) {
            // A reload takes effect a moment after it was asked for: look before asking again.
            self.side_rest.insert(noun.clone(), now.mono + SETTLE_PAUSE);
        }
        let op = self.emit(
            EffectBody::Side {
                task,
                until: now.mono + budget,
            },
            out,
        );
        self.sides.insert(noun, op);
        Some(op)
    }

    /// No side task of that noun is under way, and none rests after the last.
    pub fn may_start_side(&self, now: Now, noun: &str) -> bool {
        let resting = self.side_rest.get(noun).is_some_and(|at| now.mono < *at);
        !resting && !self.sides.contains_key(noun)
    }

    /// The first look is short. After one that told nothing, of a slow disk perhaps, the next may take what is left of
    /// the time of grace, and then as long as any other: none would ever end otherwise.
    fn early_look_budget(&self, now: Now, noun: &str) -> Span {
        let left = self.proves_until().since(now.mono);
        match self.side_rest.contains_key(noun) {
            false => FIRST_LOOK_BUDGET,
            true if left >= WORTH_A_LOOK => left.min(SIDE_TASK_BUDGET),
            true => SIDE_TASK_BUDGET,
        }
    }

    /// A look that showed neither the disk nor the server proves nothing in the time of grace: there is one more.
    pub fn tells_nothing_yet(&self, now: Now, observation: &Observation) -> bool {
        let left = self.proves_until().since(now.mono);
        let early = self.local.observed.is_none() && left >= WORTH_A_LOOK;
        let disk = matches!(observation.data_dir, DataDir::Unreadable(_));
        early && disk && matches!(observation.sql, Sql::Silent(_))
    }

    fn read_store(&mut self, now: Now, out: &mut Output) {
        if self.store.read_op.is_some() || now.mono < self.read_not_before {
            return;
        }
        let request = DcsRequest::Snapshot {
            consistency: Consistency::Linearizable,
        };
        let until = now.mono + self.store.config.timing.retry_timeout;
        self.store.read_op = Some(self.ask_store(request, until, out));
    }

    pub fn ask_store(&mut self, request: DcsRequest, until: Mono, out: &mut Output) -> OpId {
        self.emit(EffectBody::Dcs { request, until }, out)
    }

    /// A rule of our own was broken. Leadership ends in order; peers are left to their own judgement.
    pub fn assertion_failed(&mut self, what: &str, out: &mut Output) {
        out.notes.push(Note::AssertionFailed { what: what.into() });
        self.stopping = true;
    }
}
