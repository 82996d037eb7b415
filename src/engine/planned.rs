//! Following a plan: the rules of an environment, section by section, each test of one asked at most once.

use super::Linked;
use crate::bundle::plan::{Form, Next, Node, Plans, Section, Spot, Test, BANKS, NO_TEST};
use crate::bundle::program::{Cond, Root};
use crate::entities::record::{sorted_contains, Held, Packed, Record};
use crate::entities::Snapshot;

/// What the tests of a plan look at: principal and resource with their attributes, where these are stored, and what
/// comes with the request.
pub(super) struct Looks<'e> {
    snapshot: &'e Snapshot,
    plans: &'e Plans,
    /// By the numbers of [`crate::bundle::plan::Bank`].
    banks: [&'e [Packed]; BANKS],
    records: [Option<&'e Record>; 2],
    /// How many first slots are those of listed entities that belong to nothing.
    listed: u64,
    /// Whether the resource comes with the request: then a look does not tell what belongs to what.
    joined: bool,
}

impl<'e> Looks<'e> {
    /// At these two where they are stored, and else at their uids.
    #[inline(always)]
    pub(super) fn new(
        linked: &'e Linked,
        roots: &'e [Packed; 2],
        records: [Option<&'e Record>; 2],
        given: &'e [Packed],
        joined: bool,
    ) -> Self {
        let [principal, resource] = records.map(|record| record.map_or(&[][..], |record| &record.attributes));
        let (snapshot, plans) = (linked.snapshot(), &linked.program().plans);
        Self {
            snapshot,
            plans,
            banks: [principal, resource, roots, given, &plans.constants, &linked.named.literals],
            records,
            listed: snapshot.alone(),
            joined,
        }
    }
}

/// The ranks of the rules of the section that hold, and whether they forbid; none where a test has no answer. What takes
/// more than a look is put to `holds`.
#[inline(always)]
pub(super) fn follow<'e>(
    looks: &Looks<'e>,
    section: &Section,
    holds: &dyn Fn(&'e Cond) -> Option<bool>,
) -> Option<(&'e [u32], bool)> {
    let plans = looks.plans;
    let mut at = section.start;
    // No way is longer than there are nodes: were one a circle, no end would be found, and each rule is evaluated by itself.
    for _ in 0..section.node_count {
        if at >= section.node_count {
            break;
        }
        let node = plans.nodes.get(section.nodes as usize + usize::from(at))?;
        let answer = match looks.answer(node) {
            Some(answer) => answer,
            None if node.test == NO_TEST => return None,
            None => looks.test(plans.tests.get(section.tests as usize + usize::from(node.test))?, holds)?,
        };
        at = match node.question.list() {
            None => *node.next.get(answer)?,
            Some(_) => *plans.ways.get(section.ways as usize + node.first() + answer)?,
        };
    }
    // What comes behind its ends is another section's.
    let end = Some(Next::MAX - at).filter(|end| *end < section.end_count)?;
    let end = plans.ends.get(section.ends as usize + usize::from(end))?;
    let ranks = match end.count {
        1 => std::slice::from_ref(&end.at),
        count => plans.ranks.get(end.at as usize..)?.get(..usize::from(count))?,
    };
    Some((ranks, end.forbid))
}

impl<'e> Looks<'e> {
    /// A section of the plans.
    #[inline]
    pub(super) fn section(&self, at: u32) -> Option<&'e Section> {
        self.plans.sections.get(at as usize)
    }

    #[inline(always)]
    fn answer(&self, node: &Node) -> Option<usize> {
        node.question.answer(self.packed(node.a)?, self.packed(node.b)?, self.listed)
    }

    /// The answer where there is no quick one.
    #[inline(never)]
    fn test(&self, test: &'e Test, holds: &dyn Fn(&'e Cond) -> Option<bool>) -> Option<usize> {
        let known = self.look(test.form).or_else(|| holds(&test.cond))?;
        Some(usize::from(known == test.yes))
    }

    #[inline(always)]
    fn packed(&self, spot: Spot) -> Option<Packed> {
        self.banks.get(spot.bank())?.get(spot.at()).copied()
    }

    #[inline]
    fn record(&self, root: Root) -> Option<&'e Record> {
        let [principal, resource] = self.records;
        match root {
            Root::Principal => principal,
            Root::Resource => resource,
        }
    }

    /// What [`super::env::Env::holds`] gives for the condition; none where it takes more than a look, or is an error.
    #[inline]
    fn look(&self, form: Form) -> Option<bool> {
        Some(match form {
            Form::Within(a, b) => self.within(a, self.slot(b)?)?,
            Form::Among(root, number, spot) => match self.record(root)?.held(number)? {
                Held::Entities(slots) => sorted_contains(slots, self.slot(spot)?),
                _ => return None,
            },
            Form::Before(a, b, or_same) => {
                let ((kind, a), (other, b)) = (self.packed(a)?.order()?, self.packed(b)?.order()?);
                // Of two kinds there is no order, which is an error.
                (kind == other).then_some(a < b || (or_same && a == b))?
            }
            Form::Other => return None,
        })
    }

    /// The slot of an entity.
    #[inline]
    fn slot(&self, spot: Spot) -> Option<u32> {
        self.packed(spot)?.slot()
    }

    /// Whether an entity is a group or belongs to it; none where that takes more than a look.
    #[inline]
    fn within(&self, spot: Spot, group: u32) -> Option<bool> {
        let slot = self.slot(spot)?;
        let own = || spot.root().and_then(|root| self.record(root)).or_else(|| self.snapshot.record(slot));
        let above = || own().is_some_and(|record| sorted_contains(record.ancestors(), group));
        (!self.joined).then(|| slot == group || above())
    }
}
