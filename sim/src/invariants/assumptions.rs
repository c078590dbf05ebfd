//! What the promises rest on (A1 to A6), and since when and why one of these does not hold.
//! Knows nothing of the promises themselves.

use crate::moment::Moment;
use crate::wire::Seat;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assumption {
    /// A1: clock rates differ by no more than agreed; clocks count suspend.
    Clocks,
    /// A3: compare-and-set is linearizable; no lease is removed early.
    Store,
    /// A4: no pause, no forced failover, no deeds past the agents.
    FreeRun,
    /// A5: what was flushed survives.
    DurableDisks,
    /// A6: not more members lose their data than copies can be spared.
    FaultCount,
}

/// Until when something stays broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    At(Moment),
    Ongoing,
}

#[derive(Clone, Debug, Default)]
pub struct Assumptions {
    broken: BTreeMap<Assumption, String>,
    /// A2, the stop bound, by member: neither agent, fencer nor watchdog could end PostgreSQL in time.
    unstoppable: BTreeMap<Seat, Until>,
}

impl Assumptions {
    pub fn break_for_good(&mut self, what: Assumption, why: &str) {
        self.broken.entry(what).or_insert_with(|| why.to_string());
    }

    pub fn hold(&self, which: &[Assumption]) -> bool {
        which.iter().all(|what| !self.broken.contains_key(what))
    }

    /// Which do not hold, and why.
    pub fn broken(&self) -> &BTreeMap<Assumption, String> {
        &self.broken
    }

    /// Nobody on this host can end PostgreSQL just now.
    pub fn nobody_can_stop(&mut self, seat: Seat) {
        self.unstoppable.insert(seat, Until::Ongoing);
    }

    /// Somebody can again; what they owe is due by `by`.
    pub fn somebody_can_stop(&mut self, seat: Seat, by: Moment) {
        if let Some(until) = self.unstoppable.get_mut(&seat)
            && *until == Until::Ongoing
        {
            *until = Until::At(by);
        }
    }

    /// A2 holds for this member now.
    pub fn stop_bound_holds(&self, seat: Seat, now: Moment) -> bool {
        match self.unstoppable.get(&seat) {
            None => true,
            Some(Until::Ongoing) => false,
            Some(Until::At(until)) => now > *until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_bound_is_owed_again_only_after_the_grace() {
        let mut assumptions = Assumptions::default();
        let seat = Seat(0);
        assumptions.nobody_can_stop(seat);
        assert!(!assumptions.stop_bound_holds(seat, Moment::secs(1_000)));
        assumptions.somebody_can_stop(seat, Moment::secs(10));
        assumptions.somebody_can_stop(seat, Moment::secs(99));
        assert!(!assumptions.stop_bound_holds(seat, Moment::secs(10)));
        assert!(assumptions.stop_bound_holds(seat, Moment::secs(11)));
    }
}
