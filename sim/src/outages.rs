//! What each ordinary fault costs a cluster of given settings: how long no write is taken, and how many acknowledged
//! commits are lost, over many runs of one fault each. For people who choose settings. Judges nothing.

use crate::act::{
    Act, AgentAct, End, HostAct, Link, OperatorAct, PostgresAct, StoreAct, Way, Who, WireAct,
};
use crate::event::What;
use crate::moment::Moment;
use crate::plan::{Plan, Step};
use crate::scenario::run::{Ending, run_in};
use crate::shape::{ClientShape, ClusterShape};
use crate::streams::Stream;
use crate::world::World;
use std::fmt::Write;
use tanist_core::settings::FencerMode;
use tanist_core::time::Span;

/// When the fault comes at the earliest: the cluster has formed by then.
const FORMED: Span = Span::secs(60);
/// Pace of the clients by which the outage is measured.
const PACE: Span = Span::millis(100);

/// What the runs of one fault came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    pub fault: &'static str,
    /// The longest time without an acknowledged commit after the fault, of each run, sorted.
    pub outages: Vec<Span>,
    /// Most acknowledged commits that one run lost.
    pub lost: u64,
    /// Runs in which another member led afterwards.
    pub failovers: u64,
}

/// Its name, what is done, and what undoes it some time later.
type Fault = (&'static str, Act, Option<(Span, Act)>);

fn faults(ttl: Span) -> Vec<Fault> {
    let agent = |act| Act::Agent {
        who: Who::Leader,
        act,
    };
    let postgres = |act| Act::Postgres {
        who: Who::Leader,
        act,
    };
    let cut = |to: End, act| Act::Wire {
        link: Link {
            from: End::Member(Who::Leader),
            to,
            way: Way::Both,
            lane: None,
        },
        act,
    };
    let away = |long| Some((long, Act::Store(StoreAct::StartAll)));
    let healed = Some((ttl.times(3), Act::HealWire));
    let switchover = OperatorAct::Switchover {
        ask: Who::Leader,
        leader: None,
        candidate: None,
        after: None,
    };
    vec![
        ("planned switchover", Act::Operator(switchover), None),
        (
            "postmaster killed",
            postgres(PostgresAct::KillPostmaster),
            None,
        ),
        (
            "every process of PostgreSQL killed",
            postgres(PostgresAct::KillAll),
            None,
        ),
        ("agent killed, started again", agent(AgentAct::Kill), None),
        ("agent stopped in order", agent(AgentAct::Stop), None),
        (
            "agent frozen",
            agent(AgentAct::FreezeFor(ttl.times(3))),
            None,
        ),
        (
            "host lost",
            Act::Host {
                who: Who::Leader,
                act: HostAct::Crash,
            },
            None,
        ),
        (
            "cut off from the store",
            cut(End::Store, WireAct::Cut),
            healed.clone(),
        ),
        (
            "cut off from the other members",
            cut(End::Member(Who::All), WireAct::Cut),
            healed,
        ),
        (
            "store away for 5 s",
            Act::Store(StoreAct::StopAll),
            away(Span::secs(5)),
        ),
        (
            "store away for 60 s",
            Act::Store(StoreAct::StopAll),
            away(Span::secs(60)),
        ),
    ]
}

/// Measures every fault in `runs` runs each.
pub fn measure(shape: &ClusterShape, runs: u64) -> Vec<Cost> {
    let mut shape = shape.clone();
    shape.clients = ClientShape {
        roaming_every: PACE,
        stubborn_every: Span::ZERO,
        server_loop_every: Span::ZERO,
    };
    let faults = faults(shape.ttl).into_iter();
    let cost = |(fault, act, undo): Fault| {
        let mut cost = Cost {
            fault,
            outages: Vec::new(),
            lost: 0,
            failovers: 0,
        };
        for seed in 1..=runs {
            one(&shape, seed, &act, undo.as_ref(), &mut cost);
        }
        cost.outages.sort_unstable();
        cost
    };
    faults.map(cost).collect()
}

fn one(shape: &ClusterShape, seed: u64, act: &Act, undo: Option<&(Span, Act)>, cost: &mut Cost) {
    // Anywhere within a loop.
    let at = FORMED + Stream::named(seed, "fault").span(Span::ZERO, shape.loop_wait);
    let mut steps = vec![Step::At {
        at,
        act: Some(act.clone()),
    }];
    if let Some((after, act)) = undo {
        steps.push(Step::At {
            at: at + *after,
            act: Some(act.clone()),
        });
    }
    let plan = Plan {
        question: "What does this fault cost?".into(),
        notes: Vec::new(),
        cluster: shape.clone(),
        seed,
        steps,
        end: at + shape.ttl.times(4) + shape.primary_start_timeout.min(Span::secs(300)) + FORMED,
    };
    let mut world = World::new(shape.clone(), seed);
    world.tell_commits();
    let outcome = run_in(world, &plan, Ending::Full);
    let from = Moment::START + at;
    let (mut last, mut longest) = (from, Span::ZERO);
    let (mut lost, mut promoted) = (0, false);
    for event in &outcome.events {
        match &event.what {
            What::Acked { .. } if event.at >= from => {
                longest = longest.max(event.at.since(last));
                last = event.at;
            }
            What::Lost { commits, .. } => lost = lost.max(*commits),
            What::Promoted { .. } => promoted |= event.at >= from,
            _other => {}
        }
    }
    cost.outages.push(longest.max(outcome.ended.since(last)));
    cost.lost = cost.lost.max(lost);
    cost.failovers += u64::from(promoted);
}

/// The costs as a table, the bound on loss, and what would be safer.
pub fn page(shape: &ClusterShape, costs: &[Cost], missing: &[String]) -> String {
    let mut page = String::from(
        "| fault of the leader | runs | another leads | outage: least | median | 95 of 100 | most | commits lost at most |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for cost in costs {
        let at = |per_cent: usize| {
            let last = cost.outages.len().saturating_sub(1);
            let span = cost.outages.get(last * per_cent / 100);
            span.map_or("-".to_string(), |span| seconds(*span))
        };
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            cost.fault,
            cost.outages.len(),
            cost.failovers,
            at(0),
            at(50),
            at(95),
            at(100),
            cost.lost
        );
    }
    let _ = writeln!(
        page,
        "\nLoss is bounded by maximum_lag_on_failover ({} bytes) and by what is written within loop_wait ({}), between two\n\
         publications of the leader's position; replication is asynchronous.\n",
        shape.maximum_lag_on_failover, shape.loop_wait
    );
    for advice in advice(shape, missing) {
        let _ = writeln!(page, "- {advice}");
    }
    page
}

fn seconds(span: Span) -> String {
    let ms = span.as_millis();
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}

/// What would be safer, or would cost less.
fn advice(shape: &ClusterShape, missing: &[String]) -> Vec<String> {
    let mut advice: Vec<String> = missing
        .iter()
        .map(|mode| {
            format!("{mode}: this build does not have it; nobody founds or leads a cluster in it")
        })
        .collect();
    let candidates = shape
        .members
        .iter()
        .filter(|m| !m.nofailover && m.failover_priority.is_none_or(|p| p > 0));
    let candidates = candidates.count();
    if candidates < 2 {
        advice.push(format!(
            "{candidates} member may lead: without it nobody does; take nofailover off another one"
        ));
    }
    if shape.members.len() < 3 {
        advice.push("two members: while one is repaired, a fault of the other is an outage".into());
    }
    if shape.fencer == FencerMode::Off {
        advice.push(
            "fencer off: a frozen agent leaves a primary that nobody ends; fencer: required".into(),
        );
    }
    if !(shape.rewind.use_pg_rewind && shape.rewind.wal_log_hints) {
        advice.push(
            "a former primary that diverged has to be cloned: use_pg_rewind, with wal_log_hints or checksums, is faster"
                .into(),
        );
    }
    if shape.maximum_lag_on_failover > 16 << 20 {
        advice.push(
            "maximum_lag_on_failover is more than a segment of WAL: all that may be lost".into(),
        );
    }
    if shape.primary_start_timeout > Span::secs(60) {
        advice.push(format!(
            "primary_start_timeout {}: a crashed primary may take so long before another leads",
            shape.primary_start_timeout
        ));
    }
    if advice.is_empty() {
        advice.push("nothing in these settings stands out".into());
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_measured_and_a_lost_host_costs_about_a_lease() {
        let shape = ClusterShape::of(&["a", "b", "c"]);
        let costs = measure(&shape, 2);
        let of = |name: &str| {
            let cost = costs.iter().find(|cost| cost.fault == name);
            cost.expect("it is among them")
        };
        let host = of("host lost");
        assert_eq!((host.outages.len(), host.failovers), (2, 2));
        assert!(host.outages[0] > Span::secs(15) && host.outages[1] < Span::secs(45));
        assert!(of("planned switchover").outages[1] < Span::secs(5));
        assert_eq!(of("planned switchover").lost, 0);
        let page = page(&shape, &costs, &["synchronous_mode".into()]);
        assert!(page.contains("| host lost | 2 | 2 |"), "{page}");
        assert!(page.contains("synchronous_mode: this build"), "{page}");
    }
}
