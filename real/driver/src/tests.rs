//! The loop with a scripted core and a scripted host, on tokio's paused clock.

use super::*;
use std::cell::RefCell;
use std::rc::Rc;
use tanist_core::agent::Boot;
use tanist_core::name::RequestId;
use tanist_core::name::{MemberName, OpId};
use tanist_core::operator::{Answer, OperatorInput, OperatorRequest};
use tanist_core::settings::{LocalPostgres, Safety, Settings};
use tanist_core::time::Wall;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

type Story = Rc<RefCell<Vec<String>>>;

/// Wakes at the given seconds; answers a request by name, and exits when asked to stop.
struct Script {
    wakeups: Vec<u64>,
    never_content: bool,
}

impl Core for Script {
    fn handle(&mut self, now: Now, input: Input, out: &mut Output) {
        let effect = |n, body| Effect { id: OpId(n), body };
        match input {
            Input::Wakeup => {
                self.wakeups
                    .retain(|s| *s * 1_000_000 > now.mono.0 || self.never_content);
            }
            Input::Operator(asked) => {
                let reply = EffectBody::Reply {
                    request: asked.id,
                    answer: Answer::Done("yes".into()),
                };
                out.effects.push(effect(1, reply));
            }
            Input::Stopping => {
                let cancel = EffectBody::Cancel { op: OpId(7) };
                out.effects.push(effect(2, cancel));
                out.effects.push(effect(3, EffectBody::Exit { code: 3 }));
            }
            Input::Dcs(_) | Input::Postgres(_) | Input::Peer(_) | Input::Fencer(_) => {}
        }
    }

    fn next_wakeup(&self) -> Option<(Mono, WakeReason)> {
        let (_, reason) = agent().next_wakeup()?;
        let next = self.wakeups.iter().min()?;
        Some((Mono(*next * 1_000_000), reason))
    }

    fn view(&self) -> View {
        agent().view()
    }
}

fn agent() -> Agent {
    let settings = Settings {
        scope: "demo".into(),
        namespace: "service".into(),
        name: MemberName::from("a"),
        api_url: String::new(),
        conn_url: String::new(),
        proxy_url: None,
        tags: Default::default(),
        bootstrap: None,
        postgresql: LocalPostgres::default(),
        safety: Safety::default(),
    };
    Agent::new(settings, Boot::default(), 1, Now::default())
}

struct Teller {
    began: Instant,
    story: Story,
    /// Seconds that the machine slept: its clock shows them, the runtime's timers do not.
    suspended: Rc<RefCell<u64>>,
}

impl Teller {
    fn tell(&self, what: &str) {
        let at = self.now().mono.0 / 1_000_000;
        self.story.borrow_mut().push(format!("{at}s {what}"));
    }
}

impl Host<Script> for Teller {
    fn now(&self) -> Now {
        let passed = self.began.elapsed().as_micros() as u64;
        Now {
            mono: Mono(passed + *self.suspended.borrow() * 1_000_000),
            wall: Wall(0),
        }
    }
    fn start(&mut self, effect: Effect) {
        self.tell(&format!("start {}", effect.id));
    }
    fn record(&mut self, _: Now, input: &Input, output: &Output, _: &Script) {
        let kind = match input {
            Input::Wakeup => "wakeup",
            Input::Operator(_) => "request",
            Input::Stopping => "stopping",
            Input::Dcs(_) | Input::Postgres(_) | Input::Peer(_) | Input::Fencer(_) => "other",
        };
        self.tell(&format!("record {kind} ({} effects)", output.effects.len()));
    }
    fn publish(&mut self, _: View) {
        self.tell("publish");
    }
}

fn stage(wakeups: &[u64]) -> (Script, Teller, Story) {
    let story = Story::default();
    let teller = Teller {
        began: Instant::now(),
        story: Rc::clone(&story),
        suspended: Rc::default(),
    };
    let script = Script {
        wakeups: wakeups.to_vec(),
        never_content: false,
    };
    (script, teller, story)
}

fn ask(tx: &UnboundedSender<Input>) {
    let input = OperatorInput {
        id: RequestId("r".into()),
        request: OperatorRequest::Restart,
    };
    tx.send(Input::Operator(input)).unwrap();
}

async fn for_seconds(
    seconds: u64,
    mut script: Script,
    mut teller: Teller,
    rx: &mut UnboundedReceiver<Input>,
) {
    let limit = Duration::from_secs(seconds);
    let _ = tokio::time::timeout(limit, run(&mut script, &mut teller, rx)).await;
}

#[tokio::test(start_paused = true)]
async fn a_line_is_recorded_and_the_view_published_before_effects_start() {
    let (mut script, mut teller, story) = stage(&[]);
    let (tx, mut rx) = unbounded_channel();
    ask(&tx);
    tx.send(Input::Stopping).unwrap();
    let ended = run(&mut script, &mut teller, &mut rx).await;
    assert_eq!(ended, Ended::Exit { code: 3 });
    let told = [
        "0s record request (1 effects)",
        "0s publish",
        "0s start #1",
        "0s record stopping (2 effects)",
        "0s publish",
        "0s start #2",
    ];
    assert_eq!(*story.borrow(), told);
}

#[tokio::test(start_paused = true)]
async fn deadlines_wake_the_core_when_they_come_and_not_before() {
    let (script, teller, story) = stage(&[3, 8]);
    let (_tx, mut rx) = unbounded_channel();
    for_seconds(20, script, teller, &mut rx).await;
    let told = [
        "3s record wakeup (0 effects)",
        "3s publish",
        "8s record wakeup (0 effects)",
        "8s publish",
    ];
    assert_eq!(*story.borrow(), told);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passed_while_the_machine_slept_is_met_within_a_second() {
    let (script, teller, story) = stage(&[100]);
    let (_tx, mut rx) = unbounded_channel();
    let suspended = Rc::clone(&teller.suspended);
    let sleep = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        *suspended.borrow_mut() = 300;
    };
    tokio::join!(for_seconds(5, script, teller, &mut rx), sleep);
    assert_eq!(story.borrow()[0], "302s record wakeup (0 effects)");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_inputs_does_not_keep_a_deadline_waiting() {
    let (script, teller, story) = stage(&[0]);
    let (tx, mut rx) = unbounded_channel();
    for _ in 0..1_000 {
        ask(&tx);
    }
    for_seconds(1, script, teller, &mut rx).await;
    assert_eq!(story.borrow()[0], "0s record wakeup (0 effects)");
    assert_eq!(
        story
            .borrow()
            .iter()
            .filter(|l| l.contains("request"))
            .count(),
        1_000
    );
}

#[tokio::test(start_paused = true)]
async fn a_core_that_names_the_past_again_is_paced_and_still_hears_inputs() {
    let (mut script, teller, story) = stage(&[0]);
    script.never_content = true;
    let (tx, mut rx) = unbounded_channel();
    ask(&tx);
    for_seconds(1, script, teller, &mut rx).await;
    let story = story.borrow();
    let wakeups = story.iter().filter(|l| l.contains("wakeup")).count();
    assert!((500..=1_100).contains(&wakeups), "{wakeups}");
    assert!(story.iter().any(|l| l.contains("request")));
}

#[tokio::test(start_paused = true)]
async fn the_loop_ends_when_nobody_can_send_an_input_any_more() {
    let (mut script, mut teller, _) = stage(&[]);
    let (tx, mut rx) = unbounded_channel();
    drop(tx);
    assert_eq!(
        run(&mut script, &mut teller, &mut rx).await,
        Ended::InputsClosed
    );
}
