//! Makes room for a new data directory: moves the present one aside, or removes what was never a member's
//! data. Knows nothing of whether that is right: the reason comes with the request.

use super::context::Work;
use super::marks::{Unfinished, make_private_dir, sync_dir};
use super::settings::AsideCopies;
use super::trouble::{Outcome, Trouble};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tanist_core::postgres::{DiscardReason, Ended};

pub fn discard(work: &Work, why: DiscardReason) -> Outcome<Ended> {
    let context = &work.context;
    let settings = work.settings();
    context.refuse_while_running()?;
    let dir = &settings.data_dir;
    match why {
        DiscardReason::CloneUnfinished => {
            // The request rests on a look; between look and now the mark must not have gone.
            if !context.marks.is_set(Unfinished::Clone)? && !is_empty(dir)? {
                return Err(Trouble::failed(
                    "no clone is unfinished here: the data directory is left alone",
                ));
            }
            remove_contents(dir)?;
        }
        DiscardReason::BootstrapFailed => {
            // What was put here meanwhile is not what the founding has made.
            let made = context.marks.is_set(Unfinished::Roles)?
                || context.marks.is_set(Unfinished::Clone)?;
            if !made && !is_empty(dir)? {
                return Err(Trouble::failed(
                    "no founding is unfinished here: the data directory is left alone",
                ));
            }
            remove_contents(dir)?;
        }
        DiscardReason::ReinitRequested
        | DiscardReason::RewindFailed
        | DiscardReason::DivergedTimelines => {
            // A copy that was never finished is no member's data: moved aside, it would push out the last whole one.
            let unfinished = context.marks.is_set(Unfinished::Clone)?;
            if settings.aside == AsideCopies::KeepNone || unfinished {
                remove_contents(dir)?;
            } else {
                move_aside(work)?;
            }
        }
    }
    context.marks.forget_leading()?;
    context.marks.clear(Unfinished::Rewind)?;
    context.marks.clear(Unfinished::Roles)?;
    context.marks.clear(Unfinished::Clone)?;
    Ok(Ended::Done)
}

fn move_aside(work: &Work) -> Outcome {
    let settings = work.settings();
    let dir = &settings.data_dir;
    if is_empty(dir)? {
        return Ok(());
    }
    // Where data_dir is a link, what it leads to is moved, and the link stays.
    let dir = &fs::canonicalize(dir).map_err(|e| Trouble::file("resolve", dir, &e))?;
    let older = aside_copies(dir)?;
    let stamp = jiff::Timestamp::now()
        .strftime("%Y%m%dT%H%M%S%3f")
        .to_string();
    let suffix = format!(".aside.{stamp}");
    // WAL and tablespaces that lie elsewhere move too: a new base backup wants their places empty.
    for link in outside_links(dir) {
        let target = fs::read_link(&link).map_err(|e| Trouble::file("read", &link, &e))?;
        let moved = with_suffix(&target, &suffix);
        rename(&target, &moved)?;
        fs::remove_file(&link).map_err(|e| Trouble::file("remove", &link, &e))?;
        std::os::unix::fs::symlink(&moved, &link).map_err(|e| Trouble::file("link", &link, &e))?;
    }
    let aside = with_suffix(dir, &suffix);
    rename(dir, &aside)?;
    make_private_dir(dir)?;
    dir.parent().map_or(Ok(()), sync_dir)?;
    work.progress(format!("moved the data directory to {}", aside.display()));
    match settings.aside {
        AsideCopies::KeepAll | AsideCopies::KeepNone => Ok(()),
        AsideCopies::KeepNewest => older.iter().try_for_each(|copy| {
            remove_contents(copy)?;
            fs::remove_dir(copy).map_err(|e| Trouble::file("remove", copy, &e))
        }),
    }
}

fn rename(from: &Path, to: &Path) -> Outcome {
    fs::rename(from, to).map_err(|e| {
        let (from, to) = (from.display(), to.display());
        Trouble::failed(format!("cannot move {from} to {to}: {e}; a mount point cannot be moved: use a directory below it as data_dir"))
    })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Data directories that were moved aside earlier.
fn aside_copies(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}.aside.", name.to_string_lossy());
    let entries = fs::read_dir(parent).map_err(|e| Trouble::file("read", parent, &e))?;
    let is_copy = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with(&prefix))
    };
    Ok(entries
        .flatten()
        .map(|e| e.path())
        .filter(is_copy)
        .collect())
}

/// `pg_wal` and tablespaces, where they are links to places outside.
fn outside_links(dir: &Path) -> Vec<PathBuf> {
    let tablespaces = fs::read_dir(dir.join("pg_tblspc"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path());
    let links = tablespaces.chain([dir.join("pg_wal")]);
    links
        .filter(|path| path.is_symlink() && path.is_dir())
        .collect()
}

pub fn is_empty(dir: &Path) -> Outcome<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
        Err(e) => Err(Trouble::file("read", dir, &e)),
    }
}

/// Empties `dir`, and WAL and tablespaces that lie elsewhere; the directory itself stays (it may be a mount point).
pub fn remove_contents(dir: &Path) -> Outcome {
    if is_empty(dir)? {
        return make_private_dir(dir);
    }
    for link in outside_links(dir) {
        if let Ok(target) = fs::canonicalize(&link) {
            empty(&target)?;
        }
    }
    empty(dir)
}

fn empty(dir: &Path) -> Outcome {
    let entries = fs::read_dir(dir).map_err(|e| Trouble::file("read", dir, &e))?;
    for entry in entries {
        let path = entry.map_err(|e| Trouble::file("read", dir, &e))?.path();
        let removed = if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(|e| Trouble::file("remove", &path, &e))?;
    }
    sync_dir(dir)
}
