//! True time of a run: microseconds since its start, which no process inside the world can read.
//! Knows nothing of any host's clock; those are derived from it in `clock.rs`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
use tanist_core::time::Span;

/// An instant of the run, in microseconds of true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    pub const START: Moment = Moment(0);

    pub const fn secs(n: u64) -> Moment {
        Moment(n.saturating_mul(1_000_000))
    }
    pub const fn millis(n: u64) -> Moment {
        Moment(n.saturating_mul(1_000))
    }
    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Moment) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Moment {
    type Output = Moment;
    fn add(self, span: Span) -> Moment {
        Moment(self.0.saturating_add(span.0))
    }
}

impl Sub<Moment> for Moment {
    type Output = Span;
    fn sub(self, earlier: Moment) -> Span {
        self.since(earlier)
    }
}

impl fmt::Display for Moment {
    /// `0.000s`, `31.250s`, `1m00.000s`, `1h02m03.004s`: fixed decimals, so that columns line up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0 / 1_000;
        let (s, ms) = (ms / 1_000, ms % 1_000);
        let (m, s) = (s / 60, s % 60);
        let (h, m) = (m / 60, m % 60);
        match (h, m) {
            (0, 0) => write!(f, "{s}.{ms:03}s"),
            (0, m) => write!(f, "{m}m{s:02}.{ms:03}s"),
            (h, m) => write!(f, "{h}h{m:02}m{s:02}.{ms:03}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_a_stopwatch_does() {
        for (at, text) in [
            (Moment(31_250_000), "31.250s"),
            (Moment::secs(60), "1m00.000s"),
            (Moment::millis(3_723_004), "1h02m03.004s"),
        ] {
            assert_eq!(at.to_string(), text);
        }
    }
}
