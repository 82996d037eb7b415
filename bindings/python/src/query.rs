//! What the questions to many answer.

use bailiwick::query;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors::QueryError;
use crate::values::PyEntityUid;

/// What `who_can` and `allowed_resources` found.
#[pyclass(name = "Found", module = "bailiwick", frozen)]
pub(crate) struct PyFound(query::Found);

/// What `allowed_actions` found.
#[pyclass(name = "AllowedActions", module = "bailiwick", frozen)]
pub(crate) struct PyAllowedActions(query::AllowedActions);

impl From<query::Found> for PyFound {
    fn from(found: query::Found) -> Self {
        Self(found)
    }
}

impl From<query::AllowedActions> for PyAllowedActions {
    fn from(found: query::AllowedActions) -> Self {
        Self(found)
    }
}

fn uids<'py>(py: Python<'py>, uids: &[bailiwick::EntityUid]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, uids.iter().map(|uid| PyEntityUid(uid.clone())))
}

#[pymethods]
impl PyFound {
    /// The uids of the page, in the order of type and id.
    #[getter]
    fn uids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        uids(py, self.0.uids())
    }

    /// How many there are on all pages.
    #[getter]
    fn total(&self) -> usize {
        self.0.total()
    }

    /// Whether more come after this page.
    #[getter]
    fn more(&self) -> bool {
        self.0.has_more()
    }

    fn __repr__(&self) -> String {
        let more = if self.0.has_more() { "True" } else { "False" };
        format!("<Found uids={} total={} more={more}>", self.0.uids().len(), self.0.total())
    }
}

#[pymethods]
impl PyAllowedActions {
    /// Those that are allowed, in the order of their ids.
    #[getter]
    fn allowed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        uids(py, self.0.allowed())
    }

    /// Those that need more context than was given, such as the role to be granted.
    #[getter]
    fn undecided<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        uids(py, self.0.undecided())
    }

    fn __repr__(&self) -> String {
        format!("<AllowedActions allowed={} undecided={}>", self.0.allowed().len(), self.0.undecided().len())
    }
}

/// The answer, or `QueryError`. `clock` says what is wrong with the clock, where something is.
pub(crate) fn answer<T>(found: Result<T, query::QueryError>, clock: Option<&str>) -> PyResult<T> {
    found.map_err(|error| {
        let code = error.error().code();
        let on = error.on().map(|uid| format!(", met on `{uid}`")).unwrap_or_default();
        let why = match clock {
            Some(why) if code == bailiwick::ErrorCode::Clock => format!(": {why}"),
            _ => String::new(),
        };
        let message = format!("{error}{why}{on}");
        QueryError::new_err((message, code.as_str(), error.on().map(|uid| PyEntityUid(uid.clone()))))
    })
}
