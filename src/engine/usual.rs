//! A request in the usual course of things, decided with a few looks: its three are known, the schema foresees it, what
//! comes with it is as declared, and all policies that can apply are planned. Anything else, and above all whatever may
//! be wrong, is left to the general way, which also knows what to say of it.

use super::context::{self, Seen};
use super::env::{Data, Ent, Env};
use super::planned::{self, Asked, Looks};
use super::{Linked, Now, Tally};
use crate::bundle::program::Cond;
use crate::bundle::ErrorMode;
use crate::entities::record::{Packed, Record};
use crate::model::{Decision, Request, Timestamp, Window};

/// Decides into a decision that was reset; none, with the decision as it was, where the general way has to.
#[inline(always)]
pub(super) fn decide(linked: &Linked, request: &Request, now: Now<'_>, decision: &mut Decision) -> Option<()> {
    let types = Some(linked.bundle.inner.types.as_deref()?);
    if request.inline().is_some() {
        return None;
    }
    // Both are looked up before either is looked at, so that the processor waits for both at once.
    let (who, what) = (|| request.principal(), || request.resource().uid());
    let found = (request.principal_found(), request.resource_found());
    let (principal, resource) = (linked.begin(found.0, &who)?, linked.begin(found.1, &what)?);
    let slot = linked.listed_action(request)?;
    let action = linked.declared(slot)?;
    let known = linked.is_it(principal.1, found.0, &who) && linked.is_it(resource.1, found.1, &what);
    let as_planned = |record: &Record| record.stored && !record.more;
    if !known || !as_planned(principal.1) || !as_planned(resource.1) || !linked.snapshot.lists_alone() {
        return None;
    }
    let mut at = action.environments.between(principal.1.type_id, resource.1.type_id)?.section?.get();
    if !linked.named.is_empty() && (linked.named.about(principal) || linked.named.about(resource)) {
        return None;
    }
    let seen = Seen::nothing(action);
    let mut usual = Usual { linked, request, principal, action: slot, resource, seen, now: None, window: None };
    usual.seen.see(&linked.snapshot, types, &request.context, action);
    if linked.bundle.mode() == ErrorMode::Strict {
        usual.now = usual.seen.fill(&request.context, action, now).ok()?;
        if action.clamps {
            usual.window = context::clamp(&linked.snapshot, request, Data::Stored(principal.1)).ok()?;
        }
    }
    if !usual.seen.is_declared() {
        return None;
    }
    let roots = [Packed::entity(principal.0), Packed::entity(resource.0)];
    let near = [*principal.1.near(), *resource.1.near()];
    let records = [Some(principal.1), Some(resource.1)];
    let looks = Looks::new(linked, roots, near, records, &usual.seen.given, false, &usual);
    let mut tally = Tally { forbidden: false, decision };
    let mut last = false;
    while !last {
        let Some(section) = looks.section(at) else { break };
        let Some((ranks, forbid)) = planned::follow(&looks, section) else { break };
        tally.reached(ranks, forbid);
        (at, last) = (at + 1, section.last);
    }
    if !last {
        tally.decision.determining.clear();
        return None;
    }
    tally.decide();
    decision.window = usual.window;
    Some(())
}

/// Such a request. Few conditions ask for it, so that what they see is made for each.
struct Usual<'e> {
    linked: &'e Linked,
    request: &'e Request,
    principal: (u32, &'e Record),
    action: u32,
    resource: (u32, &'e Record),
    seen: Seen,
    now: Option<Timestamp>,
    window: Option<Window>,
}

impl<'e> Asked<'e> for Usual<'e> {
    #[cold]
    fn holds(&self, cond: &'e Cond) -> Option<bool> {
        let env = Env {
            principal: (Ent::Slot(self.principal.0), Data::Stored(self.principal.1)),
            action: Ent::Slot(self.action),
            resource: (Ent::Slot(self.resource.0), Data::Stored(self.resource.1)),
            given: self.seen.given,
            now: self.now,
            window: self.window,
            ..Env::new(self.linked, &self.request.context)
        };
        env.holds(cond).ok()
    }
}
