//! One mapping of the configuration, read key by key. What nobody asked for at the end is unknown, and said so.
//! Knows how a word becomes a number, a duration or an address; knows no setting.

use super::node::{Body, Node, Origin, integer_of};
use super::problem::{Findings, Problem};
use crate::secret::Secret;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use tanist_core::time::Span;

/// What becomes of a key that nobody read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    Refuse,
    /// Patroni reads past keys that it does not know, and files carry such keys.
    Warn,
}

pub struct Section<'a> {
    path: String,
    node: &'a Node,
    findings: &'a Findings,
    taken: RefCell<Vec<String>>,
}

/// A host and the port to reach it at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl HostPort {
    /// `HOST:PORT` as a URL wants it: an IPv6 address in brackets.
    pub fn for_url(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// It names every address of the host, so nobody else can reach it by this name.
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "*" | "0.0.0.0" | "::" | "")
    }

    /// `HOST:PORT`, `[V6]:PORT`; without a port when `default_port` is given.
    pub fn parse(text: &str, default_port: Option<u16>) -> Option<HostPort> {
        let text = text.trim();
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|p| *p != 0)?,
            None => default_port?,
        };
        (!host.is_empty()).then(|| HostPort {
            host: host.to_string(),
            port,
        })
    }
}

impl<'a> Section<'a> {
    pub fn root(node: &'a Node, findings: &'a Findings) -> Section<'a> {
        Section::at(String::new(), node, findings)
    }

    fn at(path: String, node: &'a Node, findings: &'a Findings) -> Section<'a> {
        let section = Section {
            path,
            node,
            findings,
            taken: RefCell::new(Vec::new()),
        };
        if !matches!(node.body, Body::Map(_)) && !node.is_null() {
            section.findings.error(Problem {
                origin: node.origin.clone(),
                path: section.name(),
                what: "expected a mapping of settings".into(),
                remedy: "indent its settings below it, one `key: value` a line".into(),
            });
        }
        section
    }

    fn name(&self) -> String {
        if self.path.is_empty() {
            "configuration".to_string()
        } else {
            self.path.clone()
        }
    }

    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_string()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The value of `key`; `null` counts as not given.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        self.taken.borrow_mut().push(key.to_string());
        self.node.get(key).filter(|n| !n.is_null())
    }

    pub fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some_and(|n| !n.is_null())
    }

    pub fn section(&self, key: &str) -> Option<Section<'a>> {
        let node = self.node(key)?;
        Some(Section::at(self.path_of(key), node, self.findings))
    }

    pub fn origin(&self) -> Origin {
        self.node.origin.clone()
    }

    pub fn wrong(&self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let origin = self
            .node
            .get(key)
            .map_or(self.origin(), |n| n.origin.clone());
        self.wrong_at(origin, key, what, remedy);
    }

    /// The same of one item below `key`, at that item's own line.
    pub fn wrong_at(
        &self,
        origin: Origin,
        key: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.findings.error(Problem {
            origin,
            path: self.path_of(key),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    pub fn missing(&self, key: &str, remedy: &str) {
        self.wrong(key, "is required and was not given", remedy);
    }

    /// Patroni has this key and this build does not act on it: the agent refuses to pretend.
    pub fn not_built(&self, key: &str, why: &str) {
        if self.node(key).is_some() {
            self.wrong(
                key,
                format!("this build of Tanist does not act on it: {why}"),
                "remove it",
            );
        }
    }

    /// Patroni has this key, and nothing is lost by going without it here.
    pub fn without_effect(&self, key: &str, why: &str) {
        self.beware(
            key,
            format!("has no effect here: {why}"),
            "it may be removed",
        );
    }

    /// The value is taken, and does not do all that it says.
    pub fn beware(&self, key: &str, what: impl Into<String>, remedy: &str) {
        if let Some(node) = self.node(key) {
            self.findings.warn(Problem {
                origin: node.origin.clone(),
                path: self.path_of(key),
                what: what.into(),
                remedy: remedy.into(),
            });
        }
    }

    /// A single word, with its source text whatever it looks like.
    pub fn text(&self, key: &str) -> Option<String> {
        let node = self.node(key)?;
        match &node.body {
            Body::Scalar(s) => Some(s.text.clone()),
            Body::List(_) | Body::Map(_) => {
                self.wrong(key, "expected a single value", "write it on the same line");
                None
            }
        }
    }

    pub fn secret(&self, key: &str) -> Option<Secret> {
        self.text(key).map(Secret::new)
    }

    /// A truth value in any of Patroni's words, quoted or not.
    pub fn flag(&self, key: &str) -> Option<bool> {
        let text = self.text(key)?;
        match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Some(true),
            "off" | "false" | "no" | "0" => Some(false),
            _ => {
                self.wrong(
                    key,
                    format!("expected on or off, found `{text}`"),
                    "write on or off",
                );
                None
            }
        }
    }

    pub fn integer(&self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let text = self.text(key)?;
        let found = integer_of(text.trim()).filter(|n| range.contains(n));
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            self.wrong(
                key,
                format!("expected a whole number from {low} to {high}, found `{text}`"),
                "write a number in that range",
            );
        }
        found
    }

    /// A length of time: seconds, or a number with `us`, `ms`, `s`, `min`, `h` or `d`.
    pub fn span(&self, key: &str) -> Option<Span> {
        let text = self.text(key)?;
        let span = span_of(&text);
        if span.is_none() {
            self.wrong(
                key,
                format!("expected a length of time, found `{text}`"),
                "write seconds, or a number with its unit such as `500ms` or `2s`",
            );
        }
        span
    }

    /// A number of bytes: plain, or with `kB`, `MB`, `GB` (1024 each, as PostgreSQL counts).
    pub fn bytes(&self, key: &str) -> Option<u64> {
        let text = self.text(key)?;
        let bytes = bytes_of(&text);
        if bytes.is_none() {
            self.wrong(
                key,
                format!("expected a number of bytes, found `{text}`"),
                "write a number with its unit such as `64MB`",
            );
        }
        bytes
    }

    /// `HOST:PORT`. Several hosts before one port (`127.0.0.1,::1:5432`) stay in `host`.
    pub fn address(&self, key: &str, default_port: Option<u16>) -> Option<HostPort> {
        let text = self.text(key)?;
        let address = HostPort::parse(&text, default_port);
        if address.is_none() {
            self.wrong(
                key,
                format!("expected HOST:PORT, found `{text}`"),
                "write for example `10.0.0.1:5432`",
            );
        }
        address
    }

    /// Words: a YAML list, or one text with commas between.
    pub fn list(&self, key: &str) -> Option<Vec<String>> {
        let node = self.node(key)?;
        match &node.body {
            Body::Scalar(s) => {
                let words = s.text.split(',').map(str::trim).filter(|w| !w.is_empty());
                Some(
                    words
                        .map(|w| w.trim_matches(['\'', '"']).to_string())
                        .collect(),
                )
            }
            Body::List(_) => self.lines(key),
            Body::Map(_) => {
                self.wrong(key, "expected a list", "write `- item` lines below it");
                None
            }
        }
    }

    /// Whole lines: a YAML list whose items may hold commas (`pg_hba`).
    pub fn lines(&self, key: &str) -> Option<Vec<String>> {
        let node = self.node(key)?;
        let Body::List(items) = &node.body else {
            self.wrong(key, "expected a list", "write `- item` lines below it");
            return None;
        };
        let mut lines = Vec::new();
        for item in items {
            match &item.body {
                Body::Scalar(s) => lines.push(s.text.clone()),
                Body::List(_) | Body::Map(_) => {
                    self.wrong(
                        key,
                        "expected a list of single values",
                        "put each on its own line",
                    );
                }
            }
        }
        Some(lines)
    }

    /// A mapping of free names to single values, as text in the words of the source.
    pub fn words(&self, key: &str) -> Option<BTreeMap<String, String>> {
        let node = self.node(key)?;
        let Body::Map(entries) = &node.body else {
            self.wrong(
                key,
                "expected a mapping",
                "write `name: value` lines below it",
            );
            return None;
        };
        let mut words = BTreeMap::new();
        for entry in entries {
            match &entry.value.body {
                _ if entry.value.is_null() => {}
                Body::Scalar(s) => {
                    words.insert(entry.key.clone(), s.text.clone());
                }
                Body::List(_) | Body::Map(_) => self.wrong(
                    key,
                    format!("expected a single value for `{}`", entry.key),
                    "write it on the same line",
                ),
            }
        }
        Some(words)
    }

    /// Says what nobody asked for. Call it last.
    pub fn finish(self, unknown: Unknown) {
        let Body::Map(entries) = &self.node.body else {
            return;
        };
        let taken = self.taken.into_inner();
        for entry in entries.iter().filter(|e| !taken.contains(&e.key)) {
            let near = taken
                .iter()
                .filter(|t| edits_between(t, &entry.key) <= 2)
                .min_by_key(|t| edits_between(t, &entry.key));
            let problem = Problem {
                origin: entry.origin.clone(),
                path: if self.path.is_empty() {
                    entry.key.clone()
                } else {
                    format!("{}.{}", self.path, entry.key)
                },
                what: "is not a setting that Tanist knows".into(),
                remedy: match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "remove it or mend its name".into(),
                },
            };
            match unknown {
                Unknown::Refuse => self.findings.error(problem),
                Unknown::Warn => self.findings.warn(problem),
            }
        }
    }
}

fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim()))
}

fn scaled(number: f64, unit: f64) -> Option<u64> {
    let product = (number * unit).round();
    // Beyond 2^53 a float no longer counts exactly, and no setting is that large.
    (0.0..9_007_199_254_740_992.0)
        .contains(&product)
        .then_some(product as u64)
}

fn span_of(text: &str) -> Option<Span> {
    let (number, unit) = number_and_unit(text)?;
    let micros = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "" | "s" => 1e6,
        "min" => 60e6,
        "h" => 3_600e6,
        "d" => 86_400e6,
        _ => return None,
    };
    scaled(number, micros).map(Span::micros)
}

fn bytes_of(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let bytes = match unit {
        "" | "B" => 1.0,
        "kB" | "KB" | "KiB" => 1024.0,
        "MB" | "MiB" => 1024.0 * 1024.0,
        "GB" | "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    scaled(number, bytes)
}

/// Levenshtein's distance, for "did you mean".
fn edits_between(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        for (text, span) in [
            ("2", Some(Span::secs(2))),
            ("1.5s", Some(Span::millis(1_500))),
            ("500 ms", Some(Span::millis(500))),
            ("2min", Some(Span::secs(120))),
            ("-1", None),
            ("fast", None),
            ("9e9", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(span_of(text), span, "{text}");
        }
        assert_eq!(bytes_of("64MB"), Some(64 << 20));
        assert_eq!(bytes_of("64 parsecs"), None);
    }

    #[test]
    fn an_address_may_be_ipv6_and_several_hosts_may_share_a_port() {
        for (text, host, port) in [
            ("10.0.0.1:5432", "10.0.0.1", 5432),
            ("[::1]:8008", "::1", 8008),
            ("127.0.0.1,::1:5433", "127.0.0.1,::1", 5433),
            ("db", "db", 2379),
        ] {
            let address = HostPort::parse(text, Some(2379)).unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{text}"
            );
        }
        for bad in ["", ":5432", "h:0", "h:70000", "[::1", "h:x"] {
            assert_eq!(HostPort::parse(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_word_it_resembles() {
        let tree = crate::settings::yaml::parse("scope: a\nnamspace: b\n", "p.yml").unwrap();
        let findings = Findings::default();
        let root = Section::root(&tree, &findings);
        let _ = (root.text("scope"), root.text("namespace"));
        root.finish(Unknown::Refuse);
        let (errors, _) = findings.into_parts();
        assert_eq!(
            errors[0].to_string(),
            "p.yml:2: namspace: is not a setting that Tanist knows; did you mean `namespace`?"
        );
    }
}
