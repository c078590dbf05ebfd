//! What this member writes into the store besides the leader key: its member key, the leader's status, history
//! and configuration. Absolute values, so a repeat is safe; at most one write of a key is under way.
//! Decides nothing about PostgreSQL.

use crate::agent::{Agent, Output};
use crate::cluster::{Cluster, Initialize};
use crate::dcs::{DcsOutcome, DcsReply, DcsRequest, LeaseId, Precondition, Revision};
use crate::decision::ReleaseReason;
use crate::iso::iso_time;
use crate::keys::{self, HistoryKey, Status, member_key};
use crate::local::Server;
use crate::member::MemberData;
use crate::name::OpId;
use crate::note::Note;
use crate::own_member::{Compared, OwnMember};
use crate::postgres::SqlStatus;
use crate::store::Heard;
use crate::tenure::reason_of;
use crate::time::{Mono, Now, Span};
use crate::timeline::TimelineId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publishing {
    writes: BTreeMap<String, OpId>,
    /// The member key as last confirmed, and the lease it is bound to.
    member: Option<(MemberData, LeaseId)>,
    /// What the write under way would make it.
    member_next: Option<MemberData>,
    member_due: Mono,
    status: Option<String>,
    retry_at: BTreeMap<String, Mono>,
    /// The revision of my member key at which it was last seen bound to another lease than my session's.
    replaced: Option<Revision>,
    /// The last write of each key: a view older than it does not show it yet.
    written: BTreeMap<String, Heard>,
}

const RETRY_PAUSE: Span = Span::secs(1);

impl Publishing {
    pub fn next_due(&self, now: Mono) -> impl Iterator<Item = Mono> + '_ {
        let retries = self.retry_at.values().copied().filter(move |at| *at > now);
        retries.chain(std::iter::once(self.member_due))
    }
}

impl Agent {
    pub fn publish_duties(&mut self, now: Now, out: &mut Output) {
        self.publish_member(now, out);
        if !self.holds_key()
            || self.local.server() != Server::Primary
            || !self.authority().stands(now.mono)
        {
            return;
        }
        let Some(cluster) = self.store.cluster.clone() else {
            return;
        };
        self.publish_initialize(now, &cluster, out);
        if self.founding.is_none() {
            self.publish_config(now, &cluster, out);
        }
        self.publish_history(now, &cluster, out);
        self.clear_fulfilled_failover(now, &cluster, out);
    }

    /// `false`: not asked for now, since a write of this key is under way, not seen yet, or rests after a failure.
    pub fn write(
        &mut self,
        now: Now,
        key: &str,
        value: String,
        precondition: Precondition,
        out: &mut Output,
    ) -> bool {
        let waiting = self
            .publishing
            .retry_at
            .get(key)
            .is_some_and(|at| now.mono < *at);
        let unseen = self
            .publishing
            .written
            .get(key)
            .is_some_and(|write| !self.store.shows(*write));
        // The member key's text is compared with what was confirmed, not with what the view shows.
        let unseen = unseen && !key.starts_with(keys::MEMBERS);
        if waiting || unseen || self.publishing.writes.contains_key(key) {
            return false;
        }
        let with_session = key.starts_with(keys::MEMBERS);
        let request = DcsRequest::Put {
            key: key.into(),
            value,
            precondition,
            with_session,
        };
        let op = self.ask_store(
            request,
            now.mono + self.store.config.timing.retry_timeout,
            out,
        );
        self.publishing.writes.insert(key.into(), op);
        true
    }

    /// The end of a write of this file's. `false`: it is not one.
    pub fn write_answered(
        &mut self,
        now: Now,
        op: OpId,
        outcome: &DcsOutcome,
        out: &mut Output,
    ) -> bool {
        let found = self.publishing.writes.iter().find(|(_, mine)| **mine == op);
        let Some(key) = found.map(|(key, _)| key.clone()) else {
            return false;
        };
        let Some(_) = self.publishing.writes.remove(&key) else {
            return false;
        };
        let is_member = key.starts_with(keys::MEMBERS);
        match outcome {
            DcsOutcome::Ok(DcsReply::Written { revision }) => {
                let write = Heard {
                    revision: *revision,
                    at: now.mono,
                };
                self.publishing.written.insert(key.clone(), write);
                if is_member {
                    let lease = self.tenure.session.map_or(LeaseId::NONE, |s| s.lease);
                    self.publishing.member =
                        self.publishing.member_next.take().map(|data| (data, lease));
                }
                self.publishing.retry_at.remove(&key);
            }
            // Somebody else was faster: what the watch tells next decides.
            DcsOutcome::Conflict { .. } => {
                self.publishing.retry_at.insert(key, now.mono + RETRY_PAUSE);
            }
            DcsOutcome::SessionGone if is_member && !self.holds_key() => {
                self.tenure.session = None;
                self.tenure.due = now.mono;
                self.publishing
                    .retry_at
                    .insert(key, now.mono + Span::millis(200));
            }
            DcsOutcome::Ok(_)
            | DcsOutcome::SessionGone
            | DcsOutcome::Denied(_)
            | DcsOutcome::NotSent(_)
            | DcsOutcome::Unknown(_) => {
                let why = reason_of(outcome);
                out.notes.push(Note::StoreFailed {
                    what: format!("writing {key}"),
                    why,
                });
                self.publishing.retry_at.insert(key, now.mono + RETRY_PAUSE);
            }
        }
        true
    }

    /// My own confirmed write is bound to a lease that I do not know: the exchange that carried it found the
    /// session gone and was granted a new one. Writing again would be writing for ever; the session is asked for.
    pub fn note_session_replaced(&mut self, now: Now) {
        let (Some(session), Some((_, lease))) = (self.tenure.session, &self.publishing.member)
        else {
            return;
        };
        let key = member_key(&self.settings.name);
        let written = self.publishing.written.get(&key).map(|w| w.revision);
        let shown = self.store.value(&key).filter(|kv| {
            *lease == session.lease && kv.lease != session.lease && Some(kv.modified) == written
        });
        let replaced = shown.map(|kv| kv.modified);
        if replaced.is_some() && self.publishing.replaced != replaced {
            self.tenure.due = now.mono;
        }
        self.publishing.replaced = replaced;
    }

    fn publish_member(&mut self, now: Now, out: &mut Output) {
        let Some(session) = self.tenure.session else {
            return;
        };
        if self.local.observed.is_none() || self.store.cluster.is_none() {
            return;
        }
        if self.publishing.replaced.is_some() {
            return;
        }
        let key = member_key(&self.settings.name);
        let written = self.publishing.written.get(&key);
        let shown = written.is_none_or(|write| self.store.shows(*write));
        let gone = shown
            && self
                .store
                .value(&key)
                .is_none_or(|kv| kv.lease != session.lease);
        let confirmed = self.publishing.member.as_ref();
        let confirmed = confirmed.filter(|(_, lease)| *lease == session.lease);
        let own = self.own_member();
        let said = confirmed.map(|(written, _)| own.compared_with(written));
        let same = said == Some(Compared::Same);
        let alike = same || said == Some(Compared::Alike);
        let early = now.mono < self.publishing.member_due;
        // Positions move all the time: they go out once a loop. Anything else goes out at once; but for two agents under
        // one name, each of which would write at once over what the other has written.
        if !gone && (same || alike && early) {
            return;
        }
        let namesake = confirmed.and_then(|_| self.namesake());
        if namesake.is_some() && early {
            return;
        }
        let data = own.data();
        if let Some(api_url) = namesake {
            out.notes.push(Note::Namesake { api_url });
        }
        self.publishing.member_due = now.mono + self.store.config.timing.loop_wait;
        let text = data.to_text();
        if !self.is_writing(&key) {
            self.publishing.member_next = Some(data);
        }
        self.write(now, &key, text, Precondition::None, out);
    }

    /// Where another agent answers that has written my member key.
    fn namesake(&self) -> Option<String> {
        let written = self
            .store
            .cluster
            .as_ref()?
            .members
            .get(&self.settings.name)?;
        let mine = self.boot.instance == 0 || written.is_of(self.boot.instance);
        if mine { None } else { written.api_url.clone() }
    }

    fn own_member(&self) -> OwnMember<'_> {
        let status = self.local.answered();
        let leads = |s: &SqlStatus| self.holds_key() && !s.in_recovery && self.awaits_checkpoint();
        OwnMember {
            settings: &self.settings,
            state: self.state_word(),
            role: self.role_word(),
            paused: self.paused(),
            status,
            awaits_checkpoint: status.is_some_and(leads),
            copy: self.local.observed.as_ref().and_then(|o| o.copy.as_ref()),
            instance: self.boot.instance,
            accepts: self.copies.accepted(),
        }
    }

    /// The control file still names an older timeline than the server is on.
    pub fn awaits_checkpoint(&self) -> bool {
        match (self.local.control(), self.local.answered()) {
            (Some(control), Some(status)) => {
                !status.in_recovery && control.timeline < status.timeline
            }
            (None, _) | (_, None) => false,
        }
    }

    /// The `status` value to write with the next renewal; `None` when it would not change.
    pub fn status_to_publish(&self) -> Option<String> {
        let status = self.local.answered().filter(|s| !s.in_recovery)?;
        let mut next = self
            .store
            .cluster
            .as_ref()
            .and_then(|c| c.status.clone())
            .unwrap_or_default();
        next.optime = status.written.0;
        self.fill_slots(status, &mut next);
        let text = next.to_text();
        (self.publishing.status.as_ref() != Some(&text)).then_some(text)
    }

    pub fn status_published(&mut self, status: Option<String>) {
        if status.is_some() {
            self.publishing.status = status;
        }
    }

    /// The final `status`: the shutdown checkpoint, which a candidate must hold.
    pub fn final_status(&self, why: &ReleaseReason) -> Option<String> {
        let position = match why {
            ReleaseReason::Switchover { checkpoint, .. } => checkpoint.0,
            ReleaseReason::Shutdown => {
                self.local
                    .control()
                    .filter(|c| c.state.is_clean())?
                    .checkpoint
                    .0
            }
            ReleaseReason::DataDirectoryGone
            | ReleaseReason::DataUnusable { .. }
            | ReleaseReason::CannotStart { .. }
            | ReleaseReason::CannotPromote { .. }
            | ReleaseReason::BootstrapFailed
            | ReleaseReason::PausedWithoutPostgres
            | ReleaseReason::PausedStandby => return None,
        };
        let known = self
            .store
            .cluster
            .as_ref()
            .and_then(|c| c.status.clone())
            .unwrap_or_default();
        Some(
            Status {
                optime: position,
                ..known
            }
            .to_text(),
        )
    }

    fn publish_initialize(&mut self, now: Now, cluster: &Cluster, out: &mut Output) {
        let Some(system_id) = self.local.system_id().cloned() else {
            return;
        };
        let precondition = match &cluster.initialize {
            Initialize::Done(_) => return,
            Initialize::Absent => Precondition::Absent,
            Initialize::InProgress { version, .. }
                if self.founding_complete() || (self.founding.is_none() && !self.owes_roles()) =>
            {
                Precondition::Version(*version)
            }
            Initialize::InProgress { .. } => return,
            Initialize::Unreadable(version) => Precondition::Version(*version),
        };
        self.write(now, keys::INITIALIZE, system_id.0, precondition, out);
    }

    /// A configuration that vanished or was garbled is written back from the last good one.
    fn publish_config(&mut self, now: Now, cluster: &Cluster, out: &mut Output) {
        if cluster.config.is_some() {
            return;
        }
        let version = cluster.config_version;
        let precondition = Precondition::unchanged_since(version);
        let known = &self.store.config.stored;
        let first = self.settings.bootstrap.clone().unwrap_or_default();
        let value = if known.is_empty() {
            first
        } else {
            known.clone()
        };
        self.write(
            now,
            keys::CONFIG,
            Value::Object(value).to_string(),
            precondition,
            out,
        );
    }

    fn publish_history(&mut self, now: Now, cluster: &Cluster, out: &mut Output) {
        let (Some(branch), Some(_)) = (self.local.branch(), self.local.answered()) else {
            return;
        };
        if branch.forks.is_empty() && cluster.history_text.is_none() {
            return;
        }
        let marks = self.local.observed.iter().flat_map(|o| &o.promoted);
        let opened: Vec<TimelineId> = marks.map(|mark| mark.timeline).collect();
        let (me, rows_max) = (&self.settings.name, self.store.config.max_timelines_history);
        let told = cluster.history.as_ref();
        if told.is_some_and(|stored| stored.tells(&branch, &opened, me, rows_max)) {
            return;
        }
        let at = iso_time(now.wall);
        let unknown = HistoryKey::default();
        let next = told
            .unwrap_or(&unknown)
            .rebuilt(&branch, &opened, &at, me, rows_max);
        // One that is applied late must not overwrite what the next leader has recorded since.
        let seen = self.store.value(keys::HISTORY).map(|kv| kv.modified);
        let precondition = Precondition::unchanged_since(seen.unwrap_or_default());
        self.write(now, keys::HISTORY, next.to_text(), precondition, out);
    }

    /// The version of the history that I know of, my own last write included, which the view may not show yet.
    pub fn history_version(&self) -> Revision {
        let written = self.publishing.written.get(keys::HISTORY);
        match written.filter(|write| !self.store.shows(**write)) {
            Some(write) => write.revision,
            None => {
                let seen = self.store.value(keys::HISTORY).map(|kv| kv.modified);
                seen.unwrap_or_default()
            }
        }
    }

    /// A request that named me, or whose old leader is no longer me, is done once I lead.
    fn clear_fulfilled_failover(&mut self, now: Now, cluster: &Cluster, out: &mut Output) {
        let Some(request) = &cluster.failover else {
            return;
        };
        let me = &self.settings.name;
        if request.member.as_ref() == Some(me) || request.leader.as_ref().is_some_and(|l| l != me) {
            self.drop_failover(now, "fulfilled or not for this leader", out);
        }
    }

    /// Empties the failover key (the key stays, as Patroni leaves it).
    pub fn drop_failover(&mut self, now: Now, why: &str, out: &mut Output) {
        let Some(cluster) = &self.store.cluster else {
            return;
        };
        if cluster.failover.is_none() {
            return;
        }
        let version = cluster.failover_version;
        let condition = Precondition::Version(version);
        if self.write(now, keys::FAILOVER, "{}".into(), condition, out) {
            out.notes.push(Note::FailoverKeyDropped { why: why.into() });
        }
    }

    /// No write of mine to the key is under way, and the view is not older than the last one.
    pub fn view_shows_write(&self, key: &str) -> bool {
        let written = self.publishing.written.get(key);
        !self.is_writing(key) && written.is_none_or(|write| self.store.shows(*write))
    }

    pub fn is_writing(&self, key: &str) -> bool {
        self.publishing.writes.contains_key(key)
    }
}
