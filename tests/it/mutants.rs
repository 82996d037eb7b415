//! Each built-in policy changed a little: some test must notice.
//!
//! Every run tries the removals, flips, swaps and dropped actions and roles. `BAILIWICK_MUTANTS=all` tries the rest too
//! (dropped conditions and conjuncts, `<` for `<=`, widened scopes) and lists what nothing notices.

use bailiwick::cedar_policy::{Policy, PolicyId};
use bailiwick::{Authorizer, Bundle, ErrorMode, Source, Sources};
use serde_json::{json, Value as Json};

use crate::judge;
use crate::random::{alone, asked, snapshot, Asked};

/// All changes of one step to a policy in Cedar's JSON form, each with what was done.
fn mutants(policy: &Json) -> Vec<(String, Json)> {
    let mut out = Vec::new();
    let with = |pointer: &str, value: Json| {
        let mut changed = policy.clone();
        *changed.pointer_mut(pointer).expect("a place in the policy") = value;
        changed
    };
    let flipped = if policy["effect"] == "permit" { "forbid" } else { "permit" };
    out.push(("effect flipped".into(), with("/effect", json!(flipped))));
    if policy["action"]["op"] != "All" {
        out.push(("action widened to all".into(), with("/action", json!({"op": "All"}))));
    }
    for (i, action) in policy["action"]["entities"].as_array().into_iter().flatten().enumerate() {
        let mut fewer = policy["action"]["entities"].as_array().expect("actions").clone();
        fewer.remove(i);
        out.push((format!("action {} dropped", action["id"]), with("/action/entities", json!(fewer))));
    }
    if policy["principal"]["op"] != "All" {
        out.push(("principal widened to all".into(), with("/principal", json!({"op": "All"}))));
    }
    for (i, _) in policy["conditions"].as_array().into_iter().flatten().enumerate() {
        let mut fewer = policy["conditions"].as_array().expect("conditions").clone();
        fewer.remove(i);
        out.push((format!("condition {i} dropped"), with("/conditions", json!(fewer))));
        let body = format!("/conditions/{i}/body");
        expressions(policy.pointer(&body).expect("a body"), &body, &mut |pointer, what, value| {
            out.push((format!("{what} at {pointer}"), with(pointer, value)));
        });
    }
    out
}

/// Calls `f` with the place, the name and the replacement of every mutation of an expression.
fn expressions(json: &Json, pointer: &str, f: &mut impl FnMut(&str, &str, Json)) {
    match json {
        Json::Object(map) => {
            for (operator, operand) in map {
                match operator.as_str() {
                    "&&" | "||" => {
                        f(pointer, &format!("{operator} right dropped"), operand["left"].clone());
                        f(pointer, &format!("{operator} left dropped"), operand["right"].clone());
                    }
                    "<" | "<=" | "==" | "!=" => {
                        let other = match operator.as_str() {
                            "<" => "<=",
                            "<=" => "<",
                            "==" => "!=",
                            _ => "==",
                        };
                        f(pointer, &format!("{operator} to {other}"), json!({other: operand}));
                    }
                    "!" => f(pointer, "! dropped", operand["arg"].clone()),
                    "if-then-else" => {
                        f(pointer, "if to then", operand["then"].clone());
                        f(pointer, "if to else", operand["else"].clone());
                    }
                    "Set" => {
                        let items = operand.as_array().expect("a set");
                        for i in 0..items.len() {
                            let mut fewer = items.clone();
                            fewer.remove(i);
                            if !fewer.is_empty() {
                                f(pointer, &format!("element {i} dropped"), json!({"Set": fewer}));
                            }
                        }
                    }
                    "__entity" => {
                        let other = match (operand["type"].as_str(), operand["id"].as_str()) {
                            (Some("Grc::Role"), Some("VIEWER")) => "MEMBER",
                            (Some("Grc::Role"), _) => "VIEWER",
                            (Some("Grc::AuditorStatus"), _) => "PENDING",
                            (Some("Grc::Action"), Some("viewCompliance")) => "viewOrganization",
                            (Some("Grc::Action"), _) => "viewCompliance",
                            _ => continue,
                        };
                        let mut swapped = json.clone();
                        swapped["__entity"]["id"] = json!(other);
                        f(pointer, &format!("{} swapped for {other}", operand["id"]), swapped);
                    }
                    _ => {}
                }
                let escaped = operator.replace('~', "~0").replace('/', "~1");
                expressions(operand, &format!("{pointer}/{escaped}"), f);
            }
        }
        Json::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                expressions(item, &format!("{pointer}/{i}"), f);
            }
        }
        _ => {}
    }
}

/// Random worlds and the small one, with the judge's answers.
fn cases(bundle: &Bundle) -> Vec<(Authorizer, Vec<Asked>)> {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut worlds: Vec<_> = (0..60)
        .map(|_| {
            let world = judge::generate::world(&mut rng);
            let asks: Vec<_> = (0..600).map(|_| judge::generate::ask(&mut rng, &world)).collect();
            (world, asks)
        })
        .collect();
    let small = judge::small_world();
    let mut asks = judge::all_asks(&small);
    rng.shuffle(&mut asks);
    asks.truncate(20_000);
    worlds.push((small, asks));
    worlds
        .into_iter()
        .map(|(world, asks)| {
            let asked = asks.iter().map(|ask| asked(bundle, &world, ask)).collect();
            (alone(bundle, &snapshot(bundle, &world)), asked)
        })
        .collect()
}

#[test]
fn every_policy_mutant_is_noticed() {
    let all = std::env::var("BAILIWICK_MUTANTS").is_ok_and(|v| v == "all");
    let bundle = Bundle::builtin();
    let cases = cases(&bundle);
    let schema = bundle.sources().schema().cloned();
    let (mut total, mut refused) = (0, 0);
    let mut survivors: Vec<String> = Vec::new();
    for policy in bundle.policies().iter().filter(|p| p.redundant().is_none()) {
        let others: String =
            bundle.policies().iter().filter(|p| p.id() != policy.id()).map(|p| format!("{}\n", p.text())).collect();
        let id = PolicyId::new(policy.id());
        let parsed = Policy::parse(Some(id.clone()), policy.text()).expect("valid");
        let mut texts = vec![("removed".to_owned(), String::new())];
        for (what, json) in mutants(&parsed.to_json().expect("JSON")) {
            match Policy::from_json(Some(id.clone()), json).ok().and_then(|p| p.to_cedar()) {
                Some(text) => texts.push((what, text)),
                None => refused += 1,
            }
        }
        for (what, text) in texts {
            // What else is changed may be a second line of defence, which only stands out one at a time.
            let quick = ["removed", "flipped", "action \"", "swapped", "element", "== to", "!= to", "! dropped"];
            if !all && !quick.iter().any(|word| what.contains(word)) {
                continue;
            }
            total += 1;
            let sources = vec![Source::new("others", others.as_str()), Source::new("mutant", text)];
            let Ok(mutant) = Bundle::from_sources(Sources::new(schema.clone(), sources), ErrorMode::Strict) else {
                refused += 1;
                continue;
            };
            let noticed = cases.iter().any(|(authorizer, asked)| {
                authorizer.replace_bundle(&mutant).expect("the same schema");
                asked.iter().any(|case| authorizer.is_authorized(&case.request).allowed() != case.allowed)
            });
            if noticed {
                continue;
            }
            survivors.push(format!("{}: {what}", policy.id()));
        }
    }
    println!("{total} mutants: {refused} refused by validation, {} survivors", survivors.len());
    assert!(survivors.is_empty(), "nothing notices:\n{}", survivors.join("\n"));
    assert!(total > 150, "only {total} mutants");
}
