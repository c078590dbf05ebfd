//! The agent's own flight recordings of some time, for whoever collects an incident. No secret is in a recording; it
//! still tells more than a health check, so it is for those who may change things.

use super::outcome::Reply;
use crate::recorder::segments::{Segment, list};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tanist_core::time::Wall;

/// Whole segments are given, those in which something was handled between the two instants, in their order.
pub async fn reply(dir: PathBuf, query: &str) -> Reply {
    let (from, until) = match (instant(query, "from="), instant(query, "until=")) {
        (Some(from), Some(until)) if from <= until => (from, until),
        _ => {
            return Reply::text(
                400,
                "from and until must be microseconds since 1970, in this order",
            );
        }
    };
    // Files can take their time; nobody else's answer waits for them.
    let read = tokio::task::spawn_blocking(move || between(&dir, from, until)).await;
    match read {
        Ok(Ok(text)) => Reply::text(200, text),
        Ok(Err(why)) => Reply::text(503, format!("the recordings cannot be read: {why}")),
        Err(why) => Reply::text(503, format!("the recordings cannot be read: {why}")),
    }
}

fn instant(query: &str, name: &str) -> Option<Wall> {
    let given = query.split('&').find_map(|part| part.strip_prefix(name))?;
    given.parse().ok().map(Wall)
}

fn between(dir: &Path, from: Wall, until: Wall) -> std::io::Result<String> {
    let mut text = String::new();
    for segment in list(dir)? {
        let Some(lines) = read(dir, &segment)? else {
            continue;
        };
        let mut instants = lines.lines().filter_map(handled_at);
        if let Some(first) = instants.next() {
            let last = instants.next_back().unwrap_or(first);
            if first <= until && last >= from {
                text.push_str(&lines);
            }
        }
    }
    Ok(text)
}

/// `None`: it was removed since it was listed, to make room.
fn read(dir: &Path, segment: &Segment) -> std::io::Result<Option<String>> {
    match std::fs::read(segment.path(dir)) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// Just enough of a line to see when it was written.
#[derive(Deserialize)]
struct Line {
    handle: Option<Handle>,
}
#[derive(Deserialize)]
struct Handle {
    now: Now,
}
#[derive(Deserialize)]
struct Now {
    wall: Wall,
}

fn handled_at(line: &str) -> Option<Wall> {
    let line: Line = serde_json::from_str(line).ok()?;
    Some(line.handle?.now.wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(dir: &Path, number: u64, walls: &[i64]) {
        let line =
            |wall| format!("{{\"handle\":{{\"n\":1,\"now\":{{\"mono\":1,\"wall\":{wall}}}}}}}\n");
        let text: String = walls.iter().map(line).collect();
        std::fs::write(dir.join(Segment::file_name(number, false)), text).unwrap();
    }

    #[test]
    fn segments_of_the_time_that_was_asked_for_are_given_whole_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        segment(dir.path(), 1, &[10, 20]);
        segment(dir.path(), 2, &[30, 40]);
        segment(dir.path(), 3, &[50]);
        segment(dir.path(), 4, &[]);
        std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
        let given = |from, until| -> Vec<i64> {
            let text = between(dir.path(), Wall(from), Wall(until)).unwrap();
            text.lines()
                .filter_map(handled_at)
                .map(|wall| wall.0)
                .collect()
        };
        assert_eq!(given(0, 9), [0; 0]);
        assert_eq!(given(35, 36), [30, 40]);
        assert_eq!(given(20, 50), [10, 20, 30, 40, 50]);
        assert!(between(&dir.path().join("none"), Wall(0), Wall(1)).is_err());
    }

    #[test]
    fn an_interval_that_makes_no_sense_is_refused() {
        assert_eq!(instant("from=5&until=7", "until="), Some(Wall(7)));
        assert_eq!(instant("from=x", "from="), None);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for query in ["", "from=7&until=5", "from=a&until=5"] {
            let reply = runtime.block_on(reply(PathBuf::from("/"), query));
            assert_eq!(reply.code, 400, "{query}");
        }
    }
}
