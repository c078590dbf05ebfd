//! A copy of the workspace's sources, for bugs to be put into: read whole, changed in memory, written where it changed.

use std::collections::BTreeMap;
use std::path::Path;

/// Texts by their path below the root.
pub type Texts = BTreeMap<String, String>;

/// What the copy needs of the workspace.
const COPIED: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "core",
    "sim",
    "real",
];

/// All texts of these files and folders.
pub fn read(root: &Path, parts: &[&str]) -> Texts {
    let mut texts = Texts::new();
    for part in parts {
        collect(root, &root.join(part), &mut texts);
    }
    texts
}

/// Everything that a build needs.
pub fn sources(root: &Path) -> Texts {
    read(root, &COPIED)
}

fn collect(root: &Path, at: &Path, texts: &mut Texts) {
    if at.is_dir() {
        let entries = std::fs::read_dir(at).expect("a folder of the sources can be read");
        for entry in entries {
            collect(root, &entry.expect("an entry").path(), texts);
        }
    } else if let (Ok(below), Ok(text)) = (at.strip_prefix(root), std::fs::read_to_string(at)) {
        texts.insert(below.display().to_string(), text);
    }
}

/// Adds a module of that name to the copied core: the switch that the bugs stand behind.
pub fn add_switch(copy: &mut Texts, switch: String) {
    let library = copy.get_mut("core/src/lib.rs").expect("the core is there");
    library.push_str("pub mod mutant;\n");
    copy.insert("core/src/mutant.rs".into(), switch);
}

pub fn write(tree: &Path, texts: &Texts) {
    let left = sources(tree);
    for file in left.keys().filter(|file| !texts.contains_key(*file)) {
        std::fs::remove_file(tree.join(file)).expect("what is no source any more can be removed");
    }
    // What did not change is not built again.
    for (file, text) in texts
        .iter()
        .filter(|(file, text)| left.get(*file) != Some(text))
    {
        let path = tree.join(file);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
        std::fs::write(&path, text).expect("the copy can be written");
    }
}
