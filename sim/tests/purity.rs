//! Does anything that could touch the outside world hide behind the dependencies of core? Each name here is a
//! decision. It lives here because core itself may start no process, not even in a test.

use std::collections::BTreeSet;
use std::process::Command;

/// serde and serde_json: codecs and traces. rand_chacha: jitter from the seed. The rest is what they stand on.
const ALLOWED: [&str; 16] = [
    "itoa",
    "memchr",
    "ppv-lite86",
    "proc-macro2",
    "quote",
    "rand_chacha",
    "rand_core",
    "ryu",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "syn",
    "tanist-core",
    "unicode-ident",
    "zerocopy",
];
/// Newer serde_json writes numbers with it in place of ryu.
const ALSO_ALLOWED: [&str; 2] = ["zmij", "zerocopy-derive"];

#[test]
fn core_depends_on_nothing_that_can_touch_the_outside_world() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "-p",
            "tanist-core",
            "-e",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(
        found.contains("serde_json"),
        "cargo tree told nothing: {text}"
    );
    let allowed: BTreeSet<&str> = ALLOWED.iter().chain(&ALSO_ALLOWED).copied().collect();
    let strangers: Vec<&&str> = found.difference(&allowed).collect();
    assert!(
        strangers.is_empty(),
        "core gained {strangers:?}: say in the commit why it may, and that it does no IO, then add it here"
    );
}
