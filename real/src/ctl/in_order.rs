//! The fields of a JSON object in the order in which they were written: tables show tags and reasons as
//! their member wrote them.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InOrder(pub Vec<(String, Value)>);

/// Every object-valued field of a member key, in order; the rest of the key is read elsewhere.
pub fn objects(text: &str) -> BTreeMap<String, InOrder> {
    let fields: BTreeMap<String, Field> = serde_json::from_str(text).unwrap_or_default();
    let objects = fields.into_iter().filter_map(|(key, field)| match field {
        Field::Object(object) => Some((key, object)),
        Field::Other(_) => None,
    });
    objects.collect()
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Field {
    Object(InOrder),
    Other(IgnoredAny),
}

impl InOrder {
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.iter().cloned().collect::<Map<_, _>>())
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = InOrder;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(InOrder(pairs))
    }
}

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<InOrder, D::Error> {
        d.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_the_order_in_which_they_were_written() {
        let found = objects(r#"{"role":"x","tags":{"z":1,"a":[true]},"n":5}"#);
        let tags: Vec<_> = found["tags"].0.iter().map(|(k, _)| k.as_str()).collect();
        assert_eq!(tags, ["z", "a"]);
        assert_eq!(found.len(), 1);
        assert!(objects("nonsense").is_empty());
    }
}
