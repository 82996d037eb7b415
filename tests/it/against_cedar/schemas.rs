//! The schemas that random policies are written for, and what they declare, as Cedar's own JSON form tells: a further
//! schema is one more text.

use std::collections::BTreeMap;

use serde_json::{json, Map, Value as Json};

/// One namespace, with everything that a schema can have.
const ONE_NAMESPACE: &str = r#"
namespace A {
  type Box = { n?: Long, s?: String, inner?: { u?: User, when?: datetime } };
  entity Color enum ["red", "green"];
  entity Group in [Group] = { owner?: User, level?: Long };
  entity User in [Group] = {
    age?: Long, name?: String, on?: Bool, color?: Color, boss?: User, friends?: Set<User>, nums?: Set<Long>,
    words?: Set<String>, box?: Box, born?: datetime, span?: duration, rate?: decimal, from?: ipaddr,
    times?: Set<datetime>, boxes?: Set<{ n: Long }>
  } tags Long;
  entity Doc in [Folder] = { owner?: User, size?: Long, open?: Bool, label?: String, color?: Color, readers?: Set<User> }
    tags String;
  entity Folder in [Folder];
  action all;
  action reading in [all];
  action view, list in [reading] appliesTo {
    principal: [User], resource: [Doc, Folder],
    context: { n?: Long, s?: String, ok?: Bool, who?: User, at?: datetime, ip?: ipaddr, more?: { n?: Long, u?: User },
      list?: Set<User>, rate?: decimal, span?: duration } };
  action edit in [all] appliesTo { principal: [User, Group], resource: [Doc], context: { n?: Long, who?: User } };
}
"#;

/// No namespace; common types within common types; required attributes, and names that must be quoted.
const NO_NAMESPACE: &str = r#"
type Money = { amount: Long, rate?: decimal, paid?: { on: datetime, by?: Account } };
type Contact = { mail: String, host?: ipaddr, next?: Account, costs?: Money };
type Marks = Set<String>;
type Asking = { reason: String, urgent: Bool, "for whom"?: Account, costs?: Money, at?: datetime, from?: ipaddr,
  marks?: Marks, within?: duration };
entity Plan enum ["free", "team plan", "q\"uote", "free"];
entity Account in [Account, Team] = {
  active: Bool, plan: Plan, contact: Contact, "odd name"?: Long, "if"?: Bool, parent?: Account, marks: Marks,
  limits: Set<Long>, since: datetime, trial?: duration, score?: decimal
} tags { n: Long };
entity Team in [Plan] = { lead: Account, size: Long, members: Set<Account>, "like \"this\""?: String };
entity Bill in [Account] = {
  total: Money, of: Account, open: Bool, plan?: Plan, lines: Set<Money>, due?: datetime, net?: ipaddr, seen: Set<Team>
} tags Set<String>;
action "read it", pay in [anything] appliesTo { principal: [Account], resource: [Bill, Account], context: Asking };
action close in [pay, anything] appliesTo { principal: [Account, Team], resource: [Bill] };
action anything;
"#;

/// Several namespaces, types in parents of several types, and actions for many types, in groups of other namespaces.
const NAMESPACES: &str = r#"
namespace Org {
  entity Unit in [Unit] = { head?: Person, rank?: Long, site?: ipaddr };
  entity Role enum ["clerk", "chief", "guest"];
  entity Person in [Unit, Org::Deep::Ring, Role] = {
    role: Role, unit?: Unit, on?: Bool, level: Long, name?: String, peers?: Set<Person> } tags Bool;
  action any;
}
namespace Org::Deep {
  entity Ring in [Org::Unit, Ring] = { of?: Org::Unit, width?: decimal, open?: Bool };
}
namespace Shop {
  type Line = { item: String, count: Long, price?: decimal, stage?: Stage };
  entity Stage enum ["open", "paid", "shut"];
  entity Segment in [Segment];
  entity Client in [Segment, Org::Unit] = { agent?: Org::Person, since?: datetime, pays?: Bool, words?: Set<String> };
  entity Service = { home?: Org::Unit, quota?: Long } tags duration;
  entity Basket in [Client] = { stage?: Stage, lines?: Set<Line>, kept?: duration };
  entity Order in [Basket, Client, Stage] = { stage: Stage, first: Line, buyer?: Client, total?: Long, sent?: datetime,
    role?: Org::Role } tags Org::Person;
  action every in [Org::Action::"any"];
  action look in [every, Org::Action::"any"];
  action buy, refund in [every] appliesTo {
    principal: [Client, Org::Person, Service], resource: [Order, Basket, Client, Org::Unit],
    context: { agent?: Org::Person, stage?: Stage, count?: Long, ip?: ipaddr, line?: Line } };
  action move in [look] appliesTo {
    principal: [Org::Person, Org::Deep::Ring], resource: [Org::Unit, Org::Deep::Ring, Order],
    context: { to?: Org::Unit, rings?: Set<Org::Deep::Ring>, now?: datetime } };
}
"#;

/// More attributes than are numbered, of every type, and records five deep.
fn wide() -> String {
    const TYPES: [&str; 11] = [
        "Long",
        "Bool",
        "Person",
        "String",
        "Set<Person>",
        "Kind",
        "datetime",
        "Set<Long>",
        "duration",
        "decimal",
        "ipaddr",
    ];
    let many: Vec<String> = (0..88).map(|n| format!("a{n:02}?: {}", TYPES[n % TYPES.len()])).collect();
    let (few, many) = (many[..22].join(", "), many.join(", "));
    format!(
        r#"
        entity Kind enum ["k0", "k1", "k2", "k3", "k4"];
        entity Rack in [Rack];
        entity Person in [Rack] = {{ {many},
          zone?: {{ a?: {{ b?: {{ c?: {{ d?: {{ n?: Long, p?: Person }} }} }} }} }} }};
        entity Asset in [Rack, Person] = {{ {many},
          deep?: {{ p?: Person, a?: {{ b?: {{ k?: Kind, n?: Long }} }} }} }} tags String;
        action use, keep appliesTo {{ principal: Person, resource: [Asset, Rack],
          context: {{ {few}, deep?: {{ a?: {{ b?: {{ c?: {{ n?: Long, p?: Person }} }} }} }} }} }};
        "#
    )
}

/// Kinds of expressions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Bool,
    Long,
    Text,
    Entity,
    Entities,
    /// Sets of numbers or of records.
    Longs,
    /// Sets of texts or of instants.
    Texts,
    Record,
    Datetime,
    Duration,
    Decimal,
    Ip,
}

pub const KINDS: [Kind; 12] = [
    Kind::Bool,
    Kind::Long,
    Kind::Text,
    Kind::Entity,
    Kind::Entities,
    Kind::Longs,
    Kind::Texts,
    Kind::Record,
    Kind::Datetime,
    Kind::Duration,
    Kind::Decimal,
    Kind::Ip,
];

/// A declared type.
#[derive(Clone, Debug)]
pub enum Type {
    Entity(String),
    Set(Box<Type>),
    Record(Fields),
    /// Any other.
    Plain(Kind),
}

pub type Fields = Vec<(String, Type)>;

impl Type {
    pub fn kind(&self) -> Kind {
        match self {
            Type::Entity(_) => Kind::Entity,
            Type::Set(of) => match of.kind() {
                Kind::Entity => Kind::Entities,
                Kind::Long | Kind::Record => Kind::Longs,
                _ => Kind::Texts,
            },
            Type::Record(_) => Kind::Record,
            Type::Plain(kind) => *kind,
        }
    }
}

/// Where attributes are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    Principal,
    Resource,
    Context,
    Record,
    Entity,
}

/// An entity that texts may name.
pub struct Uid {
    pub of: String,
    pub id: String,
    pub text: String,
    pub cedar: cedar_policy::EntityUid,
}

impl Uid {
    fn new(of: &str, id: &str) -> Self {
        let name = of.parse().expect("a type name");
        let cedar = cedar_policy::EntityUid::from_type_name_and_id(name, cedar_policy::EntityId::new(id));
        Self { of: of.into(), id: id.into(), text: format!("{of}::{id:?}"), cedar }
    }

    pub fn json(&self) -> Json {
        json!({"type": self.of, "id": self.id})
    }
}

/// What a schema says of an entity type.
pub struct EntityType {
    pub name: String,
    /// Whether the schema lists its entities.
    pub listed: bool,
    pub parents: Vec<String>,
    pub attributes: Fields,
    pub tags: Option<Type>,
}

pub struct Action {
    pub uid: usize,
    pub groups: Vec<String>,
    pub principals: Vec<String>,
    pub resources: Vec<String>,
    pub context: Fields,
}

pub struct Schema {
    pub name: &'static str,
    pub text: String,
    pub cedar: cedar_policy::Schema,
    pub types: Vec<EntityType>,
    pub actions: Vec<Action>,
    /// Entities of all types, actions, and some that nothing declares.
    pub uids: Vec<Uid>,
    /// Attributes whose values the schema lists: where, its name, the values' type.
    pub listed: Vec<(Place, String, String)>,
    names: BTreeMap<(Place, Kind), Vec<String>>,
}

/// How many entities there are of a type that lists none. The last is never stored.
const OF_A_TYPE: [&str; 4] = ["a", "b c", "d\"e", "nobody"];

pub fn all() -> Vec<Schema> {
    let texts = [
        ("one namespace", ONE_NAMESPACE.to_owned()),
        ("no namespace", NO_NAMESPACE.to_owned()),
        ("namespaces", NAMESPACES.to_owned()),
        ("wide", wide()),
    ];
    texts.into_iter().map(|(name, text)| Schema::read(name, text)).collect()
}

impl Schema {
    fn read(name: &'static str, text: String) -> Self {
        let (json, _) = cedar_policy::schema_str_to_json_with_resolved_types(&text).expect("a schema");
        let (cedar, _) = cedar_policy::Schema::from_cedarschema_str(&text).expect("a schema");
        let namespaces = json.as_object().expect("an object");
        let mut schema = Self {
            name,
            text,
            cedar,
            types: Vec::new(),
            actions: Vec::new(),
            uids: Vec::new(),
            listed: Vec::new(),
            names: BTreeMap::new(),
        };
        let mut listed = Vec::new();
        for (namespace, content) in namespaces {
            let qualified = |name: &str| match namespace.as_str() {
                "" => name.to_owned(),
                space => format!("{space}::{name}"),
            };
            for (name, entity) in fields(content, "entityTypes") {
                let ids = strings(entity, "enum");
                let is_listed = !ids.is_empty();
                listed.extend(ids.iter().map(|id| Uid::new(&qualified(name), id)));
                schema.types.push(EntityType {
                    name: qualified(name),
                    listed: is_listed,
                    parents: strings(entity, "memberOfTypes"),
                    attributes: entity.get("shape").map_or_else(Vec::new, |shape| record(namespaces, shape)),
                    tags: entity.get("tags").map(|tags| of(namespaces, tags)),
                });
            }
        }
        // Row by row, so that an entity of each type can be in a later one of any type.
        for id in OF_A_TYPE {
            schema.uids.extend(schema.types.iter().filter(|t| !t.listed).map(|t| Uid::new(&t.name, id)));
        }
        schema.uids.extend(listed);
        for (namespace, content) in namespaces {
            let kind = if namespace.is_empty() { "Action".to_owned() } else { format!("{namespace}::Action") };
            for (id, action) in fields(content, "actions") {
                let applies = action.get("appliesTo").unwrap_or(&Json::Null);
                let groups = action.get("memberOf").and_then(Json::as_array).into_iter().flatten();
                let group = |g: &Json| {
                    let of = g.get("type").and_then(Json::as_str).unwrap_or(&kind);
                    Uid::new(of, g["id"].as_str().expect("an id")).text
                };
                schema.actions.push(Action {
                    uid: schema.uids.len(),
                    groups: groups.map(group).collect(),
                    principals: strings(applies, "principalTypes"),
                    resources: strings(applies, "resourceTypes"),
                    context: applies.get("context").map_or_else(Vec::new, |context| record(namespaces, context)),
                });
                schema.uids.push(Uid::new(&kind, id));
            }
        }
        let action = schema.uids[schema.actions[0].uid].of.clone();
        schema.uids.extend([Uid::new(&action, "unheard of"), Uid::new("Stranger", "x")]);
        schema.index();
        schema
    }

    /// Finds out which attributes there are of each kind, and where.
    fn index(&mut self) {
        let mut all: Vec<(Place, &Fields)> = Vec::new();
        for of in &self.types {
            let asks = |types: fn(&Action) -> &[String]| self.actions.iter().any(|a| types(a).contains(&of.name));
            let places = [(Place::Principal, asks(|a| &a.principals)), (Place::Resource, asks(|a| &a.resources))];
            all.push((Place::Entity, &of.attributes));
            all.extend(places.into_iter().filter(|(_, is)| *is).map(|(place, _)| (place, &of.attributes)));
        }
        all.extend(self.actions.iter().map(|a| (Place::Context, &a.context)));
        while let Some((place, fields)) = all.pop() {
            for (name, of) in fields {
                let names = self.names.entry((place, of.kind())).or_default();
                if !names.contains(name) {
                    names.push(name.clone());
                }
                match of {
                    Type::Record(inner) => all.push((Place::Record, inner)),
                    Type::Entity(to) if self.types.iter().any(|t| t.name == *to && t.listed) => {
                        self.listed.push((place, name.clone(), to.clone()));
                    }
                    _ => {}
                }
            }
        }
    }

    /// The attributes of a kind that are in a place; where there is none, those that are anywhere.
    pub fn names(&self, place: Place, kind: Kind) -> Vec<&str> {
        let own = self.names.get(&(place, kind)).into_iter().flatten();
        let own: Vec<&str> = own.map(String::as_str).collect();
        if own.is_empty() {
            self.names_anywhere(kind)
        } else {
            own
        }
    }

    pub fn names_anywhere(&self, kind: Kind) -> Vec<&str> {
        let all = self.names.iter().filter(|((_, of), _)| *of == kind).flat_map(|(_, names)| names);
        all.map(String::as_str).chain(["undeclared"]).collect()
    }

    pub fn entity_type(&self, name: &str) -> Option<&EntityType> {
        self.types.iter().find(|t| t.name == name)
    }

    /// Where in `uids` the entities of these types are; all of them where there is none.
    pub fn uids_of(&self, types: &[String]) -> Vec<usize> {
        let own: Vec<usize> = (0..self.uids.len()).filter(|at| types.contains(&self.uids[*at].of)).collect();
        if own.is_empty() {
            (0..self.uids.len()).collect()
        } else {
            own
        }
    }

    /// The types of all principals, or of all resources, of all actions.
    pub fn types_of(&self, of: fn(&Action) -> &Vec<String>) -> Vec<String> {
        let mut types: Vec<String> = self.actions.iter().flat_map(of).cloned().collect();
        types.sort();
        types.dedup();
        types
    }
}

fn fields<'a>(json: &'a Json, key: &str) -> impl Iterator<Item = (&'a String, &'a Json)> {
    json.get(key).and_then(Json::as_object).into_iter().flatten()
}

fn strings(json: &Json, key: &str) -> Vec<String> {
    let items = json.get(key).and_then(Json::as_array).into_iter().flatten();
    items.filter_map(Json::as_str).map(str::to_owned).collect()
}

fn record(namespaces: &Map<String, Json>, json: &Json) -> Fields {
    match of(namespaces, json) {
        Type::Record(fields) => fields,
        other => panic!("{other:?} is no record"),
    }
}

fn of(namespaces: &Map<String, Json>, json: &Json) -> Type {
    let name = || json["name"].as_str().expect("a name");
    match json["type"].as_str().expect("a type") {
        "Record" => Type::Record(fields(json, "attributes").map(|(n, t)| (n.clone(), of(namespaces, t))).collect()),
        "Set" => Type::Set(Box::new(of(namespaces, &json["element"]))),
        "Entity" => Type::Entity(name().into()),
        "Extension" | "EntityOrCommon" => named(namespaces, name()),
        other => named(namespaces, other),
    }
}

fn named(namespaces: &Map<String, Json>, name: &str) -> Type {
    let (space, base) = name.rsplit_once("::").unwrap_or(("", name));
    let common = namespaces.get(space).and_then(|n| n.get("commonTypes")).and_then(|c| c.get(base));
    if let Some(common) = common {
        return of(namespaces, common);
    }
    Type::Plain(match base {
        "Bool" | "Boolean" => Kind::Bool,
        "Long" => Kind::Long,
        "String" => Kind::Text,
        "datetime" => Kind::Datetime,
        "duration" => Kind::Duration,
        "decimal" => Kind::Decimal,
        "ipaddr" => Kind::Ip,
        other => panic!("an unknown type {other}"),
    })
}
