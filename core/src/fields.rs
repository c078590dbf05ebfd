//! Where two JSON documents part, field by field. Knows nothing of what they say.

use serde_json::Value;
use std::collections::BTreeSet;

/// One field in which a replay did otherwise than the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// `effects[0].body.Dcs.until`.
    pub path: String,
    pub recorded: String,
    pub replayed: String,
}

/// The fields in which two documents differ, in the order of the document, at most `most` of them.
pub fn differences(path: &str, recorded: &Value, replayed: &Value, most: usize) -> Vec<Field> {
    let mut found = Vec::new();
    gather(path, Some(recorded), Some(replayed), most, &mut found);
    found
}

fn gather(
    path: &str,
    recorded: Option<&Value>,
    replayed: Option<&Value>,
    most: usize,
    found: &mut Vec<Field>,
) {
    if found.len() >= most || recorded == replayed {
        return;
    }
    match (recorded, replayed) {
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for at in 0..a.len().max(b.len()) {
                let here = format!("{path}[{at}]");
                gather(&here, a.get(at), b.get(at), most, found);
            }
        }
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let here = format!("{path}.{key}");
                gather(&here, a.get(key), b.get(key), most, found);
            }
        }
        (a, b) => found.push(Field {
            path: path.to_string(),
            recorded: shown(a),
            replayed: shown(b),
        }),
    }
}

/// A value as it fits into a line.
pub fn shown(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_string(),
        Some(value) => shortened(&value.to_string()),
    }
}

pub fn shortened(text: &str) -> String {
    const LENGTH_MAX: usize = 200;
    match text.char_indices().nth(LENGTH_MAX) {
        None => text.to_string(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_field_that_differs_is_named_with_both_values() {
        let a = json!({"x": [1, {"y": 2}], "z": "same"});
        let b = json!({"x": [1, {"y": 3}, 4], "z": "same"});
        let found = differences("root", &a, &b, 9);
        let told: Vec<String> = found
            .iter()
            .map(|f| format!("{} {} {}", f.path, f.recorded, f.replayed))
            .collect();
        assert_eq!(told, ["root.x[1].y 2 3", "root.x[2] nothing 4"]);
        assert_eq!(differences("root", &a, &b, 1).len(), 1);
        assert_eq!(differences("root", &a, &a, 9), []);
    }
}
