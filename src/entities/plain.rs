//! The quick way from JSON to records: entities that fit the schema, straight from the text. Whatever is not plain,
//! and above all whatever may be wrong, is read the general way, which knows what to say of it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use hashbrown::HashTable;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::read::{Names, Refusal};
use super::record::{self, Cell, Draft, Record, Slots};
use super::tape::{Fill, Node, Token};
use crate::bundle::layout::{Layout, NUMBERED};
use crate::bundle::types::{EntityType, RecordType, Type, Types};
use crate::bundle::Bundle;
use crate::model::{hash, Entity, EntityUid, Timestamp, Value, Word};

/// Entities read from one piece of text. Their records refer to `uids` by place.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// All uids met, each once, with the hash: under a stored record where the entity is in this piece.
    pub(super) uids: Vec<(u64, Record)>,
    pub(super) items: Vec<Item>,
}

/// What was read, in the order of the text.
#[derive(Debug)]
pub(super) enum Item {
    /// The entity of the uid in this place.
    Record(u32),
    /// An entity for the general way.
    Entity(Box<Entity>),
    /// One that cannot be read.
    Refused(Box<Refusal>),
}

/// Reads pieces of text, each an array of entities.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    types: Option<&'a Types>,
    plans: HashMap<&'a str, Plan<'a>, foldhash::fast::RandomState>,
    names: Names,
    making: Making<'a>,
}

/// How an entity type is read.
#[derive(Debug)]
struct Plan<'a> {
    name: Word,
    type_id: u32,
    /// By name.
    fields: Vec<Field<'a>>,
    /// The numbers of those that must be there, as bits.
    required: u64,
    tags: Option<Shape<'a>>,
    parents: Vec<Target<'a>>,
}

#[derive(Debug)]
struct Field<'a> {
    name: &'a str,
    number: u16,
    shape: Shape<'a>,
}

#[derive(Debug)]
enum Shape<'a> {
    Bool,
    Long,
    String,
    Datetime,
    Entity(Target<'a>),
    Entities(Target<'a>),
    /// Read the general way.
    Other(&'a Type),
}

/// A type of entities that are referred to.
#[derive(Debug, Clone)]
struct Target<'a> {
    name: Word,
    type_id: u32,
    /// The ids there are, where the schema lists them.
    listed: Option<&'a [String]>,
}

/// A batch while it is made.
#[derive(Debug)]
struct Making<'a> {
    layout: &'a Layout,
    batch: Batch,
    /// Places of uids by their hash.
    places: HashTable<u32>,
}

impl<'a> Plain<'a> {
    pub(super) fn new(bundle: &'a Bundle) -> Self {
        let (types, layout) = (bundle.inner.types.as_deref(), &**bundle.layout());
        let entities = types.into_iter().flat_map(|types| &types.entities);
        let plans = entities.filter_map(|(name, of)| Some((name.as_str(), Plan::new(name, of, types?, layout)?)));
        Self {
            types,
            plans: plans.collect(),
            names: Names::of(bundle),
            making: Making { layout, batch: Batch::default(), places: HashTable::new() },
        }
    }

    /// Reads one piece. None where it is no array of entities as it stands: the general way then says why.
    pub(super) fn read(&mut self, text: &[u8]) -> Option<Batch> {
        self.making.batch = Batch::default();
        self.making.places.clear();
        let mut json = serde_json::Deserializer::from_str(std::str::from_utf8(text).ok()?);
        List(self).deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(std::mem::take(&mut self.making.batch))
    }

    /// Takes over one entity. None where an object has a key twice.
    fn take(&mut self, tokens: &[Token<'_>]) -> Option<()> {
        let (node, _) = Node::split(tokens)?;
        let item = match plain(&self.plans, self.types, &mut self.names, &mut self.making, node) {
            Some(place) => Item::Record(place),
            None => match self.names.entity(&node.json()?, self.types) {
                Ok(entity) => Item::Entity(Box::new(entity)),
                Err(refusal) => Item::Refused(Box::new(refusal)),
            },
        };
        self.making.batch.items.push(item);
        Some(())
    }
}

struct List<'l, 'a>(&'l mut Plain<'a>);

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of entities")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut tokens = Vec::new();
        while seq.next_element_seed(Fill(&mut tokens))?.is_some() {
            self.0.take(&tokens).ok_or_else(|| serde::de::Error::custom("duplicate key"))?;
            tokens.clear();
        }
        Ok(())
    }
}

impl<'a> Plan<'a> {
    /// None for types whose entities the schema lists, and for the rare ones that are not plain.
    fn new(name: &str, of: &'a EntityType, types: &'a Types, layout: &Layout) -> Option<Self> {
        let EntityType::Stored { parents, attributes: RecordType { fields }, tags, .. } = of else { return None };
        if fields.len() > NUMBERED.min(64) || EntityUid::unchecked(name, "").is_action() {
            return None;
        }
        let shape = |of: &'a Type| Shape::new(of, types, layout);
        let name = Word::from(name);
        let type_id = layout.type_id(&name)?;
        let number = |name: &str| layout.attribute(type_id, name);
        let required = fields.iter().filter(|(_, field)| field.required).map(|(name, _)| 1 << number(name));
        let field = |(name, field): (&'a String, &'a crate::bundle::types::Field)| Field {
            name,
            number: number(name),
            shape: shape(&field.of),
        };
        Some(Self {
            type_id,
            name,
            required: required.fold(0, |bits, bit: u64| bits | bit),
            fields: fields.iter().map(field).collect(),
            tags: tags.as_ref().map(shape),
            parents: parents.iter().map(|name| Target::new(name, types, layout)).collect::<Option<_>>()?,
        })
    }

    /// The field with this name, and its place. Most texts have them in order, so it is looked for at `next` first.
    fn field(&self, name: &str, next: usize) -> Option<(usize, &Field<'a>)> {
        let place = match self.fields.get(next) {
            Some(own) if own.name == name => next,
            _ => self.fields.binary_search_by(|own| own.name.cmp(name)).ok()?,
        };
        self.fields.get(place).map(|field| (place, field))
    }
}

impl<'a> Shape<'a> {
    fn new(of: &'a Type, types: &'a Types, layout: &Layout) -> Self {
        let target = |of: &'a Type| match of {
            Type::Entity(name) => Target::new(name, types, layout),
            _ => None,
        };
        match of {
            Type::Bool => Shape::Bool,
            Type::Long => Shape::Long,
            Type::String => Shape::String,
            Type::Datetime => Shape::Datetime,
            Type::Set(element) => target(element).map_or(Shape::Other(of), Shape::Entities),
            _ => target(of).map_or(Shape::Other(of), Shape::Entity),
        }
    }
}

impl<'a> Target<'a> {
    fn new(name: &str, types: &'a Types, layout: &Layout) -> Option<Self> {
        let listed = match types.entities.get(name)? {
            EntityType::Enum(ids) => Some(ids.as_slice()),
            EntityType::Stored { .. } => None,
        };
        let name = Word::from(name);
        Some(Self { type_id: layout.type_id(&name)?, name, listed })
    }

    fn allows(&self, type_name: &str, id: &str) -> bool {
        *self.name == *type_name && self.listed.is_none_or(|ids| ids.iter().any(|listed| listed == id))
    }
}

/// Reads an entity and gives its place among the uids; none where it is not plain.
fn plain(
    plans: &HashMap<&str, Plan<'_>, foldhash::fast::RandomState>,
    types: Option<&Types>,
    names: &mut Names,
    making: &mut Making<'_>,
    node: Node<'_>,
) -> Option<u32> {
    let (mut uid, mut attrs, mut parents, mut tags) = (None, None, None, None);
    for (key, value) in node.fields()? {
        let place = match key {
            "uid" => &mut uid,
            "attrs" => &mut attrs,
            "parents" => &mut parents,
            "tags" => &mut tags,
            _ => return None,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    let (type_name, id) = uid_parts(uid?)?;
    let plan = plans.get(type_name)?;
    let mut value = |node: Node<'_>, shape: &Shape<'_>, making: &mut Making<'_>| match shape {
        Shape::Bool => node.bool().map(Cell::Bool),
        Shape::Long => node.long().map(Cell::Long),
        Shape::String => node.text().map(|text| Cell::Other(Box::new(Value::String(text.to_owned())))),
        Shape::Datetime => instant(node).map(|at| Cell::Datetime(at.millis())),
        Shape::Entity(target) => making.target(node, target).map(Cell::Entity),
        Shape::Entities(target) => {
            let places = node.items()?.map(|item| making.target(item, target));
            Some(Cell::Entities(distinct(places.collect::<Option<_>>()?).into()))
        }
        Shape::Other(of) => {
            let value = names.value(&node.json()?, Some(of), "", 0).ok()?;
            let fits = types.is_some_and(|types| types.fits(&value, of)) && !value.is_too_deep();
            fits.then(|| record::cell(making, &value, &mut Vec::new()))?
        }
    };
    let mut attributes = vec![Cell::Absent; plan.fields.len()];
    let (mut met, mut next) = (0_u64, 0);
    for (name, node) in attrs.map(Node::fields).unwrap_or_default().into_iter().flatten() {
        let (place, Field { number, shape, .. }) = plan.field(name, next)?;
        *attributes.get_mut(usize::from(*number))? = value(node, shape, making)?;
        if met & (1 << number) != 0 {
            return None;
        }
        met |= 1 << number;
        next = place + 1;
    }
    let mut extra = BTreeMap::new();
    if let (Some(tags), Some(shape)) = (tags, &plan.tags) {
        for (name, node) in tags.fields()? {
            if extra.insert(name.into(), value(node, shape, making)?).is_some() {
                return None;
            }
        }
    }
    let mut above = Vec::new();
    for node in parents.map(Node::items).unwrap_or_default().into_iter().flatten() {
        let (type_name, id) = uid_parts(node)?;
        let target = plan.parents.iter().find(|target| *target.name == *type_name)?;
        above.push(making.place(target.type_id, &target.name, id)?);
    }
    let objects = attrs.is_none_or(|node| node.fields().is_some()) && parents.is_none_or(|node| node.items().is_some());
    if !objects || (tags.is_some() && plan.tags.is_none()) || met & plan.required != plan.required {
        return None;
    }
    making.store(hash(&plan.name, id), Draft::stored(plan.type_id, id, attributes, distinct(above), extra).sealed())
}

/// Type and id of a uid, bare or under `__entity`.
fn uid_parts<'t>(node: Node<'t>) -> Option<(&'t str, &'t str)> {
    let node = match node.exactly(["__entity"]) {
        Some([inner]) => inner,
        None => node,
    };
    let [type_name, id] = node.exactly(["type", "id"])?;
    Some((type_name.text()?, id.text()?))
}

/// An instant that people can write, as a text or under `__extn`.
fn instant(node: Node<'_>) -> Option<Timestamp> {
    let text = match node.text() {
        Some(text) => text,
        None => {
            let [inner] = node.exactly(["__extn"])?;
            let [function, argument] = inner.exactly(["fn", "arg"])?;
            argument.text().filter(|_| function.text() == Some("datetime"))?
        }
    };
    Timestamp::parse(text)
}

fn distinct(mut places: Vec<u32>) -> Vec<u32> {
    places.sort_unstable();
    places.dedup();
    places
}

impl Making<'_> {
    fn find(&self, hash: u64, type_id: u32, id: &str) -> Option<u32> {
        let same = |place: &u32| {
            let uid = self.batch.uids.get(*place as usize);
            uid.is_some_and(|(own, record)| *own == hash && record.type_id == type_id && record.id().is(id))
        };
        self.places.find(hash, same).copied()
    }

    fn add(&mut self, hash: u64, record: Record) -> Option<u32> {
        let (place, uids) = (u32::try_from(self.batch.uids.len()).ok()?, &mut self.batch.uids);
        uids.push((hash, record));
        self.places.insert_unique(hash, place, |place| uids.get(*place as usize).map_or(0, |(hash, _)| *hash));
        Some(place)
    }

    /// The place of a uid.
    fn place(&mut self, type_id: u32, type_name: &Word, id: &str) -> Option<u32> {
        let hash = hash(type_name, id);
        match self.find(hash, type_id, id) {
            Some(place) => Some(place),
            None => self.add(hash, Draft::new_named(type_id, id).sealed()),
        }
    }

    fn target(&mut self, node: Node<'_>, target: &Target<'_>) -> Option<u32> {
        let (type_name, id) = uid_parts(node)?;
        target.allows(type_name, id).then(|| self.place(target.type_id, &target.name, id))?
    }

    /// The place of an entity's uid, under which its record now is. Where there is one already that stays: the second
    /// is a duplicate.
    fn store(&mut self, hash: u64, record: Record) -> Option<u32> {
        match self.find(hash, record.type_id, record.id().as_str()) {
            Some(place) => {
                let (_, own) = self.batch.uids.get_mut(place as usize)?;
                if !own.stored {
                    *own = record;
                }
                Some(place)
            }
            None => self.add(hash, record),
        }
    }
}

impl Slots for Making<'_> {
    fn find(&self, uid: &EntityUid) -> Option<u32> {
        Making::find(self, uid.hashed(), self.layout.type_id(uid.parts().0)?, uid.id())
    }

    fn intern(&mut self, uid: &EntityUid) -> Option<u32> {
        self.place(self.layout.type_id(uid.parts().0)?, uid.parts().0, uid.id())
    }
}
