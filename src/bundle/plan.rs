//! The rules of one environment as a plan: a condition that several rules ask is asked once, and jumps say which comes
//! next. A rule's own order is kept: what stands behind a guard is asked only where the guard holds.

use std::collections::HashMap;

use super::program::{Cond, Expr, Name, Root, Rule};

/// Rules, and tests, are bits of one word.
const BITS: usize = 64;
/// Most steps of a plan.
const STEPS: usize = 4_096;

/// What the first rules of an environment come to; where it has no answer, each rule's own condition does.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// How many rules are planned; those after them are not.
    pub(crate) rules: usize,
    /// Which of them forbid.
    pub(crate) forbids: u64,
    pub(crate) switches: Box<[Switch]>,
    pub(crate) tests: Box<[Test]>,
    pub(crate) steps: Box<[Step]>,
    /// Rules by number, with the step that each begins at; without those that a switch decides.
    pub(crate) walks: Box<[(u8, u16)]>,
}

/// Asks a test, and goes on to a further step, to [`HOLDS`] or to [`FAILS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    pub(crate) test: u8,
    pub(crate) yes: u16,
    pub(crate) no: u16,
    /// Where to go on when the test takes more than a look: to the guards that were left out since a required attribute
    /// is there. [`ASK`] where there are none.
    pub(crate) guards: u16,
}

/// The rule's condition is true.
pub(crate) const HOLDS: u16 = u16::MAX;
/// The rule's condition is false.
pub(crate) const FAILS: u16 = u16::MAX - 1;
/// The test is to be asked, whatever it takes.
pub(crate) const ASK: u16 = u16::MAX - 2;

/// A condition without and, or, not and if.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) form: Form,
    pub(crate) cond: Cond,
}

/// The usual conditions on stored entities, which take but a look.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    Flag(Root, u16),
    Has(Root, u16),
    Same(Place, Place),
    /// The first is the second or belongs to it.
    Within(Place, Place),
    /// The attribute, a set, has the entity.
    Among(Root, u16, Place),
    /// Any other condition.
    Other,
}

/// Where an entity is found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Root(Root),
    Own(Root, u16),
    Name(Name),
}

impl Test {
    fn new(cond: &Cond) -> Self {
        let form = match cond {
            Cond::Flag(root, number, _) => Some(Form::Flag(*root, *number)),
            Cond::HasOwn(root, number, _) => Some(Form::Has(*root, *number)),
            Cond::Is(expr, name) => Place::new(expr).map(|place| Form::Same(place, Place::Name(*name))),
            Cond::Equal(pair) => Place::both(pair).map(|(a, b)| Form::Same(a, b)),
            Cond::In(pair) => Place::both(pair).map(|(a, b)| Form::Within(a, b)),
            Cond::Contains(pair) => match (&pair.0, Place::new(&pair.1)) {
                (Expr::Own(root, number, _), Some(place)) => Some(Form::Among(*root, *number, place)),
                _ => None,
            },
            _ => None,
        };
        Self { form: form.unwrap_or(Form::Other), cond: cond.clone() }
    }
}

impl Place {
    fn new(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Root(root) => Some(Place::Root(*root)),
            Expr::Own(root, number, _) => Some(Place::Own(*root, *number)),
            Expr::Name(name) => Some(Place::Name(*name)),
            _ => None,
        }
    }

    fn both(pair: &(Expr, Expr)) -> Option<(Self, Self)> {
        Some((Self::new(&pair.0)?, Self::new(&pair.1)?))
    }
}

/// All tests of which listed entity an attribute is: answered by one look at it.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) root: Root,
    pub(crate) number: u16,
    /// The tests it answers, and the rules that are nothing but one of them.
    pub(crate) tests: u64,
    pub(crate) rules: u64,
    /// Which tests and rules hold, by the number of the listed entity; none does beyond the end.
    pub(crate) hold: Box<[(u64, u64)]>,
}

struct Builder<'a> {
    required: &'a dyn Fn(Root, u16) -> bool,
    tests: Vec<&'a Cond>,
    steps: Vec<Step>,
    known: HashMap<Step, u16>,
}

impl Plan {
    /// Plans the rules of one environment. `enumerated` is how many numbers belong to entities of enumerated types,
    /// `required` whether the schema requires an attribute.
    pub(crate) fn new(rules: &[Rule], enumerated: usize, required: &dyn Fn(Root, u16) -> bool) -> Self {
        let mut builder = Builder { required, tests: Vec::new(), steps: Vec::new(), known: HashMap::new() };
        let starts: Vec<u16> =
            rules.iter().take(BITS).map_while(|rule| builder.walk(&rule.condition, HOLDS, FAILS)).collect();
        let forbids = starts.iter().zip(rules).enumerate().filter(|(_, (_, rule))| rule.forbid);
        let forbids = forbids.fold(0, |bits, (at, _)| bits | 1 << at);
        let alone =
            |at: &u16| builder.steps.get(usize::from(*at)).filter(|s| (s.yes, s.no, s.guards) == (HOLDS, FAILS, ASK));
        let direct: Vec<Option<u8>> = starts.iter().map(|start| alone(start).map(|step| step.test)).collect();
        let switches = switches(&builder.tests, &direct, enumerated);
        let switched = switches.iter().fold(0_u64, |bits, switch| bits | switch.rules);
        let walks = (0_u8..).zip(&starts).filter(|(rule, _)| switched & (1 << rule) == 0);
        Self {
            rules: starts.len(),
            forbids,
            walks: walks.map(|(rule, start)| (rule, *start)).collect(),
            switches,
            tests: builder.tests.into_iter().map(Test::new).collect(),
            steps: builder.steps.into(),
        }
    }
}

impl<'a> Builder<'a> {
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
                let found = self.tests.iter().position(|own| *own == test);
                let at = found.unwrap_or(self.tests.len());
                if at >= BITS || self.steps.len() >= STEPS {
                    return None;
                }
                if found.is_none() {
                    self.tests.push(test);
                }
                let number = self.step(Step { test: u8::try_from(at).ok()?, yes, no, guards: ASK })?;
                let Cond::HasOwn(root, attribute, _) = test else { return Some(number) };
                if !(self.required)(*root, *attribute) {
                    return Some(number);
                }
                // Where the next test has an answer, the attribute it reads is there.
                let next = self.steps.get(usize::from(yes)).copied();
                let reads =
                    |step: &Step| self.tests.get(usize::from(step.test)).is_some_and(|t| reads(t, *root, *attribute));
                match next.filter(reads) {
                    Some(next) => self.step(Step { guards: number, ..next }),
                    None => Some(number),
                }
            }
        }
    }

    fn step(&mut self, step: Step) -> Option<u16> {
        if let Some(known) = self.known.get(&step) {
            return Some(*known);
        }
        let number = u16::try_from(self.steps.len()).ok()?;
        self.steps.push(step);
        self.known.insert(step, number);
        Some(number)
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

/// The attribute that a test compares with listed entities, and those.
fn listed(test: &Cond, enumerated: usize) -> Option<((Root, u16), Vec<usize>)> {
    let (of, names) = match test {
        Cond::Is(Expr::Own(root, number, _), name) => ((*root, *number), std::slice::from_ref(name)),
        Cond::InNames(Expr::Own(root, number, _), names) => ((*root, *number), &**names),
        _ => return None,
    };
    let number = |name: &Name| match name {
        Name::Fixed(number) => Some(*number as usize).filter(|number| *number < enumerated),
        Name::Literal(_) => None,
    };
    Some((of, names.iter().map(number).collect::<Option<_>>()?))
}

fn switches(tests: &[&Cond], direct: &[Option<u8>], enumerated: usize) -> Box<[Switch]> {
    let mut switches: Vec<Switch> = Vec::new();
    for (at, test) in (0_u8..).zip(tests) {
        let Some(((root, number), names)) = listed(test, enumerated) else { continue };
        let place = switches.iter().position(|s| (s.root, s.number) == (root, number)).unwrap_or_else(|| {
            switches.push(Switch { root, number, tests: 0, rules: 0, hold: Box::new([]) });
            switches.len() - 1
        });
        let Some(switch) = switches.get_mut(place) else { continue };
        let rules = direct.iter().enumerate().filter(|(_, own)| **own == Some(at));
        let rules = rules.fold(0, |bits, (rule, _)| bits | 1 << rule);
        switch.tests |= 1 << at;
        switch.rules |= rules;
        let mut hold = std::mem::take(&mut switch.hold).into_vec();
        for name in names {
            if hold.len() <= name {
                hold.resize(name + 1, (0, 0));
            }
            if let Some(bits) = hold.get_mut(name) {
                *bits = (bits.0 | 1 << at, bits.1 | rules);
            }
        }
        switch.hold = hold.into();
    }
    // One test alone is as well asked when its turn comes.
    switches.retain(|switch| switch.tests.count_ones() > 1);
    switches.into()
}
