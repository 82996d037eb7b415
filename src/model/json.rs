//! JSON as it was written: keys in order, duplicates refused, integers of 64 bits, no fractions.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Value;

/// What entities and requests are read from: JSON as it was written, or as a program built it.
///
/// Read from a text, objects have no key twice and numbers are 64-bit integers. A program that builds one keeps to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`: never a value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Long(i64),
    /// A text; of which type the schema tells.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, its keys in order.
    Object(Vec<(String, Json)>),
    /// A value that has its type already. No text holds one.
    Typed(Value),
}

impl Json {
    /// Reads one JSON text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|e| e.to_string())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(fields) => fields.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Long(_) => "an integer",
            Json::String(_) => "a text",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
            Json::Typed(_) => "a value of another type",
        }
    }

    /// The fields of an object whose keys are all among `known`.
    pub(crate) fn fields(&self, what: &str, known: &[&str]) -> Result<&[(String, Json)], String> {
        let Json::Object(fields) = self else {
            return Err(format!("{what} is {}, expected an object", self.kind()));
        };
        match fields.iter().find(|(k, _)| !known.contains(&k.as_str())) {
            None => Ok(fields),
            Some((key, _)) => Err(format!(
                "{what} has the unknown key `{}`; its keys are {}",
                super::shorten(key),
                known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
            )),
        }
    }
}

impl From<&serde_json::Value> for Json {
    /// For values built by a program, which have no duplicate keys; a number that is no 64-bit integer becomes null.
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Json::Null,
            serde_json::Value::Bool(b) => Json::Bool(*b),
            serde_json::Value::Number(n) => n.as_i64().map_or(Json::Null, Json::Long),
            serde_json::Value::String(s) => Json::String(s.clone()),
            serde_json::Value::Array(items) => Json::Array(items.iter().map(Json::from).collect()),
            serde_json::Value::Object(map) => {
                Json::Object(map.iter().map(|(k, v)| (k.clone(), Json::from(v))).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Long(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        i64::try_from(value).map(Json::Long).map_err(|_| E::custom("number out of the 64-bit range"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Err(E::custom("number with a fraction, or out of the 64-bit range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields: Vec<(String, Json)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            // Few objects are large: a scan is quicker than a set for those that are not.
            let duplicate = if fields.len() < 16 {
                fields.iter().any(|(k, _)| *k == key)
            } else {
                if seen.is_empty() {
                    seen.extend(fields.iter().map(|(k, _)| k.clone()));
                }
                !seen.insert(key.clone())
            };
            if duplicate {
                return Err(A::Error::custom(format!("duplicate key `{}`", super::shorten(&key))));
            }
            fields.push((key, map.next_value()?));
        }
        Ok(Json::Object(fields))
    }
}
