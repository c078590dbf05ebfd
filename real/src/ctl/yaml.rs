//! YAML as patronictl prints it (PyYAML's `safe_dump`): keys sorted, strings plain where they read back as
//! the same string and in single quotes otherwise. Long lines are not folded.

use super::yaml_types::reads_as_another_type;
use serde_json::{Map, Value};

/// Block style, ending with a line break.
pub fn block(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block_map(map, 0, &mut out),
        Value::Array(list) if !list.is_empty() => block_list(list, 0, &mut out),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            out.push_str(&flow_at(value, 0));
            out.push('\n');
        }
    }
    out
}

/// One line, braces and brackets.
pub fn flow(value: &Value) -> String {
    flow_at(value, 0)
}

fn block_map(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (at, (key, value)) in map.iter().enumerate() {
        if at > 0 {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&scalar_text(key, Style::Block, indent));
        out.push(':');
        after_key(value, indent, out);
    }
}

fn after_key(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            out.push_str(&" ".repeat(indent + 2));
            block_map(map, indent + 2, out);
        }
        Value::Array(list) if !list.is_empty() => {
            // PyYAML does not indent a list below its key.
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            block_list(list, indent, out);
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            out.push(' ');
            out.push_str(&flow_at(value, indent + 2));
            out.push('\n');
        }
    }
}

fn block_list(list: &[Value], indent: usize, out: &mut String) {
    for (at, item) in list.iter().enumerate() {
        if at > 0 {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => block_map(map, indent + 2, out),
            Value::Array(inner) if !inner.is_empty() => block_list(inner, indent + 2, out),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => {
                out.push_str(&flow_at(item, indent + 2));
                out.push('\n');
            }
        }
    }
}

fn flow_at(value: &Value, indent: usize) -> String {
    match value {
        Value::Array(list) => {
            let items: Vec<_> = list.iter().map(|v| within_flow(v, indent)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let pair = |(k, v): (&String, &Value)| {
                let key = scalar_text(k, Style::Flow, indent);
                format!("{key}: {}", within_flow(v, indent))
            };
            let pairs: Vec<_> = map.iter().map(pair).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::String(text) => scalar_text(text, Style::Block, indent),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn within_flow(value: &Value, indent: usize) -> String {
    match value {
        Value::String(text) => scalar_text(text, Style::Flow, indent),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            flow_at(value, indent)
        }
    }
}

/// Where a string stands: between brackets more characters have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Block,
    Flow,
}

fn scalar_text(text: &str, style: Style, indent: usize) -> String {
    let is_printable =
        |c: char| c == '\n' || !(c.is_control() || ('\u{7f}'..='\u{a0}').contains(&c));
    let blank_at_break = text.contains(" \n") || text.contains("\n ");
    if !text.chars().all(is_printable) || blank_at_break {
        return double_quoted(text);
    }
    if may_be_plain(text, style) {
        return text.to_string();
    }
    // A line break is written as an empty line, since a single one reads back as a blank.
    let line_break = format!("\n\n{}", " ".repeat(indent));
    format!("'{}'", text.replace('\'', "''").replace('\n', &line_break))
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0' => quoted.push_str("\\0"),
            '\u{1b}' => quoted.push_str("\\e"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\u{85}' => quoted.push_str("\\N"),
            '\u{a0}' => quoted.push_str("\\_"),
            other if other.is_control() => quoted.push_str(&format!("\\x{:02X}", other as u32)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn may_be_plain(text: &str, style: Style) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let alone = text.chars().nth(1).is_none_or(char::is_whitespace);
    let starts_well = match first {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
        | '@' | '`' => false,
        '-' => !alone,
        '?' | ':' => !alone && style == Style::Block,
        _ => true,
    };
    let means_nothing = match style {
        Style::Block => true,
        Style::Flow => !text.contains([',', '?', '[', ']', '{', '}', ':']),
    };
    starts_well
        && means_nothing
        && text.trim() == text
        && !text.contains('\n')
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !reads_as_another_type(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PyYAML 6 printed of these values, as patronictl calls it.
    #[test]
    fn text_is_that_of_pyyaml() {
        let values: Vec<Value> =
            serde_json::from_str(include_str!("../../tests/recorded/yaml.json")).unwrap();
        let scalars = include_str!("../../tests/recorded/yaml_scalars.txt");
        let mine = block(&values[0]);
        let pairs = mine.lines().zip(scalars.lines());
        let different: Vec<_> = pairs.filter(|(mine, theirs)| mine != theirs).collect();
        assert!(different.is_empty(), "{different:#?}");
        assert_eq!(mine, scalars);
        let nested = include_str!("../../tests/recorded/yaml_nested.txt");
        assert_eq!(block(&values[1]), nested);
    }
}
