//! The faults that the swarm draws from, each with what undoes it. One line a fault in `FAULTS`.

use crate::act::{
    Act, AgentAct, End, FencerAct, HostAct, Lane, Link, OperatorAct, PostgresAct, Shift, StoreAct,
    Switch, Trouble, Way, Who, WireAct,
};
use crate::pg::archive::Archiving;
use crate::shape::{ClusterShape, Runs};
use crate::streams::Stream;
use tanist_core::time::Span;

/// An act and what undoes it later; `None`: nothing needs to.
pub type Drawn = (Act, Option<Act>);

pub struct Fault {
    pub name: &'static str,
    pub kind: Kind,
    pub draw: fn(&mut Stream, &ClusterShape) -> Drawn,
}

/// Only a cluster that is being swapped has its agents swapped.
const SWAP: &str = "agent-swapped";

impl Fault {
    pub fn fits(&self, cluster: &ClusterShape) -> bool {
        let mixed = cluster.members.iter().any(|m| m.runs == Runs::Patroni);
        self.name != SWAP || mixed
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Within what the promises are made for.
    Ordinary,
    /// One of A1 to A6 no longer holds; the invariants that need it stand aside and say so.
    BreaksAnAssumption,
    /// Liveness can no longer be demanded.
    LosesTheOnlyCopy,
}

macro_rules! faults {
    ($($name:literal $kind:ident $draw:expr;)*) => {
        pub const FAULTS: &[Fault] = &[$(Fault { name: $name, kind: Kind::$kind, draw: $draw },)*];
    };
}

faults! {
    "agent-killed" Ordinary |d, _| (agent(who(d), AgentAct::Kill), None);
    "agent-stopped" Ordinary |d, c| { let w = member(d, c); (agent(w.clone(), AgentAct::Stop), Some(agent(w, AgentAct::Start))) };
    "agent-frozen" Ordinary |d, c| { let w = member(d, c); (agent(w.clone(), AgentAct::Freeze), Some(agent(w, AgentAct::Thaw))) };
    "leader-agent-frozen" Ordinary |d, _| (agent(Who::Leader, AgentAct::FreezeFor(length(d, 1, 90))), None);
    "watch-lost" Ordinary |d, _| (agent(who(d), AgentAct::LoseWatch), None);
    "watch-silenced" Ordinary |d, _| (agent(who(d), AgentAct::SilenceWatch), None);
    "fencer-killed" Ordinary |d, _| (Act::Fencer { who: who(d), act: FencerAct::Kill }, None);
    "fencer-frozen" BreaksAnAssumption |d, c| { let w = member(d, c); (Act::Fencer { who: w.clone(), act: FencerAct::Freeze }, Some(Act::Fencer { who: w, act: FencerAct::Thaw })) };
    "postmaster-killed" Ordinary |d, _| (postgres(who(d), PostgresAct::KillPostmaster), None);
    "postmaster-frozen" Ordinary |d, c| { let w = member(d, c); (postgres(w.clone(), PostgresAct::FreezePostmaster), Some(postgres(w, PostgresAct::ThawPostmaster))) };
    "postmaster-hangs-for-good" Ordinary |d, _| (postgres(who(d), PostgresAct::FreezePostmaster), None);
    "backend-stuck" Ordinary |d, c| { let w = member(d, c); (postgres(w.clone(), PostgresAct::FreezeBackend), Some(postgres(w, PostgresAct::ThawBackends))) };
    "backend-crashed" Ordinary |d, _| (postgres(who(d), PostgresAct::CrashBackend), None);
    "postgres-killed" Ordinary |d, _| (postgres(who(d), PostgresAct::KillAll), None);
    "commit-loop" Ordinary |d, _| (postgres(Who::Leader, PostgresAct::BeginServerLoop { every: Span::millis(d.between(20, 500)) }), None);
    "bulk-load" Ordinary |d, _| { let bytes = d.between(4, 64) << 10; (postgres(Who::Leader, PostgresAct::Write { bytes }), None) };
    "connections-exhausted" Ordinary |d, c| { let w = member(d, c); (postgres(w.clone(), PostgresAct::ExhaustConnections), Some(postgres(w, PostgresAct::FreeConnections))) };
    "replay-paused" Ordinary |d, c| { let w = member(d, c); (postgres(w.clone(), PostgresAct::PauseReplay), Some(postgres(w, PostgresAct::ResumeReplay))) };
    "checkpoint" Ordinary |d, _| (postgres(who(d), PostgresAct::Checkpoint), None);
    "host-crash" Ordinary |d, c| { let w = member(d, c); (host(w.clone(), HostAct::Crash), Some(host(w, HostAct::Boot))) };
    "host-suspended" BreaksAnAssumption |d, _| (host(who(d), HostAct::SuspendFor(length(d, 1, 120))), None);
    "clock-drift" Ordinary |d, c| { let ppm = within(d, c.clock_drift_ppm / 2); (host(member(d, c), HostAct::ClockRate { ppm }), None) };
    "clock-runs-away" BreaksAnAssumption |d, c| { let ppm = within(d, 200_000); (host(member(d, c), HostAct::ClockRate { ppm }), None) };
    "wall-clock-steps" Ordinary |d, c| { let by = length(d, 1, 4_000); let by = if d.chance(500) { Shift::Forward(by) } else { Shift::Back(by) }; (host(member(d, c), HostAct::StepWall { by }), None) };
    "disk-stalls" Ordinary |d, c| { let w = member(d, c); (host(w.clone(), HostAct::StallDisk), Some(host(w, HostAct::FreeDisk))) };
    "disk-full" Ordinary |d, c| { let w = member(d, c); (host(w.clone(), HostAct::FillDisk), Some(host(w, HostAct::FreeDisk))) };
    "flush-lies" LosesTheOnlyCopy |d, c| (host(member(d, c), HostAct::LieAboutFlush), None);
    "data-lost" LosesTheOnlyCopy |d, c| (host(member(d, c), HostAct::LoseData), None);
    "promote-fails" Ordinary |d, c| (trouble(member(d, c), Trouble::PromoteFails), None);
    "promote-dies" Ordinary |d, c| (trouble(member(d, c), Trouble::PromoteDiesHalfWay), None);
    "promote-slow" Ordinary |d, c| { let t = Trouble::PromoteTakes(length(d, 1, 60)); (trouble(member(d, c), t), None) };
    "rewind-fails" Ordinary |d, c| (trouble(member(d, c), Trouble::RewindFails), None);
    "rewind-dies" Ordinary |d, c| (trouble(member(d, c), Trouble::RewindDiesHalfWay), None);
    "start-fails" Ordinary |d, c| (trouble(member(d, c), Trouble::StartFails), None);
    "start-hangs" Ordinary |d, c| (trouble(member(d, c), Trouble::StartHangs), None);
    "start-slow" Ordinary |d, c| { let t = Trouble::StartTakes(length(d, 1, 120)); (trouble(member(d, c), t), None) };
    "stop-hangs" Ordinary |d, c| (trouble(member(d, c), Trouble::StopHangs), None);
    "stop-slow" Ordinary |d, c| { let t = Trouble::StopTakes(length(d, 1, 40)); (trouble(member(d, c), t), None) };
    "clone-breaks" Ordinary |d, c| (trouble(member(d, c), Trouble::CloneCut), None);
    "initdb-fails" Ordinary |d, c| (trouble(member(d, c), Trouble::InitdbFails), None);
    "checkpoint-slow" Ordinary |d, c| { let t = Trouble::CheckpointTakes(length(d, 1, 90)); (trouble(member(d, c), t), None) };
    "cut-from-store" Ordinary |d, c| cut(End::Member(member(d, c)), End::Store, None, d);
    "leader-cut-from-store" Ordinary |d, _| { let (act, _) = cut(End::Member(Who::Leader), End::Store, None, d); (act, Some(Act::HealWire)) };
    "cut-from-store-server" Ordinary |d, c| { let n = server(d, c); cut(End::Member(member(d, c)), End::StoreServer(n), None, d) };
    "cut-between-members" Ordinary |d, c| { let (m, n) = (member(d, c), member(d, c)); cut(End::Member(m), End::Member(n), None, d) };
    "data-lane-cut" Ordinary |d, c| { let (m, n) = (member(d, c), member(d, c)); cut(End::Member(m), End::Member(n), Some(Lane::Data), d) };
    "api-lane-cut" Ordinary |d, c| { let (m, n) = (member(d, c), member(d, c)); cut(End::Member(m), End::Member(n), Some(Lane::Api), d) };
    "cut-from-clients" Ordinary |d, c| cut(End::Member(member(d, c)), End::Clients, None, d);
    "all-alone" Ordinary |d, c| { let m = member(d, c); (wire(End::Member(m), End::Member(Who::All), Way::Both, None, WireAct::Cut), Some(Act::HealWire)) };
    "slow-wire" Ordinary |d, c| slow_wire(d, c);
    "lossy-wire" Ordinary |d, c| { let m = member(d, c); let act = WireAct::Lose { per_mille: d.between(1, 400) as u32 }; between_member_and_store(m, act) };
    "stragglers" Ordinary |d, c| { let m = member(d, c); let act = WireAct::Straggle { per_mille: d.between(1, 300) as u32, upto: length(d, 1, 60) }; between_member_and_store(m, act) };
    "store-stopped" Ordinary |_, _| (Act::Store(StoreAct::StopAll), Some(Act::Store(StoreAct::StartAll)));
    "store-hangs" Ordinary |_, _| (Act::Store(StoreAct::HangAll), Some(Act::Store(StoreAct::StartAll)));
    "store-server-stopped" Ordinary |d, c| { let n = server(d, c); (Act::Store(StoreAct::StopServer(n)), Some(Act::Store(StoreAct::StartServer(n)))) };
    "store-server-hangs" Ordinary |d, c| { let n = server(d, c); (Act::Store(StoreAct::HangServer(n)), Some(Act::Store(StoreAct::StartServer(n)))) };
    "store-server-isolated" Ordinary |d, c| { let n = server(d, c); (Act::Store(StoreAct::IsolateServer(n)), Some(Act::Store(StoreAct::RejoinServer(n)))) };
    "store-election" Ordinary |_, _| (Act::Store(StoreAct::Elect), None);
    "store-quorum-lost" Ordinary |_, _| (Act::Store(StoreAct::LoseQuorum), Some(Act::Store(StoreAct::RegainQuorum)));
    "store-slow" Ordinary |d, _| (Act::Store(StoreAct::Slow(Span::millis(d.between(10, 6_000)))), Some(Act::Store(StoreAct::Slow(Span::ZERO))));
    "store-denies-writes" Ordinary |_, _| (Act::Store(StoreAct::DenyWrites), Some(Act::Store(StoreAct::AllowWrites)));
    "store-compacted" Ordinary |_, _| (Act::Store(StoreAct::Compact), None);
    "store-clock-drift" Ordinary |d, c| { let ppm = within(d, c.clock_drift_ppm / 2); (Act::Store(StoreAct::ClockRate { ppm }), None) };
    "store-revokes-late" BreaksAnAssumption |_, _| (Act::Store(StoreAct::OldLeaderRevokes(Switch::On)), Some(Act::Store(StoreAct::OldLeaderRevokes(Switch::Off))));
    "leader-key-deleted" BreaksAnAssumption |_, _| (Act::Store(StoreAct::DeleteKey("leader".into())), None);
    "store-wiped" BreaksAnAssumption |_, _| (Act::Store(StoreAct::Wipe), None);
    "store-rolled-back" BreaksAnAssumption |_, _| (Act::Store(StoreAct::TakeSnapshot), Some(Act::Store(StoreAct::RollBack)));
    "switchover" Ordinary |d, c| { let candidate = d.chance(500).then(|| member(d, c)); (operator(OperatorAct::Switchover { ask: who(d), leader: None, candidate, after: None }), None) };
    "switchover-later" Ordinary |d, _| (operator(OperatorAct::Switchover { ask: Who::Leader, leader: None, candidate: None, after: Some(length(d, 5, 60)) }), Some(operator(OperatorAct::CancelSwitchover { ask: Who::Leader })));
    "failover-by-hand" Ordinary |d, c| (operator(OperatorAct::Failover { ask: Who::Any, candidate: member(d, c) }), None);
    "restart" Ordinary |d, c| (operator(OperatorAct::Restart { who: member(d, c) }), None);
    "reinit" Ordinary |d, c| (operator(OperatorAct::Reinitialize { who: member(d, c), force: d.chance(300) }), None);
    "pause" Ordinary |_, _| (operator(OperatorAct::Pause), Some(operator(OperatorAct::Resume)));
    "clone-slow" Ordinary |d, c| { let t = Trouble::CloneTakes(length(d, 5, 90)); (trouble(member(d, c), t), None) };
    "configuration-changed" Ordinary |d, _| (operator(OperatorAct::PatchConfig { patch: patch(d) }), None);
    "keys-garbled" BreaksAnAssumption |d, c| (Act::Store(StoreAct::PutKey { key: a_key(d, c), value: garbage(d) }), None);
    "keys-deleted" BreaksAnAssumption |d, c| (Act::Store(StoreAct::DeleteKey(a_key(d, c))), None);
    "promoted-by-hand" BreaksAnAssumption |_, _| (postgres(Who::Standby, PostgresAct::PromoteByHand), None);
    "stopped-by-hand" BreaksAnAssumption |d, c| { let w = member(d, c); (postgres(w.clone(), PostgresAct::StopByHand), Some(postgres(w, PostgresAct::StartByHand))) };
    "archive-fails" Ordinary |d, c| archiving(d, c, Archiving::Fails);
    "archive-hangs" Ordinary |d, c| archiving(d, c, Archiving::Hangs);
    "ttl-changed" Ordinary |d, _| { let ttl = *d.pick(&[20, 30, 60]).unwrap_or(&30); (operator(OperatorAct::PatchConfig { patch: format!("{{\"ttl\": {ttl}}}") }), None) };
    "agent-swapped" Ordinary |d, c| { let to = *d.pick(&[Runs::Tanist, Runs::Patroni]).unwrap_or(&Runs::Tanist); (agent(member(d, c), AgentAct::Become(to)), None) };
}

/// Somebody has to take over, hand over, or start. What goes wrong then is drawn beside it.
pub fn occasion(draw: &mut Stream, cluster: &ClusterShape) -> Drawn {
    let leader = || Who::Leader;
    match draw.below(15) {
        0 | 1 => (
            host(leader(), HostAct::Crash),
            Some(host(Who::All, HostAct::Boot)),
        ),
        2 => (
            host(Who::All, HostAct::Crash),
            Some(host(Who::All, HostAct::Boot)),
        ),
        3 => (postgres(leader(), PostgresAct::KillAll), None),
        4 => (postgres(leader(), PostgresAct::KillPostmaster), None),
        5 => {
            let freeze = AgentAct::FreezeFor(length(draw, 1, 90));
            (agent(leader(), freeze), None)
        }
        6 => {
            let (act, _) = cut(End::Member(leader()), End::Store, None, draw);
            (act, Some(Act::HealWire))
        }
        7 | 8 => {
            let candidate = draw.chance(500).then(|| member(draw, cluster));
            let asked = OperatorAct::Switchover {
                ask: Who::Any,
                leader: None,
                candidate,
                after: None,
            };
            (operator(asked), None)
        }
        9 => {
            let candidate = member(draw, cluster);
            let ask = Who::Any;
            (operator(OperatorAct::Failover { ask, candidate }), None)
        }
        10 => {
            let who = member(draw, cluster);
            (operator(OperatorAct::Restart { who }), None)
        }
        11 => {
            let start = agent(Who::All, AgentAct::Start);
            (agent(leader(), AgentAct::Stop), Some(start))
        }
        12 => (
            Act::Store(StoreAct::StopAll),
            Some(Act::Store(StoreAct::StartAll)),
        ),
        13 => (
            operator(OperatorAct::Pause),
            Some(operator(OperatorAct::Resume)),
        ),
        _reinit => {
            let (who, force) = (member(draw, cluster), draw.chance(300));
            (operator(OperatorAct::Reinitialize { who, force }), None)
        }
    }
}

/// Makes members differ in how much WAL they have, or have replayed.
pub fn unequal(draw: &mut Stream, cluster: &ClusterShape) -> Drawn {
    let who = member(draw, cluster);
    match draw.below(3) {
        0 => cut(
            End::Member(who),
            End::Member(Who::Leader),
            Some(Lane::Data),
            draw,
        ),
        1 => (
            postgres(who.clone(), PostgresAct::PauseReplay),
            Some(postgres(who, PostgresAct::ResumeReplay)),
        ),
        _much => {
            let bytes = draw.between(4, 64) << 10;
            (postgres(Who::Leader, PostgresAct::Write { bytes }), None)
        }
    }
}

/// What will go wrong when somebody next does what an occasion asks for.
pub fn prepared(draw: &mut Stream, cluster: &ClusterShape) -> Act {
    let what = match draw.below(14) {
        0 => Trouble::PromoteFails,
        1 => Trouble::PromoteDiesHalfWay,
        2 => Trouble::PromoteTakes(length(draw, 1, 60)),
        3 => Trouble::RewindFails,
        4 => Trouble::RewindDiesHalfWay,
        5 => Trouble::StartFails,
        6 => Trouble::StartHangs,
        7 => Trouble::StartTakes(length(draw, 1, 120)),
        8 => Trouble::StopHangs,
        9 => Trouble::StopTakes(length(draw, 1, 40)),
        10 => Trouble::CloneCut,
        11 => Trouble::CloneTakes(length(draw, 5, 90)),
        12 => Trouble::InitdbFails,
        _checkpoint => Trouble::CheckpointTakes(length(draw, 1, 90)),
    };
    trouble(member(draw, cluster), what)
}

fn archiving(draw: &mut Stream, cluster: &ClusterShape, how: Archiving) -> Drawn {
    let who = member(draw, cluster);
    let at = |how| postgres(who.clone(), PostgresAct::Archiving(how));
    (at(how), Some(at(Archiving::Works)))
}

/// Some of it is senseless, as what people type is now and then.
fn patch(draw: &mut Stream) -> String {
    let patches = [
        r#"{"maximum_lag_on_failover": 0}"#,
        r#"{"maximum_lag_on_failover": 16777216}"#,
        r#"{"primary_start_timeout": 0}"#,
        r#"{"primary_start_timeout": 20}"#,
        r#"{"ttl": 5, "loop_wait": 10, "retry_timeout": 10}"#,
        r#"{"loop_wait": "soon", "retry_timeout": -1}"#,
        r#"{"postgresql": {"parameters": {"work_mem": "8MB"}}}"#,
        r#"{"postgresql": {"parameters": {"max_connections": 300}}}"#,
        r#"{"postgresql": {"parameters": {"max_connections": 50, "max_worker_processes": 4}}}"#,
        r#"{"postgresql": "none"}"#,
    ];
    draw.pick(&patches).copied().unwrap_or("{}").to_string()
}

/// Any key but the leader's.
fn a_key(draw: &mut Stream, cluster: &ClusterShape) -> String {
    let keys = [
        "config",
        "status",
        "history",
        "failover",
        "sync",
        "initialize",
    ];
    match draw.below(8) {
        0 | 1 => {
            let member = draw.pick(&cluster.members);
            member.map_or_else(String::new, |m| format!("members/{}", m.name))
        }
        _another => draw.pick(&keys).copied().unwrap_or("config").to_string(),
    }
}

fn garbage(draw: &mut Stream) -> String {
    let values = ["", "null", "[", "{\"\": 1}", "12345", "a", "\u{fffd}"];
    draw.pick(&values).copied().unwrap_or("").to_string()
}

fn who(draw: &mut Stream) -> Who {
    draw.pick(&[Who::Leader, Who::Leader, Who::Standby, Who::Any])
        .cloned()
        .unwrap_or(Who::Any)
}

/// A member by name, so that the same one can be repaired later.
fn member(draw: &mut Stream, cluster: &ClusterShape) -> Who {
    let found = draw.pick(&cluster.members);
    found.map_or(Who::Any, |member| Who::Member(member.name.clone()))
}

fn server(draw: &mut Stream, cluster: &ClusterShape) -> u8 {
    draw.below(u64::from(cluster.store_servers)) as u8
}

fn length(draw: &mut Stream, low: u64, high: u64) -> Span {
    Span::millis(draw.span(Span::secs(low), Span::secs(high)).as_millis())
}

fn within(draw: &mut Stream, ppm: u32) -> i32 {
    let both_ways = draw.below(2 * u64::from(ppm) + 1) as i64 - i64::from(ppm);
    i32::try_from(both_ways).unwrap_or(0)
}

fn agent(who: Who, act: AgentAct) -> Act {
    Act::Agent { who, act }
}

fn postgres(who: Who, act: PostgresAct) -> Act {
    Act::Postgres { who, act }
}

fn host(who: Who, act: HostAct) -> Act {
    Act::Host { who, act }
}

fn trouble(who: Who, trouble: Trouble) -> Act {
    Act::Trouble { who, trouble }
}

fn operator(act: OperatorAct) -> Act {
    Act::Operator(act)
}

fn wire(from: End, to: End, way: Way, lane: Option<Lane>, act: WireAct) -> Act {
    let link = Link {
        from,
        to,
        way,
        lane,
    };
    Act::Wire { link, act }
}

fn cut(from: End, to: End, lane: Option<Lane>, draw: &mut Stream) -> Drawn {
    let way = if draw.chance(300) {
        Way::OneWay
    } else {
        Way::Both
    };
    let act = if draw.chance(200) {
        WireAct::Refuse
    } else {
        WireAct::Cut
    };
    let healed = wire(from.clone(), to.clone(), Way::Both, lane, WireAct::Heal);
    (wire(from, to, way, lane, act), Some(healed))
}

fn between_member_and_store(who: Who, act: WireAct) -> Drawn {
    let at = |act| wire(End::Member(who.clone()), End::Store, Way::Both, None, act);
    (at(act), Some(at(WireAct::Heal)))
}

fn slow_wire(draw: &mut Stream, cluster: &ClusterShape) -> Drawn {
    let from = End::Member(member(draw, cluster));
    let to = if draw.chance(500) {
        End::Store
    } else {
        End::Member(member(draw, cluster))
    };
    let act = WireAct::Delay {
        by: Span::millis(draw.between(5, 4_000)),
        jitter: Span::millis(draw.between(0, 2_000)),
    };
    let healed = wire(from.clone(), to.clone(), Way::Both, None, WireAct::Heal);
    (wire(from, to, Way::Both, None, act), Some(healed))
}
