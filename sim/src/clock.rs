//! A host's clocks: a monotonic one that counts suspend and may run fast or slow, and a wall clock that
//! may also jump. Knows nothing of what is timed by them.

use crate::act::Shift;
use crate::moment::Moment;
use tanist_core::time::{Mono, Now, Span, Wall};

/// True time zero, as a wall clock that is right would say it: 2030-01-01 UTC.
const WALL_AT_START: i64 = 1_893_456_000_000_000;
const MILLION: i128 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub struct HostClock {
    /// Both clocks are reckoned from here; moved at each change of rate.
    since: Moment,
    mono: Mono,
    wall: Wall,
    ppm: i32,
}

impl HostClock {
    /// A host that booted `uptime` ago.
    pub fn booted(at: Moment, uptime: Span) -> HostClock {
        let wall = Wall(WALL_AT_START.saturating_add_unsigned(at.0));
        HostClock {
            since: at,
            mono: Mono(uptime.0),
            wall,
            ppm: 0,
        }
    }

    fn passed(&self, at: Moment) -> u64 {
        let real = i128::from(at.since(self.since).0);
        let shown = real + real * i128::from(self.ppm) / MILLION;
        u64::try_from(shown.max(0)).unwrap_or(u64::MAX)
    }

    pub fn now(&self, at: Moment) -> Now {
        let passed = Span(self.passed(at));
        Now {
            mono: self.mono + passed,
            wall: self.wall.plus(passed),
        }
    }

    /// The first moment at which this clock shows `mono` or later.
    pub fn when(&self, mono: Mono) -> Moment {
        let shown = i128::from(mono.since(self.mono).0);
        let rate = MILLION + i128::from(self.ppm);
        let real = (shown * MILLION + rate - 1) / rate.max(1);
        let at = self.since + Span(u64::try_from(real).unwrap_or(u64::MAX));
        // Rounding of the two divisions may leave us a microsecond early.
        if self.now(at).mono < mono {
            at + Span(1)
        } else {
            at
        }
    }

    pub fn set_rate(&mut self, at: Moment, ppm: i32) {
        let now = self.now(at);
        *self = HostClock {
            since: at,
            mono: now.mono,
            wall: now.wall,
            ppm,
        };
    }

    pub fn step_wall(&mut self, at: Moment, by: Shift) {
        let now = self.now(at);
        let wall = match by {
            Shift::Forward(span) => now.wall.plus(span),
            Shift::Back(span) => Wall(now.wall.0.saturating_sub_unsigned(span.0)),
        };
        *self = HostClock {
            since: at,
            mono: now.mono,
            wall,
            ppm: self.ppm,
        };
    }

    pub fn rate_ppm(&self) -> i32 {
        self.ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_reaches_a_deadline_early_and_never_before_it_shows_it() {
        let mut clock = HostClock::booted(Moment::START, Span::secs(1_000));
        clock.set_rate(Moment::secs(10), 5_000);
        let deadline = clock.now(Moment::secs(10)).mono + Span::secs(30);
        let at = clock.when(deadline);
        assert!(at < Moment::secs(40) && at > Moment::millis(39_850), "{at}");
        assert!(clock.now(at).mono >= deadline);
        assert!(clock.now(Moment(at.0 - 1)).mono < deadline);
    }

    #[test]
    fn a_wall_step_leaves_the_monotonic_clock_alone() {
        let mut clock = HostClock::booted(Moment::START, Span::secs(5));
        let before = clock.now(Moment::secs(7));
        clock.step_wall(Moment::secs(7), Shift::Back(Span::secs(3_600)));
        let after = clock.now(Moment::secs(7));
        assert_eq!(before.mono, after.mono);
        assert_eq!(before.wall.ahead_of(after.wall), Span::secs(3_600));
    }
}
