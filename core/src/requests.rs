//! Operators' requests: which gate refuses, what is written, and how each one ends. Every request has an id
//! and ends in exactly one answer. Texts are Patroni's where its tools read them.

use crate::agent::{Agent, Output};
use crate::cluster::Cluster;
use crate::config;
use crate::dcs::{DcsOutcome, DcsReply, DcsRequest, Precondition, Revision};
use crate::effect::EffectBody;
use crate::iso::{iso_time, parse_iso};
use crate::keys::{self, FailoverKey};
use crate::local::Server;
use crate::name::{MemberName, OpId, RequestId};
use crate::note::Note;
use crate::operator::{Answer, OperatorInput, OperatorRequest, Refusal};
use crate::postgres::Ended;
use crate::tenure::reason_of;
use crate::time::{Mono, Now, Span, Wall};
use crate::view::RequestView;
use crate::wording::{Asked, describe, late_text, outcome_of_handover, told};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Requests remembered with their answers, for who asks later.
const REMEMBERED: usize = 50;
/// A request that nothing has ended is answered after this; Patroni polls for 2 x max(10 s, loop_wait).
const SHORTEST_WAIT: Span = Span::secs(10);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Handover {
        asked: Asked,
        from: MemberName,
        candidate: Option<MemberName>,
        scheduled: bool,
    },
    CancelSwitchover,
    Restart {
        stopped: bool,
    },
    WriteConfig {
        answer: String,
    },
    Answered,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    kind: Kind,
    what: String,
    phase: String,
    since: Mono,
    until: Mono,
    write: Option<OpId>,
    /// The revision of the write: a reading older than it says nothing about the outcome.
    written: Revision,
    answer: Option<Answer>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    open: BTreeMap<RequestId, Open>,
}

impl Requests {
    pub fn wakes(&self) -> impl Iterator<Item = Mono> + '_ {
        self.open
            .values()
            .filter(|o| o.answer.is_none())
            .map(|o| o.until)
    }

    pub fn restart_wanted(&self) -> bool {
        self.open
            .values()
            .any(|o| matches!(o.kind, Kind::Restart { stopped: false }) && o.answer.is_none())
    }

    /// PostgreSQL is down because a restart was asked for.
    pub fn restart_under_way(&self) -> bool {
        self.open
            .values()
            .any(|o| matches!(o.kind, Kind::Restart { stopped: true }) && o.answer.is_none())
    }

    /// A stop has ended: the restarts that were asked for go on with the start.
    pub fn restart_stopped_after(&mut self, ended: &Ended) {
        if !matches!(ended, Ended::Done) {
            return;
        }
        for open in self.open.values_mut().filter(|o| o.answer.is_none()) {
            if let Kind::Restart { stopped } = &mut open.kind {
                *stopped = true;
            }
        }
    }

    pub fn views(&self) -> BTreeMap<RequestId, RequestView> {
        let view = |o: &Open| RequestView {
            what: o.what.clone(),
            phase: o.phase.clone(),
            since: o.since,
            answer: o.answer.clone(),
        };
        self.open
            .iter()
            .map(|(id, o)| (id.clone(), view(o)))
            .collect()
    }
}

type Gate = Result<(), (Refusal, String)>;

fn refuse(code: Refusal, why: impl Into<String>) -> Gate {
    Err((code, why.into()))
}

impl Agent {
    pub fn operator_asked(&mut self, now: Now, input: OperatorInput, out: &mut Output) {
        let OperatorInput { id, request } = input;
        let what = describe(&request);
        out.notes.push(Note::RequestTaken {
            request: id.clone(),
            what: what.clone(),
        });
        let wait = SHORTEST_WAIT
            .max(self.store.config.timing.loop_wait)
            .times(2);
        let open = Open {
            kind: Kind::Answered,
            what,
            phase: "checking".into(),
            since: now.mono,
            until: now.mono + wait,
            write: None,
            written: Revision(0),
            answer: None,
        };
        self.requests.open.insert(id.clone(), open);
        self.forget_old_requests();
        if let Err((code, why)) = self.take_request(now, &id, request, out) {
            self.answer(&id, Answer::Refused { code, why }, out);
        }
    }

    fn forget_old_requests(&mut self) {
        while self.requests.open.len() > REMEMBERED {
            let oldest = self
                .requests
                .open
                .iter()
                .filter(|(_, o)| o.answer.is_some())
                .min_by_key(|(_, o)| o.since);
            let Some(id) = oldest.map(|(id, _)| id.clone()) else {
                return;
            };
            self.requests.open.remove(&id);
        }
    }

    fn take_request(
        &mut self,
        now: Now,
        id: &RequestId,
        request: OperatorRequest,
        out: &mut Output,
    ) -> Gate {
        match request {
            OperatorRequest::Switchover {
                leader,
                candidate,
                at,
            } => self.switchover(now, id, leader, candidate, at, out),
            OperatorRequest::Failover { candidate } => self.failover(now, id, candidate, out),
            OperatorRequest::CancelSwitchover => self.cancel_switchover(now, id, out),
            OperatorRequest::Restart => self.restart(id),
            OperatorRequest::Reinitialize { force } => self.reinitialize(id, force, out),
            OperatorRequest::PatchConfig { patch } => self.patch_config(now, id, &patch, out),
            OperatorRequest::PutConfig { config } => self.put_config(now, id, &config, out),
        }
    }

    fn known_cluster(&self) -> Result<Arc<Cluster>, (Refusal, String)> {
        self.store
            .cluster
            .clone()
            .ok_or((Refusal::Unavailable, "the DCS has not answered yet".into()))
    }

    fn switchover(
        &mut self,
        now: Now,
        id: &RequestId,
        leader: MemberName,
        candidate: Option<MemberName>,
        at: Option<Wall>,
        out: &mut Output,
    ) -> Gate {
        let cluster = self.known_cluster()?;
        if candidate.as_ref() == Some(&leader) {
            return refuse(
                Refusal::BadRequest,
                "Switchover target and source are the same",
            );
        }
        if self.paused() && at.is_some() {
            return refuse(
                Refusal::BadRequest,
                "Can't schedule switchover in the paused state",
            );
        }
        if self.paused() && candidate.is_none() {
            return refuse(
                Refusal::BadRequest,
                "Switchover is possible only to a specific candidate in a paused state",
            );
        }
        if at.is_some_and(|at| at <= now.wall) {
            return refuse(
                Refusal::Unprocessable,
                "Cannot schedule switchover in the past",
            );
        }
        if at.is_none() {
            self.check_switchover(&cluster, &leader, candidate.as_ref())?;
        }
        let key = FailoverKey {
            leader: Some(leader.clone()),
            member: candidate.clone(),
            scheduled_at: at.map(iso_time),
            ..FailoverKey::default()
        };
        let kind = Kind::Handover {
            asked: Asked::Switchover,
            from: leader,
            candidate,
            scheduled: at.is_some(),
        };
        self.write_failover(now, id, key, kind, cluster.failover_version, out)
    }

    fn check_switchover(
        &self,
        cluster: &Cluster,
        leader: &MemberName,
        candidate: Option<&MemberName>,
    ) -> Gate {
        match &cluster.leader {
            None => return refuse(Refusal::PreconditionFailed, "cluster has no leader"),
            Some(key) if key.owner != *leader => {
                return refuse(Refusal::PreconditionFailed, "leader name does not match");
            }
            Some(_) => {}
        }
        let other_members = cluster
            .members
            .keys()
            .filter(|name| *name != leader)
            .count();
        match candidate {
            Some(name) => self.check_candidate(cluster, name),
            None if other_members == 0 => refuse(
                Refusal::PreconditionFailed,
                "switchover is not possible: cluster does not have members except leader",
            ),
            None => Ok(()),
        }
    }

    fn check_candidate(&self, cluster: &Cluster, candidate: &MemberName) -> Gate {
        match cluster.members.get(candidate) {
            None => refuse(Refusal::PreconditionFailed, "candidate does not exists"),
            Some(member) if member.read_tags().nofailover => refuse(
                Refusal::PreconditionFailed,
                format!("{candidate} is tagged nofailover: no good candidates have been found"),
            ),
            Some(_) => Ok(()),
        }
    }

    fn failover(
        &mut self,
        now: Now,
        id: &RequestId,
        candidate: MemberName,
        out: &mut Output,
    ) -> Gate {
        let cluster = self.known_cluster()?;
        self.check_candidate(&cluster, &candidate)?;
        let leader = cluster.leader.as_ref().map(|k| k.owner.clone());
        if leader.as_ref() == Some(&candidate) {
            return refuse(Refusal::BadRequest, "failover target is the leader already");
        }
        let key = FailoverKey {
            member: Some(candidate.clone()),
            ..FailoverKey::default()
        };
        let from = leader.unwrap_or_default();
        let kind = Kind::Handover {
            asked: Asked::Failover,
            from,
            candidate: Some(candidate),
            scheduled: false,
        };
        self.write_failover(now, id, key, kind, cluster.failover_version, out)
    }

    fn write_failover(
        &mut self,
        now: Now,
        id: &RequestId,
        key: FailoverKey,
        kind: Kind,
        version: Revision,
        out: &mut Output,
    ) -> Gate {
        if self.handover.is_some() {
            return refuse(Refusal::Conflict, "a switchover is already in progress");
        }
        self.write_for(now, id, (keys::FAILOVER, key.to_text(), version), kind, out);
        Ok(())
    }

    fn write_for(
        &mut self,
        now: Now,
        id: &RequestId,
        write: (&str, String, Revision),
        kind: Kind,
        out: &mut Output,
    ) {
        let (key, value, version) = write;
        let precondition = Precondition::unchanged_since(version);
        let request = DcsRequest::Put {
            key: key.into(),
            value,
            precondition,
            with_session: false,
        };
        let op = self.ask_store(
            request,
            now.mono + self.store.config.timing.retry_timeout,
            out,
        );
        if let Some(open) = self.requests.open.get_mut(id) {
            open.kind = kind;
            open.write = Some(op);
            open.phase = "writing the request".into();
        }
    }

    fn cancel_switchover(&mut self, now: Now, id: &RequestId, out: &mut Output) -> Gate {
        let cluster = self.known_cluster()?;
        if cluster
            .failover
            .as_ref()
            .is_none_or(|f| f.scheduled_at.is_none())
        {
            return refuse(Refusal::NotFound, "no switchover is scheduled");
        }
        let kind = Kind::CancelSwitchover;
        self.write_for(
            now,
            id,
            (keys::FAILOVER, "{}".into(), cluster.failover_version),
            kind,
            out,
        );
        Ok(())
    }

    fn restart(&mut self, id: &RequestId) -> Gate {
        if let Some(running) = &self.lane.current {
            return refuse(
                Refusal::Unavailable,
                format!("{} already in progress", running.operation.verb()),
            );
        }
        if !matches!(self.local.server(), Server::Primary | Server::Standby) {
            return refuse(Refusal::Unavailable, "postgres is not running");
        }
        if let Some(open) = self.requests.open.get_mut(id) {
            open.kind = Kind::Restart { stopped: false };
            open.phase = "restarting".into();
            // The stop takes its time, too, and 0 means that a crash is not waited for, not an operator's restart.
            let start = self.store.config.primary_start_timeout;
            open.until = open.since + start.max(SHORTEST_WAIT.times(2));
        }
        self.rejoin.by_command = true;
        Ok(())
    }

    fn reinitialize(&mut self, id: &RequestId, force: bool, out: &mut Output) -> Gate {
        let cluster = self.known_cluster()?;
        let Some(leader) = &cluster.leader else {
            return refuse(
                Refusal::Unavailable,
                "Cluster has no leader, can not reinitialize",
            );
        };
        if leader.owner == self.settings.name {
            return refuse(
                Refusal::Unavailable,
                "I am the leader, can not reinitialize",
            );
        }
        if let Some(running) = self.lane.current.as_ref().filter(|_| !force) {
            return refuse(
                Refusal::Unavailable,
                format!("{} already in progress", running.operation.verb()),
            );
        }
        self.rejoin.reinit = true;
        self.rejoin.by_command = true;
        self.lane.forget_failures();
        self.answer(id, Answer::Accepted("reinitialize started".into()), out);
        Ok(())
    }

    fn patch_config(&mut self, now: Now, id: &RequestId, patch: &str, out: &mut Output) -> Gate {
        let cluster = self.known_cluster()?;
        let changes = object(patch)?;
        // One that vanished or was garbled is still in force here, and is written anew with the change.
        let known =
            (!self.store.config.stored.is_empty()).then(|| self.store.config.stored.clone());
        let Some(mut stored) = cluster.config.clone().or(known) else {
            return refuse(
                Refusal::Unavailable,
                "the cluster has no readable configuration",
            );
        };
        config::patch(&mut stored, &changes);
        self.write_config(now, id, &cluster, stored, out)
    }

    fn put_config(&mut self, now: Now, id: &RequestId, text: &str, out: &mut Output) -> Gate {
        let cluster = self.known_cluster()?;
        let stored = object(text)?;
        self.write_config(now, id, &cluster, stored, out)
    }

    fn write_config(
        &mut self,
        now: Now,
        id: &RequestId,
        cluster: &Cluster,
        stored: Map<String, Value>,
        out: &mut Output,
    ) -> Gate {
        let known = &self.store.config.missing_modes;
        let mut asked = config::missing_modes(&stored).into_iter();
        let new = asked.find(|mode| !known.contains(mode));
        // Written, it would end the leader's tenure, and nobody could begin one.
        if let Some(mode) = new.filter(|_| cluster.members.values().all(|m| m.is_tanist())) {
            return refuse(
                Refusal::Unprocessable,
                format!(
                    "{mode}: this build does not have it, and no other member is there that could lead with it"
                ),
            );
        }
        let before = config::senseless(&self.store.config.stored);
        let mut senseless = config::senseless(&stored).into_iter();
        // Each member would go by something else: the default, or what it knew before.
        if let Some(what) = senseless.find(|what| !before.contains(what)) {
            return refuse(
                Refusal::Unprocessable,
                format!("{what}; nothing was changed"),
            );
        }
        let text = Value::Object(stored).to_string();
        let kind = Kind::WriteConfig {
            answer: text.clone(),
        };
        let version = cluster.config_version;
        self.write_for(now, id, (keys::CONFIG, text, version), kind, out);
        Ok(())
    }

    /// The end of a write of this file's. `false`: it is not one.
    pub fn request_written(&mut self, op: OpId, outcome: &DcsOutcome, out: &mut Output) -> bool {
        let found = self
            .requests
            .open
            .iter_mut()
            .find(|(_, o)| o.write == Some(op));
        let Some((id, open)) = found else {
            return false;
        };
        open.write = None;
        if let DcsOutcome::Ok(DcsReply::Written { revision }) = outcome {
            open.written = *revision;
        }
        let id = id.clone();
        let answer = match (outcome, &open.kind) {
            (
                DcsOutcome::Ok(_),
                Kind::Handover {
                    scheduled: true, ..
                },
            ) => Some(Answer::Accepted("Switchover scheduled".into())),
            (
                DcsOutcome::Ok(_),
                Kind::Handover {
                    scheduled: false, ..
                },
            ) => {
                open.phase = "waiting for the new leader".into();
                None
            }
            (DcsOutcome::Ok(_), Kind::WriteConfig { answer }) => Some(Answer::Done(answer.clone())),
            (DcsOutcome::Ok(_), Kind::CancelSwitchover) => {
                Some(Answer::Done("scheduled switchover deleted".into()))
            }
            (DcsOutcome::Ok(_), Kind::Restart { .. } | Kind::Answered) => None,
            (DcsOutcome::Conflict { .. }, _) => Some(Answer::Refused {
                code: Refusal::Conflict,
                why: "somebody else changed it in the meantime".into(),
            }),
            // It may have been written, and then it is acted on: to say "refused" would be a guess.
            (DcsOutcome::Unknown(_), _) => Some(Answer::StillRunning(format!(
                "no verdict from the DCS, the request may still be carried out: {}",
                reason_of(outcome)
            ))),
            (DcsOutcome::SessionGone | DcsOutcome::Denied(_) | DcsOutcome::NotSent(_), _) => {
                Some(Answer::Refused {
                    code: Refusal::Unavailable,
                    why: format!("the DCS did not take it: {}", reason_of(outcome)),
                })
            }
        };
        if let Some(answer) = answer {
            self.answer(&id, answer, out);
        }
        true
    }

    /// Looks whether open requests have come to their end.
    pub fn request_duties(&mut self, now: Now, out: &mut Output) {
        if self.requests.open.is_empty() {
            return;
        }
        let Some(cluster) = self.store.cluster.clone() else {
            return;
        };
        let open: Vec<RequestId> = self
            .requests
            .open
            .iter()
            .filter(|(_, o)| o.answer.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in open {
            let Some(request) = self.requests.open.get(&id) else {
                continue;
            };
            let over = now.mono >= request.until;
            let waiting = request.write.is_some() || self.store.revision() < request.written;
            let answer = match &request.kind {
                Kind::Handover { .. } if waiting => None,
                Kind::Handover {
                    asked,
                    from,
                    candidate,
                    ..
                } => outcome_of_handover(&cluster, *asked, from, candidate.as_ref()),
                Kind::Restart { stopped: true } => self.restart_outcome(),
                Kind::Restart { stopped: false }
                | Kind::CancelSwitchover
                | Kind::WriteConfig { .. }
                | Kind::Answered => None,
            };
            let late = || Answer::StillRunning(late_text(&self.requests.open[&id].kind));
            if let Some(answer) = answer.or_else(|| over.then(late)) {
                self.answer(&id, answer, out);
            }
        }
    }

    fn restart_outcome(&self) -> Option<Answer> {
        let up = matches!(self.local.server(), Server::Primary | Server::Standby)
            && self.local.is_answering();
        (up && self.lane.is_free()).then(|| Answer::Done("restarted successfully".into()))
    }

    fn answer(&mut self, id: &RequestId, answer: Answer, out: &mut Output) {
        let Some(open) = self.requests.open.get_mut(id) else {
            return;
        };
        if open.answer.is_some() {
            return;
        }
        open.answer = Some(answer.clone());
        open.phase = "ended".into();
        out.notes.push(Note::RequestEnded {
            request: id.clone(),
            how: told(&answer),
        });
        self.emit(
            EffectBody::Reply {
                request: id.clone(),
                answer,
            },
            out,
        );
    }

    /// A scheduled request: is its time here? One that is long past, or cannot be read, is dropped.
    pub fn schedule_is_due(&mut self, now: Now, request: &FailoverKey, out: &mut Output) -> bool {
        let Some(at) = request.scheduled_at.as_deref().and_then(parse_iso) else {
            self.drop_failover(now, "its time cannot be read", out);
            return false;
        };
        if self.paused() || at > now.wall {
            return false;
        }
        let stale =
            now.wall.ahead_of(at) > self.store.config.timing.loop_wait.times(3).divided_by(2);
        if stale {
            self.drop_failover(now, "its time is long past", out);
        }
        !stale
    }

    /// The instant at which a scheduled request is due, on the monotonic clock.
    pub fn schedule_wake(&self, now: Now) -> Option<Mono> {
        let at = self
            .store
            .cluster
            .as_ref()?
            .failover
            .as_ref()?
            .scheduled_at
            .as_deref()
            .and_then(parse_iso)?;
        Some(now.mono + at.ahead_of(now.wall))
    }
}

fn object(text: &str) -> Result<Map<String, Value>, (Refusal, String)> {
    match serde_json::from_str(text) {
        Ok(Value::Object(m)) => Ok(m),
        Ok(other) => Err((
            Refusal::BadRequest,
            format!("expected a JSON object, found {other}"),
        )),
        Err(e) => Err((Refusal::BadRequest, format!("not valid JSON: {e}"))),
    }
}
