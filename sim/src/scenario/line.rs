//! A reader's finger on one line of a scenario: takes the next word if it is one of those expected,
//! and otherwise complains at that very column. Knows words and numbers, no verb.

use super::lex::{self, Complaint, Token};
use crate::act::Who;
use tanist_core::name::MemberName;
use tanist_core::time::Span;

/// The words that stand for whichever members play that part at that instant.
pub const PARTS: [(&str, Who); 5] = [
    ("leader", Who::Leader),
    ("standby", Who::Standby),
    ("any", Who::Any),
    ("standbys", Who::Standbys),
    ("all", Who::All),
];

pub struct Line<'a> {
    pub number: usize,
    pub source: &'a str,
    tokens: Vec<Token>,
    next: usize,
    members: &'a [MemberName],
}

impl<'a> Line<'a> {
    pub fn cut(
        number: usize,
        source: &'a str,
        members: &'a [MemberName],
    ) -> Result<Line<'a>, Complaint> {
        let found = lex::tokens(source);
        let mut line = Line {
            number,
            source,
            tokens: Vec::new(),
            next: 0,
            members,
        };
        match found {
            Ok(tokens) => {
                line.tokens = tokens;
                Ok(line)
            }
            Err(column) => Err(line.complaint(column, 1, "no word starts with this character")),
        }
    }

    pub fn is_over(&self) -> bool {
        self.next >= self.tokens.len()
    }

    /// Is there exactly one word left?
    pub fn is_last(&self) -> bool {
        self.next + 1 == self.tokens.len()
    }

    pub fn peek(&self) -> Option<&str> {
        self.tokens.get(self.next).map(|t| t.text.as_str())
    }

    /// Takes the next word if it is this one.
    pub fn takes(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.next += 1;
        }
        found
    }

    /// Takes the next word, which must be one of `valid`.
    pub fn one_of<'w>(&mut self, valid: &[&'w str]) -> Result<&'w str, Complaint> {
        let found = valid.iter().find(|word| self.peek() == Some(word));
        match found {
            Some(word) => {
                self.next += 1;
                Ok(word)
            }
            None => Err(self.expected(&listed(valid), valid)),
        }
    }

    pub fn word(&mut self, word: &str) -> Result<(), Complaint> {
        self.one_of(&[word]).map(|_| ())
    }

    /// Takes the next word, which must stand in the table; the value beside it.
    pub fn entry<T: Copy>(&mut self, table: &[(&'static str, T)]) -> Result<T, Complaint> {
        let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
        let found = self.one_of(&words)?;
        let at = words.iter().position(|word| *word == found).unwrap_or(0);
        Ok(table[at].1)
    }

    /// Takes any word; `what` says what it should have been if there is none.
    pub fn any_word(&mut self, what: &str) -> Result<String, Complaint> {
        let text = self.peek().map(str::to_string);
        match text.filter(|t| {
            t.chars()
                .all(|c| c.is_alphanumeric() || "_.-/%+".contains(c))
        }) {
            Some(word) => {
                self.next += 1;
                Ok(word)
            }
            None => Err(self.expected(what, &[])),
        }
    }

    pub fn span(&mut self) -> Result<Span, Complaint> {
        self.read("a time such as 30s, 500ms or 1m30s", lex::span)
    }

    pub fn bytes(&mut self) -> Result<u64, Complaint> {
        self.read("a size such as 64kB or 1MB", lex::bytes)
    }

    pub fn number(&mut self) -> Result<u64, Complaint> {
        self.read("a number", |text| text.parse().ok())
    }

    pub fn signed(&mut self) -> Result<i64, Complaint> {
        self.read("a number", |text| text.parse().ok())
    }

    /// The number of a server of the store, or of a timeline: small.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Complaint> {
        self.read("a small number", |text| {
            text.parse::<u64>().ok().and_then(|n| T::try_from(n).ok())
        })
    }

    pub fn hex(&mut self) -> Result<u64, Complaint> {
        self.read("a seed in hexadecimal", |text| {
            u64::from_str_radix(text, 16).ok()
        })
    }

    /// Takes a member's name, or the word for the part that one plays.
    pub fn who(&mut self) -> Result<Who, Complaint> {
        let part = PARTS.iter().find(|(word, _)| self.peek() == Some(word));
        if let Some((_, who)) = part {
            self.next += 1;
            return Ok(who.clone());
        }
        self.member().map(Who::Member).map_err(|_| {
            let mut valid: Vec<&str> = self.members.iter().map(MemberName::as_str).collect();
            valid.extend(PARTS.iter().map(|(word, _)| *word));
            self.expected(&listed(&valid), &valid)
        })
    }

    /// Takes the name of a member of the cluster.
    pub fn member(&mut self) -> Result<MemberName, Complaint> {
        let valid: Vec<&str> = self.members.iter().map(MemberName::as_str).collect();
        self.one_of(&valid).map(MemberName::from)
    }

    /// Is the next word a member's name or part?
    pub fn at_who(&self) -> bool {
        let Some(word) = self.peek() else {
            return false;
        };
        PARTS.iter().any(|(part, _)| *part == word)
            || self.members.iter().any(|m| m.as_str() == word)
    }

    /// Takes a quoted text; what was inside the quotes.
    pub fn quoted(&mut self) -> Result<String, Complaint> {
        self.read("a text in single quotes", lex::unquote)
    }

    pub fn ppm(&mut self) -> Result<i32, Complaint> {
        self.read("a rate such as +5000ppm", lex::ppm)
    }

    pub fn per_mille(&mut self) -> Result<u32, Complaint> {
        self.read("a share such as 5% or 0.5%", lex::per_mille)
    }

    pub fn end(&mut self) -> Result<(), Complaint> {
        if self.is_over() {
            return Ok(());
        }
        Err(self.expected("the end of the line", &[]))
    }

    fn read<T>(&mut self, what: &str, reader: impl Fn(&str) -> Option<T>) -> Result<T, Complaint> {
        match self.peek().and_then(reader) {
            Some(value) => {
                self.next += 1;
                Ok(value)
            }
            None => Err(self.expected(what, &[])),
        }
    }

    /// A complaint about the next word, with the nearest of `valid`.
    pub fn expected(&self, what: &str, valid: &[&str]) -> Complaint {
        let (column, width, text) = match self.tokens.get(self.next) {
            Some(token) => (
                token.column,
                token.text.chars().count(),
                token.text.as_str(),
            ),
            None => (self.end_column(), 1, ""),
        };
        let found = if text.is_empty() {
            "the line ends here".to_string()
        } else {
            format!("`{text}` is not understood here")
        };
        let mut complaint = self.complaint(column, width, &format!("{found}: expected {what}"));
        complaint.did_you_mean = if text.is_empty() {
            None
        } else {
            lex::nearest(text, valid.iter().copied())
        };
        complaint
    }

    /// A complaint about the word taken last.
    pub fn refuse_last(&self, what: &str) -> Complaint {
        match self.next.checked_sub(1).and_then(|at| self.tokens.get(at)) {
            Some(token) => self.complaint(token.column, token.text.chars().count(), what),
            None => self.complaint(1, 1, what),
        }
    }

    fn end_column(&self) -> usize {
        self.tokens
            .last()
            .map_or(1, |t| t.column + t.text.chars().count() + 1)
    }

    fn complaint(&self, column: usize, width: usize, what: &str) -> Complaint {
        Complaint {
            line: self.number,
            column,
            width,
            source: self.source.to_string(),
            what: what.to_string(),
            did_you_mean: None,
        }
    }
}

/// `a`, `b` or `c`.
fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "nothing".into(),
    }
}
