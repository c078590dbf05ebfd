//! One plan is one run: in two fresh processes, with different environments, the merged trace is the
//! same to the last byte, and ends with the same next draw of every stream. `make determinism` asks that of 200 seeds,
//! and of a build of another profile.

use std::path::{Path, PathBuf};
use std::process::Command;
use tanist_core::time::Span;
use tanist_sim::scenario::print::print;
use tanist_sim::swarm;

/// The simulators to compare: this build twice, or this one and the other that `TANIST_OTHER_SIMULATOR` names.
fn simulators() -> [PathBuf; 2] {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_tanist-sim"));
    let other = std::env::var_os("TANIST_OTHER_SIMULATOR").map(PathBuf::from);
    [own.clone(), other.unwrap_or(own)]
}

fn seeds() -> u64 {
    let asked = std::env::var("TANIST_SEEDS").ok();
    asked.map_or(4, |count| count.parse().expect("TANIST_SEEDS is a number"))
}

/// The trace that a fresh process writes of `plan`.
fn trace_in_a_process_of_its_own(simulator: &Path, scenario: &Path, nth: usize) -> Vec<u8> {
    let trace = scenario.with_extension(format!("{nth}.trace"));
    let ended = Command::new(simulator)
        .arg("run")
        .arg(scenario)
        .args(["--timelines", "no-such-folder", "--trace"])
        .arg(&trace)
        .env("TANIST_SIM_TEST_NOISE", "x".repeat(nth * 100))
        .output()
        .expect("the simulator starts");
    assert_ne!(
        ended.status.code(),
        Some(125),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let told = std::fs::read(&trace).expect("the trace was written");
    std::fs::remove_file(&trace).expect("the trace can be removed");
    told
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("the test's folder can be made");
    folder
}

#[test]
fn one_plan_in_two_fresh_processes_writes_the_same_bytes() {
    let folder = folder("determinism");
    let [one, other] = simulators();
    for seed in 1..=seeds() {
        let scenario = folder.join(format!("{seed}.scn"));
        let plan = swarm::plan(seed, Span::secs(240));
        std::fs::write(&scenario, print(&plan)).expect("the plan can be written");
        let first = trace_in_a_process_of_its_own(&one, &scenario, 1);
        let second = trace_in_a_process_of_its_own(&other, &scenario, 2);
        assert!(
            first.len() > 1_000,
            "seed {seed} left a trace of {} bytes",
            first.len()
        );
        assert!(
            first == second,
            "seed {seed} ran differently the second time"
        );
    }
}
