//! Uids, entities and requests as Python classes. All are immutable.

use bailiwick::entities::{request_from_parts, uid_from_tree, Part};
use bailiwick::model::Json;
use bailiwick::query::context_from_tree;
use bailiwick::{Bundle, Context, EntityUid, Request, RequestError, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::IntoPyObjectExt;

use crate::errors::{entity_error_of, kind, request_error, shorten};
use crate::read::{self, Read, Refusal};
use crate::show;

/// The uid of an entity: its type, such as `Grc::Member`, and its id.
#[pyclass(name = "EntityUid", module = "bailiwick", frozen, eq, ord, hash)]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PyEntityUid(pub(crate) EntityUid);

#[pymethods]
impl PyEntityUid {
    #[new]
    fn new(r#type: &Bound<'_, PyString>, id: &Bound<'_, PyString>) -> PyResult<Self> {
        let (type_name, id) = (plain(r#type, "type")?, plain(id, "id")?);
        EntityUid::new(type_name, id).map(Self).map_err(|e| request_error(&e.to_string(), None))
    }

    /// The uid written as `text`, such as `Grc::Member::"m-1"`.
    #[staticmethod]
    fn parse(text: &Bound<'_, PyString>) -> PyResult<Self> {
        let text = plain(text, "text")?;
        text.parse().map(Self).map_err(|e: bailiwick::UidError| request_error(&e.to_string(), None))
    }

    /// The type, with its namespace.
    #[getter]
    fn r#type(&self) -> &str {
        self.0.type_name()
    }

    /// The id, without quotes and escapes.
    #[getter]
    fn id(&self) -> &str {
        self.0.id()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let parts = PyTuple::new(py, [self.0.type_name(), self.0.id()])?;
        PyString::new(py, "EntityUid").add(parts.repr()?)
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, (String, String))> {
        let uid = &slf.get().0;
        Ok((slf.get_type().into_any().unbind(), (uid.type_name().to_owned(), uid.id().to_owned())))
    }
}

fn plain<'a>(text: &'a Bound<'_, PyString>, what: &str) -> Read<&'a str> {
    read::text(text).map_err(|refusal| refusal.within(what))
}

/// An entity: its uid, attributes, direct parents and tags, as in Cedar's entity JSON.
#[pyclass(name = "Entity", module = "bailiwick", frozen, eq)]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PyEntity {
    uid: EntityUid,
    /// INVARIANT: an object with the key `uid`; under `parents`, if there, an array.
    pub(crate) tree: Json,
}

#[pymethods]
impl PyEntity {
    #[new]
    #[pyo3(signature = (uid, attrs=None, parents=None, tags=None))]
    fn new(
        uid: &Bound<'_, PyAny>,
        attrs: Option<&Bound<'_, PyAny>>,
        parents: Option<&Bound<'_, PyAny>>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Self::read(uid, attrs, parents, tags).map_err(|refusal| match refusal.text() {
            Ok(message) => entity_error_of(message),
            Err(error) => error,
        })
    }

    /// Its uid.
    #[getter]
    fn uid(&self) -> PyEntityUid {
        PyEntityUid(self.uid.clone())
    }

    /// Its attributes, by name.
    #[getter]
    fn attrs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.fields(py, "attrs")
    }

    /// Its direct parents.
    #[getter]
    fn parents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        match self.part("parents") {
            Some(Json::Array(parents)) => {
                let parents = parents.iter().map(|parent| show::tree(py, parent)).collect::<PyResult<Vec<_>>>()?;
                PyTuple::new(py, parents)
            }
            _ => Ok(PyTuple::empty(py)),
        }
    }

    /// Its tags, by name.
    #[getter]
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.fields(py, "tags")
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let uid = self.uid.to_string().into_bound_py_any(py)?.repr()?;
        Ok(format!(
            "Entity({uid}, attrs={}, parents={}, tags={})",
            self.attrs(py)?.repr()?,
            self.parents(py)?.repr()?,
            self.tags(py)?.repr()?
        ))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, entity) = (slf.py(), slf.get());
        let parts = (entity.uid(), entity.attrs(py)?, entity.parents(py)?, entity.tags(py)?);
        Ok((slf.get_type().into_any(), parts.into_pyobject(py)?))
    }
}

impl PyEntity {
    fn read(
        uid: &Bound<'_, PyAny>,
        attrs: Option<&Bound<'_, PyAny>>,
        parents: Option<&Bound<'_, PyAny>>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> Read<Self> {
        let uid = read_uid(uid, "uid")?;
        let fields = |what: &str, given: Option<&Bound<'_, PyAny>>| match given {
            None => Ok(Json::Object(Vec::new())),
            Some(dict) if dict.cast::<PyDict>().is_ok() => read::tree(dict).map_err(|refusal| refusal.within(what)),
            Some(other) => Err(Refusal::wrong(format!("`{what}`: expected a dict, found `{}`", kind(other)))),
        };
        let mut uids = Vec::new();
        if let Some(parents) = parents {
            let items = read::items(parents).map_err(Refusal::Raised)?;
            let refuse = || Refusal::wrong(format!("`parents`: expected a list of uids, found `{}`", kind(parents)));
            let items = items.ok_or_else(refuse)?;
            for parent in items {
                let parent = parent.map_err(Refusal::Raised)?;
                uids.push(Json::Typed(Value::Entity(read_uid(&parent, "parents")?)));
            }
        }
        let tree = Json::Object(vec![
            ("uid".into(), Json::Typed(Value::Entity(uid.clone()))),
            ("attrs".into(), fields("attrs", attrs)?),
            ("parents".into(), Json::Array(uids)),
            ("tags".into(), fields("tags", tags)?),
        ]);
        Ok(Self { uid, tree })
    }

    /// An entity written as a dict in Cedar's entity JSON. What else is wrong with it shows where it is used.
    fn from_tree(tree: Json) -> Read<Self> {
        let Json::Object(mut fields) = tree else {
            return Err(Refusal::wrong("expected a dict"));
        };
        let mut uid = None;
        for (name, value) in &mut fields {
            match (name.as_str(), value) {
                ("uid", value) => uid = Some(uid_from_tree(value).map_err(|e| Refusal::wrong(format!("`uid`: {e}")))?),
                ("parents", Json::Array(parents)) => {
                    for parent in parents {
                        let uid = uid_from_tree(parent).map_err(|e| Refusal::wrong(format!("`parents`: {e}")))?;
                        *parent = Json::Typed(Value::Entity(uid));
                    }
                }
                ("parents", _) => return Err(Refusal::wrong("`parents`: expected a list")),
                _ => {}
            }
        }
        let uid = uid.ok_or_else(|| Refusal::wrong("the entity has no `uid`"))?;
        Ok(Self { uid, tree: Json::Object(fields) })
    }

    fn part(&self, key: &str) -> Option<&Json> {
        field(&self.tree, key)
    }

    fn fields<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.part(key) {
            Some(part) => show::tree(py, part),
            None => Ok(PyDict::new(py).into_any()),
        }
    }
}

fn field<'a>(json: &'a Json, key: &str) -> Option<&'a Json> {
    match json {
        Json::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, part)| part),
        _ => None,
    }
}

/// A uid in any of its forms.
pub(crate) fn read_uid(object: &Bound<'_, PyAny>, what: &str) -> Read<EntityUid> {
    let mut held = None;
    let at = |e: &dyn std::fmt::Display| Refusal::wrong(format!("`{what}`: {e}"));
    match part(object, what, &mut held)? {
        Part::Text(text) => text.parse().map_err(|e: bailiwick::UidError| at(&e)),
        Part::Uid(uid) => Ok(uid.clone()),
        Part::Json(json) => uid_from_tree(json).map_err(|e| at(&e)),
    }
}

fn unexpected(object: &Bound<'_, PyAny>, what: &str) -> Refusal {
    let hint = if object.cast::<PyEntity>().is_ok() { "; give its `uid`" } else { "" };
    let expected =
        if what == "resource" { "a uid text, an `EntityUid` or an `Entity`" } else { "a uid text or an `EntityUid`" };
    Refusal::wrong(format!("`{what}`: expected {expected}, found `{}`{hint}", kind(object)))
}

/// Reads a principal, action or resource as far as that goes without a copy; `held` keeps what was read.
fn part<'a>(object: &'a Bound<'_, PyAny>, what: &str, held: &'a mut Option<Json>) -> Read<Part<'a>> {
    if let Ok(text) = object.cast::<PyString>() {
        return plain(text, what).map(Part::Text);
    }
    if let Ok(uid) = object.cast::<PyEntityUid>() {
        return Ok(Part::Uid(&uid.get().0));
    }
    match object.cast::<PyEntity>() {
        Ok(entity) if what == "resource" => return Ok(Part::Json(&entity.get().tree)),
        _ => {}
    }
    if object.cast::<PyDict>().is_ok() {
        let tree = read::tree(object).map_err(|refusal| refusal.within(what))?;
        return Ok(Part::Json(held.insert(tree)));
    }
    Err(unexpected(object, what))
}

fn read_context(context: Option<&Bound<'_, PyAny>>) -> Read<Option<Json>> {
    match context {
        None => Ok(None),
        Some(dict) if dict.cast::<PyDict>().is_ok() => read::tree(dict).map(Some).map_err(|r| r.within("context")),
        Some(other) => Err(Refusal::wrong(format!("`context`: expected a dict, found `{}`", kind(other)))),
    }
}

/// Reads a request out of the four arguments of a call.
pub(crate) fn read_request(
    bundle: &Bundle,
    principal: &Bound<'_, PyAny>,
    action: &Bound<'_, PyAny>,
    resource: &Bound<'_, PyAny>,
    context: Option<&Bound<'_, PyAny>>,
) -> PyResult<Request> {
    read_question(bundle, Some(principal), action, Some(resource), context)
}

/// As [`read_request`]; the part that is asked for is left out, and stands in the request as a uid that nothing has.
pub(crate) fn read_question(
    bundle: &Bundle,
    principal: Option<&Bound<'_, PyAny>>,
    action: &Bound<'_, PyAny>,
    resource: Option<&Bound<'_, PyAny>>,
    context: Option<&Bound<'_, PyAny>>,
) -> PyResult<Request> {
    let (mut first, mut second, mut third) = (None, None, None);
    let (nobody, nothing);
    let nowhere = || EntityUid::new("Nothing", "").map_err(|e| request_error(&e.to_string(), None));
    let principal = match principal {
        Some(principal) => part(principal, "principal", &mut first)?,
        None => {
            nobody = nowhere()?;
            Part::Uid(&nobody)
        }
    };
    let action = part(action, "action", &mut second)?;
    let resource = match resource {
        Some(resource) => part(resource, "resource", &mut third)?,
        None => {
            nothing = nowhere()?;
            Part::Uid(&nothing)
        }
    };
    let context = read_context(context)?;
    let request = request_from_parts(bundle, principal, action, resource, context.as_ref());
    request.map_err(|e| request_error(&e.to_string(), None))
}

/// Reads a context that is not of one action.
pub(crate) fn read_any_context(bundle: &Bundle, context: Option<&Bound<'_, PyAny>>) -> PyResult<Context> {
    match read_context(context)? {
        None => Ok(Context::default()),
        Some(context) => context_from_tree(bundle, &context).map_err(|e| request_error(&e.to_string(), None)),
    }
}

/// A request that `is_authorized_many` decides.
#[pyclass(name = "Request", module = "bailiwick", frozen, eq)]
#[derive(PartialEq, Eq)]
pub(crate) struct PyRequest {
    principal: EntityUid,
    action: Action,
    resource: Target,
    context: Option<Json>,
}

#[derive(PartialEq, Eq)]
enum Action {
    Uid(EntityUid),
    /// The bundle will tell whether there is one.
    Id(String),
}

#[derive(PartialEq, Eq)]
enum Target {
    Stored(EntityUid),
    Inline(PyEntity),
}

#[pymethods]
impl PyRequest {
    #[new]
    #[pyo3(signature = (principal, action, resource, context=None))]
    fn new(
        principal: &Bound<'_, PyAny>,
        action: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (mut second, mut third) = (None, None);
        let principal = read_uid(principal, "principal")?;
        let action = match part(action, "action", &mut second)? {
            Part::Text(id) if !id.contains('"') => Action::Id(id.to_owned()),
            _ => Action::Uid(read_uid(action, "action")?),
        };
        let resource = match part(resource, "resource", &mut third)? {
            Part::Json(json) if field(json, "uid").is_some() => {
                let entity = PyEntity::from_tree(json.clone());
                Target::Inline(entity.map_err(|refusal| refusal.within("resource"))?)
            }
            _ => Target::Stored(read_uid(resource, "resource")?),
        };
        Ok(Self { principal, action, resource, context: read_context(context)? })
    }

    /// Who asks.
    #[getter]
    fn principal(&self) -> PyEntityUid {
        PyEntityUid(self.principal.clone())
    }

    /// What is to be done: a uid, or an action's bare id.
    #[getter]
    fn action<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.action {
            Action::Uid(uid) => PyEntityUid(uid.clone()).into_bound_py_any(py),
            Action::Id(id) => id.into_bound_py_any(py),
        }
    }

    /// On what: a uid, or a whole entity.
    #[getter]
    fn resource<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.resource {
            Target::Stored(uid) => PyEntityUid(uid.clone()).into_bound_py_any(py),
            Target::Inline(entity) => entity.clone().into_bound_py_any(py),
        }
    }

    /// The context, by attribute; none where it was left out.
    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.context.as_ref().map(|context| show::tree(py, context)).transpose()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let context = match self.context(py)? {
            Some(context) => format!(", context={}", context.repr()?),
            None => String::new(),
        };
        Ok(format!(
            "Request({}, {}, {}{context})",
            self.principal().__repr__(py)?,
            self.action(py)?.repr()?,
            self.resource(py)?.repr()?
        ))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, request) = (slf.py(), slf.get());
        let parts = (request.principal(), request.action(py)?, request.resource(py)?, request.context(py)?);
        Ok((slf.get_type().into_any(), parts.into_pyobject(py)?))
    }
}

impl PyRequest {
    pub(crate) fn read(&self, bundle: &Bundle) -> Result<Request, RequestError> {
        let action = match &self.action {
            Action::Uid(uid) => Part::Uid(uid),
            Action::Id(id) => Part::Text(id),
        };
        let resource = match &self.resource {
            Target::Stored(uid) => Part::Uid(uid),
            Target::Inline(entity) => Part::Json(&entity.tree),
        };
        request_from_parts(bundle, Part::Uid(&self.principal), action, resource, self.context.as_ref())
    }
}

/// A request in a few words, for messages.
pub(crate) fn summary(request: &Request) -> String {
    let short = |uid: &EntityUid| shorten(&uid.to_string());
    format!("`{}` `{}` `{}`", short(request.principal()), short(request.action()), short(request.resource().uid()))
}
