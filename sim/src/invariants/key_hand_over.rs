//! S04: the leader key passes from one owner to another only by expiry, by the owner's own release, or by a
//! write that compared with the owner. Here: nobody overwrites a present key with another name, and nobody
//! deletes a key that is not its own. Rests on A3 (an operator's edit of keys sets it aside).

use super::Invariant;
use super::assumptions::Assumption;
use crate::marks::Mark;
use crate::store::Change;
use crate::wire::Seat;
use crate::world::World;

impl World {
    pub(crate) fn key_owner(&self) -> Option<String> {
        self.store.get("leader").map(|kv| kv.value.clone())
    }

    pub(crate) fn leader_seat(&self) -> Option<Seat> {
        let key = self.store.get("leader")?;
        let seats = (0..self.shape.members.len() as u8).map(Seat);
        let mut named = seats.filter(|seat| self.goes_by(*seat).as_str() == key.value);
        let first = named.next()?;
        // Of several that go by one name, the one whose session it is.
        let holds = |seat: &Seat| self.hosts[seat.index()].holds_lease(key.lease);
        let holder = [first].into_iter().chain(named).find(holds);
        Some(holder.unwrap_or(first))
    }

    /// `by` changed keys (`None`: a lease ran out).
    pub(crate) fn watch_hand_over(
        &mut self,
        by: Option<Seat>,
        before: Option<String>,
        change: &Change,
    ) {
        let now = self.now();
        self.check_initialize(change);
        let Some(after) = change.keys.get("leader") else {
            return;
        };
        let after = after.as_ref().map(|kv| kv.value.clone());
        self.note_release(by, before.as_deref(), after.as_deref());
        if !self.oracle.assumptions.hold(&[Assumption::Store]) {
            return self.oracle.set_aside(Invariant::KeyHandOver);
        }
        let by = by.map(|seat| self.goes_by(seat).0);
        let verdict = match (&before, &after, &by) {
            (Some(owner), Some(new), Some(_)) if new != owner => {
                Err(format!("{new} overwrote the leader key that was {owner}'s"))
            }
            (Some(owner), None, Some(by)) if by != owner => {
                Err(format!("{by} deleted the leader key that was {owner}'s"))
            }
            (_, Some(new), Some(by)) if by != new => {
                Err(format!("{by} wrote the leader key in the name of {new}"))
            }
            _ => Ok(()),
        };
        self.oracle.judge(Invariant::KeyHandOver, now, verdict);
        if before != after {
            self.check_owner_system();
            if after.is_some() {
                if self.leader_seat().is_some_and(|seat| self.is_patroni(seat)) {
                    self.mark(Mark::PatroniLed);
                }
                if self.oracle.evidence.ever_led.is_some() {
                    self.mark(Mark::LeaderChanged);
                }
                self.oracle.evidence.ever_led.get_or_insert(now);
            }
        }
    }
}
