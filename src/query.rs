//! Questions beyond yes and no: what may this principal do here, who can do this, which resources can it reach, and why.
//!
//! Every answer is what asking one request after the other would give, on one state and at one instant. It is whole or
//! an error: where a single decision cannot be trusted, nobody is left out silently.

use std::cell::OnceCell;
use std::sync::OnceLock;

use crate::authorizer::Authorizer;
use crate::bundle::types::Types;
use crate::bundle::Bundle;
use crate::engine::{self, Linked, Now};
use crate::entities::{request_from_parts, Part};
use crate::model::{
    grc, Context, Decision, DecisionError, EntityUid, ErrorCode, Explanation, Handle, Json, Request, RequestError,
    Resource, Timestamp, Value,
};

/// Which part of an answer is wanted: those after a uid, in the order of type and id, and how many at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    after: Option<EntityUid>,
    most: usize,
}

impl Page {
    /// All of it.
    pub fn all() -> Self {
        Self::first(usize::MAX)
    }

    /// The first `most`.
    pub fn first(most: usize) -> Self {
        Self { after: None, most }
    }

    /// The next `most` after `uid`, the last one of the page before.
    pub fn after(uid: EntityUid, most: usize) -> Self {
        Self { after: Some(uid), most }
    }

    fn of(&self, mut found: Vec<EntityUid>) -> Found {
        found.sort_unstable();
        let total = found.len();
        let from = self.after.as_ref().map_or(0, |after| found.partition_point(|uid| uid <= after));
        let uids: Vec<EntityUid> = found.into_iter().skip(from).take(self.most).collect();
        Found { more: from + uids.len() < total, uids, total }
    }
}

/// What a question found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    uids: Vec<EntityUid>,
    total: usize,
    more: bool,
}

impl Found {
    /// The uids of the page, in the order of type and id.
    pub fn uids(&self) -> &[EntityUid] {
        &self.uids
    }

    /// How many there are on all pages.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Whether more come after this page.
    pub fn has_more(&self) -> bool {
        self.more
    }
}

/// The actions a principal may do on a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedActions {
    allowed: Vec<EntityUid>,
    undecided: Vec<EntityUid>,
}

impl AllowedActions {
    /// Those that are allowed, in the order of their ids.
    pub fn allowed(&self) -> &[EntityUid] {
        &self.allowed
    }

    /// Those that need more context than was given, such as the role to be granted.
    pub fn undecided(&self) -> &[EntityUid] {
        &self.undecided
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .error.message())]
pub struct QueryError {
    error: DecisionError,
    on: Option<EntityUid>,
}

impl QueryError {
    /// The error that made a decision untrustworthy, as the decision would tell it.
    pub fn error(&self) -> &DecisionError {
        &self.error
    }

    /// The principal or resource it was met on, where it was one among many.
    pub fn on(&self) -> Option<&EntityUid> {
        self.on.as_ref()
    }
}

/// Reads a context that is not of one action: each attribute as the first action that declares it has it, in the order
/// of their ids.
///
/// # Errors
/// When it is no object, or an attribute cannot be read.
pub fn context_from_tree(bundle: &Bundle, context: &Json) -> Result<Context, RequestError> {
    let Json::Object(fields) = context else {
        return Err(RequestError::new(format!("`context`: expected an object, found {}", context.kind())));
    };
    let nothing = EntityUid::unchecked("Nothing", "");
    let types = bundle.inner.types.as_deref();
    let mut out = Context::default();
    for field in fields {
        let declares = |types: &Types| {
            let mut actions = types.actions.iter();
            actions.find(|(_, of)| of.context.fields.contains_key(&field.0)).map(|(uid, _)| uid.clone())
        };
        let action = types.and_then(declares).unwrap_or_else(|| nothing.clone());
        let (one, part) = (Json::Object(vec![field.clone()]), || Part::Uid(&nothing));
        let read = request_from_parts(bundle, part(), Part::Uid(&action), part(), Some(&one))?.context;
        read.iter().for_each(|(name, value)| out.set(name, value.clone()));
    }
    Ok(out)
}

fn request(principal: Handle, action: &EntityUid, resource: Resource, context: &Context) -> Request {
    Request::new(principal, action.clone(), resource).with_context(context.clone())
}

/// Decides, and gives an error where the decision is not to be trusted.
fn decide(linked: &Linked, request: &Request, now: Now<'_>, decision: &mut Decision) -> Result<bool, DecisionError> {
    engine::decide(linked, request, now, decision);
    let unknown = || DecisionError::new(ErrorCode::Evaluation, "a decision is indeterminate");
    match decision.indeterminate() {
        true => Err(decision.errors().next().cloned().unwrap_or_else(unknown)),
        false => Ok(decision.allowed()),
    }
}

impl Authorizer {
    /// All actions that `principal` may do on `resource`: for the buttons of a page.
    ///
    /// Each action is asked with those attributes of `context` that it declares. One that needs more is neither allowed
    /// nor denied, and is listed apart.
    ///
    /// # Errors
    /// When principal or resource is unknown or another decision cannot be trusted.
    pub fn allowed_actions(
        &self,
        principal: &EntityUid,
        resource: impl Into<Resource>,
        context: &Context,
    ) -> Result<AllowedActions, QueryError> {
        let resource = resource.into();
        self.ask(|linked, now| {
            let mut out = AllowedActions::default();
            let mut decision = Decision::default();
            for (action, needs) in linked.actions_between(principal.type_name(), resource.uid().type_name()) {
                let given: Context = context
                    .iter()
                    .filter(|(name, _)| needs.declares(name))
                    .map(|(name, value)| (name, value.clone()))
                    .collect();
                if needs.missing(&given) {
                    out.undecided.push(action);
                    continue;
                }
                let request = request(linked.resolve(principal), &action, resource.clone(), &given);
                if decide(linked, &request, now, &mut decision).map_err(|error| QueryError { error, on: None })? {
                    out.allowed.push(action);
                }
            }
            if out.allowed.is_empty() && out.undecided.is_empty() {
                // Nothing was asked, so nothing was found to be unknown.
                linked.must_know(principal, &resource).map_err(|error| QueryError { error, on: None })?;
            }
            Ok(out)
        })
    }

    /// All stored principals that may do `action` on `resource`: assignees, approvers, everyone to be notified.
    ///
    /// # Errors
    /// When action or resource is unknown, the context does not fit, or a decision cannot be trusted.
    pub fn who_can(
        &self,
        action: &EntityUid,
        resource: impl Into<Resource>,
        context: &Context,
        page: &Page,
    ) -> Result<Found, QueryError> {
        let nobody = EntityUid::unchecked("Nobody", "");
        let mut request = request(nobody.into(), action, resource.into(), context);
        self.ask(|linked, now| {
            request.set_action(linked.resolve(action));
            if let Resource::Stored(handle) = request.resource() {
                let resource = linked.resolve(handle.uid());
                request.set_resource(resource.into());
            }
            let found = linked.who_can(&request, now).map_err(|(error, on)| QueryError { error, on })?;
            Ok(page.of(found))
        })
    }

    /// All stored resources of a type that `principal` may do `action` on.
    ///
    /// # Errors
    /// When principal, action or type is unknown, the context does not fit, or a decision cannot be trusted.
    pub fn allowed_resources(
        &self,
        principal: &EntityUid,
        action: &EntityUid,
        type_name: &str,
        context: &Context,
        page: &Page,
    ) -> Result<Found, QueryError> {
        let nothing = EntityUid::unchecked(type_name, "");
        let mut request = request(principal.clone().into(), action, nothing.into(), context);
        self.ask(|linked, now| {
            request.set_action(linked.resolve(action));
            request.set_principal(linked.resolve(principal));
            let found = linked.resources(&request, type_name, now).map_err(|(error, on)| QueryError { error, on })?;
            Ok(page.of(found))
        })
    }

    /// Which of some resources, stored or brought along, `principal` may do `action` on: their places in the list.
    ///
    /// # Errors
    /// When a decision cannot be trusted: a resource is unknown or does not fit, say.
    pub fn allowed_among(
        &self,
        principal: &EntityUid,
        action: &EntityUid,
        resources: &[Resource],
        context: &Context,
    ) -> Result<Vec<usize>, QueryError> {
        self.ask(|linked, now| {
            let (principal, action) = (linked.resolve(principal), linked.resolve(action));
            let mut decision = Decision::default();
            let mut out = Vec::new();
            for (place, resource) in resources.iter().enumerate() {
                let mut request = request(principal.clone(), action.uid(), resource.clone(), context);
                request.set_action(action.clone());
                let on = || Some(resource.uid().clone());
                if decide(linked, &request, now, &mut decision).map_err(|error| QueryError { error, on: on() })? {
                    out.push(place);
                }
            }
            Ok(out)
        })
    }

    /// The members that use one of the organization's PSA seats: those of its members, active ones, who may do
    /// `accessPsa` on it. For the built-in model.
    ///
    /// # Errors
    /// As [`Authorizer::who_can`].
    pub fn psa_seats(&self, organization: &EntityUid) -> Result<Found, QueryError> {
        let nobody = EntityUid::unchecked("Nobody", "");
        let request = Request::new(nobody, grc::Action::AccessPsa.uid(), organization.clone());
        self.ask(|linked, now| {
            let mut found = linked.who_can(&request, now).map_err(|(error, on)| QueryError { error, on })?;
            found.retain(|uid| {
                let member = linked.snapshot().get(uid);
                let of = member.as_ref().and_then(|m| m.attribute("organization"));
                of == Some(&Value::Entity(organization.clone()))
            });
            Ok(Page::all().of(found))
        })
    }

    /// What [`Authorizer::is_authorized`] answers, and why: the policies that decided, or those that came nearest, with
    /// the clauses that were not as they had to be and what these saw. On one state and at one instant.
    ///
    /// It takes policies apart, for a person who asks why: milliseconds, where a decision takes less than one. Nothing
    /// is reported to what listens to decisions.
    ///
    /// ```
    /// use bailiwick::{grc, Authorizer};
    /// let authorizer = Authorizer::builder().entities_json(&br#"[
    ///   {"uid": {"type": "Grc::Organization", "id": "acme"}, "attrs": {}, "parents": []},
    ///   {"uid": {"type": "Grc::Member", "id": "eli"}, "parents": [], "attrs": {
    ///     "organization": {"type": "Grc::Organization", "id": "acme"}, "role": {"type": "Grc::Role", "id": "EMPLOYEE"},
    ///     "active": true, "complianceTeam": false, "contributor": false, "clients": []}}
    /// ]"#[..])?.build();
    /// let request = grc::request(grc::member("eli"), grc::Action::ManageBilling, grc::organization("acme"));
    /// let explanation = authorizer.explain(&request);
    /// assert!(!explanation.decision().allowed());
    /// let nearest = explanation.nearest().first().map(|policy| policy.id());
    /// assert_eq!(nearest, Some("roles.manage-organization"));
    /// # Ok::<(), bailiwick::EntityError>(())
    /// ```
    pub fn explain(&self, request: &Request) -> Explanation {
        if let Err(stale) = self.fresh() {
            return engine::explain::refused(&self.state(), stale);
        }
        let state = self.state();
        let instant: OnceLock<Result<Timestamp, DecisionError>> = OnceLock::new();
        engine::explain::explain(&state, request, &|| instant.get_or_init(|| self.now()).clone())
    }

    /// Puts a question to one state at one instant.
    fn ask<T>(&self, question: impl FnOnce(&Linked, Now<'_>) -> Result<T, QueryError>) -> Result<T, QueryError> {
        self.fresh().map_err(|error| QueryError { error, on: None })?;
        let state = self.state();
        let instant: OnceCell<Result<Timestamp, DecisionError>> = OnceCell::new();
        let now = || instant.get_or_init(|| self.now()).clone();
        question(&state, &now)
    }
}
