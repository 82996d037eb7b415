//! An entity as a snapshot holds it: attributes by number, other entities by slot.

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use super::cell::{Cell, Held, Packed, Question};
use super::snapshot::Snapshot;
use crate::bundle::layout::{generations, Layout, NOWHERE, NUMBERED};
use crate::model::{Entity, EntityUid, Id, Timestamp, Value};

/// What is known under an interned uid. What nearly every decision reads is a line of the cache, and stands in the page
/// of the slot; the rest is apart.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Record {
    /// Unlike that of every other uid that was ever interned in this process.
    pub(crate) generation: u64,
    pub(crate) type_id: u32,
    /// Whether an entity is stored; otherwise it is only referred to, or named by policies.
    pub(crate) stored: bool,
    /// Whether the snapshot keeps the slot although nothing refers to it.
    pub(super) pinned: bool,
    /// Whether it has attributes without numbers.
    pub(crate) more: bool,
    /// The attributes with the first numbers of the type's layout.
    near: [Packed; NEAR],
    rest: Arc<Rest>,
}

/// How many attributes are in the record itself.
pub(crate) const NEAR: usize = 5;

const _: () = assert!(std::mem::size_of::<Option<Record>>() == 64);

#[derive(Debug)]
#[repr(C)]
struct Rest {
    id: Id,
    extra: Option<Box<Extra>>,
    /// Direct parents, sorted.
    parents: Box<[u32]>,
    far: Far,
}

/// The attributes with further numbers. Few types have many.
#[derive(Debug, Clone)]
enum Far {
    One(Packed),
    Many(Box<[Packed]>),
}

/// A record while it is made or changed.
#[derive(Debug)]
pub(super) struct Draft {
    generation: u64,
    type_id: u32,
    stored: bool,
    pinned: bool,
    id: Id,
    /// By the numbers of the type's layout.
    pub(super) attributes: Vec<Cell>,
    pub(super) parents: Box<[u32]>,
    extra: Option<Box<Extra>>,
}

/// What gives uids their slots.
pub(super) trait Slots {
    /// The slot of a uid that has one.
    fn find(&self, uid: &EntityUid) -> Option<u32>;

    /// The slot of a uid, taken if it has none yet. None when there are no more.
    fn intern(&mut self, uid: &EntityUid) -> Option<u32>;
}

/// What few entities have.
#[derive(Debug, Clone, Default)]
struct Extra {
    /// All ancestors, sorted, where there are more than the parents.
    ancestors: Option<Box<[u32]>>,
    /// Attributes with numbers that do not fit eight bytes.
    further: Box<[Cell]>,
    /// Attributes that the schema does not declare.
    attributes: BTreeMap<Arc<str>, Cell>,
    tags: BTreeMap<Arc<str>, Cell>,
}

impl Draft {
    /// A uid of which nothing is stored.
    pub(super) fn named(generation: u64, type_id: u32, id: &Id, pinned: bool) -> Self {
        Self {
            generation,
            type_id,
            stored: false,
            pinned,
            id: id.clone(),
            attributes: Vec::new(),
            parents: Box::new([]),
            extra: None,
        }
    }

    /// A uid that was met for the first time.
    pub(super) fn new_named(type_id: u32, id: &str) -> Self {
        Self::named(generations(1), type_id, &Id::new(id), false)
    }

    /// A stored entity that comes without a record to follow.
    pub(super) fn stored(
        type_id: u32,
        id: &str,
        attributes: Vec<Cell>,
        parents: Vec<u32>,
        tags: BTreeMap<Arc<str>, Cell>,
    ) -> Self {
        let extra = (!tags.is_empty()).then(|| Box::new(Extra { tags, ..Extra::default() }));
        let (stored, parents) = (true, parents.into_boxed_slice());
        Self { stored, parents, extra, attributes, ..Self::new_named(type_id, id) }
    }

    pub(super) fn with_ancestors(mut self, ancestors: Vec<u32>) -> Self {
        let own = (*ancestors != *self.parents).then(|| ancestors.into_boxed_slice());
        if own.is_some() || self.extra.is_some() {
            self.extra.get_or_insert_default().ancestors = own;
        }
        self
    }

    /// An action, with all the groups it is in.
    pub(super) fn in_groups(mut self, groups: &[u32]) -> Self {
        self.parents = groups.into();
        self
    }

    pub(super) fn pinned(mut self, pinned: bool) -> Self {
        self.pinned = pinned;
        self
    }

    /// Ready to be read.
    pub(super) fn sealed(self) -> Record {
        let Self { generation, type_id, stored, pinned, id, attributes, parents, mut extra } = self;
        let (mut cells, mut further) = (attributes.into_iter(), Vec::new());
        let mut pack = |cell| Packed::new(cell, &mut further);
        let near = std::array::from_fn(|_| cells.next().map_or(Packed::ABSENT, &mut pack));
        let far = Far::new(cells.map(pack));
        if extra.is_some() || !further.is_empty() {
            extra.get_or_insert_default().further = further.into();
        }
        let more = extra.as_ref().is_some_and(|extra| !extra.attributes.is_empty());
        let rest = Arc::new(Rest { id, extra, parents, far });
        Record { generation, type_id, stored, pinned, more, near, rest }
    }
}

impl Far {
    fn new(mut all: impl ExactSizeIterator<Item = Packed>) -> Self {
        match all.len() {
            1 => Far::One(all.next().unwrap_or(Packed::ABSENT)),
            _ => Far::Many(all.collect()),
        }
    }

    #[inline]
    fn all(&self) -> &[Packed] {
        match self {
            Far::One(one) => std::slice::from_ref(one),
            Far::Many(all) => all,
        }
    }

    fn all_mut(&mut self) -> &mut [Packed] {
        match self {
            Far::One(one) => std::slice::from_mut(one),
            Far::Many(all) => all,
        }
    }
}

impl Record {
    #[inline]
    pub(crate) fn id(&self) -> &Id {
        &self.rest.id
    }

    /// Direct parents, sorted.
    #[inline]
    pub(crate) fn parents(&self) -> &[u32] {
        &self.rest.parents
    }

    /// All ancestors, sorted.
    #[inline]
    pub(crate) fn ancestors(&self) -> &[u32] {
        let own = self.rest.extra.as_ref().and_then(|extra| extra.ancestors.as_deref());
        own.unwrap_or(&self.rest.parents)
    }

    /// The attributes with the first numbers.
    #[inline]
    pub(crate) fn near(&self) -> &[Packed; NEAR] {
        &self.near
    }

    /// The attributes with the numbers from [`NEAR`] on.
    #[inline]
    pub(crate) fn far(&self) -> &[Packed] {
        self.rest.far.all()
    }

    #[inline]
    fn packed(&self, number: usize) -> Option<Packed> {
        match self.near.get(number) {
            Some(packed) => Some(*packed),
            None => self.far().get(number - NEAR).copied(),
        }
    }

    fn further(&self) -> &[Cell] {
        self.rest.extra.as_ref().map_or(&[], |extra| &extra.further)
    }

    /// Puts slots where there were numbers of a list of slots. None where something else holds the record too.
    pub(super) fn place(&mut self, slots: &[u32]) -> Option<()> {
        let Rest { extra, parents, far, .. } = Arc::get_mut(&mut self.rest)?;
        let slot = |number: &mut u32| *number = slots.get(*number as usize).copied().unwrap_or(u32::MAX);
        let all = |numbers: &mut [u32]| {
            numbers.iter_mut().for_each(slot);
            numbers.sort_unstable();
        };
        for packed in self.near.iter_mut().chain(far.all_mut()) {
            if let Some(mut number) = packed.slot() {
                slot(&mut number);
                *packed = Packed::entity(number);
            }
        }
        for cell in
            extra.iter_mut().flat_map(|e| e.attributes.values_mut().chain(e.tags.values_mut()).chain(&mut e.further))
        {
            match cell {
                Cell::Entity(number) => slot(number),
                Cell::Entities(numbers) => all(numbers),
                _ => {}
            }
        }
        all(parents);
        Some(())
    }

    /// A copy that can be changed.
    pub(super) fn draft(&self) -> Draft {
        let (further, Rest { id, extra, parents, .. }) = (self.further(), &*self.rest);
        Draft {
            generation: self.generation,
            type_id: self.type_id,
            stored: self.stored,
            pinned: self.pinned,
            id: id.clone(),
            attributes: self.near.iter().chain(self.far()).map(|packed| packed.held(further).to_cell()).collect(),
            parents: parents.clone(),
            extra: extra.clone(),
        }
    }

    /// What is in the attribute with this number in the type's layout, else by this name; none where it is absent.
    #[inline]
    pub(crate) fn attribute(&self, number: u16, name: &str) -> Option<Held<'_>> {
        match self.packed(number.into()) {
            Some(packed) if packed.is_absent() => None,
            Some(packed) => Some(packed.held(self.further())),
            None => self.rest.extra.as_ref().and_then(|e| e.attributes.get(name)).map(Cell::held),
        }
    }

    /// What is in the attribute with this number.
    #[inline]
    pub(crate) fn held(&self, number: u8) -> Option<Held<'_>> {
        self.packed(number.into()).map(|packed| packed.held(self.further()))
    }

    pub(crate) fn tag(&self, name: &str) -> Option<Held<'_>> {
        self.rest.extra.as_ref().and_then(|e| e.tags.get(name)).map(Cell::held)
    }
}

/// Turns an entity into a record, interning what it refers to. `references` is filled with the slots that attributes
/// and tags refer to, each as often as it is.
pub(super) fn encode(
    slots: &mut impl Slots,
    layout: &Layout,
    entity: &Entity,
    old: &Record,
    references: &mut Vec<u32>,
) -> Option<Draft> {
    let type_id = old.type_id;
    let mut attributes = vec![Cell::Absent; layout.attributes(type_id).len().min(NUMBERED)];
    let mut extra = Extra::default();
    for (name, value) in entity.attributes() {
        let cell = cell(slots, value, references)?;
        let number = layout.attribute(type_id, name);
        match attributes.get_mut(usize::from(number)) {
            Some(place) if number != NOWHERE => *place = cell,
            _ => drop(extra.attributes.insert(name.as_str().into(), cell)),
        }
    }
    for (name, value) in entity.tags() {
        let cell = cell(slots, value, references)?;
        extra.tags.insert(name.as_str().into(), cell);
    }
    let mut parents = Vec::with_capacity(entity.parents().len());
    for parent in entity.parents() {
        parents.push(slots.intern(parent)?);
    }
    parents.sort_unstable();
    let plain = extra.attributes.is_empty() && extra.tags.is_empty();
    Some(Draft {
        generation: old.generation,
        type_id,
        stored: true,
        pinned: old.pinned,
        id: old.id().clone(),
        attributes,
        parents: parents.into_boxed_slice(),
        extra: (!plain).then(|| Box::new(extra)),
    })
}

/// The cell of a value, as [`encode`] makes it.
pub(super) fn cell(slots: &mut impl Slots, value: &Value, references: &mut Vec<u32>) -> Option<Cell> {
    let mut intern = |uid: &EntityUid| {
        let slot = slots.intern(uid)?;
        references.push(slot);
        Some(slot)
    };
    Some(match value {
        Value::Bool(b) => Cell::Bool(*b),
        Value::Long(n) => Cell::Long(*n),
        Value::Entity(uid) => Cell::Entity(intern(uid)?),
        Value::Datetime(at) => Cell::Datetime(at.millis()),
        Value::Duration(ms) => Cell::Duration(*ms),
        Value::Decimal(n) => Cell::Decimal(*n),
        Value::Set(items) if items.iter().all(|i| matches!(i, Value::Entity(_))) => {
            let mut all = Vec::with_capacity(items.len());
            for item in items {
                if let Value::Entity(uid) = item {
                    all.push(intern(uid)?);
                }
            }
            all.sort_unstable();
            Cell::Entities(all.into())
        }
        other => {
            let mut known = Some(());
            other.for_each_entity(&mut |uid| known = known.and(intern(uid).map(drop)));
            known?;
            Cell::Other(Box::new(other.clone()))
        }
    })
}

/// The slots that a record's attributes and tags refer to, each as often as it is.
pub(super) fn references(slots: &impl Slots, record: &Record, out: &mut Vec<u32>) {
    for (_, held) in cells(record) {
        match held {
            Held::Entity(slot) => out.push(slot),
            Held::Entities(all) => out.extend(all),
            Held::Other(value) => value.for_each_entity(&mut |uid| out.extend(slots.find(uid))),
            _ => {}
        }
    }
}

/// What is in all cells of a record, with the names of those that are not in the layout.
fn cells(record: &Record) -> impl Iterator<Item = (Option<&Arc<str>>, Held<'_>)> {
    let own = record.near.iter().chain(record.far()).map(|packed| (None, packed.held(record.further())));
    let more = record.rest.extra.iter().flat_map(|e| e.attributes.iter().chain(&e.tags));
    own.chain(more.map(|(name, cell)| (Some(name), cell.held())))
}

/// The attributes and tags of a record that refer to `slot`, by name.
pub(super) fn names_of_references(snapshot: &Snapshot, record: &Record, slot: u32) -> Vec<String> {
    let layout = snapshot.layout().attributes(record.type_id);
    let refers = |held: Held<'_>| match held {
        Held::Entity(own) => own == slot,
        Held::Entities(slots) => slots.contains(&slot),
        Held::Other(value) => {
            let mut found = false;
            value.for_each_entity(&mut |uid| found |= snapshot.find(uid) == Some(slot));
            found
        }
        _ => false,
    };
    let named = |(i, (name, held)): (usize, (Option<&Arc<str>>, Held<'_>))| {
        let name = name.or_else(|| layout.get(i)).map(ToString::to_string).unwrap_or_default();
        refers(held).then_some(name)
    };
    cells(record).enumerate().filter_map(named).collect()
}

/// The entity that a record was made from.
pub(super) fn decode(snapshot: &Snapshot, slot: u32, record: &Record) -> Entity {
    let mut entity = Entity::new(snapshot.uid_of(slot, record));
    let names = snapshot.layout().attributes(record.type_id);
    for (name, packed) in names.iter().zip(record.near.iter().chain(record.far())) {
        if let Some(value) = value(snapshot, packed.held(record.further())) {
            entity = entity.with(name, value);
        }
    }
    if let Some(extra) = &record.rest.extra {
        for (name, cell) in &extra.attributes {
            if let Some(value) = value(snapshot, cell.held()) {
                entity = entity.with(name, value);
            }
        }
        for (name, cell) in &extra.tags {
            if let Some(value) = value(snapshot, cell.held()) {
                entity = entity.with_tag(name, value);
            }
        }
    }
    record.parents().iter().filter_map(|slot| snapshot.uid(*slot)).fold(entity, Entity::with_parent)
}

/// The value in a cell; none where the attribute is absent.
pub(crate) fn value(snapshot: &Snapshot, held: Held<'_>) -> Option<Value> {
    let entity = |slot: u32| snapshot.uid(slot).map(Value::Entity);
    Some(match held {
        Held::Absent => return None,
        Held::Bool(b) => Value::Bool(b),
        Held::Long(n) => Value::Long(n),
        Held::Entity(slot) => entity(slot)?,
        Held::Datetime(ms) => Value::Datetime(Timestamp::any(ms)),
        Held::Duration(ms) => Value::Duration(ms),
        Held::Decimal(n) => Value::Decimal(n),
        Held::Entities(slots) => Value::Set(slots.iter().copied().filter_map(entity).collect()),
        Held::Other(value) => value.clone(),
    })
}

/// Whether a sorted list has `slot`. Most lists are short.
#[inline]
pub(crate) fn sorted_contains(sorted: &[u32], slot: u32) -> bool {
    if sorted.len() <= 8 {
        sorted.contains(&slot)
    } else {
        sorted.binary_search(&slot).is_ok()
    }
}
