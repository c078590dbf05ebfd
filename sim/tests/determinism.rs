//! One plan is one run: in two fresh processes, with different environments, the merged trace is the
//! same to the last byte, and ends with the same next draw of every stream.

use std::path::{Path, PathBuf};
use std::process::Command;
use tanist_core::time::Span;
use tanist_sim::scenario::print::print;
use tanist_sim::swarm;

/// The trace that a fresh process writes of `plan`.
fn trace_in_a_process_of_its_own(scenario: &Path, nth: usize) -> Vec<u8> {
    let trace = scenario.with_extension(format!("{nth}.trace"));
    let ended = Command::new(env!("CARGO_BIN_EXE_tanist-sim"))
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
    std::fs::read(&trace).expect("the trace was written")
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("the test's folder can be made");
    folder
}

#[test]
fn one_plan_in_two_fresh_processes_writes_the_same_bytes() {
    let folder = folder("determinism");
    for seed in 1..=4 {
        let scenario = folder.join(format!("{seed}.scn"));
        let plan = swarm::plan(seed, Span::secs(240));
        std::fs::write(&scenario, print(&plan)).expect("the plan can be written");
        let first = trace_in_a_process_of_its_own(&scenario, 1);
        let second = trace_in_a_process_of_its_own(&scenario, 2);
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
