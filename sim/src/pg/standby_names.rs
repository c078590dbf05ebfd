//! What `synchronous_standby_names` says: which standbys a commit waits for, and how far those have confirmed.
//! Knows nothing of who waits. As in PostgreSQL 15: `syncrep_gram.y`, `syncrep_scanner.l` and `SyncRepGetSyncRecPtr`.

use tanist_core::lsn::Lsn;

/// A value that names somebody; the empty one names nobody, and is none of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyNames {
    number: usize,
    method: Method,
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// The first of the list that stream must all confirm.
    First,
    /// So many of those that stream, whichever.
    Any,
}

/// `invalid value for parameter "synchronous_standby_names"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No word begins so.
    Character(char),
    /// A quoted name that does not end.
    Quote,
    /// It does not go on as the grammar has it.
    Syntax,
    /// Of nobody.
    Zero,
}

/// A WAL sender that streams, by the `application_name` of its standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    pub name: String,
    pub confirmed: Lsn,
}

/// What `pg_stat_replication` says of a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Async,
    /// Would be waited for if one before it in the list went away.
    Potential,
    Sync,
    Quorum,
}

impl Part {
    pub fn word(self) -> &'static str {
        match self {
            Part::Async => "async",
            Part::Potential => "potential",
            Part::Sync => "sync",
            Part::Quorum => "quorum",
        }
    }
}

impl StandbyNames {
    /// `None`: the value is empty.
    pub fn parse(text: &str) -> Result<Option<StandbyNames>, Malformed> {
        if text.is_empty() {
            return Ok(None);
        }
        let words = words(text)?;
        let (method, rest) = match words.as_slice() {
            [Word::Any, rest @ ..] => (Method::Any, Some(rest)),
            [Word::First, rest @ ..] => (Method::First, Some(rest)),
            [Word::Number(_), Word::Open, ..] => (Method::First, Some(words.as_slice())),
            _bare_list => (Method::First, None),
        };
        let (number, list) = match rest {
            None => (1, words.as_slice()),
            Some([Word::Number(number), Word::Open, list @ .., Word::Close]) => {
                (number.parse().map_err(|_| Malformed::Syntax)?, list)
            }
            Some(_) => return Err(Malformed::Syntax),
        };
        let names = names(list)?;
        match number {
            0 => Err(Malformed::Zero),
            number => Ok(Some(StandbyNames {
                number,
                method,
                names,
            })),
        }
    }

    /// How far what is waited for has been confirmed. `None`: there are not enough to wait for.
    pub fn confirmed(&self, senders: &[Sender]) -> Option<Lsn> {
        let mut confirmed: Vec<Lsn> = self
            .chosen(senders)
            .into_iter()
            .map(|at| senders[at].confirmed)
            .collect();
        confirmed.sort();
        // The last of the chosen; of any that stream, the one that makes up the number.
        let slowest = confirmed.len().checked_sub(self.number)?;
        confirmed.get(slowest).copied()
    }

    /// The part of the sender at `at`, and its `sync_priority`.
    pub fn part(&self, senders: &[Sender], at: usize) -> (Part, u32) {
        let Some(place) = self.place(&senders[at].name) else {
            return (Part::Async, 0);
        };
        match self.method {
            Method::Any => (Part::Quorum, 1),
            Method::First if self.chosen(senders).contains(&at) => (Part::Sync, place),
            Method::First => (Part::Potential, place),
        }
    }

    /// Those that may count, in the order of the list; of one place, in their own.
    fn chosen(&self, senders: &[Sender]) -> Vec<usize> {
        let place = |at: &usize| self.place(&senders[*at].name);
        let mut named: Vec<usize> = (0..senders.len())
            .filter(|at| place(at).is_some())
            .collect();
        named.sort_by_key(place);
        if self.method == Method::First {
            named.truncate(self.number);
        }
        named
    }

    /// In the list, from 1.
    fn place(&self, name: &str) -> Option<u32> {
        let is = |wanted: &String| wanted == "*" || wanted.eq_ignore_ascii_case(name);
        let at = self.names.iter().position(is)?;
        u32::try_from(at + 1).ok()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Any,
    First,
    Name(String),
    Number(String),
    Comma,
    Open,
    Close,
}

/// Names and numbers, one comma between two.
fn names(list: &[Word]) -> Result<Vec<String>, Malformed> {
    let mut names = Vec::new();
    for pair in list.chunks(2) {
        match pair {
            [Word::Name(name) | Word::Number(name)]
            | [Word::Name(name) | Word::Number(name), Word::Comma] => names.push(name.clone()),
            _ => return Err(Malformed::Syntax),
        }
    }
    match list.last() {
        Some(Word::Name(_) | Word::Number(_)) => Ok(names),
        _ => Err(Malformed::Syntax),
    }
}

fn words(text: &str) -> Result<Vec<Word>, Malformed> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (word, length) = match first {
            ' ' | '\t' | '\n' | '\r' | '\u{c}' => (None, 1),
            ',' => (Some(Word::Comma), 1),
            '(' => (Some(Word::Open), 1),
            ')' => (Some(Word::Close), 1),
            '*' => (Some(Word::Name("*".to_string())), 1),
            '"' => {
                let (name, length) = quoted(rest)?;
                (Some(Word::Name(name)), length)
            }
            '0'..='9' => {
                let digits = taken(rest, |c| c.is_ascii_digit());
                (Some(Word::Number(digits.to_string())), digits.len())
            }
            c if begins_name(c) => {
                let name = taken(rest, |c| begins_name(c) || c.is_ascii_digit() || c == '$');
                (Some(bare(name)), name.len())
            }
            other => return Err(Malformed::Character(other)),
        };
        words.extend(word);
        rest = &rest[length..];
    }
    Ok(words)
}

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn taken(text: &str, goes_on: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !goes_on(c)).unwrap_or(text.len());
    &text[..end]
}

fn bare(name: &str) -> Word {
    match name {
        any if any.eq_ignore_ascii_case("any") => Word::Any,
        first if first.eq_ignore_ascii_case("first") => Word::First,
        name => Word::Name(name.to_string()),
    }
}

/// The name at the begin of `text`, in which a doubled quote is one, and the length that it takes there.
fn quoted(text: &str) -> Result<(String, usize), Malformed> {
    let mut name = String::new();
    let mut inside = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = inside.next() {
        match c {
            '"' if inside.next_if(|(_, next)| *next == '"').is_some() => name.push('"'),
            '"' => return Ok((name, at + 1)),
            other => name.push(other),
        }
    }
    Err(Malformed::Quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, number: usize, method: Method, names: &[&str]) {
        let names = names.iter().map(|name| name.to_string()).collect();
        let wanted = StandbyNames {
            number,
            method,
            names,
        };
        assert_eq!(StandbyNames::parse(text), Ok(Some(wanted)), "{text}");
    }

    fn stream(of: &[(&str, u64)]) -> Vec<Sender> {
        let sender = |(name, confirmed): &(&str, u64)| Sender {
            name: name.to_string(),
            confirmed: Lsn(*confirmed),
        };
        of.iter().map(sender).collect()
    }

    fn confirms(text: &str, of: &[(&str, u64)], upto: Option<u64>) {
        let names = StandbyNames::parse(text).unwrap().unwrap();
        assert_eq!(names.confirmed(&stream(of)), upto.map(Lsn), "{text} {of:?}");
    }

    #[test]
    fn a_list_without_a_number_waits_for_its_first() {
        check("b", 1, Method::First, &["b"]);
        check(" b , c ", 1, Method::First, &["b", "c"]);
        check("*", 1, Method::First, &["*"]);
        check("7", 1, Method::First, &["7"]);
        check(
            "\"pg-b\", \"say \"\"x\"\"\"",
            1,
            Method::First,
            &["pg-b", "say \"x\""],
        );
    }

    #[test]
    fn a_number_comes_with_a_word_or_without() {
        check("2 (b, c)", 2, Method::First, &["b", "c"]);
        check("first 2(b,c,d)", 2, Method::First, &["b", "c", "d"]);
        check("ANY 1 (b, *)", 1, Method::Any, &["b", "*"]);
        check("Any 3 (\"any\")", 3, Method::Any, &["any"]);
    }

    #[test]
    fn what_postgresql_refuses_is_refused() {
        let syntax = [
            " ", "b,", ",b", "b c", "any", "ANY (b)", "2 b", "2 ()", "2 (b", "(b)", "FIRST b",
            "2 (b,)", "b, any",
        ];
        for text in syntax {
            assert_eq!(
                StandbyNames::parse(text),
                Err(Malformed::Syntax),
                "{text:?}"
            );
        }
        assert_eq!(StandbyNames::parse("0 (b)"), Err(Malformed::Zero));
        assert_eq!(StandbyNames::parse("pg-b"), Err(Malformed::Character('-')));
        assert_eq!(StandbyNames::parse("\"b"), Err(Malformed::Quote));
        assert_eq!(StandbyNames::parse(""), Ok(None));
    }

    #[test]
    fn the_first_that_stream_must_all_confirm() {
        confirms("b, c", &[("b", 5), ("c", 9)], Some(5));
        confirms("b, c", &[("c", 9)], Some(9));
        confirms("2 (b, c, d)", &[("d", 3), ("c", 9), ("b", 5)], Some(5));
        confirms("2 (b, c, d)", &[("d", 3), ("b", 5)], Some(3));
        confirms("2 (b, c)", &[("b", 5), ("x", 9)], None);
        confirms("B", &[("b", 5)], Some(5));
        confirms("*", &[("x", 4), ("y", 9)], Some(4));
        confirms("b", &[], None);
    }

    #[test]
    fn of_any_the_number_decides() {
        confirms("ANY 1 (b, c)", &[("b", 5), ("c", 9)], Some(9));
        confirms("ANY 2 (b, c, d)", &[("b", 5), ("c", 9), ("d", 7)], Some(7));
        confirms("ANY 2 (b, c)", &[("c", 9), ("x", 9)], None);
        confirms("ANY 2 (*)", &[("x", 1), ("y", 2), ("z", 3)], Some(2));
    }

    #[test]
    fn each_has_its_part() {
        let senders = stream(&[("c", 1), ("b", 1), ("x", 1)]);
        let parts = |text: &str| {
            let names = StandbyNames::parse(text).unwrap().unwrap();
            [0, 1, 2].map(|at| names.part(&senders, at))
        };
        let of_first = [(Part::Potential, 2), (Part::Sync, 1), (Part::Async, 0)];
        assert_eq!(parts("b, c"), of_first);
        let of_any = [(Part::Quorum, 1), (Part::Quorum, 1), (Part::Async, 0)];
        assert_eq!(parts("ANY 2 (b, c)"), of_any);
    }
}
