//! How long the first look at the own server may take: short beside a server that does not react, and as long as any
//! other once a short one has failed, or a slow disk would never be seen.

mod support;

use support::{at, settings};
use tanist_core::agent::{Agent, Boot, Output};
use tanist_core::effect::EffectBody;
use tanist_core::input::Input;
use tanist_core::name::OpId;
use tanist_core::postgres::{DataDir, Ended, Observation, PgInput, Processes, SideTask, Sql};
use tanist_core::time::{Now, Span};
use tanist_core::timeline::{TimelineHistory, TimelineId};

fn agent() -> Agent {
    Agent::new(settings(), Boot::default(), 7, at(0))
}

/// The look that the agent asks for when this is put in, and how long it may take.
fn look(agent: &mut Agent, now: Now, input: Input) -> Option<(OpId, Span)> {
    let mut output = Output::default();
    agent.handle(now, input, &mut output);
    let mut looks = output
        .effects
        .iter()
        .filter_map(|effect| match effect.body {
            EffectBody::Side {
                task: SideTask::Probe,
                until,
            } => Some((effect.id, until.since(now.mono))),
            _ => None,
        });
    looks.next_back()
}

#[test]
fn the_first_look_is_short_and_the_one_after_it_has_its_time() {
    let mut agent = agent();
    let (first, allowed) = look(&mut agent, at(0), Input::Wakeup).unwrap();
    assert_eq!(allowed, Span::secs(1));
    let failed = Input::Postgres(PgInput::Finished {
        op: first,
        ended: Ended::Failed("deadline".into()),
    });
    let at_once = look(&mut agent, at(1), failed);
    let (_, allowed) = at_once
        .or_else(|| look(&mut agent, at(10), Input::Wakeup))
        .unwrap();
    assert_eq!(allowed, Span::secs(5));
}

/// The disk and the server were both too slow: what it is, nobody knows.
fn told_nothing(op: OpId) -> Input {
    let observation = Observation {
        data_dir: DataDir::Unreadable("no answer in time".into()),
        processes: Processes {
            postmaster: Some(7),
            backends: 1,
        },
        sql: Sql::Silent("no answer in time".into()),
        history: TimelineHistory::bare(TimelineId(1)),
        other_lines: Vec::new(),
        promoted: Vec::new(),
        standby_signal: false,
        roles_owed: false,
        led_last: false,
        copy: None,
    };
    Input::Postgres(PgInput::Observed {
        op: Some(op),
        observation,
    })
}

#[test]
fn a_first_look_that_tells_nothing_is_taken_once_more_within_the_time_of_grace() {
    let mut agent = agent();
    let (first, _) = look(&mut agent, at(0), Input::Wakeup).unwrap();
    let (second, allowed) = look(&mut agent, at(1), told_nothing(first)).unwrap();
    assert_eq!(
        allowed,
        Span::secs(1),
        "to the end of the two seconds of grace"
    );
    assert_eq!(agent.view().observed, None);
    look(&mut agent, at(2), told_nothing(second));
    assert!(
        agent.view().observed.is_some(),
        "what was seen by then has to do"
    );
}
