//! Following a plan: the rules of an environment, section by section, each test of one asked at most once.

use super::Linked;
use crate::bundle::plan::{Form, Node, Section, Spot, Test, LAST, LOOKS, NO_TEST};
use crate::bundle::program::{Cond, Root, GIVEN};
use crate::entities::record::{sorted_contains, Held, Packed, Question, Record, NEAR};

/// What the tests of a plan look at: principal and resource with their attributes, where these are stored, and what
/// comes with the request.
pub(super) struct Looks<'e> {
    /// By the numbers of [`crate::bundle::plan::Look`].
    view: [Packed; LOOKS],
    linked: &'e Linked,
    records: [Option<&'e Record>; 2],
    /// Whether the resource comes with the request: then a look does not tell what belongs to what.
    joined: bool,
}

impl<'e> Looks<'e> {
    /// At these two where they are stored, and else at their uids.
    #[inline(always)]
    pub(super) fn new(
        linked: &'e Linked,
        roots: [Packed; 2],
        records: [Option<&'e Record>; 2],
        given: &[Packed; GIVEN],
        joined: bool,
    ) -> Self {
        let near = |record: Option<&Record>| record.map_or([Packed::UNKNOWN; NEAR], |record| *record.near());
        let ([a, b, c, d, e], [f, g, h, i, j]) = (near(records[0]), near(records[1]));
        let ([k, l, m, n, o, p, q, r], [principal, resource]) = (*given, roots);
        let (none, unknown) = (Packed::ABSENT, Packed::UNKNOWN);
        let view = [
            a, b, c, d, e, none, none, none, f, g, h, i, j, none, none, none, k, l, m, n, o, p, q, r, principal,
            resource, none, unknown, none, none, none, none,
        ];
        Self { view, linked, records, joined }
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
    let plans = &looks.linked.program().plans;
    // What comes behind its own is another section's.
    let nodes = plans.nodes.get(section.nodes as usize..)?.get(..usize::from(section.node_count))?;
    let ways = plans.ways.get(section.ways as usize..)?;
    let mut at = section.start;
    // No way is longer than there are nodes: were one a circle, no end would be found, and each rule is evaluated by itself.
    for _ in nodes {
        let Some(node) = nodes.get(usize::from(at)) else { break };
        let answer = match looks.answer(node) {
            Some(answer) => answer,
            None if node.test == NO_TEST => return None,
            None => looks.test(plans.tests.get(section.tests as usize + usize::from(node.test))?, holds)?,
        };
        at = *ways.get(usize::from(node.first) + answer)?;
    }
    let end = LAST.checked_sub(at).filter(|end| *end < section.end_count)?;
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
        self.linked.program().plans.sections.get(at as usize)
    }

    #[inline(always)]
    fn answer(&self, node: &Node) -> Option<usize> {
        node.question.answer(*self.view.get(node.a.at())?, *self.view.get(node.b.at())?, node.constant)
    }

    /// The answer where there is no quick one.
    #[inline(never)]
    fn test(&self, test: &'e Test, holds: &dyn Fn(&'e Cond) -> Option<bool>) -> Option<usize> {
        let known = self.look(test.form).or_else(|| holds(&test.cond))?;
        Some(usize::from(known == test.yes))
    }

    fn packed(&self, spot: Spot) -> Option<Packed> {
        match spot {
            Spot::View(look) => self.view.get(look.at()).copied(),
            Spot::Far(root, at) => self.record(root)?.far().get(usize::from(at)).copied(),
            Spot::Constant(constant) => Some(constant),
            Spot::Literal(number) => self.linked.literals.get(number as usize).map(|slot| Packed::entity(*slot)),
        }
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
            Form::Same(a, b) => Question::SAME.answer(self.packed(a)?, self.packed(b)?, Question::NOTHING)? == 1,
            Form::Has(spot) => Question::ABSENT.answer(self.packed(spot)?, Question::NOTHING, Question::NOTHING)? == 0,
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
        let own = || spot.root().and_then(|root| self.record(root)).or_else(|| self.linked.snapshot.record(slot));
        let above = || own().is_some_and(|record| sorted_contains(record.ancestors(), group));
        (!self.joined).then(|| slot == group || above())
    }
}
