//! The immutable state of the entities, and the checks it passes before it can be read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::error::Faults;
use super::{read_entities, rules, Changes, EntityError, Progress};
use crate::bundle::types::{EntityType, Misfit, Types};
use crate::bundle::{Bundle, ErrorMode};
use crate::model::{shorten, Entity, EntityUid, Revision, Value};

/// All entities at one revision. Cloning is cheap; a changed copy shares what did not change.
#[derive(Clone)]
pub struct Snapshot {
    stored: imbl::HashMap<EntityUid, Arc<Stored>>,
    /// How often each uid is referred to. INVARIANT: strictly loaded, no uid is here that is not stored.
    references: imbl::HashMap<EntityUid, References>,
    revision: Revision,
}

/// A stored entity, and its form for Cedar once that was asked for.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) entity: Entity,
    cedar: OnceLock<Option<cedar_policy::Entity>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct References {
    by_attribute: u32,
    by_child: u32,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("entities", &self.stored.len()).field("revision", &self.revision).finish()
    }
}

impl Stored {
    fn new(entity: Entity) -> Arc<Self> {
        Arc::new(Self { entity, cedar: OnceLock::new() })
    }

    /// The entity as Cedar holds it; none where it cannot be one.
    pub(crate) fn cedar(&self) -> Option<&cedar_policy::Entity> {
        self.cedar.get_or_init(|| self.entity.to_cedar().ok()).as_ref()
    }
}

fn next_epoch() -> u64 {
    static EPOCH: AtomicU64 = AtomicU64::new(1);
    EPOCH.fetch_add(1, Ordering::Relaxed)
}

impl Snapshot {
    /// A snapshot without entities.
    pub fn empty() -> Self {
        Self {
            stored: imbl::HashMap::new(),
            references: imbl::HashMap::new(),
            revision: Revision { epoch: next_epoch(), number: 0 },
        }
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
        let entities = read_entities(bundle, reader, progress)?;
        Self::empty().put(bundle, entities, &[])
    }

    /// Checks entities and makes a snapshot of them.
    ///
    /// # Errors
    /// When an entity breaks a rule: all bad entities at once, nothing loaded.
    pub fn from_entities(bundle: &Bundle, entities: Vec<Entity>) -> Result<Self, EntityError> {
        Self::empty().put(bundle, entities.into_iter().enumerate().collect(), &[])
    }

    /// The snapshot with `changes` made, one revision later.
    ///
    /// # Errors
    /// When an entity breaks a rule or what remains refers to an entity that is taken out: nothing is changed.
    pub fn apply(&self, bundle: &Bundle, changes: &Changes) -> Result<Self, EntityError> {
        let entities = changes.upserts.iter().cloned().enumerate().collect();
        let mut next = self.put(bundle, entities, &changes.removals)?;
        next.revision = Revision { epoch: self.revision.epoch, number: self.revision.number.saturating_add(1) };
        Ok(next)
    }

    /// Checks all entities against another bundle.
    ///
    /// # Errors
    /// When they do not fit it.
    pub(crate) fn recheck(&self, bundle: &Bundle) -> Result<(), EntityError> {
        let entities = self.iter().cloned().enumerate().collect();
        Self::empty().put(bundle, entities, &[]).map(|_| ())
    }

    /// The snapshot at another revision.
    pub(crate) fn at(mut self, revision: Revision) -> Self {
        self.revision = revision;
        self
    }

    /// The entity with this uid.
    pub fn get(&self, uid: &EntityUid) -> Option<&Entity> {
        self.stored.get(uid).map(|s| &s.entity)
    }

    pub(crate) fn stored(&self, uid: &EntityUid) -> Option<&Stored> {
        self.stored.get(uid).map(|s| &**s)
    }

    /// All entities, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Entity> {
        self.stored.values().map(|s| &s.entity)
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.stored.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    /// Its revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Takes an entity out, or an attribute of it, below all checks: for tests of what the engine does then.
    #[doc(hidden)]
    pub fn damaged(&self, uid: &EntityUid, attribute: Option<&str>) -> Self {
        let mut next = self.clone();
        match (attribute, self.get(uid)) {
            (Some(name), Some(entity)) => {
                next.stored.insert(uid.clone(), Stored::new(entity.clone().without(name)));
            }
            _ => {
                next.stored.remove(uid);
            }
        }
        next
    }

    /// Checks a resource that comes with a request, as if it were stored.
    pub(crate) fn check_inline(&self, bundle: &Bundle, entity: &Entity) -> Result<(), String> {
        let mut misfits = Vec::new();
        if let Some(types) = bundle.inner.types.as_deref() {
            fits(types, entity, &mut misfits);
            if misfits.is_empty() {
                for (what, uid) in references(entity) {
                    if !self.stored.contains_key(uid) && !types.is_declared_type(uid) {
                        misfits.push(Misfit::new(what, format!("`{}` is not stored", shorten(&uid.to_string()))));
                    }
                }
            }
            if misfits.is_empty() && bundle.is_grc() {
                rules::check(entity, &|uid| self.get(uid), &|_| 0, &mut misfits);
            }
        }
        match misfits.first() {
            None => Ok(()),
            Some(misfit) => Err(misfit.to_string()),
        }
    }

    fn put(
        &self,
        bundle: &Bundle,
        entities: Vec<(usize, Entity)>,
        removals: &[EntityUid],
    ) -> Result<Self, EntityError> {
        let strict = bundle.mode() == ErrorMode::Strict;
        let types = bundle.inner.types.as_deref();
        let mut next = self.clone();
        let mut faults = Faults::default();
        for uid in removals {
            match next.stored.remove(uid) {
                Some(old) => next.count(&old.entity, false),
                None => faults.push(None, Some(uid), "is not stored, so it cannot be taken out"),
            }
        }
        let mut put: HashMap<EntityUid, usize> = HashMap::with_capacity(entities.len());
        for (index, entity) in entities {
            let uid = entity.uid().clone();
            if entity.is_too_deep() {
                faults.push(Some(index), Some(&uid), format!("a value is nested deeper than {}", Value::DEPTH));
                continue;
            }
            let mut misfits = Vec::new();
            if let (true, Some(types)) = (strict, types) {
                fits(types, &entity, &mut misfits);
            }
            misfits.iter().for_each(|m| faults.push(Some(index), Some(&uid), m.to_string()));
            if let Some(first) = put.get(&uid) {
                faults.push(Some(index), Some(&uid), format!("duplicate uid; entity {first} has it too"));
                continue;
            }
            put.insert(uid.clone(), index);
            if uid.is_action() && types.is_some() {
                // Actions are the schema's; entity files of other tools list them too.
                continue;
            }
            if let Some(old) = next.stored.get(&uid).cloned() {
                next.count(&old.entity, false);
            }
            next.count(&entity, true);
            next.stored.insert(uid, Stored::new(entity));
        }
        // References and rules are checked on the state as it would be.
        if strict {
            let declared = |uid: &EntityUid| types.is_some_and(|t| t.is_declared_type(uid));
            for (uid, index) in &put {
                let Some(entity) = next.get(uid) else {
                    continue;
                };
                for (what, target) in references(entity) {
                    if !next.stored.contains_key(target) && !declared(target) {
                        let target = shorten(&target.to_string());
                        faults.push(Some(*index), Some(uid), format!("`{what}`: `{target}` is not stored"));
                    }
                }
            }
            for uid in removals.iter().filter(|uid| !next.stored.contains_key(*uid)) {
                if let Some(r) = next.references.get(uid) {
                    let count = r.by_attribute.saturating_add(r.by_child);
                    faults.push(None, Some(uid), format!("cannot be taken out: {count} references to it remain"));
                }
            }
            if bundle.is_grc() {
                next.check_rules(self, &put, &mut faults);
            }
        }
        next.check_cycles(&put, &mut faults);
        faults.finish().map(|()| next)
    }

    fn check_rules(&self, before: &Snapshot, put: &HashMap<EntityUid, usize>, faults: &mut Faults) {
        let clients = |uid: &EntityUid| self.references.get(uid).map_or(0, |r| r.by_child);
        let mut named_here: BTreeMap<&EntityUid, u32> = BTreeMap::new();
        for uid in put.keys() {
            let Some(entity) = self.get(uid) else {
                continue;
            };
            references(entity)
                .filter(|(_, target)| target.type_name() == "Grc::Project")
                .for_each(|(_, target)| *named_here.entry(target).or_default() += 1);
        }
        for (uid, index) in put {
            let Some(entity) = self.get(uid) else {
                continue;
            };
            let mut misfits = Vec::new();
            rules::check(entity, &|uid| self.get(uid), &clients, &mut misfits);
            // A project that moves takes nobody along: all that names it must come in the same changes.
            if uid.type_name() == "Grc::Project" {
                let organization = |s: &Snapshot| s.get(uid).and_then(|p| p.attribute("organization").cloned());
                let moved = before.stored.contains_key(uid) && organization(before) != organization(self);
                let named = self.references.get(uid).map_or(0, |r| r.by_attribute.saturating_add(r.by_child));
                if moved && named > named_here.get(uid).copied().unwrap_or(0) {
                    misfits
                        .push(Misfit::new("organization", "entities of the old organisation still name this project"));
                }
            }
            misfits.iter().for_each(|m| faults.push(Some(*index), Some(uid), m.to_string()));
        }
    }

    /// Refuses entities that are their own ancestors. Only entities put in can close a cycle.
    fn check_cycles(&self, put: &HashMap<EntityUid, usize>, faults: &mut Faults) {
        let mut clear: HashSet<&EntityUid> = HashSet::new();
        for (start, index) in put {
            // An explicit stack: a chain of parents can be as long as the file.
            let mut path: Vec<&EntityUid> = Vec::new();
            let mut on_path: HashSet<&EntityUid> = HashSet::new();
            let mut open: Vec<(&EntityUid, bool)> = vec![(start, false)];
            while let Some((uid, done)) = open.pop() {
                if done {
                    path.pop();
                    on_path.remove(uid);
                    clear.insert(uid);
                } else if on_path.contains(uid) {
                    faults.push(Some(*index), Some(start), format!("`parents`: a cycle through `{uid}`"));
                    break;
                } else if !clear.contains(uid) {
                    if let Some((uid, stored)) = self.stored.get_key_value(uid) {
                        path.push(uid);
                        on_path.insert(uid);
                        open.push((uid, true));
                        open.extend(stored.entity.parents().iter().map(|p| (p, false)));
                    }
                }
            }
        }
    }

    /// Counts what an entity refers to, up when it is put in, down when it goes.
    fn count(&mut self, entity: &Entity, up: bool) {
        let step = |n: &mut u32| *n = if up { n.saturating_add(1) } else { n.saturating_sub(1) };
        let parents = entity.parents().iter().map(|p| (true, p));
        let attributes = references(entity).filter(|(what, _)| *what != "parents").map(|(_, uid)| (false, uid));
        for (is_parent, uid) in parents.chain(attributes) {
            let mut counts = self.references.get(uid).copied().unwrap_or_default();
            step(if is_parent { &mut counts.by_child } else { &mut counts.by_attribute });
            if counts == References::default() {
                self.references.remove(uid);
            } else {
                self.references.insert(uid.clone(), counts);
            }
        }
    }
}

/// What an entity refers to: its parents, then its attributes' and tags' entities, with the attribute's name.
fn references(entity: &Entity) -> impl Iterator<Item = (&str, &EntityUid)> {
    let mut out: Vec<(&str, &EntityUid)> = entity.parents().iter().map(|p| ("parents", p)).collect();
    for (name, value) in entity.attributes().iter().chain(entity.tags()) {
        value.for_each_entity(&mut |uid| out.push((name, uid)));
    }
    out.into_iter()
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
