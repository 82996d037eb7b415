//! Tables: one case for many requests, with rows of who is allowed what, and everybody else denied.

use std::collections::{BTreeMap, BTreeSet};

use super::cases::{decides, Expected, Fault};
use crate::bundle::Bundle;
use crate::entities::request_from_tree;
use crate::model::json::Json;
use crate::model::Request;

/// One request of a table, and the answer it must get.
pub(super) struct Cell {
    pub(super) name: String,
    pub(super) request: Request,
    pub(super) expected: Expected,
}

/// All requests of a table: each principal asks each action of a row on each of the row's resources.
pub(super) fn read(bundle: &Bundle, policies: Option<&Bundle>, table: &Json) -> Result<Vec<Cell>, Fault> {
    const KEYS: [&str; 7] = ["name", "description", "source", "entities", "context", "principals", "rows"];
    table.fields("the table", &KEYS).map_err(|e| Fault::at("rows", e))?;
    let Some(Json::Object(principals)) = table.get("principals") else {
        return Err(Fault::at("principals", "is no object of principals by the names that the rows use"));
    };
    let Some(Json::Array(rows)) = table.get("rows") else {
        return Err(Fault::at("rows", "is no array of rows"));
    };
    let mut cells = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let fail = |message: String| Fault::at("rows", format!("row {}: {message}", index + 1));
        row.fields("it", &["action", "resource", "context", "allow", "deny"]).map_err(fail)?;
        let (actions, resources) = (texts(row, "action").map_err(fail)?, texts(row, "resource").map_err(fail)?);
        let context = Json::Object([fields(table)?, fields(row)?].concat());
        let allowed = answers(policies, row, "allow", principals).map_err(fail)?;
        let denied = answers(policies, row, "deny", principals).map_err(fail)?;
        for ((label, principal), action, resource) in product(principals, &actions, &resources) {
            let request = [("principal", principal), ("action", action), ("resource", resource), ("context", &context)];
            let request = Json::Object(request.map(|(key, value)| (key.to_owned(), value.clone())).into());
            let request = request_from_tree(bundle, &request).map_err(|e| fail(e.to_string()))?;
            let expected = match (allowed.get(label), denied.get(label)) {
                (Some(_), Some(_)) => return Err(fail(format!("`{label}` is under `allow` and under `deny`"))),
                (Some(reason), None) => Expected { allow: true, reason: reason.clone(), ..Expected::default() },
                (None, Some(reason)) => Expected { reason: reason.clone(), ..Expected::default() },
                (None, None) => Expected::default(),
            };
            let name = format!("{label} {} on {}", request.action().id(), request.resource().uid());
            cells.push(Cell { name, request, expected });
        }
    }
    Ok(cells)
}

type Field = (String, Json);

fn product<'a>(
    principals: &'a [Field],
    actions: &'a [Json],
    resources: &'a [Json],
) -> impl Iterator<Item = (&'a Field, &'a Json, &'a Json)> {
    actions.iter().flat_map(move |action| {
        resources.iter().flat_map(move |resource| principals.iter().map(move |who| (who, action, resource)))
    })
}

/// The context of the table or of a row, which adds to it.
fn fields(json: &Json) -> Result<Vec<Field>, Fault> {
    match json.get("context") {
        None => Ok(Vec::new()),
        Some(Json::Object(fields)) => Ok(fields.clone()),
        Some(_) => Err(Fault::at("context", "is no object")),
    }
}

/// One text or an array of them.
fn texts(row: &Json, key: &str) -> Result<Vec<Json>, String> {
    match row.get(key) {
        Some(text @ Json::String(_)) => Ok(vec![text.clone()]),
        Some(Json::Array(items)) if !items.is_empty() => Ok(items.clone()),
        _ => Err(format!("`{key}` is neither a text nor an array of texts")),
    }
}

/// The policies that answer each principal, from `{policy: "all" or [principals]}`.
fn answers(
    policies: Option<&Bundle>,
    row: &Json,
    key: &str,
    principals: &[Field],
) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let answers = match row.get(key) {
        None => return Ok(out),
        Some(Json::Object(answers)) => answers,
        Some(_) => return Err(format!("`{key}` is no object of principals by policy")),
    };
    for (id, who) in answers {
        let id = decides(policies, id, key == "allow").map_err(|e| format!("`{key}` {e}"))?;
        let who: Vec<&String> = match who {
            Json::String(all) if all == "all" => principals.iter().map(|(label, _)| label).collect(),
            Json::Array(labels) => labels
                .iter()
                .map(|label| match label {
                    Json::String(label) if principals.iter().any(|(known, _)| known == label) => Ok(label),
                    Json::String(label) => Err(format!("`{label}` is not among the table's `principals`")),
                    _ => Err(format!("`{key}` is no object of principals by policy")),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(format!("`{id}` has neither `\"all\"` nor an array of principals")),
        };
        for label in who {
            out.entry(label.clone()).or_default().insert(id.clone());
        }
    }
    Ok(out)
}
