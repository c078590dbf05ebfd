//! What does the control file say? Reads the output of `pg_controldata` (PostgreSQL 13 to 18).
//! Knows nothing of what follows from it.
//!
//! The tool rather than the file: the file's layout changes with every major version, the words of the
//! tool under LC_ALL=C have not.

use super::settings::PgSettings;
use super::tool;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use tanist_core::lsn::Lsn;
use tanist_core::postgres::{ControlData, DbState, SystemId};
use tanist_core::timeline::TimelineId;

/// The control file's name for a setting, and the setting's own.
const MINIMUMS: [(&str, &str); 5] = [
    ("max_connections setting", "max_connections"),
    ("max_worker_processes setting", "max_worker_processes"),
    ("max_wal_senders setting", "max_wal_senders"),
    ("max_prepared_xacts setting", "max_prepared_transactions"),
    ("max_locks_per_xact setting", "max_locks_per_transaction"),
];

/// Runs `pg_controldata`. Blocks as long as the disk does: call it where that may be waited for.
pub fn read(settings: &PgSettings) -> Result<ControlData, String> {
    let mut command = Command::new(settings.program("pg_controldata"));
    command
        .arg("-D")
        .arg(&settings.data_dir)
        .stdin(Stdio::null());
    command
        .env_clear()
        .envs(tool::environment(&settings.pgpass));
    let output = command
        .output()
        .map_err(|e| format!("cannot run pg_controldata: {e}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("pg_controldata: {}", tool::last_lines(&stderr, 3)));
    }
    // Exit code 0 all the same: the tool shows what it found in a file whose checksum is wrong.
    if stdout.contains("CRC checksum does not match")
        || stderr.contains("CRC checksum does not match")
    {
        return Err("the control file is damaged: its checksum does not match".to_string());
    }
    parse(&stdout)
}

pub fn parse(text: &str) -> Result<ControlData, String> {
    let fields: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let field = |name: &str| {
        let missing = || format!("pg_controldata shows no line {name:?}");
        fields.get(name).copied().ok_or_else(missing)
    };
    let number = |name: &str| {
        let value = field(name)?;
        let odd = |_| format!("pg_controldata: {name} is {value:?}, not a number");
        value.parse::<u64>().map_err(odd)
    };
    let lsn = |name: &str| {
        field(name)?
            .parse::<Lsn>()
            .map_err(|e| format!("pg_controldata: {name}: {e}"))
    };
    let timeline = |name: &str| {
        let value = number(name)?;
        let odd = |_| format!("pg_controldata: {name} is {value}, not a timeline");
        u32::try_from(value).map(TimelineId).map_err(odd)
    };
    let mut standby_minimums = BTreeMap::new();
    for (shown, setting) in MINIMUMS {
        standby_minimums.insert(setting.to_string(), number(shown)?);
    }
    Ok(ControlData {
        system_id: SystemId(field("Database system identifier")?.to_string()),
        state: state(field("Database cluster state")?)?,
        checkpoint: lsn("Latest checkpoint location")?,
        timeline: timeline("Latest checkpoint's TimeLineID")?,
        min_recovery_end: lsn("Minimum recovery ending location")?,
        min_recovery_timeline: timeline("Min recovery ending loc's timeline")?,
        wal_log_hints: field("wal_log_hints setting")? == "on",
        data_checksums: number("Data page checksum version")? != 0,
        standby_minimums,
    })
}

fn state(words: &str) -> Result<DbState, String> {
    Ok(match words {
        "starting up" => DbState::StartingUp,
        "shut down" => DbState::ShutDown,
        "shut down in recovery" => DbState::ShutDownInRecovery,
        "shutting down" => DbState::ShuttingDown,
        "in crash recovery" => DbState::InCrashRecovery,
        "in archive recovery" => DbState::InArchiveRecovery,
        "in production" => DbState::InProduction,
        other => return Err(format!("pg_controldata: unknown cluster state {other:?}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 15 prints it, without the lines nobody reads here.
    const RECORDED: &str = "\
pg_control version number:            1300
Catalog version number:               202209061
Database system identifier:           7575540471838468111
Database cluster state:               in production
pg_control last modified:             Sun 22 Nov 2026 09:31:05 PM UTC
Latest checkpoint location:           0/3000060
Latest checkpoint's REDO location:    0/3000028
Latest checkpoint's REDO WAL file:    000000020000000000000003
Latest checkpoint's TimeLineID:       2
Latest checkpoint's PrevTimeLineID:   2
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
Backup start location:                0/0
wal_level setting:                    replica
wal_log_hints setting:                on
max_connections setting:              100
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
track_commit_timestamp setting:       off
Bytes per WAL segment:                16777216
Data page checksum version:           1
Mock authentication nonce:            3c0
";

    #[test]
    fn a_recorded_output_reads_field_by_field() {
        let c = parse(RECORDED).unwrap();
        assert_eq!(c.system_id.0, "7575540471838468111");
        assert_eq!(
            (c.state, c.checkpoint, c.timeline),
            (DbState::InProduction, Lsn(0x3000060), TimelineId(2))
        );
        assert_eq!(
            (c.min_recovery_end, c.min_recovery_timeline),
            (Lsn::INVALID, TimelineId(0))
        );
        assert!(c.wal_log_hints && c.data_checksums);
        assert_eq!(c.standby_minimums["max_prepared_transactions"], 0);
        assert_eq!(c.standby_minimums["max_locks_per_transaction"], 64);
    }

    #[test]
    fn every_state_of_the_control_file_has_its_value() {
        for (words, state) in [
            ("starting up", DbState::StartingUp),
            ("shut down", DbState::ShutDown),
            ("shut down in recovery", DbState::ShutDownInRecovery),
            ("shutting down", DbState::ShuttingDown),
            ("in crash recovery", DbState::InCrashRecovery),
            ("in archive recovery", DbState::InArchiveRecovery),
            ("in production", DbState::InProduction),
        ] {
            let text = RECORDED.replace("in production", words);
            assert_eq!(parse(&text).unwrap().state, state, "{words}");
        }
        let odd = RECORDED.replace("in production", "unrecognized status code");
        assert!(parse(&odd).unwrap_err().contains("unrecognized"));
    }

    #[test]
    fn the_forms_of_other_versions_read_alike() {
        // 18 adds "Default char data signedness"; a later one pads the low half of an LSN with zeros.
        let newer = RECORDED.replace("0/3000060", "0/03000060")
            + "Default char data signedness:         signed\n";
        assert_eq!(parse(&newer), parse(RECORDED));
        // 13 has no difference in the lines that are read, and other numbers above them.
        let older = RECORDED.replace("202209061", "202007201");
        assert_eq!(parse(&older), parse(RECORDED));
    }

    #[test]
    fn a_missing_or_odd_line_is_named() {
        for (from, to, named) in [
            (
                "Latest checkpoint location",
                "x",
                "Latest checkpoint location",
            ),
            ("0/3000060", "zzz", "Latest checkpoint location"),
            (
                "max_wal_senders setting:              10",
                "max_wal_senders setting: ten",
                "max_wal_senders",
            ),
            (
                "TimeLineID:       2",
                "TimeLineID:       99999999999",
                "TimeLineID",
            ),
        ] {
            let error = parse(&RECORDED.replace(from, to)).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
