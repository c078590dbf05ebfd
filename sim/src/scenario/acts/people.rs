//! The words for what people do: operators with their requests, clients with their load.

use crate::act::{Act, ClientAct, OperatorAct, Who};
use crate::scenario::lex::{Complaint, quote, show_span};
use crate::scenario::line::Line;
use crate::shape::ClientShape;

pub fn read(verb: &str, line: &mut Line<'_>) -> Result<Act, Complaint> {
    let act = match verb {
        "switchover" => read_switchover(line)?,
        "failover" => {
            line.word("to")?;
            let candidate = line.who()?;
            OperatorAct::Failover {
                ask: read_ask(line, Who::Any)?,
                candidate,
            }
        }
        "cancel" => {
            line.one_of(&["switchover", "waits"])?;
            OperatorAct::CancelSwitchover {
                ask: read_ask(line, Who::Leader)?,
            }
        }
        "restart" => OperatorAct::Restart { who: line.who()? },
        "reinit" => OperatorAct::Reinitialize {
            who: line.who()?,
            force: line.takes("force"),
        },
        "configure" => OperatorAct::PatchConfig {
            patch: line.quoted()?,
        },
        "pause" => OperatorAct::Pause,
        "resume" => OperatorAct::Resume,
        _clients => return read_clients(line).map(Act::Clients),
    };
    Ok(Act::Operator(act))
}

fn read_switchover(line: &mut Line<'_>) -> Result<OperatorAct, Complaint> {
    let leader = if line.takes("from") {
        Some(line.who()?)
    } else {
        None
    };
    let candidate = if line.takes("to") {
        Some(line.who()?)
    } else {
        None
    };
    let after = if line.takes("after") {
        Some(line.span()?)
    } else {
        None
    };
    Ok(OperatorAct::Switchover {
        ask: read_ask(line, Who::Leader)?,
        leader,
        candidate,
        after,
    })
}

/// `asking c`: the member whose REST takes the request.
fn read_ask(line: &mut Line<'_>, otherwise: Who) -> Result<Who, Complaint> {
    if line.takes("asking") {
        line.who()
    } else {
        Ok(otherwise)
    }
}

fn read_clients(line: &mut Line<'_>) -> Result<ClientAct, Complaint> {
    match line.one_of(&["on", "off", "every"])? {
        "on" => Ok(ClientAct::On),
        "off" => Ok(ClientAct::Off),
        _every => {
            let roaming_every = line.span()?;
            line.word("stubborn")?;
            let stubborn_every = line.span()?;
            line.word("server-loop")?;
            Ok(ClientAct::Pace(ClientShape {
                roaming_every,
                stubborn_every,
                server_loop_every: line.span()?,
            }))
        }
    }
}

pub fn show_operator(act: &OperatorAct) -> String {
    match act {
        OperatorAct::Switchover {
            ask,
            leader,
            candidate,
            after,
        } => {
            let mut text = "switchover".to_string();
            if let Some(leader) = leader {
                text.push_str(&format!(" from {leader}"));
            }
            if let Some(candidate) = candidate {
                text.push_str(&format!(" to {candidate}"));
            }
            if let Some(after) = after {
                text.push_str(&format!(" after {}", show_span(*after)));
            }
            text + &show_ask(ask, &Who::Leader)
        }
        OperatorAct::Failover { ask, candidate } => {
            format!("failover to {candidate}{}", show_ask(ask, &Who::Any))
        }
        OperatorAct::CancelSwitchover { ask } => {
            format!("cancel switchover{}", show_ask(ask, &Who::Leader))
        }
        OperatorAct::Restart { who } => format!("restart {who}"),
        OperatorAct::Reinitialize { who, force: true } => format!("reinit {who} force"),
        OperatorAct::Reinitialize { who, force: false } => format!("reinit {who}"),
        OperatorAct::Pause => "pause".into(),
        OperatorAct::Resume => "resume".into(),
        OperatorAct::PatchConfig { patch } => format!("configure {}", quote(patch)),
    }
}

fn show_ask(ask: &Who, otherwise: &Who) -> String {
    if ask == otherwise {
        String::new()
    } else {
        format!(" asking {ask}")
    }
}

pub fn show_clients(act: &ClientAct) -> String {
    match act {
        ClientAct::On => "clients on".into(),
        ClientAct::Off => "clients off".into(),
        ClientAct::Pace(pace) => format!(
            "clients every {} stubborn {} server-loop {}",
            show_span(pace.roaming_every),
            show_span(pace.stubborn_every),
            show_span(pace.server_loop_every)
        ),
    }
}
