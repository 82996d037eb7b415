//! The class `Authorizer`.

use std::cell::Cell;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bailiwick::directory::Directory;
use bailiwick::entities::EntityReader;
use bailiwick::model::Json;
use bailiwick::query::Page;
use bailiwick::store::Sqlite;
use bailiwick::{Authorizer, Bundle, Changes, Decision, Entity, ErrorMode, Request, Sources};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::clock;
use crate::decision::{PyDecision, PyRevision};
use crate::errors::{
    bundle_error, describe, entity_error, entity_error_of, is_urgent, kind, request_error, shorten, DirectoryError,
    Forbidden,
};
use crate::query::{answer, PyAllowedActions, PyFound};
use crate::values::{read_any_context, read_question, read_request, read_uid, summary, PyEntity, PyRequest};
use crate::{read, show};

/// Answers requests by the policies, on the entities it holds. All threads share one.
#[pyclass(name = "Authorizer", module = "bailiwick", frozen)]
pub(crate) struct PyAuthorizer {
    held: Held,
    mode: ErrorMode,
}

/// An authorizer, or a directory with its own.
enum Held {
    Authorizer(Authorizer),
    Directory(Directory),
}

thread_local! {
    /// A decision whose buffers are used again.
    static DECISION: Cell<Decision> = Cell::default();
}

#[pymethods]
impl PyAuthorizer {
    #[new]
    #[pyo3(signature = (*, policies=None, schema=None, entities=None, directory=None, errors="strict", clock=None))]
    fn new(
        py: Python<'_>,
        policies: Option<&Bound<'_, PyAny>>,
        schema: Option<&Bound<'_, PyAny>>,
        entities: Option<&Bound<'_, PyAny>>,
        directory: Option<&Bound<'_, PyAny>>,
        errors: &str,
        clock: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let mode = match errors {
            "strict" => ErrorMode::Strict,
            "cedar" => ErrorMode::Cedar,
            other => {
                let message = format!("`errors`: expected `strict` or `cedar`, found `{}`", shorten(other));
                return Err(PyValueError::new_err(message));
            }
        };
        let clock = clock.map(clock::read).transpose()?;
        let bundle = read_bundle(py, policies, schema, mode)?;
        if let Some(directory) = directory {
            if entities.is_some() {
                return Err(PyValueError::new_err("`entities` and `directory` exclude each other; give one of them"));
            }
            let refuse = || PyTypeError::new_err(format!("`directory`: expected a path, found `{}`", kind(directory)));
            let path = path_of(directory, "directory", PyTypeError::new_err)?.ok_or_else(refuse)?;
            let builder = Directory::builder().bundle(bundle);
            let builder = match clock {
                None => builder,
                Some(clock) => builder.clock(clock),
            };
            let opened = py.detach(|| {
                let store = Sqlite::open(&path).map_err(|e| e.to_string())?;
                builder.open(Arc::new(store)).map_err(|e| format!("`{}`: {e}", path.display()))
            });
            let held = Held::Directory(opened.map_err(DirectoryError::new_err)?);
            return Ok(Self { held, mode });
        }
        let builder = Authorizer::builder().bundle(bundle);
        let authorizer = match clock {
            None => builder.build(),
            Some(clock) => builder.clock(clock).build(),
        };
        let authorizer = Self { held: Held::Authorizer(authorizer), mode };
        if let Some(entities) = entities {
            authorizer.replace_entities(py, entities)?;
        }
        Ok(authorizer)
    }

    /// Whether `principal` may do `action` on `resource`, and why.
    ///
    /// Raises `RequestError` where the request cannot be read. One that can be read but does not fit is a denial.
    #[pyo3(signature = (principal, action, resource, context=None))]
    fn is_authorized(
        &self,
        principal: &Bound<'_, PyAny>,
        action: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyDecision> {
        let request = read_request(&self.held().bundle(), principal, action, resource, context)?;
        self.decide(&request)
    }

    /// Decides all requests on one state of the entities and at one instant.
    ///
    /// Raises `RequestError` with `.index` where one cannot be read; then none is decided.
    fn is_authorized_many(&self, py: Python<'_>, requests: &Bound<'_, PyAny>) -> PyResult<Vec<PyDecision>> {
        let bundle = self.held().bundle();
        let Some(items) = read::items(requests)? else {
            let message = format!("expected a list of `Request`, found `{}`", kind(requests));
            return Err(request_error(&message, None));
        };
        let mut read = Vec::new();
        for (index, item) in items.enumerate() {
            let item = item?;
            let Ok(request) = item.cast::<PyRequest>() else {
                let message = format!("expected a `Request`, found `{}`", kind(&item));
                return Err(request_error(&message, Some(index)));
            };
            let request = request.get().read(&bundle);
            read.push(request.map_err(|e| request_error(&e.to_string(), Some(index)))?);
        }
        let decisions = py.detach(|| self.held().is_authorized_many(&read));
        let trouble = clock::trouble()?;
        Ok(decisions.iter().map(|decision| PyDecision::new(decision, trouble.as_deref())).collect())
    }

    /// As `is_authorized`, but raises `Forbidden` where the request is not allowed.
    #[pyo3(signature = (principal, action, resource, context=None))]
    fn require(
        &self,
        principal: &Bound<'_, PyAny>,
        action: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyDecision> {
        let request = read_request(&self.held().bundle(), principal, action, resource, context)?;
        let decision = self.decide(&request)?;
        if decision.allowed {
            return Ok(decision);
        }
        let word = if decision.indeterminate { "denied, indeterminate" } else { "denied" };
        let message = format!("{word}: {}: {}", summary(&request), decision.why());
        Err(Forbidden::new_err((message, decision)))
    }

    /// As `is_authorized`, and why: the policies that decided, or those that came nearest, with the clauses that were not
    /// as they had to be, their places and the values they saw. For people who ask: it takes milliseconds.
    #[pyo3(signature = (principal, action, resource, context=None))]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        principal: &Bound<'_, PyAny>,
        action: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = read_request(&self.held().bundle(), principal, action, resource, context)?;
        let explanation = py.detach(|| self.held().explain(&request));
        clock::trouble()?;
        show::tree(py, &Json::from(&explanation.to_json()))
    }

    /// All stored principals that may do `action` on `resource`; with `limit` a page of them, after the uid `after`.
    ///
    /// Raises `RequestError` where the question cannot be read, and `QueryError` where it has no trustworthy answer.
    #[pyo3(signature = (action, resource, context=None, *, limit=None, after=None))]
    fn who_can(
        &self,
        py: Python<'_>,
        action: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
        limit: Option<usize>,
        after: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyFound> {
        let asked = read_question(&self.held().bundle(), None, action, Some(resource), context)?;
        let page = page(limit, after)?;
        let found = py.detach(|| self.held().who_can(asked.action(), asked.resource().clone(), asked.context(), &page));
        answer(found, clock::trouble()?.as_deref()).map(PyFound::from)
    }

    /// All actions that `principal` may do on `resource`, and those that need more context than was given.
    ///
    /// Raises `RequestError` where the question cannot be read, and `QueryError` where it has no trustworthy answer.
    #[pyo3(signature = (principal, resource, context=None))]
    fn allowed_actions(
        &self,
        py: Python<'_>,
        principal: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyAllowedActions> {
        let bundle = self.held().bundle();
        let any = PyString::new(py, "Nothing::\"\"");
        let asked = read_question(&bundle, Some(principal), &any, Some(resource), None)?;
        let context = read_any_context(&bundle, context)?;
        let ask = || self.held().allowed_actions(asked.principal(), asked.resource().clone(), &context);
        let found = py.detach(ask);
        answer(found, clock::trouble()?.as_deref()).map(PyAllowedActions::from)
    }

    /// All stored resources of a type that `principal` may do `action` on; with `limit` a page of them, after the uid
    /// `after`.
    ///
    /// Raises `RequestError` where the question cannot be read, and `QueryError` where it has no trustworthy answer.
    #[pyo3(signature = (principal, action, r#type, context=None, *, limit=None, after=None))]
    #[allow(clippy::too_many_arguments)] // they are Python's
    fn allowed_resources(
        &self,
        py: Python<'_>,
        principal: &Bound<'_, PyAny>,
        action: &Bound<'_, PyAny>,
        r#type: &str,
        context: Option<&Bound<'_, PyAny>>,
        limit: Option<usize>,
        after: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyFound> {
        let asked = read_question(&self.held().bundle(), Some(principal), action, None, context)?;
        let page = page(limit, after)?;
        let (who, action) = (asked.principal(), asked.action());
        let found = py.detach(|| self.held().allowed_resources(who, action, r#type, asked.context(), &page));
        answer(found, clock::trouble()?.as_deref()).map(PyFound::from)
    }

    /// Replaces all entities: by those of a file in Cedar's entity JSON, or by a list of dicts and `Entity`.
    ///
    /// Raises `EntityError` where one is bad; then the old ones stay.
    fn replace_entities(&self, py: Python<'_>, entities: &Bound<'_, PyAny>) -> PyResult<PyRevision> {
        if let Some(path) = path_of(entities, "entities", entity_error_of)? {
            let name = path.display().to_string();
            let outcome = py.detach(|| match File::open(&path) {
                Ok(file) => Ok(self.held().replace_entities(file)),
                Err(error) => Err(format!("`{name}` cannot be read: {error}")),
            });
            let outcome = outcome.map_err(entity_error_of)?;
            return outcome.map(PyRevision::from).map_err(|e| entity_error(py, &e, &format!("`{name}`: ")));
        }
        let entities = read_entities(py, &self.held().bundle(), entities, "entities")?;
        let outcome = py.detach(|| self.held().replace_entities_with(entities));
        outcome.map(PyRevision::from).map_err(|e| entity_error(py, &e, ""))
    }

    /// Puts single entities in and takes others out, by uid: all of it, or on an error nothing.
    ///
    /// Raises `EntityError` where an entity is bad, or what remains refers to one that is taken out.
    #[pyo3(signature = (*, upsert=None, remove=None))]
    fn apply(
        &self,
        py: Python<'_>,
        upsert: Option<&Bound<'_, PyAny>>,
        remove: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyRevision> {
        let mut changes = Changes::new();
        if let Some(upsert) = upsert {
            for entity in read_entities(py, &self.held().bundle(), upsert, "upsert")? {
                changes = changes.upsert(entity);
            }
        }
        if let Some(remove) = remove {
            for uid in list(remove, "remove", "uids")? {
                let uid = read_uid(&uid?, "remove");
                changes = changes.remove(uid.or_else(|refusal| Err(entity_error_of(refusal.text()?)))?);
            }
        }
        let outcome = py.detach(|| self.held().apply(&changes));
        outcome.map(PyRevision::from).map_err(|e| entity_error(py, &e, ""))
    }

    /// Replaces the policies, and the schema: by those of the paths, or with `None` by the built-in ones.
    ///
    /// Raises `BundleError` where they are not valid, `EntityError` where the stored entities do not fit them; then
    /// the old ones stay.
    #[pyo3(signature = (policies, schema=None))]
    fn replace_bundle(
        &self,
        py: Python<'_>,
        policies: Option<&Bound<'_, PyAny>>,
        schema: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyRevision> {
        let bundle = read_bundle(py, policies, schema, self.mode)?;
        let outcome = py.detach(|| self.held().replace_bundle(&bundle));
        outcome.map(PyRevision::from).map_err(|e| entity_error(py, &e, ""))
    }

    /// Accepts the clock as it is now, after it was set back on purpose.
    fn reset_clock(&self) {
        self.held().reset_clock();
    }

    /// The state of the entities it decides on.
    #[getter]
    fn revision(&self) -> PyRevision {
        self.held().snapshot().revision().into()
    }

    /// The version of the policies it decides by: a hash of schema and policies.
    #[getter]
    fn bundle(&self) -> String {
        self.held().bundle().version().to_owned()
    }

    fn __repr__(&self) -> String {
        let (snapshot, bundle) = (self.held().snapshot(), self.held().bundle());
        let version = bundle.version().get(..12).unwrap_or_default();
        format!("<Authorizer entities={} bundle={version}…>", snapshot.len())
    }
}

impl PyAuthorizer {
    fn held(&self) -> &Authorizer {
        match &self.held {
            Held::Authorizer(authorizer) => authorizer,
            Held::Directory(directory) => directory.authorizer(),
        }
    }

    fn decide(&self, request: &Request) -> PyResult<PyDecision> {
        // Taken, not borrowed: a clock written in Python may come back here.
        let mut decision = DECISION.take();
        self.held().decide_into(request, &mut decision);
        let answer = clock::trouble().map(|trouble| PyDecision::new(&decision, trouble.as_deref()));
        DECISION.set(decision);
        answer
    }
}

fn page(limit: Option<usize>, after: Option<&Bound<'_, PyAny>>) -> PyResult<Page> {
    let most = limit.unwrap_or(usize::MAX);
    Ok(match after {
        Some(after) => Page::after(read_uid(after, "after")?, most),
        None => Page::first(most),
    })
}

/// The path that an argument is; none where it is no text and no path.
fn path_of(object: &Bound<'_, PyAny>, what: &str, error: fn(String) -> PyErr) -> PyResult<Option<PathBuf>> {
    if object.cast::<PyString>().is_err() && !object.get_type().hasattr("__fspath__").unwrap_or(false) {
        return Ok(None);
    }
    object.extract().map(Some).map_err(|raised| match is_urgent(object.py(), &raised) {
        true => raised,
        false => error(format!("`{what}`: not a path: `{}`", describe(object.py(), &raised))),
    })
}

fn read_bundle(
    py: Python<'_>,
    policies: Option<&Bound<'_, PyAny>>,
    schema: Option<&Bound<'_, PyAny>>,
    mode: ErrorMode,
) -> PyResult<Bundle> {
    let path = |object: &Bound<'_, PyAny>, what: &str| {
        let expected = if what == "policies" { "a path or a list of paths" } else { "a path" };
        let refuse = || PyTypeError::new_err(format!("`{what}`: expected {expected}, found `{}`", kind(object)));
        path_of(object, what, PyTypeError::new_err)?.ok_or_else(refuse)
    };
    let schema = schema.map(|schema| path(schema, "schema")).transpose()?;
    let policies = match policies {
        None if schema.is_some() => return Err(PyValueError::new_err("`schema` goes with `policies`; give both")),
        None => None,
        Some(given) => match read::items(given)? {
            Some(several) => Some(several.map(|item| path(&item?, "policies")).collect::<PyResult<Vec<_>>>()?),
            None => Some(vec![path(given, "policies")?]),
        },
    };
    let bundle = py.detach(|| match policies {
        Some(paths) => Bundle::from_sources(Sources::read(&paths, schema.as_deref())?, mode),
        None if mode == ErrorMode::Strict => Ok(Bundle::builtin()),
        None => Bundle::from_sources(Bundle::builtin().sources().clone(), mode),
    });
    bundle.map_err(|error| bundle_error(py, &error))
}

fn list<'py>(
    object: &Bound<'py, PyAny>,
    what: &str,
    of: &str,
) -> PyResult<impl Iterator<Item = PyResult<Bound<'py, PyAny>>>> {
    let refuse = || entity_error_of(format!("`{what}`: expected a list of {of}, found `{}`", kind(object)));
    read::items(object)?.ok_or_else(refuse)
}

fn read_entities(py: Python<'_>, bundle: &Bundle, entities: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<Entity>> {
    let of = if what == "entities" { "entities, or a path" } else { "entities" };
    let mut reader = EntityReader::new(bundle);
    for entity in list(entities, what, of)? {
        let entity = entity?;
        if let Ok(entity) = entity.cast::<PyEntity>() {
            reader.push(&entity.get().tree);
        } else if entity.cast::<PyDict>().is_err() {
            reader.refuse(&format!("expected an `Entity` or a dict, found `{}`", kind(&entity)));
        } else {
            match read::tree(&entity) {
                Ok(tree) => reader.push(&tree),
                Err(refusal) => reader.refuse(&refusal.text()?),
            }
        }
    }
    reader.finish().map_err(|error| entity_error(py, &error, ""))
}
