//! Reads YAML text into the tree of [`node`](super::node). Knows nothing of settings.
//!
//! Bounded: an alias copies what it names, so the copies count against a budget, and a file that would
//! unfold into more than that is refused rather than expanded.

use super::node::{Body, Entry, Node, Origin, Quoting, Scalar};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Values a configuration may unfold to. Real ones have some hundreds.
const NODES_MAX: usize = 100_000;

/// Text that cannot be read as one YAML document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotYaml {
    pub origin: Origin,
    pub why: String,
}

impl fmt::Display for NotYaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.why)
    }
}

impl std::error::Error for NotYaml {}

/// An empty text is an empty mapping.
pub fn parse(text: &str, file: &str) -> Result<Node, NotYaml> {
    let mut builder = Builder {
        file: Arc::from(file),
        anchors: BTreeMap::new(),
        open: Vec::new(),
        root: None,
        nodes: 0,
    };
    for next in Parser::new_from_str(text) {
        let (event, span) =
            next.map_err(|e| builder.not_yaml(e.marker().line(), e.info().to_string()))?;
        builder.take(event, span.start.line())?;
    }
    let origin = builder.at(1);
    Ok(builder.root.unwrap_or_else(|| Node::empty_map(origin)))
}

/// A collection whose end has not been seen.
struct Open {
    anchor: usize,
    node: Node,
    /// In a mapping: the key that waits for its value.
    key: Option<(String, Origin)>,
    /// `<<`: mappings to fall back on, nearest first.
    merged: Vec<Node>,
}

struct Builder {
    file: Arc<str>,
    anchors: BTreeMap<usize, Node>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder {
    fn at(&self, line: usize) -> Origin {
        Origin::Line {
            file: Arc::clone(&self.file),
            line,
        }
    }

    fn not_yaml(&self, line: usize, why: impl Into<String>) -> NotYaml {
        NotYaml {
            origin: self.at(line),
            why: why.into(),
        }
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), NotYaml> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let quoting = match style {
                    ScalarStyle::Plain => Quoting::Plain,
                    _ => Quoting::Quoted,
                };
                let scalar = Scalar {
                    text: text.into_owned(),
                    quoting,
                };
                self.value(anchor, line, Body::Scalar(scalar))
            }
            Event::SequenceStart(_, anchor, _) => self.begin(anchor, line, Body::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.begin(anchor, line, Body::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(
                        self.not_yaml(line, "an alias names a value that is not finished yet")
                    );
                };
                self.count(size_of(&node), line)?;
                self.place(node, line)
            }
            Event::DocumentStart(..) if self.root.is_some() => Err(self.not_yaml(
                line,
                "a second document begins here; a configuration is one document",
            )),
            // Stream and document markers, and comments, carry no value.
            _ => Ok(()),
        }
    }

    fn count(&mut self, more: usize, line: usize) -> Result<(), NotYaml> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > NODES_MAX {
            return Err(self.not_yaml(
                line,
                format!("more than {NODES_MAX} values once aliases are unfolded"),
            ));
        }
        Ok(())
    }

    fn value(&mut self, anchor: usize, line: usize, body: Body) -> Result<(), NotYaml> {
        self.count(1, line)?;
        let node = Node {
            origin: self.at(line),
            body,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node, line)
    }

    fn begin(&mut self, anchor: usize, line: usize, body: Body) -> Result<(), NotYaml> {
        self.count(1, line)?;
        let node = Node {
            origin: self.at(line),
            body,
        };
        self.open.push(Open {
            anchor,
            node,
            key: None,
            merged: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), NotYaml> {
        let Some(mut open) = self.open.pop() else {
            return Err(self.not_yaml(line, "a collection ends that never began"));
        };
        if let Body::Map(entries) = &mut open.node.body {
            for merged in open.merged {
                let Body::Map(inherited) = merged.body else {
                    return Err(self.not_yaml(line, "`<<` expects a mapping or a list of mappings"));
                };
                for entry in inherited {
                    if !entries.iter().any(|e| e.key == entry.key) {
                        entries.push(entry);
                    }
                }
            }
        }
        if open.anchor != 0 {
            self.anchors.insert(open.anchor, open.node.clone());
        }
        self.place(open.node, line)
    }

    /// A finished value takes its place: in the list, as key, as the key's value, or as the document.
    fn place(&mut self, node: Node, line: usize) -> Result<(), NotYaml> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let entries = match &mut open.node.body {
            Body::List(items) => {
                items.push(node);
                return Ok(());
            }
            Body::Map(entries) => entries,
            Body::Scalar(_) => return Ok(()),
        };
        let Some((key, origin)) = open.key.take() else {
            let Body::Scalar(scalar) = node.body else {
                return Err(self.not_yaml(line, "a key must be a word, not a list or a mapping"));
            };
            let twice = scalar.text != "<<" && entries.iter().any(|e| e.key == scalar.text);
            if twice {
                let why = format!(
                    "key `{}` is given twice in one mapping; remove one of the two",
                    scalar.text
                );
                return Err(self.not_yaml(line, why));
            }
            open.key = Some((scalar.text, node.origin));
            return Ok(());
        };
        if key == "<<" {
            match node.body {
                Body::List(items) => open.merged.extend(items),
                Body::Map(_) | Body::Scalar(_) => open.merged.push(node),
            }
            return Ok(());
        }
        entries.push(Entry {
            key,
            origin,
            value: node,
        });
        Ok(())
    }
}

fn size_of(node: &Node) -> usize {
    match &node.body {
        Body::Scalar(_) => 1,
        Body::List(items) => 1 + items.iter().map(size_of).sum::<usize>(),
        Body::Map(entries) => 1 + entries.iter().map(|e| size_of(&e.value)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_scalar_keeps_its_words_its_quotes_and_its_line() {
        let tree = parse("a: 1\nb:\n  c: '0600'\n  d: 0600\n", "p.yml").unwrap();
        let (c, d) = (
            tree.get("b").unwrap().get("c").unwrap(),
            tree.get("b").unwrap().get("d").unwrap(),
        );
        assert_eq!(c.to_json(), json!("0600"));
        assert_eq!(d.to_json(), json!(0o600));
        assert_eq!(d.origin.to_string(), "p.yml:4");
    }

    #[test]
    fn anchors_and_merge_keys_unfold_and_the_nearer_value_wins() {
        let text = "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nmore: {<<: [*b, {z: 4}]}\n";
        let tree = parse(text, "p.yml").unwrap();
        assert_eq!(tree.get("use").unwrap().to_json(), json!({"x": 1, "y": 3}));
        assert_eq!(
            tree.get("more").unwrap().to_json(),
            json!({"x": 1, "y": 2, "z": 4})
        );
    }

    #[test]
    fn a_file_with_a_byte_order_mark_and_windows_line_ends_is_read() {
        let tree = parse("\u{feff}scope: demo\r\nname: a\r\n", "p.yml").unwrap();
        assert_eq!(tree.to_json(), json!({"scope": "demo", "name": "a"}));
    }

    #[test]
    fn what_is_not_one_mapping_of_words_is_refused_at_its_line() {
        for (text, line, word) in [
            ("a: 1\nb: [1, 2\n", 2, "bracket"),
            ("a: 1\na: 2\n", 2, "twice"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("x: *nowhere\n", 1, ""),
            ("? [1, 2]\n: 3\n", 1, "a key must be"),
        ] {
            let problem = parse(text, "p.yml").unwrap_err();
            assert!(problem.why.contains(word), "{problem}");
            assert_eq!(
                problem.origin.to_string(),
                format!("p.yml:{line}"),
                "{problem}"
            );
        }
    }

    #[test]
    fn an_alias_bomb_is_refused_rather_than_unfolded() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for i in 1..9 {
            let refs = vec![format!("*a{}", i - 1); 9].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(parse(&text, "p.yml").unwrap_err().why.contains("more than"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused_and_never_panics(text in "\\PC{0,200}") {
            let _ = parse(&text, "p.yml").map(|n| n.to_json());
        }

        #[test]
        fn text_made_of_yaml_signs_is_read_or_refused_and_never_panics(
            text in "[a-c0-9:,&*<>|\\-\\[\\]{}'\"#~!%@? \n\t]{0,120}"
        ) {
            let _ = parse(&text, "p.yml").map(|n| n.to_json());
        }
    }
}
