//! What cargo-mutants would change, as it lists it: where, and into what. Knows nothing of how it is switched on.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// How a mutant changes the source, in cargo-mutants' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Clone, Debug)]
pub struct Mutant {
    /// `core/src/decide.rs:298:59: replace && with || in Agent::decide_busy`.
    pub name: String,
    pub file: String,
    /// Counted from 1, as compilers do.
    pub line: usize,
    pub column: usize,
    pub genre: Genre,
    pub replacement: String,
}

/// What decides and plans, the weightiest first. The codecs (`*_json`, `iso`, `config`, `keys`, `member`, `record`) and
/// what only words and numbers are made of have tables of their own in core's tests, and are not looked at here.
pub const SCOPE: [&str; 33] = [
    "decide",
    "election",
    "tenure",
    "handover",
    "rejoin",
    "agent",
    "fencing",
    "leader_key",
    "founding",
    "candidate",
    "divergence",
    "timeline",
    "forgotten",
    "pause",
    "slots",
    "carry_out",
    "lane",
    "publish",
    "store",
    "local",
    "requests",
    "exchange",
    "exchange/verdict",
    "exchange/transaction",
    "exchange/asking",
    "exchange/session",
    "params",
    "shortfall",
    "copies",
    "cluster",
    "postgres",
    "health",
    "wake",
];

/// `core/src/decide.rs` -> `decide`.
pub fn noun(file: &str) -> &str {
    let below = file.strip_prefix("core/src/").unwrap_or(file);
    below.strip_suffix(".rs").unwrap_or(below)
}

/// All mutants of what decides, the weightiest files first.
pub fn list(root: &Path) -> Vec<Mutant> {
    let output = Command::new("cargo-mutants")
        .args(["mutants", "--list", "--json", "-p", "tanist-core"])
        .current_dir(root)
        .output()
        .expect("cargo-mutants can be started (cargo install cargo-mutants --locked)");
    assert!(
        output.status.success(),
        "cargo-mutants lists nothing: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a list in JSON");
    let mut all: Vec<Mutant> = all.iter().map(read).collect();
    let weight = |mutant: &Mutant| SCOPE.iter().position(|n| *n == noun(&mutant.file));
    // How a value is worded decides nothing.
    all.retain(|mutant| weight(mutant).is_some() && !mutant.name.contains("::fmt"));
    all.sort_by_key(|mutant| (weight(mutant), mutant.line, mutant.column));
    all
}

fn read(value: &Value) -> Mutant {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_string();
    let start = &value["span"]["start"];
    let number = |key: &str| start[key].as_u64().expect("a place") as usize;
    let genre = match text("genre").as_str() {
        "FnValue" => Genre::FnValue,
        "BinaryOperator" => Genre::BinaryOperator,
        "UnaryOperator" => Genre::UnaryOperator,
        "MatchArm" => Genre::MatchArm,
        "MatchArmGuard" => Genre::MatchArmGuard,
        "StructField" => Genre::StructField,
        other => panic!("cargo-mutants knows of a genre {other} that is new here"),
    };
    Mutant {
        name: text("name"),
        file: text("file"),
        line: number("line"),
        column: number("column"),
        genre,
        replacement: text("replacement"),
    }
}

impl Mutant {
    /// `decide.rs: replace && with || in Agent::decide_busy`: what stays when lines above it come and go.
    pub fn without_line(&self) -> String {
        let (_, what) = self.name.split_once(": ").unwrap_or(("", &self.name));
        format!("{}.rs: {what}", noun(&self.file))
    }
}
