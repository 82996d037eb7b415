//! The value of an attribute or tag: as it is made, packed into eight bytes, and as it is read.

use std::fmt;

use crate::model::Value;

/// The value of an attribute or tag.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    /// The entity does not have the attribute.
    Absent,
    Bool(bool),
    Long(i64),
    Entity(u32),
    /// Milliseconds since 1970, as all instants here.
    Datetime(i64),
    Duration(i64),
    Decimal(i64),
    /// A set of entities only, sorted.
    Entities(Box<[u32]>),
    /// Any other value: text, set, record, address.
    Other(Box<Value>),
}

/// What is in a cell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Held<'c> {
    Absent,
    Bool(bool),
    Long(i64),
    Entity(u32),
    Datetime(i64),
    Duration(i64),
    Decimal(i64),
    Entities(&'c [u32]),
    Other(&'c Value),
}

impl Cell {
    /// What is in it.
    #[inline]
    pub(crate) fn held(&self) -> Held<'_> {
        match self {
            Cell::Absent => Held::Absent,
            Cell::Bool(b) => Held::Bool(*b),
            Cell::Long(n) => Held::Long(*n),
            Cell::Entity(slot) => Held::Entity(*slot),
            Cell::Datetime(ms) => Held::Datetime(*ms),
            Cell::Duration(ms) => Held::Duration(*ms),
            Cell::Decimal(n) => Held::Decimal(*n),
            Cell::Entities(slots) => Held::Entities(slots),
            Cell::Other(value) => Held::Other(value),
        }
    }
}

impl Held<'_> {
    /// A cell with the same in it.
    pub(super) fn to_cell(self) -> Cell {
        match self {
            Held::Absent => Cell::Absent,
            Held::Bool(b) => Cell::Bool(b),
            Held::Long(n) => Cell::Long(n),
            Held::Entity(slot) => Cell::Entity(slot),
            Held::Datetime(ms) => Cell::Datetime(ms),
            Held::Duration(ms) => Cell::Duration(ms),
            Held::Decimal(n) => Cell::Decimal(n),
            Held::Entities(slots) => Cell::Entities(slots.into()),
            Held::Other(value) => Cell::Other(Box::new(value.clone())),
        }
    }
}

/// A cell in eight bytes: in the lower four bits what is in it, above them a number. What does not fit, or is no number,
/// is further away, in a list of cells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed(u64);

const TAG: u32 = 4;
/// In the tags of what is the same exactly where the eight bytes are.
const PLAIN: u64 = 8;
const BOOL: u64 = PLAIN;
const ENTITY: u64 = PLAIN + 1;
const ABSENT: u64 = 0;
const LONG: u64 = 1;
const DATETIME: u64 = 2;
const DURATION: u64 = 3;
const DECIMAL: u64 = 4;
/// A set without elements.
const EMPTY: u64 = 5;
/// In the list, at the place that is the number.
const FURTHER: u64 = 6;

impl Packed {
    pub(crate) const ABSENT: Self = Self(ABSENT);
    pub(crate) const TRUE: Self = Self(1 << TAG | BOOL);

    #[inline]
    pub(crate) fn entity(slot: u32) -> Self {
        Self(u64::from(slot) << TAG | ENTITY)
    }

    /// Packs a cell, and puts it into `further` where that takes more.
    pub(super) fn new(cell: Cell, further: &mut Vec<Cell>) -> Self {
        let number = |tag: u64, n: i64| ((n << TAG) >> TAG == n).then_some(Self(n.cast_unsigned() << TAG | tag));
        let packed = match &cell {
            Cell::Absent => Some(Self::ABSENT),
            Cell::Bool(b) => Some(Self(u64::from(*b) << TAG | BOOL)),
            Cell::Entity(slot) => Some(Self::entity(*slot)),
            Cell::Long(n) => number(LONG, *n),
            Cell::Datetime(ms) => number(DATETIME, *ms),
            Cell::Duration(ms) => number(DURATION, *ms),
            Cell::Decimal(n) => number(DECIMAL, *n),
            Cell::Entities(slots) => slots.is_empty().then_some(Self(EMPTY)),
            Cell::Other(_) => None,
        };
        packed.unwrap_or_else(|| {
            let place = further.len() as u64;
            further.push(cell);
            Self(place << TAG | FURTHER)
        })
    }

    #[inline]
    fn tag(self) -> u64 {
        self.0 & ((1 << TAG) - 1)
    }

    #[inline]
    fn number(self) -> i64 {
        self.0.cast_signed() >> TAG
    }

    /// The slot of an entity.
    #[inline]
    pub(crate) fn slot(self) -> Option<u32> {
        // INVARIANT: it was made of a slot.
        (self.tag() == ENTITY).then_some((self.0 >> TAG) as u32)
    }

    #[inline]
    pub(crate) fn is_absent(self) -> bool {
        self == Self::ABSENT
    }

    /// Whether both are the same; none where they are not two entities or two Booleans.
    #[inline]
    pub(crate) fn is(self, other: Self) -> Option<bool> {
        (self.tag() == other.tag() && self.0 & PLAIN != 0).then_some(self == other)
    }

    /// What is in it, with the list of what is further away.
    #[inline]
    pub(crate) fn held(self, further: &[Cell]) -> Held<'_> {
        match self.tag() {
            BOOL => Held::Bool(self == Self::TRUE),
            // INVARIANT: it was made of a slot.
            ENTITY => Held::Entity((self.0 >> TAG) as u32),
            LONG => Held::Long(self.number()),
            DATETIME => Held::Datetime(self.number()),
            DURATION => Held::Duration(self.number()),
            DECIMAL => Held::Decimal(self.number()),
            EMPTY => Held::Entities(&[]),
            FURTHER => further.get((self.0 >> TAG) as usize).map_or(Held::Absent, Cell::held),
            _ => Held::Absent,
        }
    }

    /// The tag and the number, where that is a number or an instant: two of one tag have an order.
    #[inline]
    pub(crate) fn order(self) -> Option<(u64, i64)> {
        matches!(self.tag(), LONG | DATETIME).then_some((self.tag(), self.number()))
    }

    /// A number to be compared with others.
    #[inline]
    pub(crate) fn long(n: i64) -> (u64, i64) {
        (LONG, n)
    }

    /// An instant to be compared with others.
    #[inline]
    pub(crate) fn datetime(ms: i64) -> (u64, i64) {
        (DATETIME, ms)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag() {
            FURTHER => write!(f, "Further({})", self.0 >> TAG),
            _ => self.held(&[]).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_cell_holds_what_it_was_made_of() {
        let numbers = [0, 1, -1, i64::MAX >> TAG, i64::MIN >> TAG, (i64::MAX >> TAG) + 1, i64::MAX, i64::MIN];
        let of = |n: i64| [Cell::Long(n), Cell::Datetime(n), Cell::Duration(n), Cell::Decimal(n)];
        let others = [
            Cell::Absent,
            Cell::Bool(false),
            Cell::Bool(true),
            Cell::Entity(0),
            Cell::Entity(u32::MAX),
            Cell::Entities([].into()),
            Cell::Entities([1, 2].into()),
            Cell::Other(Box::new(Value::String("text".into()))),
        ];
        let mut further = Vec::new();
        for cell in numbers.into_iter().flat_map(of).chain(others) {
            let packed = Packed::new(cell.clone(), &mut further);
            assert_eq!(format!("{:?}", packed.held(&further)), format!("{:?}", cell.held()));
            let plain = matches!(cell, Cell::Bool(_) | Cell::Entity(_));
            assert_eq!(packed.is(packed), plain.then_some(true), "{cell:?}");
        }
        // Those beyond 60 bits, four of each; a set with elements and a text.
        assert_eq!(further.len(), 3 * 4 + 2);
        assert_eq!(Packed::entity(1).is(Packed::entity(2)), Some(false));
        // Only whoever knows the operator knows whether that is an error.
        assert_eq!(Packed::entity(1).is(Packed::TRUE), None);
    }
}
