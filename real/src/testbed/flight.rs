//! Reads what the members' flight recorders wrote: who decided what and when, where an outage's time
//! went, and whether a fresh process decides the same again. Judges nothing itself.

use super::Stamp;
use super::member::Member;
use crate::recorder::segments::list;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tanist_core::note::Note;
use tanist_core::record::{Line, split_sum};

/// One note of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub at: Stamp,
    pub member: String,
    pub note: Note,
}

/// The segments of a member's recording, in their order.
pub fn segments(member: &Member) -> Vec<PathBuf> {
    let dir = member.recorder();
    let mut listed = list(&dir).unwrap_or_default();
    listed.sort_by_key(|s| s.number);
    listed.iter().map(|s| s.path(&dir)).collect()
}

/// All notes of all members, by time. A line that is still being written is left out.
pub fn told(members: &[Member]) -> Vec<Told> {
    let mut all = Vec::new();
    for member in members {
        for path in segments(member) {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            for line in text.lines() {
                all.extend(notes(member.name(), line));
            }
        }
    }
    all.sort_by_key(|told| told.at);
    all
}

fn notes(member: &str, line: &str) -> Vec<Told> {
    let parsed = split_sum(line).and_then(|(body, _)| serde_json::from_str(&body).ok());
    let Some(Line::Handle(handled)) = parsed else {
        return Vec::new();
    };
    let notes: Vec<Note> = serde_json::from_value(handled.notes).unwrap_or_default();
    let at = Stamp(handled.now.wall.0);
    let tell = |note| Told {
        at,
        member: member.to_string(),
        note,
    };
    notes.into_iter().map(tell).collect()
}

/// Where the time of an outage went, each term up to the instant at which it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// From the fault until the member that took over saw a sign of it other than the key's end.
    pub detect: Duration,
    /// Until the old leader's key was gone: released, or its lease run out.
    pub lease: Duration,
    /// Until the key was the new leader's.
    pub elect: Duration,
    /// Until its PostgreSQL was promoted.
    pub promote: Duration,
    /// Until a client's row was acknowledged again.
    pub route: Duration,
}

/// Splits the time from `fault` to `routed`. `None` when the winner's recording does not show it all.
pub fn terms(told: &[Told], winner: &str, fault: Stamp, routed: Stamp) -> Option<Terms> {
    let mine: Vec<&Told> = told
        .iter()
        .filter(|t| t.member == winner && t.at > fault)
        .collect();
    let first = |found: &dyn Fn(&Note) -> bool| mine.iter().find(|t| found(&t.note)).map(|t| t.at);
    let acquired = first(&|n| matches!(n, Note::KeyAcquired { .. }))?;
    let promoted = first(&|n| matches!(n, Note::OperationEnded { verb, .. } if verb == "promote"))?;
    // A released key may be taken over without ever being seen absent.
    let gone =
        first(&|n| matches!(n, Note::LeaderChanged { .. })).map_or(acquired, |a| a.min(acquired));
    let sign = mine.first().filter(|t| t.at < gone).map_or(fault, |t| t.at);
    Some(Terms {
        detect: sign.since(fault),
        lease: gone.since(sign),
        elect: acquired.since(gone),
        promote: promoted.since(acquired),
        route: routed.since(promoted),
    })
}

/// Splits the time from `fault` to `back` where the leader's PostgreSQL was started again in its place.
pub fn restart_terms(
    told: &[Told],
    leader: &str,
    fault: Stamp,
    back: Stamp,
) -> Vec<(String, Duration)> {
    let mut mine = told.iter().filter(|t| t.member == leader && t.at > fault);
    let Some(seen) = mine.next() else {
        return Vec::new();
    };
    let started = |n: &Note| matches!(n, Note::OperationEnded { verb, .. } if verb == "start");
    let Some(ran) = mine.find(|t| started(&t.note)) else {
        return Vec::new();
    };
    // A client may be served before the agent has seen that the start is over.
    let (seen, ran) = (seen.at.min(back), ran.at.min(back));
    [
        ("term_detect", seen.since(fault)),
        ("term_restart", ran.since(seen)),
        ("term_route", back.since(ran)),
    ]
    .map(|(name, span)| (name.to_string(), span))
    .into()
}

/// Replays every segment of a member in a fresh process of `program`; gives back how many inputs.
pub fn replay(program: &std::path::Path, member: &Member) -> anyhow::Result<u64> {
    let mut inputs = 0;
    for path in segments(member) {
        let told = Command::new(program).arg("--replay").arg(&path).output()?;
        let words = String::from_utf8_lossy(&told.stdout);
        let why = String::from_utf8_lossy(&told.stderr);
        anyhow::ensure!(told.status.success(), "{}: {words}{why}", path.display());
        let count = words
            .split_whitespace()
            .next()
            .and_then(|n| n.parse::<u64>().ok());
        inputs += count.unwrap_or_default();
    }
    Ok(inputs)
}

/// The story as text: a column for the time, one for the member, one for what it told.
pub fn timeline(told: &[Told], from: Stamp, marks: &[(Stamp, String)]) -> String {
    let mut lines: Vec<(Stamp, String, String)> = told
        .iter()
        .map(|t| (t.at, t.member.clone(), t.note.to_string()))
        .chain(
            marks
                .iter()
                .map(|(at, what)| (*at, "**".to_string(), what.clone())),
        )
        .filter(|(at, _, _)| *at >= from)
        .collect();
    lines.sort_by_key(|(at, _, _)| *at);
    let tell = |(at, who, what): &(Stamp, String, String)| {
        format!("{:9.3} s  {who:4}  {what}\n", at.since(from).as_secs_f64())
    };
    lines.iter().map(tell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_core::name::{MemberName, OpId, Term};

    fn tell(at: i64, member: &str, note: Note) -> Told {
        Told {
            at: Stamp(at),
            member: member.into(),
            note,
        }
    }

    #[test]
    fn an_outage_is_split_at_what_the_winner_told() {
        let promote = Note::OperationEnded {
            op: OpId(1),
            verb: "promote".into(),
            how: "done".into(),
        };
        let changed = |to: Option<&str>| Note::LeaderChanged {
            from: None,
            to: to.map(MemberName::from),
        };
        let told = [
            tell(5, "b", Note::FencerReady),
            tell(20, "c", changed(None)),
            tell(30, "b", Note::WatchLost { why: "x".into() }),
            tell(100, "b", changed(None)),
            tell(150, "b", Note::KeyAcquired { term: Term(2) }),
            tell(400, "b", promote),
        ];
        let found = terms(&told, "b", Stamp(10), Stamp(450)).unwrap();
        let parts = [
            found.detect,
            found.lease,
            found.elect,
            found.promote,
            found.route,
        ];
        assert_eq!(parts.map(|p| p.as_micros()), [20, 70, 50, 250, 50]);
        assert_eq!(terms(&told, "c", Stamp(10), Stamp(450)), None);
    }
}
