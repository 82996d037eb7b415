//! A snapshot of the built-in schema's entities made by the million, from what a program has in parts: without an
//! entity in between, and without the checks against the schema that parts of the right types pass anyway. References
//! and rules are checked as always.

use super::error::Faults;
use super::load::Load;
use super::record::{Cell, Draft, Slots};
use super::{EntityError, Snapshot};
use crate::bundle::Bundle;
use crate::model::{hash, EntityUid, Timestamp, Value, Word};

/// Entities that are being loaded.
pub(crate) struct Bulk<'a> {
    load: Load<'a>,
    bundle: &'a Bundle,
    count: usize,
    full: bool,
}

/// An entity type, with the numbers of the attributes that it is given, in the order they are given in.
pub(crate) struct Kind {
    name: Word,
    type_id: u32,
    numbers: Vec<u16>,
    all: usize,
}

/// Where an entity is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(u32);

/// The value of an attribute.
pub(crate) enum Part<'p> {
    Absent,
    Bool(bool),
    Instant(Timestamp),
    Entity(Place),
    Entities(&'p [Place]),
    /// A value that refers to no entity.
    Other(&'p Value),
}

impl<'a> Bulk<'a> {
    /// None where the bundle has another schema than the built-in one.
    pub(crate) fn new(bundle: &'a Bundle) -> Option<Self> {
        let same = bundle.checked_types() == Bundle::builtin().checked_types() && bundle.is_grc();
        same.then(|| Self { load: Load::new(bundle), bundle, count: 0, full: false })
    }

    /// An entity type. None where the schema has no such one, or not these attributes.
    pub(crate) fn kind(&self, name: &str, attributes: &[&str]) -> Option<Kind> {
        let (name, layout) = (Word::from(name), self.bundle.layout());
        let type_id = layout.type_id(&name)?;
        let all = layout.attributes(type_id).len();
        let numbers: Vec<u16> = attributes.iter().map(|attribute| layout.attribute(type_id, attribute)).collect();
        numbers.iter().all(|number| usize::from(*number) < all).then_some(Kind { name, type_id, numbers, all })
    }

    /// The place of an entity that the schema lists.
    pub(crate) fn listed(&self, uid: &EntityUid) -> Option<Place> {
        self.load.find(uid).map(Place)
    }

    /// The place of an entity that is, was or will be put in.
    pub(crate) fn place(&mut self, kind: &Kind, id: &str) -> Place {
        let place = self.load.place_of(hash(&kind.name, id), kind.type_id, id);
        self.full |= place.is_none();
        Place(place.unwrap_or(u32::MAX))
    }

    /// Puts in an entity, once.
    pub(crate) fn put(&mut self, kind: &Kind, id: &str, attributes: &[Part<'_>], parents: &[Place]) {
        let sorted = |places: &[Place]| {
            let mut slots: Vec<u32> = places.iter().map(|place| place.0).collect();
            slots.sort_unstable();
            slots.dedup();
            slots
        };
        let mut cells = vec![Cell::Absent; kind.all];
        for (number, part) in kind.numbers.iter().zip(attributes) {
            if let Some(cell) = cells.get_mut(usize::from(*number)) {
                *cell = match part {
                    Part::Absent => Cell::Absent,
                    Part::Bool(value) => Cell::Bool(*value),
                    Part::Instant(at) => Cell::Datetime(at.millis()),
                    Part::Other(value) => Cell::Other(Box::new((*value).clone())),
                    Part::Entity(place) => Cell::Entity(place.0),
                    Part::Entities(places) => Cell::Entities(sorted(places).into()),
                };
            }
        }
        let record = Draft::stored(kind.type_id, id, cells, sorted(parents), Default::default()).sealed();
        self.full |= self.load.put_record(self.count, hash(&kind.name, id), record).is_none();
        self.count += 1;
    }

    /// Checks all that was put in and gives the snapshot.
    pub(crate) fn finish(self) -> Result<Snapshot, EntityError> {
        match self.full {
            true => Err(EntityError::of("there is no room for more entities")),
            false => self.load.finish(Faults::default()),
        }
    }
}
