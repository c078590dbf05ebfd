//! One sentence for each kind of event, in the words of PostgreSQL HA. Says what happened, never how
//! the simulator knows it. Events that are no change of anything visible have no words.

use crate::act::Act;
use crate::event::{Event, HowEnded, Role, What};
use crate::scenario::acts;
use tanist_core::name::MemberName;
use tanist_core::operator::Answer;
use tanist_core::timeline::TimelineId;

/// What to write beside the columns. `None`: nothing a reader wants to see.
pub fn words(event: &Event) -> Option<String> {
    Some(match &event.what {
        What::Acted { act, on } => acted(act, on),
        What::AgentStarted {
            member,
            incarnation,
        } if *incarnation <= 1 => {
            format!("{member}: agent starts")
        }
        What::AgentStarted { member, .. } => format!("{member}: agent starts again"),
        What::AgentEnded { member, how } => match how {
            HowEnded::Killed => format!("{member}: agent killed"),
            HowEnded::Exited(code) => format!("{member}: agent exits with {code}"),
            HowEnded::HostDown => format!("{member}: host down"),
        },
        What::FencerStarted { .. } => return None,
        What::FencerDied { member } => format!("{member}: fencer died"),
        What::FencerFired { member } => format!("{member}: fencer ends PostgreSQL at the deadline"),
        What::WatchdogFired { member } => format!("{member}: watchdog resets the host"),
        What::Postgres {
            member,
            role,
            timeline,
            can_write,
        } => postgres(member, *role, *timeline, *can_write),
        What::Operation {
            member,
            verb,
            outcome,
        } => operation(member, verb, outcome.as_deref())?,
        What::LeaderKey { owner: Some(owner) } => format!("leader key: {owner}"),
        What::LeaderKey { owner: None } => "leader key: free".into(),
        What::Key { key, value } => key_change(key, value.as_deref())?,
        What::Streaming { member, from } => match from {
            Some(from) => format!("{member} streams from {from}"),
            None => format!("{member} streams no more"),
        },
        What::Promoted {
            member,
            timeline,
            at,
        } => format!("{member} promoted to timeline {timeline} at {at}"),
        What::Acked { .. } => return None,
        What::Lost { commits, leader } => {
            format!("{commits} acknowledged commits are not in the WAL of {leader}")
        }
        What::Note { member, note } => format!("{member}: {note}"),
        What::Answered { member, answer } => format!("{member} answers: {}", answered(answer)),
        What::Mark(_) => return None,
        What::Broken { invariant, story } => format!("BROKEN {invariant}: {story}"),
    })
}

/// The act in the scenario's words; whom it met, where the scenario only names a part.
fn acted(act: &Act, on: &[MemberName]) -> String {
    let text = acts::show(act);
    let names: Vec<&str> = on.iter().map(MemberName::as_str).collect();
    let told = names
        .iter()
        .all(|name| text.split(' ').any(|word| word == *name));
    if told {
        text
    } else {
        format!("{text} ({})", names.join(" "))
    }
}

/// What a member's PostgreSQL is.
pub fn postgres(member: &MemberName, role: Role, timeline: TimelineId, can_write: bool) -> String {
    match (role, can_write) {
        (Role::HostDown, _) => format!("{member} is off"),
        (Role::Stopped, _) => format!("{member} is down"),
        (Role::Starting, _) => format!("{member} starts up"),
        (Role::Standby, _) => format!("{member} is a standby on timeline {timeline}"),
        (Role::Promoting, _) => format!("{member} is being promoted"),
        (Role::Primary, true) => format!("{member} is primary on timeline {timeline}"),
        (Role::Primary, false) => format!("{member} is primary, but takes no write"),
        (Role::Stopping, true) => format!("{member} is stopping, and can still commit"),
        (Role::Stopping, false) => format!("{member} is stopping, and can commit no more"),
        (Role::Orphaned, true) => format!("{member} lost its postmaster; backends still commit"),
        (Role::Orphaned, false) => format!("{member} lost its postmaster; backends linger"),
    }
}

/// Starts, stops and promotions show in the columns; what is told here is work and failure.
fn operation(member: &MemberName, verb: &str, outcome: Option<&str>) -> Option<String> {
    let shown_in_columns = matches!(verb, "start" | "stop" | "promote");
    match outcome {
        None if shown_in_columns => None,
        None => Some(format!("{member}: {verb} begins")),
        Some("done") if shown_in_columns => None,
        Some(outcome) => Some(format!("{member}: {verb} {outcome}")),
    }
}

/// Keys that change with every cycle of a healthy cluster are left out.
fn key_change(key: &str, value: Option<&str>) -> Option<String> {
    if key == "status"
        || key.starts_with("members/")
        || key == "history"
        || key.starts_with("optime")
    {
        return None;
    }
    Some(match value {
        Some(value) => format!("key {key}: {}", cut(value)),
        None => format!("key {key}: deleted"),
    })
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Done(text) => format!("done: {}", cut(text)),
        Answer::Accepted(text) => format!("accepted: {}", cut(text)),
        Answer::Refused { why, .. } => format!("refused: {}", cut(why)),
        Answer::Failed(text) => format!("failed: {}", cut(text)),
        Answer::StillRunning(text) => format!("still running: {}", cut(text)),
    }
}

/// The longest text that a row of a page can hold.
const TEXT_MAX: usize = 100;

fn cut(text: &str) -> String {
    let line = text.replace('\n', " ");
    if line.chars().count() <= TEXT_MAX {
        return line;
    }
    line.chars().take(TEXT_MAX).chain("...".chars()).collect()
}
