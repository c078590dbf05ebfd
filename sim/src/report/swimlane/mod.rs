//! A run as a picture in one HTML file: lanes by member coloured by role, the leader key on top, cuts
//! hatched, acknowledged commits as ticks. Needs no script; every mark says on hover what it is.

mod meaning;

use super::story::{Part, Row, rows_of};
use super::words::words;
use crate::event::{Event, What};
use crate::moment::Moment;
use crate::plan::Plan;
use crate::scenario::run::Outcome;
use meaning::{Isolation, concerns, isolation, lost_acks};
use std::collections::BTreeMap;
use std::fmt::Write;
use tanist_core::name::MemberName;

const WIDTH: u64 = 1_400;
const LEFT: u64 = 90;
const LANE: u64 = 64;
const TOP: u64 = 56;

/// Ticks closer than this many pixels are drawn as one.
const TICK_GAP: u64 = 2;

pub fn page(plan: &Plan, outcome: &Outcome) -> String {
    let names: Vec<MemberName> = plan
        .cluster
        .members
        .iter()
        .map(|m| m.name.clone())
        .collect();
    let rows = rows_of(&names, outcome);
    let picture = Picture {
        names: &names,
        end: outcome.ended.0.max(1),
    };
    let mut svg = String::new();
    picture.axis(&mut svg);
    picture.leader_key(&mut svg, &rows);
    for (at, name) in names.iter().enumerate() {
        picture.lane(&mut svg, at, name, &rows, &outcome.events);
    }
    let height = picture.height();
    let verdict_class = if outcome.verdict.held() {
        "good"
    } else {
        "bad"
    };
    let mut table = String::new();
    for row in &rows {
        let _ = writeln!(
            table,
            "<tr><td>{}</td><td>{}</td></tr>",
            row.at,
            escape(&row.what)
        );
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{question}</title>\n<style>{STYLE}</style></head>\n<body>\n\
         <h1>{question}</h1>\n<p class=\"{verdict_class}\">{verdict}</p>\n\
         <div class=\"scroll\"><svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <defs><pattern id=\"cut\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect width=\"3\" height=\"8\" class=\"hatch\"/></pattern></defs>\n{svg}</svg></div>\n\
         <p class=\"legend\"><b class=\"primary\">primary</b> <b class=\"standby\">standby</b> \
         <b class=\"candidate\">candidate</b> <b class=\"demoting\">demoting</b> <b class=\"starting\">starting</b> \
         <b class=\"down\">down</b> hatched: cut off, suspended or without the store. Ticks: acknowledged commits; \
         red: a later leader does not have them. Hover for what happened and why.</p>\n\
         <details><summary>The same as text</summary><table>\n{table}</table></details>\n</body></html>\n",
        question = escape(&plan.question),
        verdict = escape(&outcome.verdict.sentence()),
    )
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--grid:#d5dae0;--primary:#2f7d4f;--standby:#5b8fd0;\
--candidate:#d9a521;--demoting:#d1602e;--starting:#9b7fc4;--down:#c3c8cf;--bad:#c01c28;--good:#2f7d4f}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--paper:#15181c;--grid:#343a42;--primary:#46a86d;\
--standby:#4a7ab8;--candidate:#c8971c;--demoting:#cf6a3c;--starting:#8468b0;--down:#454c55;--bad:#ff6b6b;--good:#6fce95}}\
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:1.5rem auto;max-width:1440px;padding:0 1rem}\
h1{font-size:1.2rem}.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}.scroll{overflow-x:auto}\
text{fill:var(--ink);font:12px system-ui,sans-serif}.name{font-weight:600;font-size:14px}.grid{stroke:var(--grid)}\
.primary{fill:var(--primary);background:var(--primary)}.standby{fill:var(--standby);background:var(--standby)}\
.candidate{fill:var(--candidate);background:var(--candidate)}.demoting{fill:var(--demoting);background:var(--demoting)}\
.starting{fill:var(--starting);background:var(--starting)}.down,.off{fill:var(--down);background:var(--down)}\
.hatch{fill:var(--ink);opacity:.45}.ack{stroke:var(--good)}.lost{stroke:var(--bad)}.dot{fill:var(--ink)}\
.inside{fill:#fff;pointer-events:none}.legend b{color:#fff;padding:0 .5em;border-radius:3px}\
td{padding:0 .8em 0 0;vertical-align:top;font-variant-numeric:tabular-nums}";

struct Picture<'a> {
    names: &'a [MemberName],
    end: u64,
}

impl Picture<'_> {
    fn x(&self, at: Moment) -> u64 {
        let room = u128::from(WIDTH - LEFT - 10);
        LEFT + (u128::from(at.0.min(self.end)) * room / u128::from(self.end)) as u64
    }

    fn height(&self) -> u64 {
        TOP + self.names.len() as u64 * LANE + 10
    }

    /// About ten lines, at whole multiples of a time that people count in.
    fn axis(&self, svg: &mut String) {
        let seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600];
        let fits = |s: &&u64| self.end / (*s * 1_000_000) <= 12;
        let step = *seconds.iter().find(fits).unwrap_or(&7_200);
        let mut at = 0;
        while at * 1_000_000 <= self.end {
            let x = self.x(Moment::secs(at));
            let low = self.height();
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{x}\" y1=\"16\" x2=\"{x}\" y2=\"{low}\"/>"
            );
            let label = format!("{}:{:02}", at / 60, at % 60);
            let _ = writeln!(svg, "<text x=\"{}\" y=\"12\">{label}</text>", x + 2);
            at += step;
        }
    }

    fn leader_key(&self, svg: &mut String, rows: &[Row]) {
        let _ = writeln!(svg, "<text x=\"4\" y=\"40\">leader key</text>");
        for (row, until) in stretches(rows, self.end, |row| row.leader_key.clone()) {
            let Some(owner) = &row.leader_key else {
                continue;
            };
            let (x, to) = (self.x(row.at), self.x(until));
            let _ = writeln!(
                svg,
                "<rect class=\"candidate\" x=\"{x}\" y=\"26\" width=\"{}\" height=\"18\" rx=\"3\">\
                 <title>{owner} holds the leader key from {} to {until}</title></rect>\
                 <text class=\"inside\" x=\"{}\" y=\"39\">{owner}</text>",
                (to - x).max(1),
                row.at,
                x + 4,
            );
        }
    }

    fn lane(&self, svg: &mut String, at: usize, name: &MemberName, rows: &[Row], events: &[Event]) {
        let y = TOP + at as u64 * LANE;
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"4\" y=\"{}\">{name}</text>",
            y + 22
        );
        for (row, until) in stretches(rows, self.end, |row| row.cells.get(name).copied()) {
            let Some(cell) = row.cells.get(name) else {
                continue;
            };
            let (x, to) = (self.x(row.at), self.x(until));
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"32\">\
                 <title>{name}: {class}, timeline {}, from {} to {until}</title></rect>",
                (to - x).max(1),
                cell.timeline,
                row.at,
                class = class(cell.part),
            );
            if to - x > 26 && matches!(cell.part, Part::Primary | Part::Standby) {
                let _ = writeln!(
                    svg,
                    "<text class=\"inside\" x=\"{}\" y=\"{}\">{}</text>",
                    x + 4,
                    y + 20,
                    cell.timeline
                );
            }
        }
        self.cuts(svg, y, name, events);
        self.ticks(svg, y, name, events);
        self.dots(svg, y, name, events);
    }

    /// While the member is cut off, suspended, or nobody has the store.
    fn cuts(&self, svg: &mut String, y: u64, name: &MemberName, events: &[Event]) {
        let mut since: Option<(Moment, String)> = None;
        let mut draw = |from: &(Moment, String), until: Moment| {
            let (x, to) = (self.x(from.0), self.x(until));
            let _ = writeln!(
                svg,
                "<rect fill=\"url(#cut)\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"32\"><title>{}, from {} to {until}</title></rect>",
                (to - x).max(2),
                escape(&from.1),
                from.0
            );
        };
        for event in events {
            let What::Acted { act, on } = &event.what else {
                continue;
            };
            match isolation(act, on, name) {
                Isolation::Begins if since.is_none() => {
                    since = Some((event.at, words(event).unwrap_or_default()));
                }
                Isolation::Ends => {
                    if let Some(from) = since.take() {
                        draw(&from, event.at);
                    }
                }
                Isolation::Begins | Isolation::Same => {}
            }
        }
        if let Some(from) = since {
            draw(&from, Moment(self.end));
        }
    }

    /// Acknowledged commits; red where a later leader turned out not to have them.
    fn ticks(&self, svg: &mut String, y: u64, name: &MemberName, events: &[Event]) {
        let lost = lost_acks(events);
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for event in events {
            let What::Acked { commit, member, .. } = &event.what else {
                continue;
            };
            if member != name {
                continue;
            }
            let class = if lost.contains(commit) { "lost" } else { "ack" };
            let x = self.x(event.at);
            if last.get(class).is_some_and(|before| x < before + TICK_GAP) {
                continue;
            }
            last.insert(class, x);
            let _ = writeln!(
                svg,
                "<line class=\"{class}\" x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{}\"><title>commit {commit} acknowledged at {}</title></line>",
                y + 35,
                y + 43,
                event.at
            );
        }
    }

    /// What the agent decided and what was done to the member.
    fn dots(&self, svg: &mut String, y: u64, name: &MemberName, events: &[Event]) {
        for event in events.iter().filter(|event| concerns(event, name)) {
            let Some(told) = words(event) else {
                continue;
            };
            let _ = writeln!(
                svg,
                "<circle class=\"dot\" cx=\"{}\" cy=\"{}\" r=\"4\"><title>{} {}</title></circle>",
                self.x(event.at),
                y + 50,
                event.at,
                escape(&told)
            );
        }
    }
}

/// Rows at which something changed, each with the moment of the next change.
fn stretches<T: PartialEq>(rows: &[Row], end: u64, of: impl Fn(&Row) -> T) -> Vec<(&Row, Moment)> {
    let mut found: Vec<(&Row, Moment)> = Vec::new();
    for row in rows {
        match found.last_mut() {
            Some((before, _)) if of(before) == of(row) => {}
            Some((_, until)) => {
                *until = row.at;
                found.push((row, Moment(end)));
            }
            None => found.push((row, Moment(end))),
        }
    }
    found
}

fn class(part: Part) -> &'static str {
    match part {
        Part::Off => "off",
        Part::Down => "down",
        Part::Starting => "starting",
        Part::Standby => "standby",
        Part::Candidate => "candidate",
        Part::Primary => "primary",
        Part::Demoting => "demoting",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
