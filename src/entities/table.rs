//! Numbered slots, and an index from hashes to slots. A clone shares everything; a change copies only the path to what it
//! changes, and not even that while nothing else holds it.

use std::sync::Arc;

use super::pages::Pages;
use super::record::Record;

/// How often entities refer to what is in a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct References {
    /// By attributes and tags. For a free slot: the next free one, plus one.
    pub(super) by_attribute: u32,
    /// As a direct parent.
    pub(super) by_child: u32,
}

impl References {
    pub(super) fn all(self) -> u32 {
        self.by_attribute.saturating_add(self.by_child)
    }

    pub(super) fn of(&mut self, child: bool) -> &mut u32 {
        if child {
            &mut self.by_child
        } else {
            &mut self.by_attribute
        }
    }
}

/// Slots by number: each an interned uid with what is stored under it, or free. What only changes ask stands apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    records: Pages<Option<Record>>,
    references: Pages<References>,
    len: u32,
    /// The first free slot, plus one; 0 where there is none.
    free: u32,
}

impl Table {
    /// All these slots at once, numbered in their order.
    pub(super) fn of(records: Vec<Option<Record>>, references: Vec<References>) -> Self {
        let len = u32::try_from(records.len()).unwrap_or(u32::MAX);
        Self { records: Pages::of(records), references: Pages::of(references), len, free: 0 }
    }

    /// What is in a slot, unless that is free.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Record> {
        self.records.get(slot)?.as_ref()
    }

    /// Puts `record` into a slot that is taken.
    pub(super) fn put(&mut self, slot: u32, record: Record) {
        if let Some(place) = self.records.get_mut(slot) {
            *place = Some(record);
        }
    }

    /// How often a slot is referred to.
    pub(super) fn references(&self, slot: u32) -> References {
        self.references.get(slot).copied().unwrap_or_default()
    }

    /// The same, to be changed.
    pub(super) fn references_mut(&mut self, slot: u32) -> Option<&mut References> {
        self.references.get_mut(slot)
    }

    /// The slot that is taken next.
    pub(super) fn next(&self) -> u32 {
        self.free.checked_sub(1).unwrap_or(self.len)
    }

    /// Puts `record` into a free slot. None when all 2³² are used.
    pub(super) fn take(&mut self, record: Record) -> Option<u32> {
        let slot = match self.free.checked_sub(1) {
            Some(slot) => {
                self.free = self.references(slot).by_attribute;
                slot
            }
            None => {
                let slot = self.len;
                self.len = self.len.checked_add(1)?;
                slot
            }
        };
        *self.references.get_mut(slot)? = References::default();
        *self.records.get_mut(slot)? = Some(record);
        Some(slot)
    }

    /// Frees a slot.
    pub(super) fn release(&mut self, slot: u32) {
        let next = References { by_attribute: self.free, by_child: 0 };
        if let (Some(record), Some(references)) = (self.records.get_mut(slot), self.references.get_mut(slot)) {
            (*record, *references) = (None, next);
            self.free = slot + 1;
        }
    }

    /// All slots in use, with what is in them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Record)> {
        self.records.iter().filter_map(|(slot, record)| Some((slot, record.as_ref()?)))
    }
}

/// A slot under a part of its uid's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    hash: u32,
    slot: u32,
}

/// A line of the cache: some entries, filled from the first on.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Bucket {
    hashes: [u32; Bucket::ROOM],
    slots: [u32; Bucket::ROOM],
}

impl Bucket {
    const ROOM: usize = 8;
    /// How many entries it has on average. What a full one has no room for is in the next.
    const FILL: usize = 5;
    const NONE: u32 = u32::MAX;
    const EMPTY: Self = Self { hashes: [0; Self::ROOM], slots: [Self::NONE; Self::ROOM] };

    #[inline]
    fn is_full(&self) -> bool {
        self.slots.last() != Some(&Self::NONE)
    }

    fn put(&mut self, entry: Entry) {
        let free = self.slots.iter_mut().zip(&mut self.hashes).find(|(slot, _)| **slot == Self::NONE);
        if let Some((slot, hash)) = free {
            (*slot, *hash) = (entry.slot, entry.hash);
        }
    }

    /// A bit for each entry with `hash`.
    #[inline]
    fn under(&self, hash: u32) -> u32 {
        self.hashes.iter().zip(0..).fold(0, |bits, (own, at)| bits | u32::from(*own == hash) << at)
    }

    fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let all = self.hashes.iter().zip(&self.slots).map(|(hash, slot)| Entry { hash: *hash, slot: *slot });
        all.filter(|entry| entry.slot != Self::NONE)
    }
}

type Stem = Arc<[Bucket]>;
const STEMS: usize = 64;
/// How many entries a stem has when all are made at once, about; a change copies one. With four times as many the index
/// is crowded.
const PLANNED: usize = 512;

/// Slots by the hash of their uid.
#[derive(Debug, Clone)]
pub(super) struct Index {
    root: Arc<[Arc<[Stem; STEMS]>]>,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self::of(0, std::iter::empty())
    }
}

/// Which of so many equal parts a number is in, and how far into it.
#[inline]
fn share(number: u32, parts: usize) -> (usize, u32) {
    let at = u64::from(number) * parts as u64;
    (usize::try_from(at >> 32).unwrap_or(0), u32::try_from(at & u64::from(u32::MAX)).unwrap_or(0))
}

/// Which of so many stems a hash is in, and what its entry keeps of it: other bits.
#[inline]
fn parts(hash: u64, stems: usize) -> (usize, u32) {
    let [low, high] = [hash, hash >> 32].map(|half| u32::try_from(half & u64::from(u32::MAX)).unwrap_or(0));
    (share(high, stems).0, low)
}

/// The buckets of some entries.
fn stem(entries: impl ExactSizeIterator<Item = Entry>) -> Stem {
    let len = entries.len() / Bucket::FILL + 1;
    let mut buckets = vec![Bucket::EMPTY; len];
    for entry in entries {
        let (first, _) = share(entry.hash, len);
        // INVARIANT: there is more room than there are entries.
        let place = (first..len).chain(0..first).find(|at| buckets.get(*at).is_some_and(|b| !b.is_full()));
        place.and_then(|at| buckets.get_mut(at)).into_iter().for_each(|bucket| bucket.put(entry));
    }
    buckets.into()
}

impl Index {
    /// Of so many hashes and slots, all at once.
    pub(super) fn of(len: usize, all: impl Iterator<Item = (u64, u32)>) -> Self {
        let trunks = len / (STEMS * PLANNED) + 1;
        let mut entries = vec![Vec::with_capacity(len / (trunks * STEMS)); trunks * STEMS];
        for (hash, slot) in all {
            let (stem, hash) = parts(hash, trunks * STEMS);
            entries.get_mut(stem).into_iter().for_each(|stem| stem.push(Entry { hash, slot }));
        }
        let mut stems = entries.into_iter().map(|entries| stem(entries.into_iter()));
        let mut trunk = || Arc::new(std::array::from_fn(|_| stems.next().unwrap_or_else(|| stem([].into_iter()))));
        Self { root: (0..trunks).map(|_| trunk()).collect(), len }
    }

    /// Whether it should be made anew, with more stems.
    pub(super) fn is_crowded(&self) -> bool {
        self.len > self.stems() * PLANNED * 4
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn stems(&self) -> usize {
        self.root.len() * STEMS
    }

    /// What `is` gives for the first slot under `hash` that is the one looked for.
    #[inline]
    pub(super) fn find<T>(&self, hash: u64, is: impl Fn(u32) -> Option<T>) -> Option<T> {
        let (at, hash) = parts(hash, self.stems());
        let stem = self.root.get(at / STEMS)?.get(at % STEMS)?;
        let (first, _) = share(hash, stem.len());
        let mut at = first;
        loop {
            let bucket = stem.get(at)?;
            let mut under = bucket.under(hash);
            while under != 0 {
                let slot = bucket.slots.get(under.trailing_zeros() as usize).copied();
                if let Some(found) = slot.and_then(&is) {
                    return Some(found);
                }
                under &= under - 1;
            }
            if !bucket.is_full() {
                return None;
            }
            at = if at + 1 < stem.len() { at + 1 } else { 0 };
            if at == first {
                return None;
            }
        }
    }

    /// The first slot that may be the one looked for, without a look at what is in it.
    #[inline]
    pub(super) fn first(&self, hash: u64) -> Option<u32> {
        let (at, hash) = parts(hash, self.stems());
        let stem = self.root.get(at / STEMS)?.get(at % STEMS)?;
        let bucket = stem.get(share(hash, stem.len()).0)?;
        bucket.slots.get(bucket.under(hash).trailing_zeros() as usize).copied()
    }

    /// Makes the stem of `hash` anew, with or without an entry for `slot`.
    fn change(&mut self, hash: u64, slot: u32, with: bool) {
        let (at, hash) = parts(hash, self.stems());
        let trunk = Arc::make_mut(&mut self.root).get_mut(at / STEMS).map(Arc::make_mut);
        let Some(own) = trunk.and_then(|stems| stems.get_mut(at % STEMS)) else { return };
        let before: usize = own.iter().map(|bucket| bucket.entries().count()).sum();
        let others = own.iter().flat_map(Bucket::entries).filter(|entry| entry.slot != slot);
        let entries: Vec<Entry> = others.chain(with.then_some(Entry { hash, slot })).collect();
        self.len = self.len + entries.len() - before;
        *own = stem(entries.into_iter());
    }

    pub(super) fn insert(&mut self, hash: u64, slot: u32) {
        self.change(hash, slot, true);
    }

    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        self.change(hash, slot, false);
    }
}
