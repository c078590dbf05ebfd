//! What is due when: one heap ordered by true time, ties broken by order of entry.
//! Knows nothing of what the entries mean.

use crate::moment::Moment;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

#[derive(Clone, Debug)]
struct Entry<T> {
    at: Moment,
    seq: u64,
    due: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at && self.seq == other.seq
    }
}
impl<T> Eq for Entry<T> {}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Entry<T> {
    // Reversed, since the heap yields its greatest entry first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

/// The queue of one run, and its clock.
#[derive(Clone, Debug)]
pub struct Agenda<T> {
    now: Moment,
    seq: u64,
    heap: BinaryHeap<Entry<T>>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Agenda {
            now: Moment::START,
            seq: 0,
            heap: BinaryHeap::new(),
        }
    }
}

impl<T> Agenda<T> {
    pub fn now(&self) -> Moment {
        self.now
    }
    /// Enters `due` for `at`; what should have been before now is due now.
    pub fn enter(&mut self, at: Moment, due: T) {
        self.seq += 1;
        let at = at.max(self.now);
        let seq = self.seq;
        self.heap.push(Entry { at, seq, due });
    }
    pub fn next_at(&self) -> Option<Moment> {
        self.heap.peek().map(|entry| entry.at)
    }
    /// Takes the next entry and moves the clock to it.
    pub fn take(&mut self) -> Option<T> {
        let entry = self.heap.pop()?;
        assert!(entry.at >= self.now, "time never runs backwards");
        self.now = entry.at;
        Some(entry.due)
    }
    /// Moves the clock forward to `at`, past no entry.
    pub fn advance_to(&mut self, at: Moment) {
        assert!(
            self.next_at().is_none_or(|next| next >= at),
            "an entry was due before"
        );
        self.now = self.now.max(at);
    }
    pub fn len(&self) -> usize {
        self.heap.len()
    }
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_by_time_and_then_by_order_of_entry() {
        let mut agenda = Agenda::default();
        for (at, what) in [(2, "c"), (1, "a"), (1, "b")] {
            agenda.enter(Moment(at), what);
        }
        let order: Vec<_> = std::iter::from_fn(|| agenda.take()).collect();
        assert_eq!(order, ["a", "b", "c"]);
        assert_eq!(agenda.now(), Moment(2));
    }
}
