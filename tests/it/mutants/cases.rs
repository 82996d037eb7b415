//! What mutants are held against: requests with the judge's answer, and damaged entities.
//!
//! Everything here is decided as Cedar decides, with the entities and the window as they are: the loader's refusals,
//! the clamp and strict mode are further lines of defence, behind which a mutant could hide.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use bailiwick::cedar_policy::{
    Authorizer, Decision as CedarDecision, Entities, Policy, PolicyId, PolicySet, Request as CedarRequest, Schema,
};
use bailiwick::entities::request_from_json;
use bailiwick::{Bundle, Entity, EntityUid, ErrorMode, Request, Snapshot, Value};
use fastrand::Rng;
use serde_json::{json, Value as Json};

use crate::judge::ask::{fits_schema, Action, Group};
use crate::judge::world::{InvitedTo, Kind, Role};
use crate::judge::{self, Ask, Principal, World};

/// A request, and what must come of it.
pub struct Case {
    pub expected: Expected,
    /// The policies that match, a bit each.
    pub matched: u64,
    pub text: String,
    pub action: Action,
    asked: CedarRequest,
    entities: Arc<Entities>,
}

/// What must come of a case.
pub enum Expected {
    /// The judge's answer.
    Allowed(bool),
    /// On damaged entities: no forbid may stumble, and a denial must stay one.
    Guarded { was_allowed: bool },
}

/// What one policy does in a case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Matches,
    DoesNot,
    Stumbles,
}

impl Case {
    /// What a set of one policy does.
    pub fn decide(&self, policy: &PolicySet, is_forbid: bool) -> Outcome {
        let response = Authorizer::new().is_authorized(&self.asked, policy, &self.entities);
        let matches = match is_forbid {
            true => response.diagnostics().reason().next().is_some(),
            false => response.decision() == CedarDecision::Allow,
        };
        let stumbles = response.diagnostics().errors().next().is_some();
        match (stumbles, matches) {
            (true, _) => Outcome::Stumbles,
            (false, true) => Outcome::Matches,
            (false, false) => Outcome::DoesNot,
        }
    }

    /// Whether this is as expected when `matched` policies match, of which `forbids` are forbids.
    pub fn holds(&self, matched: u64, forbids: u64) -> bool {
        let allowed = matched & forbids == 0 && matched & !forbids != 0;
        match self.expected {
            Expected::Allowed(expected) => allowed == expected,
            Expected::Guarded { was_allowed } => was_allowed || !allowed,
        }
    }
}

/// The bundle's permits and its forbids, apart: each tells all that match.
struct Halves {
    permits: PolicySet,
    forbids: PolicySet,
    schema: Schema,
    /// For reading entities below the loader's rules.
    lenient: Bundle,
}

impl Halves {
    fn of(bundle: &Bundle) -> Self {
        let half = |forbids: bool| {
            let policies = bundle.policies().iter().filter(|p| p.is_forbid() == forbids);
            let policies = policies.map(|p| Policy::parse(Some(PolicyId::new(p.id())), p.text()).expect("valid"));
            PolicySet::from_policies(policies).expect("distinct ids")
        };
        let lenient = Bundle::from_sources(bundle.sources().clone(), ErrorMode::Cedar).expect("valid");
        Self { permits: half(false), forbids: half(true), schema: schema(bundle), lenient }
    }

    /// The policies that match; a forbid that stumbles is a fault of the policies.
    fn matched(&self, bundle: &Bundle, entities: &Entities, request: &CedarRequest) -> u64 {
        let mut matched = 0;
        for half in [&self.permits, &self.forbids] {
            let response = Authorizer::new().is_authorized(request, half, entities);
            let errors = response.diagnostics().errors().count();
            assert!(errors == 0 || std::ptr::eq(half, &self.permits), "a forbid stumbles on {request:?}");
            for id in response.diagnostics().reason() {
                matched |= bit(bundle, id.as_ref());
            }
        }
        matched
    }
}

/// The policy's bit.
pub fn bit(bundle: &Bundle, id: &str) -> u64 {
    let at = bundle.policies().iter().position(|p| p.id() == id).expect("a policy of the bundle");
    assert!(at < 64, "more policies than bits");
    1 << at
}

/// All cases; every one holds for the policies as they are.
pub fn cases(bundle: &Bundle) -> Vec<Case> {
    let halves = Halves::of(bundle);
    let mut rng = Rng::with_seed(11);
    let mut cases = Vec::new();
    // The small world: some asks of every sort, and all of auditors, whose boundaries they are; these once more with
    // periods and content turned round.
    let mut small = judge::small_world();
    let asks = judge::all_asks(&small);
    let (mut auditors, others): (Vec<_>, Vec<_>) =
        asks.into_iter().partition(|ask| matches!(ask.principal, Principal::Auditor(_)));
    let mut seen = HashMap::new();
    let some = first(&others, |ask| sort(&small, ask), &mut seen, 2);
    of_world(bundle, &halves, &small, &some, &mut cases);
    rng.shuffle(&mut auditors);
    auditors.truncate(12_000);
    of_world(bundle, &halves, &small, &auditors, &mut cases);
    for asks in [&others, &auditors] {
        damaged(bundle, &halves, &small, &alike(&small, asks), &mut cases);
    }
    judge::generate::unruly(&mut rng, &mut small, 100);
    of_world(bundle, &halves, &small, &auditors, &mut cases);
    // Of very many asks on random worlds, those of a sort that was not met so far.
    for _ in 0..40 {
        let mut world = judge::generate::world(&mut rng);
        judge::generate::unruly(&mut rng, &mut world, 20);
        let asks: Vec<Ask> = (0..3_000).map(|_| judge::generate::ask(&mut rng, &world)).collect();
        of_world(bundle, &halves, &world, &first(&asks, |ask| sort(&world, ask), &mut seen, 1), &mut cases);
    }
    let forbids = bundle.policies().iter().filter(|p| p.is_forbid()).map(|p| bit(bundle, p.id())).sum();
    for case in &cases {
        assert!(case.holds(case.matched, forbids), "not even without a mutation: {}", case.text);
    }
    cases
}

fn role(world: &World, ask: &Ask) -> Option<Role> {
    match ask.principal {
        Principal::Member(i) => Some(world.members[i].role),
        _ => None,
    }
}

/// Whose the resource is: the principal's own organization, a client of it, another; and whether it is on a project.
fn place(world: &World, ask: &Ask) -> (bool, bool, bool) {
    let (own, theirs) = (ask.principal.organization(world), ask.resource.organization(world));
    let client = world.organizations[theirs].parent == Some(own);
    (own == theirs, client, ask.resource.project(world).is_some())
}

/// What distinguishes asks: who, by role and by what else they hold, does what, on what kind of thing, where, with what
/// in the context, and whether they may.
fn sort(world: &World, ask: &Ask) -> impl Hash + Eq {
    let own = ask.principal.organization(world);
    let theirs = ask.resource.organization(world);
    let holds = match ask.principal {
        Principal::Member(i) => {
            let me = &world.members[i];
            let on_project = ask.resource.project(world).is_some_and(|project| me.projects.contains(&project));
            match ask.action.group() {
                // Only the roles matter, of both.
                Group::Team => [false; 4],
                _ => [me.compliance_team, me.contributor, me.clients.contains(&theirs), on_project],
            }
        }
        _ => [false; 4],
    };
    let technician = ask.context.technician.map(|i| &world.members[i]).map(|it| (it.role, it.organization == own));
    let theirs = match ask.resource.kind {
        Kind::Member => Some(world.members[ask.resource.index].role),
        Kind::Invitation => match world.invitations[ask.resource.index].to {
            InvitedTo::Role(role) => Some(role),
            InvitedTo::Project(_) => None,
        },
        _ => None,
    };
    let what = (ask.action, ask.resource.kind, theirs, ask.context.role, technician);
    (ask.principal.kind(), role(world, ask), holds, what, place(world, ask), judge::allowed(world, ask))
}

/// One ask of each broader sort: by what the walls and limits look at.
fn alike(world: &World, asks: &[Ask]) -> Vec<Ask> {
    let sort = |ask: &Ask| {
        let walled = [Role::Owner, Role::Admin, Role::ReadOnly, Role::MspAdmin, Role::MspTechnician];
        let role = role(world, ask).map(|role| walled.contains(&role).then_some(role));
        let action = (ask.action.group() == Group::Team).then_some(ask.action);
        let what = (action, ask.action.group(), ask.action.verb(), ask.resource.kind == Kind::Organization);
        (ask.principal.kind(), role, what, place(world, ask), judge::allowed(world, ask))
    };
    first(asks, sort, &mut HashMap::new(), 1)
}

/// Up to `most` asks of each sort.
fn first<K: Hash + Eq>(asks: &[Ask], sort: impl Fn(&Ask) -> K, seen: &mut HashMap<K, usize>, most: usize) -> Vec<Ask> {
    let fresh = |ask: &&Ask| {
        let count = seen.entry(sort(ask)).or_default();
        *count += 1;
        *count <= most
    };
    asks.iter().filter(fresh).cloned().collect()
}

fn of_world(bundle: &Bundle, halves: &Halves, world: &World, asks: &[Ask], cases: &mut Vec<Case>) {
    let json = judge::entities_json(world);
    let entities =
        Arc::new(Entities::from_json_value(json, Some(&halves.schema)).expect("entities that fit the schema"));
    // What does not fit the schema is no question to the policies.
    for ask in asks.iter().filter(|ask| fits_schema(ask)) {
        let text = judge::request_json(world, ask).to_string();
        let asked = cedar_request(&request_from_json(bundle, &text).expect("a request"));
        cases.push(Case {
            expected: Expected::Allowed(judge::allowed(world, ask)),
            matched: halves.matched(bundle, &entities, &asked),
            asked,
            action: ask.action,
            text,
            entities: Arc::clone(&entities),
        });
    }
}

/// Cases with an attribute or an entity gone that the request names, or a part of its context.
fn damaged(bundle: &Bundle, halves: &Halves, world: &World, asks: &[Ask], cases: &mut Vec<Case>) {
    // Their absence has a meaning of its own.
    const OPTIONAL: [&str; 3] = ["project", "period", "activeUntil"];
    let entities = judge::entities_json(world).to_string();
    let snapshot = Snapshot::from_json(&halves.lenient, entities.as_bytes()).expect("entities");
    let actions = halves.schema.action_entities().expect("actions");
    for ask in asks {
        let text = judge::request_json(world, ask);
        let whole = request_from_json(bundle, &text.to_string()).expect("a request");
        let was_allowed = judge::allowed(world, ask);
        let mut damages: Vec<(String, Snapshot, Request)> = Vec::new();
        for uid in [whole.principal(), whole.resource().uid()] {
            damages.push((format!("without {uid}"), snapshot.damaged(uid, None), whole.clone()));
            let entity = snapshot.get(uid).expect("a stored entity");
            for name in entity.attributes().keys().filter(|name| !OPTIONAL.contains(&name.as_str())) {
                damages.push((format!("without {name} of {uid}"), snapshot.damaged(uid, Some(name)), whole.clone()));
            }
        }
        for (name, _) in whole.context().iter() {
            let mut text = text.clone();
            text["context"].as_object_mut().expect("a context").remove(name);
            let request = request_from_json(bundle, &text.to_string()).expect("a request");
            damages.push((format!("without context.{name}"), snapshot.clone(), request));
        }
        let action = actions.get(&cedar_uid(whole.action())).expect("an action of the schema");
        for (what, snapshot, request) in damages {
            let entities = Entities::from_json_value(around(&snapshot, &request), None).expect("entities");
            let entities = entities.add_entities([action.clone()], None).expect("one action more");
            let asked = cedar_request(&request);
            cases.push(Case {
                expected: Expected::Guarded { was_allowed },
                matched: halves.matched(bundle, &entities, &asked),
                asked,
                action: ask.action,
                entities: Arc::new(entities),
                text: format!("{what}: {text}"),
            });
        }
    }
}

pub fn schema(bundle: &Bundle) -> Schema {
    let text = bundle.sources().schema().expect("a schema").text();
    Schema::from_cedarschema_str(text).expect("a schema").0
}

fn cedar_uid(uid: &EntityUid) -> bailiwick::cedar_policy::EntityUid {
    uid.to_string().parse().expect("a uid that Cedar reads")
}

fn cedar_request(request: &Request) -> CedarRequest {
    let context: Json = request
        .context()
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_json()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let context = bailiwick::cedar_policy::Context::from_json_value(context, None).expect("a context");
    let uids = [request.principal(), request.action(), request.resource().uid()].map(cedar_uid);
    let [principal, action, resource] = uids;
    CedarRequest::new(principal, action, resource, context, None).expect("a request")
}

/// The entities that the request names, and what these refer to, as Cedar's JSON.
fn around(snapshot: &Snapshot, request: &Request) -> Json {
    let mut open: Vec<EntityUid> = vec![request.principal().clone(), request.resource().uid().clone()];
    request.context().iter().for_each(|(_, value)| open.extend(referred(value)));
    let mut seen: HashSet<EntityUid> = HashSet::new();
    let mut out = Vec::new();
    while let Some(uid) = open.pop() {
        let Some(entity) = snapshot.get(&uid) else { continue };
        if seen.insert(uid) {
            out.push(Entity::to_json(&entity));
            open.extend(entity.parents().iter().cloned());
            entity.attributes().values().for_each(|value| open.extend(referred(value)));
        }
    }
    json!(out)
}

fn referred(value: &Value) -> Vec<EntityUid> {
    match value {
        Value::Entity(uid) => vec![uid.clone()],
        Value::Set(items) => items.iter().flat_map(referred).collect(),
        _ => Vec::new(),
    }
}
