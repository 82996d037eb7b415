//! Comparing values, searching sets, and the functions on values.

use std::net::IpAddr;

use cedar_policy::pst::PatternElem;

use super::env::{Answer, Ent, Env, Fault, Val};
use crate::bundle::program::Function;
use crate::entities::record::sorted_contains;
use crate::model::{parse_datetime, parse_decimal, parse_duration, parse_ip, Timestamp, Value};

/// How many texts a set may have to be searched from its beginning.
const FEW: usize = 64;

impl<'a> Env<'a> {
    pub(super) fn equal(&self, left: &Val<'a>, right: &Val<'a>) -> bool {
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
    pub(super) fn fields(&self, record: &Val<'a>) -> Vec<(&'a str, Val<'a>)> {
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

    pub(super) fn contains(&self, set: &Val<'a>, item: &Val<'a>) -> Answer<'a, bool> {
        match (set, item) {
            (Val::Entities(slots), Val::Entity(Ent::Slot(slot))) => Ok(sorted_contains(slots, *slot)),
            (Val::Names(names), Val::Entity(Ent::Slot(slot))) => Ok(names.iter().any(|n| self.slot(*n) == *slot)),
            (Val::Entities(_) | Val::Names(_), _) => Ok(false),
            // To search for a text it must be one of its own, which costs more than a look at a few.
            (Val::Set(items), Val::Text(text)) if items.len() <= FEW => {
                Ok(items.iter().any(|own| matches!(own, Value::String(own) if own == text)))
            }
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
    pub(super) fn any_item(&self, set: &Val<'a>, mut f: impl FnMut(Val<'a>) -> Answer<'a, bool>) -> Answer<'a, bool> {
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

pub(super) fn is_set<'a>(value: &Val<'a>) -> Answer<'a, ()> {
    match value {
        Val::Entities(_) | Val::Names(_) | Val::Set(_) | Val::MadeSet(_) => Ok(()),
        _ => Err(Fault::Expected("a set")),
    }
}

pub(super) fn bool<'a>(value: &Val<'a>) -> Answer<'a, bool> {
    match value {
        Val::Bool(b) => Ok(*b),
        _ => Err(Fault::Expected("true or false")),
    }
}

pub(super) fn long<'a>(value: &Val<'a>) -> Answer<'a, i64> {
    match value {
        Val::Long(n) => Ok(*n),
        _ => Err(Fault::Expected("a number")),
    }
}

pub(super) fn text<'a>(value: &Val<'a>) -> Answer<'a, &'a str> {
    match value {
        Val::Text(text) => Ok(text),
        _ => Err(Fault::Expected("a text")),
    }
}

#[inline]
pub(super) fn entity<'a>(value: &Val<'a>) -> Answer<'a, Ent<'a>> {
    match value {
        Val::Entity(ent) => Ok(*ent),
        _ => Err(Fault::Expected("an entity")),
    }
}

pub(super) fn ip<'a>(value: &Val<'a>) -> Answer<'a, (IpAddr, u8)> {
    match value {
        Val::Ip(address, prefix) => Ok((*address, *prefix)),
        _ => Err(Fault::Expected("an IP address")),
    }
}

pub(super) fn call<'a>(function: Function, of: &Val<'a>) -> Answer<'a, Val<'a>> {
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
pub(super) fn like(text: &str, pattern: &[PatternElem]) -> bool {
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
