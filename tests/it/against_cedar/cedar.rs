//! What Cedar itself answers, from texts and entities that only Cedar has read.

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityUid, EvaluationError, PolicyId,
    PolicySet, Request, RestrictedExpression as Value, SlotId,
};
use serde_json::Value as Json;

use super::policies::Policies;
use super::schemas::Schema;
use super::world::{Asked, Entity as Made};

/// A decision, with ids of policies in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub allowed: bool,
    pub determining: Vec<String>,
    /// Which policies had none, and why.
    pub faults: Vec<(String, Fault)>,
}

/// Why a policy has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    MissingEntity,
    MissingAttribute,
    UnknownTag,
    WrongType,
    Overflow,
    Extension,
}

impl Fault {
    pub const ALL: [Fault; 6] = [
        Fault::MissingEntity,
        Fault::MissingAttribute,
        Fault::UnknownTag,
        Fault::WrongType,
        Fault::Overflow,
        Fault::Extension,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Fault::MissingEntity => "missing entity",
            Fault::MissingAttribute => "missing attribute",
            Fault::UnknownTag => "unknown tag",
            Fault::WrongType => "wrong type",
            Fault::Overflow => "overflow",
            Fault::Extension => "extension error",
        }
    }

    fn of(error: &EvaluationError) -> Self {
        match error {
            EvaluationError::EntityDoesNotExist(_) => Fault::MissingEntity,
            EvaluationError::EntityAttrDoesNotExist(e) if e.to_string().contains("does not have the tag") => {
                Fault::UnknownTag
            }
            EvaluationError::EntityAttrDoesNotExist(_) | EvaluationError::RecordAttrDoesNotExist(_) => {
                Fault::MissingAttribute
            }
            EvaluationError::TypeError(_) => Fault::WrongType,
            EvaluationError::IntegerOverflow(_) => Fault::Overflow,
            EvaluationError::FailedExtensionFunctionExecution(_) => Fault::Extension,
            other => panic!("{other:?}"),
        }
    }
}

/// One bundle's policies, as Cedar reads them.
pub struct Judge<'a> {
    schema: &'a Schema,
    declared: bool,
    policies: PolicySet,
    authorizer: Authorizer,
}

impl<'a> Judge<'a> {
    pub fn new(schema: &'a Schema, declared: bool, policies: &Policies) -> Self {
        let mut set: PolicySet = policies.text.parse().unwrap_or_else(|e| panic!("{e:?}\n{}", policies.text));
        for link in &policies.links {
            let slots = [(SlotId::principal(), link.principal), (SlotId::resource(), link.resource)];
            let slots = slots.into_iter().filter_map(|(slot, at)| Some((slot, schema.uids[at?].cedar.clone())));
            set.link(PolicyId::new(&link.template), PolicyId::new(&link.id), slots.collect()).expect("a template");
        }
        Self { schema, declared, policies: set, authorizer: Authorizer::new() }
    }

    /// The stored entities, with the one that comes with a request; none where that is stored too, or they belong to one
    /// another in a circle.
    pub fn entities(&self, stored: &[Entity], inline: Option<&Entity>) -> Option<Entities> {
        if inline.is_some_and(|inline| stored.iter().any(|e| e.uid() == inline.uid())) {
            return None;
        }
        let actions = self.declared.then(|| self.schema.cedar.action_entities().expect("actions"));
        Entities::from_entities(stored.iter().chain(inline).cloned().chain(actions.into_iter().flatten()), None).ok()
    }

    pub fn entity(&self, made: &Made) -> Entity {
        let uid = |at: usize| self.schema.uids[at].cedar.clone();
        let (attributes, tags) = (self.fields(&made.json["attrs"]), self.fields(&made.json["tags"]));
        let parents = made.parents.iter().map(|at| uid(*at));
        Entity::new_with_tags(uid(made.at), attributes, parents, tags).expect("values")
    }

    fn fields(&self, json: &Json) -> Vec<(String, Value)> {
        json.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), self.value(value))).collect()
    }

    /// The value that Cedar reads a JSON text as, which it does too slowly for millions of them.
    fn value(&self, json: &Json) -> Value {
        let text = |json: &Json| json.as_str().expect("a text").to_owned();
        match json {
            Json::Bool(b) => Value::new_bool(*b),
            Json::Number(n) => Value::new_long(n.as_i64().expect("a number")),
            Json::String(text) => Value::new_string(text.clone()),
            Json::Array(items) => Value::new_set(items.iter().map(|item| self.value(item))),
            _ => match (json.get("__entity"), json.get("__extn")) {
                (Some(uid), _) => Value::new_entity_uid(self.uid(uid)),
                (_, Some(call)) => {
                    let of = match call["fn"].as_str() {
                        Some("datetime") => Value::new_datetime,
                        Some("duration") => Value::new_duration,
                        Some("decimal") => Value::new_decimal,
                        _ => Value::new_ip,
                    };
                    of(text(&call["arg"]))
                }
                _ => Value::new_record(self.fields(json)).expect("a record"),
            },
        }
    }

    fn uid(&self, json: &Json) -> EntityUid {
        let found = self.schema.uids.iter().find(|uid| json["id"] == *uid.id && json["type"] == *uid.of);
        found.expect("one of them").cedar.clone()
    }

    pub fn decide(&self, asked: &Asked, entities: &Entities) -> Answer {
        let uid = |at: usize| self.schema.uids[at].cedar.clone();
        let id = |id: &PolicyId| AsRef::<str>::as_ref(id).to_owned();
        let context = Context::from_pairs(self.fields(&asked.context)).expect("a context");
        let (principal, action, resource) = (uid(asked.principal), uid(asked.action), uid(asked.resource));
        let request = Request::new(principal, action, resource, context, None).expect("a request");
        let response = self.authorizer.is_authorized(&request, &self.policies, entities);
        let mut determining: Vec<String> = response.diagnostics().reason().map(id).collect();
        determining.sort();
        let faults = response.diagnostics().errors().map(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            (id(error.policy_id()), Fault::of(error.inner()))
        });
        let mut faults: Vec<_> = faults.collect();
        faults.sort();
        Answer { allowed: response.decision() == Decision::Allow, determining, faults }
    }
}
