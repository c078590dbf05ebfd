//! Who may take the absent leader key: the gates that a member passes by itself, and the ballot in which it
//! asks the others who is ahead. A silent member is `silent`, never absent.
//! Decides only whether *this* member should try; the store's compare-and-set decides who wins.

use crate::agent::{Agent, Output};
use crate::cluster::{Cluster, Initialize};
use crate::decision::{AcquireReason, Decision, Waiting};
use crate::effect::EffectBody;
use crate::election_loss::ElectionLoss;
use crate::iso::parse_iso;
use crate::keys::{FailoverKey, HistoryKey};
use crate::local::{Server, position};
use crate::lsn::Lsn;
use crate::member::Tags;
use crate::name::{MemberName, OpId};
use crate::peer::{PeerAnswer, PeerRequest, PeerStatus};
use crate::postgres::SqlStatus;
use crate::store::Vacancy;
use crate::time::{Mono, Now, Span};
use crate::timeline::TimelineId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Peers answer within milliseconds. The former leader is not waited for longer than this: it is the one
/// most likely to be frozen.
const FIRST_STAGE: Span = Span::millis(150);
/// Any other member gets this long before it counts as silent.
const SECOND_STAGE: Span = Span::secs(1);
/// Answers older than this are not judged any more.
const BALLOT_AGE_MAX: Span = Span::secs(3);
/// Between two rounds while somebody else should win.
const ROUND_PAUSE: Span = Span::millis(500);
/// How long a candidate stands back while the old primary shows signs of life after its key vanished unreleased, and
/// how old the last WAL may be that counts as one: a receiver whose sender's host is gone believes in it for a minute.
const STAND_BACK: Span = Span::secs(2);
/// After a hand-over those who lack its end wait this long: the candidate has it, and so has the old leader, which
/// races again after a while.
pub const HAND_OVER_FIRST: Span = Span::secs(12);
/// How long a named candidate has the first go before others stop waiting for it.
const CANDIDATE_FIRST: Span = Span::secs(5);

/// A round of questions: when asked, whom, and what came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    pub asked_at: Mono,
    /// My own position as it was known then.
    pub mine: Lsn,
    pub asked: BTreeMap<OpId, MemberName>,
    pub answers: BTreeMap<MemberName, PeerAnswer>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Election {
    pub ballot: Option<Ballot>,
    /// No new round before this.
    pub not_before: Mono,
    pub last_loss: Option<ElectionLoss>,
    /// After a failed promotion of mine others go first.
    pub barred_until: Mono,
}

impl Election {
    /// This round is over without the key.
    pub fn lost_race(&mut self, now: Now) {
        self.ballot = None;
        self.last_loss = Some(ElectionLoss::Conflict);
        self.not_before = now.mono + Span::millis(200);
    }

    /// Is there a ballot that may be judged? One of an earlier vacancy tells of another race: its answers were true
    /// before the leader that has just gone wrote what only some members have.
    pub fn has_current_ballot(&self, now: Mono, vacant_since: Option<Mono>) -> bool {
        self.ballot.as_ref().is_some_and(|ballot| {
            vacant_since.is_none_or(|since| ballot.asked_at >= since)
                && now.since(ballot.asked_at) < BALLOT_AGE_MAX
        })
    }

    /// The questions of this ballot have all been answered, or waited for long enough. `looked_at`: since when
    /// my own position is known to be true.
    pub fn is_complete(
        &self,
        now: Mono,
        former: Option<&MemberName>,
        looked_at: Option<Mono>,
    ) -> bool {
        let Some(ballot) = &self.ballot else {
            return false;
        };
        // The others answer with what they have now; compared with an older look at myself, two members that
        // are level would each find the other one ahead.
        if looked_at.is_none_or(|at| at < ballot.asked_at) {
            return false;
        }
        let waited = now.since(ballot.asked_at);
        let open = |name: &&MemberName| !ballot.answers.contains_key(*name);
        let mut silent = ballot.asked.values().filter(open);
        silent.all(|name| {
            waited
                >= if Some(name) == former {
                    FIRST_STAGE
                } else {
                    SECOND_STAGE
                }
        })
    }

    pub fn deadlines(&self) -> impl Iterator<Item = Mono> + '_ {
        let stages = self
            .ballot
            .iter()
            .flat_map(|b| [b.asked_at + FIRST_STAGE, b.asked_at + SECOND_STAGE]);
        stages.chain([self.not_before, self.barred_until])
    }
}

/// Everything that the judgement rests on, so that it can be tested as a table.
pub struct Standing<'a> {
    pub me: &'a MemberName,
    pub mine: Lsn,
    pub timeline: TimelineId,
    pub tags: &'a Tags,
    pub former: Option<&'a MemberName>,
}

/// A request for now, or one whose time has come; one for later has no say yet.
pub fn is_due(request: &FailoverKey, now: Now) -> bool {
    match request.scheduled_at.as_deref().map(parse_iso) {
        None => true,
        Some(at) => at.is_some_and(|at| at <= now.wall),
    }
}

/// Judges a complete ballot: `Ok(answered, silent)` when nobody should go before me.
pub fn judge(
    standing: &Standing<'_>,
    answers: &BTreeMap<MemberName, PeerAnswer>,
    asked: usize,
) -> Result<(u32, u32), ElectionLoss> {
    let mut answered = 0;
    for (member, answer) in answers {
        let PeerAnswer::Status(status) = answer else {
            continue;
        };
        answered += 1;
        judge_one(standing, member, status)?;
    }
    Ok((answered, (asked as u32).saturating_sub(answered)))
}

fn judge_one(
    standing: &Standing<'_>,
    member: &MemberName,
    status: &PeerStatus,
) -> Result<(), ElectionLoss> {
    if !status.in_recovery && status.state == "running" {
        return Err(ElectionLoss::StillPrimary {
            member: member.clone(),
        });
    }
    // Whether it may lead or not: mine would get the same number, and two histories with one number can be told apart by
    // nobody.
    if let Some(theirs) = status.timeline.filter(|t| *t > standing.timeline)
        && status.state == "running"
    {
        return Err(ElectionLoss::NewerTimeline {
            member: member.clone(),
            theirs,
        });
    }
    // Otherwise who cannot take the key cannot stand in my way.
    if status.nofailover || status.watchdog_failed || status.state != "running" {
        return Ok(());
    }
    let behind = status.timeline.is_some_and(|t| t < standing.timeline);
    if !behind && status.position > standing.mine {
        return Err(ElectionLoss::Ahead {
            member: member.clone(),
            theirs: status.position,
            mine: standing.mine,
        });
    }
    let (theirs, mine) = (status.failover_priority, standing.tags.failover_priority);
    // A former leader with a higher priority may never race again: it does not hold the others up.
    let former = standing.former == Some(member);
    if !behind && !former && status.position == standing.mine && theirs > mine {
        return Err(ElectionLoss::Priority {
            member: member.clone(),
            theirs,
            mine,
        });
    }
    Ok(())
}

/// Somebody on a newer timeline holds commits, or a number, that mine would clash with.
fn nobody_has_moved_on(
    mine: TimelineId,
    answers: &BTreeMap<MemberName, PeerAnswer>,
) -> Result<(), ElectionLoss> {
    for (member, answer) in answers {
        let PeerAnswer::Status(status) = answer else {
            continue;
        };
        if let Some(theirs) = status.timeline.filter(|theirs| *theirs > mine) {
            let member = member.clone();
            return Err(ElectionLoss::NewerTimeline { member, theirs });
        }
    }
    Ok(())
}

impl Agent {
    /// The cluster has no leader key and my PostgreSQL runs: should I try to take it?
    pub fn decide_election(&self, now: Now, cluster: &Cluster) -> Decision {
        let lose = |loss| Decision::Wait(Waiting::Election(loss));
        if let Some(mode) = self.store.config.missing_modes.first() {
            return Decision::Wait(Waiting::ModeMissing { mode: *mode });
        }
        if self.tenure.call.is_some() && self.tenure.key != crate::leader_key::Key::NotHeld {
            return Decision::Wait(Waiting::KeyRequested);
        }
        let status = match self.stand_for_election(now, cluster) {
            Ok(status) => status,
            Err(loss) => return lose(loss),
        };
        // A decision of this weight rests on a reading through the quorum that is newer than the vacancy.
        let vacant_since = self.store.vacant.map(|(since, _)| since);
        if self.store.confirmed < vacant_since || self.store.confirmed.is_none() {
            return Decision::ReadBeforeRace;
        }
        if now.mono < self.election.not_before {
            return lose(
                self.election
                    .last_loss
                    .clone()
                    .unwrap_or(ElectionLoss::Conflict),
            );
        }
        if self.is_handed_the_key(now, cluster, status) {
            return Decision::Acquire {
                why: AcquireReason::Named,
            };
        }
        if !self.election.has_current_ballot(now.mono, vacant_since) {
            return Decision::Ballot;
        }
        let former = self
            .store
            .last_leader
            .as_ref()
            .map(|k| &k.owner)
            .filter(|n| **n != self.settings.name);
        if !self
            .election
            .is_complete(now.mono, former, self.local.looked_at)
        {
            return Decision::Wait(Waiting::ElectionPending);
        }
        match self.judge_ballot(now, cluster, status, former) {
            Ok(why) => Decision::Acquire { why },
            Err(loss) => lose(loss),
        }
    }

    /// The old leader gave the key up, its request names me, and I have the end of what it wrote. A release says that
    /// nothing of its server is left, and the acquisition is guarded by the version of the request: nobody need be
    /// asked. A request that another leader had prepared, or that names none, proves nothing of this.
    fn is_handed_the_key(&self, now: Now, cluster: &Cluster, status: &SqlStatus) -> bool {
        let released = matches!(self.store.vacant, Some((_, Vacancy::Released)));
        let former = self.store.last_leader.as_ref().map(|k| &k.owner);
        let request = cluster.failover.as_ref().filter(|r| is_due(r, now));
        let handed = request.is_some_and(|r| {
            let from_former = r.leader.is_some() && r.leader.as_ref() == former;
            from_former && r.member.as_ref() == Some(&self.settings.name)
        });
        // What was published is where the shutdown checkpoint begins.
        let known = cluster.status.as_ref().map(|s| s.position());
        let whole = known.is_some_and(|end| position(status) > end);
        let history = cluster.history.as_ref().map(|h| h.timeline());
        let newest = history.is_none_or(|t| status.timeline.max(status.received_timeline) >= t);
        released && handed && whole && newest
    }

    /// The gates that need no one else's word.
    fn stand_for_election(&self, now: Now, cluster: &Cluster) -> Result<&SqlStatus, ElectionLoss> {
        let tags = Tags::read(&self.settings.tags);
        let running = matches!(self.local.server(), Server::Standby | Server::Primary);
        let status = self
            .local
            .answered()
            .filter(|_| running)
            .ok_or(ElectionLoss::NotRunning)?;
        if tags.nofailover {
            return Err(ElectionLoss::NoFailoverTag);
        }
        match (&cluster.initialize, self.local.system_id()) {
            (Initialize::Done(_), None) => return Err(ElectionLoss::SystemIdUnknown),
            (
                Initialize::Done(_)
                | Initialize::Absent
                | Initialize::InProgress { .. }
                | Initialize::Unreadable(_),
                _,
            ) => {}
        }
        if now.mono < self.election.barred_until {
            return Err(ElectionLoss::Conflict);
        }
        if status.replay_paused {
            return Err(ElectionLoss::ReplayPaused);
        }
        self.stand_back(now, status)?;
        self.check_lineage(cluster, status)?;
        Ok(status)
    }

    /// The key vanished without a release while its owner's server still feeds me: bounded patience.
    fn stand_back(&self, now: Now, status: &SqlStatus) -> Result<(), ElectionLoss> {
        let Some((since, why)) = self.store.vacant else {
            return Ok(());
        };
        let Some(former) = &self.store.last_leader else {
            return Ok(());
        };
        let moved = |at: Mono| now.mono.since(at) < STAND_BACK;
        let feeds = status.streaming && self.local.moved_at.is_some_and(moved);
        let alive = feeds || why == Vacancy::Deleted;
        let patient = now.mono.since(since) < STAND_BACK;
        if why != Vacancy::Released && alive && patient && former.owner != self.settings.name {
            return Err(ElectionLoss::StillStreaming {
                from: former.owner.clone(),
            });
        }
        Ok(())
    }

    /// My WAL must be a prefix of the recorded history.
    fn check_lineage(&self, cluster: &Cluster, status: &SqlStatus) -> Result<(), ElectionLoss> {
        let Some(history) = &cluster.history else {
            return Ok(());
        };
        let (mine, timeline) = (position(status), status.timeline);
        if let Some(fork) = history.end_of(timeline).filter(|fork| mine > *fork) {
            return Err(ElectionLoss::PastFork {
                timeline,
                fork,
                mine,
            });
        }
        if self.store.config.check_timeline
            && let Some(loss) = self.other_fork(history)
        {
            return Err(loss);
        }
        if let Some(opener) = self.number_of_another(timeline) {
            return Err(ElectionLoss::NumberOfAnother { timeline, opener });
        }
        // Its own timeline would get a number that has been given away already, and two histories with one number can
        // be told apart by nobody, least of all an archive. An operator who wants it all the same has check_timeline.
        let behind = timeline < history.timeline();
        if behind && (self.store.config.check_timeline || !status.in_recovery) {
            return Err(ElectionLoss::BehindClusterTimeline {
                mine: Some(timeline),
                cluster: history.timeline(),
            });
        }
        Ok(())
    }

    /// The number of a timeline says nothing of its line: where one that somebody opened past the cluster was left out, the
    /// cluster's own is greater than the record can tell.
    fn other_fork(&self, history: &HistoryKey) -> Option<ElectionLoss> {
        let branch = self.local.branch()?;
        history.rows.iter().find_map(|row| {
            let mine = branch.end_of(row.timeline)?;
            (mine != row.end).then_some(ElectionLoss::OtherFork {
                timeline: row.timeline,
                mine,
                cluster: row.end,
            })
        })
    }

    fn judge_ballot(
        &self,
        now: Now,
        cluster: &Cluster,
        status: &SqlStatus,
        former: Option<&MemberName>,
    ) -> Result<AcquireReason, ElectionLoss> {
        let Some(ballot) = &self.election.ballot else {
            return Err(ElectionLoss::Conflict);
        };
        let me = &self.settings.name;
        let tags = Tags::read(&self.settings.tags);
        let standing = Standing {
            me,
            mine: position(status),
            timeline: status.timeline,
            tags: &tags,
            former,
        };
        if let Some(request) = cluster.failover.as_ref().filter(|r| is_due(r, now)) {
            // Prepared by another than the leader that is gone, it is history and gives nobody a precedence.
            let stale = request.leader.is_some() && request.leader.as_ref() != former;
            if request.member.as_ref() == Some(me) && !stale {
                self.nobody_is_primary(ballot)?;
                // What a switchover was prepared with may be history by now; an operator who forces one knows.
                if request.leader.is_some() {
                    nobody_has_moved_on(standing.timeline, &ballot.answers)?;
                    self.check_hand_over(now, cluster, status)?;
                    // Its leader went without handing over.
                    self.check_lag(cluster, status)?;
                }
                return Ok(AcquireReason::Named);
            }
            let patient = self
                .store
                .vacant
                .is_some_and(|(since, _)| now.mono.since(since) < CANDIDATE_FIRST);
            if let Some(candidate) = request.member.as_ref().filter(|_| patient)
                && self.is_fit(ballot.answers.get(candidate))
            {
                return Err(ElectionLoss::CandidateNamed {
                    candidate: candidate.clone(),
                });
            }
            if request.leader.as_ref() == Some(me) && patient && self.anybody_fit(ballot) {
                return Err(ElectionLoss::SwitchoverFromMe);
            }
        }
        self.check_hand_over(now, cluster, status)?;
        self.check_lag(cluster, status)?;
        let (answered, silent) = judge(&standing, &ballot.answers, ballot.asked.len())?;
        Ok(AcquireReason::Healthiest {
            position: standing.mine,
            answered,
            silent,
        })
    }

    /// A leader that gave the key up in order has published where its WAL ends. A switchover, or the agent's stop, loses
    /// nothing only if somebody wins who has it: a member that cannot reach the others must not be faster.
    fn check_hand_over(
        &self,
        now: Now,
        cluster: &Cluster,
        status: &SqlStatus,
    ) -> Result<(), ElectionLoss> {
        let (Some((since, vacancy)), Some(known)) = (self.store.vacant, &cluster.status) else {
            return Ok(());
        };
        let former = self.store.last_leader.as_ref().map(|k| &k.owner);
        let request = cluster.failover.as_ref().filter(|r| is_due(r, now));
        // Not by the one that is gone now: the candidate took the key and lost it before it had promoted. Who handed over
        // to it has everything.
        let planned = request.filter(|r| r.leader.is_some());
        let handed_over = planned.is_some_and(|r| r.leader.as_ref() == former);
        let broken_off = planned.is_some() && !handed_over;
        if vacancy != Vacancy::Released && !broken_off {
            return Ok(());
        }
        let patient = now.mono.since(since) < HAND_OVER_FIRST;
        let mine = position(status);
        // A hand-over publishes where the shutdown checkpoint begins, which its candidate has shown to have. After any
        // other release the end of what clients wrote has to do.
        let lacks = mine < known.position() || (handed_over && mine == known.position());
        if patient && lacks {
            let bytes = known.position().bytes_ahead_of(position(status));
            return Err(ElectionLoss::Lag { bytes, allowed: 0 });
        }
        Ok(())
    }

    fn check_lag(&self, cluster: &Cluster, status: &SqlStatus) -> Result<(), ElectionLoss> {
        let Some(known) = &cluster.status else {
            return Ok(());
        };
        let bytes = known.position().bytes_ahead_of(position(status));
        let allowed = self.store.config.maximum_lag_on_failover;
        if bytes > allowed {
            Err(ElectionLoss::Lag { bytes, allowed })
        } else {
            Ok(())
        }
    }

    fn nobody_is_primary(&self, ballot: &Ballot) -> Result<(), ElectionLoss> {
        for (member, answer) in &ballot.answers {
            if let PeerAnswer::Status(s) = answer
                && !s.in_recovery
                && s.state == "running"
            {
                return Err(ElectionLoss::StillPrimary {
                    member: member.clone(),
                });
            }
        }
        Ok(())
    }

    /// Could this member take the key now?
    pub fn is_fit(&self, answer: Option<&PeerAnswer>) -> bool {
        match answer {
            Some(PeerAnswer::Status(s)) => {
                let may = !s.nofailover && !s.watchdog_failed && !s.replay_paused;
                s.in_recovery && s.state == "running" && may
            }
            Some(PeerAnswer::Refused | PeerAnswer::TimedOut | PeerAnswer::Garbled(_)) | None => {
                false
            }
        }
    }

    fn anybody_fit(&self, ballot: &Ballot) -> bool {
        ballot
            .answers
            .values()
            .any(|answer| self.is_fit(Some(answer)))
    }

    /// Asks every other member that has an address, and looks at myself anew.
    pub fn hold_ballot(&mut self, now: Now, out: &mut Output) -> Ballot {
        self.local.probe_due = now.mono;
        let Some(cluster) = self.store.cluster.clone() else {
            return Ballot::default();
        };
        let mut ballot = Ballot {
            asked_at: now.mono,
            mine: self.local.last_position,
            ..Ballot::default()
        };
        let me = self.settings.name.clone();
        for (member, data) in cluster.others(&me) {
            let Some(api_url) = data.api_url.clone() else {
                continue;
            };
            let request = PeerRequest {
                member: member.clone(),
                api_url,
            };
            let body = EffectBody::Peer {
                request,
                until: now.mono + SECOND_STAGE,
            };
            let op = self.emit(body, out);
            ballot.asked.insert(op, member.clone());
        }
        ballot
    }

    /// A round that was lost is over; the next one starts after a pause, or at once when the store changes.
    pub fn settle_ballot(&mut self, now: Now, decision: &Decision) {
        let Decision::Wait(Waiting::Election(loss)) = decision else {
            return;
        };
        let former = self.store.last_leader.as_ref().map(|k| k.owner.clone());
        if self
            .election
            .is_complete(now.mono, former.as_ref(), self.local.looked_at)
        {
            self.election.ballot = None;
            self.election.not_before = now.mono + ROUND_PAUSE;
            self.election.last_loss = Some(loss.clone());
            self.local.probe_due = now.mono;
            // The next round starts from a new reading: the key may have an owner that the watch did not tell of.
            self.store.confirmed = None;
        }
    }

    pub fn election_wakes(&self) -> impl Iterator<Item = Mono> + '_ {
        let stand_back = self.store.vacant.map(|(since, _)| since + STAND_BACK);
        let candidate = self.store.vacant.map(|(since, _)| since + CANDIDATE_FIRST);
        let handed_over = self.store.vacant.map(|(since, _)| since + HAND_OVER_FIRST);
        self.election
            .deadlines()
            .chain(stand_back)
            .chain(candidate)
            .chain(handed_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(position: u64, timeline: u32, priority: i64) -> PeerAnswer {
        PeerAnswer::Status(PeerStatus {
            state: "running".into(),
            role: "replica".into(),
            in_recovery: true,
            timeline: Some(TimelineId(timeline)),
            position: Lsn(position),
            nofailover: priority <= 0,
            failover_priority: priority,
            watchdog_failed: false,
            streaming: false,
            replay_paused: false,
            sees_leader: false,
        })
    }

    fn check(answers: &[(&str, PeerAnswer)]) -> Result<(u32, u32), ElectionLoss> {
        let tags = Tags {
            failover_priority: 1,
            ..Tags::default()
        };
        let (me, former) = (MemberName::from("b"), MemberName::from("a"));
        let standing = Standing {
            me: &me,
            mine: Lsn(100),
            timeline: TimelineId(2),
            tags: &tags,
            former: Some(&former),
        };
        let answers: BTreeMap<_, _> = answers
            .iter()
            .map(|(n, a)| (MemberName::from(*n), a.clone()))
            .collect();
        judge(&standing, &answers, answers.len())
    }

    #[test]
    fn the_furthest_on_the_newest_timeline_goes_first() {
        assert_eq!(check(&[("c", peer(100, 2, 1))]), Ok((1, 0)));
        assert!(matches!(
            check(&[("c", peer(101, 2, 1))]),
            Err(ElectionLoss::Ahead { .. })
        ));
        assert_eq!(
            check(&[("c", peer(900, 1, 1))]),
            Ok((1, 0)),
            "a higher LSN on an older timeline is not ahead"
        );
        assert!(matches!(
            check(&[("c", peer(1, 3, 1))]),
            Err(ElectionLoss::NewerTimeline { .. })
        ));
    }

    #[test]
    fn who_cannot_take_the_key_holds_nobody_up() {
        assert_eq!(check(&[("c", peer(900, 2, 0))]), Ok((1, 0)));
        assert!(
            matches!(
                check(&[("c", peer(900, 3, 0))]),
                Err(ElectionLoss::NewerTimeline { .. })
            ),
            "its timeline's number is taken"
        );
        assert_eq!(
            check(&[("c", PeerAnswer::TimedOut), ("d", PeerAnswer::Refused)]),
            Ok((0, 2))
        );
    }

    #[test]
    fn priority_decides_between_equals_but_not_for_the_former_leader() {
        assert!(matches!(
            check(&[("c", peer(100, 2, 9))]),
            Err(ElectionLoss::Priority { .. })
        ));
        assert_eq!(check(&[("a", peer(100, 2, 9))]), Ok((1, 0)));
    }

    #[test]
    fn a_running_primary_stops_the_race() {
        let mut primary = peer(0, 2, 1);
        if let PeerAnswer::Status(s) = &mut primary {
            s.in_recovery = false;
        }
        assert!(matches!(
            check(&[("a", primary)]),
            Err(ElectionLoss::StillPrimary { .. })
        ));
    }
}
