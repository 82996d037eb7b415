//! What policies are compiled to: small trees over numbered attributes and entities.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::pst::PatternElem;

use super::plan::Plan;
use super::types::{RecordType, Type};
use super::Slice;
use crate::model::{EntityUid, Value, Word};

/// All policies of a bundle, compiled.
#[derive(Debug, Default)]
pub(crate) struct Program {
    /// By the number that the layout gives an action.
    pub(crate) actions: Vec<Option<Action>>,
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
    /// How many policies are compiled; the others are left to Cedar.
    pub(crate) covered: usize,
}

/// Which environments an action has, by the layout's numbers of principal type and resource type.
#[derive(Debug, Default)]
pub(crate) struct Between {
    /// Where the rows of principal types begin in `places`, and where in a row a resource type is: [`Self::NONE`] for
    /// types that the action is not foreseen for.
    rows: Box<[u32]>,
    columns: Box<[u32]>,
    places: Box<[u32]>,
}

impl Between {
    const NONE: u32 = u32::MAX;

    /// Of the places of environments, row by row.
    pub(crate) fn new(principals: &[u32], resources: &[u32], places: Vec<u32>) -> Self {
        let by_type = |types: &[u32], step: usize| {
            let len = types.iter().max().map_or(0, |most| *most as usize + 1);
            let mut by_type = vec![Self::NONE; len].into_boxed_slice();
            for (of, place) in types.iter().zip((0..).step_by(step)) {
                by_type.get_mut(*of as usize).into_iter().for_each(|own| *own = place);
            }
            by_type
        };
        let (rows, columns) = (by_type(principals, resources.len().max(1)), by_type(resources, 1));
        Self { rows, columns, places: places.into() }
    }

    /// The place of the environment of requests between these types.
    #[inline]
    pub(crate) fn between(&self, principal: u32, resource: u32) -> Option<u32> {
        let (row, column) = (*self.rows.get(principal as usize)?, *self.columns.get(resource as usize)?);
        if row == Self::NONE || column == Self::NONE {
            return None;
        }
        self.places.get(row as usize + column as usize).copied()
    }
}

/// What the schema says of an action.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) environments: Between,
    /// The context's attributes, by name: an attribute's number is its place.
    pub(crate) given: Arc<[Given]>,
    /// How many of them are required.
    pub(crate) required: usize,
    /// The number of `now: datetime`, if the schema declares it among the context's numbered attributes, and whether it
    /// is required.
    pub(crate) now: Option<(usize, bool)>,
    /// Whether its window is cut down to the auditor's period.
    pub(crate) clamps: bool,
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
    pub(crate) plan: Plan,
    /// Policies that are not compiled.
    pub(crate) cedar: Option<Arc<Slice>>,
    /// Whether all its policies are in the plan.
    pub(crate) planned: bool,
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
