//! Where a member's WAL leaves its leader's, when numbers and positions agree and what is under them does not.

use tanist_core::divergence::assess;
use tanist_core::lsn::Lsn;
use tanist_core::timeline::{Divergence, TimelineHistory, TimelineId};

fn history(timeline: u32, forks: &str) -> TimelineHistory {
    TimelineHistory::parse(TimelineId(timeline), forks).unwrap()
}

const fn forked(from: u32, at: u64) -> Divergence {
    Divergence::Forked {
        from: TimelineId(from),
        at: Lsn(at),
    }
}

#[test]
fn wal_that_is_not_the_leaders_by_its_bytes_is_no_prefix() {
    let (mine, leader) = (history(2, "1\t0/100"), history(2, "1\t0/100"));
    let end = Lsn(0x180);
    assert_eq!(assess(&mine, end, &leader, None, None), Divergence::None);
    let foreign = Some(TimelineId(2));
    assert_eq!(assess(&mine, end, &leader, None, foreign), forked(2, 0));
}

#[test]
fn past_a_fork_only_the_record_tells_that_a_number_was_given_twice() {
    // Both went on from a timeline 2, and mine went further on it than the leader's.
    let (mine, leader) = (history(2, "1\t0/100"), history(3, "1\t0/100\n2\t0/200"));
    let (end, two) = (Lsn(0x280), Some(TimelineId(2)));
    assert_eq!(assess(&mine, end, &leader, None, two), forked(2, 0x200));
    // pg_rewind would take all before 0/200 for common.
    assert_eq!(assess(&mine, end, &leader, two, None), forked(2, 0));
}

#[test]
fn a_number_that_was_given_twice_after_the_fork_does_not_matter() {
    let (mine, leader) = (history(3, "1\t0/100\n2\t0/300"), history(3, "1\t0/180"));
    let three = Some(TimelineId(3));
    let end = Lsn(0x380);
    assert_eq!(assess(&mine, end, &leader, three, None), forked(1, 0x100));
}

#[test]
fn branches_that_left_their_line_at_different_timelines_part_at_the_last_common_fork() {
    // Mine went from 1 to 3, the leader's from 1 to 2 and on to 4.
    let (mine, leader) = (history(3, "1\t0/100"), history(4, "1\t0/100\n2\t0/200"));
    assert_eq!(
        assess(&mine, Lsn(0x180), &leader, None, None),
        forked(1, 0x100)
    );
    let (mine, leader) = (
        history(5, "1\t0/100\n3\t0/300"),
        history(4, "1\t0/100\n2\t0/200"),
    );
    assert_eq!(
        assess(&mine, Lsn(0x380), &leader, None, None),
        forked(1, 0x100)
    );
}
