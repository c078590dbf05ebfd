//! The verbs of a scenario: one line of text is one act, read and written back the same.
//! Knows nothing of when an act happens or what it does.

mod dcs;
mod people;
mod processes;
mod wire;

use super::lex::Complaint;
use super::line::Line;
use crate::act::Act;

/// Every first word of an act, with the room that reads the rest.
const VERBS: [(&str, Room); 50] = [
    ("kill", Room::Processes),
    ("start", Room::Processes),
    ("stop", Room::Processes),
    ("freeze", Room::Processes),
    ("thaw", Room::Processes),
    ("crash", Room::Processes),
    ("boot", Room::Processes),
    ("suspend", Room::Processes),
    ("wake", Room::Processes),
    ("promote", Room::Processes),
    ("checkpoint", Room::Processes),
    ("loop", Room::Processes),
    ("write", Room::Processes),
    ("skew", Room::Processes),
    ("step", Room::Processes),
    ("fill", Room::Processes),
    ("stall", Room::Processes),
    ("free", Room::Processes),
    ("exhaust", Room::Processes),
    ("lie", Room::Processes),
    ("silence", Room::Processes),
    ("archive", Room::Processes),
    ("watchdog", Room::Processes),
    ("alter", Room::Processes),
    ("swap", Room::Processes),
    ("next", Room::Processes),
    ("cut", Room::Wire),
    ("refuse", Room::Wire),
    ("heal", Room::Wire),
    ("delay", Room::Wire),
    ("straggle", Room::Wire),
    ("hang", Room::Dcs),
    ("isolate", Room::Dcs),
    ("rejoin", Room::Dcs),
    ("elect", Room::Dcs),
    ("regain", Room::Dcs),
    ("slow", Room::Dcs),
    ("deny", Room::Dcs),
    ("allow", Room::Dcs),
    ("wipe", Room::Dcs),
    ("snapshot", Room::Dcs),
    ("roll", Room::Dcs),
    ("delete", Room::Dcs),
    ("put", Room::Dcs),
    ("compact", Room::Dcs),
    ("old", Room::Dcs),
    // These are said of several things; what follows decides.
    ("cancel", Room::Several),
    ("lose", Room::Several),
    ("pause", Room::Several),
    ("resume", Room::Several),
];

/// The verbs of operators and clients, kept apart only because they are many.
const PEOPLES_VERBS: [&str; 6] = [
    "switchover",
    "failover",
    "restart",
    "reinit",
    "configure",
    "clients",
];

#[derive(Clone, Copy)]
enum Room {
    Processes,
    Wire,
    Dcs,
    Several,
}

pub fn read(line: &mut Line<'_>) -> Result<Act, Complaint> {
    let mut words: Vec<&str> = VERBS.iter().map(|(verb, _)| *verb).collect();
    words.extend(PEOPLES_VERBS);
    let verb = line
        .one_of(&words)
        .map_err(|_| line.expected("what happens, such as `cut a <-> dcs`", &words))?;
    let act = match VERBS.iter().find(|(word, _)| *word == verb) {
        Some((_, Room::Processes)) if dcs::also_says(verb) && line.peek() == Some("dcs") => {
            dcs::read(verb, line)
        }
        Some((_, Room::Processes)) => processes::read(verb, line),
        Some((_, Room::Wire)) => wire::read(verb, line),
        Some((_, Room::Dcs)) => dcs::read(verb, line),
        Some((_, Room::Several)) => read_by_object(verb, line),
        None => people::read(verb, line),
    }?;
    line.end()?;
    Ok(act)
}

/// `lose` a watch, data, the quorum or messages; `pause` and `resume` replay or the cluster; `cancel` waits or a
/// switchover.
fn read_by_object(verb: &str, line: &mut Line<'_>) -> Result<Act, Complaint> {
    match (verb, line.peek()) {
        (_, Some("replay")) | ("lose", Some("watch" | "data")) | ("cancel", Some("waits")) => {
            processes::read(verb, line)
        }
        ("lose", Some("quorum")) => dcs::read(verb, line),
        ("lose", _) => wire::read(verb, line),
        _ => people::read(verb, line),
    }
}

pub fn show(act: &Act) -> String {
    match act {
        Act::Agent { who, act } => processes::show_agent(who, act),
        Act::Fencer { who, act } => processes::show_fencer(who, act),
        Act::Postgres { who, act } => processes::show_postgres(who, act),
        Act::Host { who, act } => processes::show_host(who, act),
        Act::Trouble { who, trouble } => processes::show_trouble(who, trouble),
        Act::Wire { link, act } => wire::show(link, act),
        Act::HealWire => "heal wire".into(),
        Act::Store(act) => dcs::show(act),
        Act::Operator(act) => people::show_operator(act),
        Act::Clients(act) => people::show_clients(act),
        Act::HealAll => "heal all".into(),
    }
}
