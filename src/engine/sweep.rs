//! One question put to many: every stored principal, or every stored resource of a type.

use std::collections::BTreeMap;

use super::env::{Data, Ent, Env};
use super::{decide, evaluate, prepare, Linked, Now};
use crate::bundle::ErrorMode;
use crate::model::{Context, Decision, DecisionError, EntityUid, ErrorCode, Request, Resource};

/// What an action's context may have, and whether it must.
pub(crate) struct Needs<'a>(BTreeMap<&'a str, bool>);

impl Needs<'_> {
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn missing(&self, given: &Context) -> bool {
        self.0.iter().any(|(name, required)| *required && given.get(name).is_none())
    }
}

/// What went wrong, and on which of the many.
type Failure = (DecisionError, Option<EntityUid>);

/// How many entities are looked at before they are decided on: as many as stay in the caches between the two.
const AT_ONCE: usize = 4_096;

/// Which part of the request is put in turn by each candidate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Principal,
    Resource,
}

impl Linked {
    /// The actions that the schema foresees between these types, with what their contexts need beyond `now`.
    pub(crate) fn actions_between(&self, principal: &str, resource: &str) -> Vec<(EntityUid, Needs<'_>)> {
        let layout = self.snapshot.layout();
        let (principal, resource) = (layout.type_id(&principal.into()), layout.type_id(&resource.into()));
        let actions = self.program().actions.iter().zip(layout.fixed());
        let fits = actions.filter_map(|(action, uid)| {
            let action = action.as_ref()?;
            let foreseen = action.principals.contains(&principal?) && action.resources.contains(&resource?);
            foreseen.then(|| {
                let fields = action.context.fields.iter();
                let fields = fields
                    .map(|(name, field)| (name.as_str(), field.required && !(action.now.is_some() && name == "now")));
                (uid.clone(), Needs(fields.collect()))
            })
        });
        let mut out: Vec<_> = fits.collect();
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    /// An error if principal or resource is unknown.
    pub(crate) fn must_know(&self, principal: &EntityUid, resource: &Resource) -> Result<(), DecisionError> {
        let known = |uid: &EntityUid| self.exists(self.meet(uid));
        if !known(principal) {
            let message = format!("principal `{principal}` is not stored");
            return Err(DecisionError::new(ErrorCode::UnknownPrincipal, message));
        }
        match resource {
            Resource::Stored(handle) if !known(handle.uid()) => {
                let message = format!("resource `{}` is neither stored nor in the request", handle.uid());
                Err(DecisionError::new(ErrorCode::UnknownResource, message))
            }
            _ => Ok(()),
        }
    }

    /// All stored entities that may do what the request asks, in no particular order.
    pub(crate) fn who_can(&self, request: &Request, now: Now<'_>) -> Result<Vec<EntityUid>, Failure> {
        let uid = || request.resource().uid();
        if request.inline().is_none() && !self.exists(self.locate(request.resource_found(), uid)) {
            let message = format!("resource `{}` is neither stored nor in the request", uid());
            return Err((DecisionError::new(ErrorCode::UnknownResource, message), None));
        }
        self.sweep(request, Part::Principal, None, now)
    }

    /// All stored resources of a type that the request's principal may do its action on, in no particular order.
    pub(crate) fn resources(
        &self,
        request: &Request,
        type_name: &str,
        now: Now<'_>,
    ) -> Result<Vec<EntityUid>, Failure> {
        let principal = request.principal();
        if !self.exists(self.locate(request.principal_found(), || principal)) {
            let message = format!("principal `{principal}` is not stored");
            return Err((DecisionError::new(ErrorCode::UnknownPrincipal, message), None));
        }
        let Some(of) = self.snapshot.layout().type_id(&type_name.into()) else {
            let message = format!("`{type_name}` is not an entity type of the schema");
            return Err((DecisionError::new(ErrorCode::InvalidRequest, message), None));
        };
        self.sweep(request, Part::Resource, Some(of), now)
    }

    fn sweep(&self, request: &Request, part: Part, of: Option<u32>, now: Now<'_>) -> Result<Vec<EntityUid>, Failure> {
        let strict = self.bundle.mode() == ErrorMode::Strict;
        let (_, action) = self.action(request);
        let Some(declared) = action.filter(|a| !a.principals.is_empty() && !a.resources.is_empty()) else {
            let message = format!("`{}` is not an action of the schema", request.action());
            return Err((DecisionError::new(ErrorCode::InvalidRequest, message), None));
        };
        let foreseen = match part {
            Part::Principal => &declared.principals,
            Part::Resource => &declared.resources,
        };
        if let Some(of) = of.filter(|of| strict && !foreseen.contains(of)) {
            let name = self.snapshot.type_name(of).unwrap_or_default();
            let message = format!("`{}` is not done to a `{name}`", request.action().id());
            return Err((DecisionError::new(ErrorCode::InvalidRequest, message), None));
        }
        let mut candidates: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let (mut all, mut found) = (self.snapshot.slots(), Vec::new());
        loop {
            candidates.values_mut().for_each(Vec::clear);
            let mut met = 0;
            for (slot, record) in all.by_ref().take(AT_ONCE) {
                met += 1;
                let wanted = of.map_or(!strict || foreseen.contains(&record.type_id), |of| of == record.type_id);
                if wanted {
                    candidates.entry(record.type_id).or_default().push(slot);
                }
            }
            if met == 0 {
                return Ok(found);
            }
            for slots in candidates.values() {
                self.sweep_type(request, part, slots, now, &mut found)?;
            }
        }
    }

    /// Candidates of one type: what does not depend on which of them asks is prepared once.
    fn sweep_type(
        &self,
        request: &Request,
        part: Part,
        slots: &[u32],
        now: Now<'_>,
        found: &mut Vec<EntityUid>,
    ) -> Result<(), Failure> {
        let with = |uid: EntityUid| {
            let mut request = request.clone();
            match part {
                Part::Principal => request.set_principal(self.resolve(&uid)),
                Part::Resource => request.set_resource(self.resolve(&uid).into()),
            }
            request
        };
        let Some(first) = slots.first().and_then(|slot| self.snapshot.uid(*slot)) else {
            return Ok(());
        };
        let own = with(first);
        // An error here is one of the action, the context or the clock, and not of this candidate; but for the window,
        // which depends on the auditor.
        let mut env = Env::new(self, &own.context);
        let mut asked = match prepare(self, &own, now, &mut env) {
            Ok(()) if env.window.is_some() || env.environment.is_none_or(|e| e.cedar.is_some()) => None,
            Ok(()) => Some(env),
            Err(error) if error.code() == ErrorCode::Window => None,
            Err(error) => return Err((error, None)),
        };
        let mut decision = Decision::default();
        for slot in slots {
            let Some(record) = self.snapshot.entity(*slot) else { continue };
            if let Some(env) = &mut asked {
                let candidate = (Ent::Slot(*slot), Data::Stored(record));
                match part {
                    Part::Principal => env.principal = candidate,
                    Part::Resource => env.resource = candidate,
                }
                decision.reset(self.snapshot.revision(), &self.bundle.inner.names);
                evaluate(self, &own, env, &mut decision).map_err(|error| (error, None))?;
                super::distrust(self, &mut decision);
            } else {
                let Some(uid) = self.snapshot.uid(*slot) else { continue };
                decide(self, &with(uid), now, &mut decision);
            }
            if decision.indeterminate() {
                let unknown = || DecisionError::new(ErrorCode::Evaluation, "a decision is indeterminate");
                // A window that has nothing in common with this auditor's period is a plain no.
                let window = decision.errors().any(|e| e.code() == ErrorCode::Window);
                if !window {
                    let error = decision.errors().next().cloned().unwrap_or_else(unknown);
                    return Err((error, self.snapshot.uid(*slot)));
                }
            } else if decision.allowed() {
                found.extend(self.snapshot.uid(*slot));
            }
        }
        Ok(())
    }
}
