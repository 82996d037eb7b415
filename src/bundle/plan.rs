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
    /// Conditions without and, or, not and if.
    pub(crate) tests: Box<[Cond]>,
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
}

/// The rule's condition is true.
pub(crate) const HOLDS: u16 = u16::MAX;
/// The rule's condition is false.
pub(crate) const FAILS: u16 = u16::MAX - 1;

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

#[derive(Default)]
struct Builder<'a> {
    tests: Vec<&'a Cond>,
    steps: Vec<Step>,
    known: HashMap<Step, u16>,
}

impl Plan {
    /// Plans the rules of one environment. `enumerated` is how many numbers belong to entities of enumerated types.
    pub(crate) fn new(rules: &[Rule], enumerated: usize) -> Self {
        let mut builder = Builder::default();
        let starts: Vec<u16> =
            rules.iter().take(BITS).map_while(|rule| builder.walk(&rule.condition, HOLDS, FAILS)).collect();
        let forbids = starts.iter().zip(rules).enumerate().filter(|(_, (_, rule))| rule.forbid);
        let forbids = forbids.fold(0, |bits, (at, _)| bits | 1 << at);
        let alone = |at: &u16| builder.steps.get(usize::from(*at)).filter(|s| (s.yes, s.no) == (HOLDS, FAILS));
        let direct: Vec<Option<u8>> = starts.iter().map(|start| alone(start).map(|step| step.test)).collect();
        let switches = switches(&builder.tests, &direct, enumerated);
        let switched = switches.iter().fold(0_u64, |bits, switch| bits | switch.rules);
        let walks = (0_u8..).zip(&starts).filter(|(rule, _)| switched & (1 << rule) == 0);
        Self {
            rules: starts.len(),
            forbids,
            walks: walks.map(|(rule, start)| (rule, *start)).collect(),
            switches,
            tests: builder.tests.into_iter().cloned().collect(),
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
                let step = Step { test: u8::try_from(at).ok()?, yes, no };
                if let Some(known) = self.known.get(&step) {
                    return Some(*known);
                }
                let number = u16::try_from(self.steps.len()).ok()?;
                self.steps.push(step);
                self.known.insert(step, number);
                Some(number)
            }
        }
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
