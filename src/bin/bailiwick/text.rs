//! Text for people: 80 columns, uids and answers in words.

use std::io::Write;

use bailiwick::{grc, Bundle, Decision, Entity, EntityUid, Request, Value};

const WIDTH: usize = 80;

/// Writes `text` behind `first`, its further lines behind `rest`, in at most 80 columns. Longer words stay whole.
pub(crate) fn wrapped(out: &mut dyn Write, first: &str, rest: &str, text: &str) -> std::io::Result<()> {
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(first)
        .subsequent_indent(rest)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    for line in textwrap::wrap(text, options) {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// `1 request`, `2 requests`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// A number with its thousands apart: `12,345`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A type without its namespace.
pub(crate) fn short(type_name: &str) -> &str {
    type_name.rsplit("::").next().unwrap_or(type_name)
}

/// A uid without its namespace: `Member eli`.
pub(crate) fn uid(uid: &EntityUid) -> String {
    format!("{} {}", short(uid.type_name()), uid.id().escape_debug())
}

/// A role by its label with its id, `Analyst (EMPLOYEE)`; the id alone where the model has no such role.
pub(crate) fn role(id: &str) -> String {
    match grc::Role::from_id(id) {
        Some(role) => format!("{} ({})", role.label(), role.id()),
        None => id.escape_debug().to_string(),
    }
}

/// The role of a stored principal, ` (Analyst, EMPLOYEE)`, to stand behind its uid.
pub(crate) fn role_of(principal: Option<&Entity>) -> String {
    let role = principal.and_then(|p| match p.attribute("role") {
        Some(Value::Entity(role)) => grc::Role::from_id(role.id()),
        _ => None,
    });
    role.map_or(String::new(), behind_uid)
}

/// A role to stand behind a uid: ` (Analyst, EMPLOYEE)`.
pub(crate) fn behind_uid(role: grc::Role) -> String {
    format!(" ({}, {})", role.label(), role.id())
}

/// What is asked, in words: `approve on Control c-1, with role Admin (ADMIN), at 2026-03-01T09:00:00.000Z`.
pub(crate) fn asked(request: &Request) -> String {
    let mut text = format!("{} on {}", request.action().id().escape_debug(), uid(request.resource().uid()));
    for (name, value) in request.context().iter() {
        match (name, value) {
            ("now", Value::Datetime(now)) => text += &format!(", at {now}"),
            _ => text += &format!(", with {} {}", name.escape_debug(), self::value(value)),
        }
    }
    text
}

fn value(value: &Value) -> String {
    match value {
        Value::Entity(of) if of.type_name() == "Grc::Role" => role(of.id()),
        Value::Entity(of) => uid(of),
        Value::String(text) => format!("`{}`", text.escape_debug()),
        Value::Datetime(at) => at.to_string(),
        Value::Record(fields) => match (fields.len(), fields.get("from"), fields.get("to")) {
            (2, Some(Value::Datetime(from)), Some(Value::Datetime(to))) => format!("{from} to {to}"),
            _ => value.to_json().to_string(),
        },
        _ => value.to_json().to_string(),
    }
}

/// The reasons of a decision in short: `by wall.read-only`, `no policy permits it`, an error.
pub(crate) fn reasons(decision: &Decision) -> String {
    let mut parts = Vec::new();
    let ids: Vec<&str> = decision.determining().collect();
    if !ids.is_empty() {
        parts.push(format!("by {}", ids.join(", ")));
    } else if !decision.allowed() && decision.errors().len() == 0 {
        parts.push("no policy permits it".into());
    }
    parts.extend(decision.errors().map(error));
    parts.join("; ")
}

/// An error met while deciding, with the policy it is of and its code.
pub(crate) fn error(error: &bailiwick::DecisionError) -> String {
    let of = error.policy().map_or(String::new(), |id| format!(" in {id}"));
    format!("error{of}: {} ({})", error.message(), error.code())
}

/// The `@doc` of a policy.
pub(crate) fn doc<'a>(bundle: &'a Bundle, id: &str) -> &'a str {
    bundle.policy(id).and_then(|p| p.doc()).unwrap_or_default()
}
