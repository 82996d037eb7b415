//! Changing a snapshot: entities put in and taken out, then checked together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::error::Faults;
use super::record::{self, Draft, Record, Slots};
use super::rules;
use super::snapshot::Snapshot;
use super::EntityError;
use crate::bundle::types::{EntityType, Misfit, Types};
use crate::bundle::{Bundle, ErrorMode};
use crate::model::{shorten, Entity, EntityUid, Value};

/// A snapshot that is being changed. It is used when all checks have passed, or not at all.
pub(super) struct Edit<'a> {
    bundle: &'a Bundle,
    before: Snapshot,
    next: Snapshot,
    /// The slots put in, with the entities' places in the list they came in, in the order of that.
    put: Vec<(u32, usize)>,
    places: HashMap<u32, usize, foldhash::fast::RandomState>,
    removed: Vec<(u32, EntityUid)>,
    /// Slots whose direct parents are others than before; with their places where they were put in.
    moved: Vec<(u32, Option<usize>)>,
    /// Slots that lost a reference, and may be unused now.
    dropped: Vec<u32>,
    /// Whether nothing was there before, so that all that has parents is among what moved.
    fresh: bool,
    /// Whether all that is referred to is known to be stored.
    complete: bool,
    faults: Faults,
}

impl<'a> Edit<'a> {
    pub(super) fn new(bundle: &'a Bundle, before: Snapshot) -> Self {
        let next = before.clone();
        Self {
            bundle,
            // An empty one need not be kept: what it shares with the next would be copied at the first change.
            before: if before.is_empty() { Snapshot::empty() } else { before },
            next,
            put: Vec::new(),
            places: HashMap::default(),
            removed: Vec::new(),
            moved: Vec::new(),
            dropped: Vec::new(),
            fresh: false,
            complete: false,
            faults: Faults::default(),
        }
    }

    /// One that has made a snapshot from nothing: `put` and `moved` as in an edit, `dropped` the slots without use, and
    /// whether all that is referred to is known to be stored.
    pub(super) fn loaded(
        bundle: &'a Bundle,
        next: Snapshot,
        put: Vec<(u32, usize)>,
        moved: Vec<(u32, Option<usize>)>,
        dropped: Vec<u32>,
        complete: bool,
        faults: Faults,
    ) -> Self {
        let none = Self::new(bundle, Snapshot::empty());
        Self { next, put, moved, dropped, fresh: true, complete, faults, ..none }
    }

    fn strict(&self) -> bool {
        self.bundle.mode() == ErrorMode::Strict
    }

    pub(super) fn remove(&mut self, uid: &EntityUid) {
        let Some((slot, old)) = self.next.find(uid).and_then(|s| Some((s, self.next.entity(s)?))) else {
            self.faults.push(None, Some(uid), "is not stored, so it cannot be taken out");
            return;
        };
        let (mut gone, parents) = (Vec::new(), old.parents().to_vec());
        record::references(&self.next, old, &mut gone);
        let named = Draft::named(old.generation, old.type_id, old.id(), old.pinned);
        self.count(&gone, &[], &parents, &[]);
        self.next.table.put(slot, named.sealed());
        self.next.stored -= 1;
        if !parents.is_empty() {
            self.moved.push((slot, None));
        }
        self.dropped.push(slot);
        self.removed.push((slot, uid.clone()));
    }

    pub(super) fn put(&mut self, index: usize, entity: &Entity) {
        if !check(self.bundle, index, entity, &mut self.faults) {
            return;
        }
        let uid = entity.uid();
        let Some(slot) = self.next.intern(uid) else {
            return self.faults.push(Some(index), Some(uid), "there is no room for more entities");
        };
        if let Some(first) = self.places.get(&slot) {
            let message = format!("duplicate uid; entity {first} has it too");
            return self.faults.push(Some(index), Some(uid), message);
        }
        self.places.insert(slot, index);
        self.put.push((slot, index));
        let Some(old) = self.next.table.get(slot).cloned() else {
            return;
        };
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        record::references(&self.next, &old, &mut gone);
        let layout = Arc::clone(self.next.layout());
        let Some(record) = record::encode(&mut self.next, &layout, entity, &old, &mut come) else {
            return self.faults.push(Some(index), Some(uid), "there is no room for more entities");
        };
        self.count(&gone, &come, old.parents(), &record.parents);
        if *old.parents() != *record.parents {
            self.moved.push((slot, Some(index)));
        }
        // Where the parents are the same so are the ancestors, unless a parent moves.
        let record =
            if *old.parents() == *record.parents { record.with_ancestors(old.ancestors().to_vec()) } else { record };
        self.next.stored += usize::from(!old.stored);
        drop(old);
        self.next.table.put(slot, record.sealed());
    }

    /// Counts what an entity refers to: no longer what is gone, from now on what has come.
    fn count(&mut self, gone: &[u32], come: &[u32], old_parents: &[u32], parents: &[u32]) {
        for (before, after, child) in [(gone, come, false), (old_parents, parents, true)] {
            let (mut before, mut after) = (before.to_vec(), after.to_vec());
            before.sort_unstable();
            after.sort_unstable();
            let (mut b, mut a) = (before.iter().peekable(), after.iter().peekable());
            loop {
                let (slot, up) = match (b.peek(), a.peek()) {
                    (None, None) => break,
                    (Some(old), Some(new)) if old == new => {
                        b.next();
                        a.next();
                        continue;
                    }
                    (Some(old), new) if new.is_none_or(|new| old < new) => (**old, false),
                    (_, Some(new)) => (**new, true),
                    (Some(old), None) => (**old, false),
                };
                let _ = if up { a.next() } else { b.next() };
                if let Some(n) = self.next.table.references_mut(slot).map(|of| of.of(child)) {
                    *n = if up { n.saturating_add(1) } else { n.saturating_sub(1) };
                }
                if !up {
                    self.dropped.push(slot);
                }
            }
        }
    }

    /// Checks what was put in and gives the new snapshot. `faults` are those that a reader met.
    pub(super) fn finish(mut self, faults: Faults) -> Result<Snapshot, EntityError> {
        let complete = faults.is_empty();
        self.faults.absorb(faults);
        self.check_cycles();
        // An entity that could not be read would seem to be missing to all that refer to it.
        if complete && self.strict() {
            self.check_references();
            if self.bundle.is_grc() {
                self.check_rules();
            }
        }
        std::mem::take(&mut self.faults).finish()?;
        self.close();
        for slot in std::mem::take(&mut self.dropped) {
            self.next.release_if_unused(slot);
        }
        self.next.listed_in_groups |= self.moved.iter().any(|(slot, _)| self.next.is_fixed(*slot));
        self.next.checked = self.bundle.checked_types();
        Ok(self.next)
    }

    fn check_references(&mut self) {
        if self.complete {
            return;
        }
        let types = self.bundle.inner.types.as_deref();
        let mut targets = Vec::new();
        for &(slot, index) in &self.put {
            let Some(record) = self.next.record(slot) else { continue };
            targets.clear();
            record::references(&self.next, record, &mut targets);
            let dangling = |target: &u32| self.next.entity(*target).is_none();
            let parents = record.parents().iter().filter(|t| dangling(t)).map(|t| ("parents".to_owned(), *t));
            let mut missing: Vec<(String, u32)> = parents.collect();
            targets.sort_unstable();
            targets.dedup();
            for target in targets.iter().filter(|t| dangling(t)) {
                let names = record::names_of_references(&self.next, record, *target);
                missing.extend(names.into_iter().map(|name| (name, *target)));
            }
            for (what, target) in missing {
                let Some(target) = self.next.uid(target) else { continue };
                if !types.is_some_and(|t| t.is_declared_type(&target)) {
                    let message = format!("`{what}`: `{}` is not stored", shorten(&target.to_string()));
                    self.faults.push(Some(index), self.next.uid(slot).as_ref(), message);
                }
            }
        }
        for (slot, uid) in self.removed.iter().filter(|(slot, _)| self.next.entity(*slot).is_none()) {
            let count = self.next.table.references(*slot).all();
            if count > 0 {
                self.faults.push(None, Some(uid), format!("cannot be taken out: {count} references to it remain"));
            }
        }
    }

    fn check_rules(&mut self) {
        let next = &self.next;
        let clients = |slot: u32| next.table.references(slot).by_child;
        let numbers = rules::Numbers::of(next);
        let mut misfits = Vec::new();
        for &(slot, index) in &self.put {
            let Some(record) = next.entity(slot) else { continue };
            misfits.clear();
            let subject = rules::Subject::stored(&numbers, record);
            rules::check(next, &numbers, &subject, clients(slot), &mut misfits);
            // A project that moves takes nobody along: all that names it must come in the same changes.
            if subject.kind == rules::Kind::Project && !self.fresh {
                let old = self.before.entity(slot).filter(|_| self.before.layout() == next.layout());
                let old = old.filter(|old| old.generation == record.generation);
                let moved =
                    old.is_some_and(|old| rules::Subject::stored(&numbers, old).organization != subject.organization);
                if moved && !self.names_come_along(slot) {
                    misfits
                        .push(Misfit::new("organization", "entities of the old organization still name this project"));
                }
            }
            if !misfits.is_empty() {
                let uid = next.uid(slot);
                misfits.iter().for_each(|m| self.faults.push(Some(index), uid.as_ref(), m.to_string()));
            }
        }
    }

    /// Whether everything that refers to `slot` was put in.
    fn names_come_along(&self, slot: u32) -> bool {
        let all = self.next.table.references(slot).all();
        let mut here = 0;
        let mut references = Vec::new();
        for record in self.put.iter().filter_map(|(s, _)| self.next.record(*s)) {
            references.clear();
            record::references(&self.next, record, &mut references);
            let named = references.iter().chain(record.parents()).filter(|s| **s == slot).count();
            here += u32::try_from(named).unwrap_or(u32::MAX);
        }
        here >= all
    }

    /// Refuses entities that are their own ancestors. Only entities that move can close a cycle.
    fn check_cycles(&mut self) {
        let mut clear: HashSet<u32, foldhash::fast::RandomState> = HashSet::default();
        let mut moved: Vec<(u32, usize)> = self.moved.iter().filter_map(|(slot, at)| Some((*slot, (*at)?))).collect();
        moved.sort_unstable_by_key(|(_, index)| *index);
        let at_top = |slot: &u32| self.next.entity(*slot).is_none_or(|parent| parent.parents().is_empty());
        // Nothing is below itself whose parents have none.
        moved.retain(|(slot, _)| self.next.entity(*slot).is_some_and(|record| !record.parents().iter().all(at_top)));
        for (start, index) in moved {
            // An explicit stack: a chain of parents can be as long as the file.
            let mut on_path: HashSet<u32, foldhash::fast::RandomState> = HashSet::default();
            let mut open: Vec<(u32, bool)> = vec![(start, false)];
            while let Some((slot, done)) = open.pop() {
                if done {
                    on_path.remove(&slot);
                    clear.insert(slot);
                } else if on_path.contains(&slot) {
                    let uid = |slot| self.next.uid(slot);
                    let through = uid(slot).map(|uid| uid.to_string()).unwrap_or_default();
                    let message = format!("`parents`: a cycle through `{through}`");
                    self.faults.push(Some(index), uid(start).as_ref(), message);
                    break;
                } else if !clear.contains(&slot) {
                    if let Some(record) = self.next.entity(slot).filter(|r| !r.parents().is_empty()) {
                        on_path.insert(slot);
                        open.push((slot, true));
                        open.extend(record.parents().iter().map(|p| (*p, false)));
                    }
                }
            }
        }
    }

    /// Brings the ancestors of all that moved up to date, and of all below it.
    fn close(&mut self) {
        if self.moved.is_empty() {
            return;
        }
        let mut open: Vec<u32> = self.moved.iter().map(|(slot, _)| *slot).collect();
        let has_children = |slot: &u32| self.next.table.references(*slot).by_child > 0;
        if !self.fresh && open.iter().any(has_children) {
            // What was below it has it among its ancestors still.
            let moved: HashSet<u32, foldhash::fast::RandomState> = open.iter().copied().collect();
            let below = |record: &Record| record.ancestors().iter().any(|a| moved.contains(a));
            let slots = self.next.slots().filter(|(slot, record)| !moved.contains(slot) && below(record));
            open.extend(slots.map(|(slot, _)| slot).collect::<Vec<_>>());
        }
        let mut ancestors: Vec<u32> = Vec::new();
        for slot in open {
            let Some(record) = self.next.entity(slot) else { continue };
            let deeper = |parent: &u32| self.next.entity(*parent).is_some_and(|p| !p.parents().is_empty());
            if !record.parents().iter().any(deeper) && record.ancestors().len() == record.parents().len() {
                continue;
            }
            ancestors.clear();
            let mut seen: HashSet<u32, foldhash::fast::RandomState> = HashSet::default();
            let mut walk: Vec<u32> = record.parents().to_vec();
            while let Some(parent) = walk.pop() {
                if seen.insert(parent) {
                    walk.extend(self.next.entity(parent).into_iter().flat_map(|p| p.parents().iter()));
                }
            }
            ancestors.extend(seen);
            ancestors.sort_unstable();
            let record = record.draft().with_ancestors(ancestors.clone()).sealed();
            self.next.table.put(slot, record);
        }
    }
}

/// Checks an entity for itself. Whether it is one to be put in: an action is not, nor what is too deep to be looked at.
pub(super) fn check(bundle: &Bundle, index: usize, entity: &Entity, faults: &mut Faults) -> bool {
    let (uid, types) = (entity.uid(), bundle.inner.types.as_deref());
    if entity.is_too_deep() {
        faults.push(Some(index), Some(uid), format!("a value is nested deeper than {}", Value::DEPTH));
        return false;
    }
    if let (ErrorMode::Strict, Some(types)) = (bundle.mode(), types) {
        let mut misfits = Vec::new();
        fits(types, entity, &mut misfits);
        misfits.iter().for_each(|m| faults.push(Some(index), Some(uid), m.to_string()));
    }
    // Actions are the schema's; entity files of other tools list them too.
    !uid.is_action() || types.is_none()
}

/// Checks a resource that comes with a request, as if it were stored.
pub(crate) fn check_inline(snapshot: &Snapshot, bundle: &Bundle, entity: &Entity) -> Result<(), String> {
    let Some(types) = bundle.inner.types.as_deref() else {
        return Ok(());
    };
    let mut misfits = Vec::new();
    fits(types, entity, &mut misfits);
    if misfits.is_empty() {
        let mut known = |what: &str, uid: &EntityUid| {
            let stored = snapshot.find(uid).is_some_and(|slot| snapshot.entity(slot).is_some());
            if !stored && !types.is_declared_type(uid) {
                misfits.push(Misfit::new(what, format!("`{}` is not stored", shorten(&uid.to_string()))));
            }
        };
        entity.parents().iter().for_each(|uid| known("parents", uid));
        for (name, value) in entity.attributes().iter().chain(entity.tags()) {
            value.for_each_entity(&mut |uid| known(name, uid));
        }
    }
    if misfits.is_empty() && bundle.is_grc() {
        let numbers = rules::Numbers::of(snapshot);
        rules::check(snapshot, &numbers, &rules::Subject::inline(snapshot, entity), 0, &mut misfits);
    }
    match misfits.first() {
        None => Ok(()),
        Some(misfit) => Err(misfit.to_string()),
    }
}

/// Where an entity does not fit the schema.
fn fits(types: &Types, entity: &Entity, out: &mut Vec<Misfit>) {
    let uid = entity.uid();
    if uid.is_action() {
        let declared = types.actions.get(uid);
        if declared.is_none_or(|a| !entity.attributes().is_empty() || *entity.parents() != a.parents) {
            out.push(Misfit::new("", "is not an action as the schema declares it"));
        }
        return;
    }
    match types.entities.get(uid.type_name()) {
        None => {
            let mut known: Vec<_> = types.entities.keys().map(|k| format!("`{k}`")).collect();
            known.sort();
            out.push(Misfit::new("", format!("unknown entity type; expected one of {}", known.join(", "))));
        }
        Some(EntityType::Enum(_)) => {
            out.push(Misfit::new("", "entities of this type are listed in the schema and not stored"));
        }
        Some(EntityType::Stored { parents, attributes, tags, .. }) => {
            types.check_record(entity.attributes(), attributes, "", out);
            for parent in entity.parents().iter().filter(|p| !parents.contains(p.type_name())) {
                let known = parents.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "it has none".into() } else { format!("expected {known}") };
                out.push(Misfit::new("parents", format!("`{parent}` cannot be a parent; {known}")));
            }
            match tags {
                Some(of) => entity.tags().iter().for_each(|(name, tag)| types.check(tag, of, name, out)),
                None if entity.tags().is_empty() => {}
                None => out.push(Misfit::new("tags", "entities of this type have no tags")),
            }
        }
    }
}
