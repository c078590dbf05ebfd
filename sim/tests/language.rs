//! The scenario language: whatever plan there is reads back from its own text, and a line that is
//! wrong is answered with its place and the word that was meant.

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use tanist_core::name::MemberName;
use tanist_core::settings::FencerMode;
use tanist_core::time::Span;
use tanist_sim::act::*;
use tanist_sim::marks::Mark;
use tanist_sim::plan::{Plan, Step};
use tanist_sim::scenario::claims::{Condition, Demand, Ending, Fact, Relation, Waiting, Work};
use tanist_sim::scenario::parse::parse;
use tanist_sim::scenario::print::print;
use tanist_sim::shape::{ClientShape, ClusterShape, CommitMode, Runs, StartWhen, WatchdogMode};
use tanist_sim::watchdog::Works;

fn span() -> BoxedStrategy<Span> {
    prop_oneof![
        (0..400_u64).prop_map(Span::secs),
        (0..5_000_000_000_u64).prop_map(Span::micros)
    ]
    .boxed()
}

fn who() -> BoxedStrategy<Who> {
    use Who::*;
    let parts = vec![Leader, Standby, Any, Standbys, All];
    prop_oneof![
        select(vec!["a", "b", "c"]).prop_map(Who::from),
        select(parts)
    ]
    .boxed()
}

fn text() -> BoxedStrategy<String> {
    "[ -~]{0,20}".boxed()
}

fn agent_act() -> BoxedStrategy<AgentAct> {
    use AgentAct::*;
    let plain = vec![Start, Kill, Stop, Freeze, Thaw, LoseWatch, SilenceWatch];
    let swaps = select(vec![Runs::Tanist, Runs::Patroni]).prop_map(Become);
    prop_oneof![select(plain), span().prop_map(FreezeFor), swaps].boxed()
}

fn postgres_act() -> BoxedStrategy<PostgresAct> {
    use PostgresAct::*;
    let processes = vec![
        KillPostmaster,
        FreezePostmaster,
        ThawPostmaster,
        FreezeBackend,
        ThawBackends,
        CrashBackend,
        KillAll,
    ];
    let by_hand = vec![
        PromoteByHand,
        StopByHand,
        StartByHand,
        Checkpoint,
        PauseReplay,
        ResumeReplay,
        CancelWaits,
    ];
    let pace = span().prop_map(|every| BeginServerLoop { every });
    let altered = text().prop_map(|synchronous_standby_names| AlterSystem {
        synchronous_standby_names,
    });
    prop_oneof![select(processes), select(by_hand), pace, altered].boxed()
}

fn host_act() -> BoxedStrategy<HostAct> {
    use HostAct::*;
    let plain = vec![
        Crash,
        Boot,
        Suspend,
        Resume,
        FillDisk,
        FreeDisk,
        LieAboutFlush,
        LoseData,
    ];
    let shift = prop_oneof![
        span().prop_map(Shift::Forward),
        span().prop_map(Shift::Back)
    ];
    prop_oneof![
        select(plain),
        span().prop_map(SuspendFor),
        any::<i32>().prop_map(|ppm| ClockRate { ppm }),
        select(vec![Works::Well, Works::Refuses]).prop_map(Watchdog),
        shift.prop_map(|by| StepWall { by }),
    ]
    .boxed()
}

fn trouble() -> BoxedStrategy<Trouble> {
    use Trouble::*;
    let plain = vec![
        PromoteFails,
        PromoteDiesHalfWay,
        RewindFails,
        RewindDiesHalfWay,
        StartFails,
        StartHangs,
        StopHangs,
        CloneCut,
        InitdbFails,
    ];
    prop_oneof![
        select(plain),
        span().prop_map(PromoteTakes),
        span().prop_map(StartTakes),
        span().prop_map(StopTakes),
        span().prop_map(CloneTakes),
        span().prop_map(CheckpointTakes),
    ]
    .boxed()
}

fn wire() -> BoxedStrategy<Act> {
    let end = prop_oneof![
        who().prop_map(End::Member),
        select(vec![End::Store, End::Clients]),
        any::<u8>().prop_map(End::StoreServer),
    ];
    let ways = select(vec![Way::Both, Way::OneWay]);
    let lanes = of(select(vec![Lane::Data, Lane::Api]));
    let act = prop_oneof![
        select(vec![WireAct::Cut, WireAct::Refuse, WireAct::Heal]),
        (span(), span()).prop_map(|(by, jitter)| WireAct::Delay { by, jitter }),
        (0..=1000_u32).prop_map(|per_mille| WireAct::Lose { per_mille }),
        (0..=1000_u32, span()).prop_map(|(per_mille, upto)| WireAct::Straggle { per_mille, upto }),
    ];
    (end.clone(), end, ways, lanes, act)
        .prop_map(|(from, to, way, lane, act)| Act::Wire {
            link: Link {
                from,
                to,
                way,
                lane,
            },
            act,
        })
        .boxed()
}

fn store() -> BoxedStrategy<StoreAct> {
    use StoreAct::*;
    let servers = vec![StopAll, HangAll, StartAll, Elect, LoseQuorum, RegainQuorum];
    let state = vec![
        DenyWrites,
        AllowWrites,
        Wipe,
        TakeSnapshot,
        RollBack,
        Compact,
        OldLeaderRevokes(Switch::On),
        OldLeaderRevokes(Switch::Off),
    ];
    prop_oneof![
        select(servers),
        select(state),
        any::<u8>().prop_map(StopServer),
        any::<u8>().prop_map(HangServer),
        any::<u8>().prop_map(StartServer),
        any::<u8>().prop_map(IsolateServer),
        any::<u8>().prop_map(RejoinServer),
        span().prop_map(Slow),
        text().prop_map(DeleteKey),
        (text(), text()).prop_map(|(key, value)| PutKey { key, value }),
        any::<i32>().prop_map(|ppm| ClockRate { ppm }),
    ]
    .boxed()
}

fn operator() -> BoxedStrategy<OperatorAct> {
    use OperatorAct::*;
    let switchover = (who(), of(who()), of(who()), of(span()));
    prop_oneof![
        switchover.prop_map(|(ask, leader, candidate, after)| Switchover {
            ask,
            leader,
            candidate,
            after
        }),
        (who(), who()).prop_map(|(ask, candidate)| Failover { ask, candidate }),
        who().prop_map(|ask| CancelSwitchover { ask }),
        who().prop_map(|who| Restart { who }),
        (who(), any::<bool>()).prop_map(|(who, force)| Reinitialize { who, force }),
        select(vec![Pause, Resume]),
        text().prop_map(|patch| PatchConfig { patch }),
    ]
    .boxed()
}

fn pace() -> BoxedStrategy<ClientShape> {
    (span(), span(), span())
        .prop_map(|(roaming, stubborn, server)| ClientShape {
            roaming_every: roaming,
            stubborn_every: stubborn,
            server_loop_every: server,
        })
        .boxed()
}

fn act() -> BoxedStrategy<Act> {
    let fencer = select(vec![FencerAct::Kill, FencerAct::Freeze, FencerAct::Thaw]);
    let plain = vec![
        Act::HealAll,
        Act::HealWire,
        Act::Clients(ClientAct::On),
        Act::Clients(ClientAct::Off),
    ];
    prop_oneof![
        (who(), agent_act()).prop_map(|(who, act)| Act::Agent { who, act }),
        (who(), fencer).prop_map(|(who, act)| Act::Fencer { who, act }),
        (who(), postgres_act()).prop_map(|(who, act)| Act::Postgres { who, act }),
        (who(), host_act()).prop_map(|(who, act)| Act::Host { who, act }),
        (who(), trouble()).prop_map(|(who, trouble)| Act::Trouble { who, trouble }),
        wire(),
        store().prop_map(Act::Store),
        operator().prop_map(Act::Operator),
        select(plain),
        pace().prop_map(|pace| Act::Clients(ClientAct::Pace(pace))),
    ]
    .boxed()
}

fn fact() -> BoxedStrategy<Fact> {
    // `leader is ...` asks who leads, so that "leader" is the subject of no other fact with `is`.
    let other = || who().prop_filter("not the leader", |w| *w != Who::Leader);
    let plain = vec![
        Fact::KeyIsFree,
        Fact::NoLeader,
        Fact::EveryoneFollows,
        Fact::NoFailover,
    ];
    let conditions = select(Condition::ALL.map(|(_, c)| c).to_vec());
    let works = select(Work::ALL.map(|(_, w)| w).to_vec());
    let relations = select(Relation::ALL.map(|(_, r)| r).to_vec());
    let streams =
        (who(), who(), of(any::<u32>())).prop_map(|(member, from, timeline)| Fact::Streams {
            member,
            from,
            timeline,
        });
    prop_oneof![
        who().prop_map(Fact::AcceptsWrites),
        who().prop_map(Fact::RefusesWrites),
        (who(), select(vec![Waiting::Some, Waiting::None]))
            .prop_map(|(who, waiting)| Fact::CommitsWait(who, waiting)),
        who().prop_map(Fact::HoldsKey),
        who().prop_map(Fact::LeaderIs),
        select(plain),
        (other(), conditions).prop_map(|(who, condition)| Fact::Is(who, condition)),
        streams,
        (other(), any::<u32>()).prop_map(|(who, number)| Fact::OnTimeline(who, number)),
        any::<u32>().prop_map(Fact::TimelineIs),
        (who(), works).prop_map(|(who, work)| Fact::InOperation(who, work)),
        (relations, any::<u64>()).prop_map(|(relation, count)| Fact::LostCommits(relation, count)),
        who().prop_map(Fact::KeptData),
        select(Ending::ALL.map(|(_, e)| e).to_vec()).prop_map(Fact::RequestIs),
        select(Mark::ALL.to_vec()).prop_map(Fact::Mark),
    ]
    .boxed()
}

fn demand() -> BoxedStrategy<Demand> {
    prop_oneof![
        (span(), fact()).prop_map(|(span, fact)| Demand::Within(span, fact)),
        (span(), fact()).prop_map(|(span, fact)| Demand::For(span, fact)),
        fact().prop_map(Demand::Always),
        fact().prop_map(Demand::Never),
        fact().prop_map(Demand::AtEnd),
        (fact(), fact()).prop_map(|(event, first)| Demand::Before { event, first }),
    ]
    .boxed()
}

/// Steps whose times go forward, whatever was drawn.
fn steps() -> BoxedStrategy<Vec<Step>> {
    let step = prop_oneof![
        (span(), of(act())).prop_map(|(at, act)| Step::At { at, act }),
        (fact(), span(), act()).prop_map(|(fact, delay, act)| Step::When { fact, delay, act }),
        demand().prop_map(Step::Expect),
    ];
    proptest::collection::vec(step, 0..12)
        .prop_map(|mut steps| {
            let mut clock = Span::ZERO;
            for step in &mut steps {
                if let Step::At { at, .. } = step {
                    clock = clock + *at;
                    *at = clock;
                }
            }
            steps
        })
        .boxed()
}

fn shape() -> BoxedStrategy<ClusterShape> {
    use CommitMode::*;
    let switches = proptest::array::uniform5(any::<bool>());
    let modes = select(vec![Async, Synchronous, Strict, Quorum]);
    let fencers = select(vec![
        FencerMode::Off,
        FencerMode::Auto,
        FencerMode::Required,
    ]);
    let spans = (span(), span(), span(), span(), span());
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let misnamed = of(select(vec!["a", "b", "c"]));
    let members = proptest::array::uniform3((flags, of(any::<i64>()), of(span()), misnamed));
    let numbers = (any::<u64>(), any::<u8>(), 0..1_000_000_u32);
    let modes_of_watchdogs = select(vec![
        WatchdogMode::Off,
        WatchdogMode::Automatic,
        WatchdogMode::Required,
    ]);
    let steps = of((1..100_u64).prop_map(Span::secs));
    let watchdogs = (modes_of_watchdogs, of(span()), steps);
    (
        switches,
        modes,
        fencers,
        spans,
        members,
        numbers,
        (pace(), watchdogs),
    )
        .prop_map(
            |(on, mode, fencer, spans, members, (lag, servers, drift), (pace, watchdogs))| {
                let mut shape = ClusterShape::of(&["a", "b", "c"]);
                (shape.ttl, shape.loop_wait, shape.retry_timeout, ..) = spans;
                (.., shape.primary_start_timeout, shape.stop_budget) = spans;
                shape.commit_mode = mode;
                shape.fencer = fencer;
                shape.failsafe = on[0];
                shape.rewind.use_pg_rewind = on[1];
                shape.rewind.wal_log_hints = on[2];
                shape.rewind.remove_data_directory_on_rewind_failure = on[3];
                shape.rewind.remove_data_directory_on_diverged_timelines = on[4];
                shape.maximum_lag_on_failover = lag;
                shape.store_servers = servers;
                shape.clock_drift_ppm = drift;
                shape.clients = pace;
                let (mode, margin, steps) = watchdogs;
                (shape.watchdog, shape.safety_margin) = (mode, margin);
                shape.members[1].watchdog = steps;
                for (member, ((nofailover, asked, founds), priority, supervisor, misnamed)) in
                    shape.members.iter_mut().zip(members)
                {
                    member.goes_by = misnamed.map(MemberName::from);
                    member.nofailover = nofailover;
                    member.failover_priority = priority;
                    member.founds = founds;
                    member.runs = match asked ^ founds {
                        true => Runs::Patroni,
                        false => Runs::Tanist,
                    };
                    member.supervisor = supervisor;
                    if asked {
                        member.start = StartWhen::WhenAsked;
                    }
                }
                shape
            },
        )
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_reads_back_from_its_own_text(
        cluster in shape(),
        steps in steps(),
        seed in any::<u64>(),
        question in "[A-Za-z ?]{0,30}",
        note in of("[a-z][a-z: ]{0,20}[a-z]"),
    ) {
        let end = Plan::last_moment(&steps) + Span::secs(7);
        let plan = Plan {
            question: question.trim().to_string(),
            notes: note.into_iter().collect(),
            cluster,
            seed,
            steps,
            end,
        };
        let text = print(&plan);
        let read = parse(&text).map_err(|c| TestCaseError::fail(format!("{c}\n{text}")))?;
        prop_assert_eq!(read, plan, "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(lines in proptest::collection::vec("[ -~]{0,40}", 0..6)) {
        let lines = lines.join("\n");
        let _ = parse(&lines);
        let _ = parse(&format!("# q\ncluster a b\n{lines}"));
    }
}

/// What the reader says about the last line of a scenario.
fn complaint_about(line: &str) -> String {
    complaint(&format!("# Does it?\ncluster a b c  dcs 3\n{line}\n"))
}

fn complaint(text: &str) -> String {
    match parse(text) {
        Ok(plan) => panic!("understood: {plan:?}"),
        Err(complaint) => complaint.to_string(),
    }
}

#[test]
fn a_misspelt_verb_is_shown_where_it_stands_with_the_one_that_was_meant() {
    let shown = [
        "line 3, column 10: `suspnd` is not understood here: expected what happens, such as `cut a <-> dcs`",
        "   |",
        " 3 | at 60s   suspnd a for 20s",
        "   |          ^^^^^^ did you mean `suspend`?",
    ];
    assert_eq!(
        complaint_about("at 60s   suspnd a for 20s"),
        shown.join("\n")
    );
}

#[test]
fn each_kind_of_mistake_is_answered_in_its_own_words() {
    for (line, says) in [
        ("at 60  crash a", "expected a time such as 30s"),
        (
            "at 60s  crash d",
            "`a`, `b`, `c`, `leader`, `standby`, `any`, `standbys` or `all`",
        ),
        ("at 60s  cut a <> dcs", "expected `<->` or `->`"),
        ("at 60s  crash", "the line ends here"),
        ("at 60s  crash a b", "expected the end of the line"),
        (
            "expect within 30s  a acepts writes",
            "did you mean `accepts`?",
        ),
        ("expect mark fencer-fird", "did you mean `fencer-fired`?"),
        ("expect lost commits : 0", "expected `=`, `<=` or `>=`"),
        ("exepct at end  leader is a", "did you mean `expect`?"),
        ("at 10s  configure '{", "no word starts with this character"),
        (
            "at 10s  heal all\nat 5s  heal all",
            "the story goes forward",
        ),
        (
            "at 10s  heal all\nmember a nofailover",
            "comes before what happens to it",
        ),
        (
            "expect within 30s  no leader\nat 20s  end",
            "before its last claim is due",
        ),
        ("with ttl 30", "expected a time such as 30s"),
        ("with tl 30s", "did you mean `ttl`?"),
        ("member a  patrony", "did you mean `patroni`?"),
        ("at 60s  swap a to tanits", "did you mean `tanist`?"),
        ("at 60s  swapp a to tanist", "did you mean `swap`?"),
        ("at 60s  swap a tanist", "expected `to`"),
        ("with watchdog requird", "did you mean `required`?"),
        ("with safety-margin hlaf", "expected a time such as 30s"),
        ("member a  watchdogg", "did you mean `watchdog`?"),
        ("member a  watchdog steps 0s", "steps of some length"),
        ("at 60s  watchdog of a refuse", "did you mean `refuses`?"),
        ("at 60s  cancel wait of a", "did you mean `waits`?"),
        ("at 60s  cancel waits on a", "expected `of`"),
        (
            "at 60s  alter system on a max_connections = '1'",
            "expected `synchronous_standby_names`",
        ),
        (
            "at 60s  alter system on a synchronous_standby_names = b",
            "expected a text in single quotes",
        ),
        (
            "expect within 5s  a has waiting comits",
            "did you mean `commits`?",
        ),
    ] {
        let said = complaint_about(line);
        assert!(said.contains(says), "{line:?} was answered with\n{said}");
    }
}

#[test]
fn a_cluster_names_its_members_once_and_by_words_of_their_own() {
    for (text, says) in [
        ("# q\ncluster a a", "two members cannot have one name"),
        ("# q\ncluster a leader", "this word means something else"),
        ("# q\ncluster dcs 3", "expected the name of a member"),
        ("cluster a b", "the first line must be a comment"),
        ("# q\n", "without a `cluster` line"),
        ("# q\ncluster a b c  dcs 3  tll 30s", "did you mean `ttl`?"),
    ] {
        let said = complaint(text);
        assert!(said.contains(says), "{text:?} was answered with\n{said}");
    }
}
