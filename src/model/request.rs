//! What is asked: may this principal do this action on this resource?

use std::collections::BTreeMap;

use super::{Entity, EntityUid, UidError, Value, Word};

/// A uid, and where it was found when it was resolved: a request made of handles is decided without looking them up.
///
/// A handle never stands for another entity: one whose entity has gone, or that another authorizer resolved, is looked
/// up by its uid like any other.
#[derive(Clone)]
pub struct Handle {
    uid: EntityUid,
    found: Found,
}

/// Where an entity was found, and as what.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    /// 0 where it was not looked for, or not found.
    generation: u64,
    slot: u32,
}

impl Found {
    pub(crate) fn new(slot: u32, generation: u64) -> Self {
        Self { generation, slot }
    }

    /// The slot, and the generation that what is there must have; none where it was not found.
    #[inline]
    pub(crate) fn place(self) -> Option<(u32, u64)> {
        (self.generation > 0).then_some((self.slot, self.generation))
    }
}

impl Handle {
    pub(crate) fn found(uid: EntityUid, slot: u32, generation: u64) -> Self {
        Self { uid, found: Found::new(slot, generation) }
    }

    /// The uid it stands for.
    pub fn uid(&self) -> &EntityUid {
        &self.uid
    }
}

impl From<EntityUid> for Handle {
    fn from(uid: EntityUid) -> Self {
        Self { uid, found: Found::default() }
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        self.uid == other.uid
    }
}

impl Eq for Handle {}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.uid, f)
    }
}

/// What comes with a question, by attribute: values that are stored nowhere.
///
/// ```
/// use bailiwick::{Context, Value};
/// let context = Context::from([("section", Value::String("controls".into()))]);
/// assert_eq!(context.get("section"), Some(&Value::String("controls".into())));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// By name.
    attributes: Vec<(Word, Value)>,
}

impl Context {
    /// The attribute `name`, if it is there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(own, _)| **own == *name).map(|(_, value)| value)
    }

    /// All attributes, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.attributes.iter().map(|(name, value)| (&**name, value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// Sets the attribute `name`.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        match self.attributes.binary_search_by(|(own, _)| (**own).cmp(name)) {
            Ok(at) => {
                if let Some(own) = self.attributes.get_mut(at) {
                    own.1 = value;
                }
            }
            Err(at) => self.attributes.insert(at, (name.into(), value)),
        }
    }

    #[inline]
    pub(crate) fn attributes(&self) -> &[(Word, Value)] {
        &self.attributes
    }

    pub(crate) fn to_map(&self) -> BTreeMap<String, Value> {
        self.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }
}

impl<N: AsRef<str>> FromIterator<(N, Value)> for Context {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(attributes: I) -> Self {
        let mut context = Self::default();
        attributes.into_iter().for_each(|(name, value)| context.set(name.as_ref(), value));
        context
    }
}

impl<const LEN: usize> From<[(&str, Value); LEN]> for Context {
    fn from(attributes: [(&str, Value); LEN]) -> Self {
        attributes.into_iter().collect()
    }
}

/// A question to the authorizer.
///
/// In lines of the cache: the first is all that a decision reads of a request that is made of handles.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Request {
    pub(crate) context: Context,
    places: Places,
    principal: EntityUid,
    action: EntityUid,
    resource: Resource,
}

/// Where principal, action and resource were found.
#[derive(Clone, Copy, Default)]
struct Places {
    generations: [u64; 3],
    slots: [u32; 3],
    /// Whether the resource comes with the request.
    inline: bool,
}

const PRINCIPAL: usize = 0;
const ACTION: usize = 1;
const RESOURCE: usize = 2;

impl PartialEq for Request {
    fn eq(&self, other: &Self) -> bool {
        self.principal == other.principal
            && self.action == other.action
            && self.resource == other.resource
            && self.context == other.context
    }
}

impl Eq for Request {}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("principal", &self.principal)
            .field("action", &self.action)
            .field("resource", &self.resource)
            .field("context", &self.context)
            .finish()
    }
}

/// The resource of a request: the uid of a stored entity, or a whole entity that the application brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A stored entity.
    Stored(Handle),
    /// An entity of the application's own database; it must not be stored too.
    Inline(Box<Entity>),
}

impl Resource {
    /// Its uid.
    pub fn uid(&self) -> &EntityUid {
        match self {
            Resource::Stored(handle) => handle.uid(),
            Resource::Inline(entity) => entity.uid(),
        }
    }
}

impl From<EntityUid> for Resource {
    fn from(uid: EntityUid) -> Self {
        Resource::Stored(uid.into())
    }
}

impl From<Handle> for Resource {
    fn from(handle: Handle) -> Self {
        Resource::Stored(handle)
    }
}

impl From<Entity> for Resource {
    fn from(entity: Entity) -> Self {
        Resource::Inline(Box::new(entity))
    }
}

/// Why a request could not be read. Nothing was decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    message: String,
}

impl RequestError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: super::clip(message) }
    }
}

impl From<UidError> for RequestError {
    fn from(error: UidError) -> Self {
        Self::new(error.to_string())
    }
}

impl Places {
    fn set(&mut self, part: usize, found: Found) {
        self.generations.get_mut(part).into_iter().for_each(|own| *own = found.generation);
        self.slots.get_mut(part).into_iter().for_each(|own| *own = found.slot);
    }

    fn set_resource(&mut self, resource: &Resource) {
        let found = match resource {
            Resource::Stored(handle) => handle.found,
            Resource::Inline(_) => Found::default(),
        };
        self.set(RESOURCE, found);
        self.inline = matches!(resource, Resource::Inline(_));
    }

    #[inline]
    fn of(&self, part: usize) -> Found {
        let of = (self.slots.get(part), self.generations.get(part));
        if let (Some(slot), Some(generation)) = of {
            Found::new(*slot, *generation)
        } else {
            Found::default()
        }
    }
}

impl Request {
    /// A request without context. `now` is filled from the authorizer's clock where the schema declares it.
    pub fn new(principal: impl Into<Handle>, action: impl Into<Handle>, resource: impl Into<Resource>) -> Self {
        let (principal, action, resource) = (principal.into(), action.into(), resource.into());
        let mut places = Places::default();
        places.set(PRINCIPAL, principal.found);
        places.set(ACTION, action.found);
        places.set_resource(&resource);
        Self { context: Context::default(), places, principal: principal.uid, action: action.uid, resource }
    }

    /// The same of another principal.
    pub(crate) fn set_principal(&mut self, principal: Handle) {
        self.places.set(PRINCIPAL, principal.found);
        self.principal = principal.uid;
    }

    /// The same about another action.
    pub(crate) fn set_action(&mut self, action: Handle) {
        self.places.set(ACTION, action.found);
        self.action = action.uid;
    }

    /// The same about another resource.
    pub(crate) fn set_resource(&mut self, resource: Resource) {
        self.places.set_resource(&resource);
        self.resource = resource;
    }

    /// Where the principal was found.
    #[inline]
    pub(crate) fn principal_found(&self) -> Found {
        self.places.of(PRINCIPAL)
    }

    /// Where the action was found.
    #[inline]
    pub(crate) fn action_found(&self) -> Found {
        self.places.of(ACTION)
    }

    /// Where the resource was found.
    #[inline]
    pub(crate) fn resource_found(&self) -> Found {
        self.places.of(RESOURCE)
    }

    /// The resource, if it comes with the request.
    #[inline]
    pub(crate) fn inline(&self) -> Option<&Entity> {
        match &self.resource {
            _ if !self.places.inline => None,
            Resource::Inline(entity) => Some(entity),
            Resource::Stored(_) => None,
        }
    }

    /// The request with the context attribute `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.context.set(name, value);
        self
    }

    pub(crate) fn with_context(self, context: Context) -> Self {
        Self { context, ..self }
    }

    /// Who asks.
    pub fn principal(&self) -> &EntityUid {
        &self.principal
    }

    /// What is to be done.
    pub fn action(&self) -> &EntityUid {
        &self.action
    }

    /// On what.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// What comes with the question.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The request as JSON: `{"principal", "action", "resource", "context"}`, as request files hold it.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::json;
        let resource = match &self.resource {
            Resource::Stored(handle) => json!(handle.uid().to_string()),
            Resource::Inline(entity) => entity.to_json(),
        };
        json!({
            "principal": self.principal().to_string(),
            "action": self.action().to_string(),
            "resource": resource,
            "context": Value::Record(self.context.to_map()).to_json(),
        })
    }
}
