//! A run as a picture in one HTML file: lanes by member coloured by role, the leader key on top, cuts
//! hatched, acknowledged commits as ticks. Every mark says on hover what it is, and leads to its row of the story
//! below. The script only zooms; without it the page is whole.

mod meaning;
mod style;

use super::story::{Part, Row, rows_of};
use super::words::words;
use crate::event::{Event, What};
use crate::moment::Moment;
use crate::plan::Plan;
use crate::scenario::run::Outcome;
use meaning::{Isolation, concerns, isolation, lost_acks};
use std::collections::BTreeMap;
use std::fmt::Write;
use style::{SCRIPT, STYLE};
use tanist_core::name::MemberName;

const WIDTH: u64 = 1_300;
/// Room left and right of the time that is shown.
const MARGIN: u64 = 6;
/// Width of the column with the members' names, which stays when the lanes are scrolled.
const NAMES: u64 = 90;
const LANE: u64 = 64;
const TOP: u64 = 56;

/// Ticks closer than this many pixels are drawn as one.
const TICK_GAP: u64 = 2;

/// What is drawn: of a run, or of what really happened.
pub struct Film<'a> {
    pub question: &'a str,
    /// One sentence.
    pub verdict: &'a str,
    pub held: bool,
    pub names: &'a [MemberName],
    pub rows: &'a [Row],
    pub events: &'a [Event],
    pub ended: Moment,
}

/// The picture of a run.
pub fn page(plan: &Plan, outcome: &Outcome) -> String {
    let members = plan.cluster.members.iter();
    let names: Vec<MemberName> = members.map(|member| member.name.clone()).collect();
    draw(&Film {
        question: &plan.question,
        verdict: &outcome.verdict.sentence(),
        held: outcome.verdict.held(),
        names: &names,
        rows: &rows_of(&names, outcome),
        events: &outcome.events,
        ended: outcome.ended,
    })
}

pub fn draw(film: &Film<'_>) -> String {
    let picture = Picture {
        names: film.names,
        rows: film.rows,
        end: film.ended.0.max(1),
    };
    let verdict_class = if film.held { "good" } else { "bad" };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{question}</title>\n<style>{STYLE}</style></head>\n<body>\n\
         <h1>{question}</h1>\n<p class=\"{verdict_class}\">{verdict}</p>\n\
         <p class=\"zoom\" hidden><button data-by=\"2\">zoom in</button> <button data-by=\"0.5\">zoom out</button> \
         <button data-by=\"0\">whole</button></p>\n\
         <div class=\"film\">{names}<div class=\"scroll\" tabindex=\"0\">{lanes}</div></div>\n\
         <p class=\"legend\"><b class=\"primary\">primary</b> <b class=\"standby\">standby</b> \
         <b class=\"candidate\">candidate</b> <b class=\"demoting\">demoting</b> <b class=\"starting\">starting</b> \
         <b class=\"down\">down</b> hatched: cut off, suspended or without the store. Ticks: acknowledged commits; \
         red: a later leader does not have them. Hover over a mark for what happened and why, tap it for its row below.</p>\n\
         <table>\n{table}</table>\n<script>{SCRIPT}</script>\n</body></html>\n",
        question = escape(film.question),
        verdict = escape(film.verdict),
        names = picture.names_column(),
        lanes = picture.lanes(film.events),
        table = table(film.rows),
    )
}

/// The story as text, a row each, with the anchors that the marks lead to.
fn table(rows: &[Row]) -> String {
    let mut table = String::new();
    for (at, row) in rows.iter().enumerate() {
        let _ = writeln!(
            table,
            "<tr id=\"r{at}\"><td>{}</td><td>{}</td></tr>",
            row.at,
            escape(&row.what)
        );
    }
    table
}

struct Picture<'a> {
    names: &'a [MemberName],
    rows: &'a [Row],
    end: u64,
}

impl Picture<'_> {
    fn x(&self, at: Moment) -> u64 {
        let room = u128::from(WIDTH - 2 * MARGIN);
        MARGIN + (u128::from(at.0.min(self.end)) * room / u128::from(self.end)) as u64
    }

    fn height(&self) -> u64 {
        TOP + self.names.len() as u64 * LANE + 10
    }

    fn names_column(&self) -> String {
        let height = self.height();
        let mut svg = format!("<svg class=\"names\" width=\"{NAMES}\" height=\"{height}\">\n");
        let _ = writeln!(svg, "<text x=\"4\" y=\"40\">leader key</text>");
        for (at, name) in self.names.iter().enumerate() {
            let y = lane_y(at) + 22;
            let _ = writeln!(svg, "<text class=\"name\" x=\"4\" y=\"{y}\">{name}</text>");
        }
        svg + "</svg>"
    }

    fn lanes(&self, events: &[Event]) -> String {
        let height = self.height();
        let mut svg = format!(
            "<svg class=\"lanes\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
             <defs><pattern id=\"cut\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"3\" height=\"8\" class=\"hatch\"/></pattern></defs>\n"
        );
        self.axis(&mut svg);
        self.leader_key(&mut svg);
        for (at, name) in self.names.iter().enumerate() {
            self.lane(&mut svg, lane_y(at), name, events);
        }
        svg + "</svg>"
    }

    /// The row that tells what happened then: the one with these words if there is one, the latest before otherwise.
    fn row_of(&self, at: Moment, words: &str) -> usize {
        let after = self.rows.partition_point(|row| row.at <= at);
        let then = self.rows[..after]
            .iter()
            .rposition(|row| row.at == at && row.what == words);
        then.unwrap_or(after.saturating_sub(1))
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

    fn leader_key(&self, svg: &mut String) {
        for (row, until) in stretches(self.rows, self.end, |row| row.leader_key.clone()) {
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

    fn lane(&self, svg: &mut String, y: u64, name: &MemberName, events: &[Event]) {
        for (row, until) in stretches(self.rows, self.end, |row| row.cells.get(name).copied()) {
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
                "<a href=\"#r{}\"><circle class=\"dot\" cx=\"{}\" cy=\"{}\" r=\"5\"><title>{} {}</title></circle></a>",
                self.row_of(event.at, &told),
                self.x(event.at),
                y + 51,
                event.at,
                escape(&told)
            );
        }
    }
}

fn lane_y(at: usize) -> u64 {
    TOP + at as u64 * LANE
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
