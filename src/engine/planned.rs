//! Following a plan: the rules of an environment, section by section, each test of one asked at most once.

use std::mem::ManuallyDrop;

use super::context::Given;
use super::env::{Data, Ent, Env};
use crate::bundle::plan::{Form, Next, Node, Own, Place, Section, Spot};
use crate::bundle::program::{Name, Root};
use crate::entities::record::{sorted_contains, Cell};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ordered {
    Number,
    Instant,
}

/// A request, with the attributes of its principal and resource where these are stored, and the two themselves.
struct Request<'e, 'a> {
    env: &'e Env<'a>,
    banks: [&'e [Cell]; 4],
}

/// The ranks of the rules of the section that hold, and whether they forbid; none where a test has no answer.
#[inline]
pub(super) fn follow<'a>(env: &Env<'a>, section: &'a Section) -> Option<(&'a [u32], bool)> {
    let attributes = |data| match data {
        Data::Stored(record) => &record.attributes,
        Data::Inline(_) | Data::Missing => &[][..],
    };
    let cell = |ent| match ent {
        Ent::Slot(slot) => Cell::Entity(slot),
        Ent::Foreign(_) => Cell::Absent,
    };
    // Nothing in them is to be dropped.
    let roots = ManuallyDrop::new([cell(env.principal.0), cell(env.resource.0)]);
    let request = Request { env, banks: [attributes(env.principal.1), attributes(env.resource.1), &*roots, &[]] };
    let mut next = section.start;
    loop {
        let node = match next {
            Next::Node(at) => section.nodes.get(usize::from(at))?,
            Next::End(at) => {
                let end = section.ends.get(usize::from(at))?;
                let ranks = section.ranks.get(usize::from(end.first)..)?.get(..usize::from(end.count))?;
                return Some((ranks, end.forbid));
            }
            Next::Unplanned => return None,
        };
        next = match node {
            Node::Test { form, cond, yes, no } => {
                // The most usual form apart from the others, so that it is foretold.
                let look = match *form {
                    Form::Same { a, b, fixed } => request.same(a, b, fixed),
                    form => request.look(form),
                };
                let answer = match look {
                    Some(answer) => answer,
                    None => env.holds(section.conds.get(usize::from(*cond))?).ok()?,
                };
                if answer {
                    *yes
                } else {
                    *no
                }
            }
            Node::Switch { of, first, count, other } => match request.own(*of) {
                Some(Cell::Entity(slot)) if env.snapshot.is_alone(*slot) => {
                    let way = (*slot < u32::from(*count)).then_some(usize::from(*first) + *slot as usize);
                    way.map_or(Some(*other), |way| section.ways.get(way).copied())?
                }
                _ => return None,
            },
        };
    }
}

/// A Boolean, beside which entities are their slots.
const BOOLEAN: u64 = 1 << 32;

impl Request<'_, '_> {
    #[inline]
    fn own(&self, own: Own) -> Option<&Cell> {
        let [principal, resource, ..] = self.banks;
        match own.root {
            Root::Principal => principal.get(usize::from(own.number)),
            Root::Resource => resource.get(usize::from(own.number)),
        }
    }

    /// An entity or Boolean as a number; `none` for anything else.
    #[inline]
    fn key(&self, spot: Spot, none: u64) -> u64 {
        match self.banks.get(spot.bank()).and_then(|bank| bank.get(spot.at())) {
            Some(Cell::Entity(slot)) => (*slot).into(),
            Some(Cell::Bool(b)) => BOOLEAN | u64::from(*b),
            _ => none,
        }
    }

    /// Whether two are the same; none where they are not both entities or both Booleans.
    #[inline]
    fn same(&self, a: Spot, b: Spot, fixed: u16) -> Option<bool> {
        let rights = [self.key(b, 3 << 32), fixed.into(), BOOLEAN | 1];
        let said = if b.bank() == Spot::FIXED.bank() { 1 + b.at() } else { 0 };
        let (left, right) = (self.key(a, 2 << 32), *rights.get(said)?);
        ((left ^ right) >> 32 == 0).then_some(left == right)
    }

    /// What [`Env::holds`] gives for the condition; none where it takes more than a look, or is an error.
    #[inline]
    fn look(&self, form: Form) -> Option<bool> {
        Some(match form {
            Form::Same { a, b, fixed } => self.same(a, b, fixed)?,
            Form::Has(own) => !matches!(self.own(own)?, Cell::Absent),
            Form::Equal(a, b) => self.place(a)? == self.place(b)?,
            Form::Within(a, b) => self.env.within(Ent::Slot(self.place(a)?), Ent::Slot(self.place(b)?)),
            Form::Among(own, place) => sorted_contains(self.own(own)?.entities()?, self.place(place)?),
            Form::HasGiven(number) => !matches!(self.env.given(number)?, Given::Absent),
            Form::Before(a, b, or_same) => {
                let ((kind, a), (other, b)) = (self.order(a)?, self.order(b)?);
                // Of two kinds there is no order, which is an error.
                (kind == other).then_some(a < b || (or_same && a == b))?
            }
            Form::Other => return None,
        })
    }

    /// A number or an instant, and which it is.
    #[inline]
    fn order(&self, place: Place) -> Option<(Ordered, i64)> {
        match place {
            Place::Own(own) => match self.own(own)? {
                Cell::Long(n) => Some((Ordered::Number, *n)),
                Cell::Datetime(ms) => Some((Ordered::Instant, *ms)),
                _ => None,
            },
            Place::Given(number) => match self.env.given(number)? {
                Given::Long(n) => Some((Ordered::Number, n)),
                Given::Datetime(ms) => Some((Ordered::Instant, ms)),
                _ => None,
            },
            Place::Root(_) | Place::Fixed(_) | Place::Literal(_) => None,
        }
    }

    #[inline]
    fn place(&self, place: Place) -> Option<u32> {
        match place {
            Place::Own(own) => match self.own(own)? {
                Cell::Entity(slot) => Some(*slot),
                _ => None,
            },
            Place::Root(root) => match self.env.root(root).0 {
                Ent::Slot(slot) => Some(slot),
                Ent::Foreign(_) => None,
            },
            Place::Fixed(number) => Some(u32::from(number)),
            Place::Literal(number) => Some(self.env.slot(Name::Literal(number.into()))),
            Place::Given(number) => match self.env.given(number)? {
                Given::Entity(slot) => Some(slot),
                _ => None,
            },
        }
    }
}
