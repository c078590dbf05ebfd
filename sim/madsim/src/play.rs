//! One run: a seed, a cluster, a driver and a script of what happens, on an OS thread of its own, and what
//! came of it. Knows nothing of tasks.
//!
//! A thread of its own, since the order of std's hash maps and the draws of thread-local generators belong to
//! the thread: two runs of one seed are the same only on two fresh threads.

use crate::contract::Book;
use crate::stage::{Judges, Stage, Theatre};
use crate::wrong::Driver;
use madsim::runtime::Runtime;
use tanist_core::time::Span;
use tanist_sim::moment::Moment;
use tanist_sim::plan::{Plan, Step};
use tanist_sim::shape::ClusterShape;

/// How long all must be well, without a break, before a run ends early.
const WELL_FOR: Span = Span::secs(10);

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of everything that happened: two runs share it only if the same happened in both.
    pub hash: u64,
    /// The first promise that broke: of the cluster, of the driver, or that the recordings replay.
    pub broken: Option<String>,
    pub ended: Moment,
    /// Lives of agents, and inputs that they handled.
    pub lives: u64,
    pub handles: u64,
    /// How often the invariants were evaluated.
    pub evaluations: u64,
}

/// Runs `script` to its end.
pub fn run<S>(shape: ClusterShape, seed: u64, driver: Driver, judges: Judges, script: S) -> Outcome
where
    S: AsyncFnOnce(&Theatre) + Send + 'static,
{
    let in_a_thread = move || {
        let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.block_on(async move {
            let theatre = Theatre::open(shape, seed, driver, judges);
            script(&theatre).await;
            let outcome = theatre.with(judge);
            theatre.close().await;
            outcome
        })
    };
    let ended = std::thread::spawn(in_a_thread).join();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a drawn plan: its acts at their times, then until the cluster has been well for a while.
pub fn play(plan: &Plan, driver: Driver, judges: Judges) -> Outcome {
    let steps = plan.steps.clone();
    let end = Moment::START + plan.end;
    run(
        plan.cluster.clone(),
        plan.seed,
        driver,
        judges,
        async move |theatre| {
            for step in &steps {
                let Step::At { at, act } = step else {
                    panic!("a drawn plan has acts at their times and nothing else");
                };
                theatre.advance(Moment::START + *at).await;
                if let Some(act) = act {
                    theatre.apply(act);
                }
            }
            until_well(theatre, end).await;
        },
    )
}

/// What comes after the cluster was well for a while is more of the same.
pub async fn until_well(theatre: &Theatre, end: Moment) {
    let mut well_since = None;
    loop {
        let (over, now, well) = theatre.with(|stage| {
            let well = stage.world.is_well();
            (stage.is_over(), stage.world.now(), well)
        });
        if over || now >= end {
            return;
        }
        well_since = well_since.filter(|_| well).or(well.then_some(now));
        if well_since.is_some_and(|since| now.since(since) >= WELL_FOR) {
            return theatre.with(|stage| stage.world.check_recovered());
        }
        theatre.advance(Ord::min(now + Span::secs(1), end)).await;
    }
}

/// The end of a run: every recording is replayed.
fn judge(stage: &mut Stage) -> Outcome {
    let broken = stage.world.broken();
    let broken = broken.map(|b| format!("{} {}: {}", b.at, b.invariant, b.story));
    let replay = |(of, book): (&_, &Book)| {
        let differs = book.replays().err();
        differs.map(|why| format!("the recording of {of:?} does not replay: {why}"))
    };
    let differs = stage.books.iter().find_map(replay);
    let evaluations = stage.world.evaluations();
    Outcome {
        hash: hash(stage),
        broken: stage.breach.clone().or(broken).or(differs),
        ended: stage.world.now(),
        lives: stage.books.len() as u64,
        handles: stage.books.values().map(Book::handles).sum(),
        evaluations: evaluations
            .values()
            .map(|counted| counted.evaluations)
            .sum(),
    }
}

fn hash(stage: &Stage) -> u64 {
    let texts = stage.books.values().flat_map(|book| book.text().bytes());
    let world = stage.world.digest().to_le_bytes();
    world
        .into_iter()
        .chain(texts)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
