//! What the tests of the whole cluster share: the binaries under test and the pace they run at.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use tanist::testbed::cluster::{Cluster, Plan};
use tanist::testbed::template::Pace;

/// The pace of this run: `TANIST_PACE=default` is what `make test-all` adds.
pub fn pace() -> Pace {
    match std::env::var("TANIST_PACE").as_deref() {
        Ok("default") => Pace::Default,
        Ok("floor") => Pace::Floor,
        Ok("fast") | Err(_) => Pace::Fast,
        Ok(other) => panic!("TANIST_PACE={other}: fast, floor or default"),
    }
}

pub fn plan() -> Plan {
    Plan::three(Path::new(env!("CARGO_BIN_EXE_tanist")), pace())
}

pub fn healthy_cluster() -> Cluster {
    Cluster::start(&plan()).unwrap_or_else(|why| panic!("{why:?}"))
}

/// `tanistctl` as an administrator types it.
pub fn tanistctl(config: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tanistctl"))
        .arg("-c")
        .arg(config)
        .args(arguments)
        .output()
        .unwrap()
}

/// What is promised without exception. A test that fails for another reason may be tried again, since a machine that
/// stands still breaks a bound that holds; a promise that was broken once stays broken: it is written down where the
/// caller of all tests looks (`TANIST_BROKEN_PROMISES`).
pub fn promise(holds: bool, story: impl FnOnce() -> String) {
    if holds {
        return;
    }
    let story = story();
    if let Some(path) = std::env::var_os("TANIST_BROKEN_PROMISES") {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path);
        let name = std::thread::current()
            .name()
            .unwrap_or_default()
            .to_string();
        let first = story.lines().next().unwrap_or_default();
        file.and_then(|mut file| writeln!(file, "{name}: {first}"))
            .unwrap();
    }
    panic!("{story}");
}
