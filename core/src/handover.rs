//! How a leader hands over on purpose: choose, stop cleanly, see that the candidate holds the shutdown
//! checkpoint, release. If any step fails, the old leader resumes and says why. A stop that had to be forced is
//! recovered from and tried once more as the same hand-over: the backend that held it up is gone by then.
//! A planned switchover loses no commit: the key is only released to who has everything.

use crate::agent::{Agent, Output};
use crate::candidate::{ShownEnd, shown_end};
use crate::cluster::Cluster;
use crate::config::MissingMode;
use crate::decision::{Decision, ReleaseReason, StopReason, Waiting};
use crate::effect::EffectBody;
use crate::election::{Ballot, HAND_OVER_FIRST, is_due};
use crate::keys::{self, FailoverKey};
use crate::local::Server;
use crate::lsn::Lsn;
use crate::member::MemberData;
use crate::name::{MemberName, OpId};
use crate::note::Note;
use crate::peer::{PeerAnswer, PeerRequest};
use crate::postgres::{StopMode, StopPlan};
use crate::store::Vacancy;
use crate::time::{Mono, Now, Span};
use serde::{Deserialize, Serialize};

pub const CHOOSE_BUDGET: Span = Span::secs(1);
/// From the end of the stop until the candidate must have shown the shutdown checkpoint.
const CONFIRM_BUDGET: Span = Span::secs(3);
const CONFIRM_PAUSE: Span = Span::millis(25);
/// A planned stop that has not ended by itself is made harder: one backend that does not answer must not
/// hold the cluster up.
const FAST_STOP_BUDGET: Span = Span::millis(1_500);
const KILL_AFTER: Span = Span::millis(1_900);
/// After a forced stop: how long the candidate may take to stream again before somebody else is chosen.
const AGAIN_BUDGET: Span = Span::secs(8);
/// After a request was given up.
const REQUEST_RETRY: Span = Span::secs(1);
/// Between two attempts to hand over to a member that has the mode which this build lacks.
const MODE_RETRY: Span = Span::secs(30);
/// How long the old leader leaves the race to the others after it handed over.
pub const ABSTAIN: Span = Span::secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Choosing {
        ballot: Option<Ballot>,
    },
    /// Writes are closing or closed.
    Stopping {
        candidate: MemberName,
    },
    /// Down and clean; the candidate is being asked for `checkpoint`.
    Confirming {
        candidate: MemberName,
        checkpoint: Lsn,
        since: Mono,
        asked: Option<OpId>,
        again_at: Mono,
        confirmed: bool,
    },
    /// Given up: the old leader starts again in place.
    Resuming {
        why: String,
    },
    /// The stop was forced: the old leader starts again in place, and hands over as soon as `candidate` streams.
    Recovering {
        candidate: MemberName,
        since: Mono,
    },
}

/// Why the leader hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The `failover` key asks for it.
    Request,
    /// The cluster is in a mode that this build lacks: a peer that has it shall lead.
    ModeMissing(MissingMode),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    pub cause: Cause,
    pub candidate: Option<MemberName>,
    pub since: Mono,
    pub phase: Phase,
    /// Its stop had to be forced once: once more, and it is given up.
    pub was_forced: bool,
}

fn stop_reason(cause: Cause, candidate: &MemberName) -> StopReason {
    match cause {
        Cause::Request => StopReason::Switchover {
            candidate: Some(candidate.clone()),
        },
        Cause::ModeMissing(mode) => StopReason::ModeMissing { mode },
    }
}

impl Agent {
    /// Is a hand-over asked for, and may it begin now?
    pub fn handover_duties(&mut self, now: Now, out: &mut Output) {
        if !self.holds_key() {
            return self.give_way(now, out);
        }
        if self.handover.is_some() || self.local.server() != Server::Primary {
            return;
        }
        let Some(cluster) = self.store.cluster.clone() else {
            return;
        };
        match &cluster.failover {
            // Given up a moment ago, it is there still where the store did not take its removal.
            Some(_) if now.mono < self.handover_not_before => {}
            Some(request) => self.begin_requested(now, request, out),
            None => self.begin_for_missing_mode(now, &cluster),
        }
    }

    /// The leader is gone, I am the one or one of those whom it was to hand over to, and cannot take the key with the WAL that
    /// I have: a member that runs Patroni would wait for me as long as the request stands.
    fn give_way(&mut self, now: Now, out: &mut Output) {
        let Some(cluster) = self.store.cluster.as_ref().filter(|c| c.is_unlocked()) else {
            return;
        };
        let me = &self.settings.name;
        let to_me = |r: &FailoverKey| r.member.as_ref().is_none_or(|candidate| candidate == me);
        let planned = |r: &&FailoverKey| r.leader.as_ref().is_some_and(|l| l != me) && to_me(r);
        let named = cluster.failover.as_ref().filter(planned);
        let late = |(since, _): (Mono, Vacancy)| now.mono.since(since) > HAND_OVER_FIRST;
        let vacant_for_long = self.store.vacant.is_some_and(late);
        let due = named.is_some_and(|r| is_due(r, now));
        if !due || !vacant_for_long || self.paused() || !self.view_shows_write(keys::FAILOVER) {
            return;
        }
        // What stands in the way now, not in some earlier race.
        if let Decision::Wait(Waiting::Election(loss)) = &self.decision
            && loss.is_of_my_wal()
        {
            let why = loss.to_string();
            self.drop_failover(now, &why, out);
        }
    }

    fn begin(&mut self, now: Now, cause: Cause, candidate: Option<MemberName>) {
        self.rejoin.by_command = true;
        self.handover = Some(Handover {
            cause,
            candidate,
            since: now.mono,
            phase: Phase::Choosing { ballot: None },
            was_forced: false,
        });
    }

    /// No member of this build can lead as the mode demands; one that runs Patroni can.
    fn begin_for_missing_mode(&mut self, now: Now, cluster: &Cluster) {
        let Some(mode) = self.store.config.missing_modes.first().copied() else {
            return;
        };
        let me = &self.settings.name;
        let somebody = cluster
            .others(me)
            .any(|(_, m)| !m.is_tanist() && m.is_running() && !m.read_tags().nofailover);
        if somebody && !self.paused() && now.mono >= self.handover_not_before {
            self.begin(now, Cause::ModeMissing(mode), None);
        }
    }

    fn begin_requested(&mut self, now: Now, request: &FailoverKey, out: &mut Output) {
        let me = &self.settings.name;
        if request.leader.as_ref().is_some_and(|l| l != me) || request.member.as_ref() == Some(me) {
            return;
        }
        if request.scheduled_at.is_some() && !self.schedule_is_due(now, request, out) {
            return;
        }
        if self.paused() && request.member.is_none() {
            return self.drop_failover(now, "paused: a candidate must be named", out);
        }
        // 1. A hand-over fails, the request is dropped, the operator is told so. 2. The store confirms.
        // 3. Before the watch shows it the request seems to be there still, and would be begun once more.
        if !self.view_shows_write(keys::FAILOVER) {
            return;
        }
        self.begin(now, Cause::Request, request.member.clone());
    }

    /// The next step of the hand-over under way. `None`: none is, or it leaves the server as it is.
    pub fn decide_handover(&self, now: Now) -> Option<Decision> {
        let handover = self.handover.as_ref()?;
        let server = self.local.server();
        Some(match (&handover.phase, server) {
            (Phase::Choosing { ballot: None }, Server::Primary) => Decision::ChooseCandidate,
            (Phase::Choosing { ballot: Some(_) }, Server::Primary) => return None,
            (
                Phase::Stopping { candidate },
                Server::Primary | Server::Starting | Server::Silent,
            ) => Decision::Stop {
                why: stop_reason(handover.cause, candidate),
                plan: self.handover_stop_plan(now),
                checkpoint_first: true,
            },
            (
                Phase::Confirming {
                    candidate,
                    checkpoint,
                    confirmed,
                    ..
                },
                Server::Down,
            ) => {
                let (candidate, checkpoint) = (candidate.clone(), *checkpoint);
                if *confirmed {
                    Decision::Release {
                        why: ReleaseReason::Switchover {
                            candidate,
                            checkpoint,
                        },
                    }
                } else {
                    Decision::ConfirmCandidate {
                        candidate,
                        checkpoint,
                    }
                }
            }
            // Resuming is starting as any leader does that finds its server down: with all that this needs.
            (
                Phase::Stopping { .. }
                | Phase::Resuming { .. }
                | Phase::Recovering { .. }
                | Phase::Choosing { .. }
                | Phase::Confirming { .. },
                _,
            ) => {
                return None;
            }
        })
    }

    pub(crate) fn handover_stop_plan(&self, now: Now) -> StopPlan {
        let left = self
            .authority()
            .until()
            .map_or(KILL_AFTER, |until| until.since(now.mono));
        StopPlan {
            first: StopMode::Fast,
            immediate_after: FAST_STOP_BUDGET.min(left),
            kill_after: KILL_AFTER.min(left),
        }
    }

    pub fn choose_candidate(&mut self, now: Now, out: &mut Output) {
        let ballot = self.hold_ballot(now, out);
        if let Some(handover) = &mut self.handover {
            handover.phase = Phase::Choosing {
                ballot: Some(ballot),
            };
        }
    }

    /// Moves the hand-over on with what has become known.
    pub fn advance_handover(&mut self, now: Now, out: &mut Output) {
        let Some(handover) = self.handover.clone() else {
            return;
        };
        if !self.holds_key() {
            self.handover = None;
            return;
        }
        match handover.phase {
            Phase::Choosing {
                ballot: Some(ballot),
            } => self.pick(
                now,
                handover.cause,
                handover.candidate.as_ref(),
                &ballot,
                out,
            ),
            Phase::Stopping { candidate }
                if self.local.server() == Server::Down && self.lane.is_free() =>
            {
                self.stopped_for(now, candidate);
            }
            Phase::Confirming {
                candidate,
                since,
                confirmed: false,
                ..
            } if now.mono.since(since) >= CONFIRM_BUDGET || self.too_late_to_release(now) => {
                self.resume_leading(format!(
                    "{candidate} did not show the shutdown checkpoint in time"
                ));
            }
            Phase::Resuming { why } if self.local.server() == Server::Primary => {
                self.give_up_handover(now, &why, out);
            }
            Phase::Recovering { candidate, since }
                if self.is_fed(&candidate) || now.mono.since(since) >= AGAIN_BUDGET =>
            {
                self.choose_again(&candidate);
            }
            Phase::Choosing { ballot: None }
            | Phase::Stopping { .. }
            | Phase::Confirming { .. }
            | Phase::Recovering { .. }
            | Phase::Resuming { .. } => {}
        }
    }

    fn too_late_to_release(&self, now: Now) -> bool {
        !self.authority().stands(now.mono)
    }

    /// The clean stop is what the promise rests on: without it the old leader is the only safe one.
    fn stopped_for(&mut self, now: Now, candidate: MemberName) {
        let checkpoint = self
            .local
            .control()
            .filter(|c| c.state == crate::postgres::DbState::ShutDown)
            .map(|c| c.checkpoint);
        let Some(checkpoint) = checkpoint else {
            return self.recover_from_forced_stop(now, candidate);
        };
        if let Some(handover) = &mut self.handover {
            handover.phase = Phase::Confirming {
                candidate,
                checkpoint,
                since: now.mono,
                asked: None,
                again_at: now.mono,
                confirmed: false,
            };
        }
    }

    fn recover_from_forced_stop(&mut self, now: Now, candidate: MemberName) {
        let Some(handover) = &mut self.handover else {
            return;
        };
        if handover.was_forced {
            return self.resume_leading("the stop was not clean: a backend did not answer".into());
        }
        handover.was_forced = true;
        let since = now.mono;
        handover.phase = Phase::Recovering { candidate, since };
    }

    /// By its name, or by its slot: PostgreSQL shows a name of other than ASCII letters, or of over 63 bytes, changed.
    /// A server that lets nobody in just now goes on sending to those whom it told of last.
    pub fn streams_from_me(&self, member: &MemberName) -> bool {
        let status = self.local.status().filter(|s| !s.in_recovery);
        status.is_some_and(|s| {
            let slot = s.slots.get(&member.slot_name());
            slot.is_some_and(|slot| slot.physical && slot.active)
                || s.standbys
                    .iter()
                    .any(|c| c.application_name == member.0 && c.receives())
        })
    }

    /// Should the server not be back either, there is nobody to hand over to in this way.
    fn choose_again(&mut self, candidate: &MemberName) {
        if self.local.server() != Server::Primary {
            return self.resume_leading(format!(
                "the stop was not clean, and {candidate} did not stream again in time"
            ));
        }
        if let Some(handover) = &mut self.handover {
            handover.phase = Phase::Choosing { ballot: None };
        }
    }

    pub fn hands_over_no_more(&self) -> bool {
        let phase = self.handover.as_ref().map(|h| &h.phase);
        matches!(phase, Some(Phase::Resuming { .. }))
    }

    fn resume_leading(&mut self, why: String) {
        if let Some(handover) = &mut self.handover {
            handover.phase = Phase::Resuming { why };
        }
    }

    /// The leader goes on leading.
    pub fn give_up_handover(&mut self, now: Now, why: &str, out: &mut Output) {
        let given_up = self.handover.take().map(|h| h.cause);
        self.handover_not_before = now.mono + REQUEST_RETRY;
        if let Some(Cause::ModeMissing(mode)) = given_up {
            self.handover_not_before = now.mono + MODE_RETRY;
            let why = why.to_string();
            out.notes.push(Note::ModeHandoverGivenUp { mode, why });
        }
        self.drop_failover(now, why, out);
    }

    /// Asks the candidate once more, with a short pause between the questions.
    pub fn confirm_candidate(&mut self, now: Now, candidate: &MemberName, out: &mut Output) {
        let api_url = self.api_url_of(candidate);
        let Some(Handover {
            phase: Phase::Confirming {
                asked, again_at, ..
            },
            ..
        }) = &mut self.handover
        else {
            return;
        };
        if asked.is_some() || now.mono < *again_at {
            return;
        }
        let Some(api_url) = api_url else {
            return self.resume_leading(format!("{candidate} is gone"));
        };
        *again_at = now.mono + CONFIRM_PAUSE;
        let request = PeerRequest {
            member: candidate.clone(),
            api_url,
        };
        let op = self.emit(
            EffectBody::Peer {
                request,
                until: now.mono + CHOOSE_BUDGET,
            },
            out,
        );
        if let Some(Handover {
            phase: Phase::Confirming { asked, .. },
            ..
        }) = &mut self.handover
        {
            *asked = Some(op);
        }
    }

    fn api_url_of(&self, member: &MemberName) -> Option<String> {
        let data: &MemberData = self.store.cluster.as_ref()?.members.get(member)?;
        data.api_url.clone()
    }

    /// An answer to a question of this file's. `false`: it is not one.
    pub fn handover_answered(
        &mut self,
        now: Now,
        op: OpId,
        member: &MemberName,
        answer: &PeerAnswer,
    ) -> bool {
        let timeline = self.local.last_timeline;
        match self.handover.as_mut().map(|h| &mut h.phase) {
            Some(Phase::Choosing {
                ballot: Some(ballot),
            }) if ballot.asked.contains_key(&op) => {
                ballot.answers.insert(member.clone(), answer.clone());
                true
            }
            Some(Phase::Confirming {
                asked,
                checkpoint,
                confirmed,
                again_at,
                ..
            }) if *asked == Some(op) => {
                *asked = None;
                *again_at = now.mono + CONFIRM_PAUSE;
                let PeerAnswer::Status(status) = answer else {
                    return true;
                };
                match shown_end(status, *checkpoint, timeline) {
                    ShownEnd::Whole => *confirmed = true,
                    ShownEnd::Lacking => {}
                    ShownEnd::Foreign => {
                        self.resume_leading(format!(
                            "{member} has WAL that the leader never wrote"
                        ));
                    }
                }
                true
            }
            Some(
                Phase::Choosing { .. }
                | Phase::Stopping { .. }
                | Phase::Confirming { .. }
                | Phase::Recovering { .. }
                | Phase::Resuming { .. },
            )
            | None => false,
        }
    }

    pub fn handover_wakes(&self) -> impl Iterator<Item = Mono> + '_ {
        let wakes = match self.handover.as_ref().map(|h| &h.phase) {
            Some(Phase::Choosing {
                ballot: Some(ballot),
            }) => [Some(ballot.asked_at + CHOOSE_BUDGET), None],
            Some(Phase::Confirming {
                since, again_at, ..
            }) => [Some(*since + CONFIRM_BUDGET), Some(*again_at)],
            Some(Phase::Recovering { since, .. }) => [Some(*since + AGAIN_BUDGET), None],
            Some(
                Phase::Choosing { ballot: None } | Phase::Stopping { .. } | Phase::Resuming { .. },
            )
            | None => [None, None],
        };
        wakes.into_iter().flatten()
    }

    /// After a hand-over of mine: leave the key to the others for a while.
    pub fn abstains(&self, now: Now, cluster: &Cluster) -> Option<Decision> {
        let released = self.tenure.released_at?;
        // Somebody else has led since: what is free now is another's key, and I may be the one it is handed to.
        let mine = self.store.last_leader.as_ref();
        let mine = mine.is_none_or(|key| key.owner == self.settings.name);
        if now.mono.since(released) >= ABSTAIN || cluster.leader.is_some() || !mine {
            return None;
        }
        let candidate = cluster.failover.as_ref().and_then(|f| f.member.clone());
        Some(Decision::Wait(Waiting::HandoverTo { candidate }))
    }
}
