//! A request in the usual course of things, decided with a few looks: its three are known, the schema foresees it, what
//! comes with it is as declared, and all that the policies ask takes but a look. Anything else, and above all whatever
//! may be wrong, is left to the general way, which also knows what to say of it.

use super::context::Seen;
use super::env::{Data, Ent};
use super::planned::{self, Looks};
use super::{Linked, Now, Tally};
use crate::bundle::ErrorMode;
use crate::model::{Decision, Request};

/// Decides into a decision that was reset; none, with the decision as it was, where the general way has to.
#[inline]
pub(super) fn decide(linked: &Linked, request: &Request, now: Now<'_>, decision: &mut Decision) -> Option<()> {
    let types = Some(linked.bundle.inner.types.as_deref()?);
    if request.inline().is_some() {
        return None;
    }
    // Both are looked up before either is looked at, so that the processor waits for both at once.
    let (who, what) = (|| request.principal(), || request.resource().uid());
    let found = (request.principal_found(), request.resource_found());
    let (principal, resource) = (linked.begin(found.0, &who)?, linked.begin(found.1, &what)?);
    let known = linked.is_it(principal.1, found.0, &who) && linked.is_it(resource.1, found.1, &what);
    if !known || !principal.1.stored || !resource.1.stored {
        return None;
    }
    let action = linked.declared(linked.listed_action(request)?)?;
    let environment = linked.environment(action, principal.1.type_id, resource.1.type_id)?;
    if !environment.planned || action.clamps || linked.named.about(principal) || linked.named.about(resource) {
        return None;
    }
    let mut seen = Seen::nothing(action);
    seen.see(&linked.snapshot, types, &request.context, action);
    if linked.bundle.mode() == ErrorMode::Strict {
        seen.fill(&request.context, action, now).ok()?;
    }
    if !seen.is_declared() {
        return None;
    }
    let roots = [principal, resource].map(|(slot, record)| (Ent::Slot(slot), Data::Stored(record)));
    let looks = Looks::new(linked, roots, &seen.given);
    let mut tally = Tally { forbidden: false, decision };
    for section in &environment.plan.sections {
        let Some((ranks, forbid)) = planned::follow(&looks, section, |_| None) else {
            tally.decision.determining.clear();
            return None;
        };
        tally.reached(ranks, forbid);
    }
    tally.decide();
    Some(())
}
