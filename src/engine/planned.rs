//! Following a plan: the rules of an environment, section by section, each test of one asked at most once.

use super::context::Given;
use super::env::{Data, Ent};
use super::Linked;
use crate::bundle::plan::{Form, Node, Own, Place, Section, Spot};
use crate::bundle::program::{Cond, Root};
use crate::entities::record::{sorted_contains, Held, Packed, Record};
use crate::entities::Snapshot;

/// What the tests of a plan look at: principal and resource with their attributes, where these are stored, and what
/// comes with the request.
pub(super) struct Looks<'e> {
    snapshot: &'e Snapshot,
    literals: &'e [u32],
    roots: [Packed; 2],
    records: [Option<&'e Record>; 2],
    given: &'e [Given],
    /// Whether the resource comes with the request: then a look does not tell what belongs to what.
    joined: bool,
}

impl<'e> Looks<'e> {
    #[inline]
    pub(super) fn new(linked: &'e Linked, roots: [(Ent<'e>, Data<'e>); 2], given: &'e [Given]) -> Self {
        let record = |(_, data)| match data {
            Data::Stored(record) => Some(record),
            Data::Inline(_) | Data::Missing => None,
        };
        let packed = |(ent, _)| match ent {
            Ent::Slot(slot) => Packed::entity(slot),
            Ent::Foreign(_) => Packed::ABSENT,
        };
        Self {
            snapshot: linked.snapshot(),
            literals: &linked.literals,
            roots: roots.map(packed),
            records: roots.map(record),
            given,
            joined: matches!(roots, [_, (_, Data::Inline(_))]),
        }
    }
}

/// The ranks of the rules of the section that hold, and whether they forbid; none where a test has no answer. What takes
/// more than a look is put to `holds`.
#[inline]
pub(super) fn follow<'s>(
    looks: &Looks<'_>,
    section: &'s Section,
    holds: impl Fn(&'s Cond) -> Option<bool>,
) -> Option<(&'s [u32], bool)> {
    let attributes = looks.records.map(|record| record.map_or(&[][..], |record| &record.attributes));
    let banks = [attributes[0], attributes[1], &looks.roots, &*section.constants];
    let packed = |spot: Spot| banks.get(spot.bank())?.get(spot.at());
    let holds = |cond: u8| holds(section.conds.get(usize::from(cond))?);
    let mut at = section.start;
    loop {
        at = match section.nodes.get(usize::from(at))? {
            Node::Same { a, b, cond, yes, no } => {
                let look = packed(*a).zip(packed(*b)).and_then(|(a, b)| a.is(*b));
                match look.or_else(|| holds(*cond))? {
                    true => *yes,
                    false => *no,
                }
            }
            Node::Test { form, cond, yes, no } => match looks.look(*form).or_else(|| holds(*cond))? {
                true => *yes,
                false => *no,
            },
            Node::Switch { of, first, count, other } => {
                let slot = looks.own(*of)?.slot().filter(|slot| looks.snapshot.is_alone(*slot))?;
                let way = (slot < u32::from(*count)).then_some(usize::from(*first) + slot as usize);
                way.map_or(Some(*other), |way| section.ways.get(way).copied())?
            }
            Node::End { first, count, forbid } => {
                let ranks = section.ranks.get(usize::from(*first)..)?.get(..usize::from(*count))?;
                return Some((ranks, *forbid));
            }
        };
    }
}

impl<'e> Looks<'e> {
    #[inline]
    fn record(&self, root: Root) -> Option<&'e Record> {
        let [principal, resource] = self.records;
        match root {
            Root::Principal => principal,
            Root::Resource => resource,
        }
    }

    #[inline]
    fn own(&self, own: Own) -> Option<Packed> {
        self.record(own.root)?.attributes.get(usize::from(own.number)).copied()
    }

    /// What [`super::env::Env::holds`] gives for the condition; none where it takes more than a look, or is an error.
    #[inline]
    fn look(&self, form: Form) -> Option<bool> {
        Some(match form {
            Form::Has(own) => !self.own(own)?.is_absent(),
            Form::HasMore(root) => self.record(root)?.is_plain().then_some(false)?,
            Form::Equal(a, b) => self.place(a)? == self.place(b)?,
            Form::Within(a, b) => self.within(self.place(a)?, self.place(b)?)?,
            Form::Among(own, place) => match self.record(own.root)?.held(own.number)? {
                Held::Entities(slots) => sorted_contains(slots, self.place(place)?),
                _ => return None,
            },
            Form::HasGiven(number) => !matches!(self.given(number)?, Given::Absent),
            Form::Before(a, b, or_same) => {
                let ((kind, a), (other, b)) = (self.order(a)?, self.order(b)?);
                // Of two kinds there is no order, which is an error.
                (kind == other).then_some(a < b || (or_same && a == b))?
            }
            // The first is a node of its own.
            Form::Same(..) | Form::Other => return None,
        })
    }

    #[inline]
    fn given(&self, number: u8) -> Option<Given> {
        self.given.get(usize::from(number)).copied()
    }

    /// Whether an entity is a group or belongs to it; none where that takes more than a look.
    #[inline]
    fn within(&self, slot: u32, group: u32) -> Option<bool> {
        let above = || self.snapshot.record(slot).is_some_and(|record| sorted_contains(record.ancestors(), group));
        (!self.joined).then(|| slot == group || above())
    }

    /// What two have an order by: of the same kind, and where in that.
    #[inline]
    fn order(&self, place: Place) -> Option<(u64, i64)> {
        match place {
            Place::Own(own) => self.own(own)?.order(),
            Place::Given(number) => match self.given(number)? {
                Given::Long(n) => Some(Packed::long(n)),
                Given::Datetime(ms) => Some(Packed::datetime(ms)),
                _ => None,
            },
            Place::Root(_) | Place::Fixed(_) | Place::Literal(_) => None,
        }
    }

    /// The slot of an entity.
    #[inline]
    fn place(&self, place: Place) -> Option<u32> {
        match place {
            Place::Own(own) => self.own(own)?.slot(),
            Place::Root(root) => self.roots.get(root as usize)?.slot(),
            Place::Fixed(number) => Some(u32::from(number)),
            // INVARIANT: literals are those of the program, one slot for each.
            Place::Literal(number) => self.literals.get(usize::from(number)).copied(),
            Place::Given(number) => match self.given(number)? {
                Given::Entity(slot) => Some(slot),
                _ => None,
            },
        }
    }
}
