//! Following a plan: the rules of an environment, each test asked at most once.

use super::env::{Data, Ent, Env};
use crate::bundle::plan::{Form, Place, Plan, Switch, ASK, FAILS, HOLDS};
use crate::bundle::program::Root;
use crate::entities::record::{sorted_contains, Cell};

/// A request, with the attributes of its principal and resource where these are stored.
struct Request<'e, 'a> {
    env: &'e Env<'a>,
    principal: &'a [Cell],
    resource: &'a [Cell],
}

/// Which of the planned rules hold, as bits; none where a test has no answer.
#[inline]
pub(super) fn follow<'a>(env: &Env<'a>, plan: &'a Plan) -> Option<u64> {
    let attributes = |data| match data {
        Data::Stored(record) => &record.attributes,
        Data::Inline(_) | Data::Missing => &[][..],
    };
    let request = Request { env, principal: attributes(env.principal.1), resource: attributes(env.resource.1) };
    let (mut asked, mut truth, mut hold) = (0_u64, 0_u64, 0_u64);
    for switch in &plan.switches {
        match request.switch(switch) {
            Some((tests, rules)) => {
                asked |= switch.tests;
                truth |= tests;
                hold |= rules;
            }
            None if switch.rules == 0 => {}
            None => return None,
        }
    }
    for (rule, start) in &plan.walks {
        let mut at = *start;
        while let Some(step) = plan.steps.get(usize::from(at)) {
            let bit = 1_u64 << step.test;
            if asked & bit == 0 {
                let test = plan.tests.get(usize::from(step.test))?;
                let answer = match request.look(test.form) {
                    Some(answer) => answer,
                    None if step.guards != ASK => {
                        at = step.guards;
                        continue;
                    }
                    None => env.holds(&test.cond).ok()?,
                };
                asked |= bit;
                truth |= u64::from(answer) << step.test;
            }
            at = if truth & bit == 0 { step.no } else { step.yes };
        }
        match at {
            HOLDS => hold |= 1 << rule,
            FAILS => {}
            _ => return None,
        }
    }
    Some(hold)
}

impl<'a> Request<'_, 'a> {
    #[inline]
    fn own(&self, root: Root, number: u16) -> Option<&'a Cell> {
        match root {
            Root::Principal => self.principal.get(usize::from(number)),
            Root::Resource => self.resource.get(usize::from(number)),
        }
    }

    #[inline]
    fn switch(&self, switch: &Switch) -> Option<(u64, u64)> {
        match self.own(switch.root, switch.number) {
            Some(Cell::Entity(slot)) if self.env.snapshot.is_alone(*slot) => {
                Some(switch.hold.get(*slot as usize).copied().unwrap_or_default())
            }
            _ => None,
        }
    }

    /// What [`Env::holds`] gives for the condition; none where it takes more than a look, or is an error.
    #[inline]
    fn look(&self, form: Form) -> Option<bool> {
        Some(match form {
            Form::Flag(root, number) => match self.own(root, number)? {
                Cell::Bool(b) => *b,
                _ => return None,
            },
            Form::Has(root, number) => !matches!(self.own(root, number)?, Cell::Absent),
            Form::Same(a, b) => self.place(a)? == self.place(b)?,
            Form::Within(a, b) => self.env.within(Ent::Slot(self.place(a)?), Ent::Slot(self.place(b)?)),
            Form::Among(root, number, place) => {
                sorted_contains(self.own(root, number)?.entities()?, self.place(place)?)
            }
            Form::Other => return None,
        })
    }

    #[inline]
    fn place(&self, place: Place) -> Option<u32> {
        match place {
            Place::Own(root, number) => match self.own(root, number)? {
                Cell::Entity(slot) => Some(*slot),
                _ => None,
            },
            Place::Root(root) => match self.env.root(root).0 {
                Ent::Slot(slot) => Some(slot),
                Ent::Foreign(_) => None,
            },
            Place::Name(name) => Some(self.env.slot(name)),
        }
    }
}
