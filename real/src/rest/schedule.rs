//! Reads the time at which something is to happen, as people write it: with a zone or an offset, and not
//! in the past. A time without a zone means something else on every host and is refused.

use jiff::Timestamp;
use jiff::civil::DateTime;
use tanist_core::time::Wall;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTime {
    NoZone,
    InPast,
    Unreadable,
}

/// `now` is the wall clock of whoever checks.
pub fn read(text: &str, now: Wall) -> Result<Wall, BadTime> {
    let at = match parse(text) {
        Some(at) => at,
        None if text.parse::<DateTime>().is_ok() => return Err(BadTime::NoZone),
        None => return Err(BadTime::Unreadable),
    };
    let at = Wall(at.as_microsecond());
    if at < now {
        return Err(BadTime::InPast);
    }
    Ok(at)
}

/// An instant with its offset. Seconds may be left out; a blank may stand before the offset.
fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let forms = [
        "%Y-%m-%dT%H:%M%:z",
        "%Y-%m-%d %H:%M%:z",
        "%Y-%m-%dT%H:%M%z",
        "%Y-%m-%d %H:%M%z",
        "%Y-%m-%d %H:%M:%S %z",
        "%Y-%m-%d %H:%M %z",
    ];
    let with_zulu = text.strip_suffix(['Z', 'z']).map(|t| format!("{t}+0000"));
    let text = with_zulu.as_deref().unwrap_or(text);
    forms
        .iter()
        .find_map(|form| Timestamp::strptime(form, text).ok())
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
