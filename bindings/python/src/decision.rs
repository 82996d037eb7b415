//! Decisions as Python classes. All are immutable, and only an authorizer makes them.

use std::cell::Cell;
use std::sync::Arc;

use bailiwick::{Decision, Timestamp};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::show;

/// The answer to one request. It is true where the request is allowed.
#[pyclass(name = "Decision", module = "bailiwick", frozen, eq, hash)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PyDecision {
    pub(crate) allowed: bool,
    pub(crate) indeterminate: bool,
    pub(crate) determining: Vec<Box<str>>,
    pub(crate) errors: Vec<PyDecisionError>,
    revision: PyRevision,
    bundle: Arc<str>,
    window: Option<(i64, i64)>,
}

/// An error met while deciding.
#[pyclass(name = "DecisionError", module = "bailiwick", frozen, eq, hash, get_all)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PyDecisionError {
    /// The policy that could not be evaluated; `None` for errors of the request or the state.
    policy: Option<String>,
    /// What kind of error it is: `evaluation`, `unknown_principal`, `unknown_resource`, `invalid_request`,
    /// `inline_conflict`, `stale`, `clock`, `window`.
    code: String,
    /// The error in words, one line.
    pub(crate) message: String,
}

/// Which state of the entities a decision was made on.
#[pyclass(name = "Revision", module = "bailiwick", frozen, eq, ord, hash, get_all)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PyRevision {
    /// Changes with each load from scratch.
    epoch: u64,
    /// Grows by one with each change.
    number: u64,
}

impl From<bailiwick::Revision> for PyRevision {
    fn from(revision: bailiwick::Revision) -> Self {
        Self { epoch: revision.epoch, number: revision.number }
    }
}

thread_local! {
    /// The version last seen: decisions share it.
    static VERSION: Cell<Option<Arc<str>>> = const { Cell::new(None) };
}

impl PyDecision {
    /// The decision for Python. `clock` says what is wrong with the clock, where something is.
    pub(crate) fn new(decision: &Decision, clock: Option<&str>) -> Self {
        let bundle = match VERSION.take() {
            Some(version) if *version == *decision.bundle() => version,
            _ => decision.bundle().into(),
        };
        VERSION.set(Some(Arc::clone(&bundle)));
        let error = |error: &bailiwick::DecisionError| PyDecisionError {
            policy: error.policy().map(str::to_owned),
            code: error.code().as_str().to_owned(),
            message: match clock {
                Some(why) if error.code() == bailiwick::ErrorCode::Clock => format!("{}: {why}", error.message()),
                _ => error.message().into_owned(),
            },
        };
        Self {
            allowed: decision.allowed(),
            indeterminate: decision.indeterminate(),
            determining: decision.determining().map(Box::from).collect(),
            errors: decision.errors().map(error).collect(),
            revision: decision.revision().into(),
            bundle,
            window: decision.window().map(|window| (window.from.millis(), window.to.millis())),
        }
    }

    /// Why, in a few words, for messages.
    pub(crate) fn why(&self) -> String {
        match (self.errors.first(), self.indeterminate, self.determining.as_slice()) {
            (Some(error), true, _) => error.message.clone(),
            (_, _, []) => "no policy permits it".to_owned(),
            (_, _, ids) => format!("by {}", ids.join(", ")),
        }
    }
}

type Errors = Vec<(Option<String>, String, String)>;
type Parts = (bool, bool, Vec<String>, Errors, (u64, u64), String, Option<(i64, i64)>);

#[pymethods]
impl PyDecision {
    /// Whether the request is allowed.
    #[getter]
    fn allowed(&self) -> bool {
        self.allowed
    }

    /// Whether the policies' own answer could not be trusted; such a decision is always a denial.
    #[getter]
    fn indeterminate(&self) -> bool {
        self.indeterminate
    }

    /// The ids of the policies that determined the decision, sorted: for an allow the permits that matched, for a
    /// denial the forbids; empty where no policy matched.
    #[getter]
    fn determining<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.determining.iter().map(|id| &**id))
    }

    /// The errors met, those of no policy first.
    #[getter]
    fn errors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.errors.iter().cloned())
    }

    /// The state of the entities it was made on.
    #[getter]
    fn revision(&self) -> PyRevision {
        self.revision
    }

    /// The version of the policies it was made by: a hash of schema and policies.
    #[getter]
    fn bundle(&self) -> &str {
        &self.bundle
    }

    /// The effective window of an audit download, both ends included, where the request asked for one.
    #[getter]
    fn window<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let instant = |millis| {
            let at = Timestamp::from_millis(millis).ok_or_else(|| PyValueError::new_err("no instant"))?;
            show::datetime(py, at)
        };
        self.window.map(|(from, to)| Ok((instant(from)?, instant(to)?))).transpose()
    }

    fn __bool__(&self) -> bool {
        self.allowed
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let truth = |yes| if yes { "True" } else { "False" };
        Ok(format!(
            "<Decision allowed={} indeterminate={} determining={} errors={}>",
            truth(self.allowed),
            truth(self.indeterminate),
            self.determining(py)?.repr()?,
            self.errors(py)?.repr()?
        ))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Parts,))> {
        let errors = self.errors.iter().map(|e| (e.policy.clone(), e.code.clone(), e.message.clone())).collect();
        let determining = self.determining.iter().map(ToString::to_string).collect();
        let revision = (self.revision.epoch, self.revision.number);
        let parts =
            (self.allowed, self.indeterminate, determining, errors, revision, self.bundle.to_string(), self.window);
        Ok((py.import("bailiwick._bailiwick")?.getattr("_restore")?, (parts,)))
    }
}

/// A decision that was pickled.
#[pyfunction(name = "_restore")]
pub(crate) fn restore(parts: Parts) -> PyResult<PyDecision> {
    let (allowed, indeterminate, determining, errors, (epoch, number), bundle, window) = parts;
    if allowed && (indeterminate || determining.is_empty()) {
        return Err(PyValueError::new_err("no decision looks like this"));
    }
    let errors = errors.into_iter().map(|(policy, code, message)| PyDecisionError { policy, code, message });
    Ok(PyDecision {
        allowed,
        indeterminate,
        determining: determining.into_iter().map(Box::from).collect(),
        errors: errors.collect(),
        revision: PyRevision { epoch, number },
        bundle: bundle.into(),
        window,
    })
}

#[pymethods]
impl PyDecisionError {
    #[new]
    fn new(policy: Option<String>, code: String, message: String) -> Self {
        Self { policy, code, message }
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<String> {
        let (policy, code) = (self.policy.as_ref().into_pyobject(py)?.repr()?, (&self.code).into_pyobject(py)?.repr()?);
        Ok(format!("DecisionError({policy}, {code}, {})", (&self.message).into_pyobject(py)?.repr()?))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (Option<String>, String, String)) {
        let error = slf.get().clone();
        (slf.get_type().into_any(), (error.policy, error.code, error.message))
    }
}

#[pymethods]
impl PyRevision {
    #[new]
    fn new(epoch: u64, number: u64) -> Self {
        Self { epoch, number }
    }

    fn __repr__(&self) -> String {
        format!("Revision({}, {})", self.epoch, self.number)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (u64, u64)) {
        (slf.get_type().into_any(), (slf.get().epoch, slf.get().number))
    }
}
