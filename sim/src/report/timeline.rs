//! A run as a page of text: a column for each member and one for the leader key, a row for each change,
//! and beside it what happened. Kept beside the scenarios, so that a changed behaviour is a changed story.

use super::story::{Cell, Part, Row, rows_of};
use crate::plan::Plan;
use crate::scenario::run::Outcome;
use tanist_core::name::MemberName;

const KEY: &str =
    "P primary  s standby  C candidate  d demoting  . starting  - down  x off; digit: timeline";

pub fn page(plan: &Plan, outcome: &Outcome) -> String {
    let names: Vec<MemberName> = plan
        .cluster
        .members
        .iter()
        .map(|m| m.name.clone())
        .collect();
    let mut lines = vec![
        plan.question.clone(),
        outcome.verdict.sentence(),
        String::new(),
        heading(&names),
    ];
    lines.extend(rows_of(&names, outcome).iter().map(|row| line(&names, row)));
    lines.push(String::new());
    lines.push(format!("{} claims kept. {KEY}.", outcome.claims_kept));
    lines.join("\n") + "\n"
}

/// The rows around an instant: as many as fit a screen, for the message of a find.
pub fn excerpt(plan: &Plan, outcome: &Outcome, rows_max: usize) -> String {
    let names: Vec<MemberName> = plan
        .cluster
        .members
        .iter()
        .map(|m| m.name.clone())
        .collect();
    let rows = rows_of(&names, outcome);
    let from = rows.len().saturating_sub(rows_max);
    let mut lines = vec![heading(&names)];
    lines.extend(rows[from..].iter().map(|row| line(&names, row)));
    lines.join("\n") + "\n"
}

pub fn heading(names: &[MemberName]) -> String {
    let columns: String = names.iter().map(|name| column(name.as_str())).collect();
    format!("{:>11}  {columns}{}what", "time", column("key"))
}

/// One row, below the heading.
pub fn line(names: &[MemberName], row: &Row) -> String {
    let cells: String = names
        .iter()
        .map(|name| {
            column(
                &row.cells
                    .get(name)
                    .map_or_else(String::new, |cell| show(*cell)),
            )
        })
        .collect();
    let key = row.leader_key.as_ref().map_or("-", MemberName::as_str);
    format!(
        "{:>11}  {cells}{}{}",
        row.at.to_string(),
        column(key),
        row.what
    )
}

fn column(text: &str) -> String {
    format!("{text:<6}")
}

fn show(cell: Cell) -> String {
    let letter = cell.part.letter();
    match cell.part {
        Part::Off | Part::Down | Part::Starting => letter.to_string(),
        Part::Standby | Part::Candidate | Part::Primary | Part::Demoting => {
            format!("{letter} {}", cell.timeline)
        }
    }
}
