//! Good texts, bent a little: cut, doubled, moved, with words that nobody expected. Whatever comes of them is read, or
//! refused at its place; nothing panics, and what was read prints as what it is.
//!
//! The texts that come in from outside: scenarios, flight recordings, a user's configuration, shares of a campaign.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::path::Path;
use std::sync::LazyLock;
use tanist_core::agent::{Agent, Boot, Output};
use tanist_core::input::Input;
use tanist_core::name::MemberName;
use tanist_core::record::{Header, Recording};
use tanist_core::settings::{LocalPostgres, Safety, Settings};
use tanist_core::time::{Mono, Now, Span, Wall};
use tanist_sim::incident::{recording, story};
use tanist_sim::scenario::parse::parse;
use tanist_sim::scenario::print::print;
use tanist_sim::share::{Campaign, Share};
use tanist_sim::tally::Tally;
use tanist_sim::{library, own_settings};

static SCENARIOS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let files = library::scenarios(&root).expect("the library is there");
    let texts = files.iter().map(|file| library::text_of(file));
    texts.map(|text| text.expect("it can be read")).collect()
});

const CONFIGURATION: &str = "
scope: demo
name: pg1
bootstrap:
  dcs:
    ttl: 40
    loop_wait: 5
    retry_timeout: 5
    maximum_lag_on_failover: 4096
    postgresql:
      use_pg_rewind: false
      parameters: {wal_log_hints: 'on', max_connections: 100}
postgresql:
  use_pg_rewind: true
  listen: 127.0.0.1:5432
tags: {nofailover: true, failover_priority: 3}
tanist: {fencer: required, stop_budget: 2s}
";

/// A word out of place, a number out of range, half a character sequence.
const WORDS: [&str; 22] = [
    "",
    " ",
    "\n",
    "\t",
    "\"",
    "'",
    "{",
    "}",
    "[",
    ":",
    "#",
    "-1",
    "0",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999h",
    "1e999",
    "null",
    "expect",
    "at",
    "\u{0}",
    "\u{fffd}é\u{1f980}",
];

#[derive(Clone, Debug)]
enum Edit {
    Remove(Index, usize),
    Insert(Index, &'static str),
    Replace(Index, &'static str),
    DoubleLine(Index),
    SwapLines(Index, Index),
    CutOff(Index),
}

fn edits() -> BoxedStrategy<Vec<Edit>> {
    let at = || any::<Index>();
    let word = || select(&WORDS[..]);
    let edit = prop_oneof![
        (at(), 1..40_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (at(), word()).prop_map(|(at, word)| Edit::Insert(at, word)),
        (at(), word()).prop_map(|(at, word)| Edit::Replace(at, word)),
        at().prop_map(Edit::DoubleLine),
        (at(), at()).prop_map(|(one, other)| Edit::SwapLines(one, other)),
        at().prop_map(Edit::CutOff),
    ];
    proptest::collection::vec(edit, 1..5).boxed()
}

fn bent(text: &str, edits: &[Edit]) -> String {
    edits
        .iter()
        .fold(text.to_string(), |text, edit| one_bend(&text, edit))
}

fn one_bend(text: &str, edit: &Edit) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut lines: Vec<&str> = text.lines().collect();
    if characters.is_empty() || lines.is_empty() {
        return text.to_string();
    }
    let with = |at: &Index, gone: usize, word: &str| {
        let at = at.index(characters.len());
        let kept = characters.iter().skip(at + gone);
        let before = characters.iter().take(at).copied();
        before.chain(word.chars()).chain(kept.copied()).collect()
    };
    match edit {
        Edit::Remove(at, length) => with(at, *length, ""),
        Edit::Insert(at, word) => with(at, 0, word),
        Edit::Replace(at, word) => {
            let from = at.index(characters.len());
            let rest = characters.iter().skip(from);
            with(at, rest.take_while(|c| c.is_alphanumeric()).count(), word)
        }
        Edit::DoubleLine(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at]);
            lines.join("\n")
        }
        Edit::SwapLines(one, other) => {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
            lines.join("\n")
        }
        Edit::CutOff(at) => characters.iter().take(at.index(characters.len())).collect(),
    }
}

fn at(seconds: u64) -> Now {
    Now {
        mono: Mono::default() + Span::secs(seconds),
        wall: Wall(1_700_000_000_000_000).plus(Span::secs(seconds)),
    }
}

/// A short life, as its flight recorder writes it down.
static RECORDED: LazyLock<String> = LazyLock::new(|| {
    let settings = Settings {
        scope: "demo".into(),
        namespace: "service".into(),
        name: MemberName::from("a"),
        api_url: "http://127.0.0.1:8008/patroni".into(),
        conn_url: "postgres://127.0.0.1:5432/postgres".into(),
        proxy_url: None,
        tags: Default::default(),
        bootstrap: None,
        postgresql: LocalPostgres::default(),
        safety: Safety::default(),
    };
    let header = Header::new("abc1234", settings.clone(), Boot::default(), 7, at(0));
    let mut agent = Agent::new(settings, Boot::default(), 7, at(0));
    let (mut recording, mut text) = Recording::begin(header, 4);
    for n in 1..=12 {
        let mut output = Output::default();
        agent.handle(at(n), Input::Wakeup, &mut output);
        text += &recording.handle(at(n), &Input::Wakeup, &output, &agent);
    }
    text
});

static SHARE: LazyLock<String> = LazyLock::new(|| {
    let campaign = Campaign::new(1, Span::secs(60), 2, None);
    Share::of(campaign, 0, Tally::default()).text()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bent_scenario_is_read_or_refused_at_its_place(which in any::<Index>(), edits in edits()) {
        let text = bent(&SCENARIOS[which.index(SCENARIOS.len())], &edits);
        match parse(&text) {
            Ok(plan) => {
                let printed = print(&plan);
                let again = parse(&printed);
                prop_assert_eq!(again.map_err(|c| c.to_string()), Ok(plan), "{}\n{}", text, printed);
            }
            Err(complaint) => {
                let lines = text.lines().count().max(1);
                prop_assert!((1..=lines).contains(&complaint.line), "{}\n{}", complaint, text);
                prop_assert!(!complaint.what.is_empty());
            }
        }
    }

    #[test]
    fn a_bent_recording_is_replayed_up_to_where_it_is_damaged(edits in edits()) {
        let text = bent(&RECORDED, &edits);
        match tanist_core::replay::replay(&text) {
            Ok(replayed) => prop_assert!(replayed.handles <= 12, "{}", text),
            Err(difference) => {
                let lines = text.lines().count().max(1);
                prop_assert!((1..=lines).contains(&difference.line), "{}\n{}", difference, text);
            }
        }
        let read = recording::Recording::read(&text);
        let merged = story::merge(&read.into_iter().collect::<Vec<_>>());
        prop_assert!(merged.events.len() <= 200);
    }

    #[test]
    fn a_bent_configuration_is_read_or_refused(edits in edits()) {
        let text = bent(CONFIGURATION, &edits);
        if let Err(why) = own_settings::cluster_of(&[("x.yml".to_string(), text)]) {
            prop_assert!(why.starts_with("x.yml: "), "{}", why);
        }
    }

    #[test]
    fn a_bent_share_is_read_or_refused(edits in edits()) {
        let text = bent(&SHARE, &edits);
        if let Err(why) = Share::read(&text) {
            prop_assert!(why.starts_with("not a tally"), "{}", why);
        }
    }
}
