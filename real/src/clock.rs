//! Reads the two clocks of this host. The only place of the package that does: everything else is
//! told what time it is, or asks here. Decides nothing.

use rustix::time::{ClockId, Timespec, clock_gettime};
use tanist_core::time::{Mono, Now, Wall};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_moves_forward_and_the_wall_clock_is_of_this_century() {
        let (before, after) = (now(), now());
        assert!(before.mono <= after.mono);
        assert!(before.mono > Mono(0));
        assert!(after.wall > Wall(1_000_000_000_000_000));
    }
}
