//! Canaries: deliberate bugs by name, each of which must make its invariant fire or a story fail. A canary changes
//! behaviour at the boundary of one member (drops, reorders, forges effects or inputs); it never touches the checker's
//! truth. Knows nothing of the invariants.

use crate::streams::Stream;
use crate::wire::Seat;
use serde::{Deserialize, Serialize};
use tanist_core::dcs::{
    DcsInput, DcsOutcome, DcsReply, DcsRequest, KeyOwner, Precondition, Revision,
};
use tanist_core::decision::Decision;
use tanist_core::effect::{Effect, EffectBody};
use tanist_core::fencer::FencerRequest;
use tanist_core::input::Input;
use tanist_core::lsn::Lsn;
use tanist_core::name::{OpId, Term};
use tanist_core::note::Note;
use tanist_core::peer::PeerAnswer;
use tanist_core::postgres::{
    DataDir, DiscardReason, Observation, Operation, PgInput, PromotionMark, SideTask, Sql,
    StopMode, StopPlan,
};
use tanist_core::time::{Mono, Span};

macro_rules! canaries {
    ($($(#[$doc:meta])* $name:ident $text:literal caught by $by:literal;)*) => {
        /// One deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Canary { $($(#[$doc])* $name,)* }
        impl Canary {
            pub const ALL: &'static [Canary] = &[$(Canary::$name,)*];
            pub fn name(self) -> &'static str {
                match self { $(Canary::$name => $text,)* }
            }
            /// The id of the invariant that it is meant for.
            pub fn caught_by(self) -> &'static str {
                match self { $(Canary::$name => $by,)* }
            }
            pub fn named(text: &str) -> Option<Canary> {
                Canary::ALL.iter().copied().find(|canary| canary.name() == text)
            }
        }
    };
}

canaries! {
    /// The fencer acknowledges and is never armed.
    FencerNeverArmed "fencer-never-armed" caught by "S03";
    /// Extensions never reach the fencer, which acknowledges them all the same.
    NeverExtend "never-extend" caught by "L03";
    /// An acquisition that lost is told as won.
    ConflictIsSuccess "conflict-is-success" caught by "S02";
    /// A stop is told as done and never begun: asked for again and again.
    StopNeverSent "stop-never-sent" caught by "L07";
    /// A standby that looks at itself promotes, whoever leads.
    PromoteWithoutKey "promote-without-key" caught by "S02";
    /// A half-rewound directory looks whole.
    HalfRewoundLooksWhole "half-rewound-looks-whole" caught by "S15";
    /// The granted ttl is told doubled.
    DoubledTtl "doubled-ttl" caught by "S03";
    /// A leader's data is discarded where it is to start in place.
    DiscardBeforeStart "discard-before-start" caught by "S16";
    /// `initialize` is written without any condition, by whoever looks.
    InitializeAnew "initialize-anew" caught by "S17";
    /// The leader key is written without looking whether it is there.
    BlindAcquire "blind-acquire" caught by "S04";
    /// While paused, a running server is stopped.
    StopsWhilePaused "stops-while-paused" caught by "S18";
    /// REST says primary whatever is so.
    AlwaysSaysPrimary "always-says-primary" caught by "S21";
    /// Each operation is begun twice at once.
    OperationTwice "operation-twice" caught by "S23";
    /// The tag `nofailover` never reaches the agent.
    NofailoverLost "nofailover-lost" caught by "S10";
    /// Replies to operators are dropped.
    RepliesDropped "replies-dropped" caught by "L06";
    /// Renewals are told as done and never sent.
    RenewalsImagined "renewals-imagined" caught by "S03";
    /// Peers that answer seem to hold no WAL at all.
    PeersLookBehind "peers-look-behind" caught by "S11";
    /// A rewind is told as done and never run.
    RewindImagined "rewind-imagined" caught by "L02";
    /// Slots that a standby is to move are dropped instead.
    SlotsDropped "slots-dropped" caught by "S19";
    /// A standby that has nothing to do is stopped.
    StandbyStopped "standby-stopped" caught by "L09";
    /// What the agent knows of the store is never brought up to date again once somebody clones.
    ViewsFrozen "views-frozen" caught by "L04";
    /// The leader key is given away while PostgreSQL is only being stopped.
    ReleaseEarly "release-early" caught by "S01";
    /// Nobody is told why a server is stopped.
    ReasonsDropped "reasons-dropped" caught by "L10";
    /// A look that nobody answered is told as one that was refused.
    SilenceMisread "silence-misread" caught by "L08";
}

/// The canary of a run, if any. It sits on the member in seat `on`, or on all.
#[derive(Clone, Debug)]
pub struct Sabotage {
    canary: Option<Canary>,
    chance: Stream,
    /// Invents ids that no agent uses.
    forged: u64,
    last_lease: Option<tanist_core::dcs::Session>,
    /// Somebody has begun to clone.
    is_founded: bool,
}

impl Sabotage {
    pub fn new(canary: Option<Canary>, chance: Stream) -> Sabotage {
        Sabotage {
            canary,
            chance,
            forged: 1 << 60,
            last_lease: None,
            is_founded: false,
        }
    }

    fn is(&self, canary: Canary) -> bool {
        self.canary == Some(canary)
    }
    pub fn is_on(&self) -> bool {
        self.canary.is_some()
    }

    /// What an agent says of itself.
    pub fn notes(&self, notes: &mut Vec<Note>) {
        if self.is(Canary::ReasonsDropped) {
            notes.retain(|note| !matches!(note, Note::Decided(Decision::Stop { .. })));
        }
    }

    fn forge(&mut self, operation: Operation, term: Option<Term>) -> Effect {
        self.forged += 1;
        let body = EffectBody::Operation { operation, term };
        Effect {
            id: OpId(self.forged),
            body,
        }
    }

    fn forge_release(&mut self) -> Effect {
        self.forged += 1;
        let request = DcsRequest::Delete {
            key: "leader".to_string(),
            precondition: Precondition::None,
        };
        Effect {
            id: OpId(self.forged),
            body: EffectBody::Dcs {
                request,
                until: Mono(u64::MAX),
            },
        }
    }

    /// What the agent is told instead of `input`; `None`: nothing.
    pub fn input(&mut self, _seat: Seat, input: Input) -> Option<Input> {
        match (&input, self.canary) {
            // The forged operations' ends are nobody's business.
            (Input::Postgres(PgInput::Finished { op, .. }), Some(_)) if op.0 > 1 << 60 => None,
            (Input::Peer(_), Some(Canary::PeersLookBehind)) => Some(behind(input)),
            (Input::Postgres(_), Some(Canary::SilenceMisread)) => Some(refused(input)),
            (Input::Dcs(said), Some(Canary::ViewsFrozen)) if self.is_founded && tells(said) => None,
            _ => Some(input),
        }
    }

    pub fn effects(&mut self, effects: &mut Vec<Effect>, scene: Scene) -> Vec<Effect> {
        let effects = std::mem::take(effects);
        let Some(canary) = self.canary else {
            return effects;
        };
        let mut kept = Vec::new();
        for effect in effects {
            self.is_founded |= is_clone(&effect);
            match (canary, &effect.body) {
                (Canary::RepliesDropped, EffectBody::Reply { .. }) => {}
                (Canary::OperationTwice, EffectBody::Operation { operation, term }) => {
                    let (operation, term) = (operation.clone(), *term);
                    kept.push(effect);
                    let twice = self.forge(operation, term);
                    kept.push(twice);
                }
                (
                    Canary::DiscardBeforeStart,
                    EffectBody::Operation {
                        operation: Operation::Start { .. },
                        term: Some(_),
                    },
                ) if self.is_founded => {
                    let why = DiscardReason::ReinitRequested;
                    let discard = self.forge(Operation::DiscardData { why }, None);
                    kept.push(discard);
                }
                (Canary::SlotsDropped, EffectBody::Side { task, until }) => {
                    let (id, until) = (effect.id, *until);
                    let task = match task.clone() {
                        SideTask::AdvanceSlot { name, .. } => SideTask::DropSlot {
                            name,
                            if_lost: false,
                        },
                        other => other,
                    };
                    let body = EffectBody::Side { task, until };
                    kept.push(Effect { id, body });
                }
                (
                    Canary::ReleaseEarly,
                    EffectBody::Operation {
                        operation: Operation::Stop { .. },
                        term: Some(_),
                    },
                ) => {
                    let release = self.forge_release();
                    kept.push(release);
                    kept.push(effect);
                }
                _ => kept.push(effect),
            }
        }
        self.add_forged(canary, scene, &mut kept);
        kept
    }

    fn add_forged(&mut self, canary: Canary, scene: Scene, kept: &mut Vec<Effect>) {
        let now_and_then = self.chance.chance(20);
        match (canary, scene) {
            (Canary::PromoteWithoutKey, Scene::IdleStandby) if now_and_then => {
                let timeline = tanist_core::timeline::TimelineId(99);
                let mark = PromotionMark {
                    timeline,
                    term: Term(1),
                };
                let timeout = Span::secs(60);
                let promote = Operation::Promote { mark, timeout };
                let promote = self.forge(promote, Some(Term(1)));
                kept.push(promote);
            }
            (Canary::StopsWhilePaused, Scene::Paused)
            | (Canary::StandbyStopped, Scene::IdleStandby)
                if now_and_then =>
            {
                let plan = StopPlan {
                    first: StopMode::Fast,
                    immediate_after: Span::secs(10),
                    kill_after: Span::secs(20),
                };
                let stop = Operation::Stop {
                    plan,
                    checkpoint_first: false,
                };
                let stop = self.forge(stop, None);
                kept.push(stop);
            }
            _ => {}
        }
    }

    /// The request that is sent instead.
    pub fn request(&mut self, seat: Seat, request: DcsRequest) -> DcsRequest {
        match (self.canary, request) {
            (Some(Canary::BlindAcquire), DcsRequest::Acquire { owner, .. }) => DcsRequest::Put {
                key: "leader".to_string(),
                value: owner.0,
                precondition: Precondition::None,
                with_session: true,
            },
            (
                Some(Canary::InitializeAnew),
                DcsRequest::Put {
                    key,
                    value,
                    with_session,
                    ..
                },
            ) if key.starts_with("members/") && self.chance.chance(100) => {
                let _ = (key, value, with_session);
                DcsRequest::Put {
                    key: "initialize".to_string(),
                    value: format!("60000000000000000{:02}", seat.0),
                    precondition: Precondition::None,
                    with_session: false,
                }
            }
            (_, request) => request,
        }
    }

    /// What the agent is told of a request's outcome.
    pub fn outcome(&mut self, asked: &DcsRequest, outcome: DcsOutcome) -> DcsOutcome {
        let Some(canary) = self.canary else {
            return outcome;
        };
        if let DcsOutcome::Ok(DcsReply::Session(session)) = &outcome {
            self.last_lease = Some(*session);
        }
        match (canary, asked, outcome) {
            (Canary::DoubledTtl, _, DcsOutcome::Ok(reply)) => DcsOutcome::Ok(doubled(reply)),
            (
                Canary::ConflictIsSuccess,
                DcsRequest::Acquire { .. },
                DcsOutcome::Conflict { .. },
            ) => self.won(),
            (_, _, outcome) => outcome,
        }
    }

    fn won(&self) -> DcsOutcome {
        match self.last_lease {
            Some(session) => DcsOutcome::Ok(DcsReply::Acquired {
                session,
                term: Term(1),
                revision: Revision(1_000_000),
            }),
            None => DcsOutcome::Conflict {
                owner: KeyOwner::Absent,
            },
        }
    }

    pub fn observation(&self, observation: Observation) -> Observation {
        if !self.is(Canary::HalfRewoundLooksWhole) {
            return observation;
        }
        let data_dir = match observation.data_dir {
            DataDir::HalfRewound(control) => DataDir::Present(control),
            other => other,
        };
        Observation {
            data_dir,
            ..observation
        }
    }

    pub fn skips_arming(&self, request: &FencerRequest) -> bool {
        match request {
            FencerRequest::Arm { .. } => self.is(Canary::FencerNeverArmed),
            FencerRequest::Extend { .. } => {
                self.is(Canary::FencerNeverArmed) || self.is(Canary::NeverExtend)
            }
            FencerRequest::Disarm { .. } => false,
        }
    }

    pub fn skips(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Stop { .. } => self.is(Canary::StopNeverSent),
            Operation::Rewind { .. } => self.is(Canary::RewindImagined),
            Operation::Initdb
            | Operation::PostBootstrap
            | Operation::Clone { .. }
            | Operation::Start { .. }
            | Operation::Promote { .. }
            | Operation::CrashRecovery
            | Operation::DiscardData { .. } => false,
        }
    }
    pub fn imagines_renewal(&self) -> bool {
        self.is(Canary::RenewalsImagined)
    }
    pub fn says_primary(&self, _seat: Seat) -> bool {
        self.is(Canary::AlwaysSaysPrimary)
    }
    pub fn strips_nofailover(&self) -> bool {
        self.is(Canary::NofailoverLost)
    }
}

/// What an agent's member is doing, as far as a forged effect needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    IdleStandby,
    Paused,
    Other,
}

/// Does this bring the view of the store up to date?
fn tells(said: &DcsInput) -> bool {
    match said {
        DcsInput::Listed { .. } | DcsInput::Changed { .. } => true,
        DcsInput::Completed { outcome, .. } => {
            matches!(outcome, DcsOutcome::Ok(DcsReply::Snapshot(_)))
        }
        DcsInput::WatchLost { .. } => false,
    }
}

fn is_clone(effect: &Effect) -> bool {
    let EffectBody::Operation { operation, .. } = &effect.body else {
        return false;
    };
    matches!(operation, Operation::Clone { .. })
}

fn behind(input: Input) -> Input {
    let Input::Peer(mut peer) = input else {
        return input;
    };
    if let PeerAnswer::Status(status) = &mut peer.answer {
        status.position = Lsn::INVALID;
    }
    Input::Peer(peer)
}

fn refused(mut input: Input) -> Input {
    if let Input::Postgres(PgInput::Observed { observation, .. }) = &mut input
        && let Sql::Silent(why) = &observation.sql
    {
        observation.sql = Sql::Refused(why.clone());
    }
    input
}

fn doubled(reply: DcsReply) -> DcsReply {
    let twice = |session: tanist_core::dcs::Session| tanist_core::dcs::Session {
        ttl: session.ttl.times(2),
        renewed_at: session.renewed_at + session.ttl,
        ..session
    };
    match reply {
        DcsReply::Session(session) => DcsReply::Session(twice(session)),
        DcsReply::Renewed {
            session,
            owner,
            revision,
        } => DcsReply::Renewed {
            session: twice(session),
            owner,
            revision,
        },
        DcsReply::Acquired {
            session,
            term,
            revision,
        } => DcsReply::Acquired {
            session: twice(session),
            term,
            revision,
        },
        DcsReply::Snapshot(_) | DcsReply::Released { .. } | DcsReply::Written { .. } => reply,
    }
}
