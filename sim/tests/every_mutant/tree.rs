//! The copy of the sources in which every mutant stands behind a switch, and what it is built to. Mutants that are no
//! Rust are found out by the compiler: what it complains of is left off, until it builds.

use super::copied::{self, Texts};
use super::listed::Mutant;
use super::sites::Numbered;
use super::switched;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Enough for mutants of which one hides the next from the compiler.
const BUILDS_MAX: usize = 40;

const SWITCH: &str = "//! Which mutant is switched on, and which ones a run comes by.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

const UNKNOWN: u32 = u32::MAX;
const NONE: u32 = u32::MAX - 1;
const RECORDING: u32 = u32::MAX - 2;
static ON: AtomicU32 = AtomicU32::new(UNKNOWN);
static SEEN: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];

#[inline]
pub fn on(id: u32) -> bool {
    let on = ON.load(Relaxed);
    if on >= RECORDING {
        return rarely(on, id);
    }
    on == id
}

#[inline(never)]
fn rarely(on: u32, id: u32) -> bool {
    let told = |name| std::env::var(name).ok();
    let on = if on == UNKNOWN {
        let number = told(\"TANIST_MUTANT\").and_then(|n| n.parse().ok());
        let otherwise = if told(\"TANIST_REACHED\").is_some() { RECORDING } else { NONE };
        let on = number.unwrap_or(otherwise);
        ON.store(on, Relaxed);
        on
    } else {
        on
    };
    let seen = &SEEN[id as usize];
    if on == RECORDING && !seen.load(Relaxed) && !seen.swap(true, Relaxed) {
        let file = told(\"TANIST_REACHED\").expect(\"it is recorded\");
        let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
        let _ = writeln!(file.expect(\"what is reached can be written\"), \"{id}\");
    }
    on == id
}
";

/// What was built of the copy.
pub struct Built {
    pub simulator: PathBuf,
    /// Core's own tests: each binary with the word that names it.
    pub tests: Vec<(String, PathBuf)>,
    /// Mutants that are no Rust, or that have no place behind a switch.
    pub unviable: BTreeSet<usize>,
    /// Tells it from what other sources, tests and scenarios would give.
    pub fingerprint: String,
}

/// The copy with all of `mutants` that are Rust, built below `target`.
pub fn build(root: &Path, target: &Path, mutants: &[Mutant]) -> Built {
    let tree = target.join("tree");
    let sources = copied::sources(root);
    // Found out once for these sources.
    let known = target.join(format!("unviable-{}.txt", fingerprint(root, &["core/src"])));
    let mut unviable = read_unviable(&known, mutants);
    for _ in 0..BUILDS_MAX {
        let mut copy = sources.clone();
        let nowhere = switch_all(&mut copy, mutants, &unviable);
        unviable.extend(nowhere);
        copied::write(&tree, &copy);
        let built = build_simulator(&tree, target);
        if built.status.success() {
            let names = unviable.iter().map(|id| mutants[*id].name.clone() + "\n");
            let names: String = names.collect();
            std::fs::write(&known, names).expect("what is no Rust can be noted");
            return finish(root, target, unviable);
        }
        let wrong = complained_of(&built, &copy);
        println!("{} mutants are no Rust", wrong.len());
        assert!(
            !wrong.is_empty(),
            "the copy does not build, and no mutant is to blame: {}",
            errors(&built)
                .iter()
                .filter_map(|error| error["rendered"].as_str())
                .collect::<String>()
        );
        unviable.extend(wrong);
    }
    panic!("the copy did not build in {BUILDS_MAX} attempts");
}

fn read_unviable(known: &Path, mutants: &[Mutant]) -> BTreeSet<usize> {
    let names = std::fs::read_to_string(known).unwrap_or_default();
    let names: BTreeSet<&str> = names.lines().collect();
    let there = |id: &usize| names.contains(&*mutants[*id].name);
    (0..mutants.len()).filter(there).collect()
}

/// What tells these texts from others.
pub fn fingerprint(root: &Path, folders: &[&str]) -> String {
    let mut hasher = DefaultHasher::new();
    copied::read(root, folders).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Puts the mutants into the copy; those that found no place are returned.
fn switch_all(copy: &mut Texts, mutants: &[Mutant], left_off: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut by_file: BTreeMap<&str, Vec<Numbered<'_>>> = BTreeMap::new();
    let mut nowhere: BTreeSet<usize> = BTreeSet::new();
    for (id, mutant) in mutants.iter().enumerate() {
        if !left_off.contains(&id) {
            by_file.entry(&mutant.file).or_default().push((id, mutant));
            nowhere.insert(id);
        }
    }
    for (file, mutants) in by_file {
        let text = copy.get_mut(file).expect("the file is in the copy");
        let (out, placed) = switched::rewritten(text, &mutants);
        *text = out;
        nowhere.retain(|id| !placed.contains(id));
    }
    copied::add_switch(copy, SWITCH.replace("COUNT", &mutants.len().to_string()));
    nowhere
}

/// The simulator runs long, and is built again with each change of core: little optimised, both cost least.
const SIMULATOR: [&str; 11] = [
    "build",
    "-p",
    "tanist-sim",
    "--lib",
    "--bins",
    "--profile",
    "swarm",
    "--config",
    "profile.swarm.package.tanist-core.opt-level=1",
    "--config",
    "profile.swarm.package.tanist-sim.opt-level=1",
];

fn build_simulator(tree: &Path, target: &Path) -> Output {
    cargo(tree, target, &SIMULATOR)
}

fn cargo(tree: &Path, target: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO"))
        .args(args)
        .args(["--message-format", "json", "--target-dir"])
        .arg(target)
        .current_dir(tree)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be started")
}

fn messages(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(serde_json::from_str);
    lines.filter_map(Result::ok).collect()
}

fn errors(output: &Output) -> Vec<Value> {
    let all = messages(output).into_iter().map(|m| m["message"].clone());
    all.filter(|m| m["level"] == "error").collect()
}

/// The mutants in whose arms the compiler's errors are.
fn complained_of(output: &Output, copy: &BTreeMap<String, String>) -> BTreeSet<usize> {
    let mut wrong = BTreeSet::new();
    for error in errors(output) {
        let spans = error["spans"].as_array().cloned().unwrap_or_default();
        let (primary, others): (Vec<_>, Vec<_>) =
            spans.into_iter().partition(|s| s["is_primary"] == true);
        for span in primary.iter().chain(&others) {
            let file = span["file_name"].as_str().unwrap_or_default();
            let at = span["byte_start"].as_u64().unwrap_or_default() as usize;
            let innermost = copy.get(file).and_then(|text| arm_at(text, at));
            if innermost.is_some() {
                wrong.extend(innermost);
                break;
            }
        }
    }
    wrong
}

/// The mutant in whose arm this byte is: the innermost of those that are open there.
fn arm_at(text: &str, at: usize) -> Option<usize> {
    let mut open = Vec::new();
    for (start, _) in text[..at].match_indices("/*") {
        let mark = text[start + 2..].split("*/").next().unwrap_or_default();
        if let Some(id) = mark
            .strip_prefix('<')
            .and_then(|id| id.parse::<usize>().ok())
        {
            open.push(id);
        } else if mark
            .strip_suffix('>')
            .is_some_and(|id| id.parse::<usize>().is_ok())
        {
            open.pop();
        }
    }
    open.pop()
}

fn finish(root: &Path, target: &Path, unviable: BTreeSet<usize>) -> Built {
    let tests = ["test", "-p", "tanist-core", "--no-run"];
    let tests = cargo(&target.join("tree"), target, &tests);
    assert!(tests.status.success(), "the copy's tests do not build");
    let binaries = messages(&tests).into_iter().filter_map(|message| {
        let binary = message["executable"].as_str()?;
        let name = message["target"]["name"].as_str()?;
        Some((name.to_string(), PathBuf::from(binary)))
    });
    Built {
        simulator: target.join("swarm/tanist-sim"),
        tests: binaries.collect(),
        unviable,
        fingerprint: fingerprint(root, &["core", "sim/src", "scenarios", "reports/timelines"]),
    }
}
