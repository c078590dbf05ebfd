//! What is known of each mutant already, so that a run that was ended goes on where it was. A kill stays one as long
//! as core's sources are the same; a survivor is tried again when the tests or the scenarios are others.

use super::tree::fingerprint;
use super::trial::Verdict;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

pub struct Kept {
    file: PathBuf,
    /// What the mutants are tried against.
    against: String,
    verdicts: BTreeMap<String, Verdict>,
}

impl Kept {
    pub fn read(root: &Path, target: &Path) -> Kept {
        let core = fingerprint(root, &["core/src", "sim/src"]);
        let against = fingerprint(root, &["core/tests", "scenarios", "reports/timelines"]);
        let file = target.join(format!("verdicts-{core}.tsv"));
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mut verdicts = BTreeMap::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            if let [name, word, detail, tried_against] = fields[..]
                && let Some(verdict) = verdict(word, detail)
                && (killed(&verdict) || verdict == Verdict::Later || tried_against == against)
            {
                verdicts.insert(name.to_string(), verdict);
            }
        }
        Kept {
            file,
            against,
            verdicts,
        }
    }

    pub fn get(&self, name: &str) -> Option<&Verdict> {
        self.verdicts.get(name)
    }

    /// Is its end known?
    pub fn is_settled(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| *v != Verdict::Later)
    }

    pub fn keep(&mut self, name: &str, verdict: Verdict) {
        let (word, detail) = words(&verdict);
        let line = format!("{name}\t{word}\t{detail}\t{}\n", self.against);
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.file);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("a verdict can be kept");
        self.verdicts.insert(name.into(), verdict);
    }
}

pub fn killed(verdict: &Verdict) -> bool {
    !matches!(
        verdict,
        Verdict::Survived | Verdict::NeverReached | Verdict::Later
    )
}

pub fn words(verdict: &Verdict) -> (&'static str, &str) {
    match verdict {
        Verdict::Tests(by) => ("tests", by),
        Verdict::Scenarios(by) => ("scenarios", by),
        Verdict::Swarm => ("swarm", ""),
        Verdict::Timeout(of) => ("timeout", of),
        Verdict::Survived => ("survived", ""),
        Verdict::NeverReached => ("never reached", ""),
        Verdict::Later => ("later", ""),
    }
}

fn verdict(word: &str, detail: &str) -> Option<Verdict> {
    let detail = detail.to_string();
    let all = [
        Verdict::Tests(detail.clone()),
        Verdict::Scenarios(detail.clone()),
        Verdict::Swarm,
        Verdict::Timeout(detail),
        Verdict::Survived,
        Verdict::NeverReached,
        Verdict::Later,
    ];
    all.into_iter().find(|verdict| words(verdict).0 == word)
}
