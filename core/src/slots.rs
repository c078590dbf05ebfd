//! Physical replication slots of the members: there before a standby needs one, kept for a while after it
//! vanished, never dropped while in use, never moved beyond what this member has replayed.

use crate::agent::{Agent, Output};
use crate::keys::Status;
use crate::local::Server;
use crate::member::Tags;
use crate::postgres::{SideTask, SqlStatus};
use crate::time::{Mono, Now};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// When each slot's member was last seen in the store.
    seen: BTreeMap<String, Mono>,
    /// Slots of members that vanished longer than `member_slots_ttl` ago: the only ones ever dropped for
    /// being unwanted. A slot that never belonged to a member is somebody else's.
    lapsed: BTreeSet<String>,
}

impl Agent {
    pub fn slot_duties(&mut self, now: Now, out: &mut Output) {
        let leads = self.holds_key()
            && self.local.server() == Server::Primary
            && self.authority().stands(now.mono);
        let stands_by =
            self.local.server() == Server::Standby && !Tags::read(&self.settings.tags).nofailover;
        if !self.store.config.use_slots || !(leads || stands_by) || self.paused() && !leads {
            return;
        }
        let Some(cluster) = &self.store.cluster else {
            return;
        };
        if cluster.leader.is_none() {
            return;
        }
        let others = cluster.others(&self.settings.name);
        // Whether a new slot may be made for it now.
        let wanted: BTreeMap<String, bool> = others
            .map(|(name, member)| (name.slot_name(), self.feeds(member)))
            .collect();
        let published = cluster.status.clone().unwrap_or_default();
        let Some(status) = self.local.answered().cloned() else {
            return;
        };
        self.remember(now, &wanted, &published);
        for (name, feeds) in &wanted {
            if status
                .slots
                .get(name)
                .is_none_or(|s| s.lost || s.restart_lsn.is_none() && !s.active)
            {
                self.make_slot(now, name, *feeds, &status, out);
            } else if stands_by {
                self.advance_slot(now, name, &status, &published, out);
            }
        }
        self.drop_lapsed(now, &status, out);
    }

    /// Timers of vanished members live in this agent's memory and start anew with its life, as Patroni's do.
    fn remember(&mut self, now: Now, wanted: &BTreeMap<String, bool>, published: &Status) {
        for name in wanted.keys() {
            self.slots.seen.insert(name.clone(), now.mono);
        }
        for name in published.retain_slots.iter().flatten() {
            self.slots.seen.entry(name.clone()).or_insert(now.mono);
        }
        let ttl = self.store.config.member_slots_ttl;
        let lapsed = self
            .slots
            .seen
            .iter()
            .filter(|(_, at)| now.mono.since(**at) >= ttl)
            .map(|(name, _)| name.clone());
        let lapsed: Vec<String> = lapsed.collect();
        for name in &lapsed {
            self.slots.seen.remove(name);
        }
        self.slots.lapsed.extend(lapsed);
        self.slots.lapsed.retain(|name| !wanted.contains_key(name));
    }

    /// A slot that was invalidated, or that reserves no WAL, is replaced.
    fn make_slot(
        &mut self,
        now: Now,
        name: &str,
        feeds: bool,
        status: &SqlStatus,
        out: &mut Output,
    ) {
        let task = match status.slots.get(name) {
            Some(slot) if !slot.active => SideTask::DropSlot { name: name.into() },
            Some(_) => return,
            None if feeds => SideTask::CreateSlot { name: name.into() },
            None => return,
        };
        self.start_side(now, task, out);
    }

    fn advance_slot(
        &mut self,
        now: Now,
        name: &str,
        status: &SqlStatus,
        published: &Status,
        out: &mut Output,
    ) {
        let Some(slot) = status.slots.get(name).filter(|s| s.physical && !s.active) else {
            return;
        };
        let Some(target) = published.slots.as_ref().and_then(|slots| slots.get(name)) else {
            return;
        };
        let to = crate::lsn::Lsn(*target).min(status.replayed);
        if slot.restart_lsn.is_some_and(|at| at < to) {
            self.start_side(
                now,
                SideTask::AdvanceSlot {
                    name: name.into(),
                    to,
                },
                out,
            );
        }
    }

    fn drop_lapsed(&mut self, now: Now, status: &SqlStatus, out: &mut Output) {
        if self.paused() {
            return;
        }
        for name in self.slots.lapsed.clone() {
            if status
                .slots
                .get(&name)
                .is_some_and(|slot| slot.physical && !slot.active)
            {
                self.start_side(now, SideTask::DropSlot { name }, out);
            }
        }
    }

    /// The leader's slots and its own position, for `status`.
    pub fn fill_slots(&self, status: &SqlStatus, next: &mut Status) {
        let mut slots: BTreeMap<String, u64> = BTreeMap::new();
        for (name, slot) in status.slots.iter().filter(|(_, s)| s.physical && !s.lost) {
            slots.insert(name.clone(), slot.restart_lsn.map_or(0, |lsn| lsn.0));
        }
        slots.insert(self.settings.name.slot_name(), status.written.0);
        slots.retain(|_, lsn| *lsn != 0);
        next.slots = Some(slots);
        let mut retained: BTreeSet<String> = self.slots.seen.keys().cloned().collect();
        retained.insert(self.settings.name.slot_name());
        next.retain_slots = Some(retained.into_iter().collect());
    }
}
