//! A position in the write-ahead log, in bytes, with PostgreSQL's `X/Y` text form.
//! Knows nothing of timelines: an LSN alone never says which branch it is on.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Byte position in WAL (`pg_lsn`). Zero is PostgreSQL's `InvalidXLogRecPtr`: no position.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    pub const INVALID: Lsn = Lsn(0);

    pub const fn is_valid(self) -> bool {
        self.0 != 0
    }
    /// Bytes from `earlier` to `self`; zero when `earlier` is not behind.
    pub const fn bytes_ahead_of(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Text that is not `X/Y` with one to eight hexadecimal digits on each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnLsn(pub String);

impl fmt::Display for NotAnLsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an LSN: expected two hexadecimal numbers such as 0/3000148",
            self.0
        )
    }
}

impl FromStr for Lsn {
    type Err = NotAnLsn;

    fn from_str(text: &str) -> Result<Lsn, NotAnLsn> {
        let bad = || NotAnLsn(text.to_string());
        let half = |s: &str| -> Option<u64> {
            let digits = (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_hexdigit());
            if digits {
                u64::from_str_radix(s, 16).ok()
            } else {
                None
            }
        };
        let (high, low) = text.split_once('/').ok_or_else(bad)?;
        Ok(Lsn(
            half(high).ok_or_else(bad)? << 32 | half(low).ok_or_else(bad)?
        ))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Lsn, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_that_of_pg_lsn() {
        assert_eq!(Lsn(0x3000148).to_string(), "0/3000148");
        assert_eq!("16/B374D848".parse(), Ok(Lsn(0x16_B374_D848)));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "/",
            "0/",
            "g/0",
            "0/123456789",
            "+1/0",
            "0x1/2",
            "1/2/3",
        ] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}
