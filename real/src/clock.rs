//! Reads the two clocks of this host. The only place of the package that does: everything else is
//! told what time it is, or asks here. Decides nothing.
//!
//! Tokio's timers do not count suspend, so a wait for an instant looks at the clock once a second.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::future::Future;
use std::time::Duration;
use tanist_core::time::{Mono, Now, Span, Wall};

const LONGEST_NAP: Span = Span::secs(1);

/// Both clocks, read together.
pub fn now() -> Now {
    Now {
        mono: mono(),
        wall: wall(),
    }
}

/// CLOCK_BOOTTIME: it goes on while the machine sleeps, as a lease in the store goes on expiring. The
/// same for every process of this host, so agent and fencer compare each other's instants directly.
pub fn mono() -> Mono {
    Mono(micros(clock_gettime(ClockId::Boottime)).unsigned_abs())
}

fn wall() -> Wall {
    Wall(micros(clock_gettime(ClockId::Realtime)))
}

fn micros(at: Timespec) -> i64 {
    at.tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(at.tv_nsec / 1_000)
}

/// Returns once `until` has come, also when the host slept over it.
pub async fn sleep_until(until: Mono) {
    loop {
        let left = until.since(mono());
        if left == Span::ZERO {
            return;
        }
        let nap = Duration::from_micros(left.min(LONGEST_NAP).as_micros());
        tokio::time::sleep(nap).await;
    }
}

/// The future's value, unless `until` comes first. Then the future is dropped.
pub async fn before<T>(until: Mono, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = sleep_until(until) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_longer_than_allowed_is_dropped_on_time() {
        let began = mono();
        let none = before(began + Span::millis(50), std::future::pending::<()>()).await;
        let took = mono() - began;
        assert!(none.is_none());
        assert!(
            took >= Span::millis(50) && took < Span::secs(1),
            "took {took}"
        );
        assert_eq!(before(mono() + Span::secs(9), async { 7 }).await, Some(7));
    }

    #[test]
    fn the_monotonic_clock_moves_forward_and_the_wall_clock_is_of_this_century() {
        let (before, after) = (now(), now());
        assert!(before.mono <= after.mono);
        assert!(before.mono > Mono(0));
        assert!(after.wall > Wall(1_000_000_000_000_000));
    }
}
