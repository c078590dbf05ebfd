//! How a run is told: the same few events as text columns and as a picture.

use tanist_core::lsn::Lsn;
use tanist_core::name::MemberName;
use tanist_core::note::Note;
use tanist_core::timeline::TimelineId;
use tanist_sim::act::{Act, End, Link, Way, Who, WireAct};
use tanist_sim::event::{Broken, Event, Role, What};
use tanist_sim::moment::Moment;
use tanist_sim::plan::Plan;
use tanist_sim::report::{swimlane, timeline};
use tanist_sim::scenario::parse::parse;
use tanist_sim::scenario::run::{Outcome, Verdict};

fn plan() -> Plan {
    parse("# Does <b> take over?\ncluster a b\nat 60s  cut a <-> dcs\nat 2m  end\n")
        .expect("a plan")
}

fn postgres(member: &str, role: Role, timeline: u32) -> What {
    What::Postgres {
        member: member.into(),
        role,
        timeline: TimelineId(timeline),
        can_write: role == Role::Primary,
    }
}

fn fencer_lost(member: &str, note: &str) -> What {
    What::Note {
        member: member.into(),
        note: Note::FencerLost { why: note.into() },
    }
}

fn key(owner: Option<&str>) -> What {
    What::LeaderKey {
        owner: owner.map(MemberName::from),
    }
}

fn failover() -> Vec<Event> {
    let cut = Act::Wire {
        link: Link {
            from: End::Member(Who::from("a")),
            to: End::Store,
            way: Way::Both,
            lane: None,
        },
        act: WireAct::Cut,
    };
    let film = [
        (1_000, postgres("a", Role::Primary, 1)),
        (2_000, postgres("b", Role::Standby, 1)),
        (2_000, key(Some("a"))),
        (
            55_000,
            What::Acked {
                commit: 7,
                member: "a".into(),
                timeline: TimelineId(1),
            },
        ),
        (
            60_000,
            What::Acted {
                act: cut,
                on: vec!["a".into()],
            },
        ),
        (81_000, fencer_lost("a", "its process ended")),
        (82_000, fencer_lost("a", "its process ended")),
        (83_000, postgres("a", Role::Stopping, 1)),
        (85_000, postgres("a", Role::Stopped, 1)),
        (90_000, key(Some("b"))),
        (91_000, postgres("b", Role::Primary, 2)),
        (
            91_000,
            What::Promoted {
                member: "b".into(),
                timeline: TimelineId(2),
                at: Lsn(0x3000148),
            },
        ),
        (
            91_000,
            What::Lost {
                commits: 1,
                leader: "b".into(),
            },
        ),
    ];
    let event = |(ms, what)| Event {
        at: Moment::millis(ms),
        what,
    };
    film.into_iter().map(event).collect()
}

fn outcome(verdict: Verdict) -> Outcome {
    Outcome {
        verdict,
        ended: Moment::secs(120),
        events: failover(),
        marks: Default::default(),
        evaluations: Default::default(),
        claims_kept: 2,
        unseed: Default::default(),
        effort: Default::default(),
    }
}

#[test]
fn a_failover_reads_as_columns_of_members_and_a_sentence_a_change() {
    let page = timeline::page(&plan(), &outcome(Verdict::Held));
    let kept = "\
Does <b> take over?
Every claim and every invariant held.

       time  a     b     key   what
     1.000s  P 1   -     -     a is primary on timeline 1
     2.000s  P 1   s 1   -     b is a standby on timeline 1
     2.000s  P 1   s 1   a     leader key: a
  1m00.000s  P 1   s 1   a     cut a <-> dcs
  1m21.000s  P 1   s 1   a     a: fencer lost: its process ended
  1m23.000s  d 1   s 1   a     a is stopping, and can commit no more
  1m25.000s  -     s 1   a     a is down
  1m30.000s  -     C 1   b     leader key: b
  1m31.000s  -     P 2   b     b is primary on timeline 2
  1m31.000s  -     P 2   b     b promoted to timeline 2 at 0/3000148
  1m31.000s  -     P 2   b     1 acknowledged commits are not in the WAL of b

2 claims kept. P primary  s standby  C candidate  d demoting  . starting  - down  x off; digit: timeline.
";
    assert_eq!(page, kept);
}

#[test]
fn a_broken_promise_stands_in_the_second_line() {
    let broken = Broken {
        invariant: "S01 one writer".into(),
        at: Moment::secs(91),
        story: "a and b can both commit".into(),
    };
    let page = timeline::page(&plan(), &outcome(Verdict::Broken(broken)));
    let second = page.lines().nth(1);
    assert_eq!(
        second,
        Some("Broken at 1m31.000s: S01 one writer. a and b can both commit")
    );
}

#[test]
fn the_picture_is_one_file_that_needs_no_network_and_escapes_what_it_quotes() {
    let page = swimlane::page(&plan(), &outcome(Verdict::Held));
    for part in [
        "<h1>Does &lt;b&gt; take over?</h1>",
        "prefers-color-scheme:dark",
        "url(#cut)",
        "<title>a holds the leader key from 2.000s to 1m30.000s</title>",
        "<title>b: primary, timeline 2, from 1m31.000s to 2m00.000s</title>",
        "class=\"lost\"",
        "fencer lost: its process ended",
    ] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    for foreign in ["http://", "https://", "src=", "url(h", "@import", "fetch("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // Each mark leads to the row that tells the same.
    let row = page
        .lines()
        .find(|line| line.contains("<tr id=") && line.contains("fencer lost"))
        .and_then(|line| line.split('"').nth(1))
        .expect("a row");
    let mark = format!("<a href=\"#{row}\"><circle");
    let marks = page.lines().filter(|line| line.starts_with(&mark));
    assert!(
        marks.clone().any(|line| line.contains("fencer lost")),
        "{mark}"
    );
    let opened = page.matches("<rect").count();
    let closed = page.matches("</rect>").count() + page.matches("class=\"hatch\"/>").count();
    assert_eq!(opened, closed);
}
