//! Cedar's entity JSON and request JSON → entities and requests, guided by the schema's types.

use std::collections::BTreeMap;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::error::Faults;
use super::EntityError;
use crate::bundle::types::{EntityType, Misfit, RecordType, Type, Types};
use crate::bundle::{Bundle, ErrorMode};
use crate::model::json::Json;
use crate::model::{
    is_name, parse_decimal, parse_duration, parse_ip, shorten, Context, Entity, EntityUid, Request, RequestError,
    Resource, Timestamp, Value, Word,
};

/// Called with the number of entities read so far.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(usize);

/// Reads an array of entities, one after the other: neither the text nor the entities are held as a whole. Those that
/// can be read are given to `each` with their place, counted from `first`; the others are the faults.
pub(super) fn read_entities(
    bundle: &Bundle,
    reader: impl Read,
    first: usize,
    progress: Progress<'_>,
    each: &mut dyn FnMut(usize, Entity),
) -> Faults {
    let mut list = List { entities: EntityReader { read: first, ..EntityReader::new(bundle) }, progress, each };
    let mut json = serde_json::Deserializer::from_reader(std::io::BufReader::with_capacity(1 << 16, reader));
    let outcome = (&mut list).deserialize(&mut json).and_then(|()| json.end());
    let List { mut entities, .. } = list;
    if let Err(error) = outcome {
        let place = (error.line() > 0).then_some(entities.read);
        entities.faults.push(place, None, error.to_string());
    }
    entities.faults
}

struct List<'a> {
    entities: EntityReader<'a>,
    progress: Progress<'a>,
    each: &'a mut dyn FnMut(usize, Entity),
}

impl<'de> DeserializeSeed<'de> for &mut List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of entities")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(json) = seq.next_element::<Json>()? {
            if let Some((place, entity)) = self.entities.next(&json) {
                (self.each)(place, entity);
            }
            if self.entities.read.is_multiple_of(4096) {
                (self.progress)(self.entities.read);
            }
        }
        (self.progress)(self.entities.read);
        Ok(())
    }
}

/// Reads entities one after the other, and reports all bad ones together.
#[derive(Debug)]
pub struct EntityReader<'a> {
    types: Option<&'a Types>,
    names: Names,
    faults: Faults,
    out: Vec<Entity>,
    read: usize,
}

impl<'a> EntityReader<'a> {
    /// Reads entities in Cedar's entity JSON, with the bundle's schema telling the types.
    pub fn new(bundle: &'a Bundle) -> Self {
        let (types, names) = (bundle.inner.types.as_deref(), Names::of(bundle));
        Self { types, names, faults: Faults::default(), out: Vec::new(), read: 0 }
    }

    /// Reads the next one.
    pub fn push(&mut self, json: &Json) {
        let entity = self.next(json);
        self.out.extend(entity.map(|(_, entity)| entity));
    }

    /// Reads the next one, with its place; none where it cannot be read.
    fn next(&mut self, json: &Json) -> Option<(usize, Entity)> {
        let place = self.read;
        self.read += 1;
        match self.names.entity(json, self.types) {
            Ok(entity) => Some((place, entity)),
            Err((uid, misfits)) => {
                misfits.iter().for_each(|m| self.faults.push(Some(place), uid.as_ref(), m.to_string()));
                None
            }
        }
    }

    /// Reports the next one as unreadable.
    pub fn refuse(&mut self, message: &str) {
        self.faults.push(Some(self.read), None, message);
        self.read += 1;
    }

    /// The entities. Whether they fit the schema is checked where they are used.
    ///
    /// # Errors
    /// When one has not the shape of an entity.
    pub fn finish(self) -> Result<Vec<Entity>, EntityError> {
        self.faults.finish().map(|()| self.out)
    }
}

/// Reads what has no place in a list: uids, values, single entities.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Whether all of Cedar's instants are read, not only those that people can write.
    any_instant: bool,
}

/// Why an entity cannot be read.
pub(super) type Refusal = (Option<EntityUid>, Vec<Misfit>);

impl Names {
    pub(super) fn of(bundle: &Bundle) -> Self {
        Self { any_instant: bundle.mode() == ErrorMode::Cedar }
    }

    fn uid(&mut self, type_name: &str, id: &str) -> Result<EntityUid, String> {
        let name = Word::from(type_name);
        if !name.is_name() {
            return Err(format!("`{}` is not a type name such as `Grc::Member`", shorten(type_name)));
        }
        Ok(EntityUid::unchecked(name, id))
    }

    /// `{"type", "id"}`, bare or under `__entity`; a text where `text` is allowed.
    fn uid_json(&mut self, json: &Json, text: bool) -> Result<EntityUid, String> {
        match json {
            Json::String(uid) if text => uid.parse().map_err(|e: crate::UidError| e.to_string()),
            Json::Typed(Value::Entity(uid)) => Ok(uid.clone()),
            Json::Object(fields) => {
                if let [(key, inner @ Json::Object(_))] = fields.as_slice() {
                    if key == "__entity" {
                        return self.uid_json(inner, false);
                    }
                }
                json.fields("the uid", &["type", "id"])?;
                match (json.get("type"), json.get("id")) {
                    (Some(Json::String(type_name)), Some(Json::String(id))) => self.uid(type_name, id),
                    _ => Err("expected `{\"type\": …, \"id\": …}` with two texts".into()),
                }
            }
            other if text => Err(format!("expected a uid as a text or `{{\"type\", \"id\"}}`, found {}", other.kind())),
            other => Err(format!("expected `{{\"type\", \"id\"}}`, found {}", other.kind())),
        }
    }

    fn part(&mut self, part: Part<'_>) -> Result<EntityUid, String> {
        match part {
            Part::Text(text) => text.parse().map_err(|e: crate::UidError| e.to_string()),
            Part::Uid(uid) => Ok(uid.clone()),
            Part::Json(json) => self.uid_json(json, true),
        }
    }

    pub(super) fn entity(&mut self, json: &Json, types: Option<&Types>) -> Result<Entity, Refusal> {
        let fail = |message: String| (None, vec![Misfit::new("", message)]);
        json.fields("the entity", &["uid", "attrs", "parents", "tags"]).map_err(fail)?;
        let uid = json.get("uid").ok_or_else(|| fail("the entity has no `uid`".into()))?;
        let uid = self.uid_json(uid, false).map_err(|e| (None, vec![Misfit::new("uid", e)]))?;
        let mut misfits = Vec::new();
        let (attributes_type, tags_type) = match types.and_then(|t| t.entities.get(uid.type_name())) {
            Some(EntityType::Stored { attributes, tags, .. }) => (Some(attributes), tags.as_ref()),
            _ => (None, None),
        };
        let mut entity = Entity::new(uid.clone());
        for (key, hint) in [("attrs", None), ("tags", tags_type)] {
            let fields = match json.get(key) {
                None => continue,
                Some(Json::Object(fields)) => fields,
                Some(other) => {
                    misfits.push(Misfit::new(key, format!("expected an object, found {}", other.kind())));
                    continue;
                }
            };
            for (name, value) in fields {
                let own = attributes_type.and_then(|r| r.fields.get(name)).map(|f| &f.of);
                let hint = if key == "attrs" { own } else { hint };
                match self.value(value, hint, &shorten(name), 0) {
                    Ok(value) if key == "attrs" => entity = entity.with(name, value),
                    Ok(value) => entity = entity.with_tag(name, value),
                    Err(misfit) => misfits.push(misfit),
                }
            }
        }
        match json.get("parents") {
            None => {}
            Some(Json::Array(parents)) => {
                for parent in parents {
                    match self.uid_json(parent, false) {
                        Ok(parent) => entity = entity.with_parent(parent),
                        Err(e) => misfits.push(Misfit::new("parents", e)),
                    }
                }
            }
            Some(other) => misfits.push(Misfit::new("parents", format!("expected an array, found {}", other.kind()))),
        }
        if misfits.is_empty() {
            Ok(entity)
        } else {
            Err((Some(uid), misfits))
        }
    }

    /// A value, with the schema's type as a hint for what JSON alone does not tell.
    pub(super) fn value(
        &mut self,
        json: &Json,
        hint: Option<&Type>,
        path: &str,
        depth: usize,
    ) -> Result<Value, Misfit> {
        let fail = |message: String| Err(Misfit::new(path, message));
        if depth > Value::DEPTH {
            return fail(format!("nested deeper than {}", Value::DEPTH));
        }
        match (json, hint) {
            (Json::Null, _) => fail("null is not a value; leave the attribute out".into()),
            (Json::Bool(b), _) => Ok(Value::Bool(*b)),
            (Json::Long(n), _) => Ok(Value::Long(*n)),
            (Json::Typed(value), _) => Ok(value.clone()),
            (Json::String(text), Some(Type::Datetime | Type::Duration | Type::Decimal | Type::Ip)) => {
                let function = match hint {
                    Some(Type::Datetime) => "datetime",
                    Some(Type::Duration) => "duration",
                    Some(Type::Decimal) => "decimal",
                    _ => "ip",
                };
                self.extension(function, text).or_else(fail)
            }
            (Json::String(text), _) => Ok(Value::String(text.clone())),
            (Json::Array(items), _) => {
                let element = match hint {
                    Some(Type::Set(element)) => Some(&**element),
                    _ => None,
                };
                let items = items.iter().map(|item| self.value(item, element, path, depth + 1));
                Ok(Value::Set(items.collect::<Result<_, _>>()?))
            }
            (Json::Object(fields), _) => {
                if let [(key, inner)] = fields.as_slice() {
                    match key.as_str() {
                        "__entity" => return self.uid_json(inner, false).map(Value::Entity).or_else(fail),
                        "__extn" => return self.extension_json(inner).or_else(fail),
                        "__expr" => return fail("`__expr` is not supported".into()),
                        _ => {}
                    }
                }
                match hint {
                    Some(Type::Entity(_)) => self.uid_json(json, false).map(Value::Entity).or_else(fail),
                    Some(Type::Datetime | Type::Duration | Type::Decimal | Type::Ip) => {
                        self.extension_json(json).or_else(fail)
                    }
                    _ => {
                        let record = match hint {
                            Some(Type::Record(record)) => Some(record),
                            _ => None,
                        };
                        self.record(fields, record, path, depth).map(Value::Record)
                    }
                }
            }
        }
    }

    fn record(
        &mut self,
        fields: &[(String, Json)],
        hint: Option<&RecordType>,
        path: &str,
        depth: usize,
    ) -> Result<BTreeMap<String, Value>, Misfit> {
        let mut out = BTreeMap::new();
        for (name, json) in fields {
            let hint = hint.and_then(|r| r.fields.get(name)).map(|f| &f.of);
            let path = if path.is_empty() { shorten(name) } else { format!("{path}.{}", shorten(name)) };
            out.insert(name.clone(), self.value(json, hint, &path, depth + 1)?);
        }
        Ok(out)
    }

    fn extension_json(&self, json: &Json) -> Result<Value, String> {
        const WHAT: &str = "the extension value";
        if let Some(Json::Array(args)) = json.get("args") {
            json.fields(WHAT, &["fn", "args"])?;
            return self.offset(json.get("fn"), args);
        }
        json.fields(WHAT, &["fn", "arg"])?;
        match (json.get("fn"), json.get("arg")) {
            (Some(Json::String(function)), Some(Json::String(arg))) => self.extension(function, arg),
            _ => Err("expected `{\"fn\": …, \"arg\": …}` with two texts".into()),
        }
    }

    /// `{"fn": "offset", "args": [datetime, duration]}`: how Cedar writes instants beyond the years 0000 to 9999.
    fn offset(&self, function: Option<&Json>, args: &[Json]) -> Result<Value, String> {
        let extension = |arg: &Json| match arg {
            Json::Object(fields) => match fields.as_slice() {
                [(key, inner)] if key == "__extn" => self.extension_json(inner),
                _ => Err("expected `{\"__extn\": …}`".to_owned()),
            },
            other => Err(format!("expected `{{\"__extn\": …}}`, found {}", other.kind())),
        };
        let (Some(Json::String(name)), [start, by]) = (function, args) else {
            return Err("expected `offset` and its two `args`".into());
        };
        match (name.as_str(), extension(start)?, extension(by)?) {
            ("offset", Value::Datetime(start), Value::Duration(by)) => {
                let at = start.millis().checked_add(by).map(Timestamp::any);
                let at = at.filter(|at| self.any_instant || at.is_in_range());
                at.map(Value::Datetime).ok_or_else(|| "the instant is out of the years 0000 to 9999".into())
            }
            _ => Err("expected `offset` of a datetime and a duration".into()),
        }
    }

    fn extension(&self, function: &str, arg: &str) -> Result<Value, String> {
        let value = match function {
            "datetime" if self.any_instant => Timestamp::parse_any(arg).map(Value::Datetime),
            "datetime" => Timestamp::parse(arg).map(Value::Datetime),
            "duration" => parse_duration(arg).map(Value::Duration),
            "decimal" => parse_decimal(arg).map(Value::Decimal),
            "ip" => parse_ip(arg).map(|(address, prefix)| Value::Ip(address, prefix)),
            other => return Err(format!("unknown extension `{}`", shorten(other))),
        };
        let form = match function {
            "datetime" => "`2026-03-01T09:30:00.250Z`, not finer than a millisecond, in the years 0000 to 9999",
            "duration" => "`1d2h3m4s5ms`",
            "decimal" => "`12.3456`, with one to four places",
            _ => "`192.0.2.0/24`",
        };
        value.ok_or_else(|| format!("`{}` is no {function}; expected a form such as {form}", shorten(arg)))
    }
}

/// Reads one entity in Cedar's entity JSON, with the bundle's schema telling the types.
///
/// # Errors
/// When it has not the shape of an entity; whether it fits the schema is checked where it is used.
pub fn entity_from_json(bundle: &Bundle, json: &serde_json::Value) -> Result<Entity, EntityError> {
    entity_from_tree(bundle, &tree(json)?)
}

fn tree(json: &serde_json::Value) -> Result<Json, EntityError> {
    // Numbers that are no 64-bit integers must be refused by name, not read as null.
    Json::parse(json.to_string().as_bytes()).map_err(EntityError::of)
}

fn entity_from_tree(bundle: &Bundle, json: &Json) -> Result<Entity, EntityError> {
    Names::of(bundle).entity(json, bundle.inner.types.as_deref()).map_err(|(uid, misfits)| {
        let mut faults = Faults::default();
        misfits.iter().for_each(|m| faults.push(None, uid.as_ref(), m.to_string()));
        faults.finish().err().unwrap_or_else(|| EntityError::of("not an entity"))
    })
}

/// Reads a request: `{"principal", "action", "resource", "context"}`.
///
/// A bare action id such as `approve` is understood where the bundle declares the namespace `Grc`.
///
/// # Errors
/// When it has not the shape of a request: an unknown or repeated key, a wrong type, a value out of range.
pub fn request_from_json(bundle: &Bundle, text: &str) -> Result<Request, RequestError> {
    request_from_tree(bundle, &Json::parse(text.as_bytes()).map_err(RequestError::new)?)
}

pub(crate) fn request_from_tree(bundle: &Bundle, json: &Json) -> Result<Request, RequestError> {
    json.fields("the request", &["principal", "action", "resource", "context"]).map_err(RequestError::new)?;
    let part = |key: &str| {
        let part = json.get(key).map(Part::Json);
        part.ok_or_else(|| RequestError::new(format!("the request has no `{key}`")))
    };
    request_from_parts(bundle, part("principal")?, part("action")?, part("resource")?, json.get("context"))
}

/// A principal, action or resource as a program has it at hand.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// A uid's text; for an action also its bare id.
    Text(&'a str),
    /// A uid.
    Uid(&'a EntityUid),
    /// What a request file holds: a uid as a text or an object; for a resource also a whole entity.
    Json(&'a Json),
}

/// Reads a request whose parts are at hand, as [`request_from_json`] does from a text.
///
/// # Errors
/// As [`request_from_json`].
pub fn request_from_parts(
    bundle: &Bundle,
    principal: Part<'_>,
    action: Part<'_>,
    resource: Part<'_>,
    context: Option<&Json>,
) -> Result<Request, RequestError> {
    let at = |key: &str, message: &dyn std::fmt::Display| RequestError::new(format!("`{key}`: {message}"));
    let mut names = Names::of(bundle);
    let principal = names.part(principal).map_err(|e| at("principal", &e))?;
    let action = match action {
        Part::Text(id) if is_name(id) => bare_action(bundle, id)?,
        Part::Json(Json::String(id)) if is_name(id) => bare_action(bundle, id)?,
        other => names.part(other).map_err(|e| at("action", &e))?,
    };
    let resource = match resource {
        Part::Json(json) if json.get("uid").is_some() => {
            let entity = entity_from_tree(bundle, json);
            Resource::Inline(Box::new(entity.map_err(|e| at("resource", &e.to_string().replace('\n', "; ")))?))
        }
        other => names.part(other).map_err(|e| at("resource", &e))?.into(),
    };
    let types = bundle.inner.types.as_deref().and_then(|t| t.actions.get(&action));
    let context = match context {
        None => Context::default(),
        Some(Json::Object(fields)) => {
            let context = names.record(fields, types.map(|a| &a.context), "", 0);
            context.map_err(|e| at("context", &e))?.into_iter().collect()
        }
        Some(other) => return Err(at("context", &format!("expected an object, found {}", other.kind()))),
    };
    Ok(Request::new(principal, action, resource).with_context(context))
}

/// Reads a uid: its text, or `{"type", "id"}`.
///
/// # Errors
/// When it is neither.
pub fn uid_from_tree(json: &Json) -> Result<EntityUid, RequestError> {
    Names::default().uid_json(json, true).map_err(RequestError::new)
}

fn bare_action(bundle: &Bundle, id: &str) -> Result<EntityUid, RequestError> {
    let known = |uids: &[EntityUid]| uids.iter().map(|u| format!("`{u}`")).collect::<Vec<_>>().join(", ");
    let types = bundle.inner.types.as_deref();
    if bundle.is_grc() {
        let uid = EntityUid::unchecked("Grc::Action", id);
        if let Some((uid, _)) = types.and_then(|t| t.actions.get_key_value(&uid)) {
            return Ok(uid.clone());
        }
        let actions = bundle.actions();
        let ids = actions.iter().map(|u| format!("`{}`", u.id())).collect::<Vec<_>>().join(", ");
        return Err(RequestError::new(format!("`action`: unknown action `{}`; the actions are {ids}", shorten(id))));
    }
    let actions = bundle.actions();
    Err(RequestError::new(format!(
        "`action`: `{}` is not a uid such as `App::Action::\"view\"`; the actions are {}",
        shorten(id),
        if actions.is_empty() { "not known without a schema".into() } else { known(&actions) }
    )))
}
