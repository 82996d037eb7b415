//! The immutable state of the entities: what decisions read.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::edit::Edit;
use super::error::Faults;
use super::load::Load;
use super::pieces;
use super::record::{self, Cell, Draft, Record, Slots};
use super::table::{Index, Table};
use super::{Changes, EntityError, Progress};
use crate::bundle::layout::{generations, Layout};
use crate::bundle::types::Types;
use crate::bundle::Bundle;
use crate::model::{Entity, EntityUid, Revision, Word};

/// All entities at one revision. Cloning is cheap; a changed copy shares what did not change.
#[derive(Clone)]
pub struct Snapshot {
    layout: Arc<Layout>,
    pub(super) table: Table,
    pub(super) index: Index,
    /// Entity types that the schema does not declare, numbered on from those it does.
    more_types: Arc<Vec<Word>>,
    /// Slots kept for the entities that policies name.
    pins: Arc<[u32]>,
    pub(super) stored: usize,
    /// Whether an entity of an enumerated type may have parents, which no schema gives it.
    pub(super) listed_in_groups: bool,
    /// The types that the entities were checked against, if they were.
    pub(super) checked: Option<Arc<Types>>,
    revision: Revision,
}

impl Slots for Snapshot {
    fn find(&self, uid: &EntityUid) -> Option<u32> {
        Snapshot::find(self, uid)
    }

    fn intern(&mut self, uid: &EntityUid) -> Option<u32> {
        self.intern_as(uid, false)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("entities", &self.stored).field("revision", &self.revision).finish()
    }
}

fn next_epoch() -> u64 {
    static EPOCH: AtomicU64 = AtomicU64::new(1);
    EPOCH.fetch_add(1, Ordering::Relaxed)
}

impl Snapshot {
    /// A snapshot without entities.
    pub fn empty() -> Self {
        static LAYOUT: OnceLock<Arc<Layout>> = OnceLock::new();
        Self::of_layout(Arc::clone(LAYOUT.get_or_init(Arc::default)))
    }

    /// A snapshot without entities but those that the schema lists itself.
    pub(super) fn of_layout(layout: Arc<Layout>) -> Self {
        let mut snapshot = Self {
            layout: Arc::clone(&layout),
            table: Table::default(),
            index: Index::default(),
            more_types: Arc::default(),
            pins: Arc::default(),
            stored: 0,
            listed_in_groups: false,
            checked: None,
            revision: Revision { epoch: next_epoch(), number: 0 },
        };
        for uid in layout.fixed() {
            // INVARIANT: nothing was interned before, so that slots and the layout's numbers agree.
            snapshot.intern_as(uid, true);
        }
        for (slot, groups) in layout.groups() {
            let record = snapshot.record(*slot).map(|r| r.draft().in_groups(groups).sealed());
            record.into_iter().for_each(|record| snapshot.table.put(*slot, record));
        }
        snapshot
    }

    /// A snapshot of the bundle's layout without entities.
    pub(crate) fn of(bundle: &Bundle) -> Self {
        Self::of_layout(Arc::clone(bundle.layout()))
    }

    /// Reads Cedar entity JSON, an array of entities, and checks it against the bundle's schema and, for the built-in
    /// model, its own rules.
    ///
    /// # Errors
    /// When the text is no array of entities or an entity breaks a rule: all bad entities at once, nothing loaded.
    pub fn from_json(bundle: &Bundle, reader: impl Read) -> Result<Self, EntityError> {
        Self::from_json_with_progress(bundle, reader, &mut |_| {})
    }

    /// As [`Snapshot::from_json`]; `progress` is called with the number of entities read so far.
    ///
    /// # Errors
    /// As [`Snapshot::from_json`].
    pub fn from_json_with_progress(
        bundle: &Bundle,
        reader: impl Read,
        progress: Progress<'_>,
    ) -> Result<Self, EntityError> {
        let mut load = Load::new(bundle);
        let faults = pieces::read(bundle, reader, pieces::SIZE, progress, &mut load);
        load.finish(faults)
    }

    /// As [`Snapshot::from_json`], the text cut into pieces of `size` bytes, or read the general way as a whole where
    /// that is 0; and how many entities were read the quick way: for tests that the ways agree.
    #[doc(hidden)]
    pub fn from_json_in_pieces(bundle: &Bundle, reader: impl Read, size: usize) -> (Result<Self, EntityError>, usize) {
        let mut load = Load::new(bundle);
        let faults = pieces::read(bundle, reader, size, &mut |_| {}, &mut load);
        let quick = load.quick;
        (load.finish(faults), quick)
    }

    /// Checks entities and makes a snapshot of them.
    ///
    /// # Errors
    /// When an entity breaks a rule: all bad entities at once, nothing loaded.
    pub fn from_entities(bundle: &Bundle, entities: Vec<Entity>) -> Result<Self, EntityError> {
        let mut load = Load::new(bundle);
        entities.into_iter().enumerate().for_each(|(index, entity)| load.put(index, &entity));
        load.finish(Faults::default())
    }

    /// The snapshot with `changes` made, one revision later.
    ///
    /// # Errors
    /// When an entity breaks a rule or what remains refers to an entity that is taken out: nothing is changed.
    pub fn apply(&self, bundle: &Bundle, changes: &Changes) -> Result<Self, EntityError> {
        let mut edit = Edit::new(bundle, self.clone().fitted(bundle)?);
        changes.removals.iter().for_each(|uid| edit.remove(uid));
        let stored = |uid: &&EntityUid| self.find(uid).is_some_and(|slot| self.entity(slot).is_some());
        changes.absent.iter().filter(stored).for_each(|uid| edit.remove(uid));
        changes.upserts.iter().enumerate().for_each(|(index, entity)| edit.put(index, entity));
        let mut next = edit.finish(Faults::default())?;
        next.revision = Revision { epoch: self.revision.epoch, number: self.revision.number.saturating_add(1) };
        Ok(next)
    }

    /// The same entities, laid out and checked for another bundle where that has another schema.
    ///
    /// # Errors
    /// When they do not fit it.
    pub(crate) fn fitted(self, bundle: &Bundle) -> Result<Self, EntityError> {
        let types = bundle.checked_types();
        let same = |a: &Arc<Types>, b: &Arc<Types>| Arc::ptr_eq(a, b) || a == b;
        let checked = match (&types, &self.checked) {
            (Some(wanted), Some(have)) => same(wanted, have),
            (None, _) => true,
            (Some(_), None) => false,
        };
        let laid_out = Arc::ptr_eq(&self.layout, bundle.layout()) || self.layout == *bundle.layout();
        if checked && laid_out {
            return Ok(self);
        }
        let mut load = Load::new(bundle);
        self.iter().enumerate().for_each(|(index, entity)| load.put(index, &entity));
        load.finish(Faults::default()).map(|next| next.at(self.revision))
    }

    /// The snapshot at another revision.
    pub(crate) fn at(mut self, revision: Revision) -> Self {
        self.revision = revision;
        self
    }

    /// Keeps a slot for each of these uids, instead of those it kept so far, and gives the slots.
    pub(crate) fn pin(&mut self, uids: &[EntityUid]) -> Arc<[u32]> {
        let before = Arc::clone(&self.pins);
        let pins: Arc<[u32]> = uids.iter().filter_map(|uid| self.intern_as(uid, true)).collect();
        self.pins = Arc::clone(&pins);
        for slot in before.iter().filter(|slot| !pins.contains(slot)) {
            let record = self.record(*slot).map(|r| r.draft().pinned(false).sealed());
            record.into_iter().for_each(|record| self.table.put(*slot, record));
            self.release_if_unused(*slot);
        }
        pins
    }

    /// Whether the slots it keeps are these, as [`Snapshot::pin`] gave them for it or for what it came from.
    pub(crate) fn has_pins(&self, pins: &Arc<[u32]>) -> bool {
        Arc::ptr_eq(&self.pins, pins)
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The slot of a uid that is stored, referred to or named.
    #[inline]
    pub(crate) fn find(&self, uid: &EntityUid) -> Option<u32> {
        self.find_record(uid).map(|(slot, _)| slot)
    }

    /// The slot of a uid, with what is known under it.
    #[inline]
    pub(crate) fn find_record(&self, uid: &EntityUid) -> Option<(u32, &Record)> {
        self.index.find(uid.hashed(), |slot| self.record(slot).filter(|r| self.is(r, uid)).map(|r| (slot, r)))
    }

    /// What most likely is the uid's: [`Snapshot::is`] says whether it is. Nothing of it was looked at yet.
    #[inline]
    pub(crate) fn likely(&self, uid: &EntityUid) -> Option<(u32, &Record)> {
        let slot = self.index.first(uid.hashed())?;
        Some((slot, self.record(slot)?))
    }

    /// Whether a record is this uid's.
    #[inline]
    pub(crate) fn is(&self, record: &Record, uid: &EntityUid) -> bool {
        let (type_name, id) = uid.parts();
        *record.id() == *id && self.word(record.type_id) == Some(type_name)
    }

    /// What is known under a slot.
    #[inline]
    pub(crate) fn record(&self, slot: u32) -> Option<&Record> {
        self.table.get(slot)
    }

    /// Whether the schema lists the entity in this slot.
    #[inline]
    pub(crate) fn is_fixed(&self, slot: u32) -> bool {
        (slot as usize) < self.layout.fixed().len()
    }

    /// Whether the schema lists the entity in this slot, and it belongs to nothing.
    #[inline]
    pub(crate) fn is_alone(&self, slot: u32) -> bool {
        self.lists_alone() && (slot as usize) < self.layout.enumerated()
    }

    /// Whether all entities of enumerated types belong to nothing.
    #[inline]
    pub(crate) fn lists_alone(&self) -> bool {
        !self.listed_in_groups
    }

    /// The stored entity in a slot.
    #[inline]
    pub(crate) fn entity(&self, slot: u32) -> Option<&Record> {
        self.record(slot).filter(|r| r.stored)
    }

    #[inline]
    pub(crate) fn type_name(&self, type_id: u32) -> Option<&str> {
        self.word(type_id).map(|name| &**name)
    }

    #[inline]
    pub(crate) fn word(&self, type_id: u32) -> Option<&Word> {
        self.layout
            .type_name(type_id)
            .or_else(|| self.more_types.get((type_id as usize).checked_sub(self.layout.types())?))
    }

    pub(super) fn type_id(&mut self, name: &Word) -> Option<u32> {
        if let Some(type_id) = self.layout.type_id(name) {
            return Some(type_id);
        }
        let at = match self.more_types.iter().position(|t| t == name) {
            Some(at) => at,
            None => {
                Arc::make_mut(&mut self.more_types).push(name.clone());
                self.more_types.len() - 1
            }
        };
        u32::try_from(self.layout.types() + at).ok()
    }

    fn intern_as(&mut self, uid: &EntityUid, pinned: bool) -> Option<u32> {
        if let Some(slot) = self.find(uid) {
            let record = self.record(slot).filter(|r| pinned && !r.pinned);
            if let Some(record) = record.map(|r| r.draft().pinned(true).sealed()) {
                self.table.put(slot, record);
            }
            return Some(slot);
        }
        let (type_name, id) = uid.parts();
        let type_id = self.type_id(type_name)?;
        // INVARIANT: what the layout lists is interned first, in its order.
        let generation = self.layout.generation(self.table.next()).unwrap_or_else(|| generations(1));
        let slot = self.table.take(Draft::named(generation, type_id, id, pinned).sealed())?;
        self.index.insert(uid.hashed(), slot);
        if self.index.is_crowded() {
            let hash = |record: &Record| {
                self.word(record.type_id).map_or(0, |name| crate::model::hash(name, record.id().as_str()))
            };
            self.index = Index::of(self.index.len(), self.table.iter().map(|(slot, record)| (hash(record), slot)));
        }
        Some(slot)
    }

    /// Frees a slot under which nothing is stored and which nothing refers to.
    pub(super) fn release_if_unused(&mut self, slot: u32) {
        let Some(record) = self.table.get(slot) else { return };
        if record.stored || record.pinned || self.table.references(slot).all() > 0 {
            return;
        }
        if let Some(type_name) = self.word(record.type_id) {
            self.index.remove(crate::model::hash(type_name, record.id().as_str()), slot);
            self.table.release(slot);
        }
    }

    /// The uid in a slot.
    pub(crate) fn uid(&self, slot: u32) -> Option<EntityUid> {
        self.record(slot).map(|record| self.uid_of(slot, record))
    }

    pub(super) fn uid_of(&self, slot: u32, record: &Record) -> EntityUid {
        match (self.layout.fixed().get(slot as usize), self.word(record.type_id)) {
            (Some(uid), _) => uid.clone(),
            (None, Some(name)) => EntityUid::of_parts(name, record.id()),
            (None, None) => EntityUid::unchecked("", record.id().as_str()),
        }
    }

    /// The entity with this uid.
    pub fn get(&self, uid: &EntityUid) -> Option<Entity> {
        let slot = self.find(uid)?;
        self.entity(slot).map(|record| record::decode(self, slot, record))
    }

    /// All entities, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Entity> + '_ {
        self.slots().map(|(slot, record)| record::decode(self, slot, record))
    }

    /// All stored entities' slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, &Record)> {
        self.table.iter().filter(|(_, record)| record.stored)
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.stored
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.stored == 0
    }

    /// Its revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Takes an entity out, or an attribute of it, below all checks: for tests of what the engine does then.
    #[doc(hidden)]
    pub fn damaged(&self, uid: &EntityUid, attribute: Option<&str>) -> Self {
        let mut next = self.clone();
        let Some((slot, old)) = self.find(uid).and_then(|s| Some((s, self.entity(s)?))) else {
            return next;
        };
        let mut record = old.draft();
        match attribute {
            Some(name) => {
                let number = usize::from(self.layout.attribute(old.type_id, name));
                if let Some(cell) = record.attributes.get_mut(number) {
                    *cell = Cell::Absent;
                }
            }
            None => {
                record = Draft::named(old.generation, old.type_id, old.id(), true);
                next.stored -= 1;
            }
        }
        next.table.put(slot, record.sealed());
        next
    }
}
