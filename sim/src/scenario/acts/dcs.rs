//! The words for what happens to the store itself: its servers, its leader, its leases, its keys.

use crate::act::{Act, StoreAct, Switch};
use crate::scenario::lex::{Complaint, quote, show_span};
use crate::scenario::line::Line;

/// Verbs that are said of processes of a member, but of the store, too.
pub fn also_says(verb: &str) -> bool {
    matches!(verb, "start" | "stop" | "skew")
}

pub fn read(verb: &str, line: &mut Line<'_>) -> Result<Act, Complaint> {
    let act = match verb {
        "start" | "stop" | "hang" | "isolate" | "rejoin" => read_servers(verb, line)?,
        "lose" | "regain" => {
            line.word("quorum")?;
            if verb == "lose" {
                StoreAct::LoseQuorum
            } else {
                StoreAct::RegainQuorum
            }
        }
        "deny" | "allow" => {
            line.word("dcs")?;
            line.word("writes")?;
            if verb == "deny" {
                StoreAct::DenyWrites
            } else {
                StoreAct::AllowWrites
            }
        }
        "delete" => {
            line.word("key")?;
            StoreAct::DeleteKey(line.quoted()?)
        }
        "put" => {
            line.word("key")?;
            let key = line.quoted()?;
            line.word("=")?;
            StoreAct::PutKey {
                key,
                value: line.quoted()?,
            }
        }
        "old" => {
            for word in ["dcs", "leader", "revokes"] {
                line.word(word)?;
            }
            StoreAct::OldLeaderRevokes(line.entry(&[("on", Switch::On), ("off", Switch::Off)])?)
        }
        "roll" => {
            line.word("back")?;
            line.word("dcs")?;
            StoreAct::RollBack
        }
        whole => read_whole(whole, line)?,
    };
    Ok(Act::Store(act))
}

/// Verbs said of all servers (`stop dcs`) or of one (`stop dcs 2`).
fn read_servers(verb: &str, line: &mut Line<'_>) -> Result<StoreAct, Complaint> {
    line.word("dcs")?;
    let every = match verb {
        "start" => Some(StoreAct::StartAll),
        "stop" => Some(StoreAct::StopAll),
        "hang" => Some(StoreAct::HangAll),
        _single => None,
    };
    if let (Some(every), true) = (every, line.is_over()) {
        return Ok(every);
    }
    let server = line.small()?;
    Ok(match verb {
        "start" => StoreAct::StartServer(server),
        "stop" => StoreAct::StopServer(server),
        "hang" => StoreAct::HangServer(server),
        "isolate" => StoreAct::IsolateServer(server),
        _rejoin => StoreAct::RejoinServer(server),
    })
}

fn read_whole(verb: &str, line: &mut Line<'_>) -> Result<StoreAct, Complaint> {
    line.word("dcs")?;
    Ok(match verb {
        "elect" => StoreAct::Elect,
        "slow" => {
            line.word("by")?;
            StoreAct::Slow(line.span()?)
        }
        "skew" => {
            line.word("by")?;
            StoreAct::ClockRate { ppm: line.ppm()? }
        }
        "wipe" => StoreAct::Wipe,
        "snapshot" => StoreAct::TakeSnapshot,
        _compact => StoreAct::Compact,
    })
}

pub fn show(act: &StoreAct) -> String {
    match act {
        StoreAct::StopAll => "stop dcs".into(),
        StoreAct::HangAll => "hang dcs".into(),
        StoreAct::StartAll => "start dcs".into(),
        StoreAct::StopServer(n) => format!("stop dcs {n}"),
        StoreAct::HangServer(n) => format!("hang dcs {n}"),
        StoreAct::StartServer(n) => format!("start dcs {n}"),
        StoreAct::IsolateServer(n) => format!("isolate dcs {n}"),
        StoreAct::RejoinServer(n) => format!("rejoin dcs {n}"),
        StoreAct::Elect => "elect dcs".into(),
        StoreAct::LoseQuorum => "lose quorum".into(),
        StoreAct::RegainQuorum => "regain quorum".into(),
        StoreAct::Slow(span) => format!("slow dcs by {}", show_span(*span)),
        StoreAct::DenyWrites => "deny dcs writes".into(),
        StoreAct::AllowWrites => "allow dcs writes".into(),
        StoreAct::Wipe => "wipe dcs".into(),
        StoreAct::TakeSnapshot => "snapshot dcs".into(),
        StoreAct::RollBack => "roll back dcs".into(),
        StoreAct::DeleteKey(key) => format!("delete key {}", quote(key)),
        StoreAct::PutKey { key, value } => format!("put key {} = {}", quote(key), quote(value)),
        StoreAct::Compact => "compact dcs".into(),
        StoreAct::ClockRate { ppm } => format!("skew dcs by {ppm:+}ppm"),
        StoreAct::OldLeaderRevokes(Switch::On) => "old dcs leader revokes on".into(),
        StoreAct::OldLeaderRevokes(Switch::Off) => "old dcs leader revokes off".into(),
    }
}
