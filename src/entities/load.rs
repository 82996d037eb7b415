//! A snapshot made from nothing: slots and hashes in plain lists, of which pages and index are made at the end.

use std::sync::Arc;

use hashbrown::HashTable;

use super::edit::{self, Edit};
use super::error::Faults;
use super::plain::{Batch, Item};
use super::record::{self, Draft, Record, Slots};
use super::snapshot::Snapshot;
use super::table::{Index, References, Table};
use super::EntityError;
use crate::bundle::Bundle;
use crate::model::{hash, Entity, EntityUid};

const NO_ROOM: &str = "there is no room for more entities";

/// Entities that are being loaded. They are used when all checks have passed, or not at all.
pub(super) struct Load<'a> {
    bundle: &'a Bundle,
    /// Has the names of types; its slots are in the lists until the end.
    base: Snapshot,
    records: Vec<Option<Record>>,
    counts: Vec<References>,
    hashes: Vec<u64>,
    /// With the hashes once more: one place less to look at, and none when it grows.
    by_hash: HashTable<(u64, u32)>,
    /// For each slot the place of its entity in the list it came in, plus one; 0 where none was put in.
    places: Vec<usize>,
    /// The slots put in, in the order of their list.
    put: Vec<(u32, usize)>,
    /// Those of them that have parents.
    below: Vec<(u32, Option<usize>)>,
    /// How many were read the quick way.
    pub(super) quick: usize,
    faults: Faults,
    references: Vec<u32>,
}

impl<'a> Load<'a> {
    pub(super) fn new(bundle: &'a Bundle) -> Self {
        let mut base = Snapshot::of(bundle);
        let table = std::mem::take(&mut base.table);
        let mut load = Self {
            bundle,
            base,
            records: Vec::new(),
            counts: Vec::new(),
            hashes: Vec::new(),
            by_hash: HashTable::new(),
            places: Vec::new(),
            put: Vec::new(),
            below: Vec::new(),
            quick: 0,
            faults: Faults::default(),
            references: Vec::new(),
        };
        // What the schema lists itself keeps the numbers that the layout gave it.
        for record in table.iter().map(|(_, record)| record.clone()) {
            let hash = load.base.word(record.type_id).map(|name| hash(name, record.id().as_str()));
            load.add(hash.unwrap_or_default(), record);
        }
        load
    }

    fn record(&self, slot: u32) -> Option<&Record> {
        self.records.get(slot as usize)?.as_ref()
    }

    fn find_as(&self, hash: u64, type_id: u32, id: &str) -> Option<u32> {
        let same = |(own, slot): &(u64, u32)| {
            *own == hash && self.record(*slot).is_some_and(|r| r.type_id == type_id && r.id().is(id))
        };
        self.by_hash.find(hash, same).map(|(_, slot)| *slot)
    }

    fn add(&mut self, hash: u64, record: Record) -> Option<u32> {
        let slot = u32::try_from(self.records.len()).ok()?;
        self.records.push(Some(record));
        self.counts.push(References::default());
        self.places.push(0);
        self.hashes.push(hash);
        self.by_hash.insert_unique(hash, (hash, slot), |(hash, _)| *hash);
        Some(slot)
    }

    /// The slot of a uid of a batch, under which its record now is unless the entity was there before.
    fn take(&mut self, hash: u64, record: Record) -> Option<u32> {
        let Some(slot) = self.find_as(hash, record.type_id, record.id().as_str()) else {
            return self.add(hash, record);
        };
        if record.stored && self.places.get(slot as usize) == Some(&0) {
            *self.records.get_mut(slot as usize)? = Some(record);
        }
        Some(slot)
    }

    /// Puts in what was read from a piece of the text; its first entity is the one with the number `first`.
    pub(super) fn put_batch(&mut self, first: usize, batch: Batch, faults: &mut Faults) {
        let slots: Option<Vec<u32>> = batch.uids.into_iter().map(|(hash, record)| self.take(hash, record)).collect();
        let Some(slots) = slots else {
            return self.faults.push(Some(first), None, NO_ROOM);
        };
        for (item, index) in batch.items.into_iter().zip(first..) {
            match item {
                Item::Record(place) => {
                    self.quick += 1;
                    let slot = slots.get(place as usize).copied();
                    let placed = slot.and_then(|slot| match self.is_first(index, slot, None) {
                        true => self.place(slot, &slots),
                        false => Some(()),
                    });
                    if placed.is_none() {
                        self.faults.push(Some(index), None, NO_ROOM);
                    }
                }
                Item::Entity(entity) => self.put(index, &entity),
                Item::Refused(refusal) => {
                    let (uid, misfits) = *refusal;
                    misfits.iter().for_each(|m| faults.push(Some(index), uid.as_ref(), m.to_string()));
                }
            }
        }
    }

    /// Notes that an entity is put into `slot`, unless one was.
    fn is_first(&mut self, index: usize, slot: u32, uid: Option<&EntityUid>) -> bool {
        match self.places.get_mut(slot as usize) {
            Some(place @ 0) => {
                *place = index + 1;
                self.put.push((slot, index));
                true
            }
            place => {
                let message = format!("duplicate uid; entity {} has it too", place.map_or(0, |p| *p - 1));
                let own = self.record(slot).map(|record| self.base.uid_of(slot, record));
                self.faults.push(Some(index), uid.or(own.as_ref()), message);
                false
            }
        }
    }

    /// Completes a record of a batch, whose uids have these slots.
    fn place(&mut self, slot: u32, slots: &[u32]) -> Option<()> {
        let record = self.records.get_mut(slot as usize)?.as_mut()?;
        // INVARIANT: nothing else holds it before the snapshot is made.
        record.place(slots)?;
        self.count(slot)
    }

    /// Counts what an entity refers to.
    fn count(&mut self, slot: u32) -> Option<()> {
        let mut references = std::mem::take(&mut self.references);
        let record = self.records.get(slot as usize)?.clone()?;
        record::references(self, &record, &mut references);
        for (slots, child) in [(references.as_slice(), false), (record.parents(), true)] {
            for slot in slots {
                let n = self.counts.get_mut(*slot as usize)?.of(child);
                *n = n.saturating_add(1);
            }
        }
        if !record.parents().is_empty() {
            let index = self.places.get(slot as usize).map(|place| *place - 1);
            self.below.push((slot, index));
        }
        references.clear();
        self.references = references;
        Some(())
    }

    /// Puts in one entity.
    pub(super) fn put(&mut self, index: usize, entity: &Entity) {
        if !edit::check(self.bundle, index, entity, &mut self.faults) {
            return;
        }
        let uid = entity.uid();
        let Some(slot) = self.intern(uid) else {
            return self.faults.push(Some(index), Some(uid), NO_ROOM);
        };
        if !self.is_first(index, slot, Some(uid)) {
            return;
        }
        let Some(old) = self.records.get(slot as usize).cloned().flatten() else { return };
        let layout = Arc::clone(self.base.layout());
        let record = record::encode(self, &layout, entity, &old, &mut Vec::new());
        let (Some(record), Some(place)) = (record, self.records.get_mut(slot as usize)) else {
            return self.faults.push(Some(index), Some(uid), NO_ROOM);
        };
        *place = Some(record.sealed());
        self.count(slot);
    }

    /// Checks all that was put in and gives the snapshot. `faults` are those that a reader met.
    pub(super) fn finish(self, faults: Faults) -> Result<Snapshot, EntityError> {
        let Self { bundle, base: mut next, records, counts, hashes, by_hash, places, put, below, faults: own, .. } =
            self;
        drop(by_hash);
        let fixed = next.layout().fixed().len();
        let mut unused = Vec::new();
        let mut all_stored = true;
        let named = places.iter().zip(&counts).zip(0..).skip(fixed).filter(|((place, _), _)| **place == 0);
        for ((_, count), number) in named {
            if count.all() == 0 {
                unused.push(number);
            } else {
                all_stored = false;
            }
        }
        next.stored = put.len();
        next.index = Index::of(hashes.len(), hashes.iter().copied().zip(0..));
        next.table = Table::of(records, counts);
        drop((hashes, places));
        Edit::loaded(bundle, next, put, below, unused, all_stored, own).finish(faults)
    }
}

#[cfg(feature = "sqlite")]
impl Load<'_> {
    /// The slot of a uid.
    pub(super) fn place_of(&mut self, hash: u64, type_id: u32, id: &str) -> Option<u32> {
        match self.find_as(hash, type_id, id) {
            Some(slot) => Some(slot),
            None => self.add(hash, Draft::new_named(type_id, id).sealed()),
        }
    }

    /// Puts in a whole record, whose slots are this load's.
    pub(super) fn put_record(&mut self, index: usize, hash: u64, record: Record) -> Option<()> {
        let slot = self.take(hash, record)?;
        match self.is_first(index, slot, None) {
            true => self.count(slot),
            false => Some(()),
        }
    }
}

impl Slots for Load<'_> {
    fn find(&self, uid: &EntityUid) -> Option<u32> {
        let same = |(own, slot): &(u64, u32)| {
            let (type_name, id) = uid.parts();
            let is = |r: &Record| *r.id() == *id && self.base.word(r.type_id) == Some(type_name);
            *own == uid.hashed() && self.record(*slot).is_some_and(is)
        };
        self.by_hash.find(uid.hashed(), same).map(|(_, slot)| *slot)
    }

    fn intern(&mut self, uid: &EntityUid) -> Option<u32> {
        if let Some(slot) = Slots::find(self, uid) {
            return Some(slot);
        }
        let type_id = self.base.type_id(uid.parts().0)?;
        self.add(uid.hashed(), Draft::new_named(type_id, uid.id()).sealed())
    }
}
