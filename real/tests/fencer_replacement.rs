//! Does an agent always have a living fencer? Frozen, killed or missing ones are replaced, and the new
//! one holds the same postmaster and the same deadline.

#[path = "support/instance.rs"]
mod instance;

use instance::{Fencer, OnQuit, Room, signal, soon};
use rustix::process::Signal;
use std::time::Duration;
use tanist::clock;
use tanist::fencer::client::FencerHandle;
use tanist::fencer::process_table::{ProcessId, is_alive};
use tanist::fencer::protocol::SpawnPostmaster;
use tanist_core::dcs::LeaseId;
use tanist_core::fencer::{Armed, DisarmReason, FencerInput, FencerRequest};
use tanist_core::input::Input;
use tanist_core::name::{OpId, Term};
use tanist_core::postgres::PgInput;
use tanist_core::time::{Mono, Span};
use tokio::sync::mpsc;
use tokio::time::timeout;

struct Agent {
    handle: FencerHandle,
    inputs: mpsc::UnboundedReceiver<Input>,
    last_op: u64,
}

impl Agent {
    /// Started, and told `Ready`.
    async fn start(room: &Room) -> Agent {
        let (sender, inputs) = mpsc::unbounded_channel();
        let handle = FencerHandle::start(room.settings(), sender);
        let mut agent = Agent {
            handle,
            inputs,
            last_op: 0,
        };
        assert_eq!(agent.fencer_input().await, ready(None));
        agent
    }

    async fn input(&mut self) -> Input {
        let next = timeout(Duration::from_secs(5), self.inputs.recv());
        next.await.expect("an input within 5 s").unwrap()
    }

    async fn fencer_input(&mut self) -> FencerInput {
        loop {
            if let Input::Fencer(input) = self.input().await {
                return input;
            }
        }
    }

    async fn ask(&mut self, request: FencerRequest) -> FencerInput {
        self.last_op += 1;
        self.handle.request(OpId(self.last_op), request);
        self.fencer_input().await
    }

    async fn arm(&mut self, until: Mono) {
        let request = FencerRequest::Arm {
            term: Term(1),
            lease: LeaseId(7),
            until,
        };
        let op = OpId(self.last_op + 1);
        assert_eq!(self.ask(request).await, FencerInput::Acknowledged { op });
    }

    async fn spawn(&self, room: &Room) -> ProcessId {
        let spawned = self.handle.spawn_postmaster(SpawnPostmaster {
            argv: room.argv(OnQuit::Ignores),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            log_path: room.log_path().display().to_string(),
        });
        let id = spawned.await.unwrap();
        assert!(room.eventually(|| room.left() >= 4));
        id
    }

    async fn fencer(&self) -> ProcessId {
        self.handle.status().await.unwrap().fencer
    }

    /// Waits for `Lost`, then `Ready`; how long that took.
    async fn replaced(&mut self, armed: Option<Armed>) -> Span {
        let began = clock::mono();
        let lost = self.fencer_input().await;
        assert!(matches!(lost, FencerInput::Lost { .. }), "{lost:?}");
        assert_eq!(self.fencer_input().await, ready(armed));
        clock::mono().since(began)
    }
}

fn ready(armed: Option<Armed>) -> FencerInput {
    FencerInput::Ready { armed }
}

fn armed(until: Mono) -> Option<Armed> {
    let (term, lease) = (Term(1), LeaseId(7));
    Some(Armed { term, lease, until })
}

#[tokio::test]
async fn requests_of_the_core_are_acknowledged_or_refused_by_their_number() {
    let room = Room::new();
    let mut agent = Agent::start(&room).await;
    agent.spawn(&room).await;
    agent.arm(soon(60_000)).await;
    let disarm = FencerRequest::Disarm {
        term: Term(1),
        why: DisarmReason::NoBackendCanWrite,
    };
    let answer = agent.ask(disarm).await;
    let op = OpId(2);
    assert!(
        matches!(&answer, FencerInput::Refused { op: found, .. } if *found == op),
        "{answer:?}"
    );
    agent.handle.fence("the test is over").await.unwrap();
    assert_eq!(room.left(), 0);
}

#[tokio::test]
async fn a_killed_fencer_is_replaced_within_a_second_and_holds_what_the_old_one_held() {
    let room = Room::new();
    let mut agent = Agent::start(&room).await;
    let postmaster = agent.spawn(&room).await;
    let until = soon(2_500);
    agent.arm(until).await;
    let old = agent.fencer().await;
    signal(old, Signal::KILL);
    let took = agent.replaced(armed(until)).await;
    assert!(took < Span::secs(1), "took {took}");
    let status = agent.handle.status().await.unwrap();
    assert_ne!(status.fencer, old);
    assert_eq!(status.postmaster, Some(postmaster), "adopted");
    assert!(is_alive(postmaster), "no outage");
    let (term, fired_at) = loop {
        if let FencerInput::Fired { at, term } = agent.fencer_input().await {
            break (term, at);
        }
    };
    assert_eq!(term, Term(1));
    assert!(fired_at >= until);
    assert_eq!(room.left(), 0);
}

#[tokio::test]
async fn a_frozen_fencer_is_ended_and_replaced_within_a_second() {
    let room = Room::new();
    let mut agent = Agent::start(&room).await;
    let postmaster = agent.spawn(&room).await;
    let until = soon(60_000);
    agent.arm(until).await;
    let old = agent.fencer().await;
    signal(old, Signal::STOP);
    let frozen_at = clock::mono();
    agent.replaced(armed(until)).await;
    let took = clock::mono().since(frozen_at);
    assert!(took < Span::secs(1), "took {took}");
    assert!(!is_alive(old));
    assert!(is_alive(postmaster));
    let status = agent.handle.status().await.unwrap();
    assert_eq!(status.postmaster, Some(postmaster));
}

#[tokio::test]
async fn orphans_of_a_postmaster_that_died_without_a_fencer_are_still_found() {
    let room = Room::new();
    let mut agent = Agent::start(&room).await;
    let postmaster = agent.spawn(&room).await;
    let old = agent.fencer().await;
    // 1. The fencer dies: the postmaster becomes a child of init. 2. The postmaster dies: its backends
    // go to init, and no fencer is their parent. 3. A new fencer knows them by their directory.
    signal(old, Signal::KILL);
    signal(postmaster, Signal::KILL);
    agent.replaced(None).await;
    assert!(room.left() >= 2, "backends live on");
    agent.arm(soon(50)).await;
    loop {
        if let FencerInput::Fired { .. } = agent.fencer_input().await {
            break;
        }
    }
    assert_eq!(room.left(), 0);
}

#[tokio::test]
async fn a_postmaster_that_ended_unseen_is_told_after_the_replacement() {
    let room = Room::new();
    let mut agent = Agent::start(&room).await;
    let postmaster = agent.spawn(&room).await;
    let old = agent.fencer().await;
    signal(old, Signal::STOP);
    signal(postmaster, Signal::KILL);
    let told = loop {
        if let Input::Postgres(PgInput::PostmasterExited { pid }) = agent.input().await {
            break pid;
        }
    };
    assert_eq!(told, postmaster.pid);
}

#[tokio::test]
async fn an_agent_comes_to_the_fencer_that_its_predecessor_left() {
    let room = Room::new();
    let mut agent = Agent::start(&room).await;
    let postmaster = agent.spawn(&room).await;
    let until = soon(60_000);
    agent.arm(until).await;
    let fencer = agent.fencer().await;
    drop(agent);

    let (sender, mut inputs) = mpsc::unbounded_channel();
    let handle = FencerHandle::start(room.settings(), sender);
    assert_eq!(
        inputs.recv().await,
        Some(Input::Fencer(ready(armed(until))))
    );
    let status = handle.status().await.unwrap();
    assert_eq!(status.fencer, fencer);
    assert_eq!(status.postmaster, Some(postmaster));
    handle.fence("the test is over").await.unwrap();
}

#[tokio::test]
async fn an_agent_that_finds_a_frozen_fencer_of_its_predecessor_replaces_it() {
    let room = Room::new();
    let old = Fencer::start(&room);
    let frozen = old.id();
    signal(frozen, Signal::STOP);
    let agent = Agent::start(&room).await;
    assert_ne!(agent.fencer().await, frozen);
}

#[tokio::test]
async fn a_fencer_that_cannot_start_is_lost_with_the_reason_and_calls_end() {
    let room = Room::new();
    let mut settings = room.settings();
    settings.data_dir = "/no/such/directory".into();
    let (sender, mut inputs) = mpsc::unbounded_channel();
    let handle = FencerHandle::start(settings, sender);
    let Some(Input::Fencer(FencerInput::Lost { why })) = inputs.recv().await else {
        panic!("lost");
    };
    assert!(why.contains("/no/such/directory"), "{why}");
    let call = timeout(Duration::from_secs(5), handle.status());
    assert!(call.await.expect("an answer").is_err());
}
