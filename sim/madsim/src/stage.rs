//! The simulator's world in madsim's time, and a madsim node for each member's agent process.
//! Knows nothing of what drives an agent ([`member`](crate::member)) or of what happens to it (`play`).
//!
//! Time is madsim's: whoever touches the world moves it to the present instant first, so that a driver that
//! acts late acts in a world that went on. After each touch the nodes are made what the world says of its
//! processes: killed, restarted, paused, resumed; and what agents are told sets out on its way to them.

use crate::contract::Book;
use crate::member::{self, Post};
use crate::wrong::Driver;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tanist_core::time::Now;
use tanist_sim::act::Act;
use tanist_sim::host::Run;
use tanist_sim::moment::Moment;
use tanist_sim::shape::ClusterShape;
use tanist_sim::shell::outside::Process;
use tanist_sim::streams::Stream;
use tanist_sim::truth::Truth;
use tanist_sim::wire::Seat;
use tanist_sim::world::World;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Who may convict a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judges {
    /// The invariants of the world, and the driver's contract.
    All,
    /// The invariants of the world alone.
    World,
}

pub struct Stage {
    pub world: World,
    pub books: BTreeMap<Process, Book>,
    /// Random order of what is not ordered: how long things dawdle in their tasks.
    pub chance: Stream,
    /// The first breach of a driver's contract.
    pub breach: Option<String>,
    judges: Judges,
    began: Instant,
    handle: Handle,
    nodes: Vec<NodeId>,
    posts: BTreeMap<Seat, Post>,
    /// The process in each node, as madsim was last told.
    cast: BTreeMap<Seat, (Process, Run)>,
    /// What whoever lets time pass waits for, and how to tell that something comes before.
    waited_for: Moment,
    stirred: Arc<Notify>,
}

/// The stage, shared by everyone on it.
#[derive(Clone)]
pub struct Theatre(Arc<Mutex<Stage>>);

impl Theatre {
    /// A cluster of `shape` at its start, each agent driven by `driver`. Within a madsim runtime.
    pub fn open(shape: ClusterShape, seed: u64, driver: Driver, judges: Judges) -> Theatre {
        let members = shape.members.clone();
        let mut world = World::new(shape, seed);
        world.host_agents_outside();
        let stage = Stage {
            world,
            books: BTreeMap::new(),
            chance: Stream::named(seed, "tasks"),
            breach: None,
            judges,
            began: Instant::now(),
            handle: Handle::current(),
            nodes: Vec::new(),
            posts: BTreeMap::new(),
            cast: BTreeMap::new(),
            waited_for: Moment::START,
            stirred: Arc::default(),
        };
        let theatre = Theatre(Arc::new(Mutex::new(stage)));
        for (at, shape) in members.iter().enumerate() {
            let (weak, seat) = (Arc::downgrade(&theatre.0), Seat(at as u8));
            let node = Handle::current()
                .create_node()
                .name(shape.name.0.clone())
                .init(move || begin_life(weak.clone(), seat, driver))
                .build();
            theatre.lock().nodes.push(node.id());
        }
        theatre
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something at the present instant.
    pub fn with<T>(&self, deed: impl FnOnce(&mut Stage) -> T) -> T {
        let mut stage = self.lock();
        stage.catch_up();
        let done = deed(&mut stage);
        stage.settle();
        done
    }

    pub fn truth(&self) -> Truth {
        self.with(|stage| stage.world.truth())
    }

    pub fn apply(&self, act: &Act) {
        self.with(|stage| {
            stage.world.apply(act);
        });
    }

    /// Lets everything happen up to `until`. Ends early when the run is convicted.
    pub async fn advance(&self, until: Moment) {
        loop {
            let (wait, stirred) = self.with(|stage| (stage.wait(until), stage.stirred.clone()));
            let Some(wait) = wait else {
                return;
            };
            tokio::select! {
                biased;
                () = stirred.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Every process ends, and with them what holds on to this stage.
    pub async fn close(&self) {
        let (handle, nodes) = {
            let stage = self.lock();
            (stage.handle.clone(), stage.nodes.clone())
        };
        nodes.iter().for_each(|node| handle.kill(node));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The initial task of a node: the life whose birth the world has told, if any.
async fn begin_life(stage: Weak<Mutex<Stage>>, seat: Seat, driver: Driver) {
    let Some(theatre) = stage.upgrade().map(Theatre) else {
        return;
    };
    let ticket = theatre
        .lock()
        .posts
        .get_mut(&seat)
        .and_then(Post::take_ticket);
    if let Some(ticket) = ticket {
        member::live(theatre, ticket, driver).await;
    }
}

impl Stage {
    /// True time, in the world's words.
    fn now(&self) -> Moment {
        Moment(self.began.elapsed().as_micros() as u64)
    }

    pub fn is_over(&self) -> bool {
        self.breach.is_some() || self.world.broken().is_some()
    }

    pub fn book(&mut self, of: Process) -> &mut Book {
        self.books
            .get_mut(&of)
            .expect("a book is opened at each birth")
    }

    pub fn clocks(&self, seat: Seat) -> Now {
        self.world.clocks(seat)
    }

    pub fn judge(&mut self, of: Process, verdict: Result<(), String>) {
        if let (Err(story), None, Judges::All) = (verdict, &self.breach, self.judges) {
            let (member, at) = (of.seat.index(), self.world.now());
            self.breach = Some(format!("{at} member {member} life {}: {story}", of.life));
        }
    }

    fn catch_up(&mut self) {
        self.world.run_until(self.now());
    }

    /// Until the next thing is due; `None` when `until` has come, or the run is over.
    fn wait(&mut self, until: Moment) -> Option<Duration> {
        self.look_at_deadlines();
        let now = self.world.now();
        if self.is_over() || now >= until {
            return None;
        }
        let next = self.world.next_at().map_or(until, |next| next.min(until));
        self.waited_for = next;
        Some(Duration::from_micros(next.since(now).as_micros()))
    }

    fn look_at_deadlines(&mut self) {
        for (process, run) in self.cast.values().copied().collect::<Vec<_>>() {
            if run == Run::Running {
                let now = self.clocks(process.seat).mono;
                let verdict = self.book(process).time_passes(now);
                self.judge(process, verdict);
            }
        }
    }

    /// Nodes become what the world says of its processes, and mail sets out.
    fn settle(&mut self) {
        for birth in self.world.take_births() {
            let seat = birth.process.seat;
            self.books.insert(birth.process, Book::open(&birth));
            self.cast.insert(seat, (birth.process, Run::Running));
            self.posts.insert(seat, Post::open(birth));
            self.handle.restart(self.nodes[seat.index()]);
        }
        for at in 0..self.nodes.len() as u8 {
            self.settle_node(Seat(at));
        }
        for (process, input) in self.world.take_mail() {
            let dawdles = self.chance.below(4);
            if let Some(post) = self.posts.get(&process.seat) {
                post.carry(input, dawdles);
            }
        }
        if self
            .world
            .next_at()
            .is_some_and(|next| next < self.waited_for)
            || self.is_over()
        {
            self.stirred.notify_one();
        }
    }

    fn settle_node(&mut self, seat: Seat) {
        let node = self.nodes[seat.index()];
        let was = self.cast.get(&seat).copied();
        match (was, self.world.stands(seat)) {
            (None, None) => {}
            (Some(_), None) => {
                self.handle.kill(node);
                self.cast.remove(&seat);
            }
            (Some((_, Run::Running)), Some((process, Run::Frozen))) => {
                self.handle.pause(node);
                self.cast.insert(seat, (process, Run::Frozen));
            }
            (Some((_, Run::Frozen)), Some((process, Run::Running))) => {
                self.handle.resume(node);
                self.cast.insert(seat, (process, Run::Running));
                let now = self.clocks(seat).mono;
                self.book(process).thawed(now);
            }
            (Some((_, Run::Running)), Some((_, Run::Running)))
            | (Some((_, Run::Frozen)), Some((_, Run::Frozen))) => {}
            (None, Some((process, _))) => unreachable!("{process:?} was never born"),
        }
    }
}
