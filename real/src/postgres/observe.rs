//! One look at everything local: data directory, marks, processes, and what a fresh session tells.
//! Knows nothing of what it means; each source that does not answer is told as such.

use super::context::Context;
use super::control_data;
use super::deadline::Deadline;
use super::marks::Unfinished;
use super::process::{Found, PidFileStatus};
use super::render;
use super::session::SqlTrouble;
use super::sql_status;
use super::trouble::Outcome;
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tanist_core::postgres::{CopyId, DataDir, Observation, PromotionMark, Sql};
use tanist_core::timeline::{TimelineHistory, TimelineId};
use tokio::sync::oneshot;

/// Looks at all of it at once; ends by `deadline` even when the disk or the server hangs.
pub async fn observe(context: &Arc<Context>, deadline: Deadline) -> Outcome<Observation> {
    let disk = look_at_disk(context, deadline);
    let found = context.scan()?;
    if let Some(postmaster) = found.postmaster {
        context.watch(postmaster);
    }
    let (disk, sql) = tokio::join!(disk, ask(context, &found, deadline));
    // Again, since a session's answer took time: the newer count belongs to the newer facts.
    let last = context.scan()?;
    let processes = last.counts();
    let disk = match last.held {
        0 => disk,
        held => Disk::unreadable(&format!(
            "{held} of its processes were killed and cannot end: the storage does not answer"
        )),
    };
    let sql = if processes.postmaster.is_none() {
        Sql::NotRunning
    } else {
        sql
    };
    Ok(Observation {
        data_dir: disk.data_dir,
        processes,
        sql,
        history: disk.history,
        other_lines: disk.other_lines,
        promoted: disk.promoted,
        standby_signal: disk.standby_signal,
        roles_owed: disk.roles_owed,
        led_last: disk.led_last,
        copy: disk.copy,
    })
}

struct Disk {
    data_dir: DataDir,
    history: TimelineHistory,
    other_lines: Vec<TimelineHistory>,
    promoted: Vec<PromotionMark>,
    standby_signal: bool,
    roles_owed: bool,
    led_last: bool,
    copy: Option<CopyId>,
}

impl Disk {
    fn unreadable(why: &str) -> Disk {
        Disk {
            data_dir: DataDir::Unreadable(why.to_string()),
            history: TimelineHistory::default(),
            other_lines: Vec::new(),
            promoted: Vec::new(),
            standby_signal: false,
            roles_owed: false,
            led_last: false,
            copy: None,
        }
    }
}

/// On a thread of its own: a disk that hangs keeps that thread, and nothing else. At most one at a time.
async fn look_at_disk(context: &Arc<Context>, deadline: Deadline) -> Disk {
    while context.looking_at_disk.swap(true, Ordering::SeqCst) {
        if deadline.is_over() {
            return Disk::unreadable("the disk still owes an answer to an earlier look");
        }
        deadline.pause(std::time::Duration::from_millis(2)).await;
    }
    let (sender, receiver) = oneshot::channel();
    let looker = Arc::clone(context);
    let started = std::thread::Builder::new()
        .name("pg-disk".to_string())
        .spawn(move || {
            let disk = read_disk(&looker);
            let disk = disk.unwrap_or_else(|trouble| Disk::unreadable(&trouble.to_string()));
            looker.looking_at_disk.store(false, Ordering::SeqCst);
            let _ = sender.send(disk);
        });
    if let Err(e) = started {
        context.looking_at_disk.store(false, Ordering::SeqCst);
        return Disk::unreadable(&format!("cannot start a thread to look at the disk: {e}"));
    }
    match deadline.bound(receiver).await {
        Some(Ok(disk)) => disk,
        Some(Err(_)) => Disk::unreadable("the look at the disk ended without an answer"),
        None => Disk::unreadable("the disk does not answer in time"),
    }
}

/// A mark that cannot be read is not absent: the directory it speaks of is then as good as unreadable.
fn read_disk(context: &Context) -> Outcome<Disk> {
    let dir = &context.settings.data_dir;
    let data_dir = read_data_dir(context);
    let newest = data_dir.control().map_or(TimelineId(0), |c| c.timeline);
    let (history, other_lines) = read_histories(context, newest);
    Ok(Disk {
        history,
        other_lines,
        promoted: context.marks.promotions()?,
        roles_owed: context.marks.is_set(Unfinished::Roles)?,
        led_last: context.marks.led_last()?,
        copy: context.marks.copy()?,
        standby_signal: render::is_standby(dir),
        data_dir,
    })
}

fn read_data_dir(context: &Context) -> DataDir {
    let dir = &context.settings.data_dir;
    let entries = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next(),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return DataDir::Unreadable(format!("{}: {e}", dir.display())),
    };
    let marked = |mark| context.marks.is_set(mark);
    let (cloning, rewinding) = match (marked(Unfinished::Clone), marked(Unfinished::Rewind)) {
        (Ok(cloning), Ok(rewinding)) => (cloning, rewinding),
        (Err(trouble), _) | (_, Err(trouble)) => return DataDir::Unreadable(trouble.to_string()),
    };
    match entries {
        None => return DataDir::Empty,
        Some(Err(e)) => return DataDir::Unreadable(format!("{}: {e}", dir.display())),
        Some(Ok(_)) if cloning => return DataDir::HalfCloned,
        Some(Ok(_)) => {}
    }
    // Asked first, so that a disk that refuses is not taken for a directory without a cluster.
    match fs::File::open(dir.join("global/pg_control")) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return DataDir::NotACluster("no control file in it".to_string());
        }
        Err(e) => return DataDir::Unreadable(format!("global/pg_control: {e}")),
        Ok(_) => {}
    }
    match control_data::read(&context.settings) {
        Ok(control) if rewinding => DataDir::HalfRewound(control),
        Ok(control) => DataDir::Present(control),
        Err(why) => DataDir::NotACluster(why),
    }
}

/// The history file with the highest number, unless the control file is on a newer timeline still, and those of
/// timelines that this one did not grow out of.
fn read_histories(
    context: &Context,
    of_control: TimelineId,
) -> (TimelineHistory, Vec<TimelineHistory>) {
    let wal = context.settings.data_dir.join("pg_wal");
    let number = |name: &str| u32::from_str_radix(name.strip_suffix(".history")?, 16).ok();
    let mut numbers: Vec<TimelineId> = fs::read_dir(&wal)
        .into_iter()
        .flatten()
        .filter_map(|entry| number(entry.ok()?.file_name().to_str()?))
        .map(TimelineId)
        .collect();
    numbers.sort_unstable();
    let read = |number: TimelineId| {
        let text = fs::read_to_string(wal.join(format!("{:08X}.history", number.0)));
        TimelineHistory::parse(number, &text.unwrap_or_default())
            .unwrap_or_else(|_| TimelineHistory::bare(number))
    };
    let newest = numbers.last().filter(|newest| **newest >= of_control);
    let newest = newest.map_or_else(|| TimelineHistory::bare(of_control), |n| read(*n));
    let others = numbers.into_iter().filter(|n| !newest.contains(*n));
    let others = others.map(read).collect();
    (newest, others)
}

async fn ask(context: &Context, found: &Found, deadline: Deadline) -> Sql {
    if found.postmaster.is_none() {
        return Sql::NotRunning;
    }
    match sql_status::ask(&context.settings, deadline).await {
        Ok(status) => Sql::Answered(status),
        Err(trouble) => why_not(trouble, context.instance.pid_file().map(|f| f.status)),
    }
}

/// The text of a refusal may be in any language (lc_messages); the postmaster's own file is not.
fn why_not(trouble: SqlTrouble, status: Option<PidFileStatus>) -> Sql {
    let stopping = status == Some(PidFileStatus::Stopping);
    match trouble {
        SqlTrouble::CannotConnectNow(text) if stopping || text.contains("shutting down") => {
            Sql::ShuttingDown
        }
        SqlTrouble::CannotConnectNow(_) => Sql::Starting,
        // 57P01: an administrator's command ended the session; 57P02: a crash of another backend did.
        SqlTrouble::Refused { code, .. } if stopping && (code == "57P01" || code == "57P02") => {
            Sql::ShuttingDown
        }
        // 57P02 and 57P04 apart, a refusal says that it runs, but not what it is.
        SqlTrouble::Refused { .. } => Sql::Refused(trouble.to_string()),
        SqlTrouble::NoListener(_) if stopping => Sql::ShuttingDown,
        SqlTrouble::NoListener(_)
            if matches!(
                status,
                None | Some(PidFileStatus::Unknown | PidFileStatus::Starting)
            ) =>
        {
            Sql::Starting
        }
        // Where clients ask it may listen: the file of the local socket alone may be gone.
        SqlTrouble::NoListener(text) => Sql::Refused(text),
        SqlTrouble::Silent(text) => Sql::Silent(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_session_is_told_by_the_state_of_the_postmaster_not_by_its_language() {
        let now = |text: &str| SqlTrouble::CannotConnectNow(text.to_string());
        let refused = |code: &str| SqlTrouble::Refused {
            code: code.into(),
            text: "x".into(),
        };
        let none = || SqlTrouble::NoListener("refused".into());
        let silent = |text: &str| Sql::Silent(text.to_string());
        let no = |text: &str| Sql::Refused(text.to_string());
        use PidFileStatus::{Ready, Starting, Stopping};
        for (trouble, status, told) in [
            (
                now("the database system is starting up"),
                Some(Starting),
                Sql::Starting,
            ),
            (
                now("the database system is shutting down"),
                None,
                Sql::ShuttingDown,
            ),
            (
                now("Das Datenbanksystem fährt herunter"),
                Some(Stopping),
                Sql::ShuttingDown,
            ),
            (
                now("the database system is in recovery mode"),
                Some(Ready),
                Sql::Starting,
            ),
            (refused("57P01"), Some(Stopping), Sql::ShuttingDown),
            (refused("57P01"), Some(Ready), no("x (SQLSTATE 57P01)")),
            (refused("28P01"), Some(Ready), no("x (SQLSTATE 28P01)")),
            (none(), Some(Starting), Sql::Starting),
            (none(), Some(Ready), no("refused")),
            (SqlTrouble::Silent("t".into()), Some(Starting), silent("t")),
        ] {
            assert_eq!(
                why_not(trouble.clone(), status),
                told,
                "{trouble:?} {status:?}"
            );
        }
    }
}
