//! A request in the usual course of things, decided with a few looks: its three are known, the schema foresees it, what
//! comes with it is as declared, and all policies that can apply are planned. Anything else, and above all whatever may
//! be wrong, is left to the general way, which also knows what to say of it.

use super::context::{self, Seen};
use super::env::{Data, Ent, Env};
use super::planned::{self, Looks};
use super::{Linked, Now, Tally};
use crate::bundle::ErrorMode;
use crate::entities::record::{Packed, Record};
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
    let slot = linked.listed_action(request)?;
    let action = linked.declared(slot)?;
    let known = linked.is_it(principal.1, found.0, &who) && linked.is_it(resource.1, found.1, &what);
    let as_planned = |record: &Record| record.stored && !record.more;
    if !known || !as_planned(principal.1) || !as_planned(resource.1) || !linked.snapshot.lists_alone() {
        return None;
    }
    let route = action.environments.between(principal.1.type_id, resource.1.type_id)?;
    let mut at = route.section?.get();
    if !linked.named.is_empty() && (linked.named.about(principal) || linked.named.about(resource)) {
        return None;
    }
    let mut seen = Seen::nothing(action);
    seen.see(&linked.snapshot, types, &request.context, action);
    let (mut filled, mut window) = (None, None);
    if linked.bundle.mode() == ErrorMode::Strict {
        filled = seen.fill(&request.context, action, now).ok()?;
        if action.clamps {
            window = context::clamp(&linked.snapshot, request, Data::Stored(principal.1)).ok()?;
        }
    }
    if !seen.is_declared() {
        return None;
    }
    let env = || Env {
        principal: (Ent::Slot(principal.0), Data::Stored(principal.1)),
        action: Ent::Slot(slot),
        resource: (Ent::Slot(resource.0), Data::Stored(resource.1)),
        environment: linked.environment(route),
        given: seen.given,
        now: filled,
        window,
        ..Env::new(linked, &request.context)
    };
    let roots = [Packed::entity(principal.0), Packed::entity(resource.0)];
    let looks = Looks::new(linked, roots, [Some(principal.1), Some(resource.1)], &seen.given, false);
    let mut tally = Tally { forbidden: false, decision };
    let mut last = false;
    while !last {
        let Some(section) = looks.section(at) else { break };
        let Some((ranks, forbid)) = planned::follow(&looks, section, &|cond| env().holds(cond).ok()) else { break };
        tally.reached(ranks, forbid);
        (at, last) = (at + 1, section.last);
    }
    if !last {
        tally.decision.determining.clear();
        return None;
    }
    tally.decide();
    decision.window = window;
    Some(())
}
