//! What comes with a request: checked against the schema, filled in where the library does, and numbered.

use std::collections::BTreeMap;

use super::env::{Data, Env};
use super::{Linked, Now};
use crate::bundle::program::{Action, GIVEN};
use crate::bundle::types::{Type, Types};
use crate::bundle::ErrorMode;
use crate::entities::record::{Held, Packed, Record};
use crate::entities::Snapshot;
use crate::model::{Context, DecisionError, ErrorCode, Refused, Request, Resource, Timestamp, Value, Window};

/// What a look at a whole context tells.
pub(super) struct Seen {
    /// By the numbers of the action's attributes.
    pub(super) given: [Packed; GIVEN],
    /// How many attributes are required and not there.
    missing: u32,
    /// Whether those that are there are declared, and of their types.
    fits: bool,
}

impl Seen {
    /// What is seen of no context.
    #[inline]
    pub(super) fn nothing(action: &Action) -> Self {
        Self { given: [Packed::ABSENT; GIVEN], missing: action.required, fits: true }
    }

    /// Looks at a context.
    #[inline(always)]
    pub(super) fn see(&mut self, snapshot: &Snapshot, types: Option<&Types>, context: &Context, action: &Action) {
        'attributes: for (name, value) in context.attributes() {
            let mut place = 0;
            let field = loop {
                match action.given.get(place) {
                    Some(field) if field.name == *name => break field,
                    Some(_) => place += 1,
                    None => {
                        self.fits = false;
                        continue 'attributes;
                    }
                }
            };
            self.missing -= u32::from(field.required);
            let (given, fits) = match (value, &field.of) {
                // Mostly it is `now`.
                (Value::Datetime(at), Type::Datetime) => (Packed::datetime(at.millis()), at.is_in_range()),
                _ => look(snapshot, types, value, &field.of),
            };
            self.fits &= fits;
            self.put(place, given);
        }
    }

    fn put(&mut self, place: usize, given: Packed) {
        self.given.get_mut(place).into_iter().for_each(|own| *own = given);
    }

    /// Fills in `now`, where the schema declares it and the caller left it out, and gives it.
    #[inline(always)]
    pub(super) fn fill(
        &mut self,
        context: &Context,
        action: &Action,
        now: Now<'_>,
    ) -> Result<Option<Timestamp>, DecisionError> {
        match action.now {
            Some((place, required)) if self.is_left_out(place, context) => self.fill_in(place, required, now).map(Some),
            _ => Ok(None),
        }
    }

    #[inline]
    fn is_left_out(&self, place: usize, context: &Context) -> bool {
        match self.given.get(place) {
            Some(given) => given.is_absent(),
            None => context.get("now").is_none(),
        }
    }

    #[inline(never)]
    fn fill_in(&mut self, place: usize, required: bool, now: Now<'_>) -> Result<Timestamp, DecisionError> {
        let now = now()?;
        self.missing -= u32::from(required);
        self.put(place, Packed::datetime(now.millis()));
        Ok(now)
    }

    /// Whether it is as the schema says.
    #[inline]
    pub(super) fn is_declared(&self) -> bool {
        self.fits && self.missing == 0
    }
}

/// Puts what comes with the request into `env`, and in strict mode refuses what does not fit the schema.
pub(super) fn take<'a>(
    linked: &Linked,
    request: &'a Request,
    action: Option<&Action>,
    now: Now<'_>,
    env: &mut Env<'a>,
) -> Result<(), DecisionError> {
    let strict = linked.bundle.mode() == ErrorMode::Strict;
    let types = linked.bundle.inner.types.as_deref().filter(|_| strict);
    let Some(action) = action else {
        return types.map_or(Ok(()), |_| Err(misfit(linked, request, None, env)));
    };
    let mut seen = Seen::nothing(action);
    seen.see(env.snapshot, types, &request.context, action);
    if strict {
        env.now = seen.fill(&request.context, action, now)?;
        if action.clamps {
            env.window = clamp(env.snapshot, request, env.principal.1)?;
        }
    }
    env.given = seen.given;
    match types {
        Some(_) if !seen.is_declared() || env.environment.is_none() => Err(misfit(linked, request, Some(action), env)),
        _ => Ok(()),
    }
}

impl<'a> Env<'a> {
    /// The context, with what the library has set in it.
    pub(super) fn completed(&self) -> BTreeMap<String, Value> {
        let mut context = self.context.to_map();
        if let Some(now) = self.now {
            context.insert("now".into(), Value::Datetime(now));
        }
        if let Some(window) = self.window {
            let ends = [("from", window.from), ("to", window.to)];
            let ends = ends.map(|(name, at)| (name.to_owned(), Value::Datetime(at)));
            context.insert("window".into(), Value::Record(ends.into()));
        }
        context
    }
}

/// What a look at an attribute of the context tells, and whether it is of its type.
#[inline(never)]
fn look(snapshot: &Snapshot, types: Option<&Types>, value: &Value, of: &Type) -> (Packed, bool) {
    let given = packed(snapshot, value);
    let fits = match (value, given.slot(), of) {
        // What the schema lists is found faster by its slot.
        (Value::Entity(uid), Some(slot), Type::Entity(name)) if snapshot.is_fixed(slot) => uid.parts().0 == name,
        _ => types.is_none_or(|types| types.fits(value, of)),
    };
    (given, fits)
}

/// What a look at a value tells.
pub(super) fn packed(snapshot: &Snapshot, value: &Value) -> Packed {
    match value {
        Value::Bool(b) => Packed::bool(*b),
        Value::Long(n) => Packed::long(*n),
        Value::Datetime(at) => Packed::datetime(at.millis()),
        Value::Entity(uid) => snapshot.find(uid).map_or(Packed::OTHER, Packed::entity),
        _ => Packed::OTHER,
    }
}

/// Why the request does not fit the schema.
#[cold]
fn misfit(linked: &Linked, request: &Request, action: Option<&Action>, env: &Env<'_>) -> DecisionError {
    let invalid = |message: String| DecisionError::new(ErrorCode::InvalidRequest, message);
    let Some(action) = action else {
        return invalid(format!("`{}` is not an action of the schema", request.action()));
    };
    if env.environment.is_none() {
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
    if let Err(error) = shallow(request) {
        return error;
    }
    let mut misfits = Vec::new();
    if let Some(types) = linked.bundle.inner.types.as_deref() {
        types.check_record(&request.context.to_map(), &action.context, "", &mut misfits);
    }
    misfits.retain(|m| env.now.is_none() || m.path != "now");
    let first = misfits.first().map_or_else(|| "it does not fit the schema".to_owned(), ToString::to_string);
    invalid(format!("`context`: {first}"))
}

/// Refuses a request that a program has built deeper than any text is read: what follows would exhaust the stack on it.
pub(super) fn shallow(request: &Request) -> Result<(), DecisionError> {
    let resource = matches!(request.resource(), Resource::Inline(entity) if entity.is_too_deep());
    if resource || request.context.iter().any(|(_, value)| value.is_too_deep()) {
        let message = format!("a value of the request is nested deeper than {}", Value::DEPTH);
        return Err(DecisionError::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// Intersects the window of an audit download with the auditor's period, and gives the effective one.
pub(super) fn clamp(
    snapshot: &Snapshot,
    request: &Request,
    auditor: Data<'_>,
) -> Result<Option<Window>, DecisionError> {
    // A window that is missing or of another type is left for the schema to refuse.
    let Some(asked) = request.context.get("window").and_then(window) else {
        return Ok(None);
    };
    let refuse = |why, window| Err(DecisionError::refused(why, window));
    if asked.from > asked.to {
        return refuse(Refused::WindowReversed, asked);
    }
    let period = match auditor {
        Data::Stored(auditor) => match attribute(snapshot, auditor, "period") {
            Some(Held::Other(value)) => window(value),
            _ => None,
        },
        _ => None,
    };
    let effective = match period {
        None => asked,
        Some(period) if period.from > period.to => return refuse(Refused::PeriodReversed, period),
        Some(period) => Window { from: asked.from.max(period.from), to: asked.to.min(period.to) },
    };
    if effective.from > effective.to {
        return refuse(Refused::OutsidePeriod, asked);
    }
    Ok(Some(effective))
}

fn attribute<'a>(snapshot: &Snapshot, record: &'a Record, name: &str) -> Option<Held<'a>> {
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
