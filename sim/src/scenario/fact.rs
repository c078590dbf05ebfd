//! The words of facts and demands: reads them from a line and writes them back the same.
//! Knows nothing of whether they are true.

use super::claims::{Condition, Demand, Ending, Fact, Relation, Waiting, Work, word_of};
use super::lex::{Complaint, show_span};
use super::line::Line;
use crate::act::Who;
use crate::marks::Mark;

/// Words that may begin a fact that does not begin with a member.
const OPENINGS: [&str; 8] = [
    "leader", "no", "lost", "timeline", "everyone", "request", "mark", "standby",
];

/// Words that may follow a member.
const ABOUT_A_MEMBER: [&str; 9] = [
    "accepts", "refuses", "has", "holds", "acquires", "is", "streams", "in", "kept",
];

pub fn read_demand(line: &mut Line<'_>) -> Result<Demand, Complaint> {
    const WHEN: [&str; 6] = ["within", "for", "always", "never", "before", "at"];
    let next = line.peek().unwrap_or_default().to_string();
    if !WHEN.contains(&next.as_str()) && (OPENINGS.contains(&next.as_str()) || line.at_who()) {
        return read_fact(line).map(Demand::AtEnd);
    }
    match line.one_of(&WHEN)? {
        "within" => Ok(Demand::Within(line.span()?, read_fact(line)?)),
        "for" => Ok(Demand::For(line.span()?, read_fact(line)?)),
        "always" => Ok(Demand::Always(read_fact(line)?)),
        "never" => Ok(Demand::Never(read_fact(line)?)),
        "at" => {
            line.word("end")?;
            Ok(Demand::AtEnd(read_fact(line)?))
        }
        _before => {
            let event = read_fact(line)?;
            line.word(":")?;
            Ok(Demand::Before {
                event,
                first: read_fact(line)?,
            })
        }
    }
}

pub fn show_demand(demand: &Demand) -> String {
    match demand {
        Demand::Within(span, fact) => format!("within {}  {}", show_span(*span), show_fact(fact)),
        Demand::For(span, fact) => format!("for {}  {}", show_span(*span), show_fact(fact)),
        Demand::Always(fact) => format!("always  {}", show_fact(fact)),
        Demand::Never(fact) => format!("never  {}", show_fact(fact)),
        Demand::AtEnd(fact) => format!("at end  {}", show_fact(fact)),
        Demand::Before { event, first } => {
            format!("before  {} : {}", show_fact(event), show_fact(first))
        }
    }
}

pub fn read_fact(line: &mut Line<'_>) -> Result<Fact, Complaint> {
    if line.takes("no") {
        return match line.one_of(&["leader", "failover"])? {
            "leader" => Ok(Fact::NoLeader),
            _failover => Ok(Fact::NoFailover),
        };
    }
    if line.takes("everyone") {
        line.word("follows")?;
        return Ok(Fact::EveryoneFollows);
    }
    if line.takes("lost") {
        line.word("commits")?;
        let relation = line.entry(&Relation::ALL)?;
        return Ok(Fact::LostCommits(relation, line.number()?));
    }
    if line.takes("timeline") {
        line.word("is")?;
        return Ok(Fact::TimelineIs(line.small()?));
    }
    if line.takes("request") {
        line.word("is")?;
        return Ok(Fact::RequestIs(line.entry(&Ending::ALL)?));
    }
    if line.takes("mark") {
        return read_mark(line).map(Fact::Mark);
    }
    if !line.at_who() {
        return Err(line.expected("a member, or the beginning of a fact", &OPENINGS));
    }
    let member = line.who()?;
    if member == Who::Leader {
        return read_about_leader(line);
    }
    read_about_member(line, member)
}

/// `leader is M`, `leader key is free`, or a fact about the member that leads.
fn read_about_leader(line: &mut Line<'_>) -> Result<Fact, Complaint> {
    if line.takes("key") {
        line.word("is")?;
        line.word("free")?;
        return Ok(Fact::KeyIsFree);
    }
    if line.peek() != Some("is") {
        return read_about_member(line, Who::Leader);
    }
    line.word("is")?;
    Ok(Fact::LeaderIs(line.who()?))
}

fn read_about_member(line: &mut Line<'_>, member: Who) -> Result<Fact, Complaint> {
    match line.one_of(&ABOUT_A_MEMBER)? {
        "accepts" => {
            line.word("writes")?;
            Ok(Fact::AcceptsWrites(member))
        }
        "refuses" => {
            line.word("writes")?;
            Ok(Fact::RefusesWrites(member))
        }
        "has" => {
            let waiting = match line.takes("no") {
                true => Waiting::None,
                false => Waiting::Some,
            };
            line.word("waiting")?;
            line.word("commits")?;
            Ok(Fact::CommitsWait(member, waiting))
        }
        "holds" | "acquires" => {
            line.word("leader")?;
            line.word("key")?;
            Ok(Fact::HoldsKey(member))
        }
        "streams" => {
            line.word("from")?;
            let from = line.who()?;
            let timeline = if line.takes("on") {
                line.word("timeline")?;
                Some(line.small()?)
            } else {
                None
            };
            Ok(Fact::Streams {
                member,
                from,
                timeline,
            })
        }
        "in" => Ok(Fact::InOperation(member, line.entry(&Work::ALL)?)),
        "kept" => {
            line.word("data")?;
            Ok(Fact::KeptData(member))
        }
        _is => {
            if line.takes("on") {
                line.word("timeline")?;
                return Ok(Fact::OnTimeline(member, line.small()?));
            }
            Ok(Fact::Is(member, line.entry(&Condition::ALL)?))
        }
    }
}

fn read_mark(line: &mut Line<'_>) -> Result<Mark, Complaint> {
    let table: Vec<(&'static str, Mark)> = Mark::ALL.iter().map(|m| (m.name(), *m)).collect();
    line.entry(&table)
}

pub fn show_fact(fact: &Fact) -> String {
    match fact {
        Fact::AcceptsWrites(m) => format!("{m} accepts writes"),
        Fact::RefusesWrites(m) => format!("{m} refuses writes"),
        Fact::CommitsWait(m, Waiting::Some) => format!("{m} has waiting commits"),
        Fact::CommitsWait(m, Waiting::None) => format!("{m} has no waiting commits"),
        Fact::HoldsKey(m) => format!("{m} holds leader key"),
        Fact::KeyIsFree => "leader key is free".into(),
        Fact::LeaderIs(m) => format!("leader is {m}"),
        Fact::NoLeader => "no leader".into(),
        Fact::Is(m, condition) => format!("{m} is {}", word_of(&Condition::ALL, *condition)),
        Fact::Streams {
            member,
            from,
            timeline,
        } => match timeline {
            Some(number) => format!("{member} streams from {from} on timeline {number}"),
            None => format!("{member} streams from {from}"),
        },
        Fact::OnTimeline(m, number) => format!("{m} is on timeline {number}"),
        Fact::TimelineIs(number) => format!("timeline is {number}"),
        Fact::InOperation(m, work) => format!("{m} in {}", word_of(&Work::ALL, *work)),
        Fact::EveryoneFollows => "everyone follows".into(),
        Fact::LostCommits(relation, number) => {
            format!(
                "lost commits {} {number}",
                word_of(&Relation::ALL, *relation)
            )
        }
        Fact::NoFailover => "no failover".into(),
        Fact::KeptData(m) => format!("{m} kept data"),
        Fact::RequestIs(ending) => format!("request is {}", word_of(&Ending::ALL, *ending)),
        Fact::Mark(mark) => format!("mark {}", mark.name()),
    }
}
