//! Times as an operator types and reads them: this host's own zone where none is given.

use crate::clock;
use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tanist_core::iso::parse_iso;
use tanist_core::time::Wall;

/// Now, with `digits` of the second's fraction less one, as patronictl stamps its lines.
pub fn timestamp(digits: usize) -> String {
    let text = Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let kept = "YYYY-mm-dd HH:MM:SS".len() + if digits == 0 { 0 } else { digits };
    text.chars().take(kept).collect()
}

/// One hour from now, as an example to type after.
pub fn next_hour() -> String {
    let later = Zoned::now().saturating_add(jiff::Span::new().hours(1));
    later.strftime("%Y-%m-%dT%H:%M").to_string()
}

/// `None` for "now". The text has an offset, as the API demands.
pub fn scheduled(text: &str) -> anyhow::Result<Option<String>> {
    let text = text.trim();
    if text.is_empty() || text == "now" {
        return Ok(None);
    }
    if parse_iso(text).is_some() {
        return Ok(Some(text.replacen(' ', "T", 1)));
    }
    let local = text.parse::<DateTime>().ok();
    match local.and_then(|local| local.to_zoned(TimeZone::system()).ok()) {
        Some(zoned) => Ok(Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())),
        None => anyhow::bail!(
            "Unable to parse scheduled timestamp ({text}). It should be in an unambiguous format (e.g. ISO 8601)"
        ),
    }
}

/// A time as a person types it, on the wall.
pub fn instant(text: &str) -> anyhow::Result<Wall> {
    match scheduled(text)? {
        Some(text) => parse_iso(&text).ok_or_else(|| anyhow::anyhow!("{text} is no time")),
        None => Ok(clock::now().wall),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_this_hosts_and_gets_its_offset() {
        assert_eq!(scheduled("now").unwrap(), None);
        assert_eq!(scheduled("").unwrap(), None);
        let given = "2027-01-01T00:00:00+02:00";
        assert_eq!(scheduled(given).unwrap().as_deref(), Some(given));
        let local = scheduled("2027-01-01T00:00").unwrap().unwrap();
        assert!(parse_iso(&local).is_some(), "{local}");
        assert!(scheduled("soon").is_err());
    }

    #[test]
    fn a_timestamp_is_as_long_as_patronictls() {
        assert_eq!(timestamp(0).len(), "2026-11-22 19:25:29".len());
        assert_eq!(timestamp(6).len(), "2026-11-22 19:25:29.66265".len());
    }
}
