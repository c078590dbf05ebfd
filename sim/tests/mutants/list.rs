//! Reads `mutants.txt`: deliberate bugs inside the core and the fakes, each as lines of a source file and what they
//! become. Knows nothing of scenarios.

use std::collections::BTreeMap;
use std::path::Path;

/// One line of a source file, or several, and what is put in their place. Indentation does not count.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    pub file: String,
    pub find: Vec<String>,
    pub becomes: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Mutant {
    /// What it undoes, in a sentence.
    pub what: String,
    pub edits: Vec<Edit>,
    /// Rules that would catch it as well, and are undone together with it.
    pub with: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    About,
    Find,
    Becomes,
}

/// All of them, by name.
pub fn read(root: &Path) -> BTreeMap<String, Mutant> {
    let path = root.join("sim/tests/mutants.txt");
    let text = std::fs::read_to_string(&path).expect("sim/tests/mutants.txt can be read");
    let mut all: BTreeMap<String, Mutant> = BTreeMap::new();
    let mut name = String::new();
    let mut part = Part::About;
    for (at, line) in text.lines().map(str::trim).enumerate() {
        let at = at + 1;
        if line.is_empty() {
            part = Part::About;
        } else if let Some(next) = line.strip_prefix("mutant ") {
            name = next.to_string();
            let known = all.insert(name.clone(), Mutant::default()).is_some();
            assert!(!known, "mutants.txt, line {at}: {name} is there twice");
        } else if let Some(file) = line.strip_prefix("in ").filter(|_| all.contains_key(&name)) {
            let file = file.to_string();
            all.entry(name.clone()).or_default().edits.push(Edit {
                file,
                ..Edit::default()
            });
            part = Part::Find;
        } else if let Some(other) = line
            .strip_prefix("with ")
            .filter(|_| part == Part::About && all.contains_key(&name))
        {
            let other = other.to_string();
            all.entry(name.clone()).or_default().with.push(other);
        } else if line == "becomes" && part == Part::Find {
            part = Part::Becomes;
        } else if let Some(edit) = all.get_mut(&name).and_then(|m| m.edits.last_mut()) {
            match part {
                Part::About => {
                    panic!("mutants.txt, line {at}: neither `in FILE` nor `mutant NAME`")
                }
                Part::Find => edit.find.push(line.to_string()),
                Part::Becomes => edit.becomes.push(line.to_string()),
            }
        } else if let Some(mutant) = all.get_mut(&name) {
            mutant.what = line.to_string();
        }
    }
    for (name, Mutant { edits, with, .. }) in &all {
        for other in with {
            assert!(
                all.contains_key(other),
                "mutants.txt: {name} goes with {other}, which is not there"
            );
        }
        let whole = |edit: &Edit| !edit.find.is_empty() && !edit.becomes.is_empty();
        assert!(
            !edits.is_empty() && edits.iter().all(whole),
            "mutants.txt: {name} says nothing of what becomes of which lines"
        );
    }
    all
}
