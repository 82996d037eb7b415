//! Policies → [`Program`]: which rules each environment has, and who is named where. What is not understood is left to
//! Cedar, policy by policy.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use cedar_policy::pst;

use super::layout::{Layout, NUMBERED};
use super::load::scope_can_match;
use super::lower::{Known, Lowering, Mention, Shared};
use super::plan::{Plan, Schema, Section};
use super::program::{Action, Between, Cond, Environment, Given, Program, Root, Route, Rule, GIVEN};
use super::types::{ActionType, EntityType, Field, Type, Types};
use super::Slice;
use crate::engine::bugs::Bug;
use crate::model::{EntityUid, Word};

/// Most trees that are made for single environments; beyond, policies are compiled once, for all environments.
const SPECIAL: usize = 200_000;

/// A policy in the form it is compiled from.
struct Source {
    rank: u32,
    body: pst::Template,
}

/// Compiles `policies`, each with its rank. `slice` makes a set of some of them, by their places, for Cedar.
pub(crate) fn compile(
    types: Option<&Types>,
    layout: &Layout,
    policies: &[(u32, &cedar_policy::Policy)],
    slice: &dyn Fn(&[usize]) -> Arc<Slice>,
) -> Program {
    let mut program = Program::default();
    // No plan begins with the first.
    program.plans.sections.push(Section::default());
    let mut shared = Shared::default();
    // Every policy once, for any request, with the principal and resource that it names.
    let mut all: Vec<(Vec<Mention>, Source, Arc<Cond>)> = Vec::new();
    let mut uncovered: Vec<usize> = Vec::new();
    // How many policies name each.
    let mut times: HashMap<u32, u32> = HashMap::new();
    for (place, (rank, policy)) in policies.iter().enumerate() {
        let Some(source) = read(*rank, policy) else {
            uncovered.push(place);
            continue;
        };
        let mut lowering = Lowering { layout, known: None, shared: &mut shared };
        let Ok(condition) = lowering.policy(&source.body) else {
            uncovered.push(place);
            continue;
        };
        program.covered += 1;
        let condition = Arc::new(condition);
        let names = lowering.named(&source.body);
        names.iter().for_each(|mention| *times.entry(mention.number).or_default() += 1);
        all.push((names, source, condition));
    }
    let mut general = Vec::new();
    for (names, source, condition) in all {
        // Found by the rarer name: few are asked about somebody who is named often.
        match names.into_iter().min_by_key(|mention| times.get(&mention.number).copied().unwrap_or(0)) {
            Some(Mention { number: rarest, group }) => {
                program.groups.extend(group.then_some(rarest));
                program.named.entry(rarest).or_default().push(rule(&source, condition));
            }
            None => general.push((source, condition)),
        }
    }
    // Links come after all other policies. What determines a decision is told in the order of ids.
    general.sort_by_key(|(source, _)| source.rank);
    let cedar = |places: Vec<usize>| (!places.is_empty()).then(|| slice(&places));
    program.anything = Environment {
        rules: general.iter().map(|(source, condition)| rule(source, Arc::clone(condition))).collect(),
        sections: 0..0,
        cedar: cedar(uncovered.clone()),
        numbered: false,
    };
    let mut room = SPECIAL;
    // Environments without policies for Cedar, by the ranks of their rules.
    let mut alike: HashMap<Vec<u32>, Vec<usize>> = HashMap::new();
    let mut contexts: Vec<Arc<[Given]>> = Vec::new();
    let mut plans: Vec<Plan> = Vec::new();
    for (types, uid, of) in types.iter().flat_map(|t| t.actions.iter().map(move |(uid, of)| (*t, uid, of))) {
        let Some(number) = layout.fixed_id(uid) else { continue };
        let mut groups = if Bug::NoActionGroups.is_in() { BTreeSet::new() } else { of.ancestors.clone() };
        groups.insert(uid.clone());
        let numbers =
            |names: &[String]| -> Vec<u32> { names.iter().filter_map(|n| layout.type_id(&n.into())).collect() };
        let (principals, resources) = (numbers(&of.principals), numbers(&of.resources));
        let mut routes = Vec::new();
        for principal in &principals {
            for resource in &resources {
                let known = Known { principal: *principal, action: uid, groups: &groups, resource: *resource };
                let mut lowering = Lowering { layout, known: Some(known), shared: &mut shared };
                let mut rules = Vec::new();
                for (source, generic) in &general {
                    if !lowering.can_match(&source.body) {
                        continue;
                    }
                    let special = if room > 0 { lowering.policy(&source.body).ok() } else { None };
                    room = room.saturating_sub(1);
                    match special {
                        // INVARIANT: a policy that can only be false does not matter; one that can fail does.
                        Some(Cond::Always(false)) => {}
                        Some(condition) => rules.push(rule(source, Arc::new(condition))),
                        None => rules.push(rule(source, Arc::clone(generic))),
                    }
                }
                rules.sort_by_key(|r| r.rank);
                let left: Vec<usize> =
                    uncovered.iter().copied().filter(|p| may_match(policies, *p, known, layout)).collect();
                let field = |root, number| {
                    let of = match root {
                        Root::Principal => *principal,
                        Root::Resource => *resource,
                    };
                    field(types, layout, of, number)
                };
                let required = |root, number| field(root, number).is_some_and(|field| field.required);
                let listed = |root, number| match &field(root, number)?.of {
                    Type::Entity(name) => layout.listed(name),
                    _ => None,
                };
                let given = |name: &Word| of.context.fields.keys().take(GIVEN).position(|own| **own == **name);
                let plan = Plan::new(&rules, &Schema { listed: &listed, required: &required, given: &given });
                let numbered = [*principal, *resource].iter().all(|of| layout.attributes(*of).len() <= NUMBERED);
                let place = match alike.entry(rules.iter().map(|rule| rule.rank).collect()).or_default() {
                    same if left.is_empty() => {
                        let is_same = |at: &&usize| {
                            let own = program.environments.get(**at).zip(plans.get(**at));
                            own.is_some_and(|(own, planned)| own.is(&rules, numbered) && *planned == plan)
                        };
                        let known = same.iter().find(is_same).copied();
                        same.extend(known.is_none().then_some(program.environments.len()));
                        known
                    }
                    _ => None,
                };
                let place = place.unwrap_or_else(|| {
                    // Where there is no room for a plan, there is none.
                    let sections = program.plans.put(&plan).unwrap_or(0..0);
                    program.environments.push(Environment { rules, sections, cedar: cedar(left), numbered });
                    plans.push(plan);
                    program.environments.len() - 1
                });
                let section = program.environments.get(place).zip(plans.get(place)).and_then(|(own, plan)| {
                    let is_all = own.cedar.is_none() && plan.rules() == own.rules.len() && !own.sections.is_empty();
                    NonZeroU32::new(own.sections.start).filter(|_| is_all)
                });
                // A number that does not fit is that of no environment.
                routes.push(Route::new(*principal, *resource, u32::try_from(place).unwrap_or(u32::MAX), section));
            }
        }
        if program.actions.len() <= number as usize {
            program.actions.resize_with(number as usize + 1, || None);
        }
        if let Some(place) = program.actions.get_mut(number as usize) {
            let environments = Between::new(&routes);
            *place = Some(Box::new(action(types, uid, of, (principals, resources), environments, &mut contexts)));
        }
    }
    program.literals = shared.literals;
    program
}

impl Environment {
    fn is(&self, rules: &[Rule], numbered: bool) -> bool {
        self.cedar.is_none() && *self.rules == *rules && self.numbered == numbered
    }
}

fn rule(source: &Source, condition: Arc<Cond>) -> Rule {
    Rule { rank: source.rank, forbid: source.body.effect == pst::Effect::Forbid, condition }
}

fn action(
    types: &Types,
    uid: &EntityUid,
    of: &ActionType,
    (principals, resources): (Vec<u32>, Vec<u32>),
    environments: Between,
    contexts: &mut Vec<Arc<[Given]>>,
) -> Action {
    let downloads = ["downloadAuditPackage", "exportSection"];
    let field =
        |(name, field): (&String, &Field)| Given { name: name.into(), of: field.of.clone(), required: field.required };
    let given: Vec<Given> = of.context.fields.iter().map(field).collect();
    // Most actions have the same.
    let given = contexts.iter().find(|own| ***own == *given).cloned().unwrap_or_else(|| {
        contexts.push(given.into());
        contexts.last().cloned().unwrap_or_else(|| Arc::new([]))
    });
    let now = given.iter().enumerate().find(|(_, field)| *field.name == *"now");
    Action {
        environments,
        principals,
        resources,
        now: now.filter(|_| types.wants_now(uid)).map(|(place, field)| (place, field.required)),
        required: u32::try_from(given.iter().filter(|field| field.required).count()).unwrap_or(u32::MAX),
        given,
        clamps: uid.type_name() == "Grc::Action" && downloads.contains(&uid.id()),
        context: of.context.clone(),
    }
}

/// What the schema says of the attribute of a type with this number.
fn field<'t>(types: &'t Types, layout: &Layout, type_id: u32, number: u16) -> Option<&'t Field> {
    let name = layout.attributes(type_id).get(usize::from(number))?;
    match types.entities.get(&**layout.type_name(type_id)?)? {
        EntityType::Stored { attributes, .. } => attributes.fields.get(&**name),
        EntityType::Enum(_) => None,
    }
}

/// The policy, with the values of its slots where it was linked from a template.
fn read(rank: u32, policy: &cedar_policy::Policy) -> Option<Source> {
    let body = match policy.to_pst().ok()? {
        pst::Policy::Static(policy) => policy.body().clone(),
        pst::Policy::Linked(policy) => policy.into_static_policy().ok()?.body().clone(),
    };
    Some(Source { rank, body })
}

/// Whether Cedar must be asked about a policy that is not compiled.
fn may_match(policies: &[(u32, &cedar_policy::Policy)], place: usize, known: Known<'_>, layout: &Layout) -> bool {
    let name = |type_id| layout.type_name(type_id).map(|n| n.to_string()).unwrap_or_default();
    policies
        .get(place)
        .is_none_or(|(_, policy)| scope_can_match(policy, &name(known.principal), known.groups, &name(known.resource)))
}
