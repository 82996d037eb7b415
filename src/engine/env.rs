//! A request as conditions see it: its entities, their attributes, and what they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use super::bugs::Bug;
use super::Linked;
use crate::bundle::program::{Environment, Key, Name, Root, TypeKey, GIVEN};
use crate::entities::record::{sorted_contains, Held, Packed, Record};
use crate::entities::Snapshot;
use crate::model::{Context, Entity, EntityUid, Timestamp, Value, Window};

/// Why a condition has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault<'a> {
    NoEntity(&'a str),
    NoAttribute(&'a str),
    NoTag,
    Expected(&'static str),
    Overflow,
    Extension(&'static str),
}

impl std::fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::NoEntity(name) => write!(f, "`{name}` is asked of an entity that is not stored"),
            Fault::NoAttribute(name) => write!(f, "there is no attribute `{name}`"),
            Fault::NoTag => f.write_str("there is no such tag"),
            Fault::Expected(what) => write!(f, "expected {what}"),
            Fault::Overflow => f.write_str("a number, instant or duration out of the 64-bit range"),
            Fault::Extension(what) => write!(f, "the text is no {what}"),
        }
    }
}

pub(super) type Answer<'a, T> = Result<T, Fault<'a>>;

/// An entity met while evaluating. A uid that has a slot is always met as that slot.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ent<'a> {
    Slot(u32),
    /// A uid of the request that the snapshot has never heard of.
    Foreign(&'a EntityUid),
}

impl PartialEq for Ent<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Ent::Slot(a), Ent::Slot(b)) => a == b,
            (Ent::Foreign(a), Ent::Foreign(b)) => a == b,
            _ => false,
        }
    }
}

/// What is known of an entity.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Data<'a> {
    Stored(&'a Record),
    Inline(&'a Entity),
    Missing,
}

/// A value while evaluating.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    Bool(bool),
    Long(i64),
    Datetime(i64),
    Duration(i64),
    Decimal(i64),
    Ip(IpAddr, u8),
    Text(&'a str),
    Entity(Ent<'a>),
    /// A set of stored entities, sorted.
    Entities(&'a [u32]),
    /// A set of entities that a policy names.
    Names(&'a [Name]),
    Set(&'a BTreeSet<Value>),
    Record(&'a BTreeMap<String, Value>),
    /// A set or record made while evaluating.
    MadeSet(Rc<[Val<'a>]>),
    MadeRecord(Rc<[(&'a str, Val<'a>)]>),
    /// The record of a window, which the library made.
    Window(Window),
}

/// A request as conditions see it.
pub(crate) struct Env<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// The slots of the program's literals.
    pub(crate) literals: &'a [u32],
    pub(crate) principal: (Ent<'a>, Data<'a>),
    pub(crate) action: Ent<'a>,
    pub(crate) resource: (Ent<'a>, Data<'a>),
    /// If the schema foresees the types of the three.
    pub(super) environment: Option<&'a Environment>,
    pub(crate) context: &'a Context,
    /// What a look at the context's numbered attributes tells.
    pub(super) given: [Packed; GIVEN],
    /// `context.now` and `context.window`, where the library set them.
    pub(crate) now: Option<Timestamp>,
    pub(crate) window: Option<Window>,
}

impl<'a> Env<'a> {
    /// As it is before anything of the request was found.
    #[inline]
    pub(super) fn new(linked: &'a Linked, context: &'a Context) -> Self {
        // No slot has this number.
        let nobody = Ent::Slot(u32::MAX);
        Self {
            snapshot: &linked.snapshot,
            literals: &linked.literals,
            principal: (nobody, Data::Missing),
            action: nobody,
            resource: (nobody, Data::Missing),
            environment: None,
            context,
            given: [Packed::ABSENT; GIVEN],
            now: None,
            window: None,
        }
    }

    #[inline]
    pub(super) fn slot(&self, name: Name) -> u32 {
        match name {
            Name::Fixed(slot) => slot,
            // INVARIANT: literals are those of the program, one slot for each.
            Name::Literal(number) => self.literals.get(number as usize).copied().unwrap_or(u32::MAX),
        }
    }

    #[inline]
    pub(super) fn root(&self, root: Root) -> (Ent<'a>, Data<'a>) {
        match root {
            Root::Principal => self.principal,
            Root::Resource => self.resource,
        }
    }

    pub(super) fn entity(&self, uid: &'a EntityUid) -> Ent<'a> {
        self.snapshot.find(uid).map_or(Ent::Foreign(uid), Ent::Slot)
    }

    /// The entity that came with the request, if `ent` is that.
    fn inline(&self, ent: Ent<'a>) -> Option<&'a Entity> {
        match self.resource {
            (own, Data::Inline(entity)) if own == ent => Some(entity),
            _ => None,
        }
    }

    pub(super) fn data(&self, ent: Ent<'a>) -> Data<'a> {
        match (self.inline(ent), ent) {
            (Some(entity), _) => Data::Inline(entity),
            (None, Ent::Slot(slot)) => self.snapshot.entity(slot).map_or(Data::Missing, Data::Stored),
            (None, Ent::Foreign(_)) => Data::Missing,
        }
    }

    pub(super) fn value(&self, value: &'a Value) -> Val<'a> {
        match value {
            Value::Bool(b) => Val::Bool(*b),
            Value::Long(n) => Val::Long(*n),
            Value::String(text) => Val::Text(text),
            Value::Entity(uid) => Val::Entity(self.entity(uid)),
            Value::Set(items) => Val::Set(items),
            Value::Record(fields) => Val::Record(fields),
            Value::Datetime(at) => Val::Datetime(at.millis()),
            Value::Duration(ms) => Val::Duration(*ms),
            Value::Decimal(n) => Val::Decimal(*n),
            Value::Ip(address, prefix) => Val::Ip(*address, *prefix),
        }
    }

    /// None where the attribute is absent.
    #[inline]
    pub(super) fn held(&self, held: Held<'a>) -> Option<Val<'a>> {
        Some(match held {
            Held::Absent => return None,
            Held::Bool(b) => Val::Bool(b),
            Held::Long(n) => Val::Long(n),
            Held::Entity(slot) => Val::Entity(Ent::Slot(slot)),
            Held::Datetime(ms) => Val::Datetime(ms),
            Held::Duration(ms) => Val::Duration(ms),
            Held::Decimal(n) => Val::Decimal(n),
            Held::Entities(slots) => Val::Entities(slots),
            Held::Other(value) => self.value(value),
        })
    }

    /// An attribute of an entity, by its number in the entity's type.
    #[inline]
    pub(super) fn attribute(&self, data: Data<'a>, number: u16, name: &'a str) -> Answer<'a, Val<'a>> {
        match data {
            Data::Stored(record) => record.attribute(number, name).and_then(|held| self.held(held)),
            Data::Inline(entity) => entity.attribute(name).map(|value| self.value(value)),
            Data::Missing => return Err(Fault::NoEntity(name)),
        }
        .or_else(|| Bug::MissingIsFalse.is_in().then_some(Val::Bool(false)))
        .ok_or(Fault::NoAttribute(name))
    }

    #[inline]
    pub(super) fn has_attribute(data: Data<'a>, number: u16, name: &str) -> bool {
        match data {
            Data::Stored(record) => record.attribute(number, name).is_some(),
            Data::Inline(entity) => entity.attribute(name).is_some(),
            Data::Missing => false,
        }
    }

    pub(super) fn number(data: Data<'a>, key: &Key) -> u16 {
        match data {
            Data::Stored(record) => key.numbers.get(record.type_id as usize).copied().unwrap_or(u16::MAX),
            _ => u16::MAX,
        }
    }

    /// `context.name`.
    #[inline]
    pub(super) fn of_context(&self, name: &str) -> Option<Val<'a>> {
        match (name, self.now, self.window) {
            ("now", Some(now), _) => Some(Val::Datetime(now.millis())),
            ("window", _, Some(window)) => Some(Val::Window(window)),
            _ => self.context.get(name).map(|value| self.value(value)),
        }
    }

    pub(super) fn whole_context(&self) -> Val<'a> {
        let mut names: BTreeSet<&'a str> = self.context.iter().map(|(name, _)| name).collect();
        names.extend(self.now.map(|_| "now"));
        names.extend(self.window.map(|_| "window"));
        Val::MadeRecord(names.into_iter().filter_map(|name| Some((name, self.of_context(name)?))).collect())
    }

    /// A field of a record; `Err` for a value that is none.
    pub(super) fn field(&self, of: &Val<'a>, name: &str) -> Result<Option<Val<'a>>, Fault<'a>> {
        Ok(match of {
            Val::Record(fields) => fields.get(name).map(|value| self.value(value)),
            Val::MadeRecord(fields) => fields.iter().find(|(own, _)| *own == name).map(|(_, v)| v.clone()),
            Val::Window(window) => match name {
                "from" => Some(Val::Datetime(window.from.millis())),
                "to" => Some(Val::Datetime(window.to.millis())),
                _ => None,
            },
            _ => return Err(Fault::Expected("an entity or a record")),
        })
    }

    /// Calls `f` with the slot of an entity and of each of its ancestors.
    pub(super) fn for_each_above(&self, (ent, data): (Ent<'a>, Data<'a>), f: &mut impl FnMut(&u32)) {
        if let Ent::Slot(slot) = ent {
            f(&slot);
        }
        match (data, ent) {
            (Data::Inline(entity), _) => {
                for slot in entity.parents().iter().filter_map(|uid| self.snapshot.find(uid)) {
                    f(&slot);
                    self.snapshot.record(slot).into_iter().flat_map(Record::ancestors).for_each(&mut *f);
                }
            }
            (_, Ent::Slot(slot)) => {
                let above = self.snapshot.record(slot).map_or(&[][..], Record::ancestors);
                above.iter().for_each(&mut *f);
                // By way of the entity that came with the request.
                if let (Ent::Slot(own), Data::Inline(_)) = self.resource {
                    if above.contains(&own) {
                        self.for_each_above(self.resource, f);
                    }
                }
            }
            (_, Ent::Foreign(_)) => {}
        }
    }

    /// Whether `ent` is `group` or belongs to it.
    #[inline]
    pub(super) fn within(&self, ent: Ent<'a>, group: Ent<'a>) -> bool {
        ent == group || self.descends(ent, group)
    }

    pub(super) fn descends(&self, ent: Ent<'a>, group: Ent<'a>) -> bool {
        let stored = match (self.inline(ent), ent) {
            (Some(entity), _) => return self.inline_descends(entity, group),
            (None, Ent::Foreign(_)) => return false,
            (None, Ent::Slot(slot)) => self.snapshot.record(slot).map_or(&[][..], Record::ancestors),
        };
        if stored.is_empty() {
            return false;
        }
        let has = |ent: Ent<'a>| matches!(ent, Ent::Slot(slot) if sorted_contains(stored, slot));
        if has(group) {
            return true;
        }
        // By way of the entity that came with the request.
        match self.resource {
            (own, Data::Inline(entity)) => has(own) && self.inline_descends(entity, group),
            _ => false,
        }
    }

    fn inline_descends(&self, entity: &'a Entity, group: Ent<'a>) -> bool {
        entity.parents().iter().any(|parent| {
            let parent = self.entity(parent);
            let stored = match parent {
                Ent::Slot(_) if Bug::ClosureNotJoined.is_in() => &[],
                Ent::Slot(slot) => self.snapshot.record(slot).map_or(&[][..], Record::ancestors),
                Ent::Foreign(_) => &[],
            };
            parent == group || matches!(group, Ent::Slot(slot) if sorted_contains(stored, slot))
        })
    }

    pub(super) fn within_names(&self, ent: Ent<'a>, names: &[Name]) -> bool {
        if let Ent::Slot(slot) = ent {
            if names.iter().any(|name| self.slot(*name) == slot) {
                return true;
            }
            if self.snapshot.is_alone(slot) {
                return false;
            }
        }
        names.iter().any(|name| self.descends(ent, Ent::Slot(self.slot(*name))))
    }

    pub(super) fn type_is(&self, ent: Ent<'a>, of: &TypeKey) -> bool {
        match ent {
            Ent::Foreign(uid) => *uid.parts().0 == of.name,
            Ent::Slot(slot) => self.snapshot.record(slot).is_some_and(|record| match of.number {
                Some(number) => record.type_id == number,
                None => self.snapshot.word(record.type_id) == Some(&of.name),
            }),
        }
    }
}
