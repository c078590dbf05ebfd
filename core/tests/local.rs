//! What one look at the own server says, where its parts were not seen at the same instant.

#[path = "support/sql.rs"]
mod sql;

use std::collections::BTreeMap;
use tanist_core::local::{Local, Server};
use tanist_core::lsn::Lsn;
use tanist_core::postgres::*;
use tanist_core::time::Mono;
use tanist_core::timeline::{TimelineHistory, TimelineId};

fn primary_on(timeline: u32, history: TimelineHistory) -> Local {
    let status = SqlStatus {
        timeline: TimelineId(timeline),
        written: Lsn(900),
        ..sql::status(false)
    };
    let mut local = Local::default();
    local.observe(Mono(1), look(Sql::Answered(status), history));
    local
}

fn look(sql: Sql, history: TimelineHistory) -> Observation {
    Observation {
        data_dir: DataDir::Unreadable("of no matter here".into()),
        processes: Processes {
            postmaster: Some(7),
            backends: 1,
        },
        sql,
        history,
        other_lines: Vec::new(),
        promoted: Vec::new(),
        standby_signal: false,
        roles_owed: false,
        led_last: false,
        copy: None,
    }
}

fn control(state: DbState, min_recovery_end: Lsn) -> ControlData {
    ControlData {
        system_id: SystemId("1".into()),
        state,
        checkpoint: Lsn(100),
        timeline: TimelineId(1),
        min_recovery_end,
        min_recovery_timeline: TimelineId(1),
        wal_log_hints: false,
        data_checksums: true,
        standby_minimums: BTreeMap::new(),
    }
}

/// A primary is ended for its silence. One with too many clients, or with another password, serves those that it has.
#[test]
fn only_a_look_without_any_answer_is_silence() {
    let history = || TimelineHistory::bare(TimelineId(1));
    let mut local = primary_on(1, history());
    let mut silent_since = |at: u64, sql: Sql| {
        local.observe(Mono(at), look(sql, history()));
        assert_eq!(local.server(), Server::Primary, "what it was known for");
        local.silent_since
    };
    assert_eq!(silent_since(2, Sql::Refused("too many".into())), None);
    assert_eq!(silent_since(3, Sql::Silent("late".into())), Some(Mono(3)));
    assert_eq!(silent_since(4, Sql::Silent("late".into())), Some(Mono(3)));
    assert_eq!(silent_since(5, Sql::Refused("too many".into())), None);
}

/// A standby on disk says where it begins to recover, which is before everything that it has received since.
#[test]
fn where_the_wal_of_a_silent_server_ends_is_unknown() {
    let control = control(DbState::InArchiveRecovery, Lsn(200));
    let mut local = Local::default();
    let mut end = |sql: Sql, postmaster| {
        let mut seen = look(sql, TimelineHistory::bare(TimelineId(1)));
        seen.data_dir = DataDir::Present(control.clone());
        seen.processes = Processes {
            postmaster,
            backends: 0,
        };
        local.observe(Mono(1), seen);
        local.wal_end()
    };
    assert_eq!(
        end(Sql::Answered(sql::status(true)), Some(7)),
        Some(Lsn(50_331_784))
    );
    assert_eq!(end(Sql::Silent("late".into()), Some(7)), None);
    assert_eq!(end(Sql::Starting, Some(7)), None);
    assert_eq!(end(Sql::NotRunning, None), Some(Lsn(200)));
}

/// Its last record is that of the checkpoint: where a leader forked at its start, this server is past the fork.
#[test]
fn a_checkpoint_is_there_from_its_first_byte_on() {
    let history = TimelineHistory::bare(TimelineId(1));
    let mut seen = look(Sql::NotRunning, history);
    seen.processes.postmaster = None;
    seen.processes.backends = 0;
    seen.standby_signal = true;
    let mut local = Local::default();
    for state in [DbState::InProduction, DbState::ShutDown] {
        seen.data_dir = DataDir::Present(control(state, Lsn::INVALID));
        local.observe(Mono(1), seen.clone());
        assert_eq!(local.wal_end(), Some(Lsn(101)));
    }
}

/// A look reads the history files, then the server is promoted, then the look asks the server. Published, it named the
/// new leader as the promoter of the timeline before, and the old leader, who had opened it, took itself for diverged.
#[test]
fn a_promotion_in_the_middle_of_a_look_gives_no_branch() {
    let before = TimelineHistory::parse(TimelineId(2), "1\t0/64\tr\n").unwrap();
    let after = TimelineHistory::parse(TimelineId(3), "1\t0/64\tr\n2\t0/C8\tr\n").unwrap();
    assert_eq!(primary_on(3, before).branch(), None);
    assert_eq!(primary_on(3, after.clone()).branch(), Some(after));
}
