//! One life of one agent on its madsim node: the driver, and between it and the world the tasks that the real
//! adapters have. Knows nothing of clusters.
//!
//! What is ordered is what the real shell orders: the watch's events, the fencer's words, the ends of
//! operations (with the look before each). Every other answer travels in a task of its own and may overtake.
//! Requests to the store and to peers, and side tasks, begin in tasks of their own, too: a process may be
//! killed or frozen after an effect was started and before anything of it was done.

use crate::stage::Theatre;
use crate::wrong::{self, Driver};
use tanist_core::agent::{Agent, Output};
use tanist_core::dcs::DcsInput;
use tanist_core::effect::{Effect, EffectBody};
use tanist_core::input::Input;
use tanist_core::postgres::PgInput;
use tanist_core::time::Now;
use tanist_core::view::View;
use tanist_driver::{Ended, Host};
use tanist_sim::shell::outside::{Birth, Process};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::yield_now;

/// By which task of the shell an input comes.
#[derive(Clone, Copy)]
enum Way {
    Watch,
    Operation,
    Fencer,
    /// A task of its own.
    Alone,
}

fn way(input: &Input) -> Way {
    match input {
        Input::Dcs(DcsInput::Completed { .. }) => Way::Alone,
        Input::Dcs(_) => Way::Watch,
        Input::Postgres(PgInput::Observed { op: Some(_), .. }) => Way::Alone,
        Input::Postgres(_) => Way::Operation,
        Input::Fencer(_) => Way::Fencer,
        Input::Peer(_) | Input::Operator(_) | Input::Stopping | Input::Wakeup => Way::Alone,
    }
}

/// An input on its way, and how often other tasks go first.
struct Letter {
    input: Input,
    dawdles: u64,
}

/// Where the world leaves what it tells one life.
pub struct Post {
    ways: [UnboundedSender<Letter>; 4],
    ticket: Option<Ticket>,
}

/// All that a life needs to begin.
pub struct Ticket {
    birth: Birth,
    ways: Vec<(Way, UnboundedReceiver<Letter>)>,
}

impl Post {
    pub fn open(birth: Birth) -> Post {
        let mut receivers = Vec::new();
        let ways = [Way::Watch, Way::Operation, Way::Fencer, Way::Alone].map(|way| {
            let (sender, receiver) = unbounded_channel();
            receivers.push((way, receiver));
            sender
        });
        let ticket = Ticket {
            birth,
            ways: receivers,
        };
        Post {
            ways,
            ticket: Some(ticket),
        }
    }

    pub fn take_ticket(&mut self) -> Option<Ticket> {
        self.ticket.take()
    }

    pub fn carry(&self, input: Input, dawdles: u64) {
        // Nobody listens any more only when the process has ended.
        let _ = self.ways[way(&input) as usize].send(Letter { input, dawdles });
    }
}

/// The process from its start to its end, unless it is killed.
pub async fn live(theatre: Theatre, ticket: Ticket, driver: Driver) {
    let Ticket { birth, ways } = ticket;
    let of = birth.process;
    let (sender, mut inputs) = unbounded_channel();
    for (way, letters) in ways {
        tokio::spawn(carry(theatre.clone(), of, way, letters, sender.clone()));
    }
    let mut agent = Agent::new(birth.settings, birth.boot, birth.seed, birth.born);
    let mut member = Member {
        theatre: theatre.clone(),
        of,
        latest: agent.clone(),
    };
    let ended = match driver {
        Driver::Production => tanist_driver::run(&mut agent, &mut member, &mut inputs).await,
        Driver::Wrong(flaw) => wrong::run(flaw, &mut agent, &mut member, &mut inputs).await,
    };
    match ended {
        Ended::Exit { code } => theatre.with(|stage| stage.world.exited(of, code)),
        Ended::InputsClosed => unreachable!("`sender` lives as long as this task"),
    }
    drop(sender);
}

async fn carry(
    theatre: Theatre,
    of: Process,
    way: Way,
    mut letters: UnboundedReceiver<Letter>,
    inputs: UnboundedSender<Input>,
) {
    while let Some(letter) = letters.recv().await {
        match way {
            Way::Alone => {
                tokio::spawn(deliver(theatre.clone(), of, letter, inputs.clone()));
            }
            Way::Watch | Way::Operation | Way::Fencer => {
                deliver(theatre.clone(), of, letter, inputs.clone()).await;
            }
        }
    }
}

async fn deliver(theatre: Theatre, of: Process, letter: Letter, inputs: UnboundedSender<Input>) {
    dawdle(letter.dawdles).await;
    theatre.with(|stage| stage.book(of).sent(letter.input.clone()));
    // Nobody listens any more only when the loop has ended.
    let _ = inputs.send(letter.input);
}

async fn dawdle(turns: u64) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// The world behind the driver's trait.
struct Member {
    theatre: Theatre,
    of: Process,
    /// As the last `handle` left it.
    latest: Agent,
}

impl Host<Agent> for Member {
    fn now(&self) -> Now {
        self.theatre.with(|stage| stage.world.clocks(self.of.seat))
    }

    fn start(&mut self, effect: Effect) {
        let of = self.of;
        let dawdles = self.theatre.with(|stage| {
            let verdict = stage.book(of).begins(&effect);
            stage.judge(of, verdict);
            stage.chance.below(4)
        });
        match &effect.body {
            EffectBody::Dcs { .. } | EffectBody::Side { .. } | EffectBody::Peer { .. } => {
                let theatre = self.theatre.clone();
                tokio::spawn(async move {
                    dawdle(dawdles).await;
                    theatre.with(|stage| stage.world.begin(of, effect));
                });
            }
            EffectBody::Operation { .. }
            | EffectBody::Cancel { .. }
            | EffectBody::Fencer(_)
            | EffectBody::Reply { .. }
            | EffectBody::Exit { .. } => {
                self.theatre.with(|stage| stage.world.begin(of, effect));
            }
        }
    }

    fn record(&mut self, now: Now, input: &Input, output: &Output, core: &Agent) {
        self.latest = core.clone();
        self.theatre.with(|stage| {
            let clock = stage.world.clocks(self.of.seat);
            let verdict = stage.book(self.of).line(now, clock, input, output, core);
            stage.judge(self.of, verdict);
            stage.world.noted(self.of, &output.notes);
        });
    }

    fn publish(&mut self, _: View) {
        self.theatre.with(|stage| {
            let verdict = stage.book(self.of).view();
            stage.judge(self.of, verdict);
            stage.world.shown(self.of, self.latest.clone());
        });
    }
}
