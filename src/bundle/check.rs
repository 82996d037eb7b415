//! What a reviewer should look at in policies that are valid: missing `@doc`s and forbids that could fail open.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::{load, Bundle, Finding, Policy};

pub(super) fn check(bundle: &Bundle) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut templates = HashSet::new();
    for cedar in bundle.inner.sets.get().all.policies.policies() {
        let Some(policy) = bundle.policy(cedar.id().as_ref()) else {
            continue;
        };
        // What is wrong with a template is wrong with every policy linked from it.
        if policy.template().is_some_and(|template| !templates.insert(template)) {
            continue;
        }
        let mut note = |message: String, help: &str| {
            findings.push(load::finding_of(bundle.sources(), policy, message).warning().with_help(help));
        };
        if policy.doc().is_none_or(|doc| doc.trim().is_empty()) {
            note(format!("`{}` has no `@doc`", policy.id), "say in one sentence what it is for");
        }
        if !policy.is_forbid() {
            continue;
        }
        let Ok(json) = cedar.to_json() else { continue };
        let conditions = json.get("conditions").and_then(Json::as_array).into_iter().flatten();
        for condition in conditions {
            if condition.get("kind").and_then(Json::as_str) == Some("when") {
                note(
                    format!("`{}` forbids what is bad; what nobody thought of stays allowed", policy.id),
                    "write `forbid (…) unless { what is good }`",
                );
            }
            for unguarded in unguarded(condition) {
                note(
                    format!(
                        "`{}` reads `{unguarded}` without `has`: where it is missing the forbid is skipped",
                        policy.id
                    ),
                    "guard it: `resource has attribute && …`",
                );
            }
        }
    }
    let place = |p: &Policy| bundle.policies().iter().position(|q| q.id == p.id);
    findings.sort_by_key(|f| f.policy().and_then(|id| bundle.policy(id)).and_then(place));
    findings
}

/// Attributes of principal and resource that a condition reads, and never asks whether they are there.
fn unguarded(condition: &Json) -> Vec<String> {
    let (mut read, mut guarded) = (Vec::new(), Vec::new());
    walk(condition, &mut |operator, operand| {
        let attribute = operand.get("attr").and_then(Json::as_str);
        if let (Some(path), Some(attribute)) = (operand.get("left").and_then(variable), attribute) {
            match operator {
                "." => read.push(format!("{path}.{attribute}")),
                "has" => guarded.push(format!("{path}.{attribute}")),
                _ => {}
            }
        }
    });
    read.sort();
    read.dedup();
    read.retain(|path| !guarded.contains(path));
    read
}

/// `principal` or `resource`, for an access that reads directly from one of them.
fn variable(json: &Json) -> Option<&str> {
    json.get("Var").and_then(Json::as_str).filter(|v| ["principal", "resource"].contains(v))
}

fn walk(json: &Json, f: &mut impl FnMut(&str, &Json)) {
    match json {
        Json::Object(map) => {
            for (operator, operand) in map {
                f(operator, operand);
                walk(operand, f);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| walk(item, f)),
        _ => {}
    }
}
