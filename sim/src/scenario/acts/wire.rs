//! The words for what happens to links: which link, which way, which lane, and how bad it becomes.

use crate::act::{Act, End, Lane, Link, Way, WireAct};
use crate::scenario::lex::{Complaint, show_per_mille, show_span};
use crate::scenario::line::Line;
use tanist_core::time::Span;

pub fn read(verb: &str, line: &mut Line<'_>) -> Result<Act, Complaint> {
    match verb {
        "heal" => read_heal(line),
        "lose" => {
            let per_mille = line.per_mille()?;
            wire(read_link(line)?, WireAct::Lose { per_mille })
        }
        "straggle" => {
            let per_mille = line.per_mille()?;
            line.word("upto")?;
            let upto = line.span()?;
            wire(read_link(line)?, WireAct::Straggle { per_mille, upto })
        }
        "delay" => {
            let link = read_link(line)?;
            line.word("by")?;
            let by = line.span()?;
            let jitter = if line.takes("jitter") {
                line.span()?
            } else {
                Span::ZERO
            };
            wire(link, WireAct::Delay { by, jitter })
        }
        "cut" => wire(read_link(line)?, WireAct::Cut),
        _refuse => wire(read_link(line)?, WireAct::Refuse),
    }
}

fn wire(link: Link, act: WireAct) -> Result<Act, Complaint> {
    Ok(Act::Wire { link, act })
}

/// `heal all`, `heal wire`, or one link: `heal all <-> dcs` is a link, too.
fn read_heal(line: &mut Line<'_>) -> Result<Act, Complaint> {
    if line.takes("wire") {
        return Ok(Act::HealWire);
    }
    if line.peek() == Some("all") && line.is_last() {
        line.word("all")?;
        return Ok(Act::HealAll);
    }
    wire(read_link(line)?, WireAct::Heal)
}

fn read_link(line: &mut Line<'_>) -> Result<Link, Complaint> {
    let lane = if line.takes("data") {
        Some(Lane::Data)
    } else if line.takes("api") {
        Some(Lane::Api)
    } else {
        None
    };
    let from = read_end(line)?;
    let way = match line.one_of(&["<->", "->"])? {
        "<->" => Way::Both,
        _one => Way::OneWay,
    };
    let to = read_end(line)?;
    Ok(Link {
        from,
        to,
        way,
        lane,
    })
}

fn read_end(line: &mut Line<'_>) -> Result<End, Complaint> {
    if line.takes("clients") {
        return Ok(End::Clients);
    }
    if line.takes("dcs") {
        let server = line
            .peek()
            .is_some_and(|w| w.bytes().all(|b| b.is_ascii_digit()));
        return if server {
            Ok(End::StoreServer(line.small()?))
        } else {
            Ok(End::Store)
        };
    }
    line.who()
        .map(End::Member)
        .map_err(|_| line.expected("a member, `dcs` or `clients`", &["dcs", "clients"]))
}

pub fn show(link: &Link, act: &WireAct) -> String {
    let link = show_link(link);
    match act {
        WireAct::Cut => format!("cut {link}"),
        WireAct::Refuse => format!("refuse {link}"),
        WireAct::Heal => format!("heal {link}"),
        WireAct::Delay { by, jitter } if *jitter == Span::ZERO => {
            format!("delay {link} by {}", show_span(*by))
        }
        WireAct::Delay { by, jitter } => {
            format!(
                "delay {link} by {} jitter {}",
                show_span(*by),
                show_span(*jitter)
            )
        }
        WireAct::Lose { per_mille } => format!("lose {} {link}", show_per_mille(*per_mille)),
        WireAct::Straggle { per_mille, upto } => {
            format!(
                "straggle {} upto {} {link}",
                show_per_mille(*per_mille),
                show_span(*upto)
            )
        }
    }
}

fn show_link(link: &Link) -> String {
    let lane = match link.lane {
        Some(Lane::Data) => "data ",
        Some(Lane::Api) => "api ",
        None => "",
    };
    let way = match link.way {
        Way::Both => "<->",
        Way::OneWay => "->",
    };
    format!(
        "{lane}{} {way} {}",
        show_end(&link.from),
        show_end(&link.to)
    )
}

fn show_end(end: &End) -> String {
    match end {
        End::Member(who) => who.to_string(),
        End::Store => "dcs".into(),
        End::StoreServer(number) => format!("dcs {number}"),
        End::Clients => "clients".into(),
    }
}
