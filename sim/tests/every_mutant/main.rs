//! `make cargo-mutants`: does anything notice when a rule of core is changed? Every change that cargo-mutants knows of
//! stands behind a switch in one copy of the sources, and is tried against core's tests, the scenarios and a swarm.
//!
//! `TANIST_ONLY=decide,tenure` tries these files alone, `TANIST_EVERY=10` every tenth mutant; `TANIST_MINUTES=30` ends
//! after that long. What is known stays in `target/every-mutant`, and `reports/cargo-mutants.md` is written from it.

mod copied;
mod kept;
mod listed;
mod page;
mod sites;
mod switched;
mod tree;
mod trial;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trial::Depth;

fn main() {
    // Listing must not cost a build.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs it");
    let root = Path::new(&root).join("..");
    let root = root.canonicalize().expect("the workspace is there");
    let target = root.join("target/every-mutant");
    let mutants = listed::list(&root);
    println!("{} mutants of what decides and plans", mutants.len());
    let built = tree::build(&root, &target, &mutants);
    println!("{} of them are no Rust", built.unviable.len());
    let mut kept = kept::Kept::read(&root, &target);
    let only = std::env::var("TANIST_ONLY").unwrap_or_default();
    let wanted = |file: &str| only.is_empty() || only.split(',').any(|n| n == listed::noun(file));
    let every = number("TANIST_EVERY").unwrap_or(1);
    let open: Vec<usize> = (0..mutants.len())
        .filter(|id| !built.unviable.contains(id) && wanted(&mutants[*id].file))
        .filter(|id| id % every == 0 && !kept.is_settled(&mutants[*id].name))
        .collect();
    // Whoever only wants the page needs no court.
    if !open.is_empty() && number("TANIST_MINUTES") != Some(0) {
        try_all(&root, &target, &built, &mutants, &open, &mut kept);
    }
    let reasons = page::Reasons::read(&root.join("sim/tests/every_mutant/reasons.txt"));
    let page = page::page(&mutants, &built.unviable, &kept, &reasons);
    std::fs::write(root.join("reports/cargo-mutants.md"), page).expect("the page can be written");
}

fn try_all(
    root: &Path,
    target: &Path,
    built: &tree::Built,
    mutants: &[listed::Mutant],
    open: &[usize],
    kept: &mut kept::Kept,
) {
    let minutes = number("TANIST_MINUTES").map_or(u64::MAX / 60, |m| m as u64);
    let began = Instant::now();
    let scratch = target.join("scratch");
    std::fs::create_dir_all(&scratch).expect("a folder for what is told");
    let files = scenarios(root);
    let mut court = trial::Court::convene(root, built, &files, &scratch);
    println!("all passes without a mutant, in {:.0?}", began.elapsed());
    let mut left = open.to_vec();
    for depth in [Depth::Quick, Depth::Whole] {
        let mut next = Vec::new();
        for (at, id) in left.iter().enumerate() {
            if began.elapsed() > Duration::from_secs(minutes * 60) {
                println!("{} are left for another time", next.len() + left.len() - at);
                return;
            }
            let name = &mutants[*id].name;
            let since = Instant::now();
            let verdict = court.try_one(*id, depth);
            let (word, detail) = kept::words(&verdict);
            let (of, took) = (left.len(), since.elapsed());
            println!("{}/{of} {name}: {word} {detail} ({took:.1?})", at + 1);
            if verdict == trial::Verdict::Later {
                next.push(*id);
            }
            kept.keep(name, verdict);
        }
        left = next;
    }
}

fn number(name: &str) -> Option<usize> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

fn scenarios(root: &Path) -> Vec<PathBuf> {
    let names = copied::read(root, &["scenarios"])
        .into_keys()
        .filter(|name| name.ends_with(".scn"));
    names.map(PathBuf::from).collect()
}
