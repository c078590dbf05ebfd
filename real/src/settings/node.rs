//! The configuration as it was written: scalars with their source text, whether they were quoted, and
//! where each value came from. Knows nothing of any setting's meaning.
//!
//! Why not a typed value at once: Patroni's files were written for YAML 1.1, where `on` is a truth value
//! and `0600` is octal, while a PostgreSQL parameter must reach the server in the very words of its author.
//! Only the reader of a setting knows which of the two a scalar is.

use serde_json::{Map, Number, Value};
use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Line { file: Arc<str>, line: usize },
    Environment(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line { file, line } => write!(f, "{file}:{line}"),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub origin: Origin,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// The text between the quotes, or the plain word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    pub text: String,
    pub quoting: Quoting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    Plain,
    /// Quoted or a block: text, whatever it looks like.
    Quoted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub origin: Origin,
    pub value: Node,
}

impl Node {
    pub fn scalar(origin: Origin, text: impl Into<String>) -> Node {
        let scalar = Scalar {
            text: text.into(),
            quoting: Quoting::Plain,
        };
        Node {
            origin,
            body: Body::Scalar(scalar),
        }
    }

    pub fn empty_map(origin: Origin) -> Node {
        Node {
            origin,
            body: Body::Map(Vec::new()),
        }
    }

    /// Nothing was written: `key:`, `~` or `null`.
    pub fn is_null(&self) -> bool {
        match &self.body {
            Body::Scalar(s) => s.is_null(),
            Body::List(_) | Body::Map(_) => false,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.body {
            Body::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            Body::Scalar(_) | Body::List(_) => None,
        }
    }

    /// Sets the value at `path`; anything on the way that is not a mapping gives way to one.
    pub fn set(&mut self, path: &[&str], value: Node) {
        let Some((key, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self.body, Body::Map(_)) {
            self.body = Body::Map(Vec::new());
        }
        let Body::Map(entries) = &mut self.body else {
            return;
        };
        let at = entries.iter().position(|e| e.key == *key);
        let at = at.unwrap_or_else(|| {
            entries.push(Entry {
                key: (*key).to_string(),
                origin: value.origin.clone(),
                value: Node::empty_map(value.origin.clone()),
            });
            entries.len() - 1
        });
        entries[at].value.set(rest, value);
    }

    /// Lays `over` on top, as a later file does: mappings merge, `null` removes a key, all else replaces.
    pub fn overlay(&mut self, over: Node) {
        match (&mut self.body, over.body) {
            (Body::Map(mine), Body::Map(theirs)) => {
                for entry in theirs {
                    let at = mine.iter().position(|e| e.key == entry.key);
                    match at {
                        Some(at) if entry.value.is_null() => {
                            mine.remove(at);
                        }
                        Some(at) => mine[at].value.overlay(entry.value),
                        None => mine.push(entry),
                    }
                }
            }
            (body, theirs) => {
                *body = theirs;
                self.origin = over.origin;
            }
        }
    }

    /// The JSON that Patroni would have put into the store for this value (see [`Scalar::to_json`]).
    pub fn to_json(&self) -> Value {
        match &self.body {
            Body::Scalar(s) => s.to_json(),
            Body::List(items) => items.iter().map(Node::to_json).collect(),
            Body::Map(entries) => {
                let pairs = entries.iter().map(|e| (e.key.clone(), e.value.to_json()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }
}

impl Scalar {
    pub fn is_null(&self) -> bool {
        self.quoting == Quoting::Plain
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// A truth value in YAML 1.1's words (`on`, `No`, `TRUE`), plain only.
    pub fn to_bool(&self) -> Option<bool> {
        if self.quoting == Quoting::Quoted {
            return None;
        }
        match self.text.as_str() {
            "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
            "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
            _ => None,
        }
    }

    /// An integer in YAML 1.1's forms: decimal, `0x1f`, `0b101`, and octal with a leading zero; `_` separates.
    /// Base 60 (`12:30`) is left as text: no setting means it, and a time of day does.
    pub fn to_integer(&self) -> Option<i64> {
        if self.quoting == Quoting::Quoted {
            return None;
        }
        integer_of(&self.text)
    }

    pub fn to_json(&self) -> Value {
        if self.is_null() {
            return Value::Null;
        }
        if let Some(truth) = self.to_bool() {
            return Value::Bool(truth);
        }
        if let Some(n) = self.to_integer() {
            return Value::from(n);
        }
        let real = (self.quoting == Quoting::Plain && looks_real(&self.text))
            .then(|| self.text.replace('_', "").parse::<f64>().ok())
            .flatten()
            .and_then(Number::from_f64);
        match real {
            Some(n) => Value::Number(n),
            None => Value::String(self.text.clone()),
        }
    }
}

/// An integer as YAML 1.1 and Patroni's own parser read it.
pub fn integer_of(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), radix).ok()
}

/// YAML 1.1 wants a point in a real number: `1e3` is a word there.
fn looks_real(text: &str) -> bool {
    text.contains('.')
        && text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))
        && text.bytes().any(|b| b.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain(text: &str) -> Scalar {
        Scalar {
            text: text.to_string(),
            quoting: Quoting::Plain,
        }
    }

    #[test]
    fn a_plain_word_means_what_it_meant_to_patronis_parser() {
        for (text, value) in [
            ("on", json!(true)),
            ("No", json!(false)),
            ("y", json!("y")),
            ("0600", json!(384)),
            ("0x10", json!(16)),
            ("1_000", json!(1000)),
            ("-7", json!(-7)),
            ("089", json!("089")),
            ("12:30:45", json!("12:30:45")),
            ("1e3", json!("1e3")),
            ("0.25", json!(0.25)),
            ("1.2.3", json!("1.2.3")),
            ("~", json!(null)),
            ("", json!(null)),
            ("hot_standby", json!("hot_standby")),
        ] {
            assert_eq!(plain(text).to_json(), value, "{text}");
        }
    }

    #[test]
    fn a_quoted_word_is_text() {
        for text in ["on", "0600", "~", "", "12"] {
            let scalar = Scalar {
                text: text.to_string(),
                quoting: Quoting::Quoted,
            };
            assert_eq!(scalar.to_json(), json!(text));
        }
    }

    #[test]
    fn a_later_file_merges_mappings_replaces_lists_and_removes_by_null() {
        let read = |text| crate::settings::yaml::parse(text, "t.yml").unwrap();
        let mut base = read("a: {x: 1, y: 2}\nl: [1, 2]\ngone: 5\n");
        base.overlay(read("a: {y: 3}\nl: [9]\ngone: ~\n"));
        assert_eq!(base.to_json(), json!({"a": {"x": 1, "y": 3}, "l": [9]}));
    }
}
