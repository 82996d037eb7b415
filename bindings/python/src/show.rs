//! The library's trees and values → Python objects.

use bailiwick::model::Json;
use bailiwick::{Timestamp, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use pyo3::IntoPyObjectExt;

use crate::read::Kinds;
use crate::values::PyEntityUid;

/// A tree as Python objects: what was given, but that tuples and sets come back as lists.
pub(crate) fn tree<'py>(py: Python<'py>, json: &Json) -> PyResult<Bound<'py, PyAny>> {
    match json {
        Json::Null => Ok(py.None().into_bound(py)),
        Json::Bool(truth) => truth.into_bound_py_any(py),
        Json::Long(number) => number.into_bound_py_any(py),
        Json::String(text) => text.into_bound_py_any(py),
        Json::Array(items) => {
            let items = items.iter().map(|item| tree(py, item)).collect::<PyResult<Vec<_>>>()?;
            Ok(PyList::new(py, items)?.into_any())
        }
        Json::Object(fields) => Ok(record(py, fields)?.into_any()),
        Json::Typed(value) => typed(py, value),
    }
}

pub(crate) fn record<'py>(py: Python<'py>, fields: &[(String, Json)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in fields {
        dict.set_item(name, tree(py, value)?)?;
    }
    Ok(dict)
}

/// An instant as a `datetime` in UTC. Python raises `OverflowError` before the year 1.
pub(crate) fn datetime<'py>(py: Python<'py>, at: Timestamp) -> PyResult<Bound<'py, PyAny>> {
    Kinds::get(py)?.epoch.bind(py).add(duration(py, at.millis())?)
}

fn duration(py: Python<'_>, millis: i64) -> PyResult<Bound<'_, PyAny>> {
    let (days, millis) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    Kinds::get(py)?.timedelta.bind(py).call1((days, 0, 0, millis))
}

/// A value that has no form in a tree of texts, numbers and objects.
fn typed<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Entity(uid) => PyEntityUid(uid.clone()).into_bound_py_any(py),
        Value::Datetime(at) => datetime(py, *at),
        Value::Duration(millis) => duration(py, *millis),
        Value::Decimal(number) => {
            // Exact, whatever the thread's decimal context says: a constructor does not round.
            let (whole, places) = (number.unsigned_abs() / 10_000, number.unsigned_abs() % 10_000);
            let sign = if *number < 0 { "-" } else { "" };
            Kinds::get(py)?.decimal.bind(py).call1((format!("{sign}{whole}.{places:04}"),))
        }
        Value::Ip(address, prefix) => {
            let whole = *prefix == if address.is_ipv4() { 32 } else { 128 };
            let module = py.import("ipaddress")?;
            if whole {
                return module.call_method1("ip_address", (address.to_string(),));
            }
            module.call_method1("ip_interface", (format!("{address}/{prefix}"),))
        }
        // INVARIANT: `read` types only the kinds above; the rest stays a tree.
        other => other.to_json().to_string().into_bound_py_any(py),
    }
}
