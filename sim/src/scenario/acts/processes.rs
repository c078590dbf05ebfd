//! The words for deeds done to one member: its processes, its host, its clock and disk, and the
//! trouble its next operation meets.

use crate::act::{Act, AgentAct, FencerAct, HostAct, PostgresAct, Shift, Trouble, Who};
use crate::pg::archive::Archiving;
use crate::scenario::claims::word_of;
use crate::scenario::lex::{Complaint, quote, show_bytes, show_span};
use crate::scenario::line::Line;
use crate::shape::Runs;
use crate::watchdog::Works;

pub fn read(verb: &str, line: &mut Line<'_>) -> Result<Act, Complaint> {
    match verb {
        "kill" => read_kill(line),
        "start" | "stop" => read_start_or_stop(verb, line),
        "freeze" => read_freeze(line),
        "thaw" => read_thaw(line),
        "lose" | "silence" => read_loss(verb, line),
        "archive" => read_archive(line),
        "watchdog" => read_watchdog(line),
        "alter" => read_alter(line),
        "swap" => read_swap(line),
        "pause" | "resume" | "checkpoint" | "loop" | "write" | "promote" | "cancel" => {
            read_postgres(verb, line)
        }
        "next" => read_trouble(line),
        _host => read_host(verb, line),
    }
}

/// Whose agent runs a member, and the word for it.
pub const AGENTS: [(&str, Runs); 2] = [("tanist", Runs::Tanist), ("patroni", Runs::Patroni)];

fn read_swap(line: &mut Line<'_>) -> Result<Act, Complaint> {
    let who = line.who()?;
    line.word("to")?;
    let runs = line.entry(&AGENTS)?;
    Ok(agent(who, AgentAct::Become(runs)))
}

fn read_alter(line: &mut Line<'_>) -> Result<Act, Complaint> {
    line.word("system")?;
    let who = on(line)?;
    line.word("synchronous_standby_names")?;
    line.word("=")?;
    let synchronous_standby_names = line.quoted()?;
    Ok(postgres(
        who,
        PostgresAct::AlterSystem {
            synchronous_standby_names,
        },
    ))
}

fn read_kill(line: &mut Line<'_>) -> Result<Act, Complaint> {
    let what = line.one_of(&["agent", "fencer", "postmaster", "postgres"])?;
    let who = on(line)?;
    Ok(match what {
        "agent" => agent(who, AgentAct::Kill),
        "fencer" => fencer(who, FencerAct::Kill),
        "postmaster" => postgres(who, PostgresAct::KillPostmaster),
        _postgres => postgres(who, PostgresAct::KillAll),
    })
}

fn read_start_or_stop(verb: &str, line: &mut Line<'_>) -> Result<Act, Complaint> {
    let what = line.one_of(&["agent", "postgres"])?;
    let who = on(line)?;
    if what == "agent" {
        let act = if verb == "start" {
            AgentAct::Start
        } else {
            AgentAct::Stop
        };
        return Ok(agent(who, act));
    }
    line.word("by")?;
    line.word("hand")?;
    let act = if verb == "start" {
        PostgresAct::StartByHand
    } else {
        PostgresAct::StopByHand
    };
    Ok(postgres(who, act))
}

fn read_freeze(line: &mut Line<'_>) -> Result<Act, Complaint> {
    let what = line.one_of(&["agent", "fencer", "postmaster", "backend"])?;
    let who = on(line)?;
    Ok(match what {
        "agent" if line.takes("for") => agent(who, AgentAct::FreezeFor(line.span()?)),
        "agent" => agent(who, AgentAct::Freeze),
        "fencer" => fencer(who, FencerAct::Freeze),
        "postmaster" => postgres(who, PostgresAct::FreezePostmaster),
        _backend => postgres(who, PostgresAct::FreezeBackend),
    })
}

fn read_thaw(line: &mut Line<'_>) -> Result<Act, Complaint> {
    let what = line.one_of(&["agent", "fencer", "postmaster", "backends"])?;
    let who = on(line)?;
    Ok(match what {
        "agent" => agent(who, AgentAct::Thaw),
        "fencer" => fencer(who, FencerAct::Thaw),
        "postmaster" => postgres(who, PostgresAct::ThawPostmaster),
        _backends => postgres(who, PostgresAct::ThawBackends),
    })
}

fn read_loss(verb: &str, line: &mut Line<'_>) -> Result<Act, Complaint> {
    let what = line.one_of(if verb == "lose" {
        &["watch", "data"]
    } else {
        &["watch"]
    })?;
    let who = of(line)?;
    Ok(match (verb, what) {
        ("lose", "data") => host(who, HostAct::LoseData),
        ("lose", _) => agent(who, AgentAct::LoseWatch),
        _silence => agent(who, AgentAct::SilenceWatch),
    })
}

fn read_postgres(verb: &str, line: &mut Line<'_>) -> Result<Act, Complaint> {
    Ok(match verb {
        "promote" => {
            let who = line.who()?;
            line.word("by")?;
            line.word("hand")?;
            postgres(who, PostgresAct::PromoteByHand)
        }
        "checkpoint" => postgres(on(line)?, PostgresAct::Checkpoint),
        "write" => {
            let bytes = line.bytes()?;
            postgres(on(line)?, PostgresAct::Write { bytes })
        }
        "cancel" => {
            line.word("waits")?;
            postgres(of(line)?, PostgresAct::CancelWaits)
        }
        "loop" => {
            line.word("commits")?;
            let who = on(line)?;
            line.word("every")?;
            postgres(
                who,
                PostgresAct::BeginServerLoop {
                    every: line.span()?,
                },
            )
        }
        pause_or_resume => {
            line.word("replay")?;
            let who = on(line)?;
            let act = if pause_or_resume == "pause" {
                PostgresAct::PauseReplay
            } else {
                PostgresAct::ResumeReplay
            };
            postgres(who, act)
        }
    })
}

/// What becomes of the archive command of a member, and the word for it.
const ARCHIVING: [(&str, Archiving); 3] = [
    ("works", Archiving::Works),
    ("fails", Archiving::Fails),
    ("hangs", Archiving::Hangs),
];

fn read_archive(line: &mut Line<'_>) -> Result<Act, Complaint> {
    let who = of(line)?;
    let archiving = line.entry(&ARCHIVING)?;
    Ok(postgres(who, PostgresAct::Archiving(archiving)))
}

/// What becomes of a host's watchdog device, and the word for it.
const WATCHDOG: [(&str, Works); 2] = [("works", Works::Well), ("refuses", Works::Refuses)];

fn read_watchdog(line: &mut Line<'_>) -> Result<Act, Complaint> {
    let who = of(line)?;
    let works = line.entry(&WATCHDOG)?;
    Ok(host(who, HostAct::Watchdog(works)))
}

fn read_host(verb: &str, line: &mut Line<'_>) -> Result<Act, Complaint> {
    Ok(match verb {
        "crash" if line.takes("backend") => postgres(on(line)?, PostgresAct::CrashBackend),
        "crash" => host(line.who()?, HostAct::Crash),
        "boot" => host(line.who()?, HostAct::Boot),
        "wake" => host(line.who()?, HostAct::Resume),
        "suspend" => {
            let who = line.who()?;
            if line.takes("for") {
                host(who, HostAct::SuspendFor(line.span()?))
            } else {
                host(who, HostAct::Suspend)
            }
        }
        "skew" => {
            line.word("clock")?;
            let who = of(line)?;
            line.word("by")?;
            host(who, HostAct::ClockRate { ppm: line.ppm()? })
        }
        "step" => {
            line.word("clock")?;
            let who = of(line)?;
            let by = match line.one_of(&["forward", "back"])? {
                "forward" => Shift::Forward(line.span()?),
                _back => Shift::Back(line.span()?),
            };
            host(who, HostAct::StepWall { by })
        }
        "lie" => {
            line.word("about")?;
            line.word("flush")?;
            host(on(line)?, HostAct::LieAboutFlush)
        }
        "exhaust" => {
            line.word("connections")?;
            postgres(of(line)?, PostgresAct::ExhaustConnections)
        }
        "free" if line.takes("connections") => postgres(of(line)?, PostgresAct::FreeConnections),
        disk => {
            line.word("disk")?;
            let act = match disk {
                "fill" => HostAct::FillDisk,
                "stall" => HostAct::StallDisk,
                _free => HostAct::FreeDisk,
            };
            host(of(line)?, act)
        }
    })
}

fn read_trouble(line: &mut Line<'_>) -> Result<Act, Complaint> {
    const WORK: [&str; 7] = [
        "promote",
        "rewind",
        "start",
        "stop",
        "clone",
        "initdb",
        "checkpoint",
    ];
    let work = line.one_of(&WORK)?;
    let who = on(line)?;
    let ways: &[&str] = match work {
        "promote" => &["fails", "dies", "takes"],
        "rewind" => &["fails", "dies"],
        "start" => &["fails", "hangs", "takes"],
        "stop" => &["hangs", "takes"],
        "clone" => &["breaks", "takes"],
        "initdb" => &["fails"],
        _checkpoint => &["takes"],
    };
    let trouble = match (work, line.one_of(ways)?) {
        ("promote", "fails") => Trouble::PromoteFails,
        ("promote", "dies") => Trouble::PromoteDiesHalfWay,
        ("promote", _) => Trouble::PromoteTakes(line.span()?),
        ("rewind", "fails") => Trouble::RewindFails,
        ("rewind", _) => Trouble::RewindDiesHalfWay,
        ("start", "fails") => Trouble::StartFails,
        ("start", "hangs") => Trouble::StartHangs,
        ("start", _) => Trouble::StartTakes(line.span()?),
        ("stop", "hangs") => Trouble::StopHangs,
        ("stop", _) => Trouble::StopTakes(line.span()?),
        ("clone", "breaks") => Trouble::CloneCut,
        ("clone", _) => Trouble::CloneTakes(line.span()?),
        ("initdb", _) => Trouble::InitdbFails,
        _checkpoint_takes => Trouble::CheckpointTakes(line.span()?),
    };
    if matches!(
        trouble,
        Trouble::PromoteDiesHalfWay | Trouble::RewindDiesHalfWay
    ) {
        line.word("half-way")?;
    }
    Ok(Act::Trouble { who, trouble })
}

fn on(line: &mut Line<'_>) -> Result<Who, Complaint> {
    line.word("on")?;
    line.who()
}

fn of(line: &mut Line<'_>) -> Result<Who, Complaint> {
    line.word("of")?;
    line.who()
}

fn agent(who: Who, act: AgentAct) -> Act {
    Act::Agent { who, act }
}

fn fencer(who: Who, act: FencerAct) -> Act {
    Act::Fencer { who, act }
}

fn postgres(who: Who, act: PostgresAct) -> Act {
    Act::Postgres { who, act }
}

fn host(who: Who, act: HostAct) -> Act {
    Act::Host { who, act }
}

pub fn show_agent(who: &Who, act: &AgentAct) -> String {
    match act {
        AgentAct::Start => format!("start agent on {who}"),
        AgentAct::Kill => format!("kill agent on {who}"),
        AgentAct::Stop => format!("stop agent on {who}"),
        AgentAct::Freeze => format!("freeze agent on {who}"),
        AgentAct::Thaw => format!("thaw agent on {who}"),
        AgentAct::FreezeFor(span) => format!("freeze agent on {who} for {}", show_span(*span)),
        AgentAct::Become(runs) => format!("swap {who} to {}", word_of(&AGENTS, *runs)),
        AgentAct::LoseWatch => format!("lose watch of {who}"),
        AgentAct::SilenceWatch => format!("silence watch of {who}"),
    }
}

pub fn show_fencer(who: &Who, act: &FencerAct) -> String {
    match act {
        FencerAct::Kill => format!("kill fencer on {who}"),
        FencerAct::Freeze => format!("freeze fencer on {who}"),
        FencerAct::Thaw => format!("thaw fencer on {who}"),
    }
}

pub fn show_postgres(who: &Who, act: &PostgresAct) -> String {
    match act {
        PostgresAct::KillPostmaster => format!("kill postmaster on {who}"),
        PostgresAct::FreezePostmaster => format!("freeze postmaster on {who}"),
        PostgresAct::ThawPostmaster => format!("thaw postmaster on {who}"),
        PostgresAct::FreezeBackend => format!("freeze backend on {who}"),
        PostgresAct::ThawBackends => format!("thaw backends on {who}"),
        PostgresAct::CrashBackend => format!("crash backend on {who}"),
        PostgresAct::KillAll => format!("kill postgres on {who}"),
        PostgresAct::PromoteByHand => format!("promote {who} by hand"),
        PostgresAct::StopByHand => format!("stop postgres on {who} by hand"),
        PostgresAct::StartByHand => format!("start postgres on {who} by hand"),
        PostgresAct::Checkpoint => format!("checkpoint on {who}"),
        PostgresAct::BeginServerLoop { every } => {
            format!("loop commits on {who} every {}", show_span(*every))
        }
        PostgresAct::Write { bytes } => format!("write {} on {who}", show_bytes(*bytes)),
        PostgresAct::PauseReplay => format!("pause replay on {who}"),
        PostgresAct::ResumeReplay => format!("resume replay on {who}"),
        PostgresAct::ExhaustConnections => format!("exhaust connections of {who}"),
        PostgresAct::FreeConnections => format!("free connections of {who}"),
        PostgresAct::CancelWaits => format!("cancel waits of {who}"),
        PostgresAct::AlterSystem {
            synchronous_standby_names,
        } => {
            let names = quote(synchronous_standby_names);
            format!("alter system on {who} synchronous_standby_names = {names}")
        }
        PostgresAct::Archiving(archiving) => {
            format!("archive of {who} {}", word_of(&ARCHIVING, *archiving))
        }
    }
}

pub fn show_host(who: &Who, act: &HostAct) -> String {
    match act {
        HostAct::Crash => format!("crash {who}"),
        HostAct::Boot => format!("boot {who}"),
        HostAct::Suspend => format!("suspend {who}"),
        HostAct::Resume => format!("wake {who}"),
        HostAct::SuspendFor(span) => format!("suspend {who} for {}", show_span(*span)),
        HostAct::ClockRate { ppm } => format!("skew clock of {who} by {ppm:+}ppm"),
        HostAct::StepWall { by } => match by {
            Shift::Forward(span) => format!("step clock of {who} forward {}", show_span(*span)),
            Shift::Back(span) => format!("step clock of {who} back {}", show_span(*span)),
        },
        HostAct::FillDisk => format!("fill disk of {who}"),
        HostAct::StallDisk => format!("stall disk of {who}"),
        HostAct::FreeDisk => format!("free disk of {who}"),
        HostAct::LieAboutFlush => format!("lie about flush on {who}"),
        HostAct::LoseData => format!("lose data of {who}"),
        HostAct::Watchdog(works) => {
            format!("watchdog of {who} {}", word_of(&WATCHDOG, *works))
        }
    }
}

pub fn show_trouble(who: &Who, trouble: &Trouble) -> String {
    let (work, way) = match trouble {
        Trouble::PromoteFails => ("promote", "fails".to_string()),
        Trouble::PromoteDiesHalfWay => ("promote", "dies half-way".to_string()),
        Trouble::PromoteTakes(span) => ("promote", takes(span)),
        Trouble::RewindFails => ("rewind", "fails".to_string()),
        Trouble::RewindDiesHalfWay => ("rewind", "dies half-way".to_string()),
        Trouble::StartFails => ("start", "fails".to_string()),
        Trouble::StartHangs => ("start", "hangs".to_string()),
        Trouble::StartTakes(span) => ("start", takes(span)),
        Trouble::StopHangs => ("stop", "hangs".to_string()),
        Trouble::StopTakes(span) => ("stop", takes(span)),
        Trouble::CloneCut => ("clone", "breaks".to_string()),
        Trouble::CloneTakes(span) => ("clone", takes(span)),
        Trouble::InitdbFails => ("initdb", "fails".to_string()),
        Trouble::CheckpointTakes(span) => ("checkpoint", takes(span)),
    };
    format!("next {work} on {who} {way}")
}

fn takes(span: &tanist_core::time::Span) -> String {
    format!("takes {}", show_span(*span))
}
