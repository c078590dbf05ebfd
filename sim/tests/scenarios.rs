//! Every file under `scenarios/` is one test of its name: it must hold, tell the story that its golden
//! timeline keeps, and fail in a world with the deliberate bug that its header names.

use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::path::Path;
use tanist_sim::attempt::{honestly, sabotaged};
use tanist_sim::library::{self, Compared};
use tanist_sim::report::timeline;
use tanist_sim::sabotage::Canary;

fn main() {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join("scenarios");
    let files = library::scenarios(&folder).expect("the scenarios folder can be read");
    assert!(!files.is_empty(), "no scenario below {}", folder.display());
    let mutants = mutants(&root);
    let mut trials = Vec::new();
    for file in files {
        let name = name_of(&file, &folder);
        let golden = library::golden_of(&file, &folder, &root.join("reports/timelines"));
        let honest_file = file.clone();
        trials.push(Trial::test(format!("{name} holds"), move || {
            holds(&honest_file, &golden)
        }));
        let mutants = mutants.clone();
        trials.push(Trial::test(
            format!("{name} fails on its canary"),
            move || fails_on_its_canary(&file, &mutants),
        ));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Bugs that only a build of their own has.
fn mutants(root: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root.join("sim/tests/mutants.txt"));
    let text = text.expect("sim/tests/mutants.txt can be read");
    let named = text.lines().filter_map(|line| line.strip_prefix("mutant "));
    named.map(str::to_string).collect()
}

fn name_of(file: &Path, folder: &Path) -> String {
    let below = file.strip_prefix(folder).unwrap_or(file).with_extension("");
    below.display().to_string()
}

fn holds(file: &Path, golden: &Path) -> Result<(), Failed> {
    let plan = library::load(file)?;
    let outcome = honestly(&plan);
    if !outcome.verdict.held() {
        let story = timeline::excerpt(&plan, &outcome, 40);
        return Err(format!("{}\n{story}", outcome.verdict.sentence()).into());
    }
    match library::compare(golden, &timeline::page(&plan, &outcome)) {
        Compared::Same => Ok(()),
        Compared::New => Err("no golden timeline is kept: tanist-sim run --bless".into()),
        Compared::Changed { line, kept, told } => Err(format!(
            "the story changed in line {line}:\n- {kept}\n+ {told}\nif this is meant: tanist-sim run --bless"
        )
        .into()),
    }
}

/// A scenario that cannot fail says nothing: in the world of each bug that it names, it must. `mutants`: bugs that only
/// a build of their own has (`make mutants`).
fn fails_on_its_canary(file: &Path, mutants: &BTreeSet<String>) -> Result<(), Failed> {
    let plan = library::load(file)?;
    let names = plan.fails_on();
    if names.is_empty() {
        return Err("its header names no bug on which it fails (`# fails on: NAME`)".into());
    }
    for name in names.into_iter().filter(|name| !mutants.contains(*name)) {
        let canary = Canary::named(name).ok_or_else(|| format!("there is no canary {name}"))?;
        if sabotaged(&plan, canary).verdict.held() {
            return Err(format!("it holds in a world with the bug {name}").into());
        }
    }
    Ok(())
}
