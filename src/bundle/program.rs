//! What policies are compiled to: small trees over numbered attributes and entities.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use cedar_policy::pst::PatternElem;

use super::plan::Plans;
use super::types::{RecordType, Type};
use super::Slice;
use crate::model::{EntityUid, Value, Word};

/// All policies of a bundle, compiled.
#[derive(Debug, Default)]
pub(crate) struct Program {
    /// By the number that the layout gives an action.
    pub(crate) actions: Vec<Option<Box<Action>>>,
    /// Where the same rules apply in the same way, the environment is the same.
    pub(crate) environments: Vec<Environment>,
    /// For requests whose types the schema does not foresee: every policy, all of its scope tested while deciding.
    pub(crate) anything: Environment,
    /// Policies whose scope names a principal or resource, by the number of that name in `literals`.
    pub(crate) named: HashMap<u32, Vec<Rule>>,
    /// Those that one of these policies names as a group.
    pub(crate) groups: HashSet<u32>,
    /// Entities that policies name and the schema does not list.
    pub(crate) literals: Vec<EntityUid>,
    pub(crate) plans: Plans,
    /// How many policies are compiled; the others are left to Cedar.
    pub(crate) covered: usize,
}

/// Which environments an action has: a table by principal type and resource type, which are the layout's numbers.
#[derive(Debug, Default)]
pub(crate) struct Between(Box<[Route]>);

/// From the types of principal and resource to what applies between them. A quarter of a line of the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    principal: u32,
    resource: u32,
    /// The place of the environment.
    pub(crate) environment: u32,
    /// The first of the environment's sections, if these are all that applies.
    pub(crate) section: Option<NonZeroU32>,
}

impl Route {
    /// No type has this number.
    const NOBODY: u32 = u32::MAX;
    const FREE: Self = Self { principal: Self::NOBODY, resource: Self::NOBODY, environment: u32::MAX, section: None };

    pub(crate) fn new(principal: u32, resource: u32, environment: u32, section: Option<NonZeroU32>) -> Self {
        Self { principal, resource, environment, section }
    }

    #[inline]
    fn is_free(&self) -> bool {
        self.principal == Self::NOBODY
    }
}

impl Between {
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut between = Self(vec![Route::FREE; (routes.len() * 2).next_power_of_two()].into());
        for route in routes {
            let free = between
                .places(route.principal, route.resource)
                .find(|at| between.0.get(*at).is_some_and(Route::is_free));
            free.and_then(|at| between.0.get_mut(at)).into_iter().for_each(|own| *own = *route);
        }
        between
    }

    /// The places where a route may be, in the order in which they are looked at.
    #[inline]
    fn places(&self, principal: u32, resource: u32) -> impl Iterator<Item = usize> {
        let (len, first) = (self.0.len(), principal.wrapping_mul(31).wrapping_add(resource) as usize);
        (0..len).map(move |step| (first + step) & (len - 1))
    }

    /// The route between these types.
    #[inline]
    pub(crate) fn between(&self, principal: u32, resource: u32) -> Option<&Route> {
        for at in self.places(principal, resource) {
            let route = self.0.get(at)?;
            if (route.principal, route.resource) == (principal, resource) {
                return Some(route);
            }
            if route.is_free() {
                return None;
            }
        }
        None
    }
}

/// What the schema says of an action. What every decision reads is one line of the cache.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Action {
    pub(crate) environments: Between,
    /// The context's attributes, by name: an attribute's number is its place.
    pub(crate) given: Arc<[Given]>,
    /// How many of them are required.
    pub(crate) required: u32,
    /// Whether its window is cut down to the auditor's period.
    pub(crate) clamps: bool,
    /// The number of `now: datetime`, if the schema declares it among the context's numbered attributes, and whether it
    /// is required.
    pub(crate) now: Option<(usize, bool)>,
    pub(crate) context: RecordType,
    /// Principal types and resource types, by their numbers in the layout.
    pub(crate) principals: Vec<u32>,
    pub(crate) resources: Vec<u32>,
}

/// An attribute that an action's context may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) name: Word,
    pub(crate) of: Type,
    pub(crate) required: bool,
}

/// How many of the context's attributes have numbers; further ones are found by name.
pub(crate) const GIVEN: usize = 8;

/// The policies that can apply to requests of certain types.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) rules: Vec<Rule>,
    /// Where among the program's plans its sections are.
    pub(crate) sections: Range<u32>,
    /// Policies that are not compiled.
    pub(crate) cedar: Option<Arc<Slice>>,
    /// Whether all attributes that its types declare have numbers.
    pub(crate) numbered: bool,
}

/// One policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    /// Its place among the policies in the order of their ids.
    pub(crate) rank: u32,
    pub(crate) forbid: bool,
    pub(crate) condition: Arc<Cond>,
}

/// An entity named in a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// By its number in the layout, which is its slot in every snapshot.
    Fixed(u32),
    /// By its place among the program's literals.
    Literal(u32),
}

/// One of the two entities that conditions ask most about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Principal,
    Resource,
}

/// An attribute: its name, and its number in each declared type.
#[derive(Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: Arc<str>,
    pub(crate) numbers: Box<[u16]>,
}

/// An entity type: its name, and its number where it is declared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TypeKey {
    pub(crate) name: Word,
    pub(crate) number: Option<u32>,
}

/// A condition: what it gives is a Boolean, or an error.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cond {
    Always(bool),
    /// Any other expression; anything but a Boolean is an error.
    Truth(Expr),
    /// A Boolean attribute.
    Flag(Root, u16, Arc<str>),
    Not(Box<Cond>),
    All(Box<[Cond]>),
    Any(Box<[Cond]>),
    If(Box<(Cond, Cond, Cond)>),
    Equal(Box<(Expr, Expr)>),
    /// The entity is this one.
    Is(Expr, Name),
    /// The entity is one of these or belongs to one.
    InNames(Expr, Box<[Name]>),
    In(Box<(Expr, Expr)>),
    Less(Box<(Expr, Expr)>),
    LessOrEqual(Box<(Expr, Expr)>),
    /// Left has right as an element.
    Contains(Box<(Expr, Expr)>),
    ContainsAll(Box<(Expr, Expr)>),
    ContainsAny(Box<(Expr, Expr)>),
    IsEmpty(Box<Expr>),
    HasOwn(Root, u16, Arc<str>),
    HasContext(Word),
    Has(Box<Expr>, Box<[Arc<Key>]>),
    HasTag(Box<(Expr, Expr)>),
    Like(Box<Expr>, Box<[PatternElem]>),
    OfType(Box<Expr>, TypeKey),
    Address(AddressTest, Box<Expr>),
    InRange(Box<(Expr, Expr)>),
    DecimalLess(Box<(Expr, Expr)>),
    DecimalLessOrEqual(Box<(Expr, Expr)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressTest {
    V4,
    V6,
    Loopback,
    Multicast,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Bool(bool),
    Long(i64),
    Datetime(i64),
    Duration(i64),
    Decimal(i64),
    Name(Name),
    /// A set of these.
    Names(Box<[Name]>),
    /// A text, an address, or a set or record without entities.
    Constant(Box<Value>),
    Root(Root),
    Action,
    Context,
    /// An attribute of principal or resource, whose type is known.
    Own(Root, u16, Arc<str>),
    /// An attribute of the context.
    OfContext(Word),
    Attribute(Box<Expr>, Arc<Key>),
    Tag(Box<(Expr, Expr)>),
    If(Box<(Cond, Expr, Expr)>),
    Cond(Box<Cond>),
    Negate(Box<Expr>),
    Add(Box<(Expr, Expr)>),
    Subtract(Box<(Expr, Expr)>),
    Multiply(Box<(Expr, Expr)>),
    Set(Box<[Expr]>),
    Record(Box<[(Arc<str>, Expr)]>),
    Call(Function, Box<Expr>),
    Offset(Box<(Expr, Expr)>),
    DurationSince(Box<(Expr, Expr)>),
}

/// The extension functions of one argument that give a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Datetime,
    Duration,
    Decimal,
    Ip,
    ToDate,
    ToTime,
    ToMilliseconds,
    ToSeconds,
    ToMinutes,
    ToHours,
    ToDays,
}

impl AddressTest {
    /// Whether the whole range passes the test.
    pub(crate) fn holds(self, address: IpAddr, prefix: u8) -> bool {
        let v4 = address.is_ipv4();
        match self {
            AddressTest::V4 => v4,
            AddressTest::V6 => !v4,
            AddressTest::Loopback => address.is_loopback() && prefix >= if v4 { 8 } else { 128 },
            AddressTest::Multicast => address.is_multicast() && prefix >= if v4 { 4 } else { 8 },
        }
    }
}

/// Whether all addresses of the first range are in the second.
pub(crate) fn in_range(inner: (IpAddr, u8), outer: (IpAddr, u8)) -> bool {
    // Both ends of a range, with IPv4 in the upper bits so that prefixes mean the same.
    let ends = |(address, prefix): (IpAddr, u8)| {
        let (bits, width) = match address {
            IpAddr::V4(a) => (u128::from(u32::from(a)), 32),
            IpAddr::V6(a) => (u128::from(a), 128),
        };
        let host = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
        let host = host.checked_shr(u32::from(prefix)).unwrap_or(0);
        (bits & !host, bits | host)
    };
    let ((from, to), (first, last)) = (ends(inner), ends(outer));
    inner.0.is_ipv4() == outer.0.is_ipv4() && first <= from && to <= last
}
