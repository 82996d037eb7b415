//! Values of attributes, tags and contexts, and their text forms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use super::EntityUid;

/// A value in Cedar's types.
///
/// Sets and records nest as deep as a program likes; what nests deeper than 64 is refused wherever it is given. Dropping
/// a value needs no more stack the deeper it is. Cloning, comparing, hashing and printing do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit integer.
    Long(i64),
    /// A text.
    String(String),
    /// A reference to an entity.
    Entity(EntityUid),
    /// A set, without order or repetition.
    Set(BTreeSet<Value>),
    /// A record.
    Record(BTreeMap<String, Value>),
    /// An instant.
    Datetime(Timestamp),
    /// A duration in milliseconds.
    Duration(i64),
    /// A decimal, in ten-thousandths.
    Decimal(i64),
    /// An IP address or a range, with its prefix length.
    Ip(IpAddr, u8),
}

impl Drop for Value {
    /// One after the other: were each dropped within the one that holds it, a deep value would exhaust the stack.
    fn drop(&mut self) {
        let mut nested = Vec::new();
        self.take_nested(&mut nested);
        while let Some(mut value) = nested.pop() {
            value.take_nested(&mut nested);
        }
    }
}

/// An instant: milliseconds since 1970-01-01T00:00:00Z, in the years 0000 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

const DAY: i64 = 86_400_000;

impl Timestamp {
    /// 0000-01-01T00:00:00.000Z.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The instant `millis` milliseconds after 1970-01-01T00:00:00Z; none outside the years 0000 to 9999.
    pub fn from_millis(millis: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&millis).then_some(Self(millis))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Reads Cedar's forms: `2026-03-01`, `2026-03-01T09:30:00Z`, `….250Z`, and an offset such as `+0100` for `Z`.
    /// Finer than a millisecond, or outside the years 0000 to 9999, is none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_any(text).filter(|at| at.is_in_range())
    }

    /// Whether it is in the years 0000 to 9999. INVARIANT: only what is read for [`crate::ErrorMode::Cedar`] is not.
    pub(crate) fn is_in_range(self) -> bool {
        (Self::MIN..=Self::MAX).contains(&self)
    }

    /// Any instant of Cedar's.
    pub(crate) fn any(millis: i64) -> Self {
        Self(millis)
    }

    /// As [`Timestamp::parse`]; an offset may lead out of the years 0000 to 9999.
    pub(crate) fn parse_any(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let digits = |from: usize, len: usize| -> Option<i64> {
            let part = text.get(from..from + len)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
        };
        let is = |at: usize, c: u8| bytes.get(at) == Some(&c);
        let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
        if !is(4, b'-') || !is(7, b'-') || !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
            return None;
        }
        let mut millis = days_from_civil(year, month, day) * DAY;
        if bytes.len() > 10 {
            let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
            if !is(10, b'T') || !is(13, b':') || !is(16, b':') || hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            millis += ((hour * 60 + minute) * 60 + second) * 1000;
            let mut at = 19;
            if is(at, b'.') {
                millis += digits(20, 3)?;
                at = 23;
            }
            match bytes.get(at)? {
                b'Z' if bytes.len() == at + 1 => {}
                sign @ (b'+' | b'-') if bytes.len() == at + 5 => {
                    let (hours, minutes) = (digits(at + 1, 2)?, digits(at + 3, 2)?);
                    if hours > 23 || minutes > 59 {
                        return None;
                    }
                    let offset = (hours * 60 + minutes) * 60_000;
                    millis += if *sign == b'+' { -offset } else { offset };
                }
                _ => return None,
            }
        }
        Some(Self(millis))
    }
}

/// Reads an instant in Cedar's form, as milliseconds since 1970; an offset may lead out of the years 0000 to 9999.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    Timestamp::parse_any(text).map(Timestamp::millis)
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY));
        let rest = self.0.rem_euclid(DAY);
        let (hour, minute, second, ms) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads a duration in Cedar's form, `1d2h3m4s5ms` with an optional `-` before it, as milliseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(end)?;
        let word = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        if end > 0 && tail.get(..word) == Some(unit) {
            let number: u64 = number.parse().ok()?;
            total = total.checked_add(i128::from(number) * factor)?;
            rest = tail.get(word..)?;
        }
    }
    let total = if negative { -total } else { total };
    rest.is_empty().then(|| i64::try_from(total).ok())?
}

/// Reads a decimal in Cedar's form, `-12.3456` with one to four places, as ten-thousandths.
pub(crate) fn parse_decimal(text: &str) -> Option<i64> {
    let (whole, places) = text.split_once('.')?;
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(places) || places.len() > 4 {
        return None;
    }
    let scaled: i64 = format!("{places:0<4}").parse().ok()?;
    let whole_scaled = whole.parse::<i64>().ok()?.checked_mul(10_000)?;
    if whole.starts_with('-') {
        whole_scaled.checked_sub(scaled)
    } else {
        whole_scaled.checked_add(scaled)
    }
}

/// Reads an IP address with an optional prefix length.
pub(crate) fn parse_ip(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    // Cedar has no IPv4 tail in an IPv6 address.
    if address.is_ipv6() && text.contains('.') {
        return None;
    }
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => most,
        Some(p) if p.bytes().all(|b| b.is_ascii_digit()) && (p == "0" || !p.starts_with('0')) => p.parse().ok()?,
        Some(_) => return None,
    };
    (prefix <= most).then_some((address, prefix))
}

impl Value {
    /// Deepest nesting of one value.
    pub(crate) const DEPTH: usize = 64;

    /// The value as Cedar's JSON, with `__entity` and `__extn` where JSON has no such type.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::json;
        let extension = |function: &str, arg: String| json!({"__extn": {"fn": function, "arg": arg}});
        match self {
            Value::Bool(b) => json!(b),
            Value::Long(n) => json!(n),
            Value::String(s) => json!(s),
            Value::Entity(uid) => json!({"__entity": {"type": uid.type_name(), "id": uid.id()}}),
            Value::Set(items) => items.iter().map(Value::to_json).collect(),
            Value::Record(fields) => {
                serde_json::Value::Object(fields.iter().map(|(k, v)| (k.clone(), v.to_json())).collect())
            }
            Value::Datetime(at) if !at.is_in_range() => {
                let epoch = extension("datetime", "1970-01-01".into());
                json!({"__extn": {"fn": "offset", "args": [epoch, Value::Duration(at.millis()).to_json()]}})
            }
            Value::Datetime(_) => extension("datetime", self.extension_text()),
            Value::Duration(_) => extension("duration", self.extension_text()),
            Value::Decimal(_) => extension("decimal", self.extension_text()),
            Value::Ip(..) => extension("ip", self.extension_text()),
        }
    }

    /// The argument of the extension constructor; empty for values of other types.
    ///
    /// Cedar has no IPv4 tail in an IPv6 address, as Rust writes it for some.
    pub(crate) fn extension_text(&self) -> String {
        match self {
            Value::Datetime(at) => at.to_string(),
            Value::Duration(ms) => format!("{ms}ms"),
            Value::Decimal(n) => {
                let sign = if *n < 0 { "-" } else { "" };
                let n = n.unsigned_abs();
                format!("{sign}{}.{:04}", n / 10_000, n % 10_000)
            }
            Value::Ip(IpAddr::V6(address), prefix) if address.to_string().contains('.') => {
                let groups = address.segments().map(|group| format!("{group:x}")).join(":");
                format!("{groups}/{prefix}")
            }
            Value::Ip(address, prefix) => format!("{address}/{prefix}"),
            _ => String::new(),
        }
    }

    pub(crate) fn to_cedar(&self) -> Result<cedar_policy::RestrictedExpression, super::UidError> {
        use cedar_policy::RestrictedExpression as E;
        Ok(match self {
            Value::Bool(b) => E::new_bool(*b),
            Value::Long(n) => E::new_long(*n),
            Value::String(s) => E::new_string(s.clone()),
            Value::Entity(uid) => E::new_entity_uid(uid.to_cedar()?),
            Value::Set(items) => E::new_set(items.iter().map(Value::to_cedar).collect::<Result<Vec<_>, _>>()?),
            Value::Record(fields) => {
                let fields = fields.iter().map(|(k, v)| Ok((k.clone(), v.to_cedar()?)));
                // The keys of a map are distinct, which is all that Cedar asks of a record.
                E::new_record(fields.collect::<Result<Vec<_>, super::UidError>>()?)
                    .unwrap_or_else(|_| E::new_bool(false))
            }
            Value::Datetime(at) if !at.is_in_range() => {
                let text = format!("datetime(\"1970-01-01\").offset(duration(\"{}ms\"))", at.millis());
                text.parse().map_err(|_| super::UidError::new(&text, "it is no instant"))?
            }
            Value::Datetime(_) => E::new_datetime(self.extension_text()),
            Value::Duration(_) => E::new_duration(self.extension_text()),
            Value::Decimal(_) => E::new_decimal(self.extension_text()),
            Value::Ip(..) => E::new_ip(self.extension_text()),
        })
    }

    /// Whether sets and records in it nest deeper than [`Value::DEPTH`]: what walks values recurses, and a value that a
    /// program has built can be deeper than any stack.
    pub(crate) fn is_too_deep(&self) -> bool {
        // INVARIANT: it goes no deeper than that itself.
        fn deeper(value: &Value, left: usize) -> bool {
            let too_deep = |value: &Value| left == 0 || deeper(value, left - 1);
            match value {
                Value::Set(items) => items.iter().any(too_deep),
                Value::Record(fields) => fields.values().any(too_deep),
                _ => false,
            }
        }
        deeper(self, Self::DEPTH)
    }

    /// Empties it, and keeps what is a set or a record itself.
    fn take_nested(&mut self, kept: &mut Vec<Value>) {
        let nests = |value: &Value| matches!(value, Value::Set(_) | Value::Record(_));
        match self {
            Value::Set(items) => kept.extend(std::mem::take(items).into_iter().filter(nests)),
            Value::Record(fields) => kept.extend(std::mem::take(fields).into_values().filter(nests)),
            _ => {}
        }
    }

    /// Calls `f` with every entity this value refers to.
    pub(crate) fn for_each_entity<'a>(&'a self, f: &mut impl FnMut(&'a EntityUid)) {
        match self {
            Value::Entity(uid) => f(uid),
            Value::Set(items) => items.iter().for_each(|v| v.for_each_entity(f)),
            Value::Record(fields) => fields.values().for_each(|v| v.for_each_entity(f)),
            _ => {}
        }
    }

    /// What kind of value this is, in the schema's words.
    pub(crate) fn type_word(&self) -> String {
        match self {
            Value::Bool(_) => "Bool".into(),
            Value::Long(_) => "Long".into(),
            Value::String(_) => "String".into(),
            Value::Entity(uid) => uid.type_name().into(),
            Value::Set(_) => "Set".into(),
            Value::Record(_) => "record".into(),
            Value::Datetime(_) => "datetime".into(),
            Value::Duration(_) => "duration".into(),
            Value::Decimal(_) => "decimal".into(),
            Value::Ip(..) => "ipaddr".into(),
        }
    }
}
