//! Clocks written in Python.

use std::cell::{Cell, RefCell};

use bailiwick::{Clock, Timestamp};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::errors::{describe, is_urgent, kind};
use crate::read::{instant, Instant};

thread_local! {
    /// What is wrong with the clock, from the time it was read until the decision is handed back.
    static TROUBLE: RefCell<Option<Trouble>> = const { RefCell::new(None) };
    /// Whether this thread is reading a clock.
    static READING: Cell<bool> = const { Cell::new(false) };
}

enum Trouble {
    /// The decision is a denial, and says this.
    Said(String),
    /// An interrupt or an exit, which is passed on.
    Raised(PyErr),
}

/// What was wrong with the clock in the decisions since the last call.
///
/// # Errors
/// What the clock raised, where that must be passed on.
pub(crate) fn trouble() -> PyResult<Option<String>> {
    match TROUBLE.take() {
        None => Ok(None),
        Some(Trouble::Said(why)) => Ok(Some(why)),
        Some(Trouble::Raised(error)) => Err(error),
    }
}

/// The argument `clock`: a datetime that stands still, or a callable; none for the system's clock.
pub(crate) fn read(clock: &Bound<'_, PyAny>) -> PyResult<Box<dyn Clock>> {
    let refuse = |message: String| PyValueError::new_err(format!("`clock`: {message}"));
    let frozen = match instant(clock).and_then(|at| at.map(Instant::rounded_down).transpose()) {
        Ok(frozen) => frozen,
        Err(refusal) => return Err(refuse(refusal.text()?)),
    };
    match frozen {
        Some(at) => Ok(Box::new(at)),
        None if clock.is_callable() => Ok(Box::new(Callable(clock.clone().unbind()))),
        None => {
            let found = kind(clock);
            Err(PyTypeError::new_err(format!("`clock`: expected an aware datetime or a callable, found `{found}`")))
        }
    }
}

/// A callable that gives an aware datetime.
struct Callable(Py<PyAny>);

impl Clock for Callable {
    fn now(&self) -> Option<Timestamp> {
        // A clock that asks the authorizer would ask itself.
        if READING.replace(true) {
            TROUBLE.set(Some(Trouble::Said("it asks for a decision itself".into())));
            return None;
        }
        let now = Python::try_attach(|py| match self.read(py) {
            Ok(now) => Some(now),
            Err(trouble) => {
                TROUBLE.set(Some(trouble));
                None
            }
        });
        READING.set(false);
        now.flatten()
    }
}

impl Callable {
    fn read(&self, py: Python<'_>) -> Result<Timestamp, Trouble> {
        let now = self.0.bind(py).call0().map_err(|error| match is_urgent(py, &error) {
            true => Trouble::Raised(error),
            false => Trouble::Said(format!("it raised `{}`", describe(py, &error))),
        })?;
        match instant(&now).and_then(|at| at.map(Instant::rounded_down).transpose()) {
            Ok(Some(at)) => Ok(at),
            Ok(None) => Err(Trouble::Said(format!("it gave `{}`, not an aware datetime", kind(&now)))),
            Err(refusal) => Err(refusal.text().map_or_else(Trouble::Raised, Trouble::Said)),
        }
    }
}
