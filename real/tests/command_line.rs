//! What the program says and how it ends before any agent lives.

use std::path::PathBuf;
use std::process::{Command, Output};

const GOOD: &str = "\
scope: demo
name: a
restapi: {listen: '127.0.0.1:8008'}
etcd3: {hosts: '127.0.0.1:1'}
postgresql: {listen: '127.0.0.1:5432', data_dir: /nowhere/data}
";

fn tanist(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tanist"))
        .args(arguments)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tanist-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_good_configuration_passes_in_silence() {
    let path = file("good.yml", GOOD);
    let done = tanist(&["--validate-config", path.to_str().unwrap()], &[]);
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn every_problem_is_told_at_once_each_with_its_line() {
    let text = GOOD
        .replace("scope: demo", "skope: demo")
        .replace("127.0.0.1:5432", "127.0.0.1");
    let path = file(
        "bad.yml",
        &text.replace("data_dir: /nowhere/data", "data_dir: nowhere"),
    );
    let done = tanist(&["--validate-config", path.to_str().unwrap()], &[]);
    let told = String::from_utf8_lossy(&done.stderr).replace(path.to_str().unwrap(), "FILE");
    assert_eq!(done.status.code(), Some(1));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines,
        [
            "FILE:1: scope: is required and was not given; write the name of the cluster",
            "FILE:5: postgresql.data_dir: expected an absolute path; write it from `/` on",
            "FILE:1: skope: is not a setting that Tanist knows; did you mean `scope`?",
        ]
    );
    std::fs::remove_file(path).unwrap();
}

#[test]
fn without_any_configuration_it_says_what_is_required() {
    let done = tanist(&[], &[]);
    let told = String::from_utf8_lossy(&done.stderr).to_string();
    assert_eq!(done.status.code(), Some(1));
    for key in ["scope", "name", "etcd3", "restapi", "postgresql"] {
        assert!(told.contains(&format!(": {key}: is required")), "{told}");
    }
}

#[test]
fn a_file_that_is_no_recording_is_refused_at_its_line() {
    let path = file("not-a-recording.jsonl", "{}\n");
    let done = tanist(&["--replay", path.to_str().unwrap()], &[]);
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).starts_with("line 1, line: recorded {},"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_state_directory_that_cannot_be_made_ends_the_start() {
    let path = file("state.yml", GOOD);
    let env = [("TANIST_STATE_DIR", "/proc/nowhere/state")];
    let done = tanist(&[path.to_str().unwrap()], &env);
    let told = String::from_utf8_lossy(&done.stderr).to_string();
    assert_eq!(done.status.code(), Some(1), "{told}");
    assert!(
        told.contains("not started: /proc/nowhere/state cannot be created"),
        "{told}"
    );
    std::fs::remove_file(path).unwrap();
}
