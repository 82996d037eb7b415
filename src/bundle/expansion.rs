//! How large a schema becomes when Cedar expands it, measured before that: types for their names, all ancestors for
//! parents, every principal with every resource.
//!
//! Of forty lines like `type T2 = { a: T1, b: T1 };` each doubles what the one before it means: little to write, and
//! more than any memory can hold.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value as Json};

use super::limits::DEPTH;

/// Most attributes and elements of all types together; most pairs of an entity type or action with an ancestor; most
/// request environments.
const PARTS: u64 = 200_000;

/// How many parts a type has, and how deep they nest; each name on the way counts as a step.
#[derive(Clone, Copy, Default)]
struct Size {
    parts: u64,
    depth: usize,
}

/// What is too large, and in which way.
type Excess = (String, String);

/// Refuses a schema, in its resolved JSON form, that is too large or nests too deep.
pub(super) fn check(schema: &Json) -> Result<(), Excess> {
    types(schema)?;
    hierarchies(schema)
}

fn types(schema: &Json) -> Result<(), Excess> {
    let namespaces = schema.as_object().into_iter().flatten();
    let mut named: HashMap<String, &Json> = HashMap::new();
    let mut others: Vec<(&str, &Json)> = Vec::new();
    for (namespace, content) in namespaces {
        let part = |key: &str| content.get(key).and_then(Json::as_object).into_iter().flatten();
        for (name, of) in part("commonTypes") {
            named.insert(if namespace.is_empty() { name.clone() } else { format!("{namespace}::{name}") }, of);
        }
        for (name, entity) in part("entityTypes") {
            let of = [entity.get("shape"), entity.get("tags")];
            others.extend(of.into_iter().flatten().map(|of| (name.as_str(), of)));
        }
        for (name, action) in part("actions") {
            others.extend(action.pointer("/appliesTo/context").map(|of| (name.as_str(), of)));
        }
    }
    let mut measure = Measure { named: &named, known: HashMap::new() };
    let mut parts = 0u64;
    for (name, of) in named.iter().map(|(name, of)| (name.as_str(), *of)).chain(others) {
        let name = name.rsplit("::").next().unwrap_or(name);
        let size = measure.of(of, 0);
        if size.depth > DEPTH {
            return Err((name.into(), format!("types within types, deeper than {DEPTH}")));
        }
        parts = parts.saturating_add(size.parts);
        if parts > PARTS {
            return Err((name.into(), format!("more than {PARTS} parts once the names of types are expanded")));
        }
    }
    Ok(())
}

fn list(json: Option<&Json>) -> impl Iterator<Item = &Json> {
    json.and_then(Json::as_array).into_iter().flatten()
}

fn hierarchies(schema: &Json) -> Result<(), Excess> {
    let (mut entities, mut actions, mut environments) = (HashMap::new(), HashMap::new(), 0u64);
    for (namespace, content) in schema.as_object().into_iter().flatten() {
        let part = |key: &str| content.get(key).and_then(Json::as_object).into_iter().flatten();
        let qualified = |name: &str| if namespace.is_empty() { name.into() } else { format!("{namespace}::{name}") };
        for (name, entity) in part("entityTypes") {
            let parents = list(entity.get("memberOfTypes")).filter_map(Json::as_str).map(str::to_owned);
            entities.insert(qualified(name), parents.collect::<Vec<String>>());
        }
        for (name, action) in part("actions") {
            let groups = list(action.get("memberOf")).filter_map(|group| {
                let of = group.get("type").and_then(Json::as_str).map_or_else(|| qualified("Action"), str::to_owned);
                Some(format!("{of}::{}", group.get("id")?.as_str()?))
            });
            actions.insert(format!("{}::{name}", qualified("Action")), groups.collect());
            let types = |key: &str| list(action.pointer(&format!("/appliesTo/{key}"))).count() as u64;
            environments += types("principalTypes").saturating_mul(types("resourceTypes"));
            if environments > PARTS {
                return Err((name.clone(), format!("more than {PARTS} pairs of principal and resource for actions")));
            }
        }
    }
    for (parents, what) in [(entities, "entity types with what they are in"), (actions, "actions with their groups")] {
        if let Some(name) = too_many_ancestors(&parents) {
            let name = name.rsplit("::").next().unwrap_or(name).to_owned();
            return Err((name, format!("more than {PARTS} pairs of {what}, over any number of steps")));
        }
    }
    Ok(())
}

/// A name at which there are too many ancestors, its own and those of the names before it.
fn too_many_ancestors(parents: &HashMap<String, Vec<String>>) -> Option<&str> {
    let mut pairs = 0;
    for start in parents.keys() {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut open: Vec<&str> = vec![start];
        while let Some(name) = open.pop() {
            let above = parents.get(name).into_iter().flatten().map(String::as_str);
            open.extend(above.filter(|parent| seen.insert(parent)));
            if pairs + seen.len() as u64 > PARTS {
                return Some(start);
            }
        }
        pairs += seen.len() as u64;
    }
    None
}

struct Measure<'a> {
    named: &'a HashMap<String, &'a Json>,
    /// None while it is being measured: a type that contains itself is for Cedar to refuse.
    known: HashMap<&'a str, Option<Size>>,
}

impl<'a> Measure<'a> {
    /// `level` bounds the recursion: what is deeper is too deep whatever is in it.
    fn of(&mut self, json: &'a Json, level: usize) -> Size {
        let mut size = Size { parts: 1, depth: 0 };
        if level > DEPTH {
            return Size { depth: DEPTH + 1, ..size };
        }
        let attributes = json.get("attributes").and_then(Json::as_object).into_iter().flat_map(Map::values);
        for inner in attributes.chain(json.get("element")) {
            size.add(self.of(inner, level + 1));
        }
        for name in [json.get("type"), json.get("name")].into_iter().flatten().filter_map(Json::as_str) {
            if let Some((name, of)) = self.named.get_key_value(name) {
                size.add(self.named(name, of, level + 1));
            }
        }
        size
    }

    fn named(&mut self, name: &'a str, of: &'a Json, level: usize) -> Size {
        match self.known.get(name) {
            Some(size) => size.unwrap_or_default(),
            None => {
                self.known.insert(name, None);
                let size = self.of(of, level);
                self.known.insert(name, Some(size));
                size
            }
        }
    }
}

impl Size {
    fn add(&mut self, inner: Size) {
        self.parts = self.parts.saturating_add(inner.parts);
        self.depth = self.depth.max(inner.depth + 1);
    }
}
