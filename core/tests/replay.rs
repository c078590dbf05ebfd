//! A recording replays bit for bit, and whatever was done to it is told at the exact line.

mod support;

use proptest::prelude::*;
use support::{at, settings};
use tanist_core::agent::{Agent, Boot, Output};
use tanist_core::dcs::{DcsInput, DcsOutcome};
use tanist_core::input::Input;
use tanist_core::name::OpId;
use tanist_core::postgres::PgInput;
use tanist_core::record::{Header, Recording, line_sum, lost_line, split_sum};
use tanist_core::replay::{Change, Difference, How, Replayed, State, Until, replay, replay_with};
use tanist_core::time::Span;

fn input(n: u64) -> Input {
    match n % 4 {
        0 => Input::Wakeup,
        1 => Input::Dcs(DcsInput::WatchLost {
            why: format!("stream {n} ended"),
        }),
        2 => Input::Postgres(PgInput::PostmasterExited { pid: 4711 }),
        _ => Input::Dcs(DcsInput::Completed {
            op: OpId(n),
            sent_at: at(n).mono,
            maybe_since: None,
            outcome: DcsOutcome::Unknown("deadline".into()),
        }),
    }
}

/// An agent's life of `handles` inputs; a new segment (after `lost` unwritten handles) begins after the one numbered `cut`.
fn recorded(handles: u64, cut: Option<(u64, u64)>) -> String {
    let header = Header::new("abc1234", settings(), Boot::default(), 7, at(0));
    let mut agent = Agent::new(settings(), Boot::default(), 7, at(0));
    let (mut recording, mut text) = Recording::begin(header, 4);
    for n in 1..=handles {
        let mut output = Output::default();
        agent.handle(at(n), input(n), &mut output);
        let is_lost = cut.is_some_and(|(after, lost)| n > after && n <= after + lost);
        if is_lost {
            recording.skip();
        } else {
            text += &recording.handle(at(n), &input(n), &output, &agent);
        }
        match cut {
            Some((after, lost)) if n == after + lost => {
                if lost > 0 {
                    let (_, last) = split_sum(text.lines().last().unwrap()).unwrap();
                    text += &lost_line(last, lost);
                }
                text += &recording.segment(&agent);
            }
            _ => {}
        }
    }
    text
}

/// Gives every line of one segment a sum that fits, as a forger (or another core) would.
fn resealed(lines: &[String]) -> String {
    let mut sum = 0;
    let mut text = String::new();
    for line in lines {
        let (body, _) = split_sum(line).expect("a line of ours");
        sum = line_sum(sum, &body);
        text += &format!("{},\"sum\":\"{sum:016x}\"}}\n", &body[..body.len() - 1]);
    }
    text
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_string).collect()
}

fn refused(text: &str) -> Difference {
    replay(text).expect_err("a difference")
}

#[test]
fn a_recording_of_this_core_replays_to_the_same_state() {
    let replayed = replay(&recorded(30, None)).unwrap();
    assert_eq!(
        (replayed.handles, replayed.lost, replayed.truncated),
        (30, 0, None)
    );
    let mut agent = Agent::new(settings(), Boot::default(), 7, at(0));
    for n in 1..=30 {
        agent.handle(at(n), input(n), &mut Output::default());
    }
    assert_eq!(replayed.agent, Some(agent));
}

#[test]
fn a_later_segment_replays_from_its_snapshot_alone() {
    let text = recorded(30, Some((12, 0)));
    let second = text.rfind("{\"header\"").unwrap();
    let alone = replay(&text[second..]).unwrap();
    let whole = replay(&text).unwrap();
    assert_eq!(alone.handles, 18);
    assert_eq!(alone.agent, whole.agent);
}

#[test]
fn lost_lines_are_counted_and_the_next_segment_goes_on() {
    let replayed = replay(&recorded(30, Some((12, 5)))).unwrap();
    assert_eq!((replayed.handles, replayed.lost), (25, 5));
}

#[test]
fn a_last_line_cut_off_by_a_crash_is_tolerated_and_said() {
    let text = recorded(10, None);
    let cut = &text[..text.len() - 9];
    let Replayed {
        handles, truncated, ..
    } = replay(cut).unwrap();
    assert_eq!((handles, truncated), (9, Some(11)));
}

#[test]
fn a_dropped_line_is_told_at_the_line_that_follows() {
    let mut kept = lines(&recorded(10, None));
    kept.remove(5);
    let found = refused(&(kept.join("\n") + "\n"));
    assert_eq!((found.line, found.path.as_str()), (6, "n"));
    assert_eq!(
        (found.recorded.as_str(), found.replayed.as_str()),
        ("6", "5")
    );
}

#[test]
fn an_effect_that_was_not_asked_for_is_told_with_its_field() {
    let mut kept = lines(&recorded(10, None));
    kept[3] = kept[3].replacen("\"effects\":[", "\"effects\":[{\"id\":99}", 1);
    let found = refused(&resealed(&kept));
    assert_eq!(found.line, 4);
    assert!(found.path.starts_with("effects[0]"), "{found}");
}

#[test]
fn a_state_that_came_out_differently_is_told_by_its_digest() {
    let mut kept = lines(&recorded(10, None));
    let at = kept[4]
        .find("\"digest\":\"")
        .expect("every fourth handle has a digest")
        + 10;
    let other = if kept[4].as_bytes()[at] == b'0' {
        "1"
    } else {
        "0"
    };
    kept[4].replace_range(at..at + 1, other);
    let found = refused(&resealed(&kept));
    assert_eq!((found.line, found.path.as_str()), (5, "digest"));
}

#[test]
fn a_replay_stops_where_it_is_told_to_with_the_state_of_then() {
    let text = recorded(30, None);
    let mut agent = Agent::new(settings(), Boot::default(), 7, at(0));
    for n in 1..=10 {
        agent.handle(at(n), input(n), &mut Output::default());
    }
    for until in [Until::Handle(10), Until::Time(Span::secs(10))] {
        let how = How {
            until: Some(until),
            ..How::default()
        };
        let done = replay_with(&text, how).unwrap();
        assert_eq!((done.handles, done.agent.as_ref()), (10, Some(&agent)));
    }
}

#[test]
fn another_cores_state_is_not_compared_when_only_its_decisions_matter() {
    let mut kept = lines(&recorded(10, None));
    kept[4] = kept[4].replacen("\"digest\":\"", "\"digest\":\"other", 1);
    let text = resealed(&kept);
    assert_eq!(refused(&text).path, "digest");
    let how = How {
        state: State::NotCompared,
        ..How::default()
    };
    assert_eq!(replay_with(&text, how).map(|done| done.handles), Ok(10));
}

#[test]
fn what_one_input_less_or_later_would_have_changed_is_told_with_both_outcomes() {
    let text = recorded(30, None);
    let with = |change| {
        let how = How {
            change: Some(change),
            ..How::default()
        };
        replay_with(&text, how)
    };
    let changes = (1..=30).flat_map(|n| {
        let by = Span::millis(1_500);
        [Change::Drop { n }, Change::Delay { n, by }]
    });
    let differences: Vec<(u64, Difference)> = changes
        .filter_map(|change| {
            let (Change::Drop { n } | Change::Delay { n, .. }) = change;
            with(change).err().map(|difference| (n, difference))
        })
        .collect();
    assert!(!differences.is_empty(), "no input matters at all");
    for (n, difference) in differences {
        let parted = difference.handle.expect("a handle decides otherwise");
        assert!(parted.n >= n, "{n} changes {} before it", parted.n);
        assert!(!parted.fields.is_empty() && !parted.input.is_empty());
    }
    let beyond = with(Change::Drop { n: 31 }).unwrap_err();
    assert_eq!(beyond.path, "n");
}

#[test]
fn a_format_from_the_future_is_refused_by_its_number() {
    let text = recorded(3, None).replacen("\"format\":1", "\"format\":999", 1);
    let found = refused(&text);
    assert_eq!(
        (found.line, found.path.as_str(), found.recorded.as_str()),
        (1, "format", "999")
    );
}

#[test]
fn an_empty_or_headless_file_is_no_recording() {
    assert_eq!(refused("").path, "line");
    let headless = lines(&recorded(3, None))[1..].join("\n") + "\n";
    assert_eq!(
        (refused(&headless).line, refused(&headless).path.as_str()),
        (1, "line")
    );
}

proptest! {
    #[test]
    fn one_changed_byte_is_told_at_its_line(place in 0.0..1.0f64, byte in b' '..b'~') {
        let text = recorded(12, None);
        let at = ((text.len() - 1) as f64 * place) as usize;
        let mut bytes = text.clone().into_bytes();
        prop_assume!(bytes[at] != b'\n' && bytes[at] != byte);
        bytes[at] = byte;
        let line = text[..at].matches('\n').count() + 1;
        let found = refused(&String::from_utf8(bytes).unwrap());
        prop_assert_eq!(found.line, line, "{}", found);
    }

    #[test]
    fn garbage_is_refused_and_never_panics(text in "\\PC{0,300}") {
        prop_assert!(replay(&text).map_or(true, |r| r.handles == 0));
    }

    #[test]
    fn a_recording_cut_anywhere_replays_up_to_there(place in 0.0..1.0f64) {
        let text = recorded(12, None);
        let header = text.find('\n').unwrap() + 1;
        let at = header + ((text.len() - header) as f64 * place) as usize;
        let replayed = replay(&text[..at]).unwrap();
        let whole = text[..at].matches('\n').count() as u64 - 1;
        // A line that lacks only its line end is whole.
        prop_assert!(replayed.handles == whole || replayed.handles == whole + 1);
    }
}
