//! The schema's types, in a form that entities and contexts can be read by and checked against.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value as Json;

use crate::model::{EntityUid, Value, Word};

/// A type of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Long,
    String,
    Entity(Word),
    Set(Box<Type>),
    Record(RecordType),
    Datetime,
    Duration,
    Decimal,
    Ip,
}

/// A record's attributes. No other attributes are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RecordType {
    pub(crate) fields: BTreeMap<String, Field>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) of: Type,
    pub(crate) required: bool,
}

/// What the schema says of an entity type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntityType {
    /// Its ids are listed; its entities are never stored.
    Enum(Vec<String>),
    Stored {
        name: Word,
        parents: BTreeSet<String>,
        attributes: RecordType,
        tags: Option<Type>,
    },
}

/// What the schema says of an action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ActionType {
    pub(crate) parents: BTreeSet<EntityUid>,
    /// All groups it is in, through any number of steps.
    pub(crate) ancestors: BTreeSet<EntityUid>,
    pub(crate) principals: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) context: RecordType,
}

/// All types of a schema.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Types {
    pub(crate) entities: HashMap<String, EntityType>,
    pub(crate) actions: BTreeMap<EntityUid, ActionType>,
    pub(crate) namespaces: BTreeSet<String>,
}

/// A value or an entity that does not fit its type, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The attribute, with the steps into it: `period.from`.
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Misfit {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "`{}`: {}", self.path, self.message)
        }
    }
}

impl Types {
    /// Reads the resolved JSON form of a schema that Cedar has accepted.
    pub(crate) fn read(schema: &Json) -> Result<Self, String> {
        let mut types = Types::default();
        let namespaces = schema.as_object().ok_or("the schema is no object")?;
        let reader = Reader { namespaces };
        for (namespace, content) in namespaces {
            let qualified = |name: &str| match namespace.as_str() {
                "" => name.to_owned(),
                space => format!("{space}::{name}"),
            };
            types.namespaces.insert(namespace.clone());
            for (name, entity) in object(content, "entityTypes") {
                let name = qualified(name);
                let entity = reader.entity(&name, entity)?;
                types.entities.insert(name, entity);
            }
            for (id, action) in object(content, "actions") {
                let uid = EntityUid::unchecked(qualified("Action"), id.as_str());
                types.actions.insert(uid, reader.action(action, &qualified("Action"))?);
            }
        }
        types.close_action_groups();
        Ok(types)
    }

    fn close_action_groups(&mut self) {
        let direct: BTreeMap<_, _> = self.actions.iter().map(|(u, a)| (u.clone(), a.parents.clone())).collect();
        for action in self.actions.values_mut() {
            let mut open: Vec<EntityUid> = action.parents.iter().cloned().collect();
            while let Some(group) = open.pop() {
                if action.ancestors.insert(group.clone()) {
                    open.extend(direct.get(&group).into_iter().flatten().cloned());
                }
            }
        }
    }

    /// Whether `uid` is an entity of an enumerated type that the schema lists.
    pub(crate) fn is_listed(&self, uid: &EntityUid) -> bool {
        matches!(self.entities.get(uid.type_name()), Some(EntityType::Enum(ids)) if ids.iter().any(|id| id == uid.id()))
    }

    /// Whether the schema declares `context.now: datetime` for this action.
    pub(crate) fn wants_now(&self, action: &EntityUid) -> bool {
        let field = self.actions.get(action).and_then(|a| a.context.fields.get("now"));
        matches!(field, Some(Field { of: Type::Datetime, .. }))
    }

    /// Whether entities of this uid's type exist without being stored: actions and enumerated types.
    pub(crate) fn is_declared_type(&self, uid: &EntityUid) -> bool {
        uid.is_action() || matches!(self.entities.get(uid.type_name()), Some(EntityType::Enum(_)))
    }

    /// Whether `fields` fit the record type.
    fn fits_record(&self, fields: &BTreeMap<String, Value>, of: &RecordType) -> bool {
        // Both are sorted by name.
        let mut own = fields.iter();
        let mut next = own.next();
        for (name, field) in &of.fields {
            match next {
                Some((given, value)) if given == name => {
                    if !self.fits(value, &field.of) {
                        return false;
                    }
                    next = own.next();
                }
                _ if field.required => return false,
                _ => {}
            }
        }
        next.is_none()
    }

    /// Whether `value` fits `of`.
    pub(crate) fn fits(&self, value: &Value, of: &Type) -> bool {
        match (value, of) {
            (Value::Bool(_), Type::Bool)
            | (Value::Long(_), Type::Long)
            | (Value::String(_), Type::String)
            | (Value::Duration(_), Type::Duration)
            | (Value::Decimal(_), Type::Decimal)
            | (Value::Ip(..), Type::Ip) => true,
            (Value::Datetime(at), Type::Datetime) => at.is_in_range(),
            (Value::Entity(uid), Type::Entity(name)) => {
                uid.parts().0 == name
                    && match self.entities.get(uid.type_name()) {
                        Some(EntityType::Enum(ids)) => ids.iter().any(|id| id == uid.id()),
                        _ => true,
                    }
            }
            (Value::Set(items), Type::Set(element)) => items.iter().all(|item| self.fits(item, element)),
            (Value::Record(fields), Type::Record(record)) => self.fits_record(fields, record),
            _ => false,
        }
    }

    /// Where `fields` do not fit the record type, with names for people in `path`.
    pub(crate) fn check_record(
        &self,
        fields: &BTreeMap<String, Value>,
        of: &RecordType,
        path: &str,
        out: &mut Vec<Misfit>,
    ) {
        let join = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        for (name, value) in fields {
            match of.fields.get(name) {
                Some(field) => self.check(value, &field.of, &join(name), out),
                None => {
                    let known = of.fields.keys().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
                    let known = if known.is_empty() { "there are none".into() } else { format!("expected {known}") };
                    out.push(Misfit::new(join(&crate::model::shorten(name)), format!("unknown attribute; {known}")));
                }
            }
        }
        for (name, field) in &of.fields {
            if field.required && !fields.contains_key(name) {
                out.push(Misfit::new(join(name), "required attribute is missing"));
            }
        }
    }

    /// Where `value` does not fit `of`.
    pub(crate) fn check(&self, value: &Value, of: &Type, path: &str, out: &mut Vec<Misfit>) {
        match (value, of) {
            (Value::Datetime(at), Type::Datetime) if !at.is_in_range() => {
                out.push(Misfit::new(path, "the instant is out of the years 0000 to 9999"));
            }
            (Value::Bool(_), Type::Bool)
            | (Value::Long(_), Type::Long)
            | (Value::String(_), Type::String)
            | (Value::Datetime(_), Type::Datetime)
            | (Value::Duration(_), Type::Duration)
            | (Value::Decimal(_), Type::Decimal)
            | (Value::Ip(..), Type::Ip) => {}
            (Value::Entity(uid), Type::Entity(type_name)) if uid.parts().0 == type_name => {
                if let Some(EntityType::Enum(ids)) = self.entities.get(uid.type_name()) {
                    if !ids.iter().any(|id| id == uid.id()) {
                        let message = format!(
                            "unknown {} `{}`; expected one of {}",
                            type_name.rsplit("::").next().unwrap_or(type_name),
                            crate::model::shorten(uid.id()),
                            ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
                        );
                        out.push(Misfit::new(path, message));
                    }
                }
            }
            (Value::Set(items), Type::Set(element)) => {
                items.iter().for_each(|item| self.check(item, element, path, out));
            }
            (Value::Record(fields), Type::Record(record)) => self.check_record(fields, record, path, out),
            _ => out.push(Misfit::new(path, format!("expected {}, found {}", of.word(), value.type_word()))),
        }
    }
}

impl Type {
    pub(crate) fn word(&self) -> String {
        match self {
            Type::Bool => "Bool".into(),
            Type::Long => "Long".into(),
            Type::String => "String".into(),
            Type::Entity(name) => name.to_string(),
            Type::Set(of) => format!("Set<{}>", of.word()),
            Type::Record(_) => "record".into(),
            Type::Datetime => "datetime".into(),
            Type::Duration => "duration".into(),
            Type::Decimal => "decimal".into(),
            Type::Ip => "ipaddr".into(),
        }
    }
}

fn object<'a>(json: &'a Json, key: &str) -> impl Iterator<Item = (&'a String, &'a Json)> {
    json.get(key).and_then(Json::as_object).into_iter().flatten()
}

fn names(json: Option<&Json>) -> impl Iterator<Item = &str> {
    json.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
}

struct Reader<'a> {
    namespaces: &'a serde_json::Map<String, Json>,
}

impl Reader<'_> {
    fn entity(&self, name: &str, json: &Json) -> Result<EntityType, String> {
        if json.get("enum").is_some() {
            return Ok(EntityType::Enum(names(json.get("enum")).map(str::to_owned).collect()));
        }
        let attributes = match json.get("shape") {
            Some(shape) => self.record(shape)?,
            None => RecordType::default(),
        };
        Ok(EntityType::Stored {
            name: name.into(),
            parents: names(json.get("memberOfTypes")).map(str::to_owned).collect(),
            attributes,
            tags: json.get("tags").map(|t| self.of(t)).transpose()?,
        })
    }

    fn action(&self, json: &Json, action_type: &str) -> Result<ActionType, String> {
        let mut action = ActionType::default();
        for group in json.get("memberOf").and_then(Json::as_array).into_iter().flatten() {
            let id = group.get("id").and_then(Json::as_str).ok_or("an action group has no id")?;
            let of = group.get("type").and_then(Json::as_str).unwrap_or(action_type);
            action.parents.insert(EntityUid::unchecked(of, id));
        }
        if let Some(applies) = json.get("appliesTo") {
            action.principals = names(applies.get("principalTypes")).map(str::to_owned).collect();
            action.resources = names(applies.get("resourceTypes")).map(str::to_owned).collect();
            if let Some(context) = applies.get("context") {
                action.context = self.record(context)?;
            }
        }
        Ok(action)
    }

    fn record(&self, json: &Json) -> Result<RecordType, String> {
        match self.of(json)? {
            Type::Record(record) => Ok(record),
            other => Err(format!("expected a record type, found {}", other.word())),
        }
    }

    fn of(&self, json: &Json) -> Result<Type, String> {
        let word = json.get("type").and_then(Json::as_str).ok_or("a type has no name")?;
        let name = || json.get("name").and_then(Json::as_str).ok_or("a type has no name");
        Ok(match word {
            "Record" => {
                let mut record = RecordType::default();
                for (field, of) in object(json, "attributes") {
                    let required = of.get("required").and_then(Json::as_bool).unwrap_or(true);
                    record.fields.insert(field.clone(), Field { of: self.of(of)?, required });
                }
                Type::Record(record)
            }
            "Set" => Type::Set(Box::new(self.of(json.get("element").ok_or("a set has no element type")?)?)),
            "Entity" => Type::Entity(name()?.into()),
            "Extension" | "EntityOrCommon" => self.named(name()?)?,
            name => self.named(name)?,
        })
    }

    fn named(&self, name: &str) -> Result<Type, String> {
        let (space, base) = name.rsplit_once("::").unwrap_or(("", name));
        let common = self.namespaces.get(space).and_then(|n| n.get("commonTypes")).and_then(|c| c.get(base));
        if let Some(common) = common {
            return self.of(common);
        }
        match name.strip_prefix("__cedar::").unwrap_or(name) {
            "Bool" | "Boolean" => Ok(Type::Bool),
            "Long" => Ok(Type::Long),
            "String" => Ok(Type::String),
            "datetime" => Ok(Type::Datetime),
            "duration" => Ok(Type::Duration),
            "decimal" => Ok(Type::Decimal),
            "ipaddr" => Ok(Type::Ip),
            _ => Err(format!("unknown type `{name}`")),
        }
    }
}
