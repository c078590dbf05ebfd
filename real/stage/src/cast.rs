//! Which scenarios real servers on this machine can play: the acts that can be done to processes, links and a store
//! here, and the claims that can be judged from outside. Knows nothing of how they are done.

use tanist_core::time::Span;
use tanist_sim::act::{
    Act, AgentAct, End, HostAct, Link, OperatorAct, PostgresAct, StoreAct, Way, WireAct,
};
use tanist_sim::plan::{Plan, Step};
use tanist_sim::scenario::claims::{Demand, Fact};
use tanist_sim::scenario::{acts, fact};
use tanist_sim::shape::{ClusterShape, CommitMode, Runs, StartWhen};

/// A cluster of real servers takes this long to be founded and whole.
pub const READY_BY: Span = Span::secs(20);

/// What stands in the way of playing it; empty: nothing does.
pub fn obstacles(plan: &Plan) -> Vec<String> {
    let mut found = of_the_cluster(&plan.cluster);
    for step in &plan.steps {
        match step {
            Step::At { at, act: Some(_) } if *at < READY_BY => {
                found.push("something happens before real servers are up".to_string());
            }
            Step::At { act: Some(act), .. } => found.extend(of_act(act)),
            Step::At { act: None, .. } | Step::Expect(_) => {}
            Step::When { fact, act, .. } => {
                found.extend(of_act(act));
                if !is_known_all_along(fact) {
                    found.push(format!(
                        "`{}` is not seen from outside",
                        fact::show_fact(fact)
                    ));
                }
            }
        }
    }
    let mut steps = plan.steps.iter();
    if !steps.any(|step| matches!(step, Step::Expect(demand) if judges(demand))) {
        found.push("it claims nothing that is seen from outside".to_string());
    }
    found.sort();
    found.dedup();
    found
}

fn of_the_cluster(shape: &ClusterShape) -> Vec<String> {
    let mut found = Vec::new();
    let mut unless = |met: bool, why: &str| {
        if !met {
            found.push(why.to_string());
        }
    };
    unless(
        shape.commit_mode == CommitMode::Async,
        "this build has no such mode",
    );
    unless(!shape.failsafe, "this build has no such mode");
    unless(
        shape.rewind.wal_log_hints,
        "the servers here have data checksums",
    );
    let usual = ClusterShape::of(&[]);
    let keeps = |s: &ClusterShape| (s.wal_keep, s.slot_keep, s.checkpoints_every);
    unless(
        keeps(shape) == keeps(&usual),
        "WAL is kept by the segment, which have 16 MB here",
    );
    let at_once = shape.members.iter().all(|m| m.start == StartWhen::AtOnce);
    unless(at_once, "a member starts when asked");
    let own = shape.members.iter().all(|m| m.runs == Runs::Tanist);
    unless(own, "a member is run by Patroni");
    found
}

fn of_act(act: &Act) -> Option<String> {
    let plays = match act {
        Act::Agent { act, .. } => !matches!(
            act,
            AgentAct::LoseWatch | AgentAct::SilenceWatch | AgentAct::Become(_)
        ),
        Act::Fencer { .. } | Act::HealWire | Act::HealAll => true,
        Act::Postgres { act, .. } => matches!(
            act,
            PostgresAct::KillPostmaster
                | PostgresAct::FreezePostmaster
                | PostgresAct::ThawPostmaster
                | PostgresAct::KillAll
                | PostgresAct::CrashBackend
                | PostgresAct::PromoteByHand
                | PostgresAct::StopByHand
                | PostgresAct::Checkpoint
                | PostgresAct::BeginServerLoop { .. }
                | PostgresAct::PauseReplay
                | PostgresAct::ResumeReplay
                | PostgresAct::ExhaustConnections
                | PostgresAct::FreeConnections
                | PostgresAct::CancelWaits
                | PostgresAct::AlterSystem { .. }
                | PostgresAct::Archiving(_)
        ),
        Act::Host { act, .. } => matches!(
            act,
            HostAct::Crash
                | HostAct::Boot
                | HostAct::Suspend
                | HostAct::Resume
                | HostAct::SuspendFor(_)
        ),
        Act::Trouble { .. } | Act::Clients(_) => false,
        Act::Wire { link, act } => plays_wire(link, *act),
        Act::Store(act) => matches!(
            act,
            StoreAct::StopAll
                | StoreAct::HangAll
                | StoreAct::StartAll
                | StoreAct::Wipe
                | StoreAct::DeleteKey(_)
                | StoreAct::PutKey { .. }
        ),
        Act::Operator(act) => !matches!(act, OperatorAct::Reinitialize { force: true, .. }),
    };
    (!plays).then(|| format!("`{}` cannot be done here", acts::show(act)))
}

fn plays_wire(link: &Link, act: WireAct) -> bool {
    let end = |end: &End| matches!(end, End::Member(_) | End::Store);
    let act = matches!(act, WireAct::Cut | WireAct::Refuse | WireAct::Heal);
    let between_stores = link.from == End::Store && link.to == End::Store;
    act && link.way == Way::Both && end(&link.from) && end(&link.to) && !between_stores
}

/// Can a claim about it be judged by looking at processes, SQL and the store?
fn is_visible(fact: &Fact) -> bool {
    !matches!(
        fact,
        Fact::InOperation(..) | Fact::Mark(_) | Fact::KeptData(_) | Fact::CommitsWait(..)
    )
}

/// Is what the clients lost known at every instant? Here it is only in the end, when their books are closed.
fn is_known_all_along(fact: &Fact) -> bool {
    is_visible(fact) && !matches!(fact, Fact::LostCommits(..))
}

/// A claim that can be judged here.
pub fn judges(demand: &Demand) -> bool {
    match demand {
        Demand::Within(_, fact) | Demand::For(_, fact) => is_known_all_along(fact),
        Demand::Always(fact) | Demand::Never(fact) | Demand::AtEnd(fact) => is_visible(fact),
        Demand::Before { event, first } => is_known_all_along(event) && is_known_all_along(first),
    }
}

/// A claim about what the clients lost.
pub fn counts_lost_commits(step: &Step) -> bool {
    let Step::Expect(demand) = step else {
        return false;
    };
    let counts = |fact: &Fact| matches!(fact, Fact::LostCommits(..));
    match demand {
        Demand::Within(_, fact)
        | Demand::For(_, fact)
        | Demand::Always(fact)
        | Demand::Never(fact)
        | Demand::AtEnd(fact) => counts(fact),
        Demand::Before { event, first } => counts(event) || counts(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use tanist_sim::scenario::parse::parse;

    #[test]
    fn what_stands_in_the_way_is_said_in_the_words_of_the_scenario() {
        let plan = "# Is it said?\ncluster a b  dcs 1  ttl 30s  loop 10s  retry 10s  mode async\n\
             at 5s   cut a <-> dcs\nat 60s  next promote on b fails\n\
             when a in rewind:  kill agent on a\nat 2m   end\n";
        let told = obstacles(&parse(plan).unwrap());
        assert_eq!(
            told,
            [
                "`a in rewind` is not seen from outside",
                "`next promote on b fails` cannot be done here",
                "it claims nothing that is seen from outside",
                "something happens before real servers are up",
            ]
        );
    }

    #[test]
    fn many_scenarios_of_the_library_can_be_played() {
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        let files = tanist_sim::library::scenarios(&library).unwrap();
        let plans = files
            .iter()
            .map(|file| tanist_sim::library::load(file).unwrap());
        let playable = plans.filter(|plan| obstacles(plan).is_empty());
        assert!(playable.count() >= 40);
    }
}
