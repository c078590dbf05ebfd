//! ISO 8601 instants, as they stand in `failover` and `history`: with an offset, always.
//! Knows no time zone names and no clock.

use crate::time::Wall;

/// ISO 8601 in UTC with microseconds, as Patroni writes times.
pub fn iso_time(wall: Wall) -> String {
    let (seconds, micros) = (wall.0.div_euclid(1_000_000), wall.0.rem_euclid(1_000_000));
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil date from days since 1970-01-01 (the era arithmetic of the proleptic Gregorian calendar).
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    // Python's isoformat, which Patroni uses, leaves a fraction of zero out.
    let fraction = if micros == 0 {
        String::new()
    } else {
        format!(".{micros:06}")
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00")
}

/// The same with a blank instead of the `T`, as Patroni shows times that PostgreSQL told.
pub fn shown_time(wall: Wall) -> String {
    iso_time(wall).replacen('T', " ", 1)
}

/// Reads `YYYY-MM-DDTHH:MM[:SS[.fraction]](Z|+HH[:]MM)`; a blank may stand for the `T`.
/// `None` without an offset: a local time means something else on every host.
pub fn parse_iso(text: &str) -> Option<Wall> {
    let text = text.trim();
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut fields = date.splitn(3, '-');
    let (year, month, day) = (
        number(fields.next()?, 4)?,
        number(fields.next()?, 2)?,
        number(fields.next()?, 2)?,
    );
    let offset_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, offset) = rest.split_at(offset_at);
    let mut fields = clock.trim().splitn(3, ':');
    let (hour, minute) = (number(fields.next()?, 2)?, number(fields.next()?, 2)?);
    let (second, fraction) = fields.next().map_or(Some((0, 0)), seconds)?;
    let in_range = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    let days = days_from_civil(year, month, day);
    let local = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(Wall(
        (local - offset_seconds(offset.trim())?) * 1_000_000 + fraction,
    ))
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let well_formed = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    if well_formed { text.parse().ok() } else { None }
}

/// Whole seconds and microseconds.
fn seconds(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    Some((number(whole, 2)?, micros.parse().ok()?))
}

fn offset_seconds(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits, 2)?, 0),
        4 => (number(digits.get(..2)?, 2)?, number(digits.get(2..)?, 2)?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a civil date (the inverse of the era arithmetic above).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let month_index = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_patroni_writes_them() {
        assert_eq!(
            iso_time(Wall(1_763_839_765_662_657)),
            "2025-11-22T19:29:25.662657+00:00"
        );
        assert_eq!(iso_time(Wall(0)), "1970-01-01T00:00:00+00:00");
        assert_eq!(
            iso_time(Wall(951_782_400_000_000)),
            "2000-02-29T00:00:00+00:00"
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        for micros in [
            0,
            1,
            951_782_400_000_000,
            1_763_839_765_662_657,
            -86_400_000_000,
        ] {
            assert_eq!(parse_iso(&iso_time(Wall(micros))), Some(Wall(micros)));
        }
        assert_eq!(parse_iso("1970-01-01T02:00+02:00"), Some(Wall(0)));
        assert_eq!(parse_iso("1970-01-01 00:00:01.5Z"), Some(Wall(1_500_000)));
    }

    #[test]
    fn a_time_without_offset_or_out_of_range_is_refused() {
        for bad in [
            "",
            "now",
            "2026-11-22T10:00:00",
            "2026-02-29T00:00Z",
            "2026-13-01T00:00Z",
            "2026-01-01T24:00Z",
            "é",
        ] {
            assert_eq!(parse_iso(bad), None, "{bad}");
        }
    }
}
