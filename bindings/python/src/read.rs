//! Python objects → the trees that the library reads, which finds the types with the schema's help.
//!
//! An object is taken for what it holds. Subclasses of the built-in types are read below their own methods, so that
//! none of their code runs; the one thing called is the timezone of a `datetime`.

use std::net::IpAddr;

use bailiwick::model::Json;
use bailiwick::{Timestamp, Value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyIterator, PyList, PySet, PyString, PyTuple, PyType};

use crate::errors::{describe, is_urgent, kind, request_error, shorten};
use crate::values::{PyEntity, PyEntityUid};

/// Deepest nesting followed. The library's own limit of 64 comes first, and says where.
const DEPTH: usize = 70;
/// Most values of one context or entity: what is shared many times over is counted as often.
const VALUES: usize = 1_000_000;
/// Most bytes of text in one context or entity.
const TEXT: usize = 64 << 20;

/// Why an object cannot be read.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is nothing the library takes; where, innermost step first.
    Wrong { steps: Vec<String>, message: String },
    /// Python raised what must be passed on.
    Raised(PyErr),
}

impl Refusal {
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Refusal::Wrong { steps: Vec::new(), message: message.into() }
    }

    /// What Python raised in code that the object brought along.
    fn raised(py: Python<'_>, what: &str, error: PyErr) -> Self {
        if is_urgent(py, &error) {
            Refusal::Raised(error)
        } else {
            Refusal::wrong(format!("{what} raised `{}`", describe(py, &error)))
        }
    }

    fn at(mut self, step: &str) -> Self {
        if let Refusal::Wrong { steps, .. } = &mut self {
            steps.push(shorten(step));
        }
        self
    }

    /// The refusal of a part that is called `name`.
    pub(crate) fn within(self, name: &str) -> Self {
        match self.text() {
            Ok(text) => Refusal::wrong(format!("`{name}`: {text}")),
            Err(error) => Refusal::Raised(error),
        }
    }

    /// The message, with the place before it.
    pub(crate) fn text(self) -> Result<String, PyErr> {
        match self {
            Refusal::Raised(error) => Err(error),
            Refusal::Wrong { steps, message } if steps.is_empty() => Ok(message),
            Refusal::Wrong { mut steps, message } => {
                steps.reverse();
                steps.truncate(8);
                Ok(format!("`{}`: {message}", steps.join(".")))
            }
        }
    }
}

/// Where a request is read, a refusal is a `RequestError`.
impl From<Refusal> for PyErr {
    fn from(refusal: Refusal) -> Self {
        match refusal.text() {
            Ok(message) => request_error(&message, None),
            Err(error) => error,
        }
    }
}

pub(crate) type Read<T> = Result<T, Refusal>;

/// A text's content, which Python may have let be something else than Unicode.
pub(crate) fn text<'a>(text: &'a Bound<'_, PyString>) -> Read<&'a str> {
    text.to_str().map_err(|_| Refusal::wrong("the text has a lone surrogate, which is no character"))
}

type Items<'py> = Box<dyn Iterator<Item = PyResult<Bound<'py, PyAny>>> + 'py>;

/// The items of a list, or of whatever else gives them one after the other but a text or a dict; none of other objects.
pub(crate) fn items<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Items<'py>>> {
    if let Ok(list) = object.cast::<PyList>() {
        return Ok(Some(Box::new(list.to_tuple().into_iter().map(Ok))));
    }
    if let Ok(tuple) = object.cast::<PyTuple>() {
        return Ok(Some(Box::new(tuple.clone().into_iter().map(Ok))));
    }
    if object.cast::<PyString>().is_ok() || object.cast::<PyDict>().is_ok() {
        return Ok(None);
    }
    if let Some(items) = set_items(object)? {
        return Ok(Some(Box::new(items)));
    }
    match object.try_iter() {
        Ok(items) => Ok(Some(Box::new(items))),
        Err(error) if is_urgent(object.py(), &error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The elements of a set or frozenset, by the iterator of that class itself.
fn set_items<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyIterator>>> {
    let py = object.py();
    let class = if object.cast::<PySet>().is_ok() {
        py.get_type::<PySet>()
    } else if object.cast::<PyFrozenSet>().is_ok() {
        py.get_type::<PyFrozenSet>()
    } else {
        return Ok(None);
    };
    Ok(Some(class.getattr("__iter__")?.call1((object,))?.cast_into::<PyIterator>()?))
}

/// Reads an object as a tree.
pub(crate) fn tree(object: &Bound<'_, PyAny>) -> Read<Json> {
    Reader { values: VALUES, text: TEXT }.value(object, 0)
}

struct Reader {
    values: usize,
    text: usize,
}

impl Reader {
    fn value(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> Read<Json> {
        if depth > DEPTH {
            return Err(Refusal::wrong("nested too deep, or it holds itself"));
        }
        self.values = self.values.checked_sub(1).ok_or_else(|| Refusal::wrong("more than 1,000,000 values"))?;
        if let Ok(text) = object.cast::<PyString>() {
            return self.string(text).map(Json::String);
        }
        if let Ok(truth) = object.cast::<PyBool>() {
            return Ok(Json::Bool(truth.is_true()));
        }
        if let Ok(number) = object.cast::<PyInt>() {
            return number.extract().map(Json::Long).map_err(|_| Refusal::wrong("the integer is beyond 64 bits"));
        }
        if let Ok(dict) = object.cast::<PyDict>() {
            return self.dict(dict, depth).map(Json::Object);
        }
        if let Ok(list) = object.cast::<PyList>() {
            // A copy: a timezone's code could change the list while it is read.
            return self.items(list.to_tuple().iter().map(Ok), depth);
        }
        if let Ok(tuple) = object.cast::<PyTuple>() {
            return self.items(tuple.iter().map(Ok), depth);
        }
        if let Ok(uid) = object.cast::<PyEntityUid>() {
            return Ok(Json::Typed(Value::Entity(uid.get().0.clone())));
        }
        if let Some(items) = set_items(object).map_err(|error| Refusal::raised(object.py(), "the set", error))? {
            let raised = |error| Refusal::raised(object.py(), "the set", error);
            return self.items(items.map(|item| item.map_err(raised)), depth);
        }
        extension(object).map(Json::Typed)
    }

    fn string(&mut self, string: &Bound<'_, PyString>) -> Read<String> {
        let text = text(string)?;
        self.text = self.text.checked_sub(text.len()).ok_or_else(|| Refusal::wrong("more than 64 MiB of text"))?;
        Ok(text.to_owned())
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Read<Vec<(String, Json)>> {
        let items = dict.items();
        let mut fields: Vec<(String, Json)> = Vec::with_capacity(items.len());
        let mut odd = false;
        for item in items.iter() {
            let pair = item.cast::<PyTuple>().map_err(|_| Refusal::wrong("not a dict as it should be"))?;
            let (key, value) = match (pair.get_item(0), pair.get_item(1)) {
                (Ok(key), Ok(value)) => (key, value),
                _ => return Err(Refusal::wrong("not a dict as it should be")),
            };
            let key = key
                .cast::<PyString>()
                .map_err(|_| Refusal::wrong(format!("a key is of type `{}`; keys are texts", kind(&key))))?;
            odd |= !key.is_exact_instance_of::<PyString>();
            let name = self.string(key)?;
            let value = self.value(&value, depth + 1).map_err(|refusal| refusal.at(&name))?;
            fields.push((name, value));
        }
        // Only a subclass of `str` with an equality of its own can bring a key twice.
        if odd {
            let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first())) {
                return Err(Refusal::wrong(format!("duplicate key `{}`", shorten(twice.copied().unwrap_or_default()))));
            }
        }
        Ok(fields)
    }

    fn items<'py>(&mut self, items: impl Iterator<Item = Read<Bound<'py, PyAny>>>, depth: usize) -> Read<Json> {
        items.map(|item| self.value(&item?, depth + 1)).collect::<Read<_>>().map(Json::Array)
    }
}

/// What is needed of Python's own modules, taken when the package is imported.
pub(crate) struct Kinds {
    pub(crate) epoch: Py<PyAny>,
    datetime: Py<PyType>,
    datetime_minus: Py<PyAny>,
    datetime_offset: Py<PyAny>,
    pub(crate) timedelta: Py<PyType>,
    timedelta_plus: Py<PyAny>,
    pub(crate) decimal: Py<PyType>,
    decimal_parts: Py<PyAny>,
    /// Addresses, networks and interfaces, and how to get at address and prefix length.
    ip: Vec<(Py<PyType>, Option<&'static str>, Option<&'static str>)>,
}

impl Kinds {
    pub(crate) fn get(py: Python<'_>) -> PyResult<&Self> {
        static KINDS: PyOnceLock<Kinds> = PyOnceLock::new();
        KINDS.get_or_try_init(py, || {
            let class =
                |module: &str, name: &str| Ok::<_, PyErr>(py.import(module)?.getattr(name)?.cast_into::<PyType>()?);
            let (datetime, timedelta) = (class("datetime", "datetime")?, class("datetime", "timedelta")?);
            let decimal = class("decimal", "Decimal")?;
            let utc = py.import("datetime")?.getattr("timezone")?.getattr("utc")?;
            let mut ip = Vec::new();
            for (suffix, address, prefix) in [
                ("Address", None, None),
                ("Network", Some("network_address"), Some("prefixlen")),
                ("Interface", Some("ip"), Some("network")),
            ] {
                for version in ["IPv4", "IPv6"] {
                    ip.push((class("ipaddress", &format!("{version}{suffix}"))?.unbind(), address, prefix));
                }
            }
            Ok(Kinds {
                epoch: datetime.call1((1970, 1, 1, 0, 0, 0, 0, utc))?.unbind(),
                datetime_minus: datetime.getattr("__sub__")?.unbind(),
                datetime_offset: datetime.getattr("utcoffset")?.unbind(),
                datetime: datetime.unbind(),
                timedelta_plus: timedelta.getattr("__pos__")?.unbind(),
                timedelta: timedelta.unbind(),
                decimal_parts: decimal.getattr("as_tuple")?.unbind(),
                decimal: decimal.unbind(),
                ip,
            })
        })
    }
}

/// Whether an object is of this class or a subclass, whatever it says of itself.
fn is_a(object: &Bound<'_, PyAny>, class: &Py<PyType>) -> Read<bool> {
    object.get_type().is_subclass(class.bind(object.py())).map_err(Refusal::Raised)
}

/// A value of one of Cedar's extension types; everything else is refused here, by name.
fn extension(object: &Bound<'_, PyAny>) -> Read<Value> {
    let py = object.py();
    let kinds = Kinds::get(py).map_err(Refusal::Raised)?;
    if let Some(at) = instant(object)? {
        return at.exact().map(Value::Datetime);
    }
    if is_a(object, &kinds.timedelta)? {
        let plain = kinds.timedelta_plus.bind(py).call1((object,));
        let micros = plain.and_then(|plain| micros(&plain)).map_err(|e| Refusal::raised(py, "the timedelta", e))?;
        if micros % 1000 != 0 {
            return Err(Refusal::wrong("the timedelta is finer than a millisecond; round it"));
        }
        let millis = i64::try_from(micros / 1000);
        return millis.map(Value::Duration).map_err(|_| Refusal::wrong("the timedelta is beyond 64 bits"));
    }
    if is_a(object, &kinds.decimal)? {
        return decimal(kinds, object).map(Value::Decimal);
    }
    let ip = kinds.ip.iter().find(|(class, ..)| object.is_exact_instance(class.bind(py)));
    if let Some((_, address, prefix)) = ip {
        return ip_value(object, *address, *prefix);
    }
    Err(Refusal::wrong(if object.is_none() {
        "None is not a value; leave the key out".to_owned()
    } else if object.cast::<PyFloat>().is_ok() {
        "a float is not a value; give an int, or a `Decimal` with up to 4 places".to_owned()
    } else if object.cast::<PyEntity>().is_ok() {
        "an entity is not a value; give its `uid`".to_owned()
    } else {
        format!("`{}` is not a type of value", kind(object))
    }))
}

/// An instant that may be finer than the library takes.
pub(crate) struct Instant(i128);

impl Instant {
    /// The instant, to the millisecond.
    pub(crate) fn exact(self) -> Read<Timestamp> {
        if self.0 % 1000 != 0 {
            return Err(Refusal::wrong(
                "the datetime is finer than a millisecond; cut it: `at.replace(microsecond=at.microsecond // 1000 * 1000)`",
            ));
        }
        self.rounded_down()
    }

    /// The instant, rounded down: how clocks are read.
    pub(crate) fn rounded_down(self) -> Read<Timestamp> {
        let instant = i64::try_from(self.0.div_euclid(1000)).ok().and_then(Timestamp::from_millis);
        instant.ok_or_else(|| Refusal::wrong("the datetime is outside the years 0000 to 9999 in UTC"))
    }
}

/// The instant of a datetime; none for other objects.
pub(crate) fn instant(object: &Bound<'_, PyAny>) -> Read<Option<Instant>> {
    let py = object.py();
    let kinds = Kinds::get(py).map_err(Refusal::Raised)?;
    if !is_a(object, &kinds.datetime)? {
        return Ok(None);
    }
    let raised = |error| Refusal::raised(py, "the datetime's timezone", error);
    let offset = kinds.datetime_offset.bind(py).call1((object,)).map_err(raised)?;
    if offset.is_none() {
        return Err(Refusal::wrong("the datetime is naive; give it a timezone, such as `timezone.utc`"));
    }
    let since = kinds.datetime_minus.bind(py).call1((object, &kinds.epoch));
    since.and_then(|since| micros(&since)).map(|micros| Some(Instant(micros))).map_err(raised)
}

/// The length of a plain timedelta.
fn micros(delta: &Bound<'_, PyAny>) -> PyResult<i128> {
    let part = |name| delta.getattr(name)?.extract::<i64>().map(i128::from);
    Ok((part("days")? * 86_400 + part("seconds")?) * 1_000_000 + part("microseconds")?)
}

/// A decimal in ten-thousandths.
fn decimal(kinds: &Kinds, object: &Bound<'_, PyAny>) -> Read<i64> {
    let py = object.py();
    let parts = kinds.decimal_parts.bind(py).call1((object,)).map_err(|e| Refusal::raised(py, "the Decimal", e))?;
    let parts: (u8, Bound<'_, PyTuple>, Bound<'_, PyAny>) =
        parts.extract().map_err(|e| Refusal::raised(py, "the Decimal", e))?;
    let (sign, digits, exponent) = parts;
    let Ok(exponent) = exponent.extract::<i64>() else {
        return Err(Refusal::wrong("the Decimal is not a finite number"));
    };
    let range = || Refusal::wrong("the Decimal is beyond ±922337203685477.5807");
    let mut total: i128 = 0;
    let last = i64::try_from(digits.len()).map_err(|_| range())?.saturating_add(exponent).saturating_add(4);
    for (at, digit) in (0_i64..).zip(digits.iter()) {
        let digit = digit.extract::<u8>().map_err(|e| Refusal::raised(py, "the Decimal", e))?;
        if at >= last {
            if digit != 0 {
                return Err(Refusal::wrong("the Decimal has more than 4 places; round it"));
            }
        } else if total != 0 || digit != 0 {
            // Stops the digits, however many, once they are past the range.
            total = total.checked_mul(10).filter(|t| *t < 1 << 100).ok_or_else(range)? + i128::from(digit);
        }
    }
    let zeros = last.saturating_sub(i64::try_from(digits.len()).map_err(|_| range())?);
    if total != 0 && zeros > 0 {
        let factor = u32::try_from(zeros).ok().filter(|z| *z < 20).ok_or_else(range)?;
        total = total.checked_mul(10_i128.pow(factor)).ok_or_else(range)?;
    }
    i64::try_from(if sign == 0 { total } else { -total }).map_err(|_| range())
}

fn ip_value(object: &Bound<'_, PyAny>, address: Option<&str>, prefix: Option<&str>) -> Read<Value> {
    let py = object.py();
    let read = || -> PyResult<(IpAddr, u8, bool)> {
        let own = match address {
            Some(name) => object.getattr(name)?,
            None => object.clone(),
        };
        let packed: Vec<u8> = own.getattr("packed")?.extract()?;
        let (ip, most): (IpAddr, u8) = match (<[u8; 4]>::try_from(packed.as_slice()), packed.as_slice().try_into()) {
            (Ok(four), _) => (four.into(), 32),
            (_, Ok(sixteen)) => (<[u8; 16]>::into(sixteen), 128),
            _ => return Err(PyTypeError::new_err("neither 4 nor 16 bytes")),
        };
        let prefix: u8 = match prefix {
            None => most,
            Some("network") => object.getattr("network")?.getattr("prefixlen")?.extract()?,
            Some(name) => object.getattr(name)?.extract()?,
        };
        let scoped = ip.is_ipv6() && !own.getattr("scope_id")?.is_none();
        Ok((ip, prefix.min(most), scoped))
    };
    match read().map_err(|error| Refusal::raised(py, "the IP address", error))? {
        (.., true) => Err(Refusal::wrong("an IP address with a scope is not a value")),
        (ip, prefix, false) => Ok(Value::Ip(ip, prefix)),
    }
}
