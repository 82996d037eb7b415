//! Following a plan: the rules of an environment, each test asked at most once.

use super::eval::{Data, Ent, Env};
use crate::bundle::plan::{Plan, Switch, FAILS, HOLDS};
use crate::bundle::program::{Cond, Expr};
use crate::entities::record::{sorted_contains, Cell};

impl<'a> Env<'a> {
    /// Which of the planned rules hold, as bits; none where a test has no answer.
    #[inline]
    pub(super) fn planned(&self, plan: &'a Plan) -> Option<u64> {
        let (mut asked, mut truth, mut hold) = (0_u64, 0_u64, 0_u64);
        for switch in &plan.switches {
            match self.switch(switch) {
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
                    asked |= bit;
                    if self.test(plan.tests.get(usize::from(step.test))?)? {
                        truth |= bit;
                    }
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

    #[inline]
    fn switch(&self, switch: &Switch) -> Option<(u64, u64)> {
        let Data::Stored(record) = self.root(switch.root).1 else { return None };
        match record.attributes.get(usize::from(switch.number))? {
            Cell::Entity(slot) if self.snapshot.is_alone(*slot) => {
                Some(switch.hold.get(*slot as usize).copied().unwrap_or_default())
            }
            _ => None,
        }
    }

    /// What [`Env::holds`] gives, the usual forms first.
    #[inline]
    fn test(&self, cond: &'a Cond) -> Option<bool> {
        let quick = match cond {
            Cond::Flag(root, number, _) => match self.root(*root).1 {
                Data::Stored(record) => match record.attributes.get(usize::from(*number)) {
                    Some(Cell::Bool(b)) => Some(*b),
                    _ => None,
                },
                _ => None,
            },
            Cond::HasOwn(root, number, _) => match self.root(*root).1 {
                Data::Stored(record) => record.attributes.get(usize::from(*number)).map(|c| !matches!(c, Cell::Absent)),
                _ => None,
            },
            Cond::Equal(pair) => match (self.place(&pair.0), self.place(&pair.1)) {
                (Some(a), Some(b)) => Some(a == b),
                _ => None,
            },
            Cond::Is(expr, name) => self.place(expr).map(|slot| slot == self.slot(*name)),
            Cond::In(pair) => match (self.place(&pair.0), self.place(&pair.1)) {
                (Some(a), Some(b)) => Some(self.within(Ent::Slot(a), Ent::Slot(b))),
                _ => None,
            },
            Cond::Contains(pair) => match (&pair.0, self.place(&pair.1)) {
                (Expr::Own(root, number, _), Some(slot)) => match self.root(*root).1 {
                    Data::Stored(record) => match record.attributes.get(usize::from(*number)) {
                        Some(Cell::Entities(slots)) => Some(sorted_contains(slots, slot)),
                        _ => None,
                    },
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        quick.or_else(|| self.holds(cond).ok())
    }

    /// The slot of the entity that an expression gives, where that takes but a look.
    #[inline]
    fn place(&self, expr: &Expr) -> Option<u32> {
        match expr {
            Expr::Own(root, number, _) => match self.root(*root).1 {
                Data::Stored(record) => match record.attributes.get(usize::from(*number)) {
                    Some(Cell::Entity(slot)) => Some(*slot),
                    _ => None,
                },
                _ => None,
            },
            Expr::Root(root) => match self.root(*root).0 {
                Ent::Slot(slot) => Some(slot),
                Ent::Foreign(_) => None,
            },
            Expr::Name(name) => Some(self.slot(*name)),
            _ => None,
        }
    }
}
