//! Following a plan: the rules of an environment, section by section, each test of one asked at most once.

use super::env::Env;
use super::Linked;
use crate::bundle::plan::{Ask, Form, Node, Section, Spot, Test, LAST, LOOKS, NO_TEST};
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
    asked: &'e dyn Asked<'e>,
}

/// What takes more than looks is asked of the request itself.
pub(super) trait Asked<'e> {
    /// Whether a condition holds; none where it has no answer.
    fn holds(&self, cond: &'e Cond) -> Option<bool>;
}

impl<'e> Asked<'e> for Env<'e> {
    fn holds(&self, cond: &'e Cond) -> Option<bool> {
        Env::holds(self, cond).ok()
    }
}

impl<'e> Looks<'e> {
    /// At these two, with the first attributes of each.
    #[inline(always)]
    pub(super) fn new(
        linked: &'e Linked,
        roots: [Packed; 2],
        near: [[Packed; NEAR]; 2],
        records: [Option<&'e Record>; 2],
        given: &[Packed; GIVEN],
        joined: bool,
        asked: &'e dyn Asked<'e>,
    ) -> Self {
        let [[a, b, c, d, e], [f, g, h, i, j]] = near;
        let ([k, l, m, n, o, p, q, r], [principal, resource]) = (*given, roots);
        let none = Packed::ABSENT;
        let view = [
            a, b, c, d, e, none, none, none, f, g, h, i, j, none, none, none, k, l, m, n, o, p, q, r, principal,
            resource, none, none, none, none, none, none,
        ];
        Self { view, linked, records, joined, asked }
    }
}

/// The ranks of the rules of the section that hold, and whether they forbid; none where a test has no answer. What takes
/// more than looks is asked of the request.
#[inline(always)]
pub(super) fn follow<'e>(looks: &Looks<'e>, section: &Section) -> Option<(&'e [u32], bool)> {
    let plans = &looks.linked.program().plans;
    // What comes behind its own is another section's.
    let nodes = plans.nodes.get(section.nodes as usize..)?.get(..usize::from(section.node_count))?;
    let ways = plans.ways.get(section.ways as usize..)?;
    let mut at = section.start;
    // No way is longer than there are nodes: were one a circle, no end would be found, and each rule is evaluated by itself.
    for _ in nodes {
        let Some(node) = nodes.get(usize::from(at)) else { break };
        let answer = match node.test {
            NO_TEST => looks.answer(node)?,
            test => looks.test(plans.tests.get(section.tests as usize + usize::from(test))?)?,
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

    /// The sum of the answers.
    #[inline(always)]
    fn answer(&self, node: &Node) -> Option<usize> {
        let [first, ..] = &node.asks;
        let (a, b) = (*self.view.get(first.a.at())?, *self.view.get(first.b.at())?);
        // INVARIANT: the sum of all answers is less than 256, since a node has no more ways.
        let (mut sum, mut unknown) = (Question::above(a, b, first.constant, node.most), 0);
        for Ask { constant, a, b, question } in &node.asks {
            let (answer, why) = question.put(*self.view.get(a.at())?, *self.view.get(b.at())?, *constant);
            sum = sum.wrapping_add(answer);
            unknown |= why;
        }
        (unknown == 0).then_some(sum.into())
    }

    /// The answer to a test.
    #[inline(never)]
    fn test(&self, test: &'e Test) -> Option<usize> {
        self.look(test.form).or_else(|| self.asked.holds(&test.cond)).map(usize::from)
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
            Form::Compared(a, b, question) => {
                question.answer(self.packed(a)?, self.packed(b)?, Question::NOTHING)? == 1
            }
            Form::Has(spot) => Question::ABSENT.answer(self.packed(spot)?, Question::NOTHING, Question::NOTHING)? == 0,
            Form::Within(a, b) => self.within(a, self.slot(b)?)?,
            Form::Among(root, number, spot) => match self.record(root)?.held(number)? {
                Held::Entities(slots) => sorted_contains(slots, self.slot(spot)?),
                _ => return None,
            },
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
