//! The rules of one environment as a plan: a graph whose every way asks each condition at most once, and at whose end
//! stands which rules hold. What stands behind a guard in a rule is asked only where the guard holds.

use std::collections::HashMap;

use super::layout::NOWHERE;
use super::program::{Cond, Expr, Name, Root, Rule};
use crate::entities::record::Packed;
use crate::model::Word;

/// Rules of a section, and its tests, are bits of one word.
const BITS: usize = 64;
/// Most nodes of a section: a decision waits for each that is not in the caches.
const NODES: usize = 200;
/// Most rules of an environment that are planned.
const PLANNED: usize = 64;

/// The first rules of an environment in sections, one after the other; the rules after them are not planned.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) sections: Box<[Section]>,
}

/// Rules that follow each other, as one graph. Where a test has no answer, each rule is evaluated by itself.
#[derive(Debug, PartialEq)]
pub(crate) struct Section {
    /// How many rules.
    pub(crate) rules: usize,
    /// Where to begin. A section that is not planned has no nodes: each rule is evaluated by itself.
    pub(crate) start: Next,
    pub(crate) nodes: Box<[Node]>,
    /// The ranks of the rules that hold, end by end.
    pub(crate) ranks: Box<[u32]>,
    /// Where switches lead.
    pub(crate) ways: Box<[Next]>,
    /// What the policies say that is compared.
    pub(crate) constants: Box<[Packed]>,
    /// The tests' conditions, for what takes more than a look.
    pub(crate) conds: Box<[Cond]>,
}

/// Where a graph goes on: the place of a node.
pub(crate) type Next = u8;

/// Asks one thing, or says what was found. Small, since a decision fetches some of them.
#[derive(Debug, PartialEq)]
pub(crate) enum Node {
    /// Whether two are the same entity or Boolean, which is asked most; with the condition's place in `conds`.
    Same { a: Spot, b: Spot, cond: u8, yes: Next, no: Next },
    /// Any other condition without and, or, not and if.
    Test { form: Form, cond: u8, yes: Next, no: Next },
    /// Which of the entities that the schema lists an attribute is: the first so many numbers lead by `ways`, beginning
    /// at a place, the others to `other`.
    Switch { of: Own, first: u16, count: u16, other: Next },
    /// So many rules hold, beginning at a place in `ranks`. If forbids do, they alone.
    End { first: u16, count: u16, forbid: bool },
}

const _: () = assert!(std::mem::size_of::<Node>() <= 16);

/// The usual conditions on stored entities, which take but a look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// Both are the same entity or Boolean: a node of its own.
    Same(Spot, Spot),
    Has(Own),
    /// The entity has an attribute that its type gives no number.
    HasMore(Root),
    /// Any two entities are the same.
    Equal(Place, Place),
    /// The first is the second or belongs to it.
    Within(Place, Place),
    /// The attribute, a set, has the entity.
    Among(Own, Place),
    /// The context has the attribute with this number.
    HasGiven(u8),
    /// The first is before the second, or where the flag is set the same: two instants or two numbers.
    Before(Place, Place, bool),
    /// Any other condition.
    Other,
}

/// Where an entity or Boolean is, in one byte: an attribute of the principal or the resource by its number, one of these
/// two themselves, or what the policies say. All are read in the same way, so that nothing must be foretold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot(u8);

impl Spot {
    fn own(own: Own) -> Option<Self> {
        let bank = match own.root {
            Root::Principal => 0,
            Root::Resource => 1 << 6,
        };
        (own.number < 1 << 6).then_some(Self(bank | own.number))
    }

    fn root(root: Root) -> Self {
        match root {
            Root::Principal => Self(2 << 6),
            Root::Resource => Self(2 << 6 | 1),
        }
    }

    /// What the policies say, put among the section's constants; none where there is no room.
    fn constant(value: Packed, constants: &mut Vec<Packed>) -> Option<Self> {
        let at = constants.iter().position(|own| *own == value).unwrap_or(constants.len());
        if at == constants.len() {
            constants.push(value);
        }
        u8::try_from(at).ok().filter(|at| *at < 1 << 6).map(|at| Self(3 << 6 | at))
    }

    fn new(place: Place, constants: &mut Vec<Packed>) -> Option<Self> {
        match place {
            Place::Own(own) => Self::own(own),
            Place::Root(root) => Some(Self::root(root)),
            Place::Fixed(number) => Self::constant(Packed::entity(number.into()), constants),
            Place::Literal(_) | Place::Given(_) => None,
        }
    }

    /// 0 for the principal's attributes, 1 for the resource's, 2 for these two, 3 for the section's constants.
    #[inline]
    pub(crate) fn bank(self) -> usize {
        usize::from(self.0 >> 6)
    }

    /// The place in the bank.
    #[inline]
    pub(crate) fn at(self) -> usize {
        usize::from(self.0 & 63)
    }
}

/// An attribute of principal or resource, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) root: Root,
    pub(crate) number: u8,
}

/// Where a value is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    Root(Root),
    Own(Own),
    /// An entity that a policy names, as [`Name`] does.
    Fixed(u16),
    Literal(u16),
    /// An attribute of the context, by its number.
    Given(u8),
}

/// What the schema says of an environment.
pub(crate) struct Schema<'a> {
    /// How many numbers belong to entities of enumerated types.
    pub(crate) enumerated: usize,
    /// Whether an attribute is required.
    pub(crate) required: &'a dyn Fn(Root, u16) -> bool,
    /// The number of an attribute of the context, if it has one.
    pub(crate) given: &'a dyn Fn(&Word) -> Option<u8>,
}

impl Form {
    fn new(cond: &Cond, schema: &Schema<'_>, constants: &mut Vec<Packed>) -> Self {
        let place = |expr: &Expr| Place::new(expr, schema);
        let both = |pair: &(Expr, Expr)| Some((place(&pair.0)?, place(&pair.1)?));
        let form = match cond {
            Cond::Flag(root, number, _) => {
                let spot = Own::new(*root, *number).and_then(Spot::own);
                spot.and_then(|a| Some(Form::Same(a, Spot::constant(Packed::TRUE, constants)?)))
            }
            Cond::HasOwn(root, NOWHERE, _) => Some(Form::HasMore(*root)),
            Cond::HasOwn(root, number, _) => Own::new(*root, *number).map(Form::Has),
            Cond::HasContext(name) => (schema.given)(name).map(Form::HasGiven),
            Cond::Is(expr, name) => {
                Place::named(*name).and_then(|name| Some(Form::same(place(expr)?, name, constants)))
            }
            Cond::Equal(pair) => both(pair).map(|(a, b)| Form::same(a, b, constants)),
            Cond::In(pair) => both(pair).map(|(a, b)| Form::Within(a, b)),
            Cond::Less(pair) => both(pair).map(|(a, b)| Form::Before(a, b, false)),
            Cond::LessOrEqual(pair) => both(pair).map(|(a, b)| Form::Before(a, b, true)),
            Cond::Contains(pair) => match (&pair.0, place(&pair.1)) {
                (Expr::Own(root, number, _), Some(place)) => {
                    Own::new(*root, *number).map(|own| Form::Among(own, place))
                }
                _ => None,
            },
            _ => None,
        };
        form.unwrap_or(Form::Other)
    }

    fn same(a: Place, b: Place, constants: &mut Vec<Packed>) -> Self {
        match (Spot::new(a, constants), Spot::new(b, constants)) {
            (Some(a), Some(b)) => Form::Same(a, b),
            _ => Form::Equal(a, b),
        }
    }
}

impl Own {
    fn new(root: Root, number: u16) -> Option<Self> {
        u8::try_from(number).ok().map(|number| Own { root, number })
    }
}

impl Place {
    fn new(expr: &Expr, schema: &Schema<'_>) -> Option<Self> {
        match expr {
            Expr::Root(root) => Some(Place::Root(*root)),
            Expr::Own(root, number, _) => Own::new(*root, *number).map(Place::Own),
            Expr::Name(name) => Self::named(*name),
            Expr::OfContext(name) => (schema.given)(name).map(Place::Given),
            _ => None,
        }
    }

    fn named(name: Name) -> Option<Self> {
        match name {
            Name::Fixed(number) => u16::try_from(number).ok().map(Place::Fixed),
            Name::Literal(number) => u16::try_from(number).ok().map(Place::Literal),
        }
    }
}

impl Plan {
    /// Plans the rules of one environment.
    pub(crate) fn new(rules: &[Rule], schema: &Schema<'_>) -> Self {
        let mut left = rules.get(..PLANNED).unwrap_or(rules);
        let mut sections = Vec::new();
        while !left.is_empty() {
            let section = Section::longest(left, schema).unwrap_or_else(Section::unplanned);
            left = left.get(section.rules..).unwrap_or_default();
            sections.push(section);
        }
        Self { sections: sections.into() }
    }
}

impl Section {
    /// One rule that is evaluated by itself.
    fn unplanned() -> Self {
        let (start, nodes, ranks, ways, constants, conds) = Default::default();
        Self { rules: 1, start, nodes, ranks, ways, constants, conds }
    }

    /// As many of the first of `rules` as go together; none where not even one does.
    fn longest(rules: &[Rule], schema: &Schema<'_>) -> Option<Self> {
        // Mostly all do.
        let first = |count: usize| rules.get(..count).and_then(|rules| Self::new(rules, schema));
        let most = rules.len().min(BITS);
        let mut longest = first(most);
        let (mut fits, mut too_many) = (0, most);
        while longest.as_ref().is_none_or(|section| section.rules < most) && fits + 1 < too_many {
            let middle = fits + (too_many - fits) / 2;
            match first(middle) {
                Some(section) => (fits, longest) = (middle, Some(section)),
                None => too_many = middle,
            }
        }
        longest
    }

    /// All of `rules` as one graph; none where it would be too large.
    fn new(rules: &[Rule], schema: &Schema<'_>) -> Option<Self> {
        let mut tests = Tests { required: schema.required, tests: Vec::new(), steps: Vec::new() };
        let at = rules.iter().map(|rule| tests.walk(&rule.condition, HOLDS, FAILS)).collect::<Option<Vec<u16>>>()?;
        let lists = lists(&tests.tests, schema.enumerated);
        let mut weaver = Weaver { rules, schema, tests: &tests, lists, known: HashMap::new(), parts: Parts::default() };
        let start = weaver.weave(State { at, asked: 0, truth: 0 })?;
        let Parts { nodes, ranks, ways, constants } = weaver.parts;
        Some(Self {
            rules: rules.len(),
            start,
            nodes: nodes.into(),
            ranks: ranks.into(),
            ways: ways.into(),
            constants: constants.into(),
            conds: tests.tests.into_iter().cloned().collect(),
        })
    }
}

/// In a rule's own steps: its condition is true, or false.
const HOLDS: u16 = u16::MAX;
const FAILS: u16 = u16::MAX - 1;

/// Asks a test, and goes on to a further step, to [`HOLDS`] or to [`FAILS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    test: u8,
    yes: u16,
    no: u16,
}

/// The tests that some rules ask, and each rule's way through them.
struct Tests<'a> {
    required: &'a dyn Fn(Root, u16) -> bool,
    tests: Vec<&'a Cond>,
    steps: Vec<Step>,
}

impl<'a> Tests<'a> {
    /// The step that decides `cond` and goes on to `yes` or `no`; none where there is no room for it.
    fn walk(&mut self, cond: &'a Cond, yes: u16, no: u16) -> Option<u16> {
        match cond {
            Cond::Always(b) => Some(if *b { yes } else { no }),
            Cond::Not(inner) => self.walk(inner, no, yes),
            Cond::All(parts) => parts.iter().rev().try_fold(yes, |next, part| self.walk(part, next, no)),
            Cond::Any(parts) => parts.iter().rev().try_fold(no, |next, part| self.walk(part, yes, next)),
            Cond::If(parts) => {
                let (then, otherwise) = (self.walk(&parts.1, yes, no)?, self.walk(&parts.2, yes, no)?);
                self.walk(&parts.0, then, otherwise)
            }
            test => {
                // Where the next test has an answer, the attribute it reads is there, and need not be asked for.
                if let (Cond::HasOwn(root, attribute, _), Some(next)) = (test, self.steps.get(usize::from(yes))) {
                    let next = self.tests.get(usize::from(next.test));
                    if (self.required)(*root, *attribute) && next.is_some_and(|next| reads(next, *root, *attribute)) {
                        return Some(yes);
                    }
                }
                let found = self.tests.iter().position(|own| *own == test);
                let at = found.unwrap_or(self.tests.len());
                if at >= BITS {
                    return None;
                }
                if found.is_none() {
                    self.tests.push(test);
                }
                let step = Step { test: u8::try_from(at).ok()?, yes, no };
                let number = self.steps.iter().position(|own| *own == step).unwrap_or(self.steps.len());
                if number == self.steps.len() {
                    self.steps.push(step);
                }
                u16::try_from(number).ok().filter(|number| usize::from(*number) < NODES * 4)
            }
        }
    }
}

/// Whether the test has no answer where this attribute is absent.
fn reads(test: &Cond, root: Root, attribute: u16) -> bool {
    let own = |expr: &Expr| matches!(expr, Expr::Own(r, n, _) if (*r, *n) == (root, attribute));
    match test {
        Cond::Flag(r, n, _) => (*r, *n) == (root, attribute),
        Cond::Is(expr, _) | Cond::InNames(expr, _) => own(expr),
        Cond::Equal(pair) | Cond::In(pair) | Cond::Less(pair) | Cond::LessOrEqual(pair) | Cond::Contains(pair) => {
            own(&pair.0) || own(&pair.1)
        }
        _ => false,
    }
}

/// All tests of which listed entity an attribute is: answered by one look at it.
struct List {
    root: Root,
    number: u16,
    tests: u64,
    /// Which of them hold, by the number of the listed entity; none does beyond the end.
    hold: Vec<u64>,
}

/// The attribute that a test compares with listed entities, and those.
fn listed(test: &Cond, enumerated: usize) -> Option<((Root, u16), Vec<usize>)> {
    let (of, names) = match test {
        Cond::Is(Expr::Own(root, number, _), name) => ((*root, *number), std::slice::from_ref(name)),
        Cond::InNames(Expr::Own(root, number, _), names) => ((*root, *number), &**names),
        _ => return None,
    };
    // One that the type does not have is never a listed entity.
    Own::new(of.0, of.1)?;
    let number = |name: &Name| match name {
        Name::Fixed(number) => Some(*number as usize).filter(|number| *number < enumerated),
        Name::Literal(_) => None,
    };
    Some((of, names.iter().map(number).collect::<Option<_>>()?))
}

fn lists(tests: &[&Cond], enumerated: usize) -> Vec<List> {
    let mut lists: Vec<List> = Vec::new();
    for (at, test) in (0_u8..).zip(tests) {
        let Some(((root, number), names)) = listed(test, enumerated) else { continue };
        let place = lists.iter().position(|s| (s.root, s.number) == (root, number)).unwrap_or_else(|| {
            lists.push(List { root, number, tests: 0, hold: Vec::new() });
            lists.len() - 1
        });
        let Some(list) = lists.get_mut(place) else { continue };
        list.tests |= 1 << at;
        for name in names {
            if list.hold.len() <= name {
                list.hold.resize(name + 1, 0);
            }
            list.hold.get_mut(name).into_iter().for_each(|bits| *bits |= 1 << at);
        }
    }
    // Being one entity is as well asked when its turn comes.
    let is_one = |list: &List| {
        let only = list.tests.is_power_of_two().then(|| tests.get(list.tests.trailing_zeros() as usize)).flatten();
        matches!(only, Some(Cond::Is(..)))
    };
    lists.retain(|list| !is_one(list));
    lists
}

/// How far a way through all rules has come: at which step each rule is, and what was asked.
#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    at: Vec<u16>,
    asked: u64,
    truth: u64,
}

/// Weaves the rules' ways into one.
struct Weaver<'a> {
    rules: &'a [Rule],
    schema: &'a Schema<'a>,
    tests: &'a Tests<'a>,
    lists: Vec<List>,
    known: HashMap<State, Next>,
    parts: Parts,
}

/// A section's parts, as far as they are woven.
#[derive(Default)]
struct Parts {
    nodes: Vec<Node>,
    ranks: Vec<u32>,
    ways: Vec<Next>,
    constants: Vec<Packed>,
}

impl Weaver<'_> {
    fn step(&self, at: u16) -> Option<&Step> {
        self.tests.steps.get(usize::from(at))
    }

    /// The tests that a rule may still ask.
    fn ahead(&self, at: u16) -> u64 {
        let (mut open, mut seen, mut tests) = (vec![at], Vec::new(), 0);
        while let Some(at) = open.pop() {
            let Some(step) = self.step(at).filter(|_| !seen.contains(&at)) else { continue };
            seen.push(at);
            tests |= 1 << step.test;
            open.extend([step.yes, step.no]);
        }
        tests
    }

    /// Where to go on in a state; none where there is no room.
    fn weave(&mut self, mut state: State) -> Option<Next> {
        let mut ahead = 0;
        for at in 0..state.at.len() {
            let mut own = state.at.get(at).copied()?;
            while let Some(step) = self.step(own).filter(|step| state.asked & (1 << step.test) != 0) {
                own = if state.truth & (1 << step.test) == 0 { step.no } else { step.yes };
            }
            *state.at.get_mut(at)? = own;
            ahead |= self.ahead(own);
        }
        // What will not be asked again makes no difference.
        state.asked &= ahead;
        state.truth &= ahead;
        if let Some(known) = self.known.get(&state) {
            return Some(*known);
        }
        let next = match state.at.iter().find_map(|at| self.step(*at)).copied() {
            Some(step) => self.ask(step.test, &state)?,
            None => self.end(&state.at)?,
        };
        self.known.insert(state, next);
        Some(next)
    }

    fn ask(&mut self, test: u8, state: &State) -> Option<Next> {
        let after = |tests: u64, truth: u64| State {
            at: state.at.clone(),
            asked: state.asked | tests,
            truth: state.truth | truth,
        };
        let bit = 1 << test;
        let node = match self.lists.iter().find(|list| list.tests & bit != 0 && list.tests & state.asked == 0) {
            Some(List { root, number, tests, hold }) => {
                let (root, number, tests, hold) = (*root, *number, *tests, hold.clone());
                let ways = hold.iter().map(|truth| self.weave(after(tests, *truth))).collect::<Option<Vec<_>>>()?;
                let other = self.weave(after(tests, 0))?;
                let (first, count) = (self.parts.ways.len(), ways.len());
                self.parts.ways.extend(ways);
                let (first, count) = (u16::try_from(first).ok()?, u16::try_from(count).ok()?);
                Node::Switch { of: Own::new(root, number)?, first, count, other }
            }
            None => {
                let cond = self.tests.tests.get(usize::from(test))?;
                let form = Form::new(cond, self.schema, &mut self.parts.constants);
                let (yes, no) = (self.weave(after(bit, bit))?, self.weave(after(bit, 0))?);
                match form {
                    Form::Same(a, b) => Node::Same { a, b, cond: test, yes, no },
                    form => Node::Test { form, cond: test, yes, no },
                }
            }
        };
        self.place(node)
    }

    /// The place of a node; none where there is no room for it.
    fn place(&mut self, node: Node) -> Option<Next> {
        let nodes = &mut self.parts.nodes;
        let place = nodes.iter().position(|own| *own == node).unwrap_or(nodes.len());
        if place == nodes.len() {
            nodes.push(node);
        }
        u8::try_from(place).ok().filter(|place| usize::from(*place) < NODES)
    }

    fn end(&mut self, at: &[u16]) -> Option<Next> {
        let hold = || self.rules.iter().zip(at).filter(|(_, at)| **at == HOLDS).map(|(rule, _)| rule);
        let forbid = hold().any(|rule| rule.forbid);
        let ranks: Vec<u32> = hold().filter(|rule| rule.forbid == forbid).map(|rule| rule.rank).collect();
        let all = &mut self.parts.ranks;
        let known = (0..all.len()).find(|at| all.get(*at..at + ranks.len()) == Some(&ranks));
        let (first, count) = (known.unwrap_or(all.len()), ranks.len());
        if known.is_none() {
            all.extend(ranks);
        }
        self.place(Node::End { first: u16::try_from(first).ok()?, count: u16::try_from(count).ok()?, forbid })
    }
}
