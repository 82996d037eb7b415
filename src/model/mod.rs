//! The vocabulary: uids, values, entities, requests, decisions; and the built-in model's roles and actions.

mod decision;
mod explanation;
pub mod grc;
pub(crate) mod json;
mod request;
mod uid;
mod value;
mod word;

pub use decision::{Decision, DecisionError, ErrorCode, Revision, Window};
pub(crate) use decision::{Message, Names, Refused};
pub use explanation::{ClauseReason, Explanation, Part, PolicyReason, Seen, Sight};
pub use json::Json;
pub(crate) use request::Found;
pub use request::{Context, Handle, Request, RequestError, Resource};
pub use uid::{EntityUid, UidError};
pub use value::{Timestamp, Value};

pub(crate) use uid::{hash, Id};
pub(crate) use value::{parse_datetime, parse_decimal, parse_duration, parse_ip};
pub(crate) use word::{is_name, Word};

use std::collections::{BTreeMap, BTreeSet};

/// An entity: its uid, attributes, tags and direct parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    uid: EntityUid,
    attributes: BTreeMap<String, Value>,
    tags: BTreeMap<String, Value>,
    parents: BTreeSet<EntityUid>,
}

impl Entity {
    /// An entity without attributes and parents.
    pub fn new(uid: EntityUid) -> Self {
        Self { uid, attributes: BTreeMap::new(), tags: BTreeMap::new(), parents: BTreeSet::new() }
    }

    /// The entity with the attribute `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.attributes.insert(name.into(), value);
        self
    }

    /// The entity with the tag `name` set to `value`.
    #[must_use]
    pub fn with_tag(mut self, name: &str, value: Value) -> Self {
        self.tags.insert(name.into(), value);
        self
    }

    /// The entity with one more direct parent.
    #[must_use]
    pub fn with_parent(mut self, parent: EntityUid) -> Self {
        self.parents.insert(parent);
        self
    }

    /// The entity without the attribute `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.attributes.remove(name);
        self
    }

    /// Its uid.
    pub fn uid(&self) -> &EntityUid {
        &self.uid
    }

    /// The attribute `name`, if it has one.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    /// Its attributes, by name.
    pub fn attributes(&self) -> &BTreeMap<String, Value> {
        &self.attributes
    }

    /// Its tags, by name.
    pub fn tags(&self) -> &BTreeMap<String, Value> {
        &self.tags
    }

    /// Its direct parents.
    pub fn parents(&self) -> &BTreeSet<EntityUid> {
        &self.parents
    }

    /// The entity in Cedar's entity JSON: `{"uid", "attrs", "parents"}`, and `"tags"` where it has some.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::json;
        let uid = |uid: &EntityUid| json!({"type": uid.type_name(), "id": uid.id()});
        let record = |fields: &BTreeMap<String, Value>| Value::Record(fields.clone()).to_json();
        let mut entity = json!({
            "uid": uid(&self.uid),
            "attrs": record(&self.attributes),
            "parents": self.parents.iter().map(uid).collect::<Vec<_>>(),
        });
        if let (false, Some(object)) = (self.tags.is_empty(), entity.as_object_mut()) {
            object.insert("tags".into(), record(&self.tags));
        }
        entity
    }

    /// Whether a value of an attribute or a tag nests deeper than [`Value::DEPTH`].
    pub(crate) fn is_too_deep(&self) -> bool {
        self.attributes.values().chain(self.tags.values()).any(Value::is_too_deep)
    }

    /// Calls `f` with every entity that an attribute or a tag refers to.
    pub(crate) fn for_each_reference<'a>(&'a self, mut f: impl FnMut(&'a EntityUid)) {
        for value in self.attributes.values().chain(self.tags.values()) {
            value.for_each_entity(&mut f);
        }
    }

    pub(crate) fn to_cedar(&self) -> Result<cedar_policy::Entity, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let fields = |map: &BTreeMap<String, Value>| {
            map.iter()
                .map(|(k, v)| Ok((k.clone(), v.to_cedar().map_err(|e| text(&e))?)))
                .collect::<Result<Vec<_>, String>>()
        };
        let parents = self.parents.iter().map(|p| p.to_cedar().map_err(|e| text(&e)));
        cedar_policy::Entity::new_with_tags(
            self.uid.to_cedar().map_err(|e| text(&e))?,
            fields(&self.attributes)?,
            parents.collect::<Result<Vec<_>, String>>()?,
            fields(&self.tags)?,
        )
        .map_err(|e| text(&e))
    }
}

/// At most the first 60 characters of `text`, so that no message carries megabytes of input.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A message of at most 600 characters: it may name input of any length.
pub(crate) fn clip(message: impl Into<String>) -> String {
    let mut message = message.into();
    if let Some((at, _)) = message.char_indices().nth(600) {
        message.truncate(at);
        message.push('…');
    }
    message
}
