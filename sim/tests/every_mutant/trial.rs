//! Puts one mutant to the test: core's own tests, the scenarios that come by it, a boxed swarm. The first that fails
//! ends it. What comes by which mutant is recorded beforehand, so that nothing runs that cannot tell.

use super::tree::Built;
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many drawn runs have a chance to see a mutant.
const SWARM_RUNS: &str = "300";

/// No process of a mutant may take more of the machine's memory: some grow without end.
const MEMORY_MAX_KIB: u32 = 4_000_000;

/// How a mutant ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Tests(String),
    Scenarios(String),
    Swarm,
    /// What did not come to an end.
    Timeout(String),
    Survived,
    /// Nothing comes by the place where it is.
    NeverReached,
    /// A quick look has not killed it.
    Later,
}

enum Ended {
    Passed,
    Failed(String),
    TimedOut,
}

/// One thing that may fail.
struct Step {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    folder: PathBuf,
    reaches: BTreeSet<usize>,
    took: Duration,
    /// How many mutants it has killed: who saw many is asked first.
    kills: u32,
}

pub struct Court {
    tests: Vec<Step>,
    scenarios: Vec<Step>,
    swarm: Step,
    scratch: PathBuf,
    /// What each step comes by, from an earlier run.
    known: PathBuf,
}

/// How much is spent on a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The tests and the scenarios that are worth most: nearly all fall to them, and who does not is for later.
    Quick,
    Whole,
}

/// How many scenarios a quick look takes.
const QUICK: usize = 24;

impl Court {
    /// Everything that will be run, run once without a mutant: it must pass.
    pub fn convene(root: &Path, built: &Built, files: &[PathBuf], scratch: &Path) -> Court {
        let step = |name: &str, program: &Path, args: &[&str], folder: &Path| Step {
            name: name.into(),
            program: program.into(),
            args: args.iter().map(ToString::to_string).collect(),
            folder: folder.into(),
            reaches: BTreeSet::new(),
            took: Duration::ZERO,
            kills: 0,
        };
        let core = root.join("core");
        let tests = built.tests.iter().map(|(name, binary)| {
            let args = ["--test-threads", "1", "--quiet"];
            step(name, binary, &args, &core)
        });
        let scenarios = files.iter().map(|file| {
            let name = file.display().to_string();
            step(&name, &built.simulator, &["run", &name], root)
        });
        let swarm = [
            "swarm",
            "--seed-from",
            "1",
            "--seeds",
            SWARM_RUNS,
            "--jobs",
            "1",
        ];
        let swarm = [&swarm[..], &["--finds", "1", "--shrink-runs", "0"]].concat();
        let mut court = Court {
            tests: tests.collect(),
            scenarios: scenarios.collect(),
            swarm: step("swarm", &built.simulator, &swarm, scratch),
            known: scratch.join(format!("reached-{}.tsv", built.fingerprint)),
            scratch: scratch.into(),
        };
        for step in court.tests.iter_mut().chain(&mut court.scenarios) {
            learn(step, &court.known, scratch);
        }
        court
    }

    pub fn try_one(&mut self, mutant: usize, depth: Depth) -> Verdict {
        let mut reached = false;
        for step in self.tests.iter().filter(|s| s.reaches.contains(&mutant)) {
            reached = true;
            let allowed = allowed(step.took);
            match run(step, &step.args, Some(mutant), allowed, &self.scratch) {
                Ended::Passed => {}
                Ended::Failed(_) => return Verdict::Tests(step.name.clone()),
                Ended::TimedOut => return Verdict::Timeout(step.name.clone()),
            }
        }
        if let Some(verdict) = self.tell_stories(mutant, depth, &mut reached) {
            return verdict;
        }
        if depth == Depth::Quick {
            return Verdict::Later;
        }
        learn(&mut self.swarm, &self.known, &self.scratch);
        if self.swarm.reaches.contains(&mutant) {
            reached = true;
            let step = &self.swarm;
            match run(
                step,
                &step.args,
                Some(mutant),
                allowed(step.took),
                &self.scratch,
            ) {
                Ended::Passed => {}
                Ended::Failed(_) => return Verdict::Swarm,
                Ended::TimedOut => return Verdict::Timeout(step.name.clone()),
            }
        }
        if reached {
            Verdict::Survived
        } else {
            Verdict::NeverReached
        }
    }

    /// The scenarios that come by it, few at first, since most mutants fall at once.
    fn tell_stories(&mut self, mutant: usize, depth: Depth, reached: &mut bool) -> Option<Verdict> {
        let told = |step: &&mut Step| step.reaches.contains(&mutant);
        let mut those: Vec<&mut Step> = self.scenarios.iter_mut().filter(told).collect();
        // Kills per time, cheap ones first among those that have seen nothing yet.
        let worth = |s: &Step| u128::from(s.kills + 1) * 1_000_000_000 / s.took.as_micros().max(1);
        those.sort_by_key(|step| std::cmp::Reverse(worth(step)));
        let length = those.len();
        let mut rest = match depth {
            Depth::Quick => &mut those[..QUICK.min(length)],
            Depth::Whole => &mut those[..],
        };
        let mut share = 2;
        while !rest.is_empty() {
            *reached = true;
            let (now, later) = rest.split_at_mut(share.min(rest.len()));
            let mut args = vec!["run".to_string()];
            args.extend(now.iter().map(|step| step.name.clone()));
            let took = now.iter().map(|step| step.took).sum();
            let first = &now[0];
            match run(first, &args, Some(mutant), allowed(took), &self.scratch) {
                Ended::Passed => {}
                Ended::Failed(told) => {
                    let bad = |step: &Step| !told.contains(&format!("{}: holds", step.name));
                    let by = now.iter().position(|step| bad(step)).unwrap_or(0);
                    now[by].kills += 1;
                    return Some(Verdict::Scenarios(now[by].name.clone()));
                }
                Ended::TimedOut => return Some(Verdict::Timeout("scenarios".into())),
            }
            rest = later;
            share *= 3;
        }
        None
    }
}

/// Of processor time: a machine that has other things to do kills no mutant.
fn allowed(took: Duration) -> Duration {
    took * 8 + Duration::from_secs(4)
}

/// A process that waits for ever takes no processor time.
const WAITS_MAX: u32 = 30;
const SIGXCPU: i32 = 24;

/// What the step comes by and how long it takes, as it is noted, or found out now.
fn learn(step: &mut Step, known: &Path, scratch: &Path) {
    if !step.took.is_zero() {
        return;
    }
    let text = std::fs::read_to_string(known).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    let mut mine = lines.filter(|(name, _)| *name == step.name);
    if let Some((took, reaches)) = mine.find_map(|(_, line)| noted(line)) {
        (step.took, step.reaches) = (took, reaches);
        return;
    }
    record(step, scratch);
    let ids: Vec<String> = step.reaches.iter().map(ToString::to_string).collect();
    let took = step.took.as_micros();
    let line = format!("{}\t{took}\t{}\n", step.name, ids.join(" "));
    std::fs::write(known, text + &line).expect("what is reached can be noted");
}

/// `micros<tab>1 5 8`: how long it took, and what it came by.
fn noted(line: &str) -> Option<(Duration, BTreeSet<usize>)> {
    let (took, ids) = line.split_once('\t')?;
    let ids = ids.split_whitespace().filter_map(|id| id.parse().ok());
    Some((Duration::from_micros(took.parse().ok()?), ids.collect()))
}

/// Runs it without a mutant, and notes what it comes by.
fn record(step: &mut Step, scratch: &Path) {
    let reached = scratch.join("reached");
    let _ = std::fs::remove_file(&reached);
    let began = Instant::now();
    let ended = run(step, &step.args, None, Duration::from_secs(3600), scratch);
    if let Ended::Failed(told) = ended {
        panic!("{} fails without a mutant: {told}", step.name);
    }
    step.took = began.elapsed();
    let text = std::fs::read_to_string(&reached).unwrap_or_default();
    step.reaches = text.lines().filter_map(|id| id.parse().ok()).collect();
}

fn run(
    step: &Step,
    args: &[String],
    mutant: Option<usize>,
    allowed: Duration,
    scratch: &Path,
) -> Ended {
    let told = scratch.join("told");
    let out = std::fs::File::create(&told).expect("a file for what is told");
    let errors = out.try_clone().expect("the same for errors");
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -v \"$0\"; ulimit -S -t \"$1\"; shift; exec \"$@\"",
        ])
        .arg(MEMORY_MAX_KIB.to_string())
        .arg(allowed.as_secs().to_string())
        .arg(&step.program)
        .args(args)
        .current_dir(&step.folder)
        .env("CARGO_MANIFEST_DIR", &step.folder)
        .env("INSTA_UPDATE", "no")
        // What fails under a mutant is no case for the next run.
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
        .env("INSTA_WORKSPACE_ROOT", step.folder.join(".."))
        .env_remove("TANIST_MUTANT")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(errors);
    match mutant {
        Some(id) => command.env("TANIST_MUTANT", id.to_string()),
        None => command.env("TANIST_REACHED", scratch.join("reached")),
    };
    let mut child = command.spawn().expect("it can be started");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        if began.elapsed() > allowed * WAITS_MAX {
            let _ = child.kill();
            let _ = child.wait();
            return Ended::TimedOut;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if status.success() {
        return Ended::Passed;
    }
    if status.signal() == Some(SIGXCPU) {
        return Ended::TimedOut;
    }
    Ended::Failed(std::fs::read_to_string(&told).unwrap_or_default())
}
