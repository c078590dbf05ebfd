//! `make demo` as a person has it: watched to its end, ended from elsewhere, begun again, and interrupted.

use rustix::process::Signal;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;
use tanist::testbed::{process, wait_for};

const DEMO: &str = env!("CARGO_BIN_EXE_tanist-demo");
/// The default timings, twice: half a minute of lease, and what a slow machine adds.
const WATCHED: Duration = Duration::from_secs(120);

struct Demo {
    child: Child,
    folder: PathBuf,
    told: PathBuf,
}

impl Demo {
    fn watch(folder: &Path) -> Demo {
        let told = folder.with_extension("told");
        let to = File::create(&told).unwrap();
        let child = Command::new(DEMO)
            .args(["watch", "--folder"])
            .arg(folder)
            .stdout(to.try_clone().unwrap())
            .stderr(to)
            .spawn()
            .unwrap();
        let folder = folder.to_path_buf();
        Demo {
            child,
            folder,
            told,
        }
    }

    fn wait_told(&mut self, words: &str, limit: Duration) -> String {
        let told = wait_for(words, limit, || {
            let ended = self.child.try_wait().unwrap();
            let told = std::fs::read_to_string(&self.told).map_err(|e| e.to_string())?;
            if told.contains(words) {
                return Ok(told);
            }
            assert_eq!(ended, None, "it ended: {told}");
            Err(told)
        });
        told.unwrap()
    }

    /// By a signal that it has seen.
    fn ends(&mut self) {
        let limit = Duration::from_secs(30);
        let ended = wait_for("the demonstration ends", limit, || {
            let status = self.child.try_wait().map_err(|e| e.to_string())?;
            status.ok_or_else(|| "it runs".to_string())
        });
        assert_eq!(ended.unwrap().code(), Some(130));
    }
}

fn stop(folder: &Path) {
    let ended = Command::new(DEMO)
        .args(["stop", "--folder"])
        .arg(folder)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
}

fn assert_nothing_is_left(folder: &Path) {
    let mut left = process::started_on(folder);
    left.extend(process::of_instances_below(folder));
    assert!(left.is_empty(), "{left:?}");
    assert!(!folder.exists());
}

impl Drop for Demo {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            stop(&self.folder);
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.told);
    }
}

#[test]
fn the_demonstration_leaves_a_cluster_running_and_nothing_behind() {
    let folder = std::env::temp_dir().join(format!("tanist-demo-test-{}", std::process::id()));
    let mut demo = Demo::watch(&folder);
    let told = demo.wait_told("Ctrl-C here, or make demo-stop elsewhere", WATCHED);
    for claim in [
        "by term",
        "discarded by pg_rewind",
        "Successfully switched over",
        "the same to the last byte",
        "HAProxy's statistics",
    ] {
        assert!(told.contains(claim), "{claim} is not in\n{told}");
    }
    assert!(!process::of_instances_below(&folder).is_empty());
    stop(&folder);
    demo.ends();
    assert_nothing_is_left(&folder);

    let mut again = Demo::watch(&folder);
    again.wait_told("rows a second", WATCHED);
    process::signal(again.child.id(), Signal::INT);
    again.ends();
    assert_nothing_is_left(&folder);
}
