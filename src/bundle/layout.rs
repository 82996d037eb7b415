//! How a schema's entities are laid out: a number for each entity type, for each attribute of a type, and for each
//! entity that the schema lists itself.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use super::types::{EntityType, RecordType, Type, Types};
use crate::model::{EntityUid, Word};

/// The place of an attribute that a type does not have.
pub(crate) const NOWHERE: u16 = u16::MAX;
/// Most attributes of a type that have numbers; further ones are found by name.
pub(crate) const NUMBERED: usize = 64;

/// The first of so many generations, each unlike any other in this process.
pub(crate) fn generations(count: u64) -> u64 {
    static GENERATION: AtomicU64 = AtomicU64::new(1);
    GENERATION.fetch_add(count, Ordering::Relaxed)
}

/// The numbers that a schema gives to what it declares.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    types: Vec<TypeLayout>,
    by_name: HashMap<Word, u32, foldhash::fast::RandomState>,
    /// Entities of enumerated types, then actions: their numbers are their places here, in every snapshot.
    fixed: Vec<EntityUid>,
    by_uid: HashMap<EntityUid, u32, foldhash::fast::RandomState>,
    /// The generation of the first of them.
    generation: u64,
    /// How many of these are of enumerated types.
    enumerated: usize,
    /// Actions, with all the groups they are in, sorted.
    groups: Vec<(u32, Vec<u32>)>,
}

/// The attributes of one entity type; an attribute's number is its place.
#[derive(Debug, PartialEq, Eq)]
struct TypeLayout {
    name: Word,
    attributes: Vec<Arc<str>>,
    /// The numbers of those that have one, by name.
    by_name: Vec<u16>,
}

impl TypeLayout {
    /// By name, but those of which an entity's first line cannot hold the value come last.
    fn new(name: Word, of: &RecordType) -> Self {
        let elsewhere = |of: &Type| matches!(of, Type::String | Type::Set(_) | Type::Record(_) | Type::Ip);
        let mut fields: Vec<_> = of.fields.iter().map(|(name, field)| (elsewhere(&field.of), name)).collect();
        fields.sort_by_key(|(elsewhere, _)| *elsewhere);
        let attributes: Vec<Arc<str>> = fields.into_iter().map(|(_, name)| (**name).into()).collect();
        let mut by_name: Vec<u16> = (0..).take(attributes.len().min(NUMBERED)).collect();
        by_name.sort_by_key(|number| attributes.get(usize::from(*number)));
        Self { name, attributes, by_name }
    }
}

impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.types == other.types && self.fixed == other.fixed && self.groups == other.groups
    }
}

impl Layout {
    pub(crate) fn new(types: &Types) -> Self {
        let mut layout = Layout::default();
        let mut names: Vec<&String> = types.entities.keys().collect();
        names.sort();
        for name in names {
            let none = RecordType::default();
            let attributes = match types.entities.get(name) {
                Some(EntityType::Stored { attributes, .. }) => attributes,
                Some(EntityType::Enum(ids)) => {
                    // A schema may list an id twice; its number is one.
                    let ids: std::collections::BTreeSet<&String> = ids.iter().collect();
                    layout.fixed.extend(ids.iter().map(|id| EntityUid::unchecked(name.as_str(), id.as_str())));
                    &none
                }
                None => continue,
            };
            layout.add(name.into(), attributes);
        }
        layout.enumerated = layout.fixed.len();
        for action in types.actions.keys() {
            let (type_name, _) = action.parts();
            if layout.type_id(type_name).is_none() {
                layout.add(type_name.clone(), &RecordType::default());
            }
            layout.fixed.push(action.clone());
        }
        layout.generation = generations(layout.fixed.len() as u64);
        layout.by_uid = layout.fixed.iter().cloned().zip(0..).collect();
        for (action, of) in &types.actions {
            let mut groups: Vec<u32> = of.ancestors.iter().filter_map(|group| layout.fixed_id(group)).collect();
            groups.sort_unstable();
            layout.groups.extend(layout.fixed_id(action).filter(|_| !groups.is_empty()).map(|slot| (slot, groups)));
        }
        layout
    }

    fn add(&mut self, name: Word, attributes: &RecordType) {
        self.by_name.insert(name.clone(), u32::try_from(self.types.len()).unwrap_or(u32::MAX));
        self.types.push(TypeLayout::new(name, attributes));
    }

    /// How many types are declared.
    pub(crate) fn types(&self) -> usize {
        self.types.len()
    }

    /// The number of the type with this name.
    pub(crate) fn type_id(&self, name: &Word) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The name of a declared type.
    pub(crate) fn type_name(&self, type_id: u32) -> Option<&Word> {
        self.types.get(type_id as usize).map(|t| &t.name)
    }

    /// The names of a declared type's attributes, by their numbers; none for other types.
    pub(crate) fn attributes(&self, type_id: u32) -> &[Arc<str>] {
        self.types.get(type_id as usize).map_or(&[], |t| &t.attributes)
    }

    /// The number of an attribute of a type, [`NOWHERE`] where it has none.
    pub(crate) fn attribute(&self, type_id: u32, name: &str) -> u16 {
        let Some(TypeLayout { attributes, by_name, .. }) = self.types.get(type_id as usize) else { return NOWHERE };
        let own = |number: &u16| attributes.get(usize::from(*number)).map(|own| &**own);
        let found = by_name.binary_search_by(|number| own(number).cmp(&Some(name))).ok();
        found.and_then(|at| by_name.get(at).copied()).unwrap_or(NOWHERE)
    }

    /// The entities the schema lists itself: enumerated ones and actions.
    pub(crate) fn fixed(&self) -> &[EntityUid] {
        &self.fixed
    }

    /// How many of them are of enumerated types: those come first.
    pub(crate) fn enumerated(&self) -> usize {
        self.enumerated
    }

    /// The numbers of the entities that the schema lists for a type, if it does.
    pub(crate) fn listed(&self, of: &Word) -> Option<Range<u32>> {
        let own = |uid: &&EntityUid| uid.parts().0 == of;
        let listed = self.fixed.get(..self.enumerated)?;
        let first = u32::try_from(listed.iter().position(|uid| own(&uid))?).ok()?;
        Some(first..first + u32::try_from(listed.iter().filter(own).count()).ok()?)
    }

    /// Actions by number, with the numbers of all the groups they are in.
    pub(crate) fn groups(&self) -> &[(u32, Vec<u32>)] {
        &self.groups
    }

    /// The generation of a listed entity, which is the same in every snapshot of this layout.
    #[inline]
    pub(crate) fn generation(&self, number: u32) -> Option<u64> {
        ((number as usize) < self.fixed.len()).then(|| self.generation + u64::from(number))
    }

    /// The number of a listed entity.
    #[inline]
    pub(crate) fn fixed_id(&self, uid: &EntityUid) -> Option<u32> {
        self.by_uid.get(uid).copied()
    }
}
