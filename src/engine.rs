//! Deciding, as a pure function of bundle, snapshot, request and instant.
//!
//! Cedar's own evaluator stands behind it. It is given the policies whose scope can match the request's types, and the
//! entities that can be reached from the request and from those policies: what it cannot reach it cannot read.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::bundle::{Bundle, ErrorMode};
use crate::entities::Snapshot;
use crate::model::{
    Decision, DecisionError, Entity, EntityUid, ErrorCode, Request, Resource, Timestamp, Value, Window,
};

/// Decides one request into `decision`. `now` fills `context.now` where the caller left it out and the schema declares
/// it; a clock that cannot be trusted is the error to answer with.
pub(crate) fn decide(
    bundle: &Bundle,
    snapshot: &Snapshot,
    request: &Request,
    now: &dyn Fn() -> Result<Timestamp, DecisionError>,
    decision: &mut Decision,
) {
    decision.reset(snapshot.revision(), bundle.version_arc());
    let outcome = match bundle.mode() {
        _ if too_deep(request) => {
            let message = format!("a value of the request is nested deeper than {}", Value::DEPTH);
            Err(DecisionError::new(ErrorCode::InvalidRequest, message))
        }
        ErrorMode::Strict => strict(bundle, snapshot, request, now, decision),
        ErrorMode::Cedar => evaluate(bundle, snapshot, request, decision),
    };
    if let Err(error) = outcome {
        decision.determining.clear();
        decision.errors.clear();
        decision.refuse(error);
    }
    decision.determining.sort();
    decision.errors.sort_by(|a, b| (&a.policy, a.code.as_str()).cmp(&(&b.policy, b.code.as_str())));
}

/// Whether a program has built a request deeper than any text is read: what follows would exhaust the stack on it.
fn too_deep(request: &Request) -> bool {
    let resource = matches!(&request.resource, Resource::Inline(entity) if entity.is_too_deep());
    resource || request.context.values().any(Value::is_too_deep)
}

fn strict(
    bundle: &Bundle,
    snapshot: &Snapshot,
    request: &Request,
    now: &dyn Fn() -> Result<Timestamp, DecisionError>,
    decision: &mut Decision,
) -> Result<(), DecisionError> {
    let error = DecisionError::new;
    let exists = |uid: &EntityUid| {
        let types = bundle.inner.types.as_ref();
        snapshot.get(uid).is_some() || types.is_some_and(|t| t.is_listed(uid) || t.actions.contains_key(uid))
    };
    if !exists(&request.principal) {
        let message = format!("principal `{}` is not stored", request.principal);
        return Err(error(ErrorCode::UnknownPrincipal, message));
    }
    match &request.resource {
        Resource::Stored(uid) if !exists(uid) => {
            let message = format!("resource `{uid}` is neither stored nor in the request");
            return Err(error(ErrorCode::UnknownResource, message));
        }
        Resource::Stored(_) => {}
        Resource::Inline(entity) => {
            if exists(entity.uid()) {
                let message = format!("resource `{}` came with the request, and is stored too", entity.uid());
                return Err(error(ErrorCode::InlineConflict, message));
            }
            snapshot
                .check_inline(bundle, entity)
                .map_err(|e| error(ErrorCode::InvalidRequest, format!("resource `{}`: {e}", entity.uid())))?;
        }
    }
    let mut request = Cow::Borrowed(request);
    let wants_now = bundle.inner.types.as_ref().is_some_and(|t| t.wants_now(&request.action));
    if wants_now && !request.context.contains_key("now") {
        request.to_mut().context.insert("now".into(), Value::Datetime(now()?));
    }
    decision.window = clamp(bundle, snapshot, &mut request)?;
    let outcome = evaluate(bundle, snapshot, &request, decision);
    let forbid_failed = decision
        .errors
        .iter()
        .any(|e| e.policy().and_then(|id| bundle.policy(id)).is_none_or(crate::bundle::Policy::is_forbid));
    if forbid_failed {
        if decision.allowed {
            decision.determining.clear();
        }
        decision.allowed = false;
        decision.indeterminate = true;
    }
    outcome
}

/// Intersects the window of an audit download with the auditor's period, in the request, and gives it back.
fn clamp(
    bundle: &Bundle,
    snapshot: &Snapshot,
    request: &mut Cow<'_, Request>,
) -> Result<Option<Window>, DecisionError> {
    let downloads = ["downloadAuditPackage", "exportSection"];
    let action = &request.action;
    if !bundle.is_grc() || action.type_name() != "Grc::Action" || !downloads.contains(&action.id()) {
        return Ok(None);
    }
    // A window that is missing or of another type is left for the schema to refuse.
    let Some(asked) = request.context.get("window").and_then(window) else {
        return Ok(None);
    };
    let refuse = |message: String| Err(DecisionError::new(ErrorCode::Window, message));
    if asked.from > asked.to {
        return refuse(format!("the window begins at {}, after its end {}", asked.from, asked.to));
    }
    let period = snapshot.get(&request.principal).and_then(|p| p.attribute("period")).and_then(window);
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
    let ends = [("from", effective.from), ("to", effective.to)];
    let value = Value::Record(ends.map(|(name, at)| (name.to_owned(), Value::Datetime(at))).into());
    request.to_mut().context.insert("window".into(), value);
    Ok(Some(effective))
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

/// Asks Cedar. Errors of policies are written into `decision`; `Err` is for a request that cannot be asked at all.
fn evaluate(
    bundle: &Bundle,
    snapshot: &Snapshot,
    request: &Request,
    decision: &mut Decision,
) -> Result<(), DecisionError> {
    let invalid =
        |e: &dyn std::fmt::Display| DecisionError::new(ErrorCode::InvalidRequest, e.to_string().replace('\n', " "));
    let context = request.context.iter().map(|(name, value)| Ok((name.clone(), value.to_cedar()?)));
    let context = context.collect::<Result<Vec<_>, crate::UidError>>().map_err(|e| invalid(&e))?;
    let context = cedar_policy::Context::from_pairs(context).map_err(|e| invalid(&e))?;
    let schema = match bundle.mode() {
        ErrorMode::Strict => bundle.inner.schema.as_ref(),
        ErrorMode::Cedar => None,
    };
    let uid = |uid: &EntityUid| uid.to_cedar().map_err(|e| invalid(&e));
    let asked = cedar_policy::Request::new(
        uid(&request.principal)?,
        uid(&request.action)?,
        uid(request.resource.uid())?,
        context,
        schema,
    )
    .map_err(|e| invalid(&e))?;
    let slice = bundle.slice(&request.principal, &request.action, request.resource.uid());
    let entities = reachable(bundle, snapshot, request, &slice.literals).map_err(|e| invalid(&e))?;
    let response = cedar_policy::Authorizer::new().is_authorized(&asked, &slice.policies, &entities);
    decision.allowed = response.decision() == cedar_policy::Decision::Allow;
    let name = |id: &cedar_policy::PolicyId| {
        let id: &str = id.as_ref();
        bundle.inner.policy_id(id).unwrap_or_else(|| id.into())
    };
    decision.determining.extend(response.diagnostics().reason().map(name));
    for error in response.diagnostics().errors() {
        let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
        decision.errors.push(DecisionError {
            policy: Some(name(error.policy_id())),
            code: ErrorCode::Evaluation,
            message: crate::model::clip(error.inner().to_string().replace('\n', " ")),
        });
    }
    Ok(())
}

/// The entities that evaluating can read: those of the request, those the policies name, and what these refer to.
fn reachable(
    bundle: &Bundle,
    snapshot: &Snapshot,
    request: &Request,
    literals: &[EntityUid],
) -> Result<cedar_policy::Entities, String> {
    let mut found: Vec<cedar_policy::Entity> = Vec::with_capacity(8);
    let mut seen: HashSet<&EntityUid> = HashSet::new();
    let mut open: Vec<&EntityUid> = vec![&request.principal, &request.action, request.resource.uid()];
    open.extend(literals);
    request.context.values().for_each(|value| value.for_each_entity(&mut |uid| open.push(uid)));
    while let Some(uid) = open.pop() {
        if !seen.insert(uid) {
            continue;
        }
        let entity: &Entity = match (&request.resource, bundle.inner.actions.get(uid)) {
            (_, Some(action)) => {
                // Its groups are in it already: the schema's actions carry all their ancestors.
                found.push(action.clone());
                continue;
            }
            (Resource::Inline(entity), _) if entity.uid() == uid => {
                found.push(entity.to_cedar()?);
                entity
            }
            _ => match snapshot.stored(uid) {
                Some(stored) => {
                    // An entity that Cedar cannot hold must not count as missing: a forbid could be skipped for it.
                    let cedar = stored.cedar().ok_or_else(|| format!("`{uid}` cannot be evaluated"))?;
                    found.push(cedar.clone());
                    &stored.entity
                }
                None => continue,
            },
        };
        entity.for_each_reference(|uid| open.push(uid));
        open.extend(entity.parents());
    }
    cedar_policy::Entities::from_entities(found, None).map_err(|e| e.to_string())
}
