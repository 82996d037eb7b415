//! The rules of one environment as a plan: a graph whose every way asks each condition at most once, and at whose end
//! stands which rules hold. What stands behind a guard in a rule is asked only where the guard holds.

use std::collections::HashMap;
use std::ops::Range;

use super::layout::NOWHERE;
use super::program::{Cond, Expr, Name, Root, Rule, GIVEN};
use crate::entities::record::{Packed, Question, NEAR};
use crate::model::Word;

/// Rules of a section, and its tests, are bits of one word.
const BITS: usize = 64;
/// Most nodes of a section: a decision waits for each that is not in the caches.
const NODES: usize = 200;
/// Most rules of an environment that are planned.
const PLANNED: usize = 64;

/// The plans of all environments, each kind of part in one piece: a decision fetches little of each.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    pub(crate) sections: Vec<Section>,
    pub(crate) nodes: Vec<Node>,
    /// Where answers lead.
    pub(crate) ways: Vec<Next>,
    pub(crate) ends: Vec<End>,
    /// The ranks of the rules that hold, where more than one does.
    pub(crate) ranks: Vec<u32>,
    /// For what a question does not answer.
    pub(crate) tests: Vec<Test>,
}

/// Rules that follow each other, as one graph: which of the parts are its own. Where a test has no answer, each rule is
/// evaluated by itself.
#[derive(Debug, Default)]
pub(crate) struct Section {
    /// How many rules.
    pub(crate) rules: u32,
    /// Where its parts begin.
    pub(crate) nodes: u32,
    pub(crate) ways: u32,
    pub(crate) ends: u32,
    pub(crate) tests: u32,
    /// Where to begin. A section that is not planned has no nodes and no ends: each rule is evaluated by itself.
    pub(crate) start: Next,
    /// How many nodes and ends it has.
    pub(crate) node_count: u8,
    pub(crate) end_count: u8,
    /// Whether it is the last of its environment.
    pub(crate) last: bool,
}

/// The first rules of an environment in sections, one after the other; the rules after them are not planned. It is for
/// a principal and a resource that have no attributes but those with numbers.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    sections: Vec<Woven>,
}

/// A section before it has its place.
#[derive(Debug, Default, PartialEq)]
struct Woven {
    rules: usize,
    start: Next,
    nodes: Vec<Node>,
    ways: Vec<Next>,
    /// Which rules hold, and whether they forbid.
    ends: Vec<(Vec<u32>, bool)>,
    tests: Vec<Test>,
}

/// Where a graph goes on: the place of a node, or beyond these of an end, counted down from [`LAST`].
pub(crate) type Next = u8;

/// Where each rule is to be evaluated by itself.
const STOP: Next = Next::MAX;
/// The first end.
pub(crate) const LAST: Next = STOP - 1;

/// Asks some questions at once, or puts a test. All are alike, so that nothing must be foretold, and the processor need
/// not wait for one answer to ask for the next; each is a line of the cache.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Node {
    pub(crate) asks: [Ask; ASKS],
    /// Where in the section's `ways` the sums of its answers lead, and how many there are.
    pub(crate) first: u16,
    pub(crate) count: u8,
    /// How much the first question's answer can be: how far the first value is above the other.
    pub(crate) most: u8,
    /// The test to be put instead; [`NO_TEST`] where there is none.
    pub(crate) test: u8,
}

/// How many questions a node has at most.
pub(crate) const ASKS: usize = 3;

const _: () = assert!(std::mem::size_of::<Node>() == 64);

/// A question, and of which two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ask {
    pub(crate) constant: Packed,
    pub(crate) a: Look,
    pub(crate) b: Look,
    pub(crate) question: Question,
}

impl Ask {
    const NONE: Self = Self { constant: Packed::ABSENT, a: Look::NOTHING, b: Look::NOTHING, question: Question::NONE };
}

/// No test has this number.
pub(crate) const NO_TEST: u8 = u8::MAX;

/// What was found: so many rules hold. If forbids do, they alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct End {
    pub(crate) forbid: bool,
    pub(crate) count: u8,
    /// The rank of the only one, or where in `ranks` theirs begin.
    pub(crate) at: u32,
}

/// A condition without and, or, not and if.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    pub(crate) form: Form,
    pub(crate) cond: Cond,
}

/// The usual conditions that are no question but take few looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// Both are the same, or in the order asked for.
    Compared(Spot, Spot, Question),
    /// The attribute is there.
    Has(Spot),
    /// The first is the second or belongs to it.
    Within(Spot, Spot),
    /// The attribute, a set, has the entity.
    Among(Root, u8, Spot),
    /// Any other condition.
    Other,
}

/// One of the values that a decision has in view, each with one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look(u8);

/// How many values are in view.
pub(crate) const LOOKS: usize = 32;

impl Look {
    /// The first attributes of the principal, those of the resource, and of the context, by their numbers.
    pub(crate) const PRINCIPAL: Self = Self(0);
    pub(crate) const RESOURCE: Self = Self(8);
    pub(crate) const GIVEN: Self = Self(16);
    /// Principal and resource themselves.
    pub(crate) const ROOTS: Self = Self(24);
    /// [`Question::NOTHING`].
    const NOTHING: Self = Self(26);

    #[inline]
    pub(crate) const fn at(self) -> usize {
        self.0 as usize % LOOKS
    }

    /// So many after this one, fewer than `count`.
    fn plus(self, number: usize, count: usize) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| usize::from(*number) < count).map(|number| Self(self.0 + number))
    }
}

const _: () = assert!(NEAR <= 8 && GIVEN <= 8);

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Spot {
    View(Look),
    /// An attribute that is not in the record itself, by how many there are before it.
    Far(Root, u8),
    Constant(Packed),
    /// An entity that the policies name, by its place among the literals.
    Literal(u32),
}

impl Spot {
    /// Which of principal and resource it is, if one.
    #[inline]
    pub(crate) fn root(self) -> Option<Root> {
        match self {
            Spot::View(look) if look == Look::of(Root::Principal) => Some(Root::Principal),
            Spot::View(look) if look == Look::of(Root::Resource) => Some(Root::Resource),
            _ => None,
        }
    }

    fn of(expr: &Expr, schema: &Schema<'_>) -> Option<Self> {
        match expr {
            Expr::Root(root) => Some(Spot::View(Look::of(*root))),
            Expr::Own(root, number, _) => Self::own(*root, *number),
            Expr::Name(name) => Some(Self::named(*name)),
            Expr::OfContext(name) => Look::given(name, schema).map(Spot::View),
            Expr::Bool(b) => Some(Spot::Constant(Packed::bool(*b))),
            Expr::Long(n) => Some(Spot::Constant(Packed::long(*n))),
            Expr::Datetime(ms) => Some(Spot::Constant(Packed::datetime(*ms))),
            _ => None,
        }
    }

    fn own(root: Root, number: u16) -> Option<Self> {
        match usize::from(number).checked_sub(NEAR) {
            None => Look::own(root, number).map(Spot::View),
            // One that the type does not have is nowhere.
            Some(at) => u8::try_from(at).ok().map(|at| Spot::Far(root, at)),
        }
    }

    fn named(name: Name) -> Self {
        match name {
            Name::Fixed(number) => Spot::Constant(Packed::entity(number)),
            Name::Literal(number) => Spot::Literal(number),
        }
    }
}

impl Look {
    const fn of(root: Root) -> Self {
        Self(Self::ROOTS.0 + root as u8)
    }

    /// None for an attribute that is not in the record itself.
    fn own(root: Root, number: u16) -> Option<Self> {
        let first = match root {
            Root::Principal => Self::PRINCIPAL,
            Root::Resource => Self::RESOURCE,
        };
        first.plus(number.into(), NEAR)
    }

    fn given(name: &Word, schema: &Schema<'_>) -> Option<Self> {
        Self::GIVEN.plus((schema.given)(name)?, GIVEN)
    }
}

/// What the schema says of an environment.
pub(crate) struct Schema<'a> {
    /// The numbers of the entities that are listed for an attribute's type, if it has such a type.
    pub(crate) listed: &'a dyn Fn(Root, u16) -> Option<Range<u32>>,
    /// Whether an attribute is required.
    pub(crate) required: &'a dyn Fn(Root, u16) -> bool,
    /// The number of an attribute of the context, if it has one.
    pub(crate) given: &'a dyn Fn(&Word) -> Option<usize>,
}

impl Form {
    fn new(cond: &Cond, schema: &Schema<'_>) -> Self {
        let compared = |question| move |(a, b)| Form::Compared(a, b, question);
        let form = match cond {
            Cond::Flag(root, number, _) => {
                Spot::own(*root, *number).map(|own| Form::Compared(own, Spot::Constant(Packed::TRUE), Question::SAME))
            }
            Cond::HasOwn(root, number, _) => Spot::own(*root, *number).map(Form::Has),
            Cond::HasContext(name) => Look::given(name, schema).map(Spot::View).map(Form::Has),
            Cond::Is(expr, name) => {
                Spot::of(expr, schema).map(|own| Form::Compared(own, Spot::named(*name), Question::SAME))
            }
            Cond::Equal(pair) => both(pair, schema).map(compared(Question::SAME)),
            Cond::Less(pair) => both(pair, schema).map(compared(Question::BEFORE)),
            Cond::LessOrEqual(pair) => both(pair, schema).map(compared(Question::UNTIL)),
            Cond::In(pair) => both(pair, schema).map(|(a, b)| Form::Within(a, b)),
            Cond::Contains(pair) => match (&pair.0, Spot::of(&pair.1, schema)) {
                (Expr::Own(root, number, _), Some(spot)) => {
                    u8::try_from(*number).ok().map(|number| Form::Among(*root, number, spot))
                }
                _ => None,
            },
            _ => None,
        };
        form.unwrap_or(Form::Other)
    }
}

fn both(pair: &(Expr, Expr), schema: &Schema<'_>) -> Option<(Spot, Spot)> {
    Some((Spot::of(&pair.0, schema)?, Spot::of(&pair.1, schema)?))
}

/// What is asked, and what each answer tells.
struct Asked {
    ask: Ask,
    /// The tests that are then known, and which of them hold; none where each rule is to be evaluated by itself.
    answers: Vec<Option<(u64, u64)>>,
}

impl Asked {
    /// What is to be asked to know whether a condition holds, and the answer if it does; none where that takes more than
    /// a question.
    fn of(cond: &Cond, schema: &Schema<'_>) -> Option<(Ask, usize)> {
        let (a, b, question) = match Form::new(cond, schema) {
            Form::Has(Spot::View(own)) => return Some((Ask { a: own, question: Question::ABSENT, ..Ask::NONE }, 0)),
            Form::Compared(a, b, question) => (a, b, question),
            _ => return None,
        };
        // Where a constant comes first it is asked the other way round: a is before b unless b is before a, or the same.
        let (turned, yes) = match question {
            Question::BEFORE => (Question::UNTIL, 0),
            Question::UNTIL => (Question::BEFORE, 0),
            _ => (question, 1),
        };
        let (a, b, constant, question, yes) = match (a, b) {
            (Spot::View(a), Spot::View(b)) => (a, b, Question::NOTHING, question, 1),
            (Spot::View(a), Spot::Constant(b)) => (a, Look::NOTHING, b, question, 1),
            (Spot::Constant(a), Spot::View(b)) => (b, Look::NOTHING, a, turned, yes),
            _ => return None,
        };
        Some((Ask { constant, a, b, question }, yes))
    }

    fn is_list(&self) -> bool {
        self.ask.question == Question::WHICH
    }

    /// About one test.
    fn one(cond: &Cond, bit: u64, schema: &Schema<'_>) -> Option<Self> {
        let (ask, yes) = Self::of(cond, schema)?;
        let answers = (0..2).map(|answer| Some((bit, if answer == yes { bit } else { 0 })));
        Some(Self { ask, answers: answers.collect() })
    }

    /// About all tests of a list.
    fn list(list: &List) -> Self {
        let ask = Ask { constant: Packed::entity(list.first), a: list.own, question: Question::WHICH, ..Ask::NONE };
        let listed = list.hold.iter().map(|hold| Some((list.tests, *hold)));
        // Any other entity may belong to one of these.
        Self { ask, answers: listed.chain([None]).collect() }
    }
}

impl Plan {
    /// Plans the rules of one environment.
    pub(crate) fn new(rules: &[Rule], schema: &Schema<'_>) -> Self {
        let mut left = rules.get(..PLANNED).unwrap_or(rules);
        let mut sections = Vec::new();
        while !left.is_empty() {
            let section = Woven::longest(left, schema).unwrap_or_else(Woven::unplanned);
            left = left.get(section.rules..).unwrap_or_default();
            sections.push(section);
        }
        Self { sections }
    }

    /// How many rules are planned.
    pub(crate) fn rules(&self) -> usize {
        self.sections.iter().map(|section| section.rules).sum()
    }
}

impl Plans {
    /// Puts a plan among them, and gives where its sections are.
    pub(crate) fn put(&mut self, plan: &Plan) -> Option<Range<u32>> {
        let begin = number(self.sections.len())?;
        for (left, woven) in (0..plan.sections.len()).rev().zip(&plan.sections) {
            self.sections.push(Section {
                rules: number(woven.rules)?,
                nodes: number(self.nodes.len())?,
                ways: number(self.ways.len())?,
                ends: number(self.ends.len())?,
                tests: number(self.tests.len())?,
                start: woven.start,
                node_count: u8::try_from(woven.nodes.len()).ok()?,
                end_count: u8::try_from(woven.ends.len()).ok()?,
                last: left == 0,
            });
            for (ranks, forbid) in &woven.ends {
                let at = match **ranks {
                    [only] => only,
                    _ => number(place(&mut self.ranks, ranks))?,
                };
                self.ends.push(End { forbid: *forbid, count: u8::try_from(ranks.len()).ok()?, at });
            }
            self.nodes.extend_from_slice(&woven.nodes);
            self.ways.extend_from_slice(&woven.ways);
            self.tests.extend_from_slice(&woven.tests);
        }
        Some(begin..number(self.sections.len())?)
    }
}

fn number(of: usize) -> Option<u32> {
    u32::try_from(of).ok()
}

impl Woven {
    /// One rule that is evaluated by itself.
    fn unplanned() -> Self {
        Self { rules: 1, ..Self::default() }
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
        let lists = lists(&tests.tests, schema);
        let woven = Self { rules: rules.len(), ..Self::default() };
        let mut weaver = Weaver { rules, schema, tests: &tests, lists, known: HashMap::new(), woven };
        let start = weaver.weave(State { at, asked: 0, truth: 0 })?;
        let woven = weaver.woven;
        let test = |cond: &Cond| Test { form: Form::new(cond, schema), cond: cond.clone() };
        let tests = tests.tests.iter().map(|cond| test(cond)).collect();
        Some(Self { start, tests, ..woven }.in_order())
    }

    /// With its nodes in the order in which they are asked, as far as there is one: those that a decision asks are near
    /// each other.
    fn in_order(self) -> Self {
        let Self { start, nodes, ways, .. } = &self;
        let mut order: Vec<Next> = Vec::new();
        let mut open = vec![*start];
        while let Some(at) = open.pop() {
            if let Some(node) = nodes.get(usize::from(at)).filter(|_| !order.contains(&at)) {
                order.push(at);
                open.extend(ways.iter().skip(node.first.into()).take(node.count.into()));
            }
        }
        // INVARIANT: fewer than 256, since what is renumbered had numbers. Ends keep theirs.
        let new =
            |old: &Next| order.iter().position(|own| own == old).and_then(|at| u8::try_from(at).ok()).unwrap_or(*old);
        let in_order = order.iter().filter_map(|at| nodes.get(usize::from(*at))).copied().collect();
        Self { start: new(start), nodes: in_order, ways: ways.iter().map(new).collect(), ..self }
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
            Cond::HasOwn(_, NOWHERE, _) => Some(no),
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
    own: Look,
    /// The number of the first.
    first: u32,
    tests: u64,
    /// Which of them hold, for each entity that is listed for the attribute's type.
    hold: Vec<u64>,
}

/// The attribute that a test compares with listed entities, and the numbers of those.
fn listed(test: &Cond) -> Option<((Root, u16), Vec<u32>)> {
    let (of, names) = match test {
        Cond::Is(Expr::Own(root, number, _), name) => ((*root, *number), std::slice::from_ref(name)),
        Cond::InNames(Expr::Own(root, number, _), names) => ((*root, *number), &**names),
        _ => return None,
    };
    let number = |name: &Name| match name {
        Name::Fixed(number) => Some(*number),
        Name::Literal(_) => None,
    };
    Some((of, names.iter().map(number).collect::<Option<_>>()?))
}

fn lists(tests: &[&Cond], schema: &Schema<'_>) -> Vec<List> {
    let mut lists: Vec<List> = Vec::new();
    for (at, test) in (0_u8..).zip(tests) {
        let Some(((root, number), names)) = listed(test) else { continue };
        let (Some(own), Some(all)) = (Look::own(root, number), (schema.listed)(root, number)) else { continue };
        let place = lists.iter().position(|list| list.own == own).unwrap_or_else(|| {
            lists.push(List { own, first: all.start, tests: 0, hold: vec![0; all.len()] });
            lists.len() - 1
        });
        let Some(list) = lists.get_mut(place) else { continue };
        list.tests |= 1 << at;
        // What is listed for other types the attribute never is while the list has an answer.
        for name in names.iter().filter_map(|name| name.checked_sub(all.start)) {
            list.hold.get_mut(name as usize).into_iter().for_each(|bits| *bits |= 1 << at);
        }
    }
    // Being one entity is as well asked when its turn comes.
    let is_one = |list: &List| {
        let only = list.tests.is_power_of_two().then(|| tests.get(list.tests.trailing_zeros() as usize)).flatten();
        matches!(only, Some(Cond::Is(..)))
    };
    lists.retain(|list| !is_one(list) && list.hold.len() < usize::from(u8::MAX));
    lists
}

/// How far a way through all rules has come: at which step each rule is, and what was asked.
#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    at: Vec<u16>,
    asked: u64,
    truth: u64,
}

impl State {
    /// When these tests are known, and which of them hold.
    fn after(&self, tests: u64, hold: u64) -> Self {
        Self { at: self.at.clone(), asked: self.asked | tests, truth: self.truth | hold }
    }
}

/// Weaves the rules' ways into one.
struct Weaver<'a, 's> {
    rules: &'a [Rule],
    schema: &'a Schema<'s>,
    tests: &'a Tests<'a>,
    lists: Vec<List>,
    known: HashMap<State, Next>,
    woven: Woven,
}

impl Weaver<'_, '_> {
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

    /// Asks what is to be known now, as much as is possible at once, or else puts the test.
    fn ask(&mut self, test: u8, state: &State) -> Option<Next> {
        let mut asked: Vec<Asked> = Vec::new();
        let (mut all, mut count) = (0, 1);
        for at in &state.at {
            let Some(test) = self.step(*at).map(|step| step.test) else { continue };
            let more = self.question(test).filter(|_| asked.len() < ASKS && all & (1 << test) == 0);
            // There can be one list, which is asked first.
            let alone = |more: &Asked| !more.is_list() || !asked.iter().any(Asked::is_list);
            let more = more.filter(alone).filter(|more| count * more.answers.len() <= usize::from(u8::MAX));
            if let Some(more) = more {
                count *= more.answers.len();
                all |= more.answers.iter().flatten().fold(0, |all, (tests, _)| all | tests);
                asked.insert(if more.is_list() { 0 } else { asked.len() }, more);
            }
        }
        if asked.is_empty() {
            let bit = 1 << test;
            let ways = [self.weave(state.after(bit, 0))?, self.weave(state.after(bit, bit))?];
            return self.node([Ask::NONE; ASKS], 0, test, &ways);
        }
        let most = asked.first().filter(|first| first.is_list()).map_or(0, |list| list.answers.len() - 1);
        let (mut asks, mut times) = ([Ask::NONE; ASKS], 1);
        // The state after each sum of answers.
        let mut after = vec![Some((0, 0))];
        for (own, Asked { ask, answers }) in asks.iter_mut().zip(&asked) {
            *own = Ask { question: ask.question.times(u8::try_from(times).ok()?), ..*ask };
            times *= answers.len();
            let both = |answer: &Option<(u64, u64)>, before: &Option<(u64, u64)>| {
                answer.zip(*before).map(|((tests, hold), before)| (tests | before.0, hold | before.1))
            };
            after = answers.iter().flat_map(|answer| after.iter().map(move |before| both(answer, before))).collect();
        }
        let mut way = |after: &Option<(u64, u64)>| match after {
            Some((tests, hold)) => self.weave(state.after(*tests, *hold)),
            None => Some(STOP),
        };
        let ways = after.iter().map(&mut way).collect::<Option<Vec<Next>>>()?;
        self.node(asks, u8::try_from(most).ok()?, NO_TEST, &ways)
    }

    /// What is to be asked to know a test; none where that takes more than a question.
    fn question(&self, test: u8) -> Option<Asked> {
        match self.lists.iter().find(|list| list.tests & (1 << test) != 0) {
            Some(list) => Some(Asked::list(list)),
            None => Asked::one(self.tests.tests.get(usize::from(test))?, 1 << test, self.schema),
        }
    }

    /// The place of a node; none where there is no room for it.
    fn node(&mut self, asks: [Ask; ASKS], most: u8, test: u8, ways: &[Next]) -> Option<Next> {
        let first = u16::try_from(place(&mut self.woven.ways, ways)).ok()?;
        let count = u8::try_from(ways.len()).ok()?;
        let at = place(&mut self.woven.nodes, &[Node { asks, first, count, most, test }]);
        u8::try_from(at).ok().filter(|_| self.has_room())
    }

    fn has_room(&self) -> bool {
        self.woven.nodes.len() + self.woven.ends.len() <= NODES
    }

    fn end(&mut self, at: &[u16]) -> Option<Next> {
        let hold = || self.rules.iter().zip(at).filter(|(_, at)| **at == HOLDS).map(|(rule, _)| rule);
        let forbid = hold().any(|rule| rule.forbid);
        let ranks: Vec<u32> = hold().filter(|rule| rule.forbid == forbid).map(|rule| rule.rank).collect();
        let at = place(&mut self.woven.ends, &[(ranks, forbid)]);
        self.has_room().then_some(LAST.checked_sub(u8::try_from(at).ok()?)?)
    }
}

/// Where `part` begins in `all`, put at its end where it is not there.
fn place<T: PartialEq + Clone>(all: &mut Vec<T>, part: &[T]) -> usize {
    let known = (0..all.len()).find(|at| all.get(*at..at + part.len()) == Some(part));
    known.unwrap_or_else(|| {
        let end = all.len();
        all.extend_from_slice(part);
        end
    })
}
