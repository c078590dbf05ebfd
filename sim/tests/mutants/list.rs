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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    About,
    Find,
    Becomes,
}

/// All of them, by name.
pub fn read(root: &Path) -> BTreeMap<String, Vec<Edit>> {
    let path = root.join("sim/tests/mutants.txt");
    let text = std::fs::read_to_string(&path).expect("sim/tests/mutants.txt can be read");
    let mut all: BTreeMap<String, Vec<Edit>> = BTreeMap::new();
    let mut name = String::new();
    let mut part = Part::About;
    for (at, line) in text.lines().map(str::trim).enumerate() {
        let at = at + 1;
        if line.is_empty() {
            part = Part::About;
        } else if let Some(next) = line.strip_prefix("mutant ") {
            name = next.to_string();
            let known = all.insert(name.clone(), Vec::new()).is_some();
            assert!(!known, "mutants.txt, line {at}: {name} is there twice");
        } else if let Some(file) = line.strip_prefix("in ").filter(|_| all.contains_key(&name)) {
            let file = file.to_string();
            all.entry(name.clone()).or_default().push(Edit {
                file,
                ..Edit::default()
            });
            part = Part::Find;
        } else if line == "becomes" && part == Part::Find {
            part = Part::Becomes;
        } else if let Some(edit) = all.get_mut(&name).and_then(|edits| edits.last_mut()) {
            match part {
                Part::About => {
                    panic!("mutants.txt, line {at}: neither `in FILE` nor `mutant NAME`")
                }
                Part::Find => edit.find.push(line.to_string()),
                Part::Becomes => edit.becomes.push(line.to_string()),
            }
        }
    }
    for (name, edits) in &all {
        let whole = |edit: &Edit| !edit.find.is_empty() && !edit.becomes.is_empty();
        assert!(
            !edits.is_empty() && edits.iter().all(whole),
            "mutants.txt: {name} says nothing of what becomes of which lines"
        );
    }
    all
}
