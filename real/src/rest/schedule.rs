//! Reads the time at which something is to happen, as people write it: with a zone or an offset, and not
//! in the past. A time without a zone means something else on every host and is refused.

use tanist_core::iso::parse_iso;
use tanist_core::time::Wall;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTime {
    NoZone,
    InPast,
    Unreadable,
}

/// `now` is the wall clock of whoever checks.
pub fn read(text: &str, now: Wall) -> Result<Wall, BadTime> {
    let text = text.trim();
    let Some(at) = parse_iso(text) else {
        let readable_in_some_zone = parse_iso(&format!("{text}Z")).is_some();
        return Err(if readable_in_some_zone {
            BadTime::NoZone
        } else {
            BadTime::Unreadable
        });
    };
    if at < now {
        return Err(BadTime::InPast);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_a_zone_are_read_and_others_refused() {
        let ten = Ok(Wall(1_795_428_000_000_000));
        for (text, expected) in [
            ("2026-11-23T10:00:00+00:00", ten),
            ("2026-11-23T10:00:00Z", ten),
            ("2026-11-23T10:00Z", ten),
            ("2026-11-23T11:00+01:00", ten),
            ("2026-11-23 11:00:00 +0100", ten),
            ("2026-11-23T11:00+0100", ten),
            ("2026-11-23T10:00:00", Err(BadTime::NoZone)),
            ("2026-11-23T10:00", Err(BadTime::NoZone)),
            ("2020-01-01T00:00:00Z", Err(BadTime::InPast)),
            ("tomorrow", Err(BadTime::Unreadable)),
            ("", Err(BadTime::Unreadable)),
        ] {
            let now = Wall(1_795_375_529_000_000);
            assert_eq!(read(text, now), expected, "{text}");
        }
    }
}
