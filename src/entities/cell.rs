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

/// A cell in eight bytes: in the lower five bits what is in it, above them a number. What does not fit, or is no number,
/// is further away, in a list of cells.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Packed(u64);

const TAG: u32 = 5;
const TAGS: u8 = (1 << TAG) - 1;
const ABSENT: u64 = 0;
/// A set without elements.
const EMPTY: u64 = 1;
/// In the list, at the place that is the number.
const FURTHER: u64 = 2;
/// In the tags of what is the same exactly where the eight bytes are.
const PLAIN: u64 = 8;
const BOOL: u64 = PLAIN;
const ENTITY: u64 = PLAIN + 1;
const LONG: u64 = PLAIN + 2;
const DATETIME: u64 = PLAIN + 3;
const DURATION: u64 = PLAIN + 4;
const DECIMAL: u64 = PLAIN + 5;
/// In the tags of numbers and instants, and in no other.
const ORDERED: u64 = LONG & DATETIME;
/// In the tag of what is not known, and in no other.
const UNKNOWN: u64 = 16;

impl Packed {
    pub(crate) const ABSENT: Self = Self(ABSENT);
    pub(crate) const TRUE: Self = Self::bool(true);
    /// What is not even known to be there or not.
    pub(crate) const UNKNOWN: Self = Self(UNKNOWN);
    /// Something that is there, and of which no more can be told.
    pub(crate) const OTHER: Self = Self(u64::MAX << TAG | FURTHER);

    #[inline]
    pub(crate) const fn bool(b: bool) -> Self {
        Self((b as u64) << TAG | BOOL)
    }

    #[inline]
    pub(crate) const fn entity(slot: u32) -> Self {
        Self((slot as u64) << TAG | ENTITY)
    }

    /// None where the number does not fit.
    #[inline]
    fn tagged(tag: u64, n: i64) -> Option<Self> {
        ((n << TAG) >> TAG == n).then_some(Self(n.cast_unsigned() << TAG | tag))
    }

    /// A number, or [`Packed::OTHER`] where it does not fit.
    #[inline]
    pub(crate) fn long(n: i64) -> Self {
        Self::tagged(LONG, n).unwrap_or(Self::OTHER)
    }

    /// An instant, or [`Packed::OTHER`] where it does not fit.
    #[inline]
    pub(crate) fn datetime(ms: i64) -> Self {
        Self::tagged(DATETIME, ms).unwrap_or(Self::OTHER)
    }

    /// Packs a cell, and puts it into `further` where that takes more.
    pub(super) fn new(cell: Cell, further: &mut Vec<Cell>) -> Self {
        let packed = match &cell {
            Cell::Absent => Some(Self::ABSENT),
            Cell::Bool(b) => Some(Self::bool(*b)),
            Cell::Entity(slot) => Some(Self::entity(*slot)),
            Cell::Long(n) => Self::tagged(LONG, *n),
            Cell::Datetime(ms) => Self::tagged(DATETIME, *ms),
            Cell::Duration(ms) => Self::tagged(DURATION, *ms),
            Cell::Decimal(n) => Self::tagged(DECIMAL, *n),
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
        self.0 & u64::from(TAGS)
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
}

/// What is asked of two packed values and a constant, answered by a number and in one way whatever is asked, so that
/// nothing must be foretold: each part is 0 where it does not count. Either the second or the constant is
/// [`Question::NOTHING`], and the first is compared with the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    /// In these bits of their tags both must be alike, and the first must have those; otherwise there is no answer.
    alike: u8,
    has: u8,
    /// The answer where both are the same, and where the first is less; otherwise it is 0.
    same: u8,
    less: u8,
}

impl Question {
    pub(crate) const NOTHING: Packed = Packed::ABSENT;
    /// 0, whatever it is asked of.
    pub(crate) const NONE: Self = Self { alike: 0, has: 0, same: 0, less: 0 };
    /// Whether both are the same.
    pub(crate) const SAME: Self = Self { alike: TAGS, has: PLAIN as u8, same: 1, less: 0 };
    /// Whether the first is absent. The other is [`Question::NOTHING`] too.
    pub(crate) const ABSENT: Self = Self { alike: UNKNOWN as u8, has: 0, same: 1, less: 0 };
    /// Whether the first is before the other: two numbers or two instants.
    pub(crate) const BEFORE: Self = Self { alike: TAGS, has: ORDERED as u8, same: 0, less: 1 };
    /// Whether the first is before the other, or the same.
    pub(crate) const UNTIL: Self = Self { same: 1, ..Self::BEFORE };
    /// 0, for two of a kind: how far the first is [`Question::above`] the other is the answer.
    pub(crate) const WHICH: Self = Self { same: 0, ..Self::SAME };

    /// The same, its answers so many times as large.
    pub(crate) const fn times(self, times: u8) -> Self {
        Self { same: self.same * times, less: self.less * times, ..self }
    }

    #[inline(always)]
    fn beyond(a: Packed, b: Packed, constant: Packed) -> u64 {
        a.0.wrapping_sub(b.0 ^ constant.0)
    }

    /// The answer, if the second number is 0; otherwise there is none.
    #[inline(always)]
    pub(crate) fn put(self, a: Packed, b: Packed, constant: Packed) -> (u8, u64) {
        // 0 where they are the same; otherwise the tag of that is 0 where theirs are alike.
        let beyond = Self::beyond(a, b, constant);
        let unknown = beyond & u64::from(self.alike) | !a.0 & u64::from(self.has);
        let same = if beyond == 0 { self.same } else { 0 };
        let less = if a.0.cast_signed() < (b.0 ^ constant.0).cast_signed() { self.less } else { 0 };
        (same + less, unknown)
    }

    /// How many entities the first is above the other, counted by slots; `most` where it is further, or below.
    #[inline(always)]
    pub(crate) fn above(a: Packed, b: Packed, constant: Packed, most: u8) -> u8 {
        // INVARIANT: no more than `most`.
        (Self::beyond(a, b, constant) >> TAG).min(most.into()) as u8
    }

    /// The answer, if there is one.
    #[inline]
    pub(crate) fn answer(self, a: Packed, b: Packed, constant: Packed) -> Option<u8> {
        let (answer, unknown) = self.put(a, b, constant);
        (unknown == 0).then_some(answer)
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
            let (nothing, unknown) = (Question::NOTHING, Packed::UNKNOWN);
            let told = !matches!(packed.tag(), ABSENT | EMPTY | FURTHER);
            assert_eq!(Question::SAME.answer(packed, packed, nothing), told.then_some(1), "{cell:?}");
            assert_eq!(Question::SAME.answer(packed, nothing, packed), told.then_some(1), "{cell:?}");
            let absent = u8::from(matches!(cell, Cell::Absent));
            assert_eq!(Question::ABSENT.answer(packed, nothing, nothing), Some(absent), "{cell:?}");
            for question in [Question::SAME, Question::WHICH, Question::BEFORE] {
                assert_eq!(question.answer(unknown, nothing, packed), None, "{cell:?}");
                assert_eq!(question.answer(packed, nothing, unknown), None, "{cell:?}");
            }
        }
        // Those beyond 59 bits, four of each; a set with elements and a text.
        assert_eq!(further.len(), 3 * 4 + 2);
    }

    #[test]
    fn a_question_has_its_answer_or_none() {
        let (one, two, nothing) = (Packed::entity(1), Packed::entity(2), Question::NOTHING);
        let same = |a, b| Question::SAME.answer(a, b, nothing);
        assert_eq!([same(one, two), Question::SAME.answer(one, nothing, two)], [Some(0); 2]);
        assert_eq!([same(two, one), Question::SAME.answer(two, nothing, one)], [Some(0); 2]);
        // Only whoever knows the operator knows whether that is an error.
        assert_eq!([same(one, Packed::TRUE), Question::SAME.answer(Packed::TRUE, nothing, one)], [None; 2]);
        assert_eq!([same(nothing, nothing), same(Packed::OTHER, Packed::OTHER)], [None; 2]);
        assert_eq!([same(Packed::UNKNOWN, Packed::UNKNOWN), same(nothing, one)], [None; 2]);
        let absent = |of| Question::ABSENT.answer(of, nothing, nothing);
        assert_eq!([absent(nothing), absent(Packed::OTHER), absent(Packed::UNKNOWN)], [Some(1), Some(0), None]);
        let order = |a, b| [Question::BEFORE, Question::UNTIL].map(|question| question.answer(a, b, nothing));
        for of in [Packed::long, Packed::datetime] {
            let numbers = [i64::MIN >> TAG, -1, 0, 1, i64::MAX >> TAG];
            for (a, b) in numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))) {
                let wanted = [u8::from(a < b), u8::from(a <= b)].map(Some);
                assert_eq!(order(of(a), of(b)), wanted, "{a} {b}");
                assert_eq!(Question::UNTIL.answer(of(a), nothing, of(b)), wanted[1], "{a} {b}");
            }
            // One that does not fit.
            assert_eq!([order(of(i64::MIN), of(0)), order(of(0), of(i64::MAX))], [[None; 2]; 2]);
        }
        let others = [one, Packed::TRUE, Packed::UNKNOWN, nothing].map(|of| order(of, of));
        let (mut further, cells) = (Vec::new(), [Cell::Duration(1), Cell::Decimal(1)]);
        let more = cells.map(|cell| Packed::new(cell, &mut further)).map(|of| order(of, of));
        assert!(others.iter().chain(&more).flatten().all(Option::is_none), "{others:?} {more:?}");
        assert_eq!(order(Packed::long(1), Packed::datetime(1)), [None; 2], "there is no order of two kinds");
        assert_eq!(Question::UNTIL.times(6).answer(Packed::long(1), nothing, Packed::long(1)), Some(6));
        // The entities 7 and 8.
        let which = |of| {
            let above = Question::above(of, nothing, Packed::entity(7), 2);
            Question::WHICH.answer(of, nothing, Packed::entity(7)).map(|answer| answer + above)
        };
        let entities = [6, 7, 8, 9, 0, u32::MAX].map(|slot| which(Packed::entity(slot)));
        assert_eq!(entities, [Some(2), Some(0), Some(1), Some(2), Some(2), Some(2)]);
        assert_eq!([which(Packed::TRUE), which(nothing), which(Packed::OTHER)], [None; 3]);
    }
}
