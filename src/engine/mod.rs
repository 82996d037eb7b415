//! Deciding, as a pure function of bundle, snapshot, request and instant.
//!
//! [`env`] is a request as conditions see it, [`planned`] follows a plan of many rules, [`eval`] evaluates single
//! conditions and [`values`] compares what they give. What is not compiled is left to [`cedar`], which also serves as the
//! judge.

pub(crate) mod bugs;
mod cedar;
mod env;
mod eval;
pub(crate) mod explain;
mod planned;
mod sweep;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use crate::bundle::plan::Plan;
use crate::bundle::program::{Action, Environment, Rule};
use crate::bundle::{Bundle, ErrorMode};
use crate::entities::record::{Cell, Record};
use crate::entities::{check_inline, EntityError, Snapshot};
use crate::model::{
    Decision, DecisionError, EntityUid, ErrorCode, Handle, Request, Resource, Timestamp, Value, Window,
};
use bugs::Bug;
use env::{Data, Ent, Env};

/// A bundle and a snapshot that fit each other.
#[derive(Debug, Clone)]
pub(crate) struct Linked {
    bundle: Bundle,
    snapshot: Snapshot,
    /// The slots of the entities that policies name.
    literals: Arc<[u32]>,
    /// Policies that name one principal or resource, by its slot: where in the program they are.
    named: Arc<HashMap<u32, u32, foldhash::fast::RandomState>>,
}

impl Linked {
    /// Fits `snapshot` to `bundle`.
    pub(crate) fn new(bundle: Bundle, snapshot: Snapshot) -> Result<Self, EntityError> {
        let snapshot = snapshot.fitted(&bundle)?;
        Ok(Self::link(bundle, snapshot))
    }

    /// A bundle without entities.
    pub(crate) fn empty(bundle: Bundle) -> Self {
        let snapshot = Snapshot::of(&bundle);
        Self::link(bundle, snapshot)
    }

    /// INVARIANT: `snapshot` has the bundle's layout.
    fn link(bundle: Bundle, mut snapshot: Snapshot) -> Self {
        let program = bundle.inner.program();
        let literals = snapshot.pin(&program.literals);
        let slots = literals.iter().zip(0u32..).filter(|(_, number)| program.named.contains_key(number));
        let named = slots.map(|(slot, number)| (*slot, number)).collect();
        Self { literals, named: Arc::new(named), bundle, snapshot }
    }

    /// With a snapshot that came from this one's by changes.
    pub(crate) fn with_changed(&self, snapshot: Snapshot) -> Self {
        if snapshot.has_pins(&self.literals) {
            return Self { snapshot, ..self.clone() };
        }
        // It was laid out anew: what policies name is elsewhere now.
        Self::link(self.bundle.clone(), snapshot)
    }

    pub(crate) fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// A handle for `uid`: one that says where it is, if it is stored.
    pub(crate) fn resolve(&self, uid: &EntityUid) -> Handle {
        let found = self.snapshot.find(uid).and_then(|slot| Some((slot, self.snapshot.record(slot)?.generation)));
        match found {
            Some((slot, generation)) => Handle::found(uid.clone(), slot, generation),
            None => uid.clone().into(),
        }
    }

    /// Where a handle's entity is, with what is known there.
    #[inline]
    fn locate<'a>(&'a self, handle: &'a Handle) -> Met<'a> {
        if let Some((slot, generation)) = handle.place() {
            if let Some(record) = self.snapshot.record(slot).filter(|r| r.generation == generation) {
                return Met { ent: Ent::Slot(slot), record: Some(record) };
            }
        }
        self.meet(handle.uid())
    }

    /// Begins to bring what [`Linked::locate`] will read into the caches.
    #[inline]
    fn fetch(&self, handle: &Handle) {
        if handle.place().is_none() {
            self.snapshot.fetch(handle.uid());
        }
    }

    #[inline]
    fn meet<'a>(&'a self, uid: &'a EntityUid) -> Met<'a> {
        match self.snapshot.find_record(uid) {
            Some((slot, record)) => Met { ent: Ent::Slot(slot), record: Some(record) },
            None => Met { ent: Ent::Foreign(uid), record: None },
        }
    }

    /// Whether something is known to exist there: it is stored, or the schema lists it.
    #[inline]
    fn exists(&self, met: Met<'_>) -> bool {
        met.record.is_some_and(|r| r.stored) || matches!(met.ent, Ent::Slot(slot) if self.snapshot.is_fixed(slot))
    }

    fn action(&self, ent: Ent<'_>) -> Option<&Action> {
        match ent {
            Ent::Slot(slot) => self.bundle.inner.program().actions.get(slot as usize)?.as_deref(),
            Ent::Foreign(_) => None,
        }
    }

    #[inline]
    fn type_of(&self, met: Met<'_>) -> Option<u32> {
        match (met.record, met.ent) {
            (Some(record), _) => Some(record.type_id),
            (None, Ent::Foreign(uid)) => self.snapshot.layout().type_id(uid.type_name()),
            (None, Ent::Slot(_)) => None,
        }
    }

    /// The environment of a request, if the schema foresees its types.
    #[inline]
    fn environment(&self, action: &Action, principal: Met<'_>, resource: Met<'_>) -> Option<&Environment> {
        let (principal, resource) = (self.type_of(principal)?, self.type_of(resource)?);
        let row = action.principals.iter().position(|t| *t == principal)?;
        let column = action.resources.iter().position(|t| *t == resource)?;
        self.bundle.inner.program().environments.get(action.first + row * action.resources.len() + column)
    }
}

/// An entity of a request, and what the snapshot knows under its uid.
#[derive(Debug, Clone, Copy)]
struct Met<'a> {
    ent: Ent<'a>,
    record: Option<&'a Record>,
}

impl<'a> Met<'a> {
    #[inline]
    fn data(self) -> Data<'a> {
        self.record.filter(|r| r.stored).map_or(Data::Missing, Data::Stored)
    }
}

/// The present instant, asked for only when it is needed; a clock that cannot be trusted is the error to answer with.
pub(crate) type Now<'a> = &'a dyn Fn() -> Result<Timestamp, DecisionError>;

/// Decides one request into `decision`. `now` fills `context.now` where the caller left it out and the schema declares
/// it.
pub(crate) fn decide(linked: &Linked, request: &Request, now: Now<'_>, decision: &mut Decision) {
    decision.reset(linked.snapshot.revision(), &linked.bundle.inner.names);
    let outcome = prepare(linked, request, now).and_then(|asked| {
        decision.window = asked.env.window;
        evaluate(linked, request, &asked, decision)
    });
    match outcome {
        Err(error) => {
            decision.determining.clear();
            decision.errors.clear();
            decision.refuse(error);
        }
        Ok(()) => distrust(linked, decision),
    }
}

/// Refuses a request that a program has built deeper than any text is read: what follows would exhaust the stack on it.
fn shallow(request: &Request) -> Result<(), DecisionError> {
    let resource = matches!(&request.resource, Resource::Inline(entity) if entity.is_too_deep());
    if resource || request.context.values().any(Value::is_too_deep) {
        let message = format!("a value of the request is nested deeper than {}", Value::DEPTH);
        return Err(DecisionError::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// Makes a decision in which a forbid failed a denial: nobody knows what the forbid would have said.
fn distrust(linked: &Linked, decision: &mut Decision) {
    if decision.errors.is_empty() || linked.bundle.mode() == ErrorMode::Cedar {
        return;
    }
    let is_forbid = |id: &str| linked.bundle.policy(id).is_none_or(crate::bundle::Policy::is_forbid);
    if decision.errors.iter().any(|e| e.policy().is_none_or(is_forbid)) {
        if decision.allowed {
            decision.determining.clear();
        }
        decision.allowed = false;
        decision.indeterminate = true;
    }
}

/// A request that is ready to be decided.
struct Asked<'a> {
    env: Env<'a>,
    environment: Option<&'a Environment>,
}

/// Finds what the request names, and in strict mode refuses what could not be trusted.
fn prepare<'a>(linked: &'a Linked, request: &'a Request, now: Now<'_>) -> Result<Asked<'a>, DecisionError> {
    let strict = linked.bundle.mode() == ErrorMode::Strict;
    let refuse = |code, message: String| Err(DecisionError::new(code, message));
    let snapshot = &linked.snapshot;
    if !strict || linked.bundle.inner.types.is_none() || matches!(request.resource, Resource::Inline(_)) {
        shallow(request)?;
    }
    if let Resource::Stored(handle) = &request.resource {
        // The two are looked up side by side: each waits for memory.
        linked.fetch(handle);
    }
    let principal = linked.locate(&request.principal);
    if strict && !linked.exists(principal) {
        let message = format!("principal `{}` is not stored", request.principal());
        return refuse(ErrorCode::UnknownPrincipal, message);
    }
    let resource = match &request.resource {
        Resource::Stored(handle) => {
            let met = linked.locate(handle);
            if strict && !linked.exists(met) {
                let message = format!("resource `{}` is neither stored nor in the request", handle.uid());
                return refuse(ErrorCode::UnknownResource, message);
            }
            (met, met.data())
        }
        Resource::Inline(entity) => {
            let met = linked.meet(entity.uid());
            // Cedar holds no two entities of one uid either.
            if met.record.is_some_and(|r| r.stored) || strict && linked.exists(met) {
                let message = format!("resource `{}` came with the request, and is stored too", entity.uid());
                return refuse(ErrorCode::InlineConflict, message);
            }
            if strict {
                if let Err(message) = check_inline(snapshot, &linked.bundle, entity) {
                    return refuse(ErrorCode::InvalidRequest, format!("resource `{}`: {message}", entity.uid()));
                }
            } else if is_own_ancestor(snapshot, met.ent, entity) {
                return refuse(ErrorCode::InvalidRequest, format!("resource `{}` is its own ancestor", entity.uid()));
            }
            (met, Data::Inline(entity))
        }
    };
    let action = linked.locate(&request.action).ent;
    let declared = linked.action(action);
    let mut env = Env {
        snapshot,
        literals: &linked.literals,
        principal: (principal.ent, principal.data()),
        action,
        resource: (resource.0.ent, resource.1),
        context: &request.context,
        now: None,
        window: None,
    };
    if let Data::Inline(_) = env.resource.1 {
        // Who asks may be what came with the request.
        env.principal.1 = env.data(env.principal.0);
    }
    let environment = declared.and_then(|action| linked.environment(action, principal, resource.0));
    if strict {
        if let Some(action) = declared {
            if action.wants_now && !request.context.contains_key("now") {
                env.now = Some(now()?);
            }
            if action.clamps {
                env.window = clamp(snapshot, request, env.principal.1)?;
            }
        }
        fits(linked, request, declared, environment.is_some(), env.now.is_some())?;
    }
    Ok(Asked { env, environment })
}

/// Whether an entity that comes with a request would be above itself, by way of what the snapshot has under its uid.
fn is_own_ancestor(snapshot: &Snapshot, ent: Ent<'_>, entity: &crate::model::Entity) -> bool {
    let Ent::Slot(own) = ent else { return entity.parents().contains(entity.uid()) };
    let above = |slot: u32| slot == own || snapshot.record(slot).is_some_and(|r| r.ancestors().contains(&own));
    entity.parents().iter().filter_map(|uid| snapshot.find(uid)).any(above)
}

/// Whether the request fits the schema.
fn fits(
    linked: &Linked,
    request: &Request,
    action: Option<&Action>,
    foreseen: bool,
    now_given: bool,
) -> Result<(), DecisionError> {
    let Some(types) = linked.bundle.inner.types.as_deref() else {
        return Ok(());
    };
    let invalid = |message: String| Err(DecisionError::new(ErrorCode::InvalidRequest, message));
    let Some(action) = action else {
        return invalid(format!("`{}` is not an action of the schema", request.action()));
    };
    if !foreseen {
        let names = |ids: &[u32]| {
            let names = ids.iter().filter_map(|id| linked.snapshot.type_name(*id));
            names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
        };
        return invalid(format!(
            "`{}` is not for a `{}` to do to a `{}`: principals are {}, resources {}",
            request.action().id(),
            request.principal().type_name(),
            request.resource().uid().type_name(),
            names(&action.principals),
            names(&action.resources),
        ));
    }
    let given = now_given.then_some("now");
    // What fits is no deeper than the schema.
    if types.fits_record(&request.context, &action.context, given) {
        return Ok(());
    }
    shallow(request)?;
    let mut misfits = Vec::new();
    types.check_record(&request.context, &action.context, "", &mut misfits);
    misfits.retain(|m| given != Some(m.path.as_str()));
    let first = misfits.first().map_or_else(|| "it does not fit the schema".to_owned(), ToString::to_string);
    invalid(format!("`context`: {first}"))
}

/// Intersects the window of an audit download with the auditor's period, and gives the effective one.
fn clamp(snapshot: &Snapshot, request: &Request, auditor: Data<'_>) -> Result<Option<Window>, DecisionError> {
    // A window that is missing or of another type is left for the schema to refuse.
    let Some(asked) = request.context.get("window").and_then(window) else {
        return Ok(None);
    };
    let refuse = |message: String| Err(DecisionError::new(ErrorCode::Window, message));
    if asked.from > asked.to {
        return refuse(format!("the window begins at {}, after its end {}", asked.from, asked.to));
    }
    let period = match auditor {
        Data::Stored(auditor) => match attribute(snapshot, auditor, "period") {
            Some(Cell::Other(value)) => window(value),
            _ => None,
        },
        _ => None,
    };
    let effective = match period {
        None => asked,
        Some(period) if period.from > period.to => {
            return refuse(format!("the period begins at {}, after its end {}", period.from, period.to));
        }
        Some(period) => Window { from: asked.from.max(period.from), to: asked.to.min(period.to) },
    };
    if effective.from > effective.to {
        return refuse(format!("nothing of {} to {} is in the auditor's period", asked.from, asked.to));
    }
    Ok(Some(effective))
}

fn attribute<'a>(snapshot: &Snapshot, record: &'a Record, name: &str) -> Option<&'a Cell> {
    record.attribute(snapshot.layout().attribute(record.type_id, name), name)
}

fn window(value: &Value) -> Option<Window> {
    let Value::Record(fields) = value else {
        return None;
    };
    match (fields.get("from"), fields.get("to")) {
        (Some(Value::Datetime(from)), Some(Value::Datetime(to))) if fields.len() == 2 => {
            Some(Window { from: *from, to: *to })
        }
        _ => None,
    }
}

/// Puts the request to all policies that can apply. `Err` is for a request that cannot be asked at all.
fn evaluate(
    linked: &Linked,
    request: &Request,
    asked: &Asked<'_>,
    decision: &mut Decision,
) -> Result<(), DecisionError> {
    let program = linked.bundle.inner.program();
    let environment = asked.environment.unwrap_or(&program.anything);
    let mut tally = Tally { forbidden: false, decision };
    let plan = &environment.plan;
    let mut rules = environment.rules.iter();
    if let Some(hold) = planned::follow(&asked.env, plan) {
        tally.planned(&mut rules, plan, hold);
    }
    rules.for_each(|rule| tally.put(linked, &asked.env, rule));
    let in_order = linked.named.is_empty() && environment.cedar.is_none();
    if !linked.named.is_empty() {
        let mut put = |slot: &u32| {
            if !linked.snapshot.is_pinned(*slot) {
                return;
            }
            let rules = linked.named.get(slot).and_then(|number| program.named.get(number));
            rules.into_iter().flatten().for_each(|rule| tally.put(linked, &asked.env, rule));
        };
        asked.env.for_each_above(asked.env.principal, &mut put);
        asked.env.for_each_above(asked.env.resource, &mut put);
    }
    if let Some(slice) = &environment.cedar {
        let answer = cedar::evaluate(linked, request, &asked.env, slice)?;
        answer.matched.iter().for_each(|rank| tally.matched(*rank, answer.forbidden));
        tally.decision.errors.extend(answer.errors);
    }
    let forbidden = tally.forbidden;
    if !in_order {
        decision.determining.sort_unstable();
        decision.determining.dedup();
    }
    if !decision.errors.is_empty() {
        decision.errors.sort_by(|a, b| a.policy.cmp(&b.policy));
        decision.errors.dedup_by(|a, b| a.policy == b.policy);
    }
    decision.allowed = !forbidden && !decision.determining.is_empty();
    Ok(())
}

/// What the policies have said so far.
struct Tally<'d> {
    forbidden: bool,
    decision: &'d mut Decision,
}

impl Tally<'_> {
    #[inline]
    fn put(&mut self, linked: &Linked, env: &Env<'_>, rule: &Rule) {
        match env.holds(&rule.condition) {
            Ok(false) => {}
            Ok(true) => self.matched(rule.rank, rule.forbid),
            Err(_) if self.forbidden && Bug::ErrorsAfterForbidDropped.is_in() => {}
            Err(fault) => self.decision.errors.push(DecisionError {
                policy: linked.bundle.inner.names.policies.get(rule.rank as usize).cloned(),
                code: ErrorCode::Evaluation,
                message: fault.to_string(),
            }),
        }
    }

    /// Takes the planned rules out of `rules`: those that `hold` matched.
    #[inline]
    fn planned(&mut self, rules: &mut std::slice::Iter<'_, Rule>, plan: &Plan, hold: u64) {
        let (planned, rest) = rules.as_slice().split_at_checked(plan.rules).unwrap_or_default();
        *rules = rest.iter();
        let forbids = hold & plan.forbids;
        self.forbidden = forbids != 0;
        let mut left = if self.forbidden { forbids } else { hold };
        while left != 0 {
            self.decision.determining.extend(planned.get(left.trailing_zeros() as usize).map(|rule| rule.rank));
            left &= left - 1;
        }
    }

    /// A policy matched. Permits no longer matter once a forbid has.
    fn matched(&mut self, rank: u32, forbid: bool) {
        if forbid && !self.forbidden {
            self.forbidden = true;
            self.decision.determining.clear();
        }
        if forbid == self.forbidden {
            self.decision.determining.push(rank);
        }
    }
}

/// Cedar's own answer, for comparing: the same request, prepared the same way, put to all policies.
pub(crate) fn decide_by_cedar(linked: &Linked, request: &Request, now: Now<'_>, decision: &mut Decision) {
    decision.reset(linked.snapshot.revision(), &linked.bundle.inner.names);
    let outcome = prepare(linked, request, now).and_then(|asked| {
        decision.window = asked.env.window;
        let answer = cedar::evaluate(linked, request, &asked.env, linked.bundle.inner.all())?;
        decision.determining.extend(answer.matched);
        decision.errors.extend(answer.errors);
        decision.allowed = answer.allowed;
        Ok(())
    });
    match outcome {
        Err(error) => decision.refuse(error),
        Ok(()) => distrust(linked, decision),
    }
}
