//! How a wall instant is written for people and on the wire: the proleptic Gregorian calendar in UTC.
//! Knows nothing of time zones; reading a time with an offset is left to the outside.

use crate::time::Wall;

const DAY_SECONDS: i64 = 86_400;

/// `2026-11-22 19:25:29.662657+00:00`: as Patroni shows the start time of a postmaster.
pub fn shown(wall: Wall) -> String {
    written(wall, ' ')
}

/// `2026-11-22T19:25:29.662657+00:00`: as Patroni writes times into the store.
pub fn iso(wall: Wall) -> String {
    written(wall, 'T')
}

fn written(wall: Wall, between: char) -> String {
    let seconds = wall.0.div_euclid(1_000_000);
    let micros = wall.0.rem_euclid(1_000_000);
    let (year, month, day) = date_of(seconds.div_euclid(DAY_SECONDS));
    let second_of_day = seconds.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (
        second_of_day / 3_600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    );
    let fraction = if micros == 0 {
        String::new()
    } else {
        format!(".{micros:06}")
    };
    format!(
        "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{fraction}+00:00"
    )
}

/// Year, month and day of a count of days since 1970-01-01. Years begin in March here, so that the leap
/// day is the last of its year and a month's length follows from its number alone.
fn date_of(days: i64) -> (i64, i64, i64) {
    let since_0000_03_01 = days + 719_468;
    let era = since_0000_03_01.div_euclid(146_097);
    let day_of_era = since_0000_03_01.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_patroni_writes_them() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (1_795_375_529_662_657, "2026-11-22T19:25:29.662657+00:00"),
            (951_782_400_000_000, "2000-02-29T00:00:00+00:00"),
            (-1, "1969-12-31T23:59:59.999999+00:00"),
            (4_107_542_399_000_001, "2100-02-28T23:59:59.000001+00:00"),
        ] {
            assert_eq!(iso(Wall(micros)), text);
        }
        assert_eq!(shown(Wall(0)), "1970-01-01 00:00:00+00:00");
    }

    #[test]
    fn the_ends_of_time_are_written_too() {
        assert!(!iso(Wall(i64::MAX)).is_empty());
        assert!(!iso(Wall(i64::MIN)).is_empty());
    }
}
