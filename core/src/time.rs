//! What time is for the core: a monotonic instant for every deadline, a wall instant for display and
//! for scheduled actions. Knows nothing of any clock: both are handed in.
//!
//! The monotonic part must count suspend (`CLOCK_BOOTTIME` on Linux), since a lease goes on expiring
//! in the store while the machine sleeps.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};

/// Microseconds since an origin of the host's own (boot). Never compared between hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mono(pub u64);

/// Microseconds since 1970-01-01 UTC, as this host's wall clock says. May jump either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wall(pub i64);

/// A length of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span(pub u64);

/// One reading of both clocks, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    pub mono: Mono,
    pub wall: Wall,
}

impl Span {
    pub const ZERO: Span = Span(0);

    pub const fn micros(n: u64) -> Span {
        Span(n)
    }
    pub const fn millis(n: u64) -> Span {
        Span(n.saturating_mul(1_000))
    }
    pub const fn secs(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000))
    }
    pub const fn as_micros(self) -> u64 {
        self.0
    }
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }
    pub const fn saturating_sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
    pub const fn times(self, n: u64) -> Span {
        Span(self.0.saturating_mul(n))
    }
    pub const fn divided_by(self, n: u64) -> Span {
        Span(self.0 / if n == 0 { 1 } else { n })
    }
    /// `self` less `ppm` millionths of it: a ttl seen through a clock that may run slow by that much.
    pub const fn shortened_by_ppm(self, ppm: u32) -> Span {
        Span(
            self.0
                - (self.0 / 1_000_000 * ppm as u64 + self.0 % 1_000_000 * ppm as u64 / 1_000_000),
        )
    }
    pub fn min(self, other: Span) -> Span {
        Span(self.0.min(other.0))
    }
    pub fn max(self, other: Span) -> Span {
        Span(self.0.max(other.0))
    }
}

impl Mono {
    /// Time from `earlier` to `self`; zero when `earlier` is later (never negative).
    pub const fn since(self, earlier: Mono) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
    pub const fn saturating_sub(self, span: Span) -> Mono {
        Mono(self.0.saturating_sub(span.0))
    }
}

impl Add<Span> for Mono {
    type Output = Mono;
    fn add(self, span: Span) -> Mono {
        Mono(self.0.saturating_add(span.0))
    }
}

impl Sub<Mono> for Mono {
    type Output = Span;
    fn sub(self, earlier: Mono) -> Span {
        self.since(earlier)
    }
}

impl Add<Span> for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Wall {
    pub const fn plus(self, span: Span) -> Wall {
        Wall(self.0.saturating_add_unsigned(span.0))
    }
    /// How far `self` lies ahead of `other`; zero when it does not.
    pub const fn ahead_of(self, other: Wall) -> Span {
        Span(if self.0 > other.0 {
            self.0.abs_diff(other.0)
        } else {
            0
        })
    }
}

impl fmt::Display for Span {
    /// `950 ms`, `1.5 s`, `21 s`: short, exact to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.as_millis();
        if ms < 1_000 {
            return write!(f, "{ms} ms");
        }
        let (s, rest) = (ms / 1_000, ms % 1_000);
        if rest == 0 {
            return write!(f, "{s} s");
        }
        let text = format!("{rest:03}");
        write!(f, "{s}.{} s", text.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_as_a_person_would_say_it() {
        assert_eq!(Span::millis(950).to_string(), "950 ms");
        assert_eq!(Span::millis(1_500).to_string(), "1.5 s");
        assert_eq!(Span::secs(21).to_string(), "21 s");
    }

    #[test]
    fn drift_allowance_shortens_a_ttl_by_its_share() {
        assert_eq!(Span::secs(30).shortened_by_ppm(5_000), Span::millis(29_850));
        assert_eq!(Span::secs(30).shortened_by_ppm(0), Span::secs(30));
    }

    #[test]
    fn an_earlier_instant_is_no_time_ago_rather_than_negative() {
        assert_eq!(Mono(5).since(Mono(9)), Span::ZERO);
    }
}
