//! The words for what a cluster looks like before anything happens: timings, modes, policies, members.
//! Knows nothing of faults.

use super::claims::word_of;
use super::lex::{Complaint, show_bytes, show_span};
use super::line::Line;
use crate::shape::{ClusterShape, CommitMode, MemberShape, Runs, StartWhen, WatchdogMode};
use tanist_core::settings::FencerMode;
use tanist_core::time::Span;

/// Words that follow the members' names, each with its value.
pub const OPTIONS: [&str; 25] = [
    "dcs",
    "ttl",
    "loop",
    "retry",
    "mode",
    "lag",
    "failsafe",
    "rewind",
    "wal-log-hints",
    "discard-on-rewind-failure",
    "discard-on-divergence",
    "start-timeout",
    "fencer",
    "watchdog",
    "safety-margin",
    "stop-budget",
    "drift",
    "archive",
    "wal-keep",
    "slot-keep",
    "checkpoints",
    "clients",
    "stubborn",
    "server-loop",
    "founder",
];

const MODES: [(&str, CommitMode); 4] = [
    ("async", CommitMode::Async),
    ("sync", CommitMode::Synchronous),
    ("strict", CommitMode::Strict),
    ("quorum", CommitMode::Quorum),
];

const FENCERS: [(&str, FencerMode); 3] = [
    ("off", FencerMode::Off),
    ("auto", FencerMode::Auto),
    ("required", FencerMode::Required),
];

const WATCHDOGS: [(&str, WatchdogMode); 3] = [
    ("off", WatchdogMode::Off),
    ("automatic", WatchdogMode::Automatic),
    ("required", WatchdogMode::Required),
];

/// A safety margin of half the ttl.
const HALF: &str = "half";

/// Steps of a watchdog device's timeouts, unless something else is said.
const STEP: Span = Span::secs(1);

/// Slots hold WAL back as long as nobody drops them.
const UNLIMITED: &str = "unlimited";

const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];

/// Reads one option with its value into the shape.
pub fn read_option(line: &mut Line<'_>, shape: &mut ClusterShape) -> Result<(), Complaint> {
    match line.one_of(&OPTIONS)? {
        "dcs" => shape.store_servers = line.small()?,
        "ttl" => shape.ttl = line.span()?,
        "loop" => shape.loop_wait = line.span()?,
        "retry" => shape.retry_timeout = line.span()?,
        "mode" => shape.commit_mode = line.entry(&MODES)?,
        "lag" => shape.maximum_lag_on_failover = line.bytes()?,
        "failsafe" => shape.failsafe = line.entry(&SWITCH)?,
        "rewind" => shape.rewind.use_pg_rewind = line.entry(&SWITCH)?,
        "wal-log-hints" => shape.rewind.wal_log_hints = line.entry(&SWITCH)?,
        "discard-on-rewind-failure" => {
            shape.rewind.remove_data_directory_on_rewind_failure = line.entry(&SWITCH)?;
        }
        "discard-on-divergence" => {
            shape.rewind.remove_data_directory_on_diverged_timelines = line.entry(&SWITCH)?;
        }
        "start-timeout" => shape.primary_start_timeout = line.span()?,
        "fencer" => shape.fencer = line.entry(&FENCERS)?,
        "watchdog" => shape.watchdog = line.entry(&WATCHDOGS)?,
        "safety-margin" if line.takes(HALF) => shape.safety_margin = None,
        "safety-margin" => shape.safety_margin = Some(line.span()?),
        "stop-budget" => shape.stop_budget = line.span()?,
        "drift" => {
            let ppm = line.ppm()?;
            shape.clock_drift_ppm = u32::try_from(ppm)
                .map_err(|_| line.refuse_last("an allowance for drift is not negative"))?;
        }
        "archive" => shape.archive = line.entry(&SWITCH)?,
        "wal-keep" => shape.wal_keep = line.bytes()?,
        "slot-keep" if line.takes(UNLIMITED) => shape.slot_keep = None,
        "slot-keep" => shape.slot_keep = Some(line.bytes()?),
        "checkpoints" => shape.checkpoints_every = line.span()?,
        "clients" => shape.clients.roaming_every = line.span()?,
        "stubborn" => shape.clients.stubborn_every = line.span()?,
        "server-loop" => shape.clients.server_loop_every = line.span()?,
        _founder => {
            let founder = line.member()?;
            for member in &mut shape.members {
                member.founds = member.name == founder;
            }
        }
    }
    Ok(())
}

/// Reads what follows `member`: a name and its peculiarities.
pub fn read_member(line: &mut Line<'_>, shape: &mut ClusterShape) -> Result<(), Complaint> {
    let name = line.member()?;
    let Some(member) = shape.members.iter_mut().find(|m| m.name == name) else {
        return Err(line.refuse_last("no such member"));
    };
    while !line.is_over() {
        match line.one_of(&[
            "nofailover",
            "priority",
            "starts",
            "founds",
            "goes",
            "supervisor",
            "patroni",
            "watchdog",
        ])? {
            "watchdog" => member.watchdog = Some(read_steps(line)?),
            "patroni" => member.runs = Runs::Patroni,
            "goes" => {
                line.word("by")?;
                member.goes_by = Some(line.member()?);
            }
            "nofailover" => member.nofailover = true,
            "priority" => member.failover_priority = Some(line.signed()?),
            "starts" => {
                line.word("when")?;
                line.word("asked")?;
                member.start = StartWhen::WhenAsked;
            }
            "founds" => member.founds = line.entry(&[("yes", true), ("no", false)])?,
            _supervisor if line.takes("none") => member.supervisor = None,
            _supervisor => member.supervisor = Some(line.span()?),
        }
    }
    Ok(())
}

/// The steps in which the host's watchdog device counts.
fn read_steps(line: &mut Line<'_>) -> Result<Span, Complaint> {
    if !line.takes("steps") {
        return Ok(STEP);
    }
    match line.span()? {
        Span::ZERO => Err(line.refuse_last("a device counts in steps of some length")),
        step => Ok(step),
    }
}

/// Every option whose value differs from the default, with the five that readers look for first.
pub fn show_options(shape: &ClusterShape) -> (String, Vec<String>) {
    let names: Vec<&str> = shape.members.iter().map(|m| m.name.as_str()).collect();
    let default = ClusterShape::of(&names);
    let first = format!(
        "dcs {}  ttl {}  loop {}  retry {}  mode {}",
        shape.store_servers,
        show_span(shape.ttl),
        show_span(shape.loop_wait),
        show_span(shape.retry_timeout),
        word_of(&MODES, shape.commit_mode)
    );
    let on = |value: bool| word_of(&SWITCH, value).to_string();
    let values = |s: &ClusterShape| {
        vec![
            ("lag", show_bytes(s.maximum_lag_on_failover)),
            ("failsafe", on(s.failsafe)),
            ("rewind", on(s.rewind.use_pg_rewind)),
            ("wal-log-hints", on(s.rewind.wal_log_hints)),
            (
                "discard-on-rewind-failure",
                on(s.rewind.remove_data_directory_on_rewind_failure),
            ),
            (
                "discard-on-divergence",
                on(s.rewind.remove_data_directory_on_diverged_timelines),
            ),
            ("start-timeout", show_span(s.primary_start_timeout)),
            ("fencer", word_of(&FENCERS, s.fencer).to_string()),
            ("watchdog", word_of(&WATCHDOGS, s.watchdog).to_string()),
            (
                "safety-margin",
                s.safety_margin.map_or(HALF.into(), show_span),
            ),
            ("stop-budget", show_span(s.stop_budget)),
            ("drift", format!("{}ppm", s.clock_drift_ppm)),
            ("archive", on(s.archive)),
            ("wal-keep", show_bytes(s.wal_keep)),
            (
                "slot-keep",
                s.slot_keep.map_or(UNLIMITED.into(), show_bytes),
            ),
            ("checkpoints", show_span(s.checkpoints_every)),
            ("clients", show_span(s.clients.roaming_every)),
            ("stubborn", show_span(s.clients.stubborn_every)),
            ("server-loop", show_span(s.clients.server_loop_every)),
        ]
    };
    let mut rest = Vec::new();
    if let Some(founder) = sole_founder(shape) {
        rest.push(format!("founder {founder}"));
    }
    for ((name, value), (_, usual)) in values(shape).into_iter().zip(values(&default)) {
        if value != usual {
            rest.push(format!("{name} {value}"));
        }
    }
    (first, rest)
}

/// The one member that may found the cluster, if it is exactly one of several.
fn sole_founder(shape: &ClusterShape) -> Option<&str> {
    let mut founders = shape.members.iter().filter(|m| m.founds);
    match (founders.next(), founders.next()) {
        (Some(founder), None) if shape.members.len() > 1 => Some(founder.name.as_str()),
        _none_or_several => None,
    }
}

/// What `member` lines must say so that the shape reads back the same.
pub fn show_members(shape: &ClusterShape) -> Vec<String> {
    let founders_told = sole_founder(shape).is_some();
    let mut lines = Vec::new();
    for member in &shape.members {
        let usual = MemberShape::named(member.name.as_str());
        let mut words = Vec::new();
        if let Some(name) = &member.goes_by {
            words.push(format!("goes by {name}"));
        }
        if member.runs == Runs::Patroni {
            words.push("patroni".to_string());
        }
        match member.watchdog {
            None => {}
            Some(STEP) => words.push("watchdog".to_string()),
            Some(step) => words.push(format!("watchdog steps {}", show_span(step))),
        }
        if member.nofailover {
            words.push("nofailover".to_string());
        }
        if let Some(priority) = member.failover_priority {
            words.push(format!("priority {priority}"));
        }
        if member.start == StartWhen::WhenAsked {
            words.push("starts when asked".into());
        }
        if !member.founds && !founders_told {
            words.push("founds no".into());
        }
        match member.supervisor {
            supervisor if supervisor == usual.supervisor => {}
            None => words.push("supervisor none".into()),
            Some(after) => words.push(format!("supervisor {}", show_span(after))),
        }
        if !words.is_empty() {
            lines.push(format!("member {}  {}", member.name, words.join("  ")));
        }
    }
    lines
}
