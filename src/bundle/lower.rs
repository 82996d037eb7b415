//! A policy's scope and conditions → the trees of [`program`](super::program).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::pst;

use super::layout::Layout;
use super::program::{AddressTest, Cond, Expr, Function, Key, Name, Root, TypeKey};
use crate::model::{parse_datetime, parse_decimal, parse_duration, parse_ip, EntityUid, Timestamp, Value, Word};

/// A literal that a policy's scope names.
pub(super) struct Mention {
    /// Its place among the program's literals.
    pub(super) number: u32,
    /// Whether what belongs to it is meant too.
    pub(super) group: bool,
}

/// What is known of a request before it is made.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) principal: u32,
    pub(super) action: &'a EntityUid,
    /// The action and its groups.
    pub(super) groups: &'a BTreeSet<EntityUid>,
    pub(super) resource: u32,
}

/// What all policies share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) literals: Vec<EntityUid>,
    numbers: HashMap<EntityUid, u32>,
    keys: HashMap<Arc<str>, Arc<Key>>,
}

pub(super) struct Lowering<'a> {
    pub(super) layout: &'a Layout,
    pub(super) known: Option<Known<'a>>,
    pub(super) shared: &'a mut Shared,
}

/// Why a policy is left to Cedar.
pub(super) struct NotCovered;

/// Compiles single conditions, for any request.
pub(super) struct Conditions<'a> {
    layout: &'a Layout,
    shared: Shared,
}

impl<'a> Conditions<'a> {
    /// `literals` are those of the program.
    pub(super) fn new(layout: &'a Layout, literals: &[EntityUid]) -> Self {
        let numbers = literals.iter().cloned().zip(0..).collect();
        Self { layout, shared: Shared { literals: literals.to_vec(), numbers, keys: HashMap::new() } }
    }

    /// None where it is not understood, or names an entity that no compiled policy names.
    pub(super) fn compile(&mut self, expr: &pst::Expr) -> Option<Cond> {
        let known = self.shared.literals.len();
        let condition = Lowering { layout: self.layout, known: None, shared: &mut self.shared }.cond(expr).ok();
        let strange = self.shared.literals.split_off(known);
        self.shared.numbers.retain(|uid, _| !strange.contains(uid));
        condition.filter(|_| strange.is_empty())
    }
}

fn uid(of: &pst::EntityUID) -> EntityUid {
    EntityUid::unchecked(of.ty.to_string(), of.eid.as_str())
}

impl Lowering<'_> {
    fn name(&mut self, uid: &EntityUid) -> Name {
        if let Some(number) = self.layout.fixed_id(uid) {
            return Name::Fixed(number);
        }
        let next = u32::try_from(self.shared.literals.len()).unwrap_or(u32::MAX);
        let number = *self.shared.numbers.entry(uid.clone()).or_insert(next);
        if number == next {
            self.shared.literals.push(uid.clone());
        }
        Name::Literal(number)
    }

    fn key(&mut self, name: &str) -> Arc<Key> {
        if let Some(key) = self.shared.keys.get(name) {
            return Arc::clone(key);
        }
        let types = u32::try_from(self.layout.types()).unwrap_or(u32::MAX);
        let numbers = (0..types).map(|t| self.layout.attribute(t, name)).collect();
        let key = Arc::new(Key { name: name.into(), numbers });
        self.shared.keys.insert(Arc::clone(&key.name), Arc::clone(&key));
        key
    }

    fn type_key(&self, of: &pst::EntityType) -> TypeKey {
        let name = Word::from(of.to_string());
        TypeKey { number: self.layout.type_id(&name), name }
    }

    /// The type of principal or resource, where it is known.
    fn root_type(&self, root: Root) -> Option<u32> {
        self.known.map(|k| match root {
            Root::Principal => k.principal,
            Root::Resource => k.resource,
        })
    }

    /// The literals that the scope names as resource and principal or a group of them, and whether it is a group.
    pub(super) fn named(&mut self, body: &pst::Template) -> Vec<Mention> {
        use pst::EntityOrSlot::Entity;
        let principal = match &body.principal {
            pst::PrincipalConstraint::Eq(Entity(e)) => Some((uid(e), false)),
            pst::PrincipalConstraint::In(Entity(e)) | pst::PrincipalConstraint::IsIn(_, Entity(e)) => {
                Some((uid(e), true))
            }
            _ => None,
        };
        let resource = match &body.resource {
            pst::ResourceConstraint::Eq(Entity(e)) => Some((uid(e), false)),
            pst::ResourceConstraint::In(Entity(e)) | pst::ResourceConstraint::IsIn(_, Entity(e)) => {
                Some((uid(e), true))
            }
            _ => None,
        };
        let literal = |name| match name {
            Name::Literal(number) => Some(number),
            // One that the schema lists is no rarer than its type.
            Name::Fixed(_) => None,
        };
        // The resource first: where both are named as often, it is asked about less.
        let each = [resource, principal].into_iter().flatten();
        each.filter_map(|(e, group)| Some(Mention { number: literal(self.name(&e))?, group })).collect()
    }

    /// Whether the types in the scope allow the known ones.
    pub(super) fn can_match(&self, body: &pst::Template) -> bool {
        let Some(known) = self.known else { return true };
        let is = |of: &pst::EntityType, type_id| self.layout.type_name(type_id).is_some_and(|n| **n == *of.to_string());
        let principal = match &body.principal {
            pst::PrincipalConstraint::Is(of) | pst::PrincipalConstraint::IsIn(of, _) => is(of, known.principal),
            _ => true,
        };
        let resource = match &body.resource {
            pst::ResourceConstraint::Is(of) | pst::ResourceConstraint::IsIn(of, _) => is(of, known.resource),
            _ => true,
        };
        let action = match &body.action {
            pst::ActionConstraint::Any => true,
            pst::ActionConstraint::Eq(e) => uid(e) == *known.action,
            pst::ActionConstraint::In(all) => all.iter().any(|e| known.groups.contains(&uid(e))),
        };
        principal && resource && action
    }

    /// When the policy applies: its scope, then its clauses.
    pub(super) fn policy(&mut self, body: &pst::Template) -> Result<Cond, NotCovered> {
        let mut parts = Vec::new();
        let (is, within) = match &body.principal {
            pst::PrincipalConstraint::Any => (None, None),
            pst::PrincipalConstraint::Eq(e) => (None, Some((true, e))),
            pst::PrincipalConstraint::In(e) => (None, Some((false, e))),
            pst::PrincipalConstraint::Is(of) => (Some(of), None),
            pst::PrincipalConstraint::IsIn(of, e) => (Some(of), Some((false, e))),
        };
        self.scope(Root::Principal, is, within, &mut parts)?;
        match &body.action {
            pst::ActionConstraint::Any => {}
            pst::ActionConstraint::Eq(e) => {
                let name = self.name(&uid(e));
                parts.push(self.is(Expr::Action, name));
            }
            pst::ActionConstraint::In(all) => {
                let names = all.iter().map(|e| self.name(&uid(e))).collect();
                parts.push(self.in_names(Expr::Action, names));
            }
        }
        let (is, within) = match &body.resource {
            pst::ResourceConstraint::Any => (None, None),
            pst::ResourceConstraint::Eq(e) => (None, Some((true, e))),
            pst::ResourceConstraint::In(e) => (None, Some((false, e))),
            pst::ResourceConstraint::Is(of) => (Some(of), None),
            pst::ResourceConstraint::IsIn(of, e) => (Some(of), Some((false, e))),
        };
        self.scope(Root::Resource, is, within, &mut parts)?;
        for clause in body.clauses() {
            parts.push(match clause {
                pst::Clause::When(expr) => self.cond(expr)?,
                pst::Clause::Unless(expr) => not(self.cond(expr)?),
            });
        }
        Ok(all(parts))
    }

    fn scope(
        &mut self,
        root: Root,
        is: Option<&pst::EntityType>,
        within: Option<(bool, &pst::EntityOrSlot)>,
        parts: &mut Vec<Cond>,
    ) -> Result<(), NotCovered> {
        if let Some(of) = is {
            parts.push(self.of_type(Expr::Root(root), of));
        }
        match within {
            None => {}
            Some((equal, pst::EntityOrSlot::Entity(e))) => {
                let name = self.name(&uid(e));
                let root = Expr::Root(root);
                parts.push(if equal { self.is(root, name) } else { self.in_names(root, vec![name]) });
            }
            Some((_, pst::EntityOrSlot::Slot(_))) => return Err(NotCovered),
        }
        Ok(())
    }

    /// `expr == name`.
    fn is(&self, expr: Expr, name: Name) -> Cond {
        match (&expr, self.known) {
            (Expr::Action, Some(known)) => Cond::Always(self.name_is(name, known.action)),
            _ => Cond::Is(expr, name),
        }
    }

    fn name_is(&self, name: Name, uid: &EntityUid) -> bool {
        match name {
            Name::Fixed(number) => self.layout.fixed_id(uid) == Some(number),
            Name::Literal(number) => self.shared.literals.get(number as usize) == Some(uid),
        }
    }

    /// `expr in [names]`.
    fn in_names(&self, expr: Expr, names: Vec<Name>) -> Cond {
        match (&expr, self.known) {
            (Expr::Action, Some(known)) => {
                let within = |name: &Name| known.groups.iter().any(|group| self.name_is(*name, group));
                Cond::Always(names.iter().any(within))
            }
            _ => Cond::InNames(expr, names.into()),
        }
    }

    fn of_type(&self, expr: Expr, of: &pst::EntityType) -> Cond {
        let known = match &expr {
            Expr::Root(root) => self.root_type(*root).and_then(|t| self.layout.type_name(t).cloned()),
            Expr::Action => self.known.map(|k| k.action.parts().0.clone()),
            _ => None,
        };
        let key = self.type_key(of);
        match known {
            Some(name) => Cond::Always(name == key.name),
            None => Cond::OfType(Box::new(expr), key),
        }
    }

    /// An expression where a Boolean is asked for.
    fn cond(&mut self, expr: &pst::Expr) -> Result<Cond, NotCovered> {
        use pst::BinaryOp as B;
        Ok(match expr {
            pst::Expr::Literal(pst::Literal::Bool(b)) => Cond::Always(*b),
            pst::Expr::UnaryOp { op: pst::UnaryOp::Not, expr } => not(self.cond(expr)?),
            pst::Expr::UnaryOp { op, expr } => match op {
                pst::UnaryOp::IsEmpty => Cond::IsEmpty(Box::new(self.expr(expr)?)),
                pst::UnaryOp::IsIPv4 => self.address(AddressTest::V4, expr)?,
                pst::UnaryOp::IsIPV6 => self.address(AddressTest::V6, expr)?,
                pst::UnaryOp::IsLoopback => self.address(AddressTest::Loopback, expr)?,
                pst::UnaryOp::IsMulticast => self.address(AddressTest::Multicast, expr)?,
                _ => Cond::Truth(self.unary(*op, expr)?),
            },
            pst::Expr::BinaryOp { op, left, right } => match op {
                B::And => self.chain(B::And, left, right)?,
                B::Or => self.chain(B::Or, left, right)?,
                B::Eq => self.equal(left, right)?,
                B::NotEq => not(self.equal(left, right)?),
                B::Less => Cond::Less(self.pair(left, right)?),
                B::LessEq => Cond::LessOrEqual(self.pair(left, right)?),
                B::Greater => not(Cond::LessOrEqual(self.pair(left, right)?)),
                B::GreaterEq => not(Cond::Less(self.pair(left, right)?)),
                B::In => {
                    let (left, right) = *self.pair(left, right)?;
                    match right {
                        Expr::Name(name) => self.in_names(left, vec![name]),
                        Expr::Names(names) => self.in_names(left, names.into()),
                        right => Cond::In(Box::new((left, right))),
                    }
                }
                B::Contains => Cond::Contains(self.pair(left, right)?),
                B::ContainsAll => Cond::ContainsAll(self.pair(left, right)?),
                B::ContainsAny => Cond::ContainsAny(self.pair(left, right)?),
                B::HasTag => Cond::HasTag(self.pair(left, right)?),
                B::IsInRange => Cond::InRange(self.pair(left, right)?),
                B::DecimalLessThan => Cond::DecimalLess(self.pair(left, right)?),
                B::DecimalLessEq => Cond::DecimalLessOrEqual(self.pair(left, right)?),
                B::DecimalGreater => not(Cond::DecimalLessOrEqual(self.pair(left, right)?)),
                B::DecimalGreaterEq => not(Cond::DecimalLess(self.pair(left, right)?)),
                _ => Cond::Truth(self.binary(*op, left, right)?),
            },
            pst::Expr::HasAttr { expr, attrs } => {
                let names: Vec<&str> = attrs.iter().map(|a| a.as_str()).collect();
                self.has(expr, &names)?
            }
            pst::Expr::Like { expr, pattern } => Cond::Like(Box::new(self.expr(expr)?), pattern.as_slice().into()),
            pst::Expr::Is { expr, entity_type, in_expr } => {
                let left = self.expr(expr)?;
                let is = self.of_type(left, entity_type);
                match in_expr {
                    None => is,
                    Some(group) => {
                        let (left, right) = *self.pair(expr, group)?;
                        let within = match right {
                            Expr::Name(name) => self.in_names(left, vec![name]),
                            Expr::Names(names) => self.in_names(left, names.into()),
                            right => Cond::In(Box::new((left, right))),
                        };
                        all(vec![is, within])
                    }
                }
            }
            pst::Expr::IfThenElse { cond, then_expr, else_expr } => match self.cond(cond)? {
                Cond::Always(true) => self.cond(then_expr)?,
                Cond::Always(false) => self.cond(else_expr)?,
                cond => Cond::If(Box::new((cond, self.cond(then_expr)?, self.cond(else_expr)?))),
            },
            pst::Expr::GetAttr { .. } => match self.expr(expr)? {
                Expr::Own(root, number, name) => Cond::Flag(root, number, name),
                other => Cond::Truth(other),
            },
            _ => match self.expr(expr)? {
                Expr::Bool(b) => Cond::Always(b),
                other => Cond::Truth(other),
            },
        })
    }

    fn pair(&mut self, left: &pst::Expr, right: &pst::Expr) -> Result<Box<(Expr, Expr)>, NotCovered> {
        Ok(Box::new((self.expr(left)?, self.expr(right)?)))
    }

    fn address(&mut self, test: AddressTest, expr: &pst::Expr) -> Result<Cond, NotCovered> {
        Ok(Cond::Address(test, Box::new(self.expr(expr)?)))
    }

    fn equal(&mut self, left: &pst::Expr, right: &pst::Expr) -> Result<Cond, NotCovered> {
        Ok(match *self.pair(left, right)? {
            (Expr::Name(name), expr) | (expr, Expr::Name(name)) => self.is(expr, name),
            pair => Cond::Equal(Box::new(pair)),
        })
    }

    /// `a && b && c` or `a || b || c` as one list, however it is bracketed.
    fn chain(&mut self, op: pst::BinaryOp, left: &pst::Expr, right: &pst::Expr) -> Result<Cond, NotCovered> {
        let mut parts = Vec::new();
        let mut open = vec![right, left];
        while let Some(expr) = open.pop() {
            match expr {
                pst::Expr::BinaryOp { op: inner, left, right } if *inner == op => open.extend([&**right, &**left]),
                other => parts.push(self.cond(other)?),
            }
        }
        Ok(if op == pst::BinaryOp::And { all(parts) } else { any(parts) })
    }

    fn has(&mut self, expr: &pst::Expr, names: &[&str]) -> Result<Cond, NotCovered> {
        let of = self.expr(expr)?;
        Ok(match (&of, names) {
            (Expr::Context, [name]) => Cond::HasContext((*name).into()),
            (Expr::Root(root), [name]) => match self.root_type(*root) {
                Some(type_id) => Cond::HasOwn(*root, self.layout.attribute(type_id, name), (*name).into()),
                None => Cond::Has(Box::new(of), [self.key(name)].into()),
            },
            _ => Cond::Has(Box::new(of), names.iter().map(|name| self.key(name)).collect()),
        })
    }

    fn unary(&mut self, op: pst::UnaryOp, of: &pst::Expr) -> Result<Expr, NotCovered> {
        use pst::UnaryOp as U;
        let function = match op {
            U::Neg => {
                return Ok(match self.expr(of)? {
                    Expr::Long(n) if n != i64::MIN => Expr::Long(-n),
                    other => Expr::Negate(Box::new(other)),
                })
            }
            U::Datetime => Function::Datetime,
            U::Duration => Function::Duration,
            U::Decimal => Function::Decimal,
            U::Ip => Function::Ip,
            U::ToDate => Function::ToDate,
            U::ToTime => Function::ToTime,
            U::ToMilliseconds => Function::ToMilliseconds,
            U::ToSeconds => Function::ToSeconds,
            U::ToMinutes => Function::ToMinutes,
            U::ToHours => Function::ToHours,
            U::ToDays => Function::ToDays,
            _ => return Err(NotCovered),
        };
        let of = self.expr(of)?;
        let folded = match &of {
            Expr::Constant(value) => match &**value {
                Value::String(text) => construct(function, text),
                _ => None,
            },
            _ => None,
        };
        Ok(folded.unwrap_or_else(|| Expr::Call(function, Box::new(of))))
    }

    fn binary(&mut self, op: pst::BinaryOp, left: &pst::Expr, right: &pst::Expr) -> Result<Expr, NotCovered> {
        use pst::BinaryOp as B;
        let pair = self.pair(left, right)?;
        Ok(match op {
            B::Add => Expr::Add(pair),
            B::Sub => Expr::Subtract(pair),
            B::Mul => Expr::Multiply(pair),
            B::GetTag => Expr::Tag(pair),
            B::Offset => Expr::Offset(pair),
            B::DurationSince => Expr::DurationSince(pair),
            _ => return Err(NotCovered),
        })
    }

    fn expr(&mut self, expr: &pst::Expr) -> Result<Expr, NotCovered> {
        use pst::{BinaryOp as B, UnaryOp as U};
        Ok(match expr {
            pst::Expr::Literal(pst::Literal::Bool(b)) => Expr::Bool(*b),
            pst::Expr::Literal(pst::Literal::Long(n)) => Expr::Long(*n),
            pst::Expr::Literal(pst::Literal::String(text)) => {
                Expr::Constant(Box::new(Value::String(text.as_str().to_owned())))
            }
            pst::Expr::Literal(pst::Literal::EntityUID(e)) => Expr::Name(self.name(&uid(e))),
            pst::Expr::Var(pst::Var::Principal) => Expr::Root(Root::Principal),
            pst::Expr::Var(pst::Var::Resource) => Expr::Root(Root::Resource),
            pst::Expr::Var(pst::Var::Action) => Expr::Action,
            pst::Expr::Var(pst::Var::Context) => Expr::Context,
            pst::Expr::GetAttr { expr, attr } => {
                let of = self.expr(expr)?;
                match &of {
                    Expr::Context => Expr::OfContext(attr.as_str().into()),
                    Expr::Root(root) => match self.root_type(*root) {
                        Some(type_id) => Expr::Own(*root, self.layout.attribute(type_id, attr), attr.as_str().into()),
                        None => Expr::Attribute(Box::new(of), self.key(attr)),
                    },
                    _ => Expr::Attribute(Box::new(of), self.key(attr)),
                }
            }
            pst::Expr::UnaryOp {
                op: U::Not | U::IsEmpty | U::IsIPv4 | U::IsIPV6 | U::IsLoopback | U::IsMulticast,
                ..
            } => Expr::Cond(Box::new(self.cond(expr)?)),
            pst::Expr::UnaryOp { op, expr } => self.unary(*op, expr)?,
            pst::Expr::BinaryOp {
                op: op @ (B::Add | B::Sub | B::Mul | B::GetTag | B::Offset | B::DurationSince),
                left,
                right,
            } => self.binary(*op, left, right)?,
            pst::Expr::BinaryOp { op, .. } if is_condition(*op) => Expr::Cond(Box::new(self.cond(expr)?)),
            pst::Expr::HasAttr { .. } | pst::Expr::Like { .. } | pst::Expr::Is { .. } => {
                Expr::Cond(Box::new(self.cond(expr)?))
            }
            pst::Expr::IfThenElse { cond, then_expr, else_expr } => match self.cond(cond)? {
                Cond::Always(true) => self.expr(then_expr)?,
                Cond::Always(false) => self.expr(else_expr)?,
                cond => Expr::If(Box::new((cond, self.expr(then_expr)?, self.expr(else_expr)?))),
            },
            pst::Expr::Set(items) => {
                let items = items.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>, _>>()?;
                set(items)
            }
            pst::Expr::Record(fields) => {
                let fields = fields.iter().map(|(name, e)| Ok((Arc::from(name.as_str()), self.expr(e)?)));
                Expr::Record(fields.collect::<Result<Vec<_>, _>>()?.into())
            }
            // Slots have been filled; unknowns and what later versions add are Cedar's.
            _ => return Err(NotCovered),
        })
    }
}

fn is_condition(op: pst::BinaryOp) -> bool {
    use pst::BinaryOp as B;
    matches!(
        op,
        B::And
            | B::Or
            | B::Eq
            | B::NotEq
            | B::Less
            | B::LessEq
            | B::Greater
            | B::GreaterEq
            | B::In
            | B::Contains
            | B::ContainsAll
            | B::ContainsAny
            | B::HasTag
            | B::IsInRange
            | B::DecimalLessThan
            | B::DecimalLessEq
            | B::DecimalGreater
            | B::DecimalGreaterEq
    )
}

/// A set of entities, or of constants, as one constant where it is one.
fn set(items: Vec<Expr>) -> Expr {
    let names: Option<Vec<Name>> = items
        .iter()
        .map(|item| match item {
            Expr::Name(name) => Some(*name),
            _ => None,
        })
        .collect();
    if let Some(mut names) = names {
        names.sort_unstable();
        names.dedup();
        return Expr::Names(names.into());
    }
    match items.iter().map(constant).collect::<Option<_>>() {
        Some(values) => Expr::Constant(Box::new(Value::Set(values))),
        None => Expr::Set(items.into()),
    }
}

fn not(cond: Cond) -> Cond {
    match cond {
        Cond::Always(b) => Cond::Always(!b),
        cond => Cond::Not(Box::new(cond)),
    }
}

/// All of `parts`, in order: what comes after the first that is false is not looked at.
fn all(parts: Vec<Cond>) -> Cond {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Cond::Always(true) => {}
            Cond::All(inner) => out.extend(inner),
            part => out.push(part),
        }
        if matches!(out.last(), Some(Cond::Always(false))) {
            break;
        }
    }
    one_or(out, true, Cond::All)
}

fn any(parts: Vec<Cond>) -> Cond {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Cond::Always(false) => {}
            Cond::Any(inner) => out.extend(inner),
            part => out.push(part),
        }
        if matches!(out.last(), Some(Cond::Always(true))) {
            break;
        }
    }
    one_or(out, false, Cond::Any)
}

fn one_or(mut parts: Vec<Cond>, none: bool, many: fn(Box<[Cond]>) -> Cond) -> Cond {
    match (parts.len(), parts.pop()) {
        (_, None) => Cond::Always(none),
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            many(parts.into())
        }
    }
}

/// The constant that an extension function gives for a text; none where it fails or is no constructor.
fn construct(function: Function, text: &str) -> Option<Expr> {
    match function {
        Function::Datetime => parse_datetime(text).map(Expr::Datetime),
        Function::Duration => parse_duration(text).map(Expr::Duration),
        Function::Decimal => parse_decimal(text).map(Expr::Decimal),
        Function::Ip => parse_ip(text).map(|(address, prefix)| Expr::Constant(Box::new(Value::Ip(address, prefix)))),
        _ => None,
    }
}

/// The value of a constant expression that names no entity.
fn constant(expr: &Expr) -> Option<Value> {
    Some(match expr {
        Expr::Bool(b) => Value::Bool(*b),
        Expr::Long(n) => Value::Long(*n),
        Expr::Datetime(ms) => Value::Datetime(Timestamp::any(*ms)),
        Expr::Duration(ms) => Value::Duration(*ms),
        Expr::Decimal(n) => Value::Decimal(*n),
        Expr::Constant(value) => (**value).clone(),
        _ => return None,
    })
}
