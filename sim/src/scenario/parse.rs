//! Reads a scenario: text in, a plan or a complaint with line, caret and the nearest valid word out.
//! Knows the lines of the language; the words of acts and facts have files of their own.

use super::acts;
use super::fact;
use super::lex::Complaint;
use super::line::{Line, PARTS};
use super::options::{OPTIONS, read_member, read_option};
use crate::plan::{Plan, Step};
use crate::shape::{ClusterShape, MemberShape};
use tanist_core::name::MemberName;
use tanist_core::time::Span;

/// Members of a cluster beyond this number would make no picture that fits a page.
const MEMBERS_MAX: usize = 9;

pub fn parse(text: &str) -> Result<Plan, Complaint> {
    let mut reader = Reader::default();
    for (at, source) in text.lines().enumerate() {
        reader.read(at + 1, source)?;
    }
    reader.finish(text)
}

#[derive(Default)]
struct Reader {
    header: Vec<String>,
    cluster: Option<ClusterShape>,
    names: Vec<MemberName>,
    seed: u64,
    steps: Vec<Step>,
    at: Span,
    end: Option<Span>,
}

impl Reader {
    fn read(&mut self, number: usize, source: &str) -> Result<(), Complaint> {
        if let (None, Some(comment)) = (&self.cluster, source.trim_start().strip_prefix('#')) {
            self.header.push(comment.trim().to_string());
            return Ok(());
        }
        let names = self.names.clone();
        let mut line = Line::cut(number, source, &names)?;
        if line.is_over() {
            return Ok(());
        }
        if self.cluster.is_none() {
            return self.read_cluster(number, source);
        }
        match line.one_of(&["at", "when", "expect", "with", "member", "seed"])? {
            "at" => self.read_at(&mut line),
            "when" => self.read_when(&mut line),
            "expect" => {
                let demand = fact::read_demand(&mut line)?;
                self.steps.push(Step::Expect(demand));
                line.end()
            }
            "seed" => {
                self.seed = line.hex()?;
                line.end()
            }
            word => {
                let Some(shape) = &mut self.cluster else {
                    return Err(line.refuse_last("the `cluster` line comes first"));
                };
                if !self.steps.is_empty() {
                    return Err(
                        line.refuse_last("what the cluster is comes before what happens to it")
                    );
                }
                if word == "member" {
                    return read_member(&mut line, shape);
                }
                read_options(&mut line, shape)
            }
        }
    }

    fn read_cluster(&mut self, number: usize, source: &str) -> Result<(), Complaint> {
        let mut line = Line::cut(number, source, &[])?;
        line.word("cluster")?;
        let mut names: Vec<MemberName> = Vec::new();
        while line.peek().is_some_and(|word| !OPTIONS.contains(&word)) {
            let name = line.any_word("the name of a member")?;
            let taken = PARTS.iter().any(|(word, _)| *word == name)
                || ["dcs", "clients", "data", "api", "wire", "key"].contains(&name.as_str());
            if taken {
                return Err(
                    line.refuse_last("this word means something else; name the member otherwise")
                );
            }
            if names.iter().any(|n| n.as_str() == name) {
                return Err(line.refuse_last("two members cannot have one name"));
            }
            if names.len() == MEMBERS_MAX {
                return Err(line.refuse_last("a scenario has at most nine members"));
            }
            names.push(MemberName::new(name));
        }
        if names.is_empty() {
            return Err(line.expected("the name of a member", &[]));
        }
        let mut shape = ClusterShape::of(&[]);
        shape.members = names
            .iter()
            .map(|n| MemberShape::named(n.as_str()))
            .collect();
        // Read once more, now that a member's name can be told from a misspelt option.
        let mut line = Line::cut(number, source, &names)?;
        line.word("cluster")?;
        while line
            .peek()
            .is_some_and(|word| names.iter().any(|n| n.as_str() == word))
        {
            line.member()?;
        }
        read_options(&mut line, &mut shape)?;
        self.names = names;
        self.cluster = Some(shape);
        Ok(())
    }

    fn read_at(&mut self, line: &mut Line<'_>) -> Result<(), Complaint> {
        let at = line.span()?;
        if at < self.at {
            return Err(line.refuse_last("the story goes forward: this is before the `at` above"));
        }
        if line.takes("end") {
            self.end = Some(at);
            return line.end();
        }
        self.at = at;
        let act = if line.is_over() {
            None
        } else {
            Some(acts::read(line)?)
        };
        self.steps.push(Step::At { at, act });
        Ok(())
    }

    fn read_when(&mut self, line: &mut Line<'_>) -> Result<(), Complaint> {
        let fact = fact::read_fact(line)?;
        let delay = if line.takes(",") {
            line.word("after")?;
            line.span()?
        } else {
            Span::ZERO
        };
        line.word(":")?;
        let act = acts::read(line)?;
        self.steps.push(Step::When { fact, delay, act });
        Ok(())
    }

    fn finish(self, text: &str) -> Result<Plan, Complaint> {
        let lines = text.lines().count();
        let missing = |what: &str| Complaint {
            line: lines.max(1),
            column: 1,
            width: 1,
            source: text.lines().last().unwrap_or_default().to_string(),
            what: what.to_string(),
            did_you_mean: None,
        };
        let Some(cluster) = self.cluster else {
            return Err(missing("the text ends without a `cluster` line"));
        };
        let mut header = self.header.into_iter();
        let question = header
            .next()
            .ok_or_else(|| missing("the first line must be a comment: the question answered"))?;
        let last = Plan::last_moment(&self.steps);
        let end = self.end.unwrap_or(last + Span::secs(1));
        if end < last {
            return Err(missing("the run ends before its last claim is due"));
        }
        Ok(Plan {
            question,
            notes: header.filter(|note| !note.is_empty()).collect(),
            cluster,
            seed: self.seed,
            steps: self.steps,
            end,
        })
    }
}

fn read_options(line: &mut Line<'_>, shape: &mut ClusterShape) -> Result<(), Complaint> {
    while !line.is_over() {
        read_option(line, shape)?;
    }
    Ok(())
}
