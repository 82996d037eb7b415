//! The extension module behind the Python package `bailiwick`.
//!
//! Reading order: `errors`, `read` (Python objects → the library's trees and values), `show` (back again), `values`
//! (uids, entities, requests), `decision`, `clock`, `authorizer`.

mod errors;
mod query;
mod read;
mod show;
mod values;
mod decision;
mod clock;
mod authorizer;

/// The compiled part of the package `bailiwick`, which says what of it is public.
#[pyo3::pymodule]
mod _bailiwick {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::authorizer::PyAuthorizer;
    #[pymodule_export]
    use crate::decision::{restore, PyDecision, PyDecisionError, PyRevision};
    #[pymodule_export]
    use crate::query::{PyAllowedActions, PyFound};
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::read::Kinds::get(module.py()).map(|_| ())
    }

    #[pymodule_export]
    use crate::values::{PyEntity, PyEntityUid, PyRequest};
}
