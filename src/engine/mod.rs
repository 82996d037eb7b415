//! Deciding, as a pure function of bundle, snapshot, request and instant.
//!
//! [`usual`] decides most requests in a few looks. For all others [`context`] checks and completes what comes with a
//! request, [`env`] is a request as conditions see it, [`planned`] follows a plan of many rules, [`eval`] evaluates single
//! conditions and [`values`] compares what they give. What is not compiled is left to [`cedar`], which also serves as the
//! judge.

pub(crate) mod bugs;
mod cedar;
mod context;
mod env;
mod eval;
pub(crate) mod explain;
mod planned;
mod sweep;
mod usual;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use crate::bundle::program::{Action, Environment, Program, Route, Rule};
use crate::bundle::{Bundle, ErrorMode};
use crate::entities::record::{Packed, Record, NEAR};
use crate::entities::{check_inline, EntityError, Snapshot};
use crate::model::{Decision, DecisionError, EntityUid, ErrorCode, Found, Handle, Message, Request, Timestamp};
use bugs::Bug;
use env::{Data, Ent, Env};
use planned::Looks;

/// A bundle and a snapshot that fit each other.
#[derive(Debug, Clone)]
pub(crate) struct Linked {
    bundle: Bundle,
    snapshot: Snapshot,
    /// The slots of the entities that policies name.
    literals: Arc<[u32]>,
    named: Arc<Named>,
}

/// Policies that name one principal or resource.
#[derive(Debug, Default)]
struct Named {
    /// By the slot of that: where in the program they are.
    places: HashMap<u32, u32, foldhash::fast::RandomState>,
    /// Which slots these are, and which of them are named as a group. Most requests are about no such slot.
    slots: Bits,
    groups: Bits,
}

/// Numbers, a bit for each.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, number: u32) {
        let at = (number / u64::BITS) as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0.get_mut(at).into_iter().for_each(|word| *word |= 1 << (number % u64::BITS));
    }

    #[inline]
    fn has(&self, number: u32) -> bool {
        self.0.get((number / u64::BITS) as usize).is_some_and(|word| word >> (number % u64::BITS) & 1 != 0)
    }
}

impl Named {
    /// Whether no policy names any.
    #[inline]
    fn is_empty(&self) -> bool {
        self.slots.0.is_empty()
    }

    /// Whether a policy may name what is in this slot, or what that belongs to.
    fn about(&self, (slot, record): (u32, &Record)) -> bool {
        self.slots.has(slot) || !self.groups.0.is_empty() && record.ancestors().iter().any(|own| self.groups.has(*own))
    }
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
        let mut named = Named::default();
        for (slot, number) in literals.iter().zip(0..).filter(|(_, number)| program.named.contains_key(number)) {
            named.places.insert(*slot, number);
            named.slots.set(*slot);
            if program.groups.contains(&number) {
                named.groups.set(*slot);
            }
        }
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

    #[inline]
    fn program(&self) -> &Program {
        self.bundle.inner.program()
    }

    /// A handle for `uid`: one that says where it is, if it is stored.
    pub(crate) fn resolve(&self, uid: &EntityUid) -> Handle {
        let found = self.snapshot.find(uid).and_then(|slot| Some((slot, self.snapshot.record(slot)?.generation)));
        match found {
            Some((slot, generation)) => Handle::found(uid.clone(), slot, generation),
            None => uid.clone().into(),
        }
    }

    /// Where an entity is, with what is known there; `found` is where it was.
    #[inline]
    fn locate<'a>(&'a self, found: Found, uid: impl Fn() -> &'a EntityUid) -> Met<'a> {
        match self.begin(found, &uid).filter(|(_, record)| self.is_it(record, found, &uid)) {
            Some((slot, record)) => Met { ent: Ent::Slot(slot), record: Some(record) },
            None => self.meet(uid()),
        }
    }

    /// Where an entity most likely is, not looked at yet; `found` is where it was.
    #[inline]
    fn begin<'a>(&'a self, found: Found, uid: &impl Fn() -> &'a EntityUid) -> Option<(u32, &'a Record)> {
        match found.place() {
            Some((slot, _)) => Some((slot, self.snapshot.record(slot)?)),
            None => self.snapshot.likely(uid()),
        }
    }

    /// Whether it is there.
    #[inline]
    fn is_it<'a>(&self, record: &Record, found: Found, uid: &impl Fn() -> &'a EntityUid) -> bool {
        match found.place() {
            Some((_, generation)) => record.generation == generation,
            None => self.snapshot.is(record, uid()),
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

    /// The slot of a request's action, if the schema lists it.
    #[inline]
    fn listed_action(&self, request: &Request) -> Option<u32> {
        let (layout, found) = (self.snapshot.layout(), request.action_found());
        match found.place() {
            Some((slot, generation)) if layout.generation(slot) == Some(generation) => Some(slot),
            _ => layout.fixed_id(request.action()),
        }
    }

    /// What the schema says of a listed action.
    #[inline]
    fn declared(&self, slot: u32) -> Option<&Action> {
        self.program().actions.get(slot as usize)?.as_deref()
    }

    /// Where a request's action is, and what the schema says of it.
    fn action<'a>(&'a self, request: &'a Request) -> (Ent<'a>, Option<&'a Action>) {
        match self.listed_action(request) {
            Some(slot) => (Ent::Slot(slot), self.declared(slot)),
            None => (self.locate(request.action_found(), || request.action()).ent, None),
        }
    }

    fn type_of(&self, met: Met<'_>) -> Option<u32> {
        match (met.record, met.ent) {
            (Some(record), _) => Some(record.type_id),
            (None, Ent::Foreign(uid)) => self.snapshot.layout().type_id(uid.parts().0),
            (None, Ent::Slot(_)) => None,
        }
    }

    /// The environment that a route leads to.
    fn environment(&self, route: &Route) -> Option<&Environment> {
        self.program().environments.get(route.environment as usize)
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
    if usual::decide(linked, request, now, decision).is_some() {
        return;
    }
    let mut env = Env::new(linked, &request.context);
    let outcome = prepare(linked, request, now, &mut env).and_then(|()| {
        decision.window = env.window;
        evaluate(linked, request, &env, decision)
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

/// Answers with an error instead of deciding.
pub(crate) fn refuse(linked: &Linked, error: DecisionError, decision: &mut Decision) {
    decision.reset(linked.snapshot.revision(), &linked.bundle.inner.names);
    decision.refuse(error);
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

/// Finds what the request names, and in strict mode refuses what could not be trusted. `env` is that of the request.
#[inline]
fn prepare<'a>(linked: &'a Linked, request: &'a Request, now: Now<'_>, env: &mut Env<'a>) -> Result<(), DecisionError> {
    let strict = linked.bundle.mode() == ErrorMode::Strict;
    let refuse = |code, message: String| Err(DecisionError::new(code, message));
    let snapshot = &linked.snapshot;
    if !strict || linked.bundle.inner.types.is_none() || request.inline().is_some() {
        context::shallow(request)?;
    }
    let principal = linked.locate(request.principal_found(), || request.principal());
    let stored = match request.inline() {
        None => Some(linked.locate(request.resource_found(), || request.resource().uid())),
        Some(_) => None,
    };
    if strict && !linked.exists(principal) {
        let message = format!("principal `{}` is not stored", request.principal());
        return refuse(ErrorCode::UnknownPrincipal, message);
    }
    let (resource, data) = match (stored, request.inline()) {
        (Some(met), _) => {
            if strict && !linked.exists(met) {
                let message = format!("resource `{}` is neither stored nor in the request", request.resource().uid());
                return refuse(ErrorCode::UnknownResource, message);
            }
            (met, met.data())
        }
        (None, None) => return refuse(ErrorCode::InvalidRequest, "there is no resource".to_owned()),
        (None, Some(entity)) => {
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
    let (action, declared) = linked.action(request);
    env.principal = (principal.ent, principal.data());
    env.action = action;
    env.resource = (resource.ent, data);
    if let Data::Inline(_) = env.resource.1 {
        // Who asks may be what came with the request.
        env.principal.1 = env.data(env.principal.0);
    }
    let types = (linked.type_of(principal), linked.type_of(resource));
    if let (Some(action), (Some(principal), Some(resource))) = (declared, types) {
        env.environment = action.environments.between(principal, resource).and_then(|route| linked.environment(route));
    }
    context::take(linked, request, declared, now, env)
}

/// Whether an entity that comes with a request would be above itself, by way of what the snapshot has under its uid.
fn is_own_ancestor(snapshot: &Snapshot, ent: Ent<'_>, entity: &crate::model::Entity) -> bool {
    let Ent::Slot(own) = ent else { return entity.parents().contains(entity.uid()) };
    let above = |slot: u32| slot == own || snapshot.record(slot).is_some_and(|r| r.ancestors().contains(&own));
    entity.parents().iter().filter_map(|uid| snapshot.find(uid)).any(above)
}

/// Puts the request to all policies that can apply. `Err` is for a request that cannot be asked at all.
fn evaluate<'e>(
    linked: &'e Linked,
    request: &Request,
    env: &'e Env<'e>,
    decision: &mut Decision,
) -> Result<(), DecisionError> {
    let program = linked.program();
    let environment = env.environment.unwrap_or(&program.anything);
    let mut tally = Tally { forbidden: false, decision };
    let mut rules = &*environment.rules;
    let roots = [env.principal, env.resource].map(|(ent, _)| match ent {
        Ent::Slot(slot) => Packed::entity(slot),
        Ent::Foreign(_) => Packed::ABSENT,
    });
    let records = [env.principal, env.resource].map(|(_, data)| match data {
        Data::Stored(record) => Some(record),
        Data::Inline(_) | Data::Missing => None,
    });
    let joined = matches!(env.resource.1, Data::Inline(_));
    // What came with the request has no attributes but declared ones, in strict mode.
    let as_planned = |data: Data<'_>| match data {
        Data::Stored(record) => !record.more,
        Data::Inline(_) => environment.numbered && linked.bundle.mode() == ErrorMode::Strict,
        Data::Missing => true,
    };
    let planned = linked.snapshot.lists_alone() && as_planned(env.principal.1) && as_planned(env.resource.1);
    let sections = if planned { environment.sections.clone() } else { 0..0 };
    let near = [env.principal.1, env.resource.1].map(|data| near(&linked.snapshot, data));
    let looks = Looks::new(linked, roots, near, records, &env.given, joined, env);
    for section in sections.filter_map(|at| program.plans.sections.get(at as usize)) {
        let (own, others) = rules.split_at_checked(section.rules as usize).unwrap_or((rules, &[]));
        match planned::follow(&looks, section) {
            Some((ranks, forbid)) => tally.reached(ranks, forbid),
            None => own.iter().for_each(|rule| tally.put(linked, env, rule)),
        }
        rules = others;
    }
    rules.iter().for_each(|rule| tally.put(linked, env, rule));
    let named = &*linked.named;
    let mut in_order = environment.cedar.is_none();
    if !named.is_empty() {
        let mut put = |slot: u32| {
            in_order = false;
            let rules = named.places.get(&slot).and_then(|number| program.named.get(number));
            rules.into_iter().flatten().for_each(|rule| tally.put(linked, env, rule));
        };
        for root in [env.principal, env.resource] {
            if let Ent::Slot(own) = root.0 {
                if named.slots.has(own) {
                    put(own);
                }
            }
            if !named.groups.0.is_empty() {
                env.for_each_above(root, &mut |slot| {
                    if root.0 != Ent::Slot(*slot) && named.groups.has(*slot) {
                        put(*slot);
                    }
                });
            }
        }
    }
    if let Some(slice) = &environment.cedar {
        let answer = cedar::evaluate(linked, request, env, slice)?;
        answer.matched.iter().for_each(|rank| tally.matched(*rank, answer.forbidden));
        tally.decision.errors.extend(answer.errors);
    }
    tally.decide();
    if !in_order {
        decision.determining.sort_unstable();
        decision.determining.dedup();
    }
    if !decision.errors.is_empty() {
        decision.errors.sort_by(|a, b| a.policy.cmp(&b.policy));
        decision.errors.dedup_by(|a, b| a.policy == b.policy);
    }
    Ok(())
}

/// The first attributes of an entity, as far as they are known.
fn near(snapshot: &Snapshot, data: Data<'_>) -> [Packed; NEAR] {
    match data {
        Data::Stored(record) => *record.near(),
        Data::Missing => [Packed::UNKNOWN; NEAR],
        Data::Inline(entity) => {
            let mut near = [Packed::ABSENT; NEAR];
            let type_id = snapshot.layout().type_id(entity.uid().parts().0).unwrap_or(u32::MAX);
            for (name, value) in entity.attributes() {
                let number = snapshot.layout().attribute(type_id, name);
                if let Some(own) = near.get_mut(usize::from(number)) {
                    *own = context::packed(snapshot, value);
                }
            }
            near
        }
    }
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
                message: Message::Text(fault.to_string()),
            }),
        }
    }

    /// The rules of a section have all been asked, and these hold.
    #[inline(always)]
    fn reached(&mut self, ranks: &[u32], forbid: bool) {
        if forbid && !self.forbidden {
            self.forbidden = true;
            self.decision.determining.clear();
        }
        if forbid == self.forbidden {
            match ranks {
                // Mostly.
                [only] => self.decision.determining.push(*only),
                _ => self.decision.determining.extend_from_slice(ranks),
            }
        }
    }

    /// All policies have been asked.
    #[inline]
    fn decide(self) {
        self.decision.allowed = !self.forbidden && !self.decision.determining.is_empty();
    }

    /// A policy matched. Permits no longer matter once a forbid has.
    fn matched(&mut self, rank: u32, forbid: bool) {
        self.reached(&[rank], forbid);
    }
}

/// Cedar's own answer, for comparing: the same request, prepared the same way, put to all policies.
pub(crate) fn decide_by_cedar(linked: &Linked, request: &Request, now: Now<'_>, decision: &mut Decision) {
    decision.reset(linked.snapshot.revision(), &linked.bundle.inner.names);
    let mut env = Env::new(linked, &request.context);
    let outcome = prepare(linked, request, now, &mut env).and_then(|()| {
        decision.window = env.window;
        let answer = cedar::evaluate(linked, request, &env, linked.bundle.inner.all())?;
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
