//! Evaluating compiled conditions on a request. Every value carries its type, and every operator checks it: that
//! policies were validated makes them quicker to read for people, not more trusted here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use cedar_policy::pst::PatternElem;

use super::bugs::Bug;
use crate::bundle::program::{self, Cond, Expr, Function, Key, Name, Root, TypeKey};
use crate::entities::record::{sorted_contains, Cell, Record};
use crate::entities::Snapshot;
use crate::model::{
    parse_datetime, parse_decimal, parse_duration, parse_ip, Entity, EntityUid, Timestamp, Value, Window,
};

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

type Answer<'a, T> = Result<T, Fault<'a>>;

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
enum Val<'a> {
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
    pub(crate) context: &'a BTreeMap<String, Value>,
    /// `context.now` and `context.window`, where the library set them.
    pub(crate) now: Option<Timestamp>,
    pub(crate) window: Option<Window>,
}

impl<'a> Env<'a> {
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

    fn entity(&self, uid: &'a EntityUid) -> Ent<'a> {
        self.snapshot.find(uid).map_or(Ent::Foreign(uid), Ent::Slot)
    }

    /// The entity that came with the request, if `ent` is that.
    fn inline(&self, ent: Ent<'a>) -> Option<&'a Entity> {
        match self.resource {
            (own, Data::Inline(entity)) if own == ent => Some(entity),
            _ => None,
        }
    }

    fn data(&self, ent: Ent<'a>) -> Data<'a> {
        match (self.inline(ent), ent) {
            (Some(entity), _) => Data::Inline(entity),
            (None, Ent::Slot(slot)) => self.snapshot.entity(slot).map_or(Data::Missing, Data::Stored),
            (None, Ent::Foreign(_)) => Data::Missing,
        }
    }

    fn value(&self, value: &'a Value) -> Val<'a> {
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

    #[inline]
    fn cell(&self, cell: &'a Cell) -> Option<Val<'a>> {
        Some(match cell {
            Cell::Absent => return None,
            Cell::Bool(b) => Val::Bool(*b),
            Cell::Long(n) => Val::Long(*n),
            Cell::Entity(slot) => Val::Entity(Ent::Slot(*slot)),
            Cell::Datetime(ms) => Val::Datetime(*ms),
            Cell::Duration(ms) => Val::Duration(*ms),
            Cell::Decimal(n) => Val::Decimal(*n),
            Cell::Few(..) | Cell::Entities(_) => Val::Entities(cell.entities().unwrap_or_default()),
            Cell::Other(value) => self.value(value),
        })
    }

    /// An attribute of an entity, by its number in the entity's type.
    #[inline]
    fn attribute(&self, data: Data<'a>, number: u16, name: &'a str) -> Answer<'a, Val<'a>> {
        match data {
            Data::Stored(record) => record.attribute(number, name).and_then(|cell| self.cell(cell)),
            Data::Inline(entity) => entity.attribute(name).map(|value| self.value(value)),
            Data::Missing => return Err(Fault::NoEntity(name)),
        }
        .or_else(|| Bug::MissingIsFalse.is_in().then_some(Val::Bool(false)))
        .ok_or(Fault::NoAttribute(name))
    }

    #[inline]
    fn has_attribute(data: Data<'a>, number: u16, name: &str) -> bool {
        match data {
            Data::Stored(record) => record.attribute(number, name).is_some(),
            Data::Inline(entity) => entity.attribute(name).is_some(),
            Data::Missing => false,
        }
    }

    fn number(data: Data<'a>, key: &Key) -> u16 {
        match data {
            Data::Stored(record) => key.numbers.get(record.type_id as usize).copied().unwrap_or(u16::MAX),
            _ => u16::MAX,
        }
    }

    /// `context.name`.
    #[inline]
    fn of_context(&self, name: &str) -> Option<Val<'a>> {
        match (name, self.now, self.window) {
            ("now", Some(now), _) => Some(Val::Datetime(now.millis())),
            ("window", _, Some(window)) => Some(Val::Window(window)),
            _ => self.context.get(name).map(|value| self.value(value)),
        }
    }

    fn whole_context(&self) -> Val<'a> {
        let mut names: BTreeSet<&'a str> = self.context.keys().map(String::as_str).collect();
        names.extend(self.now.map(|_| "now"));
        names.extend(self.window.map(|_| "window"));
        Val::MadeRecord(names.into_iter().filter_map(|name| Some((name, self.of_context(name)?))).collect())
    }

    /// A field of a record; `Err` for a value that is none.
    fn field(&self, of: &Val<'a>, name: &str) -> Result<Option<Val<'a>>, Fault<'a>> {
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

    fn descends(&self, ent: Ent<'a>, group: Ent<'a>) -> bool {
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

    fn within_names(&self, ent: Ent<'a>, names: &[Name]) -> bool {
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

    fn type_is(&self, ent: Ent<'a>, of: &TypeKey) -> bool {
        match ent {
            Ent::Foreign(uid) => *uid.type_name() == *of.name,
            Ent::Slot(slot) => self.snapshot.record(slot).is_some_and(|record| match of.number {
                Some(number) => record.type_id == number,
                None => self.snapshot.type_name(record.type_id) == Some(&of.name),
            }),
        }
    }

    // ---- Conditions ----

    pub(crate) fn holds(&self, cond: &'a Cond) -> Answer<'a, bool> {
        Ok(match cond {
            Cond::Always(b) => *b,
            Cond::Truth(expr) => bool(&self.eval(expr)?)?,
            Cond::Flag(root, number, name) => {
                let data = self.root(*root).1;
                if let Data::Stored(record) = data {
                    if let Some(Cell::Bool(b)) = record.attributes.get(usize::from(*number)) {
                        return Ok(*b);
                    }
                }
                bool(&self.attribute(data, *number, name)?)?
            }
            Cond::Not(inner) => !self.holds(inner)?,
            Cond::All(parts) => {
                for part in parts {
                    if !self.holds(part)? {
                        return Ok(false);
                    }
                }
                true
            }
            Cond::Any(parts) => {
                for part in parts {
                    if self.holds(part)? {
                        return Ok(true);
                    }
                }
                false
            }
            Cond::If(parts) => {
                let (test, then, otherwise) = &**parts;
                return self.holds(if self.holds(test)? { then } else { otherwise });
            }
            Cond::Is(expr, name) => match self.eval(expr)? {
                Val::Entity(Ent::Slot(slot)) => slot == self.slot(*name),
                _ => false,
            },
            Cond::Equal(pair) => self.equal(&self.eval(&pair.0)?, &self.eval(&pair.1)?),
            Cond::InNames(expr, names) => self.within_names(entity(&self.eval(expr)?)?, names),
            Cond::In(pair) => self.is_in(&pair.0, &pair.1)?,
            Cond::Less(pair) => self.compare(pair)?.is_lt(),
            Cond::LessOrEqual(pair) => self.compare(pair)?.is_le(),
            Cond::Contains(pair) => {
                let (set, item) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                self.contains(&set, &item)?
            }
            Cond::ContainsAll(pair) => {
                let (all, some) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                is_set(&all)?;
                self.any_item(&some, |item| self.contains(&all, &item).map(|has| !has)).map(|missing| !missing)?
            }
            Cond::ContainsAny(pair) => {
                let (left, right) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                is_set(&left)?;
                self.any_item(&right, |item| self.contains(&left, &item))?
            }
            Cond::IsEmpty(expr) => {
                let set = self.eval(expr)?;
                !self.any_item(&set, |_| Ok(true))?
            }
            Cond::HasOwn(root, number, name) => Self::has_attribute(self.root(*root).1, *number, name),
            Cond::HasContext(name) => self.of_context(name).is_some(),
            Cond::Has(expr, keys) => self.has(self.eval(expr)?, keys)?,
            Cond::HasTag(pair) => {
                let (of, tag) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                let (ent, tag) = (entity(&of)?, text(&tag)?);
                match self.data(ent) {
                    Data::Stored(record) => record.tag(tag).is_some(),
                    Data::Inline(entity) => entity.tags().contains_key(tag),
                    Data::Missing => false,
                }
            }
            Cond::Like(expr, pattern) => like(text(&self.eval(expr)?)?, pattern),
            Cond::OfType(expr, of) => self.type_is(entity(&self.eval(expr)?)?, of),
            Cond::Address(test, expr) => {
                let (address, prefix) = ip(&self.eval(expr)?)?;
                test.holds(address, prefix)
            }
            Cond::InRange(pair) => {
                let (inner, outer) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                program::in_range(ip(&inner)?, ip(&outer)?)
            }
            Cond::DecimalLess(pair) => self.decimals(pair)?.is_lt(),
            Cond::DecimalLessOrEqual(pair) => self.decimals(pair)?.is_le(),
        })
    }

    fn is_in(&self, left: &'a Expr, right: &'a Expr) -> Answer<'a, bool> {
        let (left, right) = (self.eval(left)?, self.eval(right)?);
        let ent = entity(&left)?;
        match &right {
            Val::Entity(group) => Ok(self.within(ent, *group)),
            Val::Entities(slots) => Ok(slots.iter().any(|slot| self.within(ent, Ent::Slot(*slot)))),
            Val::Names(names) => Ok(self.within_names(ent, names)),
            Val::Set(_) | Val::MadeSet(_) => {
                // All elements must be entities, those after a match too.
                self.any_item(&right, |item| entity(&item).map(|_| false))?;
                self.any_item(&right, |item| Ok(self.within(ent, entity(&item)?)))
            }
            _ => Err(Fault::Expected("an entity or a set of entities")),
        }
    }

    fn compare(&self, pair: &'a (Expr, Expr)) -> Answer<'a, std::cmp::Ordering> {
        match (self.eval(&pair.0)?, self.eval(&pair.1)?) {
            (Val::Long(a), Val::Long(b))
            | (Val::Datetime(a), Val::Datetime(b))
            | (Val::Duration(a), Val::Duration(b)) => Ok(a.cmp(&b)),
            _ => Err(Fault::Expected("two numbers, two instants or two durations")),
        }
    }

    fn decimals(&self, pair: &'a (Expr, Expr)) -> Answer<'a, std::cmp::Ordering> {
        match (self.eval(&pair.0)?, self.eval(&pair.1)?) {
            (Val::Decimal(a), Val::Decimal(b)) => Ok(a.cmp(&b)),
            _ => Err(Fault::Expected("two decimals")),
        }
    }

    fn has(&self, of: Val<'a>, keys: &'a [std::sync::Arc<Key>]) -> Answer<'a, bool> {
        let mut of = of;
        let mut keys = keys.iter().peekable();
        while let Some(key) = keys.next() {
            let next = match &of {
                Val::Entity(ent) => {
                    let data = self.data(*ent);
                    self.attribute(data, Self::number(data, key), &key.name).ok()
                }
                of => self.field(of, &key.name)?,
            };
            match next {
                None => return Ok(false),
                Some(next) if keys.peek().is_some() => of = next,
                Some(_) => {}
            }
        }
        Ok(true)
    }

    // ---- Expressions ----

    fn eval(&self, expr: &'a Expr) -> Answer<'a, Val<'a>> {
        Ok(match expr {
            Expr::Own(root, number, name) => return self.attribute(self.root(*root).1, *number, name),
            Expr::Name(name) => Val::Entity(Ent::Slot(self.slot(*name))),
            Expr::Root(root) => Val::Entity(self.root(*root).0),
            Expr::Action => Val::Entity(self.action),
            Expr::OfContext(name) => match self.of_context(name) {
                Some(value) => value,
                None => return Err(Fault::NoAttribute(name)),
            },
            Expr::Bool(b) => Val::Bool(*b),
            Expr::Long(n) => Val::Long(*n),
            Expr::Datetime(ms) => Val::Datetime(*ms),
            Expr::Duration(ms) => Val::Duration(*ms),
            Expr::Decimal(n) => Val::Decimal(*n),
            Expr::Names(names) => Val::Names(names),
            Expr::Constant(value) => self.value(value),
            Expr::Context => self.whole_context(),
            Expr::Attribute(of, key) => match self.eval(of)? {
                Val::Entity(ent) => {
                    let data = self.data(ent);
                    return self.attribute(data, Self::number(data, key), &key.name);
                }
                of => self.field(&of, &key.name)?.ok_or(Fault::NoAttribute(&key.name))?,
            },
            Expr::Tag(pair) => {
                let (of, tag) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                let (ent, tag) = (entity(&of)?, text(&tag)?);
                match self.data(ent) {
                    Data::Stored(record) => record.tag(tag).and_then(|cell| self.cell(cell)),
                    Data::Inline(entity) => entity.tags().get(tag).map(|value| self.value(value)),
                    Data::Missing => return Err(Fault::NoEntity("getTag")),
                }
                .ok_or(Fault::NoTag)?
            }
            Expr::If(parts) => {
                let (test, then, otherwise) = &**parts;
                return self.eval(if self.holds(test)? { then } else { otherwise });
            }
            Expr::Cond(cond) => Val::Bool(self.holds(cond)?),
            Expr::Negate(of) => Val::Long(long(&self.eval(of)?)?.checked_neg().ok_or(Fault::Overflow)?),
            Expr::Add(pair) => self.arithmetic(pair, i64::checked_add, i64::wrapping_add)?,
            Expr::Subtract(pair) => self.arithmetic(pair, i64::checked_sub, i64::wrapping_sub)?,
            Expr::Multiply(pair) => self.arithmetic(pair, i64::checked_mul, i64::wrapping_mul)?,
            Expr::Set(items) => {
                let items = items.iter().map(|item| self.eval(item)).collect::<Answer<'a, Vec<_>>>()?;
                Val::MadeSet(items.into())
            }
            Expr::Record(fields) => {
                let fields = fields.iter().map(|(name, e)| Ok((&**name, self.eval(e)?)));
                Val::MadeRecord(fields.collect::<Answer<'a, Vec<_>>>()?.into())
            }
            Expr::Call(function, of) => call(*function, &self.eval(of)?)?,
            Expr::Offset(pair) => match (self.eval(&pair.0)?, self.eval(&pair.1)?) {
                (Val::Datetime(at), Val::Duration(by)) => Val::Datetime(at.checked_add(by).ok_or(Fault::Overflow)?),
                _ => return Err(Fault::Expected("an instant and a duration")),
            },
            Expr::DurationSince(pair) => match (self.eval(&pair.0)?, self.eval(&pair.1)?) {
                (Val::Datetime(a), Val::Datetime(b)) => Val::Duration(a.checked_sub(b).ok_or(Fault::Overflow)?),
                _ => return Err(Fault::Expected("two instants")),
            },
        })
    }

    fn arithmetic(
        &self,
        pair: &'a (Expr, Expr),
        f: fn(i64, i64) -> Option<i64>,
        wrapping: fn(i64, i64) -> i64,
    ) -> Answer<'a, Val<'a>> {
        let (left, right) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
        let (left, right) = (long(&left)?, long(&right)?);
        let wrapped = || Bug::Wrapping.is_in().then(|| wrapping(left, right));
        f(left, right).or_else(wrapped).map(Val::Long).ok_or(Fault::Overflow)
    }

    // ---- Values ----

    fn equal(&self, left: &Val<'a>, right: &Val<'a>) -> bool {
        match (left, right) {
            (Val::Entity(a), Val::Entity(b)) => a == b,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Long(a), Val::Long(b))
            | (Val::Datetime(a), Val::Datetime(b))
            | (Val::Duration(a), Val::Duration(b))
            | (Val::Decimal(a), Val::Decimal(b)) => a == b,
            (Val::Ip(a, p), Val::Ip(b, q)) => a == b && p == q,
            (Val::Text(a), Val::Text(b)) => a == b,
            (Val::Set(a), Val::Set(b)) => a == b,
            (Val::Entities(a), Val::Entities(b)) => a == b,
            (Val::Record(a), Val::Record(b)) => a == b,
            (
                Val::Record(_) | Val::MadeRecord(_) | Val::Window(_),
                Val::Record(_) | Val::MadeRecord(_) | Val::Window(_),
            ) => {
                let (a, b) = (self.fields(left), self.fields(right));
                a.len() == b.len() && a.iter().zip(&b).all(|((m, v), (n, w))| m == n && self.equal(v, w))
            }
            (a, b) if is_set(a).is_ok() && is_set(b).is_ok() => {
                let within = |all: &Val<'a>, some: &Val<'a>| {
                    self.any_item(some, |item| self.contains(all, &item).map(|has| !has)) == Ok(false)
                };
                within(a, b) && within(b, a)
            }
            _ => false,
        }
    }

    /// A record's fields by name; nothing for other values.
    fn fields(&self, record: &Val<'a>) -> Vec<(&'a str, Val<'a>)> {
        let mut fields: Vec<(&'a str, Val<'a>)> = match record {
            Val::Record(fields) => fields.iter().map(|(k, v)| (k.as_str(), self.value(v))).collect(),
            Val::MadeRecord(fields) => fields.to_vec(),
            Val::Window(window) => {
                vec![("from", Val::Datetime(window.from.millis())), ("to", Val::Datetime(window.to.millis()))]
            }
            _ => Vec::new(),
        };
        fields.sort_by_key(|(name, _)| *name);
        fields
    }

    fn contains(&self, set: &Val<'a>, item: &Val<'a>) -> Answer<'a, bool> {
        match (set, item) {
            (Val::Entities(slots), Val::Entity(Ent::Slot(slot))) => Ok(sorted_contains(slots, *slot)),
            (Val::Names(names), Val::Entity(Ent::Slot(slot))) => Ok(names.iter().any(|n| self.slot(*n) == *slot)),
            (Val::Entities(_) | Val::Names(_), _) => Ok(false),
            (Val::Set(items), item) => Ok(match self.probe(item) {
                Some(probe) => items.contains(&probe),
                None => items.iter().any(|own| self.equal(&self.value(own), item)),
            }),
            (Val::MadeSet(items), item) => Ok(items.iter().any(|own| self.equal(own, item))),
            _ => Err(Fault::Expected("a set")),
        }
    }

    /// The value as one that sets can be searched for, where that costs little.
    fn probe(&self, item: &Val<'a>) -> Option<Value> {
        Some(match item {
            Val::Bool(b) => Value::Bool(*b),
            Val::Long(n) => Value::Long(*n),
            Val::Duration(ms) => Value::Duration(*ms),
            Val::Decimal(n) => Value::Decimal(*n),
            Val::Datetime(ms) => Value::Datetime(Timestamp::any(*ms)),
            Val::Ip(address, prefix) => Value::Ip(*address, *prefix),
            Val::Text(text) => Value::String((*text).to_owned()),
            Val::Entity(Ent::Slot(slot)) => Value::Entity(self.snapshot.uid(*slot)?),
            Val::Entity(Ent::Foreign(uid)) => Value::Entity((*uid).clone()),
            _ => return None,
        })
    }

    /// Whether `f` is true of an element; it is called until it is, or fails.
    fn any_item(&self, set: &Val<'a>, mut f: impl FnMut(Val<'a>) -> Answer<'a, bool>) -> Answer<'a, bool> {
        let mut each = |item: Val<'a>| f(item);
        match set {
            Val::Entities(slots) => any(slots.iter().map(|slot| Val::Entity(Ent::Slot(*slot))), &mut each),
            Val::Names(names) => any(names.iter().map(|n| Val::Entity(Ent::Slot(self.slot(*n)))), &mut each),
            Val::Set(items) => any(items.iter().map(|item| self.value(item)), &mut each),
            Val::MadeSet(items) => any(items.iter().cloned(), &mut each),
            _ => Err(Fault::Expected("a set")),
        }
    }
}

fn any<'a>(items: impl Iterator<Item = Val<'a>>, f: &mut dyn FnMut(Val<'a>) -> Answer<'a, bool>) -> Answer<'a, bool> {
    for item in items {
        if f(item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_set<'a>(value: &Val<'a>) -> Answer<'a, ()> {
    match value {
        Val::Entities(_) | Val::Names(_) | Val::Set(_) | Val::MadeSet(_) => Ok(()),
        _ => Err(Fault::Expected("a set")),
    }
}

fn bool<'a>(value: &Val<'a>) -> Answer<'a, bool> {
    match value {
        Val::Bool(b) => Ok(*b),
        _ => Err(Fault::Expected("true or false")),
    }
}

fn long<'a>(value: &Val<'a>) -> Answer<'a, i64> {
    match value {
        Val::Long(n) => Ok(*n),
        _ => Err(Fault::Expected("a number")),
    }
}

fn text<'a>(value: &Val<'a>) -> Answer<'a, &'a str> {
    match value {
        Val::Text(text) => Ok(text),
        _ => Err(Fault::Expected("a text")),
    }
}

#[inline]
fn entity<'a>(value: &Val<'a>) -> Answer<'a, Ent<'a>> {
    match value {
        Val::Entity(ent) => Ok(*ent),
        _ => Err(Fault::Expected("an entity")),
    }
}

fn ip<'a>(value: &Val<'a>) -> Answer<'a, (IpAddr, u8)> {
    match value {
        Val::Ip(address, prefix) => Ok((*address, *prefix)),
        _ => Err(Fault::Expected("an IP address")),
    }
}

fn call<'a>(function: Function, of: &Val<'a>) -> Answer<'a, Val<'a>> {
    const DAY: i64 = 86_400_000;
    let instant = || match of {
        Val::Datetime(at) => Ok(*at),
        _ => Err(Fault::Expected("an instant")),
    };
    let duration = |unit: i64| match of {
        Val::Duration(ms) => Ok(Val::Long(ms / unit)),
        _ => Err(Fault::Expected("a duration")),
    };
    Ok(match function {
        Function::Datetime => Val::Datetime(parse_datetime(text(of)?).ok_or(Fault::Extension("datetime"))?),
        Function::Duration => Val::Duration(parse_duration(text(of)?).ok_or(Fault::Extension("duration"))?),
        Function::Decimal => Val::Decimal(parse_decimal(text(of)?).ok_or(Fault::Extension("decimal"))?),
        Function::Ip => {
            let (address, prefix) = parse_ip(text(of)?).ok_or(Fault::Extension("IP address"))?;
            Val::Ip(address, prefix)
        }
        Function::ToDate => {
            let at = instant()?;
            Val::Datetime(at.checked_sub(at.rem_euclid(DAY)).ok_or(Fault::Overflow)?)
        }
        Function::ToTime => Val::Duration(instant()?.rem_euclid(DAY)),
        Function::ToMilliseconds => duration(1)?,
        Function::ToSeconds => duration(1_000)?,
        Function::ToMinutes => duration(60_000)?,
        Function::ToHours => duration(3_600_000)?,
        Function::ToDays => duration(DAY)?,
    })
}

/// Whether a text matches a pattern, in which `*` stands for any number of characters.
fn like(text: &str, pattern: &[PatternElem]) -> bool {
    let mut rest = text.chars();
    let mut at = 0;
    // Where the latest wildcard was, and what of the text was left then: there the next attempt begins.
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        match pattern.get(at) {
            Some(PatternElem::Wildcard) => {
                at += 1;
                retry = Some((at, rest.clone()));
            }
            Some(PatternElem::Char(wanted)) if rest.clone().next() == Some(*wanted) => {
                rest.next();
                at += 1;
            }
            None if rest.as_str().is_empty() => return true,
            _ => {
                let Some((after, left)) = &mut retry else { return false };
                if left.next().is_none() {
                    return false;
                }
                at = *after;
                rest = left.clone();
            }
        }
    }
}
