//! `make mutants`: can the scenarios fail? A copy of the sources carries every deliberate bug of `mutants.txt` behind
//! a switch; each scenario must hold there with none switched on, and fail with the one that its header names.
//! The copy is built once, in a target folder of its own. `make hunt`: does the swarm alone come upon them, too?

mod alone;
mod asked;
#[path = "../every_mutant/copied.rs"]
mod copied;
mod list;
mod page;
mod switch;

use libtest_mimic::{Arguments, Failed, Trial};
use list::{Edit, Mutant};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tanist_sim::library;

fn main() {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let all = list::read(&root);
    let pairs = pairs(&root, &all);
    // Listing must not cost a build.
    let simulator = if arguments.list {
        PathBuf::new()
    } else {
        build(&root, &all)
    };
    if let Ok(runs) = std::env::var("TANIST_HUNT_RUNS") {
        let hunt = alone::Hunt {
            simulator: &simulator,
            scratch: &root.join("target/mutants"),
            page: &root.join("reports/mutants.md"),
            runs: runs.parse().expect("TANIST_HUNT_RUNS is a number"),
            minutes: minutes(),
            commit: &commit(&root),
        };
        return hunt.all(&all, &pairs);
    }
    let mut trials = Vec::new();
    for (name, file) in pairs {
        let simulator = simulator.clone();
        let title = file.with_extension("");
        let title = title.strip_prefix(root.join("scenarios")).unwrap_or(&title);
        let together = [std::slice::from_ref(&name), &all[&name].with[..]]
            .concat()
            .join(",");
        trials.push(Trial::test(
            format!("{} fails on {name}", title.display()),
            move || fails(&simulator, &file, &together),
        ));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// How long to hunt, where that is limited.
fn minutes() -> Option<u64> {
    let text = std::env::var("TANIST_HUNT_MINUTES").unwrap_or_default();
    let limited = !text.is_empty();
    limited.then(|| text.parse().expect("TANIST_HUNT_MINUTES is a number"))
}

fn commit(root: &Path) -> String {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--short=12", "HEAD"]);
    let output = git.current_dir(root).output();
    let output = output.expect("git can be started");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// Each mutant with a scenario that names it; one that no scenario names proves nothing.
fn pairs(root: &Path, all: &BTreeMap<String, Mutant>) -> Vec<(String, PathBuf)> {
    let files = library::scenarios(&root.join("scenarios")).expect("the scenarios can be read");
    let mut pairs = Vec::new();
    for file in files {
        let plan = library::load(&file).expect("the scenario can be read");
        let named = plan.fails_on();
        let named = named.into_iter().filter(|name| all.contains_key(*name));
        pairs.extend(named.map(|name| (name.to_string(), file.clone())));
    }
    let named: BTreeSet<&String> = pairs.iter().map(|(name, _)| name).collect();
    let idle: Vec<&String> = all.keys().filter(|name| !named.contains(name)).collect();
    assert!(idle.is_empty(), "no scenario names the mutants {idle:?}");
    pairs
}

/// The simulator of the copy, built.
fn build(root: &Path, all: &BTreeMap<String, Mutant>) -> PathBuf {
    let target = root.join("target/mutants");
    let tree = target.join("tree");
    let mut sources = copied::sources(root);
    for (name, mutant) in all {
        for edit in &mutant.edits {
            let text = sources
                .get_mut(&edit.file)
                .unwrap_or_else(|| panic!("{name}: there is no {}", edit.file));
            let switch = switch::asked(all, name, &edit.file);
            *text = replaced(name, &switch, edit, text);
        }
    }
    copied::add_switch(&mut sources, switch::module(all));
    copied::write(&tree, &sources);
    let built = Command::new(env!("CARGO"))
        .args(["build", "--profile", "swarm", "-p", "tanist-sim", "--bin"])
        .args(["tanist-sim", "--target-dir"])
        .arg(&target)
        .current_dir(&tree)
        .status()
        .expect("cargo can be started");
    assert!(built.success(), "the copy with the mutants does not build");
    target.join("swarm/tanist-sim")
}

/// `text` with the edit made, in the only place where its lines are.
fn replaced(name: &str, switch: &str, edit: &Edit, text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_here = |window: &[&str]| {
        window
            .iter()
            .zip(&edit.find)
            .all(|(line, wanted)| line.trim() == wanted)
    };
    let places: Vec<usize> = lines
        .windows(edit.find.len())
        .enumerate()
        .filter(|(_, window)| is_here(window))
        .map(|(at, _)| at)
        .collect();
    let [at] = places[..] else {
        panic!(
            "{name}: its lines are in {} {} times, and must be there once: {:?}",
            edit.file,
            places.len(),
            edit.find
        );
    };
    let mut out: Vec<String> = lines[..at].iter().map(ToString::to_string).collect();
    out.extend(edit.becomes.iter().map(|l| l.replace("MUTANT", switch)));
    let after = &lines[at + edit.find.len()..];
    out.extend(after.iter().map(ToString::to_string));
    out.join("\n") + "\n"
}

fn fails(simulator: &Path, file: &Path, name: &str) -> Result<(), Failed> {
    let (held, story) = judged(simulator, file, None)?;
    if !held {
        return Err(format!("it fails without the bug as well\n{story}").into());
    }
    match judged(simulator, file, Some(name))? {
        (true, _) => Err(format!("it holds in a world with the bug {name}").into()),
        (false, _) => Ok(()),
    }
}

/// Do its claims and the invariants hold? And what was told.
fn judged(simulator: &Path, file: &Path, mutant: Option<&str>) -> Result<(bool, String), Failed> {
    let mut command = Command::new(simulator);
    command.args(["run", "--claims-only"]).arg(file);
    command.env_remove(switch::ON);
    if let Some(name) = mutant {
        command.env(switch::ON, name);
    }
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => Ok((true, told)),
        Some(1) => Ok((false, told)),
        other => {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(format!("the simulator ended with {other:?}: {why}").into())
        }
    }
}
