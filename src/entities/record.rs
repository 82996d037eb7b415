//! An entity as a snapshot holds it: attributes by number, other entities by slot.

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use super::cell::{Cell, Held, Packed, Question};
use super::snapshot::Snapshot;
use crate::bundle::layout::{generations, Layout, NOWHERE, NUMBERED};
use crate::model::{Entity, EntityUid, Id, Timestamp, Value};

/// What is known under an interned uid. All in one piece, so that a decision has one place to fetch; while it is made or
/// changed, attributes are in a vector of cells. What every decision reads stands together.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Record<C: ?Sized = [Packed]> {
    extra: Option<Box<Extra>>,
    /// Direct parents, sorted.
    pub(crate) parents: Box<[u32]>,
    pub(crate) id: Id,
    /// Unlike that of every other uid that was ever interned in this process.
    pub(crate) generation: u64,
    pub(crate) type_id: u32,
    /// Whether an entity is stored; otherwise it is only referred to, or named by policies.
    pub(crate) stored: bool,
    /// Whether the snapshot keeps the slot although nothing refers to it.
    pub(super) pinned: bool,
    /// Whether it has attributes without numbers.
    pub(crate) more: bool,
    /// By the numbers of the type's layout.
    pub(crate) attributes: C,
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

impl Record<Vec<Cell>> {
    /// A uid of which nothing is stored.
    pub(super) fn named(generation: u64, type_id: u32, id: &Id, pinned: bool) -> Self {
        Self {
            generation,
            type_id,
            stored: false,
            pinned,
            more: false,
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

    /// In one piece.
    pub(super) fn sealed(self) -> Arc<Record> {
        macro_rules! by_length {
            ($($n:literal)*) => {
                match self.attributes.len() {
                    $(0..=$n => self.sized::<$n>(),)*
                    // INVARIANT: a layout numbers no more.
                    _ => self.sized::<NUMBERED>(),
                }
            };
        }
        by_length!(0 1 2 3 4 5 6 7 8 9 10 11 12 14 16 20 24 32 48)
    }

    /// With room for `N` attributes, those beyond its own absent.
    fn sized<const N: usize>(self) -> Arc<Record> {
        let Self { generation, type_id, stored, pinned, more: _, id, parents, mut extra, attributes } = self;
        let (mut cells, mut further) = (attributes.into_iter(), Vec::new());
        let attributes: [Packed; N] =
            std::array::from_fn(|_| cells.next().map_or(Packed::ABSENT, |cell| Packed::new(cell, &mut further)));
        if extra.is_some() || !further.is_empty() {
            extra.get_or_insert_default().further = further.into();
        }
        let more = extra.as_ref().is_some_and(|extra| !extra.attributes.is_empty());
        Arc::new(Record { generation, type_id, stored, pinned, more, id, parents, extra, attributes })
    }
}

impl Record {
    /// All ancestors, sorted.
    #[inline]
    pub(crate) fn ancestors(&self) -> &[u32] {
        self.extra.as_ref().and_then(|extra| extra.ancestors.as_deref()).unwrap_or(&self.parents)
    }

    fn further(&self) -> &[Cell] {
        self.extra.as_ref().map_or(&[], |extra| &extra.further)
    }

    /// Puts slots where there were numbers of a list of slots.
    pub(super) fn place(&mut self, slots: &[u32]) {
        let slot = |number: &mut u32| *number = slots.get(*number as usize).copied().unwrap_or(u32::MAX);
        let all = |numbers: &mut [u32]| {
            numbers.iter_mut().for_each(slot);
            numbers.sort_unstable();
        };
        for packed in &mut self.attributes {
            if let Some(mut number) = packed.slot() {
                slot(&mut number);
                *packed = Packed::entity(number);
            }
        }
        let extra = self.extra.iter_mut();
        for cell in extra.flat_map(|e| e.attributes.values_mut().chain(e.tags.values_mut()).chain(&mut e.further)) {
            match cell {
                Cell::Entity(number) => slot(number),
                Cell::Entities(numbers) => all(numbers),
                _ => {}
            }
        }
        all(&mut self.parents);
    }

    /// A copy that can be changed.
    pub(super) fn copy(&self) -> Record<Vec<Cell>> {
        let further = self.further();
        Record {
            generation: self.generation,
            type_id: self.type_id,
            stored: self.stored,
            pinned: self.pinned,
            more: self.more,
            id: self.id.clone(),
            parents: self.parents.clone(),
            extra: self.extra.clone(),
            attributes: self.attributes.iter().map(|packed| packed.held(further).to_cell()).collect(),
        }
    }

    /// What is in the attribute with this number in the type's layout, else by this name; none where it is absent.
    #[inline]
    pub(crate) fn attribute(&self, number: u16, name: &str) -> Option<Held<'_>> {
        match self.attributes.get(usize::from(number)) {
            Some(packed) if packed.is_absent() => None,
            Some(packed) => Some(packed.held(self.further())),
            None => self.extra.as_ref().and_then(|e| e.attributes.get(name)).map(Cell::held),
        }
    }

    /// What is in the attribute with this number.
    #[inline]
    pub(crate) fn held(&self, number: u8) -> Option<Held<'_>> {
        self.attributes.get(usize::from(number)).map(|packed| packed.held(self.further()))
    }

    pub(crate) fn tag(&self, name: &str) -> Option<Held<'_>> {
        self.extra.as_ref().and_then(|e| e.tags.get(name)).map(Cell::held)
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
) -> Option<Record<Vec<Cell>>> {
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
    Some(Record {
        generation: old.generation,
        type_id,
        stored: true,
        pinned: old.pinned,
        more: false,
        id: old.id.clone(),
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
    let own = record.attributes.iter().map(|packed| (None, packed.held(record.further())));
    let more = record.extra.iter().flat_map(|e| e.attributes.iter().chain(&e.tags));
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
    for (name, packed) in names.iter().zip(&record.attributes) {
        if let Some(value) = value(snapshot, packed.held(record.further())) {
            entity = entity.with(name, value);
        }
    }
    if let Some(extra) = &record.extra {
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
    record.parents.iter().filter_map(|slot| snapshot.uid(*slot)).fold(entity, Entity::with_parent)
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
