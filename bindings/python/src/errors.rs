//! What the library and Python raise → the package's exceptions.

use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

pyo3::import_exception!(bailiwick._errors, QueryError);
pyo3::import_exception!(bailiwick._errors, RequestError);
pyo3::import_exception!(bailiwick._errors, BundleError);
pyo3::import_exception!(bailiwick._errors, EntityError);
pyo3::import_exception!(bailiwick._errors, DirectoryError);
pyo3::import_exception!(bailiwick._errors, Forbidden);

/// At most 60 characters of a text, on one line: no message carries megabytes of input.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// The name of an object's type, whatever the type says of itself.
pub(crate) fn kind(object: &Bound<'_, PyAny>) -> String {
    let name = object.get_type().name().map(|name| shorten(&name.to_string_lossy()));
    name.unwrap_or_else(|_| "?".into())
}

/// Whether this is to be passed on as it is: no mistake in the input, but an interrupt, an exit or a lack of memory.
pub(crate) fn is_urgent(py: Python<'_>, error: &PyErr) -> bool {
    !error.is_instance_of::<PyException>(py) || error.is_instance_of::<PyMemoryError>(py)
}

/// An exception in a few words. Its own `__str__` may raise, too.
pub(crate) fn describe(py: Python<'_>, error: &PyErr) -> String {
    let value = error.value(py);
    match value.str() {
        Ok(text) => format!("{}: {}", kind(value), shorten(&text.to_string_lossy())),
        Err(_) => kind(value),
    }
}

pub(crate) fn request_error(message: &str, index: Option<usize>) -> PyErr {
    match index {
        Some(index) => RequestError::new_err((format!("request {index}: {message}"), index)),
        None => RequestError::new_err(message.to_owned()),
    }
}

pub(crate) fn bundle_error(py: Python<'_>, error: &bailiwick::BundleError) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let make = py.import("bailiwick._errors")?.getattr("Finding")?;
        let findings = error.findings().iter().map(|finding| {
            let place = finding.place();
            let (file, line, column) = (place.map(|p| p.0), place.map(|p| p.1), place.map(|p| p.2));
            make.call1((finding.message(), finding.help(), finding.policy(), file, line, column))
        });
        let findings = PyTuple::new(py, findings.collect::<PyResult<Vec<_>>>()?)?;
        Ok(BundleError::new_err((error.to_string(), findings.unbind())))
    };
    build().unwrap_or_else(|error| error)
}

pub(crate) fn entity_error(py: Python<'_>, error: &bailiwick::EntityError, before: &str) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let make = py.import("bailiwick._errors")?.getattr("EntityFault")?;
        let faults = error.faults().iter().map(|fault| {
            let uid = fault.uid().map(|uid| crate::values::PyEntityUid(uid.clone()));
            make.call1((fault.index(), uid, fault.message()))
        });
        let faults = PyTuple::new(py, faults.collect::<PyResult<Vec<_>>>()?)?;
        Ok(EntityError::new_err((format!("{before}{error}"), faults.unbind(), error.more())))
    };
    build().unwrap_or_else(|error| error)
}

/// Entities that could not be read at all, or one entity that cannot be made.
pub(crate) fn entity_error_of(message: String) -> PyErr {
    EntityError::new_err(message)
}
