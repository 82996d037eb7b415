//! All changes of one step to a policy, in Cedar's JSON form.

use serde_json::{json, Value as Json};

use crate::judge::ask::{Action, Group, Verb};
use crate::judge::world::{AuditorStatus, Kind, Role};

/// A change: what was done, and the policy after it.
pub type Mutant = (String, Json);

const PRINCIPALS: [Kind; 3] = [Kind::Member, Kind::Guest, Kind::Auditor];
const MODULES: [(Group, &str); 7] = [
    (Group::Organization, "organization"),
    (Group::Team, "team"),
    (Group::Compliance, "compliance"),
    (Group::Psa, "psa"),
    (Group::Msp, "msp"),
    (Group::Project, "project"),
    (Group::Auditor, "auditor"),
];
const VERBS: [(Verb, &str); 3] = [(Verb::Read, "read"), (Verb::Write, "write"), (Verb::Portal, "portal")];

/// All mutants of a policy but its removal.
pub fn mutants(policy: &Json) -> Vec<Mutant> {
    let mut out = Vec::new();
    let with = |pointer: &str, value: Json| {
        let mut changed = policy.clone();
        *changed.pointer_mut(pointer).expect("a place in the policy") = value;
        changed
    };
    let flipped = if policy["effect"] == "permit" { "forbid" } else { "permit" };
    out.push(("effect flipped".into(), with("/effect", json!(flipped))));
    for part in ["principal", "resource"] {
        let scope = &policy[part];
        let pointer = format!("/{part}");
        if scope["op"] != "All" {
            out.push((format!("{part} widened to all"), with(&pointer, json!({"op": "All"}))));
        }
        if part == "principal" {
            for kind in PRINCIPALS.map(Kind::type_name).into_iter().filter(|name| scope["entity_type"] != *name) {
                let is = json!({"op": "is", "entity_type": kind});
                out.push((format!("principal to {}", short(kind)), with(&pointer, is)));
            }
        }
    }
    for (what, action) in actions(&policy["action"], &applicable(policy)) {
        out.push((what, with("/action", action)));
    }
    for (i, condition) in list(&policy["conditions"]).enumerate() {
        let mut fewer = policy["conditions"].as_array().expect("conditions").clone();
        fewer.remove(i);
        out.push((format!("condition {i} dropped"), with("/conditions", json!(fewer))));
        let other = if condition["kind"] == "when" { "unless" } else { "when" };
        out.push((format!("condition {i} to {other}"), with(&format!("/conditions/{i}/kind"), json!(other))));
        let body = format!("/conditions/{i}/body");
        walk(policy.pointer(&body).expect("a body"), &body, &mut |json, pointer| {
            let place = pointer.trim_start_matches("/conditions/").replacen("/body", "", 1).replace('/', ".");
            for (what, value) in changes(json, pointer == body, &applicable(policy)) {
                out.push((format!("{what} at {place}"), with(pointer, value)));
            }
        });
    }
    out
}

/// The actions that a policy's scope lets through.
pub fn scope(policy: &Json) -> Vec<Action> {
    let scope = &policy["action"];
    let named = |id: &str| scope["entity"]["id"] == id || list(&scope["entities"]).any(|entity| entity["id"] == id);
    let within = |a: &&Action| scope["op"] == "All" || named(a.name()) || groups_of(**a).into_iter().any(named);
    Action::ALL.iter().filter(within).copied().collect()
}

fn list(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

/// The actions that some request within the scope's types can have: adding another one changes nothing.
fn applicable(policy: &Json) -> Vec<Action> {
    let fits = |part: &str, kinds: &[Kind]| {
        policy[part]["entity_type"].as_str().is_none_or(|name| kinds.iter().any(|kind| kind.type_name() == name))
    };
    let fits = |a: &&Action| fits("principal", a.principals()) && fits("resource", a.resources());
    Action::ALL.iter().filter(fits).copied().collect()
}

fn short(type_name: &str) -> &str {
    type_name.trim_start_matches("Grc::")
}

fn action(id: &str) -> Json {
    json!({"type": "Grc::Action", "id": id})
}

fn groups_of(action: Action) -> [&'static str; 2] {
    let module = MODULES.iter().find(|(group, _)| *group == action.group()).expect("a module").1;
    [module, VERBS.iter().find(|(verb, _)| *verb == action.verb()).expect("a verb").1]
}

/// All action groups.
fn groups() -> Vec<&'static str> {
    MODULES.iter().map(|m| m.1).chain(VERBS.iter().map(|v| v.1)).collect()
}

fn is_group(id: &str) -> bool {
    Action::ALL.iter().all(|action| action.name() != id)
}

/// Changes to the action part of a scope.
fn actions(scope: &Json, applicable: &[Action]) -> Vec<Mutant> {
    let mut out = Vec::new();
    let list = |ids: &[String]| json!({"op": "in", "entities": ids.iter().map(|id| action(id)).collect::<Vec<_>>()});
    if scope["op"] == "All" {
        for (_, verb) in VERBS {
            out.push((format!("action narrowed to {verb}"), list(&[verb.to_owned()])));
        }
        return out;
    }
    out.push(("action widened to all".into(), json!({"op": "All"})));
    let ids: Vec<String> = match (&scope["entity"]["id"], scope["entities"].as_array()) {
        (Json::String(id), _) => vec![id.clone()],
        (_, Some(entities)) => entities.iter().map(|e| e["id"].as_str().expect("an id").to_owned()).collect(),
        _ => panic!("an action scope without actions: {scope}"),
    };
    let covered = |a: &Action| ids.iter().any(|id| id == a.name() || groups_of(*a).contains(&id.as_str()));
    let more: Vec<&str> = applicable.iter().filter(|a| !covered(a)).map(|a| a.name()).collect();
    for (what, ids) in lists(&ids, applicable, &more) {
        out.push((format!("scope: {what}"), list(&ids)));
    }
    out
}

/// Changes to a list of actions: fewer, groups for actions and actions for groups, and each of `more` added.
fn lists(ids: &[String], applicable: &[Action], more: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut out = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        let replaced = |by: &[String]| {
            let mut ids = ids.to_vec();
            drop(ids.splice(i..=i, by.iter().cloned()));
            ids
        };
        if ids.len() > 1 {
            out.push((format!("{id} dropped"), replaced(&[])));
        }
        if is_group(id) {
            for group in groups().into_iter().filter(|group| group != id) {
                out.push((format!("{id} for {group}"), replaced(&[group.to_owned()])));
            }
            let members: Vec<String> = applicable
                .iter()
                .filter(|a| groups_of(**a).contains(&id.as_str()))
                .map(|a| a.name().to_owned())
                .collect();
            for gone in &members {
                let rest: Vec<String> = members.iter().filter(|m| m != &gone).cloned().collect();
                out.push((format!("{id} without {gone}"), replaced(&rest)));
            }
        } else {
            let of = Action::ALL.iter().find(|a| a.name() == id).expect("an action");
            for group in groups_of(*of) {
                out.push((format!("{id} widened to {group}"), replaced(&[group.to_owned()])));
            }
        }
    }
    for more in more.iter().filter(|more| !ids.iter().any(|id| id == *more)) {
        let mut ids = ids.to_vec();
        ids.push((*more).to_owned());
        out.push((format!("{more} added"), ids));
    }
    out
}

/// Calls `f` with every expression and its place.
fn walk(json: &Json, pointer: &str, f: &mut impl FnMut(&Json, &str)) {
    let Json::Object(map) = json else { return };
    f(json, pointer);
    for (operator, operand) in map {
        let pointer = format!("{pointer}/{}", operator.replace('~', "~0").replace('/', "~1"));
        match operand {
            // The operands have names of their own: `left`, `arg`, `if`.
            Json::Object(operands) if operator != "Value" => {
                operands.iter().for_each(|(name, operand)| walk(operand, &format!("{pointer}/{name}"), f));
            }
            Json::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| walk(item, &format!("{pointer}/{i}"), f));
            }
            _ => {}
        }
    }
}

const LOGICAL: [&str; 14] =
    ["&&", "||", "!", "==", "!=", "<", "<=", ">", ">=", "in", "is", "has", "contains", "if-then-else"];
const FLAGS: [&str; 3] = ["active", "complianceTeam", "contributor"];

/// The changes of one step to one expression, not to what is inside it.
fn changes(json: &Json, whole: bool, applicable: &[Action]) -> Vec<Mutant> {
    let mut out = Vec::new();
    let Some((operator, operand)) = json.as_object().and_then(|map| map.iter().next()) else {
        return out;
    };
    let operator = operator.as_str();
    // The whole condition always true or false is the condition, or the policy, dropped.
    let flag = operator == "." && FLAGS.iter().any(|flag| operand["attr"] == *flag);
    if !whole && (LOGICAL.contains(&operator) || flag) {
        out.push((format!("{operator} always true"), json!({"Value": true})));
        out.push((format!("{operator} always false"), json!({"Value": false})));
    }
    let other = match operator {
        "&&" => Some("||"),
        "||" => Some("&&"),
        "<" => Some("<="),
        "<=" => Some("<"),
        "==" => Some("!="),
        "!=" => Some("=="),
        _ => None,
    };
    if let Some(other) = other {
        out.push((format!("{operator} to {other}"), json!({other: operand})));
    }
    match operator {
        "<" | "<=" => out.push((
            format!("{operator} sides swapped"),
            json!({operator: {"left": operand["right"], "right": operand["left"]}}),
        )),
        "==" => out.push(("== to in".into(), json!({"in": operand}))),
        "in" if operand["right"].get("Set").is_none() => out.push(("in to ==".into(), json!({"==": operand}))),
        "!" => out.push(("! dropped".into(), operand["arg"].clone())),
        "if-then-else" => {
            out.push(("if to then".into(), operand["then"].clone()));
            out.push(("if to else".into(), operand["else"].clone()));
            let swapped = json!({"if": operand["if"], "then": operand["else"], "else": operand["then"]});
            out.push(("branches swapped".into(), json!({operator: swapped})));
        }
        "Var" => {
            let other = if operand == "principal" { "resource" } else { "principal" };
            out.push((format!("{} to {other}", operand.as_str().unwrap_or_default()), json!({"Var": other})));
        }
        "." => {
            let attr = operand["attr"].as_str().unwrap_or_default();
            let others: Vec<&str> = match attr {
                "from" => vec!["to"],
                "to" => vec!["from"],
                "activeFrom" => vec!["activeUntil"],
                "activeUntil" => vec!["activeFrom"],
                _ if flag => FLAGS.into_iter().filter(|flag| *flag != attr).collect(),
                _ => vec![],
            };
            for other in others {
                let swapped = json!({".": {"left": operand["left"], "attr": other}});
                out.push((format!("{attr} to {other}"), swapped));
            }
        }
        "Set" => out.extend(sets(operand.as_array().expect("a set"), applicable)),
        "Value" => out.extend(values(operand)),
        _ => {}
    }
    if let ("in", Some(group)) = (operator, entity_of(&operand["right"], "Grc::Action")) {
        for (what, ids) in
            lists(&[group.to_owned()], applicable, &groups()).into_iter().filter(|(what, _)| !what.contains(" for "))
        {
            let set: Vec<Json> = ids.iter().map(|id| entity("Grc::Action", id)).collect();
            out.push((what, json!({"in": {"left": operand["left"], "right": {"Set": set}}})));
        }
    }
    // One role more: `role == A` to `role in [A, B]`, and the same for what must not be.
    if let ("==" | "!=", Some(role)) = (operator, entity_of(&operand["right"], "Grc::Role")) {
        for more in Role::ALL.iter().map(|r| r.id()).filter(|id| *id != role) {
            let both = json!({"Set": [entity("Grc::Role", role), entity("Grc::Role", more)]});
            let within = json!({"in": {"left": operand["left"], "right": both}});
            let value = if operator == "==" { within } else { json!({"!": {"arg": within}}) };
            out.push((format!("{operator} and {more} added"), value));
        }
    }
    out
}

fn entity(type_name: &str, id: &str) -> Json {
    json!({"Value": {"__entity": {"type": type_name, "id": id}}})
}

fn entity_of<'a>(json: &'a Json, type_name: &str) -> Option<&'a str> {
    let uid = &json["Value"]["__entity"];
    (uid["type"] == type_name).then(|| uid["id"].as_str())?
}

/// Changes to a set of actions, of roles or of texts.
fn sets(items: &[Json], applicable: &[Action]) -> Vec<Mutant> {
    let ids = |of: &str| items.iter().map(|item| entity_of(item, of).map(str::to_owned)).collect::<Option<Vec<_>>>();
    if let Some(ids) = ids("Grc::Action") {
        let set = |ids: Vec<String>| json!({"Set": ids.iter().map(|id| entity("Grc::Action", id)).collect::<Vec<_>>()});
        return lists(&ids, applicable, &groups()).into_iter().map(|(what, ids)| (what, set(ids))).collect();
    }
    let mut out = Vec::new();
    for i in 0..items.len() {
        let mut fewer = items.to_vec();
        let gone = fewer.remove(i);
        let gone = entity_of(&gone, "Grc::Role").or(gone["Value"].as_str()).unwrap_or_default().to_owned();
        out.push((format!("{gone} dropped"), json!({"Set": fewer})));
    }
    let more: Vec<Json> = match ids("Grc::Role") {
        Some(ids) => {
            let others = Role::ALL.iter().map(|r| r.id()).filter(|id| !ids.iter().any(|own| own == id));
            others.map(|id| entity("Grc::Role", id)).collect()
        }
        None => vec![json!({"Value": "tickets"})],
    };
    for item in more {
        let name = entity_of(&item, "Grc::Role").or(item["Value"].as_str()).unwrap_or_default().to_owned();
        let mut all = items.to_vec();
        all.push(item);
        out.push((format!("{name} added"), json!({"Set": all})));
    }
    out
}

/// Other values of the same type: another role, status, action or text, the other truth.
fn values(value: &Json) -> Vec<Mutant> {
    let mut out = Vec::new();
    let uid = &value["__entity"];
    let id = uid["id"].as_str().unwrap_or_default();
    let mut others: Vec<(&str, Vec<&str>)> = Vec::new();
    match uid["type"].as_str() {
        Some("Grc::Role") => others.push(("Grc::Role", Role::ALL.iter().map(|r| r.id()).collect())),
        Some("Grc::AuditorStatus") => {
            others.push(("Grc::AuditorStatus", AuditorStatus::ALL.iter().map(|s| s.id()).collect()));
        }
        Some("Grc::Action") if is_group(id) => {
            others.push(("Grc::Action", groups()));
        }
        _ => {}
    }
    for (type_name, ids) in others {
        for other in ids.into_iter().filter(|other| *other != id) {
            out.push((format!("{id} for {other}"), entity(type_name, other)));
        }
    }
    match value {
        Json::Bool(truth) => out.push((format!("{truth} to {}", !truth), json!({"Value": !truth}))),
        Json::String(text) => out.push((format!("{text:?} for \"tickets\""), json!({"Value": "tickets"}))),
        _ => {}
    }
    out
}
