//! S19: a slot of a known member keeps the WAL that this member will ask for: it is dropped only when its member has not
//! been seen for `member_slots_ttl`, and is never moved beyond what its own server has replayed (PostgreSQL would throw
//! away WAL that the member needs after the next failover, and it had to be cloned).

use super::Invariant;
use crate::moment::Moment;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::lsn::Lsn;
use tanist_core::name::MemberName;

const MEMBERS: &str = "members/";

impl World {
    /// A member key was written or deleted.
    pub(crate) fn note_member_key(&mut self, key: &str) {
        if let Some(name) = key.strip_prefix(MEMBERS) {
            let (slot, now) = (MemberName::from(name).slot_name(), self.now());
            self.oracle.evidence.member_seen.insert(slot, now);
        }
    }

    /// `seat`'s agent asks for the slot to be moved.
    pub(crate) fn check_slot_advance(&mut self, seat: Seat, name: &str, to: Lsn) {
        if self.is_patroni(seat) {
            return self.oracle.set_aside(Invariant::SlotsKept);
        }
        let (now, pg) = (self.now(), &self.pgs[seat.index()]);
        let Some(server) = pg.server.as_ref() else {
            return;
        };
        let verdict = match to <= server.replayed {
            true => Ok(()),
            false => Err(format!(
                "{} moves the slot {name} to {to}, and has replayed {}",
                self.name(seat),
                server.replayed
            )),
        };
        self.oracle.judge(Invariant::SlotsKept, now, verdict);
    }

    /// `seat` drops a slot that nobody uses. One that holds no WAL is no loss.
    pub(crate) fn check_slot_drop(&mut self, seat: Seat, name: &str) {
        if self.is_patroni(seat) {
            return self.oracle.set_aside(Invariant::SlotsKept);
        }
        let now = self.now();
        let held = self.pgs[seat.index()].dir.slots.get(name);
        let held = held.and_then(|slot| slot.from);
        let (Some(_), Some(seen)) = (held, self.member_seen(name)) else {
            return self.oracle.fine(Invariant::SlotsKept);
        };
        let kept_for = self.config_in_force().member_slots_ttl;
        let verdict = match now.since(seen) >= kept_for {
            true => Ok(()),
            false => Err(format!(
                "{} drops the slot {name}, whose member was seen at {seen}",
                self.name(seat)
            )),
        };
        self.oracle.judge(Invariant::SlotsKept, now, verdict);
    }

    /// Once all is well whoever leads or may lead has a slot for each other member, whom it may feed. Where slots may hold
    /// back little (`max_slot_wal_keep_size`), one may be lost and replaced at any time.
    pub(crate) fn check_slots_there(&mut self) {
        let (now, verdict) = (self.now(), self.slots_there());
        self.oracle.judge(Invariant::SlotsKept, now, verdict);
    }

    pub(crate) fn slots_there(&self) -> Result<(), String> {
        let wanted = self.config_in_force().use_slots && self.shape.slot_keep.is_none();
        match self.missing_slot().filter(|_| wanted) {
            None => Ok(()),
            Some((seat, slot)) => Err(format!("{} has no slot {slot}", self.name(seat))),
        }
    }

    /// A member whose server leads or streams has compared what it may be fed from, and says so.
    fn missing_slot(&self) -> Option<(Seat, String)> {
        let leader = self.leader_seat();
        let at_work = |seat: &Seat| {
            let follows = self.pgs[seat.index()].receiver().is_some();
            self.hosts[seat.index()].agent_runs() && (follows || leader == Some(*seat))
        };
        let members = || (0..self.pgs.len() as u8).map(Seat).filter(at_work);
        let keeps = |seat: &Seat| {
            let barred = self.shape.members[seat.index()].nofailover;
            !self.is_patroni(*seat) && (leader == Some(*seat) || !barred)
        };
        members().filter(keeps).find_map(|seat| {
            let slots = &self.pgs[seat.index()].dir.slots;
            let others = members().filter(|other| *other != seat);
            let mut names = others.map(|other| self.name(other).slot_name());
            let missing = names.find(|name| !slots.contains_key(name));
            missing.map(|name| (seat, name))
        })
    }

    fn member_seen(&self, slot: &str) -> Option<Moment> {
        let mut names = self
            .store
            .keys()
            .keys()
            .filter_map(|key| key.strip_prefix(MEMBERS));
        if names.any(|name| MemberName::from(name).slot_name() == slot) {
            return Some(self.now());
        }
        self.oracle.evidence.member_seen.get(slot).copied()
    }
}
