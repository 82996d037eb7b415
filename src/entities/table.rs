//! Persistent storage: numbered slots, and an index from hashes to slots. A clone shares everything; a change copies
//! only the path to what it changes, and not even that while nothing else holds it.

use std::sync::Arc;

use super::record::Record;

/// One slot: an interned uid with what is stored under it, or free.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) record: Option<Arc<Record>>,
    /// How often entities' attributes and tags refer to it. In a free slot: the next free one, plus one.
    pub(super) by_attribute: u32,
    /// How many entities have it as a direct parent.
    pub(super) by_child: u32,
}

const FANOUT: usize = 32;
const BITS: u32 = 5;
const TRUNK: usize = 64;

type Page = [Slot; FANOUT];
type Branch = [Option<Arc<Page>>; FANOUT];
type Trunk = [Option<Arc<Branch>>; TRUNK];

/// Slots by number.
#[derive(Debug, Clone)]
pub(super) struct Table {
    root: Arc<[Option<Arc<Trunk>>]>,
    len: u32,
    /// The first free slot, plus one; 0 where there is none.
    free: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self { root: Arc::new([]), len: 0, free: 0 }
    }
}

fn path(slot: u32) -> (usize, usize, usize, usize) {
    let slot = slot as usize;
    let mask = FANOUT - 1;
    (slot >> (BITS + BITS + 6), (slot >> (BITS + BITS)) & (TRUNK - 1), (slot >> BITS) & mask, slot & mask)
}

impl Table {
    /// All these slots at once, numbered in their order.
    pub(super) fn of(slots: Vec<Slot>) -> Self {
        let len = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let mut slots = slots.into_iter();
        let mut root = Vec::new();
        while slots.len() > 0 {
            root.push(Some(Arc::new(Trunk::from(std::array::from_fn(|_| {
                (slots.len() > 0).then(|| {
                    Arc::new(std::array::from_fn(|_| {
                        (slots.len() > 0).then(|| Arc::new(std::array::from_fn(|_| slots.next().unwrap_or_default())))
                    }))
                })
            })))));
        }
        Self { root: root.into(), len, free: 0 }
    }

    /// The slot with this number, if it was ever used.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Slot> {
        let (trunk, branch, page, at) = path(slot);
        self.root.get(trunk)?.as_ref()?.get(branch)?.as_ref()?.get(page)?.as_ref()?.get(at)
    }

    /// The slot with this number, to be changed; it and the path to it are made.
    pub(super) fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        let (trunk, branch, page, at) = path(slot);
        if trunk >= self.root.len() {
            let more = std::iter::repeat_with(|| None).take(trunk + 1 - self.root.len());
            self.root = self.root.iter().cloned().chain(more).collect();
        }
        let trunk = Arc::make_mut(&mut self.root).get_mut(trunk)?;
        let trunk = Arc::make_mut(trunk.get_or_insert_with(|| Arc::new([const { None }; TRUNK])));
        let branch = trunk.get_mut(branch)?;
        let branch = Arc::make_mut(branch.get_or_insert_with(|| Arc::new([const { None }; FANOUT])));
        let page = branch.get_mut(page)?;
        Arc::make_mut(page.get_or_insert_with(Default::default)).get_mut(at)
    }

    /// The slot that is taken next.
    pub(super) fn next(&self) -> u32 {
        self.free.checked_sub(1).unwrap_or(self.len)
    }

    /// Puts `record` into a free slot. None when all 2³² are used.
    pub(super) fn take(&mut self, record: Arc<Record>) -> Option<u32> {
        let slot = match self.free.checked_sub(1) {
            Some(slot) => {
                self.free = self.get(slot).map_or(0, |s| s.by_attribute);
                slot
            }
            None => {
                let slot = self.len;
                self.len = self.len.checked_add(1)?;
                slot
            }
        };
        *self.slot_mut(slot)? = Slot { record: Some(record), by_attribute: 0, by_child: 0 };
        Some(slot)
    }

    /// Frees a slot.
    pub(super) fn release(&mut self, slot: u32) {
        let next = self.free;
        if let Some(s) = self.slot_mut(slot) {
            *s = Slot { record: None, by_attribute: next, by_child: 0 };
            self.free = slot + 1;
        }
    }

    /// All slots in use, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        let trunks = self.root.iter().enumerate().filter_map(|(i, t)| Some((i, t.as_ref()?)));
        let branches =
            trunks.flat_map(|(i, t)| t.iter().enumerate().filter_map(move |(j, b)| Some((i * TRUNK + j, b.as_ref()?))));
        let pages = branches
            .flat_map(|(i, b)| b.iter().enumerate().filter_map(move |(j, p)| Some((i * FANOUT + j, p.as_ref()?))));
        pages.flat_map(|(i, p)| {
            let slots = p.iter().enumerate().filter(|(_, s)| s.record.is_some());
            slots.map(move |(j, s)| (u32::try_from(i * FANOUT + j).unwrap_or(u32::MAX), s))
        })
    }
}

/// A slot under a part of its uid's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    hash: u32,
    slot: u32,
}

type Leaf = Arc<[Entry]>;
const LEAVES: usize = 64;
const STEMS: usize = 256;

/// Slots by the hash of their uid.
#[derive(Debug, Clone)]
pub(super) struct Index {
    root: Arc<[Arc<[Leaf; LEAVES]>; STEMS]>,
}

impl Default for Index {
    fn default() -> Self {
        let none: Leaf = Arc::new([]);
        let stem = Arc::new(std::array::from_fn(|_| Arc::clone(&none)));
        Self { root: Arc::new(std::array::from_fn(|_| Arc::clone(&stem))) }
    }
}

fn parts(hash: u64) -> (usize, usize, u32) {
    let middle = u32::try_from((hash >> 18) & u64::from(u32::MAX)).unwrap_or(0);
    ((hash >> 56) as usize, ((hash >> 50) & 63) as usize, middle)
}

impl Index {
    /// Slots by number with the hashes of their uids, all at once.
    pub(super) fn of(hashes: &[u64]) -> Self {
        let place = |hash: u64| {
            let (stem, leaf, _) = parts(hash);
            stem * LEAVES + leaf
        };
        // Where each leaf ends among all entries; then, filled from its end, where it begins.
        let mut ends = vec![0_usize; STEMS * LEAVES + 1];
        hashes.iter().for_each(|hash| ends.get_mut(place(*hash)).into_iter().for_each(|n| *n += 1));
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut entries = vec![Entry { hash: 0, slot: 0 }; hashes.len()];
        for (hash, slot) in hashes.iter().zip(0..) {
            let end = ends.get_mut(place(*hash)).map_or(0, |end| {
                *end -= 1;
                *end
            });
            entries.get_mut(end).into_iter().for_each(|entry| *entry = Entry { hash: parts(*hash).2, slot });
        }
        let none: Leaf = Arc::new([]);
        let leaf = |at: usize| match (ends.get(at), ends.get(at + 1)) {
            (Some(begin), Some(end)) if begin < end => {
                let mut leaf: Leaf = entries.get(*begin..*end).unwrap_or_default().into();
                Arc::make_mut(&mut leaf).sort_unstable_by_key(|entry| entry.hash);
                leaf
            }
            _ => Arc::clone(&none),
        };
        let stem = |stem: usize| Arc::new(std::array::from_fn(|at| leaf(stem * LEAVES + at)));
        Self { root: Arc::new(std::array::from_fn(stem)) }
    }

    fn leaf(&self, hash: u64) -> (&[Entry], u32) {
        let (stem, leaf, hash) = parts(hash);
        (self.root.get(stem).and_then(|s| s.get(leaf)).map_or(&[], |l| l), hash)
    }

    /// Where entries with `hash` begin in a leaf. Hashes are spread evenly, so the guess is near.
    #[inline]
    fn start(leaf: &[Entry], hash: u32) -> usize {
        let mut at = usize::try_from((u64::from(hash) * leaf.len() as u64) >> 32).unwrap_or(0);
        let before = |at: usize| at.checked_sub(1).and_then(|i| leaf.get(i)).is_some_and(|e| e.hash >= hash);
        while before(at) {
            at -= 1;
        }
        while leaf.get(at).is_some_and(|e| e.hash < hash) {
            at += 1;
        }
        at
    }

    /// What `is` gives for the first slot under `hash` that is the one looked for.
    #[inline]
    pub(super) fn find<T>(&self, hash: u64, is: impl Fn(u32) -> Option<T>) -> Option<T> {
        let (leaf, hash) = self.leaf(hash);
        let entries = leaf.get(Self::start(leaf, hash)..)?;
        entries.iter().take_while(|e| e.hash == hash).find_map(|e| is(e.slot))
    }

    fn change(&mut self, hash: u64, change: impl FnOnce(&[Entry], usize, u32) -> Leaf) {
        let (stem, leaf, hash) = parts(hash);
        let root = Arc::make_mut(&mut self.root);
        let leaf = root.get_mut(stem).and_then(|s| Arc::make_mut(s).get_mut(leaf));
        if let Some(leaf) = leaf {
            *leaf = change(leaf, Self::start(leaf, hash), hash);
        }
    }

    pub(super) fn insert(&mut self, hash: u64, slot: u32) {
        self.change(hash, |entries, at, hash| {
            let (before, after) = entries.split_at_checked(at).unwrap_or((entries, &[]));
            before.iter().chain(&[Entry { hash, slot }]).chain(after).copied().collect()
        });
    }

    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        self.change(hash, |entries, _, hash| entries.iter().copied().filter(|e| *e != Entry { hash, slot }).collect());
    }
}
