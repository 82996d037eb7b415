//! Evaluating compiled conditions on a request. Every value carries its type, and every operator checks it: that
//! policies were validated makes them quicker to read for people, not more trusted here.

use super::bugs::Bug;
use super::env::{Answer, Data, Ent, Env, Fault, Val};
use super::values::{bool, call, entity, ip, is_set, like, long, text};
use crate::bundle::program::{self, Cond, Expr, Key};

impl<'a> Env<'a> {
    pub(crate) fn holds(&self, cond: &'a Cond) -> Answer<'a, bool> {
        Ok(match cond {
            Cond::Always(b) => *b,
            Cond::Truth(expr) => bool(&self.eval(expr)?)?,
            Cond::Flag(root, number, name) => bool(&self.attribute(self.root(*root).1, *number, name)?)?,
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
                    Data::Stored(record) => record.tag(tag).and_then(|held| self.held(held)),
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
}
