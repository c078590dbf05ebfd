//! Physical replication slots of the members: there before a standby needs one, kept for a while after it
//! vanished, never dropped while in use, never moved beyond what this member has replayed.

use crate::agent::{Agent, Output};
use crate::keys::Status;
use crate::local::Server;
use crate::lsn::Lsn;
use crate::member::{MemberData, Tags};
use crate::postgres::{SLOT_NOUN, SideTask, Slot, SqlStatus};
use crate::time::{Mono, Now};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// When each slot's member was last seen in the store.
    seen: BTreeMap<String, Mono>,
    /// Slots of members that vanished longer than `member_slots_ttl` ago: the only ones ever dropped for
    /// being unwanted. A slot that never belonged to a member is somebody else's.
    lapsed: BTreeSet<String>,
}

/// Another member's slot, and what it says of itself.
type Wanted<'a> = (Cow<'a, str>, &'a MemberData);

/// What a slot needs to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Created,
    Dropped,
    Advanced { to: Lsn },
}

impl Need {
    fn of_slot(self, name: String) -> SideTask {
        match self {
            Need::Created => SideTask::CreateSlot { name },
            Need::Dropped => SideTask::DropSlot {
                name,
                if_lost: true,
            },
            Need::Advanced { to } => SideTask::AdvanceSlot { name, to },
        }
    }
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
        let Some(cluster) = self.store.cluster.clone() else {
            return;
        };
        if cluster.leader.is_none() {
            return;
        }
        let names: Vec<Wanted> = cluster
            .others(&self.settings.name)
            .map(|(name, member)| (name.slot(), member))
            .collect();
        if self.local.answered().is_none() {
            return;
        }
        self.remember(now, &names, cluster.status.as_ref());
        for task in self.slot_tasks(now, &names, stands_by, cluster.status.as_ref()) {
            self.start_side(now, task, out);
        }
    }

    /// Timers of vanished members live in this agent's memory and start anew with its life, as Patroni's do.
    fn remember(&mut self, now: Now, wanted: &[Wanted], published: Option<&Status>) {
        let seen = &mut self.slots.seen;
        for (name, _) in wanted {
            match seen.get_mut(&**name) {
                Some(at) => *at = now.mono,
                None => {
                    seen.insert(name.to_string(), now.mono);
                }
            }
        }
        for name in published
            .iter()
            .flat_map(|p| p.retain_slots.iter().flatten())
        {
            if !seen.contains_key(name) {
                seen.insert(name.clone(), now.mono);
            }
        }
        // Its key may have been there for a loop longer than it was last looked for.
        let kept_for = self.store.config.member_slots_ttl + self.store.config.timing.loop_wait;
        let lapsed: Vec<String> = seen
            .iter()
            .filter(|(_, at)| now.mono.since(**at) >= kept_for)
            .map(|(name, _)| name.clone())
            .collect();
        for name in &lapsed {
            seen.remove(name);
        }
        self.slots.lapsed.extend(lapsed);
        let is_wanted = |name: &String| wanted.iter().any(|(of, _)| of == name);
        self.slots.lapsed.retain(|name| !is_wanted(name));
    }

    /// What is to be done about slots, by what the server said last.
    fn slot_tasks(
        &self,
        now: Now,
        wanted: &[Wanted],
        stands_by: bool,
        published: Option<&Status>,
    ) -> Vec<SideTask> {
        let Some(status) = self.local.answered() else {
            return Vec::new();
        };
        let need = |(name, member): &Wanted| match status.slots.get(&**name) {
            None => self.feeds(member).then_some(Need::Created),
            // A slot that was invalidated, or that reserves no WAL, is replaced.
            Some(slot) if slot.lost || slot.restart_lsn.is_none() && !slot.active => {
                (!slot.active).then_some(Need::Dropped)
            }
            Some(slot) if stands_by => advance(name, slot, status, published?),
            Some(_) => None,
        };
        // Most that are in need of something were told so a moment ago, and rest until the next look.
        let mut noun = String::new();
        let mut is_free = |name: &str| {
            noun.clear();
            noun.push_str(SLOT_NOUN);
            noun.push_str(name);
            self.may_start_side(now, &noun)
        };
        let task = |of: &Wanted| {
            let need = need(of)?;
            is_free(&of.0).then(|| need.of_slot(of.0.to_string()))
        };
        let wanted = wanted.iter().filter_map(task);
        wanted.chain(self.lapsed_slots(status)).collect()
    }

    fn lapsed_slots<'a>(&'a self, status: &'a SqlStatus) -> impl Iterator<Item = SideTask> + 'a {
        let is_idle = |name: &&String| {
            let slot = status.slots.get(*name);
            slot.is_some_and(|slot| slot.physical && !slot.active)
        };
        let lapsed = self.slots.lapsed.iter().filter(|_| !self.paused());
        lapsed.filter(is_idle).map(|name| SideTask::DropSlot {
            name: name.clone(),
            if_lost: false,
        })
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

/// A standby moves the slot as far as its member has got, and never beyond what it has replayed itself.
fn advance(name: &str, slot: &Slot, status: &SqlStatus, published: &Status) -> Option<Need> {
    if !slot.physical || slot.active {
        return None;
    }
    let target = published.slots.as_ref()?.get(name)?;
    let to = Lsn(*target).min(status.replayed);
    slot.restart_lsn.filter(|at| *at < to)?;
    Some(Need::Advanced { to })
}
