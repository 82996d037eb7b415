//! The rules of one environment as a plan: a graph whose every way asks each condition at most once, and at whose end
//! stands which rules hold. What stands behind a guard in a rule is asked only where the guard holds.

use std::collections::HashMap;
use std::ops::Range;

use super::layout::NOWHERE;
use super::program::{Cond, Expr, Name, Root, Rule};
use crate::entities::record::{Packed, Question};
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
    /// Where the answers of lists lead.
    pub(crate) ways: Vec<Next>,
    pub(crate) ends: Vec<End>,
    /// The ranks of the rules that hold, where more than one does.
    pub(crate) ranks: Vec<u32>,
    /// For what a question does not answer.
    pub(crate) tests: Vec<Test>,
    /// What questions compare with.
    pub(crate) constants: Box<[Packed]>,
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

/// Where a graph goes on: the place of a node, or beyond these of an end, counted from the highest number down.
pub(crate) type Next = u8;

/// Asks one thing. All are alike, so that nothing must be foretold, and small, since a decision fetches some of them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(16))]
pub(crate) struct Node {
    /// Of which two.
    pub(crate) a: Spot,
    pub(crate) b: Spot,
    pub(crate) question: Question,
    /// The test to be put where the question has no answer; [`NO_TEST`] where there is none.
    pub(crate) test: u8,
    /// Where the answers 0 and 1 lead. Of a list the two say where in `ways` its answers lead.
    pub(crate) next: [Next; 2],
}

const _: () = assert!(std::mem::size_of::<Node>() == 16);

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

impl Node {
    /// Where in the section's `ways` the answers of a list lead.
    #[inline]
    pub(crate) fn first(&self) -> usize {
        u16::from_le_bytes(self.next).into()
    }
}

/// A condition without and, or, not and if.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    /// The answer that is the condition's being true.
    pub(crate) yes: bool,
    pub(crate) form: Form,
    pub(crate) cond: Cond,
}

/// The usual conditions that are no question but take few looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// The first is the second or belongs to it.
    Within(Spot, Spot),
    /// The attribute, a set, has the entity.
    Among(Root, u8, Spot),
    /// The first is before the second, or where the flag is set the same: two instants or two numbers.
    Before(Spot, Spot, bool),
    /// Any other condition.
    Other,
}

/// Where a value is: in a bank, at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    place: u16,
    bank: Bank,
}

/// Where values are. All are read in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Bank {
    /// The attributes of the principal, by their numbers.
    Principal,
    Resource,
    /// These two themselves.
    Roots,
    /// The attributes of the context, by their numbers.
    Given,
    /// What the policies say.
    Constants,
    /// The entities that the policies name, by their places among the literals.
    Literals,
}

/// How many banks there are.
pub(crate) const BANKS: usize = Bank::Literals as usize + 1;

impl Spot {
    /// None where there is no room for the place.
    fn new(bank: Bank, place: usize) -> Option<Self> {
        u16::try_from(place).ok().filter(|place| *place != NOWHERE).map(|place| Self { place, bank })
    }

    /// The bank's number.
    #[inline]
    pub(crate) fn bank(self) -> usize {
        self.bank as usize
    }

    /// The place in the bank.
    #[inline]
    pub(crate) fn at(self) -> usize {
        self.place.into()
    }

    /// Which of principal and resource it is, if one.
    #[inline]
    pub(crate) fn root(self) -> Option<Root> {
        match (self.bank == Bank::Roots, self.place) {
            (true, 0) => Some(Root::Principal),
            (true, 1) => Some(Root::Resource),
            _ => None,
        }
    }

    fn of(expr: &Expr, schema: &mut Schema<'_>) -> Option<Self> {
        match expr {
            Expr::Root(root) => Self::new(Bank::Roots, *root as usize),
            Expr::Own(root, number, _) => Self::own(*root, *number),
            Expr::Name(name) => Self::named(*name, schema),
            Expr::OfContext(name) => Self::new(Bank::Given, (schema.given)(name)?),
            Expr::Bool(b) => schema.constants.spot(Packed::bool(*b)),
            Expr::Long(n) => schema.constants.spot(Packed::long(*n)),
            Expr::Datetime(ms) => schema.constants.spot(Packed::datetime(*ms)),
            _ => None,
        }
    }

    fn own(root: Root, number: u16) -> Option<Self> {
        let bank = match root {
            Root::Principal => Bank::Principal,
            Root::Resource => Bank::Resource,
        };
        Self::new(bank, number.into())
    }

    fn named(name: Name, schema: &mut Schema<'_>) -> Option<Self> {
        match name {
            Name::Fixed(number) => schema.constants.spot(Packed::entity(number)),
            Name::Literal(number) => Self::new(Bank::Literals, usize::try_from(number).ok()?),
        }
    }
}

/// What all policies say that is compared.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    places: HashMap<Packed, usize>,
    all: Vec<Packed>,
}

impl Constants {
    /// Where a value is; none where there is no more room.
    fn spot(&mut self, value: Packed) -> Option<Spot> {
        let next = self.all.len();
        let place = *self.places.entry(value).or_insert(next);
        let spot = Spot::new(Bank::Constants, place);
        if place == next && spot.is_some() {
            self.all.push(value);
        }
        spot
    }

    /// By their places.
    pub(crate) fn all(self) -> Box<[Packed]> {
        self.all.into()
    }
}

/// What the schema says of an environment, and what was said in others.
pub(crate) struct Schema<'a> {
    /// How many numbers belong to entities of enumerated types.
    pub(crate) enumerated: usize,
    /// Whether an attribute is required.
    pub(crate) required: &'a dyn Fn(Root, u16) -> bool,
    /// The number of an attribute of the context, if it has one.
    pub(crate) given: &'a dyn Fn(&Word) -> Option<usize>,
    pub(crate) constants: &'a mut Constants,
}

impl Form {
    fn new(cond: &Cond, schema: &mut Schema<'_>) -> Self {
        let form = match cond {
            Cond::In(pair) => both(pair, schema).map(|(a, b)| Form::Within(a, b)),
            Cond::Less(pair) => both(pair, schema).map(|(a, b)| Form::Before(a, b, false)),
            Cond::LessOrEqual(pair) => both(pair, schema).map(|(a, b)| Form::Before(a, b, true)),
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

fn both(pair: &(Expr, Expr), schema: &mut Schema<'_>) -> Option<(Spot, Spot)> {
    Some((Spot::of(&pair.0, schema)?, Spot::of(&pair.1, schema)?))
}

/// What to ask of which two to know whether the condition holds, and the answer if it does; none where that takes more.
fn question(cond: &Cond, schema: &mut Schema<'_>) -> Option<(Spot, Spot, Question, bool)> {
    let absent = |own, schema: &mut Schema<'_>| Some((own, schema.constants.spot(Packed::ABSENT)?));
    let ((a, b), question, yes) = match cond {
        Cond::Flag(root, number, _) => {
            ((Spot::own(*root, *number)?, schema.constants.spot(Packed::TRUE)?), Question::SAME, true)
        }
        Cond::HasOwn(root, number, _) => (absent(Spot::own(*root, *number)?, schema)?, Question::ABSENT, false),
        Cond::HasContext(name) => {
            (absent(Spot::new(Bank::Given, (schema.given)(name)?)?, schema)?, Question::ABSENT, false)
        }
        Cond::Is(expr, name) => ((Spot::of(expr, schema)?, Spot::named(*name, schema)?), Question::SAME, true),
        Cond::Equal(pair) => (both(pair, schema)?, Question::SAME, true),
        _ => return None,
    };
    Some((a, b, question, yes))
}

impl Plan {
    /// Plans the rules of one environment.
    pub(crate) fn new(rules: &[Rule], schema: &mut Schema<'_>) -> Self {
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
    fn longest(rules: &[Rule], schema: &mut Schema<'_>) -> Option<Self> {
        // Mostly all do.
        let mut first = |count: usize| rules.get(..count).and_then(|rules| Self::new(rules, schema));
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
    fn new(rules: &[Rule], schema: &mut Schema<'_>) -> Option<Self> {
        let mut tests = Tests { required: schema.required, tests: Vec::new(), steps: Vec::new() };
        let at = rules.iter().map(|rule| tests.walk(&rule.condition, HOLDS, FAILS)).collect::<Option<Vec<u16>>>()?;
        let lists = lists(&tests.tests, schema.enumerated);
        let woven = Self { rules: rules.len(), ..Self::default() };
        let mut weaver = Weaver { rules, schema, tests: &tests, lists, known: HashMap::new(), woven };
        let start = weaver.weave(State { at, asked: 0, truth: 0 })?;
        let Weaver { schema, woven, .. } = weaver;
        let mut test = |cond: &Cond| Test {
            yes: question(cond, schema).is_none_or(|(_, _, _, yes)| yes),
            form: Form::new(cond, schema),
            cond: cond.clone(),
        };
        let tests = tests.tests.iter().map(|cond| test(cond)).collect();
        Some(Self { start, tests, ..woven }.in_order())
    }

    /// With its nodes in the order in which they are asked, as far as there is one: those that a decision asks are near
    /// each other.
    fn in_order(self) -> Self {
        let Self { start, nodes, ways, .. } = &self;
        let leads = |node: &Node| match node.question.list() {
            None => node.next.iter().rev().copied().collect::<Vec<Next>>(),
            Some(len) => ways.iter().skip(node.first()).take(len + 1).copied().collect(),
        };
        let mut order: Vec<Next> = Vec::new();
        let mut open = vec![*start];
        while let Some(at) = open.pop() {
            if let Some(node) = nodes.get(usize::from(at)).filter(|_| !order.contains(&at)) {
                order.push(at);
                open.extend(leads(node).iter().rev());
            }
        }
        // INVARIANT: fewer than 256, since what is renumbered had numbers. Ends keep theirs.
        let new =
            |old: &Next| order.iter().position(|own| own == old).and_then(|at| u8::try_from(at).ok()).unwrap_or(*old);
        let moved = |node: &Node| match node.question.list() {
            None => Node { next: node.next.map(|next| new(&next)), ..*node },
            Some(_) => *node,
        };
        let in_order = order.iter().filter_map(|at| nodes.get(usize::from(*at))).map(moved).collect();
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
    Spot::own(of.0, of.1)?;
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

/// Weaves the rules' ways into one.
struct Weaver<'a, 's> {
    rules: &'a [Rule],
    schema: &'a mut Schema<'s>,
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

    fn ask(&mut self, test: u8, state: &State) -> Option<Next> {
        let after = |tests: u64, truth: u64| State {
            at: state.at.clone(),
            asked: state.asked | tests,
            truth: state.truth | truth,
        };
        let bit = 1 << test;
        if let Some(List { root, number, tests, hold }) =
            self.lists.iter().find(|list| list.tests & bit != 0 && list.tests & state.asked == 0)
        {
            let (own, tests, hold) = (Spot::own(*root, *number)?, *tests, hold.clone());
            let mut ways = hold.iter().map(|truth| self.weave(after(tests, *truth))).collect::<Option<Vec<_>>>()?;
            ways.push(self.weave(after(tests, 0))?);
            let question = Question::which(u8::try_from(hold.len()).ok()?);
            let nobody = self.schema.constants.spot(Packed::entity(u32::MAX))?;
            let first = u16::try_from(place(&mut self.woven.ways, &ways)).ok()?;
            return self.node(Node { a: own, b: nobody, question, test: NO_TEST, next: first.to_le_bytes() });
        }
        let tests = self.tests;
        let cond = tests.tests.get(usize::from(test))?;
        let (yes, no) = (self.weave(after(bit, bit))?, self.weave(after(bit, 0))?);
        // Where there is no question, the answer comes from the test.
        let other = || Spot::new(Bank::Roots, 0).map(|root| (root, root, Question::OTHER, true));
        let (a, b, question, holds) = question(cond, self.schema).or_else(other)?;
        self.node(Node { a, b, question, test, next: if holds { [no, yes] } else { [yes, no] } })
    }

    /// The place of a node; none where there is no room for it.
    fn node(&mut self, node: Node) -> Option<Next> {
        let at = place(&mut self.woven.nodes, &[node]);
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
        self.has_room().then_some(Next::MAX.checked_sub(u8::try_from(at).ok()?)?)
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
