//! Is the WAL that this directory ends with also another server's, byte for byte?
//! Knows nothing of what follows from the answer.
//!
//! Why it is asked: PostgreSQL tells timelines apart by number and fork position alone. Two members that both promoted
//! from one position without hearing of each other have equal history files, and a standby of the one would be fed
//! with the other's WAL. The first record of a timeline carries the time of its promotion, and every record a checksum
//! over its content and the position of the one before: the bytes cannot be equal by chance.

use super::session::{Session, SqlTrouble};
use super::settings::PgSettings;
use std::fs::File;
use std::os::unix::fs::FileExt;
use tanist_core::lsn::Lsn;
use tanist_core::postgres::WalEnd;
use tanist_core::timeline::{TimelineHistory, TimelineId};

/// As much is compared at most. A page of WAL is 8 KiB.
const SAMPLE: u64 = 8192;

/// Where the bytes to compare lie: within one segment, before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    segment: u64,
    offset: u64,
    len: u64,
    segment_size: u64,
}

impl Stretch {
    /// The first bytes of a timeline that began at `begin` and goes on to `end` at least.
    fn after(begin: Lsn, end: Lsn, segment_size: u64) -> Option<Stretch> {
        let segment = begin.0.checked_div(segment_size)?;
        let offset = begin.0 % segment_size;
        let rest = segment_size - offset;
        let len = end.0.checked_sub(begin.0)?.min(rest).min(SAMPLE);
        (begin.is_valid() && len > 0).then_some(Stretch {
            segment,
            offset,
            len,
            segment_size,
        })
    }

    fn before(end: Lsn, segment_size: u64) -> Option<Stretch> {
        let last = end.0.checked_sub(1)?;
        let segment = last.checked_div(segment_size)?;
        let upto = last % segment_size + 1;
        let len = upto.min(SAMPLE);
        Some(Stretch {
            segment,
            offset: upto - len,
            len,
            segment_size,
        })
    }

    /// The segment's file name on `timeline` (PostgreSQL's `XLogFileName`).
    fn file(&self, timeline: TimelineId) -> String {
        let per_id = 0x1_0000_0000 / self.segment_size;
        format!(
            "{:08X}{:08X}{:08X}",
            timeline.0,
            self.segment / per_id,
            self.segment % per_id
        )
    }
}

/// `None`: the other has not written that far, or one of the two has not got the bytes (any more), or may not read them.
pub async fn same_wal(
    settings: &PgSettings,
    other: &Session,
    history: &TimelineHistory,
    written: Lsn,
    mine: WalEnd,
) -> Result<Option<bool>, SqlTrouble> {
    if mine.lsn > written {
        // A primary sends only what it has flushed: what goes beyond on its very timeline did not come from it.
        return Ok((mine.timeline == history.timeline).then_some(false));
    }
    let size = "SELECT pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))";
    let size = other.row(size).await?;
    let size = size.first().cloned().flatten().and_then(|t| t.parse().ok());
    let Some(size) = size else {
        return Ok(None);
    };
    // The begin first: it tells more, where both still have it.
    let stretches = [
        Stretch::after(mine.begin, mine.lsn, size),
        Stretch::before(mine.lsn, size),
    ];
    let mut same = None;
    for stretch in stretches.into_iter().flatten() {
        match compare(settings, other, history, mine.timeline, stretch).await? {
            Some(true) => same = Some(true),
            Some(false) => return Ok(Some(false)),
            None => {}
        }
    }
    Ok(same)
}

async fn compare(
    settings: &PgSettings,
    other: &Session,
    history: &TimelineHistory,
    timeline: TimelineId,
    stretch: Stretch,
) -> Result<Option<bool>, SqlTrouble> {
    let Some(here) = own_bytes(settings, stretch, timeline) else {
        return Ok(None);
    };
    let there = match other.row(&query(stretch, history, timeline)).await {
        Ok(row) => row.into_iter().next().flatten(),
        // Its rewind user may not read files: what number and position say has to do, as without this check.
        Err(SqlTrouble::Refused { .. }) => None,
        Err(trouble) => return Err(trouble),
    };
    Ok(there.map(|there| there == hex(&here)))
}

/// From the newest timeline that has the segment: after a fork within it, the file of the new one begins with a copy.
fn own_bytes(settings: &PgSettings, stretch: Stretch, newest: TimelineId) -> Option<Vec<u8>> {
    let wal = settings.data_dir.join("pg_wal");
    let files = (1..=newest.0).rev().map(TimelineId);
    let file = files
        .map(|timeline| File::open(wal.join(stretch.file(timeline))))
        .find_map(Result::ok)?;
    let mut bytes = vec![0; usize::try_from(stretch.len).ok()?];
    file.read_exact_at(&mut bytes, stretch.offset).ok()?;
    Some(bytes)
}

fn query(stretch: Stretch, history: &TimelineHistory, oldest: TimelineId) -> String {
    let parents = history.forks.iter().rev().map(|fork| fork.parent);
    let timelines = std::iter::once(history.timeline).chain(parents);
    let reads: Vec<String> = timelines
        .take_while(|timeline| *timeline >= oldest)
        .map(|timeline| {
            let (file, offset, len) = (stretch.file(timeline), stretch.offset, stretch.len);
            format!("pg_catalog.pg_read_binary_file('pg_wal/{file}', {offset}, {len}, true)")
        })
        .collect();
    let reads = if reads.is_empty() {
        vec!["NULL".into()]
    } else {
        reads
    };
    format!(
        "SELECT pg_catalog.encode(COALESCE({}), 'hex')",
        reads.join(", ")
    )
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB16: u64 = 16 * 1024 * 1024;

    #[test]
    fn a_segment_is_named_as_postgresql_names_it() {
        let at = |lsn: u64| Stretch::before(Lsn(lsn), MIB16).map(|s| s.file(TimelineId(10)));
        assert_eq!(
            at(0x1_0300_0001).as_deref(),
            Some("0000000A0000000100000003")
        );
        assert_eq!(
            at(0x0300_0000).as_deref(),
            Some("0000000A0000000000000002"),
            "the end belongs to the segment before"
        );
        assert_eq!(at(0), None);
    }

    #[test]
    fn the_bytes_before_the_end_are_compared_and_never_more_than_there_are() {
        let stretch = |lsn: u64| Stretch::before(Lsn(lsn), MIB16).map(|s| (s.offset, s.len));
        assert_eq!(stretch(0x0300_0028), Some((0, 0x28)));
        assert_eq!(stretch(0x0300_4000), Some((0x2000, 0x2000)));
    }

    #[test]
    fn the_begin_of_a_timeline_is_compared_as_far_as_it_goes() {
        let after = |begin: u64, end: u64| {
            Stretch::after(Lsn(begin), Lsn(end), MIB16).map(|s| (s.segment, s.offset, s.len))
        };
        assert_eq!(after(0x0300_0028, 0x0300_0090), Some((3, 0x28, 0x68)));
        assert_eq!(after(0x0300_0000, 0x0900_0000), Some((3, 0, 0x2000)));
        assert_eq!(after(0x03FF_FFF8, 0x0900_0000), Some((3, 0xFF_FFF8, 8)));
        assert_eq!(
            after(0x0300_0028, 0x0300_0028),
            None,
            "nothing of it is here"
        );
        assert_eq!(
            after(0, 0x0300_0028),
            None,
            "timeline 1 has no begin to compare"
        );
    }

    #[test]
    fn an_older_timeline_of_the_other_is_read_only_where_the_newer_has_no_file() {
        let text = "1\t0/3000000\tx\n2\t0/4000000\ty\n";
        let history = TimelineHistory::parse(TimelineId(3), text).unwrap();
        let stretch = Stretch::before(Lsn(0x0300_0028), MIB16).unwrap();
        let sql = query(stretch, &history, TimelineId(2));
        let (new, old) = (sql.find("0000000300000000"), sql.find("0000000200000000"));
        assert!(new.is_some() && new < old, "{sql}");
        assert!(!sql.contains("0000000100000000"), "{sql}");
    }
}
