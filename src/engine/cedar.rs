//! Cedar's own evaluator, for policies that are not compiled, and as the judge of those that are.
//!
//! It is given the entities that can be reached from the request and from the policies: what it cannot reach it cannot
//! read.

use std::collections::{BTreeMap, HashSet};

use super::env::Env;
use super::Linked;
use crate::bundle::{ErrorMode, Slice};
use crate::model::{DecisionError, Entity, EntityUid, ErrorCode, Message, Request, Resource, Value};

/// What some policies say of a request.
pub(super) struct Answer {
    pub(super) allowed: bool,
    /// Whether a forbid matched.
    pub(super) forbidden: bool,
    /// The ranks of the forbids that matched, or else of the permits; ascending.
    pub(super) matched: Vec<u32>,
    pub(super) errors: Vec<DecisionError>,
}

/// Puts the request to the policies of `slice`.
pub(super) fn evaluate(
    linked: &Linked,
    request: &Request,
    env: &Env<'_>,
    slice: &Slice,
) -> Result<Answer, DecisionError> {
    let invalid =
        |e: &dyn std::fmt::Display| DecisionError::new(ErrorCode::InvalidRequest, e.to_string().replace('\n', " "));
    let values = env.completed();
    let context = values.iter().map(|(name, value)| Ok((name.clone(), value.to_cedar()?)));
    let context = context.collect::<Result<Vec<_>, crate::UidError>>().map_err(|e| invalid(&e))?;
    let context = cedar_policy::Context::from_pairs(context).map_err(|e| invalid(&e))?;
    let schema = match linked.bundle().mode() {
        ErrorMode::Strict => linked.bundle().inner.schema.as_ref(),
        ErrorMode::Cedar => None,
    };
    let uid = |uid: &EntityUid| uid.to_cedar().map_err(|e| invalid(&e));
    let asked = cedar_policy::Request::new(
        uid(request.principal())?,
        uid(request.action())?,
        uid(request.resource().uid())?,
        context,
        schema,
    )
    .map_err(|e| invalid(&e))?;
    let entities = reachable(linked, request, &values, &slice.literals).map_err(|e| invalid(&e))?;
    let response = cedar_policy::Authorizer::new().is_authorized(&asked, &slice.policies, &entities);
    let inner = &linked.bundle().inner;
    let rank = |id: &cedar_policy::PolicyId| inner.rank(id.as_ref());
    let mut matched: Vec<u32> = response.diagnostics().reason().filter_map(rank).collect();
    matched.sort_unstable();
    let errors = response.diagnostics().errors().map(|error| {
        let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
        let known = rank(error.policy_id()).and_then(|rank| inner.names.policies.get(rank as usize));
        DecisionError {
            policy: Some(known.cloned().unwrap_or_else(|| AsRef::<str>::as_ref(error.policy_id()).into())),
            code: ErrorCode::Evaluation,
            message: Message::Text(crate::model::clip(error.inner().to_string().replace('\n', " "))),
        }
    });
    let mut errors: Vec<DecisionError> = errors.collect();
    errors.sort_by(|a, b| a.policy.cmp(&b.policy));
    let allowed = response.decision() == cedar_policy::Decision::Allow;
    Ok(Answer { allowed, forbidden: !allowed && !matched.is_empty(), matched, errors })
}

/// The entities that evaluating can read: those of the request, those the policies name, and what these refer to.
fn reachable(
    linked: &Linked,
    request: &Request,
    context: &BTreeMap<String, Value>,
    literals: &[EntityUid],
) -> Result<cedar_policy::Entities, String> {
    let mut found: Vec<cedar_policy::Entity> = Vec::with_capacity(8);
    let mut seen: HashSet<EntityUid> = HashSet::new();
    let mut open = vec![request.principal().clone(), request.action().clone(), request.resource().uid().clone()];
    open.extend(literals.iter().cloned());
    context.values().for_each(|value| value.for_each_entity(&mut |uid| open.push(uid.clone())));
    while let Some(uid) = open.pop() {
        if !seen.insert(uid.clone()) {
            continue;
        }
        if let Some(action) = linked.bundle().inner.actions.get(&uid) {
            // Its groups are in it already: the schema's actions carry all their ancestors.
            found.push(action.clone());
            continue;
        }
        let entity: Entity = match request.resource() {
            Resource::Inline(entity) if *entity.uid() == uid => (**entity).clone(),
            _ => match linked.snapshot().get(&uid) {
                Some(entity) => entity,
                None => continue,
            },
        };
        // An entity that Cedar cannot hold must not count as missing: a forbid could be skipped for it.
        found.push(entity.to_cedar().map_err(|e| format!("`{uid}` cannot be evaluated: {e}"))?);
        entity.for_each_reference(|uid| open.push(uid.clone()));
        open.extend(entity.parents().iter().cloned());
    }
    cedar_policy::Entities::from_entities(found, None).map_err(|e| e.to_string())
}
