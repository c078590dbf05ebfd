//! Carries a scenario out on real servers, in real time: acts at their times and triggers, a look all the time, claims
//! judged by the simulator's own judge; at the end the testbed's checker has a word. Knows nothing of files or pages.

use crate::cast;
use crate::deeds::Deeds;
use crate::eyes::Eyes;
use crate::house::House;
use crate::ledger;
use anyhow::Context;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tanist::testbed::checker;
use tanist::testbed::clients::{Clients, busy, writer};
use tanist::testbed::cluster::Cluster;
use tanist_core::name::MemberName;
use tanist_core::time::Span;
use tanist_sim::act::{Act, PostgresAct};
use tanist_sim::event::{Event, Role, What};
use tanist_sim::marks::Marks;
use tanist_sim::moment::Moment;
use tanist_sim::plan::{Plan, Step};
use tanist_sim::scenario::claims::Fact;
use tanist_sim::scenario::fact;
use tanist_sim::scenario::judge::{Claims, Memory, Refuted, Sight};
use tanist_sim::truth::{Commits, Truth};

/// Between two looks, on a machine that has time for them.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// So long must it have been as it is to be at the end before a story ends early.
const TOLD_FOR: Span = Span::secs(10);
/// The story begins so long before its first act.
const PRELUDE: Span = Span::secs(3);
const ROWS_TRIES: u32 = 25;
/// A session that commits in a loop has begun by then.
const LOOPS_BY: Duration = Duration::from_secs(10);

/// What came of it.
pub struct Played {
    pub kept: usize,
    pub refuted: Vec<Refuted>,
    /// Promises that hold in every story, and did not.
    pub broken: Vec<String>,
    /// Claims that nobody can judge from outside.
    pub unjudged: usize,
    /// Nobody was there in the end to tell what is lost.
    pub loss_unknown: bool,
    pub leader_at_end: Option<MemberName>,
    pub promotions: usize,
}

impl Played {
    pub fn held(&self) -> bool {
        self.refuted.is_empty() && self.broken.is_empty()
    }
}

struct Trigger {
    fact: Fact,
    since: Moment,
    delay: Span,
    act: Act,
}

struct Player<'a> {
    house: House,
    deeds: Deeds,
    eyes: Eyes,
    began: Instant,
    /// The story's time at `began`.
    from: Moment,
    truth: Truth,
    memory: Memory,
    marks: Marks,
    claims: Claims,
    unjudged: usize,
    triggers: Vec<Trigger>,
    due: Vec<(Moment, Act)>,
    promotions: usize,
    commits: Commits,
    clients: Option<Clients>,
    loops: u32,
    plan: &'a Plan,
}

/// Plays `plan` with `first` as its first leader.
pub fn play(plan: &Plan, first: &MemberName, program: PathBuf) -> anyhow::Result<Played> {
    let house = House::build(plan, first, program)?;
    let clients = clients(plan, &house)?;
    clients.wait_written(3, Duration::from_secs(30))?;
    let acts = plan.steps.iter().filter_map(|step| match step {
        Step::At { at, .. } => Some(*at),
        _ => None,
    });
    let first_act = acts.min().unwrap_or(plan.end);
    let from = Moment(first_act.0.saturating_sub(PRELUDE.0));
    let mut eyes = Eyes::new();
    let truth = eyes.look(from, &house.cluster, &[], true, Commits::default());
    let mut player = Player {
        deeds: Deeds::new(&plan.cluster),
        eyes,
        house,
        began: Instant::now(),
        from,
        truth,
        memory: Memory::default(),
        marks: Marks::default(),
        claims: Claims::default(),
        unjudged: 0,
        triggers: Vec::new(),
        due: Vec::new(),
        promotions: 0,
        commits: Commits::default(),
        clients: Some(clients),
        loops: 0,
        plan,
    };
    player.loop_commits_if_shaped(first)?;
    player.tell()?;
    player.end()
}

/// A writer that asks who is primary at the scenario's pace, and a probe on every member.
fn clients(plan: &Plan, house: &House) -> anyhow::Result<Clients> {
    Clients::make_tables(&house.cluster)?;
    let clients = Clients::none()?;
    clients.probe(&house.cluster);
    let members = house.cluster.members().iter();
    let hosts = members
        .map(|m| (m.name().to_string(), m.postgres()))
        .collect();
    let pace = plan.cluster.clients.roaming_every.as_micros().max(10_000);
    let period = Duration::from_micros(pace);
    clients.spawn(writer::run(hosts, period, 0, clients.shared().clone()));
    Ok(clients)
}

impl Player<'_> {
    fn now(&self) -> Moment {
        self.from + Span(self.began.elapsed().as_micros() as u64)
    }

    fn tell(&mut self) -> anyhow::Result<()> {
        for step in &self.plan.steps {
            match step {
                Step::At { at, act } => {
                    self.go_on_until(Moment::START + *at)?;
                    if let Some(act) = act {
                        self.apply(act)?;
                    }
                }
                Step::When { fact, delay, act } => self.triggers.push(Trigger {
                    fact: fact.clone(),
                    since: self.now(),
                    delay: *delay,
                    act: act.clone(),
                }),
                Step::Expect(demand) if cast::judges(demand) => {
                    self.claims.open(demand.clone(), self.now());
                }
                Step::Expect(_) => self.unjudged += 1,
            }
        }
        self.go_on_until_told(Moment::START + self.plan.end)
    }

    /// To the end, or until nothing is left to happen or to be judged but what must be true at the end, and has been.
    fn go_on_until_told(&mut self, end: Moment) -> anyhow::Result<()> {
        let mut told_since = None;
        while self.now() < end {
            let next = Ord::min(self.now() + Span::secs(1), end);
            self.go_on_until(next)?;
            let sight = Sight {
                truth: &self.truth,
                marks: &self.marks,
                memory: &self.memory,
            };
            let happens = !self.triggers.is_empty() || !self.due.is_empty();
            let open = !self.claims.is_settled() || !self.claims.would_be_kept(&sight);
            told_since = match told_since {
                _ if happens || open || self.deeds.is_busy() => None,
                None => Some(next),
                Some(since) => Some(since),
            };
            if told_since.is_some_and(|since| next.since(since) >= TOLD_FOR) {
                break;
            }
        }
        Ok(())
    }

    fn go_on_until(&mut self, until: Moment) -> anyhow::Result<()> {
        loop {
            let began = Instant::now();
            self.deeds.tick(&mut self.house)?;
            self.look()?;
            self.do_what_is_due()?;
            let now = self.now();
            if now >= until {
                return Ok(());
            }
            let left = Duration::from_micros(until.since(now).as_micros());
            let rest = LOOK_EVERY.saturating_sub(began.elapsed());
            std::thread::sleep(rest.min(left));
        }
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let down = self.deeds.hosts_down();
        let (at, answers) = (self.now(), self.deeds.store_answers);
        let cluster = &self.house.cluster;
        let truth = self.eyes.look(at, cluster, &down, answers, self.commits);
        for (name, member) in &truth.members {
            let before = self.truth.members.get(name);
            let was =
                before.is_some_and(|m| m.role == Role::Primary && m.timeline == member.timeline);
            let raised = before.is_some_and(|m| m.timeline < member.timeline);
            if member.role == Role::Primary && !was && raised {
                self.promotions += 1;
                self.remember(What::Promoted {
                    member: name.clone(),
                    timeline: member.timeline,
                    at: member.flushed,
                });
                self.loop_commits_if_shaped(name)?;
            }
        }
        for answer in self.deeds.answered() {
            let member = self.truth.leader_key.clone().unwrap_or_default();
            self.remember(What::Answered { member, answer });
        }
        self.truth = truth;
        self.claims.look(&Sight {
            truth: &self.truth,
            marks: &self.marks,
            memory: &self.memory,
        });
        Ok(())
    }

    fn remember(&mut self, what: What) {
        let at = self.now();
        self.memory.remember(&Event { at, what });
    }

    fn do_what_is_due(&mut self) -> anyhow::Result<()> {
        let now = self.now();
        let sight = Sight {
            truth: &self.truth,
            marks: &self.marks,
            memory: &self.memory,
        };
        let (fired, waiting) = std::mem::take(&mut self.triggers)
            .into_iter()
            .partition(|trigger| sight.shows(&trigger.fact, trigger.since));
        self.triggers = waiting;
        let fired: Vec<Trigger> = fired;
        self.due
            .extend(fired.into_iter().map(|t| (now + t.delay, t.act)));
        let (ready, later) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.due = later;
        let ready: Vec<(Moment, Act)> = ready;
        for (_, act) in ready {
            self.apply(&act)?;
        }
        Ok(())
    }

    fn apply(&mut self, act: &Act) -> anyhow::Result<()> {
        match act {
            Act::Postgres {
                who,
                act: PostgresAct::BeginServerLoop { .. },
            } => {
                let names = self.deeds.who(who, &self.truth);
                names.iter().try_for_each(|name| self.loop_commits(name))
            }
            act => self.deeds.apply(act, &mut self.house, &self.truth),
        }
    }

    fn loop_commits_if_shaped(&mut self, primary: &MemberName) -> anyhow::Result<()> {
        match self.plan.cluster.clients.server_loop_every {
            Span::ZERO => Ok(()),
            _some => self.loop_commits(primary),
        }
    }

    /// A session on this server that commits all the time, whatever its client or its postmaster do.
    fn loop_commits(&mut self, on: &MemberName) -> anyhow::Result<()> {
        let access = self.house.cluster.member(on.as_str())?.postgres();
        let Some(clients) = &self.clients else {
            return Ok(());
        };
        self.loops += 1;
        let (tell, told) = std::sync::mpsc::channel();
        let (node, shared) = (on.to_string(), clients.shared().clone());
        clients.spawn(busy::run(node, access, self.loops, tell, shared));
        let begun = told.recv_timeout(LOOPS_BY);
        begun.with_context(|| format!("no session began to commit in a loop on {on}"))?;
        Ok(())
    }

    /// What is true of a story whose fault never came about proves nothing.
    fn refuse_untold(&self) -> anyhow::Result<()> {
        match self.triggers.first() {
            None => Ok(()),
            Some(waiting) => anyhow::bail!(
                "`when {}:` was never seen to come true",
                fact::show_fact(&waiting.fact)
            ),
        }
    }

    /// The writer's rows, as the owner of the leader key has them; it may be busy for a moment.
    fn rows_held(&self) -> Result<Vec<u64>, String> {
        let leader = self
            .truth
            .leader_key
            .as_ref()
            .ok_or("nobody holds the leader key")?;
        let member = self
            .house
            .cluster
            .member(leader.as_str())
            .map_err(|e| e.to_string())?;
        let mut held = Cluster::rows_on(member);
        for _ in 0..ROWS_TRIES {
            if held.is_ok() {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
            held = Cluster::rows_on(member);
        }
        held
    }

    /// The last look, with the clients' books closed.
    fn end(mut self) -> anyhow::Result<Played> {
        let journal = self.clients.take().map(Clients::finish).unwrap_or_default();
        self.refuse_untold()?;
        let held = self.rows_held();
        let rows = held
            .as_ref()
            .ok()
            .map(|held| checker::rows(&journal.acknowledged, held));
        self.commits.acked = journal.acknowledged.len() as u64;
        self.commits.lost = rows.as_ref().map_or(0, |rows| rows.lost.len() as u64);
        let mut broken =
            ledger::broken_promises(self.plan, &journal, rows.as_ref(), &self.eyes.published);
        let counts = self.plan.steps.iter().any(cast::counts_lost_commits);
        if let Some(why) = held.err().filter(|_| counts) {
            broken.push(format!("nobody can tell what is lost: {why}"));
        }
        self.truth.commits = self.commits;
        self.truth.at = self.now();
        self.claims.look_at_end(&Sight {
            truth: &self.truth,
            marks: &self.marks,
            memory: &self.memory,
        });
        Ok(Played {
            kept: self.claims.kept,
            refuted: self.claims.refuted,
            broken,
            unjudged: self.unjudged,
            loss_unknown: rows.is_none(),
            leader_at_end: self.truth.leader_key,
            promotions: self.promotions,
        })
    }
}
